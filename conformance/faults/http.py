"""One connection of the testbench: requests are parsed, plans are played.

httptools (llhttp) reads the requests; what it cannot read is answered 400 and closed. Nothing is
decided here: sessions decide, `wire.py` says which bytes. All of it runs on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import httptools

from conformance.clock import SystemClock
from conformance.faults import wire
from conformance.faults.answers import Answer
from conformance.faults.session import Record, Seen, Session, gone_or
from conformance.faults.wire import End, Pause, Plan
from conformance.history import Response

MAX_HEAD = 1 << 20
"""Longest request head that is read, bytes; beyond it the answer is 431."""
MAX_BODY = 1 << 30
"""Longest request body that is read, bytes; beyond it the answer is 413."""
MAX_QUEUE = 256
"""How many requests one connection may send ahead of the answers."""
_CLOCK = SystemClock()
_RESET = struct.pack("ii", 1, 0)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Hub(Protocol):
    """What a connection needs of the testbench."""

    connections: set[Connection]

    def session_for(self, target: str) -> Session | None:
        """Return the session that a target on a shared port belongs to."""

    def stray(self, method: str, target: str) -> None:
        """Take note of a request that belongs to no session."""

    def spawn(self, coroutine: object) -> None:
        """Run a coroutine to its end, and keep hold of it until then."""

    def number(self) -> int:
        """Return the next connection's number."""


@dataclass(slots=True, eq=False)
class Incoming:
    """A request while it is read."""

    session: Session | None
    record: Record | None
    body: bytearray = field(default_factory=bytearray)
    length: int = 0
    kept: int = 0
    closing: bool = False
    refused: int | None = None
    """Status of the answer where the request went too far to be read on."""


@dataclass(slots=True, eq=False)
class Playing:
    """An answer while it goes out."""

    session: Session
    record: Record
    plan: Plan
    sent: int = 0


