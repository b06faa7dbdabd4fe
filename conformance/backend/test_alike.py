"""One record from several sides: as read, as listed, after an action on it (ST2, ST7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conformance.backend.effects import read_arguments, unwrapped
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.views import look, tellable, wait_for, write
from conformance.backend.world import Made, creators, operations_on, properties, required
from conformance.history import Exchange
from conformance.oracles import state as oracle
from conformance.oracles.found import MISSING, ok, told, value_at, value_in
from conformance.verdict import Finding, Inconclusive
from specs import Contract, Operation


def _reader(contract: Contract, resource: str | None) -> Operation | None:
    """Return the operation that reads one record of a kind, None where there is none."""
    return next(
        (o for o in operations_on(contract, resource, "read")
         if o.effect and o.effect.target and not o.effect.progress), None
    )  # fmt: skip


def _listing(contract: Contract) -> list[Operation]:
    """Return the lists of records that can be made and read one by one."""
    return [
        o for o in contract
        if o.effect and o.effect.kind == "list" and o.effect.item_id and o.effect.resource
        and creators(contract, o.effect.resource) and _reader(contract, o.effect.resource)
    ]  # fmt: skip


@CASES.case("state.alike", "ST2", each=_listing)
def test_alike(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A list shows of a record what reading it shows."""
    effect = operation.effect
    assert effect is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    reader = _reader(subject.contract, effect.resource)
    assert reader is not None
    made = write(subject, maker, seed=1, optional=True)[0]
    if not tellable(operation, made) or wait_for(subject, operation, made).count == 0:
        raise Inconclusive("it does not show what was made")
    asked = read_arguments(subject, reader, made)
    before = unwrapped(reader, subject.send(reader, asked))
    listed = look(subject, operation, made).exchange
    after = unwrapped(reader, subject.send(reader, asked))
    items = value_at(listed, effect.items)
    entry = next(
        (i for i in items if str(value_in(i, effect.item_id)) == made.id), None
    ) if isinstance(items, list) else None  # fmt: skip
    if entry is None or not ok(before) or not ok(after):
        raise Inconclusive("the record cannot be seen in both places")
    whole = _entry_schema(operation) == _record_schema(reader)
    yield from oracle.alike(operation, (before, after), listed, entry, whole=whole)


def _entry_schema(lister: Operation) -> Any:
    """Return the schema of a list's entries, MISSING where none is declared."""
    schema = _inside(lister.success.schema, lister.effect.items if lister.effect else None)
    return schema.get("items", MISSING) if isinstance(schema, Mapping) else MISSING


def _record_schema(reader: Operation) -> Any:
    """Return the schema of the record that an answer shows: what holds its id."""
    id = (reader.effect.id if reader.effect else None) or ""
    return _inside(reader.success.schema, id.rpartition("/")[0])


def _inside(schema: Any, path: str | None) -> Any:
    for name in (path or "").split("/")[1:]:
        schema = schema.get("properties", {}).get(name) if isinstance(schema, Mapping) else None
    return schema


def _acting(contract: Contract) -> list[Operation]:
    """Return the actions on one record that can be made and read."""
    return [
        o for o in contract
        if o.effect and o.effect.kind == "action" and o.effect.target
        and creators(contract, o.effect.resource or "") and _reader(contract, o.effect.resource)
    ]  # fmt: skip


@CASES.case("state.acted", "ST7", each=_acting)
def test_acted(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """An action changes of its record what it is declared to change, and of others nothing."""
    effect = operation.effect
    assert effect is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    reader = _reader(subject.contract, effect.resource)
    assert reader is not None
    made = write(subject, maker, seed=1, optional=True)[0]
    other = write(subject, maker, given=_beside(maker, made), seed=2, optional=True)[0]
    asked = [read_arguments(subject, reader, each) for each in (made, other)]
    before, bystander = (subject.send(reader, each) for each in asked)
    action = subject.send(operation, subject.world.arguments(operation, given=_named(
        operation, made)))  # fmt: skip
    if not ok(before) or not ok(action):
        raise Inconclusive(f"{operation.id} was answered {told(action)}")
    after, now = (subject.send(reader, each) for each in asked)
    yield from oracle.acted(operation, before, action, after)
    yield from oracle.others_unmoved(operation, action, _pair(bystander, now), effect.volatile)


def _pair(before: Exchange, after: Exchange) -> list[tuple[Exchange, Exchange]]:
    return [(before, after)] if ok(before) else []


def _beside(maker: Operation, made: Made) -> dict[str, Any]:
    """Return the scope of an earlier record, so that another one is made beside it."""
    effect = maker.effect
    names = set(effect.scope) - {effect.target} if effect else set()
    return {n: made.whole[n] for n in names & required(maker) if n in made.whole}


def _named(operation: Operation, made: Made) -> dict[str, Any]:
    """Return the arguments that name one record to an action, within its scope."""
    effect = operation.effect
    assert effect is not None
    known = properties(operation)
    scope = {n: made.whole[n] for n in effect.scope if n in made.whole and n in known}
    return {**scope, effect.target or "id": made.id}
