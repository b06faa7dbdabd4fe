"""Words of OpenAPI that somebody mistyped: `responces` says nothing, and no reader complains.

Only what is near a word that OpenAPI has in that place is told; anything else may be a tool's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from specs.pointers import Fault

_OF: Mapping[str, frozenset[str]] = {
    "the document": frozenset({
        "openapi", "info", "servers", "paths", "webhooks", "components", "security", "tags",
        "externalDocs", "jsonSchemaDialect", "$self",
    }),
    "a path": frozenset({
        "get", "put", "post", "delete", "options", "head", "patch", "trace", "query", "summary",
        "description", "servers", "parameters", "$ref", "additionalOperations",
    }),
    "an operation": frozenset({
        "operationId", "summary", "description", "tags", "parameters", "requestBody", "responses",
        "callbacks", "deprecated", "security", "servers", "externalDocs",
    }),
    "a parameter": frozenset({
        "name", "in", "description", "required", "deprecated", "allowEmptyValue", "style",
        "explode", "allowReserved", "schema", "example", "examples", "content", "$ref",
    }),
    "a request body": frozenset({"description", "content", "required", "$ref"}),
    "a response": frozenset({"description", "headers", "content", "links", "summary", "$ref"}),
    "a media type": frozenset({
        "schema", "example", "examples", "encoding", "itemSchema", "prefixEncoding",
        "itemEncoding", "$ref",
    }),
    "components": frozenset({
        "schemas", "responses", "parameters", "examples", "requestBodies", "headers",
        "securitySchemes", "links", "callbacks", "pathItems", "mediaTypes",
    }),
}  # fmt: skip
"""Kind of object -> the words that OpenAPI 3.0 to 3.2 have for it."""

Place = tuple[tuple[str, ...], Any, str]


def faults(document: Mapping[str, Any], fix: str) -> Iterator[Fault]:
    """Yield each word that is nearly one of OpenAPI's and is none."""
    for path, value, kind in _places(document):
        if not isinstance(value, dict):
            continue
        known = _OF[kind]
        for word in value:
            if word in known or not isinstance(word, str) or word.startswith("x-"):
                continue
            near = get_close_matches(word, known, 1, cutoff=0.75)
            if near:
                what = f"{word!r} is no word of OpenAPI for {kind}: {near[0]!r} was meant?"
                yield Fault((*path, word), what, "it says nothing to any reader", fix)


def _places(document: Mapping[str, Any]) -> Iterator[Place]:
    yield (), document, "the document"
    yield ("components",), document.get("components"), "components"
    for template, item in _items(document.get("paths")):
        at = ("paths", template)
        yield at, item, "a path"
        for verb, operation in _items(item):
            if isinstance(operation, dict) and verb not in ("parameters", "servers"):
                yield from _of_operation((*at, verb), operation)


def _of_operation(at: tuple[str, ...], operation: dict[str, Any]) -> Iterator[Place]:
    yield at, operation, "an operation"
    listed = operation.get("parameters")
    for number, parameter in enumerate(listed if isinstance(listed, list) else []):
        yield (*at, "parameters", str(number)), parameter, "a parameter"
    body = operation.get("requestBody")
    yield (*at, "requestBody"), body, "a request body"
    holders = [((*at, "requestBody"), body)]
    for status, answer in _items(operation.get("responses")):
        yield (*at, "responses", status), answer, "a response"
        holders.append(((*at, "responses", status), answer))
    for place, holder in holders:
        content = holder.get("content") if isinstance(holder, dict) else None
        for name, media in _items(content):
            yield (*place, "content", name), media, "a media type"


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    yield from ((str(k), v) for k, v in value.items()) if isinstance(value, dict) else ()
