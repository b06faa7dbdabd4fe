"""Two tenants: what is one's is not the other's to see, change or guess at (IS1–IS4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from conformance.backend.effects import (
    delay_of,
    found_ids,
    read_arguments,
    representation,
    search_arguments,
    text_of,
    until,
)  # fmt: skip
from conformance.backend.judging import judge_all
from conformance.backend.listing import all_ids
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.test_collections import entries, entry
from conformance.backend.test_figures import total
from conformance.backend.views import look, tellable, wait_for, write, writer_of
from conformance.backend.world import Made, creators, operations_on, properties, required
from conformance.history import Exchange, header
from conformance.oracles import isolation as oracle
from conformance.oracles.found import ok, told, value_at
from conformance.oracles.state import shown_value
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation


def _made_by(contract: Contract, resource: str | None) -> bool:
    return bool(resource and creators(contract, resource))


def _on_one(contract: Contract, *kinds: str) -> list[Operation]:
    """Return the operations that name one record of a kind that can be made."""
    return [
        o for o in contract
        if o.effect and o.effect.kind in kinds and o.effect.target
        and _made_by(contract, o.effect.resource)
    ]  # fmt: skip


def _foreign(subject: BackendSubject, operation: Operation, made: Made, key: str) -> dict[str, Any]:
    """Return arguments by which another tenant names a record that is not its own."""
    assert operation.effect is not None
    scope = {
        n: made.whole[n] for n in required(operation)
        if n in made.whole and n in properties(operation) and n in operation.effect.scope
    }  # fmt: skip
    target = operation.effect.target or ""
    schema = properties(operation).get(target, {})
    value = [made.id] if schema.get("type") == "array" else made.id
    return subject.world.arguments(operation, key, {**scope, target: value})


@CASES.case("isolation.reads", "IS1", "IS4", each=lambda c: _on_one(c, "read"))
def test_reads(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Another tenant's record cannot be read, and looks like one that does not exist."""
    owner, other = subject.principals(2)
    assert operation.effect is not None
    made = subject.world.make(operation.effect.resource or "", owner)
    mine = subject.send(operation, read_arguments(subject, operation, made), key=owner)
    if not ok(mine):
        raise Inconclusive("its owner cannot read it")
    arguments = _foreign(subject, operation, made, other)
    exchange = subject.send(operation, arguments, key=other)
    yield from judge_all(subject, [exchange], also=frozenset({403, 404}))
    text = text_of(made.operation, made.arguments)
    yield from oracle.hidden(operation, exchange, made.id, text[1] if text else None, mine)
    if operation.response(404) is not None:
        unknown = subject.world.unknown_id(operation, operation.effect.target or "")
        nothing = subject.send(
            operation, {**arguments, operation.effect.target or "": unknown}, key=other
        )
        yield from oracle.alike(operation, exchange, nothing, made.id, str(unknown))


@CASES.case("isolation.writes", "IS3", "IS4",
            each=lambda c: _on_one(c, "update", "replace", "delete", "link", "action"))  # fmt: skip
