"""The other transport: the client of Locust's `FastHttpUser`, for TLS and for proxies.

Same interface and same bytes as `transport_fast.Connection`: the prepared request is taken apart
again, which costs little beside TLS. What is wrong with framing has the same names.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import gevent
from geventhttpclient import HTTPClient

from load.call import Origin
from load.transport_fast import Trouble, TroubleKind


class AgentConnection:
    """One kept-alive connection through geventhttpclient. `exchange` raises Trouble."""

    def __init__(self, where: Origin, *, insecure: bool = False, timeout: float = 3600.0) -> None:
        # The engine watches the time, as with the fast transport; the client's own bound is far.
        options: dict[str, Any] = {
            "concurrency": 1,
            "connection_timeout": timeout,
            "network_timeout": timeout,
        }
        proxy = getproxies().get(where.scheme)
        if proxy:
            parts = urlsplit(proxy)
            options |= {"proxy_host": parts.hostname, "proxy_port": parts.port or 8080}
        if where.scheme == "https":
            options |= {"ssl": True, "insecure": insecure}
            if insecure:
                options["ssl_context_factory"] = _accept_any
        self._client = HTTPClient(where.host, where.port, **options)
        self.greenlet: Any = None
        self.busy_since = 0.0
        self.opened = 0
        self.unannounced = 0

    def exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Send one prepared request and return (status, head, body). Raises Trouble."""
        self.greenlet = gevent.getcurrent()
        method, target, headers, body = _apart(data)
        try:
            answer = self._client.request(method, target, body=body, headers=headers)
            raw = answer.read()
            status = int(answer.status_code)
            fields = answer.headers
        except Trouble:
            self.close()
            raise
        except ssl.SSLError as error:
            self.close()
            raise Trouble("tls", error.reason or "") from error
        except Exception as error:
            self.close()
            raise Trouble(_kind(error), type(error).__name__) from error
        finally:
            self.greenlet = None
        lines = [b"HTTP/1.1 %d" % status]
        lines += [f"{name}: {value}".encode("latin-1", "replace") for name, value in fields]
        return status, b"\r\n".join(lines) + b"\r\n", bytes(raw)

    def close(self) -> None:
        """Close the connection; the next exchange opens a new one."""
        self._client.close()


def _apart(data: bytes) -> tuple[str, str, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, target, _ = first.decode("latin-1").split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() != b"content-length":
            headers[name.decode("latin-1")] = value.strip().decode("latin-1")
    return method, target, headers, body


def _kind(error: Exception) -> TroubleKind:
    """Return the name of what a client raised, by the nearest cause that tells."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ConnectionRefusedError):
            return "refused"
        if isinstance(seen, ConnectionResetError | BrokenPipeError):
            return "reset"
        if isinstance(seen, TimeoutError):
            return "timeout"
        seen = seen.__cause__ or seen.__context__
    name = type(error).__name__.lower()
    if "parse" in name or "http" in name:
        return "garbage"
    return "truncated" if "closed" in name or "incomplete" in name else "network"


def _accept_any(**_: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
