"""Verdicts, levels, findings and blame: what an oracle can say, and how it adds up.

pass < inconclusive < fail < error. What could not be tested is never a pass; a crash of ours
is an error, never the subject's failure. `not applicable` stands outside the order.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar

from conformance.claims import Claim
from conformance.evidence import Shown
from specs import Basis
from specs.catalogue import Level


class Verdict(StrEnum):
    """What became of a case or a requirement."""

    NOT_APPLICABLE = "not-applicable"
    PASS = "pass"  # noqa: S105 - a verdict, not a password
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """Place in the order; the highest of several wins."""
        return _ORDER.index(self)


_ORDER = [
    Verdict.NOT_APPLICABLE,
    Verdict.PASS,
    Verdict.INCONCLUSIVE,
    Verdict.FAIL,
    Verdict.ERROR,
]


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the highest of several verdicts; of none, not applicable."""
    return max(verdicts, key=lambda v: v.rank, default=Verdict.NOT_APPLICABLE)


_WEIGHT = {Level.MUST: 2, Level.SHOULD: 1, Level.MAY: 0}
_BASIS_LEVEL = {
    Basis.DOCUMENTED: Level.MUST,
    Basis.OBSERVED: Level.SHOULD,
    Basis.ASSUMED: Level.MAY,
}


def binding(level: Level, basis: Basis) -> Level:
    """Return the weaker of a requirement's own level and what its basis can carry."""
    return min(level, _BASIS_LEVEL[basis], key=lambda each: _WEIGHT[each])


@dataclass(frozen=True, slots=True)
class Finding:
    """One violation with its witness. Oracles fill the first block, the case runner the rest."""

    requirement: str
    message: str
    """One sentence in words: what is wrong. No payload values, no keys."""
    operation: str | None = None
    expected: Any = None
    actual: Any = None
    basis: Basis = Basis.DOCUMENTED
    witness: tuple[int, ...] = ()
    """Numbers of the exchanges that show it."""
    cause: str = ""
    """Findings of one subject with the same requirement and cause are one finding, counted."""

    case: str = ""
    source: str = ""
    """Where the promise stands, `002_d3cf2a5acba3ba5a § Retries`; '' where nobody makes it."""
    mode: str = ""
    """`sync` or `async` for an SDK; '' elsewhere."""
    api: str = ""
    """The contract that it shows on, where a subject serves several; '' where it serves one."""
    conditions: tuple[str, ...] = ()
    """What provoked it, in words that name no payload and are the same for every seed."""
    exceptions: tuple[str, ...] = ()
    """The classes that came out, `httpx.ReadError`; () where none did or none matters."""
    answers: tuple[str, ...] = ()
    """What the attempts of the call met, in order: `503`, `reset`."""
    claim: Claim | None = None
    """What is stated, as a value; None where the words are all that there is."""
    said: str = ""
    """Basis and place of the promise, as the expectation quotes them."""
    search: bool = False
    """True where a random search showed it: another seed may not."""
    fault: str = ""
    """The fault script that provoked it, in short form."""
    timeline: tuple[str, ...] = ()
    replay: str = ""
    general: str = ""
    """The message without its place, where findings in several places have one cause."""
    explains: tuple[str, ...] = ()
    """What follows from it and is told nowhere else: `CT1: message`."""
    evidence: tuple[Shown, ...] = ()
    """The exchanges that show it, in full."""
    shows: str = ""
    """Expression over the last of them that is true where the fault shows: `status == 200`; its
    names are `status`, `header` (by lower-case name), `text` and `data` (the JSON body)."""
    curl: str = ""
    """The one request that shows it, as a line for a shell; '' where it takes several."""
    reproduction: str = ""
    """A program of the standard library that ends with 1 where it shows."""

    @classmethod
    def of(
        cls, requirement: str, claim: Claim, basis: Basis = Basis.DOCUMENTED, said: str = "",
        **more: Any,
    ) -> Finding:  # fmt: skip
        """Return a finding with the words of its claim; `said` is where the promise stands."""
        return cls(
            requirement, claim.message, basis=basis, claim=claim, cause=claim.cause,
            expected=f"{claim.expected} ({said})" if said else claim.expected,
            actual=claim.actual, said=said, **more,
        )  # fmt: skip

    @property
    def identity(self) -> tuple[str, str]:
        """The requirement and cause that name the mistake: findings of one are one."""
        home = self.claim.home(self.requirement) if self.claim else self.requirement
        return home, self.cause

    def at(self, **changes: Any) -> Finding:
        """Return a copy with fields filled in."""
        return replace(self, **changes)

    def claiming(self, claim: Claim) -> Finding:
        """Return a copy that states something else; where the promise stands is kept."""
        fresh = Finding.of(self.requirement, claim, said=self.said)
        return replace(
            self, claim=claim, message=fresh.message, cause=fresh.cause, expected=fresh.expected,
            actual=fresh.actual,
        )  # fmt: skip

    def and_(self, other: Finding) -> Finding:
        """Return this finding, which also shows where another one of its cause does."""
        return replace(
            self, conditions=tuple(dict.fromkeys((*self.conditions, *other.conditions))),
            exceptions=tuple(dict.fromkeys((*self.exceptions, *other.exceptions))),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Need:
    """What a case lacked, and what a person gives to settle it: the same for every such case."""

    what: str
    """`a rate limit within reach`."""
    give: str
    """The option or key, `--max-requests {amount}`; the largest amount of all cases is told."""
    amount: float = 0.0


class Inconclusive(Exception):
    """Raised by a case that could not test what it is for; the text says why."""

    def __init__(self, why: str, need: Need | None = None) -> None:
        super().__init__(why)
        self.need = need


class NotApplicable(Exception):
    """Raised by a case whose promise the contract does not make; the text says which."""


# --- blame ----------------------------------------------------------------------------------------


class Blame(StrEnum):
    """Whose mistake an error is. Only what the subject is to blame for can be a finding."""

    SUBJECT = "subject"
    """The judged server or SDK."""
    HARNESS = "harness"
    """memconform: a crash of ours. Whatever says nothing else is blamed on us."""
    ENVIRONMENT = "environment"
    """What surrounds both: the machine's sockets, disk and memory, the network, a driver."""
    USAGE = "usage"
    """What was typed or configured."""


class Blamed(Exception):
    """An error that says whose mistake it is. Its text is for a reader and stands alone."""

    blame: ClassVar[Blame] = Blame.HARNESS
    what: ClassVar[str] = ""
    """What failed, as a subject of a sentence, `the driver`; '' where the text says it."""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.what} failed: {text}" if self.what else text


class EnvironmentTrouble(Blamed):
    """The machine or the network gave out, not the subject: raise it `from` the OSError."""

    blame = Blame.ENVIRONMENT


class UsageTrouble(Blamed):
    """What was asked for cannot be done."""

    blame = Blame.USAGE


EXHAUSTED = frozenset(
    {
        errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT,
        errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EADDRNOTAVAIL, errno.EADDRINUSE,
        errno.ENETDOWN, errno.EAGAIN,
    }
)  # fmt: skip
"""Error numbers that speak of this machine's limits and rights, never of a peer."""


def blame_of(error: BaseException) -> Blame:
    """Return whose mistake an error is; an unknown one is the harness's."""
    said = getattr(error, "blame", None)
    if isinstance(said, Blame):
        return said
    if isinstance(error, MemoryError) or getattr(error, "errno", None) in EXHAUSTED:
        return Blame.ENVIRONMENT
    return Blame.HARNESS
