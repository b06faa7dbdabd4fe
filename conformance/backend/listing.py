"""Walking lists: one way for all styles, used by every case that needs to see everything.

A walk follows the contract's `pagination` and collects pages. It has bounds and judges nothing;
the rules of paging are in `conformance.oracles.pages`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from conformance.history import Exchange, header_all
from conformance.oracles.found import MISSING, ok, told, value_at, value_in
from conformance.verdict import Inconclusive
from specs import Operation
from specs.vocabulary import Pagination

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

PAGES_MAX = 400
"""Pages that one walk reads at most."""


@dataclass(frozen=True)
class Page:
    """One page as it was answered."""

    exchange: Exchange
    asked: Mapping[str, Any]
    """The paging arguments it was asked with."""
    keys: tuple[str, ...]
    """What identifies each item, in order."""
    total: Any = None
    has_more: Any = None
    next: Any = None
    """The next cursor, token or URL; None at the end."""


@dataclass(frozen=True)
class Walk:
    """One traversal from the first page to the last; `ended` is False where it was cut short."""

    pages: tuple[Page, ...] = ()
    ended: bool = True
    size: int | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """Everything seen, in order."""
        return tuple(key for page in self.pages for key in page.keys)


def read_page(
    subject: BackendSubject,
    operation: Operation,
    scope: Mapping[str, Any],
    asked: Mapping[str, Any],
    key: str = "a",
) -> Page:
    """Return one page. Raises Inconclusive where there is none."""
    exchange = subject.send(operation, {**scope, **asked}, key=key)
    if not ok(exchange):
        raise Inconclusive(f"{operation.id} was answered {told(exchange)}; no page to judge")
    return page_of(operation, exchange, asked)


def page_of(operation: Operation, exchange: Exchange, asked: Mapping[str, Any]) -> Page:
    """Return the page that a 2xx exchange shows. Raises Inconclusive where it shows none."""
    paging, effect = operation.pagination, operation.effect
    items = value_at(exchange, paging.items if paging else effect.items if effect else None)
    if not isinstance(items, list):
        raise Inconclusive(f"{operation.id} shows no array of items where it is declared")
    item_key = paging.item_key if paging else (effect.item_id if effect else None)
    keys: list[str] = []
    for item in items:
        value = value_in(item, item_key)
        keys += [str(v) for v in value] if isinstance(value, list) else [str(value)]
    if paging is None:
        return Page(exchange, asked, tuple(keys))
    return Page(
        exchange, asked, tuple(keys),
        total=_plain(value_at(exchange, paging.total)),
        has_more=_plain(value_at(exchange, paging.has_more)),
        next=_next(paging, exchange),
    )  # fmt: skip


def first(paging: Pagination, size: int | None) -> dict[str, Any]:
    """Return the arguments of the first page of a walk."""
    asked: dict[str, Any] = {}
    if size is not None and paging.limit:
        asked[paging.limit] = size
    if paging.style == "offset" and paging.offset:
        asked[paging.offset] = 0
    if paging.style == "page" and paging.page:
        asked[paging.page] = 1
    return asked


def after(paging: Pagination, page: Page, size: int | None, seen: int) -> dict[str, Any] | None:
    """Return the arguments of the page after one, None at the end of the walk."""
    asked: dict[str, Any] = {paging.limit: size} if size is not None and paging.limit else {}
    if paging.style in ("cursor", "token"):
        return {**asked, paging.cursor or "cursor": page.next} if page.next else None
    if paging.style == "link":
        return dict(parse_qsl(urlsplit(str(page.next)).query)) if page.next else None
    if page.has_more is False or not page.keys:
        return None
    if page.has_more is None:
        was = page.asked.get(paging.limit or "")
        short = isinstance(was, int) and len(page.keys) < was
        if seen >= page.total if isinstance(page.total, int) else short:
            return None
    if paging.style == "offset":
        return {**asked, paging.offset or "offset": seen}
    number = int(page.asked.get(paging.page or "page", 1))
    return {**asked, paging.page or "page": number + 1}


def cursor_of(paging: Pagination, page: Page) -> str | None:
    """Return the cursor that leads to the page after one: given plainly, or inside a link."""
    if not page.next or paging.style != "link":
        return None if page.next is None else str(page.next)
    return dict(parse_qsl(urlsplit(str(page.next)).query)).get(paging.cursor or "cursor")


def walk(
    subject: BackendSubject,
    operation: Operation,
    scope: Mapping[str, Any],
    size: int | None = None,
    key: str = "a",
    most: int = PAGES_MAX,
) -> Walk:
    """Read a list to its end, page by page of `size`; at most `most` pages."""
    paging = operation.pagination
    if paging is None:
        return Walk((read_page(subject, operation, scope, {}, key),))
    asked: dict[str, Any] | None = first(paging, size)
    pages: list[Page] = []
    seen = 0
    while asked is not None and len(pages) < most:
        page = read_page(subject, operation, scope, asked, key)
        pages.append(page)
        seen += len(page.keys)
        asked = after(paging, page, size, seen)
    return Walk(tuple(pages), ended=asked is None, size=size)


def all_ids(
    subject: BackendSubject, operation: Operation, scope: Mapping[str, Any], key: str = "a"
) -> frozenset[str]:
    """Return every id that a list shows. Raises Inconclusive where it has no end."""
    paging = operation.pagination
    size = paging.max_limit or _bound(operation, paging.limit) if paging else None
    seen = walk(subject, operation, scope, size, key)
    if not seen.ended:
        raise Inconclusive(f"{operation.id} has more than {PAGES_MAX} pages")
    return frozenset(seen.keys)


def _bound(operation: Operation, name: str | None) -> int | None:
    """Return the schema's maximum of a page size, where it has one."""
    for parameter in operation.parameters:
        if parameter.name == name and "maximum" in parameter.schema:
            return int(parameter.schema["maximum"])
    return None


def max_size(operation: Operation) -> int | None:
    """Return the largest page size that the contract allows, None where it says nothing."""
    paging = operation.pagination
    return paging.max_limit or _bound(operation, paging.limit) if paging else None


def _next(paging: Pagination, exchange: Exchange) -> Any:
    if paging.style == "link":
        return next_link(exchange)
    return _plain(value_at(exchange, paging.next))


def next_link(exchange: Exchange) -> str | None:
    """Return the target of the Link header's `next` (RFC 8288), None where there is none."""
    assert exchange.response is not None
    for value in header_all(exchange.response.headers, "link"):
        for target, parameters in re.findall(r"<([^>]*)>((?:\s*;[^,<]*)*)", value):
            match = re.search(r';\s*rel\s*=\s*"?([^";]*)"?', parameters, re.I)
            if match and "next" in match.group(1).lower().split():
                return str(target)
    return None


def _plain(value: Any) -> Any:
    return None if value is MISSING else value


__all__ = [
    "Page", "Walk", "after", "all_ids", "cursor_of", "first", "max_size", "page_of", "walk",
]  # fmt: skip
