"""Clocks: the only place that reads real time.

Everything that waits or stamps takes a `Clock`, so that tests and back-off run on virtual time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


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
