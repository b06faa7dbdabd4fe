"""Lists that are walked page by page (PG*), of any style that the contract declares."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from conformance.backend.filling import Filled, filled
from conformance.backend.judging import judge_all
from conformance.backend.listing import (
    PAGES_MAX,
    Page,
    Walk,
    all_ids,
    max_size,
    page_of,
    read_page,
    walk,
)  # fmt: skip
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.test_collections import filters, two_values
from conformance.backend.world import creators, properties, required
from conformance.oracles import envelope, pages, relations
from conformance.oracles.found import found, ok, told, value_at, value_in
from conformance.verdict import Finding, Inconclusive, Need, NotApplicable
from specs import Basis, Contract, Operation
from specs.constraints import Kind, member, resting, stated
from specs.paging import after, by, counted, cursor, first, parameter, steady
from specs.vocabulary import Pagination, Relation

TRIES = 3
Judge = Callable[[BackendSubject, Operation], Iterable[Finding]]
QUIET_MAX = 300
"""A list with more items than this, not our own, is walked in large pages only."""


def _lists(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.pagination is not None]


def _undisturbed(judge: Judge) -> Judge:
    """Judge again where somebody else changed the list meanwhile; Inconclusive if it never rests.

    Only lists that no argument narrows to this run's own items can be changed by others.
    """

    @functools.wraps(judge)
    def run(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
        for _ in range(TRIES):
            before = _everything(subject, operation)
            findings = list(judge(subject, operation))
            if not findings or before is None or subject.alone:
                return findings
            steady = _everything(subject, operation)
            if steady is not None and steady == _everything(subject, operation):
                again = list(judge(subject, operation))
                if again:
                    return again
        raise Inconclusive("somebody else changes the list all the time")

    return run


def _everything(subject: BackendSubject, operation: Operation) -> frozenset[str] | None:
    """Return all that an unscoped list shows, None where it needs a scope or cannot be read."""
    effect = operation.effect
    if effect is None or required(operation) or any(k == "free" for k in effect.scope.values()):
        return None
    try:
        return all_ids(subject, operation, {})
    except Inconclusive:
        return None


@CASES.case("pagination.sizes", "PG1", "PG2", "PG3", "PG13", "PG5", each=_lists)
@_undisturbed
def test_sizes(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Whatever the page size, a traversal shows the same items once, in one order, and all."""
    have = filled(subject, operation)
    if have.paging.limit is None:
        raise NotApplicable("no page size can be asked for")
    whole = walk(subject, operation, have.scope, max_size(operation))
    count = len(whole.keys)
    walks = [whole, *_walks(subject, operation, have, count)]
    for each in walks:
        yield from judge_all(subject, [p.exchange for p in each.pages])
        yield from pages.endless(operation, each)
        yield from pages.repeats(operation, each)
        yield from pages.sizes(operation, each)
        yield from pages.totals(operation, each)
        yield from pages.more(operation, each)
    yield from pages.same(operation, walks, have.ids)


