"""What a plan does not allow: features, properties and numbers that are refused (ER5).

It takes a key of such a plan (`--api-key free=KEY`), of a tenant of its own: what is refused to
one plan is another's daily bread.
"""

from __future__ import annotations

from collections.abc import Iterable

from conformance.backend.judging import judge_all
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.world import operations_on
from conformance.history import Exchange
from conformance.oracles.found import found, ok, told, value_at
from conformance.oracles.relations import judge_relations
from conformance.verdict import Finding, Inconclusive, Need
from specs import Contract, Operation
from specs.vocabulary import Refusal

PLAN = "free"
"""The principal whose plan refuses."""
TRIES = 12
"""Records made at most to reach a number that no document names."""


def _refusing(contract: Contract) -> list[Operation]:
    return [o for o in contract if any(r.cap is None for r in o.refuses)]


def _key(subject: BackendSubject) -> str:
    if PLAN not in subject.keys:
        raise Inconclusive(
            "needs a key of the plan that is refused this, of a tenant of its own: --api-key "
            f"{PLAN}=KEY",
            Need("a key of a lower plan, of a tenant of its own", f"--api-key {PLAN}=KEY"),
        )
    return PLAN


@CASES.case("plan.refused", "ER5", "ER4", each=_refusing)
def test_refused(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What a plan does not include is refused with the declared status and code."""
    key = _key(subject)
    for refusal in operation.refuses:
        if refusal.cap is not None:
            continue
        given = {refusal.property: subject.name("plan")} if refusal.property else {}
        arguments = subject.world.arguments(operation, key, given)
        exchange = subject.send(operation, arguments, key=key)
        subject.world.note(operation, arguments, exchange, key)
        yield from judge_all(subject, [exchange])
        yield from _as_declared(operation, refusal, exchange)


def _as_declared(operation: Operation, refusal: Refusal, exchange: Exchange) -> Iterable[Finding]:
    code = value_at(exchange, operation.errors.envelope.code if operation.errors else None)
    if (exchange.status, code) != (refusal.status, refusal.code):
        yield found(
            "ER5", f"what the plan does not allow is answered {told(exchange)}"
            + (" with another code" if exchange.status == refusal.status else ""), exchange,
            cause=f"plan-refusal {operation.id} {refusal.code}", operation=operation,
            basis=refusal.basis, expected=f"{refusal.status} {refusal.code}",
            actual=exchange.status,
        )  # fmt: skip


def _capped(contract: Contract) -> list[Operation]:
    return [o for o in contract if any(r.cap for r in o.refuses)]


@CASES.case("plan.cap", "ER5", "ST10", each=_capped)
def test_cap(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """One record more than the plan allows is refused as declared, and lists hold no more."""
    key = _key(subject)
    refusal = next(r for r in operation.refuses if r.cap)
    for _ in range(TRIES):
        arguments = subject.world.arguments(operation, key)
        exchange = subject.send(operation, arguments, key=key)
        subject.world.note(operation, arguments, exchange, key)
        if not ok(exchange):
            yield from judge_all(subject, [exchange])
            yield from _as_declared(operation, refusal, exchange)
            return
        for lister in operations_on(subject.contract, refusal.cap, "list"):
            asked = subject.world.arguments(lister, key)
            shown = subject.send(lister, asked, key=key)
            beyond = list(judge_relations(lister, asked, shown))
            if beyond:
                yield from (f.at(requirement="ST10") for f in beyond)
                return
    raise Inconclusive(f"{TRIES} of {refusal.cap} were made, and the plan refused none")
