"""The driver protocol: what a harness may ask of a driver, and what it may answer.

A driver is a process that runs one SDK. Each request is one line of JSON on its standard input,
each reply one line of JSON on its standard output, in the order asked; a reply repeats the
request's `id`. Everything else that a driver wants to say goes to standard error. A driver
observes and never judges: it reports what the SDK returned or raised, not whether that is right.

Only shapes belong here: no process is started and nothing is read or written. The same models
check both directions; `schema()` is the published JSON Schema of both.

Values are JSON. What JSON lacks is an object whose first key starts with `$`:

    {"$type": "SearchResponse", "results": [...]}   an object and its public attributes
    {"$stream": [...], "$error": {...} or null}      an iterator, consumed to its end
    {"$bytes": "aGk=", "$length": 2}                 bytes, base64
    {"$number": "NaN"}                               a number that JSON cannot write
    {"$text": "...", "$length": 900000}              a long string, its beginning
    {"$cut": "depth" | "size" | "cycle", "$of": ...} something left out, and why

Times are seconds of the machine's monotonic clock (CLOCK_MONOTONIC), so that they compare with
the times that the harness takes itself.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from conformance import history

PROTOCOL = 1
"""Version of this protocol; a driver that cannot speak it answers `hello` with a problem."""

MAX_LINE = 16 * 1024 * 1024
"""Longest line in bytes that a harness reads from a driver."""

Mode = Literal["sync", "async"]


class Message(BaseModel):
    """Base of all messages: immutable, and unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- what the harness asks ------------------------------------------------------------------


class Ask(Message):
    """A request. `id` is a number that this run has not used before."""

    id: int


class AskHello(Ask):
    """Who are you, and what can you do? Asked first."""

    do: Literal["hello"] = "hello"
    protocol: int = PROTOCOL
    exceptions: tuple[str, ...] = Field(
        default=(), description="documented exception names to look for"
    )
    base_url: str | None = Field(
        default=None,
        description="where the contract's answers are served, for clients that must be "
        "constructed to be looked at; null: nobody listens anywhere",
    )


class AskOpen(Ask):
    """Construct one client; `client` is the name that later requests use."""

    do: Literal["open"] = "open"
    client: str
    base_url: str
    api_key: str | None
    mode: Mode = "sync"
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="by role: timeout (s), max-retries, backoff-base (s), debug; a role that is "
        "not named stays at the SDK's default",
    )
    context: bool = Field(default=False, description="enter the client as a context manager")


class OneCall(Message):
    """One operation and its arguments: a flat object keyed by the names on the wire."""

    operation: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class AskCall(Ask, OneCall):
    """Call one operation and tell how it ended."""

    do: Literal["call"] = "call"
    client: str


class AskCalls(Ask):
    """Call several operations on one client, at most `concurrency` at once."""

    do: Literal["calls"] = "calls"
    client: str
    calls: tuple[OneCall, ...]
    concurrency: int = Field(default=1, ge=1, description="threads (sync) or tasks (async)")


class AskCancel(Ask, OneCall):
    """Call one operation on an async client and cancel it when it begins its n-th wait."""

    do: Literal["cancel"] = "cancel"
    client: str
    at_sleep: int = Field(default=1, ge=1)


class AskClose(Ask):
    """Close one client, as its documentation says (`close()`, or leaving the context)."""

    do: Literal["close"] = "close"
    client: str


class AskStop(Ask):
    """Reply, then end."""

    do: Literal["stop"] = "stop"


Request = Annotated[
    AskHello | AskOpen | AskCall | AskCalls | AskCancel | AskClose | AskStop,
    Field(discriminator="do"),
]


# --- what the driver answers ----------------------------------------------------------------


class Reply(Message):
    """A reply. `id` is the request's."""

    id: int


class ReplyProblem(Reply):
    """The driver could not do what was asked; a fault of the driver or of the request."""

    reply: Literal["problem"] = "problem"
    problem: str


class Sdk(Message):
    """Which package is driven."""

    name: str
    version: str


class OperationInfo(Message):
    """How one operation of the contract can be called."""

    modes: tuple[Mode, ...] = Field(description="modes in which it can be called at all")
    name: str | None = Field(
        default=None, description="the documented expression, `memory.create`; null: undocumented"
    )
    via: str | None = Field(
        default=None, description="the other name it is called by, where the documented one lacks"
    )
    missing: str | None = Field(
        default=None, description="why the documented expression cannot be called; null: it can"
    )


