"""A small HTTP relay on a thread: requests go through to a backend, a behaviour may meddle.

Load targets that are wrong (`defects.py`) and outages (`storm.py`) are behaviours; only reading,
passing on and writing HTTP belongs here. What is wrong with the framing of the backend's answers
is passed on as it came, and counted by its name (`framing.py`): a client that is a whole SDK does
not tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from conformance.clock import monotonic
from load.framing import IDLE, Reading, Trouble, TroubleKind, kind_of
from specs import Contract, Operation

RESTED = 2.0
"""Seconds of idleness after which a connection to the backend is not used again: it may be
closing it, and what would cross that is nobody's fault but ours."""


@dataclass
class Ask:
    """One request on its way through."""

    number: int
    verb: str
    target: str
    raw: bytes
    body: bytes
    key: str
    operation: Operation | None


@dataclass
class Reply:
    """One answer, and what is done to the connection with it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    after: bytes = b""
    """Bytes sent after the body."""
    cut: int | None = None
    """Bytes of the body after which the connection is closed."""
    close: bool = False
    """Close after the answer without saying so."""
    reset: bool = False
    """Reset instead of answering."""

    def json(self) -> Any:
        """The decoded body, None where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((v for k, v in self.headers if k.lower() == name), None)


Forward = Callable[[], Awaitable[Reply]]
Behaviour = Callable[[Any, Ask, Forward], Awaitable[Reply]]


