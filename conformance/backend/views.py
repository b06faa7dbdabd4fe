"""Every place where a record should show: reads, lists, searches, of its own kind or what it
becomes. One way to look at all of them, for cases about what is there and what is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.backend.effects import (
    delay_of,
    found_ids,
    found_texts,
    read_arguments,
    readable,
    scoped,
    search_arguments,
    text_of,
    until,
)
from conformance.backend.listing import max_size, walk
from conformance.backend.world import Made, created, properties, required
from conformance.history import Exchange
from conformance.oracles.found import ok, told
from conformance.verdict import Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.effects import creators, writers
from specs.effects import on as operations_on

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject


@dataclass(frozen=True)
class View:
    """One look at one place: how often a record shows there."""

    operation: Operation
    exchange: Exchange
    count: int
    """How many times it shows; a read shows it once or not at all."""
    all: int = 0
    """How many records show there in all."""


def write(
    subject: BackendSubject,
    operation: Operation,
    key: str = "a",
    given: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    optional: bool = False,
) -> list[Made]:
    """Create records with an operation; where it tells no id, a record without one is returned.

    Raises Inconclusive where the call is refused.
    """
    arguments = subject.world.arguments(operation, key, given, seed=seed, optional=optional)
    exchange = subject.send(operation, arguments, key=key)
    made = subject.world.note(operation, arguments, exchange, key)
    if not ok(exchange):
        raise Inconclusive(f"{operation.id} was answered {told(exchange)}; nothing was written")
    effect = operation.effect
    if not made and effect is not None:
        made = list(created(operation, arguments, exchange, key))
    if not made and effect is not None:
        return [Made(effect.resource or "", "", operation, arguments, exchange, key, arguments)]
    return made


def writer_of(contract: Contract, resource: str | None) -> Operation | None:
    """Return the operation that writes what a list or search shows: directly, or by becoming it."""
    for operation in creators(contract, resource or ""):
        return operation
    for operation in writers(contract):
        effect = operation.effect
        if effect and (effect.resource == resource or effect.yields == resource) and resource:
            return operation
    return None


def viewers(contract: Contract, made: Made, *kinds: str) -> list[Operation]:
    """Return the operations of some kinds that should show a record."""
    shown_as = {made.resource, made.operation.effect.yields if made.operation.effect else None}
    found = []
    for operation in contract:
        effect = operation.effect
        if effect is None or effect.kind not in kinds or effect.resource not in shown_as:
            continue
        if effect.kind == "read" and (
            not made.id or effect.target is None or effect.resource != made.resource
        ):
            continue
        found.append(operation)
    return found


def look(
    subject: BackendSubject, operation: Operation, made: Made, key: str = "a", text: str = ""
) -> View:
    """Look for a record in one place. Raises Inconclusive where the place cannot be seen."""
    effect = operation.effect
    assert effect is not None
    if effect.kind == "read":
        exchange = subject.send(operation, read_arguments(subject, operation, made, key), key=key)
        return View(operation, exchange, int(ok(exchange)), int(ok(exchange)))
    words = text or _words(made)
    if effect.kind == "search":
        asked = search_arguments(subject, operation, made, words or made.id, key)
        return view_of(operation, subject.send(operation, asked, key=key), made, words)
    scope = {**scoped(operation, made.whole), **scoped(operation, made.arguments)}
    scope.update({n: made.whole[n] for n in required(operation) if n in made.whole})
    if not required(operation) <= set(scope):
        raise NotApplicable(f"{operation.id} needs what the record does not have")
    pages = walk(subject, operation, scope, max_size(operation), key, most=50).pages
    seen = [view_of(operation, page.exchange, made, words) for page in pages]
    best = max(seen, key=lambda view: view.count)
    return View(operation, best.exchange, sum(v.count for v in seen), sum(v.all for v in seen))


def _words(made: Made) -> str:
    pair = text_of(made.operation, made.arguments)
    return pair[1] if pair else ""


def view_of(operation: Operation, exchange: Exchange, made: Made, words: str) -> View:
    if not ok(exchange):
        raise Inconclusive(f"{operation.id} was answered {told(exchange)}; nothing to look at")
    effect = operation.effect
    assert effect is not None
    texts = found_texts(operation, exchange)
    ids = _all_ids(operation, exchange)
    if made.id and effect.item_id and (effect.resource == made.resource):
        return View(operation, exchange, ids.count(made.id), max(len(ids), len(texts)))
    whole = effect.kind == "list" and effect.resource == made.resource
    count = sum(bool(words) and (words == t if whole else words in t) for t in texts)
    return View(operation, exchange, count, max(len(ids), len(texts)))


def _all_ids(operation: Operation, exchange: Exchange) -> list[str]:
    from conformance.oracles.found import MISSING, value_at, value_in

    effect = operation.effect
    items = value_at(exchange, effect.items) if effect else MISSING
    if effect is None or not isinstance(items, list) or not effect.item_id:
        return []
    ids: list[str] = []
    for item in items:
        value = value_in(item, effect.item_id)
        ids += [str(v) for v in value] if isinstance(value, list) else [str(value)]
    return ids


def wait_for(
    subject: BackendSubject, operation: Operation, made: Made, key: str = "a", text: str = ""
) -> View:
    """Look until a record shows, at most as long as its effect may take."""

    def settled(view: View) -> bool:
        searches = operation.effect is not None and operation.effect.kind == "search"
        return view.count > 0 or (searches and not readable(operation, view.exchange))

    view: View = until(
        subject, delay_of(made.operation),
        lambda: look(subject, operation, made, key, text), settled, operation,
    )  # fmt: skip
    return view


def tellable(operation: Operation, made: Made) -> bool:
    """Return True where a place can tell a record from others: by its id or by its text."""
    effect = operation.effect
    if effect is None:
        return False
    if effect.kind == "read":
        return bool(made.id)
    by_id = bool(made.id and effect.item_id and effect.resource == made.resource)
    return by_id or bool(effect.content and _words(made))


def body_of(made: Made) -> Mapping[str, Any]:
    """Return what was written to a record: its arguments without those of path and query."""
    places = {p.name for p in made.operation.parameters}
    return {n: v for n, v in made.arguments.items() if n not in places}


__all__ = [
    "View", "body_of", "found_ids", "look", "operations_on", "properties", "tellable", "viewers",
    "wait_for", "write", "writer_of", "writers",
]  # fmt: skip
