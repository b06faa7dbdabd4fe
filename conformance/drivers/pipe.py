"""A driver's process and its three descriptors: lines in, lines out, last words kept.

Sizes and times are bounded here, and what was started is ended here, at exit too. Whoever asks
reads the answer itself, without another thread in between: there are thousands of them. What the
lines mean is not known here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from errno import EACCES, ENOENT
from pathlib import Path

from conformance.clock import monotonic
from conformance.contained import Contained
from conformance.drivers.protocol import MAX_LINE
from conformance.verdict import Blame

AT_ONCE = 32 * 1024
"""Bytes of a request that a pipe surely holds: a longer one may never be read."""
LAST_WORDS = 4_000
"""Characters of standard error that are told: room for a stack of each thread and its heading."""
_SECRET = re.compile(
    r"(?i)((?:bearer|basic)\s+|(?:api[-_]?key|token|secret|password)[\"']?\s*[:=]\s*[\"']?)"
    r"[^\s\"',;]{6,}|\b(?:sk|pk|msy|key)_[A-Za-z0-9_-]{8,}"
)


class DriverError(Exception):
    """The driver did not do its part; the text says what it did instead."""

    blame = Blame.ENVIRONMENT


class DriverHang(DriverError):
    """The driver did not answer in time and was ended."""


def redact(text: str, *secrets: str | None) -> str:
    """Return `text` without the given secrets and without what looks like a key."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[redacted]")
    return _SECRET.sub(lambda m: f"{m.group(1) or ''}[redacted]", text)


_pipes: weakref.WeakSet[Pipe] = weakref.WeakSet()


@dataclass(eq=False)
class Pipe:
    """The running process and its three descriptors."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str | Path | None
    process: Contained = field(init=False)
    _pending: bytearray = field(init=False, default_factory=bytearray)
    _searched: int = field(init=False, default=0)
    _errors: bytearray = field(init=False, default_factory=bytearray)
    _listener: threading.Thread = field(init=False)
    _output: int = field(init=False)
    _readable: select.poll = field(init=False)

    def __post_init__(self) -> None:
        try:
            self._there()
            self.process = Contained(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, env=dict(self.env), cwd=self.cwd, bufsize=0,
            )  # fmt: skip
        except OSError as why:
            raise DriverError(f"cannot start {self.command[0]!r}: {why}") from why
        _pipes.add(self)
        assert self.process.stdout is not None
        self._output = self.process.stdout.fileno()
        self._readable = select.poll()
        self._readable.register(self._output, select.POLLIN)
        name = f"driver-{self.process.pid}"
        self._listener = threading.Thread(target=self._listen, daemon=True, name=name)
        self._listener.start()

    def _there(self) -> None:
        """Raise the OSError with which the command could not be started."""
        program = self.command[0]
        if os.sep in program:
            place = Path(self.cwd or ".") / program
            if not place.exists():
                raise FileNotFoundError(ENOENT, os.strerror(ENOENT), program)
            if place.is_dir() or not os.access(place, os.X_OK):
                raise PermissionError(EACCES, os.strerror(EACCES), program)
        elif shutil.which(program, path=self.env.get("PATH")) is None:
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), program)

    @property
    def ended(self) -> bool:
        """True where the process has ended."""
        return self.process.poll() is not None

    def exchange(self, line: bytes, timeout: float) -> bytes:
        """Write a line and return the next one. Raises DriverError or DriverHang."""
        deadline = monotonic() + timeout
        self.quiet()
        if len(line) > AT_ONCE:
            threading.Thread(target=self._write, args=(line,), daemon=True).start()
        else:
            self._write(line)
        while (at := self._end_of_line()) < 0:
            if not self._fill(max(0.0, deadline - monotonic())):
                raise DriverHang(f"no answer within {timeout:g} s{self._said()}")
        found = bytes(self._pending[:at])
        del self._pending[: at + 1]
        self._searched = 0
        return found

    def end(self, patience: float) -> None:
        """End the process group; wait up to `patience` seconds for it to go by itself."""
        with contextlib.suppress(OSError):
            if self.process.stdin:
                self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            if patience:
                self.process.wait(patience)
        self.process.finish()
        _pipes.discard(self)

    def quiet(self, wait: float = 0.0) -> None:
        """Look, for up to `wait` seconds, for a line that nobody asked for; raise DriverError."""
        deadline = monotonic() + wait
        while (at := self._end_of_line()) < 0:
            left = max(0.0, deadline - monotonic())
            try:
                if not self._fill(left):
                    return
            except DriverError:  # it has ended, which the next exchange says
                return
        raise DriverError(
            "the driver broke the protocol: it wrote a line that nobody asked for: "
            f"{_shown(bytes(self._pending[:at]))}"
        )

    def _write(self, line: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):  # the reader says how it ended
            assert self.process.stdin is not None
            view = memoryview(line)
            while view:
                view = view[self.process.stdin.write(view) :]

    def _end_of_line(self) -> int:
        """Return where the first line ends that has come, -1 where none has come whole."""
        at = self._pending.find(b"\n", self._searched)
        self._searched = len(self._pending) if at < 0 else at
        return at

    def _fill(self, wait: float) -> bool:
        """Read what there is, for up to `wait` seconds; False where nothing came.

        Raises DriverError where the driver closed its output, and for a line that is too long.
        """
        if not self._readable.poll(wait * 1000):
            return False
        try:
            chunk = os.read(self._output, 1 << 16)
        except OSError:
            chunk = b""
        if not chunk:
            self._listener.join(2)  # its last words may come after its last line
            raise DriverError(f"the driver ended ({self._status()}){self._said()}")
        self._pending += chunk
        if self._end_of_line() < 0 and len(self._pending) > MAX_LINE:
            limit = f"{MAX_LINE // 1024 // 1024} MiB"
            raise DriverError(f"the driver broke the protocol: a line longer than {limit}")
        return True

    def _listen(self) -> None:
        assert self.process.stderr is not None
        fd = self.process.stderr.fileno()
        while True:
            try:
                chunk = os.read(fd, 1 << 16)
            except OSError:
                return
            if not chunk:
                return
            self._errors += chunk
            del self._errors[: -2 * LAST_WORDS]

    def _status(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        code = self.process.poll()
        if code is None:
            return "it closed its output but still runs"
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"signal {signal.Signals(-code).name}"
        return f"exit code {code}"

    def _said(self) -> str:
        text = redact(bytes(self._errors).decode("utf-8", "replace")).strip()
        return f"; its last words: {text[-LAST_WORDS:]}" if text else ""


def _shown(line: bytes) -> str:
    return redact(repr(line[:120].decode("utf-8", "replace")))


@atexit.register
def end_all() -> None:
    """End every driver that still runs."""
    for pipe in list(_pipes):
        pipe.end(0)
