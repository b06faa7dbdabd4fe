"""Exit codes: one number that a pipeline can trust, and the sentence that explains it.

The first line of this table that is true decides.

| code | when |
|---|---|
| 3 | an error of ours, an interrupted run, or a part that is missing |
| 1 | a broken MUST; with a baseline, any finding that it does not list |
| 5 | too little evidence: nothing was judged, or less than half of what applies |
| 4 | the baseline lists findings that are gone |
| 0 | none of these |

2 is for usage and never follows from results. A subject whose run as a whole says too little,
however many cases passed, says so itself in `details.undecided`: a slow load generator, for one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from conformance.report.baseline import Comparison
from conformance.report.results import CaseEntry, Results, SubjectEntry
from conformance.verdict import Blame, Verdict
from specs.catalogue import Level


class Exit(IntEnum):
    """The exit codes of every command."""

    CONFORMS = 0
    DEVIATES = 1
    USAGE = 2
    ERROR = 3
    STALE_BASELINE = 4
    TOO_LITTLE_EVIDENCE = 5


@dataclass(frozen=True)
class Decision:
    """An exit code and why."""

    code: Exit
    reason: str


def decide(results: Results, comparison: Comparison | None = None) -> Decision:
    """Return the exit code of a run; `comparison` where it was held against a baseline."""
    for rule in (_broken_run, _deviates, _evidence, _stale):
        decision = rule(results, comparison)
        if decision is not None:
            return decision
    judged = f"{_many(len(results.subjects), 'subject')} judged"
    found = sum(len(s.findings) for s in results.subjects)
    if comparison and comparison.known:
        judged += f"; {_many(len(comparison.known), 'known deviation')}, none new"
    elif found:
        judged += f"; {_many(found, 'finding')}, none of what a document promises"
    return Decision(Exit.CONFORMS, judged)


def _many(count: int, noun: str, one: str = "", more: str = "") -> str:
    """Return a count with its noun and, where given, the verb that follows."""
    verb = one if count == 1 else more
    return f"{count} {noun}{'' if count == 1 else 's'}{' ' * bool(verb)}{verb}"


def _broken_run(results: Results, _: Comparison | None) -> Decision | None:
    if not results.run.complete:
        return Decision(Exit.ERROR, f"the run is not complete: {results.run.reason}")
    errors = [(s, c) for s in results.subjects for c in s.cases if c.verdict is Verdict.ERROR]
    if errors:
        subject, case = _gravest(errors)
        blame = case.blame or Blame.HARNESS
        return Decision(
            Exit.ERROR,
            f"{_many(len(errors), 'case')} ended in an error of {_WHOSE[blame]}, the first being "
            f"{case.case} on {subject.name}: {case.reason}",
        )
    return None


_WHOSE = {
    Blame.HARNESS: "memconform's own",
    Blame.ENVIRONMENT: "what surrounds it",
    Blame.USAGE: "usage",
    Blame.SUBJECT: "the subject",
}
_GRAVEST = (Blame.HARNESS, Blame.ENVIRONMENT, Blame.USAGE, Blame.SUBJECT)
"""Of errors that differ in blame, the first of these decides what is said."""


def _gravest(errors: Sequence[tuple[SubjectEntry, CaseEntry]]) -> tuple[SubjectEntry, CaseEntry]:
    return min(errors, key=lambda each: _GRAVEST.index(each[1].blame or Blame.HARNESS))


def _deviates(results: Results, comparison: Comparison | None) -> Decision | None:
    if comparison is not None:
        if not comparison.new:
            return None
        name, finding = comparison.new[0]
        return Decision(
            Exit.DEVIATES,
            f"{_many(len(comparison.new), 'finding', 'is', 'are')} new, the first being "
            f"{finding.requirement} on {name}: {finding.message}",
        )
    broken = [(s, f) for s in results.subjects for f in s.findings if f.level is Level.MUST]
    if not broken:
        return None
    subject, finding = broken[0]
    return Decision(
        Exit.DEVIATES,
        f"{_many(len(broken), 'promise', 'is', 'are')} broken, the first being "
        f"{finding.requirement} on {subject.name}: {finding.message}",
    )


def _evidence(results: Results, _: Comparison | None) -> Decision | None:
    if not results.subjects:
        return Decision(Exit.TOO_LITTLE_EVIDENCE, "no subject was judged")
    for subject in results.subjects:
        undecided = subject.details.get("undecided")
        if undecided:
            return Decision(
                Exit.TOO_LITTLE_EVIDENCE, f"{subject.name} ({subject.api}): {undecided}"
            )
        judged, applicable = evidence(subject)
        if judged == 0 or judged * 2 < applicable:
            why = next(
                (c.reason for c in subject.cases if c.verdict is Verdict.INCONCLUSIVE and c.reason),
                "no case ran",
            )
            return Decision(
                Exit.TOO_LITTLE_EVIDENCE,
                f"{subject.name} ({subject.api}): only {judged} of {applicable} applicable "
                f"cases could be judged: {why}",
            )
    return None


def evidence(subject: SubjectEntry) -> tuple[int, int]:
    """Return how many cases of a subject were judged, and how many apply."""
    counts = Counter(c.verdict for c in subject.cases)
    judged = counts[Verdict.PASS] + counts[Verdict.FAIL]
    return judged, judged + counts[Verdict.INCONCLUSIVE]


def _stale(_: Results, comparison: Comparison | None) -> Decision | None:
    if comparison is None or not comparison.vanished:
        return None
    name, known = comparison.vanished[0]
    return Decision(
        Exit.STALE_BASELINE,
        f"{_many(len(comparison.vanished), 'known deviation', 'is', 'are')} gone, the first being "
        f"{known.requirement} on {name}; write the baseline anew to keep it honest",
    )
