"""Ways to get a request wrong, generated from the contract: one table, one mistake each.

A mutation changes valid arguments in exactly one place so that the schema of that place is
broken and no other rule is. Pure; what an answer must be is the envelope oracle's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.backend.world import object_properties
from conformance.oracles.contract import shape
from specs import Basis, Operation
from specs.constraints import Kind, resting, stated
from specs.contract import Schema


@dataclass(frozen=True)
class Mutation:
    """One mistake in one place."""

    kind: str
    """What was done, `below-minimum`."""
    place: str
    """Where: `body.name`, `query.limit`; inside arrays `body.events.*.kind`."""
    arguments: Mapping[str, Any]
    basis: Basis
    """That of the rule broken: a bound that nobody documented weighs less."""

    @property
    def what(self) -> str:
        """The mistake in words."""
        return f"{self.place} {WORDS[self.kind]}"


WORDS = {
    "missing": "missing though required",
    "null": "null though never null",
    "wrong-type": "of another type",
    "below-minimum": "below its minimum",
    "above-maximum": "above its maximum",
    "too-short": "shorter than allowed",
    "too-long": "longer than allowed",
    "bad-enum": "outside its set of values",
    "bad-format": "not in its format",
    "bad-pattern": "not of its pattern",
    "too-few": "with fewer entries than allowed",
    "too-many": "with more entries than allowed",
    "wrong-item": "with an entry of another type",
    "unknown-property": "with a property that does not exist",
}

OTHER_TYPE: dict[str, Any] = {
    "string": 12345,
    "integer": "twelve",
    "number": "twelve",
    "boolean": "perhaps",
    "object": "not an object",
    "array": "not an array",
}
BAD_FORMAT = {
    "date-time": "2024-13-45T99:99:99Z",
    "date": "2024-13-45",
    "email": "no address",
    "uuid": "not-a-uuid",
    "uri": "http://[",
    "time": "99:99:99Z",
}
LONGEST = 70_000
"""Texts longer than this are not sent to show that something is too long."""


KINDS: Mapping[str, Kind] = {
    "missing": Kind.REQUIRED,
    "null": Kind.TYPE,
    "wrong-type": Kind.TYPE,
    "below-minimum": Kind.BOUND,
    "above-maximum": Kind.BOUND,
    "too-short": Kind.LENGTH,
    "too-long": Kind.LENGTH,
    "bad-enum": Kind.ENUM,
    "bad-format": Kind.FORMAT,
    "bad-pattern": Kind.PATTERN,
    "too-few": Kind.LENGTH,
    "too-many": Kind.LENGTH,
    "wrong-item": Kind.TYPE,
    "unknown-property": Kind.EXTRA,
}
"""Mistake -> the kind of constraint that it breaks; null for what is optional is its own kind."""


def mutations(operation: Operation, valid: Mapping[str, Any]) -> Iterator[Mutation]:
    """Yield every mistake that the operation's schemas make possible, in declared order.

    `valid` are arguments that the operation accepts. Path arguments are left alone: another
    path is another resource, or none.
    """
    for parameter in operation.parameters:
        if parameter.location != "query":
            continue
        place = f"query.{parameter.name}"
        schema = parameter.schema
        basis = _basis(schema, operation.basis)
        if parameter.required:
            rests = _resting(operation, "missing", schema, operation.basis)
            yield Mutation("missing", place, _without(valid, parameter.name), rests)
        for kind, value in _wrong(schema, in_query=True):
            rests = _resting(operation, kind, schema, basis, optional=not parameter.required)
            yield Mutation(kind, place, {**valid, parameter.name: value}, rests)
    if operation.body is not None:
        for kind, where, arguments, basis in _object(
            operation, operation.body.schema, valid, operation.basis, ("body",)
        ):
            yield Mutation(kind, where, arguments, basis)


def _resting(
    operation: Operation, mistake: str, schema: Schema, inherited: Basis, optional: bool = False
) -> Basis:
    """Return on what the rule rests that a mistake breaks in a place with this schema."""
    kind = Kind.NULL if mistake == "null" and optional else KINDS[mistake]
    return resting(operation, kind, inherited, stated(schema, kind))


def _object(
    operation: Operation, schema: Schema, value: Mapping[str, Any], basis: Basis,
    path: tuple[str, ...],
) -> Iterator[tuple[str, str, dict[str, Any], Basis]]:  # fmt: skip
    """Yield (kind, place, changed object, basis) for each property of an object."""
    basis = _basis(schema, basis)
    needed = set(schema.get("required", ()))
    for name, inner in object_properties(schema).items():
        place = ".".join((*path, name))
        own = _basis(inner, basis)
        if name in needed and name in value:
            missing = _resting(operation, "missing", schema, basis)
            yield "missing", place, _without(value, name), missing
        for kind, wrong in _wrong(inner):
            rests = _resting(operation, kind, inner, own, optional=name not in needed)
            yield kind, place, {**value, name: wrong}, rests
        if isinstance(value.get(name), Mapping) and inner.get("type") == "object":
            for kind, where, changed, rule in _object(
                operation, inner, value[name], own, (*path, name)
            ):
                yield kind, where, {**value, name: changed}, rule
        yield from _inside_array(operation, inner, value, name, own, path)
    if schema.get("additionalProperties") is False and not schema.get("patternProperties"):
        closed = _resting(operation, "unknown-property", schema, basis)
        yield "unknown-property", ".".join(path), {**value, "memconform_unknown": 1}, closed


def _inside_array(
    operation: Operation, schema: Schema, value: Mapping[str, Any], name: str, basis: Basis,
    path: tuple[str, ...],
) -> Iterator[tuple[str, str, dict[str, Any], Basis]]:  # fmt: skip
    entries = value.get(name)
    items = schema.get("items")
    if not isinstance(entries, list) or not entries or not isinstance(items, Mapping):
        return
    if items.get("type") == "object" and isinstance(entries[0], Mapping):
        for kind, where, changed, rule in _object(
            operation, items, entries[0], basis, (*path, name, "*")
        ):
            yield kind, where, {**value, name: [changed, *entries[1:]]}, rule


def _wrong(schema: Schema, in_query: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield (kind, value) that break one schema, verified against it."""
    for kind, make in _MAKERS:
        made = make(schema)
        if made is None:
            continue
        value = made[0]
        if in_query and not _breaks_as_text(schema, kind, value):
            continue
        if not shape(schema).valid(value):
            yield kind, value


