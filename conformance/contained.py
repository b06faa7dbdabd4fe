"""Starting programs of others, and parts of a run, so that they see little and outlive nothing.

`Contained` starts a command under `supervise.py`; `allowed` is the environment that a program of
others is given; `folder` makes temporary folders that go with the process that made them, or at
the next start of any command.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from conformance.clock import monotonic
from conformance.supervise import DEATH_SIGNAL, prctl

SUPERVISOR = Path(__file__).with_name("supervise.py")
ALLOWED = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "TMPDIR",
    "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "XDG_CACHE_HOME", "XDG_DATA_HOME", "JAVA_HOME", "GOPATH", "GOROOT", "GOCACHE", "CARGO_HOME",
    "RUSTUP_HOME", "NVM_DIR", "NODE_PATH", "DOTNET_ROOT", "GEM_HOME", "PHPRC",
))  # fmt: skip
"""Variables that a driver may see: where programs and the user's tools are, and how to speak."""
INSTALLING = frozenset((
    "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_CACHE_DIR",
    "UV_FIND_LINKS", "UV_OFFLINE", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_LINK_MODE",
    "UV_CONFIG_FILE", "UV_NO_CONFIG", "UV_HTTP_TIMEOUT", "UV_CONCURRENT_BUILDS",
    "UV_INSECURE_HOST", "UV_KEYRING_PROVIDER", "UV_EXCLUDE_NEWER", "UV_PYTHON_INSTALL_DIR",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS",
    "SOURCE_DATE_EPOCH",
))  # fmt: skip
"""Variables that installing needs besides: where packages come from, and through what."""
QUIET: Mapping[str, str] = {
    "DO_NOT_TRACK": "1", "OTEL_SDK_DISABLED": "true", "ANONYMIZED_TELEMETRY": "False",
    "POSTHOG_DISABLED": "1", "MEM0_TELEMETRY": "False", "HF_HUB_DISABLE_TELEMETRY": "1",
    "SENTRY_DSN": "", "NEXT_TELEMETRY_DISABLED": "1", "DOTNET_CLI_TELEMETRY_OPTOUT": "1",
}  # fmt: skip
"""What keeps an SDK from telling anybody that it ran."""
SAID_MAX = 16 * 1024 * 1024
"""Characters that are kept of what one command prints: the last ones."""
GROWN_MAX = 700 * 1024 * 1024
"""Bytes of memory that an installing command may take itself, what it starts apart."""
_PREFIX, _NOTE = "memconform-", "leaves.json"
_OURS = re.compile(r"memconform-[a-z]+-(\d+)-")


