"""Progress of long work: events from the part that works to whoever shows them.

A part that runs as a child writes JSON lines to standard error when MEMCONFORM_PROGRESS=json;
run by a person it says the same in words, at most a few lines a second.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from conformance.clock import Clock, SystemClock

INTERRUPTED = threading.Event()
"""Set by Ctrl-C. The exception alone is not enough: raised inside a callback of C code, or a
finaliser, Python prints and forgets it."""

Progress = Callable[[int, int, str], None]
"""Called with (done, of, what is being done now); `of` is 0 where it is not known."""

VARIABLE = "MEMCONFORM_PROGRESS"


@dataclass
class Reporter:
    """Turns calls into JSON lines for a parent, or into sparse words for a person."""

    part: str
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Clock = field(default_factory=SystemClock)
    every: float = 5.0
    """Seconds between two lines in words."""
    _last: float = -1e9
    _started: float = 0.0
    _ended: bool = False

    def __post_init__(self) -> None:
        self._started = self.clock.monotonic()
        self._json = os.environ.get(VARIABLE) == "json"

    def __call__(self, done: int, of: int, what: str = "") -> None:
        """Report; JSON events at most ten a second, words every `every` seconds.

        Raises KeyboardInterrupt where one was asked for and got lost.
        """
        if INTERRUPTED.is_set():
            INTERRUPTED.clear()
            raise KeyboardInterrupt
        now = self.clock.monotonic()
        ended = bool(of) and done >= of and not self._ended
        if not ended and now - self._last < (0.1 if self._json else self.every):
            return
        self._last, self._ended = now, self._ended or ended
        if self._json:
            self._emit(
                {"event": "progress", "part": self.part, "done": done, "of": of, "what": what}
            )
        else:
            total, took = f" of {of}" if of else "", now - self._started
            left = took * (of - done) / done if 0 < done < of and took >= self.every else 0.0
            rest = f", about {_spoken(left)} left" if left else ""
            print(
                f"{self.part}: {done}{total} cases, {took:.0f} s{rest}  {what}".rstrip(),
                file=self.stream,
                flush=True,
            )

    def _emit(self, event: dict[str, Any]) -> None:
        print(json.dumps(event), file=self.stream, flush=True)


def _spoken(seconds: float) -> str:
    """Return a rough time as people say it: cases do not all take as long."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def parse(line: str) -> dict[str, Any] | None:
    """Return the event in a line, or None where the line is something else."""
    if not line.startswith('{"event"'):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
