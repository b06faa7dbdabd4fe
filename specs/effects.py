"""Effects: who makes, reads, lists, changes and deletes a resource, and the ids in an answer.

What `effect` means is asked here by suites and load. Nothing here sends, and nothing here judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from specs.contract import Contract, Operation, pointer
from specs.vocabulary import Effect

ALONE = frozenset({"update", "replace", "delete", "forget", "link"})
"""Kinds that change an existing record: two at once would not know which came last."""
FREE = "free"
"""In a scope: a name that the caller makes up, not the id of a record."""

Id = str | int


# --- who does what --------------------------------------------------------------------------------


def kind(operation: Operation | None) -> str:
    """Return what an operation does; `none` if nothing is declared."""
    effect = operation.effect if operation is not None else None
    return effect.kind if effect is not None else "none"


def on(contract: Contract, resource: str | None, *kinds: str) -> list[Operation]:
    """Return the operations with an effect of one of `kinds` on a resource."""
    return [
        o for o in contract if o.effect and o.effect.resource == resource and o.effect.kind in kinds
    ]


def of_kind(contract: Contract, *kinds: str) -> list[Operation]:
    """Return the operations with an effect of one of `kinds`, on whatever resource."""
    return [o for o in contract if o.effect and o.effect.kind in kinds]


def writers(contract: Contract) -> list[Operation]:
    """Return every operation that creates records, whether or not it tells their ids."""
    return [o for o in of_kind(contract, "create") if o.effect and o.effect.resource]


def creators(contract: Contract, resource: str) -> list[Operation]:
    """Return the operations that create a resource and show its id, the plainest first."""
    found = [o for o in on(contract, resource, "create") if o.effect and _shows_id(o.effect)]
    return sorted(found, key=lambda o: bool(o.effect and o.effect.ids))


def makes(operation: Operation) -> tuple[str, ...]:
    """Return the resources whose ids an operation's answer gives because it made them."""
    effect = operation.effect
    if effect is None:
        return ()
    made = effect.kind == "create" and effect.resource and _shows_id(effect)
    return (*((effect.resource or "",) if made else ()), *(("receipt",) if effect.receipt else ()))


def shows(operation: Operation) -> tuple[str, ...]:
    """Return the resources whose ids a list or search gives."""
    effect = operation.effect
    whole = effect is not None and effect.items is not None and effect.item_id is not None
    if effect is None or not whole or effect.kind not in ("list", "search"):
        return ()
    return (effect.resource,) if effect.resource else ()


def needs(operation: Operation) -> dict[str, str]:
    """Return the request names that carry ids of records -> their resource, the target's first."""
    effect = operation.effect
    if effect is None:
        return {}
    aimed = effect.target and effect.resource and effect.kind not in ("create", "list", "search")
    target = {effect.target or "": effect.resource or ""} if aimed else {}
    return target | {name: of for name, of in effect.scope.items() if of != FREE}


def dispensable(contract: Contract, resource: str | None) -> frozenset[str]:
    """Return the free names that no operation on a resource needs, though one by id takes them.

    A record that was made under such a name is found by its id under that name only.
    """
    every = [o for o in contract if o.effect and o.effect.resource == resource]
    taken: set[str] = set()
    needed: set[str] = set()
    for operation in every:
        assert operation.effect is not None
        names = {n for n, meaning in operation.effect.scope.items() if meaning == FREE}
        body = operation.body.schema.get("required", ()) if operation.body else ()
        needed |= names & ({p.name for p in operation.parameters if p.required} | set(body))
        if operation.effect.kind in ("read", "update", "replace", "delete"):
            taken |= names
    return frozenset(taken - needed)


def _shows_id(effect: Effect) -> bool:
    return bool(effect.id or effect.ids or effect.target)


# --- ids in an answer -----------------------------------------------------------------------------


def created(
    operation: Operation, arguments: Mapping[str, Any], body: Any
) -> Iterator[tuple[Id, Mapping[str, Any]]]:
    """Yield the id of each record that a 2xx body says was created, and the arguments it was of.

    Of a call that makes several each record has its own entry; of a batch nobody knows.
    """
    effect = operation.effect
    if effect is None or effect.resource is None:
        return
    if effect.kind == "batch":
        yield from ((each, {}) for each in _created_in_batch(effect, arguments, body))
    elif effect.kind == "create" and isinstance(many := at(body, effect.ids), list):
        entries = arguments.get((effect.each or "/")[1:], [])
        for index, each in enumerate(many):
            if is_id(each):
                yield each, entries[index] if index < len(entries) else {}
    elif effect.kind == "create" and is_id(one := at(body, effect.id)):
        yield one, arguments
    elif effect.kind == "create" and not effect.id and not effect.ids:
        chosen = arguments.get(effect.target or "")  # the caller's own name is the id
        if isinstance(chosen, str):
            yield chosen, arguments


def _created_in_batch(effect: Effect, arguments: Mapping[str, Any], body: Any) -> Iterator[Id]:
    """Yield what the creating entries of a batch made, by the ids of their results."""
    entries = arguments.get((effect.each or "/")[1:], [])
    results = at(body, effect.items)
    if not isinstance(results, list) or not isinstance(entries, list):
        return
    for entry, result in zip(entries, results, strict=False):
        creates = isinstance(entry, dict) and "create" in [
            v for v in entry.values() if isinstance(v, str)
        ]
        if creates and is_id(made := at(result, effect.item_id)):
            yield made


def receipt(operation: Operation, body: Any) -> Id | None:
    """Return the id of the receipt that an answer gives, None if it gives none."""
    found = at(body, operation.effect.receipt if operation.effect else None)
    return found if is_id(found) else None


def at(body: Any, path: str | None) -> Any:
    """Return what a pointer finds in a body, None if nothing is there."""
    try:
        return pointer(body, path) if path is not None else None
    except (LookupError, TypeError):
        return None


def is_id(value: Any) -> bool:
    """Return True for what can identify a record: a text or a whole number."""
    return isinstance(value, str | int) and not isinstance(value, bool)