class Connection(asyncio.Protocol):
    """One accepted connection; `session` is None on a port that sessions share."""

    def __init__(self, hub: Hub, session: Session | None, principal: str) -> None:
        self._hub = hub
        self._own = session
        self._principal = principal
        self._sessions: set[Session] = set()
        self._queue: deque[Incoming] = deque()
        self._busy = False
        self._deaf = False
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._number = hub.number()
        self._playing: Playing | None = None
        self._owing: Session | None = None
        self._current: Incoming | None = None
        self._url = b""
        self._headers: list[tuple[str, str]] = []
        self._head_length = 0
        self._started = 0.0

    @property
    def sessions(self) -> frozenset[Session]:
        """The sessions whose requests came this way."""
        return frozenset(self._sessions)

    # --- what asyncio calls ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; where the script says so, end at once."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        self._hub.connections.add(self)
        self._parser = httptools.HttpRequestParser(self)
        if self._own is not None:
            self._join(self._own)
            record = self._own.connect(self._seen())
            if record is not None:
                self._end_unread(self._own, record)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._deaf:
            return
        if not self._started:
            self._started = _CLOCK.monotonic()
        self._head_length += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            if not self._deaf:
                self._refuse(400)
        if self._current is None and self._head_length > MAX_HEAD and not self._deaf:
            self._refuse(431)

    def connection_lost(self, error: Exception | None) -> None:
        """Take note of the end."""
        self._gone.set()
        self._writable.set()
        self._deaf = True
        if self._playing is not None:
            self._left()
        unread = self._current
        if unread is not None and unread.record is not None and unread.session is not None:
            unread.session.finish(unread.record, None, "closed", _CLOCK.monotonic())
        # asyncio closes the socket after this call; only then is the connection gone.
        asyncio.get_running_loop().call_soon(self._closed)

    def _closed(self) -> None:
        self._hub.connections.discard(self)
        self._pay()
        for session in self._sessions:
            session.count(closed=1)

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._writable.set()

    def abort(self) -> None:
        """End the connection without further ado."""
        self._deaf = True
        self._transport.abort()

    # --- what the parser calls ------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The head is whole: settle which session and which instruction it meets."""
        self._head_length = 0
        method = self._parser.get_method().decode("latin-1")
        target = self._url.decode("latin-1")
        session = self._own or self._hub.session_for(target)
        self._current = incoming = Incoming(session, None)
        if session is None:
            self._hub.stray(method, target)
            return
        self._join(session)
        incoming.kept = wire.KEPT * 64 if session.upstream is not None else session.kept
        incoming.record = session.begin(method, target, tuple(self._headers), self._seen())
        if any(n.lower() == "expect" for n, _ in self._headers):
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        incoming = self._current
        if incoming is None or self._deaf:
            return
        incoming.length += len(body)
        if len(incoming.body) < incoming.kept:
            incoming.body += body[: incoming.kept - len(incoming.body)]
        if incoming.length > MAX_BODY:
            self._refuse(413)

    def on_message_complete(self) -> None:
        """A request is whole: it is answered after those before it."""
        incoming = self._current
        if incoming is None or self._deaf:
            return
        incoming.closing = not self._parser.should_keep_alive()
        self._begin()
        self._queue.append(incoming)
        if len(self._queue) > MAX_QUEUE:
            self._refuse(429)
        self._next()

    # --- answering ------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._current = None
        self._url = b""
        self._headers = []
        self._head_length = 0
        self._started = 0.0

    def _seen(self) -> Seen:
        return Seen(self._started or _CLOCK.monotonic(), self._number, self._principal)

    def _join(self, session: Session) -> None:
        if session not in self._sessions:
            self._sessions.add(session)
            session.count(opened=1)

    def _owe(self, session: Session, plan: Plan) -> None:
        """Say that an answer is on its way; one that never ends is not waited for."""
        if plan.failure != "timeout":
            self._owing = session
            session.count(owed=1)

    def _pay(self) -> None:
        """Say that the answer is out, and its connection closed where it ends with it."""
        if self._owing is not None:
            self._owing.count(owed=-1)
            self._owing = None

    def _end_unread(self, session: Session, record: Record) -> None:
        """Reset or close although nothing was read."""
        assert record.instruction is not None
        self._deaf = True
        if record.instruction.effect.kind == "reset":
            session.finish(record, None, "reset", _CLOCK.monotonic())
            self._reset()
        else:
            session.finish(record, None, "closed", _CLOCK.monotonic())
            self._transport.close()

    def _refuse(self, status: int) -> None:
        """Answer what cannot be read on, then read nothing more."""
        self._deaf = True
        incoming = self._current or Incoming(self._own, None)
        self._begin()
        if incoming.session is not None and incoming.record is None:
            self._join(incoming.session)
            incoming.record = incoming.session.begin("", "", (), self._seen())
        incoming.refused = status
        incoming.closing = True
        self._queue.append(incoming)
        self._next()

    def _next(self) -> None:
        """Answer the requests that wait, one after the other."""
        while self._queue and not self._busy and not self._gone.is_set():
            incoming = self._queue.popleft()
            session, record = incoming.session, incoming.record
            if session is None or record is None:
                self._answer_stray(incoming)
                continue
            if incoming.refused is not None:
                self._play_now(session, record, _refusal(session, incoming.refused))
                continue
            body = bytes(incoming.body)
            session.complete(record, body)
            closing = record.held or session.closes_next or incoming.closing
            if session.upstream is not None:
                self._busy = True
                self._hub.spawn(self._forward(session, record, body, closing))
                return
            plan = session.decide_now(record, body, closing)
            if _is_plain(record) and _is_small(plan):
                self._play_now(session, record, plan)
            else:
                self._busy = True
                self._hub.spawn(self._play(session, record, plan))

    def _answer_stray(self, incoming: Incoming) -> None:
        status = incoming.refused or 404
        closing = incoming.closing or incoming.refused is not None
        made = wire.compose(Answer(status), closing=closing)
        self._transport.write(b"".join(_bytes_of(wire.whole(made, closing))))
        if closing:
            self._linger() if incoming.refused else self._transport.close()

    def _play_now(self, session: Session, record: Record, plan: Plan) -> None:
        if plan.end is End.FIN and not self._deaf:
            self._owe(session, plan)
        session.finish(record, plan.response, plan.failure, _CLOCK.monotonic())
        self._transport.write(b"".join(_bytes_of(plan)))
        if plan.end is End.FIN:
            self._linger() if self._deaf else self._transport.close()

    async def _forward(self, session: Session, record: Record, body: bytes, closing: bool) -> None:
        plan = await session.decide(record, body, closing)
        await self._play(session, record, plan)

    async def _play(self, session: Session, record: Record, plan: Plan) -> None:
        """Take the steps of a plan; the recording is made before the last one is taken."""
        self._playing = playing = Playing(session, record, plan)
        self._owe(session, plan)
        for step, last in _marked(plan.steps):
            if self._gone.is_set():
                break
            if last and step != Pause(None):
                session.finish(record, plan.response, plan.failure, _CLOCK.monotonic())
            if isinstance(step, Pause):
                if step.seconds is None:
                    session.finish(record, plan.response, plan.failure)
                await gone_or(step.seconds, self._gone)
                continue
            self._transport.write(step)
            playing.sent += len(step)
            await self._writable.wait()
        if self._gone.is_set():
            self._left()
        self._playing = None
        await self._finish(plan.end, playing.sent)

    def _left(self) -> None:
        """Take note of a client that left before its answer had gone out whole."""
        playing = self._playing
        if playing is not None and playing.record.exchange.received is None:
            seen = _cut(playing.plan.response, playing.sent)
            playing.session.finish(playing.record, seen, "timeout", _CLOCK.monotonic())

    async def _finish(self, end: End, sent: int) -> None:
        if self._gone.is_set():
            return
        if end is End.KEEP:
            self._busy = False
            self._pay()
            self._next()
            return
        self._deaf = True
        if end is End.RST:
            if sent:
                await self._delivered()
            self._reset()
        else:
            self._transport.close()

    async def _delivered(self) -> None:
        """Wait until the client's kernel has all that was written: RST throws away the rest."""
        for _ in range(1000):
            if self._gone.is_set() or _unsent(self._transport) == 0:
                return
            await gone_or(0.001, self._gone)

    def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def _linger(self) -> None:
        """End our side; close when the client has ended its own, or after a while."""
        with contextlib.suppress(OSError, RuntimeError):
            self._transport.write_eof()
        self._hub.spawn(self._close_later())

    async def _close_later(self) -> None:
        await gone_or(2.0, self._gone)
        self._transport.close()


