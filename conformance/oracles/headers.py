"""Header fields of single answers: rate limits, Retry-After, usage (RL*, RA*, HD1, HD2, HD6).

`specs.quotas` reads every dialect into one `Reading`; the rules do not know the dialect. What
several answers and the clock must say together is in `limits.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from conformance.history import Exchange
from conformance.oracles import showing
from conformance.oracles.answers import retry_after
from conformance.oracles.found import found, told, value_at
from conformance.verdict import Finding
from specs import Operation, quotas
from specs.dates import http_date
from specs.quotas import Reading
from specs.vocabulary import RateLimit, Usage

SLACK = 2.0
"""Seconds by which two clocks, and whole-second rounding, may differ."""
FAR = 31 * 86_400.0
"""A reset further away than this (seconds) is in another unit than declared."""


def date_of(exchange: Exchange, now: float) -> float:
    """Return the server's time of an answer (its Date field), else `now`; epoch seconds."""
    given = exchange.response.header("date") if exchange.response else None
    when = http_date(given) if given else None
    return now if when is None else when


def judge(operation: Operation, exchange: Exchange, now: float) -> Iterator[Finding]:
    """Yield what is wrong with one answer's quota, waiting and usage fields.

    `now` is seconds since the epoch when the answer came, used where it has no Date. Only
    answers to requests with a valid key are judged: without one there is no quota to speak of.
    """
    response = exchange.response
    if response is None:
        return
    yield from retry_after_rules(operation, exchange, date_of(exchange, now))
    if response.status == 401 or not exchange.principal or not operation.authenticated:
        return
    if exchange.request.method != operation.verb:
        return  # a method that nobody declared is no call of the operation
    if operation.rate_limit is not None:
        yield from limit_rules(operation, operation.rate_limit, exchange, now)
    if operation.usage is not None:
        yield from usage_rules(operation, operation.usage, exchange)


_RETRY_AFTER = r"""not re.fullmatch(r"\s*\d+\s*|.*GMT\s*", header["retry-after"])"""


def retry_after_rules(operation: Operation, exchange: Exchange, now: float) -> Iterator[Finding]:
    """RA1, RA2, RA9: the form of Retry-After, and its presence where it is promised."""
    assert exchange.response is not None
    limit = operation.rate_limit
    name = "retry-after"
    value = exchange.response.header(name)
    status = exchange.response.status
    if value is None:
        if limit is not None and limit.retry_after and status == limit.exceeded_status:
            yield found(
                "RA9", f"a {status} answer does not say how long to wait", exchange,
                cause="no-retry-after", operation=operation,
                basis=limit.retry_after_basis or limit.basis, expected=name,
                shows=f"status == {status} and {name!r} not in header",
            )  # fmt: skip
        return
    seconds = retry_after(value, now)
    if seconds is None:
        yield found(
            "RA1", "Retry-After is neither a number of seconds nor a date", exchange,
            cause="retry-after-form", operation=operation, shows=_RETRY_AFTER,
        )  # fmt: skip
    elif not value.strip().isdigit() and not value.strip().endswith("GMT"):
        yield found(
            "RA2", "Retry-After's date is not in the form that senders must use", exchange,
            cause="retry-after-date-form", operation=operation, shows=_RETRY_AFTER,
        )  # fmt: skip


def limit_rules(
    operation: Operation, limit: RateLimit, exchange: Exchange, now: float
) -> Iterator[Finding]:
    """HD6, RL3, RL4, RL6, RL11, RL12, RL20: what one answer says of its quota.

    `now` is when the answer came, seconds since the epoch.
    """
    assert exchange.response is not None
    missing = [name for name in quotas.names(limit) if exchange.response.header(name) is None]
    if missing:
        yield found(
            "HD6", f"a {_group(exchange)} answer lacks the rate-limit header {missing[0]}",
            exchange, cause=f"limit-header-missing {missing[0]} {_group(exchange)}",
            operation=operation, basis=limit.basis, expected=list(quotas.names(limit)),
            shows=_lacks(exchange, missing[0]),
        )  # fmt: skip
        return
    if not quotas.told(limit):
        return
    dated = date_of(exchange, now)
    reading = quotas.read(limit, exchange.response.headers, dated)
    if reading is None:
        yield found(
            "RL4" if quotas.standard(limit) else "RL11",
            "the rate-limit headers cannot be read", exchange,
            cause="limit-header-form", operation=operation, basis=limit.basis,
        )  # fmt: skip
        return
    yield from _bounds(operation, limit, exchange, reading)
    yield from _reset_rules(operation, limit, exchange, reading, dated, now)


