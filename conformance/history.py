"""What happened: every exchange and every SDK call of a run, as frozen values.

Drivers and testbenches write histories; oracles read them. Nothing here does I/O, judges, or
reads a clock. Times are seconds on the monotonic clock of the machine that recorded them, so
times of one history compare with each other and with nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

FIELD = 200
"""Bytes that one header field takes as it is kept, beside its letters."""
Headers = tuple[tuple[str, str], ...]
Failure = Literal[
    "refused", "reset", "timeout", "truncated", "garbage", "closed", "tls", "too-large"
]


def header(headers: Headers, name: str) -> str | None:
    """Return the first value of a header, names compared without case; None where absent."""
    wanted = name.lower()
    for key, value in headers:
        if key.lower() == wanted:
            return value
    return None


def header_all(headers: Headers, name: str) -> tuple[str, ...]:
    """Return every value of a header, in the order sent."""
    wanted = name.lower()
    return tuple(value for key, value in headers if key.lower() == wanted)


class _Body:
    """JSON reading shared by requests and responses."""

    body: bytes
    headers: Headers

    @property
    def media_type(self) -> str:
        """The media type without parameters, lower case; '' where none is given."""
        return (self.header("content-type") or "").split(";")[0].strip().lower()

    def header(self, name: str) -> str | None:
        """Return the first value of a header, names compared without case; None where absent."""
        return header(self.headers, name)

    def json(self) -> Any:
        """Return the decoded body. Raises ValueError where it is not JSON in UTF-8.

        JSON that is nested more deeply than Python can read is not JSON to anybody.
        """
        try:
            return json.loads(self.body.decode("utf-8"))
        except RecursionError:
            raise ValueError("JSON that is nested too deeply") from None

    def json_or_none(self) -> Any:
        """Return the decoded body, or None where it is not JSON."""
        try:
            return self.json()
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Request(_Body):
    """One request as it stood on the wire. `target` is path and query, still encoded."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, still percent-encoded."""
        return urlsplit(self.target).path

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        """The decoded query pairs, in the order sent."""
        return tuple(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Response(_Body):
    """One answer as it stood on the wire; `complete` is False where the body broke off."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    complete: bool = True
    _fields: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """First value of each header by lower-case name, filled at the first question."""

    def header(self, name: str) -> str | None:
        """Return the first value of a header, names compared without case; None where absent.

        Oracles ask one answer for dozens of headers, so the names are lower-cased once.
        """
        fields = self._fields
        if not fields:
            for key, value in self.headers:
                fields.setdefault(key.lower(), value)
        return fields.get(name.lower())


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came back.

    `response` is None where no status line arrived; `failure` then says how it ended.
    `instruction` is the index of the fault instruction that was played, None where none was.
    """

    number: int
    request: Request
    response: Response | None
    sent: float
    received: float | None
    operation: str | None = None
    failure: Failure | None = None
    principal: str = "a"
    connection: int = 0
    instruction: int | None = None
    committed: bool = False
    """True where the testbench's state changed by it."""

    @property
    def status(self) -> int | None:
        """The status code, or None where no answer came."""
        return self.response.status if self.response else None

    @property
    def size(self) -> int:
        """About how many bytes it takes: its bodies, and its header fields as objects."""
        parts = (self.request, self.response)
        return sum(
            len(p.body) + sum(FIELD + len(name) + len(value) for name, value in p.headers)
            for p in parts
            if p is not None
        )


@dataclass(frozen=True, slots=True)
class Sleep:
    """One wait of an SDK: when it began (real monotonic seconds) and how long it asked for."""

    at: float
    seconds: float
    blocking: bool = False
    """True where the wait held up an event loop, and every other call in it."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception as the driver saw it."""

    name: str
    module: str
    bases: tuple[str, ...]
    """Names of all base classes in method resolution order, without the class itself."""
    message: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    cause: str | None = None
    """Name of the exception that it was raised from."""
    text: str = ""
    """What `str()` gives."""
    representation: str = ""
    """What `repr()` gives."""
    picklable: bool | None = None
    """Whether it survives pickling; None where that was not tried."""
    copyable: bool | None = None
    fault: str = ""
    """Why pickling or copying failed."""
    where: str = ""
    """Module and line that raised it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    kind: Literal["value", "error", "unsupported", "driver_error", "hang"]
    value: Any = None
    error: Raised | None = None
    detail: str = ""
    """For `unsupported` and `driver_error`: why."""


@dataclass(frozen=True, slots=True)
class Call:
    """One SDK call: what was asked of it, what it did, how it ended."""

    number: int
    operation: str
    arguments: Mapping[str, Any]
    mode: Literal["sync", "async"]
    started: float
    ended: float
    outcome: Outcome
    sleeps: tuple[Sleep, ...] = ()
    exchanges: tuple[int, ...] = ()
    """Numbers of its exchanges, in order."""
    via: str | None = None
    """The name it was called by, where the package lacks the documented one."""


@dataclass(frozen=True, slots=True)
class History:
    """Everything that one case made happen."""

    exchanges: tuple[Exchange, ...] = ()
    calls: tuple[Call, ...] = ()
    unconsumed: tuple[int, ...] = ()
    """Indexes of fault instructions that were never played."""

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self.exchanges)

    def __len__(self) -> int:
        return len(self.exchanges)

    def of(self, operation: str) -> tuple[Exchange, ...]:
        """Return the exchanges of one operation, in order."""
        return tuple(e for e in self.exchanges if e.operation == operation)

    def during(self, call: Call) -> tuple[Exchange, ...]:
        """Return the exchanges of one SDK call, in order: its attempts."""
        wanted = set(call.exchanges)
        return tuple(e for e in self.exchanges if e.number in wanted)
