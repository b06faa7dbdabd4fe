"""Moving bytes: one request sent, one answer or one network fault back, in both modes.

The only part of the reference SDK that touches a socket. Redirects are not followed, so that
credentials stay where they were meant for; answers are read up to a cap.
"""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import httpx

from conformance.oracles.answers import Answer, Network
from conformance.reference.defects import Defects
from conformance.reference.sdk.messages import Outgoing

MOST = 64 * 1024 * 1024
"""Longest answer that is read, bytes after decoding."""


class Failed(Exception):
    """No whole answer came."""

    def __init__(self, network: Network, cause: Exception) -> None:
        super().__init__(str(cause))
        self.network = network
        self.cause = cause


class TooLong(Exception):
    """The answer is longer than the client reads."""


@dataclass
class Arrived:
    """An answer, and for a stream its lines as they come."""

    answer: Answer
    lines: Any = None
    response: httpx.Response | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def kind_of(error: httpx.HTTPError, headed: bool) -> Network:
    """Return which fault an error of the transport is; `headed`: the answer's head had come."""
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    if headed:
        return "truncated"
    return "connect" if isinstance(error, httpx.ConnectError) else "reset"


class Lines:
    """Splits a stream of events into lines: CR LF, LF or CR ends one, and nothing else does."""

    def __init__(self, defects: Defects) -> None:
        self._defects = defects
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._left = ""
        self._returned = False
        """True where the last character was a CR, so that a LF now ends no further line."""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are whole now."""
        text = self._decoder.decode(data)
        if not text:
            return []
        if self._returned:
            text = text.removeprefix("\n")
        self._returned = text.endswith("\r")
        text = self._left + text
        if "stream.feed-only" in self._defects:
            *lines, self._left = text.split("\n")
        elif "stream.unicode-lines" in self._defects:
            *lines, self._left = "".join(f"{x}\n" for x in text.splitlines()).split("\n")
        else:
            *lines, self._left = _LINE_END.split(text)
        return lines


_LINE_END = re.compile("\r\n|\n|\r")


class SyncTransport:
    """Blocking connections of one client."""

    def __init__(self, timeout: float, defects: Defects, own: httpx.Client | None) -> None:
        self.timeout, self.defects = timeout, defects
        settings = _settings(timeout, defects)
        if "transport.stale-leak" in defects:
            settings["transport"] = Kept()
        self.client = own or httpx.Client(**settings)

    def send(self, out: Outgoing) -> Arrived:
        """Send one request. Raises Failed or TooLong."""
        if "transport.client-per-call" in self.defects:
            self.client.close()
            self.client = httpx.Client(**_settings(self.timeout, self.defects))
        for _ in range(2):
            try:
                return self._once(out)
            except Failed:
                if "transport.retries-too" not in self.defects:
                    raise
        return self._once(out)

    def _once(self, out: Outgoing) -> Arrived:
        headed = False
        try:
            request = self.client.build_request(
                out.method, out.url, headers=dict(out.headers), content=out.body,
                **_unbounded(out, self.defects),
            )  # fmt: skip
            response = self.client.send(request, stream=True, auth=None)
            headed = True
            if _is_stream(out, response):
                answer = Answer(response.status_code, _headers(response, self.defects))
                return Arrived(answer, self._lines(response), response)
            body = self._read(response)
        except httpx.HTTPError as error:
            raise Failed(kind_of(error, headed), error) from error
        return Arrived(Answer(response.status_code, _headers(response, self.defects), body))

    def _read(self, response: httpx.Response) -> bytes:
        body, until = bytearray(), time.monotonic() + self.timeout
        try:
            for piece in _pieces(response, self.defects):
                body += piece
                _check(len(body), until, self.defects)
                if len(body) > 10_000_000 and "transport.big-crash" in self.defects:
                    raise MemoryError
        finally:
            response.close()
        return bytes(body)

    def _lines(self, response: httpx.Response) -> Iterator[str]:
        lines = Lines(self.defects)
        try:
            for piece in response.iter_bytes():
                yield from lines.feed(piece)
        finally:
            response.close()

    def close(self) -> None:
        """Close all connections."""
        if "transport.close-forgotten" not in self.defects:
            self.client.close()


class Kept(httpx.BaseTransport):
    """One connection, sent on without a look whether it is still open; for a defect only."""

    def __init__(self) -> None:
        self.link: HTTPConnection | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read its answer; lets out whatever goes wrong."""
        if self.link is None:
            self.link = HTTPConnection(request.url.host, request.url.port, timeout=10)
            self.link.connect()
        target = request.url.raw_path.decode("ascii")
        self.link.request(request.method, target, request.read(), dict(request.headers))
        answer = self.link.getresponse()
        return httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())

    def close(self) -> None:
        """Close the connection."""
        if self.link is not None:
            self.link.close()


