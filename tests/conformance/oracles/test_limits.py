"""Oracles of quotas, made by hand: limit and usage headers, `Retry-After`, admission."""

from __future__ import annotations

from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest

from conformance.history import Exchange
from conformance.oracles import (
    headers,
    limits,
)
from conformance.oracles.limits import Quota, ask_of
from conformance.reference.backend.limits import ALGORITHMS
from specs import Basis, Contract, quotas
from specs.vocabulary import Policy, UsageHeader
from specs.vocabulary import Usage as UsageWords
from tests.scripted import causes, contract, exchange, required

NOW = 1_700_000_000.0
THINGS: Contract = contract()
GET = THINGS["things.get"]
THING = {"id": "t1", "name": "one"}
ERROR = {"error": {"code": "not_found", "message": "no such thing", "request_id": "r1"}}
LIMITS = (("x-ratelimit-limit", "10"), ("x-ratelimit-remaining", "9"),
          ("x-ratelimit-reset", str(int(NOW) + 30)))  # fmt: skip


def limit_headers(**changed: str | None) -> tuple[tuple[str, str], ...]:
    """Return the rate-limit headers with some of them changed or gone."""
    given = {n: changed.get(n.removeprefix("x-ratelimit-"), v) for n, v in LIMITS}
    return tuple((n, v) for n, v in given.items() if v is not None)


@pytest.mark.parametrize(
    ("status", "changed", "expected"),
    [
        (200, {}, []),
        (200, {"remaining": None}, ["HD6"]),
        (200, {"remaining": "11"}, ["RL11"]),
        (200, {"remaining": "-1"}, ["RL4"]),
        (200, {"remaining": "many"}, ["RL11"]),
        (200, {"reset": str(int(NOW) - 60)}, ["RL20"]),
        (200, {"reset": str((int(NOW) + 30) * 1000)}, ["RL20"]),
        (200, {"reset": "30"}, ["RL20"]),
        (429, {"remaining": "0"}, []),
        (429, {"remaining": "2"}, ["RL12"]),
    ],
)
def test_rate_limit_headers_are_judged_one_answer_at_a_time(
    status: int, changed: dict[str, str | None], expected: list[str]
) -> None:
    """Presence, form, bounds and unit of the reset are told by their requirement."""
    assert GET.rate_limit is not None
    made = exchange(status, ERROR if status > 400 else THING, limit_headers(**changed))
    assert expected == required(headers.limit_rules(GET, GET.rate_limit, made, NOW))


@pytest.mark.parametrize(
    ("generation", "fields", "expected"),
    [
        ("draft-6", (("ratelimit-limit", "10"), ("ratelimit-remaining", "4"),
                     ("ratelimit-reset", "7")), (10, 4, 7)),
        ("draft-7", (("ratelimit", "limit=10, remaining=4, reset=7"),), (10, 4, 7)),
        ("draft-8", (("ratelimit", '"default";r=4;t=7'),
                     ("ratelimit-policy", '"default";q=10;w=60')), (10, 4, 7)),
    ],
)  # fmt: skip
def test_every_generation_of_quota_headers_reads_alike(
    generation: Any, fields: Any, expected: tuple[int, int, int]
) -> None:
    """The three drafts and the older triple become one reading."""
    assert GET.rate_limit is not None
    bare = {"limit": None, "remaining": None, "reset": None, "reset_unit": None}
    limit = GET.rate_limit.model_copy(update={**bare, "headers": generation})
    read = quotas.read(limit, fields, NOW)
    assert read is not None
    assert expected == (read.limit, read.remaining, read.reset)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", []), ("0", []), ("Fri, 31 Dec 2027 23:59:59 GMT", []),
        ("-1", ["RA1"]), ("1.5", ["RA1"]), ("soon", ["RA1"]), ("2027-12-31T00:00:00Z", ["RA1"]),
        ("Friday, 31-Dec-27 23:59:59 GMT", []), ("Fri Dec 31 23:59:59 2027", ["RA2"]),
    ],
)  # fmt: skip
def test_retry_after_has_one_of_its_forms(value: str, expected: list[str]) -> None:
    """Whole seconds or an HTTP date (RFC 9110 10.2.3), generated as IMF-fixdate."""
    made = exchange(429, ERROR, (("retry-after", value),))
    assert expected == required(headers.retry_after_rules(GET, made, NOW))


