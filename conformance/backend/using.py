"""What a valid request makes use of, and so on what it rests that it must be accepted.

A document that shows an argument promises that the argument is taken, as it is shown. It does not
promise every value that a schema lets through: the longest text, the largest number, the odd name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from conformance.backend.world import properties
from specs import Basis, Operation
from specs.constraints import Kind, member, resting, stated, weaker

PLAIN = re.compile(r"[\w .,:;!?'\"@+/()\-]{1,200}", re.ASCII)
"""Text that needs no promise of its own beside that text is taken."""
ENTRIES_MAX = 20
NUMBER_MAX = 1_000_000_000
LONGEST = 5_000
"""Characters of content that no promise is needed for."""
PAIRS = (("from", "to"), ("since", "until"), ("start", "end"), ("after", "before"), ("min", "max"))
"""Parts of names that bound one thing from both sides, the lower one first."""


def used(operation: Operation, arguments: Mapping[str, Any], body: Any = None) -> Basis:
    """Return on what it rests that a valid request is accepted: on the weakest thing it uses.

    `arguments` may hold the members of the body; a `body` that is an object is taken with them.
    """
    if operation.accepts_basis is not None:
        return operation.accepts_basis
    whole = {**arguments, **(body if isinstance(body, Mapping) else {})}
    bases = [operation.basis]
    for name, value in whole.items():
        bases += [member(operation, name), _value(operation, name, value)]
    return weaker(*bases) if operation.sdk_only else operation.basis


def contradictory(whole: Mapping[str, Any]) -> bool:
    """Return True where two values, each valid, bound one thing to nothing: until before since.

    Nobody says what is answered then: refusing, nothing, everything are all in order.
    """
    for low, high in PAIRS:
        for name, value in whole.items():
            parts = name.split("_")
            other = "_".join(high if part == low else part for part in parts)
            if low in parts and other in whole and _above(value, whole[other]):
                return True
    return False


def _above(low: Any, high: Any) -> bool:
    for read in (_time, _number):
        one, two = read(low), read(high)
        if one is not None and two is not None:
            return one >= two
    return isinstance(low, str) and isinstance(high, str) and low >= high  # as a leap second


def _time(value: Any) -> float | None:
    try:
        return datetime.fromisoformat(value.upper()).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _value(operation: Operation, name: str, value: Any) -> Basis:
    """Return on what it rests that a value of a documented argument is taken."""
    schema = properties(operation).get(name, {})
    effect = operation.effect
    is_text = effect is not None and name in _texts(effect.content, effect.query)
    if value is None:
        return resting(operation, Kind.NULL, Basis.DOCUMENTED, stated(schema, Kind.NULL))
    if is_text and isinstance(value, str) and 0 < len(value.strip()) <= LONGEST:
        return Basis.DOCUMENTED
    if plain(value, schema):
        return Basis.DOCUMENTED
    return stated(schema, Kind.BOUND) or Basis.ASSUMED


def _texts(*pointers: str | None) -> set[str]:
    return {pointer.lstrip("/") for pointer in pointers if pointer}


def plain(value: Any, schema: Mapping[str, Any]) -> bool:
    """Return True for a value such as documents show: short text, a usual number, few entries."""
    if isinstance(value, bool) or "enum" in schema or "const" in schema:
        return True
    if isinstance(value, str):
        year = re.match(r"\d{4}", value) if "format" in schema else None
        return bool(PLAIN.fullmatch(value)) and (year is None or 1970 <= int(year[0]) < 2100)
    if isinstance(value, int | float):
        return abs(value) <= NUMBER_MAX
    if isinstance(value, Mapping):
        inner = schema.get("properties", {})
        return _few(value) and all(
            PLAIN.fullmatch(str(n)) and plain(v, inner.get(n, {})) for n, v in value.items()
        )
    if isinstance(value, list):
        return _few(value) and bool(value) and all(plain(v, schema.get("items", {})) for v in value)
    return value is None


def _few(value: Iterable[Any]) -> bool:
    return len(list(value)) <= ENTRIES_MAX
