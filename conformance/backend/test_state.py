"""What was written is there, and only that: record by record, place by place (ST1–ST13)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from conformance.backend.effects import read_arguments, text_of, until, unwrapped
from conformance.backend.judging import judge_all
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.views import (
    body_of,
    look,
    tellable,
    viewers,
    wait_for,
    write,
    writer_of,
    writers,
)
from conformance.backend.world import Made, creators, operations_on, properties, required
from conformance.history import Exchange
from conformance.oracles import relations
from conformance.oracles import state as oracle
from conformance.oracles.found import found, ok, told, value_at, value_in
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation
from specs import examples as spec_examples
from specs.vocabulary import Shown


def _of_kind(*kinds: str) -> Any:
    """Return a selector of operations on one record that can be made and read back."""

    def select(contract: Contract) -> list[Operation]:
        return [
            o for o in contract
            if o.effect and o.effect.kind in kinds and o.effect.target
            and creators(contract, o.effect.resource or "")
        ]  # fmt: skip

    return select


def _reader(subject: BackendSubject, made: Made) -> Operation | None:
    return next(iter(viewers(subject.contract, made, "read")), None)


def _read(subject: BackendSubject, made: Made) -> Exchange | None:
    """Return the exchange that shows a record: its own read, else its entry in a list."""
    reader = _reader(subject, made)
    if reader is not None:
        return unwrapped(reader, subject.send(reader, read_arguments(subject, reader, made)))
    for lister in viewers(subject.contract, made, "list"):
        effect = lister.effect
        if effect is None or effect.resource != made.resource or not tellable(lister, made):
            continue
        exchange = look(subject, lister, made).exchange
        items = value_at(exchange, effect.items)
        for item in items if isinstance(items, list) else []:
            if str(value_in(item, effect.item_id)) == made.id:
                assert exchange.response is not None
                alone = replace(exchange.response, body=json.dumps(item).encode())
                return replace(exchange, response=alone)
    return None


@CASES.case("state.created", "ST1", "ST2", "ST7", "ST8", each=writers)
def test_created(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What was created is readable and listed, once each, with the values it was given."""
    effect = operation.effect
    assert effect is not None
    bystander = write(subject, operation, seed=5)[0]
    before = {
        viewer.id: look(subject, viewer, bystander).all
        for viewer in viewers(subject.contract, bystander, "list")
        if tellable(viewer, bystander) and effect.resource == (viewer.effect or effect).resource
    }
    given = _shared(operation, bystander)
    made = write(subject, operation, given=given, seed=1, optional=True)
    yield from judge_all(subject, [made[0].exchange])
    yield from _as_many(operation, made)
    for each in made:
        if effect.id:
            yield from oracle.answered(operation, each.exchange, body_of(each), "ST1")
        read = _read(subject, each)
        if read is not None:
            yield from oracle.readable(operation, each.exchange, read, body_of(each))
        for viewer in viewers(subject.contract, each, "list"):
            if tellable(viewer, each):
                yield from _listed(subject, operation, viewer, each)
    for viewer in viewers(subject.contract, bystander, "list"):
        if viewer.id in before and made[0].id and not effect.delay:
            now = look(subject, viewer, bystander).all
            yield from oracle.count_changed(
                operation, made[0].exchange, before[viewer.id], now, len(made)
            )


def _shared(operation: Operation, made: Made) -> dict[str, Any]:
    """Return the scope of an earlier record, so that another one is made beside it."""
    effect = operation.effect
    names = set(effect.scope) - {effect.target} if effect else set()
    return {n: made.whole[n] for n in names if n in made.whole and n in required(operation)}


