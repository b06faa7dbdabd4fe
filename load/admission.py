"""Admission: who was let in, held against what the rate limit promises. Pure.

A quota counts within a window (told apart by the reset that answers carry) or refills steadily.
Which one a server uses is declared, or seen from its resets: a window's are all the same. Nothing
here sends; `quota.py` does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from conformance.oracles.limits import Quota

ROUNDED = 1.3
"""Seconds by which a burst may begin later than its window: whole seconds are told."""
WINDOWS = 4
"""More different resets than this in one burst mean a quota that refills steadily."""


@dataclass(frozen=True, slots=True)
class Admission:
    """One request of a burst. Times are seconds since the epoch."""

    at: float
    admitted: bool
    limit: int | None
    remaining: int | None
    reset: float | None
    """When the quota starts anew, or is whole again."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """One way in which admission differs from the quota."""

    slug: str
    words: str
    count: int


def judge(events: Sequence[Admission], algorithm: str | None = None) -> list[Wrong]:
    """Return what is wrong with a series of admissions of one key, in the order sent."""
    told = [e for e in events if e.limit is not None and e.reset is not None]
    if not told:
        return []
    resets = {round(e.reset or 0) for e in told}
    if algorithm in (None, "fixed-window") and len(resets) <= WINDOWS:
        return _windows(told)
    return _bucket(told)


def most_untold(events: Sequence[Admission], quota: Quota) -> int:
    """Return how many any honest limiter lets in of a burst that began a window, but for rounding.

    A counter begins anew with each window, a bucket refills while the burst lasts.
    """
    took = max(e.at for e in events) - min(e.at for e in events)
    windows = 1 + math.floor((took + ROUNDED) / quota.w)
    return max(quota.q * windows, quota.q + math.ceil(quota.q * took / quota.w))


def judge_untold(events: Sequence[Admission], quota: Quota) -> list[Wrong]:
    """Hold a burst whose answers tell no limit against a quota that a person named."""
    admitted, most = sum(e.admitted for e in events), most_untold(events, quota)
    if admitted <= most:
        return []
    return [Wrong("over-admitted", f"{admitted} of {len(events)} requests at once were let in "
                  f"where {quota.q} in {quota.w:g} s are the limit", admitted - most)]  # fmt: skip


def _windows(events: Sequence[Admission]) -> list[Wrong]:
    found = []
    groups: dict[int, list[Admission]] = {}
    for event in events:
        groups.setdefault(round(event.reset or 0), []).append(event)
    for group in groups.values():
        limit = max(e.limit or 0 for e in group)
        admitted = sum(e.admitted for e in group)
        refused = len(group) - admitted
        if admitted > limit:
            found.append(Wrong("over-admitted", f"{admitted} requests were let in within one "
                               f"window of {limit}", admitted - limit))  # fmt: skip
        first = max((e.remaining or 0 for e in group if e.admitted), default=0)
        if refused and first == limit - 1 and admitted < limit:
            found.append(Wrong("under-admitted", f"requests were turned away after {admitted} of "
                               f"a quota of {limit}", limit - admitted))  # fmt: skip
        found += _same_remaining(group)
    return found


def _same_remaining(group: Sequence[Admission]) -> list[Wrong]:
    """Two admitted requests of one window cannot leave the same number remaining."""
    left = Counter(e.remaining for e in group if e.admitted and e.remaining is not None)
    twice = sum(n - 1 for n in left.values())
    if twice:
        return [Wrong("remaining-repeated", f"{twice} admitted requests were told a remaining "
                      "that another one had been told", twice)]  # fmt: skip
    return []


def _bucket(events: Sequence[Admission]) -> list[Wrong]:
    """A bucket lets in what it holds and what flows in meanwhile."""
    limit = max(e.limit or 0 for e in events)
    flow = _flow(events, limit)
    if flow is None:
        return []
    began, ended = min(e.at for e in events), max(e.at for e in events)
    most = limit + flow * (ended - began + 1.0) + 1
    admitted = sum(e.admitted for e in events)
    if admitted > most:
        return [Wrong("over-admitted", f"{admitted} requests were let in where a bucket of {limit} "
                      f"can have held {most:.0f}", int(admitted - most))]  # fmt: skip
    return []


def _flow(events: Sequence[Admission], limit: int) -> float | None:
    """Return units per second that flow in: what is missing over the time until it is whole."""
    rates = [
        (limit - (e.remaining or 0)) / (e.reset - e.at)
        for e in events
        if e.reset is not None and e.reset - e.at > 1 and (e.remaining or 0) < limit
    ]
    return sorted(rates)[len(rates) // 2] if rates else None
