"""The fast transport: one request at a time, and a name for everything a server does wrong."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import gevent
import pytest

from load.transport_fast import Connection, Trouble, header_of

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
Script = Callable[[socket.socket, int], None]


@contextmanager
def server(script: Script) -> Iterator[Connection]:
    """Serve connections one after the other by a script; yield a connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def serve() -> None:
            number = 0
            while not stopped.is_set():
                try:
                    accepted, _ = listener.accept()
                except OSError:
                    return
                with accepted:
                    accepted.settimeout(5)
                    with suppress(OSError):
                        script(accepted, number)
                number += 1

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        connection = Connection(listener.getsockname())
        try:
            yield connection
        finally:
            stopped.set()
            connection.close()


def answer(*parts: bytes, rounds: int = 1) -> Script:
    """Return a script that reads a request and sends the parts, so many times, then closes."""

    def script(sock: socket.socket, number: int) -> None:
        for _ in range(rounds):
            sock.recv(65536)
            for part in parts:
                sock.sendall(part)

    return script


def chunked(*parts: bytes) -> bytes:
    """Return a chunked answer."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in parts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ([OK], b"{}"),
        ([OK[:20], OK[20:-1], OK[-1:]], b"{}"),
        ([chunked(b"ab", b"cde")], b"abcde"),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], b""),
        ([b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", OK], b"{}"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK], b"{}"),
        ([b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"], b"until the end"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n", b"x" * 200_000], b"x" * 200_000),
    ],
)
def test_whole_answers_arrive_however_they_are_framed(wire: list[bytes], body: bytes) -> None:
    """Lengths, chunks, interim answers, bodies up to the close: each is read as HTTP says."""
    with server(answer(*wire)) as connection:
        status, _, given = connection.exchange(GET)
        assert status in (200, 204)
        assert given == body


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "truncated"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "truncated"),
        (b"", "truncated"),
        (b"SSH-2.0-x\r\n\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", "garbage"),
        (OK + b"\n{}", "bytes-after-body"),
        (OK + OK, "bytes-after-body"),
        (chunked(b"ab")[:-3], "truncated"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "garbage"),
    ],
)
def test_wrong_framing_has_a_name(wire: bytes, kind: str) -> None:
    """Lengths that lie, bytes that belong to nothing and early ends are told apart."""
    with server(answer(wire)) as connection, pytest.raises(Trouble) as trouble:
        connection.exchange(GET)
    assert trouble.value.kind == kind


def test_a_refused_connection_is_called_refused() -> None:
    """Nobody listens: the kind says so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Trouble) as trouble:
            Connection(taken.getsockname()).exchange(GET)
    assert trouble.value.kind == "refused"


def test_a_connection_is_kept_for_the_next_request() -> None:
    """A hundred requests, one connection."""
    with server(answer(OK, rounds=100)) as connection:
        for _ in range(100):
            assert connection.exchange(GET)[0] == 200
        assert connection.opened == 1


def test_an_announced_close_is_in_order_and_opens_a_new_connection() -> None:
    """`Connection: close` ends the connection; nobody is blamed."""
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with server(answer(closing)) as connection:
        assert [connection.exchange(GET)[0] for _ in range(3)] == [200, 200, 200]
        assert (connection.opened, connection.unannounced) == (3, 0)


def test_an_unannounced_close_is_counted_and_a_read_sent_again() -> None:
    """A server that closes without saying so is counted; a safe request is not lost by it."""
    with server(answer(OK)) as connection:
        assert [connection.exchange(GET)[0] for _ in range(3)] == [200, 200, 200]
        assert connection.unannounced == 2


def crossing(sock: socket.socket, number: int) -> None:
    """Answer the first request of a connection; reset the connection when the second has come."""
    sock.recv(65536)
    sock.sendall(OK)
    if sock.recv(65536):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_reset_that_crosses_a_read_on_a_kept_connection_is_a_close_like_any_other() -> None:
    """A close that our request crossed arrives as a reset: a read is sent again and it is told."""
    with server(crossing) as connection:
        assert [connection.exchange(GET)[0] for _ in range(3)] == [200, 200, 200]
        assert connection.unannounced == 2


def test_a_reset_that_crosses_a_write_is_a_failure() -> None:
    """Nobody knows whether the write was done: it is not sent again (RFC 9110 §9.2.2)."""
    with server(crossing) as connection:
        connection.exchange(GET)
        with pytest.raises(Trouble) as trouble:
            connection.exchange(POST)
    assert trouble.value.kind == "reset"


def test_bytes_that_come_while_nothing_is_asked_are_a_failure() -> None:
    """What a server says out of turn is found before the next request is sent on it."""
    read, told, gone = threading.Event(), threading.Event(), threading.Event()

    def script(sock: socket.socket, number: int) -> None:
        sock.recv(65536)
        sock.sendall(OK)
        read.wait(5)
        sock.sendall(b"HTTP/1.1 500 Oops\r\n\r\n")
        told.set()
        gone.wait(5)

    with server(script) as connection:
        connection.exchange(GET)
        read.set()
        told.wait(5)
        while not connection._early:
            gevent.sleep(0)
        with pytest.raises(Trouble) as trouble:
            connection.exchange(GET)
        gone.set()
    assert trouble.value.kind == "bytes-after-body"


def test_a_large_request_is_sent_whole() -> None:
    """A body larger than the socket's buffer arrives complete."""
    size = 4_000_000
    received = []

    def script(sock: socket.socket, number: int) -> None:
        total = 0
        while total < size:
            total += len(sock.recv(1 << 20))
        received.append(total)
        sock.sendall(OK)

    head = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size
    with server(script) as connection:
        assert connection.exchange(head + b"x" * size)[0] == 200
    assert received == [size + len(head)] or received[0] >= size


def test_headers_are_looked_up_without_case_in_the_raw_head() -> None:
    """A header's first value is found by its lower-case name; a part of a name is not a name."""
    head = b"HTTP/1.1 429 X\r\nX-Retry-After: 1\r\nRetry-After:  7 \r\nretry-after: 9"
    assert header_of(head, b"retry-after") == b"7"
    assert header_of(head, b"after") is None