def _as_many(operation: Operation, made: list[Made]) -> Iterable[Finding]:
    effect = operation.effect
    assert effect is not None
    if not effect.each or not effect.ids:
        return
    sent = made[0].whole.get(effect.each[1:], [])
    ids = value_at(made[0].exchange, effect.ids)
    if isinstance(ids, list) and len(ids) != len(sent):
        yield found(
            "ST8", f"{len(sent)} entries of a batch are answered with {len(ids)} ids",
            made[0].exchange, cause=f"batch-ids {operation.id}", operation=operation,
            basis=effect.basis, expected=len(sent), actual=len(ids),
        )  # fmt: skip
    elif isinstance(ids, list) and len(set(map(str, ids))) != len(ids):
        yield found(
            "ST8", "two entries of a batch are given one id", made[0].exchange,
            cause=f"batch-ids-repeated {operation.id}", operation=operation, basis=effect.basis,
        )  # fmt: skip


def _listed(
    subject: BackendSubject, operation: Operation, viewer: Operation, made: Made
) -> Iterable[Finding]:
    view = wait_for(subject, viewer, made)
    basis = (viewer.effect.content_basis or viewer.effect.basis) if viewer.effect else None
    if view.count == 0:
        yield found(
            "ST2", "what was created is not listed", made.exchange, view.exchange,
            cause=f"not-listed {operation.id} {viewer.id}", operation=viewer,
            basis=basis or operation.basis,
        )  # fmt: skip
    elif view.count > 1 and made.id:
        yield found(
            "ST7", "what was created once is listed several times", made.exchange, view.exchange,
            cause=f"listed-twice {operation.id} {viewer.id}", operation=viewer,
            basis=basis or operation.basis, expected=1, actual=view.count,
        )  # fmt: skip


def _searchable(contract: Contract) -> list[Operation]:
    return [
        o for o in contract
        if o.effect and o.effect.kind == "search" and o.effect.resource
        and writer_of(contract, o.effect.resource)
    ]  # fmt: skip