@dataclass
class Memory:
    """What a behaviour remembers from request to request."""

    count: int = 0
    ids: dict[str, Any] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    by_key: dict[str, Reply] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    began: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Upstream(asyncio.Protocol):
    """One connection to the backend: one request at a time, every byte accounted for."""

    def __init__(self) -> None:
        self.received = b""
        """Everything that came in answer to the last request."""
        self.early = b""
        """What came while nothing was asked."""
        self.ended = False
        self.left = False
        """True where the backend closed while nothing was asked."""
        self.stirred: Callable[[], None] | None = None
        """Called when something happens while nothing is asked."""
        self._transport: asyncio.Transport | None = None
        self._reading: Reading | None = None
        self._whole: asyncio.Future[None] | None = None
        self._fresh = True
        self._since = monotonic()

    @property
    def rest(self) -> float:
        """Seconds since the last answer."""
        return monotonic() - self._since

    def close(self) -> None:
        """Close the connection; nothing that happens to it matters any more."""
        self.stirred, self.ended = None, True
        if self._transport is not None:
            self._transport.close()

    async def exchange(self, raw: bytes) -> Reply:
        """Send one request and return its whole answer. Raises Trouble."""
        assert self._transport is not None
        self._reading = Reading(self._fresh)
        self._whole = asyncio.get_running_loop().create_future()
        self.received = b""
        self._transport.write(raw)
        try:
            await self._whole
            reply = _reply(self._reading)
        finally:
            self._fresh, self._since = False, monotonic()
            announced = not self._reading.keep
            self._reading = self._whole = None
        if announced:
            self.close()
        return reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what came, asked for or not."""
        if self._reading is None or self._whole is None or self._whole.done():
            self.early += data
            self._stir()
            return
        self.received += data
        try:
            if self._reading.feed(data):
                self._whole.set_result(None)
        except Trouble as trouble:
            self._whole.set_exception(trouble)

    def connection_lost(self, error: Exception | None) -> None:
        """Judge a close: in the middle of an answer, instead of one, or in between."""
        ours, self.ended = self.ended, True
        if self._reading is None or self._whole is None or self._whole.done():
            self.left = not ours
            self._stir()
            return
        try:
            if isinstance(error, OSError):
                raise Trouble(kind_of(error))
            if not self.received:
                raise Trouble("truncated", "closed without an answer")
            self._reading.end()
            self._whole.set_result(None)
        except Trouble as trouble:
            self._whole.set_exception(trouble)

    def _stir(self) -> None:
        if self.stirred is not None:
            self.stirred()


class Relay:
    """A relay in front of a backend; a context manager. `behave` is given each request.

    An answer of the backend's that is not whole `timeout` seconds after its request is given up.
    """

    def __init__(
        self, upstream: str, contract: Contract, behave: Behaviour, timeout: float | None = None
    ) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        self._upstream = (parts.hostname, parts.port or 80)
        self._base = parts.path
        self.contract = contract
        self._behave = behave
        self._timeout = timeout
        self.memory = Memory()
        self.troubles: Counter[tuple[str, TroubleKind]] = Counter()
        """(operation, name of what was wrong) -> answers of the backend."""
        self.unannounced = 0
        """Times the backend closed right after an answer without `Connection: close`."""
        self.waiting = 0
        """Requests that the backend has not answered yet."""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def now(self) -> float:
        """Seconds since the first request."""
        current = self._loop.time()
        self.memory.began = self.memory.began or current
        return current - self.memory.began

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        port = server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{self._base}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(self, writer)
        try:
            while True:
                line.between()
                ask = await self._ask(reader)
                line.upstream.stirred = None
                if ask is None:
                    break
                line.asked = ask.operation.id if ask.operation else ""

                async def forward(raw: bytes = ask.raw) -> Reply:
                    return await line.forward(raw)

                try:
                    reply = await self._behave(self, ask, forward)
                except Trouble as trouble:
                    self.troubles[line.asked, trouble.kind] += 1
                    line.pass_on(trouble)
                    break
                if not await _write_reply(writer, reply):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            line.upstream.close()
            writer.close()

    async def connect(self) -> Upstream:
        """Return a new connection to the backend. Raises Trouble."""
        try:
            _, made = await self._loop.create_connection(Upstream, *self._upstream)
        except OSError as error:
            raise Trouble(kind_of(error), error.strerror or "") from error
        return made

    async def patiently(self, upstream: Upstream, raw: bytes) -> Reply:
        """Return the answer to a request. Raises Trouble, one that comes too late included."""
        self.waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await upstream.exchange(raw)
        except TimeoutError:
            raise Trouble("timeout") from None
        finally:
            self.waiting -= 1

    async def _ask(self, reader: asyncio.StreamReader) -> Ask | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        found = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", head)
        body = await reader.readexactly(int(found.group(1))) if found else b""
        verb, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        auth = self.contract.auth[0].header.lower().encode() if self.contract.auth else b"-"
        key = re.search(rb"(?i)\r\n" + re.escape(auth) + rb":\s*([^\r\n]+)", head)
        path = urlsplit(target).path.removeprefix(self._base.rstrip("/"))
        self.memory.count += 1
        return Ask(
            self.memory.count, verb, target, head + body, body,
            key.group(1).decode("latin-1") if key else "", self.contract.match(verb, path),
        )  # fmt: skip


class _Line:
    """A client's connection and the one to the backend that belongs to it."""

    def __init__(self, relay: Relay, writer: asyncio.StreamWriter) -> None:
        self._relay = relay
        self._writer = writer
        self.upstream = Upstream()
        self.upstream.ended = True  # the first request opens one
        self.asked = ""
        """What was asked last."""

    async def forward(self, raw: bytes) -> Reply:
        """Return the backend's answer. Raises Trouble."""
        if self.upstream.ended or self.upstream.rest > RESTED:
            self.upstream.close()
            self.upstream = await self._relay.connect()
        return await self._relay.patiently(self.upstream, raw)

    def between(self) -> None:
        """Do to the client what the backend does, or has done, while nothing is asked."""
        upstream = self.upstream
        upstream.stirred = self.between
        if upstream.early:
            self._relay.troubles[self.asked, "bytes-after-body"] += 1
            self._writer.write(upstream.early)
        elif upstream.left and upstream.rest <= IDLE:
            self._relay.unannounced += 1
        else:
            return
        upstream.close()
        upstream.early, upstream.left = b"", False
        self._writer.close()

    def pass_on(self, trouble: Trouble) -> None:
        """Give the client what came of an answer, as it came; the connection ends with it."""
        if trouble.kind == "reset" and not self.upstream.received:
            _reset(self._writer)
        else:
            self._writer.write(self.upstream.received)


def _reply(reading: Reading) -> Reply:
    _, *lines = reading.head.decode("latin-1").split("\r\n")
    fields = [(n.strip(), v.strip()) for n, _, v in (x.partition(":") for x in lines if x)]
    framing = ("content-length", "transfer-encoding")
    return Reply(reading.status, [f for f in fields if f[0].lower() not in framing], reading.body)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _write_reply(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Write an answer; False where the connection is over with it."""
    if reply.reset:
        _reset(writer)
        return False
    lines = [f"HTTP/1.1 {reply.status} X", *(f"{n}: {v}" for n, v in reply.headers)]
    if reply.status != 204:
        lines.append(f"content-length: {len(reply.body)}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    body = reply.body if reply.cut is None else reply.body[: reply.cut]
    writer.write(head + body + reply.after)
    await writer.drain()
    return not (reply.close or reply.cut is not None)