def _breaks_as_text(schema: Schema, kind: str, value: Any) -> bool:
    """Return True where a value is still wrong once a query has made text of it."""
    if kind in ("null", "wrong-item") or schema.get("type") in ("object", "array"):
        return False
    return not (kind == "wrong-type" and schema.get("type") == "string")


def _kind_of(schema: Schema) -> str | None:
    kind = schema.get("type")
    if isinstance(kind, str):
        return kind
    if isinstance(kind, list):
        rest = [k for k in kind if k != "null"]
        return rest[0] if len(rest) == 1 else None
    return None


def _null(schema: Schema) -> tuple[Any] | None:
    return (None,) if _kind_of(schema) else None


def _wrong_type(schema: Schema) -> tuple[Any] | None:
    kind = _kind_of(schema)
    return (OTHER_TYPE[kind],) if kind in OTHER_TYPE else None


def _below(schema: Schema) -> tuple[Any] | None:
    if "minimum" in schema:
        return (schema["minimum"] - 1,)
    return (schema["exclusiveMinimum"],) if "exclusiveMinimum" in schema else None


def _above(schema: Schema) -> tuple[Any] | None:
    if "maximum" in schema:
        return (schema["maximum"] + 1,)
    return (schema["exclusiveMaximum"],) if "exclusiveMaximum" in schema else None


def _short(schema: Schema) -> tuple[Any] | None:
    least = schema.get("minLength", 0)
    return ("x" * (least - 1),) if least else None


def _long(schema: Schema) -> tuple[Any] | None:
    most = schema.get("maxLength")
    if most is None or most > LONGEST or {"enum", "format", "pattern"} & set(schema):
        return None
    return ("x" * (most + 1),)


def _enum(schema: Schema) -> tuple[Any] | None:
    if _kind_of(schema) == "string" and ("enum" in schema or "const" in schema):
        return ("memconform-no-such-value",)
    return None


def _format(schema: Schema) -> tuple[Any] | None:
    wrong = BAD_FORMAT.get(schema.get("format", ""))
    return (wrong,) if wrong else None


def _pattern(schema: Schema) -> tuple[Any] | None:
    return ("\u2603 \u2603",) if "pattern" in schema else None


def _few(schema: Schema) -> tuple[Any] | None:
    return ([],) if schema.get("minItems", 0) > 0 else None


def _many(schema: Schema) -> tuple[Any] | None:
    most = schema.get("maxItems")
    if most is None or most > 2000 or "items" not in schema:
        return None
    from specs.examples import example

    return ([example(schema["items"], seed=i, optional=False) for i in range(most + 1)],)


def _wrong_item(schema: Schema) -> tuple[Any] | None:
    items = schema.get("items")
    if not isinstance(items, Mapping) or _kind_of(items) not in OTHER_TYPE:
        return None
    return ([OTHER_TYPE[_kind_of(items) or "string"]],)


_MAKERS: tuple[tuple[str, Callable[[Schema], tuple[Any] | None]], ...] = (
    ("null", _null),
    ("wrong-type", _wrong_type),
    ("below-minimum", _below),
    ("above-maximum", _above),
    ("too-short", _short),
    ("too-long", _long),
    ("bad-enum", _enum),
    ("bad-format", _format),
    ("bad-pattern", _pattern),
    ("too-few", _few),
    ("too-many", _many),
    ("wrong-item", _wrong_item),
)


def _without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {n: v for n, v in values.items() if n != name}


def _basis(schema: Schema, default: Basis) -> Basis:
    return Basis(schema["x-basis"]) if "x-basis" in schema else default