def test_a_refusal_without_retry_after_is_told_where_it_is_promised() -> None:
    """A 429 says how long to wait."""
    assert ["RA9"] == required(headers.retry_after_rules(GET, exchange(429, ERROR), NOW))


USAGE = UsageWords(
    basis=Basis.DOCUMENTED, plan="x-plan", figures=(UsageHeader(used="x-used", limit="x-max"),)
)


def used(value: int, number: int, plan: str = "pro") -> Exchange:
    """Return an answer with usage headers."""
    return exchange(
        200, THING, (("x-plan", plan), ("x-used", str(value)), ("x-max", "9")), number=number,
        sent=float(number),
    )  # fmt: skip


def test_usage_grows_and_holds_its_plan() -> None:
    """Figures never shrink, never pass their limit, and plan and limit stay what they are."""
    assert [] == required(headers.usage_over_time(USAGE, [used(1, 0), used(2, 1), used(2, 2)]))
    shrinks = headers.usage_over_time(USAGE, [used(3, 0), used(2, 1)])
    assert [("HD2", "usage-shrinks x-used")] == causes(shrinks)
    above = headers.usage_over_time(USAGE, [used(12, 0)])
    assert [("HD2", "usage-above-limit x-used")] == causes(above)
    moved = headers.usage_over_time(USAGE, [used(1, 0), used(2, 1, "free")])
    assert [("HD2", "usage-not-constant x-plan")] == causes(moved)
    assert [("HD2", "usage-frozen")] == causes(
        headers.usage_counts(USAGE, [used(2, 0), used(2, 1)])
    )


def asks(admitted: str, *, reset: str = "1700000030", step: float = 0.001) -> list[limits.Ask]:
    """Return asks from a string: `.` admitted, `x` refused; remaining counts down from ten."""
    assert GET.rate_limit is not None
    made = []
    left = 10
    for number, letter in enumerate(admitted):
        left = max(0, left - (letter == "."))
        fields = limit_headers(remaining=str(left), reset=reset)
        status = 200 if letter == "." else 429
        one = exchange(status, THING, fields, number=number, sent=number * step)
        made.append(ask_of(GET.rate_limit, one, NOW))
    return made


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("." * 10 + "xxx", []),
        ("." * 11 + "xx", [("RL13", "over-admission")]),
        ("." * 8 + "xxx", [("RL17", "under-admission")]),
    ],
)
def test_a_quota_lets_in_exactly_so_many(what: str, expected: Any) -> None:
    """One more and one less than the quota are both told."""
    assert GET.rate_limit is not None
    made = limits.admissions(GET, GET.rate_limit, Quota(10, 30.0), asks(what), whole=True)
    assert expected == causes(made)


@pytest.mark.parametrize(
    ("algorithm", "seconds", "admitted", "expected"),
    [
        ("token-bucket", 3.0, 11, []),
        ("token-bucket", 3.0, 12, ["RL15"]),
        ("sliding-window", 3.0, 10, []),
        ("sliding-window", 3.0, 11, ["RL14"]),
        ("gcra", 6.0, 12, []),
        ("gcra", 6.0, 13, ["RL15"]),
    ],
)
def test_each_algorithm_is_held_to_its_own_bound(
    algorithm: Any, seconds: float, admitted: int, expected: list[str]
) -> None:
    """A bucket refills while one asks; a log lets in no more in any interval of its window."""
    assert GET.rate_limit is not None
    limit = GET.rate_limit.model_copy(update={"algorithm": algorithm})
    made = asks("." * admitted, step=seconds / (admitted - 1))
    assert expected == required(limits.admissions(GET, limit, Quota(10, 30.0), made, whole=False))


def test_two_windows_are_not_added_up() -> None:
    """A fixed window that turns while one asks is no over-admission: its reset tells."""
    assert GET.rate_limit is not None
    made = asks("." * 10) + asks("." * 10, reset="1700000060")
    assert [] == causes(limits.admissions(GET, GET.rate_limit, Quota(10, 30.0), made, whole=True))


