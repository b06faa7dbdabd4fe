"""Usage and plan headers: on every answer, counting what happens (HD1, HD2)."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.backend.judging import judge_all
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.oracles import headers
from conformance.oracles.found import ok
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation


def _metered(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.usage is not None and o.authenticated]


@CASES.case("usage.headers", "HD1", each=_metered)
def test_headers(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Plan and usage figures come with accepted and with refused answers."""
    assert operation.usage is not None
    accepted = subject.send(operation, arguments := subject.world.arguments(operation))
    subject.world.note(operation, arguments, accepted, "a")
    exchanges = [accepted]
    if operation.body is not None:
        exchanges.append(subject.send(operation, arguments, body=b"[]"))
    for exchange in exchanges:
        yield from headers.usage_rules(operation, operation.usage, exchange)
    if not ok(accepted):
        raise Inconclusive("no call was accepted")


@CASES.case("usage.figures", "HD2", each=lambda c: _metered(c)[:1])
def test_figures(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Figures grow with use and never shrink; plan and limits stay what they are."""
    assert operation.usage is not None
    exchanges = []
    for each in subject.contract:
        if each.usage is None or not each.authenticated or (each.effect and each.effect.secret):
            continue
        try:
            arguments = subject.world.arguments(each)
        except NotApplicable:
            continue
        exchange = subject.send(each, arguments)
        subject.world.note(each, arguments, exchange, "a")
        if exchange.status != 401:
            exchanges.append(exchange)
    if sum(ok(e) for e in exchanges) < 3:
        raise Inconclusive("too few calls were accepted to see figures grow")
    mine = [e for e in subject.exchanges if e.number >= exchanges[0].number and e.principal == "a"]
    yield from headers.usage_over_time(operation.usage, mine)
    yield from headers.usage_counts(operation.usage, [e for e in mine if ok(e)])
    yield from judge_all(subject, exchanges[:1])
