"""Nothing survives us: programs of others see little, and end with whoever started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from conformance import contained
from conformance.contained import Contained, allowed, folder, ran, sweep
from conformance.drivers.environment import _uv_environment
from conformance.drivers.process import DriverProcess, clean_environment

ROOT = Path(__file__).parents[2]
ESCAPE = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
if "stay" in sys.argv:
    time.sleep(600)
"""
"""Leaves a process behind in a session of its own, two forks away, and tells its id."""
SECRETS = (
    "MEMCONFORM_API_KEY", "MEMCONFORM_API_KEYS", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN",
    "SSH_AUTH_SOCK", "MYSQL_PWD", "DOCKER_AUTH_CONFIG", "GH_PAT", "KUBECONFIG", "DATABASE_DSN",
    "MY_JWT", "LOCUST_HOST",
)  # fmt: skip


def gone(pid: int) -> bool:
    """Wait until a process is no more; False where it stays for half a minute."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(30)
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_double_fork_ends_with_the_command() -> None:
    """A process in a session of its own ends when the command that left it behind ends."""
    done = ran([sys.executable, "-c", ESCAPE], timeout=60)
    assert (0, True) == (done.returncode, gone(int(done.stdout)))


def test_a_command_ends_with_all_it_started_when_it_is_let_go() -> None:
    """Letting go of a command that still runs ends it and what escaped from it."""
    child = Contained([sys.executable, "-c", ESCAPE, "stay"], stdout=subprocess.PIPE, text=True)
    escaped = int(child.stdout.readline())
    child.finish()
    assert gone(escaped)
    assert child.returncode is not None


@pytest.mark.parametrize(
    "sign", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name
)
def test_nothing_survives_the_process_that_started_it(sign: signal.Signals) -> None:
    """Whatever ends one of our processes ends the programs that it started, escaped ones too."""
    code = (
        "import subprocess, sys; from conformance.contained import Contained;"
        "child = Contained([sys.executable, '-c', sys.argv[1], 'stay'], stdout=subprocess.PIPE);"
        "print(child.pid, int(child.stdout.readline()), flush=True); child.wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, ESCAPE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, cwd=ROOT,
    )  # fmt: skip
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    parent.send_signal(sign)
    parent.wait(30)
    assert [True, True] == [gone(pid) for pid in pids]


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", -9),
     ("import os; os.abort()", -6), ("", 0)],
)  # fmt: skip
def test_a_commands_end_is_told_as_it_was(code: str, expected: int) -> None:
    """Exit codes and signals of a contained command are its own."""
    assert expected == ran([sys.executable, "-c", code], timeout=60).returncode


def test_time_is_up_for_what_was_started_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A command that takes too long is ended with everything that it started."""
    real = contained._wait

    def late(child: Contained, command: Sequence[str], timeout: float) -> None:
        while not told.exists() or not told.read_text("ascii").endswith("\n"):
            assert child.poll() is None
        real(child, command, timeout)

    told = tmp_path / "told"
    code = f"import os; os.dup2(os.open({str(told)!r}, os.O_WRONLY | os.O_CREAT), 1)\n{ESCAPE}"
    monkeypatch.setattr(contained, "_wait", late)
    with pytest.raises(subprocess.TimeoutExpired):
        ran([sys.executable, "-c", code, "stay"], timeout=0.2)
    assert gone(int(told.read_text("ascii")))


def test_of_what_a_command_prints_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that prints without end costs no memory; how much is missing is said."""
    monkeypatch.setattr(contained, "SAID_MAX", 1000)
    code = "import sys; sys.stdout.write('x' * 5_000_000 + 'the end'); sys.stderr.write('short')"
    done = ran([sys.executable, "-c", code], timeout=60)
    assert done.stdout.endswith("xxthe end")
    assert "characters before)" in done.stdout
    assert (True, "short") == (len(done.stdout) < 1100, done.stderr)


def test_a_command_that_grows_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installer that keeps what a build prints is ended before memory is."""
    monkeypatch.setattr(contained, "GROWN_MAX", 80 * 1024 * 1024)
    code = "held = b'x' * 200_000_000; import time; time.sleep(60)"
    with pytest.raises(contained.TooMuch, match="took more than 80 MiB"):
        ran([sys.executable, "-c", code], timeout=60)


def test_programs_of_others_see_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers, SDKs and build backends get variables by a list of what they need."""
    for name in (*SECRETS, "LC_TIME", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, "x")
    for given in (allowed(), clean_environment(), _uv_environment()):
        assert [] == [name for name in SECRETS if name in given]
        assert ("1", "x") == (given["DO_NOT_TRACK"], given["LC_TIME"])
    assert "UV_DEFAULT_INDEX" in _uv_environment()
    assert "UV_DEFAULT_INDEX" not in clean_environment()


def test_an_sdk_runs_in_an_empty_folder_of_its_own() -> None:
    """The driver of a package is started in an empty folder, its home, which then goes."""
    code = (
        "import os, json, sys; line = json.loads(sys.stdin.readline());"
        "sys.stderr.write(os.getcwd() + ' ' + os.environ['HOME'] + ' ' + str(os.listdir()))"
    )
    driver = DriverProcess([sys.executable, "-c", code], apart=True)
    with pytest.raises(Exception, match="memconform-sdk-") as why:
        driver.hello()
    driver.stop()
    words = str(why.value).rpartition("last words: ")[2].split()
    assert (words[0], "[]") == (words[1], words[2])
    assert not Path(words[0]).exists()


def test_folders_of_the_dead_go_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A temporary folder whose process was killed is removed; one in use and others' stay."""
    monkeypatch.setattr(contained.tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f"memconform-run-{dead.pid}-abc"
    left.mkdir()
    (tmp_path / "memconform-mine").mkdir()
    with folder("run") as used:
        assert (1, True) == (sweep(), used.exists())
    assert ["memconform-mine"] == os.listdir(tmp_path)


def test_hang_up_ends_a_server_like_a_signal_to_stop() -> None:
    """SIGHUP of `memconform serve` ends it and its workers."""
    served = subprocess.Popen(
        [sys.executable, "-m", "conformance", "serve", "--workers", "2"], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert served.stdout is not None
    assert '"ready"' in served.stdout.readline()
    below = [child.pid for child in psutil.Process(served.pid).children(recursive=True)]
    served.send_signal(signal.SIGHUP)
    threading.Thread(target=served.stdout.read, daemon=True).start()
    assert served.wait(60) is not None
    assert [] == [pid for pid in below if not gone(pid)]
