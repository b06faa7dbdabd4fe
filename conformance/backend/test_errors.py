"""Errors provoked on purpose: each mistake is refused, as declared, and changes nothing (ER*, CT4).

The mistakes come from the table in `mutations.py`; what an answer must be comes from the
contract's `errors.answers`, else only that it is a declared 4xx.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from conformance.backend.judging import judge_all, with_body, with_input
from conformance.backend.mutations import mutations
from conformance.backend.ownership import Withheld
from conformance.backend.registry import CASES
from conformance.backend.requests import build, credentials
from conformance.backend.subject import BackendSubject, Prepared
from conformance.backend.world import operations_on, required
from conformance.history import Exchange, Request, header
from conformance.oracles import envelope, showing
from conformance.oracles.found import found, ok, weaker
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Basis, Contract, Operation
from specs.constraints import Kind, of_body, resting
from specs.vocabulary import Provocation

ALSO = frozenset({400, 404, 405, 413, 414, 415, 422})


@CASES.case("errors.invalid", "CT4", "ER4", "ER5", each=with_input)
def test_invalid(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """An argument that is missing, null, of another type, out of bounds or malformed is refused."""
    valid = subject.world.arguments(operation, optional=True)
    table = list(mutations(operation, valid))
    needs_body = operation.body is not None and operation.body.required
    if not table and not needs_body:
        raise NotApplicable("its schemas leave nothing to get wrong")
    if needs_body:
        exchange = subject.attempt(operation, valid, body=b"")
        if exchange is not None:
            yield from judge_all(subject, [exchange], also=ALSO)
            yield from envelope.without_body(
            operation, exchange, "a request without its body", requirement="CT4",
            cause=f"missing-body {operation.id}", basis=of_body(operation),
        )  # fmt: skip
    for mutation in table:
        exchange = subject.attempt(operation, mutation.arguments)
        if exchange is None:
            continue
        subject.world.note(operation, mutation.arguments, exchange, "a")
        yield from judge_all(subject, [exchange], also=ALSO)
        yield from envelope.provoked(
            operation, exchange, "invalid", f"a request with {mutation.what}", requirement="CT4",
            cause=f"{mutation.kind} {operation.id} {mutation.place}", basis=mutation.basis,
        )  # fmt: skip


def _with_target(contract: Contract) -> list[Operation]:
    """Return the operations that name an existing record in their path, query or body."""
    return [
        o for o in contract
        if o.effect and o.effect.target and o.effect.kind in (
            "read", "update", "replace", "delete", "link", "action")
        and not o.effect.progress
        and (o.parameters_in("path") or o.effect.kind != "read")
        and (o.response(404) is not None)
    ]  # fmt: skip


@CASES.case("errors.unknown-id", "ER5", "ER4", each=_with_target)
def test_unknown_id(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """An id that nothing has is answered with the declared not-found error."""
    assert operation.effect is not None
    target = operation.effect.target
    assert target is not None
    arguments = subject.world.arguments(
        operation, given={target: subject.world.unknown_id(operation, target)}
    )
    exchange = subject.send(operation, arguments)
    yield from judge_all(subject, [exchange], also=ALSO)
    yield from envelope.provoked(
        operation, exchange, "unknown-id", "an id that nothing has",
        cause=f"unknown-id {operation.effect.kind}", basis=operation.effect.basis,
    )  # fmt: skip


def _with_parent(contract: Contract) -> list[Operation]:
    """Return the operations that work inside another record, as a message inside a session."""
    return [
        o for o in contract
        if o.effect and o.response(404) is not None
        and any(kind != "free" and name in required(o) for name, kind in o.effect.scope.items())
    ]  # fmt: skip


@CASES.case("errors.unknown-parent", "ER5", each=_with_parent)
def test_unknown_parent(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Working inside a record that does not exist is answered with the declared not-found error."""
    assert operation.effect is not None
    for name, kind in operation.effect.scope.items():
        if kind == "free" or name not in required(operation):
            continue
        arguments = subject.world.arguments(operation)
        arguments[name] = subject.world.unknown_id(operation, name)
        exchange = subject.send(operation, arguments)
        yield from judge_all(subject, [exchange], also=ALSO)
        # That a parent must exist is as sure as the answer that is declared for one that does not.
        declared = envelope.expected_answer(operation, "unknown-id")
        stated = (declared and declared.basis) or operation.effect.basis
        yield from envelope.provoked(
            operation, exchange, "unknown-id", f"a parent ({kind}) that there is not",
            cause=f"unknown-parent {operation.effect.kind}",
            basis=weaker(operation.effect.basis, stated),
        )  # fmt: skip


