"""What became of each test of a run, as values that JUnit and CTRF write in their own forms.

A test is one requirement on one operation of one subject. Names hold no version, so a pipeline
compares the same test over releases. Of several releases in one run the newest has the plain
name; an older one has one test for each requirement that it does not simply pass. Inconclusive
and waived are skipped with the reason. A finding that does not fail the run passes, with the
finding as output. The verdict of the whole run is a test of its own, which passes exactly if
the exit code is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from conformance.report.baseline import Comparison, accepted_as, label
from conformance.report.exit import Decision, Exit
from conformance.report.results import FindingEntry, RequirementEntry, Results, SubjectEntry
from conformance.report.waiver import FailOn, Waiver
from conformance.verdict import Verdict

LINES = 12
"""Lines of a finding's timeline that a failure shows; results.json has all."""


class State(StrEnum):
    """What a pipeline is told of a test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERROR = "error"


@dataclass(frozen=True)
class Outcome:
    """One test and what became of it."""

    name: str
    state: State = State.PASSED
    message: str = ""
    """Why it did not pass, on one line."""
    text: str = ""
    """What shows that; of a test that passed, what it found all the same."""
    requirement: str = ""
    operation: str = ""
    raw: str = ""
    """The verdict in memconform's own word."""


@dataclass(frozen=True)
class Suite:
    """The tests of one subject."""

    name: str
    seconds: float
    version: str
    outcomes: tuple[Outcome, ...]


def of(results: Results, decision: Decision, comparison: Comparison | None) -> Iterator[Suite]:
    """Yield the suite of the whole run, then one for each subject."""
    yield Suite("memconform", results.run.seconds, "", (_whole(decision),))
    bar = results.fail_on or (FailOn.MUST if comparison is None else FailOn.NEW)
    for subject, name, older in named(results.subjects):
        outcomes = tuple(
            _told(subject, requirement, operation, verdict, comparison, bar)
            for requirement in subject.requirements
            for operation, verdict in _tests(requirement, bool(older))
        )
        yield Suite(name, subject.wall_seconds, subject.version, outcomes)


def _whole(decision: Decision) -> Outcome:
    if decision.code is Exit.CONFORMS:
        return Outcome("verdict", raw="conforms")
    state = State.ERROR if decision.code is Exit.ERROR else State.FAILED
    return Outcome(
        "verdict", state, f"exit {decision.code}: {decision.reason}",
        raw=decision.code.name.lower().replace("_", " "),
    )  # fmt: skip


def named(subjects: Sequence[SubjectEntry]) -> Iterator[tuple[SubjectEntry, str, int]]:
    """Yield each subject, a name that no other has, and how many newer releases the run has."""
    left = [accepted_as(s) for s in subjects]
    for subject in subjects:
        name = accepted_as(subject)
        left.remove(name)
        older = left.count(name)
        yield subject, name.replace(" ", ".", 1) + (f".older-{older}" if older else ""), older


def _tests(requirement: RequirementEntry, older: bool) -> Iterator[tuple[str, Verdict]]:
    """Yield the operations that are tests, each with its verdict; '' is no single operation."""
    if not older:
        pairs = requirement.operations.items()
        yield from ((o, v) for o, v in pairs if v is not Verdict.NOT_APPLICABLE)
    elif requirement.verdict not in (Verdict.NOT_APPLICABLE, Verdict.PASS):
        yield "", requirement.verdict


def _told(
    subject: SubjectEntry,
    requirement: RequirementEntry,
    operation: str,
    verdict: Verdict,
    comparison: Comparison | None,
    bar: FailOn,
) -> Outcome:
    """Return what became of a requirement on an operation."""

    def made(state: State, message: str = "", text: str = "") -> Outcome:
        name = f"{requirement.id} {operation}".strip()
        return Outcome(name, state, message, text, requirement.id, operation, str(verdict))

    if verdict is Verdict.INCONCLUSIVE:
        return made(State.SKIPPED, f"inconclusive: {_open(requirement, operation)}")
    if verdict is Verdict.ERROR:
        return made(State.ERROR, requirement.reason, _trace(subject, operation))
    if verdict is not Verdict.FAIL:
        return made(State.PASSED)
    found = [
        f for f in subject.findings
        if f.requirement == requirement.id and (not operation or operation in f.operations)
    ]  # fmt: skip
    waivers = {f.id: comparison.waiver(label(subject), f) if comparison else None for f in found}
    failing = [f for f in found if fails(f, waivers[f.id], comparison, bar)]
    if failing:
        lines = [line for f in failing for line in _evidence(f, operation)]
        return made(State.FAILED, "; ".join(map(_line, failing)), "\n".join(lines))
    if found and all(waivers.values()):
        return made(State.SKIPPED, _waived(found, waivers, operation))
    lines = [line for f in found for line in (_line(f), f.replay) if line]
    return made(State.PASSED, text="\n".join(lines) or requirement.reason)


def fails(
    finding: FindingEntry, waiver: Waiver | None, comparison: Comparison | None, bar: FailOn
) -> bool:
    """Return True if a finding fails the run: no waiver covers it, or not as far as it reaches."""
    wide = {f.id for _, f, _ in comparison.wider} if comparison else set()
    free = {f.id for _, f in comparison.searched} if comparison else set()
    return finding.id not in free and (not waiver or finding.id in wide) and bar.fails(
        finding.level
    )  # fmt: skip


def _open(requirement: RequirementEntry, operation: str) -> str:
    """Return why a test is inconclusive: in full once, then by where that stands."""
    vague = [o for o, v in requirement.operations.items() if v is Verdict.INCONCLUSIVE]
    first = vague[0] if vague else operation
    return requirement.reason if operation in ("", first) or not first else f"as for {first}"


def _trace(subject: SubjectEntry, operation: str) -> str:
    """Return the trace of the first crash on an operation; empty if nothing crashed there."""
    return next(
        (c.trace for c in subject.cases if c.trace and operation in ("", c.operation or "")), ""
    )


def _line(finding: FindingEntry) -> str:
    return f"{finding.level} {finding.requirement}: {finding.message} ({finding.id})"


def _waived(
    found: Sequence[FindingEntry], waivers: Mapping[str, Waiver | None], operation: str
) -> str:
    """Return what is waived, why and by whom: at a finding's own operation in full, else by id."""
    here = [f for f in found if operation in ("", f.operation)]
    told = [f.message for f in here] or [f.id for f in found]
    for waiver in (waivers[f.id] for f in here):
        if waiver is not None:
            told += [waiver.reason, waiver.ticket, waiver.owner and f"owner {waiver.owner}"]
    return "waived: " + "; ".join(part for part in dict.fromkeys(told) if part)


def _evidence(finding: FindingEntry, operation: str) -> Iterator[str]:
    """Yield what shows a finding; of one that spans operations, where it is shown."""
    if operation and operation != finding.operation:
        yield f"{finding.requirement} is shown by {finding.case} on {finding.operation}"
        return
    yield from finding.timeline[:LINES]
    if len(finding.timeline) > LINES:
        yield f"… and {len(finding.timeline) - LINES} more lines in results.json"
    for each in finding.evidence:
        yield from each.lines()
    yield from (each for each in (finding.replay, finding.curl, finding.reproduction) if each)
    yield f"what it means, and how to fix it: {page_of(finding.requirement)}"


def page_of(requirement: str) -> str:
    """Return where the page of a requirement lies, seen from a run's reports."""
    return f"docs/requirements/{requirement}.html"
