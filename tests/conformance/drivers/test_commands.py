"""What `memconform sdk`, `driver` and `replay` say, and which exit code they end with."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import conformance.cli

MINIATURES = Path(__file__).parents[2] / "miniatures"
MINI = shlex.join([sys.executable, str(MINIATURES / "mini.py")])
NOTES = str(MINIATURES / "notes.yaml")
NO_DRIVER = "raise SystemExit('not today')"


def said(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    """Run a command; return its exit code and all that it said, in one line."""
    from rich.console import Console

    for name in ("console", "errors"):
        monkeypatch.setattr(conformance.cli, name, Console(width=160, highlight=False))
    done = CliRunner().invoke(conformance.cli.app, words)
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ("sdk", 2, "name an SDK (`memconform sdk NAME==VERSION`) or give --driver and --api"),
        ("sdk --driver x", 2, "--driver needs --api"),
        ("sdk --driver x --api nowhere", 2, "unknown API 'nowhere'"),
        ("sdk --driver ' ' --api claiv", 2, "it is empty"),
        ("""sdk --driver "x 'y" --api claiv""", 2, "is no command line"),
        ("sdk x --clock lunar", 2, "'lunar': it takes virtual or real"),
        ("sdk x --case nothing", 2, "no case starts with 'nothing'; there are: surface., wire.,"),
        ("sdk x --table none.py", 2, "none.py cannot be read"),
        ("sdk x --table {table} --driver y --api claiv", 2, "two ways of driving one SDK"),
        ("sdk x --table {table} --api claiv", 2, "the tables are for 'memsy'"),
        ("sdk /no/such/folder", 5, "no such file or folder: /no/such/folder; give NAME,"),
        ("sdk --driver /no/such --api claiv", 5, "driver (claiv): cannot start '/no/such'"),
        ("driver check /no/such --api claiv", 1, "give a command that starts the driver"),
        ("driver init /no/such/folder --api claiv", 1, "no such file or folder"),
        ("replay abc --results none.json", 2, "name the run's results.json with --results"),
    ],
)
def test_what_cannot_be_done_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str, code: int, says: str
) -> None:
    """A mistake is answered with the value, why, and what to give; the exit code is its kind."""
    table = tmp_path / "odd.py"
    table.write_text(
        "from conformance.drivers.hosting.table import Table\n"
        "TABLES = (Table(api='memsy', package='x', module='x', clients={}, operations={}),)\n"
    )
    found, text = said(monkeypatch, *shlex.split(words.format(table=table)))
    assert says in text
    assert found == code


def test_each_subject_that_cannot_be_judged_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of several that cannot be judged, the report says why of each, and so does the result."""
    code, text = said(
        monkeypatch, "sdk", "/no/such/one", "/no/such/two", "--out", str(tmp_path / "out")
    )
    assert code == 5
    assert "no such file or folder: /no/such/one" in text
    assert "no such file or folder: /no/such/two" in text
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert all("no such file" in s["details"]["undecided"] for s in results["subjects"])


def test_a_driver_that_does_not_start_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a driver wrote before it ended stands in the sentence that ends the run."""
    driver = shlex.join([sys.executable, "-c", NO_DRIVER])
    code, text = said(monkeypatch, "sdk", "--driver", driver, "--api", NOTES)
    assert (code, "its last words: not today" in text) == (5, True)


def test_the_protocol_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An author without the source has protocol and schema from the command line."""
    code, text = said(monkeypatch, "driver", "protocol")
    assert (code, text.startswith("# The driver protocol")) == (0, True)
    code, text = said(monkeypatch, "driver", "protocol", "--schema")
    assert {"request", "reply"} <= set(json.loads(text)["$defs"])


def test_a_right_driver_is_told_what_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """`driver check` of a driver that is right names the command that judges its SDK."""
    code, text = said(monkeypatch, "driver", "check", MINI, "--api", NOTES)
    assert (code, "Nothing wrong" in text) == (0, True), text
    assert f"Next: memconform sdk --driver {shlex.quote(MINI)} --api {NOTES}" in text


def test_the_replay_command_works_as_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It names the results where they stand, and runs the driver that they name if trusted."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "my results"
    words = ["sdk", "--driver", f"{MINI} swallows-errors", "--api", NOTES, "--case", "errors.stat"]
    code, text = said(monkeypatch, *words)
    assert code == 0, text
    assert (tmp_path / "memconform-out" / "report.html").is_file()
    code, text = said(monkeypatch, *words, "--out", str(out))
    command = re.search(r"memconform (replay \w+ --results '[^']*')", text)
    assert command is not None, text
    assert command[0] in (out / "junit.xml").read_text("utf-8")
    code, text = said(monkeypatch, *shlex.split(command[1]))
    assert (code, "give --trust to run it" in text) == (2, True), text
    code, text = said(monkeypatch, *shlex.split(command[1]), "--trust")
    assert (code, "returns a value for status" in text) == (1, True), text


def test_what_a_driver_does_wrong_is_not_called_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run whose driver dies ends with 3, and says that it was the driver and what it said."""
    words = ["sdk", "--driver", f"{MINI} dies-on-one", "--api", NOTES, "--case", "wire.request"]
    code, text = said(monkeypatch, *words)
    assert code == 3, text
    assert "1 case ended in an error of what surrounds it, the first being wire.request" in text
    assert "the driver failed: notes.list" in text
    assert "notes.list: the driver ended (exit code 3); its last words: out of cheese" in text
    assert "RuntimeError" not in text
