"""Values of an answer that agree with the request or with each other, as `relations` declares.

Shape is the contract oracle's; here is meaning that the schema cannot say: a limit that is kept,
an order that holds, a figure that equals another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.history import Exchange
from conformance.oracles import showing
from conformance.oracles.found import MISSING, found, value_in
from conformance.verdict import Finding
from specs import Operation
from specs.vocabulary import Relation

ORDERS = ("sorted-asc", "sorted-desc")
"""Relations about the order of values."""


def judge_relations(
    operation: Operation, arguments: Mapping[str, Any], exchange: Exchange
) -> Iterator[Finding]:
    """Yield each declared relation that an accepted answer breaks (CT1)."""
    response = exchange.response
    if response is None:
        return
    body = response.json_or_none()
    for relation in operation.relations:
        if not holds(operation, relation, arguments, body):
            right = f" {relation.right}" if relation.right else ""
            yield found(
                "CT1",
                f"the answer disagrees: {relation.left} {relation.op}{right} does not hold",
                exchange,
                cause=f"relation {operation.id} {relation.left} {relation.op}{right}",
                operation=operation,
                basis=relation.basis,
                shows=_shows(relation, _right(operation, relation, arguments, body)),
            )


def _shows(relation: Relation, right: Any) -> str:
    """Return when a relation is broken again, as an expression; '' where none is short."""
    left = showing.reached(relation.left)
    path = relation.right or ""
    other = (
        f"{showing.reached(path)}[0]"
        if path.startswith("/")
        else f"json.loads(put({json.dumps(right, default=str)!r}))"
    )
    how = {
        "has": f"{relation.right!r} not in v",
        "==": f"v != {other}",
        "<=": f"v > {other}",
        ">=": f"v < {other}",
        "max-items": f"len(v) > {other}",
        "counts": f"v != len({other})",
        "intersects": f"not set(v) & set({other})",
    }.get(relation.op)
    if relation.op in ORDERS:
        down = relation.op == "sorted-desc"
        return f"(v := {left}) != sorted(v, reverse={down})"
    return f"any({how} for v in {left} if v is not None)" if how else ""


def holds(
    operation: Operation, relation: Relation, arguments: Mapping[str, Any], body: Any
) -> bool:
    """Return True where a relation holds, or where there is nothing to compare."""
    if not _applies(operation, relation, arguments):
        return True
    left = values(body, relation.left)
    if relation.op == "has":
        return all(relation.right in v for v in left if isinstance(v, Mapping))
    if relation.op in ORDERS:
        return in_order(left, relation.op)
    right = _right(operation, relation, arguments, body)
    if right is MISSING or right is None:
        return True
    if relation.op == "counts":
        return not isinstance(right, (list, Mapping)) or all(v == len(right) for v in left)
    if relation.op == "max-items":
        return all(len(v) <= right for v in left if isinstance(v, (list, str, Mapping)))
    return all(_compare(v, relation.op, right) for v in left if v is not None)


def values(body: Any, path: str) -> list[Any]:
    """Return every value that a pointer with `*` for any entry reaches; none where nothing is."""
    found_values = [body]
    for step in path.split("/")[1:]:
        if step == "*":
            found_values = [
                inner
                for value in found_values
                for inner in (value.values() if isinstance(value, Mapping) else value or ())
            ]
        else:
            read = (value_in(value, f"/{step}") for value in found_values)
            found_values = [value for value in read if value is not MISSING]
    return found_values


def _right(
    operation: Operation, relation: Relation, arguments: Mapping[str, Any], body: Any
) -> Any:
    name = relation.right
    if name is None:
        return MISSING
    if name.startswith("/"):
        read = values(body, name)
        return read[0] if len(read) == 1 else MISSING
    return _argument(operation, name, arguments)


def _applies(operation: Operation, relation: Relation, arguments: Mapping[str, Any]) -> bool:
    """Return True where the request has the values that a relation is about."""
    return all(
        _argument(operation, name, arguments) == wanted for name, wanted in relation.when.items()
    )


def _argument(operation: Operation, name: str, arguments: Mapping[str, Any]) -> Any:
    """Return what a request gives under a name, else the default of its schema, else MISSING."""
    if name in arguments:
        return arguments[name]
    schemas = {p.name: p.schema for p in operation.parameters}
    if operation.body is not None:
        schemas.update(operation.body.schema.get("properties", {}))
    return schemas.get(name, {}).get("default", MISSING)


def _compare(left: Any, op: str, right: Any) -> bool:
    if op == "==":
        return bool(left == right)
    if op == "intersects":
        both = isinstance(left, list) and isinstance(right, list)
        return not both or any(entry in left for entry in right)
    if isinstance(left, (int, float)) != isinstance(right, (int, float)):
        return True
    try:
        return bool(left <= right if op == "<=" else left >= right)
    except TypeError:
        return True


def in_order(read: list[Any], op: str) -> bool:
    """Return True where values stand in one of `ORDERS`, or are of types that have none."""
    if any(type(v) is not type(read[0]) for v in read):
        return True
    return read == sorted(read, reverse=op == "sorted-desc")