class AsyncTransport:
    """Asynchronous connections of one client."""

    def __init__(self, timeout: float, defects: Defects, own: httpx.AsyncClient | None) -> None:
        self.timeout, self.defects = timeout, defects
        self.client = own or httpx.AsyncClient(**_settings(timeout, defects))

    async def send(self, out: Outgoing) -> Arrived:
        """Send one request. Raises Failed or TooLong."""
        headed = False
        try:
            request = self.client.build_request(
                out.method, out.url, headers=dict(out.headers), content=out.body,
                **_unbounded(out, self.defects),
            )  # fmt: skip
            response = await self.client.send(request, stream=True, auth=None)
            headed = True
            if _is_stream(out, response):
                answer = Answer(response.status_code, _headers(response, self.defects))
                return Arrived(answer, self._lines(response), response)
            body = await self._read(response)
        except httpx.HTTPError as error:
            raise Failed(kind_of(error, headed), error) from error
        return Arrived(Answer(response.status_code, _headers(response, self.defects), body))

    async def _read(self, response: httpx.Response) -> bytes:
        body, until = bytearray(), time.monotonic() + self.timeout
        try:
            async for piece in response.aiter_bytes():
                body += piece
                _check(len(body), until, self.defects)
        finally:
            await response.aclose()
        return bytes(body)

    async def _lines(self, response: httpx.Response) -> AsyncIterator[str]:
        lines = Lines(self.defects)
        try:
            async for piece in response.aiter_bytes():
                for line in lines.feed(piece):
                    yield line
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close all connections."""
        if "transport.close-forgotten" not in self.defects:
            await self.client.aclose()


def _settings(timeout: float, defects: Defects) -> dict[str, Any]:
    timed: Any = timeout
    if "transport.timeout-ignored" in defects:
        timed = None
    if "transport.connect-unbounded" in defects:
        timed = httpx.Timeout(timeout, connect=None)
    return {
        "timeout": timed,
        "follow_redirects": "auth.follows-redirects" in defects,
        "trust_env": False,
        "limits": httpx.Limits(max_connections=128, max_keepalive_connections=64),
    }


def _unbounded(out: Outgoing, defects: Defects) -> dict[str, None]:
    """Return what takes the timeout off a stream, where a defect says so."""
    return {"timeout": None} if out.streams and "stream.waits-for-ever" in defects else {}


def _pieces(response: httpx.Response, defects: Defects) -> Iterator[bytes]:
    return response.iter_raw() if "answer.coding-unread" in defects else response.iter_bytes()


def _headers(response: httpx.Response, defects: Defects) -> tuple[tuple[str, str], ...]:
    if "headers.one-spelling" in defects:
        pairs = ((n.decode("latin-1"), v.decode("latin-1")) for n, v in response.headers.raw)
        return tuple((n, v) for n, v in pairs if n == n.lower())
    return tuple(response.headers.multi_items())


def _is_stream(out: Outgoing, response: httpx.Response) -> bool:
    media_type = response.headers.get("content-type", "").split(";")[0].strip()
    return out.streams and response.status_code == 200 and media_type == "text/event-stream"


def _check(length: int, until: float, defects: Defects) -> None:
    if length > MOST:
        raise TooLong(f"the answer is longer than {MOST} bytes")
    if time.monotonic() > until and "transport.timeout-per-read" not in defects:
        raise httpx.ReadTimeout("the answer took longer than the timeout")
