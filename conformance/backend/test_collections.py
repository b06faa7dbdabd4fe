"""Operations on many records at once: batches, scopes, filters, forgetting, progress (ST2–ST10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.backend.effects import scoped, text_of, until
from conformance.backend.judging import judge_all
from conformance.backend.listing import max_size, walk
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.views import (
    View,
    look,
    tellable,
    view_of,
    viewers,
    wait_for,
    write,
    writer_of,
)
from conformance.backend.world import (
    Made,
    creators,
    is_free_text,
    object_properties,
    operations_on,
    properties,
    required,
)
from conformance.history import Exchange
from conformance.oracles import state as oracle
from conformance.oracles.found import MISSING, found, ok, told, value_at, value_in
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.contract import Schema
from specs.paging import moving

# -- batches ------------------------------------------------------------------------------------


def _batches(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.effect and o.effect.kind == "batch" and o.effect.each]


@dataclass(frozen=True)
class Entry:
    """One kind of batch entry: the word that names it, and its schema."""

    word: str
    marker: str
    """The property that holds the word."""
    schema: Schema


def entries(operation: Operation) -> dict[str, Entry]:
    """Return the kinds of entries that a batch takes, by their word: `create`, `delete`."""
    each = operation.effect.each if operation.effect else None
    items = properties(operation).get((each or "/")[1:], {}).get("items", {})
    kinds = {}
    for schema in items.get("oneOf", items.get("anyOf", [items])):
        for name, inner in object_properties(schema).items():
            if "const" in inner and isinstance(inner["const"], str):
                kinds[inner["const"]] = Entry(inner["const"], name, schema)
    return kinds


def entry(
    subject: BackendSubject, kind: Entry, id: str | None = None
) -> tuple[dict[str, Any], str]:
    """Return a batch entry with fresh text, and that text; `id` names its record."""
    from specs.examples import example

    made = example(kind.schema, seed=3, optional=False)
    text = ""
    for name, schema in object_properties(kind.schema).items():
        if schema.get("type") == "object" and isinstance(made.get(name), dict):
            inner = object_properties(schema)
            for field, rule in inner.items():
                if is_free_text(rule) and not field.endswith("_id"):
                    text = f"batch {subject.name('t')}"
                    made[name] = {**made[name], field: text}
                    break
        elif id is not None and schema.get("type") == "string" and name != kind.marker:
            made[name] = id
    return made, text


@CASES.case("state.batch", "ST8", each=_batches)
def test_batch(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Each entry of a batch stands for itself: done or failed, in order, as the answer says."""
    effect = operation.effect
    assert effect is not None
    kinds = entries(operation)
    if not {"create", "update", "delete"} <= set(kinds):
        raise NotApplicable("its entries are not creations, updates and deletions")
    makers = creators(subject.contract, effect.resource or "")
    if not makers:
        raise Inconclusive(f"no operation makes a {effect.resource} to work on")
    one, two = (write(subject, makers[0], seed=n)[0] for n in (1, 2))
    unknown = subject.name("unknown")
    create, text = entry(subject, kinds["create"])
    update, new = entry(subject, kinds["update"], one.id)
    missing, _ = entry(subject, kinds["update"], unknown)
    lost, _ = entry(subject, kinds["delete"], unknown)
    delete, _ = entry(subject, kinds["delete"], two.id)
    again, second = entry(subject, kinds["create"])
    plan = [create, missing, update, lost, delete, again]
    truth = [("create", True), ("update", False), ("update", True), ("delete", False),
             ("delete", True), ("create", True)]  # fmt: skip
    asked = {(effect.each or "/")[1:]: plan}
    counters = [v for v in viewers(subject.contract, one, "list") if not required(v)]
    before = [look(subject, v, one).all for v in counters]
    exchange = subject.send(operation, asked)
    subject.world.note(operation, asked, exchange, "a")
    yield from judge_all(subject, [exchange])
    yield from oracle.batch_answer(operation, exchange, truth)
    if ok(exchange):
        yield from _batch_effects(
            subject, operation, exchange, one, two, {"create": (text, second), "update": (new,)}
        )
        for viewer, count in zip(counters, before, strict=True):
            now = look(subject, viewer, one).all
            for finding in oracle.count_changed(operation, exchange, count, now, 1):
                yield finding.at(requirement="ST8", cause="batch-count")


