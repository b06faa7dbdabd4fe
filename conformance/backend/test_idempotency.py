"""Repeated requests under one key: one effect, one answer (IK1–IK6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.backend.judging import judge_all
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.world import is_free_text, properties
from conformance.history import Exchange
from conformance.oracles import idempotency as oracle
from conformance.oracles.found import MISSING, found, ok, told, value_at
from conformance.verdict import Finding, Inconclusive, Need, NotApplicable
from specs import Contract, Operation
from specs.vocabulary import Idempotency

CONCURRENT = 32


def _keyed(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.idempotency is not None]


def _promise(operation: Operation) -> Idempotency:
    assert operation.idempotency is not None
    return operation.idempotency


def _call(subject: BackendSubject, operation: Operation, key: str | None) -> dict[str, Any]:
    """Return arguments of a call under an idempotency key, without its header."""
    arguments = subject.world.arguments(operation)
    promise = _promise(operation)
    if key is not None and promise.location == "body":
        arguments[promise.name] = key
    return arguments


def _send(
    subject: BackendSubject,
    operation: Operation,
    arguments: dict[str, Any],
    key: str | None,
    principal: str = "a",
) -> Exchange:
    promise = _promise(operation)
    headers = ((promise.name.lower(), key),) if promise.location == "header" and key else ()
    keyed = key is not None
    exchange = subject.send(operation, arguments, headers=headers, key=principal, keyed=keyed)
    subject.world.note(operation, arguments, exchange, principal)
    return exchange


def _first(subject: BackendSubject, operation: Operation) -> tuple[str, dict[str, Any], Exchange]:
    key = subject.name("idem")
    arguments = _call(subject, operation, key)
    exchange = _send(subject, operation, arguments, key)
    if not ok(exchange):
        raise Inconclusive(f"a call with an idempotency key was answered {told(exchange)}")
    return key, arguments, exchange


@CASES.case("idempotency.replay", "IK4", "IK5", each=_keyed)
def test_replay(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """The same request under the same key is answered as the first was, says so, does no more."""
    from conformance.backend.effects import count_effects

    key, arguments, first = _first(subject, operation)
    again = [_send(subject, operation, arguments, key) for _ in range(2)]
    yield from judge_all(subject, again)
    yield from oracle.first_is_new(operation, first)
    yield from oracle.replays(operation, first, again)
    effects = count_effects(subject, operation, arguments)
    yield from oracle.one_effect(operation, [first, *again], effects, "replayed")


@CASES.case("idempotency.one-effect", "IK5", each=_keyed)
def test_one_effect(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """However often it is repeated, a request under one key has one effect."""
    from conformance.backend.effects import count_effects

    key, arguments, first = _first(subject, operation)
    exchanges = [first, *(_send(subject, operation, arguments, key) for _ in range(3))]
    effects = count_effects(subject, operation, arguments)
    yield from oracle.one_effect(operation, exchanges, effects, "repeated")
    path = operation.effect.id if operation.effect else None
    if effects is None and value_at(first, path) is MISSING:
        raise Inconclusive("neither an id nor a search tells how many effects a request had")


@CASES.case("idempotency.concurrent", "IK5", "IK3", each=_keyed)
def test_concurrent(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Thirty-two copies of a request released at once have one effect and one answer."""
    from conformance.backend.effects import count_effects

    key = subject.name("idem")
    arguments = _call(subject, operation, key)
    promise = _promise(operation)
    headers = ((promise.name.lower(), key),) if promise.location == "header" else ()
    prepared = subject.request(operation, arguments, headers=headers)
    exchanges = subject.together([prepared] * CONCURRENT)
    for each in exchanges:
        subject.world.note(operation, arguments, each, "a")
    if not any(ok(e) for e in exchanges):
        raise Inconclusive(f"none of {CONCURRENT} simultaneous copies was accepted")
    yield from judge_all(subject, exchanges, also=frozenset({409, 425, 429}))
    yield from oracle.concurrent(operation, exchanges)
    yield from oracle.one_effect(
        operation, [e for e in exchanges if ok(e)],
        count_effects(subject, operation, arguments), "sent simultaneously",
    )  # fmt: skip


