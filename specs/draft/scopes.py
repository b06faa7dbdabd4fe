"""Where records live: in other records, under names that a caller makes up, among one's own kind.

Guessed from names that several operations on one kind of record share.
"""

from __future__ import annotations

import re
from typing import Any

from specs.contract import Operation
from specs.draft import shapes
from specs.draft.effects import Collection
from specs.draft.guesses import Draft

NAMES = ("name", "slug", "key", "title", "identifier", "email", "username")
"""What must often differ from one record to the next."""
PAGING = ("limit", "offset", "page", "page_size", "cursor", "sort", "order", "per_page")


def guess(draft: Draft, found: list[Collection]) -> None:
    """Add what each operation's arguments refer to."""
    for each in found:
        own = [o for o in draft.contract if draft.effect(o).get("resource") == each.resource]
        shared = _shared(draft, own)
        for operation in own:
            scope: dict[str, str] = {}
            _parents(draft, found, operation, scope)
            _references(draft, found, operation, scope)
            scope |= {n: "free" for n in shared if n in _named(operation) and n not in scope}
            if draft.effect(operation)["kind"] == "create":
                _unique(draft, operation, scope)
            guess = draft.of(operation, "effect")
            if scope and guess is not None:
                guess.value["scope"] = scope
                told = ", ".join(f"{n} ({k})" for n, k in scope.items())
                guess.why += f"; it goes by {told}"


def _named(operation: Operation) -> dict[str, Any]:
    return dict(shapes.inputs(operation))


def _shared(draft: Draft, own: list[Operation]) -> list[str]:
    """Return the names under which a creation puts its record and by which others look for it."""
    makers = [o for o in own if draft.effect(o)["kind"] == "create" and o.body is not None]
    readers = [o for o in own if draft.effect(o)["kind"] in ("read", "list", "delete")]
    if not makers or len(readers) < 2:
        return []
    found = []
    for name, schema in shapes.inputs(makers[0]).items():
        queried = [any(p.name == name for p in o.parameters_in("query")) for o in readers]
        most = sum(queried) >= 2 and sum(queried) > len(queried) / 2
        if name not in PAGING and shapes.is_text(schema) and most:
            found.append(name)
    return found


def _parents(
    draft: Draft, found: list[Collection], operation: Operation, scope: dict[str, str]
) -> None:
    """Path parameters before the last one name the record that this one is inside of."""
    target = draft.effect(operation).get("target")
    for parameter in operation.parameters_in("path"):
        if parameter.name == target:
            continue
        before = operation.path.split("{" + parameter.name + "}")[0].rstrip("/")
        parent = next((c for c in found if c.path == before), None)
        made = parent is not None and any(
            draft.effect(o).get("kind") == "create" for o in parent.many
        )
        if parent is not None and made:
            scope[parameter.name] = parent.resource
        else:
            draft.questions.append(
                f"which {parameter.name} may be used? It stands in paths as {before}/…, and "
                f"nothing that was recognised creates one (x-conformance at the root: fixed: "
                f"{{{parameter.name}: VALUE}})"
            )


def _references(
    draft: Draft, found: list[Collection], operation: Operation, scope: dict[str, str]
) -> None:
    """`thread_id` in a body is the id of a thread, if threads can be made."""
    if draft.effect(operation)["kind"] != "create" or operation.body is None:
        return
    needed = shapes.required(operation.body.schema)
    for name in shapes.properties(operation.body.schema):
        match = re.fullmatch(r"(.+?)_?id", name, re.I)
        if name not in needed or not match or name in scope:
            continue
        word = shapes.plain(match[1])
        other = next((c for c in found if shapes.plain(c.resource) == word), None)
        if other is not None and any(draft.effect(o).get("kind") == "create" for o in other.many):
            scope[name] = other.resource


def _unique(draft: Draft, operation: Operation, scope: dict[str, str]) -> None:
    """A required name that follows a pattern, or where 409 is declared, must be a fresh one."""
    if operation.body is None:
        return
    known = shapes.properties(operation.body.schema)
    for name in shapes.required(operation.body.schema) & set(known):
        if name in scope or shapes.plain(name) not in NAMES or not shapes.is_text(known[name]):
            continue
        effect = draft.effect(operation)
        alone = effect.get("id", "").rpartition("/")[2] == name or effect.get("target") == name
        if "pattern" in known[name] or "409" in operation.responses or alone or name == "name":
            scope[name] = "free"
