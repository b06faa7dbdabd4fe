"""Quotas over several answers and over time: how many were let in, and what was said (RL*).

An `Ask` is one limited request: when it was sent and answered, whether it was admitted, what
its headers said. The bounds follow from the algorithm; where none is declared, the weakest of
them is applied, so that no honest limiter is blamed. Times are seconds on one clock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from conformance.history import Exchange, header
from conformance.oracles import showing
from conformance.oracles.answers import retry_after
from conformance.oracles.found import found, ok, told, value_at
from conformance.oracles.headers import date_of
from conformance.verdict import Finding
from specs import Basis, Operation, quotas
from specs.quotas import Reading
from specs.vocabulary import RateLimit

Algorithm = Literal["fixed-window", "sliding-window", "token-bucket", "gcra"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One limited request."""

    exchange: Exchange
    admitted: bool
    sent: float
    received: float
    reading: Reading | None


@dataclass(frozen=True, slots=True)
class Quota:
    """`q` requests in each window of `w` seconds."""

    q: int
    w: float


def ask_of(limit: RateLimit, exchange: Exchange, at: float) -> Ask:
    """Return what an exchange was as a limited request; `at` is its time since the epoch."""
    reading = None
    if exchange.response is not None:
        reading = quotas.read(limit, exchange.response.headers, date_of(exchange, at))
    received = exchange.received if exchange.received is not None else exchange.sent
    return Ask(exchange, not refused(limit, exchange), exchange.sent, received, reading)


def refused(limit: RateLimit, exchange: Exchange) -> bool:
    """Return True where a request was turned away for its quota, or by what looks like that."""
    return exchange.status in (limit.exceeded_status, 429, 503)


def arithmetic(operation: Operation, limit: RateLimit, asks: Sequence[Ask]) -> Iterator[Finding]:
    """RL11, RL5: what remains goes down by what was used; the quota stays what it is.

    `asks` came from one client that nobody shares its quota with. Those that others overlap in
    time are not counted by: which of them was served first cannot be known. Within one window (one
    value of reset) nothing comes back; where reset moves, refill is allowed for.
    """
    seen = [a for a in asks if a.reading is not None and a.reading.remaining is not None]
    quotas = {a.reading.limit for a in seen if a.reading and a.reading.limit is not None}
    if len(quotas) > 1:
        yield _found("RL5", "the stated quota changes from one answer to the next", seen[:2],
                     "quota-changes", operation, limit.basis)  # fmt: skip
    for ask in seen:
        reading = ask.reading
        if reading and ask.admitted and reading.limit and reading.remaining == reading.limit:
            yield _found("RL11", "an admitted request leaves as much remaining as the whole quota",
                         [ask], "remaining-not-counted", operation, limit.basis,
                         _untouched(limit))  # fmt: skip
            break
    for before, after in _in_turn(asks):
        one, two = before.reading, after.reading
        if not one or not two or not after.admitted or not before.admitted:
            continue
        if one.remaining is None or two.remaining is None:
            continue
        same = one.raw_reset is not None and one.raw_reset == two.raw_reset
        if limit.algorithm not in (None, "fixed-window"):
            same = False
        if same and two.remaining >= one.remaining:
            yield _found("RL11", "what remains does not go down with use within one window",
                         [before, after], "remaining-stuck", operation, limit.basis,
                         _fell(limit, before, ">= {}"))  # fmt: skip
            return
        if same and two.remaining < one.remaining - 1:
            yield _found("RL11", "one request takes more than one from what remains",
                         [before, after], "remaining-jumps", operation, limit.basis,
                         _fell(limit, before, "< {} - 1"))  # fmt: skip
            return


def _fell(limit: RateLimit, before: Ask, how: str) -> str:
    """Return when what remains did not fall by one; '' where its field holds more than that."""
    names, number = quotas.parts(limit), before.exchange.number
    if "remaining" not in names or "reset" not in names:
        return ""
    left, reset = names["remaining"], names["reset"]
    same = f"{showing.at(number)}.header[{reset!r}] == header[{reset!r}]"
    return f"{same} and {showing.figure(left)} " + how.format(showing.figure(left, number))


def _untouched(limit: RateLimit) -> str:
    names = quotas.parts(limit)
    if "remaining" not in names or "limit" not in names:
        return ""
    return f"{showing.figure(names['remaining'])} == {showing.figure(names['limit'])}"