class OptionInfo(Message):
    """How one option of the constructor can be given."""

    name: str = Field(description="documented parameter")
    modes: tuple[Mode, ...] = ("sync",)
    via: str | None = None
    missing: str | None = None
    default: Any = None


class ExceptionInfo(Message):
    """Where one documented exception class is."""

    found: str | None = Field(description="import path, `package.ApiError`; null: nowhere")
    exported: bool = Field(description="importable from where the document imports it")
    bases: tuple[str, ...] = Field(default=(), description="class names, nearest first")


class ReplyHello(Reply):
    """What the driver is and can do."""

    reply: Literal["hello"] = "hello"
    protocol: int
    driver: str
    api: str
    sdk: Sdk
    language: str = "python"
    module: str = Field(default="", description="what a caller of the SDK imports")
    clients: dict[Mode, str] = Field(description="mode -> class; a mode that lacks is left out")
    unopened: dict[Mode, str] = Field(
        default_factory=dict,
        description="mode -> why a client that is there cannot be constructed to be looked at",
    )
    context_manager: tuple[Mode, ...] = ()
    operations: dict[str, OperationInfo]
    options: dict[str, OptionInfo] = Field(default_factory=dict, description="by role")
    exceptions: dict[str, ExceptionInfo] = Field(default_factory=dict)
    clock: Literal["virtual", "real"] = "real"
    time_scale: float = Field(
        default=1.0, gt=0, description="real seconds that one second of the SDK's waits takes"
    )
    longest_wait: float | None = Field(
        default=None, gt=0,
        description="real seconds that one wait is cut to, however long; null: none is cut",
    )  # fmt: skip
    records_sleeps: bool = Field(
        default=False, description="false: `sleeps` is always empty; judge gaps between exchanges"
    )
    cancels: bool = False

    @property
    def missing_operations(self) -> dict[str, str]:
        """Operations whose documented expression cannot be called, and why."""
        return {id: o.missing for id, o in self.operations.items() if o.missing}

    @property
    def missing_options(self) -> dict[str, str]:
        """Documented options that the constructor lacks, and why."""
        return {role: o.missing for role, o in self.options.items() if o.missing}

    def can(self, operation: str, mode: Mode) -> bool:
        """True where the operation can be called in that mode, under whatever name."""
        found = self.operations.get(operation)
        return found is not None and mode in found.modes


class ErrorInfo(Message):
    """An exception as the SDK raised it."""

    name: str
    module: str
    bases: tuple[str, ...] = Field(default=(), description="all base classes, nearest first")
    message: str = Field(description="first argument, or what str() gives")
    text: str = Field(default="", description="str()")
    representation: str = Field(default="", description="repr()")
    attributes: dict[str, Any] = Field(default_factory=dict)
    cause: str | None = Field(default=None, description="class it was raised from")
    causes: tuple[str, ...] = Field(default=(), description="the whole chain, nearest first")
    picklable: bool | None = Field(default=None, description="survives a round trip; null: untried")
    copyable: bool | None = None
    fault: str = Field(default="", description="why pickling or copying failed")
    where: str = Field(default="", description="module and line that raised it")

    def as_raised(self) -> history.Raised:
        """Return the history's form of it."""
        return history.Raised(
            name=self.name,
            module=self.module,
            bases=self.bases,
            message=self.message,
            attributes=self.attributes,
            cause=self.cause,
            text=self.text,
            representation=self.representation,
            picklable=self.picklable,
            copyable=self.copyable,
            fault=self.fault,
            where=self.where,
        )


class OutcomeInfo(Message):
    """How something ended."""

    kind: Literal["value", "error", "unsupported", "driver_error", "hang"]
    value: Any = None
    error: ErrorInfo | None = None
    detail: str = ""

    def as_outcome(self) -> history.Outcome:
        """Return the history's form of it."""
        raised = self.error.as_raised() if self.error else None
        return history.Outcome(self.kind, value=self.value, error=raised, detail=self.detail)


class SleepInfo(Message):
    """One wait that the SDK asked for."""

    at: float = Field(description="when it began, monotonic seconds")
    seconds: float
    blocking: bool = Field(default=False, description="it held up an event loop")


class ConnectInfo(Message):
    """One connection that the SDK asked the kernel for, taken or not."""

    at: float = Field(description="when, monotonic seconds")
    port: int


