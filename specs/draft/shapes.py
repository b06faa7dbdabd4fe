"""What a schema shows at a glance: its properties, its arrays of things, a member by any of its
names. Asked by every kind of guess; schemas are those of a `Contract`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from specs.contract import Operation, Schema
from specs.pointers import branches, types

SINGULAR = (("lves", "lf"), ("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"),
            ("xes", "x"), ("ses", "se"), ("s", ""))  # fmt: skip


def singular(word: str) -> str:
    """Return one of what a path segment names several of: `memories` -> `memory`."""
    word = re.sub(r"[^a-z0-9]+", "_", re.sub(r"([a-z])([A-Z])", r"\1_\2", word).lower()).strip("_")
    if word.endswith(("ss", "us")):
        return word
    for ending, one in SINGULAR:
        if word.endswith(ending):
            return word[: -len(ending)] + one
    return word


def plain(name: str) -> str:
    """Return a name without its style: `contentHash` and `content-hash` are `contenthash`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def properties(schema: Schema | None) -> dict[str, Schema]:
    """Return the properties of a schema and of what it is composed of."""
    found: dict[str, Schema] = {}
    for branch in branches(schema):
        for name, each in branch.get("properties", {}).items():
            if isinstance(each, dict):
                found.setdefault(name, each)
    return found


def required(schema: Schema | None) -> set[str]:
    """Return the names of the properties that a schema requires, unless it only may."""
    found = set()
    for branch in branches(schema):
        found |= {n for n in branch.get("required", ()) if isinstance(n, str)}
    return found


def kinds(schema: Any) -> set[str]:
    """Return the JSON types of a schema, null left out."""
    return types(list(branches(schema))) - {"null"}


def is_object(schema: Any) -> bool:
    """Return True if a schema is that of an object with known members."""
    return bool(properties(schema)) or kinds(schema) == {"object"}


def is_text(schema: Any) -> bool:
    """Return True if a schema is that of a text."""
    return kinds(schema) == {"string"}


def items(schema: Any) -> Schema | None:
    """Return the schema of an array's entries, None if it is no array or says nothing of them."""
    for branch in branches(schema):
        if isinstance(branch.get("items"), dict):
            return dict(branch["items"]) if not branch["items"] else branch["items"]
    return None


def success(operation: Operation) -> Schema | None:
    """Return the schema of an operation's success, None without any."""
    for status in sorted(operation.responses):
        if status.startswith("2") and operation.responses[status].schema:
            return operation.responses[status].schema
    return None


def named(schema: Schema | None, names: Iterable[str], wanted: Iterable[str] = ()) -> str | None:
    """Return the property of one of `names` (style does not count), the first of them that is."""
    known = {plain(name): name for name in properties(schema)}
    kinds_wanted = set(wanted)
    for name in names:
        found = known.get(plain(name))
        if found is not None:
            given = kinds(properties(schema)[found])
            if not kinds_wanted or not given or given & kinds_wanted:
                return found
    return None


def inside(schema: Schema | None) -> Iterator[tuple[str, Schema]]:
    """Yield a schema, and the object that it wraps if it wraps one: pointer and schema."""
    if schema is None:
        return
    yield "", schema
    known = properties(schema)
    objects = {n: s for n, s in known.items() if is_object(s) and "array" not in kinds(s)}
    for name in sorted(objects, key=lambda n: n not in ("data", "result", "item")):
        if name in ("data", "result", "item") or len(objects) == 1:
            yield f"/{escaped(name)}", objects[name]


def arrays(schema: Schema | None) -> Iterator[tuple[str, Schema]]:
    """Yield the arrays that an answer is or wraps: pointer and the schema of an entry."""
    for place, each in inside(schema):
        if "array" in kinds(each):
            yield place, items(each) or {}
        for name, inner in properties(each).items():
            if "array" in kinds(inner):
                yield f"{place}/{escaped(name)}", items(inner) or {}


def escaped(name: str) -> str:
    """Return a name as a step of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def inputs(operation: Operation) -> Mapping[str, Schema]:
    """Return what a call can name beside its path: query parameters and body properties."""
    found: dict[str, Schema] = {p.name: p.schema for p in operation.parameters_in("query")}
    if operation.body is not None:
        found.update(properties(operation.body.schema))
    return found
