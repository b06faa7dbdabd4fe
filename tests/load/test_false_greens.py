"""Where Locust alone is green for what is wrong: each reproduced, and red (or told) here.

| what is wrong | Locust alone | here |
|---|---|---|
| the server hangs | exit 0, no failure | exit 1, timeouts and requests in flight |
| nothing was sent | exit 0 | exit 5, no evidence |
| empty lines after a body | exit 0, no failure | exit 1, by name |
| kept connections closed without notice | exit 0, no failure | exit 1, by name |
| one failure within the budget | exit 1 | exit 0 |
| a stage shorter than a tick is skipped | exit 0 | it runs; one that does not is exit 5 |
| percentiles | two digits, 0 below a millisecond | three digits, microseconds |
| `--json-file x.json` | writes `x.json.json` | `--out` writes `results.json` |
| a listener raises and another set the exit code | the other's code | exit 3 |
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import specs
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from conformance.report.results import SubjectEntry
from load.defects import Wrong
from load.record import Histogram
from load.relay import Ask, Forward, Relay, Reply
from load.result import exit_code, sentences
from load.runner import command, run
from tests.load_figures import figures, verdicts

BOUND = 120
"""Seconds that bound a hang."""
QUIET = """
import gevent
from locust import LoadTestShape, User, events, task

class Quiet(User):
    @task
    def nothing(self):
        gevent.sleep(60)

class Shape(LoadTestShape):
    def tick(self):
        now = self.get_run_time()
        if now > 1.5:
            return None
        return (7, 100) if 0.2 < now < 0.7 else (1, 100)

@events.spawning_complete.add_listener
def spawned(user_count, **_):
    print("users", user_count, flush=True)

@events.quitting.add_listener
def rounded(environment, **_):
    entry = environment.stats.get("x", "GET")
    for milliseconds in (0.4, 1234.0):
        entry.log(milliseconds, 0)
    print("buckets", sorted(entry.response_times), flush=True)
"""
ASKS = """
import gevent
from locust import FastHttpUser, task

class Asks(FastHttpUser):
    @task
    def ask(self):
        for _ in range(40):
            self.client.get("/api/v1/memory", headers={"Authorization": "Bearer KEY"})
        gevent.spawn(self.environment.runner.quit)
        gevent.sleep(60)
"""
RAISES = """
from load.locustfile import MemoryUser, ProfileShape
from locust import events

@events.test_start.add_listener
def wrong(**_):
    raise RuntimeError("a listener of the user's own")
"""
PROFILE = """
name = "short"
users = 8
timeout = 0.5
drain = 1
prepare = 1
only = ["memory.create", "memory.list"]
[[stages]]
name = "short"
seconds = {seconds}
rate = {rate}
[gates]
lag = 5.0
errors = {errors}
throughput = 0.1
"""


@dataclass(frozen=True)
class Ended:
    """How Locust alone ended."""

    code: int
    said: str
    files: tuple[str, ...]


def alone(folder: Path, text: str, host: str, *more: str) -> subprocess.Popen[str]:
    """Start Locust itself on a locustfile of a user who has nothing else."""
    folder.mkdir()
    (folder / "locustfile.py").write_text(text.replace("KEY", KEY))
    line = [sys.executable, "-m", "locust", "--headless", "-u", "1", "--host", host,
            "--skip-log-setup", "--stop-timeout", "0", *more]  # fmt: skip
    return subprocess.Popen(
        line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


KEY = "mc_false_green_0123456789abcdef"


@pytest.fixture(scope="module")
def backend() -> Iterator[Embedded]:
    """A perfect backend, shared by this module's tests."""
    with Embedded(keys=[KEY]) as made:
        yield made


