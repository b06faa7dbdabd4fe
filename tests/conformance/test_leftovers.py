"""Nothing survives us: each command, ended in the middle, leaves no process and no folder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

from conformance.reference.backend.server import Embedded
from tests.leftovers import TABLE, Stage, ended

AT_ONCE = 4


def test_nothing_is_left_of_commands_that_a_signal_ends(tmp_path: Path) -> None:
    """Builds, drivers, storms, workers and servers end by themselves; folders go at next start.

    `python -m tests.bench.leftovers` tries every signal at random moments.
    """
    signs = cycle((SIGKILL, SIGHUP, SIGKILL, SIGTERM, SIGKILL, SIGINT))
    rows = [row for row in TABLE if row.always]
    with Embedded() as backend, ThreadPoolExecutor(AT_ONCE) as pool:
        stages = []
        for number, _ in enumerate(rows):
            (tmp_path / str(number)).mkdir()
            stages.append(Stage(tmp_path / str(number), backend.url_for, backend.keys[0]))
        left = list(pool.map(ended, rows, signs, stages))
    assert {} == {row.name: each for row, each in zip(rows, left, strict=True) if each}
