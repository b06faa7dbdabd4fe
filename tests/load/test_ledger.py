"""The ledger: acknowledged writes survive what happens to the backend, or are counted."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import specs
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from conformance.report.results import SubjectEntry
from load.defects import Wrong
from load.result import exit_code, sentences
from load.runner import run

KEY = "mc_ledger_key_0123456789abcdef"
WRITES = """
name = "writes"
users = 8
timeout = 5
drain = 3
prepare = 2
only = ["memory.create", "memory.get"]
[[stages]]
seconds = {seconds}
rate = {rate}
[gates]
errors = {errors}
throughput = 0.1
lag = 2.0
closed-connections = 1.0
"""


def profile(tmp_path: Path, seconds: float, rate: float, errors: float = 0.0) -> Path:
    """Write a profile of writes and reads and return its path."""
    file = tmp_path / "writes.toml"
    file.write_text(WRITES.format(seconds=seconds, rate=rate, errors=errors))
    return file


@contextmanager
def serving(db: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Serve the backend as a process on a file; yield it with its port."""
    start = "from conformance.cli import main; main()"
    line = [sys.executable, "-c", start, "serve", "--port", str(port), "--db", str(db)]
    line += ["--api-key", KEY]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            ready = json.loads(child.stdout.readline())
            yield child, int(ready["url"].rsplit(":", 1)[1].split("/")[0])
        finally:
            child.kill()


def test_a_backend_killed_in_the_middle_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """SIGKILL under load, a new start on the same file: errors meanwhile, no write lost."""
    db, made = tmp_path / "backend.sqlite", list[SubjectEntry]()
    with serving(db) as (first, port):
        url = f"http://127.0.0.1:{port}/sovant"
        file = profile(tmp_path, seconds=8, rate=40, errors=0.9)
        active = Defects.of(["load.worker-dies"])
        with Wrong(url, specs.load("sovant"), "load.worker-dies", active) as relay:
            thread = threading.Thread(
                target=lambda: made.append(run(relay.url, "sovant", [KEY], file))
            )
            thread.start()
            tick = threading.Event()
            while relay.memory.count < 60 and thread.is_alive():
                tick.wait(0.02)
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            with serving(db, port):
                thread.join()
    details = made[0].details
    assert details["errors"], "the kill was not noticed, so nothing was proven"
    assert details["ledger"]["written"] > 20
    assert details["ledger"]["lost"] == 0
    assert details["ledger"]["altered"] == 0
    assert exit_code(made[0]) == 0, sentences(made[0])


def test_a_lost_write_among_many_is_found(tmp_path: Path) -> None:
    """One write in twenty that is acknowledged and gone is counted, each."""
    active = Defects.of(["load.lost-write"])
    with (
        Embedded(process=True) as backend,
        Wrong(backend.url_for("sovant"), specs.load("sovant"), "load.lost-write", active) as wrong,
    ):
        made = run(wrong.url, "sovant", backend.keys[:1], profile(tmp_path, 2, 80))
        lost = len(wrong.memory.ids)
    assert lost >= 2
    assert made.details["ledger"]["lost"] == lost
    assert exit_code(made) == 1
