"""Commands of ours that a signal ends, and what is left of them: processes, folders, ports.

Every command of the table gets a temporary folder of its own, which all that it starts is given
too: by that, what it left behind is found, whatever became of its parents. Shared by a test and
by `python -m tests.bench.leftovers`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

import load

ROOT = Path(__file__).parents[1]
SIGNALS = (signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
PATIENCE = 60.0
"""Seconds until a moment must have come, and until everything must be gone, on a busy machine."""
DEAF = """
import os, signal, sys, time
def stay():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", "far"])
        os._exit(0)
    os.wait()
    os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", "near"])
"""
"""Sleeps deaf to every signal that can be ignored, and so does a process two forks away."""
BUILD = '[build-system]\nrequires = []\nbuild-backend = "sleeper"\nbackend-path = ["."]\n'
PROJECT = '[project]\nname = "sleepy"\nversion = "1.0"\n'


@dataclass(frozen=True)
class Stage:
    """Where one command runs: its folder, a backend, and a key for it."""

    folder: Path
    urls: Callable[[str], str]
    key: str

    @property
    def temporary(self) -> Path:
        """The temporary folder that marks all of its processes."""
        return self.folder / "tmp"

    def environment(self) -> dict[str, str]:
        """Return the variables of the command."""
        self.temporary.mkdir(exist_ok=True)
        return {
            **os.environ, "TMPDIR": str(self.temporary), "UV_OFFLINE": "1",
            "MEMCONFORM_CACHE": str(self.folder / "cache"), "UV_CACHE_DIR": str(self.folder / "uv"),
            "LOCUST_SKIP_UPDATE_CHECK": "1",
        }  # fmt: skip

    def reach(self, api: str) -> list[str]:
        """Return the options that name the backend."""
        return ["--base-url", self.urls(api), "--api", api, "--api-key", self.key]


@dataclass(frozen=True)
class Row:
    """A command, and what runs by the time at which it is ended."""

    name: str
    words: Callable[[Stage], Sequence[str]]
    reached: tuple[str, ...]
    """Words, each of which stands in the command line of one of its processes."""
    always: bool = True
    """False for what only the benchmark tries."""


def checkout(stage: Stage) -> Path:
    """Make a source folder whose build backend starts deaf children and sleeps."""
    made = stage.folder / "sleepy"
    made.mkdir(exist_ok=True)
    (made / "pyproject.toml").write_text(BUILD + PROJECT, "utf-8")
    (made / "sleeper.py").write_text(
        f"{DEAF}\ndef build_wheel(*_): stay()\ndef prepare_metadata_for_build_wheel(*_): stay()\n",
        "utf-8",
    )
    return made


def wheel(stage: Stage) -> Path:
    """Make a wheel whose module starts deaf children and sleeps as soon as it is imported."""
    made = stage.folder / "sleepy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("sleepy.py", f"{DEAF}\nstay()\n")
        about = "Metadata-Version: 2.1\nName: sleepy\nVersion: 1.0\n"
        archive.writestr("sleepy-1.0.dist-info/METADATA", about)
        tag = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr("sleepy-1.0.dist-info/WHEEL", tag)
        archive.writestr(
            "sleepy-1.0.dist-info/RECORD",
            "sleepy.py,,\nsleepy-1.0.dist-info/METADATA,,\nsleepy-1.0.dist-info/WHEEL,,\n"
            "sleepy-1.0.dist-info/RECORD,,\n",
        )
    return made


def script(stage: Stage) -> str:
    """Make a command that starts deaf children and sleeps."""
    made = stage.folder / "deaf.py"
    made.write_text(f"{DEAF}\nstay()\n", "utf-8")
    return f"{sys.executable} {made}"


OURS = ("-m", "conformance")
LOCUST = ("-m", "locust", "-f", str(Path(load.__file__).with_name("locustfile.py")))
REFERENCE = f"{sys.executable} -m conformance.reference.sdk --api claiv"
DEEP = ("near", "far")
TABLE = (
    Row("sdk, a build", lambda s: [*OURS, "sdk", str(checkout(s)), "--api", "claiv"], DEEP),
    Row("sdk, a driver", lambda s: [*OURS, "sdk", "--driver", REFERENCE, "--api", "claiv"],
        ("conformance.reference.sdk",), always=False),
    Row("sdk, a driver that forks twice",
        lambda s: [*OURS, "sdk", "--driver", script(s), "--api", "claiv"], DEEP),
    Row("driver init",
        lambda s: [*OURS, "driver", "init", str(wheel(s)), "--api", "claiv", "--to",
                   str(s.folder / "table.py")], DEEP, always=False),
    Row("backend, a restart command",
        lambda s: [*OURS, "backend", *s.reach("claiv"), "--restart-command", script(s), "--case",
                   "state.restart"], ("near",)),
    Row("load, two processes",
        lambda s: [*OURS, "load", *s.reach("claiv"), "--load-profile", "smoke", "--processes",
                   "2"], ("locust", "--processes"), always=False),
    Row("load, a storm",
        lambda s: [*OURS, "load", *s.reach("claiv"), "--load-profile", "retry-storm"],
        ("load.storm", "conformance.reference.sdk")),
    Row("locust, two processes",
        lambda s: [*LOCUST, "--headless", "--processes", "2", "--master-bind-port", "0", "--host",
                   s.urls("claiv"), "--api", "claiv", "--api-key", s.key], ("locust",)),
    Row("run", lambda s: [*OURS, "run", "--only", "backend", "--fast"], ("serve", "backend")),
    Row("teeth",
        lambda s: [*OURS, "teeth", "--suite", "sdk", "--defect", "retry.once-more", "--jobs", "2"],
        ("multiprocessing", "conformance.reference.sdk")),
    Row("serve, two workers", lambda s: [*OURS, "serve", "--workers", "2"], ("--worker",),
        always=False),
)  # fmt: skip


def marked(stage: Stage) -> list[psutil.Process]:
    """Return the processes that were given the stage's temporary folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if (
                process.environ().get("TMPDIR") == str(stage.temporary)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
    return found


