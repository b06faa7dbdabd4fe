"""Master and workers as commands of their own, joined over loopback, as on several machines."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

import specs
from conformance.reference.backend.server import Embedded
from conformance.report.results import Results, SubjectEntry
from load.relay import Ask, Forward, Relay, Reply
from load.runner import _port, command, run

BOUND = 180
"""Seconds that bound a hang."""
PROFILE = """
name = "joined"
users = 8
timeout = 20
drain = 10
prepare = 2
[[stages]]
name = "first"
seconds = 1
rate = 30
[[stages]]
name = "second"
seconds = {seconds}
rate = 30
[gates]
lag = 20.0
throughput = 0.5
"""


@pytest.fixture(scope="module")
def backend() -> Iterator[Embedded]:
    """The perfect backend, shared by this module's tests."""
    with Embedded() as made:
        yield made


class Watched(Relay):
    """A relay that changes nothing and can be waited for."""

    def __init__(self, backend: Embedded) -> None:
        async def pass_on(relay: Relay, ask: Ask, forward: Forward) -> Reply:
            if ask.number >= 12:
                self.flowing.set()
            return await forward()

        super().__init__(backend.url_for("octamem"), specs.load("octamem"), pass_on)
        self.flowing = threading.Event()


def profile(tmp_path: Path, seconds: float = 1) -> Path:
    """Write a profile of two stages and return its path."""
    file = tmp_path / "joined.toml"
    file.write_text(PROFILE.format(seconds=seconds))
    return file


def start(tmp_path: Path, url: str, key: str, file: Path) -> list[subprocess.Popen[str]]:
    """Start a master and two workers, each by a command of its own; the master comes first."""
    line = command(url, "octamem", str(file), tmp_path / "out", 0, None)
    line.remove("--headless")
    port = str(_port())
    ways = [["--headless", "--master", "--expect-workers", "2", "--master-bind-host", "127.0.0.1",
             "--master-bind-port", port],
            *([["--worker", "--master-host", "127.0.0.1", "--master-port", port]] * 2)]  # fmt: skip
    secret = "what master and workers of this test share"
    environment = {
        **os.environ, "MEMCONFORM_API_KEYS": key, "MEMCONFORM_CLUSTER_SECRET": secret,
    }  # fmt: skip
    return [
        subprocess.Popen([*line, *way], env=environment, stderr=subprocess.PIPE, text=True)
        for way in ways
    ]


def ended(children: list[subprocess.Popen[str]]) -> tuple[int, str]:
    """Wait for all; return the master's exit code and what it said."""
    with ExitStack() as stack:
        for child in children:
            stack.callback(child.kill)
        _, said = children[0].communicate(timeout=BOUND)
        for child in children[1:]:
            child.communicate(timeout=BOUND)
    return children[0].returncode, said


def result(tmp_path: Path) -> SubjectEntry:
    """Return the entry that the master wrote."""
    text = (tmp_path / "out" / "results.json").read_bytes()
    return Results.model_validate_json(text).subjects[0]


def counted(details: Any) -> dict[str, Any]:
    """Return what must not depend on how many processes sent."""
    return {
        "sent": details["sent"],
        "planned": details["planned"],
        "stages": [(s["name"], s["planned"], s["taken"]) for s in details["stages"]],
        "histogram": HdrHistogram.decode(details["histogram"].encode()).get_total_count(),
        "operations": set(details["operations"]),
    }


def test_joined_commands_come_to_what_one_process_comes_to(
    backend: Embedded, tmp_path: Path
) -> None:
    """Three commands over loopback send the same tickets, count them once and judge the same."""
    url, key, file = backend.url_for("octamem"), backend.keys[0], profile(tmp_path)
    code, said = ended(start(tmp_path, url, key, file))
    assert code == 0, said
    joined, alone = result(tmp_path), run(url, "octamem", [key], file)
    assert joined.details["workers"] == 2
    assert counted(joined.details) == counted(alone.details)
    assert counted(joined.details)["histogram"] == 60
    assert [c.case for c in joined.cases] == [c.case for c in alone.cases]
    assert {c.case: c.verdict for c in joined.cases} == {c.case: c.verdict for c in alone.cases}


def test_a_worker_killed_in_the_middle_is_told(backend: Embedded, tmp_path: Path) -> None:
    """SIGKILL of one of two joined workers: the master says so and ends with 5, not with green."""
    with Watched(backend) as relay:
        children = start(tmp_path, relay.url, backend.keys[0], profile(tmp_path, seconds=12))
        assert relay.flowing.wait(BOUND), [child.poll() for child in children]
        children[2].send_signal(signal.SIGKILL)
        code, said = ended(children)
    assert code == 5, said
    assert "1 of 2 workers never sent their last report" in said


def test_a_master_that_waits_for_workers_ends_when_it_is_told(
    backend: Embedded, tmp_path: Path
) -> None:
    """SIGTERM ends a master whose workers have not come, and the run was none."""
    line = command(backend.url_for("octamem"), "octamem", str(profile(tmp_path)), tmp_path, 0, None)
    line += ["--master", "--expect-workers", "1", "--master-bind-host", "127.0.0.1",
             "--master-bind-port", str(_port())]  # fmt: skip
    line.remove("--skip-log-setup")
    with subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "MEMCONFORM_CLUSTER_SECRET": "what this test alone knows"},
    ) as child:
        assert child.stdout is not None
        try:
            for told in child.stdout:
                if "Waiting for workers" in told:
                    child.send_signal(signal.SIGTERM)
                    break
            child.communicate(timeout=BOUND)
        finally:
            child.kill()
    assert child.returncode == 3
