"""Claims about how a call ended and about what its exception says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conformance.claims.base import Base

# --- how a call ended -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaked(Base):
    """An exception came out that is none of the SDK's documented kind."""

    base: str
    exception: str
    family: str
    condition: str
    wanted: str

    CAUSE = "leak:{family}"
    MESSAGE = "{what}: {exception}"
    EXPECTED = "{wanted}"
    ACTUAL = "{exception} for {condition}"
    MANY = "lets foreign exceptions out: {exceptions}"
    HOME = "ER9"
    ALIKE = frozenset({"ER9", "ER3", "CT13"})

    @property
    def what(self) -> str:
        """One that is neither the language's nor a known library's may be the SDK's own."""
        if "." in self.exception and self.family == self.exception:
            return f"raises an exception that is no {self.base}"
        return "lets a foreign exception out"


@dataclass(frozen=True, slots=True)
class LeakedOnRetryAfter(Base):
    """A Retry-After that the SDK cannot read ended the call with a foreign exception."""

    base: str
    exception: str
    condition: str
    wanted: str

    CAUSE = "retry-after:leak"
    MESSAGE = "fails on a Retry-After that it cannot read: {exception}"
    EXPECTED = "{wanted}"
    ACTUAL = "{exception} for {condition}"
    MANY = "fails on a Retry-After that it cannot read: {exceptions}"
    HOME = "RA5"
    ALIKE = frozenset({"RA3", "RA5"})


@dataclass(frozen=True, slots=True)
class ValueInstead(Base):
    """A failed answer was handed out as a value."""

    exception: str
    condition: str
    kind: str
    """`4XX`, `network`; `odd-text` and `odd-shape` where only odd bodies show it."""
    status: str
    """The range of the answer, odd or not: `4XX`, `network`."""

    CAUSE = "value-for:{kind}"
    MESSAGE = "returns a value for {condition}"
    EXPECTED = "{exception}"
    ACTUAL = "a value"


@dataclass(frozen=True, slots=True)
class UnfollowedRedirect(Base):
    """A redirect that was not followed was handed out as a value."""

    status: int

    CAUSE = "value-for:3XX"
    MESSAGE = "returns a value for a redirect that it does not follow"
    EXPECTED = "an error: a redirect is not what was asked for (RFC 9110 § 15.4)"
    ACTUAL = "a value for status {status}"


@dataclass(frozen=True, slots=True)
class WrongClass(Base):
    """Another of the SDK's exceptions came out than the documented one."""

    exception: str
    seen: str
    place: str
    """The row of the error table: a status, a range, `network`."""
    condition: str
    odd: str = ""
    """How the body was odd, `text` or `shape`; '' where it was the declared one."""
    words: str = ""
    """The words of a message that lead it astray; '' where it needs none."""

    MESSAGE = "raises another exception than {exception} for {condition}{astray}"
    EXPECTED = "{exception}"
    ACTUAL = "{seen}"

    @property
    def cause(self) -> str:
        """Odd bodies that hide a status are one mistake, whatever the status."""
        if self.odd:
            return f"class:odd-{self.odd}"
        return f"class:{self.exception}:{self.place}" + (":words" if self.words else "")

    @property
    def astray(self) -> str:
        """What the message says of words that decide."""
        return f" whose message says {self.words!r}, and not otherwise" if self.words else ""


@dataclass(frozen=True, slots=True)
class WrongLastClass(Base):
    """After retries, the exception is not that of the last attempt."""

    exception: str
    seen: str
    condition: str

    CAUSE = "last-error:class"
    MESSAGE = "raises another exception after its retries than the last attempt calls for"
    EXPECTED = "{exception} for {condition}"
    ACTUAL = "{seen}"


@dataclass(frozen=True, slots=True)
class MissingBases(Base):
    """An exception lacks a documented base class."""

    exception: str
    bases: tuple[str, ...]
    seen: tuple[str, ...]

    CAUSE = "bases:{exception}"
    MESSAGE = "`{exception}` does not have its documented base class"
    EXPECTED = "bases {wanted}"
    ACTUAL = "{had}"

    @property
    def wanted(self) -> str:
        """The documented bases, listed."""
        return ", ".join(self.bases)

    @property
    def had(self) -> str:
        """The bases that it has, listed."""
        return ", ".join(self.seen)


@dataclass(frozen=True, slots=True)
class Fails(Base):
    """An answer that is well enough ended in an error."""

    condition: str
    seen: str

    CAUSE = "fails:{condition}"
    MESSAGE = "fails on {condition}"
    EXPECTED = "the value of the answer"
    ACTUAL = "raised {seen}"


