"""From an answer and an effect to the bytes on the wire. Pure: nothing is sent here.

`plan()` is the whole of it: which bytes go out, where the server pauses, how the connection ends,
and what a recording of that must say. Whoever has a socket plays the steps in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from itertools import chain

from conformance.faults.answers import Answer, names
from conformance.faults.script import Effect, Framing, Stage
from conformance.history import Failure, Headers, Response

CHUNK = 1 << 16
"""Largest piece of a body that is handed to a socket at once, bytes."""
KEPT = 1 << 20
"""How much of a body is recorded, bytes."""
GARBAGE = bytes([0, 255, 254, 128, 192, 7]) + b"\x16\x03\x01 no http \r\r\n\xf5"
DROP = "{drop}"
"""Value of a header that is declared and left out."""
_REASONS = {s.value: s.phrase for s in HTTPStatus}
_BODYLESS = (204, 304)


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for `seconds`; None: until the client leaves."""

    seconds: float | None


class End(Enum):
    """What becomes of the connection after the last step."""

    KEEP = "keep"
    FIN = "fin"
    RST = "rst"


@dataclass(frozen=True, slots=True)
class Plan:
    """How one answer is played, and what a recording of it says."""

    steps: Iterable[bytes | Pause]
    end: End
    response: Response | None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Wire:
    """An answer as it would go out unharmed: head bytes, and a body that may be padded."""

    head: bytes
    body: bytes
    padding: int
    parts: tuple[bytes, ...]
    framing: Framing
    status: int
    headers: Headers

    @property
    def length(self) -> int:
        """Length of the body before chunking, bytes."""
        return len(self.body) + self.padding

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield the body's bytes from `start` to `stop`, framed, without what ends it."""
        for piece in self._raw(start, self.length if stop is None else min(stop, self.length)):
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if self.framing == "chunked" else piece

    def tail(self) -> Iterator[bytes]:
        """Yield what ends the body."""
        if self.framing == "chunked":
            yield b"0\r\n\r\n"

    def record(self, sent: int, complete: bool) -> Response:
        """Return the recording of an answer of whose body `sent` bytes went out."""
        body = self.body[: min(sent, KEPT)]
        body += b" " * (min(sent, KEPT) - len(body))
        return Response(self.status, self.headers, body, complete)

    def _raw(self, start: int, stop: int) -> Iterator[bytes]:
        if self.parts and start == 0 and stop == self.length:
            yield from self.parts
            return
        inside = self.body[start : min(stop, len(self.body))]
        for place in range(0, len(inside), CHUNK):
            yield inside[place : place + CHUNK]
        left = stop - max(start, len(self.body))
        while left > 0:
            yield b" " * min(left, CHUNK)
            left -= CHUNK


def compose(
    answer: Answer,
    *,
    framing: Framing = "length",
    size: int | None = None,
    headers: Headers = (),
    method: str = "GET",
    date: str = "",
    closing: bool = False,
) -> Wire:
    """Return an answer with its head. Headers that are given win over those that are declared."""
    padding = max(0, (size or 0) - len(answer.body))
    given = names(headers)
    fields = [(n, v) for n, v in answer.headers if n.lower() not in given]
    fields.extend((name, value) for name, value in headers if value != DROP)
    stated = names(fields)
    length = len(answer.body) + padding
    if answer.parts and framing == "length":
        framing = "chunked"
    if date and "date" not in stated:
        fields.append(("date", date))
    if framing == "length" and not stated & {"content-length", "transfer-encoding"}:
        if length or answer.status not in _BODYLESS:
            fields.append(("content-length", str(length)))
    elif framing == "chunked" and "transfer-encoding" not in stated:
        fields.append(("transfer-encoding", "chunked"))
    if (closing or framing == "close") and "connection" not in stated:
        fields.append(("connection", "close"))
    body, parts = answer.body, answer.parts
    if method == "HEAD":
        body, parts, padding = b"", (), 0
        framing = "length" if framing == "chunked" else framing
    return Wire(
        head=_head(answer.status, fields),
        body=body,
        padding=padding,
        parts=parts,
        framing=framing,
        status=answer.status,
        headers=tuple(fields),
    )


def interim(status: int, headers: Headers) -> bytes:
    """Return an interim (1xx) answer's head."""
    return _head(status, headers)


def whole(wire: Wire, closing: bool) -> Plan:
    """Return the plan of an answer that nothing happens to."""
    end = End.FIN if closing or wire.framing == "close" else End.KEEP
    steps = chain((wire.head,), wire.pieces(), wire.tail())
    return Plan(steps, end, wire.record(wire.length, True))


