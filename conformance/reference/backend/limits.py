"""Quotas: the four usual algorithms, where their state is kept, and the headers about them.

An algorithm is a pure function of (policy, state, now): it says whether one more request is
admitted and what state follows. Times are seconds since the epoch. The header forms are the
three generations of the IETF draft and the older `X-RateLimit-*` triple, whose names and reset
unit the contract declares.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Protocol

from conformance.reference.defects import Defects
from specs.vocabulary import Policy, RateLimit

State = tuple[float, ...]
"""Fixed window: its start and how many it admitted. Bucket: when filled, tokens then.
Sliding window: the times of what it admitted. GCRA: the theoretical arrival time."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one request."""

    admitted: bool
    limit: int
    remaining: int
    reset: float
    """When the quota is whole again, seconds since the epoch."""
    wait: float
    """Seconds until one request will be admitted; 0 where this one was."""
    window: float


Algorithm = Callable[[Policy, State | None, float], tuple[Decision, State]]


def fixed_window(policy: Policy, state: State | None, now: float) -> tuple[Decision, State]:
    """Admit `q` in each window; a window starts at the whole second of its first request.

    A request that was a moment too late to be counted in the window before counts in this one.
    """
    start, used = state or (0.0, 0.0)
    if not state or not start - policy.w < now < start + policy.w:
        start, used = float(math.floor(now)), 0.0
    admitted = used < policy.q
    if admitted:
        used += 1
    end = start + policy.w
    decision = Decision(
        admitted, policy.q, int(policy.q - used), end, 0.0 if admitted else end - now, policy.w
    )
    return decision, (start, used)


def token_bucket(policy: Policy, state: State | None, now: float) -> tuple[Decision, State]:
    """Admit while there are tokens; they come back at `q/w` a second up to `q`."""
    rate = policy.q / policy.w
    filled, tokens = state or (now, float(policy.q))
    now = max(now, filled)  # another process may have been a moment ahead
    tokens = min(float(policy.q), tokens + max(0.0, now - filled) * rate)
    admitted = tokens >= 1 - 1e-9
    if admitted:
        tokens = max(0.0, tokens - 1)
    whole = now + (policy.q - tokens) / rate
    wait = 0.0 if admitted else (1 - tokens) / rate
    return Decision(admitted, policy.q, int(tokens), whole, wait, policy.w), (now, tokens)


def sliding_window(policy: Policy, state: State | None, now: float) -> tuple[Decision, State]:
    """Admit `q` in any interval of `w`: a log of what was admitted, so costly for a large `q`."""
    log = tuple(at for at in state or () if at > now - policy.w + 1e-9)
    admitted = len(log) < policy.q
    wait = 0.0 if admitted else log[-policy.q] + policy.w - now
    if admitted:
        log = (*log, now)
    decision = Decision(admitted, policy.q, policy.q - len(log), log[0] + policy.w, wait, policy.w)
    return decision, log


def gcra(policy: Policy, state: State | None, now: float) -> tuple[Decision, State]:
    """Admit while the theoretical arrival time is less than a window ahead (ATM Forum's GCRA)."""
    step = policy.w / policy.q
    due = max(now, state[0] if state else now)
    ahead = due + step - now
    admitted = ahead <= policy.w + 1e-9
    if admitted:
        due += step
    remaining = max(0, int((policy.w - (due - now)) / step + 1e-9))
    wait = 0.0 if admitted else ahead - policy.w
    return Decision(admitted, policy.q, remaining, due, wait, policy.w), (due,)


ALGORITHMS: Mapping[str, Algorithm] = {
    "fixed-window": fixed_window,
    "sliding-window": sliding_window,
    "token-bucket": token_bucket,
    "gcra": gcra,
}


class Book(Protocol):
    """Where quota states are kept."""

    def take(self, name: str, policy: Policy, algorithm: Algorithm, now: float) -> Decision:
        """Count one request against a quota, as one indivisible step."""

    def peek(self, name: str, policy: Policy, algorithm: Algorithm, now: float) -> Decision:
        """Return what the next request would meet, counting nothing."""


