"""Keys appear nowhere: whatever a server does with a key, no output of ours shows it."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

import load
from conformance.cli import app
from conformance.redaction import Redactor
from conformance.report.results import vocabulary
from tests.foreign import servers

LOCUSTFILE = str(Path(load.__file__).parent / "locustfile.py")
KEY = 'sk+fi"rst/aGVsbG8=tenant-one/42'


def coded(key: str) -> Iterator[tuple[str, str]]:
    """Yield each way in which a subject may write a key: its name, and the text."""
    yield "clear", key
    yield "upper", key.upper()
    yield "json", json.dumps(key)[1:-1]
    yield "percent", quote(key)
    yield "percent-all", "".join(f"%{ord(c):02x}" for c in key)
    yield "percent-twice", quote(quote(key, safe=""), safe="")
    yield "unicode", "".join(f"\\u{ord(c):04X}" for c in key)
    yield "entity", "".join(f"&#{ord(c)};" for c in key)
    yield "html", html.escape(key)
    yield "spaced", " ".join(key)
    yield "zero-width", "\u200b".join(key)
    yield "hex", key.encode().hex()
    yield "hex-upper", key.encode().hex(":").upper()
    yield "reversed", key[::-1]
    yield "base64", base64.b64encode(key.encode()).decode()
    yield "base64-inside", base64.b64encode(b"me:" + key.encode()).decode()
    yield "base64-url", base64.urlsafe_b64encode(b"x" + key.encode()).decode()


@pytest.mark.parametrize(("way", "text"), list(coded(KEY)), ids=[way for way, _ in coded(KEY)])
def test_key_is_taken_out_in_every_form(way: str, text: str) -> None:
    """No form of a key that a reader can turn back stays in a text."""
    hidden = Redactor({KEY: "***"}).hide(f"before {text} after")
    assert "***" in hidden
    assert (hidden.startswith("before "), hidden.endswith(" after")) == (True, True)
    assert len(hidden) <= len("before *** after") + 8, hidden


@pytest.mark.parametrize("kept", [6, 9, 12, 16, 20, 27, 30])
def test_key_that_was_cut_off_is_taken_out(kept: int) -> None:
    """A key of which a shortening left the beginning or the end tells nothing either."""
    hidden = Redactor({KEY: "***"})
    assert KEY[:kept] not in hidden.hide(f"said: {KEY[:kept]}…")
    if kept >= 16:
        assert "***" == hidden.hide(KEY[-kept:])


def test_texts_without_a_key_stay() -> None:
    """Words that look a little like a key are left alone."""
    text = 'sk+fi, "tenant-one" and aGVs: 42 of 100 %20 \\u0041 &amp; sk'
    assert text == Redactor({KEY: "***"}).hide(text)


class Echo(BaseHTTPRequestHandler):
    """Says back every header, credentials and address, in a form that changes by turns."""

    protocol_version = "HTTP/1.1"
    turn = 0
    seen: set[str] = set()  # noqa: RUF012 - what one server met

    def answer(self) -> None:
        """Answer with an error that repeats everything."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        Echo.seen |= {f"{n}: {v}" for n, v in self.headers.items()} | {self.path}
        said = f"{self.path} " + "; ".join(f"{n}={v}" for n, v in self.headers.items())
        forms = [text for _, text in coded(KEY)] + [said]
        form = forms[Echo.turn % len(forms)]
        Echo.turn += 1
        body = json.dumps({"id": form, "error": {"code": form, "message": f"\x1b[2J{said}"}})
        self.send_response((200, 400, 500)[Echo.turn % 3])
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Echo", quote(said))
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = answer

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[servers.Served]:
    """The server that says everything back."""
    with servers.handled(Echo) as served:
        yield served


def held(outputs: dict[str, str]) -> set[tuple[str, str]]:
    """Return which output holds which form of the key."""
    found = set()
    for name, output in outputs.items():
        folded = output.lower()
        for way, text in coded(KEY):
            probe = text.lower()[: -3 if way.startswith("base64") else None]
            if probe in folded or json.dumps(text).lower()[1:-1] in folded:
                found.add((name, way))
    return found


