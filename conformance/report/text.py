"""The console report: the matrix, the worst findings in words, and a last line to act on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from conformance.foreign import terminal, through
from conformance.plural import many
from conformance.report.baseline import Comparison, label
from conformance.report.differences import differences, next_step, to_act_on, waiver_lines
from conformance.report.exit import Decision, Exit
from conformance.report.matrix import Cell, Matrix, by_kind
from conformance.report.notes import notes
from conformance.report.results import FindingEntry, Results
from conformance.report.versions import Change, histories
from conformance.report.write import REPLAYED, by_id, replayable
from conformance.verdict import Verdict

SHORT = {
    "error mapping": "errors",
    "rate-limit headers": "limits",
    "usage headers": "usage",
    "pagination": "pages",
    "idempotency": "idempot.",
    "isolation": "isolat.",
    "robustness": "robust.",
}
"""Column heads that fit a terminal."""

MARKS: dict[Verdict, tuple[str, str]] = {
    Verdict.PASS: ("✓", "green"),
    Verdict.INCONCLUSIVE: ("?", "yellow"),
    Verdict.FAIL: ("✗", "red"),
    Verdict.ERROR: ("!", "bold magenta"),
    Verdict.NOT_APPLICABLE: ("·", "dim"),
}


def show(
    console: Console,
    results: Results,
    decision: Decision,
    comparison: Comparison | None = None,
    out: Path | None = None,
    worst: int = 10,
) -> None:
    """Print the whole report of a run."""
    results = through(results, terminal)
    decision = replace(decision, reason=terminal(decision.reason))
    for head, made in by_kind(results.subjects):
        _print_matrix(console, head, made)
    console.print("[dim]requirements: ✓ pass  ✗ fail  ? inconclusive  ! error of ours[/dim]")
    for subject in results.subjects:
        for note in notes(subject):
            if note.removeprefix("could not be judged: ") not in decision.reason:
                console.print(f"{label(subject)}: {note}", markup=False, highlight=False)
    kept = replayable(results, out) if out is not None else results
    _findings(console, kept, comparison, worst)
    if out is None and any(by_id(f) for s in results.subjects for f in s.findings):
        how = f"`--out {REPLAYED}` keeps the results, and then `memconform replay ID` works"
        console.print(f"[dim]to see a finding again: {how}[/dim]", highlight=False)
    if first := next((f for s in results.subjects for f in s.findings), None):
        told = f"why it matters and how to fix it: memconform explain {first.requirement}"
        console.print(f"[dim]{told}[/dim]", highlight=False)
    _releases(console, results, worst)
    parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in results.run.parts.items())
    if parts:
        console.print(f"[dim]{escape(parts)}; seed {results.run.seed}[/dim]")
    if step := next_step(decision, comparison):
        console.print(f"next: {step}", markup=False, highlight=False, soft_wrap=True)
    console.print(last_line(results, decision, out), soft_wrap=True)


def _print_matrix(console: Console, head: str, made: Matrix) -> None:
    """Print a matrix as a table, or as a list if the terminal is too narrow for it."""
    table = matrix(made)
    console.print(f"[bold]{head}[/bold]")
    if console.measure(table, options=console.options.update(width=1000)).maximum <= console.width:
        console.print(table)
        return
    for row in made.rows:
        console.print(f"  {label(row.subject)}", markup=False, highlight=False)
        for column, cell in zip(made.columns, row.cells, strict=True):
            if cell.counts:
                console.print(Text("    ").append(f"{column}: ").append_text(_draw(cell)))


def matrix(made: Matrix) -> Table:
    """Return a matrix as a table; cells count requirements by verdict."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("subject", no_wrap=True)
    for column in made.columns:
        table.add_column(SHORT.get(column, column), justify="center", no_wrap=True)
    for row in made.rows:
        table.add_row(Text(label(row.subject)), *(_draw(cell) for cell in row.cells))
    return table


def _draw(cell: Cell) -> Text:
    if not cell.counts:
        return Text("·", style="dim")
    text = Text()
    for number, (verdict, count) in enumerate(cell.counts):
        mark, style = MARKS[verdict]
        text.append(f"{' ' if number else ''}{count}{mark}", style=style)
    return text