def _in_turn(asks: Sequence[Ask]) -> Iterator[tuple[Ask, Ask]]:
    """Yield neighbours in time that were answered before anything else was sent."""
    order = sorted(asks, key=lambda a: a.sent)
    alone = [True] * len(order)
    answered = -math.inf
    for place, ask in enumerate(order):
        if ask.sent < answered:
            alone[place] = alone[place - 1] = False
        answered = max(answered, ask.received)
    for place, pair in enumerate(pairwise(order)):
        if alone[place] and alone[place + 1]:
            yield pair


def admissions(
    operation: Operation, limit: RateLimit, quota: Quota, asks: Sequence[Ask], whole: bool
) -> Iterator[Finding]:
    """RL13–RL17: no more were let in than the algorithm allows, and no fewer.

    `whole` says that the quota was untouched when the asking began.
    """
    let = _fullest(limit, [a for a in asks if a.admitted])
    turned = [a for a in asks if not a.admitted]
    requirement, bound = _bound(limit.algorithm, quota, asks)
    if len(let) > bound:
        over = let[bound : bound + 3]
        yield found(
            requirement, f"{len(let) - bound} more requests are let in than the quota allows",
            *[a.exchange for a in over], cause="over-admission", operation=operation,
            basis=limit.basis, expected=bound, actual=len(let),
            shows=" and ".join(f"{showing.at(a.exchange.number)}.status < 400" for a in over),
        )  # fmt: skip
    if whole and turned and len(let) < quota.q:
        yield found(
            "RL17", f"a request is refused when only {len(let)} of {quota.q} were used",
            turned[0].exchange, cause="under-admission", operation=operation, basis=limit.basis,
            expected=quota.q, actual=len(let), shows=f"status == {turned[0].exchange.status}",
        )  # fmt: skip


def _fullest(limit: RateLimit, let: Sequence[Ask]) -> list[Ask]:
    """Return the admissions of the fullest window, where headers tell windows apart."""
    if limit.algorithm not in (None, "fixed-window"):
        return list(let)
    windows: dict[str | None, list[Ask]] = {}
    for ask in let:
        windows.setdefault(ask.reading.raw_reset if ask.reading else None, []).append(ask)
    moving = len(windows) > 3  # a reset that moves with every answer names no window
    return list(let) if moving else max(windows.values(), key=len, default=[])


def _bound(algorithm: str | None, quota: Quota, asks: Sequence[Ask]) -> tuple[str, int]:
    """Return (requirement, most admissions) for what was asked in one go."""
    if not asks:
        return "RL13", quota.q
    took = max(a.received for a in asks) - min(a.sent for a in asks)
    if algorithm == "sliding-window":
        windows = math.ceil(took / quota.w) if took > quota.w else 1
        return "RL14", quota.q * windows
    if algorithm == "fixed-window":
        windows = 1 + math.floor(took / quota.w)
        return "RL13", quota.q * (windows if took < 0.5 * quota.w else windows + 1)
    requirement = "RL15" if algorithm in ("token-bucket", "gcra") else "RL13"
    return requirement, quota.q + math.floor(quota.q * took / quota.w)


REQUIREMENT = {"sliding-window": "RL14", "token-bucket": "RL15", "gcra": "RL15"}
"""Algorithm -> the requirement that states its bound; of all others it is RL13."""


def most(algorithm: str | None, quota: Quota, seconds: float) -> int:
    """Return how many may be let in within `seconds`, wherever they begin.

    Of a fixed window an interval touches one more than it is long; a log lets in its quota in
    less than a window; a bucket, and GCRA, which is one, what it holds and what flows in.
    """
    if algorithm == "sliding-window":
        return quota.q * (math.floor(seconds / quota.w) + 1)
    if algorithm in ("token-bucket", "gcra"):
        return quota.q + math.floor(quota.q * seconds / quota.w)
    return quota.q * (math.floor(seconds / quota.w) + 2)


def fullest(algorithm: str | None, quota: Quota, asks: Sequence[Ask]) -> tuple[int, Sequence[Ask]]:
    """Return by how many the worst interval exceeds its bound, and what was let in there.

    An interval lasts from when its first request was sent until its last one was answered, which
    is longer than it was for the server: who exceeds it has exceeded the real one.
    """
    let = [a for a in asks if a.admitted]
    worst, where = 0, (0, 0)
    for first, begin in enumerate(let):
        for last in range(first + quota.q, len(let)):
            bound = most(algorithm, quota, let[last].received - begin.sent)
            if last - first + 1 - bound > worst:
                worst, where = last - first + 1 - bound, (first, last + 1)
    return worst, let[where[0] : where[1]]