@CASES.case("state.searched", "ST3", each=_searchable)
def test_searched(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What was written is found by its text, and by its new text once it has changed."""
    effect = operation.effect
    assert effect is not None
    maker = writer_of(subject.contract, effect.resource)
    assert maker is not None
    for number, made in enumerate(write(subject, maker, seed=subject.seed % 5)):
        if not tellable(operation, made):
            raise Inconclusive("its results cannot be told apart")
        view = wait_for(subject, operation, made)
        if view.count == 0:
            yield found(
                "ST3", "what was written is not found by its own text", made.exchange,
                view.exchange, cause=f"not-found {operation.id}", operation=operation,
                basis=effect.content_basis or effect.basis,
            )  # fmt: skip
            return
        if number == 0:
            yield from _found_anew(subject, operation, made)


def _found_anew(subject: BackendSubject, operation: Operation, made: Made) -> Iterable[Finding]:
    """Change a record's text and search for the new and the old one."""
    pair = text_of(made.operation, made.arguments)
    effect = operation.effect
    assert effect is not None
    for changer in operations_on(subject.contract, made.resource, "update", "replace"):
        if pair is None or pair[0] not in properties(changer) or not changer.effect:
            continue
        letters = subject.random(f"words {made.id}")
        fresh = " ".join("".join(letters.choices("bcdfghjklmnpqrstvwxz", k=9)) for _ in range(4))
        given = {**_scope_of(changer, made), changer.effect.target or "id": made.id}
        change = subject.send(
            changer, subject.world.arguments(changer, given={**given, pair[0]: fresh})
        )
        if not ok(change):
            raise Inconclusive(f"{changer.id} was answered {told(change)}")
        look_again = partial(look, subject, operation, made, text=fresh)
        view = until(subject, changer.effect.delay, look_again, lambda v: bool(v.count))
        if view.count == 0 or not _shows_text(operation, view.exchange, made.id, fresh):
            yield found(
                "ST3", "a record is not found by the text that it was changed to", change,
                view.exchange, cause=f"stale-search {operation.id}", operation=operation,
                basis=effect.basis,
            )  # fmt: skip
        return


def _shows_text(operation: Operation, exchange: Exchange, id: str, text: str) -> bool:
    """Return True where the found item shows the text, or items show no text at all."""
    effect = operation.effect
    assert effect is not None
    if effect.content is None:
        return True
    return text.encode() in (exchange.response.body if exchange.response else b"")


def _scope_of(operation: Operation, made: Made) -> dict[str, Any]:
    scope = operation.effect.scope if operation.effect else {}
    names = {*scope, *required(operation)}
    target = operation.effect.target if operation.effect else None
    known = properties(operation)
    return {
        n: made.whole[n] for n in names
        if n in made.whole and n != target and n in known
        and (n in scope or n in {p.name for p in operation.parameters})
    }  # fmt: skip


def changeable(operation: Operation, made: Made, seed: int) -> dict[str, Any]:
    """Return new values for every property that an update may name, other than the current ones."""
    effect = operation.effect
    assert effect is not None
    places = {p.name for p in operation.parameters} | {effect.target or "", *effect.scope}
    values: dict[str, Any] = {}
    for name, schema in properties(operation).items():
        if name in places:
            continue
        for attempt in range(6):
            value = spec_examples.example(schema, seed=seed + attempt)
            if value != made.arguments.get(name):
                values[name] = value
                break
    return values


@CASES.case("state.updated", "ST4", "ST7", each=_of_kind("update"))
def test_updated(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """An update changes what it names, alone and together, and no other record."""
    effect = operation.effect
    assert effect is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    made = write(subject, maker, seed=1, optional=True)[0]
    other = write(subject, maker, given=_shared(maker, made), seed=2, optional=True)[0]
    values = changeable(operation, made, subject.seed + 11)
    if not values:
        raise NotApplicable("it names nothing that could change")
    if _read(subject, made) is None:
        raise Inconclusive(f"nothing reads a {effect.resource} back")
    changes = [{n: v} for n, v in values.items()]
    changes.append(changeable(operation, made, subject.seed + 23))
    needed = {n for n in required(operation) if n in values}
    bystander = _read(subject, other)
    for change in changes:
        named = {**{n: values[n] for n in needed}, **change}
        before = _read(subject, made)
        given = {**_scope_of(operation, made), effect.target or "id": made.id}
        arguments = _only(operation, given, named)
        exchange = subject.send(operation, arguments)
        if before is None or not ok(exchange):
            yield from _refused_change(operation, exchange)
            continue
        yield from oracle.answered(operation, exchange, named, "ST4")
        after = _read(subject, made)
        assert after is not None
        yield from oracle.updated(operation, before, exchange, after, named)
        if bystander is not None:
            now = _read(subject, other)
            assert now is not None
            yield from oracle.others_unmoved(
                operation, exchange, [(bystander, now)], effect.volatile
            )


def _only(
    operation: Operation, given: Mapping[str, Any], named: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call that names exactly this."""
    return {**given, **named}


def _refused_change(operation: Operation, exchange: Exchange) -> Iterable[Finding]:
    status = exchange.status or 0
    if 400 <= status < 500 and status not in (401, 403, 409, 429):
        yield found(
            "CT5", f"a valid change is refused with {status}", exchange,
            cause=f"change-refused {operation.id}", operation=operation, basis=operation.basis,
            expected="2xx", actual=status,
        )  # fmt: skip


@CASES.case("state.replaced", "ST5", "ST7", each=_of_kind("replace"))
def test_replaced(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A replacement is the whole record from then on: what it leaves out is gone."""
    effect = operation.effect
    assert effect is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    made = write(subject, maker, seed=1, optional=True)[0]
    other = write(subject, maker, given=_shared(maker, made), seed=2, optional=True)[0]
    bystander = _read(subject, other)
    target = effect.target or "id"
    given = {**_scope_of(operation, made), target: made.id}
    arguments = subject.world.arguments(operation, given=given, seed=3)
    places = {p.name for p in operation.parameters} | {target, *effect.scope}
    named = {n: v for n, v in arguments.items() if n not in places}
    exchange = subject.send(operation, arguments)
    if not ok(exchange):
        yield from _refused_change(operation, exchange)
        raise Inconclusive(f"the replacement was answered {told(exchange)}")
    yield from oracle.answered(operation, exchange, named, "ST5")
    after = _read(subject, made)
    if after is None:
        raise Inconclusive(f"nothing reads a {effect.resource} back")
    old = {n: v for n, v in body_of(made).items() if n in properties(operation)}
    yield from oracle.replaced(operation, exchange, after, old, named)
    now = _read(subject, other)
    if bystander is not None and now is not None:
        yield from oracle.others_unmoved(operation, exchange, [(bystander, now)], effect.volatile)


@CASES.case("state.deleted", "ST6", "ST7", each=_of_kind("delete"))
def test_deleted(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What was deleted is gone from every place, and nothing else is."""
    effect = operation.effect
    assert effect is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    made = write(subject, maker, seed=1, optional=True)[0]
    other = write(subject, maker, given=_shared(maker, made), seed=2)[0]
    places = [v for v in viewers(subject.contract, made, "read", "list", "search")
              if tellable(v, made)]  # fmt: skip
    for viewer in places:
        wait_for(subject, viewer, made)
    bystander = _read(subject, other)
    given = {**_scope_of(operation, made), effect.target or "id": made.id}
    exchange = subject.send(operation, given)
    if not ok(exchange):
        raise Inconclusive(f"the deletion was answered {told(exchange)}")
    for viewer in places:
        view = look(subject, viewer, made)
        kind = viewer.effect.kind if viewer.effect else ""
        yield from oracle.gone(operation, exchange, view.exchange, kind, view.count > 0)
        if kind == "list" and tellable(viewer, other):
            yield from _still_there(subject, operation, viewer, other, exchange)
    now = _read(subject, other)
    if bystander is not None and now is not None:
        yield from oracle.others_unmoved(operation, exchange, [(bystander, now)], effect.volatile)
    yield from _deleted_again(subject, operation, given, exchange)


def _still_there(
    subject: BackendSubject, operation: Operation, viewer: Operation, other: Made, delete: Exchange
) -> Iterable[Finding]:
    view = look(subject, viewer, other)
    if view.count == 0:
        yield found(
            "ST7", "a deletion takes another record from the list", delete, view.exchange,
            cause=f"delete-takes-other {operation.id}", operation=operation,
            basis=operation.basis,
        )  # fmt: skip


def _deleted_again(
    subject: BackendSubject, operation: Operation, arguments: dict[str, Any], first: Exchange
) -> Iterable[Finding]:
    """Deleting twice is answered as an unknown id is, or as the first time, and never fails."""
    again = subject.send(operation, arguments)
    yield from judge_all(subject, [again], also=frozenset({404, 410}))


@CASES.case("state.linked", "ST1", each=_of_kind("link"))
def test_linked(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A record that was linked shows what it is linked to, and is listed there."""
    effect = operation.effect
    assert effect is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    made = write(subject, maker)[0]
    arguments = subject.world.arguments(operation, given={effect.target or "id": made.id})
    exchange = subject.send(operation, arguments)
    if not ok(exchange):
        raise Inconclusive(f"the link was answered {told(exchange)}")
    linked = {effect.renamed.get(n, n): arguments[n] for n in effect.scope if n in arguments}
    read = _read(subject, made)
    if read is None:
        raise Inconclusive(f"nothing reads a {effect.resource} back")
    shown = read.response.json_or_none() if read.response else None
    wrong = oracle.differences(linked, shown)
    missing = [n for n in linked if isinstance(shown, dict) and n not in shown]
    if wrong or missing:
        yield found(
            "ST1", f"a linked record does not show its {(wrong + missing)[0]}", exchange, read,
            cause=f"link-lost {operation.id}", operation=operation, basis=effect.basis,
        )  # fmt: skip
    for lister in operations_on(subject.contract, effect.resource, "list"):
        scope = {n: v for n, v in linked.items() if n in properties(lister)}
        if scope:
            view = look(subject, lister, _within(made, scope))
            if view.count == 0:
                yield found(
                    "ST2", "a linked record is not in the list of what it is linked to", exchange,
                    view.exchange, cause=f"link-not-listed {operation.id}", operation=operation,
                    basis=effect.basis,
                )  # fmt: skip


def _within(made: Made, scope: Mapping[str, Any]) -> Made:
    return Made(
        made.resource, made.id, made.operation, {**made.arguments, **scope}, made.exchange,
        made.principal, {**made.whole, **scope},
    )  # fmt: skip


def _with_secret(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.effect and o.effect.secret and o.effect.kind == "create"]


@CASES.case("state.secrets", "ST13", each=_with_secret)
def test_secrets(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A secret that is shown when it is made is never shown again."""
    made = write(subject, operation)[0]
    effect = operation.effect
    assert effect is not None
    if not isinstance(value_at(made.exchange, effect.secret), str):
        raise Inconclusive("the answer shows no secret where it is declared")
    later = []
    for other in subject.contract:
        mine = other.effect
        if mine is None or mine.resource != effect.resource or other.id == operation.id:
            continue
        if mine.kind in ("list", "search"):
            later.append(subject.send(other, subject.world.arguments(other)))
        elif mine.kind in ("read", "update") and mine.target:
            given = {**_scope_of(other, made), mine.target: made.id}
            later.append(subject.send(other, subject.world.arguments(other, given=given)))
    if not later:
        raise Inconclusive("nothing shows the record again")
    yield from oracle.secret_kept(operation, made.exchange, later)


def _related(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.relations]


@CASES.case("state.relations", "ST10", each=_related)
def test_relations(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Answers keep what they owe to the request: budgets, limits, thresholds, order, filters."""
    from conformance.backend.relating import provocations

    judged = 0
    for arguments in provocations(subject, operation):
        exchange = subject.send(operation, arguments)
        if not ok(exchange):
            continue
        judged += 1
        for finding in relations.judge_relations(operation, arguments, exchange):
            yield finding.at(requirement="ST10")
    if not judged:
        raise Inconclusive("no call was accepted, so nothing could be compared")


def _setting(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.effect and o.effect.sets]


@CASES.case("state.sets", "ST10", each=_setting)
def test_sets(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What an action sets is what another operation then shows."""
    effect = operation.effect
    assert effect is not None
    kept: list[tuple[Shown, Any]] = []
    for shown in effect.sets:
        arguments = subject.world.arguments(operation, given=shown.where)
        exchange = subject.send(operation, arguments)
        if not ok(exchange):
            raise Inconclusive(f"the action was answered {told(exchange)}")
        value = value_at(exchange, shown.answer) if shown.answer else shown.value
        viewer = subject.contract[shown.operation]
        ask = partial(subject.send, viewer, subject.world.arguments(viewer))
        there = partial(_shows, shown.pointer, value)
        view = until(subject, effect.delay, ask, there)
        if not oracle.shown_value(view, shown.pointer, value):
            yield found(
                "ST10", f"what {operation.id} set is not shown at {shown.pointer}", exchange, view,
                cause=f"not-set {operation.id} {shown.pointer}", operation=viewer,
                basis=effect.basis,
            )  # fmt: skip
            return
        kept.append((shown, value))
        for earlier, was in kept:
            if earlier.operation == shown.operation and not oracle.shown_value(
                view, earlier.pointer, was
            ):
                yield found(
                    "ST10", f"what {operation.id} set at {shown.pointer} takes the place of what "
                    f"it set at {earlier.pointer}", exchange, view,
                    cause=f"set-lost {operation.id} {earlier.pointer}", operation=viewer,
                    basis=effect.basis,
                )  # fmt: skip


def _shows(pointer: str, value: Any, exchange: Exchange) -> bool:
    return oracle.shown_value(exchange, pointer, value)