def _first(contract: Contract) -> list[Operation]:
    """Return one plain authenticated operation: where a rule is the same for all."""
    return sorted(
        (o for o in contract if o.authenticated), key=lambda o: (not o.safe, len(o.parameters))
    )[:1]


@CASES.case("errors.unknown-path", "ER5", "ER4", "ER7", each=_first)
def test_unknown_path(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A path that no operation has is answered 404 in the declared envelope."""
    request = subject.request(operation, subject.world.arguments(operation)).request
    path = f"{subject.origin.path}/memconform/no/such/path"
    prepared = Prepared(None, Request("GET", path, request.headers), "a")
    exchange = subject.play(prepared)
    yield from envelope.leaks(operation, exchange) if exchange.response else ()
    if exchange.status is not None and 200 <= exchange.status < 300:
        yield found(
            "ER5", "a path that no operation has is answered with success", exchange,
            cause="unknown-path-accepted", operation=operation, expected=404,
            actual=exchange.status,
        )  # fmt: skip
        return
    if exchange.status is None or exchange.status >= 500:
        yield found(
            "CT6", "a path that no operation has makes the server fail", exchange,
            cause="unknown-path-fails", operation=operation,
        )  # fmt: skip
        return
    yield from envelope.provoked(
        operation, exchange, "unknown-path", "a path that no operation has", cause="unknown-path"
    )


def _paths(contract: Contract) -> list[Operation]:
    """Return the first operation of each path."""
    seen: dict[str, Operation] = {}
    for operation in contract:
        seen.setdefault(operation.path, operation)
    return list(seen.values())


@CASES.case("errors.method", "CT11", "ER5", each=_paths)
def test_method(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A method that a path does not have is refused, never obeyed and never a failure."""
    declared = {o.verb for o in subject.contract if o.path == operation.path}
    overlapping = {
        o.verb for o in subject.contract if _same_shape(o.path, operation.path)
    }  # `/memory/{id}` has the methods of `/memory/search` too
    wrong = [v for v in ("DELETE", "PUT", "PATCH", "POST", "GET") if v not in overlapping]
    if not wrong:
        raise NotApplicable("its path has every method")
    tried = list(_tried(subject, operation, wrong))
    if not tried:
        raise NotApplicable("what is not declared there could harm what is not the run's")
    for verb, exchange in tried:
        if exchange.status is None or exchange.status >= 500:
            yield found(
                "CT6", f"{verb} where only {', '.join(sorted(declared))} is declared fails",
                exchange, cause="wrong-method-fails", operation=operation,
            )  # fmt: skip
            continue
        if exchange.status == 404:
            continue
        yield from envelope.leaks(operation, exchange) if exchange.status >= 400 else ()
        assert exchange.response is not None
        if exchange.status == 405 and header(exchange.response.headers, "allow") is None:
            yield found(
                "CT7", "a 405 does not say in Allow which methods there are (RFC 9110 15.5.6)",
                exchange, cause="no-allow", operation=operation, expected="Allow",
            )  # fmt: skip
        yield from envelope.provoked(
            operation, exchange, "method", "a method that the path does not have",
            requirement="CT11", cause="wrong-method", basis=resting(operation, Kind.PATH,
            operation.wire_basis),
        )  # fmt: skip


def _tried(
    subject: BackendSubject, operation: Operation, verbs: list[str]
) -> Iterable[tuple[str, Exchange]]:
    """Yield two methods that are not declared and their answers; none that could harm anybody."""
    arguments = _without_effect(subject, operation)
    built = build(operation, arguments, base_path=subject.origin.path)
    headers = subject.request(operation, arguments).request.headers
    count = 0
    for verb in verbs:
        body = built.body if verb in ("PUT", "PATCH", "POST") else b""
        prepared = Prepared(operation, Request(verb, built.target, headers, body), "a", arguments)
        with contextlib.suppress(Withheld):
            yield verb, subject.play(prepared)
            count += 1
        if count == 2:
            return


def _without_effect(subject: BackendSubject, operation: Operation) -> dict[str, Any]:
    """Return arguments whose ids nothing has: should the wrong method work, it does no harm."""
    arguments = {}
    for parameter in operation.parameters_in("path"):
        arguments[parameter.name] = subject.world.unknown_id(operation, parameter.name)
    return arguments


def _same_shape(left: str, right: str) -> bool:
    a, b = left.split("/"), right.split("/")
    return len(a) == len(b) and all(
        x == y or x.startswith("{") or y.startswith("{") for x, y in zip(a, b, strict=True)
    )


@CASES.case("errors.media-type", "CT12", "ER5", each=with_body)
def test_media_type(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A body in a media type that is not declared is refused."""
    for media_type, body in (
        ("text/plain", None),  # valid JSON under a wrong name
        ("application/xml", b"<a/>"),
        ("application/x-www-form-urlencoded", b"a=1&b=2"),
    ):
        arguments = subject.world.arguments(operation)
        exchange = subject.attempt(operation, arguments, body=body, media_type=media_type)
        if exchange is None:
            continue
        subject.world.note(operation, arguments, exchange, "a")
        yield from judge_all(subject, [exchange], also=ALSO)
        if exchange.status in (400, 422):
            continue  # refused, for what such a body looks like as JSON
        yield from envelope.provoked(
            operation, exchange, "media-type", f"a body of {media_type}", requirement="CT12",
            cause=f"media-type {media_type}", basis=_refusing(operation, "media-type"),
        )  # fmt: skip


def _refusing(operation: Operation, provocation: Provocation) -> Basis:
    """Return on what it rests that a mistake is refused: on what is said of its answer."""
    declared = envelope.expected_answer(operation, provocation)
    return (declared and declared.basis) or Basis.ASSUMED


def _changing(contract: Contract) -> list[Operation]:
    """Return the operations whose effect on one record can be read back."""
    return [
        o for o in contract
        if o.effect and o.effect.kind in ("update", "replace") and o.effect.target
        and operations_on(contract, o.effect.resource, "read")
    ]  # fmt: skip


@CASES.case("errors.no-change", "ER8", each=_changing)
def test_no_change(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A refused change leaves the record as it was."""
    effect = operation.effect
    assert effect is not None
    assert effect.resource is not None
    assert effect.target is not None
    reader = operations_on(subject.contract, effect.resource, "read")[0]
    made = subject.world.make(effect.resource)
    scope = {n: made.arguments[n] for n in required(operation) if n in made.arguments}
    base = subject.world.arguments(
        operation,
        given={**_scoped(operation, scope), effect.target: made.id},
        seed=3,
        optional=True,
    )
    read = subject.world.arguments(reader, given=_reading(reader, made.id, scope))
    before = subject.send(reader, read)
    if not ok(before):
        raise Inconclusive(f"{reader.id} does not show what was made")
    attempts = _wrong_calls(subject, operation, base)
    sent = [attempt() for attempt in attempts]
    refused = [e for e in sent if _refused(e)]
    if not refused:
        raise Inconclusive("nothing was refused")
    if len(refused) < len(sent):  # what was accepted, or not answered, may change the record
        before = subject.send(reader, read)
        refused = _again(attempts, sent)
    after = subject.send(reader, read)
    volatile = _moving(after, subject.send(reader, read))
    yield from _unchanged(operation, refused, before, after, volatile)


def _refused(exchange: Exchange) -> bool:
    """Return True for an answer that says that nothing was done."""
    return exchange.status is not None and 400 <= exchange.status < 500


Attempt = Callable[[], Exchange]


def _again(attempts: list[Attempt], sent: list[Exchange]) -> list[Exchange]:
    """Make again the attempts that were refused, and no others, so that what differs is theirs.

    Raises Inconclusive where one of them is accepted this time.
    """
    again = [make() for make, first in zip(attempts, sent, strict=True) if _refused(first)]
    if not all(_refused(e) for e in again):
        raise Inconclusive("what was refused once is accepted when it is sent again")
    return again


def _wrong_calls(
    subject: BackendSubject, operation: Operation, arguments: Mapping[str, Any]
) -> list[Attempt]:
    """Return calls with one mistake each: in the arguments, then in everything around them.

    None of them could harm what is not the run's.
    """

    def call(given: Mapping[str, Any], **how: Any) -> list[Attempt]:
        def attempt() -> Exchange:
            exchange = subject.send(operation, given, **how)
            subject.world.note(operation, given, exchange, "a")
            return exchange

        harmful = subject.withheld(subject.request(operation, given, **how))
        return [] if harmful else [attempt]

    calls = [c for m in mutations(operation, arguments) for c in call(m.arguments)]
    unknown = credentials(subject.contract, "memconform-no-key")
    calls += [*call(arguments, key=None), *call(arguments, auth=unknown)]
    if operation.body is not None:
        right = subject.request(operation, arguments).request.body
        calls += call(arguments, media_type="text/plain")
        for body in (right[:-1], right + b"x", b"[" + right + b"]"):
            calls += call(arguments, body=body)
    return calls


def _moving(after: Exchange, last: Exchange) -> frozenset[str]:
    """Return the members that change by themselves: between two reads with nothing in between."""
    one, two = (e.response.json_or_none() if e.response else None for e in (after, last))
    if not isinstance(one, dict) or not isinstance(two, dict):
        return frozenset()
    return frozenset(k for k in {*one, *two} if one.get(k) != two.get(k))


def _scoped(operation: Operation, scope: Mapping[str, Any]) -> dict[str, Any]:
    names = operation.effect.scope if operation.effect else {}
    return {n: v for n, v in scope.items() if n in names}


def _reading(reader: Operation, id: str, scope: Mapping[str, Any]) -> dict[str, Any]:
    target = reader.effect.target if reader.effect else None
    return {**_scoped(reader, scope), **({target: id} if target else {})}


def _unchanged(
    operation: Operation,
    refused: list[Any],
    before: Any,
    after: Any,
    moving: frozenset[str] = frozenset(),
) -> Iterable[Finding]:
    volatile = {*(operation.effect.volatile if operation.effect else ()), *moving}
    one, two = (
        before.response.json_or_none(),
        (after.response.json_or_none() if after.response else None),
    )
    if isinstance(one, dict) and isinstance(two, dict):
        changed = sorted(k for k in {*one, *two} - volatile if one.get(k) != two.get(k))
    else:
        changed = [] if one == two else ["everything"]
    if changed:
        yield found(
            "ER8", f"a refused request changed the record: {', '.join(changed[:4])}",
            before, *refused[:3], after, cause=f"refused-changes {operation.id}",
            operation=operation, basis=operation.basis,
        )  # fmt: skip


def _naming(contract: Contract) -> list[Operation]:
    """Return the creating operations whose caller chooses the id, of records that can be read."""
    return [
        o for o in contract
        if o.effect and o.effect.kind == "create" and o.effect.target and o.effect.resource
        and operations_on(contract, o.effect.resource, "read")
    ]  # fmt: skip


@CASES.case("errors.duplicate", "ER5", "ER8", each=_naming)
def test_duplicate(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A creation under an id that is taken is refused, and leaves the record that has it."""
    effect = operation.effect
    assert effect is not None
    assert effect.target is not None
    made = subject.world.make(effect.resource or "")
    reader = operations_on(subject.contract, effect.resource, "read")[0]
    read = subject.world.arguments(reader, given=_reading(reader, made.id, made.whole))
    before = subject.send(reader, read)
    if not ok(before):
        raise Inconclusive(f"{reader.id} does not show what was made")
    again = subject.world.arguments(operation, given={effect.target: made.id}, seed=7)
    exchange = subject.send(operation, again)
    yield from judge_all(subject, [exchange], also=frozenset({400, 409, 422}))
    yield from envelope.provoked(
        operation, exchange, "duplicate", "a creation under an id that is taken",
        cause=f"duplicate {operation.id}",
    )  # fmt: skip
    if not ok(exchange):
        yield from _unchanged(operation, [exchange], before, subject.send(reader, read))


def _creating(contract: Contract) -> list[Operation]:
    """Return the creating operations whose records can be counted in a list."""
    return [
        o for o in contract
        if o.effect and o.effect.kind == "create"
        and operations_on(contract, o.effect.resource, "list")
    ]  # fmt: skip


@CASES.case("errors.nothing-created", "ER8", each=_creating)
def test_nothing_created(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A refused creation creates nothing."""
    from conformance.backend.listing import all_ids

    effect = operation.effect
    assert effect is not None
    assert effect.resource is not None
    lister = operations_on(subject.contract, effect.resource, "list")[0]
    arguments = subject.world.arguments(operation, optional=True)
    scope = {n: arguments[n] for n in required(lister) if n in arguments}
    seen = [subject.exchanged]
    before = all_ids(subject, lister, scope)
    attempts = _wrong_calls(subject, operation, arguments)
    sent = [attempt() for attempt in attempts]
    refused = [e for e in sent if _refused(e)]
    seen.append(subject.exchanged)
    after = all_ids(subject, lister, scope)
    if after - before and len(refused) < len(sent):  # those that were accepted created these
        before, refused = after, _again(attempts, sent)
        seen.append(subject.exchanged)
        after = all_ids(subject, lister, scope)
    if after - before:
        looks = [subject.exchanges[n] for n in seen[-2:]]
        items = (lister.effect.items if lister.effect else None) or ""
        now, then = (
            f"len({showing.reached(items, data)}[0])" if items else f"len({data})"
            for data in ("data", f"{showing.at(looks[0].number)}.data")
        )
        yield found(
            "ER8", "a refused request created a record all the same", looks[0], *refused[:3],
            looks[1], shows=f"{now} > {then}",
            cause=f"refused-creates {operation.id}", operation=operation, basis=operation.basis,
        )  # fmt: skip


@CASES.case("errors.request-id", "ER6", each=_first)
def test_request_ids(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Each error names its request, and no two requests have one name."""
    if operation.errors is None or not (
        operation.errors.envelope.request_id or operation.errors.request_id_header
    ):
        raise NotApplicable("no request id is declared")
    arguments = subject.world.arguments(operation)
    exchanges = [subject.send(operation, arguments, key=None) for _ in range(4)]
    for each in subject.contract:
        if each.body is not None and each.authenticated:
            exchanges += [
                subject.send(each, subject.world.arguments(each), body=b"[]") for _ in range(2)
            ]
            break
    yield from judge_all(subject, exchanges, also=ALSO)
    yield from envelope.unique_request_ids(operation.errors, exchanges)


def _problems(contract: Contract) -> list[Operation]:
    """Return the operations whose errors are declared as problem documents (RFC 9457)."""
    return [
        o for o in with_input(contract)
        if any("application/problem+json" in r.content for r in o.responses.values())
    ]  # fmt: skip


@CASES.case("errors.problems", "PD1", "PD6", each=_problems)
def test_problems(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Problem documents carry the answer's status, and one title for each type."""
    valid = subject.world.arguments(operation, optional=True)
    exchanges = []
    for mutation in list(mutations(operation, valid))[:6]:
        exchange = subject.send(operation, mutation.arguments)
        subject.world.note(operation, mutation.arguments, exchange, "a")
        exchanges.append(exchange)
    exchanges.append(subject.send(operation, valid, key=None))
    for exchange in exchanges:
        yield from envelope.judge(operation, exchange)
    yield from envelope.same_titles(exchanges)
