"""Where in an OpenAPI document its schemas stand; what looks like one inside data is none.

Only positions: what a schema may say is in `check.py`, how older ones are read in `upgrade.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specs.references import NAMED, VALUES

__all__ = ["VALUES", "everywhere", "inner", "schemas"]

Path = tuple[str, ...]
ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
       "unevaluatedProperties", "unevaluatedItems", "contentSchema")  # fmt: skip
"""Keywords of JSON Schema that hold a schema."""
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
KEYED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


def schemas(document: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every outermost schema of a document, references unresolved, with its path.

    Those under `components/schemas`, and those that a `schema` (3.2: `itemSchema`) holds.
    """
    waiting: list[tuple[Path, Any, bool]] = [((), document, False)]
    while waiting:
        path, node, named = waiting.pop()
        if isinstance(node, list):
            waiting += [((*path, str(i)), each, False) for i, each in enumerate(node)]
        if not isinstance(node, dict):
            continue
        for key, value in node.items():
            here = (*path, str(key))
            outermost = path == ("components", "schemas")
            if outermost or (not named and key in ("schema", "itemSchema")):
                if isinstance(value, dict):
                    yield here, value
            elif named or not (key in VALUES or str(key).startswith("x-")):
                waiting.append((here, value, not named and key in NAMED))


def inner(schema: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the schemas directly inside one, with the path from it."""
    if not isinstance(schema, dict):
        return
    for word in ONE:
        if isinstance(schema.get(word), dict):
            yield (word,), schema[word]
    for word in LISTED:
        if isinstance(schema.get(word), list):
            for index, each in enumerate(schema[word]):
                if isinstance(each, dict):
                    yield (word, str(index)), each
    for word in KEYED:
        if isinstance(schema.get(word), dict):
            for name, each in schema[word].items():
                if isinstance(each, dict):
                    yield (word, str(name)), each


def everywhere(document: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every schema of a document, inner ones too, each once, outer ones first."""
    seen: set[int] = set()
    waiting = list(schemas(document))
    while waiting:
        path, schema = waiting.pop()
        if id(schema) in seen:
            continue
        seen.add(id(schema))
        yield path, schema
        waiting += [((*path, *steps), each) for steps, each in inner(schema)]
