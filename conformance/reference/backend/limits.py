"""Quotas: the four usual algorithms, where their state is kept, and the headers about them.

An algorithm is a pure function of (policy, state, now): it says whether one more request is
admitted and what state follows. Times are seconds since the epoch. `specs.quotas` writes the
headers in the declared dialect; defects change what it is given and what it writes.
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

from conformance.reference.defects import Defects, Turn, turned
from specs import quotas
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
    said = quotas.Figures(decision.limit, decision.remaining, decision.reset, decision.window)
    declared = turned(defects, DECLARED, declared)
    said = turned(defects, FIGURES, said, decision.admitted, now)
    found = quotas.write(declared, said, quotas.at(now))
    return turned(defects, FIELDS, found, declared)


# --- seams: what switched-on defects make of the declaration, of the figures and of the fields ----


def _another_unit(declared: RateLimit) -> RateLimit:
    epoch = (quotas.unit(declared) or "epoch-seconds").startswith("epoch")
    return declared.model_copy(update={"reset_unit": "delta-seconds" if epoch else "epoch-seconds"})


def _figure(change: Callable[[quotas.Figures], Mapping[str, float]], refused: bool = False) -> Turn:
    """Return what replaces figures, of refusals only if `refused`."""

    def turn(said: quotas.Figures, admitted: bool, now: float) -> quotas.Figures:
        return said if refused and admitted else replace(said, **change(said))

    return turn


def _thousandfold(fields: list[tuple[str, str]], declared: RateLimit) -> list[tuple[str, str]]:
    """Give a reset that counts from now in milliseconds."""
    name = quotas.parts(declared).get("reset")
    if not (quotas.unit(declared) or "").startswith("delta"):
        return fields
    return [(n, f"{int(float(v) * 1000)}" if n == name else v) for n, v in fields]


DECLARED: Mapping[str, Turn] = {"limit.reset-in-another-unit": _another_unit}
FIGURES: Mapping[str, Turn] = {
    "limit.remaining-stuck": _figure(lambda said: {"remaining": said.limit}),
    "limit.remaining-off-by-one": _figure(lambda said: {"remaining": said.remaining + 1}),
    "limit.remaining-after-refusal": _figure(lambda said: {"remaining": 1}, refused=True),
    "limit.remaining-negative": _figure(lambda said: {"remaining": said.remaining or -1}),
    "limit.remaining-not-whole": _figure(lambda said: {"remaining": said.remaining + 0.5}),
    "limit.policy-changes": _figure(lambda said: {"limit": said.limit + said.remaining % 2}),
    "limit.reset-in-the-past": lambda said, admitted, now: replace(said, reset=now - 3600),
    "retry-after.before-reset": _figure(lambda said: {"reset": said.reset + 30}, refused=True),
}
FIELDS: Mapping[str, Turn] = {
    "limit.reset-in-milliseconds": _thousandfold,
    "limit.headers-missing": lambda fields, declared: [],
    "limit.remaining-missing": lambda fields, declared: [
        pair for pair in fields if pair[0] != quotas.parts(declared).get("remaining")
    ],
    "limit.policy-malformed": lambda fields, declared: [
        (name, "ten in a minute" if name == "ratelimit-policy" else value) for name, value in fields
    ],
}


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
