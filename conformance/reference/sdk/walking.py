"""Walking lists page by page: where the next page is, and when a walk ends. Pure.

Lists with cursors, tokens or Link headers are walked by the client itself; pages that are asked
for by number or offset are the caller's to ask for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_plus, urljoin, urlsplit

from conformance.oracles.answers import Answer
from conformance.reference.defects import Defects
from specs import Operation, paging, pointer


@dataclass(frozen=True, slots=True)
class Step:
    """Where the next page is."""

    arguments: Mapping[str, Any]
    url: str | None = None

    @property
    def mark(self) -> str:
        """What tells this step from another."""
        return self.url or repr(sorted(self.arguments.items()))


@dataclass(frozen=True, slots=True)
class Page:
    """One page, and the step to the next."""

    items: Sequence[Any]
    step: Step | None


class Walk:
    """How far a walk has come."""

    def __init__(self, page: Page, defects: Defects) -> None:
        self.page: Page | None = page
        self.step: Step | None = None
        self.seen: set[str] = set()
        self.defects = defects

    @property
    def eager(self) -> bool:
        """True where all pages are fetched before the first item is handed out."""
        return "walk.eager" in self.defects

    def turn(self) -> None:
        """Leave a page: set the step to the next, or end the walk."""
        assert self.page is not None
        step = self.page.step
        if not self.page.items and "walk.empty-page-ends" in self.defects:
            step = None
        if step is not None and step.mark in self.seen and "walk.trapped" not in self.defects:
            step = None
        if step is not None:
            self.seen.add(step.mark)
        self.step = step
        if step is None:
            self.page = None


def walks(operation: Operation) -> bool:
    """True for lists that the client walks by itself."""
    return paging.named(operation.pagination)


def page(
    operation: Operation, arguments: Mapping[str, Any], url: str, answer: Answer, value: Any,
    defects: Defects,
) -> Page:  # fmt: skip
    """Return the page that an answer holds."""
    declared = operation.pagination
    assert declared is not None
    items = _at(value, declared.items)
    entries = items if isinstance(items, list) else []
    if paging.linked(declared):
        target = next_link(answer, url, defects)
        return Page(entries, None if target is None else Step(arguments, target))
    token = _at(answer.json(), declared.next or "")
    if not isinstance(token, str) or not token:
        return Page(entries, None)
    if "walk.cursor-read" in defects:
        token = unquote_plus(token)
    kept = {} if "walk.filters-lost" in defects else arguments
    return Page(entries, Step({**kept, paging.parameter(declared): token}))


def _at(value: Any, place: str) -> Any:
    if place == "":
        return value
    try:
        return pointer(value, place) if isinstance(value, dict | list) else getattr(
            value, place.strip("/"), None
        )  # fmt: skip
    except LookupError:
        return None


def next_link(answer: Answer, url: str, defects: Defects) -> str | None:
    """Return the URL of the next page: a Link with the relation `next` (RFC 8288)."""
    for name, text in answer.headers:
        if name.lower() != "link":
            continue
        for target, relations in links(text, defects):
            if "next" in relations:
                if "links.query-read" in defects:
                    target = unquote(target)
                return target if "links.relative-as-is" in defects else urljoin(url, target)
    return None


def links(text: str, defects: Defects) -> Iterator[tuple[str, list[str]]]:
    """Yield target and relations of each link in a header."""
    if "links.split-anywhere" in defects:
        text = ",".join(part for part in text.split(",") if part.count("<") == part.count(">"))
    for target, said in paging.links(text):
        yield target, [said] if "links.relation-as-is" in defects else said.lower().split()


def same_origin(one: str, other: str) -> bool:
    """True where two URLs have the same scheme, host and port."""
    return urlsplit(one)[:2] == urlsplit(other)[:2]
