"""Arrival-rate schedules: when each request is meant to start, whoever sends it.

A schedule is a pure function of a profile's stages, the arrival kind and a seed: ticket number
to intended start. Workers share tickets by index (worker i of n takes i, i+n, i+2n, …), so any
number of workers sends the same requests at the same intended times. No clock is read here.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from load.profile import Profile, Stage


@dataclass(frozen=True)
class Span:
    """One stage on the time line: from `start` to `end` seconds, tickets `first` to `last`."""

    stage: Stage
    start: float
    end: float
    first: float
    """Requests planned before it."""
    last: float
    """Requests planned up to its end."""


@dataclass(frozen=True)
class Schedule:
    """Intended starts of all tickets of a run, in seconds from its beginning."""

    spans: tuple[Span, ...]
    arrival: Literal["constant", "poisson"] = "constant"
    seed: int = 0

    @property
    def total(self) -> int:
        """Number of tickets with constant arrivals; the mean number with Poisson ones."""
        return int(self.spans[-1].last + 1e-9) if self.spans else 0

    @property
    def seconds(self) -> float:
        """Length of the run."""
        return self.spans[-1].end if self.spans else 0.0

    def at(self, position: float) -> float:
        """Return the time at which `position` requests have been planned.

        Within a stage the rate is linear, so the planned count is a parabola; this inverts it.
        """
        index = min(bisect_right([s.first for s in self.spans], position) - 1, len(self.spans) - 1)
        span = self.spans[max(index, 0)]
        stage, wanted = span.stage, position - span.first
        slope = (stage.end - stage.rate) / stage.seconds
        if abs(slope) < 1e-12:
            return span.start + wanted / stage.rate
        root = math.sqrt(max(stage.rate**2 + 2 * slope * wanted, 0.0))
        return span.start + (root - stage.rate) / slope

    def planned(self, seconds: float) -> float:
        """Return how many requests are planned up to a time."""
        done = 0.0
        for span in self.spans:
            if seconds >= span.end:
                done = span.last
                continue
            if seconds > span.start:
                t = seconds - span.start
                slope = (span.stage.end - span.stage.rate) / span.stage.seconds
                done = span.first + span.stage.rate * t + slope * t * t / 2
            break
        return done

    def stage_at(self, seconds: float) -> str:
        """Return the name of the stage that a time lies in."""
        for span in self.spans:
            if seconds < span.end:
                return span.stage.name
        return self.spans[-1].stage.name if self.spans else ""

    def tickets(self, index: int = 0, of: int = 1) -> Iterator[float]:
        """Yield the intended starts of one worker's tickets, in order.

        Constant arrivals: tickets index, index+of, … of the common plan. Poisson arrivals: each
        worker draws its own stream at 1/of of the rate, which superposes to the whole one.
        """
        if not 0 <= index < of:
            raise ValueError(f"worker {index} of {of}: the index must lie below the count")
        if self.arrival == "constant":
            for number in range(index, self.total, of):
                yield self.at(number)
            return
        random = Random(f"{self.seed}/{index}/{of}")
        end = self.spans[-1].last if self.spans else 0.0
        position = random.expovariate(1.0) * of
        while position < end:
            yield self.at(position)
            position += random.expovariate(1.0) * of


def from_stages(
    stages: Sequence[Stage], arrival: Literal["constant", "poisson"] = "constant", seed: int = 0
) -> Schedule:
    """Return the schedule of stages that follow one another."""
    spans, clock, count = [], 0.0, 0.0
    for stage in stages:
        spans.append(Span(stage, clock, clock + stage.seconds, count, count + stage.planned))
        clock, count = spans[-1].end, spans[-1].last
    return Schedule(tuple(spans), arrival, seed)


def from_profile(profile: Profile, seed: int = 0) -> Schedule:
    """Return the schedule of a profile's stages."""
    return from_stages(profile.stages, profile.arrival, seed)