def fitting(quota: Quota, asks: Sequence[Ask]) -> list[str]:
    """Return the algorithms that would have let in what was and refused what was, strictest first.

    The quota was whole before the first ask. GCRA lets in what a token bucket does.
    """
    names = ("sliding-window", "token-bucket", "fixed-window")
    return [n for n in names if not fullest(n, quota, asks)[0] and not early(n, quota, asks)]


def intervals(
    operation: Operation, limit: RateLimit, quota: Quota, asks: Sequence[Ask]
) -> Iterator[Finding]:
    """RL13–RL15: in no interval was more let in than the declared algorithm allows."""
    excess, let = fullest(limit.algorithm, quota, asks)
    if not excess:
        return
    seconds = let[-1].received - let[0].sent
    others = fitting(quota, asks)
    looks = f"; it fits a {others[0].replace('-', ' ')}" if others else ""
    yield found(
        REQUIREMENT.get(limit.algorithm or "", "RL13"),
        f"{excess} more requests are let in within {seconds:.2f} s than the quota allows{looks}",
        let[0].exchange, *[a.exchange for a in let[-3:]], cause="over-admission-interval",
        operation=operation, basis=limit.basis, expected=len(let) - excess, actual=len(let),
    )  # fmt: skip


def refused_early(
    operation: Operation, limit: RateLimit, quota: Quota, asks: Sequence[Ask]
) -> Iterator[Finding]:
    """RL17: nothing is refused while something is left; the quota was whole at the first ask."""
    worst = early(limit.algorithm, quota, asks)
    if worst:
        ask, left = worst
        let = [a for a in asks if a.admitted and a.received <= ask.sent]
        yield found(
            "RL17", f"a request is refused while {left} of {quota.q} are left",
            *[a.exchange for a in let[-2:]], ask.exchange, cause="refused-early",
            operation=operation, basis=limit.basis, expected="2xx", actual=told(ask.exchange),
        )  # fmt: skip


def early(algorithm: str | None, quota: Quota, asks: Sequence[Ask]) -> tuple[Ask, int] | None:
    """Return a refusal that came while something was left, and how much; None where none did.

    Of a window something is left, of whatever kind it is, while less than the quota was let in
    within its last length; of a bucket, while it must hold a token whenever requests arrived.
    """
    let: list[Ask] = []
    for ask in asks:
        if ask.admitted:
            let.append(ask)
            continue
        if algorithm in ("token-bucket", "gcra"):
            left = math.floor(_tokens(quota, let, ask.sent) - SLACK)
        else:
            left = quota.q - sum(a.received > ask.sent - quota.w - SLACK for a in let)
        if left >= 1:
            return ask, left
    return None


SLACK = 0.05
"""Seconds, or tokens, by which clocks and their rounding may differ."""


def _tokens(quota: Quota, let: Sequence[Ask], at: float) -> float:
    """Return the fewest tokens that a bucket can hold at a time, after what it let in."""
    tokens, since = float(quota.q), at
    for ask in let:
        tokens = min(float(quota.q), tokens + max(0.0, ask.sent - since) * quota.q / quota.w) - 1
        since = ask.received
    return min(float(quota.q), tokens + max(0.0, at - since) * quota.q / quota.w)


def simultaneous(
    operation: Operation, limit: RateLimit, quota: Quota, asks: Sequence[Ask], whole: bool
) -> Iterator[Finding]:
    """RL16: of many requests released at once exactly the quota is admitted."""
    for finding in admissions(operation, limit, quota, asks, whole):
        yield finding.at(requirement="RL16", cause=f"simultaneous {finding.cause}")


def refusal(operation: Operation, limit: RateLimit, exchange: Exchange) -> Iterator[Finding]:
    """ER5, RL2, RA9: a refusal for the quota has the declared status, code and explanation."""
    if exchange.status != limit.exceeded_status:
        yield found(
            "ER5", f"a request beyond the quota is answered {told(exchange)}", exchange,
            cause=f"exceeded-status {told(exchange)}", operation=operation, basis=limit.basis,
            expected=limit.exceeded_status, actual=exchange.status,
        )  # fmt: skip
        return
    assert exchange.response is not None
    if not exchange.response.body.strip():
        yield found(
            "RL2", "a refusal for the quota explains nothing in its body", exchange,
            cause="empty-429", operation=operation, basis=limit.basis,
            shows=f"status == {limit.exceeded_status} and not text.strip()",
        )  # fmt: skip
        return
    errors = operation.errors
    declared = errors.answers.get("rate-limited") if errors else None
    code = limit.exceeded_code or (declared.code if declared else None)
    if errors is not None and code is not None:
        given = value_at(exchange, errors.envelope.code)
        if given != code:
            said = (declared.code_basis or declared.basis) if declared else None
            basis = said or limit.basis
            yield found(
                "ER5", "a refusal for the quota carries another code than the declared one",
                exchange, cause="exceeded-code", operation=operation, basis=basis, expected=code,
            )  # fmt: skip


