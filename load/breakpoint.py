"""Driving a breakpoint search: one round of the engine per rate, judged by the gates.

With several workers each sends its share of a step; `decide` is then asked of the master, which
merges the step's counts, judges them once, and tells every worker the next rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gevent

from conformance.cases import execute
from conformance.clock import perf_counter
from conformance.verdict import Verdict
from load.engine import Engine
from load.gates import CASES, Figures
from load.plan import Plan
from load.profile import Profile, Stage
from load.record import Tally
from load.schedule import Schedule, from_stages
from load.search import RateSearch
from specs import Contract

JUDGED = ("load.generator", "load.latency", "load.errors", "load.throughput", "load.in-flight",
          "load.answers")  # fmt: skip
Decide = Callable[[Tally], "float | None"]
"""Told one step's counts; returns the next rate, None when the search is over."""


def schedule_of(profile: Profile, rate: float, seed: int) -> Schedule:
    """Return the schedule of one step."""
    stage = Stage(name=f"{rate:g}/s", seconds=profile.search.seconds, rate=rate)
    return from_stages([stage], profile.arrival, seed)


class Referee:
    """Judges steps and keeps the search; one per run, on the master."""

    def __init__(self, contract: Contract, profile: Profile, plan: Plan, seed: int) -> None:
        self.search = RateSearch(profile.search)
        self._held: dict[float, Tally] = {}
        """Rate that held -> its counts."""
        self._seed = seed
        self._base = Figures(contract, profile, plan, schedule_of(profile, 1, seed), Tally())

    def __call__(self, tally: Tally) -> float | None:
        """Judge one step and return the next rate."""
        rate = self.search.rate
        assert rate is not None
        schedule = schedule_of(self._base.profile, rate, self._seed)
        tally.numbers["planned"] = tally.drawn if schedule.arrival == "poisson" else schedule.total
        held, why = self._judge(replace(self._base, schedule=schedule, tally=tally))
        if held:
            self._held[rate] = tally
        self.search.told(held, why, _figures(tally, schedule))
        return self.search.rate

    @property
    def best(self) -> Tally:
        """Counts of the highest rate that held, as it was tried last."""
        return self._held.get(self.search.held, Tally())

    @property
    def schedule(self) -> Schedule:
        """The schedule of that rate."""
        return schedule_of(self._base.profile, self.search.held, self._seed)

    def _judge(self, figures: Figures) -> tuple[bool | None, str]:
        results = [execute(CASES.cases[name], figures) for name in JUDGED]
        generator = results[0]
        if generator.verdict is Verdict.INCONCLUSIVE:
            return None, generator.reason
        for result in results:
            if result.verdict is Verdict.ERROR:
                raise RuntimeError(result.reason)
            if result.findings:
                return False, result.findings[0].message
        return True, ""


def _figures(tally: Tally, schedule: Schedule) -> dict[str, float]:
    """Return what one rate came to: answers per second, and percentiles in seconds."""
    total = tally.total()
    made = {"answered": round((total.good + total.wrong) / schedule.seconds, 3)}
    if total.response.total:
        p50, p99 = total.response.percentiles([50, 99])
        made |= {"p50": round(p50, 6), "p99": round(p99, 6)}
    return made


def drive(engine: Engine, decide: Decide, rate: float, seed: int) -> None:
    """Run rounds until the search is over."""
    wanted: float | None = rate
    with engine.watched():
        engine.prepare()
        while wanted is not None:
            engine.tally = Tally()
            engine.round(schedule_of(engine.profile, wanted, seed))
            wanted = decide(engine.tally)
            _calm(engine)


def _calm(engine: Engine) -> None:
    """Wait until what a step left in flight is answered or given up, or a next one would pay.

    Late answers are counted where they belong: in the step that asked, which has been judged.
    """
    end = perf_counter() + engine.profile.timeout + 1
    while engine.playing and perf_counter() < end:
        gevent.sleep(0.02)
    engine.flush(perf_counter())


def facts(referee: Referee) -> dict[str, Any]:
    """Return what the result says of the search."""
    return {"breakpoint": referee.search.facts()}