@pytest.fixture(scope="module")
def hanging() -> Iterator[str]:
    """The URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(scope="module")
def locust(
    backend: Embedded, hanging: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Ended]:
    """Return how Locust alone ended with each thing that is wrong; all run at once."""
    folder = tmp_path_factory.mktemp("locust")
    with (
        trailing(backend) as after,
        wrong(backend, "load.closes-connections") as closes,
        wrong(backend, "load.fails-now-and-then") as fails,
    ):
        started = {
            "quiet": alone(folder / "quiet", QUIET, "http://127.0.0.1:9", "--json-file", "x.json"),
            "hangs": alone(folder / "hangs", ASKS, hanging, "-t", "2s"),
            "after": alone(folder / "after", ASKS, after.url),
            "closes": alone(folder / "closes", ASKS, closes.url),
            "fails": alone(folder / "fails", ASKS, fails.url),
        }
        ended = {}
        for name, child in started.items():
            said, _ = child.communicate(timeout=BOUND)
            files = tuple(sorted(p.name for p in (folder / name).iterdir()))
            ended[name] = Ended(child.returncode, said, files)
    return ended


def wrong(backend: Embedded, defect: str) -> Wrong:
    """Return a relay in front of the backend that is wrong in one way."""
    return Wrong(backend.url_for("sovant"), specs.load("sovant"), defect, Defects.of([defect]))


def trailing(backend: Embedded) -> Relay:
    """Return a relay that sends two empty lines after every third body."""

    async def behave(relay: Relay, ask: Ask, forward: Forward) -> Reply:
        reply = await forward()
        reply.after = b"" if ask.number % 3 else b"\r\n\r\n"
        return reply

    return Relay(backend.url_for("sovant"), specs.load("sovant"), behave)


def judged(
    tmp_path: Path, url: str, seconds: float = 1, rate: float = 60, errors: float = 0
) -> SubjectEntry:
    """Run our users on a URL."""
    file = tmp_path / "short.toml"
    file.write_text(PROFILE.format(seconds=seconds, rate=rate, errors=errors))
    return run(url, "sovant", [KEY], file)


def test_a_server_that_hangs(locust: dict[str, Ended], hanging: str, tmp_path: Path) -> None:
    """Locust waits and is green; here what was never answered is counted and red."""
    assert locust["hangs"].code == 0
    made = judged(tmp_path, hanging)
    assert exit_code(made) == 1
    assert made.details["errors"].keys() & {"timeout", "in-flight"}


def test_nothing_sent(locust: dict[str, Ended], backend: Embedded, tmp_path: Path) -> None:
    """Locust is green without a request; here that is too little evidence."""
    assert locust["quiet"].code == 0
    made = judged(tmp_path, backend.url_for("sovant"), rate=0.01)
    assert made.details["sent"] == 0
    assert exit_code(made) == 5


@pytest.mark.parametrize(
    ("name", "defect", "words"),
    [
        ("after", "", "bytes-after-body"),
        ("closes", "load.closes-connections", "without saying"),
    ],
)
def test_what_its_client_passes_over(
    locust: dict[str, Ended], backend: Embedded, tmp_path: Path, name: str, defect: str, words: str
) -> None:
    """Bytes after a body and closes without notice are no failures there; here they have names."""
    assert locust[name].code == 0, locust[name].said
    with trailing(backend) if name == "after" else wrong(backend, defect) as relay:
        made = judged(tmp_path, relay.url, rate=120)
    assert exit_code(made) == 1
    assert any(words in line for line in sentences(made)), sentences(made)


def test_one_failure_within_the_budget(locust: dict[str, Ended]) -> None:
    """One failure makes Locust red, whatever the budget; here the budget decides."""
    assert locust["fails"].code == 1
    made = figures(lambda f: f.tally.of("add").errors.update({"http-500": 1}))
    assert verdicts(made)["load.errors"] == "fail"
    lenient = made.profile.gates.model_copy(update={"errors": 0.01})
    made.profile = made.profile.model_copy(update={"gates": lenient})
    assert verdicts(made)["load.errors"] == "pass"


def test_a_short_stage(locust: dict[str, Ended], backend: Embedded, tmp_path: Path) -> None:
    """A stage between two ticks of a shape never runs there; here it is played as planned."""
    assert "users 1" in locust["quiet"].said
    assert "users 7" not in locust["quiet"].said
    made = judged(tmp_path, backend.url_for("sovant"), seconds=0.3, rate=40)
    assert [s["taken"] for s in made.details["stages"]] == [12]


def test_fine_times(locust: dict[str, Ended]) -> None:
    """Locust keeps 0.4 ms as 0 and 1234 ms as 1200; here both keep three digits."""
    assert "buckets [0, 1200]" in locust["quiet"].said
    times = Histogram()
    times.add([400, 1_234_000])
    assert times.percentiles([1, 100]) == pytest.approx([0.0004, 1.234], rel=0.001)


def test_the_file_that_was_named(locust: dict[str, Ended]) -> None:
    """`--json-file x.json` writes another file; ours is where `--out` says (see test_load_run)."""
    assert "x.json.json" in locust["quiet"].files
    assert "x.json" not in locust["quiet"].files


def test_a_listener_that_raises(backend: Embedded, tmp_path: Path) -> None:
    """What a user's own listener raises is not covered up by gates that all hold."""
    file, profile = tmp_path / "locustfile.py", tmp_path / "short.toml"
    file.write_text(RAISES)
    profile.write_text(PROFILE.format(seconds=1, rate=30, errors=0))
    line = command(backend.url_for("sovant"), "sovant", str(profile), tmp_path / "out", 0, None)
    line[line.index("-f") + 1] = str(file)
    environment = {**os.environ, "MEMCONFORM_API_KEYS": KEY}
    ended = subprocess.run(
        line, capture_output=True, text=True, env=environment, timeout=BOUND, check=False
    )
    assert ended.returncode == 3, ended.stderr
    assert "raised" in ended.stderr


def test_its_pytest_plugin_is_not_with_us(pytestconfig: pytest.Config) -> None:
    """Locust's bundled plugin, which patches the process, is switched off where we test."""
    assert not pytestconfig.pluginmanager.hasplugin("locust")
    assert "locust" not in sys.modules
