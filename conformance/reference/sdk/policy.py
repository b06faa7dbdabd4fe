"""When the reference SDK sends again, and how long it waits before: pure decisions.

What the contract promises is done as promised. Where it is silent the cautious choice is made:
what nobody promised to retry is not retried, and no wait is longer than a day.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from conformance.oracles.answers import Answer, retry_after
from conformance.reference.defects import Defects
from specs import Operation, pointer, quotas
from specs.vocabulary import Backoff, Retries

DEFAULT_BASE = 0.5
DEFAULT_CAP = 60.0
LONGEST = 86_400.0
"""Longest wait that a server may ask for, seconds; beyond it the call fails at once."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the constructor was given; None: the contract's default."""

    max_retries: int | None = None
    backoff_base: float | None = None
    timeout: float = 30.0


def attempts(operation: Operation, settings: Settings, defects: Defects) -> int:
    """Return how often a call may be sent."""
    retries = operation.retries
    if retries is None or "retry.never" in defects:
        return 1
    allowed = settings.max_retries
    if allowed is not None and "retry.option-ignored" in defects:
        allowed = None
    if allowed == 0 and "retry.zero-means-default" in defects:
        allowed = None
    most = retries.max_attempts if allowed is None else allowed + 1
    if "retry.once-more" in defects:
        return most + 1
    if most > 1 and "retry.one-short" in defects:
        return most - 1
    return most


def retriable(operation: Operation, answer: Answer, defects: Defects) -> bool:
    """True where the contract promises to send again after this answer."""
    retries = operation.retries
    if retries is None:
        return False
    if answer.network is not None:
        if answer.network in ("reset", "connect") and "retry.network-never" in defects:
            return False
        if answer.network == "timeout" and "retry.timeout-never" in defects:
            return False
        if answer.network == "reset" and "retry.unsafe-resent" in defects:
            return True
        return answer.network in retries.network
    told = (answer.header(retries.told_by) or "") if retries.told_by else ""
    if told in ("true", "false") and "retry.told-ignored" not in defects:
        return told == "true"
    if answer.status == 400 and "retry.client-errors" in defects:
        return True
    if answer.status == 401 and "retry.unauthorized" in defects:
        return True
    if answer.status == 429 and "retry.not-429" in defects:
        return False
    if (answer.status or 0) >= 500 and answer.status != 503 and "retry.only-503" in defects:
        return False
    return listed(retries, answer.status or 0)


def listed(retries: Retries, status: int) -> bool:
    """True where a status is retried; the more specific pattern wins, of equal ones `never`."""
    for pattern in (str(status), f"{status // 100}XX"):
        if pattern in retries.never:
            return False
        if any(s.status == pattern for s in retries.statuses):
            return True
    return False


def wait(
    operation: Operation, answer: Answer, retry: int, settings: Settings, now: float,
    defects: Defects,
) -> float | None:  # fmt: skip
    """Return the seconds before retry number `retry` (from 0); None: fail instead of waiting."""
    retries = operation.retries
    assert retries is not None
    own = backoff(retries.backoff, retry, settings, defects)
    wish = server_wish(operation, answer, now, defects)
    said = retries.retry_after
    unread = said is not None and wish is None and answer.header(said.header) is not None
    if unread and "retry-after.garbage-at-once" in defects:
        return 0.001
    if wish is None or "retry-after.ignored" in defects:
        return own
    longest = said.max if said and said.max is not None else LONGEST
    if "retry-after.maximum-ignored" in defects:
        longest = LONGEST
    if wish > longest and "retry-after.unbounded" not in defects:
        if said is not None and said.max is not None and said.on_exceed == "clamp":
            return said.max
        if said is not None and said.max is not None and said.on_exceed == "ignore":
            return None if "retry-after.excess-fails" in defects else own
        if not (said is not None and said.max is not None and said.on_exceed == "wait"):
            return None
    if "retry-after.halved" in defects:
        return wish / 2
    if "retry-after.milliseconds" in defects:
        return wish / 1000
    return min(spread(wish, longest, defects), 1e8)


def spread(wish: float, longest: float, defects: Defects) -> float:
    """Return a wait of at least `wish` that other clients, told the same, do not share."""
    if wish > longest or "retry-after.no-spread" in defects:
        return wish
    return max(wish, min(longest, wish + min(5.0, wish * 0.1) * random.random()))


