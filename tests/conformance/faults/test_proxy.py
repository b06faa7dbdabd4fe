"""Sessions in front of a real server: what passes, what is lost, and who did what."""

from __future__ import annotations

import gzip
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

import specs
from conformance.faults.proxy import DroppingProxy
from conformance.faults.script import Script, respond
from conformance.faults.testbench import Testbench
from conformance.faults.upstream import Upstream

CLAIV = specs.load("claiv")


class Backend(ThreadingHTTPServer):
    """A server that keeps every body it was sent."""

    daemon_threads = True
    request_queue_size = 64
    stored: list[bytes]

    @property
    def url(self) -> str:
        """Its base URL, with a path."""
        return f"http://127.0.0.1:{self.server_address[1]}/base"


class Handler(BaseHTTPRequestHandler):
    """Stores POSTs; redirects, compresses and repeats headers where asked to."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Store the body and tell how many there are."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.stored.append(body)  # type: ignore[attr-defined]
        self.answer(201, json.dumps({"stored": len(self.server.stored)}).encode())  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        """Answer in the way that the path asks for."""
        if self.path.endswith("/moved"):
            self.send_response(307)
            self.send_header("location", self.server.url + "/here")  # type: ignore[attr-defined]
            self.send_header("content-length", "0")
            self.end_headers()
        elif self.path.endswith("/packed"):
            self.answer(200, gzip.compress(b'{"a":1}', mtime=0), ("content-encoding", "gzip"))
        else:
            self.answer(200, self.path.encode(), ("x-twice", "1"), ("x-twice", "2"))

    def answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        """Send one answer."""
        self.send_response(status)
        for name, value in (*headers, ("content-length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def backend() -> Iterator[Backend]:
    """A backend of its own for each test."""
    server = Backend(("127.0.0.1", 0), Handler)
    server.stored = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def client(base_url: str) -> httpx.Client:
    """Return a client that does nothing on its own account."""
    return httpx.Client(base_url=base_url, trust_env=False, verify=False)


def test_a_dropped_answer_was_given(backend: Backend) -> None:
    """The server has done the write, the client has nothing, and both are on record."""
    lost = iter([True, False])
    with DroppingProxy(backend.url, lambda request: next(lost)) as proxy:
        with client(proxy.base_url) as http:
            with pytest.raises(httpx.ReadError):
                http.post("/items", content=b"one")
            assert http.post("/items", content=b"one").json() == {"stored": 2}
        assert (proxy.dropped, proxy.problems) == (1, ())
        assert [e.failure for e in proxy.exchanges()] == ["reset", None]
    assert backend.stored == [b"one", b"one"]


def test_another_effect_may_take_the_answers_place(backend: Backend) -> None:
    """The server has done the write, and the client is told of a bad gateway."""
    with DroppingProxy(backend.url, lambda r: True, effect=respond(502, b"")) as proxy:
        assert httpx.post(proxy.base_url + "/x", content=b"1", trust_env=False).status_code == 502
    assert backend.stored == [b"1"]


def test_what_is_not_dropped_passes_unchanged(backend: Backend) -> None:
    """Path, query, coding and repeated headers are those of the server; redirects stay inside."""
    with DroppingProxy(backend.url) as proxy, client(proxy.base_url) as http:
        plain = http.get("/a%20b?q=%2F&q=2")
        assert plain.text == "/base/a%20b?q=%2F&q=2"
        assert plain.headers.get_list("x-twice") == ["1", "2"]
        assert http.get("/packed").json() == {"a": 1}
        assert http.get("/moved").headers["location"] == proxy.base_url + "/here"
        assert http.get("/moved", follow_redirects=True).text == "/base/here"


def test_duplicates_at_once_all_reach_the_server(backend: Backend) -> None:
    """32 requests at once are passed on at once, each with its own answer."""
    with DroppingProxy(backend.url) as proxy, ThreadPoolExecutor(32) as pool:
        calls = [pool.submit(httpx.post, proxy.base_url + "/x", content=b"same", trust_env=False)
                 for _ in range(32)]  # fmt: skip
        answers = [call.result() for call in calls]
        assert proxy.problems == ()
        counts = sorted(answer.json()["stored"] for answer in answers)
    assert len(backend.stored) == 32
    assert counts[-1] == 32


def test_a_server_that_is_not_there_is_our_502(backend: Backend) -> None:
    """What could not be passed on is told apart from what the server answered."""
    with DroppingProxy("http://127.0.0.1:9/none") as proxy:
        assert httpx.get(proxy.base_url + "/x", trust_env=False).status_code == 502
        assert len(proxy.problems) == 1


def test_scripts_play_in_front_of_a_real_server(backend: Backend) -> None:
    """Before the handler nothing reaches the server; after the commit everything does."""
    text = "ingest#1 503; ingest#2 after-commit reset; ingest#3 mid-response truncate"
    with Testbench() as bench:
        session = bench.session(CLAIV, Script.parse(text), upstream=backend.url)
        seen = []
        for number in range(4):
            try:
                with client(session.base_url) as http:
                    seen.append(http.post("/v1/ingest", json={"n": number}).status_code)
            except httpx.HTTPError as error:
                seen.append(type(error).__name__)
        assert seen == [503, "ReadError", "RemoteProtocolError", 201]
        assert session.unconsumed() == ()
        assert session.commits["ingest"] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [json.loads(body)["n"] for body in backend.stored] == [1, 2, 3]


def test_a_tls_server_is_reached_through_a_given_context(backend: Backend, tmp_path: Path) -> None:
    """A self-signed server is trusted where the caller says so, and refused where not."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=False, capture_output=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("openssl is not there to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    backend.socket = context.wrap_socket(backend.socket, server_side=True)
    url = backend.url.replace("http:", "https:")
    trusting = ssl.create_default_context(cafile=str(cert))
    with Testbench() as bench:
        trusted = bench.session(None, upstream=Upstream(url, trusting))
        distrusted = bench.session(None, upstream=Upstream(url))
        assert httpx.get(trusted.base_url + "/x", trust_env=False).text == "/base/x"
        assert httpx.get(distrusted.base_url + "/x", trust_env=False).status_code == 502
