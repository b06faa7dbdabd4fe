"""What is left of our commands after every signal at random moments: processes, ports, folders.

Each command of `tests/leftovers.py` is started again and again and ended at a random moment, from
its first instant to a while after all of it runs. With KILL the process that is killed may be any
that it started, and the command itself is then told to stop. One line for each, and a total:

    python -m tests.bench.leftovers --moments 3
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from conformance.clock import monotonic
from conformance.reference.backend.server import Embedded
from tests.leftovers import PATIENCE, SIGNALS, TABLE, Row, Stage, marked, remains, started, until

LATER = 1.3
"""The last moment, in parts of the time until everything of a command runs."""


def measured(row: Row, stage: Stage) -> float:
    """Return the seconds until everything of a command runs."""
    from tests.leftovers import come

    with started(row, stage) as child:
        began = monotonic()
        until(lambda: come(row, stage, child.pid) or child.poll() is not None)
        return monotonic() - began


def tried(row: Row, sign: signal.Signals, stage: Stage, moment: float, anyone: float) -> list[str]:
    """End a command at a moment and return what is left; `anyone` in 0..1 picks who is killed."""
    with started(row, stage) as child:
        began = monotonic()
        until(lambda: monotonic() - began > moment or child.poll() is not None)
        victims = sorted(marked(stage), key=lambda process: process.pid)
        if sign is signal.SIGKILL and victims:
            with contextlib.suppress(psutil.Error):
                victims[int(anyone * len(victims))].kill()
            until(lambda: child.poll() is not None, 1.0)
            if child.poll() is None:
                child.terminate()
        else:
            child.send_signal(sign)
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return [f"the command itself, {PATIENCE:g} s after {sign.name}", *remains(stage)]
        return remains(stage)


def main() -> int:
    """Try every command with every signal and print what is left of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.leftovers", description=__doc__)
    parser.add_argument("--moments", type=int, default=3, help="of each command and signal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--row", default="", help="only commands whose name begins so")
    given = parser.parse_args()
    drawn, count, bad = random.Random(given.seed), 0, 0
    with Embedded() as backend, tempfile.TemporaryDirectory() as folder:
        for row in TABLE:
            if not row.name.startswith(given.row):
                continue
            first = Path(folder, f"{count}-measured")
            first.mkdir()
            takes = measured(row, Stage(first, backend.url_for, backend.keys[0]))
            for sign in [s for s in SIGNALS for _ in range(given.moments)]:
                count += 1
                place = Path(folder, str(count))
                place.mkdir()
                moment, anyone = drawn.uniform(0, LATER * takes), drawn.random()
                stage = Stage(place, backend.url_for, backend.keys[0])
                left = tried(row, sign, stage, moment, anyone)
                bad += bool(left)
                told = "; ".join(left) or "nothing"
                print(f"{row.name:32} {sign.name:8} {moment:6.2f} s  left: {told}", flush=True)
    print(f"{count} ends, {bad} of them left something")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
