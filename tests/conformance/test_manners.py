"""Manners at the command line: a run's outputs hold no key, its pace and its budgets are kept."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from typer.testing import CliRunner

import specs
from conformance.backend.subject import MARK
from conformance.cli import app
from conformance.progress import INTERRUPTED, VARIABLE, Reporter, parse
from conformance.redaction import hide
from conformance.reference.backend.server import Embedded
from conformance.report.results import Results
from tests.foreign import servers

KEYS = ("sk+first/aGVsbG8=tenant-one", "sk+second/d29ybGQ=tenant-two")


class Echo(BaseHTTPRequestHandler):
    """Says back whatever it was sent: in headers, in JSON, as plain bytes, compressed."""

    protocol_version = "HTTP/1.1"
    turn = 0

    def answer(self) -> None:
        """Answer by turns in every form."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        said = "; ".join(f"{n}={v}" for n, v in self.headers.items())
        shapes = (
            (200, json.dumps({"echo": said, "error": {"code": "x", "message": said}}).encode()),
            (400, json.dumps({"error": {"code": said, "message": said}}).encode()),
            (500, b"\xff\xfe" + said.encode()),
            (200, gzip.compress(said.encode())),
        )
        status, body = shapes[Echo.turn % len(shapes)]
        Echo.turn += 1
        self.send_response(status)
        self.send_header("Content-Type", f"application/json; echo={quote(said)}")
        self.send_header("X-Echo", said)
        self.send_header("X-Request-Id", said)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = answer

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def forms(key: str) -> Iterator[bytes]:
    """Yield the ways in which a key could stand in a file."""
    yield key.encode()
    yield key[:-3].encode()
    yield key[:-3].swapcase().encode()
    yield quote(key).encode()
    yield quote(key, safe="").encode()
    yield json.dumps(key)[1:-1].encode()
    for shift in range(3):  # base64 of a text that holds the key somewhere
        yield base64.b64encode(b"x" * shift + key.encode())[4:-8]


@pytest.mark.parametrize("api", ["octamem"])
def test_no_output_holds_a_key(api: str, tmp_path: Path) -> None:
    """A server that says every key back, in every form, finds none of them in what we write."""
    with servers.handled(Echo) as served:
        words = ["backend", "--base-url", served.url, "--api", api, "--out", str(tmp_path / "out"),
                 "--record", str(tmp_path / "run.jsonl"), "--sensitivity"]  # fmt: skip
        words += [w for key in KEYS for w in ("--api-key", key)]
        words += [w for case in ("contract.", "auth.", "errors.") for w in ("--case", case)]
        ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 1, ran.output
    written = {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*.*")}
    assert {"run.jsonl", "out/results.json", "out/report.html", "out/junit.xml"} <= set(written)
    written["stdout"] = ran.output.encode()
    held = {(n, f) for n, text in written.items() for key in KEYS for f in forms(key) if f in text}
    assert held == set()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key sk_live_0123456789abcdef!", "key ***!"),
        ("sk_live_0123456789abcxyz", "***xyz"),
        ("SK_LIVE_0123456789ABCDEF", "***"),
        ("short: abc", "short: abc"),
        ("a%2Bb%2f%3d%3Dsecret and a+b/==secret", "*** and ***"),
        ("sk_live_", "sk_live_"),
    ],
)
def test_a_key_is_hidden_in_every_form(text: str, shown: str) -> None:
    """As it is, cut short, in another case, in a URL; what is no key stays."""
    keys = dict.fromkeys(("sk_live_0123456789abcdef", "abc", "a+b/==secret"), "***")
    assert hide(text, keys) == shown


def test_an_interrupted_run_leaves_what_it_knows(tmp_path: Path) -> None:
    """Ended in the middle: exit 3, a valid result that says so, nothing left on the server."""
    with Embedded(contracts=[specs.load("sovant")]) as served:
        url = served.url_for("sovant")
        words = ["backend", "--base-url", url, "--api", "sovant", "--out", str(tmp_path)]
        ending = subprocess.Popen(
            [sys.executable, "-m", "conformance", *words, "--api-key", served.keys[0]],
            stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, VARIABLE: "json"},
        )  # fmt: skip
        assert ending.stderr is not None
        for line in ending.stderr:
            event = parse(line)
            if event and event.get("done", 0) >= 5:
                ending.send_signal(signal.SIGTERM)
                break
        said, _ = ending.communicate(timeout=120)
        listed = httpx.get(
            f"{url}/api/v1/memory", headers={"authorization": f"Bearer {served.keys[0]}"}
        )
    assert ending.returncode == 3, said
    assert "not complete: interrupted" in said.splitlines()[-1]
    made = Results.model_validate_json((tmp_path / "results.json").read_text("utf-8"))
    assert not made.run.complete
    assert 5 <= made.subjects[0].counts["cases"] < 300
    assert listed.status_code == 200, listed.text
    assert MARK not in listed.text


def test_a_lost_interruption_is_made_good() -> None:
    """Where Python forgot the exception, the next step of the run raises it again, once."""
    report = Reporter("part", stream=io.StringIO())
    INTERRUPTED.set()
    with pytest.raises(KeyboardInterrupt):
        report(1, 2)
    report(1, 2)
