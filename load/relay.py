"""A small HTTP relay on a thread: requests go through to a backend, a behaviour may meddle.

Load targets that are wrong (`defects.py`) and outages (`storm.py`) are behaviours; only reading,
passing on and writing HTTP belongs here.
"""

from __future__ import annotations

import asyncio
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

from specs import Contract, Operation


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


class Relay:
    """A relay in front of a backend; a context manager. `behave` is given each request."""

    def __init__(self, upstream: str, contract: Contract, behave: Behaviour) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        self._upstream = (parts.hostname, parts.port or 80)
        self._base = parts.path
        self.contract = contract
        self._behave = behave
        self.memory = Memory()
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
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:  # the backend is down: so is the way to it
            writer.close()
            return
        try:
            while True:
                ask = await self._ask(reader)
                if ask is None:
                    break

                async def forward(raw: bytes = ask.raw) -> Reply:
                    up_writer.write(raw)
                    return await _read_reply(up_reader)

                reply = await self._behave(self, ask, forward)
                if not await _write_reply(writer, reply):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            up_writer.close()
            writer.close()

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


async def _read_reply(reader: asyncio.StreamReader) -> Reply:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = [(n.strip(), v.strip()) for n, _, v in (x.partition(":") for x in lines[1:] if x)]
    length = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
    body = await reader.readexactly(length) if length else b""
    return Reply(status, [h for h in headers if h[0].lower() != "content-length"], body)


async def _write_reply(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Write an answer; False where the connection is over with it."""
    if reply.reset:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    lines = [f"HTTP/1.1 {reply.status} X", *(f"{n}: {v}" for n, v in reply.headers)]
    if reply.status != 204:
        lines.append(f"content-length: {len(reply.body)}")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    body = reply.body if reply.cut is None else reply.body[: reply.cut]
    writer.write(head + body + reply.after)
    await writer.drain()
    return not (reply.close or reply.cut is not None)
