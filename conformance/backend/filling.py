"""Lists with something in them: what cases about paging walk, made the way that the list allows.

Items are created directly, through another API of the product, by the operation whose effect
they are, or taken as they are found. Nothing here judges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.backend.listing import all_ids, max_size, page_of
from conformance.backend.world import creators, properties, required
from conformance.oracles.found import value_at
from conformance.verdict import Inconclusive
from specs import Operation
from specs.vocabulary import Pagination

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

COUNT = 7
"""Items made for a walk: enough for several pages of one, two and three."""


@dataclass(frozen=True)
class Filled:
    """A list with some items that this case made, and the arguments that show only those."""

    paging: Pagination
    scope: Mapping[str, Any]
    ids: frozenset[str]
    order: tuple[str, ...]
    """The same ids in the order in which they were made."""
    narrow: bool
    """True where the scope shows nothing but what was made here."""


def filled(subject: BackendSubject, operation: Operation, count: int = COUNT) -> Filled:
    """Make items for a list. Raises Inconclusive where nothing makes any."""
    effect, paging = operation.effect, operation.pagination
    assert paging is not None
    if effect is None or effect.resource is None:
        raise Inconclusive("the contract does not say which resource it lists")
    scope, narrow = _scope(subject, operation)
    if creators(subject.contract, effect.resource):
        ids: list[str] = []
        while len(ids) < count:
            made = subject.world.make_all(effect.resource, given=scope, seed=len(ids))
            ids += [m.id for m in made]
        return Filled(paging, _asked(operation, scope), frozenset(ids), tuple(ids), narrow)
    elsewhere = made_elsewhere(subject, effect.resource, scope, count)
    if elsewhere is not None:
        return Filled(paging, _asked(operation, scope), frozenset(elsewhere), elsewhere, narrow)
    others = _made_otherwise(subject, operation, scope, count)
    if others is None:
        return _as_it_is(subject, operation, paging)
    return Filled(paging, _asked(operation, scope), frozenset(others), (), narrow)


def made_elsewhere(
    subject: BackendSubject, resource: str, scope: Mapping[str, Any], count: int
) -> tuple[str, ...] | None:
    """Make items through another API of the same product; None where none was named."""
    for sibling in subject.siblings:
        if not creators(sibling.contract, resource):
            continue
        sibling.enter(subject.case)
        ids: list[str] = []
        while len(ids) < count:
            made = sibling.world.make_all(resource, given=scope, seed=len(ids))
            ids += [m.id for m in made]
        return tuple(ids)
    return None


def _as_it_is(subject: BackendSubject, operation: Operation, paging: Pagination) -> Filled:
    """Take what somebody else has put into a list; narrow it to what has a name in common."""
    effect = operation.effect
    exchange = subject.send(operation, {paging.limit: max_size(operation)} if paging.limit else {})
    page = page_of(operation, exchange, {})
    items = value_at(exchange, paging.items)
    scope: dict[str, Any] = {}
    for name in [n for n, k in (effect.scope if effect else {}).items() if k == "free"]:
        values = [i.get(name) for i in items if isinstance(i, dict)]
        best, count = Counter(v for v in values if isinstance(v, str)).most_common(1)[0] if (
            any(isinstance(v, str) for v in values)) else ("", 0)  # fmt: skip
        if count >= 3:
            scope = {name: best}
            page = page_of(operation, subject.send(operation, scope), {})
            break
    if len(page.keys) < 2:
        raise Inconclusive(
            f"the list has {len(page.keys)} items and no operation of this API makes any; name an "
            "API of the same product that does with --also NAME=URL"
        )
    return Filled(paging, scope, frozenset(page.keys), (), bool(scope))


def _asked(operation: Operation, scope: Mapping[str, Any]) -> dict[str, Any]:
    known = properties(operation)
    return {name: value for name, value in scope.items() if name in known}


def _scope(subject: BackendSubject, operation: Operation) -> tuple[dict[str, Any], bool]:
    """Return arguments that narrow a list to what one case makes, where the contract has any."""
    effect = operation.effect
    assert effect is not None
    known = properties(operation)
    scope: dict[str, Any] = {}
    for name, kind in effect.scope.items():
        if kind == "free" and name in known:
            scope[name] = subject.name(name)
        elif kind != "free" and (name in required(operation)):
            scope[name] = subject.world.make(kind).id
    return scope, bool(scope)


def _made_otherwise(
    subject: BackendSubject, operation: Operation, scope: Mapping[str, Any], count: int
) -> set[str] | None:
    """Make listed things that come about by another operation: receipts, yields of events.

    Return their ids, None where nothing makes any.
    """
    effect = operation.effect
    assert effect is not None
    for other in subject.contract:
        mine = other.effect
        if mine is None:
            continue
        if mine.receipt and effect.resource == "receipt":
            return _receipts(subject, other, scope, count)
        if mine.yields == effect.resource:
            return _yielded(subject, operation, other, scope, count)
    return None


def _receipts(
    subject: BackendSubject, maker: Operation, scope: Mapping[str, Any], count: int
) -> set[str]:
    ids = set()
    known = properties(maker)
    for _ in range(count):
        given = {n: v for n, v in scope.items() if n in known}
        exchange = subject.send(maker, subject.world.arguments(maker, given=given))
        ids.add(str(value_at(exchange, maker.effect.receipt if maker.effect else None)))
    return ids


def _yielded(
    subject: BackendSubject,
    lister: Operation,
    maker: Operation,
    scope: Mapping[str, Any],
    count: int,
) -> set[str]:
    """Make what processing turns into listed things, and wait until they are listed."""
    asked = _asked(lister, scope)
    before = all_ids(subject, lister, asked)
    effect = maker.effect
    assert effect is not None
    made = 0
    while made < count:
        made += len(subject.world.make_all(effect.resource or "", seed=made))
    for _ in range(max(1, int(effect.delay * 4))):
        now = all_ids(subject, lister, asked) - before
        if len(now) >= count:
            return set(now)
        subject.wait(0.25, "waiting until what was written is listed")
    raise Inconclusive(f"{made} were made and {len(now)} listed after {effect.delay:g} s")