def test_writes(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Another tenant's record cannot be changed or deleted, and looks like an unknown one."""
    owner, other = subject.principals(2)
    effect = operation.effect
    assert effect is not None
    made = subject.world.make(effect.resource or "", owner)
    before = representation(subject, made, owner)
    listed = _listed(subject, made, owner)
    arguments = _foreign(subject, operation, made, other)
    exchange = subject.send(operation, arguments, key=other)
    after = representation(subject, made, owner)
    yield from judge_all(subject, [exchange], also=frozenset({403, 404}))
    yield from oracle.untouched(operation, exchange, before, after, effect.volatile)
    if listed is not None and _listed(subject, made, owner) != listed:
        yield from oracle.crossed(operation, exchange, "takes it from its owner's list")
    if operation.response(404) is not None and effect.kind != "action":
        unknown = subject.world.unknown_id(operation, effect.target or "")
        nothing = subject.send(operation, {**arguments, effect.target or "": unknown}, key=other)
        yield from oracle.alike(operation, exchange, nothing, made.id, str(unknown))


def _listed(subject: BackendSubject, made: Made, key: str) -> bool | None:
    for lister in operations_on(subject.contract, made.resource, "list"):
        scope = {n: made.whole[n] for n in required(lister) if n in made.whole}
        if required(lister) <= set(scope):
            return made.id in all_ids(subject, lister, scope, key)
    return None


def _showing(contract: Contract) -> list[Operation]:
    """Return the lists and searches over a kind of record that can be made."""
    return [
        o for o in contract
        if o.effect and o.effect.kind in ("list", "search")
        and writer_of(contract, o.effect.resource)
    ]  # fmt: skip


@CASES.case("isolation.lists", "IS2", each=_showing)
def test_lists(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Lists and searches show a tenant its own records and nobody else's."""
    owner, other = subject.principals(2)
    effect = operation.effect
    assert effect is not None
    maker = writer_of(subject.contract, effect.resource)
    assert maker is not None
    made = write(subject, maker, owner)[0]
    if not tellable(operation, made):
        raise Inconclusive("what it shows cannot be told apart")
    if wait_for(subject, operation, made, owner).count == 0:
        raise Inconclusive("its owner does not see it either")
    try:
        view = look(subject, operation, made, other)
    except Inconclusive:
        if subject.exchanges[-1].status in oracle.DENIED:
            return  # refused altogether: nothing is shown
        raise
    yield from judge_all(subject, [view.exchange], also=frozenset({403, 404}))
    yield from oracle.not_shown(operation, view.exchange, view.count)


@CASES.case("isolation.unknown", "IS4", each=lambda c: _on_one(c, "read"))
def test_unknown(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Another tenant's id is answered like one that nobody has, in status and words."""
    owner, other = subject.principals(2)
    effect = operation.effect
    assert effect is not None
    made = subject.world.make(effect.resource or "", owner)
    target = effect.target or ""
    arguments = _foreign(subject, operation, made, other)
    unknown = subject.world.unknown_id(operation, target)
    foreign = subject.send(operation, arguments, key=other)
    nothing = subject.send(operation, {**arguments, target: unknown}, key=other)
    yield from oracle.alike(operation, foreign, nothing, made.id, str(unknown))


def _forgetting(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.effect and o.effect.kind == "forget"]


@CASES.case("isolation.forget", "IS3", each=_forgetting)
def test_forget(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Forgetting takes nothing from another tenant who uses the same names."""
    owner, other = subject.principals(2)
    effect = operation.effect
    assert effect is not None
    made = subject.world.make(effect.resource or "", owner)
    scope = {n: made.whole[n] for n in required(operation) if n in made.whole}
    if not required(operation) <= set(scope):
        raise NotApplicable("its scope cannot be named by another tenant")
    searchers = operations_on(subject.contract, effect.resource, "search")
    text = text_of(made.operation, made.arguments)
    if not searchers or text is None:
        raise Inconclusive("nothing shows what is left")
    asked = search_arguments(subject, searchers[0], made, text[1])

    def look() -> Exchange:
        return subject.send(searchers[0], asked, key=owner)

    def shown(exchange: Exchange) -> bool:
        return oracle.shows(exchange, made.id, text[1], found_ids(searchers[0], exchange))

    if not shown(until(subject, delay_of(made.operation), look, shown)):
        raise Inconclusive("its owner does not find it")
    exchange = subject.send(operation, scope, key=other)
    if not shown(look()):
        yield from oracle.crossed(operation, exchange, "makes it vanish for its owner")


def _inside(contract: Contract) -> list[Operation]:
    """Return the operations that put something into a record of another kind."""
    return [
        o for o in contract
        if o.effect and o.effect.kind in ("create", "link") and o.response(404) is not None
        and any(n in required(o) and creators(contract, k) for n, k in o.effect.scope.items())
    ]  # fmt: skip


@CASES.case("isolation.parents", "IS3", each=_inside)
def test_parents(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Nothing can be put into another tenant's record.

    Where anything passes for a parent, theirs is only a name, and nothing is put into it.
    """
    owner, other = subject.principals(2)
    effect = operation.effect
    assert effect is not None
    for name, kind in effect.scope.items():
        if name not in required(operation) or not creators(subject.contract, kind):
            continue
        theirs = subject.world.make(kind, owner)
        own = subject.world.arguments(operation, other)
        exchange = subject.send(operation, {**own, name: theirs.id}, key=other)
        subject.world.note(operation, {**own, name: theirs.id}, exchange, other)
        yield from judge_all(subject, [exchange], also=frozenset({403, 404}))
        if not ok(exchange):
            continue
        nobodys = {**own, name: subject.world.unknown_id(operation, name)}
        beside = subject.send(operation, nobodys, key=other)
        subject.world.note(operation, nobodys, beside, other)
        if not ok(beside):
            yield from oracle.crossed(operation, exchange, f"is put into their {kind}")


def _batches(contract: Contract) -> list[Operation]:
    return [
        o for o in contract
        if o.effect and o.effect.kind == "batch" and {"update", "delete"} <= set(entries(o))
        and creators(contract, o.effect.resource or "")
    ]  # fmt: skip


@CASES.case("isolation.batch", "IS3", each=_batches)
def test_batch(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A batch changes and deletes nothing of another tenant's."""
    owner, other = subject.principals(2)
    effect = operation.effect
    assert effect is not None
    made = subject.world.make(effect.resource or "", owner)
    before = representation(subject, made, owner)
    plan = [entry(subject, entries(operation)[word], made.id)[0] for word in ("update", "delete")]
    exchange = subject.send(operation, {(effect.each or "/")[1:]: plan}, key=other)
    after = representation(subject, made, owner)
    if before is None or after is None or not ok(before[0]):
        raise Inconclusive("nothing reads the record back")
    if after[1] != before[1]:
        yield from oracle.crossed(operation, exchange, "changes or deletes it")


def _counting(contract: Contract) -> list[Operation]:
    """Return the operations that report figures of use, and one that shows them in headers."""
    reports = [o for o in contract if o.authenticated and any(t.calls for t in o.tallies)]
    metered = [
        o for o in contract
        if o.usage and o.usage.figures and o.authenticated and o.safe and not required(o)
    ]  # fmt: skip
    return [*reports, *[o for o in metered if o not in reports][:1]]


CALLS = (6, 9)
"""How often one tenant calls while another's figures are watched, in each round."""


@CASES.case("isolation.usage", "IS2", each=_counting)
def test_usage(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """The figures of use that a tenant is shown do not count what another does."""
    owner, other = subject.principals(2)
    names = [n for t in operation.tallies for n in t.calls] or [operation.id]
    counted = subject.contract[names[0]]
    arguments = subject.world.arguments(counted, owner)
    witness, grown = [], []
    for calls in (0, *CALLS):
        before = subject.send(operation, subject.world.arguments(operation, other), key=other)
        for _ in range(calls):
            exchange = subject.send(counted, arguments, key=owner)
            subject.world.note(counted, arguments, exchange, owner)
            if not ok(exchange):
                raise Inconclusive(f"{counted.id} was answered {told(exchange)}")
        after = subject.send(operation, subject.world.arguments(operation, other), key=other)
        one, two = figures(operation, before), figures(operation, after)
        grown.append({name: two[name] - one[name] for name in one if name in two})
        witness += [before, after]
    if not grown[0]:
        raise Inconclusive("no figure is shown to the second tenant")
    if any(value > 1 for name, value in grown[0].items() if "byte" not in name.lower()):
        raise Inconclusive("somebody else uses the second key")
    yield from oracle.counted_apart(operation, witness[-2:], grown[1:], CALLS)


def figures(operation: Operation, exchange: Exchange) -> dict[str, float]:
    """Return the figures of use that an answer shows: its headers', and its body's tallies."""
    if not ok(exchange) or exchange.response is None:
        return {}
    found: dict[str, float] = {}
    for figure in operation.usage.figures if operation.usage else ():
        value = header(exchange.response.headers, figure.used)
        if value is not None and value.strip().isdigit():
            found[figure.used] = float(value)
    for tally in operation.tallies:
        shown = total(exchange, tally) if tally.calls else None
        if shown is not None:
            found[tally.pointer] = shown
    return found


def _setting(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.effect and any(s.answer for s in o.effect.sets)]


@CASES.case("isolation.settings", "IS2", each=_setting)
def test_settings(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What one tenant sets is not shown to another."""
    owner, other = subject.principals(2)
    effect = operation.effect
    assert effect is not None
    for shown in effect.sets:
        exchange = subject.send(
            operation, subject.world.arguments(operation, owner, shown.where), key=owner
        )
        value = value_at(exchange, shown.answer)
        if not ok(exchange) or not isinstance(value, str) or subject.mark not in value:
            continue
        viewer = subject.contract[shown.operation]
        view = subject.send(viewer, subject.world.arguments(viewer, other), key=other)
        if shown_value(view, shown.pointer, value):
            yield from oracle.not_shown(viewer, view, 1)
