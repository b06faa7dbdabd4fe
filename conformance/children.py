"""Child processes that never outlive us: parts of a run, each in a session of its own.

A child is asked to stop (SIGINT), then told (SIGTERM), then ended (SIGKILL), always by the id of
the group that we started. Its standard error carries progress events; the rest of what it says
there is kept, its end only, for the message that explains a crash.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from conformance import progress
from conformance.clock import Clock, SystemClock
from conformance.contained import Contained

TAIL = 40
"""Lines of standard error that are kept."""
LINE = 4_000
"""Characters of one line that are kept."""

GRACE = 20.0
"""Seconds that a child has to clean up when we die."""

Listener = Callable[[dict[str, Any]], None]


class Child:
    """One running part."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        listener: Listener | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.command = tuple(command)
        self.tail: deque[str] = deque(maxlen=TAIL)
        self.clock = clock or SystemClock()
        self.started = self.clock.monotonic()
        self._listener = listener
        self._process = Contained(
            self.command,
            grace=GRACE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            bufsize=1,
            env={**os.environ, progress.VARIABLE: "json", **(environment or {})},
        )
        self._first: str | None = None
        self._spoke = threading.Event()
        self._threads = [
            threading.Thread(target=self._read_out, daemon=True),
            threading.Thread(target=self._read_err, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Process id, and id of the group."""
        return self._process.pid

    def _read_out(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if self._first is None:
                self._first = line
                self._spoke.set()
        self._spoke.set()

    def _read_err(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            event = progress.parse(line)
            if event is None:
                self.tail.append(line.rstrip()[:LINE])
            elif self._listener is not None:
                self._listener(event)

    def first_line(self, timeout: float) -> str | None:
        """Wait for the first line on standard output; None where none came in `timeout` seconds."""
        self._spoke.wait(timeout)
        return self._first

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for its end and return the exit code; None where `timeout` seconds passed."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        for thread in self._threads:
            thread.join(timeout=5)
        return code

    def stop(self, patience: float = 5.0) -> None:
        """End the whole group: ask, tell, then kill; returns when the child is gone."""
        for sign in (signal.SIGINT, signal.SIGTERM):
            if self.poll() is not None:
                break
            self._signal(sign)
            if self.wait(patience) is not None:
                break
        self._process.finish()
        self.wait(patience)

    def _signal(self, sign: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, sign)


def python(*arguments: str) -> list[str]:
    """Return the command that runs memconform's own command line in this interpreter."""
    return [sys.executable, "-m", "conformance", *arguments]
