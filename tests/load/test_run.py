"""Whole runs: a child process, a real backend, an honest exit code, nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import specs
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from conformance.report.results import Results, SubjectEntry
from conformance.verdict import Verdict
from load.defects import DEFECTS, Wrong
from load.result import exit_code, sentences
from load.runner import LoadError, command, run
from load.teeth import kill

SECONDS = """
name = "short"
users = {users}
timeout = {timeout}
drain = 1
prepare = 2
[[stages]]
seconds = {seconds}
rate = {rate}
[gates]
lag = 2.0
evidence = 1
throughput = {throughput}
"""


@pytest.fixture(scope="module")
def backend() -> Iterator[Embedded]:
    """The perfect backend, shared by this module's tests."""
    with Embedded() as made:
        yield made


def profile(tmp_path: Path, seconds: float = 1, rate: float = 60, **given: float) -> Path:
    """Write a short profile and return its path."""
    file = tmp_path / "short.toml"
    settings = {"users": 8, "timeout": 5, "throughput": 0.5, **given}
    file.write_text(SECONDS.format(seconds=seconds, rate=rate, **settings))
    return file


@pytest.mark.parametrize("api", specs.names())
def test_smoke_passes_on_the_perfect_backend(backend: Embedded, api: str) -> None:
    """Every operation of every API is played under smoke, and nothing is found wrong."""
    made = run(backend.url_for(api), api, backend.keys[:1], "smoke")
    assert sentences(made) == []
    assert made.verdict is Verdict.PASS
    assert exit_code(made) == 0
    played = set(made.details["operations"]) | set(made.details["excluded"])
    assert played == set(specs.load(api).operations)
    assert not made.details.get("foreign", {}).keys() & {"gone", "changed", "reused", "unsure"}


def test_a_run_leaves_a_valid_result_and_no_process(backend: Embedded, tmp_path: Path) -> None:
    """`results.json` is there and valid; no key is in it; no child is left."""
    out = tmp_path / "out"
    run(backend.url_for("octamem"), "octamem", backend.keys[:1], profile(tmp_path), out)
    text = (out / "results.json").read_text()
    results = Results.model_validate_json(text)
    assert results.subjects[0].details["sent"] == 60
    assert results.subjects[0].details["series"]
    assert backend.keys[0] not in text
    assert backend.keys[0] not in (out / "locust.log").read_text()
    left = [p for p in psutil.process_iter(["cmdline"]) if str(out) in (p.info["cmdline"] or [])]
    assert left == []


def test_two_workers_send_what_one_process_sends(backend: Embedded, tmp_path: Path) -> None:
    """Under --processes 2 the same tickets are taken, each once, and judged on the master."""
    file = profile(tmp_path)
    made = run(backend.url_for("claiv"), "claiv", backend.keys[:1], file, processes=2)
    assert made.details["workers"] == 2
    assert made.details["sent"] == 60
    assert made.details["stages"][0]["taken"] == 60
    assert sum(o["sent"] for o in made.details["operations"].values()) == 60
    assert exit_code(made) == 0


