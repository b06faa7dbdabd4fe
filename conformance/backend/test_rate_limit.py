"""Rate limits: told truly, kept exactly, waited out as told (RL*, RA*, HD6, ER8).

These use up a quota, so they come last and prefer a key of their own (`--api-key limited=KEY`,
or a third key). A limit out of reach is inconclusive and says what it would take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

from conformance.backend.judging import judge_all
from conformance.backend.listing import all_ids
from conformance.backend.quota import NAMED, REACH, WAIT_MAX, Spender, limited, spender
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.world import creators, operations_on, required
from conformance.history import Exchange
from conformance.oracles import headers, limits
from conformance.oracles.found import found, ok, told
from conformance.oracles.limits import Ask, Quota
from conformance.verdict import Finding, Inconclusive, Need, NotApplicable
from specs import Contract, Operation, quotas

LATE, LASTING = 0.7, 1.5
"""Windows that pass before asking without a rest begins, and for how many it goes on."""
PRESSURE = 8
"""How many times the rate that the quota allows is asked for then."""
CONFIRMED = 3
"""Quotas that are used up, one after another, until one refuses."""
PAIRS = 12
"""How often two operations are asked for in turn to see whether they share a quota."""
TRIES, DOUBT = 8, 1e-4
"""Tries in which too many are let in, and the chance that windows turned in all of them, before
a limiter is blamed."""
TIMES_OVER = 4
"""How many times the quota is released at once."""


def _judged(subject: BackendSubject, spending: Spender, asks: list[Ask]) -> Iterable[Finding]:
    for ask in asks:
        operation = subject.contract[ask.exchange.operation or spending.operation.id]
        at = subject.at[ask.exchange.number]
        yield from headers.retry_after_rules(operation, ask.exchange, headers.date_of(
            ask.exchange, at))  # fmt: skip
        if ask.exchange.status != 401:
            yield from headers.limit_rules(operation, spending.limit, ask.exchange, at)


def _spent(subject: BackendSubject, operation: Operation) -> tuple[Spender, list[Ask]]:
    """Use up a quota and return who did and what was refused; Inconclusive where none was."""
    spending = spender(subject, operation)
    first = spending.ask()
    quota = spending.quota()
    if quota is not None:
        spending.in_reach(quota)
    asks = [first]
    for _ in range(CONFIRMED):  # a window may turn in the middle: then another one is used up
        asks += spending.spend(quota)
        turned = [a for a in asks if not a.admitted]
        if turned:
            return spending, turned
    raise Inconclusive(f"{len(asks)} requests were sent and none was refused")


EARLY = "simultaneous under-admission"
TWICE = 2
"""Attempts that must show an early refusal: on a busy machine one attempt may meet two windows."""


def _confirmed(
    quota: Quota, attempt: Callable[[], tuple[list[Ask], list[Finding]]]
) -> tuple[list[Ask], list[Finding]]:
    """Try until nothing is found, or until it cannot be that a fixed window turned every time.

    A window turns in the middle of an attempt as likely as the attempt is long. Raises
    Inconclusive where attempts take so long that chance would explain them all.
    """
    chance, seen = 1.0, 0
    for _ in range(TRIES):
        asks, findings = attempt()
        if not any("over-admission" in f.cause for f in findings):
            seen += any(f.cause == EARLY for f in findings)
            if seen in (0, TWICE) or not any(f.cause == EARLY for f in findings):
                return asks, findings
            continue
        took = max(a.received for a in asks) - min(a.sent for a in asks)
        chance *= min(1.0, took / quota.w)
        if chance < DOUBT:
            return asks, findings
    took = max(a.received for a in asks) - min(a.sent for a in asks)
    raise Inconclusive(
        f"asking takes {took:.2f} s and a window lasts {quota.w:g} s, so that it may have turned "
        f"in each of {TRIES} tries; give a key whose window is longer (--api-key limited=KEY)",
        Need("a rate limit whose window is longer", "--api-key limited=KEY of such a limit"),
    )


@CASES.case("limits.headers", "HD6", "RL5", "RL11", "RL20", each=limited)
def test_headers(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Rate-limit headers come with every answer, count down by one and name the reset truly."""
    spending = spender(subject, operation)
    if not quotas.told(spending.limit):
        raise NotApplicable("no rate-limit headers are declared")
    first = spending.ask()
    if first.reading is not None and (first.reading.limit or REACH + 1) <= REACH:
        spending.make_whole()
    asks = [spending.asks[-1], *(spending.ask() for _ in range(4))]
    yield from _judged(subject, spending, [first, *asks])
    yield from limits.arithmetic(operation, spending.limit, asks)
    for other in _refusable(subject.contract):
        refused = subject.send(
            other, subject.world.arguments(other, spending.principal), body=b"[]",
            key=spending.principal, patient=False,
        )  # fmt: skip
        assert other.rate_limit is not None
        at = subject.at[refused.number]
        yield from headers.limit_rules(other, other.rate_limit, refused, at)
    if len({a.exchange.status for a in asks}) == 1 and not asks[0].admitted:
        raise Inconclusive(f"every request was refused with {told(asks[0].exchange)}")


