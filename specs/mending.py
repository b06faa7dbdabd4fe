"""Schemas that are none: what no validator understands is taken out and said, the rest is kept.

A generated description may hold `type: any`, or a pattern of another language's regular
expressions. One such word must not cost the operation, and still less the file.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jsonschema_rs

from specs import places

FAULTS_MAX = 50
"""Faults of one schema that are mended one by one; a worse one is taken as `anything`."""


class Mended(NamedTuple):
    """What was taken out of a document: where it stood, and what was wrong with it."""

    path: places.Path
    what: str


def mend(document: dict[str, Any]) -> list[Mended]:
    """Take what is no JSON Schema 2020-12 out of a document's schemas, in place; return it."""
    found: list[Mended] = []
    for path, schema in places.schemas(document):
        found += _invalid(path, schema)
    for path, schema in places.everywhere(document):
        pattern = schema.get("pattern")
        if pattern is not None and not _compiles(pattern):
            del schema["pattern"]
            what = f"pattern {pattern!r:.60} is no regular expression of ECMA-262"
            found.append(Mended((*path, "pattern"), what))
        named = schema.get("patternProperties")
        for each in [p for p in named if not _compiles(p)] if isinstance(named, dict) else ():
            del schema["patternProperties"][each]
            what = f"pattern {each!r:.60} is no regular expression of ECMA-262"
            found.append(Mended((*path, "patternProperties", each), what))
    return found


def _invalid(path: places.Path, schema: dict[str, Any]) -> list[Mended]:
    found: list[Mended] = []
    for _ in range(FAULTS_MAX):
        error = _wrong(schema)
        if error is None:
            return found
        steps = [str(step) for step in error.instance_path]
        what = f"is no JSON Schema: {error.message:.120}"
        found.append(Mended((*path, *steps), what))
        if not steps or not _taken_out(schema, steps):
            break
    if _wrong(schema) is not None:
        schema.clear()
    return found


def _wrong(schema: Any) -> jsonschema_rs.ValidationError | None:
    """Return why a schema is none, None if it is one."""
    if schema.get("$schema") is not None and not isinstance(schema["$schema"], str):
        schema.pop("$schema")
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        return error
    except ValueError:  # it names a dialect that nobody knows
        schema.pop("$schema", None)
    return None


def _taken_out(schema: Any, steps: list[str]) -> bool:
    """Remove the member that a path leads to; an entry of a list goes with its whole list."""
    for depth, step in enumerate(steps):
        holder = _at(schema, steps[:depth])
        inner = _at(schema, [*steps[:depth], step])
        if isinstance(holder, dict) and (depth == len(steps) - 1 or isinstance(inner, list)):
            rest = steps[depth + 1 :]
            if isinstance(inner, list) and len(rest) > 1:
                continue  # the fault is inside one of several schemas
            holder.pop(step, None)
            return True
    return False


def _at(node: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(node, dict):
            node = node.get(step)
        elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
    return node


@cache
def _compiles(pattern: Any) -> bool:
    if not isinstance(pattern, str):
        return False
    try:
        jsonschema_rs.validator_for({"pattern": pattern})
    except (ValueError, jsonschema_rs.ValidationError):
        return False
    return True