def direct(
    tmp_path: Path, host: str, *more: str, api: str = "octamem", key: str = "k"
) -> subprocess.CompletedProcess[str]:
    """Run Locust itself, as a user would, and return how it ended."""
    line = command(host, api, str(profile(tmp_path)), tmp_path / "out", 0, None)
    environment = {**os.environ, "MEMCONFORM_API_KEYS": key}
    return subprocess.run(
        [*line, *more], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def test_locusts_own_command_exits_with_our_code(backend: Embedded, tmp_path: Path) -> None:
    """`locust -f load/locustfile.py --host URL --api NAME` passes with 0."""
    ended = direct(tmp_path, backend.url_for("octamem"), key=backend.keys[0])
    assert ended.returncode == 0, ended.stderr


def test_a_wrong_key_is_a_broken_run_not_a_green_one(backend: Embedded, tmp_path: Path) -> None:
    """Where everything answers 401 the error budget breaks: exit 1."""
    ended = direct(tmp_path, backend.url_for("octamem"), key="wrong")
    assert ended.returncode == 1, ended.stderr
    assert "http-401" in ended.stderr


def test_a_dead_base_url_is_told(tmp_path: Path) -> None:
    """Where nobody listens, every request fails as refused: exit 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        ended = direct(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert ended.returncode == 1, ended.stderr
    assert "refused" in ended.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--api", "nonsense"), "unknown API"),
        (("--load-profile", "nonsense"), "unknown load profile"),
        (("--host", "not a url"), "not a base URL"),
    ],
)
def test_usage_errors_exit_with_2_and_say_what_to_do(
    tmp_path: Path, more: tuple[str, ...], words: str
) -> None:
    """What cannot be used is told in words before anything is sent."""
    ended = direct(tmp_path, "http://127.0.0.1:9", *more)
    assert ended.returncode == 2, ended.stderr
    assert words in ended.stderr


def test_a_hung_server_is_red(backend: Embedded, tmp_path: Path) -> None:
    """Locust alone is green for a server that never answers; here requests in flight fail."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        stop = threading.Event()

        def accept() -> None:
            kept = []
            while not stop.is_set():
                try:
                    kept.append(listener.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        file = profile(tmp_path, timeout=0.5)
        port = listener.getsockname()[1]
        made = run(f"http://127.0.0.1:{port}", "octamem", ["k"], file)
        stop.set()
    assert exit_code(made) == 1
    assert made.details["errors"].keys() & {"timeout", "in-flight"}


def test_an_interrupted_run_is_partial_and_says_so(backend: Embedded, tmp_path: Path) -> None:
    """SIGTERM in the middle leaves a valid result that is marked as not complete."""
    file, active = profile(tmp_path, seconds=30), Defects.of(["load.worker-dies"])
    upstream, contract = backend.url_for("octamem"), specs.load("octamem")
    with Wrong(upstream, contract, "load.worker-dies", active) as relay:
        line = command(relay.url, "octamem", str(file), tmp_path / "out", 0, None)
        environment = {**os.environ, "MEMCONFORM_API_KEYS": backend.keys[0]}
        with subprocess.Popen(line, env=environment, stderr=-1, stdout=-1) as child:
            tick = threading.Event()
            while relay.memory.count < 40 and child.poll() is None:
                tick.wait(0.02)
            child.send_signal(signal.SIGTERM)
            words = child.communicate(timeout=60)
    assert (tmp_path / "out" / "results.json").exists(), words
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["run"]["complete"] is False
    assert child.returncode == 3


def test_without_a_result_the_childs_words_are_given(tmp_path: Path) -> None:
    """A child that ends without a result is an error that carries what it said."""
    with pytest.raises(LoadError, match="a few"):
        run("http://127.0.0.1:9", "sovant", ["k"], profile(tmp_path), quota="a few")


@pytest.mark.parametrize("identity", ["load.written-twice", "load.hangs", "load.worker-dies"])
def test_a_defect_dies_by_the_gate_it_names(identity: str) -> None:
    """Three defects of three kinds are killed here; `memconform teeth` kills them all."""
    defect = next(d for d in DEFECTS if d.id == identity)
    made = kill(defect)
    assert made.verdict == "killed", made.detail


def test_the_relay_changes_nothing_unless_it_is_told_to(backend: Embedded, tmp_path: Path) -> None:
    """Through a relay without a fault of its own the perfect backend stays perfect."""
    active = Defects.of(["load.worker-dies"])
    with Wrong(
        backend.url_for("sovant"), specs.load("sovant"), "load.worker-dies", active
    ) as wrong:
        made: SubjectEntry = run(wrong.url, "sovant", backend.keys[:1], "smoke")
    assert sentences(made) == []


def test_python_m_load_prints_the_verdict(backend: Embedded, tmp_path: Path) -> None:
    """`python -m load` runs a profile and ends with the exit code of the result."""
    ended = subprocess.run(
        [sys.executable, "-m", "load", "--base-url", backend.url_for("octamem"), "--api",
         "octamem", "--api-key", backend.keys[0], "--load-profile", str(profile(tmp_path))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "conforms (exit 0)" in ended.stdout
