"""The other transport: TLS and proxies, over sockets that `FastHttpUser`'s client opens.

Certificates, handshakes and tunnels are that client's (geventhttpclient); what comes over its
sockets is read by the fast transport's own parser, since the client would pass bytes after a body
over in silence. So troubles have the same names over either.
"""

from __future__ import annotations

import ssl
from typing import Any

from geventhttpclient import HTTPClient

from conformance.backend.trust import SYSTEM, Trust
from conformance.clock import perf_counter
from load.call import Origin
from load.framing import Trouble
from load.transport_fast import CHUNK, Connection
from specs.proxies import Proxy, named, proxy_for

NOTHING_YET = (BlockingIOError, TimeoutError, ssl.SSLWantReadError)


class AgentConnection(Connection):
    """One kept-alive connection over TLS, through a proxy, or both. `exchange` raises Trouble."""

    __slots__ = ("_authority", "_client", "_reader", "_rested")

    def __init__(
        self, where: Origin, *, trust: Trust = SYSTEM, timeout: float = 3600.0,
        proxy: str | None = None,
    ) -> None:  # fmt: skip
        """`proxy` is an address that goes before what the environment says (HTTPS_PROXY).

        Raises ProxyTrouble for a proxy that cannot be used.
        """
        super().__init__((where.host, where.port))
        # The engine watches the time, as with the fast transport; the client's own bound is far.
        options: dict[str, Any] = {
            "concurrency": 1,
            "connection_timeout": timeout,
            "network_timeout": timeout,
        }
        self._reader: Proxy | None = None
        """A proxy that reads our requests."""
        self._authority = where.authority
        through = named(proxy) if proxy else proxy_for(where.scheme, where.host)
        if through:
            options |= {"proxy_host": through.host, "proxy_port": through.port}
            if through.user:
                options |= {"proxy_user": through.user, "proxy_password": through.password}
            self._reader = through if where.scheme == "http" else None
        if where.scheme == "https":
            options |= {"ssl": True, "insecure": trust.insecure}
            if trust != SYSTEM:
                options["ssl_context_factory"] = lambda **_: trust.context()
        self._rested = 0.0
        """When the last answer was whole, by `perf_counter`."""
        self._client = HTTPClient(where.host, where.port, **options)

    def close(self) -> None:
        """Close the connection; the next exchange opens a new one."""
        if self._sock is not None:
            self._client._connection_pool.release_socket(self._sock)
            self._sock = None

    def _open(self) -> None:
        try:
            self._sock = self._client._connection_pool.get_socket()
        except ssl.SSLError as error:
            raise Trouble("tls", error.reason or "") from error
        except RuntimeError as error:  # the proxy would not let us through
            raise Trouble("proxy", str(error)) from error
        self._begin()

    def _exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        if self._reader is not None:
            data = self._reader.through(data, self._authority)
        if not self._fresh:
            self._look()
        sock: Any = self._sock
        try:
            sock.sendall(data)
            received = self._more()
        except (BrokenPipeError, ConnectionResetError):
            if self._fresh:
                raise
            return self._closed_before_answer(data, "reset")
        if not received:
            return self._closed_before_answer(data)
        answer = self._slowly(received)
        self._rested = perf_counter()
        return answer

    def _again(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Send what was sent and not answered once more; it is already in the proxy's form."""
        reader, self._reader = self._reader, None
        try:
            return self._exchange(data)
        finally:
            self._reader = reader

    def _look(self) -> None:
        """Find out whether the server closed, or spoke out of turn, since its last answer."""
        sock: Any = self._sock
        patience = sock.gettimeout()
        sock.settimeout(0.0)
        try:
            early = sock.recv(CHUNK)
        except NOTHING_YET:
            sock.settimeout(patience)
            return
        except (ConnectionError, ssl.SSLError):
            early = b""
        self._idle = perf_counter() - self._rested
        self._told(early)

    def _more(self) -> bytes:
        sock: Any = self._sock
        try:
            received: bytes = sock.recv(CHUNK)
        except ssl.SSLError as error:
            raise Trouble("tls", error.reason or "") from error
        return received
