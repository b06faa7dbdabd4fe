"""The other transport beside the fast one: over TLS and a proxy, the same answers and troubles."""

import shutil
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import specs
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from load.call import origin
from load.defects import Wrong
from load.runner import run
from load.transport_agent import AgentConnection
from load.transport_fast import Trouble
from tests.foreign import servers
from tests.test_load_transport import GET, OK, Script, answer, chunked, server


@contextmanager
def over_tls(script: Script) -> Iterator[AgentConnection]:
    """Serve a script behind TLS with a self-signed certificate; yield a connection to it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    with server(script) as near:
        host, port = near._address
        with servers.tls(servers.Served(f"http://{host}:{port}")) as served:
            connection = AgentConnection(origin(served.url), insecure=True)
            try:
                yield connection
            finally:
                connection.close()


def told(opened: AbstractContextManager[object], rounds: int = 1) -> list[object]:
    """Return what each exchange gave: (status, body), or the name of the trouble."""
    made: list[object] = []
    with opened as connection:
        for _ in range(rounds):
            try:
                status, _, body = connection.exchange(GET)  # type: ignore[attr-defined]
                made.append((status, body))
            except Trouble as trouble:
                made.append(trouble.kind)
    return made


@pytest.mark.parametrize(
    "wire",
    [
        OK,
        chunked(b"ab", b"cde"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
        b"SSH-2.0-x\r\n\r\n",
        OK + b"\n{}",
        OK + OK,
        chunked(b"ab")[:-3],
    ],
)
def test_over_tls_a_server_is_told_what_it_is_told_without(wire: bytes) -> None:
    """Whole answers, wrong lengths, early ends, bytes after a body: the same names over TLS."""
    assert told(over_tls(answer(wire))) == told(server(answer(wire)))


def test_over_tls_a_connection_is_kept() -> None:
    """Many requests, one handshake; what the server says out of turn is noticed as without."""
    with over_tls(answer(OK, rounds=20)) as connection:
        assert [connection.exchange(GET)[0] for _ in range(20)] == [200] * 20
        assert connection.opened == 1


def test_over_tls_an_unannounced_close_is_counted_and_a_read_sent_again() -> None:
    """A server that closes without saying so is counted; a safe request is not lost by it."""
    with over_tls(answer(OK)) as connection:
        assert [connection.exchange(GET)[0] for _ in range(3)] == [200, 200, 200]
        assert connection.unannounced == 2


def test_a_certificate_that_nobody_signed_is_called_tls() -> None:
    """Without --insecure a self-signed certificate ends the exchange, and the name says why."""
    with over_tls(answer(OK)) as accepting:
        host, port = accepting._address
        with pytest.raises(Trouble) as trouble:
            AgentConnection(origin(f"https://{host}:{port}")).exchange(GET)
    assert trouble.value.kind == "tls"


def test_nobody_behind_tls_is_called_refused() -> None:
    """Nobody listens: the kind says so over TLS too."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = origin(f"https://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Trouble) as trouble:
            AgentConnection(where, insecure=True).exchange(GET)
    assert trouble.value.kind == "refused"


def test_a_proxy_is_told_where_a_plain_request_goes() -> None:
    """Through a proxy the request names its origin, twice where the proxy closed on it."""
    seen: list[bytes] = []

    def script(sock: socket.socket, number: int) -> None:
        seen.append(sock.recv(65536))
        sock.sendall(OK)

    with server(script) as near:
        host, port = near._address
        connection = AgentConnection(
            origin("http://far.test:81/api"), proxy=f"http://me:word@{host}:{port}"
        )
        assert [connection.exchange(GET)[0] for _ in range(2)] == [200, 200]
        connection.close()
    assert seen[0] == seen[1]
    first, second, *_ = seen[0].split(b"\r\n")
    assert first == b"GET http://far.test:81/x HTTP/1.1"
    assert second == b"Proxy-Authorization: Basic " + b64encode(b"me:word")


RUN = """
name = "tls"
users = 4
timeout = 5
drain = 3
prepare = 2
ledger = false
cleanup = false
only = ["memory.create", "memory.get"]
[[stages]]
seconds = 2
rate = 80
[gates]
lag = 5
"""


@pytest.mark.parametrize(
    ("defect", "expected"),
    [
        ("load.wrong-reset", set()),
        ("load.bytes-after-body", {"bytes-after-body"}),
    ],
)
def test_a_defective_backend_is_told_the_same_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: str, expected: set[str]
) -> None:
    """A whole run through TLS finds on a wrong backend what a run without TLS finds."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    file = tmp_path / "tls.toml"
    file.write_text(RUN)
    contract, active = specs.load("sovant"), Defects.of([defect])
    told = []
    with (
        Embedded() as backend,
        Wrong(backend.url_for("sovant"), contract, defect, active) as plain,
        Wrong(backend.url_for("sovant"), contract, defect, active) as behind,
        servers.tls(servers.Served(behind.url)) as tls,
    ):
        monkeypatch.setenv("SSL_CERT_FILE", str(tls.ca))
        for url in (plain.url, tls.url):
            made = run(url, "sovant", backend.keys[:1], file)
            told.append(({f.cause for f in made.findings}, set(made.details["errors"])))
    assert told[0] == told[1]
    assert told[0][1] == expected
    assert told[0][0]
