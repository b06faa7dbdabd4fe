"""Pages against each other: no gap, no repeat, honest totals, one order (PG1–PG14).

Walks come in as sequences of keys and page facts; nothing here sends or knows a paging style.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from conformance.history import Exchange
from conformance.oracles.found import found
from conformance.oracles.relations import in_order, values
from conformance.plural import many
from conformance.verdict import Finding
from specs import Operation
from specs.paging import counted, linked
from specs.vocabulary import Pagination, Relation


class PageLike(Protocol):
    """What the rules need of a page."""

    @property
    def exchange(self) -> Exchange:
        """Where it came from."""

    @property
    def keys(self) -> tuple[str, ...]:
        """What identifies each item, in order."""

    @property
    def total(self) -> Any:
        """The total as stated, None where none is."""

    @property
    def has_more(self) -> Any:
        """The has-more flag as stated, None where there is none."""

    @property
    def next(self) -> Any:
        """The next cursor, None at the end."""


class WalkLike(Protocol):
    """What the rules need of a traversal."""

    @property
    def pages(self) -> Sequence[PageLike]:
        """Its pages in order."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Everything seen, in order."""

    @property
    def ended(self) -> bool:
        """True where the server said that it was the end."""

    @property
    def size(self) -> int | None:
        """The page size asked for."""


def _paging(operation: Operation) -> Pagination:
    assert operation.pagination is not None
    return operation.pagination


def _with(walk: WalkLike, page: PageLike) -> list[Exchange]:
    """Return the exchanges of a walk, that of the page at fault last."""
    others = [p.exchange for p in walk.pages if p is not page]
    return [*others, page.exchange]


def repeats(
    operation: Operation, walk: WalkLike, among: Collection[str] | None = None
) -> Iterator[Finding]:
    """PG2: no item (`among` some, where given) comes twice in one traversal."""
    twice = [
        key for key, count in Counter(walk.keys).items()
        if count > 1 and (among is None or key in among)
    ]  # fmt: skip
    if twice:
        shown = [p.exchange for p in walk.pages if set(p.keys) & set(twice)]
        told = many(len(twice), "item", "comes", "come")
        yield found(
            "PG2", f"{told} more than once in one traversal", *shown,
            cause="item-twice", operation=operation, basis=_paging(operation).basis,
        )  # fmt: skip


def sorted_throughout(
    operation: Operation, walk: WalkLike, relation: Relation
) -> Iterator[Finding]:
    """PG4: an order that was asked for holds over the pages as one list."""
    read: list[Any] = []
    for page in walk.pages:
        body = page.exchange.response.json_or_none() if page.exchange.response else None
        read += values(body, relation.left)
        if not in_order(read, relation.op):
            yield found(
                "PG4", f"a traversal loses its order: {relation.left} {relation.op} does not hold "
                "over its pages", walk.pages[0].exchange, page.exchange,
                cause=f"order-lost {relation.left} {relation.op}", operation=operation,
                basis=relation.basis,
            )  # fmt: skip
            return


def narrowed(
    operation: Operation,
    walk: WalkLike,
    name: str,
    fitting: Collection[str],
    others: Collection[str],
) -> Iterator[Finding]:
    """PG1, ST2: a filtered traversal shows what fits, on every page, and nothing else."""
    wrong = [p for p in walk.pages if set(p.keys) & set(others)]
    if wrong:
        yield found(
            "ST2", f"a page of a traversal shows what does not fit its filter {name}",
            walk.pages[0].exchange, wrong[0].exchange, cause=f"filter-forgotten {name}",
            operation=operation, basis=_paging(operation).basis,
        )  # fmt: skip
    missing = set(fitting) - set(walk.keys)
    if missing and walk.ended:
        yield found(
            "PG1", f"a traversal with the filter {name} misses {len(missing)} of "
            f"{len(set(fitting))} items that fit", *[p.exchange for p in walk.pages],
            cause=f"filter-gap {name}", operation=operation, basis=_paging(operation).basis,
        )  # fmt: skip


def endless(operation: Operation, walk: WalkLike) -> Iterator[Finding]:
    """PG5: a traversal comes to an end.

    One that was cut short may just be long: it is endless where it repeats itself, shows pages
    with nothing on them, or goes on past the total that it states.
    """
    keys = [key for page in walk.pages for key in page.keys]
    total = walk.pages[-1].total if walk.pages else None
    turning = len(set(keys)) < len(keys) or any(not page.keys for page in walk.pages)
    if not walk.ended and (turning or (isinstance(total, int) and len(keys) > total)):
        yield found(
            "PG5", "a traversal does not come to an end", *[p.exchange for p in walk.pages[-2:]],
            cause="no-end", operation=operation, basis=_paging(operation).basis,
        )  # fmt: skip


