"""Walking lists: one way for all styles, used by every case that needs to see everything.

A walk takes the steps of `specs.paging` and collects pages. It has bounds and judges nothing; the
rules of paging are in `conformance.oracles.pages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.history import Exchange
from conformance.oracles.found import ok, told, value_in
from conformance.verdict import Inconclusive
from specs import Operation, paging

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

PAGES_MAX = 400
"""Pages that one walk reads at most."""
BYTES_MAX = 24 * 1024 * 1024
"""Bytes of the pages that one walk keeps at most."""


@dataclass(frozen=True, kw_only=True)
class Page(paging.Page):
    """One page as it was answered."""

    exchange: Exchange
    asked: Mapping[str, Any]
    """The paging arguments it was asked with."""
    keys: tuple[str, ...]
    """What identifies each item, in order."""


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
    promise, effect = operation.pagination, operation.effect
    response = exchange.response
    body = response.json_or_none() if response else None
    if promise is not None:
        shown = paging.read(promise, body, response.headers if response else ())
    else:
        items = value_in(body, effect.items if effect else None)
        shown = paging.Page(items=items) if isinstance(items, list) else None
    if shown is None:
        raise Inconclusive(f"{operation.id} shows no array of items where it is declared")
    item_key = promise.item_key if promise else (effect.item_id if effect else None)
    keys: list[str] = []
    for item in shown.items:
        value = value_in(item, item_key)
        keys += [str(v) for v in value] if isinstance(value, list) else [str(value)]
    return Page(
        items=shown.items, total=shown.total, has_more=shown.has_more, next=shown.next,
        exchange=exchange, asked=asked, keys=tuple(keys),
    )  # fmt: skip


def walk(
    subject: BackendSubject,
    operation: Operation,
    scope: Mapping[str, Any],
    size: int | None = None,
    key: str = "a",
    most: int = PAGES_MAX,
) -> Walk:
    """Read a list to its end, page by page of `size`; at most `most` pages."""
    promise = operation.pagination
    if promise is None:
        return Walk((read_page(subject, operation, scope, {}, key),))
    asked: dict[str, Any] | None = paging.first(promise, size)
    pages: list[Page] = []
    seen = size_of = 0
    while asked is not None and len(pages) < most and size_of < BYTES_MAX:
        page = read_page(subject, operation, scope, asked, key)
        pages.append(page)
        size_of += len(page.exchange.response.body) if page.exchange.response else 0
        seen += len(page.keys)
        asked = paging.after(promise, page, asked, size, seen)
    return Walk(tuple(pages), ended=asked is None, size=size)


def all_ids(
    subject: BackendSubject, operation: Operation, scope: Mapping[str, Any], key: str = "a"
) -> frozenset[str]:
    """Return every id that a list shows. Raises Inconclusive where it has no end."""
    seen = walk(subject, operation, scope, max_size(operation), key)
    if not seen.ended:
        raise Inconclusive(f"{operation.id} is longer than {len(seen.pages)} pages, and goes on")
    return frozenset(seen.keys)


def _bound(operation: Operation, name: str | None) -> int | None:
    """Return the schema's maximum of a page size, where it has one."""
    for parameter in operation.parameters:
        if parameter.name == name and "maximum" in parameter.schema:
            return int(parameter.schema["maximum"])
    return None


def max_size(operation: Operation) -> int | None:
    """Return the largest page size that the contract allows, None where it says nothing."""
    promise = operation.pagination
    return promise.max_limit or _bound(operation, promise.limit) if promise else None