def test_what_remains_counts_down_by_one() -> None:
    """Stuck, jumping and uncounted figures are three findings; an honest countdown is none."""
    assert GET.rate_limit is not None
    honest = asks("....", step=2.0)
    assert [] == causes(limits.arithmetic(GET, GET.rate_limit, honest))
    stuck = [honest[0], replace(honest[0], sent=5.0, received=5.5)]
    assert [("RL11", "remaining-stuck")] == causes(limits.arithmetic(GET, GET.rate_limit, stuck))
    jump = [honest[0], honest[3]]
    assert [("RL11", "remaining-jumps")] == causes(limits.arithmetic(GET, GET.rate_limit, jump))


def test_what_was_asked_at_once_is_not_counted_by() -> None:
    """Of requests that overlap nobody knows which was served first, nor of one without answer."""
    assert GET.rate_limit is not None
    first, second, third, fourth = asks("....", step=2.0)
    late = replace(second, sent=first.sent, received=third.received)  # served after the third
    for order in ([first, late, third], [late, first, third], [first, late, third, fourth]):
        assert [] == causes(limits.arithmetic(GET, GET.rate_limit, order))
    unread = replace(second, reading=None)
    assert [] == causes(limits.arithmetic(GET, GET.rate_limit, [first, unread, third]))


def watched(name: str, quota: Quota, lag: float = 0.001) -> list[limits.Ask]:
    """Return what a limiter makes of one ask, and of many from late in its first window on."""
    times = [NOW, *(NOW + quota.w * (0.7 + n / quota.q / 8) for n in range(int(12 * quota.q)))]
    state, made = None, []
    for number, at in enumerate(times):
        policy = Policy(q=quota.q, w=quota.w)
        decision, state = ALGORITHMS[name](policy, state, at)
        one = exchange(200 if decision.admitted else 429, THING, number=number, sent=at - lag)
        made.append(limits.Ask(one, decision.admitted, at - lag, at + lag, None))
    return made


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("fixed-window", "fixed-window"),
        ("sliding-window", "sliding-window"),
        ("token-bucket", "token-bucket"),
        ("gcra", "token-bucket"),
    ],
)
def test_algorithms_are_told_apart_by_what_they_let_in(name: str, looks: str) -> None:
    """Each honest limiter fits its own bound, and none that is stricter."""
    assert GET.rate_limit is not None
    quota = Quota(20, 10.0)
    asks = watched(name, quota)
    limit = GET.rate_limit.model_copy(update={"algorithm": name})
    assert looks == limits.fitting(quota, asks)[0]
    assert [] == required(limits.intervals(GET, limit, quota, asks))
    assert [] == required(limits.refused_early(GET, limit, quota, asks))


@pytest.mark.parametrize(
    ("declared", "real", "expected"),
    [
        ("sliding-window", "fixed-window", ["RL14"]),
        ("token-bucket", "fixed-window", ["RL15"]),
        ("sliding-window", "token-bucket", ["RL14"]),
        ("token-bucket", "sliding-window", ["RL17"]),
    ],
)
def test_a_limiter_is_held_to_the_algorithm_that_it_declares(
    declared: str, real: str, expected: list[str]
) -> None:
    """Another algorithm lets in too much somewhere, or refuses too early, and is named."""
    assert GET.rate_limit is not None
    quota = Quota(20, 10.0)
    limit = GET.rate_limit.model_copy(update={"algorithm": declared})
    asks = watched(real, quota)
    made = [
        *limits.intervals(GET, limit, quota, asks), *limits.refused_early(GET, limit, quota, asks)
    ]  # fmt: skip
    assert expected == required(made)[:1]
    assert expected == ["RL17"] or f"it fits a {real.replace('-', ' ')}" in made[0].message


@pytest.mark.parametrize(("date", "expected"), [(-30.0, []), (0.0, ["RL20"])])
def test_an_old_date_alone_proves_nothing(date: float, expected: list[str]) -> None:
    """A reset too far ahead of a Date that is late is near by our clock; else it is too far."""
    assert GET.rate_limit is not None
    ahead = str(int(NOW) + (50 if not expected else 4000))
    dated = ("date", formatdate(NOW + date, usegmt=True))
    made = exchange(200, THING, (*limit_headers(reset=ahead), dated))
    limit = GET.rate_limit.model_copy(update={"policies": (Policy(q=10, w=60.0),)})
    assert expected == required(headers.limit_rules(GET, limit, made, NOW))