def server_wish(operation: Operation, answer: Answer, now: float, defects: Defects) -> float | None:
    """Return the seconds that an answer asks to wait, None where it does not or cannot be read."""
    said = operation.retries.retry_after if operation.retries else None
    if said is None or answer.network is not None:
        return None
    if "quota.before-retry-after" in defects:
        quota = window_end(operation, answer, now)
        if quota is not None:
            return quota
    exact = answer.header(said.milliseconds) if said.milliseconds else None
    if exact is not None and exact.isdigit() and "retry-after.ms-ignored" not in defects:
        return float(exact[:300]) / 1000
    told = _told(answer, said.pointer)
    value = answer.header(said.header)
    if value is not None and not (told is not None and "retry-after.body-first" in defects):
        return _read(value, now, defects)
    return None if "retry-after.body-ignored" in defects else told


def _told(answer: Answer, place: str | None) -> float | None:
    """Return the wait that an error body asks for."""
    try:
        wish = pointer(answer.json(), place) if place is not None else None
    except LookupError:
        return None
    good = isinstance(wish, int | float) and not isinstance(wish, bool) and wish >= 0
    return float(wish) if good and wish is not None else None


def window_end(operation: Operation, answer: Answer, now: float) -> float | None:
    """Return the seconds until the quota's window ends, where an answer says so."""
    limit = operation.rate_limit
    if limit is None:
        return None
    said = quotas.read(limit, answer.headers, now)
    end = said.reset if said is not None else None
    return end if end is not None and end <= LONGEST else None


def used_up(operation: Operation, answer: Answer, now: float, defects: Defects) -> float | None:
    """Return the seconds for which the quota fields of an answer forbid to send; None: they do not.

    IETF RateLimit header fields draft, §7: what cannot be read is ignored, and so is what a cache
    kept.
    """
    limit = operation.rate_limit
    if limit is None or not quotas.standard(limit) or "quota.ignored" in defects:
        return None
    if answer.header("age") is not None and "quota.from-cache" not in defects:
        return None
    said = quotas.read(limit, answer.headers, now)
    if said is None:
        told = any(answer.header(name) is not None for name in quotas.names(limit))
        if told and "quota.garbage-crash" in defects:
            raise ValueError("quota fields that are no numbers")
        return None
    if said.remaining != 0 or said.reset is None or not 0 <= said.reset <= LONGEST:
        return None
    return said.reset


def _read(value: str, now: float, defects: Defects) -> float | None:
    if "," in value or ":" in value:
        if "retry-after.date-crash" in defects:
            return float(value)
        if "retry-after.date-ignored" in defects:
            return None
        if "retry-after.local-time" in defects:
            wish = retry_after(value, now)
            return None if wish is None else max(0.0, wish - 3600)
    elif not value.strip().isdigit() and "retry-after.garbage-crash" in defects:
        return float(value)
    return retry_after(value, now)


def backoff(said: Backoff, retry: int, settings: Settings, defects: Defects) -> float:
    """Return the SDK's own wait before retry number `retry` (from 0)."""
    base = settings.backoff_base if settings.backoff_base is not None else said.base
    if settings.backoff_base is not None and "backoff.option-ignored" in defects:
        base = said.base
    if "backoff.none" in defects:
        return 0.0
    base = DEFAULT_BASE if base is None else base
    cap = said.cap or DEFAULT_CAP
    if "backoff.no-cap" in defects:
        cap = math.inf
    growth = (said.multiplier or 2.0) ** retry if said.kind == "exponential" else 1.0
    if said.kind == "linear":
        growth = retry + 1.0
    if "backoff.constant" in defects:
        growth = 1.0
    centre = min(cap, base * growth)
    if "backoff.too-long" in defects:
        return centre * 60
    if "backoff.no-jitter" in defects:
        return centre
    if centre >= cap and "backoff.jitter-lost-at-cap" in defects:
        return cap
    if said.jitter_range is not None and "backoff.factor-ignored" in defects:
        return centre * random.random()
    if "backoff.jitter-lumped" in defects:
        return centre * (1 + 0.5 * random.random() ** 3)
    return jittered(said, centre, cap, base)


def jittered(said: Backoff, centre: float, cap: float, base: float) -> float:
    """Return a wait around `centre` with the promised kind of jitter.

    Where some jitter is promised and not which, it is equal jitter: half the delay and up to as
    much again. At the cap additive jitter goes below it, so that clients stay spread.
    """
    draw = random.random()
    if said.jitter_range is not None:
        least, most = said.jitter_range
        return centre * (least + (most - least) * draw)
    if said.jitter in (False, "none", None):
        return centre
    if said.jitter == "full":
        return centre * draw
    if said.jitter == "additive":
        spread = (said.jitter_factor or 0.5) * centre
        return min(cap, centre + spread * draw) if centre < cap else cap * (1 - 0.25 * draw)
    if said.jitter == "decorrelated":
        return min(cap, base + (3 * centre - base) * draw)
    return centre / 2 + centre / 2 * draw