def _findings(
    console: Console, results: Results, comparison: Comparison | None, worst: int
) -> None:
    new = to_act_on(comparison)
    pairs: list[tuple[str, FindingEntry]] = [
        (label(s), f) for s in results.subjects for f in s.findings
    ]
    if comparison is not None:
        _waivers(console, comparison)
    pairs.sort(key=lambda pair: ((pair[0], pair[1].id) not in new, _weight(pair[1])))
    if not pairs:
        return
    title = many(len(pairs), "finding")
    if comparison is not None:
        title += f": {differences(comparison)}"
    console.print(f"[bold]{title}[/bold]")
    for name, finding in _spread(pairs, worst):
        state = new.get((name, finding.id), "")
        status = f"[red]{state}[/red] " if state else ""
        times = f" (×{finding.count})" if finding.count > 1 else ""
        follow = len(finding.explains)
        times += f"; {follow} more follow{'s' * (follow == 1)} from it" if follow else ""
        one = finding.operation if len(finding.operations) < 2 else None
        where = f" {one}" if one else ""
        console.print(
            f"  {status}[bold]{finding.level} {finding.requirement}[/bold] "
            f"{escape(name)}{escape(where)}: {escape(finding.message)}{times}",
            highlight=False,
        )
        for line in finding.evidence[-1].short() if finding.evidence else ():
            console.print(f"      {escape(line)}", highlight=False)
        if again := _again(finding):
            console.print(f"      [dim]{escape(again)}[/dim]", highlight=False, soft_wrap=True)
    if len(pairs) > worst:
        console.print(f"  [dim]… and {len(pairs) - worst} more in the report[/dim]")


def _again(finding: FindingEntry) -> str:
    """Return the line that shows a finding again: one for a shell is better than a whole case."""
    return finding.curl or finding.replay


def _waivers(console: Console, comparison: Comparison) -> None:
    """Print the waivers that a person must look at, by name."""
    for head, lines in waiver_lines(comparison):
        console.print(f"[bold]{head}[/bold]", highlight=False)
        for line in lines:
            console.print(f"  {line}", markup=False, highlight=False)


_SIGNS = {
    Change.NEW: "[red]+ new [/red]",
    Change.GONE: "[green]- gone[/green]",
    Change.UNCLEAR: "[yellow]?     [/yellow]",
}


def _releases(console: Console, results: Results, most: int) -> None:
    """Print what got better and worse between releases of one package."""
    for history in histories(results.subjects):
        for step in history.steps:
            console.print(
                f"[bold]{escape(history.name)} {escape(step.older)} → {escape(step.newer)}[/bold]: "
                f"{step.summary()}",
                highlight=False,
            )
            moved = list(step.moved())
            for change, row in moved[:most]:
                console.print(
                    f"  {_SIGNS[change]} [bold]{row.finding.level} {row.finding.requirement}[/bold]"
                    f" {escape(row.words)}",
                    highlight=False,
                )
            if len(moved) > most:
                console.print(f"  [dim]… and {len(moved) - most} more in the report[/dim]")


def _weight(finding: FindingEntry) -> tuple[int, int]:
    return ("MUST", "SHOULD", "MAY").index(finding.level), -finding.count


def _spread(
    pairs: Sequence[tuple[str, FindingEntry]], worst: int
) -> list[tuple[str, FindingEntry]]:
    """Return the first `worst` pairs, subjects in turn, so that none hides the rest."""
    by_subject: dict[str, list[tuple[str, FindingEntry]]] = {}
    for pair in pairs:
        by_subject.setdefault(pair[0], []).append(pair)
    chosen: list[tuple[str, FindingEntry]] = []
    while by_subject and len(chosen) < worst:
        for name in list(by_subject):
            chosen.append(by_subject[name].pop(0))
            if not by_subject[name]:
                del by_subject[name]
    return chosen[:worst]


def last_line(results: Results, decision: Decision, out: Path | None) -> str:
    """Return the sentence that ends every run: verdict, why, and what to open."""
    word, style = {
        Exit.CONFORMS: ("conforms", "bold green"),
        Exit.DEVIATES: ("does not conform", "bold red"),
        Exit.ERROR: ("error", "bold magenta"),
        Exit.STALE_BASELINE: ("baseline out of date", "bold yellow"),
        Exit.TOO_LITTLE_EVIDENCE: ("too little evidence", "bold yellow"),
        Exit.USAGE: ("usage", "bold red"),
    }[decision.code]
    where = f" Open {escape(str(out / 'report.html'))}" if out else ""
    return (
        f"[{style}]{word}[/{style}] (exit {int(decision.code)}): {escape(decision.reason)}. "
        f"{results.run.seconds:.0f} s.{where}"
    )