@CASES.case("idempotency.lost-answer", "IK5", "IK4", each=_keyed)
def test_lost_answer(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A request whose answer was lost is repeated under its key: one effect, and the answer."""
    from conformance.backend.effects import count_effects

    key = subject.name("idem")
    arguments = _call(subject, operation, key)
    promise = _promise(operation)
    headers = ((promise.name.lower(), key),) if promise.location == "header" else ()
    lost = subject.lost(subject.request(operation, arguments, headers=headers))
    if lost.response is not None:
        raise Inconclusive("the answer was not lost")
    again = [_send(subject, operation, arguments, key) for _ in range(2)]
    if not ok(again[0]):
        yield from oracle.replays(operation, lost, again[:1])
        return
    if promise.replayed and value_at(again[0], promise.replayed) is not True:
        yield found(
            "IK4", "what was done before its answer was lost is not known as a repetition", lost,
            again[0], cause="lost-answer-not-replayed", operation=operation, basis=promise.basis,
            expected=True,
        )  # fmt: skip
    yield from oracle.replays(operation, again[0], again[1:])
    effects = count_effects(subject, operation, arguments)
    yield from oracle.one_effect(operation, again, effects, "after a lost answer")


@CASES.case("idempotency.mismatch", "IK2", each=_keyed)
def test_mismatch(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Another request under a used key is answered as declared, and never done half."""
    key, arguments, first = _first(subject, operation)
    changed = _changed(subject, operation, arguments)
    exchange = _send(subject, operation, changed, key)
    yield from judge_all(subject, [exchange], also=frozenset({409, 422}))
    yield from oracle.mismatch(operation, first, exchange)


def _changed(
    subject: BackendSubject, operation: Operation, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Return the same call with other text in it."""
    scope = set(operation.effect.scope) if operation.effect else set()
    for name, schema in properties(operation).items():
        if (
            name in arguments
            and name not in scope | {_promise(operation).name}
            and (is_free_text(schema))
        ):
            return {**arguments, name: f"another text {subject.name('t')}"}
    raise NotApplicable("it takes no free text that could differ")


@CASES.case("idempotency.other-keys", "IK4", each=_keyed)
def test_other_keys(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Two keys, and no key at all, are separate requests with separate effects."""
    _, arguments, first = _first(subject, operation)
    other = subject.name("idem")
    promise = _promise(operation)
    moved = {**arguments, promise.name: other} if promise.location == "body" else arguments
    second = _send(subject, operation, moved, other)
    yield from oracle.separate(operation, first, second, "another key")
    if not promise.required:
        bare = {n: v for n, v in arguments.items() if n != promise.name}
        one, two = (_send(subject, operation, bare, None) for _ in range(2))
        yield from oracle.separate(operation, one, two, "no key")


@CASES.case("idempotency.tenants", "IK6", each=_keyed)
def test_tenants(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A key that one tenant used is new to another."""
    _, other = subject.principals(2)
    key, arguments, first = _first(subject, operation)
    exchange = _send(subject, operation, arguments, key, other)
    yield from oracle.separate(operation, first, exchange, "another tenant", "IK6")


@CASES.case("idempotency.required", "IK1", each=_keyed)
def test_required(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Where a key is required, a request without one is refused."""
    promise = _promise(operation)
    if not promise.required:
        raise NotApplicable("the key is optional")
    exchange = _send(subject, operation, _call(subject, operation, None), None)
    if ok(exchange):
        yield found(
            "IK1", "a request without its required idempotency key is accepted", exchange,
            cause="key-not-required", operation=operation, basis=promise.basis,
            expected=400, actual=exchange.status,
        )  # fmt: skip


@CASES.case("idempotency.refused-first", "IK4", each=_keyed)
def test_refused_first(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A request that was refused as unauthorised does not use up its key."""
    key = subject.name("idem")
    arguments = _call(subject, operation, key)
    promise = _promise(operation)
    headers = ((promise.name.lower(), key),) if promise.location == "header" else ()
    refused = subject.send(operation, arguments, headers=headers, key=None)
    if ok(refused):
        raise Inconclusive("a request without a key was accepted")
    exchange = _send(subject, operation, arguments, key)
    if not ok(exchange):
        yield found(
            "IK4", "a key is spent by a request that was refused for its credentials", refused,
            exchange, cause="key-spent-by-refusal", operation=operation, basis=promise.basis,
            expected="2xx", actual=told(exchange),
        )  # fmt: skip
        return
    yield from oracle.first_is_new(operation, exchange)


@CASES.case("idempotency.ttl", "IK7", each=_keyed)
def test_ttl(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A key is forgotten after its published time, and not before."""
    promise = _promise(operation)
    if promise.ttl is None:
        raise NotApplicable("no expiry is declared")
    if promise.ttl > 20 and not subject.deep:
        raise Inconclusive(
            f"keys live {promise.ttl:g} s; --deep and --max-seconds reach that",
            Need(
                "time to wait until something expires",
                "--deep, and --max-seconds above {amount}",
                promise.ttl,
            ),
        )
    key, arguments, first = _first(subject, operation)
    subject.wait(promise.ttl + 1, "waiting until a key has expired")
    exchange = _send(subject, operation, arguments, key)
    for finding in oracle.separate(operation, first, exchange, "an expired key"):
        yield finding.at(requirement="IK7")