def _bounds(
    operation: Operation, limit: RateLimit, exchange: Exchange, reading: Reading
) -> Iterator[Finding]:
    quota, remaining = reading.limit, reading.remaining
    if remaining is not None and not _whole(remaining):
        yield found(
            "RL4", "the remaining quota is not a whole number of at least 0", exchange,
            cause="remaining-form", operation=operation, basis=limit.basis,
            shows=_unwhole(limit, "remaining"),
        )  # fmt: skip
    elif quota is not None and remaining is not None and remaining > quota:
        yield found(
            "RL11", "more is remaining than the quota", exchange,
            cause="remaining-above-limit", operation=operation, basis=limit.basis,
        )  # fmt: skip
    if quota is not None and not _whole(quota):
        yield found(
            "RL11", "the quota is not a whole number", exchange,
            cause="limit-form", operation=operation, basis=limit.basis,
        )  # fmt: skip
    assert exchange.response is not None
    refused = exchange.response.status == limit.exceeded_status
    if refused and remaining is not None and remaining > 0 and _is_rate(operation, limit, exchange):
        yield found(
            "RL12", "a request is refused for its quota while some is remaining", exchange,
            cause="refused-with-remaining", operation=operation, basis=limit.basis,
            expected=0, actual=remaining, shows=_left_over(limit, exchange),
        )  # fmt: skip


def _unwhole(limit: RateLimit, part: quotas.Part) -> str:
    name = quotas.parts(limit).get(part)
    return f"not header[{name!r}].strip().isdigit()" if name else ""


def _left_over(limit: RateLimit, exchange: Exchange) -> str:
    name = quotas.parts(limit).get("remaining")
    return f"status == {exchange.status} and {showing.figure(name)} > 0" if name else ""


def _is_rate(operation: Operation, limit: RateLimit, exchange: Exchange) -> bool:
    """Return False where the answer says by its code that another quota was meant."""
    path = operation.errors.envelope.code if operation.errors else None
    if path is None or limit.exceeded_code is None:
        return True
    return bool(value_at(exchange, path) == limit.exceeded_code)


def _reset_rules(
    operation: Operation,
    limit: RateLimit,
    exchange: Exchange,
    reading: Reading,
    dated: float,
    now: float,
) -> Iterator[Finding]:
    """Judge the reset by the answer's Date; what our clock says too is broken.

    A busy server renews its Date late, and our clock may be wrong: either alone proves nothing.
    """
    wrong = list(_reset_at(operation, limit, exchange, reading, dated))
    if wrong and dated != now:
        assert exchange.response is not None
        ours = quotas.read(limit, exchange.response.headers, now) or reading
        causes = {f.cause for f in _reset_at(operation, limit, exchange, ours, now)}
        wrong = [f for f in wrong if f.cause in causes]
    yield from wrong


def _reset_at(
    operation: Operation, limit: RateLimit, exchange: Exchange, reading: Reading, now: float
) -> Iterator[Finding]:
    basis = limit.reset_basis or limit.basis
    reset = reading.reset
    window = max((p.w for p in limit.policies), default=FAR)
    if reset is None:
        if reading.raw_reset is not None:
            yield found(
                "RL20", "the reset cannot be read in its declared unit", exchange,
                cause="reset-unit", operation=operation, basis=basis, expected=limit.reset_unit,
            )  # fmt: skip
        return
    if reset < -SLACK or reset > window + SLACK:
        yield found(
            "RL20", "the reset does not lie between now and one window ahead in its declared unit",
            exchange, cause="reset-unit", operation=operation, basis=basis,
            expected=limit.reset_unit,
        )  # fmt: skip
        return
    assert exchange.response is not None
    wait = retry_after(exchange.response.header("retry-after"), now)
    refused = exchange.response.status == limit.exceeded_status
    whole = limit.algorithm in (None, "fixed-window") and (reading.remaining or 0) == 0
    if refused and whole and wait is not None and wait < reset - SLACK:
        yield found(
            "RL6", "Retry-After is earlier than the quota's reset", exchange,
            cause="retry-after-before-reset", operation=operation, basis=basis,
            expected=f"at least {math.floor(reset)} s", actual=f"{wait:g} s",
        )  # fmt: skip


def usage_rules(operation: Operation, usage: Usage, exchange: Exchange) -> Iterator[Finding]:
    """HD1: plan and figures are there, the figures whole numbers, none above its limit."""
    assert exchange.response is not None
    response = exchange.response
    if usage.plan and response.header(usage.plan) is None:
        yield found(
            "HD1", f"a {_group(exchange)} answer lacks the header {usage.plan.lower()}", exchange,
            cause=f"usage-header-missing {usage.plan.lower()} {_group(exchange)}",
            operation=operation, basis=usage.basis, shows=_lacks(exchange, usage.plan),
        )  # fmt: skip
    for figure in usage.figures:
        for name in filter(None, (figure.used, figure.limit)):
            value = response.header(name)
            if value is None and _optional(operation, response.status, name):
                continue
            if value is None:
                yield found(
                    "HD1", f"a {_group(exchange)} answer lacks the header {name.lower()}", exchange,
                    cause=f"usage-header-missing {name.lower()} {_group(exchange)}",
                    operation=operation, basis=usage.basis, shows=_lacks(exchange, name),
                )  # fmt: skip
            elif not value.strip().isdigit() and not _unlimited(value, name == figure.limit):
                yield found(
                    "HD2", f"the header {name.lower()} is not a whole number", exchange,
                    cause=f"usage-header-form {name.lower()}", operation=operation,
                    basis=usage.basis, shows=f"not header[{name.lower()!r}].strip().isdigit()",
                )  # fmt: skip


