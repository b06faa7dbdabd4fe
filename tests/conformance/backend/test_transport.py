"""The wire of the backend suite: what it reads, what it keeps open, what it releases at once."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from conformance.backend import suite, transport
from conformance.backend.subject import BackendSubject
from conformance.backend.transport import Origin, SocketTransport
from conformance.verdict import Blame, Verdict
from tests.scripted import contract

Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[SocketTransport]:
    """Run `serve` on every connection to a listening socket; give a transport to it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=_quietly, args=(serve, connection), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    transport = SocketTransport(Origin.of(f"http://127.0.0.1:{listening.getsockname()[1]}"))
    try:
        yield transport
    finally:
        transport.close()
        listening.close()


def _quietly(serve: Serve, connection: socket.socket) -> None:
    with connection, contextlib.suppress(OSError):
        serve(connection)


def heads(connection: socket.socket) -> Iterator[bytes]:
    """Yield the head of each request that comes in."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        head, data = data.split(b"\r\n\r\n", 1)
        yield head


def answering(*answers: bytes, close: bool = False) -> Serve:
    """Return what answers requests in turn, the last answer again and again."""

    def serve(connection: socket.socket) -> None:
        for number, _ in enumerate(heads(connection)):
            connection.sendall(answers[min(number, len(answers) - 1)])
            if close:
                return

    return serve


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://h/a/", Origin(False, "h", 80, "/a")),
        ("https://h:8443", Origin(True, "h", 8443, "")),
        ("http://[::1]:9/x", Origin(False, "::1", 9, "/x")),
    ],
)
def test_an_origin_is_read_from_a_url(url: str, expected: Origin) -> None:
    """Scheme, port and base path are taken apart; no slash stays at the end."""
    assert expected == Origin.of(url)


@pytest.mark.parametrize("url", ["ftp://h", "h:80", "http://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """Only http and https lead anywhere."""
    with pytest.raises(ValueError, match="not an http"):
        Origin.of(url)


def test_a_connection_is_used_again_while_it_is_good() -> None:
    """Two requests go over one connection; a fresh one has its own."""
    with serving(answering(OK)) as transport:
        first, second = (transport.exchange(ASK, 5) for _ in range(2))
        alone = transport.exchange(ASK, 5, fresh=True)
    assert (first.connection, first.connection) == (second.connection, first.connection)
    assert alone.connection != first.connection


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    """The end of an idle connection is noticed before anything is sent on it."""
    with serving(answering(OK, close=True)) as transport:
        statuses = [transport.exchange(ASK, 5).response for _ in range(5)]
    assert [200] * 5 == [r.status for r in statuses if r]


@pytest.mark.parametrize(
    ("answer", "status", "body", "failure"),
    [
        (OK, 200, b"ok", None),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, b"to the end", None),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok",
         None),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok", None),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", 200, b"half", "truncated"),
        (b"not http at all\r\n\r\n", None, b"", "garbage"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", None, b"", "truncated"),
        (b"", None, b"", "closed"),
    ],
)  # fmt: skip
def test_every_way_of_answering_is_told_truly(
    answer: bytes, status: int | None, body: bytes, failure: str | None
) -> None:
    """Framing by length, chunks and close is read; what breaks off or is no HTTP is named."""
    with serving(answering(answer, close=True)) as transport:
        made = transport.exchange(ASK, 5)
    assert failure == made.failure
    assert status == (made.response.status if made.response else None)
    assert body == (made.response.body if made.response else b"")
    if made.response is not None:
        assert (failure is None) is made.response.complete


@pytest.mark.parametrize(
    "endless",
    [b"HTTP/1.1 200 OK\r\n" + b"x-more: 0123456789\r\n" * 60_000, b"HTTP/1.1 200 OK\r\nx: ",
     b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40_000],
    ids=["fields", "value", "interim"],
)  # fmt: skip
def test_a_head_without_an_end_is_no_answer(endless: bytes) -> None:
    """A subject is hostile: what never comes to a body is given up, long before the time is."""
    with serving(answering(endless.ljust(1_000_000, b"y"))) as transport:
        made = transport.exchange(ASK, 600)
    assert (None, "garbage") == (made.response, made.failure)


def test_header_fields_stay_as_they_came() -> None:
    """Names keep their case, doubled fields stay two, and odd bytes do no harm."""
    head = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: caf\xe9\r\ncontent-length: 0\r\n\r\n"
    with serving(answering(head)) as transport:
        made = transport.exchange(ASK, 5)
    assert made.response is not None
    assert (("X-A", "1"), ("x-a", "caf\xe9"), ("content-length", "0")) == made.response.headers


def test_nobody_there_is_told_as_refused() -> None:
    """A port that nobody listens on is no crash."""
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    made = SocketTransport(Origin.of(f"http://127.0.0.1:{port}")).exchange(ASK, 1)
    assert (None, "refused") == (made.response, made.failure)


def test_a_silent_server_is_left_in_time() -> None:
    """An answer that does not come ends the wait, and is told."""
    silent = threading.Event()
    with serving(lambda connection: bool(silent.wait(10)) and None) as transport:
        made = transport.exchange(ASK, 0.05)
    silent.set()
    assert "timeout" == made.failure
    assert made.received - made.sent < 5


def test_an_answer_to_a_body_that_nobody_reads_is_still_read() -> None:
    """A server may answer and close before it has taken a large body."""

    def serve(connection: socket.socket) -> None:
        next(heads(connection))
        connection.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with serving(serve) as transport:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n"
        made = transport.exchange(head + b"x" * 8_000_000, 10)
    assert made.response is not None
    assert 413 == made.response.status


def test_requests_are_released_together() -> None:
    """No request is whole before all connections stand; then all of them are answered."""
    open_connections = threading.Barrier(12, timeout=5)

    def serve(connection: socket.socket) -> None:
        open_connections.wait()  # broken, unless twelve connections are open at once
        for _ in heads(connection):
            connection.sendall(OK)

    with serving(serve) as transport:
        answers = transport.together([ASK] * 12, 5)
    assert [200] * 12 == [a.response.status for a in answers if a.response]
    assert 12 == len({a.connection for a in answers})


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.ENOMEM])
def test_our_own_limits_are_not_the_servers(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files, no ports left: an error of what surrounds us, and no finding."""
    with serving(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")) as transport:
        subject = BackendSubject(contract(), "http://127.0.0.1:1", ["k"], transport=transport)
        take = suite.Taker(subject)
        case = next(c for c in suite.cases() if c.id == "errors.unknown-path")
        operation = subject.contract["things.list"]

        def limited(*_: object, **__: object) -> socket.socket:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(socket, "create_connection", limited)
        result = take(case, operation, "")
    assert (Verdict.ERROR, Blame.ENVIRONMENT, ()) == (
        result.verdict, result.blame, result.findings
    )  # fmt: skip
    assert os.strerror(number) in result.reason


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH])
def test_that_nobody_is_there_is_told_as_such(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says of the way to a server is no trouble of ours."""

    def away(*_: object, **__: object) -> socket.socket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "create_connection", away)
    answer = SocketTransport(Origin.of("http://127.0.0.1:1")).exchange(b"", 1.0)
    assert "refused" == answer.failure


def test_trailers_without_end_are_bounded() -> None:
    """What comes after a body is noise beyond its share, and is not kept."""

    def endless(connection: socket.socket) -> None:
        next(heads(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        with contextlib.suppress(OSError):
            for number in range(2000):
                connection.sendall(b"x-%d: " % number + b"y" * 16000 + b"\r\n")

    with serving(endless) as transport:
        answer = transport.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 20.0)
    assert answer.failure is not None
    held = sum(len(v) for _, v in answer.response.headers) if answer.response else 0
    assert held < 8 * 1024 * 1024


def test_fields_without_end_are_bounded() -> None:
    """Thousands of short fields take much more memory than bytes: more than enough is noise."""

    def many(connection: socket.socket) -> None:
        for _ in heads(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 20_000 + b"\r\n")

    with serving(many) as wire:
        answer = wire.exchange(b"GET / HTTP/1.1\r\n\r\n", 20.0)
    assert "garbage" == answer.failure
    assert answer.response is None or len(answer.response.headers) <= transport.MAX_FIELDS


def test_large_answers_are_read_up_to_a_budget_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One large answer is read whole; when all together are too much, the most of one shrinks."""
    monkeypatch.setattr(transport, "MAX_BODY", 200_000)
    monkeypatch.setattr(transport, "LARGE", 10_000)
    monkeypatch.setattr(transport, "LARGE_TOTAL", 150_000)

    def large(connection: socket.socket) -> None:
        for head in heads(connection):
            size = int(head.split(b" ")[1][1:])
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
            connection.sendall(b"x" * size)

    with serving(large) as wire:
        sizes = (9_000, 100_000, 100_000, 100_000, 9_000, 300_000)
        ends = [wire.exchange(b"GET /%d HTTP/1.1\r\n\r\n" % n, 20.0).failure for n in sizes]
        wire._large = 0
        many = wire.together([b"GET /30000 HTTP/1.1\r\n\r\n"] * 10, 20.0)
        few = wire.together([b"GET /30000 HTTP/1.1\r\n\r\n"] * 2, 20.0)
    assert [None, None, None, "too-large", None, "too-large"] == ends
    assert {"too-large"} == {answer.failure for answer in many}
    assert {None} == {answer.failure for answer in few} or wire._large > 150_000
