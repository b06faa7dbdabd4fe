"""What a JSON Pointer reaches in a schema, before any value is there to point into.

A pointer into an answer is right where the answer's schema names every step of it. Schemas are
those of a `Contract`, references resolved. Nothing here knows what a pointer is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from specs.contract import Schema
from specs.places import Path, inner


class Fault(NamedTuple):
    """Something wrong in a spec: where, what, why it matters, what to do about it."""

    path: Path
    what: str
    why: str
    fix: str


def reach(schema: Schema, pointer: str) -> list[Schema]:
    """Return every schema that a pointer can reach; none where no branch names its steps.

    The token `*` stands for every entry of an array, a number for that entry.
    """
    found = list(branches(schema))
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        found = [deep for each in found for step in _step(each, token) for deep in branches(step)]
    return found


def suggest_step(schema: Schema, pointer: str) -> str:
    """Return what to do about the first step of a pointer that leads nowhere."""
    found = list(branches(schema))
    for token in pointer.split("/")[1:]:
        after = [deep for each in found for s in _step(each, token) for deep in branches(s)]
        if not after:
            known = sorted({name for each in found for name in each.get("properties", {})})
            return suggest(token, known)
        found = after
    return "mend the schema"


def branches(schema: Any) -> Iterator[Schema]:
    """Yield a schema and everything that it says beside itself: allOf, anyOf, oneOf."""
    if not isinstance(schema, dict):
        return
    seen: set[int] = set()
    waiting: list[Any] = [schema]
    while waiting:
        each = waiting.pop()
        if not isinstance(each, dict) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        for word in ("oneOf", "anyOf", "allOf"):
            waiting += reversed(each.get(word, ()))


def inside(schema: Any) -> Iterator[tuple[Path, Schema]]:
    """Yield a schema and every schema inside it, each once, with the path from the outermost."""
    seen: set[int] = set()
    waiting: list[tuple[Path, Any]] = [((), schema)]
    while waiting:
        path, each = waiting.pop()
        if not isinstance(each, dict) or id(each) in seen:
            continue
        seen.add(id(each))
        yield path, each
        waiting += [((*path, *steps), deep) for steps, deep in inner(each)]


def types(schemas: list[Schema]) -> set[str]:
    """Return the JSON types that schemas name; a const or enum names the type of its values."""
    found: set[str] = set()
    for schema in schemas:
        given = schema.get("type", [])
        found.update([given] if isinstance(given, str) else given)
        values = schema.get("enum", [schema["const"]] if "const" in schema else [])
        found.update(_NAMES.get(type(value), "object") for value in values)
    return found


def suggest(name: str, known: Sequence[str]) -> str:
    """Return what to do about a name that is not among the known."""
    near = get_close_matches(name, known, 1, 0.5)
    if near:
        return f"write {near[0]!r}"
    return f"use one of: {', '.join(known)}" if known else "declare it first"


_NAMES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    type(None): "null",
}


def _step(schema: Schema, token: str) -> Iterator[Schema]:
    if token in schema.get("properties", {}):
        yield schema["properties"][token]
    elif isinstance(schema.get("additionalProperties"), dict):
        yield schema["additionalProperties"]
    if token == "*" or token.isdigit():  # noqa: S105 - a step, not a secret
        if "items" in schema:
            yield schema["items"]
        yield from schema.get("prefixItems", ())