def _lacks(exchange: Exchange, name: str) -> str:
    status = exchange.status or 0
    which = f"status // 100 == {status // 100}" if status < 300 else f"status == {status}"
    return f"{which} and {name.lower()!r} not in header"


def _unlimited(value: str, is_limit: bool) -> bool:
    return is_limit and value.strip().lower() in ("unlimited", "-1", "none", "")


def usage_over_time(usage: Usage, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """HD2: over consecutive answers of one tenant no figure shrinks and plan and limits hold."""
    for figure in usage.figures:
        yield from _never_shrinks(usage, figure.used, exchanges)
        if figure.limit:
            yield from _constant(usage, figure.limit, exchanges)
            yield from _within(usage, figure.used, figure.limit, exchanges)
    if usage.plan:
        yield from _constant(usage, usage.plan, exchanges)


def usage_counts(usage: Usage, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """HD2: after several accepted requests at least one figure has grown."""
    for_all: list[list[float]] = []
    for figure in usage.figures:
        for_all.append([v for _, v in _figures(figure.used, exchanges)])
    if for_all and all(len(v) > 1 and v[-1] <= v[0] for v in for_all):
        yield found(
            "HD2", "no usage figure grows however much is used", exchanges[0], exchanges[-1],
            cause="usage-frozen", basis=usage.basis,
            shows=" and ".join(
                f"{showing.figure(f.used)} <= {showing.figure(f.used, exchanges[0].number)}"
                for f in usage.figures
            ),
        )  # fmt: skip


def _figures(name: str, exchanges: Iterable[Exchange]) -> list[tuple[Exchange, float]]:
    values = []
    for exchange in exchanges:
        value = exchange.response.header(name) if exchange.response else None
        if value is not None and value.strip().isdigit():
            values.append((exchange, float(value)))
    return values


def _never_shrinks(usage: Usage, name: str, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    values = _figures(name, exchanges)
    for (before, a), (after, b) in pairwise(values):
        if b < a and before.received is not None and before.received <= after.sent:
            yield found(
                "HD2", f"the figure {name.lower()} shrinks from one answer to the next",
                before, after, cause=f"usage-shrinks {name.lower()}", basis=usage.basis,
                shows=f"{showing.figure(name)} < {showing.figure(name, before.number)}",
            )  # fmt: skip
            return


def _constant(usage: Usage, name: str, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    seen: dict[str, Exchange] = {}
    for exchange in exchanges:
        value = exchange.response.header(name) if exchange.response else None
        if value is not None:
            seen.setdefault(value, exchange)
    if len(seen) > 1:
        yield found(
            "HD2", f"the header {name.lower()} changes between answers to one tenant",
            *list(seen.values())[:2], cause=f"usage-not-constant {name.lower()}",
            basis=usage.basis,
            shows=f"len({{a.header[{name.lower()!r}] for a in answers.values()}}) > 1",
        )  # fmt: skip


def _within(
    usage: Usage, used: str, limit: str, exchanges: Sequence[Exchange]
) -> Iterator[Finding]:
    limits = {each.number: most for each, most in _figures(limit, exchanges)}
    for exchange, figure in _figures(used, exchanges):
        if exchange.status != 429 and figure > limits.get(exchange.number, math.inf) > 0:
            yield found(
                "HD2", f"more is used than {limit.lower()} allows and yet admitted", exchange,
                cause=f"usage-above-limit {used.lower()}", basis=usage.basis,
                shows=f"{showing.figure(used)} > {showing.figure(limit)} > 0",
            )  # fmt: skip
            return


def _whole(value: float) -> bool:
    return bool(value >= 0 and value == int(value)) if math.isfinite(value) else False


def _group(exchange: Exchange) -> str:
    status = told(exchange)
    return "2xx" if status.startswith("2") else status


def _optional(operation: Operation, status: int, name: str) -> bool:
    """Return True where an answer of this status may lack a header.

    One of a status that nobody declared must have what every declared one of its class must.
    """
    declared, name = operation.response(status), name.lower()
    if declared is not None:
        return name in declared.headers and name not in declared.required_headers
    alike = [r for s, r in operation.responses.items() if s[0] == str(status)[0]]
    return any(name not in each.required_headers for each in alike)
