"""Paging styles: one step function for all, from the first page to the last."""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import urlencode

import pytest

from specs import Basis, paging
from specs.vocabulary import Pagination
from tests.paged_notes import STYLES

SIZE, COUNT = 2, 5


def promise(**declared: Any) -> Pagination:
    """Return a declaration of paging."""
    return Pagination.model_validate(
        {"basis": Basis.DOCUMENTED, "source": "ours", "items": "/items", "itemKey": "/id",
         **declared}
    )  # fmt: skip


def served(declared: Pagination, asked: dict[str, Any]) -> tuple[Any, list[tuple[str, str]]]:
    """Answer a request as the declaration says, for a list of the numbers from 0 on."""
    place = int(asked.get(paging.parameter(declared), 0))
    kind = paging.by(declared)
    start = (max(place, 1) - 1) * SIZE if kind == "page" else place
    items = list(range(start, min(start + SIZE, COUNT)))
    end = start + len(items)
    onward = paging.onward(declared, offset=end, number=start // SIZE + 2, mark=end)
    body: dict[str, Any] = {"items": items}
    headers: list[tuple[str, str]] = []
    if declared.has_more:
        body["more"] = end < COUNT
    if end < COUNT and paging.linked(declared):
        target = f"/things?{urlencode(onward)}"
        headers = [("Link", f'</things>; rel="first", <{target}>; title="a, b"; rel="Next last"')]
    elif end < COUNT and declared.next:
        body[declared.next.strip("/")] = str(onward[paging.parameter(declared)])
    return body, headers


@pytest.mark.parametrize("style", STYLES)
def test_a_walk_takes_one_page_after_another(style: str) -> None:
    """Every style is walked whole, without a request too many or too few."""
    declared = promise(**STYLES[style])
    asked: dict[str, Any] | None = paging.first(declared, SIZE)
    seen: list[int] = []
    requests = 0
    while asked is not None:
        requests += 1
        page = paging.read(declared, *served(declared, asked))
        assert page is not None
        seen += page.items
        asked = paging.after(declared, page, asked, SIZE, len(seen))
    assert (list(range(COUNT)), 3) == (seen, requests)


def test_every_style_of_the_vocabulary_has_its_row() -> None:
    """A contract cannot declare a style that nobody walks."""
    assert set(paging.STYLES) == set(get_args(Pagination.model_fields["style"].annotation))


@pytest.mark.parametrize(
    ("style", "steady"),
    [("offset", False), ("page", False), ("cursor", True), ("token", True), ("link", False),
     ("link-cursor", True)],
)  # fmt: skip
def test_only_a_mark_in_the_list_holds_pages_still(style: str, steady: bool) -> None:
    """A Link header whose URL counts pages shifts under writes like any counted page."""
    assert steady is paging.steady(promise(**STYLES[style]))


@pytest.mark.parametrize(
    ("page", "more"),
    [
        ({"items": [1, 2], "has_more": False}, False),
        ({"items": [1, 2], "has_more": True}, True),
        ({"items": [], "has_more": True}, False),
        ({"items": [1, 2], "total": 2}, False),
        ({"items": [1], "total": 9}, True),
        ({"items": [1]}, False),
        ({"items": [1, 2]}, True),
    ],
)
def test_where_the_caller_counts_the_page_says_whether_more_follows(
    page: dict[str, Any], more: bool
) -> None:
    """`has more` decides; without it the total; without that a page that is not full ends."""
    declared = promise(style="offset", limit="limit", offset="offset")
    after = paging.after(declared, paging.Page(**page), {"limit": 2}, 2, len(page["items"]))
    assert more is (after is not None)


def test_pages_are_asked_for_by_their_number() -> None:
    """The n-th page of a counted list is asked for by its number, or by what comes before it."""
    by_page = promise(style="page", limit="size", page="page")
    by_offset = promise(style="offset", limit="size", offset="start")
    assert {"size": 2, "page": 3} == paging.at(by_page, 2, 2)
    assert {"size": 2, "start": 4} == paging.at(by_offset, 2, 2)
