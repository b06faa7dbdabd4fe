"""Forwarding: a session in front of a real server hands requests on and gets answers back.

Answers are passed on as they are, bytes and headers, except for what concerns one connection.
Each request has a connection of its own: one that the server closed meanwhile cannot spoil it.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from conformance.faults.answers import Answer
from conformance.history import Request
from specs.proxies import proxy_for

HOP_BY_HOP = frozenset(
    (
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade", "host", "content-length",
    )
)  # fmt: skip
"""RFC 9110 §7.6.1, and what is made anew for the next connection."""
MAX_ANSWER = 64 << 20
"""Longest answer that is passed on, bytes."""


def _proxy(url: str) -> httpx.Proxy | None:
    """Return the proxy that leads there, as the client takes it. Raises ProxyTrouble."""
    parts = urlsplit(url)
    proxy = proxy_for(parts.scheme, parts.hostname or "")
    if proxy is None:
        return None
    known = (proxy.user, proxy.password) if proxy.user else None
    return httpx.Proxy(f"http://{proxy.shown}", auth=known)


@dataclass
class Upstream:
    """The server behind a session. `verify` is an SSL context for `https`."""

    url: str
    verify: ssl.SSLContext | bool = True
    timeout: float = 60.0
    problems: list[str] = field(default_factory=list)
    """Why requests could not be passed on; their callers were answered 502 or 504."""
    _client: httpx.AsyncClient | None = field(default=None, repr=False)

    async def forward(self, request: Request, base_url: str) -> Answer:
        """Send a request on and return its answer; 502 where none came, 504 where it took long."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self.verify, timeout=self.timeout, trust_env=False,
                proxy=_proxy(self.url),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            )  # fmt: skip
        headers = [
            (n.encode("latin-1"), v.encode("latin-1"))
            for n, v in request.headers
            if n.lower() not in HOP_BY_HOP
        ]
        outgoing = httpx.Request(
            request.method,
            self.url.rstrip("/") + request.target,
            headers=headers,
            content=request.body,
        )
        try:
            return await self._send(outgoing, base_url)
        except httpx.TimeoutException as error:
            return self._failed(504, error)
        except httpx.HTTPError as error:
            return self._failed(502, error)

    def _failed(self, status: int, error: Exception) -> Answer:
        self.problems.append(f"{type(error).__name__}: {error}"[:300])
        return Answer(status)

    async def close(self) -> None:
        """Close the connections to the server."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _send(self, request: httpx.Request, base_url: str) -> Answer:
        assert self._client is not None
        response = await self._client.send(request, stream=True)
        try:
            body = b""
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_ANSWER:
                    raise httpx.DecodingError(f"an answer of more than {MAX_ANSWER} bytes")
        finally:
            await response.aclose()
        headers = tuple(
            (n.decode("latin-1"), v.decode("latin-1"))
            for n, v in response.headers.raw
            if n.lower().decode("latin-1") not in HOP_BY_HOP
        )
        return Answer(
            response.status_code,
            tuple((n, v.replace(self.url.rstrip("/"), base_url)) if n.lower() == "location"
                  else (n, v) for n, v in headers),
            body,
        )  # fmt: skip
