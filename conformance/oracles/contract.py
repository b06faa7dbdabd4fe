"""One answer against its declaration: status, media type, headers, body (CT1–CT3, CT6, CT7).

`judge` looks at any single exchange that an operation explains. What an *error* body must say
is in `envelope.py`; what several answers must say together is in the oracles named after it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema_rs

from conformance.history import Exchange
from conformance.oracles import showing
from conformance.oracles.found import found, told
from conformance.verdict import Finding
from specs import Basis, Operation, Response, constraints
from specs.constraints import weaker
from specs.references import closed

MESSAGES_MAX = 8
"""Violations told of one body; a body that breaks everything needs no longer list."""

INFRASTRUCTURE = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 417, 426, 431, 429})
"""Statuses that the way to an operation may give before the operation is asked: the framing is
wrong, the body too long, the address not that of a resource. Allowed where a case provoked it."""


@dataclass(frozen=True)
class Violation:
    """One rule of a schema that a value breaks."""

    place: str
    """In the value, with `*` for indexes: `/items/*/id`."""
    keyword: str
    steps: tuple[str, ...]
    """From the schema to the broken word."""
    null: bool
    """True where the value there is null."""


EMPTY = frozenset({200, 201, 202, 203, 204, 205})
"""Statuses of success that may come without a body (RFC 9110 §15.3)."""


class Shape:
    """A compiled schema that tells violations by place and keyword, never by value."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = closed(schema)
        self._validator = jsonschema_rs.validator_for(self.schema, validate_formats=True)

    def valid(self, value: Any) -> bool:
        """Return True where the value conforms."""
        try:
            return bool(self._validator.is_valid(value))
        except UnicodeEncodeError:
            return bool(self._validator.is_valid(_writable(value)))

    def violations(self, value: Any) -> Iterator[Violation]:
        """Yield each rule that the value breaks."""
        try:
            errors = list(self._validator.iter_errors(value))
        except UnicodeEncodeError:
            errors = list(self._validator.iter_errors(_writable(value)))
        for error in errors:
            place = "".join(f"/{'*' if isinstance(p, int) else p}" for p in error.instance_path)
            steps = evaluated(error)
            keyword = next((s for s in reversed(steps) if not s.isdigit()), "schema")
            if keyword == "required":
                place += f" lacks {_missing(error)}"
            yield Violation(place or "the whole body", keyword, steps, error.instance is None)


def _writable(value: Any) -> Any:
    """Return a JSON value with a mark for each lone surrogate, which no validator can read."""
    return json.loads(_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False)))


_SURROGATE = re.compile("[\ud800-\udfff]")


def evaluated(error: Any) -> tuple[str, ...]:
    """Return the way from a schema to the word that is broken, references followed.

    It is the way through a contract's schemas, which hold what a reference names in its place.
    """
    steps = getattr(error, "evaluation_path", None) or error.schema_path
    return tuple(str(step) for step in steps if step != "$ref")


def _missing(error: Any) -> str:
    name = getattr(error.kind, "property", None)
    return str(name) if name else "a required property"


@lru_cache(maxsize=4096)
def _shape(identity: int) -> Shape:
    return Shape(_HELD[identity])


_HELD: dict[int, Mapping[str, Any]] = {}


def shape(schema: Mapping[str, Any]) -> Shape:
    """Return the compiled form of a contract's schema; compiled once, as schemas are frozen."""
    _HELD.setdefault(id(schema), schema)
    return _shape(id(schema))


def judge(
    operation: Operation, exchange: Exchange, *, also: frozenset[int] = frozenset()
) -> Iterator[Finding]:
    """Yield what is wrong with one answer by itself.

    `also` names statuses that are in order beside the declared ones, for requests that break the
    protocol rather than the operation's rules.
    """
    response = exchange.response
    if response is None or exchange.failure is not None or not response.complete:
        why = exchange.failure or "truncated"
        yield found(
            "CT6",
            f"the answer goes on after {len(response.body):,} bytes, which is all that is read"
            if response is not None and why == "too-large"
            else f"the connection ended without a whole answer ({why})",
            exchange,
            cause=f"no-answer-{why}",
            operation=operation,
        )
        return
    status = response.status
    if status >= 500:
        yield found(
            "CT6", f"the server failed with {status}", exchange, cause=f"server-error-{status}",
            operation=operation, expected="no 5xx", actual=status,
            basis=_failing(operation, status),
        )  # fmt: skip
        return
    declared = operation.response(status)
    if declared is None:
        if status not in also:
            yield found(
                "CT2", f"status {status} is not declared", exchange,
                cause=f"undeclared-status-{status}", operation=operation,
                basis=constraints.of_status(operation, status),
                expected=sorted(operation.responses), actual=status,
            )  # fmt: skip
        if not 200 <= status < 300:
            return
        declared = operation.success  # another success still gives what success gives
    if declared.content and not response.body.strip() and status in EMPTY:
        yield from _nothing(operation, exchange, declared)
        return
    yield from _media_type(operation, exchange, declared)
    yield from _headers(operation, exchange, declared)
    yield from _body(operation, exchange, declared)


