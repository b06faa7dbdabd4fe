"""What a schema means in one direction, and which branch a discriminator names, written out.

OpenAPI says with words beside a schema what JSON Schema does not know: `readOnly` members are no
part of a request, `writeOnly` ones none of an answer (and `required` follows), and the values of
a discriminator are the names that its mapping gives. Here the document is rewritten once, so that
whoever reads its schemas need not know.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

SCHEMAS = "#/components/schemas/"
VERBS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
REQUEST, RESPONSE = "readOnly", "writeOnly"
"""The word that takes a member out of a direction."""


def write_out(document: dict[str, Any]) -> None:
    """Rewrite a document's schemas in place."""
    for schema in list(_dicts(document)):
        _discriminate(schema)
    if any(schema.get(word) is True for schema in _dicts(document) for word in (REQUEST, RESPONSE)):
        _Directed(document).write()


def _dicts(node: Any) -> Iterator[dict[str, Any]]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _discriminate(schema: dict[str, Any]) -> None:
    """Give each branch of a schema with a discriminator the names that lead to it."""
    said = schema.get("discriminator")
    mapping = said.get("mapping") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(said.get("propertyName"), str):
        return
    names: dict[str, list[str]] = {}
    for name, target in (mapping or {}).items() if isinstance(mapping, dict) else ():
        target = str(target)
        names.setdefault(target if "/" in target else SCHEMAS + target, []).append(str(name))
    for word in ("oneOf", "anyOf"):
        branches = schema.get(word)
        if not isinstance(branches, list) or not all(_reference(b) for b in branches):
            continue
        schema[word] = [
            {"allOf": [branch, _named(said["propertyName"], names.get(branch["$ref"])
                                      or [branch["$ref"].rpartition("/")[2]])]}
            for branch in branches
        ]  # fmt: skip


def _reference(branch: Any) -> bool:
    return isinstance(branch, dict) and str(branch.get("$ref", "")).startswith(SCHEMAS)


def _named(name: str, values: list[str]) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"enum": values}}}


class _Directed:
    """A document with schemas that mean one thing in a request and another in an answer."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        components = document.get("components")
        found = components.get("schemas") if isinstance(components, dict) else None
        self._schemas: dict[str, Any] = found if isinstance(found, dict) else {}
        self._plain = copy.deepcopy(self._schemas)
        self._marked = {word: self._reaching(word) for word in (REQUEST, RESPONSE)}

    def write(self) -> None:
        """Rewrite the bodies of all operations, and the components that they refer to."""
        components = self._document.get("components")
        parts = components if isinstance(components, dict) else {}
        for part, word in (("requestBodies", REQUEST), ("responses", RESPONSE)):
            for body in _values(parts.get(part)):
                self._content(body, word)
        for item in _values(self._document.get("paths")):
            for verb in VERBS:
                operation = item.get(verb)
                if isinstance(operation, dict):
                    self._content(operation.get("requestBody"), REQUEST)
                    for response in _values(operation.get("responses")):
                        self._content(response, RESPONSE)

    def _content(self, body: Any, word: str) -> None:
        for media in _values(body.get("content") if isinstance(body, dict) else None):
            if isinstance(media.get("schema"), dict):
                media["schema"] = self._turned(media["schema"], word)

    def _reaching(self, word: str) -> set[str]:
        """Return the names of components that say a word, themselves or through a reference."""
        says = {n for n, s in self._plain.items() if any(d.get(word) is True for d in _dicts(s))}
        uses = {
            n: {str(d.get("$ref")).removeprefix(SCHEMAS) for d in _dicts(s) if "$ref" in d}
            for n, s in self._plain.items()
        }
        while True:
            more = {n for n, used in uses.items() if used & says} - says
            if not more:
                return says
            says |= more

    def _turned(self, node: Any, word: str) -> Any:
        """Return a schema as it is meant in one direction."""
        if isinstance(node, list):
            return [self._turned(each, word) for each in node]
        if not isinstance(node, dict):
            return node
        made = {key: self._turned(value, word) for key, value in node.items()}
        reference = made.get("$ref")
        if isinstance(reference, str) and reference.removeprefix(SCHEMAS) in self._marked[word]:
            made["$ref"] = self._component(reference.removeprefix(SCHEMAS), word)
        members = made.get("properties")
        if isinstance(members, dict):
            gone = {n for n, s in members.items() if isinstance(s, dict) and s.get(word) is True}
            if isinstance(made.get("required"), list):
                made["required"] = [n for n in made["required"] if n not in gone]
            if word == REQUEST:  # what an answer should not hold does no harm there
                made["properties"] = {n: s for n, s in members.items() if n not in gone}
        return made

    def _component(self, name: str, word: str) -> str:
        """Return a reference to a component as it is meant in one direction, made once."""
        turned = f"{name}.{'request' if word == REQUEST else 'response'}"
        if turned not in self._schemas:
            self._schemas[turned] = {}  # a recursive one finds itself
            self._schemas[turned] = self._turned(self._plain[name], word)
        return SCHEMAS + turned


def _values(node: Any) -> list[dict[str, Any]]:
    return [v for v in node.values() if isinstance(v, dict)] if isinstance(node, dict) else []
