"""On what each single constraint of a contract rests: one table of kinds, and the walk over all.

A document that shows an SDK states that an operation exists, what it takes and what it gives. It
does not state, by that alone, that `null` is refused or that success is 201. `TABLE` says how much
each kind of constraint can carry where the spec states nothing of it; a spec overrides it in the
schema or answer that holds the constraint. Oracles ask here and decide nothing of it themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from specs.contract import Operation, Response
from specs.pointers import branches
from specs.vocabulary import Basis

Schema = Mapping[str, Any]


class Kind(StrEnum):
    """What a constraint is about; also its word in `x-basis-of`."""

    PATH = "path"
    BODY = "body"
    REQUIRED = "required"
    TYPE = "type"
    NULL = "null"
    ENUM = "enum"
    FORMAT = "format"
    BOUND = "bound"
    LENGTH = "length"
    PATTERN = "pattern"
    EXTRA = "extra"
    SUCCESS = "success"
    STATUS = "status"
    MEDIA_TYPE = "media-type"
    HEADER = "header"


@dataclass(frozen=True)
class Rule:
    """What one kind of constraint rests on at most where a document shows an SDK."""

    most: Basis
    why: str


_CARRIED = Basis.DOCUMENTED
TABLE: Mapping[Kind, Rule] = {
    Kind.PATH: Rule(Basis.OBSERVED, "a document that shows an SDK shows no method and no path"),
    Kind.BODY: Rule(Basis.ASSUMED, "nobody says that an empty body is refused"),
    Kind.REQUIRED: Rule(_CARRIED, "the document marks what is required, or shows what is given"),
    Kind.TYPE: Rule(_CARRIED, "the document shows a value, or names the type"),
    Kind.NULL: Rule(Basis.ASSUMED, "for what is optional, null may mean absent"),
    Kind.ENUM: Rule(_CARRIED, "the document lists the values"),
    Kind.FORMAT: Rule(_CARRIED, "the document names the format"),
    Kind.BOUND: Rule(Basis.ASSUMED, "a bound is a figure, which a document gives or does not"),
    Kind.LENGTH: Rule(Basis.ASSUMED, "a length is a figure, which a document gives or does not"),
    Kind.PATTERN: Rule(Basis.ASSUMED, "a pattern is ours, unless a document gives it"),
    Kind.EXTRA: Rule(Basis.ASSUMED, "what is not known may be ignored"),
    Kind.SUCCESS: Rule(Basis.ASSUMED, "any 2xx is success to an SDK"),
    Kind.STATUS: Rule(Basis.ASSUMED, "no list of errors that an SDK tells apart is complete"),
    Kind.MEDIA_TYPE: Rule(Basis.OBSERVED, "the SDK reads JSON; the document shows its values"),
    Kind.HEADER: Rule(_CARRIED, "the document names the header"),
}  # fmt: skip
"""Of a document that shows an SDK. One that describes the API itself states what it declares."""

_KEYWORDS: Mapping[str, Kind] = {
    **dict.fromkeys(("required", "dependentRequired"), Kind.REQUIRED),
    **dict.fromkeys(("enum", "const"), Kind.ENUM),
    "format": Kind.FORMAT,
    "pattern": Kind.PATTERN,
    **dict.fromkeys(
        ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), Kind.BOUND
    ),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "uniqueItems",
         "minProperties", "maxProperties"), Kind.LENGTH
    ),
    **dict.fromkeys(
        ("additionalProperties", "unevaluatedProperties", "propertyNames"), Kind.EXTRA
    ),
}  # fmt: skip
_BOUNDS = frozenset({Kind.BOUND, Kind.LENGTH, Kind.PATTERN, Kind.ENUM, Kind.FORMAT})
"""What `x-bounds-basis` is about; an `x-basis-of` for one kind is more exact."""


def kind_of(keyword: str) -> Kind:
    """Return the kind of constraint that a word of JSON Schema makes."""
    return _KEYWORDS.get(keyword, Kind.TYPE)


def weaker(*bases: Basis) -> Basis:
    """Return the weakest of several bases: a chain of promises holds as far as that."""
    return max(bases, key=list(Basis).index)


def stated(schema: Any, kind: Kind) -> Basis | None:
    """Return what a schema itself states of one kind of constraint in it, None where nothing."""
    if not isinstance(schema, Mapping):
        return None
    own = schema.get("x-basis-of", {}).get(kind)
    if own is None and kind is Kind.EXTRA:
        own = schema.get("x-closed-basis")
    if own is None and kind in _BOUNDS:
        own = schema.get("x-bounds-basis")
    return Basis(own) if own else None


def resting(operation: Operation, kind: Kind, inherited: Basis, said: Basis | None = None) -> Basis:
    """Return on what a constraint rests: what is said of it, else as much as its kind carries.

    `inherited` is the basis of what the constraint is about: the member, the answer, the call.
    """
    if said is not None:
        return said
    return weaker(inherited, TABLE[kind].most) if operation.sdk_only else inherited


def broken(
    operation: Operation, schema: Any, steps: Sequence[str], inherited: Basis, null: bool = False
) -> Basis:
    """Return on what the rule rests that a value breaks.

    `steps` lead from `schema` to the broken word, as a validator gives them; `null`: the value
    there is null. `inherited` is the basis of what the schema describes.
    """
    node, basis, optional = _led(schema, steps, inherited)
    kind = kind_of(steps[-1]) if steps else Kind.TYPE
    if null and optional and kind in (Kind.TYPE, Kind.ENUM):
        kind = Kind.NULL
    return resting(operation, kind, basis, stated(node, kind))


def along(schema: Any, steps: Sequence[str], inherited: Basis) -> Basis:
    """Return the basis that a schema states on the way to a word, `inherited` where it states none.

    What its kind of constraint can carry is left out: for who is no server.
    """
    node, basis, _ = _led(schema, steps, inherited)
    return stated(node, kind_of(steps[-1]) if steps else Kind.TYPE) or basis


def _led(schema: Any, steps: Sequence[str], inherited: Basis) -> tuple[Any, Basis, bool]:
    """Return the schema that holds the last step, its basis, and whether its value is optional."""
    node, basis, optional, place = schema, inherited, False, 0
    while place < len(steps) - 1:
        step = steps[place]
        if isinstance(node, Mapping):
            basis = _own(node, basis)
            if step == "properties" and place + 2 < len(steps):
                name = steps[place + 1]
                optional = name not in node.get("required", ())
                node, place = node["properties"].get(name), place + 2
                continue
            node = node.get(step)
        elif isinstance(node, Sequence) and step.isdigit():
            node = node[int(step)]
        place += 1
    return node, _own(node, basis), optional


def _own(schema: Any, inherited: Basis) -> Basis:
    """Return the basis that a schema states for itself, else the one around it."""
    own = schema.get("x-basis") if isinstance(schema, Mapping) else None
    return Basis(own) if own else inherited


def member(operation: Operation, name: str) -> Basis:
    """Return on what it rests that an operation takes an argument at all: parameter or member."""
    for parameter in operation.parameters:
        if parameter.name == name:
            return _own(parameter.schema, operation.basis)
    for schema in objects(operation.body.schema if operation.body else {}):
        if name in schema.get("properties", {}):
            return _own(schema["properties"][name], _own(schema, operation.basis))
    return Basis.ASSUMED


def objects(schema: Any) -> Iterator[Schema]:
    """Yield a schema and those that it is composed of."""
    yield from branches(schema)


def of_body(operation: Operation) -> Basis:
    """Return on what it rests that a request without its body is refused.

    An empty body lacks what is required, so it is as sure as the surest required member.
    """
    body = operation.body
    if body is None or not body.required:
        return Basis.ASSUMED
    kind = Kind.REQUIRED
    lacking = [
        resting(operation, kind, _own(schema, operation.basis), stated(schema, kind))
        for schema in objects(body.schema)
        if schema.get("required")
    ]
    usual = resting(operation, Kind.BODY, operation.basis)
    return min(lacking, key=list(Basis).index, default=usual)


def of_status(operation: Operation, status: int) -> Basis:
    """Return on what it rests that an answer has one of the declared statuses and not this one.

    Success other than the declared one rests on what is said of that; an error that nobody
    declared on what is said of the list of errors.
    """
    if 200 <= status < 300:
        return of_answer(operation, operation.success)
    if 400 <= status < 500:
        # OpenAPI 3.1 section 4.8.16: not all codes need be covered, for not all may be known
        return resting(operation, Kind.STATUS, weaker(operation.basis, Basis.OBSERVED))
    return operation.basis


def of_answer(operation: Operation, response: Response) -> Basis:
    """Return on what the status of a declared answer rests."""
    kind = Kind.SUCCESS if response.status.startswith("2") else Kind.STATUS
    said = response.basis
    if kind is Kind.SUCCESS and operation.sdk_only and said is Basis.OBSERVED:
        said = None  # a client shows what it reads in an answer, not which 2xx a server gives it
    if said is None and kind is Kind.STATUS:
        errors, limit = operation.errors, operation.rate_limit
        listed = [
            each.basis or errors.basis
            for each in (errors.answers.values() if errors else ())
            if errors and str(each.status) == response.status
        ]
        listed += [limit.basis] if limit and str(limit.exceeded_status) == response.status else []
        said = min(listed, key=list(Basis).index, default=None)
    return resting(operation, kind, operation.basis, said)


def of_media_type(operation: Operation, response: Response) -> Basis:
    """Return on what the media type of an answer rests."""
    basis = resting(operation, Kind.MEDIA_TYPE, operation.basis)
    return weaker(basis, response.basis) if response.basis else basis


def of_header(operation: Operation, response: Response, name: str) -> Basis:
    """Return on what a declared header of an answer rests.

    It is as sure as the block that names it, rate limit or usage; one that no block names is
    documented only where its schema says so.
    """
    schema = response.headers.get(name, {})
    said = Basis(schema["x-basis"]) if schema.get("x-basis") else None
    basis = said or _naming(operation, name)
    if basis is None:
        basis = Basis.ASSUMED if operation.sdk_only else operation.basis
    return weaker(basis, response.basis) if response.basis else basis


def _naming(operation: Operation, name: str) -> Basis | None:
    """Return the basis of the block that names a header, None where none does."""
    limit, usage = operation.rate_limit, operation.usage
    if limit and name in _lower(limit.limit, limit.remaining, limit.reset):
        return limit.basis
    if usage and name in _lower(usage.plan, *(n for f in usage.figures for n in (f.used, f.limit))):
        return usage.basis
    return None


def _lower(*names: str | None) -> set[str]:
    return {name.lower() for name in names if name}


__all__ = [
    "TABLE", "Kind", "Rule", "along", "broken", "kind_of", "member", "objects", "of_answer",
    "of_body", "of_header", "of_media_type", "of_status", "resting", "stated", "weaker",
]  # fmt: skip
