"""A server on a socket that sends exactly the bytes of a script."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from load.framing import Trouble
from load.transport_fast import Connection

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


Wire = list[bytes]


LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"


WHOLE: dict[str, tuple[Wire, tuple[int, bytes]]] = {
    "a length": ([OK], (200, b"{}")),
    "three pieces": ([OK[:20], OK[20:-1], OK[-1:]], (200, b"{}")),
    "chunks": ([chunked(b"ab", b"cde")], (200, b"abcde")),
    "no body": ([b"HTTP/1.1 204 No Content\r\n\r\n"], (204, b"")),
    "hints first": ([b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n", OK], (200, b"{}")),
    "go on first": ([b"HTTP/1.1 100 Continue\r\n\r\n" + OK], (200, b"{}")),
    "up to the close": (
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end"], (200, b"until the end"),
    ),
    "long": ([LONG, b"x" * 200_000], (200, b"x" * 200_000)),
}  # fmt: skip
"""Answers that are right, each with what is read."""


WRONG: dict[str, tuple[Wire, str]] = {
    "length too great": ([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}"], "truncated"),
    "length too small": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}"], "bytes-after-body"),
    "closed inside a head": ([b"HTTP/1.1 200 OK\r\nContent-Le"], "truncated"),
    "closed before a head": ([b""], "truncated"),
    "closed inside a long body": ([LONG, b"x" * 100_000], "truncated"),
    "closed inside a chunk": ([chunked(b"ab" * 100)[:-30]], "truncated"),
    "closed before the last chunk": ([chunked(b"ab")[:-3]], "truncated"),
    "another protocol": ([b"SSH-2.0-x\r\n\r\n"], "garbage"),
    "a length that is none": ([b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}"], "garbage"),
    "two lengths": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} "], "garbage"),
    "a chunk's size that is none": (
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], "garbage"),
    "bytes after the body": ([OK + b"\n{}"], "bytes-after-body"),
    "bytes after a body without length": (
        [b"HTTP/1.1 204 No Content\r\n\r\n{}"], "bytes-after-body"),
    "bytes after the last chunk": ([chunked(b"ab") + b"cd"], "bytes-after-body"),
    "a second answer": ([OK + OK], "bytes-after-body"),
    "a piece of a second answer": ([OK + OK[:20]], "bytes-after-body"),
}  # fmt: skip
"""Answers that are wrong, each with the name of what is wrong."""


TOLD: dict[str, tuple[Wire, tuple[int, bytes] | str]] = {**WHOLE, **WRONG}


def told(connection: Connection) -> tuple[int, bytes] | str:
    """Return what an exchange gave: status and body, or the name of the trouble."""
    try:
        status, _, body = connection.exchange(GET)
    except Trouble as trouble:
        return trouble.kind
    return status, body
