"""The fast transport: one request at a time, and a name for everything a server does wrong."""

import socket
import struct
import threading
from urllib.parse import urlsplit

import gevent
import pytest

import specs
from load.framing import Reading, Trouble, header_of
from load.relay import Ask, Forward, Relay, Reply
from load.transport_fast import Connection
from tests.scripted_server import GET, OK, POST, TOLD, WHOLE, WRONG, answer, server, told


@pytest.mark.parametrize("case", WHOLE)
def test_whole_answers_arrive_however_they_are_framed(case: str) -> None:
    """Lengths, chunks, interim answers, bodies up to the close: each is read as HTTP says."""
    wire, expected = WHOLE[case]
    with server(answer(*wire)) as connection:
        assert told(connection) == expected


@pytest.mark.parametrize("case", WRONG)
def test_wrong_framing_has_a_name(case: str) -> None:
    """Lengths that lie, bytes that belong to nothing and early ends are told apart."""
    wire, kind = WRONG[case]
    with server(answer(*wire)) as connection:
        assert told(connection) == kind


def read(pieces: list[bytes]) -> tuple[int, bytes] | str:
    """Return what a reading makes of these pieces and a close behind them."""
    reading = Reading()
    try:
        done = [reading.feed(piece) for piece in pieces]
        if not any(done):
            reading.end()
    except Trouble as trouble:
        return trouble.kind
    # What comes behind a whole answer is the transport's to find.
    return "bytes-after-body" if any(done[:-1]) else (reading.status, reading.body)


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
@pytest.mark.parametrize("case", TOLD)
def test_what_an_answer_is_called_does_not_hang_on_its_pieces(case: str, size: int) -> None:
    """However the network cuts an answer into pieces, the reading says the same of it."""
    wire, expected = TOLD[case]
    whole = b"".join(wire)
    assert read([whole[i : i + size] for i in range(0, len(whole), size)]) == expected


def ask(url: str) -> bytes:
    """Return everything that one request brings in until the connection ends."""
    where = urlsplit(url)
    with socket.create_connection((str(where.hostname), where.port or 80), timeout=10) as sock:
        sock.sendall(GET)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


async def pass_on(relay: Relay, request: Ask, forward: Forward) -> Reply:
    """Change nothing."""
    return await forward()


def relayed(connection: Connection, timeout: float | None = None) -> Relay:
    """Return a relay to where a connection leads."""
    host, port = connection._address
    return Relay(f"http://{host}:{port}", specs.load("octamem"), pass_on, timeout)


@pytest.mark.parametrize("case", WRONG)
def test_a_relay_names_what_its_client_does_not_tell_and_passes_it_on(case: str) -> None:
    """Framing has the same names where an SDK is the user, which gets what the backend sent."""
    wire, kind = WRONG[case]
    with server(answer(*wire)) as connection, relayed(connection) as relay:
        came = ask(relay.url)
    assert relay.troubles == {("", kind): 1}
    assert came == b"".join(wire)


@pytest.mark.parametrize("case", WHOLE)
def test_a_relay_passes_whole_answers_on_however_they_are_framed(case: str) -> None:
    """Chunks, interim answers and bodies up to the close arrive with status and body."""
    wire, expected = WHOLE[case]
    with server(answer(*wire)) as connection, relayed(connection) as relay:
        where = urlsplit(relay.url)
        through = Connection((str(where.hostname), where.port or 80))
        assert told(through) == expected
        through.close()
    assert not relay.troubles


def test_a_relay_counts_what_it_waited_for_in_vain() -> None:
    """An answer that does not come in time is a timeout; one that nobody gave up is waited for."""
    gone = threading.Event()

    def silent(sock: socket.socket, number: int) -> None:
        sock.recv(65536)
        gone.wait(30)

    with server(silent) as connection, relayed(connection, timeout=0.05) as relay:
        assert ask(relay.url) == b""
        gone.set()
    assert relay.troubles == {("", "timeout"): 1}
    assert relay.waiting == 0


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
