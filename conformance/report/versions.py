"""What got better and worse between releases of one SDK: a value that every report draws.

A finding keeps its id over releases, so releases are compared by id. That a finding is not there
counts as better only where the release was judged by the case that shows it: an operation that
went missing mends nothing. Nor does it count where another finding hides it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from packaging.version import InvalidVersion, Version

from conformance import claims
from conformance.report import hidden
from conformance.report.results import FindingEntry, SubjectEntry, natural
from conformance.verdict import Verdict
from specs.catalogue import Level


class State(StrEnum):
    """What a release says about one finding."""

    SHOWS = "shows it"
    FREE = "does not show it"
    UNJUDGED = "not judged"


class Change(StrEnum):
    """What became of a finding from one release to the next."""

    NEW = "new"
    GONE = "gone"
    SAME = "unchanged"
    UNCLEAR = "not judged in both"


@dataclass(frozen=True)
class Row:
    """One finding over all releases of a package, in the words of the newest that shows it."""

    finding: FindingEntry
    states: tuple[State, ...]
    words: str
    """Its message, with its operation or cause where another finding has the same message."""

    @property
    def moved(self) -> bool:
        """True where not all releases say the same."""
        return len(set(self.states)) > 1


@dataclass(frozen=True)
class Step:
    """One release beside the one before it; `rows` by what became of them."""

    older: str
    newer: str
    rows: dict[Change, tuple[Row, ...]]

    def summary(self) -> str:
        """Return the counts in words, `2 gone, 5 new, 18 unchanged`; what is unclear if any."""
        order = (Change.GONE, Change.NEW, Change.SAME, Change.UNCLEAR)
        return ", ".join(
            f"{len(self.rows[c])} {c}" for c in order if self.rows[c] or c is not Change.UNCLEAR
        )

    def moved(self) -> Iterator[tuple[Change, Row]]:
        """Yield what is new, then what is gone, then what was not judged in both."""
        for change in (Change.NEW, Change.GONE, Change.UNCLEAR):
            for row in self.rows[change]:
                yield change, row


@dataclass(frozen=True)
class History:
    """The releases of one package that a run judged, oldest first, and all their findings."""

    name: str
    api: str
    releases: tuple[str, ...]
    subjects: tuple[SubjectEntry, ...]
    rows: tuple[Row, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """Each release beside the one before it."""
        return tuple(
            Step(self.releases[at], self.releases[at + 1], self._changes(at))
            for at in range(len(self.releases) - 1)
        )

    def newest(self, row: Row) -> SubjectEntry:
        """Return the newest release that shows a finding."""
        pairs = zip(self.subjects, row.states, strict=True)
        return [subject for subject, state in pairs if state is State.SHOWS][-1]

    def _changes(self, at: int) -> dict[Change, tuple[Row, ...]]:
        made: dict[Change, list[Row]] = {change: [] for change in Change}
        for row in self.rows:
            change = _CHANGES.get((row.states[at], row.states[at + 1]))
            if change is not None:
                made[change].append(row)
        return {change: tuple(rows) for change, rows in made.items()}


_CHANGES = {
    (State.SHOWS, State.SHOWS): Change.SAME,
    (State.SHOWS, State.FREE): Change.GONE,
    (State.FREE, State.SHOWS): Change.NEW,
    (State.SHOWS, State.UNJUDGED): Change.UNCLEAR,
    (State.UNJUDGED, State.SHOWS): Change.UNCLEAR,
}
"""States in two releases that follow each other -> what became of the finding."""


def histories(subjects: Iterable[SubjectEntry]) -> tuple[History, ...]:
    """Return the packages of which a run judged two releases or more, in the run's order."""
    packages: dict[tuple[str, str], list[SubjectEntry]] = {}
    for subject in subjects:
        if subject.kind == "sdk" and subject.cases:
            packages.setdefault((subject.api, subject.name), []).append(subject)
    return tuple(_history(found) for found in packages.values() if len(found) > 1)


def _history(found: Sequence[SubjectEntry]) -> History:
    subjects = tuple(sorted(found, key=lambda s: _age(s.version)))
    newest: dict[str, FindingEntry] = {}
    for subject in subjects:
        newest.update({f.id: f for f in subject.findings})
    order = list(Level)
    rows = [
        Row(
            finding, tuple(state_of(s, finding) for s in subjects), _words(finding, newest.values())
        )
        for finding in newest.values()
    ]
    rows.sort(key=lambda r: (order.index(r.finding.level), natural(r.finding.requirement)))
    return History(subjects[0].name, subjects[0].api, _names(subjects), subjects, tuple(rows))


def _words(finding: FindingEntry, all_: Iterable[FindingEntry]) -> str:
    """Return a message; what tells it from others is added where others have the same."""
    alike = [f for f in all_ if f.message == finding.message]
    if len(alike) == 1:
        return finding.message
    places = {f.operation for f in alike}
    what = finding.operation if len(places) == len(alike) else finding.cause
    return f"{finding.message} ({what})"


def _age(version: str) -> tuple[bool, Version]:
    """Return a sort key of versions; what is none comes last, as given."""
    try:
        return False, Version(version)
    except InvalidVersion:
        return True, Version("0")


def _names(subjects: Sequence[SubjectEntry]) -> tuple[str, ...]:
    """Return each release's version; with where it came from, if another has the same."""
    versions = [s.version or "?" for s in subjects]
    return tuple(
        f"{version} ({subject.details.get('subject') or at})"
        if versions.count(version) > 1
        else version
        for at, (subject, version) in enumerate(zip(subjects, versions, strict=True), start=1)
    )


def state_of(subject: SubjectEntry, finding: FindingEntry) -> State:
    """Return whether a subject shows a finding, is judged free of it, or was not judged."""
    if any(f.id == finding.id for f in subject.findings):
        return State.SHOWS
    ran = [c for c in subject.cases if c.case == finding.case]
    same = [c for c in ran if c.operation in finding.operations] or ran
    judged = any(c.verdict in (Verdict.PASS, Verdict.FAIL) for c in same)
    if judged and _hidden(subject, finding):
        return State.UNJUDGED
    return State.FREE if judged else State.UNJUDGED


def _hidden(subject: SubjectEntry, finding: FindingEntry) -> bool:
    """True where other findings of a subject, on the same operations, leave one no way to show."""
    near = [
        claims.read(f.claim)
        for f in subject.findings
        if set(f.operations) & set(finding.operations)
    ]
    return hidden.by_leak(finding.requirement, near) or hidden.by_giving_up(finding.answers, near)
