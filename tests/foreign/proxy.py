"""A small TCP proxy that may wait, die in the middle of an answer, or speak TLS to its callers."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from typing import Any


class Proxy:
    """Forwards bytes to a server on loopback, in a thread of its own.

    `delay`: seconds that each piece of an answer waits. `dies_after`: so many connections' worth
    of requests are served; then the next answer is cut after a few bytes, every connection is
    reset and nobody listens any more.
    """

    def __init__(
        self,
        upstream: tuple[str, int],
        *,
        delay: float = 0.0,
        dies_after: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.upstream, self.delay, self.dies_after, self.tls = upstream, delay, dies_after, tls
        self.requests = 0
        self.port = 0
        self.dead = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self._run(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls, backlog=200)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.upstream)
            self._writers.add(far_writer)
            await asyncio.gather(
                self._pump(reader, far_writer, self._asked),
                self._pump(far_reader, writer, self._answered),
            )
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Any
    ) -> None:
        while data := await reader.read(65536):
            data = await seen(data, writer)
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()

    async def _asked(self, data: bytes, _: asyncio.StreamWriter) -> bytes:
        self.requests += data.count(b" HTTP/1.1\r\n")
        return data

    async def _answered(self, data: bytes, writer: asyncio.StreamWriter) -> bytes:
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.dies_after is not None and self.requests > self.dies_after:
            writer.write(data[: len(data) // 2])
            await writer.drain()
            self._server.close()
            for each in self._writers:
                each.transport.abort()
            self.dead.set()
            raise ConnectionResetError
        return data
