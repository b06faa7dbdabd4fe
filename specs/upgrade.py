"""Older and newer OpenAPI, read as 3.1: schemas become JSON Schema 2020-12.

3.0's own words (`nullable`, boolean `exclusiveMinimum`, `example`) say what 2020-12 says in
others; the OpenAPI Initiative's guide "Migrating from OpenAPI 3.0 to 3.1" lists them. 3.2 adds to
3.1 and changes nothing of it. Swagger 2.0 is another format, which published tools convert.
"""

from __future__ import annotations

from typing import Any

from specs import places

CONVERT = (
    "convert it to OpenAPI 3 first: `npx swagger2openapi FILE -o openapi.json` does, and so does "
    "editor.swagger.io"
)

FROM_3_0 = "3.1.0-from-3.0"
"""The version that a document bears which was written as 3.0."""


class Unsupported(ValueError):
    """A document of a kind that is not read; the message says what to do."""


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as OpenAPI 3.1, changed in place. Raises Unsupported."""
    if "swagger" in document:
        raise Unsupported(f"is Swagger {document['swagger']}, which is not read; {CONVERT}")
    version = str(document.get("openapi", ""))
    if version.startswith("3.0"):
        for _, schema in list(places.everywhere(document)):
            _schema(schema)
        document["openapi"] = FROM_3_0
    elif version.startswith("3.2"):
        document["openapi"] = "3.1.1"
    elif not version.startswith("3.1"):
        raise Unsupported(
            f"openapi is {document.get('openapi')!r}: 3.0, 3.1 and 3.2 are read; "
            "write `openapi: 3.1.0` where the file says nothing"
        )
    return document


def part(node: Any) -> None:
    """Rewrite a part of another file that a 3.0 document refers to, in place."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += [v for k, v in node.items() if k not in places.VALUES]
            _schema(node)


def _schema(schema: dict[str, Any]) -> None:
    """Rewrite one schema of OpenAPI 3.0, not those inside it."""
    if isinstance(schema.get("$ref"), str):  # 3.0: what stands beside a reference is ignored
        for word in [w for w in schema if w != "$ref" and not w.startswith("x-")]:
            del schema[word]
        return
    for word, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(word), bool):
            strict = schema.pop(word)
            if strict and bound in schema:
                schema[word] = schema.pop(bound)
    if "example" in schema and "examples" not in schema:
        schema["examples"] = [schema.pop("example")]
    if schema.pop("nullable", False):
        _nullable(schema)


def _nullable(schema: dict[str, Any]) -> None:
    """Let a schema allow null as well, as `nullable: true` asks beside a `type` (3.0.3)."""
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        return
    for word in ("anyOf", "oneOf"):
        if word in schema:
            schema[word] = [*schema[word], {"type": "null"}]
            return
    if "allOf" in schema:
        schema["anyOf"] = [{"allOf": schema.pop("allOf")}, {"type": "null"}]
