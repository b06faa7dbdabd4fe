"""Fault scripts: which request is harmed, when, and how. Values and their text form, no I/O.

A script is a list of instructions; each is a trigger, a stage and an effect::

    ingest#1 before-handler 503 retry-after=2; ingest#2 after-commit reset

**Trigger.** An operation id, or `*` for any. A request's *attempt* is its number among the
requests of that operation in the session (for `*`: among all requests), counted from 1.

=================  =====================================================================
`ingest#2`         the second request of `ingest`
`ingest#2x3`       the second, third and fourth
`ingest#2+`        the second and all that follow
`ingest#next`      the next one that no earlier instruction took (`#nextx3`: the next three)
`ingest`           every one
=================  =====================================================================

The first instruction in the list that fits a request is played; one request, one instruction.

**Stage.** `before-accept` (the connection is harmed; on a port that sessions share only once the
request was read, for nobody could tell whose it is), `before-handler`
(nothing was changed; the default, may be left out), `after-commit` (the effect is stored, then
the fault is played), `mid-response` (the head of the answer went out whole), `after-response`
(the whole answer went out).

**Effect.** A status code alone is `respond`; the others are `reset` (RST), `close` (FIN),
`truncate`, `garbage`, `stall`, `trickle`, `refuse` (the port is closed) and `late` (it listens and
takes nobody for a while). They may be followed by the status of the answer that they harm, and by
words `name=value`:

============  ==========================================================================
`after=N`     bytes sent before the effect bites; counted from the body's first byte in
              `mid-response`, from the status line's before it. `respond`: body bytes that
              are sent of the whole that was announced
`seconds=S`   `stall`, `late`: how long (left out: for ever); `trickle`: pause between bytes
`size=N`      the body is padded with spaces to N bytes (JSON stays JSON)
`framing=F`   `length` (default), `chunked`, `close` (no length, ended by FIN),
              `none` (no length and no end)
`body=…`      text in JSON quotes, or `base64:…`; left out: what the contract declares
`NAME=VALUE`  a header; `header:NAME=VALUE` where NAME is one of the words above
============  ==========================================================================

Header values may hold `{base}` (the session's URL), `{other}` (the same session at another
origin), `{target}` (path and query of the request, below the base) and points in time:
`{imf+30}`, `{rfc850-5}`, `{asctime+1.5}`, `{epoch+60}`, `{epoch-ms+60}`; the testbench fills
them in when it plays them. A header whose whole value is `{drop}` is left out although the
contract declares it. Retry-After is sent only where the script gives it, declared or not.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal, get_args

from conformance.history import Headers, header

Kind = Literal[
    "respond", "reset", "close", "truncate", "garbage", "stall", "trickle", "refuse", "late"
]  # fmt: skip
Framing = Literal["length", "chunked", "close", "none"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FRAMINGS: tuple[Framing, ...] = get_args(Framing)
MAX_SIZE = 1 << 30
"""Largest body that a script may ask for, bytes."""


class ScriptError(ValueError):
    """A script makes no sense; the message says which part, and why."""


class Stage(StrEnum):
    """How far a request gets before its fault is played."""

    BEFORE_ACCEPT = "before-accept"
    BEFORE_HANDLER = "before-handler"
    AFTER_COMMIT = "after-commit"
    MID_RESPONSE = "mid-response"
    AFTER_RESPONSE = "after-response"


_SENSELESS: dict[tuple[Stage, Kind], str] = {
    **{
        (Stage.BEFORE_ACCEPT, kind): "nothing is answered before the request was read"
        for kind in ("respond", "truncate", "garbage", "trickle")
    },
    **{
        (stage, kind): "a connection that was accepted cannot be refused or made wait any more"
        for stage in Stage
        for kind in ("refuse", "late")
        if stage is not Stage.BEFORE_ACCEPT
    },
    (Stage.MID_RESPONSE, "respond"): "an answer inside an answer is `garbage`",
    (Stage.MID_RESPONSE, "close"): "an answer that ends inside its body is `truncate`",
    (Stage.AFTER_RESPONSE, "respond"): "a second answer that nobody asked for is `garbage`",
    (Stage.AFTER_RESPONSE, "truncate"): "the answer went out whole",
    (Stage.AFTER_RESPONSE, "stall"): "after a whole answer there is nothing to wait for",
    (Stage.AFTER_RESPONSE, "trickle"): "after a whole answer there is nothing left to trickle",
}
_ANSWERLESS: dict[Kind, tuple[Stage, ...]] = {
    "reset": (Stage.BEFORE_ACCEPT, Stage.BEFORE_HANDLER, Stage.AFTER_COMMIT),
    "close": (Stage.BEFORE_ACCEPT, Stage.BEFORE_HANDLER, Stage.AFTER_COMMIT),
    "stall": (Stage.BEFORE_ACCEPT,),
    "refuse": tuple(Stage),
    "late": tuple(Stage),
}


@dataclass(frozen=True, slots=True)
class Effect:
    """What is done to a request. Made by the functions below, `respond(503)`, `reset()`."""

    kind: Kind
    status: int | None = None
    """Status of the answer, or of the answer that is harmed; None: the one that is declared."""
    headers: Headers = ()
    body: bytes | None = None
    """None: what the contract declares for the status. For `garbage`: the garbage itself."""
    after: int | None = None
    """Bytes sent before the effect bites (see the module); None: half of them where some must."""
    seconds: float | None = None
    size: int | None = None
    framing: Framing = "length"

    def __post_init__(self) -> None:
        for problem in _effect_problems(self):
            raise ScriptError(f"{self.kind}: {problem}")

    def with_headers(self, headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> Effect:
        """Return a copy with further headers, after those that are there."""
        return replace(self, headers=self.headers + _pairs(headers))


@dataclass(frozen=True, slots=True)
class Instruction:
    """One trigger, stage and effect."""

    operation: str | None
    """None: any operation."""
    attempt: int | None
    """None: whichever comes next; with `times` None too: every one."""
    times: int | None
    """How many attempts in a row; None: no bound."""
    stage: Stage
    effect: Effect

    def __post_init__(self) -> None:
        for problem in _instruction_problems(self):
            raise ScriptError(f"{self.short()}: {problem}")

    @classmethod
    def of(
        cls,
        effect: Effect,
        operation: str | None = None,
        *,
        attempt: int | None = 1,
        times: int | None = 1,
        stage: Stage = Stage.BEFORE_HANDLER,
    ) -> Instruction:
        """Return an instruction; by default for the first request, before the handler."""
        return cls(operation, attempt, times, stage, effect)

    @property
    def commits(self) -> bool:
        """True where the handler runs: the request takes effect although it is harmed."""
        if self.stage in (Stage.BEFORE_ACCEPT, Stage.BEFORE_HANDLER):
            return _is_passing(self.effect)
        return self.stage is Stage.AFTER_COMMIT or (self.effect.status or 200) < 400

    def short(self) -> str:
        """Return the text form of this instruction."""
        return f"{_short_trigger(self)} {self.stage} {_short_effect(self.effect)}"


@dataclass(frozen=True, slots=True)
class Script:
    """A list of instructions; empty: nothing is harmed."""

    instructions: tuple[Instruction, ...] = ()

    @classmethod
    def of(cls, *instructions: Instruction) -> Script:
        """Return a script of these instructions."""
        return cls(instructions)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions)

    def __len__(self) -> int:
        return len(self.instructions)

    def __add__(self, other: Script) -> Script:
        return Script(self.instructions + other.instructions)

    @property
    def needs_own_port(self) -> bool:
        """True where a port must be closed, which a shared one cannot be."""
        return any(i.effect.kind in ("refuse", "late") for i in self)

    def short(self) -> str:
        """Return the text form, `ingest#1 before-handler 503 retry-after=2; …`."""
        return "; ".join(i.short() for i in self)

    def brief(self, longest: int = 60) -> str:
        """Return the text form with long words cut: for people to read, not for `parse`."""
        statements = ([_cut(w, longest) for w in words] for words in _statements(self.short()))
        return "; ".join(" ".join(words) for words in statements)

    @classmethod
    def parse(cls, text: str) -> Script:
        """Return the script that a text means. Raises ScriptError in words where it means none."""
        return cls(tuple(_parse_instruction(words) for words in _statements(text)))


@dataclass
class Playback:
    """Which instruction each request meets, and which were never met. Not thread-safe."""

    script: Script
    played: list[int] = field(default_factory=list)
    """How often each instruction was played."""
    total: int = 0
    attempts: dict[str | None, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.played = [0] * len(self.script)

    def next(self, operation: str | None) -> int | None:
        """Count one request of an operation; return the index of the instruction it meets."""
        self.total += 1
        self.attempts[operation] = self.attempts.get(operation, 0) + 1
        for index, instruction in enumerate(self.script):
            if instruction.effect.kind != "late" and self._fits(index, instruction, operation):
                self.played[index] += 1
                return index
        return None

    def peek(self, operation: str | None) -> int | None:
        """Return the index that a request would meet, without counting it.

        Of an operation that is not known (None), only what `*` takes is foreseen.
        """
        before = self.total, dict(self.attempts), list(self.played)
        try:
            return self.next(operation)
        finally:
            self.total, self.attempts, self.played = before

    def unconsumed(self) -> tuple[int, ...]:
        """Return the indexes of instructions that were played less often than they asked for."""
        return tuple(
            index
            for index, instruction in enumerate(self.script)
            if self.played[index] < (instruction.times or 1)
        )

    def _fits(self, index: int, instruction: Instruction, operation: str | None) -> bool:
        if instruction.operation not in (None, operation):
            return False
        if instruction.attempt is None:
            return instruction.times is None or self.played[index] < instruction.times
        number = self.total if instruction.operation is None else self.attempts[operation]
        if number < instruction.attempt:
            return False
        return instruction.times is None or number < instruction.attempt + instruction.times


# --- making effects ---------------------------------------------------------------------------

HeadersLike = Mapping[str, str] | Iterable[tuple[str, str]]


def respond(
    status: int,
    body: Any = None,
    headers: HeadersLike = (),
    *,
    after: int | None = None,
    size: int | None = None,
    framing: Framing = "length",
) -> Effect:
    """Answer with `status`. `body`: None for the declared one, bytes as they are, else JSON.

    A status of 1xx is sent first and followed by the answer that the request deserves.
    """
    return Effect("respond", status, _pairs(headers), _bytes(body), after, None, size, framing)


def reset(after: int | None = None, status: int | None = None) -> Effect:
    """End the connection with RST; in `mid-response` after that many bytes of the body."""
    return Effect("reset", status, after=after)


def close() -> Effect:
    """End the connection with FIN, without an answer or (`after-response`) behind it."""
    return Effect("close")


def truncate(
    after: int | None = None,
    status: int | None = None,
    body: Any = None,
    headers: HeadersLike = (),
    framing: Framing = "length",
) -> Effect:
    """Announce a whole answer, send `after` bytes of it, and end the connection with FIN."""
    return Effect("truncate", status, _pairs(headers), _bytes(body), after, framing=framing)


def garbage(
    body: bytes | None = None,
    after: int | None = None,
    status: int | None = None,
    headers: HeadersLike = (),
    framing: Framing = "length",
) -> Effect:
    """Send bytes that are no HTTP (`body`; None: some of ours) in place of the rest."""
    return Effect("garbage", status, _pairs(headers), body, after, framing=framing)


def stall(
    seconds: float | None = None, after: int | None = None, status: int | None = None
) -> Effect:
    """Fall silent for `seconds` (None: for as long as the client stays), then go on."""
    return Effect("stall", status, after=after, seconds=seconds)


def trickle(
    seconds: float = 0.01,
    after: int | None = None,
    status: int | None = None,
    body: Any = None,
    size: int | None = None,
) -> Effect:
    """Send the answer byte by byte with a pause of `seconds` between two."""
    return Effect("trickle", status, (), _bytes(body), after, seconds, size)


def refuse() -> Effect:
    """Have no socket listening, so that the kernel refuses the connection."""
    return Effect("refuse")


def late(seconds: float | None = None) -> Effect:
    """Take no connection for `seconds` (None: never): the client's SYN is not answered."""
    return Effect("late", seconds=seconds)


