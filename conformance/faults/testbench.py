"""The testbench: a real server on loopback that plays fault scripts at whoever calls it.

    with Testbench() as bench:
        session = bench.session(contract, Script.parse("ingest#1 503; ingest#2 reset"))
        ...  # point an SDK at session.base_url
        session.exchanges(), session.unconsumed(), session.commits

One thread, one event loop, any number of sessions at once. Sessions share a port and are told
apart by a prefix, `/c/<nonce>`; a client that drops prefixes gets a port of its own. A second
shared port is the other origin that redirects may point to. Only life and death of the server
are here; see `session.py` for what it decides and `wire.py` for what it sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import socket
import threading
from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from conformance.faults.answers import AnswerBook, Default
from conformance.faults.http import Connection
from conformance.faults.script import Script
from conformance.faults.session import KEPT, Chooser, Session
from conformance.faults.upstream import Upstream
from specs import Contract

HOST = "127.0.0.1"
BACKLOG = 1024
TURNS = 6
"""Turns of the loop in which a connection that has come is taken, and what came on it is read."""
STRAYS = 100
"""How many requests that belong to no session are remembered."""
T = TypeVar("T")


class Testbench:
    """A running server. Use it as a context manager, or call `close()`."""

    __test__ = False  # pytest: not a test class

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.strays: deque[tuple[str, str]] = deque(maxlen=STRAYS)
        """Method and target of requests that belong to no session."""
        self._sessions: dict[str, Session] = {}
        self._open: set[Session] = set()
        self._books: dict[int, AnswerBook] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._ready = threading.Event()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="testbench", daemon=True)
        self._thread.start()
        self._ready.wait()
        self._port, self._other = self._call(self._listen_shared())

    def __enter__(self) -> Testbench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def session(
        self,
        contract: Contract | None,
        script: Script | Chooser = Script(),
        own_port: bool = False,
        default: Default | None = None,
        *,
        upstream: Upstream | str | None = None,
        kept: int = KEPT,
    ) -> Session:
        """Return a new session, at work from now on. Any thread may call this.

        `own_port`: its base URL has no path; a script that refuses connections gets that anyway.
        `default` answers in place of the contract's example (an `Answer`, `(status, headers,
        body)`, or None for the example). `upstream` forwards to a real server, whose answers take
        the place of examples. `kept`: bytes of each request body that are recorded.
        """
        if self._closed:
            raise RuntimeError("the testbench is closed")
        nonce = secrets.token_hex(6)
        own_port = own_port or (isinstance(script, Script) and script.needs_own_port)
        port = OwnPort(self) if own_port else None
        at = f"http://{HOST}:{port.number}" if port else f"http://{HOST}:{self._port}/c/{nonce}"
        session = Session(
            base_url=at,
            other_url=f"http://{HOST}:{self._other}/c/{nonce}",
            contract=contract,
            script=script,
            book=self._book(contract),
            default=default,
            upstream=Upstream(upstream) if isinstance(upstream, str) else upstream,
            kept=kept,
        )
        session._close = lambda: self._end(session, nonce, port)
        session._port = port
        self._sessions[nonce] = session
        self._open.add(session)
        if port is not None:
            self._call(port.listen(session))
        return session

    def catch_up(self) -> None:
        """Wait until all that clients have sent by now is read. Any thread may call this."""
        self._call(self._turn())

    def close(self) -> None:
        """Close every session, socket and thread. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        for session in list(self._open):
            session.close()
        self._call(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- what connections ask (see http.Hub) ----------------------------------------------------

    def session_for(self, target: str) -> Session | None:
        """Return the session whose prefix a target on a shared port has."""
        if target.startswith(("http://", "https://")):
            target = "/" + "".join(target.split("/", 3)[3:])
        before, _, rest = target.partition("/c/")
        return None if before else self._sessions.get(rest.replace("?", "/").split("/", 1)[0])

    def stray(self, method: str, target: str) -> None:
        """Take note of a request that belongs to no session."""
        self.strays.append((method, target[:200]))

    def spawn(self, coroutine: Any) -> None:
        """Run a coroutine on the loop and keep hold of it."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def number(self) -> int:
        """Return the next connection's number."""
        return next(self._numbers)

    # --- the loop's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _listen_shared(self) -> tuple[int, int]:
        self._servers = [
            await self._loop.create_server(
                lambda principal=principal: Connection(self, None, principal),  # type: ignore[misc]
                HOST,
                0,
                backlog=BACKLOG,
            )
            for principal in ("a", "other")
        ]
        first, second = (server.sockets[0].getsockname()[1] for server in self._servers)
        return first, second

    async def _turn(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def _book(self, contract: Contract | None) -> AnswerBook:
        """Return the answers of a contract; made once, since examples take time."""
        book = self._books.get(id(contract))
        if book is None:
            book = self._books[id(contract)] = AnswerBook(contract)
        return book

    def _end(self, session: Session, nonce: str, port: OwnPort | None) -> None:
        if session in self._open:
            self._open.discard(session)
            self._sessions.pop(nonce, None)
            self._call(self._end_session(session, port))

    async def _end_session(self, session: Session, port: OwnPort | None) -> None:
        if port is not None:
            port.close()
        for connection in list(self.connections):
            if session in connection.sessions:
                connection.abort()
        while any(session in c.sessions for c in self.connections):
            await asyncio.sleep(0)
        if session.upstream is not None:
            await session.upstream.close()

    async def _shut_down(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.abort()
        while self.connections:
            await asyncio.sleep(0)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class OwnPort:
    """A port that belongs to one session. While nobody listens, the kernel refuses callers."""

    def __init__(self, bench: Testbench) -> None:
        self._bench = bench
        self._server: asyncio.Server | None = None
        self._filler: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._socket = _bound(0)
        self.number: int = self._socket.getsockname()[1]

    async def listen(self, session: Session) -> None:
        """Serve a session; not if its script begins with a refusal, later where it says so."""
        if session.closes_next:
            return
        late = session.late
        if late is None:
            await self._serve(session)
            return
        self._fill()
        if late.seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(
                late.seconds, lambda: self._bench.spawn(self._serve(session))
            )

    def _fill(self) -> None:
        """Fill the queue of connections that wait to be taken: the kernel answers no SYN then."""
        self._socket.listen(0)
        self._filler = socket.create_connection((HOST, self.number))

    async def _serve(self, session: Session) -> None:
        if self._filler is not None:
            self._socket.accept()[0].close()
            self._filler.close()
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._bench, session, "a"), sock=self._socket, backlog=BACKLOG
        )

    def refuse(self) -> None:
        """Stop listening and hold on to the number, so that nobody else can take it."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(OSError):
                self._socket = _bound(self.number)

    def close(self) -> None:
        """Give the port back."""
        if self._timer is not None:
            self._timer.cancel()
        if self._filler is not None:
            self._filler.close()
        if self._server is not None:
            self._server.close()
        self._socket.close()


def _bound(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
    except OSError:
        made.close()
        raise
    return made