def _batch_effects(
    subject: BackendSubject,
    operation: Operation,
    exchange: Exchange,
    one: Made,
    two: Made,
    texts: Mapping[str, tuple[str, ...]],
) -> Iterator[Finding]:
    """Look at what a batch left behind: the created are there, the deleted gone, one changed."""
    effect = operation.effect
    assert effect is not None

    def wrong(message: str, cause: str, *more: Exchange) -> Finding:
        return found(
            "ST8", message, exchange, *more, cause=f"batch-{cause}", operation=operation,
            basis=effect.basis,
        )  # fmt: skip

    results = value_at(exchange, effect.items)
    ids = [value_in(r, effect.item_id) for r in results] if isinstance(results, list) else []
    for number, text in zip((0, 5), texts["create"], strict=True):
        id = str(ids[number]) if number < len(ids) and isinstance(ids[number], str) else ""
        made = Made(effect.resource or "", id, one.operation, {**one.arguments, _text_name(one):
                    text}, exchange, "a", one.whole)  # fmt: skip
        read = next(iter(viewers(subject.contract, made, "read")), None)
        if read is None:
            continue
        view = look(subject, read, made)
        body = view.exchange.response.body if view.exchange.response else b""
        if view.count == 0 or text.encode() not in body:
            yield wrong("what a batch created cannot be read", "created-gone", view.exchange)
    for reader in viewers(subject.contract, two, "read"):
        view = look(subject, reader, two)
        if view.count:
            yield wrong("what a batch deleted can still be read", "deleted-there", view.exchange)
        changed = look(subject, reader, one)
        body = changed.exchange.response.body if changed.exchange.response else b""
        if texts["update"][0] and texts["update"][0].encode() not in body:
            yield wrong("what a batch updated shows no change", "update-lost", changed.exchange)


def _text_name(made: Made) -> str:
    pair = text_of(made.operation, made.arguments)
    return pair[0] if pair else "content"


# -- asynchronous work --------------------------------------------------------------------------


def _progressing(contract: Contract) -> list[Operation]:
    return [
        o for o in contract
        if o.effect and o.effect.progress and o.effect.target
        and creators(contract, o.effect.resource or "")
    ]  # fmt: skip


