"""A driver process: what is wrong with it becomes an outcome, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conformance.drivers.process import (
    DriverError,
    DriverProcess,
    clean_environment,
    redact,
)

MINI = Path(__file__).parents[2] / "miniatures" / "mini.py"


def _mini(*faults: str) -> DriverProcess:
    """Start a driver with these faults; only those that never answer are given little time."""
    return DriverProcess(
        [sys.executable, str(MINI), *faults],
        start_timeout=1.5 if "silent" in faults else 30,
        call_timeout=1.5 if "slow" in faults else 30,
    )


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("silent", "no answer within 1.5 s"),
        ("chatty", "its answer is no reply of the protocol"),
        ("lies-about-ids", "it answered request 2; 1 was asked"),
        ("invalid-json", "its answer is no reply of the protocol"),
        ("speaks-another", "it speaks protocol 2, not 1"),
    ],
)
def test_a_driver_that_cannot_say_hello_is_refused(fault: str, says: str) -> None:
    """What goes wrong in `hello` is a DriverError that says what."""
    with _mini(fault) as driver, pytest.raises(DriverError, match=says):
        driver.hello()


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("slow", "hang", "no answer within 1.5 s"),
        ("dies", "driver_error", "the driver ended (exit code 3); its last words: out of cheese"),
        ("huge", "driver_error", "a line longer than 16 MiB"),
    ],
)
def test_what_goes_wrong_in_a_call_is_its_outcome(fault: str, kind: str, says: str) -> None:
    """A call on a faulty driver ends as `hang` or `driver_error`, never as an exception."""
    with _mini(fault) as driver:
        client = driver.open("http://127.0.0.1:9", "k")
        assert isinstance(client, str)
        for _ in range(2):  # the second proves that it was started anew
            outcome = driver.call(client, "notes.list").outcome
            assert outcome.kind == kind
            assert says in outcome.detail
        assert driver.starts == 2


def test_an_answer_too_many_is_noticed() -> None:
    """A second reply to one request does not become the reply to the next."""
    with _mini("answers-twice") as driver:
        driver.hello()
        assert driver._pipe is not None
        while b"\n" not in driver._pipe._pending:  # until it has arrived
            assert driver._pipe._fill(30)
        outcome = driver.open("http://127.0.0.1:9", "k")
        assert not isinstance(outcome, str)
        assert "a line that nobody asked for" in outcome.detail


def test_calls_that_are_lost_are_noticed() -> None:
    """Fewer answers than calls is a broken protocol for all of them."""
    with _mini("loses-calls") as driver:
        client = driver.open("http://127.0.0.1:9", "k")
        assert isinstance(client, str)
        replies = driver.calls(client, [("notes.list", {})] * 3, concurrency=3)
        assert [r.outcome.kind for r in replies] == ["driver_error"] * 3
        assert "it answered 1 of 3 calls" in replies[0].outcome.detail


def test_arguments_that_are_not_json_never_leave() -> None:
    """What JSON cannot write is refused before it is sent, and the driver lives on."""
    with _mini() as driver:
        client = driver.open("http://127.0.0.1:9", "k")
        assert isinstance(client, str)
        outcome = driver.call(client, "notes.add", {"text": float("nan")}).outcome
        assert (outcome.kind, driver.starts) == ("driver_error", 1)
        assert "the arguments are not JSON" in outcome.detail


def test_stopping_leaves_nothing_behind(tmp_path: Path) -> None:
    """A driver's children end with it, even those that a hang keeps busy."""
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            """
            import json, subprocess, sys, time
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            for line in sys.stdin:
                print(json.dumps({"id": json.loads(line)["id"], "reply": "hello", "protocol": 1,
                    "driver": "d", "api": "a", "sdk": {"name": "n", "version": str(child.pid)},
                    "clients": {}, "operations": {}}), flush=True)
            """
        ),
        encoding="utf-8",
    )
    driver = DriverProcess([sys.executable, str(script)])
    child = int(driver.hello().sdk.version)
    parent = driver.pid
    with _watched(child) as ends:
        driver.stop()
        assert [_runs(parent), ends(within=10)] == [False, True]
    assert driver.pid is None


def test_drivers_end_with_their_harness() -> None:
    """A harness that ends by an exception ends its drivers, even one that ignores the end."""
    code = textwrap.dedent(
        f"""
        import sys
        from conformance.drivers.process import DriverProcess
        driver = DriverProcess([sys.executable, {str(MINI)!r}, "ignores-the-end"])
        driver.hello()
        print(driver.pid, flush=True)
        raise KeyboardInterrupt
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "KeyboardInterrupt" in done.stderr
    assert _runs(int(done.stdout)) is False


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies, credentials and Python's switches do not reach an SDK; what was asked for does."""
    lost = ("HTTPS_PROXY", "SOVANT_API_KEY", "GITHUB_TOKEN", "PYTHONPATH", "MY_PASSWORD", "X_URL")
    for name in (*lost, "LC_MESSAGES"):
        monkeypatch.setenv(name, "x")
    made = clean_environment({"ASKED_FOR_KEY": "y"})
    assert [name for name in lost if name in made] == []
    assert (made["LC_MESSAGES"], made["ASKED_FOR_KEY"], made["NO_PROXY"]) == ("x", "y", "*")
    assert made["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bearer abcdef123", "Bearer [redacted]"),
        ("api_key='abcdef123'", "api_key='[redacted]'"),
        ("key sk_live_abcdefgh and more", "key [redacted] and more"),
        ("nothing to hide", "nothing to hide"),
        ("mine: hunter22", "mine: [redacted]"),
    ],
)
def test_keys_are_redacted(text: str, shown: str) -> None:
    """What is or looks like a key does not reach a report."""
    assert redact(text, "hunter22", None, "") == shown


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[Callable[..., bool]]:
    """Wait for the end of a process that is not our child; a kill takes effect when it will."""
    handle = os.pidfd_open(pid)
    try:
        yield lambda within: bool(select.select([handle], [], [], within)[0])
    finally:
        os.close(handle)


def _runs(pid: int | None) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
