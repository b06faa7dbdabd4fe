"""The fast transport: plain HTTP/1.1 over one socket, parsed by llhttp, under gevent.

One connection carries one request at a time (pipelining never). What is wrong with an answer's
framing has a name (`framing.Trouble`); answers that do not come whole in one piece are read by
`framing.Reading`. Bodies are bytes; headers stay the raw head, to be looked up by whoever asks
(`framing.header_of`). TLS and proxies are `transport_agent.py`'s.
"""

from __future__ import annotations

import _socket
import errno
import socket
from typing import Any

import greenlet  # type: ignore[import-untyped]
from gevent import get_hub, getcurrent
from gevent import socket as _gevent_socket
from httptools import HttpParserError

from conformance.clock import perf_counter
from load.framing import IDLE, Parser, Reading, Trouble, TroubleKind, kind_of, measure

CHUNK = 65_536
cooperative: Any = _gevent_socket
switch = greenlet.greenlet.switch
"""The switch itself: gevent's own first looks for a hook that nobody uses."""


class Connection:
    """One kept-alive connection to one address, opened when first used.

    `exchange` sends prepared bytes and returns (status, head, body); it raises Trouble. After a
    Trouble the connection is closed and the next exchange opens a new one.
    """

    __slots__ = (
        "_address", "_begun", "_body", "_done", "_early", "_fresh", "_hub", "_idle",
        "_parser", "_sock", "_waiting", "_watcher",
        "busy_since", "closed_idle", "greenlet", "opened", "shot", "unannounced",
    )  # fmt: skip

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._sock: _socket.socket | None = None
        self._watcher: Any = None
        self._body: list[bytes] = []
        self._begun: list[int] = []
        self._done: list[bool] = []
        self._parser: Any = None
        self._fresh = False
        self._hub: Any = None
        self._waiting = False
        """True while the greenlet waits for something to read."""
        self._early = False
        """True where something came while nothing was asked; the watcher is then stopped."""
        self._idle = 0.0
        """Seconds after the last request at which something came that nobody asked for."""
        self.greenlet: Any = None
        """The greenlet that waits in `exchange`, None when idle; a watcher may throw into it."""
        self.busy_since = 0.0
        """When the last exchange began, by `perf_counter`; set by whoever calls `exchange`."""
        self.shot: Any = None
        """What is being asked, as whoever calls `exchange` notes it; nothing here reads it."""
        self.opened = 0
        self.closed_idle = 0
        """Times the server closed a connection that had been idle for a while: its right."""
        self.unannounced = 0
        """Times the server closed right after an answer without `Connection: close`."""

    def exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Send one request and return its whole answer. Raises Trouble."""
        self.greenlet = getcurrent()
        try:
            if self._sock is None:
                self._open()
            elif self._early:
                self._look()
            return self._exchange(data)
        except Trouble:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise Trouble(kind_of(error), error.strerror or "") from error
        except BaseException:  # ended from outside: the answer must find nobody waiting
            self.close()
            raise
        finally:
            self.greenlet = None

    def close(self) -> None:
        """Close the connection; the next exchange opens a new one."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _open(self) -> None:
        infos = cooperative.getaddrinfo(*self._address, type=socket.SOCK_STREAM)
        last: OSError | None = None
        for family, kind, proto, _, address in infos:
            sock = cooperative.socket(family, kind, proto)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
            except OSError as error:
                sock.close()
                last = error
                continue
            except BaseException:
                sock.close()
                raise
            self._keep(sock)
            return
        raise last or OSError(errno.EADDRNOTAVAIL, "no address")

    def _keep(self, sock: Any) -> None:
        """Take the raw non-blocking socket out of gevent's wrapper: fewer calls per request."""
        raw = _socket.socket(fileno=sock.detach())
        raw.setblocking(False)
        self._sock = raw
        self._hub = get_hub()
        self._early = self._waiting = False
        self._watcher = self._hub.loop.io(raw.fileno(), 1)
        self._watcher.start(self._ready)
        self._begin()

    def _begin(self) -> None:
        """Take note of a connection that is new."""
        self._fresh = True
        self.opened += 1
        self.busy_since = perf_counter()
        self._renew()

    def _renew(self) -> None:
        """Give the connection a parser. Callbacks are bound methods of lists: no Python runs."""
        self._body.clear()
        self._begun.clear()
        self._done.clear()
        self._parser = Parser(self._body, self._begun, self._done).parser

    def _ready(self) -> None:
        """Be called by the hub when there is something to read, asked for or not."""
        if self._waiting:
            self._waiting = False
            self.greenlet.switch()
        else:
            self._watcher.stop()
            self._early = True
            self._idle = perf_counter() - self.busy_since

    def _look(self) -> None:
        """The server did something while nothing was asked: it closed, or spoke out of turn."""
        assert self._sock is not None
        try:
            early = self._sock.recv(CHUNK)
        except ConnectionError:
            early = b""
        self._told(early)

    def _told(self, early: bytes) -> None:
        """Judge what came while nothing was asked: nothing but a close is allowed."""
        if early:
            raise Trouble("bytes-after-body", "bytes came while nothing was asked")
        self._shut(self._idle)
        self._open()

    def _shut(self, idle: float) -> None:
        """Count a close that nobody announced; after a while of idleness it is a server's right."""
        self.close()
        if idle > IDLE:
            self.closed_idle += 1
        else:
            self.unannounced += 1

    def _exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        sock, begun, done, body = self._sock, self._begun, self._done, self._body
        assert sock is not None
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        except (BrokenPipeError, ConnectionResetError):
            if self._fresh:
                raise
            return self._closed_before_answer(data, "reset")
        if sent != len(data):
            self._send_rest(data, sent)
        if self._early:
            self._wait()
        else:
            self._waiting = True
            switch(self._hub)
        try:
            received = sock.recv(CHUNK)
        except BlockingIOError:
            received = self._more()
        except ConnectionResetError:  # how a close looks that our request has crossed
            if self._fresh:
                raise
            return self._closed_before_answer(data, "reset")
        if not received:
            return self._closed_before_answer(data)
        parser = self._parser
        try:
            parser.feed_data(received)
        except HttpParserError:
            return self._slowly(received)
        if len(done) != 1 or len(begun) != 1 or not done[0]:
            return self._slowly(received)
        status: int = parser.get_status_code()
        if status < 200:
            return self._slowly(received)
        whole = body[0] if len(body) == 1 else b"".join(body)
        begun.clear()
        done.clear()
        body.clear()
        self._fresh = False
        head = received[: received.find(b"\r\n\r\n") + 2]
        if len(received) - len(head) - 2 != len(whole):
            measure(head, len(received), whole)
        return status, head, whole

    def _slowly(self, raw: bytes) -> tuple[int, bytes, bytes]:
        """Read any answer that did not come right and whole in one piece, or ends its connection.

        Raises Trouble, which says what is wrong with it.
        """
        self._renew()
        reading = Reading(self._fresh)
        while not reading.feed(raw):
            raw = self._more()
            if not raw:
                reading.end()
                break
        if not reading.keep:
            self.close()
        self._fresh = False
        return reading.status, reading.head, reading.body

    def _closed_before_answer(
        self, data: bytes, kind: TroubleKind = "truncated"
    ) -> tuple[int, bytes, bytes]:
        """No byte came. On a kept connection this is a close that crossed our request.

        Only what HTTP calls safe is sent again (RFC 9110 §9.2.2); the rest is a failure.
        """
        if self._fresh or not data.startswith((b"GET ", b"HEAD ", b"OPTIONS ")):
            raise Trouble(kind, "closed without an answer")
        self._shut(0.0)
        self._open()
        return self._again(data)

    def _again(self, data: bytes) -> tuple[int, bytes, bytes]:
        return self._exchange(data)

    def _wait(self) -> None:
        """Let others run until there is something to read."""
        if self._early:
            self._early = False
            self._watcher.start(self._ready)
            return
        self._waiting = True
        switch(self._hub)

    def _more(self) -> bytes:
        assert self._sock is not None
        while True:
            self._wait()
            try:
                return self._sock.recv(CHUNK)
            except BlockingIOError:
                continue

    def _send_rest(self, data: bytes, sent: int) -> None:
        assert self._sock is not None
        writable = get_hub().loop.io(self._sock.fileno(), 2)
        try:
            while sent < len(data):
                get_hub().wait(writable)
                try:
                    sent += self._sock.send(data[sent : sent + 4 * CHUNK])
                except BlockingIOError:
                    continue
        finally:
            writable.close()