class LocalBook:
    """States of one process."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}

    def take(self, name: str, policy: Policy, algorithm: Algorithm, now: float) -> Decision:
        """Count one request; nothing can come between, as there is one thread."""
        decision, self._states[name] = algorithm(policy, self._states.get(name), now)
        return decision

    def peek(self, name: str, policy: Policy, algorithm: Algorithm, now: float) -> Decision:
        """Return the state of a quota without counting."""
        return _untouched(policy, algorithm, self._states.get(name), now)


class SharedBook:
    """States of several worker processes, in a small SQLite file of their own."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS quotas (name TEXT PRIMARY KEY, state TEXT) WITHOUT ROWID"
        )

    def take(self, name: str, policy: Policy, algorithm: Algorithm, now: float) -> Decision:
        """Count one request under the file's write lock."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            decision, state = algorithm(policy, self._state(name), now)
            self._db.execute(
                "INSERT OR REPLACE INTO quotas VALUES (?,?)", (name, json.dumps(state))
            )
        except BaseException:
            self._db.rollback()
            raise
        self._db.commit()
        return decision

    def peek(self, name: str, policy: Policy, algorithm: Algorithm, now: float) -> Decision:
        """Return the state of a quota without counting."""
        return _untouched(policy, algorithm, self._state(name), now)

    def _state(self, name: str) -> State | None:
        row = self._db.execute("SELECT state FROM quotas WHERE name=?", (name,)).fetchone()
        return tuple(json.loads(row[0])) if row else None


def _untouched(policy: Policy, algorithm: Algorithm, state: State | None, now: float) -> Decision:
    decision, _ = algorithm(policy, state, now)
    left = decision.remaining + decision.admitted
    return Decision(True, policy.q, min(policy.q, left), decision.reset, 0.0, policy.w)


@dataclass(frozen=True, slots=True)
class Quota:
    """One policy and how it is counted, as given on the command line."""

    policy: Policy
    algorithm: str | None = None
    """None: what the contract declares, else a fixed window."""


def parse(text: str) -> Quota:
    """Return the quota that `100/60` or `100/60/token-bucket` means: requests, seconds, algorithm.

    Raises ValueError that says what is wrong.
    """
    parts = text.split("/")
    if len(parts) not in (2, 3):
        raise ValueError(f"rate limit {text!r}: write REQUESTS/SECONDS, as in 100/60")
    if len(parts) == 3 and parts[2] not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise ValueError(f"rate limit {text!r}: {parts[2]!r} is not an algorithm; one of {known}")
    try:
        policy = Policy(q=int(parts[0]), w=float(parts[1]))
    except ValueError as why:
        raise ValueError(
            f"rate limit {text!r}: REQUESTS must be a whole number and SECONDS a number, "
            "both above 0"
        ) from why
    return Quota(policy, parts[2] if len(parts) == 3 else None)


def headers(
    declared: RateLimit, decision: Decision, now: float, defects: Defects
) -> list[tuple[str, str]]:
    """Return the rate-limit headers of one answer, in the declared form."""
    remaining, limit = decision.remaining, decision.limit
    whole = declared.limit and declared.remaining and declared.reset
    if whole and declared.reset_unit == "epoch-seconds" and not defects.active:
        return [
            (str(declared.limit), str(limit)),
            (str(declared.remaining), str(remaining)),
            (str(declared.reset), str(math.ceil(decision.reset))),
        ]
    left = max(0, math.ceil(decision.reset - now))
    if "limit.remaining-stuck" in defects:
        remaining = limit
    if "limit.remaining-off-by-one" in defects:
        remaining += 1
    if not decision.admitted and "limit.remaining-after-refusal" in defects:
        remaining = 1
    if remaining == 0 and "limit.remaining-negative" in defects:
        remaining = -1
    if not decision.admitted and "retry-after.before-reset" in defects:
        decision = replace(decision, reset=decision.reset + 30)
    if declared.headers == "draft-8":
        return _draft_8(decision, remaining, left, defects)
    if declared.headers == "draft-7":
        return [
            ("ratelimit-policy", f"{limit};w={int(decision.window)}"),
            ("ratelimit", f"limit={limit}, remaining={remaining}, reset={left}"),
        ]
    if declared.headers == "none":
        return []
    prefix = "ratelimit" if declared.headers == "draft-6" else "x-ratelimit"
    unit = declared.reset_unit or ("delta-seconds" if prefix == "ratelimit" else "epoch-seconds")
    if "limit.reset-in-another-unit" in defects:
        unit = "delta-seconds" if unit.startswith("epoch") else "epoch-seconds"
    if "limit.reset-in-the-past" in defects:
        decision = Decision(True, limit, remaining, now - 3600, 0.0, decision.window)
    made = [
        ("limit", declared.limit, str(limit)),
        ("remaining", declared.remaining, str(remaining)),
        ("reset", declared.reset, reset_value(decision.reset, now, unit)),
    ]
    named = prefix == "ratelimit" or not (declared.limit or declared.remaining or declared.reset)
    return [
        ((name or f"{prefix}-{part}").lower(), value)
        for part, name, value in made
        if name or named
        if not ("limit.remaining-missing" in defects and part == "remaining")
        if "limit.headers-missing" not in defects
    ]


def _draft_8(
    decision: Decision, remaining: int, left: int, defects: Defects
) -> list[tuple[str, str]]:
    quota, window = decision.limit, max(1, int(decision.window))
    if "limit.policy-changes" in defects and remaining % 2:
        quota += 1
    policy, state = f'"default";q={quota};w={window}', f'"default";r={remaining};t={left}'
    if "limit.policy-malformed" in defects:
        policy = f"{quota} in {window} s"
    if "limit.remaining-not-whole" in defects:
        state = f'"default";r={remaining}.5;t={left}'
    return [("ratelimit-policy", policy), ("ratelimit", state)]


def reset_value(reset: float, now: float, unit: str) -> str:
    """Return a moment in one of the units that servers use for it."""
    if unit == "delta-seconds":
        return str(max(0, math.ceil(reset - now)))
    if unit == "epoch-ms":
        return str(math.ceil(reset * 1000))
    if unit == "http-date":
        return formatdate(math.ceil(reset), usegmt=True)
    return str(math.ceil(reset))


def retry_after(decision: Decision, now: float, defects: Defects) -> str | None:
    """Return the value of Retry-After (RFC 9110 section 10.2.3): whole seconds, never too few."""
    seconds = max(1, math.ceil(decision.wait))
    if "retry-after.missing" in defects:
        return None
    for defect, wrong in (
        ("retry-after.negative", f"-{seconds}"),
        ("retry-after.fraction", f"{seconds - 0.5:.1f}"),
        ("retry-after.too-short", "0"),
        ("retry-after.words", "soon"),
        ("retry-after.wrong-date", formatdate(now + seconds, usegmt=False)),
        ("retry-after.iso-date", _iso(now + seconds)),
    ):
        if defect in defects:
            return wrong
    return str(seconds)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