def _refusal(session: Session, status: int) -> Plan:
    made = wire.compose(session.book.plain(status), closing=True)
    return wire.whole(made, True)


def _is_plain(record: Record) -> bool:
    """True where an answer goes out in one go."""
    return record.instruction is None or record.instruction.effect.kind == "respond"


def _is_small(plan: Plan) -> bool:
    response = plan.response
    return response is not None and response.complete and len(response.body) < wire.CHUNK


def _bytes_of(plan: Plan) -> Iterator[bytes]:
    return (step for step in plan.steps if isinstance(step, bytes))


def _cut(response: Response | None, sent: int) -> Response | None:
    """Return what a client that left early has seen of an answer, as far as that is known."""
    if response is None or not sent:
        return None
    head = sum(len(n) + len(v) + 4 for n, v in response.headers) + 20
    return replace(response, body=response.body[: max(0, sent - head)], complete=False)


T = TypeVar("T")


def _marked(steps: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Yield each step and whether it is the last one."""
    ahead = iter(steps)
    for current in ahead:
        for following in ahead:
            yield current, False
            current = following
        yield current, True


def _unsent(transport: asyncio.Transport) -> int:
    """Return how many bytes the client's kernel has not acknowledged; 0 where that is unknown."""
    if transport.get_write_buffer_size():
        return transport.get_write_buffer_size()
    if not sys.platform.startswith("linux"):
        return 0
    import fcntl
    import termios

    buffer = bytearray(4)
    try:
        sock = transport.get_extra_info("socket")
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, buffer)
    except OSError:
        return 0
    return int(struct.unpack("i", buffer)[0])
