"""Context managers that start each foreign server on loopback and yield where it listens."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from tests.foreign import lenient, lenient_control, lenient_sovant, plain_app, plain_memsy
from tests.foreign.always_200 import Always200
from tests.foreign.proxy import Proxy

KEYS = ("foreign-key-of-the-first-tenant", "foreign-key-of-the-second-tenant")
PATIENCE = 30.0
"""Seconds that a server may take to listen."""


@dataclass(frozen=True)
class Served:
    """Where a server listens, the keys that it knows, and the certificate to trust."""

    url: str
    keys: tuple[str, ...] = KEYS
    ca: Path | None = None


class Missing(RuntimeError):
    """A program that a server needs is not installed. Says how to get it."""


@contextmanager
def plain() -> Iterator[Served]:
    """Serve the Claiv API by an application that was written from the document alone."""
    with asgi(plain_app.app(KEYS)) as served:
        yield served


@contextmanager
def memsy(limit: int = 100_000, window: float = 60.0) -> Iterator[Served]:
    """Serve Memsy's data plane likewise; `limit` requests per key in each window of seconds."""
    with asgi(plain_memsy.app(KEYS, limit, window)) as served:
        yield served


LENIENT: dict[str, Any] = {
    "claiv": lambda: lenient.Lenient(
        plain_app.app(KEYS), ("/v1/deletion-receipts/",), 100, b"invalid_request"
    ),
    "memsy": lambda: lenient.Lenient(
        plain_memsy.app(KEYS, 100_000, 60.0),
        ("/orgs/", "/roles/", "/teams/"),
        200,
        b"bad_request",
    ),
    "octamem": lambda: lenient.octamem(KEYS),
    "sovant": lambda: lenient_sovant.sovant(KEYS),
    "memsy-control": lambda: lenient_control.control(KEYS),
}
"""API -> the application that chooses otherwise wherever its document leaves a choice open."""


@contextmanager
def lenient_for(api: str) -> Iterator[Served]:
    """Serve one of `LENIENT`."""
    with asgi(LENIENT[api]()) as served:
        yield served


@contextmanager
def asgi(app: Any) -> Iterator[Served]:
    """Serve an ASGI application in a thread."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", access_log=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        _until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Served(f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


@contextmanager
def always_200() -> Iterator[Served]:
    """Serve 200 to everything."""
    with handled(Always200) as served:
        yield served


@contextmanager
def handled(by: type[BaseHTTPRequestHandler]) -> Iterator[Served]:
    """Serve whatever a handler of the standard library answers, each connection in a thread."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), by)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def slow(seconds: float) -> Iterator[Served]:
    """Serve as `plain` does, each answer `seconds` later."""
    with plain() as near, Proxy(_address(near.url), delay=seconds) as proxy:
        yield Served(f"http://127.0.0.1:{proxy.port}")


@contextmanager
def dying(after: int) -> Iterator[Served]:
    """Serve as `plain` does; the answer after `after` requests is cut, then nobody listens."""
    with plain() as near, Proxy(_address(near.url), dies_after=after) as proxy:
        yield Served(f"http://127.0.0.1:{proxy.port}")


@contextmanager
def tls(upstream: Served) -> Iterator[Served]:
    """Serve a plain upstream through TLS with a certificate that nobody else has signed."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = _certificate(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, Path(folder) / "key.pem")
        with Proxy(_address(upstream.url), tls=context) as proxy:
            path = urlsplit(upstream.url).path
            yield Served(f"https://127.0.0.1:{proxy.port}{path}", upstream.keys, certificate)


NGINX = """
worker_processes 1; daemon off; master_process off; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; server_tokens off; default_type application/octet-stream;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  client_max_body_size 256k;
  upstream near {{ server {host}:{near}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://near; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $http_host; proxy_connect_timeout 1s; proxy_read_timeout {patience}s;
    }}
  }}
}}
"""


@contextmanager
def nginx(upstream: Served, patience: int = 10) -> Iterator[Served]:
    """Serve an upstream behind nginx, which answers 413, 502 and 504 with pages of its own.

    `patience`: seconds that nginx waits for the upstream. Raises Missing where there is no nginx.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Missing("nginx is not installed: apt-get install nginx-light")
    host, near = _address(upstream.url)
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        file = Path(folder) / "nginx.conf"
        file.write_text(
            NGINX.format(dir=folder, host=host, near=near, port=port, patience=patience), "utf-8"
        )
        command = [program, "-e", f"{folder}/error.log", "-p", folder, "-c", str(file)]
        with _process(command, port):
            path = urlsplit(upstream.url).path
            yield Served(f"http://127.0.0.1:{port}{path}", upstream.keys)


@contextmanager
def prism(spec: Path) -> Iterator[Served]:
    """Serve a mock made from a spec by prism. Raises Missing where it is not installed."""
    program = shutil.which("prism")
    if program is None:
        raise Missing("prism is not installed: npm install --global @stoplight/prism-cli")
    port = _free_port()
    with _process([program, "mock", "-h", "127.0.0.1", "-p", str(port), str(spec)], port):
        yield Served(f"http://127.0.0.1:{port}")


@contextmanager
def _process(command: list[str], port: int) -> Iterator[None]:
    """Run a server until the block is left; it must listen on `port` before the block starts."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: process.poll() is not None or _listens(port))
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {process.returncode} before it listened")
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _until(true: object) -> None:
    end = time.monotonic() + PATIENCE
    while not true():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError(f"the server does not listen after {PATIENCE:.0f} s")
        time.sleep(0.01)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


def _certificate(folder: Path) -> Path:
    """Make a key and a self-signed certificate for 127.0.0.1; return the certificate's file."""
    made = folder / "certificate.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
        "-addext", "basicConstraints=critical,CA:TRUE",
        "-keyout", str(folder / "key.pem"), "-out", str(made),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return made
