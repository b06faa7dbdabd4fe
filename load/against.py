"""Comparing a run with an earlier one, without being fooled by noise. Pure.

Two runs of the same server never agree; a ratio of two percentiles says little. So stretches of
time are compared as samples: a rank test (Mann-Whitney, normal approximation) asks whether the
later run's per-second figures lie higher at all, and only a difference that is both certain and
large enough to matter is told. Error shares are compared as two proportions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Any

CERTAIN = 0.01
"""Largest chance of calling noise a difference."""
MATTERS = 1.15
"""Smallest factor between medians that is worth a word."""
FLOOR = 0.001
"""Seconds below which times are not told apart."""
ENOUGH = 5
"""Stretches of time that each run must have; of four against four nothing is ever certain."""


@dataclass(frozen=True)
class Worse:
    """One way in which a run is worse than an earlier one."""

    what: str
    before: float
    now: float
    chance: float
    """How likely noise alone is to show so much."""


class Incomparable(ValueError):
    """Two runs say nothing about each other; the message says why."""


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Worse]:
    """Return in what a run's `details` are worse than an earlier one's. Raises Incomparable."""
    for name in ("kind", "arrival", "users"):
        if before.get(name) != now.get(name):
            raise Incomparable(f"the earlier run had another {name}: {before.get(name)!r}")
    rates = [d["planned"] / max(d["seconds"], 1e-9) for d in (before, now)]
    if not 0.8 <= (rates[0] + 1e-9) / (rates[1] + 1e-9) <= 1.25:
        raise Incomparable("the earlier run planned another rate")
    series = [[p for p in d.get("series", []) if p["answered"]] for d in (before, now)]
    if min(map(len, series)) < ENOUGH:
        raise Incomparable(f"at least {ENOUGH} stretches of time are wanted of both runs")
    found = []
    for what in ("p50", "p99"):
        old, new = ([max(p[what], FLOOR) for p in each] for each in series)
        chance = rank_test(old, new)
        if chance < CERTAIN and median(new) > MATTERS * median(old):
            found.append(Worse(what, median(old), median(new), chance))
    failed = [sum(d["errors"].values()) for d in (before, now)]
    chance = proportion_test(failed[0], before["sent"], failed[1], now["sent"])
    if chance < CERTAIN:
        shares = [f / max(d["sent"], 1) for f, d in zip(failed, (before, now), strict=True)]
        found.append(Worse("errors", shares[0], shares[1], chance))
    return found


def rank_test(old: Sequence[float], new: Sequence[float]) -> float:
    """Return the chance that `new` lies as high above `old` by noise alone (one-sided)."""
    n, m = len(old), len(new)
    values = sorted([(v, 0) for v in old] + [(v, 1) for v in new])
    ranks, ties, index = 0.0, 0.0, 0
    while index < len(values):
        end = index
        while end < len(values) and values[end][0] == values[index][0]:
            end += 1
        same = end - index
        ties += same**3 - same
        ranks += sum(which for _, which in values[index:end]) * (index + 1 + end) / 2
        index = end
    u = ranks - m * (m + 1) / 2
    total = n + m
    spread = n * m / 12 * (total + 1 - ties / (total * (total - 1)))
    if spread <= 0:
        return 1.0
    return 1 - NormalDist().cdf((u - n * m / 2 - 0.5) / math.sqrt(spread))


def proportion_test(failed: int, sent: int, failed_now: int, sent_now: int) -> float:
    """Return the chance that a larger share failed by noise alone (one-sided)."""
    if not sent or not sent_now:
        return 1.0
    pooled = (failed + failed_now) / (sent + sent_now)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / sent + 1 / sent_now))
    if spread == 0:
        return 1.0
    return 1 - NormalDist().cdf((failed_now / sent_now - failed / sent) / spread)


def previous(results: Mapping[str, Any], api: str, profile: str) -> Mapping[str, Any]:
    """Return the details of the same API and profile in a decoded `results.json`.

    Raises Incomparable where there is none.
    """
    for subject in results.get("subjects", ()):
        details = subject.get("details", {})
        same = (subject.get("kind"), subject.get("api"), details.get("profile"))
        if same == ("load", api, profile):
            found: Mapping[str, Any] = details
            return found
    raise Incomparable(f"the earlier result has no load run of {api} under {profile}")