def _pairs(headers: HeadersLike) -> Headers:
    items = headers.items() if isinstance(headers, Mapping) else headers
    return tuple((str(name), str(value)) for name, value in items)


def _bytes(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


# --- what makes no sense ----------------------------------------------------------------------


def _effect_problems(effect: Effect) -> Iterator[str]:
    if effect.kind not in KINDS:
        yield f"no such effect; there are {', '.join(KINDS)}"
    if effect.framing not in FRAMINGS:
        yield f"no such framing {effect.framing!r}; there are {', '.join(FRAMINGS)}"
    if effect.kind == "respond" and effect.status is None:
        yield "an answer needs a status"
    if effect.status is not None and not 100 <= effect.status <= 999:
        yield f"a status has three digits, not {effect.status}"
    if effect.kind in ("close", "refuse") and not _is_bare(effect):
        yield "it takes no status, headers, body or options"
    if effect.kind != "respond" and effect.status is not None and effect.status < 200:
        yield "an interim answer cannot be the one that is harmed"
    if effect.after is not None and effect.after < 0:
        yield f"`after` counts bytes; {effect.after} is none"
    if effect.size is not None and not 0 <= effect.size <= MAX_SIZE:
        yield f"`size` is 0 to {MAX_SIZE} bytes, not {effect.size}"
    if effect.seconds is not None:
        if effect.kind not in ("stall", "trickle", "late"):
            yield "only `stall`, `trickle` and `late` take `seconds`"
        if not (math.isfinite(effect.seconds) and effect.seconds >= 0):
            yield f"`seconds` is a length of time; {effect.seconds} is none"
    for name, value in effect.headers:
        try:
            (name + value).encode("latin-1")
        except UnicodeEncodeError:
            yield f"header {name!r} holds characters that HTTP cannot carry (not Latin-1)"


def _instruction_problems(i: Instruction) -> Iterator[str]:
    if i.attempt is not None and i.attempt < 1:
        yield "attempts are counted from 1"
    if i.times is not None and i.times < 1:
        yield "an instruction that is played less than once does nothing"
    if (i.stage, i.effect.kind) in _SENSELESS:
        yield _SENSELESS[i.stage, i.effect.kind]
    if i.stage in _ANSWERLESS.get(i.effect.kind, ()) and not _is_bare(i.effect):
        yield "there is no answer here that could have a status, headers, a body or `after`"
    if i.stage is Stage.AFTER_RESPONSE and i.effect.after is not None:
        yield "the answer went out whole, so there is nothing to count `after` in"
    if i.effect.kind in ("refuse", "late") and (i.operation is not None or i.times is not None):
        yield (
            "a connection that is not taken is seen by nobody, so it can be neither counted nor "
            "told by operation; write `*` or `*#n+`"
        )
    if i.effect.kind == "late" and i.attempt is not None:
        yield "a port is late from its beginning; write `*`"
    if i.operation is not None and not _OPERATION.fullmatch(i.operation):
        yield f"{i.operation!r} is no operation id"


def _is_bare(effect: Effect) -> bool:
    """True where an effect says nothing about an answer."""
    said = (effect.status, effect.body, effect.after, effect.size)
    return said == (None,) * 4 and not effect.headers and effect.framing == "length"


def _is_passing(effect: Effect) -> bool:
    """True for effects that let the request through to its handler in the end."""
    if effect.kind == "respond":
        return effect.status is not None and effect.status < 200
    if effect.kind == "stall":
        return effect.seconds is not None and (effect.status or 200) < 400
    return effect.kind == "trickle" and (effect.status or 200) < 400


# --- the text form ----------------------------------------------------------------------------

_OPERATION = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_TRIGGER = re.compile(
    r"(?P<operation>\*|[A-Za-z_][A-Za-z0-9_.-]*)"
    r"(#(?P<attempt>next|[0-9]+)(x(?P<times>[0-9]+)|(?P<on>\+))?)?"
)
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_WORD = re.compile(rf"""\s*(?P<word>;|(?:[^\s;"]++|{_STRING})+)""", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/+@*{}()-]+")
_PAIR = re.compile(rf"(?P<name>header:{_STRING}|[^=\"]+)=(?P<value>{_STRING}|[^\"]*)", re.DOTALL)
_WORDS = ("after", "seconds", "size", "framing", "body")


def _short_trigger(i: Instruction) -> str:
    name = i.operation or "*"
    if i.attempt is None:
        if i.times is None:
            return name
        return f"{name}#next" + (f"x{i.times}" if i.times != 1 else "")
    if i.times is None:
        return f"{name}#{i.attempt}+"
    return f"{name}#{i.attempt}" + (f"x{i.times}" if i.times != 1 else "")


def _short_effect(effect: Effect) -> str:
    words: list[str] = [] if effect.kind == "respond" else [effect.kind]
    if effect.status is not None:
        words.append(str(effect.status))
    words += [f"{_short_name(name)}={_quoted(value)}" for name, value in effect.headers]
    if effect.body is not None:
        words.append(f"body={_short_body(effect.body)}")
    if effect.after is not None:
        words.append(f"after={effect.after}")
    if effect.size is not None:
        words.append(f"size={effect.size}")
    if effect.seconds is not None:
        words.append(f"seconds={float(effect.seconds)!r}".removesuffix(".0"))
    if effect.framing != "length":
        words.append(f"framing={effect.framing}")
    return " ".join(words)


def _short_name(name: str) -> str:
    if name in _WORDS or not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        return f"header:{_quoted(name)}"
    return name


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value)


