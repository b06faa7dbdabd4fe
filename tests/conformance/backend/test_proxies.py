"""Proxies: alike in every suite, never for this machine, and never the subject's fault."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from conformance import subjects
from conformance.backend.transport import Origin, SocketTransport
from conformance.options import checked
from conformance.reference.backend.server import Embedded
from conformance.verdict import Blame, blame_of
from specs import proxies
from specs.reading import SpecError, read

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LOST = b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with an environment that names no proxy."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def proxy(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Let something answer for everybody; yield its address and what it was told."""
    told: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    with near:
                        told.append(near.recv(65536))
                        near.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://me:hunter22@127.0.0.1:{listener.getsockname()[1]}", told


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("localhost", None), ("api.localhost.", None), ("127.8.8.8", None), ("::1", None),
     ("0.0.0.0", None), ("excepted.test", None), ("api.test", "proxy.test:3128"),
     ("128.0.0.1", "proxy.test:3128"), ("localhost.test", "proxy.test:3128")],
)  # fmt: skip
def test_this_machine_is_reached_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, host: str, wanted: str | None
) -> None:
    """Whatever the environment names, loopback needs none, nor what NO_PROXY excepts."""
    monkeypatch.setenv("HTTP_PROXY", "http://me:hunter22@proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "excepted.test")
    found = proxies.proxy_for("http", host)
    assert wanted == (found.shown if found else None)


def test_the_backend_suite_uses_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As load does: the whole address goes to the proxy, and our name for it."""
    with proxy(OK) as (address, told):
        monkeypatch.setenv("HTTP_PROXY", address)
        wire = SocketTransport(Origin.of("http://api.test:81/base"))
        done = wire.exchange(b"GET /base/x HTTP/1.1\r\nHost: api.test:81\r\n\r\n", 5)
        wire.close()
    assert done.response is not None
    first, second, *_ = told[0].split(b"\r\n")
    assert b"GET http://api.test:81/base/x HTTP/1.1" == first
    assert second.startswith(b"Proxy-Authorization: Basic ")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("there", [True, False])
def test_what_a_proxy_does_wrong_is_blamed_on_the_surroundings(
    monkeypatch: pytest.MonkeyPatch, scheme: str, there: bool
) -> None:
    """A proxy that lets nobody through, or is not there, is told as such and not as a refusal."""
    with proxy(LOST) as (address, _), socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        if not there:
            address = f"http://me:hunter22@127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", address)
        wire = SocketTransport(Origin.of(f"{scheme}://api.test/"))
        with pytest.raises(proxies.ProxyTrouble) as why:
            wire.exchange(b"GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", 5)
    assert ("answered 407" if there else "cannot be reached") in str(why.value)
    assert Blame.ENVIRONMENT is blame_of(why.value)
    assert "hunter22" not in str(why.value)


@pytest.mark.parametrize("suite", ["backend", "load"])
def test_a_proxy_of_another_kind_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, suite: str
) -> None:
    """Nothing is sent, and what to set is said."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    given = {"base-url": "http://api.test/x", "api": "octamem", "api-key": ["some-key-of-mine"]}
    judge = subjects.judge_backend if suite == "backend" else subjects.judge_load
    with pytest.raises(subjects.Usage, match="no HTTP proxy"):
        judge(checked(suite, lambda row: given.get(row.key)))


def test_a_spec_on_this_machine_is_fetched_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The proxy hears nothing of it."""
    with proxy(LOST) as (address, told), Embedded() as backend:
        monkeypatch.setenv("HTTP_PROXY", address)
        with pytest.raises(SpecError, match="answered 404"):
            read(f"{backend.url_for('octamem').rpartition('/')[0]}/openapi.json")
    assert [] == told
