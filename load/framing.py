"""Reading HTTP/1.1 answers, and the names of what is wrong with them. No sockets.

`Trouble.kind` is the one table of names: refused, reset, timeout, truncated, garbage,
bytes-after-body, too-large; tls, proxy and network tell where else an exchange broke. `Reading`
is told the bytes of one answer as they come, by whichever transport or relay has the socket.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from httptools import HttpParserError, HttpResponseParser

TroubleKind = Literal[
    "refused", "reset", "timeout", "truncated", "garbage", "bytes-after-body",
    "too-large", "tls", "proxy", "network",
]  # fmt: skip
LARGEST = 8 * 1024 * 1024
"""Bytes of one answer beyond which it is given up."""
AT_ONCE = 128 * 1024 * 1024
"""Bytes of all answers that are being read beyond which the largest are given up."""
SMALL = 1024 * 1024
"""Bytes of one answer that are read however many others there are."""
LONGEST_HEAD = 256 * 1024
"""Bytes without the end of a head beyond which an answer is given up."""
IDLE = 1.0
"""Seconds of idleness after which a server may close a kept connection without blame."""


class Trouble(Exception):
    """An exchange without a whole answer. `kind` is its name."""

    def __init__(self, kind: TroubleKind, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


class Timeout(Trouble):
    """Thrown into the waiting greenlet by whoever watches the time."""

    def __init__(self) -> None:
        super().__init__("timeout")


def kind_of(error: OSError) -> TroubleKind:
    """Return the name of what a socket raised."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return "reset"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "network"


def header_of(head: bytes, name: bytes) -> bytes | None:
    """Return the first value of a header in a raw head, or None; `name` in lower case."""
    folded = head.lower()
    start = folded.find(b"\r\n" + name + b":")
    if start < 0:
        return None
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None].strip()


def measure(head: bytes, received: int, body: bytes) -> None:
    """Raise Trouble where more came than head and body: empty lines, which the parser passes over.

    What comes in chunks has no length to measure; there the parser's word is taken.
    """
    if received - len(head) - 2 > len(body) and header_of(head, b"transfer-encoding") is None:
        raise Trouble("bytes-after-body", "empty lines after the answer")


class Parser:
    """llhttp with callbacks that append to lists: as little Python in between as can be."""

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


class Reading:
    """One answer, fed as it comes.

    `status`, `head` (the status line and the fields, each line ended) and `body` are there once
    `feed` said that the answer is whole, or `end` raised nothing; `keep` tells whether the
    connection may carry another. `fresh` is True for the first answer of a connection: what is
    no HTTP there is garbage, later on it is bytes that belong to no answer.
    """

    held = 0
    """Bytes of the answers that are being read, in this process."""

    def __init__(self, fresh: bool = True) -> None:
        self.status = self._total = 0
        self.head = b""
        self.body = b""
        self.keep = False
        self._fresh = fresh
        self._raw = b""
        """What came before the head was whole."""
        self._pieces: list[bytes] = []
        self._begun: list[int] = []
        self._done: list[bool] = []
        self._parser = Parser(self._pieces, self._begun, self._done).parser

    def feed(self, data: bytes) -> bool:
        """Take what came; return True when the answer is whole. Raises Trouble."""
        if not self.head:
            self._raw += data
            if not self._headed():
                return False
            data, self._raw = self._raw, b""
            self.head = data[: data.find(b"\r\n\r\n") + 2]
        self._total += len(data)
        Reading.held += len(data)
        if self._total > LARGEST:
            raise Trouble("too-large", f"more than {LARGEST} bytes")
        if Reading.held > AT_ONCE and self._total > SMALL:
            raise Trouble("too-large", f"more than {AT_ONCE} bytes in all answers at once")
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise self._unparsable(data, str(error)) from None
        if not self._done:
            return False
        self.keep = self._done[0]
        self._whole()
        return True

    def __del__(self) -> None:
        Reading.held -= self._total

    def end(self) -> None:
        """The server closed: right only where the body runs until the close. Raises Trouble."""
        if not self.head:
            raise Trouble("truncated", "closed inside a head")
        framed = header_of(self.head, b"content-length") or header_of(
            self.head, b"transfer-encoding"
        )
        if framed is not None:
            raise Trouble("truncated", "closed before the answer was whole")
        self._whole()

    def _headed(self) -> bool:
        """Return True when there is a head that is the answer's own, behind interim ones."""
        while b"\r\n\r\n" in self._raw:
            if self._raw[9:10] != b"1" or self._raw[9:12] == b"101":
                return True
            self._raw = self._raw.partition(b"\r\n\r\n")[2]  # RFC 9110 §15.2
        if not self._raw.startswith(b"HTTP/"[: len(self._raw)]):
            raise self._unparsable(self._raw, "not an HTTP answer")
        if len(self._raw) > LONGEST_HEAD:
            raise Trouble("too-large", "a head without an end")
        return False

    def _whole(self) -> None:
        if len(self._begun) != 1:
            raise Trouble("bytes-after-body", "a second answer to one request")
        self.status, self.body = self._parser.get_status_code(), b"".join(self._pieces)
        measure(self.head, self._total, self.body)

    def _unparsable(self, received: bytes, why: str) -> Trouble:
        if self._done:
            return Trouble("bytes-after-body", "bytes that belong to no answer")
        if not received.startswith(b"HTTP/") and not self._begun:
            kind: TroubleKind = "garbage" if self._fresh else "bytes-after-body"
            return Trouble(kind, "not an HTTP answer")
        return Trouble("garbage", why.splitlines()[0][:80])