def _short_body(body: bytes) -> str:
    try:
        return json.dumps(body.decode("utf-8"), ensure_ascii=False)
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()


def _words(text: str) -> Iterator[str]:
    place, end = 0, len(text.rstrip())
    while place < end:
        match = _WORD.match(text, place)
        if match is None:
            raise ScriptError(f"a quoted text is not closed: {text[place:].strip()[:60]!r}")
        place = match.end()
        yield match["word"]


def _statements(text: str) -> Iterator[list[str]]:
    words: list[str] = []
    for word in (*_words(text), ";"):
        if word != ";":
            words.append(word)
        elif words:
            yield words
            words = []


def _cut(word: str, longest: int) -> str:
    return word if len(word) <= longest else f"{word[:longest]}…({len(word)} characters)"


def _parse_instruction(words: list[str]) -> Instruction:
    trigger = _TRIGGER.fullmatch(words[0])
    if trigger is None:
        raise ScriptError(
            f"{words[0]!r} is no trigger; write an operation or `*`, then #1, #2x3, #2+ or #next"
        )
    rest = words[1:]
    stage = Stage.BEFORE_HANDLER
    if rest and rest[0] in list(Stage):
        stage = Stage(rest.pop(0))
    if not rest:
        raise ScriptError(f"{' '.join(words)!r} says when but not what; add {_EFFECTS}")
    attempt = trigger["attempt"]
    times = None if attempt is None or trigger["on"] else int(trigger["times"] or 1)
    if attempt == "next" and trigger["on"]:
        raise ScriptError(f"{words[0]!r}: every next one is `{trigger['operation']}` alone")
    return Instruction(
        operation=None if trigger["operation"] == "*" else trigger["operation"],
        attempt=None if attempt in (None, "next") else int(attempt),
        times=times,
        stage=stage,
        effect=_parse_effect(rest),
    )


