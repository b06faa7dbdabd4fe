"""References of a document, followed: what `$ref` names stands once, however often it is named.

A schema becomes a graph of plain dicts that may lead back to itself, so that recursive schemas
cost nothing and nothing is ever copied out. Validators take text with references: `closed` writes
a graph as one schema with `$defs`. Pointers are resolved by `referencing`; what a document may
hold is said elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

NAMED = frozenset({
    "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "schemas",
    "parameters", "responses", "requestBodies", "headers", "securitySchemes", "links",
    "callbacks", "pathItems", "mediaTypes", "paths", "webhooks", "content", "encoding",
})  # fmt: skip
"""Keys whose members are named by the author, so that no name among them is a keyword."""
VALUES = frozenset({"default", "example", "examples", "enum", "const", "value", "dataValue"})
"""Keywords that hold data: a `$ref` inside is none."""


class Target(dict[str, Any]):
    """What a reference points to; the graph holds one for each."""


class Dangling(LookupError):
    """A reference that points to nothing, or only to itself."""


class Graph:
    """The parts of one document with their references followed."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        resource = Resource.from_contents(document, default_specification=DRAFT202012)
        self._resolver = Registry().with_resource("", resource).resolver("")
        self._made: dict[tuple[int, bool], Any] = {}
        self._targets: dict[tuple[str, str], Target] = {}
        self._waiting: list[tuple[Any, Any, bool]] = []
        self._held: list[Any] = []
        self._begun: list[tuple[dict[Any, Any], Any]] = []
        """What the part that is being followed has added: where, under which key."""

    def follow(self, node: Any) -> Any:
        """Return a part with every reference inside it followed. Raises Dangling."""
        self._begun.clear()
        try:
            made = self._part(node, False)
            while self._waiting:
                self._fill(*self._waiting.pop())
        except Dangling:
            self._waiting.clear()
            for known, key in self._begun:  # half of a part is worse than none
                known.pop(key, None)
            raise
        return made

    def _fill(self, into: Any, source: Any, named: bool) -> None:
        if isinstance(into, list):
            into += [self._part(each, False) for each in source]
            return
        for key, value in source.items():
            keyword = not named
            data = keyword and key in VALUES
            into[key] = value if data else self._part(value, keyword and key in NAMED)

    def _part(self, node: Any, named: bool) -> Any:
        if not isinstance(node, dict | list):
            return node
        known = self._made.get((id(node), named))
        if known is not None:
            return known
        made: Any
        if isinstance(node, dict) and isinstance(node.get("$ref"), str) and not named:
            made = self._target(node)
        else:
            made = [] if isinstance(node, list) else {}
            self._waiting.append((made, node, named))
        self._made[id(node), named] = made
        self._begun.append((self._made, (id(node), named)))
        self._held.append(node)  # an id is only an id while its owner lives
        return made

    def _target(self, node: dict[str, Any]) -> Target:
        """Return what a reference names, with what stands beside the reference laid over it."""
        beside = {key: value for key, value in node.items() if key != "$ref"}
        key = (node["$ref"], repr(beside) if beside else "")
        known = self._targets.get(key)
        if known is not None:
            return known
        made = self._targets[key] = Target()
        self._begun.append((self._targets, key))
        self._waiting.append((made, {**self._looked_up(node["$ref"]), **beside}, False))
        return made

    def _looked_up(self, reference: str) -> dict[str, Any]:
        """Return the members of what a reference leads to, over other references if need be."""
        members: dict[str, Any] = {}
        seen: set[str] = set()
        while True:
            if reference in seen:
                raise Dangling(f"{reference!r} leads only to itself")
            seen.add(reference)
            try:
                found = self._resolver.lookup(reference).contents
            except (Unresolvable, TypeError, ValueError, KeyError, IndexError) as error:
                raise Dangling(f"{reference!r} points to nothing") from error
            if not isinstance(found, dict):
                if isinstance(found, bool):
                    return {**({} if found else {"not": {}}), **members}
                raise Dangling(f"{reference!r} points to a {type(found).__name__}")
            members = {**found, **members}
            if not isinstance(found.get("$ref"), str):
                return members
            reference = found["$ref"]
            members.pop("$ref")


def closed(schema: Any) -> Any:
    """Return a graph as one self-contained schema: what is named twice stands under `$defs`."""
    if not isinstance(schema, Mapping):
        return schema
    shared = _shared(schema)
    if not shared:
        return _written(schema, {})
    names = {each: f"#/$defs/shared-{number}" for number, each in enumerate(shared)}
    body = _written(schema, names, outermost=True)
    definitions = {
        names[each].rpartition("/")[2]: _written(node, names, outermost=True)
        for each, node in shared.items()
    }
    return {**body, "$defs": {**body.get("$defs", {}), **definitions}}


def _shared(schema: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Return the targets that a graph reaches more than once, by identity."""
    seen: set[int] = set()
    shared: dict[int, Mapping[str, Any]] = {}
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if id(node) in seen:
                if isinstance(node, Target):
                    shared[id(node)] = node
                    continue
            elif isinstance(node, Target) or node is schema:
                seen.add(id(node))
            waiting += node.values()
        elif isinstance(node, list | tuple):
            waiting += node
    return shared


def _written(node: Any, names: Mapping[int, str], outermost: bool = False) -> Any:
    if isinstance(node, Mapping):
        if not outermost and id(node) in names:
            return {"$ref": names[id(node)]}
        return {
            key: _written(value, names)
            for key, value in node.items()
            # both would change what a reference beside them means
            if not (key in ("$id", "$schema") and isinstance(value, str))
        }
    if isinstance(node, list | tuple):
        return [_written(each, names) for each in node]
    return node


VALIDATORS_MAX = 8192
"""Compiled schemas that are kept; each keeps its schema alive, so that its identity stays true."""
_CLOSED: dict[int, tuple[Any, jsonschema_rs.Validator]] = {}


def validator(schema: Any) -> jsonschema_rs.Validator:
    """Return the compiled form of a schema, formats included; compiled once for each."""
    known = _CLOSED.get(id(schema))
    if known is None:
        if len(_CLOSED) >= VALIDATORS_MAX:
            _CLOSED.clear()
        made = jsonschema_rs.validator_for(closed(schema), validate_formats=True)
        known = _CLOSED[id(schema)] = (schema, made)
    return known[1]
