"""What a pipeline tells of a run: counts, annotations, and the comment on a change. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.foreign import markdown, terminal
from conformance.report import markdown as summary
from conformance.report.baseline import Comparison, label
from conformance.report.differences import differences, next_step, waiver_lines
from conformance.report.exit import Decision, Exit
from conformance.report.outcomes import fails
from conformance.report.results import FindingEntry, Results, SubjectEntry
from conformance.report.spots import Spot, of_promise, of_waiver
from conformance.report.waiver import FailOn, Waiver
from specs.catalogue import Level

SHOWN = 20
"""Findings that a comment lists; the rest are counted."""
LONGEST = 60_000
"""Characters of a comment: GitHub takes 65,536, GitLab a million."""


@dataclass(frozen=True)
class Told:
    """A run, what it came to, and how it differs from what it is held beside."""

    results: Results
    decision: Decision
    comparison: Comparison | None = None

    @property
    def verdict(self) -> str:
        """The verdict in one word, for a script to read: `conforms`, `deviates`."""
        return self.decision.code.name.lower().replace("_", "-")

    def outputs(self) -> dict[str, str]:
        """Return what a later step may read, by name."""
        found = [f for s in self.results.subjects for f in s.findings]
        made = self.comparison or Comparison()
        counts = {
            "findings": len(found),
            **{str(level).lower(): sum(f.level is level for f in found) for level in Level},
            "known": len(made.known),
            "new": len(made.new) if self.comparison else len(found),
            "gone": len(made.gone),
            "expired": len(made.expired),
            "not-observed": len(made.unobserved),
        }
        code = {"verdict": self.verdict, "exit-code": str(int(self.decision.code))}
        return {**code, **{name: str(count) for name, count in counts.items()}}

    def failing(self) -> Iterator[tuple[SubjectEntry, FindingEntry, Waiver | None]]:
        """Yield each finding that fails the run, with its waiver if that is why."""
        bar = self.results.fail_on or (FailOn.NEW if self.comparison else FailOn.MUST)
        expired = {(n, f.id): w for n, f, w in (self.comparison or Comparison()).expired}
        for subject in self.results.subjects:
            for finding in subject.findings:
                name = label(subject)
                waiver = self.comparison.waiver(name, finding) if self.comparison else None
                if fails(finding, waiver, self.comparison, bar):
                    yield subject, finding, expired.get((name, finding.id)) or waiver


@dataclass(frozen=True)
class Annotation:
    """A sentence that a platform shows at a line of a change."""

    level: str
    """`error` fails the run, `warning` does not."""
    title: str
    message: str
    spot: Spot | None
    key: str
    """What it is recognised by in the next run."""


def annotated(told: Told, baseline: Path | None, root: Path) -> Iterator[Annotation]:
    """Yield what fails a run, then what soon will: at the promise, or at the waiver."""
    for subject, finding, waiver in told.failing():
        spot = of_waiver(baseline, finding.id, root) if waiver and baseline else None
        where = f" on {finding.operation}" if finding.operation else ""
        note = f" (waived until {waiver.expires}, owner {waiver.owner or 'nobody'})" if (
            waiver and waiver.expires
        ) else ""  # fmt: skip
        yield Annotation(
            "error",
            f"{finding.level} {finding.requirement}",
            terminal(f"{label(subject)}{where}: {finding.message}{note}. "
                     f"`memconform explain {finding.requirement}` says what to do."),
            spot or of_promise(subject, finding, root),
            f"{subject.kind} {subject.api} {finding.id}",
        )  # fmt: skip
    made = told.comparison
    if made is None:
        return
    stale = told.decision.code is Exit.STALE_BASELINE
    marked = [("error" if stale else "warning", "waiver is gone", w) for _, w in made.gone]
    marked += [("warning", "waiver expires soon", w) for w in made.expiring]
    for level, title, waiver in marked if made.strict else ():
        when = f" (until {waiver.expires})" if waiver.expires else ""
        spot = of_waiver(baseline, waiver.id, root) if baseline else None
        yield Annotation(
            level, title, terminal(f"{waiver.names()}{when}"), spot, f"waiver {waiver.id}"
        )


def mark(name: str) -> str:
    """Return the words by which a comment of an earlier run is recognised."""
    return f"<!-- memconform: {name.replace('--', '')} -->"


def comment(told: Told, name: str, link: str = "") -> str:
    """Return the comment on a change, as Markdown: what changed first, all else folded away."""
    decision, made = told.decision, told.comparison
    word = decision.code.name.lower().replace("_", " ")
    step = next_step(decision, made)
    failing = list(told.failing())
    lines = [
        mark(name),
        f"### memconform, {markdown(name)}: {word} (exit {int(decision.code)})",
        "",
        markdown(decision.reason[:1].upper() + decision.reason[1:]) + ".",
        *([f"Findings: {differences(made)}."] if made else []),
        *([f"Next: {step}."] if step else []),
        *([f"[The whole run]({link})"] if link else []),
        "",
        *_listed("Fails the run", [_line(s, f) for s, f, _ in failing]),
    ]
    for head, each in waiver_lines(made) if made else ():
        lines += _listed(head[:1].upper() + head[1:], [markdown(text) for text in each])
    text = "\n".join(lines)
    whole = summary.render(told.results, decision, made)
    folded = f"\n<details><summary>Everything</summary>\n\n{whole}\n</details>\n"
    return text + folded if len(text) + len(folded) <= LONGEST else text[:LONGEST]


def _listed(head: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = [f"- … and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"**{head}**", "", *(f"- {line}" for line in lines[:SHOWN]), *more, ""]


def _line(subject: SubjectEntry, finding: FindingEntry) -> str:
    where = f" {markdown(finding.operation)}" if finding.operation else ""
    return (
        f"**{finding.level} {finding.requirement}**{where} on {markdown(label(subject))}: "
        f"{markdown(finding.message)} `{finding.id}`"
    )
