"""Searching the highest rate at which every gate holds: double, bisect, confirm. Pure.

A rate that breaks is tried once more before it counts, so that one hiccup does not decide, of the
backend or of the generator. The highest that held is tried again at the end, where others broke
after it: a search writes, and a backend that has grown slow with its data holds no more what it
held at first. The search knows nothing of requests: it is told whether a rate held, and says which
to try next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from load.profile import Search


@dataclass
class Step:
    """One rate that was tried."""

    rate: float
    held: bool | None
    """None where the generator could not tell."""
    why: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    """`answered` per second; `p50` and `p99` in seconds, if something was answered."""


@dataclass
class RateSearch:
    """The state of a search. `rate` is what to try next, None when it is over."""

    plan: Search
    rate: float | None = None
    held: float = 0.0
    broke: float | None = None
    why: str = ""
    """Why the search stopped, in words."""
    steps: list[Step] = field(default_factory=list)
    faded: list[float] = field(default_factory=list)
    """Rates that held at first, and no longer when they were tried again at the end."""
    _broken: str = ""
    """What broke at `broke`."""
    _tries: list[bool | None] = field(default_factory=list)
    """What became of the current rate so far, in vain."""

    def __post_init__(self) -> None:
        self.rate = min(self.plan.start, self.plan.limit)

    def told(
        self, held: bool | None, why: str = "", figures: Mapping[str, float] | None = None
    ) -> None:
        """Take note of what became of the current rate, and choose the next."""
        assert self.rate is not None
        self.steps.append(Step(self.rate, held, why, figures or {}))
        if held:
            self.held = self.rate
            self._tries.clear()
        elif held not in self._tries:
            self._tries.append(held)
        elif held is None:
            self._stop(f"at {self.rate:g}/s {why}")
            return
        else:
            self._breaks(self.rate, why)
        if len(self.steps) >= self.plan.steps:
            self._stop("; ".join(filter(None, (f"{self.plan.steps} steps were made", self._at()))))
        elif not self._tries:
            self._next()

    def _breaks(self, rate: float, why: str) -> None:
        """A rate broke twice; where it is the one that held, the next lower one stands for it."""
        self.broke, self._broken = rate, why
        self._tries.clear()
        if rate == self.held:
            self.faded.append(rate)
            self.held = max((s.rate for s in self.steps if s.held and s.rate < rate), default=0.0)

    def _next(self) -> None:
        if self.broke is None:
            if self.held >= self.plan.limit:
                self._stop(f"the limit of the search, {self.plan.limit:g}/s, was held")
            else:
                self.rate = min(self.held * 2, self.plan.limit)
        elif self.held and (self.broke - self.held) / self.broke > self.plan.precision:
            self.rate = round((self.held + self.broke) / 2, 3)
        elif not self.held and self.broke > 1:
            self.rate = max(1.0, self.broke / 4)
        elif self.held and self.steps[-1].rate != self.held:
            self.rate = self.held  # does it still?
        else:
            self._stop(self._at())

    def _at(self) -> str:
        """Return what broke, and what else must be known of it."""
        told = f"at {self.broke:g}/s {self._broken}" if self.broke is not None else ""
        if self.faded:
            rates = " and ".join(f"{rate:g}/s" for rate in self.faded)
            told += (
                f"; {rates} held at first and no longer at the end: what the search wrote made "
                "the backend slower, or others use its machine"
            )
        return told

    def _stop(self, why: str) -> None:
        self.rate, self.why = None, why

    def facts(self) -> dict[str, Any]:
        """Return the search as plain values."""
        return {
            "held": self.held,
            "broke": self.broke,
            "why": self.why,
            "faded": self.faded,
            "steps": [
                {"rate": s.rate, "held": s.held, "why": s.why, **s.figures} for s in self.steps
            ],
        }
