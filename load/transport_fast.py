"""The fast transport: plain HTTP/1.1 over one socket, parsed by llhttp, under gevent.

One connection carries one request at a time (pipelining never). What is wrong with an answer's
framing has a name (`Trouble.kind`): refused, reset, timeout, truncated, garbage,
bytes-after-body, too-large; tls, proxy and network tell where else it broke. Bodies are bytes;
headers stay the raw head, to be looked up by whoever asks (`header_of`). TLS and proxies are
`transport_agent.py`'s.
"""

from __future__ import annotations

import _socket
import errno
import socket
from functools import partial
from time import perf_counter
from typing import Any, Literal

import greenlet  # type: ignore[import-untyped]
from gevent import get_hub, getcurrent
from gevent import socket as _gevent_socket
from httptools import HttpParserError, HttpResponseParser

TroubleKind = Literal[
    "refused", "reset", "timeout", "truncated", "garbage", "bytes-after-body",
    "too-large", "tls", "proxy", "network",
]  # fmt: skip
CHUNK = 65_536
LARGEST = 64 * 1024 * 1024
"""Bytes of one answer beyond which it is given up."""
IDLE = 1.0
"""Seconds of idleness after which a server may close a kept connection without blame."""


cooperative: Any = _gevent_socket
switch = greenlet.greenlet.switch
"""The switch itself: gevent's own first looks for a hook that nobody uses."""


class Trouble(Exception):
    """An exchange without a whole answer. `kind` is its name."""

    def __init__(self, kind: TroubleKind, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


class Timeout(Trouble):
    """Thrown into the waiting greenlet by whoever watches the time."""

    def __init__(self) -> None:
        super().__init__("timeout")


def header_of(head: bytes, name: bytes) -> bytes | None:
    """Return the first value of a header in a raw head, or None; `name` in lower case."""
    folded = head.lower()
    start = folded.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None].strip()


def _measure(head: bytes, received: int, body: bytes) -> None:
    """Raise Trouble where more came than head and body: empty lines, which the parser passes over.

    What comes in chunks has no length to measure; there the parser's word is taken.
    """
    if received - len(head) - 2 > len(body) and header_of(head, b"transfer-encoding") is None:
        raise Trouble("bytes-after-body", "empty lines after the answer")


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
            raise Trouble(_kind(error), error.strerror or "") from error
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
        self._parser = _Callbacks(self._body, self._begun, self._done).parser

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
        except HttpParserError as error:
            raise self._unparsable(received, str(error)) from None
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
            _measure(head, len(received), whole)
        return status, head, whole

    def _slowly(self, raw: bytes) -> tuple[int, bytes, bytes]:
        """Read any answer that did not come whole in one piece, or ends its connection."""
        while True:
            while b"\r\n\r\n" not in raw:
                raw += self._more_of(raw)
            if raw[9:10] != b"1" or raw[9:12] == b"101":
                break
            raw = raw.partition(b"\r\n\r\n")[2]  # an interim answer (RFC 9110 §15.2)
        self._renew()
        head, total = raw[: raw.find(b"\r\n\r\n") + 2], len(raw)
        self._feed(raw)
        while not self._done:
            more = self._more()
            if not more:
                self._ended(head)
                break
            total += len(more)
            if total > LARGEST:
                raise Trouble("too-large", f"more than {LARGEST} bytes")
            self._feed(more)
        if len(self._begun) != 1:
            raise Trouble("bytes-after-body", "a second answer to one request")
        status, whole = self._parser.get_status_code(), b"".join(self._body)
        if self._done and self._done[0]:
            self._renew()
        else:
            self.close()
        self._fresh = False
        _measure(head, total, whole)
        return status, head, whole

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise self._unparsable(data, str(error)) from None

    def _more_of(self, raw: bytes) -> bytes:
        """Return more of a head that is not whole."""
        if not raw.startswith(b"HTTP/"[: len(raw)]):
            raise self._unparsable(raw, "not an HTTP answer")
        if len(raw) > 4 * CHUNK:
            raise Trouble("too-large", "a head without an end")
        more = self._more()
        if not more:
            raise Trouble("truncated", "closed inside a head")
        return more

    def _ended(self, head: bytes) -> None:
        """The server closed inside a message: right only where the body runs until the close."""
        framed = header_of(head, b"content-length") or header_of(head, b"transfer-encoding")
        if framed is not None:
            raise Trouble("truncated", "closed before the answer was whole")

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

    def _unparsable(self, received: bytes, why: str) -> Trouble:
        if self._done:
            return Trouble("bytes-after-body", "bytes that belong to no answer")
        if not received.startswith(b"HTTP/") and not self._begun:
            kind: TroubleKind = "garbage" if self._fresh else "bytes-after-body"
            return Trouble(kind, "not an HTTP answer")
        return Trouble("garbage", why.splitlines()[0][:80])

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


class _Callbacks:
    """What llhttp calls back: appends to lists, with as little Python in between as can be."""

    def __init__(self, body: list[bytes], begun: list[int], done: list[bool]) -> None:
        self.on_body = body.append
        self.on_message_begin = partial(begun.append, 1)
        self.on_message_complete = self._complete
        self._done = done
        self.parser = HttpResponseParser(self)
        self._should_keep_alive = self.parser.should_keep_alive

    def _complete(self) -> None:
        # Asked here because llhttp forgets it as soon as the message is over.
        self._done.append(self._should_keep_alive())


def _kind(error: OSError) -> TroubleKind:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return "reset"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "network"
