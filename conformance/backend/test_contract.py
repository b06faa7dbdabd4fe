"""The contract, answer by answer: what is valid is accepted, what is invalid is not (CT*).

Requests come from the contract's own examples and from Schemathesis; every answer is judged by
the same oracles. An operation of which no 2xx was judged is inconclusive: it was not tested.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from conformance.backend.effects import found_texts
from conformance.backend.generated import (
    Generated,
    Homes,
    at_home,
    body_of,
    broken_basis,
    broken_rules,
    conforms,
    generate,
)
from conformance.backend.judging import judge_all, sweep
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.using import contradictory, used
from conformance.backend.views import tellable, wait_for, write, writer_of
from conformance.backend.walking import at_home_but, walk
from conformance.backend.world import required
from conformance.history import Exchange
from conformance.oracles import envelope
from conformance.oracles.found import MISSING, found, ok, told, value_at, value_in, weaker
from conformance.oracles.relations import judge_relations
from conformance.oracles.streams import judge_stream, kept_whole
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Basis, Contract, Operation

REFUSED_FOR_OTHER_REASONS = frozenset({401, 402, 403, 404, 409, 410, 429})
"""A request may be valid and still be refused for what it is about, or whose it is."""

NOT_THERE = frozenset({403, 404, 410})


def _every(contract: Contract) -> list[Operation]:
    return list(contract)


@CASES.case("contract.examples", "CT1", "CT2", "CT3", "CT5", "CT7", each=_every)
def test_examples(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A plain valid call, with and without optional parts, is accepted and answered as declared."""
    judged = 0
    for seed, optional in ((0, False), (0, True), (1, True), (2, False)):
        if optional and required(operation) and not _has_optional(operation):
            continue
        arguments = subject.world.arguments(
            operation, seed=seed + subject.seed * 7, optional=optional
        )
        exchange = subject.send(operation, arguments)
        subject.world.note(operation, arguments, exchange, "a")
        yield from judge_all(subject, [exchange])
        yield from _accepted(operation, arguments, exchange, optional)
        judged += ok(exchange)
        if ok(exchange) and operation.relations:
            yield from judge_relations(operation, arguments, exchange)
    if not judged:
        raise Inconclusive(f"no call of {operation.id} was accepted, so none was judged")


def _has_optional(operation: Operation) -> bool:
    from conformance.backend.world import properties

    return bool(set(properties(operation)) - required(operation))


def _accepted(
    operation: Operation, arguments: Mapping[str, Any], exchange: Exchange, optional: bool
) -> Iterator[Finding]:
    status = exchange.status
    if status is None or not 400 <= status < 500 or contradictory(arguments):
        return
    if status in REFUSED_FOR_OTHER_REASONS and operation.refuses:
        return
    if status in NOT_THERE and operation.made_up:
        return  # what its path names was made up, for nobody says what it refers to
    kind = "with its optional parts" if optional else "with what is required"
    yield found(
        "CT5", f"a valid call {kind} is refused with {status}", exchange,
        cause=f"valid-refused {operation.id} {status}", operation=operation,
        basis=_served(operation, status, used(operation, arguments)), expected="2xx",
        actual=status,
    )  # fmt: skip


def _served(operation: Operation, status: int, basis: Basis) -> Basis:
    """Return a basis, weakened for 404 and 405: they say that the path or method is another."""
    return weaker(basis, operation.wire_basis) if status in (404, 405) else basis