def plan(wire: Wire, effect: Effect, stage: Stage, closing: bool) -> Plan:
    """Return the plan of an answer that `effect` is played on at `stage`."""
    if effect.kind == "respond":
        if effect.after is None or effect.after >= wire.length:
            return whole(wire, closing)
        stage, effect = Stage.MID_RESPONSE, replace(effect, kind="truncate")
    if stage is Stage.AFTER_RESPONSE:
        return _behind(wire, effect)
    split = _split_body if stage is Stage.MID_RESPONSE else _split_whole
    lead, rest, response, lost = split(wire, _after(wire, effect, stage))
    if effect.kind == "reset":
        return Plan(lead, End.RST, response, "reset")
    if effect.kind == "close":
        return Plan(lead, End.FIN, response, "closed")
    if effect.kind == "truncate":
        return Plan(lead, End.FIN, response, "truncated" if lost else None)
    if effect.kind == "stall":
        return _stalled(wire, effect.seconds, lead, rest, response, closing)
    end = whole(wire, closing).end
    if effect.kind == "trickle":
        slow = _byte_by_byte(lead, rest, effect.seconds or 0.0)
        return Plan(slow, end, wire.record(wire.length, True))
    return _garbled(wire, effect, stage, lead, response, end)


def _behind(wire: Wire, effect: Effect) -> Plan:
    """The whole answer goes out; then the connection is harmed.

    Junk goes out in one piece with an answer that is small: whether a client reads it with the
    answer must not hang on who is faster.
    """
    done = whole(wire, False)
    if effect.kind == "garbage":
        steps: Iterable[bytes] = chain((wire.head,), wire.pieces(), wire.tail())
        steps = chain(steps, (effect.body or GARBAGE,))
        return replace(done, steps=(b"".join(steps),) if wire.length < CHUNK else steps)
    return replace(done, end=End.RST if effect.kind == "reset" else End.FIN)


def _stalled(
    wire: Wire,
    seconds: float | None,
    lead: Iterable[bytes],
    rest: Iterable[bytes],
    response: Response | None,
    closing: bool,
) -> Plan:
    if seconds is None:
        silent: Iterator[bytes | Pause] = chain(lead, (Pause(None),))
        return Plan(silent, End.FIN, response, "timeout")
    steps: Iterator[bytes | Pause] = chain(lead, (Pause(seconds),), rest)
    return Plan(steps, whole(wire, closing).end, wire.record(wire.length, True))


def _garbled(
    wire: Wire, effect: Effect, stage: Stage, lead: Iterable[bytes], response: Response | None,
    end: End,
) -> Plan:  # fmt: skip
    if stage is not Stage.MID_RESPONSE:
        return Plan(chain(lead, (effect.body or GARBAGE,)), End.FIN, response, "garbage")
    assert response is not None
    filler = effect.body or GARBAGE
    missing = wire.length - len(response.body)
    if wire.framing == "length" and 0 < missing <= KEPT:
        junk = (filler * (missing // len(filler) + 1))[:missing]
        body = response.body + junk
        return Plan(chain(lead, (junk,)), end, replace(response, body=body, complete=True))
    return Plan(chain(lead, (filler,)), End.FIN, response, "garbage")


def _after(wire: Wire, effect: Effect, stage: Stage) -> int:
    """Return how many bytes go out before the effect: what is asked, or half where some must."""
    if effect.after is not None:
        return effect.after
    if stage is Stage.MID_RESPONSE:
        return 0 if effect.kind == "trickle" else wire.length // 2
    return (len(wire.head) + wire.length) // 2 if effect.kind == "truncate" else 0


_Split = tuple[Iterable[bytes], Iterable[bytes], Response | None, bool]


def _split_body(wire: Wire, after: int) -> _Split:
    """Cut after that many bytes of the body: lead, rest, recording, and if bytes are lost."""
    sent = min(after, wire.length)
    lead = chain((wire.head,), wire.pieces(0, sent))
    rest = chain(wire.pieces(sent), wire.tail())
    lost = sent < wire.length or wire.framing in ("chunked", "none")
    return lead, rest, wire.record(sent, not lost), lost


def _split_whole(wire: Wire, after: int) -> _Split:
    """Cut `after` bytes into the answer, counted from its status line."""
    if after >= len(wire.head):
        return _split_body(wire, after - len(wire.head))
    rest = chain((wire.head[after:],), wire.pieces(), wire.tail())
    return (wire.head[:after],), rest, None, True


def _byte_by_byte(
    lead: Iterable[bytes], rest: Iterable[bytes], seconds: float
) -> Iterator[bytes | Pause]:
    yield from lead
    for piece in rest:
        for place in range(len(piece)):
            yield Pause(seconds)
            yield piece[place : place + 1]


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unnamed')}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    lines.append("\r\n")
    return "".join(lines).encode("latin-1")
