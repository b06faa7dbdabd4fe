"""Which proxy leads to a host: what the environment says, and never one to this machine itself.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY mean the same to every suite. Nothing here
connects.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

PORT = 8080
"""Port of a proxy whose address names none."""


class ProxyTrouble(OSError):
    """The way through a proxy failed, which is nobody's fault behind it; the message says why."""


def is_loopback(host: str) -> bool:
    """True for this machine: what a proxy would reach under that name is another one."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    user: str = ""
    password: str = ""

    @property
    def line(self) -> bytes:
        """The header line that it wants to see, empty where it has no user."""
        if not self.user:
            return b""
        token = base64.b64encode(f"{self.user}:{self.password}".encode())
        return b"Proxy-Authorization: Basic " + token + b"\r\n"

    @property
    def shown(self) -> str:
        """Where it is, without its password."""
        return f"{self.host}:{self.port}"

    def tunnel(self, authority: str) -> bytes:
        """Return the request that asks it to connect us (RFC 9110 section 9.3.6)."""
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n".encode("latin-1")
        return head + self.line + b"\r\n"

    def through(self, data: bytes, authority: str) -> bytes:
        """Return a plain request as a proxy wants it: with the whole address, and our name."""
        method, blank, rest = data.partition(b" ")
        first, end, rest = rest.partition(b"\r\n")
        where = f"http://{authority}".encode("latin-1") if first.startswith(b"/") else b""
        return b"%b%b%b%b%b%b%b" % (method, blank, where, first, end, self.line, rest)

    def refused(self, status: int) -> ProxyTrouble:
        """Return what is told where it lets nobody through."""
        more = "; give its user and password in the variable" if status == 407 else ""
        return ProxyTrouble(
            f"the proxy {self.shown}, which HTTP_PROXY or HTTPS_PROXY names, answered {status} and "
            f"lets nobody through{more}"
        )


def named(address: str) -> Proxy:
    """Return the proxy of an address, `http://USER:PASSWORD@HOST:PORT`. Raises ProxyTrouble."""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        port = parts.port or PORT
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise ProxyTrouble(
            f"the proxy that the environment names ({parts.scheme}://{parts.hostname or ''}) is no "
            "HTTP proxy: name http://HOST:PORT in HTTP_PROXY and HTTPS_PROXY, or except the host "
            "in NO_PROXY"
        )
    return Proxy(parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


def proxy_for(scheme: str, host: str) -> Proxy | None:
    """Return the proxy that leads to a host, None where it is reached without one.

    Raises ProxyTrouble for a proxy that cannot be used.
    """
    if is_loopback(host) or proxy_bypass(host):
        return None
    known = getproxies()
    address = known.get(scheme) or known.get("all")
    return named(address) if address else None
