"""The other transport beside the fast one: over TLS and a proxy, the same answers and troubles."""

import re
import shutil
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

import specs
from conformance.backend.trust import Trust
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from load.call import origin
from load.defects import Wrong
from load.framing import Trouble
from load.runner import Reach, run
from load.transport_agent import AgentConnection
from tests.foreign import servers
from tests.scripted_server import GET, OK, TOLD, Script, answer, server, told


class Tunnel:
    """A proxy on a thread that connects its callers with whom they name (RFC 9110 §9.3.6).

    Every name leads to this machine: what is named otherwise is reached through a proxy only.
    Where it has a `user`, only who says so may pass. `heads` is what it was told.
    """

    def __init__(self, user: str = "") -> None:
        self.user = user
        self.heads: list[bytes] = []

    def __enter__(self) -> "Tunnel":
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def url(self, credentials: str = "") -> str:
        """Return the proxy's address as users give it."""
        before = f"{credentials}@" if credentials else ""
        return f"http://{before}127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        head = b""
        with near, suppress(OSError):
            while b"\r\n\r\n" not in head:
                head += near.recv(65536)
            self.heads.append(head)
            wanted = b"\r\nProxy-Authorization: Basic %b\r\n" % b64encode(self.user.encode())
            if self.user and wanted not in head:
                near.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
                return
            port = head.split(b" ")[1].decode().rpartition(":")[2]
            with socket.create_connection(("127.0.0.1", int(port))) as far:
                near.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                back = threading.Thread(target=_pump, args=(far, near), daemon=True)
                back.start()
                _pump(near, far)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


Opened = Callable[[], AgentConnection]


@contextmanager
def over_tls(
    script: Script, proxy: str | None = None, named: str = "127.0.0.1"
) -> Iterator[Opened]:
    """Serve a script behind TLS with a self-signed certificate; yield what connects to it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    with server(script) as near, ExitStack() as opened:
        host, port = near._address
        with servers.tls(servers.Served(f"http://{host}:{port}")) as served:

            def connect() -> AgentConnection:
                where = origin(served.url.replace("127.0.0.1", named))
                made = AgentConnection(where, trust=Trust(insecure=True), proxy=proxy)
                opened.callback(made.close)
                return made

            yield connect


@contextmanager
def over_a_proxy(script: Script) -> Iterator[Opened]:
    """Let a script be a proxy for plain HTTP; yield what connects through it."""
    with server(script) as near, ExitStack() as opened:
        host, port = near._address

        def connect() -> AgentConnection:
            made = AgentConnection(origin("http://far.test/api"), proxy=f"http://{host}:{port}")
            opened.callback(made.close)
            return made

        yield connect


@pytest.mark.parametrize("way", ["tls", "tunnel", "proxy"])
def test_every_way_tells_of_a_server_what_the_fast_one_tells(way: str) -> None:
    """Whole answers, wrong lengths, early ends, bytes after a body: the same names everywhere."""
    wires = [wire for wire, _ in TOLD.values()]

    def script(sock: socket.socket, number: int) -> None:
        answer(*wires[number])(sock, number)

    with Tunnel() as tunnel:
        ways = {
            "tls": over_tls(script),
            "tunnel": over_tls(script, tunnel.url()),
            "proxy": over_a_proxy(script),
        }
        with ways[way] as connect:
            seen = {case: told(connect()) for case in TOLD}
        assert len(tunnel.heads) == (len(wires) if way == "tunnel" else 0)
    assert seen == {case: expected for case, (_, expected) in TOLD.items()}


def test_through_a_tunnel_only_the_proxy_is_told_of_it() -> None:
    """One CONNECT for many requests; the origin sees neither the proxy nor its password."""
    seen: list[bytes] = []

    def script(sock: socket.socket, number: int) -> None:
        for _ in range(5):
            seen.append(sock.recv(65536))
            sock.sendall(OK)

    with Tunnel("me:word") as tunnel, over_tls(script, tunnel.url("me:word")) as connect:
        connection = connect()
        assert [connection.exchange(GET)[0] for _ in range(5)] == [200] * 5
        host, port = connection._address
    assert seen == [GET] * 5
    assert len(tunnel.heads) == 1
    assert tunnel.heads[0].startswith(b"CONNECT %b:%d HTTP/1.1\r\n" % (host.encode(), port))


def silent(sock: socket.socket, number: int) -> None:
    """Close as soon as something was said."""
    sock.recv(65536)


def test_a_proxy_that_lets_nobody_through_is_called_proxy() -> None:
    """A wrong password, or a proxy that hangs up: the kind says that it was the proxy."""
    with Tunnel("me:word") as tunnel, server(silent) as mute:
        host, port = mute._address
        for proxy in (tunnel.url("me:wrong"), tunnel.url(), f"http://{host}:{port}"):
            assert told(AgentConnection(origin("https://far.test"), proxy=proxy)) == "proxy"


def test_loopback_and_what_the_environment_excepts_need_no_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HTTPS_PROXY is used but for this machine, and for the hosts that NO_PROXY names."""
    with Tunnel() as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url())
        monkeypatch.setenv("NO_PROXY", "elsewhere.test")
        for name, used in (("127.0.0.1", 0), ("backend.test", 1)):
            with over_tls(answer(OK), named=name) as connect:
                assert told(connect()) == (200, b"{}")
            assert len(tunnel.heads) == used
        monkeypatch.setenv("NO_PROXY", "elsewhere.test,.test")
        with over_tls(answer(OK), named="backend.test") as connect:
            assert told(connect()) != (200, b"{}")
        assert len(tunnel.heads) == 1


