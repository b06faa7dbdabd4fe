"""The ASGI way into one API of the embedded backend, and out again.

Requests are answered one at a time in the event loop: SQLite answers in microseconds, and what
never waits needs no locks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from conformance.reference.backend.damage import Damage
from conformance.reference.backend.job import Job
from conformance.reference.backend.service import Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_DRAINED = 64 << 20
"""Bytes of an oversized body read and thrown away so that its sender gets to hear the answer."""
MAX_HEADERS = 1 << 18
"""Bytes of a request's headers; more is answered 431 (RFC 6585 section 5)."""
REFUSED = [(b"content-length", b"0"), (b"connection", b"close")]


class Endpoint:
    """One API, served."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._damage = Damage(service.defects)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
            start = {"type": "http.response.start", "status": 431, "headers": REFUSED}
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        raw, oversized = await _read(receive, scope, self._service.settings.max_body)
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        if chunked and "robust.chunks-unread" in self._service.defects:
            raw = b""
        if self._service.settings.delay:
            await asyncio.sleep(self._service.settings.delay)
        job = Job(self._service, self._damage, scope, raw, oversized)
        if job.defects.active:
            await job.interleave()
        status, headers, body, events = job.answer()
        if job.verb == "HEAD" and "method.head-has-body" in job.defects:
            scope["method"] = "GET"  # what serves us leaves the body of an answer to HEAD out
        start = {
            "type": "http.response.start",
            "status": status,
            "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers],
        }
        await send(start)
        if events is None or scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": body})
            return
        for event in events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})


def _has_body(scope: Scope) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


async def _read(receive: Receive, scope: Scope, most: int) -> tuple[bytes, bool]:
    """Return the body and whether it had more than `most` bytes; then it is cut off."""
    if scope["method"] == "GET" and not _has_body(scope):
        return b"", False
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return (body, False) if len(body) <= most else (b"", True)
    parts, size = [body], len(body)
    while message.get("more_body") and size <= MAX_DRAINED:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= most:
            parts.append(part)
    return (b"".join(parts), False) if size <= most else (b"", True)