class Ended(Message):
    """One call and what became of it."""

    outcome: OutcomeInfo
    started: float
    ended: float
    sleeps: tuple[SleepInfo, ...] = ()
    connects: tuple[ConnectInfo, ...] | None = Field(
        default=None, description="null: the driver cannot see them"
    )
    via: str | None = None
    said: str = Field(default="", description="the call as its caller would write it")
    dropped: tuple[str, ...] = Field(
        default=(), description="arguments that the SDK's method has no parameter for"
    )
    warnings: tuple[str, ...] = ()
    cancelled: bool | None = Field(
        default=None, description="for `cancel`: whether it came to that wait"
    )
    printed: str = Field(default="", description="the end of what the SDK wrote meanwhile")


class ReplyOutcome(Reply):
    """How `open` or `close` ended."""

    reply: Literal["outcome"] = "outcome"
    outcome: OutcomeInfo
    printed: str = ""
    said: str = Field(
        default="",
        description="for `open`: the expression that constructed the client, with "
        "API_KEY and BASE_URL for the two",
    )


class ReplyCall(Reply, Ended):
    """How one call ended."""

    reply: Literal["call"] = "call"


class ReplyCalls(Reply):
    """How each of several calls ended, in the order asked."""

    reply: Literal["calls"] = "calls"
    calls: tuple[Ended, ...]


class ReplyStop(Reply):
    """The driver is about to end."""

    reply: Literal["stop"] = "stop"


AnyReply = Annotated[
    ReplyHello | ReplyOutcome | ReplyCall | ReplyCalls | ReplyStop | ReplyProblem,
    Field(discriminator="reply"),
]

REQUESTS: TypeAdapter[Any] = TypeAdapter(Request)
REPLIES: TypeAdapter[Any] = TypeAdapter(AnyReply)

EXPECTED: dict[str, str] = {
    "hello": "hello",
    "open": "outcome",
    "call": "call",
    "calls": "calls",
    "cancel": "call",
    "close": "outcome",
    "stop": "stop",
}
"""Which reply belongs to which request; `problem` may answer any."""


def encode(message: Message) -> bytes:
    """Return a message as one line of ASCII JSON, newline included.

    Raises ValueError where a value in it is not JSON.
    """
    raw = message.model_dump(mode="python", exclude_none=False)
    return json.dumps(raw, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def decode_request(line: bytes) -> Request:
    """Return the request in a line. Raises ValueError (also for a wrong shape).

    Arguments may hold what only Python's reader accepts, such as half of a surrogate pair.
    """
    try:
        raw = json.loads(_checked(line).decode("utf-8"))
    except RecursionError:
        raise ValueError("JSON that nests too deeply") from None
    return REQUESTS.validate_python(raw)  # type: ignore[no-any-return]


def decode_reply(line: bytes) -> AnyReply:
    """Return the reply in a line. Raises ValueError (also for a wrong shape).

    Half of a surrogate pair, which is a string in JavaScript and Java, is read as U+FFFD.
    """
    try:
        return REPLIES.validate_json(_checked(line), strict=True)  # type: ignore[no-any-return]
    except ValueError:
        whole = _HALF_PAIR.sub(rb"\1\\ufffd", line)
        if whole == line:
            raise
        return REPLIES.validate_json(whole, strict=True)  # type: ignore[no-any-return]


_HALF_PAIR = re.compile(
    rb"(?<!\\)((?:\\\\)*)\\u"
    rb"(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)


def _checked(line: bytes) -> bytes:
    if len(line) > MAX_LINE:
        raise ValueError(f"a line of {len(line)} bytes; {MAX_LINE} are allowed")
    return line


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the protocol: `$defs/request` and `$defs/reply`."""
    defs: dict[str, Any] = {}
    for name, adapter in (("request", REQUESTS), ("reply", REPLIES)):
        one = adapter.json_schema(
            mode="validation", ref_template="#/$defs/{model}", union_format="any_of"
        )
        defs.update(one.pop("$defs", {}))
        defs[name] = one
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"memconform driver protocol {PROTOCOL}",
        "description": "One line on the driver's standard input is a request, one line on its "
        "standard output a reply.",
        "anyOf": [{"$ref": "#/$defs/request"}, {"$ref": "#/$defs/reply"}],
        "$defs": dict(sorted(defs.items())),
    }


if __name__ == "__main__":
    _target = Path(__file__).with_name("protocol.schema.json")
    _target.write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