def _failing(operation: Operation, status: int) -> Basis:
    """Return on what it rests that an answer is no 5xx.

    501 and 503 may say that a feature is switched off here, which shapes alone do not rule out.
    """
    switched_off = status in (501, 503) and operation.accepts_basis is Basis.ASSUMED
    return Basis.OBSERVED if switched_off else Basis.DOCUMENTED


def _nothing(operation: Operation, exchange: Exchange, declared: Response) -> Iterator[Finding]:
    """CT1: a success without a body gives nothing of what success is declared to give."""
    needed = [s for s in constraints.objects(declared.schema) if s.get("required")]
    if not needed or "required" not in (declared.schema or {}):
        return
    yield found(
        "CT1", f"a {told(exchange)} without a body lacks what success is declared to give",
        exchange, cause=f"schema {operation.id} empty-success", operation=operation,
        basis=_resting(
            constraints.broken(operation, declared.schema, ("required",), operation.basis), declared
        ),
        expected=sorted({n for s in needed for n in s["required"]}), actual="no body",
    )  # fmt: skip


def _media_type(operation: Operation, exchange: Exchange, declared: Response) -> Iterator[Finding]:
    """CT3: the media type is one of those declared for the status."""
    response = exchange.response
    assert response is not None
    wanted = {m.split(";")[0].strip().lower() for m in declared.content}
    given = response.media_type
    if not wanted:
        if response.body and response.status == 204:
            yield found(
                "CT3", "a 204 answer has a body", exchange, cause="body-in-204", operation=operation
            )
        return
    if given not in wanted and not (given == "application/problem+json" and response.status >= 400):
        yield found(
            "CT3",
            f"the {_class(response.status)} answer's media type is not the declared one",
            exchange,
            cause=f"media-type-{_class(response.status)}-{given or 'none'}",
            operation=operation,
            basis=constraints.of_media_type(operation, declared),
            expected=sorted(wanted),
            actual=given or None,
            shows=f"status == {response.status} and "
            f"header.get('content-type', '').split(';')[0].strip().lower() == {given!r}",
        )


def _headers(operation: Operation, exchange: Exchange, declared: Response) -> Iterator[Finding]:
    """CT7: required headers are there, and each declared one that is there has its type."""
    response = exchange.response
    assert response is not None
    for name, schema in declared.headers.items():
        value = response.header(name)
        if value is None:
            if name in declared.required_headers:
                yield found(
                    "CT7", f"the declared header {name} is missing", exchange,
                    cause=f"header-missing-{name}", operation=operation,
                    basis=constraints.of_header(operation, declared, name),
                    shows=f"status == {response.status} and {name!r} not in header",
                )  # fmt: skip
        elif not shape(schema).valid(_typed(value, schema)):
            yield found(
                "CT7", f"the header {name} is not of its declared type", exchange,
                cause=f"header-type-{name}", operation=operation,
                basis=constraints.of_header(operation, declared, name),
                expected=schema.get("type"),
            )  # fmt: skip


def _body(operation: Operation, exchange: Exchange, declared: Response) -> Iterator[Finding]:
    """CT1: a JSON body conforms to the schema of its status."""
    response = exchange.response
    assert response is not None
    schema = declared.content.get(response.media_type)
    if schema is None and response.media_type.endswith("json"):
        schema = declared.schema
    if schema is None or not response.media_type.endswith("json"):
        return
    try:
        body = response.json()
    except ValueError:
        yield found(
            "CT1", "the body is not JSON", exchange,
            cause=f"not-json-{_class(response.status)}", operation=operation,
            shows=f"status == {response.status} and data is None",
        )  # fmt: skip
        return
    compiled = shape(schema)
    if compiled.valid(body):
        return
    for count, wrong in enumerate(compiled.violations(body)):
        if count == MESSAGES_MAX:
            return
        place, keyword = wrong.place, wrong.keyword
        basis = constraints.broken(operation, schema, wrong.steps, operation.basis, wrong.null)
        yield found(
            "CT1",
            f"the {_class(response.status)} body breaks its schema: {place} ({keyword})",
            exchange,
            cause=f"schema {operation.id} {_class(response.status)} {place} {keyword}",
            operation=operation,
            basis=_resting(basis, declared),
            shows=showing.broken(response.status, schema, wrong.steps, place, wrong.null),
        )


def _typed(value: str, schema: Mapping[str, Any]) -> Any:
    """Return a header's value read as its declared type, or as it stands where it cannot be."""
    for kind in _kinds(schema):
        try:
            if kind == "integer":
                return int(value)
            if kind == "number":
                return float(value)
        except ValueError:
            continue
        if kind == "boolean" and value in ("true", "false"):
            return value == "true"
    return value


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a header's schema allows, alternatives included."""
    kinds = schema.get("type", [])
    found = [kinds] if isinstance(kinds, str) else list(kinds)
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found += _kinds(each)
    return found


def _class(status: int) -> str:
    return str(status) if status < 300 else f"{status // 100}xx" if status < 400 else str(status)


def _resting(basis: Basis, declared: Response) -> Basis:
    """Return on what a detail of an answer rests: on no more than that there is such an answer."""
    return weaker(basis, declared.basis) if declared.basis else basis