def _walks(subject: BackendSubject, operation: Operation, have: Filled, count: int) -> list[Walk]:
    """Walk a list in pages of many sizes; a long one in large pages only."""
    most = max_size(operation)
    wanted = {1, 2, 3, count - 1, count, count + 1, most}
    if count > QUIET_MAX:
        largest = min(most or count, count)
        wanted = {largest, largest - 1, largest // 2 + 1, largest // 3 + 1}
    sizes = sorted(s for s in wanted if s and s > 0 and (most is None or s <= most))
    if count > QUIET_MAX and count / sizes[0] > PAGES_MAX:
        raise Inconclusive(f"the list has {count} items; give a tenant with fewer")
    return [
        walk(subject, operation, have.scope, size)
        for size in sizes if size > 1 or count <= 40
    ]  # fmt: skip


@CASES.case("pagination.first-page", "PG5", "PG13", each=_lists)
@_undisturbed
def test_first_page(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """The first page says truly whether there is more, and how many there are."""
    have = filled(subject, operation, 3)
    if have.paging.limit is None:
        raise NotApplicable("no page size can be asked for")
    everything = walk(subject, operation, have.scope, max_size(operation))
    count = len(everything.keys)
    most = max_size(operation)
    for size in {1, 2, max(1, count - 1), count, count + 1}:
        if most is not None and size > most:
            continue
        page = read_page(subject, operation, have.scope, first(have.paging, size))
        yield from pages.first_says(operation, page, count)
        if have.paging.total is not None and page.total != count:
            yield found(
                "PG13", "the first page's total is not the number of items", page.exchange,
                cause="total-wrong", operation=operation, basis=have.paging.basis,
                expected=count, actual=page.total,
            )  # fmt: skip


@CASES.case("pagination.default-size", "PG6", each=_lists)
def test_default_size(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A page size that is left out is no error and means the declared default."""
    paging = operation.pagination
    assert paging is not None
    count = min((paging.default_limit or 5) + 1, 60)
    have = filled(subject, operation, count)
    exchange = subject.send(operation, have.scope)
    if not ok(exchange):
        yield found(
            "PG6", f"a list without a page size is answered {told(exchange)}", exchange,
            cause="no-size-refused", operation=operation, expected="2xx", actual=exchange.status,
        )  # fmt: skip
        return
    page = page_of(operation, exchange, {})
    wanted = paging.default_limit
    if wanted is not None and len(have.ids) > wanted and len(page.keys) != wanted:
        yield found(
            "PG6", "the default page size is not the declared one", exchange,
            cause="default-size", operation=operation, basis=paging.basis,
            expected=wanted, actual=len(page.keys),
        )  # fmt: skip


@CASES.case("pagination.bounds", "PG6", "PG7", "PG8", "ER5", each=_lists)
def test_bounds(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Page sizes and positions out of bounds are refused or trimmed, as declared."""
    have = filled(subject, operation, 2)
    paging = have.paging
    checks: list[tuple[str, str, dict[str, Any]]] = []
    if paging.limit:
        checks += [("PG7", "a negative page size", {paging.limit: -1})]
        if _minimum(operation, paging.limit) == 1:
            checks += [("PG7", "a page size of zero", {paging.limit: 0})]
        checks += [("CT4", "a page size in words", {paging.limit: "many"})]
    position = paging.offset or paging.page
    if position:
        checks += [
            ("PG7", "a negative position", {position: -1}),
            ("CT4", "a position in words", {position: "middle"}),
        ]
    for requirement, what, asked in checks:
        kind = Kind.TYPE if requirement == "CT4" else Kind.BOUND
        basis = _argument_basis(operation, next(iter(asked)), kind)
        exchange = subject.send(operation, {**have.scope, **asked})
        yield from judge_all(subject, [exchange], also=frozenset({400, 422}))
        yield from envelope.provoked(
            operation, exchange, "invalid", what, requirement=requirement,
            cause=f"page-bounds {what}", basis=basis,
        )  # fmt: skip
    yield from _over_max(subject, operation, have)


def _over_max(subject: BackendSubject, operation: Operation, have: Filled) -> Iterable[Finding]:
    most, paging = max_size(operation), have.paging
    if most is None or paging.limit is None:
        return
    exchange = subject.send(operation, {**have.scope, paging.limit: most + 1})
    if paging.over_max == "clamp" and not ok(exchange):
        yield found(
            "PG8", "a page size above the largest is refused where it is trimmed", exchange,
            cause="over-max-refused", operation=operation, basis=paging.basis,
            expected="2xx", actual=exchange.status,
        )  # fmt: skip
    elif paging.over_max != "clamp":
        yield from envelope.provoked(
            operation, exchange, "invalid", "a page size above the largest", requirement="PG8",
            cause="over-max", basis=_argument_basis(operation, paging.limit, Kind.BOUND),
        )  # fmt: skip


def _minimum(operation: Operation, name: str | None) -> Any:
    return next((p.schema.get("minimum") for p in operation.parameters if p.name == name), None)


def _argument_basis(operation: Operation, name: str, kind: Kind) -> Basis:
    """Return on what one rule of a paging argument rests; no bound rests on nothing stated."""
    schema = next((p.schema for p in operation.parameters if p.name == name), {})
    if kind is Kind.BOUND and not {"minimum", "maximum", "exclusiveMinimum"} & set(schema):
        return Basis.ASSUMED
    return resting(operation, kind, member(operation, name), stated(schema, kind))


@CASES.case("pagination.beyond-end", "PG14", each=_lists)
@_undisturbed
def test_beyond_end(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A position past the end is answered with an empty page, or as declared."""
    have = filled(subject, operation, 2)
    paging = have.paging
    if not counted(paging):
        raise NotApplicable("positions are not numbers here")
    position = parameter(paging)
    whole = walk(subject, operation, have.scope, max_size(operation))
    count = len(whole.keys)
    for at in (count, count + 1, count + 1000):
        number = at if by(paging) == "offset" else at + 2
        exchange = subject.send(operation, {**have.scope, position: number})
        if paging.beyond_end == "error":
            yield from envelope.provoked(
                operation, exchange, "invalid", "a position past the end", requirement="PG14",
                cause="beyond-end", basis=paging.basis,
            )  # fmt: skip
            continue
        if not ok(exchange):
            yield found(
                "PG14", f"a position past the end is answered {told(exchange)}", exchange,
                cause="beyond-end-refused", operation=operation, basis=paging.basis,
                expected="an empty page", actual=exchange.status,
            )  # fmt: skip
            continue
        page = page_of(operation, exchange, {position: number})
        if page.keys:
            yield found(
                "PG14", "a page past the end has items", exchange, cause="beyond-end-items",
                operation=operation, basis=paging.basis, expected=0, actual=len(page.keys),
            )  # fmt: skip
        yield from _end_facts(operation, paging, page, count)


def _end_facts(
    operation: Operation, paging: Pagination, page: Page, count: int
) -> Iterable[Finding]:
    if paging.has_more is not None and page.has_more is not False:
        yield found(
            "PG5", "has-more is claimed past the end", page.exchange, cause="has-more-past-end",
            operation=operation, basis=paging.basis, expected=False, actual=page.has_more,
        )  # fmt: skip
    if paging.total is not None and page.total != count:
        yield found(
            "PG13", "the total past the end is not the number of items", page.exchange,
            cause="total-past-end", operation=operation, basis=paging.basis,
            expected=count, actual=page.total,
        )  # fmt: skip


@CASES.case("pagination.size-change", "PG9", each=_lists)
@_undisturbed
def test_size_change(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """The page size may change in the middle of a traversal, without gap or repeat."""
    have = filled(subject, operation)
    paging = have.paging
    if paging.limit is None or by(paging) == "page":
        raise NotApplicable("page numbers depend on one page size, or none can be asked for")
    pages_read: list[Page] = []
    asked: dict[str, Any] | None = first(paging, 1)
    seen = 0
    for number in range(200):
        if asked is None:
            break
        page = read_page(subject, operation, have.scope, asked)
        pages_read.append(page)
        seen += len(page.keys)
        asked = after(paging, page, asked, (2, 3, 1)[number % 3], seen)
        if asked is not None and counted(paging) and not page.keys:
            asked = None
    mixed = Walk(tuple(pages_read), ended=asked is None)
    for finding in (*pages.repeats(operation, mixed), *pages.endless(operation, mixed)):
        yield finding.at(requirement="PG9")
    missing = have.ids - set(mixed.keys)
    if missing and mixed.ended:
        yield found(
            "PG9", "items are missed when the page size changes", *[p.exchange for p in
            pages_read[:3]], cause="gap-size-change", operation=operation, basis=paging.basis,
        )  # fmt: skip


@CASES.case("pagination.order", "PG4", each=_lists)
@_undisturbed
def test_order(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Items come in the declared order, across pages too."""
    paging = operation.pagination
    assert paging is not None
    if paging.order is None or paging.order_by is None:
        raise NotApplicable("no order is declared")
    have = filled(subject, operation)
    read = walk(subject, operation, have.scope, 3 if paging.limit else None)
    values: dict[str, Any] = {}
    for page in read.pages:
        items = value_at(page.exchange, paging.items)
        for item in items if isinstance(items, list) else []:
            order_by = paging.order_by if paging.order_by.startswith("/") else f"/{paging.order_by}"
            values[str(value_in(item, paging.item_key))] = value_in(item, order_by)
    yield from pages.ordered(operation, read, values)


def _sortable(contract: Contract) -> list[Operation]:
    """Return the lists that promise an order of their items where an argument asks for it."""
    return [o for o in _lists(contract) if list(_orders(o))]


def _orders(operation: Operation) -> Iterator[Relation]:
    items = operation.pagination.items if operation.pagination else ""
    for relation in operation.relations:
        if relation.op in relations.ORDERS and relation.left.startswith(f"{items}/*/"):
            yield relation


@CASES.case("pagination.sorted", "PG4", each=_sortable)
@_undisturbed
def test_sorted(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """An order that was asked for holds from the first page of a traversal to the last."""
    have = filled(subject, operation)
    if have.paging.limit is None:
        raise NotApplicable("no page size can be asked for")
    for relation in _orders(operation):
        asked = {**have.scope, **relation.when}
        whole = walk(subject, operation, asked, max_size(operation))
        size = max(2, -(-len(whole.keys) // SORTED_PAGES))
        read = walk(subject, operation, asked, size)
        yield from pages.sorted_throughout(operation, read, relation)


SORTED_PAGES = 12
"""Pages that a sorted traversal is cut into at most."""


def _narrowable(contract: Contract) -> list[Operation]:
    """Return the lists that an argument narrows by a property that creation sets."""
    return [
        o for o in _lists(contract)
        if o.effect and creators(contract, o.effect.resource or "") and filters(o, contract)
    ]  # fmt: skip


@CASES.case("pagination.filtered", "PG1", "ST2", each=_narrowable)
def test_filtered(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A filter holds from the first page of a traversal to the last, whatever the page size."""
    have = filled(subject, operation, 2)
    effect = operation.effect
    assert effect is not None
    if have.paging.limit is None:
        raise NotApplicable("no page size can be asked for")
    maker = creators(subject.contract, effect.resource or "")[0]
    for name in filters(operation, subject.contract):
        one, two = two_values(subject, maker, name)
        if one is None or one == two:
            continue
        within = {n: v for n, v in have.scope.items() if n in properties(maker)}
        made: dict[bool, set[str]] = {True: set(), False: set()}
        for number in range(FILTERED):  # in turn, so that every page of a list of all has both
            given = {**within, name: two if number % 2 else one}
            record = subject.world.make(effect.resource or "", given=given, seed=number)
            made[number % 2 == 0].add(record.id)
        read = walk(subject, operation, {**have.scope, name: one}, 2)
        yield from pages.narrowed(operation, read, name, made[True], made[False])


FILTERED = 10
"""Records made for a filtered traversal, half of which fit."""


def _tokens(contract: Contract) -> list[Operation]:
    return [o for o in _lists(contract) if o.pagination and steady(o.pagination)]


@CASES.case("pagination.forged-cursor", "PG12", each=_tokens)
def test_forged_cursor(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A cursor that the server never gave is refused with a 4xx."""
    have = filled(subject, operation, 3)
    paging = have.paging
    page = read_page(subject, operation, have.scope, first(paging, 1))
    given = cursor(paging, page) or ""
    forged = ["memconform", "", "../../etc/passwd", given[:-2], given[::-1], given + "x"]
    for mark in forged:
        if not mark or mark == given:
            continue
        exchange = subject.send(operation, {**have.scope, parameter(paging): mark})
        yield from envelope.provoked(
            operation, exchange, "invalid", "a forged cursor", requirement="PG12",
            cause="forged-cursor", basis=paging.basis,
        )  # fmt: skip
        if exchange.status is None or exchange.status >= 500:
            yield found(
                "PG12", "a forged cursor makes the server fail", exchange,
                cause="forged-cursor-fails", operation=operation, basis=paging.basis,
            )  # fmt: skip


@CASES.case("pagination.foreign-cursor", "PG11", each=_tokens)
def test_foreign_cursor(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Another tenant's cursor shows nothing of that tenant."""
    owner, other = subject.principals(2)
    have = filled(subject, operation, 4)
    page = read_page(subject, operation, have.scope, first(have.paging, 1))
    mark = cursor(have.paging, page)
    if not mark:
        raise Inconclusive("the first page gives no cursor")
    asked = {**have.scope, parameter(have.paging): mark}
    exchange = subject.send(operation, asked, key=other)
    shown = set(page_of(operation, exchange, {}).keys) if ok(exchange) else set()
    if shown & _ids(subject, operation, have, owner) - _ids(subject, operation, have, other):
        yield found(
            "PG11", "a cursor opens another tenant's list", page.exchange, exchange,
            cause="foreign-cursor", operation=operation, basis=have.paging.basis,
        )  # fmt: skip


def _ids(subject: BackendSubject, operation: Operation, have: Filled, key: str) -> frozenset[str]:
    """Return what a tenant's list shows; nothing where the tenant has no such list."""
    try:
        return all_ids(subject, operation, have.scope, key)
    except Inconclusive:
        return frozenset()


@CASES.case("pagination.changed-filter", "PG10", each=_tokens)
def test_changed_filter(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A cursor is refused under other filters than it was given for."""
    have = filled(subject, operation, 4)
    page = read_page(subject, operation, have.scope, first(have.paging, 1))
    mark = cursor(have.paging, page)
    free = [n for n, v in have.scope.items() if isinstance(v, str)]
    if not mark or not free:
        raise NotApplicable("there is no filter to change, or no cursor")
    asked = {**have.scope, free[0]: subject.name("other"),
             parameter(have.paging): mark}  # fmt: skip
    exchange = subject.send(operation, asked)
    yield from envelope.provoked(
        operation, exchange, "invalid", "a cursor under another filter", requirement="PG10",
        cause="changed-filter", basis=have.paging.basis,
    )  # fmt: skip


def _ageing(contract: Contract) -> list[Operation]:
    return [o for o in _tokens(contract) if o.pagination and o.pagination.cursor_ttl]


@CASES.case("pagination.expired-cursor", "PG12", each=_ageing)
def test_expired_cursor(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A cursor is good for its published time, and refused with a 4xx after it."""
    have = filled(subject, operation, 4)
    ttl = have.paging.cursor_ttl
    assert ttl is not None
    if ttl > TTL_MAX and not subject.deep:
        raise Inconclusive(
            f"cursors live {ttl:g} s; --deep and --max-seconds reach that",
            Need(
                "time to wait until something expires",
                "--deep, and --max-seconds above {amount}",
                ttl,
            ),
        )
    page = read_page(subject, operation, have.scope, first(have.paging, 1))
    mark = cursor(have.paging, page)
    if not mark:
        raise Inconclusive("the first page gives no cursor")
    asked = {**have.scope, parameter(have.paging): mark}
    at_once = subject.send(operation, asked)
    if not ok(at_once):
        yield found(
            "PG12", f"a cursor that was just given is answered {told(at_once)}", page.exchange,
            at_once, cause="fresh-cursor-refused", operation=operation, basis=have.paging.basis,
            expected="2xx", actual=told(at_once),
        )  # fmt: skip
        return
    subject.wait(ttl + 1, "waiting until a cursor is out of date")
    exchange = subject.send(operation, asked)
    yield from envelope.provoked(
        operation, exchange, "invalid", "a cursor that is out of date", requirement="PG12",
        cause="expired-cursor", basis=have.paging.basis,
    )  # fmt: skip


TTL_MAX = 20
"""Seconds that a cursor may live for its end to be waited for without --deep."""
