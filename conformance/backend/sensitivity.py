"""Would this run have noticed? Its own recorded answers, damaged one at a time, judged again.

For every kind of damage that applies to what this backend answered, some of those answers are
damaged and the case that got them is played again on the recording. A kind is noticed when that
case, or the look over every answer, then finds what it did not find before. So the figure is
about this run on this backend: what it exercised, not what the suite could do elsewhere.

One answer is damaged at a time, which is harder to notice than a server that is wrong throughout.
A kind is tried at several places, of different groups of cases first, and how many of them were
noticed is kept beside the case that noticed first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from conformance.backend.damages import KINDS, Change, Scene
from conformance.backend.judging import judge_all, sweep
from conformance.backend.recording import Kept, head_of, replayed
from conformance.backend.suite import cases
from conformance.backend.transport import Answer
from conformance.cases import execute
from conformance.verdict import Finding

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

TRIES = 24
"""Places at which one kind of damage is tried until it is noticed, spread over groups of cases."""
PLACES = 6
"""Places at which a kind is tried that is noticed at once."""
APART = ("contract.generated", "contract.every-answer", "probe", "standing", "clean-up")
"""Not played again: what generates is slow to repeat, what looks back is done by `sweep`."""


@dataclass(frozen=True)
class Sensitivity:
    """What would have been noticed."""

    noticed: Mapping[str, str]
    """Kind of damage -> the case that noticed it."""
    missed: tuple[str, ...]
    absent: tuple[str, ...]
    """Kinds that nothing in this run could have: no page, no quota header, no batch."""
    places: Mapping[str, tuple[int, int]]
    """Kind of damage that applies -> (places where it was noticed, places where it was tried)."""

    def line(self) -> str:
        """Return the result in one sentence."""
        of = len(self.noticed) + len(self.missed)
        missed = f", and not these: {', '.join(self.missed)}" if self.missed else ""
        return (
            f"would have noticed {len(self.noticed)} of {of} kinds of damage that apply "
            f"here{missed}"
        )


def measure(subject: BackendSubject, kinds: Mapping[str, Change] = KINDS) -> Sensitivity:
    """Return what a finished run of `subject` would have noticed. Sends nothing."""
    player = _Player(subject)
    noticed: dict[str, str] = {}
    missed: list[str] = []
    absent: list[str] = []
    places: dict[str, tuple[int, int]] = {}
    for kind, change in kinds.items():
        hits = tried = 0
        for case, damaged in _places(player, change):
            if hits and tried >= PLACES:
                break
            tried += 1
            if player.notices(case, damaged):
                hits += 1
                noticed.setdefault(kind, case)
        if tried:
            places[kind] = (hits, tried)
        if not hits:
            (missed if tried else absent).append(kind)
    return Sensitivity(noticed, tuple(missed), tuple(absent), places)


class _Player:
    """Plays single case instances of a recorded run again."""

    def __init__(self, subject: BackendSubject) -> None:
        self.subject = subject
        self.head = head_of(subject)
        self.recorded: dict[str, list[Kept]] = {}
        self._keep(subject, "")
        for sibling in subject.siblings:
            self._keep(sibling, f"@{sibling.api_name}")
        self._cases = {case.id: case for case in cases()}
        self._usual: dict[str, set[tuple[str, str]]] = {}

    def _keep(self, subject: BackendSubject, suffix: str) -> None:
        for exchange, case, at in zip(subject.exchanges, subject.cases, subject.at, strict=True):
            answer = Answer(
                exchange.response, exchange.failure, exchange.sent,
                exchange.received or exchange.sent, exchange.connection,
            )  # fmt: skip
            name = case + suffix
            self.recorded.setdefault(name, []).append(Kept(name, answer, at, exchange))

    def notices(self, case: str, damaged: Sequence[Kept]) -> bool:
        """Return True where the damage makes a case find what it does not find without it."""
        if case not in self._usual:
            self._usual[case] = set(self._found(case, self.recorded[case]))
        return any(each not in self._usual[case] for each in self._found(case, damaged))

    def _found(self, case: str, kept: Sequence[Kept]) -> Iterator[tuple[str, str]]:
        elsewhere = {n: k for n, k in self.recorded.items() if n.startswith(f"{case}@")}
        subject = replayed(self.subject.contract, self.head, {case: kept, **elsewhere})
        subject.alone = True  # a new look is not recorded, and would be at the same wrong server
        identity, _, inside = case.partition("[")
        known = self._cases[identity]
        operation = self.subject.contract[inside[:-1]] if known.each is not None else None
        result = execute(known, subject, operation, clock=subject.clock)
        yield from _names(result.findings)
        seen = [e for e in subject.exchanges if e.operation is not None]
        yield from _names(judge_all(subject, seen, also=LENIENT))
        yield from _names(sweep(subject, seen))


LENIENT = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 417, 431})


def _names(findings: Sequence[Finding] | Iterator[Finding]) -> Iterator[tuple[str, str]]:
    for finding in findings:
        yield finding.requirement, finding.cause


def _places(player: _Player, change: Change) -> Iterator[tuple[str, list[Kept]]]:
    """Yield (case, damaged answers): one place of each case first, then more of them."""
    contract = player.subject.contract
    playable = {
        case: kept for case, kept in player.recorded.items()
        if not case.startswith(APART) and "@" not in case
    }  # fmt: skip
    found: list[tuple[int, int, str, list[Kept]]] = []
    turns: Counter[tuple[int, str]] = Counter()
    for case, kept in playable.items():
        hits = 0
        for index in reversed(range(len(kept))):
            damaged = change(Scene(contract, kept, index))
            if damaged is not None:
                turn = (hits, case.split(".")[0])
                found.append((hits, turns[turn], case, damaged))
                turns[turn] += 1
                hits += 1
                if hits == 3:
                    break
    found.sort(key=lambda entry: entry[:2])  # a case of each group, then the next of each
    for _, _, case, damaged in found[:TRIES]:
        yield case, damaged