@dataclass(frozen=True, slots=True)
class FailsOnSuccess(Base):
    """A success with another status than the declared one was taken for a failure."""

    status: int
    seen: str

    CAUSE = "fails:success"
    MESSAGE = "takes another success than the declared one for a failure"
    EXPECTED = "the answer's value (RFC 9110 § 15.3: the class says that it is well)"
    ACTUAL = "raised {seen} for status {status}"


@dataclass(frozen=True, slots=True)
class FailsOnDeclared(Base):
    """The declared answer ended in an error."""

    operation: str
    seen: str

    CAUSE = "raises:{operation}"
    MESSAGE = "raises on the declared answer"
    EXPECTED = "a value"
    ACTUAL = "{seen}"


@dataclass(frozen=True, slots=True)
class FailsAfterSuccess(Base):
    """The last attempt succeeded and the call ended in an error."""

    ended: str

    CAUSE = "raises-after-success"
    MESSAGE = "raises although the last attempt succeeded"
    EXPECTED = "the value of the last attempt"
    ACTUAL = "{ended}"


@dataclass(frozen=True, slots=True)
class Hangs(Base):
    """A call never returned."""

    stage: str
    """What the server did: `silence`; `nothing` odd where it had answered."""
    seconds: float | None = None

    CAUSE = "hang:{stage}"
    MESSAGE = "never returns"
    EXPECTED = "a value or an error within the timeout"

    @property
    def actual(self) -> str:
        """How long it was waited for."""
        after = "" if self.seconds is None else f" after {self.seconds:.0f} s"
        return f"no end of the call{after}"


# --- what an exception says -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoAttribute(Base):
    """An exception lacks a documented attribute."""

    exception: str
    name: str
    has: tuple[str, ...]

    CAUSE = "attribute-missing:{exception}.{name}"
    MESSAGE = "{exception} lacks its documented attribute `{name}`"
    EXPECTED = "{exception}.{name}"
    ACTUAL = "attributes: {listed}"

    @property
    def listed(self) -> str:
        """The attributes that it has."""
        return ", ".join(self.has) or "none"


@dataclass(frozen=True, slots=True)
class InventedAttribute(Base):
    """An exception names a request id that no answer gave."""

    exception: str
    name: str
    value: str

    CAUSE = "attribute-invented:{name}"
    MESSAGE = "{exception}.{name} is a request id that no answer gave"
    EXPECTED = (
        "nothing, where the answer has none (assumed: an id is there to be asked the server for)"
    )
    ACTUAL = "{value}"


@dataclass(frozen=True, slots=True)
class WrongAttribute(Base):
    """An attribute of an exception has another value than the answer."""

    exception: str
    name: str
    wanted: Any
    shown: str
    """The wanted value in brief."""
    place: str
    """Where the answer has it: `status`, `code`, `header:retry-after`."""
    value: str

    CAUSE = "attribute-value:{exception}.{name}"
    MESSAGE = "{exception}.{name} does not have the answer's value"
    EXPECTED = "{shown}, from {place}"
    ACTUAL = "{value}"


@dataclass(frozen=True, slots=True)
class NoMessage(Base):
    """An exception has no text."""

    exception: str
    kind: str

    CAUSE = "message-empty:{kind}"
    MESSAGE = "raises an exception without any message"
    EXPECTED = "a text that says what went wrong"
    ACTUAL = "str() of {exception} is empty"


@dataclass(frozen=True, slots=True)
class Unsaid(Base):
    """An exception nowhere tells a value of its answer."""

    what: str
    wanted: Any
    shown: str
    exception: str
    text: str

    CAUSE = "unsaid:{what}"
    MESSAGE = "its exceptions do not tell the answer's {what}"
    EXPECTED = "{shown} in an attribute or in the text"
    ACTUAL = "{exception}: {text}"


@dataclass(frozen=True, slots=True)
class KeyShown(Base):
    """An exception shows the API key."""

    place: str
    exception: str

    CAUSE = "key-in:{place}"
    MESSAGE = "shows the API key in the {place} of an exception"
    EXPECTED = "no credentials in anything that is printed or logged"
    ACTUAL = "the key stands in the {place} of {exception}"


@dataclass(frozen=True, slots=True)
class NoCause(Base):
    """A network error does not say what caused it."""

    CAUSE = "no-cause"
    MESSAGE = "does not chain the cause of a network error"
    EXPECTED = "an exception raised from the transport's error"
    ACTUAL = "no cause"


@dataclass(frozen=True, slots=True)
class Unpicklable(Base):
    """An exception does not survive pickle or copy."""

    exception: str
    how: str
    fault: str

    CAUSE = "pickle"
    MESSAGE = "its exceptions cannot be {how}"
    EXPECTED = "an exception that survives pickle and copy, as executors need"
    ACTUAL = "{exception}: {fault}"
