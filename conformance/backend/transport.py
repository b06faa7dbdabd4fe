"""HTTP/1.1 as bytes: keep-alive, requests that no library would send, and simultaneous release.

Only sockets, TLS and reading belong here. A transport takes the bytes of a request and gives
back an `Answer`: it builds no requests, knows no contract, follows no redirect and judges
nothing. Parsing is httptools' (llhttp); headers are kept exactly as they came.
"""

from __future__ import annotations

import errno
import select
import selectors
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit

import httptools

from conformance.backend.trust import SYSTEM, Trust
from conformance.clock import Clock, SystemClock
from conformance.history import Failure, Response
from conformance.verdict import Blame
from specs.proxies import ProxyTrouble, proxy_for

MAX_BODY = 8 * 1024 * 1024
"""Bytes of one answer that are read at most."""
LARGE = 1024 * 1024
"""Bytes of an answer that is no longer a usual one."""
LARGE_TOTAL = 128 * 1024 * 1024
"""Bytes that all larger answers of a run may take together; then `LARGE` is the most of one."""
MAX_FIELDS = 1000
"""Fields of one answer, trailers included, that are read at most; more is noise."""
MAX_HEAD = 256 * 1024
"""Bytes that may come before the end of an answer's header; more is no answer but noise."""
FRAMING = 16
"""Times a body's own bytes that its chunks and trailers may take; more is noise."""
IDLE_MAX = 2.0
"""Seconds after which an idle connection is not used again: servers close them at about 5."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request; `response` is None where no status line arrived."""

    response: Response | None
    failure: Failure | None
    sent: float
    received: float
    connection: int = 0


class Transport(Protocol):
    """The means to reach a server."""

    def exchange(self, data: bytes, timeout: float, *, fresh: bool = False) -> Answer:
        """Send one request, on a connection of its own where `fresh`, and read its answer."""

    def together(self, data: Sequence[bytes], timeout: float) -> list[Answer]:
        """Send several requests at the same moment, each on its own connection."""

    def close(self) -> None:
        """Close every connection."""