def files(folder: Path) -> dict[str, str]:
    """Return the text of every file below a folder."""
    return {
        str(p.relative_to(folder)): p.read_bytes().decode("utf-8", "replace")
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_command_line_shows_no_key(echo: servers.Served, tmp_path: Path) -> None:
    """Terminal, results, reports and recording of a run hold no key in any form."""
    words = ["backend", "--base-url", echo.url, "--api", "octamem", "--api-key", KEY,
             "--out", str(tmp_path / "out"), "--record", str(tmp_path / "run.jsonl"),
             "--case", "errors.", "--case", "auth."]  # fmt: skip
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code in (1, 5), ran.output
    outputs = {**files(tmp_path), "terminal": ran.output}
    assert {"run.jsonl", "out/results.json", "out/summary.md"} <= set(outputs)
    assert set() == held(outputs)


def test_plain_pytest_shows_no_key(echo: servers.Served, tmp_path: Path) -> None:
    """`pytest -vv --junitxml` shows no key, and no control character of the server's."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:locust", "-p", "no:cacheprovider", "-vv", "-l",
         "--pyargs", "conformance.backend", "--base-url", echo.url, "--api", "octamem",
         "--api-key", KEY, "--junitxml", str(tmp_path / "j.xml"), "--out", str(tmp_path / "out"),
         "-k", "auth"],
        capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr
    outputs = {**files(tmp_path), "stdout": done.stdout, "stderr": done.stderr}
    assert set() == held(outputs)
    assert "\x1b" not in done.stdout


def test_credentials_in_a_base_url_are_used_and_never_shown(
    echo: servers.Served, tmp_path: Path
) -> None:
    """User information goes out as Basic, the query with every request; neither is shown."""
    Echo.seen.clear()
    host = echo.url.partition("//")[2]
    url = f"http://robot:{quote(KEY, safe='')}@{host}/?token={quote(KEY, safe='')}"
    words = ["backend", "--base-url", url, "--api", "octamem", "--out", str(tmp_path / "out"),
             "--header", f"X-Tenant={KEY}", "--record", str(tmp_path / "run.jsonl"),
             "--case", "auth."]  # fmt: skip
    ran = CliRunner().invoke(app, words)
    sent = "\n".join(Echo.seen).lower()
    assert f"x-tenant: {KEY}".lower() in sent
    assert f"token={quote(KEY, safe='')}".lower() in sent
    basic = base64.b64encode(f"robot:{KEY}".encode()).decode()
    assert f"Basic {basic}" in "\n".join(Echo.seen)
    assert set() == held({**files(tmp_path), "terminal": ran.output})


@pytest.mark.parametrize("word", ["backend", "operation", "inconclusive", "member=Verdict", "null"])
def test_key_that_is_a_word_is_refused(word: str) -> None:
    """A key that results hold as a word anyway is refused at the start, with the reason."""
    words = ["--base-url", "http://127.0.0.1:1", "--api", "octamem", "--api-key", word]
    for command in ("backend", "load"):
        ran = CliRunner().invoke(app, [command, *words])
        assert (2, True) == (ran.exit_code, "ordinary word" in ran.output), ran.output
    assert word.rpartition("=")[2].lower() in vocabulary()


def test_plain_locust_shows_no_key(echo: servers.Served, tmp_path: Path) -> None:
    """Locust's pages, tables, logs and results of a run hold no key, nor the URL's credentials."""
    host = echo.url.partition("//")[2]
    environment: dict[str, Any] = {
        **os.environ, "MEMCONFORM_API_KEYS": KEY, "LOCUST_SKIP_UPDATE_CHECK": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", LOCUSTFILE, "--headless", "--host",
         f"http://me:{quote(KEY, safe='')}@{host}", "--api", "octamem", "--seconds", "2",
         "--html", str(tmp_path / "r.html"), "--csv", str(tmp_path / "t"), "--json",
         "--out", str(tmp_path / "out"), "--header", f"X-Tenant={KEY}"],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert (tmp_path / "out" / "results.json").exists(), done.stderr[-2000:]
    assert set() == held({**files(tmp_path), "stdout": done.stdout, "stderr": done.stderr})
