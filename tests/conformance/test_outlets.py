"""Streams that cannot be written cost no run its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
{before}
from conformance import outlets
outlets.install()
for number in range(3000):
    print("a long line of a report " * 4)
    print("a line of progress", file=sys.stderr)
{after}
sys.exit(5)
"""


def _ran(out: int | None, error: int | None, before: str = "", after: str = "") -> tuple[int, str]:
    """Return how a program ended whose streams are these, and what it could say on a pipe."""
    text = PROGRAM.format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-c", text], stdout=out if out is not None else subprocess.PIPE,
        stderr=error if error is not None else subprocess.PIPE, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, (done.stdout or b"").decode() + (done.stderr or b"").decode()


def _gone() -> int:
    """Return the writing end of a pipe whose reader has gone."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("broken", ["out", "error"])
def test_a_reader_that_goes_away_changes_no_exit_code(broken: str) -> None:
    """As with `| head -1`: the program runs to its end and leaves with its own code."""
    pipe = _gone()
    code, _ = _ran(pipe if broken == "out" else None, pipe if broken == "error" else None)
    os.close(pipe)
    assert 5 == code


def test_a_full_disk_behind_a_stream_is_told_once() -> None:
    """The other stream says which one could not be written, and why."""
    with Path("/dev/full").open("w") as full:
        code, said = _ran(full.fileno(), None)
    assert 5 == code
    assert 1 == said.count("memconform: cannot write standard output: No space left on device")


def test_closed_streams_are_nowhere() -> None:
    """What is opened later does not get the number of a standard stream."""
    with Path(os.devnull).open("w") as nothing:
        code, _ = _ran(
            nothing.fileno(), nothing.fileno(),
            before="import os; os.close(1); os.close(2); sys.stdout = sys.stderr = None",
            after="import socket; assert socket.socket().fileno() > 2",
        )  # fmt: skip
    assert 5 == code
