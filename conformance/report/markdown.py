"""`summary.md`: the matrix and the findings, to paste into a pull request."""

from __future__ import annotations

from conformance.foreign import markdown
from conformance.report.baseline import Comparison, label
from conformance.report.differences import next_step, to_act_on, waiver_lines
from conformance.report.exit import Decision
from conformance.report.matrix import Matrix, by_kind
from conformance.report.notes import notes
from conformance.report.results import FindingEntry, Results
from conformance.report.versions import histories
from conformance.verdict import Verdict

_SIGNS = {
    Verdict.PASS: "✓",
    Verdict.INCONCLUSIVE: "?",
    Verdict.FAIL: "✗",
    Verdict.ERROR: "!",
}


def render(results: Results, decision: Decision, comparison: Comparison | None = None) -> str:
    """Return the summary of a run as GitHub-flavoured Markdown."""
    lines = [
        f"# memconform: {decision.code.name.lower().replace('_', ' ')} (exit {int(decision.code)})",
        "",
        markdown(decision.reason[:1].upper() + decision.reason[1:]) + ".",
        "",
        *(
            [f"Next: {next_step(decision, comparison)}.", ""]
            if next_step(decision, comparison)
            else []
        ),
        *(line for head, made in by_kind(results.subjects) for line in _matrix(head, made)),
        "Cells count requirements: ✓ pass, ✗ fail, ? inconclusive, ! error of memconform's own.",
        "",
        *_notes(results),
        *_releases(results),
        *_waivers(comparison),
        *_findings(results, comparison),
    ]
    return "\n".join(lines) + "\n"


def _matrix(head: str, made: Matrix) -> list[str]:
    lines = [
        f"## {head}",
        "",
        "| subject | " + " | ".join(made.columns) + " |",
        "|---|" + "---|" * len(made.columns),
    ]
    for row in made.rows:
        cells = (
            " ".join(f"{count}{_SIGNS[verdict]}" for verdict, count in cell.counts) or "–"
            for cell in row.cells
        )
        lines.append(
            f"| {markdown(_name(row.subject.api, label(row.subject)))} | {' | '.join(cells)} |"
        )
    return [*lines, ""]


def _notes(results: Results) -> list[str]:
    lines = [f"- {markdown(f'{label(s)}: {note}')}" for s in results.subjects for note in notes(s)]
    return [*lines, ""] if lines else []


def _releases(results: Results) -> list[str]:
    lines = []
    for history in histories(results.subjects):
        for step in history.steps:
            what = f"{history.name} {step.older} → {step.newer}: {step.summary()}"
            lines += [f"- {markdown(what)}"]
            lines += [
                f"  - {change}: **{row.finding.level} {row.finding.requirement}** "
                f"{markdown(row.words)} `{row.finding.id}`"
                for change, row in step.moved()
            ]
    return ["## Between releases", "", *lines, ""] if lines else []


def _waivers(comparison: Comparison | None) -> list[str]:
    lines: list[str] = []
    for head, each in waiver_lines(comparison) if comparison else ():
        lines += [f"## {head[:1].upper()}{head[1:]}", "", *(f"- {markdown(s)}" for s in each), ""]
    return lines


def _name(api: str, name: str) -> str:
    return name if api in name else f"{name} ({api})"


def _findings(results: Results, comparison: Comparison | None) -> list[str]:
    new = to_act_on(comparison)
    lines = []
    for subject in results.subjects:
        if not subject.findings:
            continue
        name = label(subject)
        lines += [f"## {markdown(_name(subject.api, name))}", ""]
        lines += [_line(finding, new.get((name, finding.id), "")) for finding in subject.findings]
        lines.append("")
    return lines


def _line(finding: FindingEntry, state: str) -> str:
    where = f" {markdown(finding.operation)}" if finding.operation else ""
    times = f" (×{finding.count})" if finding.count > 1 else ""
    mark = f" **{state}**" if state else ""
    return (
        f"- **{finding.level} {finding.requirement}**{where}{mark}: "
        f"{markdown(finding.message)}{times} `{finding.id}`"
    )
