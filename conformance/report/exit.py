"""Exit codes: one number that a pipeline can trust, and the sentence that explains it.

The first line of this table that is true decides.

| code | when |
|---|---|
| 3 | an error of ours, an interrupted run, or a part that is missing |
| 1 | a broken MUST; with a baseline, a finding that is new, wider or whose waiver expired |
| 5 | too little evidence: nothing was judged, or less than half of what applies; or a recording |
|   | that was cut or edited was judged |
| 4 | the baseline lists findings that are gone |
| 0 | none of these |

`fail_on` moves the bar for 1: `must`, `should`, `may`, or `new` (any finding without a waiver).

2 is for usage and never follows from results. A subject whose run as a whole says too little,
however many cases passed, says so itself in `details.undecided`: a slow load generator, for one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from conformance.plural import many
from conformance.report.baseline import Comparison, label
from conformance.report.results import CaseEntry, FindingEntry, Results, SubjectEntry
from conformance.report.waiver import FailOn
from conformance.verdict import Blame, Verdict


class Exit(IntEnum):
    """The exit codes of every command."""

    CONFORMS = 0
    DEVIATES = 1
    USAGE = 2
    ERROR = 3
    STALE_BASELINE = 4
    TOO_LITTLE_EVIDENCE = 5


MEANING = {
    Exit.CONFORMS: "the subjects conform, or deviate only as the baseline accepts.",
    Exit.DEVIATES: "a documented promise is broken; with a baseline, a finding is new, reaches "
    "further than its waiver, or its waiver has expired. `--fail-on` moves the bar.",
    Exit.USAGE: "the command line, a spec, a baseline or a results file is wrong; the message "
    "shows the value, why, and what to type.",
    Exit.ERROR: "an error of memconform's own or of what surrounds it, an interrupted run, or a "
    "part that is missing. It never accuses the subject.",
    Exit.STALE_BASELINE: "the baseline waives findings that are gone: their case ran and passed. "
    "`memconform baseline prune RESULTS FILE` removes them.",
    Exit.TOO_LITTLE_EVIDENCE: "nothing was judged, or less than half of what applies.",
}
"""What each code means, a sentence or two."""


@dataclass(frozen=True)
class Decision:
    """An exit code and why."""

    code: Exit
    reason: str


def decide(
    results: Results, comparison: Comparison | None = None, fail_on: FailOn | None = None
) -> Decision:
    """Return the exit code of a run; `comparison` if it was held against a baseline."""
    bar = fail_on or results.fail_on or (FailOn.MUST if comparison is None else FailOn.NEW)
    decisions = (
        _broken_run(results),
        _deviates(results, comparison, bar),
        _evidence(results),
        _stale(comparison),
    )
    for decision in decisions:
        if decision is not None:
            return decision
    judged = f"{many(len(results.subjects), 'subject')} judged"
    found = sum(len(s.findings) for s in results.subjects)
    if comparison and comparison.known:
        known = f"with {many(len(comparison.known), 'known deviation')}"
        return Decision(Exit.CONFORMS, f"{known}, none new; {judged}")
    if found:
        judged += f"; {many(found, 'finding')}, none of what a document promises"
    return Decision(Exit.CONFORMS, judged)


def _broken_run(results: Results) -> Decision | None:
    if not results.run.complete and not any(s.details.get("cut") for s in results.subjects):
        return Decision(Exit.ERROR, f"the run is not complete: {results.run.reason}")
    errors = [(s, c) for s in results.subjects for c in s.cases if c.verdict is Verdict.ERROR]
    if errors:
        subject, case = _gravest(errors)
        blame = case.blame or Blame.HARNESS
        return Decision(
            Exit.ERROR,
            f"{many(len(errors), 'case')} ended in an error of {_WHOSE[blame]}, the first being "
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


def _deviates(results: Results, comparison: Comparison | None, bar: FailOn) -> Decision | None:
    for count, one, more, (name, finding, why) in _failing(results, comparison, bar):
        return Decision(
            Exit.DEVIATES,
            f"{many(count, one, 'is', 'are')} {more}, the first being "
            f"{finding.requirement} on {name}: {finding.message}{why}",
        )
    return None


def _failing(
    results: Results, comparison: Comparison | None, bar: FailOn
) -> Iterator[tuple[int, str, str, tuple[str, FindingEntry, str]]]:
    """Yield each kind of findings that fail a run: how many, in words, and the first."""
    if comparison is None:
        found = [(label(s), f, "") for s in results.subjects for f in s.findings]
        kinds = [
            (
                "promise" if bar is FailOn.MUST else "finding",
                "broken" if bar is FailOn.MUST else f"at or above --fail-on {bar}",
                found,
            )
        ]
    else:
        kinds = [
            ("finding", "new", [(n, f, "") for n, f in comparison.new]),
            (
                "finding",
                "wider than waived",
                [(n, f, f" (now also {added})") for n, f, added in comparison.wider],
            ),
            (
                "waiver",
                "expired",
                [
                    (n, f, f" (until {w.expires}, owner {w.owner or 'nobody'})")
                    for n, f, w in comparison.expired
                ],
            ),
        ]
    for noun, state, seen in kinds:
        failing = [each for each in seen if bar.fails(each[1].level)]
        if failing:
            yield len(failing), noun, state, failing[0]


def _evidence(results: Results) -> Decision | None:
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


def _stale(comparison: Comparison | None) -> Decision | None:
    if comparison is None or not comparison.strict or not comparison.gone:
        return None
    name, waiver = comparison.gone[0]
    return Decision(
        Exit.STALE_BASELINE,
        f"{many(len(comparison.gone), 'known deviation', 'is', 'are')} gone, the first being "
        f"{waiver.requirement} on {name}: {waiver.message}; "
        "`memconform baseline prune RESULTS FILE` removes them",
    )
