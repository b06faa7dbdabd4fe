"""Claims about how often and when a call was sent."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.claims.base import Base

# --- how often and when ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotRetried(Base):
    """A first answer that must be retried ended the call."""

    pattern: str
    """The row of the contract that promises it, `5XX`; `reset`."""
    answer: str
    """In words."""
    ways: str
    met: str
    ended: str
    missed: tuple[int, ...] = ()
    """The statuses of the row that are not retried, where others of it are."""

    CAUSE = "not-retried:{pattern}"
    MESSAGE = "does not send again after {which}"
    EXPECTED = "{ways} attempts after {met}"
    ACTUAL = "1 attempt, then {ended}"

    @property
    def which(self) -> str:
        """The answer, or those of a range that are given up on."""
        if self.missed:
            return f"some of the {self.pattern}: {', '.join(map(str, self.missed))}"
        return self.answer


@dataclass(frozen=True, slots=True)
class TooFew(Base):
    """A call was given up before its allowed attempts were used."""

    least: int
    ways: str
    met: str
    sent: int
    ended: str

    CAUSE = "attempts:too-few"
    MESSAGE = "gives up before the allowed attempts are used"
    EXPECTED = "{ways} attempts after {met}"
    ACTUAL = "{sent} attempts, then {ended}"


@dataclass(frozen=True, slots=True)
class TooMany(Base):
    """A call was sent more often than allowed."""

    most: int
    sent: int

    CAUSE = "attempts:too-many"
    MESSAGE = "sends a call more often than allowed"
    EXPECTED = "at most {most} attempts"
    ACTUAL = "{sent} attempts"


@dataclass(frozen=True, slots=True)
class Retried(Base):
    """An answer that must not be retried was."""

    pattern: str
    answer: str
    sent: int
    verb: str = ""
    """The method, where doing it twice may harm."""

    CAUSE = "retried:{pattern}"
    MESSAGE = "sends again after {answer}, which must not be retried"
    EXPECTED = "one attempt after {answer}"
    ACTUAL = "{sent} attempts{what}"

    @property
    def what(self) -> str:
        """Of what, where that matters."""
        return f" of a {self.verb}" if self.verb else ""


@dataclass(frozen=True, slots=True)
class WrittenTwice(Base):
    """A write took effect twice because its answer was lost."""

    stored: int

    CAUSE = "duplicate-write"
    MESSAGE = "does a write twice when the answer is lost"
    EXPECTED = "one effect: a POST without a key is not sent again (RFC 9110 § 9.2.2)"
    ACTUAL = "{stored} effects stored"


@dataclass(frozen=True, slots=True)
class Early(Base):
    """An attempt came before the wait was over that the server asked for."""

    attempt: int
    least: float
    why: str
    waited: float
    limited: bool
    """Whether it was a 429 that asked for it."""

    CAUSE = "early:retry-after:{group}"
    MESSAGE = "sends again before the Retry-After of {whose} is over"
    EXPECTED = "at least {least:.3g} s before attempt {attempt}: {why}"
    ACTUAL = "{waited:.3f} s"

    @property
    def group(self) -> str:
        """Its kind, for the cause."""
        return "429" if self.limited else "other"

    @property
    def whose(self) -> str:
        """Whose wish it was."""
        return "a 429" if self.limited else "another answer than 429"


@dataclass(frozen=True, slots=True)
class TooShort(Base):
    """A wait was shorter than the promised back-off."""

    attempt: int
    least: float
    why: str
    waited: float

    CAUSE = "backoff:too-short"
    MESSAGE = "waits less than its back-off promises"
    EXPECTED = "at least {least:.3g} s before attempt {attempt}: {why}"
    ACTUAL = "{waited:.3f} s"


@dataclass(frozen=True, slots=True)
class TooLong(Base):
    """A wait was longer than the promised back-off."""

    attempt: int
    most: float
    why: str
    waited: float

    CAUSE = "backoff:too-long"
    MESSAGE = "waits longer than its back-off promises"
    EXPECTED = "at most {most:.3f} s before attempt {attempt}: {why}"
    ACTUAL = "{waited:.3f} s"


@dataclass(frozen=True, slots=True)
class NoBackoff(Base):
    """An attempt followed at once."""

    attempt: int

    CAUSE = "backoff:none"
    MESSAGE = "sends again at once, without any back-off"
    EXPECTED = "a wait before attempt {attempt}"
    ACTUAL = "no wait"


@dataclass(frozen=True, slots=True)
class Unbounded(Base):
    """A server's wish made the SDK sleep without bound."""

    most: float
    slept: float | None
    """Seconds; None where the call never returned."""

    CAUSE = "retry-after:unbounded"
    MESSAGE = "sleeps without bound because a server said so"
    EXPECTED = "a wait of at most {most:.0f} s, or an error at once"

    @property
    def actual(self) -> str:
        """The sleep, or that no end was seen."""
        return "the call never returned" if self.slept is None else f"a sleep of {self.slept:.6g} s"


@dataclass(frozen=True, slots=True)
class WrongOrder(Base):
    """The second of two wishes to wait decided."""

    first: str
    second: str
    wanted: float
    other: float
    waited: float

    CAUSE = "order:{slug}"
    MESSAGE = "lets {second} decide over {first}"
    EXPECTED = "a wait of {wanted:g} s, which {first} asks for"
    ACTUAL = "{waited:.1f} s, where {second} asks for {other:g} s"

    @property
    def slug(self) -> str:
        """What decided, for the cause."""
        return self.second.replace(" ", "-")


@dataclass(frozen=True, slots=True)
class NoJitterAtCap(Base):
    """All waits are the same once the longest is reached."""

    cap: float
    waits: int
    seconds: float
    calls: int

    CAUSE = "cap:no-jitter"
    MESSAGE = "loses its jitter at the longest wait: all clients come back at once"
    EXPECTED = "waits that differ at {cap:g} s too"
    ACTUAL = "{waits} waits of exactly {seconds:g} s, in {calls} calls"


@dataclass(frozen=True, slots=True)
class NoSpread(Base):
    """Clients that were told the same wait come back together."""

    wish: float
    waits: int
    seconds: float

    CAUSE = "retry-after:no-spread"
    MESSAGE = "comes back exactly when it was told to, together with all others"
    EXPECTED = "waits of {wish:g} s and a little more, each its own"
    ACTUAL = "{waits} waits of {seconds:g} s"


@dataclass(frozen=True, slots=True)
class SlowBody(Base):
    """A body that comes slowly held a call long past its timeout."""

    timeout: float

    CAUSE = "timeout:not-overall"
    MESSAGE = "waits on for a body that comes byte by byte, long past its timeout"
    EXPECTED = "an end soon after {timeout:g} s"
    ACTUAL = "more than four times as long"