@dataclass(frozen=True)
class Origin:
    """Where a base URL leads. `path` has no trailing slash."""

    tls: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, base_url: str) -> Origin:
        """Return the origin of an absolute http or https URL. Raises ValueError otherwise."""
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"not an http or https URL: {base_url!r}")
        tls = url.scheme == "https"
        return cls(tls, url.hostname, url.port or (443 if tls else 80), url.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """What belongs into the Host field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


class _Reader:
    """Collects one final response from bytes; interim (1xx) responses are skipped."""

    def __init__(self, most: int = MAX_BODY) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._most = most
        """Bytes of the body that are read at most."""
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.started = self.complete = self.garbage = False
        self._headers_done = self._lasting = False
        self._before = 0
        """Bytes that came before the header of the final answer was whole."""
        self._fed = 0
        """Bytes that came at all: those of the header, of the body and of its framing."""

    def on_message_begin(self) -> None:
        self.headers, self.body, self._headers_done = [], bytearray(), False

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) < MAX_FIELDS:
            self.headers.append((name.decode("latin-1"), value.decode("latin-1")))
        else:
            self.garbage = not self.complete

    def on_headers_complete(self) -> None:
        self._headers_done = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = self._parser.get_status_code() >= 200
        self._lasting = bool(self._parser.should_keep_alive())  # afterwards it says no

    def feed(self, data: bytes) -> None:
        self.started = True
        if not self._headers_done or self._parser.get_status_code() < 200:
            if self._before > MAX_HEAD:
                self.garbage = True
                return
            self._before += len(data)
        self._fed += len(data)
        if self._fed > MAX_HEAD + FRAMING * max(len(self.body), MAX_HEAD):
            self.garbage = True  # sizes of chunks and trailers without end
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.complete = True
        except httptools.HttpParserError:
            self.garbage = not self.complete

    def end(self) -> None:
        """Say that the connection ended: a body without a length ends there."""
        names = {name.lower() for name, _ in self.headers}
        framed = "content-length" in names or "transfer-encoding" in names
        self.complete = self.complete or (self._headers_done and not framed)

    @property
    def done(self) -> bool:
        return self.complete or self.garbage or self.too_large

    @property
    def too_large(self) -> bool:
        """True where the body goes on after all that is read of one."""
        return len(self.body) > self._most

    @property
    def failure(self) -> Failure | None:
        """What is wrong with what came; None for a whole answer."""
        return "garbage" if self.garbage else "too-large" if self.too_large else None

    def response(self) -> Response | None:
        if not self._headers_done:
            return None
        return Response(
            self._parser.get_status_code(), tuple(self.headers), bytes(self.body), self.complete
        )

    @property
    def keep_alive(self) -> bool:
        return self.complete and self._lasting


@dataclass
class _Connection:
    socket: socket.socket
    number: int
    used: float
    kept: bool = False
    """True once it has answered and lay idle."""


@dataclass
class SocketTransport:
    """Real sockets to one origin. Safe to use from several threads."""

    origin: Origin
    trust: Trust = SYSTEM
    clock: Clock = field(default_factory=SystemClock)
    _idle: list[_Connection] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _opened: int = 0
    _large: int = 0
    """Bytes of the answers so far that were larger than `LARGE`."""

    def __post_init__(self) -> None:
        self._tls = self.trust.context() if self.origin.tls else None
        self._proxy = proxy_for("https" if self.origin.tls else "http", self.origin.host)

    def exchange(self, data: bytes, timeout: float, *, fresh: bool = False) -> Answer:
        """Send one request and read its answer; failures are told, never raised.

        A kept connection that ends without a byte of answer was closed while it lay idle, as far
        as anybody can tell (RFC 9112 section 9.3.1): the request goes out once more on a new one.
        """
        sent = self.clock.monotonic()
        try:
            connection = self._open(timeout) if fresh else self._take(timeout)
        except (OSError, ValueError) as error:
            return Answer(None, _failure(error), sent, self.clock.monotonic())
        answer = self._ask(connection, data, timeout, fresh)
        if connection.kept and answer.response is None and answer.failure in ("closed", "reset"):
            try:
                return self._ask(self._open(timeout), data, timeout, fresh)
            except OSError as error:
                return Answer(None, _failure(error), answer.sent, self.clock.monotonic())
        return answer

    def _ask(
        self, connection: _Connection, data: bytes, timeout: float, fresh: bool, had: bytes = b""
    ) -> Answer:
        """Send a request and read its answer; `had` came before on this connection."""
        reader = _Reader(self._most())
        if had:
            reader.feed(had)
        failure: Failure | None = None
        sent = self.clock.monotonic()
        try:
            connection.socket.settimeout(timeout)
            broken: OSError | None = None
            try:
                connection.socket.sendall(self._out(data))
            except OSError as error:  # a server may answer and close before it has read all
                broken = error
            failure = self._read(connection, reader, sent + timeout)
            if broken is not None and reader.response() is None:
                failure = _failure(broken)
        except OSError as error:
            failure = _failure(error)
        return self._finish(connection, reader, failure, sent, fresh)

    def together(self, data: Sequence[bytes], timeout: float) -> list[Answer]:
        """Send everything but each request's last byte, then all last bytes at once."""
        opened: list[tuple[_Connection, _Reader]] = []
        data = [self._out(each) for each in data]
        most = min(self._most(), max(LARGE, LARGE_TOTAL // max(len(data), 1)))
        try:
            for each in data:
                connection = self._open(timeout)
                opened.append((connection, _Reader(most)))
                connection.socket.sendall(each[:-1])
        except OSError as error:
            for connection, _ in opened:
                connection.socket.close()
            now = self.clock.monotonic()
            return [Answer(None, _failure(error), now, now) for _ in data]
        sent = []
        for each, (connection, _) in zip(data, opened, strict=True):
            sent.append(self.clock.monotonic())
            connection.socket.sendall(each[-1:])
        return self._gather(opened, sent, timeout)

    def then(self, head: bytes, after: bytes, timeout: float) -> tuple[Answer, Answer | None]:
        """Send a HEAD and then another request on one connection, and read both answers.

        The first ends with its header, whatever length it tells. None where the server closes.
        """
        sent = self.clock.monotonic()
        try:
            connection = self._open(timeout)
        except (OSError, ValueError) as error:
            return Answer(None, _failure(error), sent, self.clock.monotonic()), None
        reader, data = _Reader(), b""
        try:
            connection.socket.settimeout(timeout)
            connection.socket.sendall(self._out(head))
            while b"\r\n\r\n" not in data and len(data) < MAX_HEAD:
                more = connection.socket.recv(65536)
                if not more:
                    break
                data += more
        except OSError as error:
            connection.socket.close()
            return Answer(None, _failure(error), sent, self.clock.monotonic()), None
        first, _, rest = data.partition(b"\r\n\r\n")
        reader.feed(first + b"\r\n\r\n")
        response = reader.response()
        whole = replace(response, body=b"", complete=True) if response else None
        failure: Failure | None = None if whole else "closed"
        answer = Answer(whole, failure, sent, self.clock.monotonic(), connection.number)
        if whole is None or (whole.header("connection") or "").lower() == "close":
            connection.socket.close()
            return answer, None
        return answer, self._ask(connection, after, timeout, True, rest)

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            for connection in self._idle:
                connection.socket.close()
            self._idle.clear()

    def _gather(
        self, opened: list[tuple[_Connection, _Reader]], sent: list[float], timeout: float
    ) -> list[Answer]:
        """Read all answers, each stamped when its last byte came."""
        answers: dict[int, Answer] = {}
        deadline = self.clock.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for index, (connection, _) in enumerate(opened):
                connection.socket.setblocking(False)
                selector.register(connection.socket, selectors.EVENT_READ, index)
            while len(answers) < len(opened):
                left = deadline - self.clock.monotonic()
                ready = selector.select(max(left, 0.0))
                if not ready and left <= 0:
                    break
                for key, _ in ready:
                    index = key.data
                    connection, reader = opened[index]
                    failure = _drain(connection.socket, reader)
                    if failure is not None or reader.done:
                        selector.unregister(connection.socket)
                        answers[index] = self._finish(
                            connection, reader, failure, sent[index], True
                        )
        for index, (connection, reader) in enumerate(opened):
            if index not in answers:
                answers[index] = self._finish(connection, reader, "timeout", sent[index], True)
        return [answers[index] for index in range(len(opened))]

    def _take(self, timeout: float) -> _Connection:
        now = self.clock.monotonic()
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._open(timeout)
            if now - connection.used < IDLE_MAX and not _readable(connection.socket):
                return connection
            connection.socket.close()

    def _open(self, timeout: float) -> _Connection:
        raw = self._connected(timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            raw = self._tls.wrap_socket(raw, server_hostname=self.origin.host)
        with self._lock:
            self._opened += 1
            number = self._opened
        return _Connection(raw, number, self.clock.monotonic())

    def _connected(self, timeout: float) -> socket.socket:
        """Return a socket that leads to the origin. Raises ProxyTrouble for the way through."""
        proxy = self._proxy
        if proxy is None:
            return socket.create_connection((self.origin.host, self.origin.port), timeout=timeout)
        try:
            raw = socket.create_connection((proxy.host, proxy.port), timeout=timeout)
        except OSError as error:
            raise ProxyTrouble(f"the proxy {proxy.shown} cannot be reached: {error}") from error
        if self._tls is None:
            return raw
        try:
            raw.sendall(proxy.tunnel(f"{self.origin.host}:{self.origin.port}"))
            head = b""
            while b"\r\n\r\n" not in head and len(head) < MAX_HEAD and (more := raw.recv(4096)):
                head += more
        except OSError as error:
            raw.close()
            raise ProxyTrouble(f"the proxy {proxy.shown} broke off: {error}") from error
        status = head[9:12]
        if not status.startswith(b"2"):
            raw.close()
            raise proxy.refused(int(status) if status.isdigit() else 0)
        return raw

    def _out(self, data: bytes) -> bytes:
        """Return a request as whoever reads it first wants it: a proxy that we speak plainly to."""
        if self._proxy is None or self._tls is not None:
            return data
        return self._proxy.through(data, self.origin.authority)

    def _read(self, connection: _Connection, reader: _Reader, deadline: float) -> Failure | None:
        while not reader.done:
            left = deadline - self.clock.monotonic()
            if left <= 0:
                return "timeout"
            connection.socket.settimeout(left)
            data = connection.socket.recv(65536)
            if not data:
                return _ended(reader)
            reader.feed(data)
        return reader.failure

    def _most(self) -> int:
        """Return how many bytes of the next body are read."""
        return MAX_BODY if self._large <= LARGE_TOTAL else LARGE

    def _finish(
        self,
        connection: _Connection,
        reader: _Reader,
        failure: Failure | None,
        sent: float,
        fresh: bool,
    ) -> Answer:
        received = self.clock.monotonic()
        if len(reader.body) > LARGE:
            with self._lock:
                self._large += len(reader.body)
        if failure is None and not fresh and reader.keep_alive:
            connection.used, connection.kept = received, True
            with self._lock:
                self._idle.append(connection)
        else:
            connection.socket.close()
        answer = Answer(reader.response(), failure, sent, received, connection.number)
        if self._proxy and self._tls is None and answer.response and answer.response.status == 407:
            _failure(self._proxy.refused(407))
        return answer


def _drain(sock: socket.socket, reader: _Reader) -> Failure | None:
    """Feed what can be read without waiting; return how it failed, if it did."""
    try:
        while not reader.done:
            data = sock.recv(65536)
            if not data:
                return _ended(reader)
            reader.feed(data)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None
    except OSError as error:
        return _failure(error)
    return reader.failure


def _ended(reader: _Reader) -> Failure | None:
    reader.end()
    if reader.complete:
        return None
    return "truncated" if reader.started else "closed"


def _readable(sock: socket.socket) -> bool:
    """Return True where an idle connection has something to read: an end, or bytes unasked for."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _failure(error: Exception) -> Failure:
    """Return how a connection failed. Raises the error where the trouble is this machine's own."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return "reset"
    if isinstance(error, OSError) and not isinstance(error, _PEER) and error.errno not in _AWAY:
        error.blame = Blame.ENVIRONMENT  # type: ignore[attr-defined]
        raise error
    return "refused"


_PEER = (ConnectionError, socket.gaierror)
_AWAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENOTCONN})
"""Error numbers by which the system says that nobody is there."""
