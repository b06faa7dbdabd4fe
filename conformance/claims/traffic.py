"""Claims about what was sent, what came out, and which names are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from conformance.claims.base import Base

# --- what was sent --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NoCredentials(Base):
    """The declared header does not carry the key."""

    header: str
    prefix: str
    others: str

    CAUSE = "credentials:{header}"
    MESSAGE = "does not send its credentials in the declared header"
    EXPECTED = "{header}: {prefix}<key>"

    @property
    def actual(self) -> str:
        """Where the key was sent instead."""
        return f"only {self.others}" if self.others else "no credentials as declared"


@dataclass(frozen=True, slots=True)
class NotEncoded(Base):
    """A path argument left its place in the path."""

    wanted: str
    """Method and target, percent-encoded."""
    sent: str
    given: str

    CAUSE = "path-not-encoded"
    MESSAGE = "puts path arguments into the URL without percent-encoding them"
    EXPECTED = "{wanted}"
    ACTUAL = "{sent}, for {given}"


@dataclass(frozen=True, slots=True)
class WrongTarget(Base):
    """A request went to a method and path that the operation does not have."""

    wanted: str
    """Method and path template."""
    sent: str
    other: str
    """The operation that has it; '' where none does."""
    mistake: str
    """The part of the path that differs, or the operation and what it sent."""

    CAUSE = "target:{mistake}"
    MESSAGE = "sends the request to a method and path that are not declared for the operation"
    EXPECTED = "{wanted}"
    ACTUAL = "{sent}, which {is_what}"

    @property
    def is_what(self) -> str:
        """Whose target it is."""
        return f"is {self.other}" if self.other else "the contract does not have"


@dataclass(frozen=True, slots=True)
class WrongBody(Base):
    """A body is not valid under its declared schema."""

    operation: str
    place: str
    """Pointer, `*` for entries of a list."""
    keyword: str
    names: tuple[str, ...]
    null: bool
    """Whether it is a null where none is allowed."""
    problem: str

    MESSAGE = "sends a body that its declared schema does not allow"
    EXPECTED = "a body valid under the schema of {operation}"
    ACTUAL = "at {place}: {problem}"

    @property
    def cause(self) -> str:
        """Nulls are one mistake of an operation; else place, keyword and names tell it."""
        if self.null:
            return f"body:{self.operation}:nulls"
        listed = f":{','.join(self.names)}" if self.names else ""
        return f"body:{self.operation}:{self.place}:{self.keyword}{listed}"


@dataclass(frozen=True, slots=True)
class NoBody(Base):
    """A declared body was not sent."""

    operation: str
    arguments: str
    where: str

    CAUSE = "body:none:{operation}"
    MESSAGE = "sends no body where the contract declares one"
    EXPECTED = "a JSON body with {arguments}"
    ACTUAL = "no body; the arguments are {where}"


@dataclass(frozen=True, slots=True)
class WrongDefault(Base):
    """What the caller left out was sent with another value than its default."""

    operation: str
    name: str
    wanted: Any
    sent: str

    CAUSE = "default:{operation}.{name}"
    MESSAGE = "sends another `{name}` than the default where the caller gives none"
    EXPECTED = "{wanted!r}, or nothing"
    ACTUAL = "{sent}"


# --- what came out --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotHandedOut(Base):
    """A block of header figures is not on the result."""

    holder: str
    path: str
    header: str
    sent: str

    CAUSE = "not-handed-out:{holder}"
    MESSAGE = "does not hand out `{holder}` on the results of some operations"
    EXPECTED = "`{path}` = {sent!r}, from {header}"
    ACTUAL = "no `{holder}` on the result"


@dataclass(frozen=True, slots=True)
class WrongFigure(Base):
    """A header figure has another value than was sent."""

    path: str
    header: str
    sent: str
    got: str

    CAUSE = "header-value:{header}:{path}"
    MESSAGE = "hands out another value than the {header} header has"
    EXPECTED = "`{path}` = {sent!r}"
    ACTUAL = "{got}"


@dataclass(frozen=True, slots=True)
class NotRead(Base):
    """Headers were sent and their figures are empty."""

    holder: str
    basis: str
    path: str
    sent: str
    headers: tuple[str, ...]
    paths: tuple[str, ...]

    CAUSE = "not-read:{holder}:{basis}"
    MESSAGE = "does not hand out the value of {these}: {listed}"
    EXPECTED = "`{path}` = {sent!r}"
    ACTUAL = "{empty}"

    @property
    def these(self) -> str:
        """One header or several."""
        return "this header" if len(self.headers) == 1 else "these headers"

    @property
    def listed(self) -> str:
        """The headers."""
        return ", ".join(self.headers)

    @property
    def empty(self) -> str:
        """The attributes that are None."""
        return "; ".join(f"`{path}` is None" for path in self.paths)


@dataclass(frozen=True, slots=True)
class WrongType(Base):
    """A call returned another type than documented."""

    operation: str
    wanted: str
    got: str

    CAUSE = "type:{operation}"
    MESSAGE = "returns another type than documented"
    EXPECTED = "{wanted}"
    ACTUAL = "{got}"


@dataclass(frozen=True, slots=True)
class InventedValue(Base):
    """A value was handed out that no answer gave."""

    operation: str
    path: str
    """'' for the raw text of the answer."""
    value: str

    MESSAGE = "hands out {what}"
    EXPECTED = "an error, or no value"
    ACTUAL = "`{place}` is {value!r}"

    @property
    def cause(self) -> str:
        """The field; all raw texts are one mistake."""
        return f"invented:{self.operation}.{self.path}" if self.path else "invented:text"

    @property
    def what(self) -> str:
        """A made-up field, or the raw text."""
        if self.path:
            return "a value that no answer gave"
        return "the raw text of an answer that is no JSON"

    @property
    def place(self) -> str:
        """Where it was handed out."""
        return self.path or "the result"


# --- names ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lacks(Base):
    """A documented name is not there."""

    kind: str
    """`exception`, `method`, `methods` (a group of them), `option`."""
    name: str
    """As the document has it, `chat.create_session`."""
    sought: str
    """What is looked for and not there, `chat`."""
    mistake: str
    """What the cause names: the operation of a method, else the name."""
    says: str
    why: str

    CAUSE = "{kind}:{mistake}"
    MESSAGE = "{says}"
    EXPECTED = "`{name}`"
    ACTUAL = "{why}"


@dataclass(frozen=True, slots=True)
class OwnClient(Base):
    """A client that is given the caller's HTTP client loses its base URL."""

    option: str
    error: str

    CAUSE = "own-client:{option}"
    MESSAGE = "does not reach its base URL where `{option}` is given"
    EXPECTED = (
        "the same answer as without it (assumed: the document names both options and no exception "
        "to either)"
    )
    ACTUAL = "{error}"