def same(
    operation: Operation, walks: Sequence[WalkLike], wanted: frozenset[str]
) -> Iterator[Finding]:
    """PG1, PG3: every page size shows the same items in the same order, and all that is there."""
    basis = _paging(operation).basis
    reference: tuple[str, ...] | None = None
    for walk in walks:
        shown = [p.exchange for p in walk.pages]
        missing = wanted - set(walk.keys)
        if missing:
            yield found(
                "PG3",
                f"{len(missing)} of {many(len(wanted), 'item')} are in no page of a traversal",
                *shown, cause="gap", operation=operation, basis=basis,
            )  # fmt: skip
        mine = tuple(k for k in dict.fromkeys(walk.keys) if k in wanted)
        if reference is None:
            reference = mine
        elif mine != reference:
            kind = "order" if set(mine) == set(reference) else "items"
            yield found(
                "PG1", f"another page size shows other {kind}", *shown,
                cause=f"page-size-{kind}", operation=operation, basis=basis,
            )  # fmt: skip


def sizes(operation: Operation, walk: WalkLike) -> Iterator[Finding]:
    """PG1: no page is longer than asked for; of offset and page styles only the last is shorter."""
    if walk.size is None:
        return
    basis = _paging(operation).basis
    exact = counted(_paging(operation))
    for number, page in enumerate(walk.pages):
        if len(page.keys) > walk.size:
            yield found(
                "PG1", "a page has more items than were asked for", page.exchange,
                cause="page-too-long", operation=operation, basis=basis,
                expected=walk.size, actual=len(page.keys),
            )  # fmt: skip
        elif exact and len(page.keys) < walk.size and number < len(walk.pages) - 1:
            yield found(
                "PG1", "a page before the last has fewer items than were asked for", page.exchange,
                cause="page-too-short", operation=operation, basis=basis,
                expected=walk.size, actual=len(page.keys),
            )  # fmt: skip


def totals(operation: Operation, walk: WalkLike) -> Iterator[Finding]:
    """PG13: the total is that of what is there, and the same on every page."""
    paging = _paging(operation)
    if paging.total is None or not walk.ended:
        return
    count = len(set(walk.keys))
    for page in walk.pages:
        if not isinstance(page.total, int) or isinstance(page.total, bool):
            yield found(
                "PG13", "a page states no total where it is declared", page.exchange,
                cause="no-total", operation=operation, basis=paging.basis,
            )  # fmt: skip
            return
        if page.total != count:
            yield found(
                "PG13", "the total is not the number of items in a complete traversal",
                *_with(walk, page), cause="total-wrong", operation=operation, basis=paging.basis,
                expected=count, actual=page.total,
            )  # fmt: skip
            return


def more(operation: Operation, walk: WalkLike) -> Iterator[Finding]:
    """PG5: has-more (or a next cursor) is there exactly while there is more."""
    paging = _paging(operation)
    seen = 0
    total = len(walk.keys)
    for page in walk.pages:
        seen += len(page.keys)
        left = seen < total
        if paging.has_more is not None and page.has_more is not left:
            yield found(
                "PG5", f"has-more is {page.has_more} where {total - seen} items follow",
                *_with(walk, page),
                cause=f"has-more-{'denied' if left else 'claimed'}",
                operation=operation, basis=paging.basis, expected=left, actual=page.has_more,
            )  # fmt: skip
            return


def first_says(operation: Operation, page: PageLike, there: int) -> Iterator[Finding]:
    """PG5: the first page says whether there is more than it shows, of `there` items in all."""
    paging = _paging(operation)
    left = there > len(page.keys)
    if paging.has_more is not None and page.has_more is not left:
        yield found(
            "PG5", f"has-more is {str(page.has_more).lower()} on a page of {len(page.keys)} where "
            "the list is known to have " + ("more" if left else "no more"), page.exchange,
            cause=f"has-more-{'denied' if left else 'claimed'}", operation=operation,
            basis=paging.basis, expected=left, actual=page.has_more,
        )  # fmt: skip
    if paging.next is not None and bool(page.next) is not left and not linked(paging):
        yield found(
            "PG5", "a next cursor is given at the end, or missing before it", page.exchange,
            cause=f"cursor-{'missing' if left else 'at-end'}", operation=operation,
            basis=paging.basis,
        )  # fmt: skip


def ordered(operation: Operation, walk: WalkLike, values: Mapping[str, Any]) -> Iterator[Finding]:
    """PG4: items come in the declared order. `values` is key -> value of the sort property."""
    paging = _paging(operation)
    read = [values[k] for k in walk.keys if k in values]
    if paging.order is None or len(read) < 2 or len({type(v) for v in read}) > 1:
        return
    if read != sorted(read, reverse=paging.order == "desc"):
        yield found(
            "PG4", "items do not come in the declared order", *[p.exchange for p in walk.pages[:2]],
            cause="order", operation=operation, basis=paging.basis,
            expected=f"{paging.order} by {paging.order_by}",
        )  # fmt: skip


def stable(
    operation: Operation, walk: WalkLike, throughout: frozenset[str], change: str
) -> Iterator[Finding]:
    """PG3: what was there all the time is seen, whatever came or went meanwhile.

    Offset and page styles cannot promise that when items before the reader go away or appear;
    callers pass only what their style can keep.
    """
    missing = throughout - set(walk.keys)
    if missing:
        told = many(len(missing), "item", "is", "are")
        yield found(
            "PG3", f"{told} missed that stood there throughout, when others {change}",
            *[p.exchange for p in walk.pages], cause=f"gap-under-{change}",
            operation=operation, basis=_paging(operation).basis,
        )  # fmt: skip