def allowed(more: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return the variables of ours that a program of others is given, telemetry switched off."""
    wanted = ALLOWED | more
    kept = {
        name: value for name, value in os.environ.items()
        if name in wanted or name.upper() in more or name.startswith("LC_")
    }  # fmt: skip
    return {**kept, **QUIET}


class TooMuch(Exception):
    """A command took more memory than it may and was ended."""


class Contained(subprocess.Popen[Any]):
    """A command that ends, with all that it started, when it is told or when we die of anything.

    `grace`: seconds that it then has after TERM. `release()` ends it; its exit code is the
    command's own. `lasting`: what it leaves behind when it ends by itself stays.
    """

    def __init__(
        self, command: Sequence[str], *, grace: float = 0.0, lasting: bool = False, **settings: Any
    ) -> None:
        self._lasting, how = lasting, "lasting" if lasting else "whole"
        reading, self._hold = os.pipe()
        line = [sys.executable, "-I", "-S", str(SUPERVISOR), str(reading), str(grace), how, "--"]
        try:
            super().__init__(
                [*line, *command], pass_fds=(reading,), start_new_session=True, **settings
            )
        except BaseException:
            self.release()
            raise
        finally:
            os.close(reading)

    def release(self) -> None:
        """Let go of it: it ends now, and so does everything below it."""
        hold, self._hold = self._hold, -1
        if hold >= 0:
            os.close(hold)

    def finish(self, patience: float = 15.0) -> None:
        """Let go of it and wait until it is gone, for certain."""
        self.release()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(patience)
        if not self._lasting:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(5)

    def __del__(self, *rest: Any, **more: Any) -> None:
        self.release()
        above = getattr(super(), "__del__", None)  # gevent's has none
        if above is not None:
            above(*rest, **more)


def forks_end_with_us() -> None:
    """Let every process that is forked from now on end, of KILL, as soon as its parent does."""
    parent = os.getpid()

    def before() -> None:
        nonlocal parent
        parent = os.getpid()

    def after() -> None:
        prctl(DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    os.register_at_fork(before=before, after_in_child=after)


def ran(
    command: Sequence[str], *, timeout: float, stdin: str | None = None, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; of what it says, the last `SAID_MAX` characters are kept.

    Raises subprocess.TimeoutExpired, and TooMuch where the command itself grows beyond
    `GROWN_MAX`: then nothing of it is left. Also after Ctrl-C: what it started ends before this
    returns.
    """
    child = Contained(
        command, stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", **settings,
    )  # fmt: skip
    readers = [_Tail(stream) for stream in (child.stdout, child.stderr)]
    try:
        if stdin is not None and child.stdin is not None:
            with contextlib.suppress(BrokenPipeError), child.stdin as into:
                into.write(stdin)
        _wait(child, command, timeout)
    finally:
        child.finish()
    out, said = (reader.text() for reader in readers)
    return subprocess.CompletedProcess(list(command), child.returncode, out, said)


def _wait(child: Contained, command: Sequence[str], timeout: float) -> None:
    """Wait for the end of a command. Raises TimeoutExpired and TooMuch."""
    end = monotonic() + timeout
    while True:
        left = end - monotonic()
        try:
            child.wait(min(0.25, max(left, 0)))
            return
        except subprocess.TimeoutExpired:
            if left <= 0:
                raise subprocess.TimeoutExpired(list(command), timeout) from None
            if _grown(child.pid, Path(command[0]).name) > GROWN_MAX:
                raise TooMuch(
                    f"{Path(command[0]).name} took more than {GROWN_MAX >> 20} MiB of memory, as "
                    "it does where a build prints without end"
                ) from None


def _grown(supervisor: int, name: str) -> int:
    """Return the bytes of memory that a supervised command itself takes; 0 where nobody tells.

    What it starts is not counted: compilers may take what they need.
    """
    largest = 0
    waiting = [supervisor]
    for _ in range(3):  # supervisors, and the command below them
        below: list[int] = []
        for pid in waiting:
            with contextlib.suppress(OSError, ValueError, IndexError):
                if Path(f"/proc/{pid}/comm").read_text("utf-8").strip() == name[:15]:
                    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
                    largest = max(largest, pages * os.sysconf("SC_PAGE_SIZE"))
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
                below += map(int, children.split())
        waiting = below
    return largest


class _Tail:
    """Reads a stream to its end in a thread of its own and keeps the last of it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._kept, self._dropped = "", 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._stream as stream:
            while piece := stream.read(65_536):
                self._kept += piece
                if len(self._kept) > 2 * SAID_MAX:
                    self._dropped += len(self._kept) - SAID_MAX
                    self._kept = self._kept[-SAID_MAX:]

    def text(self) -> str:
        """Return what was said, when all of it is there."""
        self._thread.join(5)
        dropped = self._dropped + max(0, len(self._kept) - SAID_MAX)
        begun = f"… ({dropped:,} characters before)\n" if dropped else ""
        return begun + self._kept[-SAID_MAX:]


@contextlib.contextmanager
def folder(kind: str, inside: Path | None = None) -> Iterator[Path]:
    """Yield an empty folder that goes at the end, or when we died, at the next start.

    `kind`: a word of small letters. `inside`: another place than the system's, which `sweep`
    must be told.
    """
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{kind}-{os.getpid()}-", dir=inside))
    try:
        yield made
    finally:
        _remove(made)


def note(folder: Path, program: str, places: Sequence[Path], told_by: Sequence[str]) -> Path:
    """Note in a folder of ours that a program makes temporary ones in other places, and return it.

    A program that is killed leaves them: what begins with `.tmp` and is not there yet goes with
    the folder, unless the note is gone, or somebody else's program runs that may use the same
    places: one with the same values of the variables in `told_by`.
    """
    made = folder / _NOTE
    known = [str(path) for path in _temporary(places)]
    told = {
        "program": program, "places": [str(p) for p in places], "known": known,
        "told by": {name: os.environ.get(name, "") for name in told_by},
    }  # fmt: skip
    made.write_text(json.dumps(told), encoding="utf-8")
    return made


def _temporary(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        with contextlib.suppress(OSError):
            yield from (Path(e.path) for e in os.scandir(place) if e.name.startswith(".tmp"))


def _remove(made: Path) -> None:
    """Remove a folder of ours, and what its note names; it stays while that cannot be told."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        told = json.loads((made / _NOTE).read_text(encoding="utf-8"))
        if _runs(told["program"], told["told by"]):
            return
        for path in _temporary([Path(place) for place in told["places"]]):
            if str(path) not in told["known"]:
                shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(made, ignore_errors=True)


def _runs(program: str, told_by: Mapping[str, str]) -> bool:
    """Return True where a process of this name may run with these values of its variables."""
    if not os.path.isdir("/proc/self"):
        return True
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if not name.isdigit() or _gone(int(name)):
                continue
            if Path("/proc", name, "comm").read_text().strip() != program:
                continue
            given = Path("/proc", name, "environ").read_bytes().split(b"\0")
            values = dict(each.partition(b"=")[::2] for each in given)
            if all(os.fsdecode(values.get(n.encode(), b"")) == v for n, v in told_by.items()):
                return True
    return False


def cache_folder() -> Path:
    """Return where environments are kept: MEMCONFORM_CACHE, or the user's cache folder."""
    chosen = os.environ.get("MEMCONFORM_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "memconform"


def environments() -> Path:
    """Return the folder that holds an environment for each SDK that was installed."""
    return cache_folder() / "env"


def sweep() -> int:
    """Remove folders whose process is gone, and return how many there were."""
    with contextlib.suppress(RuntimeError):  # no home
        return _swept(Path(tempfile.gettempdir())) + _swept(environments())
    return 0


def _swept(place: Path) -> int:
    removed = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(place):
            named = _OURS.match(entry.name)
            if named is None or not entry.is_dir(follow_symlinks=False):
                continue
            if entry.stat(follow_symlinks=False).st_uid == os.getuid() and _gone(int(named[1])):
                _remove(Path(entry.path))
                removed += 1
    return removed


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    with contextlib.suppress(OSError):  # one that nobody waits for is gone as well
        return Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    return False
