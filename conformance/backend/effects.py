"""What happened on the backend, seen through its own API: visible ids, counts, records.

Where an effect may take time (`effect.delay`), looking is repeated until it is there or the
declared time is over. Nothing here judges.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from conformance.backend.listing import all_ids
from conformance.backend.world import Made, operations_on, properties, required
from conformance.history import Exchange
from conformance.oracles.found import MISSING, ok, value_at, value_in
from conformance.verdict import Inconclusive
from specs import Operation

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

STEP = 0.05
"""Seconds between two looks; grows with each."""


LATE = 10
"""Part of its time that a place still gets where something once did not show in all of it."""


def until(
    subject: BackendSubject,
    seconds: float,
    look: Callable[[], Any],
    done: Callable[[Any], bool],
    at: Operation | None = None,
) -> Any:
    """Look until `done` or until `seconds` are over; return what was seen last.

    `at` is the place that is looked at. One that once let all its time pass gets a tenth of it
    from then on: what is late has been told, and a server that shows nothing costs minutes.
    """
    if at is not None and at.id in subject.late:
        seconds /= LATE
    deadline = subject.clock.monotonic() + seconds
    step = STEP
    while True:
        seen = look()
        if done(seen):
            return seen
        if subject.clock.monotonic() >= deadline:
            if at is not None:
                subject.late.add(at.id)
            return seen
        subject.wait(min(step, max(deadline - subject.clock.monotonic(), 0.001)), "waiting")
        step = min(step * 1.5, 0.5)


def delay_of(operation: Operation) -> float:
    """Return the seconds within which an operation's effect must show."""
    return operation.effect.delay if operation.effect else 0.0


def scoped(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments of another call that narrow this operation to the same scope."""
    scope = operation.effect.scope if operation.effect else {}
    known = properties(operation)
    return {n: arguments[n] for n in scope if n in known and n in arguments}


def read_arguments(
    subject: BackendSubject, reader: Operation, made: Made, key: str = "a"
) -> dict[str, Any]:
    """Return the arguments that read one record."""
    target = reader.effect.target if reader.effect else None
    known = required(reader) | set(reader.effect.scope if reader.effect else {})
    given = {n: made.whole[n] for n in known if n in made.whole and n in properties(reader)}
    if target:
        schema = properties(reader).get(target, {})
        given[target] = [made.id] if schema.get("type") == "array" else made.id
    return subject.world.arguments(reader, key, given)


def search_arguments(
    subject: BackendSubject, searcher: Operation, made: Made, text: str, key: str = "a"
) -> dict[str, Any]:
    """Return the arguments that search for a record by its text, within its scope."""
    effect = searcher.effect
    assert effect is not None
    given: dict[str, Any] = scoped(searcher, {**made.whole, **made.arguments})
    if effect.query:
        given[effect.query] = text
    return subject.world.arguments(searcher, key, given)


def found_ids(operation: Operation, exchange: Exchange) -> frozenset[str] | None:
    """Return the ids that a list or search shows, None where they cannot be told."""
    effect = operation.effect
    if effect is None or not ok(exchange):
        return None
    items = value_at(exchange, effect.items)
    if not isinstance(items, list):
        return None
    ids: set[str] = set()
    for item in items:
        value = value_in(item, effect.item_id) if effect.item_id else MISSING
        if value is MISSING:
            continue
        ids |= {str(v) for v in value} if isinstance(value, list) else {str(value)}
    return frozenset(ids)


def readable(operation: Operation, exchange: Exchange) -> bool:
    """Return False where an accepted list or search shows no list: no waiting mends that."""
    path = operation.effect.items if operation.effect else None
    return not ok(exchange) or isinstance(value_at(exchange, path), list)


def found_texts(operation: Operation, exchange: Exchange) -> list[str]:
    """Return the texts that a list or search shows."""
    effect = operation.effect
    items = value_at(exchange, effect.items) if effect else MISSING
    if effect is None or not isinstance(items, list):
        return []
    texts = [value_in(item, effect.content) for item in items]
    return [t for t in texts if isinstance(t, str)]


def text_of(operation: Operation, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return (property, text) of the free text that a call wrote, the longest there is."""
    from conformance.backend.world import is_free_text

    scope = set(operation.effect.scope) if operation.effect else set()
    fields = properties(operation)
    each = operation.effect.each if operation.effect else None
    if each:
        from conformance.backend.world import object_properties

        fields = object_properties(fields.get(each[1:], {}).get("items", {}))
    texts = [
        (name, value) for name, value in arguments.items()
        if isinstance(value, str) and name not in scope and not name.endswith("_id")
        and is_free_text(fields.get(name, {}))
    ]  # fmt: skip
    return max(texts, key=lambda pair: len(pair[1]), default=None)


def count_effects(
    subject: BackendSubject, operation: Operation, arguments: Mapping[str, Any]
) -> int | None:
    """Return how many records a call in a scope of its own left behind, None if nothing tells.

    Counted by a list in the same scope, else by what a forget of that scope says that it took,
    else by a search for the text. Waits as long as the effect may take.
    """
    effect = operation.effect
    if effect is None or effect.resource is None:
        return None
    for lister in operations_on(subject.contract, effect.resource, "list"):
        narrow = scoped(lister, arguments)
        if narrow and ok(subject.send(lister, subject.world.arguments(lister, given=narrow))):
            return len(all_ids(subject, lister, narrow))
    for searcher in operations_on(subject.contract, effect.resource, "search"):
        seen = _search_count(subject, searcher, operation, arguments)
        if seen is not None:
            return seen
    return None


def _search_count(
    subject: BackendSubject, searcher: Operation, operation: Operation, arguments: Mapping[str, Any]
) -> int | None:
    text = text_of(operation, arguments)
    mine = searcher.effect
    if text is None or mine is None or not mine.item_id or not scoped(searcher, arguments):
        return None
    given = {**scoped(searcher, arguments), **({mine.query: text[1]} if mine.query else {})}
    asked = subject.world.arguments(searcher, given=given)

    def look() -> Exchange:
        return subject.send(searcher, asked)

    def settled(exchange: Exchange) -> bool:
        return bool(found_ids(searcher, exchange)) or not readable(searcher, exchange)

    seen = found_ids(searcher, until(subject, delay_of(operation), look, settled, searcher))
    return len(seen) if seen else None


def unwrapped(reader: Operation, exchange: Exchange) -> Exchange:
    """Return an exchange that shows a record with that alone in its body: without an envelope.

    The record is what holds its id: where that is at `/data/id`, the value at `/data`.
    """
    around = ((reader.effect.id if reader.effect else None) or "").rpartition("/")[0]
    record = value_at(exchange, around) if around and ok(exchange) else None
    if not isinstance(record, Mapping) or exchange.response is None:
        return exchange
    alone = replace(exchange.response, body=json.dumps(record).encode())
    return replace(exchange, response=alone)


def representation(
    subject: BackendSubject, made: Made, key: str = "a"
) -> tuple[Exchange, Any] | None:
    """Return (exchange, JSON) of a record read back, None where nothing reads it.

    Raises Inconclusive where the reading operation fails.
    """
    for reader in operations_on(subject.contract, made.resource, "read"):
        if reader.effect is None or reader.effect.target is None or reader.effect.progress:
            continue
        exchange = subject.send(reader, read_arguments(subject, reader, made, key), key=key)
        if exchange.response is None:
            raise Inconclusive(f"{reader.id} did not answer")
        return exchange, exchange.response.json_or_none()
    return None