def _refusable(contract: Contract) -> list[Operation]:
    """Return one limited operation that a wrong body makes refuse."""
    return [
        o for o in contract
        if o.rate_limit is not None and o.body is not None and not o.parameters_in("path")
    ][:1]  # fmt: skip


@CASES.case("limits.exhaustion", "RL12", "RL13", "RL17", "RL2", "RL6", "RA1", "RA2",
            "RA9", "ER5", "HD6", each=limited)  # fmt: skip
def test_exhaustion(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A whole quota lets in exactly so many, then refuses as declared and says for how long."""
    spending = spender(subject, operation)
    spending.ask()
    quota = spending.quota()
    if quota is not None:
        spending.in_reach(quota, 2)
    if not quotas.told(spending.limit):
        first = spending.spend(Quota(quota.q * 2, quota.w) if quota else None)
        yield from _judged(subject, spending, first)
        yield from _refusals(operation, spending, first)

    def attempt() -> tuple[list[Ask], list[Finding]]:
        whole = spending.make_whole()
        asks = [spending.asks[-1], *spending.spend(quota)]
        if quota is None:
            return asks, []
        return asks, list(limits.admissions(operation, spending.limit, quota, asks, whole))

    asks, findings = attempt() if quota is None else _confirmed(quota, attempt)
    yield from _judged(subject, spending, asks)
    yield from findings
    yield from limits.arithmetic(operation, spending.limit, asks)
    yield from _refusals(operation, spending, asks)
    if all(a.admitted for a in asks) and quota is not None:
        raise Inconclusive(f"{len(asks)} requests were let in where {quota.q} are the limit")


def _with_algorithm(*names: str) -> Callable[[Contract], list[Operation]]:
    """Return a selector of the sample operation where its limiter is one of `names`."""
    return lambda contract: [
        o for o in limited(contract) if o.rate_limit and o.rate_limit.algorithm in names
    ]


@CASES.case("limits.sliding-window", "RL14", each=_with_algorithm("sliding-window"))
def test_sliding_window(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """In any interval as long as the window no more than the quota is let in, and no less."""
    return _bounded(subject, operation)


@CASES.case("limits.bucket", "RL15", each=_with_algorithm("token-bucket", "gcra"))
def test_bucket(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """In any interval what the bucket holds is let in and what flows in meanwhile, and no more."""
    return _bounded(subject, operation)


def _bounded(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Ask once, then late in the window without a rest until the second one after it has begun.

    A limiter that only looks right while one asks steadily lets in too much around the turn.
    """
    spending = spender(subject, operation)
    spending.ask()
    quota = spending.quota()
    if quota is None:
        raise Inconclusive(
            "nobody says what the limit is; name it with --quota REQUESTS/SECONDS", NAMED
        )
    spending.in_reach(quota, round(PRESSURE * LASTING) + 1)
    if (LATE + LASTING) * quota.w > WAIT_MAX:
        raise Inconclusive(
            f"a window lasts {quota.w:g} s and is watched for {(LATE + LASTING) * quota.w:.0f} s, "
            f"more than {WAIT_MAX:g}; give a key whose window is shorter (--api-key limited=KEY)",
            Need("a rate limit whose window is shorter", "--api-key limited=KEY of such a limit"),
        )
    whole = spending.make_whole()
    asks = [spending.asks[-1]]
    subject.wait(LATE * quota.w, "waiting until late in a window")
    began = subject.clock.monotonic()
    for most in (LASTING, LASTING * 3):  # longer where asking is so slow that nothing is refused
        while subject.clock.monotonic() < began + most * quota.w:
            asks.append(spending.ask())
            subject.wait(quota.w / quota.q / PRESSURE, "asking without a rest")
        if not all(a.admitted for a in asks):
            break
    yield from limits.intervals(operation, spending.limit, quota, asks)
    yield from limits.refused_early(operation, spending.limit, quota, asks if whole else [])
    if (
        all(a.admitted for a in asks)
        and not limits.fullest(spending.limit.algorithm, quota, asks)[0]
    ):
        raise Inconclusive(f"{len(asks)} requests were too few to use the quota up")


def _structured(contract: Contract) -> list[Operation]:
    return [o for o in limited(contract) if quotas.structured(o.rate_limit)]


@CASES.case("limits.structured", "RL3", "RL4", each=_structured)
def test_structured(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Quota fields of the IETF drafts are structured fields with whole, non-negative figures."""
    spending = spender(subject, operation)
    yield from _judged(subject, spending, [spending.ask() for _ in range(3)])


def _refusals(operation: Operation, spending: Spender, asks: list[Ask]) -> Iterable[Finding]:
    for ask in [a for a in asks if not a.admitted][:2]:
        yield from limits.refusal(operation, spending.limit, ask.exchange)


def _whole(spending: Spender, quota: Quota) -> bool:
    """Make the quota whole; without headers, by using it up and waiting as told."""
    if quotas.told(spending.limit):
        return spending.make_whole()
    spending.spend(Quota(quota.q * 2, quota.w))
    return spending.make_whole()


@CASES.case("limits.burst", "RL16", each=limited)
def test_burst(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Of many more requests than the quota, released at the same moment, exactly it is let in."""
    spending = spender(subject, operation)
    spending.ask()
    quota = spending.quota() or spending.measure()
    spending.in_reach(quota, TIMES_OVER + 2)
    if quota.q * TIMES_OVER > 400:
        raise Inconclusive(f"a limit of {quota.q} is too high to be met at one moment")

    def attempt() -> tuple[list[Ask], list[Finding]]:
        whole = _whole(spending, quota)
        asks = spending.together(quota.q * TIMES_OVER)
        if quotas.told(spending.limit) and whole:
            asks = [spending.asks[-len(asks) - 1], *asks]
        return asks, list(limits.simultaneous(operation, spending.limit, quota, asks, whole))

    asks, findings = _confirmed(quota, attempt)
    if not any(a.admitted for a in asks):
        raise Inconclusive("none of the simultaneous requests was let in")
    yield from _judged(subject, spending, asks)
    yield from findings


@CASES.case("limits.recovery", "RL18", "RL20", each=limited)
def test_recovery(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Who waits as long as the first refusal said is let in, whatever was refused meanwhile."""
    spending, turned = _spent(subject, operation)
    yield from _refused_again(subject, spending, turned)
    # an admission in between belongs to a newer window, which then has its own first refusal
    served = max((a.received for a in spending.asks if a.admitted), default=0.0)
    first = next((a for a in turned if a.sent >= served), turned[-1])
    seconds = limits.wait_told(first.exchange, subject.at[first.exchange.number])
    if seconds is None:
        raise Inconclusive("the refusal does not say how long to wait")
    if seconds > 65:
        raise Inconclusive(f"the refusal asks to wait {seconds:.0f} s, more than 65")
    passed = subject.clock.monotonic() - first.received
    subject.wait(max(0.0, seconds - passed), "waiting as a refusal said")
    after = spending.ask()
    yield from limits.recovery(operation, spending.limit, [first.exchange], after.exchange)
    yield from limits.reset_reached(operation, spending.limit, spending.quota(), first, after)
    yield from limits.reset_falls(operation, spending.limit, spending.asks)


def _refused_again(
    subject: BackendSubject, spending: Spender, turned: list[Ask]
) -> Iterable[Finding]:
    """Yield a refusal whose time was over when the next request was refused all the same."""
    let = [a.received for a in spending.asks if a.admitted]
    for earlier, later in pairwise(turned):
        seconds = limits.wait_told(earlier.exchange, subject.at[earlier.exchange.number])
        if seconds is None or later.sent < earlier.received + seconds:
            continue
        if not any(earlier.received <= at <= later.received for at in let):
            refusals = [earlier.exchange]
            yield from limits.recovery(spending.operation, spending.limit, refusals, later.exchange)
            return


@CASES.case("limits.partitions", "RL19", each=limited)
def test_partitions(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """One key's quota is its own; operations of one category share it."""
    others = subject.principals(2)
    spending, turned = _spent(subject, operation)
    spent = turned[-1].exchange
    other = next(p for p in reversed(others) if p != spending.principal)
    exchanges = [
        subject.send(operation, spending.arguments, key=other, patient=False) for _ in range(2)
    ]
    yield from limits.partitioned(operation, spending.limit, spent, exchanges)
    for another in subject.contract:
        mine = another.rate_limit
        if another.id == operation.id or mine is None or not another.authenticated:
            continue
        if mine.category == spending.limit.category and not another.parameters_in("path"):
            yield from _shared(spending, another, spent)
            return


def _shared(spending: Spender, another: Operation, spent: Exchange) -> Iterable[Finding]:
    """Ask for two operations in turn with their quota used up: no more comes back than flows in.

    Nothing is said where the first is let in too, as then the quota was not used up.
    """
    assert another.rate_limit is not None
    quota = spending.quota()
    for _ in range(CONFIRMED):  # a window may turn in the middle
        let: list[Ask] = []
        began = spending.subject.clock.monotonic()
        for _ in range(PAIRS):
            if spending.ask().admitted:
                break
            other = spending.ask(another)
            let += [other] if other.admitted else []
            took = other.received - began
            if len(let) > (1 + math.floor(quota.q * took / quota.w) if quota else 0):
                if spending.ask().admitted:
                    break
                yield from limits.shared(another, another.rate_limit, spent, let[-1].exchange)
                return
        else:
            return
        spending.spend(quota)


def _writers(contract: Contract) -> list[Operation]:
    """Return one limited operation that creates what a list then shows."""
    return [
        o for o in contract
        if o.rate_limit is not None and o.effect and o.effect.kind == "create"
        and operations_on(contract, o.effect.resource, "list")
        and creators(contract, o.effect.resource or "")
        and not any(kind != "free" for kind in o.effect.scope.values())
    ][:1]  # fmt: skip


@CASES.case("limits.no-effect", "ER8", each=_writers)
def test_no_effect(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A write that is refused for the quota has no effect."""
    effect = operation.effect
    assert effect is not None
    plain = limited(subject.contract)[0]
    spending = spender(subject, plain)
    lister = operations_on(subject.contract, effect.resource, "list")[0]
    arguments = subject.world.arguments(operation, spending.principal)
    scope = {n: arguments[n] for n in required(lister) if n in arguments}
    spending.ask()
    if quotas.told(spending.limit):
        quota = spending.quota()
        if quota is not None:
            spending.in_reach(quota, 2)
        spending.make_whole()
    before = all_ids(subject, lister, scope, spending.principal)
    refused: list[Exchange] = []
    admitted = 0
    for _ in range(CONFIRMED):  # a window may turn between the last request and the first write
        spending.spend(spending.quota())
        more, let_in = _late_writes(subject, operation, spending)
        refused, admitted = refused + more, admitted + let_in
        if refused:
            break
    if not refused:
        raise Inconclusive("no write was refused for the quota")
    after = all_ids(subject, lister, scope, spending.principal)
    done = len(after - before) - admitted
    if done > 0:
        yield found(
            "ER8", f"{done} writes refused for the quota were done all the same",
            *refused[:3], cause="refused-yet-done", operation=operation, basis=operation.basis,
            expected=0, actual=done,
        )  # fmt: skip


def _late_writes(
    subject: BackendSubject, operation: Operation, spending: Spender
) -> tuple[list[Exchange], int]:
    """Send writes with the quota used up; return the refused, and how many got in after all.

    A bucket fills again while one asks, so that some may be let in rightly.
    """
    refused: list[Exchange] = []
    admitted = 0
    for _ in range(3):
        arguments = subject.world.arguments(operation, spending.principal)
        exchange = subject.send(operation, arguments, key=spending.principal, patient=False)
        subject.world.note(operation, arguments, exchange, spending.principal)
        if limits.refused(spending.limit, exchange):
            refused.append(exchange)
        else:
            admitted += ok(exchange)
    return refused, admitted


@CASES.case("limits.every-operation", "HD6", "RL11")
def test_every_operation(subject: BackendSubject) -> Iterable[Finding]:
    """Each limited operation tells its quota in the declared headers."""
    told_by = [o for o in subject.contract if quotas.told(o.rate_limit)]
    if not told_by:
        raise NotApplicable("no rate-limit headers are declared")
    for operation in told_by:
        arguments = subject.world.arguments(operation)
        exchange = subject.send(operation, arguments)
        subject.world.note(operation, arguments, exchange, "a")
        assert operation.rate_limit is not None
        at = subject.at[exchange.number]
        yield from headers.limit_rules(operation, operation.rate_limit, exchange, at)
        yield from judge_all(subject, [exchange])