@CASES.case("state.progress", "ST3", "ST10", each=_progressing)
def test_progress(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Work on what was written is done within its time, and never claimed for what is unknown."""
    effect = operation.effect
    assert effect is not None
    assert effect.progress is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    made = write(subject, maker)
    ids = [m.id for m in made]
    target = effect.target or ""
    asked = subject.world.arguments(operation, given={target: ids})

    def ask() -> Exchange:
        return subject.send(operation, asked)

    def done(exchange: Exchange) -> bool:
        assert effect.progress is not None
        there = value_at(exchange, effect.progress.done)
        return isinstance(there, list) and set(ids) <= set(map(str, there))

    seconds = maker.effect.delay if maker.effect else 0.0
    exchange = until(subject, seconds, ask, done, operation)
    if not ok(exchange):
        raise Inconclusive(f"{operation.id} was answered {told(exchange)}")
    if not done(exchange):
        yield found(
            "ST3", f"what was written is not called done within {seconds:g} s", made[0].exchange,
            exchange, cause=f"never-done {operation.id}", operation=operation, basis=effect.basis,
        )  # fmt: skip
    yield from _unknown_progress(subject, operation, asked, ids)


def _unknown_progress(
    subject: BackendSubject, operation: Operation, asked: Mapping[str, Any], ids: list[str]
) -> Iterator[Finding]:
    effect = operation.effect
    assert effect is not None
    assert effect.progress is not None
    unknown = subject.name("unknown")
    exchange = subject.send(operation, {**asked, effect.target or "": [ids[0], unknown]})
    there = value_at(exchange, effect.progress.done)
    if ok(exchange) and isinstance(there, list) and unknown in there:
        yield found(
            "ST10", "work on what was never written is called done", exchange,
            cause=f"unknown-done {operation.id}", operation=operation, basis=effect.basis,
        )  # fmt: skip


# -- scopes and filters -------------------------------------------------------------------------


def _scoped(contract: Contract) -> list[Operation]:
    """Return the searches and lists that a made-up name narrows, over what can be written."""
    return [
        o for o in contract
        if o.effect and o.effect.kind in ("search", "list")
        and any(_narrowing(contract, o, n) for n in o.effect.scope)
        and _maker(contract, o) is not None
    ]  # fmt: skip


def _narrowing(contract: Contract, operation: Operation, name: str) -> bool:
    """Return True where an argument narrows by a made-up name or by a record that can be made."""
    kind = operation.effect.scope[name] if operation.effect else ""
    return name in properties(operation) and (kind == "free" or bool(creators(contract, kind)))


def _maker(contract: Contract, operation: Operation) -> Operation | None:
    return writer_of(contract, operation.effect.resource if operation.effect else None)


def _names(operation: Operation, maker: Operation) -> list[str]:
    """Return the names of scopes that the list and what writes to it have in common."""
    effect = operation.effect
    assert effect is not None
    assert maker.effect is not None
    known = dict(properties(maker))
    if maker.effect.each:
        known = object_properties(known.get(maker.effect.each[1:], {}).get("items", {}))
    return [n for n in effect.scope if n in properties(operation) and n in known]


@CASES.case("state.scoped", "ST3", "ST2", each=_scoped)
def test_scoped(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What was written under one name shows under that name and not under another."""
    effect = operation.effect
    assert effect is not None
    maker = _maker(subject.contract, operation)
    assert maker is not None
    for name in _names(operation, maker):
        kind = effect.scope[name]

        def another(name: str = name, kind: str = kind) -> str:
            return subject.name(name) if kind == "free" else subject.world.make(kind).id

        made = _written(subject, maker, {name: another()})
        if not tellable(operation, made):
            raise Inconclusive("what it shows cannot be told apart")
        here = wait_for(subject, operation, made)
        if here.count == 0:
            yield found(
                "ST3", f"what was written is not shown under its {name}", made.exchange,
                here.exchange, cause=f"scope-loses {operation.id} {name}", operation=operation,
                basis=effect.basis,
            )  # fmt: skip
            continue
        elsewhere = _elsewhere(made, name, another())
        there = look(subject, operation, elsewhere)
        if there.count:
            yield found(
                "ST3" if effect.kind == "search" else "ST2",
                f"what was written under one {name} is shown under another", made.exchange,
                there.exchange, cause=f"scope-ignored {operation.id} {name}", operation=operation,
                basis=effect.basis,
            )  # fmt: skip


def _written(subject: BackendSubject, maker: Operation, scope: Mapping[str, Any]) -> Made:
    """Write one record within a scope, in a batch's first entry where it takes batches."""
    effect = maker.effect
    assert effect is not None
    if not effect.each:
        return write(subject, maker, given=scope)[0]
    arguments = subject.world.arguments(maker)
    for entry in arguments[effect.each[1:]]:
        entry.update(scope)
    return write(subject, maker, given=arguments)[0]


def _elsewhere(made: Made, name: str, value: str) -> Made:
    """Return the same record as if it had been written under another name."""
    return Made(
        made.resource, made.id, made.operation, {**made.arguments, name: value}, made.exchange,
        made.principal, {**made.whole, name: value},
    )  # fmt: skip


def _filtered(contract: Contract) -> list[Operation]:
    return [
        o for o in contract
        if o.effect and o.effect.kind in ("list", "search")
        and creators(contract, o.effect.resource or "") and filters(o, contract)
    ]  # fmt: skip


def filters(operation: Operation, contract: Contract) -> list[str]:
    """Return the arguments that select by a property which creation sets under the same name."""
    effect = operation.effect
    assert effect is not None
    maker = creators(contract, effect.resource or "")[0]
    paging = operation.pagination
    control = {effect.query, *(effect.scope)}
    if paging is not None:
        control |= moving(paging)
    written = properties(maker)
    return [n for n in properties(operation)
            if n in written and n not in control and n not in required(operation)]  # fmt: skip


@CASES.case("state.filters", "ST2", each=_filtered)
def testfilters(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A filter shows what fits it and nothing else."""
    effect = operation.effect
    assert effect is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    for name in filters(operation, subject.contract):
        one, two = two_values(subject, maker, name)
        if one is None or one == two:
            continue
        fits = write(subject, maker, given={name: one})[0]
        other = write(subject, maker, given={**_beside(maker, fits, name), name: two})[0]
        scope = {effect.query: ""} if effect.query and effect.query in required(operation) else {}
        view = _filtered_view(subject, operation, fits, {**scope, name: one})
        if view.count == 0:
            yield found(
                "ST2", f"what fits the filter {name} is not shown", fits.exchange, view.exchange,
                cause=f"filter-hides {operation.id} {name}", operation=operation,
                basis=effect.basis,
            )  # fmt: skip
        wrong = _filtered_view(subject, operation, other, {**scope, name: one})
        if wrong.count:
            yield found(
                "ST2", f"what does not fit the filter {name} is shown", other.exchange,
                wrong.exchange, cause=f"filter-ignored {operation.id} {name}",
                operation=operation, basis=effect.basis,
            )  # fmt: skip


def _beside(maker: Operation, made: Made, without: str) -> dict[str, Any]:
    names = set(maker.effect.scope) if maker.effect else set()
    return {n: made.whole[n] for n in names & required(maker) if n in made.whole and n != without}


def two_values(subject: BackendSubject, maker: Operation, name: str) -> tuple[Any, Any]:
    """Return two values that a property can have; the same one twice where there is but one."""
    from specs.examples import example

    schema = properties(maker)[name]
    if schema.get("type") == "array":
        return [subject.name("f")], [subject.name("f")]
    values = [example(schema, seed=n) for n in range(4)]
    return values[0], next((v for v in values if v != values[0]), values[0])


def _filtered_view(
    subject: BackendSubject, operation: Operation, made: Made, asked: Mapping[str, Any]
) -> View:
    """Look for a record in a filtered list or search."""
    scope = {**scoped(operation, made.whole), **asked}
    effect = operation.effect
    assert effect is not None
    if effect.kind == "search":
        exchange = subject.send(operation, subject.world.arguments(operation, given=scope))
        return view_of(operation, exchange, made, "")
    pages = walk(subject, operation, scope, max_size(operation)).pages
    seen = [view_of(operation, page.exchange, made, "") for page in pages]
    return max(seen, key=lambda view: view.count)


# -- forgetting ---------------------------------------------------------------------------------


def _forgetting(contract: Contract) -> list[Operation]:
    return [
        o for o in contract
        if o.effect and o.effect.kind == "forget" and creators(contract, o.effect.resource or "")
    ]  # fmt: skip


TIMES = ("2031-02-01T01:00:00+02:00", "2031-01-31T23:00:00-02:00", "2031-03-10T00:00:00Z",
         "2031-04-10T00:00:00Z")  # fmt: skip
"""Times of four records; the range to forget holds the two in the middle. The first two lie on
the other side of its beginning for whoever loses their offsets."""
SINCE, UNTIL = "2031-02-01T00:00:00Z", "2031-04-01T00:00:00Z"


@CASES.case("state.forgotten", "ST9", "ST10", each=_forgetting)
def test_forgotten(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Forgetting takes exactly its range, thread or user, and its receipt says what it took."""
    effect = operation.effect
    assert effect is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    yield from _by_range(subject, operation, maker)
    yield from _by_scope(subject, operation, maker)
    yield from _everything(subject, operation, maker)


def _searcher(subject: BackendSubject, made: Made) -> Operation:
    for viewer in viewers(subject.contract, made, "list", "search"):
        if tellable(viewer, made):
            return viewer
    raise Inconclusive("nothing shows what is left")


def _by_range(subject: BackendSubject, operation: Operation, maker: Operation) -> Iterator[Finding]:
    effect, time = operation.effect, maker.effect.time if maker.effect else None
    assert effect is not None
    if not (effect.since and effect.until and time):
        return
    scope = _fresh_scope(subject, operation, maker)
    made = [write(subject, maker, given={**scope, time: at})[0] for at in TIMES]
    yield from _forget(
        subject, operation, {**scope, effect.since: SINCE, effect.until: UNTIL}, made,
        [False, True, True, False], "range",
    )  # fmt: skip


def _fresh_scope(subject: BackendSubject, operation: Operation, maker: Operation) -> dict[str, Any]:
    known = properties(maker)
    return {n: subject.name(n) for n in required(operation) if n in known}


def _by_scope(subject: BackendSubject, operation: Operation, maker: Operation) -> Iterator[Finding]:
    """Forget one optional scope: what is outside of it stays."""
    effect = operation.effect
    assert effect is not None
    known = properties(maker)
    for name, kind in effect.scope.items():
        if kind != "free" or name in required(operation) or name not in known:
            continue
        scope = _fresh_scope(subject, operation, maker)
        mine, theirs = subject.name(name), subject.name(name)
        made = [write(subject, maker, given={**scope, name: n})[0] for n in (mine, theirs, mine)]
        made.append(write(subject, maker, given=scope)[0])
        yield from _forget(
            subject, operation, {**scope, name: mine}, made, [True, False, True, False], name
        )


def _everything(
    subject: BackendSubject, operation: Operation, maker: Operation
) -> Iterator[Finding]:
    """Forget a whole required scope: another one stays."""
    scope = _fresh_scope(subject, operation, maker)
    other = _fresh_scope(subject, operation, maker)
    made = [write(subject, maker, given=scope, seed=n)[0] for n in range(3)]
    made.append(write(subject, maker, given=other)[0])
    yield from _forget(subject, operation, scope, made, [True, True, True, False], "all")


def _forget(
    subject: BackendSubject,
    operation: Operation,
    scope: Mapping[str, Any],
    made: list[Made],
    taken: list[bool],
    what: str,
) -> Iterator[Finding]:
    effect = operation.effect
    assert effect is not None
    viewer = _searcher(subject, made[0])
    for each in made:
        if wait_for(subject, viewer, each).count == 0:
            raise Inconclusive("what was written does not show, so its vanishing proves nothing")
    exchange = subject.send(operation, subject.world.arguments(operation, given=scope))
    if not ok(exchange):
        raise Inconclusive(f"{operation.id} was answered {told(exchange)}")
    for each, goes in zip(made, taken, strict=True):
        view = look(subject, viewer, each)
        if bool(view.count) is goes:
            yield found(
                "ST9", f"forgetting by {what} leaves something of its range behind" if goes
                else f"forgetting by {what} takes something outside of its range",
                exchange, view.exchange,
                cause=f"forget-{'leaves' if goes else 'takes'} {what}", operation=operation,
                basis=effect.basis,
            )  # fmt: skip
            break
    yield from _receipt(subject, operation, exchange, sum(taken), what)


def _receipt(
    subject: BackendSubject, operation: Operation, exchange: Exchange, count: int, what: str
) -> Iterator[Finding]:
    """ST10: the answer counts what went, and the receipt that is kept says the same."""
    effect = operation.effect
    assert effect is not None
    said = value_at(exchange, effect.count)
    if isinstance(said, int) and said != count:
        yield found(
            "ST10", f"forgetting {count} records is counted as {said}", exchange,
            cause="forget-count", operation=operation, basis=effect.basis, expected=count,
            actual=said,
        )  # fmt: skip
    receipt = value_at(exchange, effect.receipt)
    if receipt is MISSING or not isinstance(receipt, str):
        return
    for reader in operations_on(subject.contract, "receipt", "read"):
        target = reader.effect.target if reader.effect else None
        if target is None:
            continue
        kept = subject.send(reader, {target: receipt})
        yield from _kept_receipt(operation, reader, exchange, kept, said)


def _kept_receipt(
    operation: Operation, reader: Operation, exchange: Exchange, kept: Exchange, said: Any
) -> Iterator[Finding]:
    effect = operation.effect
    assert effect is not None
    basis = reader.effect.basis if reader.effect else reader.basis
    if not ok(kept):
        yield found(
            "ST10", f"the receipt that was given is answered {told(kept)}", exchange, kept,
            cause="receipt-gone", operation=reader, basis=basis, expected="2xx",
            actual=told(kept),
        )  # fmt: skip
        return
    there = value_at(kept, effect.count)
    if isinstance(said, int) and there is not MISSING and there != said:
        yield found(
            "ST10", "the kept receipt counts otherwise than the answer did", exchange, kept,
            cause="receipt-differs", operation=reader, basis=basis, expected=said, actual=there,
        )  # fmt: skip
    asked, shown = exchange.request.json_or_none(), value_at(kept, "/scope")
    if isinstance(asked, dict) and isinstance(shown, dict):
        wrong = oracle.differences(
            {n: v for n, v in asked.items() if shown.get(n) is not None or n == "user_id"}, shown
        )
        if wrong:
            yield found(
                "ST10", f"the kept receipt shows another {wrong[0]} than was asked for", exchange,
                kept, cause=f"receipt-scope {wrong[0]}", operation=reader, basis=basis,
            )  # fmt: skip