def lines(processes: Sequence[psutil.Process]) -> list[str]:
    """Return the command lines of processes, with the ports that they listen on."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            ports = [str(c.laddr.port) for c in process.net_connections("inet")
                     if c.status == psutil.CONN_LISTEN]  # fmt: skip
            line = " ".join(process.cmdline())[:200]
            found.append(line + (f" [listens on {', '.join(ports)}]" if ports else ""))
    return found


def until(wanted: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Wait until a condition holds; False where it does not within `patience` seconds."""
    from conformance.clock import monotonic

    deadline, pause = monotonic() + patience, threading.Event()
    while not wanted():
        if monotonic() > deadline:
            return False
        pause.wait(0.25)
    return True


@contextlib.contextmanager
def started(row: Row, stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command of the table; whatever is left of it at the end is ended for certain."""
    with (stage.folder / "said").open("wb") as said:
        child = subprocess.Popen(
            [sys.executable, *row.words(stage)], cwd=ROOT, env=stage.environment(),
            stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for process in marked(stage):
            with contextlib.suppress(psutil.Error):
                process.kill()


def come(row: Row, stage: Stage, main: int) -> bool:
    """True where everything runs, beside the command itself, that a row waits for."""
    told = []
    for process in marked(stage):
        with contextlib.suppress(psutil.Error):
            told += [" ".join(process.cmdline())] * (process.pid != main)
    return all(any(word in line for line in told) for word in row.reached)


def remains(stage: Stage) -> list[str]:
    """Return what is left when all had time to end: processes with their ports, then folders.

    Folders are looked at as the next command leaves them.
    """
    until(lambda: not marked(stage))
    left = lines(marked(stage))
    subprocess.run(
        [sys.executable, "-c", "from conformance.contained import sweep; sweep()"], cwd=ROOT,
        env=stage.environment(), check=True,
    )  # fmt: skip
    # Environments, and what uv fetched, are kept.
    patterns = ("tmp/*", "cache/env/memconform-*", "uv/.tmp*", "uv/*/.tmp*")
    return left + [str(path) for pattern in patterns for path in stage.folder.glob(pattern)]


def said(stage: Stage) -> str:
    """Return the end of what the command printed."""
    return (stage.folder / "said").read_text("utf-8", "replace")[-2000:]


def ended(row: Row, sign: signal.Signals, stage: Stage) -> list[str]:
    """Start a command, end it when everything of it runs, and return what is left of it."""
    with started(row, stage) as child:
        until(lambda: come(row, stage, child.pid) or child.poll() is not None)
        if child.poll() is not None or not come(row, stage, child.pid):
            return [f"it did not come as far as {row.reached}: {said(stage)}"]
        child.send_signal(sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE)
        return remains(stage)
