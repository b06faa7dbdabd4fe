"""Clocks: the only place that reads real time.

What waits or judges takes a `Clock`, so that tests and back-off run on virtual time. What only
measures its own work, or stamps a result, uses the functions below. Code that runs inside an SDK's
process reads that process's clock, which the driver host moves on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

monotonic = time.monotonic
"""Seconds that never go back, the same in every process."""
perf_counter = time.perf_counter
"""Seconds that never go back, as fine as this process can tell them."""
epoch_seconds = time.time
"""Seconds since the epoch."""


def utc_now() -> datetime:
    """Return the date and time, in UTC."""
    return datetime.now(UTC)


def timestamp() -> str:
    """Return the date and time in UTC as ISO 8601 text, to the second."""
    return utc_now().isoformat(timespec="seconds")


class Clock(Protocol):
    """What the project needs of time."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def time(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class SystemClock:
    """Real time."""

    def monotonic(self) -> float:
        """Seconds on the machine's monotonic clock, the same in every process."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block for `seconds`."""
        time.sleep(seconds)


@dataclass
class VirtualClock:
    """Time that moves only when told to: `sleep` returns at once and moves it on."""

    now: float = 0.0
    epoch: float = 1_700_000_000.0

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self.now

    def time(self) -> float:
        """Virtual seconds since the epoch."""
        return self.epoch + self.now

    def sleep(self, seconds: float) -> None:
        """Move time on by `seconds`; negative ones raise ValueError, as time.sleep does."""
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        self.now += seconds
