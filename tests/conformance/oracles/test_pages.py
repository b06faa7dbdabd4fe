"""Oracles of paging, made by hand: what an honest traversal shows, and each broken rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conformance.oracles import (
    pages,
)
from specs import Basis, Contract
from specs.vocabulary import Pagination, Relation
from tests.scripted import causes, contract, exchange

THINGS: Contract = contract()


class Page:
    """A page made by hand."""

    def __init__(
        self, keys: str, total: Any = None, has_more: Any = None, next: Any = None
    ) -> None:
        self.exchange = exchange(200, {})
        self.keys, self.total, self.has_more, self.next = tuple(keys), total, has_more, next


class Walk:
    """A traversal made by hand."""

    def __init__(self, *given: Page, size: int | None = 2, ended: bool = True) -> None:
        self.pages, self.size, self.ended = given, size, ended
        self.keys = tuple(k for p in given for k in p.keys)


PAGING = Pagination(
    basis=Basis.DOCUMENTED, style="offset", limit="limit", offset="offset", items="/items",
    total="/total", has_more="/more", item_key="/id", order="asc", order_by="/n",
)  # fmt: skip
LIST = replace(THINGS["things.list"], pagination=PAGING)
GOOD = Walk(Page("ab", 3, True), Page("c", 3, False))


def test_an_honest_traversal_breaks_no_rule() -> None:
    """Every paging rule is silent on a traversal that keeps them all."""
    rules = [pages.repeats, pages.endless, pages.sizes, pages.totals, pages.more]
    assert [] == [f for rule in rules for f in rule(LIST, GOOD)]
    assert [] == causes(pages.same(LIST, [GOOD, Walk(Page("abc", 3, False), size=3)],
                                   frozenset("abc")))  # fmt: skip
    assert [] == causes(pages.ordered(LIST, GOOD, {"a": 1, "b": 2, "c": 3}))


@pytest.mark.parametrize(
    ("rule", "walk", "expected"),
    [
        (pages.repeats, Walk(Page("ab"), Page("bc")), ("PG2", "item-twice")),
        (pages.endless, Walk(Page("ab"), Page("ab"), ended=False), ("PG5", "no-end")),
        (pages.sizes, Walk(Page("abc")), ("PG1", "page-too-long")),
        (pages.sizes, Walk(Page("a"), Page("bc")), ("PG1", "page-too-short")),
        (pages.totals, Walk(Page("ab", 4)), ("PG13", "total-wrong")),
        (pages.totals, Walk(Page("ab", "2")), ("PG13", "no-total")),
        (pages.more, Walk(Page("ab", 2, True)), ("PG5", "has-more-claimed")),
        (pages.more, Walk(Page("ab", 3, False), Page("c")), ("PG5", "has-more-denied")),
    ],
)
def test_each_broken_paging_rule_is_told(rule: Any, walk: Walk, expected: tuple[str, str]) -> None:
    """One wrong traversal for each rule."""
    assert expected in causes(rule(LIST, walk))


def test_page_sizes_show_the_same_list() -> None:
    """A gap, other items and another order are told apart."""
    gap = pages.same(LIST, [Walk(Page("ab"))], frozenset("abc"))
    assert [("PG3", "gap")] == causes(gap)
    order = pages.same(LIST, [GOOD, Walk(Page("cba"), size=3)], frozenset("abc"))
    assert [("PG1", "page-size-order")] == causes(order)


def sheet(*values: int) -> Page:
    """Return a page whose items show these values."""
    page = Page("".join(map(str, values)))
    page.exchange = exchange(200, {"items": [{"n": v} for v in values]})
    return page


@pytest.mark.parametrize(
    ("walk", "expected"),
    [
        (Walk(sheet(1, 2), sheet(2, 3)), []),
        (Walk(sheet(1, 3), sheet(2, 4)), [("PG4", "order-lost /items/*/n sorted-asc")]),
        (Walk(), []),
    ],
)
def test_an_order_holds_over_pages(walk: Walk, expected: Any) -> None:
    """Pages that are sorted each for itself are no sorted list."""
    relation = Relation(basis=Basis.DOCUMENTED, left="/items/*/n", op="sorted-asc")
    assert expected == causes(pages.sorted_throughout(LIST, walk, relation))


@pytest.mark.parametrize(
    ("walk", "expected"),
    [
        (Walk(Page("ab"), Page("c")), []),
        (Walk(Page("ab"), Page("xc")), [("ST2", "filter-forgotten kind")]),
        (Walk(Page("ab")), [("PG1", "filter-gap kind")]),
        (Walk(Page("ab"), ended=False), []),
    ],
)
def test_a_filter_holds_to_the_last_page(walk: Walk, expected: Any) -> None:
    """What does not fit is told wherever it comes, what is missing only of a whole traversal."""
    assert expected == causes(pages.narrowed(LIST, walk, "kind", set("abc"), set("x")))