_EFFECTS = f"a status code or one of {', '.join(KINDS[1:])}"


def _parse_effect(words: list[str]) -> Effect:
    first, *rest = words
    fields: dict[str, Any] = {}
    if first.isdigit():
        fields.update(kind="respond", status=int(first))
    elif first in KINDS:
        fields["kind"] = first
        if rest and rest[0].isdigit():
            fields["status"] = int(rest.pop(0))
    else:
        stages = ", ".join(Stage)
        raise ScriptError(f"{first!r} is neither a stage ({stages}) nor an effect ({_EFFECTS})")
    headers: list[tuple[str, str]] = []
    for word in rest:
        match = _PAIR.fullmatch(word)
        if match is None:
            raise ScriptError(f"{word!r} is not of the form name=value")
        name, value = match["name"], match["value"]
        if name.startswith("header:"):
            headers.append((_unquoted(name.removeprefix("header:")), _unquoted(value)))
        elif name not in _WORDS:
            headers.append((name, _unquoted(value)))
        elif name in fields:
            raise ScriptError(f"{name!r} is given twice")
        else:
            fields[name] = _parse_word(name, value)
    return Effect(headers=tuple(headers), **fields)


def _parse_word(name: str, value: str) -> Any:
    try:
        if name == "body":
            if value.startswith("base64:"):
                return base64.b64decode(value.removeprefix("base64:"), validate=True)
            return _unquoted(value).encode()
        if name == "seconds":
            return float(value)
        return value if name == "framing" else int(value)
    except ValueError as error:
        raise ScriptError(f"{name}={value[:60]} cannot be read: {error}") from error


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value, strict=False))
    except ValueError as error:
        raise ScriptError(f"{value[:60]} is not a JSON string: {error}") from error


def content_type(effect: Effect) -> str | None:
    """Return the media type that an effect states, or None where it leaves that to the server."""
    return header(effect.headers, "content-type")