@CASES.case("contract.generated-valid", "CT1", "CT2", "CT3", "CT5", "CT6", "CT7", each=_every)
def test_generated_valid(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Requests that Schemathesis makes from the schemas are accepted and answered as declared."""
    people = [p for p in ("a", "b") if p in subject.keys] or ["a"]
    homes, sent, accepted = Homes(subject), 0, 0
    for number, made in enumerate(generate(subject, operation, positive=True)):
        key = people[number % len(people)]
        arguments, body = at_home(subject, operation, made, homes.own(operation, key))
        exchange = subject.attempt(operation, arguments, key=key, **body_of(operation, body))
        if exchange is None:
            continue
        whole = {**arguments, **(body if isinstance(body, dict) else {})}
        subject.world.note(operation, whole, exchange, key)
        sent += 1
        accepted += ok(exchange)
        yield from judge_all(subject, [exchange])
        refused = exchange.status in (400, 422) and not contradictory(whole)
        if made.valid and refused:
            yield found(
                "CT5", f"a valid request is refused with {exchange.status} ({made.about})",
                exchange, cause=f"generated-refused {operation.id} {_topic(made.about)}",
                operation=operation, basis=used(operation, whole), expected="2xx",
                actual=exchange.status,
            )  # fmt: skip
    if not accepted:
        raise Inconclusive(f"none of {sent} generated requests was accepted")


@CASES.case("contract.generated-invalid", "CT4", "CT6", "ER4", "ER5", each=_every)
def test_generated_invalid(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Requests that Schemathesis makes to break the schemas are refused as declared."""
    homes, judged = Homes(subject), 0
    for made in generate(subject, operation, positive=False):
        arguments, body = at_home(subject, operation, made, homes.own(operation, "a"))
        if made.valid or conforms(operation, arguments, body):
            continue
        exchange = subject.attempt(operation, arguments, **body_of(operation, body))
        if exchange is None:
            continue
        whole = {**arguments, **(body if isinstance(body, dict) else {})}
        subject.world.note(operation, whole, exchange, "a")
        judged += 1
        yield from judge_all(subject, [exchange], also=frozenset({404, 414}))
        if exchange.status in (404, 414):
            continue
        what = f"an invalid request ({_topic(made.about)})"
        shape: Any = {
            "requirement": "CT4", "cause": _mistake(operation, arguments, body, made.about),
            "basis": broken_basis(operation, arguments, body),
        }  # fmt: skip
        if operation.body is not None and not exchange.request.body:
            yield from envelope.without_body(operation, exchange, what, **shape)
        else:
            yield from envelope.provoked(operation, exchange, "invalid", what, **shape)
    if not judged:
        raise NotApplicable("its schemas leave nothing to get wrong")


def _mistake(operation: Operation, arguments: Mapping[str, Any], body: Any, about: str) -> str:
    """Return the cause of a wrong request's being taken: the kind of rule, where it breaks one."""
    rules = broken_rules(operation, arguments, body)
    kinds = {kind for kind, _ in rules}
    if len(kinds) != 1:
        return f"generated-invalid {operation.id} {_topic(about)}"
    return f"{kinds.pop()} {operation.id} {rules[0][1]}"


def _topic(about: str) -> str:
    """Return Schemathesis' description without values: `Incorrect type`."""
    return about.split(":")[-1].split("'")[0].strip().lower() or "generated"


def _linked(contract: Contract) -> list[Operation]:
    return [o for o in contract if any(_targets(contract, o))]


def _targets(contract: Contract, operation: Operation) -> list[tuple[Operation, Mapping[str, Any]]]:
    """Return (operation, link) of each declared link to another operation, deletions last."""
    known = [
        (contract[link["operationId"]], link) for link in operation.links.values()
        if link.get("operationId") in contract.operations
    ]  # fmt: skip
    return sorted(known, key=lambda pair: bool(pair[0].effect and pair[0].effect.kind == "delete"))


def _answered(subject: BackendSubject, operation: Operation) -> tuple[dict[str, Any], Exchange]:
    """Return a call and its answer, of a list or search one that shows something to follow."""
    effect = operation.effect
    maker = writer_of(subject.contract, effect.resource) if effect else None
    if effect and maker and effect.kind in ("list", "search"):
        made = write(subject, maker)[0]
        if tellable(operation, made):
            view = wait_for(subject, operation, made)
            if view.count:
                return {}, view.exchange
    arguments = subject.world.arguments(operation)
    first = subject.send(operation, arguments)
    subject.world.note(operation, arguments, first, "a")
    return arguments, first


def follow(
    link: Mapping[str, Any], arguments: Mapping[str, Any], first: Exchange
) -> dict[str, Any] | None:
    """Return the arguments that a link gives (OpenAPI 3.1, Link Object), None where one is lacking.

    `arguments` are those of the call that was answered with `first`.
    """
    body = link.get("requestBody", {})
    wanted = {**link.get("parameters", {}), **(body if isinstance(body, Mapping) else {})}
    given = {
        name.removeprefix("path.").removeprefix("query."): _evaluated(value, arguments, first)
        for name, value in wanted.items()
    }
    return None if MISSING in given.values() else given


def _evaluated(expression: Any, arguments: Mapping[str, Any], first: Exchange) -> Any:
    """Return the value of a runtime expression; what is none stands for itself."""
    if not isinstance(expression, str) or not expression.startswith("$"):
        return expression
    source, _, pointer = expression.partition("#")
    if source == "$response.body":
        return value_at(first, pointer)
    if source == "$request.body":
        return value_in(arguments, pointer)
    return arguments.get(source.rpartition(".")[2], MISSING)


@CASES.case("contract.links", "CT1", "CT2", "CT5", each=_linked)
def test_links(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Where a declared link leads with values of an answer, something valid is answered."""
    arguments, first = _answered(subject, operation)
    if not ok(first):
        raise Inconclusive(f"{operation.id} was answered {told(first)}; no link leads from there")
    followed = 0
    for target, link in _targets(subject.contract, operation):
        given = follow(link, arguments, first)
        if given is None:
            continue  # a list may be empty
        asked = subject.world.arguments(target, given=given)
        exchange = subject.send(target, asked)
        subject.world.note(target, asked, exchange, "a")
        followed += 1
        yield from judge_all(subject, [exchange])
        if exchange.status in (400, 404, 410, 422):
            yield found(
                "CT5", f"where {operation.id} links to with values of its answer, {target.id} is "
                f"answered {exchange.status}", first, exchange,
                cause=f"dead-link {operation.id} {target.id}", operation=target,
                basis=weaker(operation.basis, target.basis), expected="2xx",
                actual=exchange.status,
            )  # fmt: skip
    if not followed:
        raise Inconclusive("no link could be followed: the answer lacks the values")


@CASES.case("contract.generated-walks", "CT1", "CT2", "CT3", "CT5", "CT6", "CT7")
def test_generated_walks(subject: BackendSubject) -> Iterable[Finding]:
    """Where Schemathesis walks along links, every answer on the way is as declared."""
    if not any(operation.links for operation in subject.contract):
        raise NotApplicable("the spec declares no links")
    sent: list[tuple[Exchange, Basis | None]] = []
    removed = False

    def send(operation: Operation, made: Generated, linked: frozenset[str]) -> Exchange:
        nonlocal removed
        own = subject.world.arguments(operation)
        arguments, body = at_home_but(linked, made, *at_home(subject, operation, made, own))
        exchange = subject.send(operation, arguments, **body_of(operation, body))
        whole = {**arguments, **(body if isinstance(body, dict) else {})}
        subject.world.note(operation, whole, exchange, "a")
        promised = made.valid and conforms(operation, arguments, body)
        promised = promised and not contradictory(whole)
        promised = promised and not (removed and linked)  # what a link gave may be gone by now
        removed = removed or (ok(exchange) and not operation.safe and _removes(operation))
        sent.append((exchange, used(operation, whole) if promised else None))
        return exchange

    followed = walk(subject, send)
    yield from judge_all(subject, [exchange for exchange, _ in sent])
    for exchange, promised in sent:
        operation = subject.contract[exchange.operation or ""]
        if promised is not None and exchange.status in (400, 422):
            yield found(
                "CT5", f"a valid request is refused with {exchange.status}", exchange,
                cause=f"walk-refused {operation.id}", operation=operation,
                basis=promised, expected="2xx", actual=exchange.status,
            )  # fmt: skip
    if not followed:
        raise Inconclusive(f"none of {len(sent)} steps took a link: no answer gave what one needs")


def _removes(operation: Operation) -> bool:
    """Return True where an operation may take away what an earlier answer named."""
    return operation.effect is None or operation.effect.kind not in ("create", "link")


def _streamed(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.stream is not None]


@CASES.case("contract.stream", "CT15", each=_streamed)
def test_stream(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A streamed answer is made of the declared events and ends with the declared last one."""
    assert operation.stream is not None
    asked: dict[str, Any] = {operation.stream.parameter: True}
    arguments = subject.world.arguments(operation, given=asked)
    exchange = subject.send(operation, arguments)
    if exchange.status is not None and exchange.status >= 400:
        raise Inconclusive(f"asked for a stream and was answered {told(exchange)}")
    yield from judge_stream(operation, exchange)
    if operation.stream.kept is None or not ok(exchange):
        return
    lister = subject.contract[operation.stream.kept]
    scope = {n: arguments[n] for n in required(lister) if n in arguments}
    listed = subject.send(lister, subject.world.arguments(lister, given=scope))
    yield from kept_whole(operation, exchange, listed, found_texts(lister, listed))


@CASES.case("contract.every-answer", "CT1", "CT2", "CT3", "CT6", "CT7", "ER4", "ER6", "ER7", "HD6")
def test_every_answer(subject: BackendSubject) -> Iterable[Finding]:
    """Every answer of the whole run, whatever provoked it, is well formed and as declared."""
    for operation in subject.contract:
        with contextlib.suppress(NotApplicable, Inconclusive):
            if operation.safe:
                subject.send(operation, subject.world.arguments(operation))
            if operation.body is not None and operation.safe:
                subject.send(operation, subject.world.arguments(operation), body=b"[]")
    seen = [e for e in subject.exchanges if e.operation is not None]
    yield from judge_all(subject, seen, also=_LENIENT)
    yield from sweep(subject, seen)


_LENIENT = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 417, 431})
"""Cases provoke these on purpose, and have judged whether they were in order."""
