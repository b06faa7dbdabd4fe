"""The guides, tried from the first line to the last: every command does what the guide says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conformance.cli import app
from conformance.docs.guides import GUIDES, Guide

_BLOCK = re.compile(r"^```(sh)?(?: exit=(\d))?[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECONDS = 60
LONGEST = 20
"""Words of a sentence."""


def blocks(guide: Guide) -> Iterator[tuple[str, int]]:
    """Yield each block that is run, with the exit code that the guide promises."""
    for shell, code, text in _BLOCK.findall(guide.text()):
        if shell:
            yield text.strip(), int(code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[str]]]:
    """Work in an empty folder with memconform on the path; end what a guide has started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    started: list[subprocess.Popen[str]] = []
    yield started
    for each in started:
        os.killpg(each.pid, signal.SIGKILL)
        each.wait()


def played(text: str, started: list[subprocess.Popen[str]]) -> tuple[int, str]:
    """Run a block as a reader's shell would, and return its exit code and what it said."""
    if text.startswith("memconform ") and "&" not in text:
        done = CliRunner().invoke(app, shlex.split(text)[1:])
        return done.exit_code, done.output
    if text.endswith("&"):
        started.append(
            subprocess.Popen(["sh", "-c", f"exec {text[:-1]}"], start_new_session=True, text=True)
        )
        return 0, ""
    shell = subprocess.run(
        ["sh", "-c", text], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return shell.returncode, shell.stdout + shell.stderr


@pytest.mark.parametrize("guide", GUIDES, ids=lambda g: g.name)
def test_a_guide_can_be_followed(guide: Guide, here: list[subprocess.Popen[str]]) -> None:
    """Each command of a guide, in its order, ends with the exit code that stands beside it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    wanted = list(blocks(guide))
    assert len(wanted) >= 3
    for text, code in wanted:
        got, said = played(text.replace("8000", port), here)
        assert (text, code) == (text, got), said


@pytest.mark.parametrize("guide", GUIDES, ids=lambda g: g.name)
def test_a_guide_is_plain(guide: Guide) -> None:
    """No sentence of a guide has more than twenty words."""
    prose = re.sub(r"`[^`]*`", "CODE", _BLOCK.sub("", guide.text()))
    paragraphs = [p for p in prose.split("\n\n") if not p.startswith(("#", "|"))]
    said = [s for p in paragraphs for s in re.split(r"(?<=[.:?!])\s+", " ".join(p.split()))]
    assert [] == [s for s in said if len(s.split()) > LONGEST]