def wait_told(exchange: Exchange, at: float) -> float | None:
    """Return the seconds that a refusal asks to wait, None where it says nothing readable."""
    if exchange.response is None:
        return None
    return retry_after(header(exchange.response.headers, "retry-after"), at)


def recovery(
    operation: Operation, limit: RateLimit, refusals: Sequence[Exchange], after: Exchange
) -> Iterator[Finding]:
    """RL18: who waits as long as told by the first refusal is let in."""
    if refused(limit, after):
        yield found(
            "RL18", "a client that waited as long as it was told is refused again",
            *refusals[:1], after, cause="refused-after-wait", operation=operation,
            basis=limit.retry_after_basis or limit.basis, expected="2xx", actual=told(after),
        )  # fmt: skip


def reset_reached(
    operation: Operation, limit: RateLimit, quota: Quota | None, refusal: Ask, after: Ask
) -> Iterator[Finding]:
    """RL20: who was refused in a window that is said to last for hours is not let in seconds later.

    A reset may say when all of a quota is back, and one request is back sooner; but not by more
    than the quota's number of times. What lies further is a mistaken unit.
    """
    reading = refusal.reading
    if not after.admitted or reading is None or reading.reset is None:
        return
    passed = after.received - refusal.sent
    apart = FIXED_APART if limit.algorithm == "fixed-window" else FIXED_APART + 3 * (
        quota.q if quota else 0)  # fmt: skip
    if reading.reset > apart * (passed + 1):
        yield found(
            "RL20", "the window is over long before its reset, read in the declared unit",
            refusal.exchange, after.exchange, cause="reset-unit", operation=operation,
            basis=limit.reset_basis or limit.basis, expected=quotas.unit(limit),
            actual=f"a reset {reading.reset:.0f} s ahead, and let in after {passed:.1f} s",
        )  # fmt: skip


FIXED_APART = 100
"""Times that a reset may be further away than the end of its window without being in another unit:
units differ by a thousand, or by the age of the epoch."""


def reset_falls(operation: Operation, limit: RateLimit, asks: Sequence[Ask]) -> Iterator[Finding]:
    """RL20: a reset in seconds from now comes no closer than by the seconds that pass."""
    read = [a for a in sorted(asks, key=lambda a: a.sent) if a.reading and a.reading.reset]
    for one, two in pairwise(read):
        assert one.reading is not None
        assert two.reading is not None
        fallen = (one.reading.reset or 0.0) - (two.reading.reset or 0.0)
        if fallen > FIXED_APART * (two.received - one.sent + 1):
            yield found(
                "RL20", "the reset comes closer a hundred times as fast as time passes",
                one.exchange, two.exchange, cause="reset-unit", operation=operation,
                basis=limit.reset_basis or limit.basis, expected=quotas.unit(limit),
                actual=f"{fallen:.0f} s closer within {two.received - one.sent:.1f} s",
            )  # fmt: skip
            return


def partitioned(
    operation: Operation, limit: RateLimit, spent: Exchange, others: Sequence[Exchange]
) -> Iterator[Finding]:
    """RL19: another key's quota is its own."""
    for exchange in others:
        if limit.partition == "api-key" and refused(limit, exchange):
            yield found(
                "RL19", "one key's use is counted against another key", spent, exchange,
                cause="partition-shared", operation=operation, basis=limit.basis,
                expected="2xx", actual=told(exchange),
            )  # fmt: skip
            return


def shared(
    operation: Operation, limit: RateLimit, spent: Exchange, other: Exchange
) -> Iterator[Finding]:
    """RL19: operations of one category share one quota."""
    if ok(other):
        yield found(
            "RL19", "another operation is let in though the shared quota is used up", spent, other,
            cause="category-not-shared", operation=operation, basis=limit.basis,
            expected=limit.exceeded_status, actual=told(other),
        )  # fmt: skip


def _found(
    requirement: str,
    message: str,
    asks: Sequence[Ask],
    cause: str,
    operation: Operation,
    basis: Basis,
    shows: str = "",
) -> Finding:
    return found(
        requirement, message, *[a.exchange for a in asks], cause=cause, operation=operation,
        basis=basis, shows=shows,
    )  # fmt: skip