def test_over_tls_a_connection_is_kept() -> None:
    """Many requests, one handshake; what the server says out of turn is noticed as without."""
    with over_tls(answer(OK, rounds=20)) as connect:
        connection = connect()
        assert [connection.exchange(GET)[0] for _ in range(20)] == [200] * 20
        assert connection.opened == 1


def test_over_tls_an_unannounced_close_is_counted_and_a_read_sent_again() -> None:
    """A server that closes without saying so is counted; a safe request is not lost by it."""
    with over_tls(answer(OK)) as connect:
        connection = connect()
        assert [connection.exchange(GET)[0] for _ in range(3)] == [200, 200, 200]
        assert connection.unannounced == 2


def test_a_certificate_that_nobody_signed_is_called_tls() -> None:
    """Without --insecure a self-signed certificate ends the exchange, and the name says why."""
    with over_tls(answer(OK)) as connect:
        host, port = connect()._address
        with pytest.raises(Trouble) as trouble:
            AgentConnection(origin(f"https://{host}:{port}")).exchange(GET)
    assert trouble.value.kind == "tls"


def test_nobody_behind_tls_is_called_refused() -> None:
    """Nobody listens: the kind says so over TLS too."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = origin(f"https://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Trouble) as trouble:
            AgentConnection(where, trust=Trust(insecure=True)).exchange(GET)
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
seconds = 1
rate = 80
[gates]
lag = 5
"""


@pytest.mark.parametrize(
    ("defect", "causes", "errors", "tunnelled"),
    [
        ("load.wrong-reset", {r"RL20 memory\.\w+ reset-unit"}, set(), False),
        ("load.bytes-after-body", {"errors"}, {"bytes-after-body"}, True),
    ],
)
def test_a_defective_backend_is_found_out_over_tls(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    defect: str,
    causes: set[str],
    errors: set[str],
    tunnelled: bool,
) -> None:
    """A whole run through TLS, or a tunnel too, judges heads and framings as any other."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    file = tmp_path / "tls.toml"
    file.write_text(RUN)
    with (
        Embedded() as backend,
        Wrong(
            backend.url_for("sovant"), specs.load("sovant"), defect, Defects.of([defect])
        ) as behind,
        servers.tls(servers.Served(behind.url)) as tls,
        Tunnel() as tunnel,
    ):
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url())
        monkeypatch.setenv("NO_PROXY", "")
        url = tls.url.replace("127.0.0.1", "backend.test") if tunnelled else tls.url
        made = run(url, "sovant", backend.keys[:1], file, reach=Reach(insecure=True))
    told = {f.cause for f in made.findings}
    assert all(any(re.fullmatch(each, cause) for cause in told) for each in causes), told
    assert set(made.details["errors"]) == errors
    assert bool(tunnel.heads) == tunnelled
