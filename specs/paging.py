"""Paging styles: what to ask for first, what a page holds, and what to ask for next.

The only place that knows what `pagination.style` means. A new style is one row of `STYLES` and
one name in the vocabulary. Suites, load and references ask; none branches on a name. Nothing
here sends, and nothing here judges.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from specs.contract import pointer
from specs.vocabulary import Pagination

Headers = Sequence[tuple[str, str]]
By = Literal["offset", "page", "cursor"]
"""What the place of a page is: items before it, its number from 1, or a mark that was given."""


@dataclass(frozen=True, slots=True)
class Style:
    """What one style means."""

    by: By | None
    """None: whichever parameter the contract declares."""
    named: bool = False
    """True if each page names the next one; False if the caller counts."""
    linked: bool = False
    """True if the name is a URL: the `next` of a Link header (RFC 8288), or a declared member."""


STYLES: Mapping[str, Style] = {
    "offset": Style("offset"),
    "page": Style("page"),
    "cursor": Style("cursor", named=True),
    "token": Style("cursor", named=True),
    "link": Style(None, named=True, linked=True),
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """What one page says. Members that the contract does not declare are None."""

    items: Sequence[Any]
    total: Any = None
    has_more: Any = None
    next: Any = None
    """The next cursor, token or URL; None at the end."""


# --- what a style means ---------------------------------------------------------------------------


def by(paging: Pagination) -> By:
    """Return what the place of a page is: what the style says, else the declared parameter."""
    return STYLES[paging.style].by or (
        "cursor" if paging.cursor else "page" if paging.page else "offset"
    )


def parameter(paging: Pagination) -> str:
    """Return the request parameter that carries the place of a page."""
    kind = by(paging)
    return getattr(paging, kind) or kind


def required(paging: Pagination) -> By | None:
    """Return the member of `pagination` that a contract must declare, None if none."""
    return STYLES[paging.style].by


def moving(paging: Pagination) -> frozenset[str]:
    """Return the request parameters that differ from page to page: size and place."""
    return frozenset(filter(None, (paging.limit, paging.offset, paging.page, paging.cursor)))


def counted(paging: Pagination | None) -> bool:
    """Return True if the caller counts pages or items to ask for the next page."""
    return paging is not None and not STYLES[paging.style].named


def named(paging: Pagination | None) -> bool:
    """Return True if each page names the next one."""
    return paging is not None and STYLES[paging.style].named


def linked(paging: Pagination | None) -> bool:
    """Return True if a page names the next one by its URL."""
    return paging is not None and STYLES[paging.style].linked


def steady(paging: Pagination) -> bool:
    """Return True if pages hang on a mark in the list, so that writes elsewhere shift nothing."""
    return by(paging) == "cursor"


# --- one step of a walk ---------------------------------------------------------------------------


def first(paging: Pagination, size: int | None) -> dict[str, Any]:
    """Return the arguments of the first page of a walk, `size` items a page."""
    return {**_sized(paging, size), **_place(paging, 0, 1)}


def at(paging: Pagination, number: int, size: int) -> dict[str, Any]:
    """Return the arguments of page `number`, from 0, of a list whose pages the caller counts."""
    return {**_sized(paging, size), **_place(paging, number * size, number + 1)}


def read(paging: Pagination, body: Any, headers: Headers) -> Page | None:
    """Return what a 2xx answer shows, None if it has no array of items where it is declared."""
    items = _at(body, paging.items)
    if not isinstance(items, list):
        return None
    return Page(
        items=items, total=_at(body, paging.total), has_more=_at(body, paging.has_more),
        next=next_link(headers) if linked(paging) and not paging.next else _at(body, paging.next),
    )  # fmt: skip


def after(
    paging: Pagination, page: Page, asked: Mapping[str, Any], size: int | None, seen: int
) -> dict[str, Any] | None:
    """Return the arguments of the page after one, None if that was the last.

    `asked`: the arguments of that page. `seen`: items of the walk up to its end.
    """
    if linked(paging):
        return dict(parse_qsl(urlsplit(str(page.next)).query)) if page.next else None
    if named(paging):
        return {**_sized(paging, size), parameter(paging): page.next} if page.next else None
    if _last(paging, page, asked, seen):
        return None
    number = asked.get(parameter(paging), 1) if by(paging) == "page" else 1
    return {**_sized(paging, size), **_place(paging, seen, int(number) + 1)}


def _last(paging: Pagination, page: Page, asked: Mapping[str, Any], seen: int) -> bool:
    if page.has_more is False or not page.items:
        return True
    if page.has_more is not None:
        return False
    if isinstance(page.total, int):
        return seen >= page.total
    was = asked.get(paging.limit or "")
    return isinstance(was, int) and len(page.items) < was


def cursor(paging: Pagination, page: Page) -> str | None:
    """Return the mark that leads to the page after one: given plainly, or inside a URL."""
    if page.next is None or not linked(paging):
        return None if page.next is None else str(page.next)
    return dict(parse_qsl(urlsplit(str(page.next)).query)).get(parameter(paging))


def onward(paging: Pagination, *, offset: int, number: int, mark: Any) -> dict[str, Any]:
    """Return the argument that leads to a page, given its place in each way to say it."""
    kind = by(paging)
    places = {"offset": offset, "page": number, "cursor": mark}
    return {parameter(paging): places[kind]}


def _sized(paging: Pagination, size: int | None) -> dict[str, Any]:
    return {paging.limit: size} if size is not None and paging.limit else {}


def _place(paging: Pagination, offset: int, number: int) -> dict[str, Any]:
    if named(paging) or getattr(paging, by(paging)) is None:
        return {}
    return onward(paging, offset=offset, number=number, mark=None)


def _at(body: Any, path: str | None) -> Any:
    try:
        return pointer(body, path) if path is not None else None
    except LookupError:
        return None


# --- Link header fields (RFC 8288) ----------------------------------------------------------------

_LINK = re.compile(r"""<([^>]*)>((?:\s*;\s*[\w*-]+\s*(?:=\s*(?:"(?:\\.|[^"\\])*"|[^\s",;]+))?)*)""")
_PARAMETER = re.compile(r""";\s*([\w*-]+)\s*(?:=\s*(?:"((?:\\.|[^"\\])*)"|([^\s",;]+)))?""")


def links(text: str) -> Iterator[tuple[str, str]]:
    """Yield target and `rel` of each link in a field value; of several `rel` the first counts."""
    for target, rest in _LINK.findall(text):
        given = {n.lower(): q or p for n, q, p in reversed(_PARAMETER.findall(rest))}
        yield target, given.get("rel", "")


def next_link(headers: Headers) -> str | None:
    """Return the target of the link to the next page, as it was written; None if there is none."""
    for name, text in headers:
        if name.lower() == "link":
            for target, relation in links(text):
                if "next" in relation.lower().split():
                    return target
    return None
