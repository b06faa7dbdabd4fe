"""Reading a request: parameters coerced to their schemas, bodies parsed and validated.

Everything compiled here depends on the contract alone and is made once per contract. Whatever
bytes come in, the outcome is a value or a `Problem`; nothing else is raised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema_rs

from conformance.reference.backend.calls import Problem
from conformance.reference.defects import Defects
from specs import Operation, Parameter
from specs.references import validator as compiled

MAX_DEPTH = 64
"""Nesting of a JSON body; more is refused before anything recursive sees it."""
MAX_REPORTED = 8
"""Violations named in one answer."""
_INTEGER = re.compile(r"[+-]?\d{1,400}\Z")
_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reader:
    """What reads one parameter."""

    name: str
    location: str
    required: bool
    many: bool
    explode: bool
    coerce: Callable[[str], Any]
    validator: jsonschema_rs.Validator
    default: Any


def reader(parameter: Parameter) -> Reader:
    """Return the compiled reader of a parameter."""
    schema = dict(parameter.schema)
    types = _types(schema)
    many = "array" in types
    element = schema.get("items", {}) if many else schema
    return Reader(
        name=parameter.name,
        location=parameter.location,
        required=parameter.required,
        many=many,
        explode=parameter.explode,
        coerce=_coercion(_types(dict(element))),
        validator=compiled(parameter.schema),
        default=schema.get("default"),
    )


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    kind = schema.get("type", ())
    return (kind,) if isinstance(kind, str) else tuple(kind)


def _coercion(types: Sequence[str]) -> Callable[[str], Any]:
    def coerce(raw: str) -> Any:
        if "integer" in types and _INTEGER.match(raw) and raw.isascii():
            return int(raw)
        if "number" in types and _NUMBER.match(raw):
            value = float(raw)
            return value if abs(value) != float("inf") else raw
        if "boolean" in types and raw in ("true", "false"):
            return raw == "true"
        if "null" in types and raw in ("", "null"):
            return None
        return raw

    return coerce


def parameters(
    readers: Sequence[Reader],
    path: Mapping[str, str],
    query: bytes,
    headers: Mapping[bytes, bytes],
    defects: Defects,
) -> dict[str, Any]:
    """Return the arguments in path, query and headers, by wire name, coerced and validated.

    Raises Problem(`invalid`) that names every parameter that does not fit.
    """
    if not readers:
        return {}
    asks = query and any(each.location == "query" for each in readers)
    given = _pairs(query) if asks else {}
    values: dict[str, Any] = {}
    wrong: list[tuple[str, str]] = []
    for each in readers:
        if each.location == "path":
            raw = [path[each.name]]
        elif each.location == "query":
            raw = given.get(each.name, [])
        else:
            header = headers.get(each.name.lower().encode())
            raw = [header.decode("latin-1")] if header is not None else []
        if not raw:
            spared = "accept.missing-parameter" in defects
            if each.location == "header":
                spared = "accept.missing-header" in defects
            if each.required and not spared:
                wrong.append((each.name, "is required"))
            elif each.default is not None:
                values[each.name] = _default(each, defects)
            continue
        if each.many:
            if not each.explode:
                raw = [part for entry in raw for part in entry.split(",") if part]
            value: Any = [each.coerce(entry) for entry in raw]
        elif len(raw) > 1:
            wrong.append((each.name, "is given more than once"))
            continue
        else:
            value = each.coerce(raw[0])
        if not each.validator.is_valid(value) and not _let_pass(value, defects):
            wrong.append((each.name, "does not fit its schema"))
        values[each.name] = value
    if wrong:
        raise Problem("invalid", "a parameter is not valid", details=_details(wrong))
    return values


def _default(each: Reader, defects: Defects) -> Any:
    if isinstance(each.default, int) and each.default > 1 and "page.default-limit" in defects:
        return each.default + 1
    return each.default


def _let_pass(value: Any, defects: Defects) -> bool:
    """Return whether a defect takes a parameter that breaks its schema."""
    if isinstance(value, int) and value < 0:
        return "page.negative-accepted" in defects
    if isinstance(value, int) and value > 0 and "page.over-max-accepted" in defects:
        return True
    return "accept.invalid-parameter" in defects


def _pairs(query: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        for pair in query.split(b"&"):
            if pair:
                name, _, value = pair.partition(b"=")
                found.setdefault(_text(name), []).append(_text(value))
    except UnicodeDecodeError as why:
        raise Problem("invalid", "the query is not UTF-8") from why
    return found


def _text(raw: bytes) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return unquote_to_bytes(raw).decode() if b"%" in raw else raw.decode()


def parse(raw: bytes, defects: Defects) -> Any:
    """Return the JSON value of a body.

    Raises Problem(`malformed`) for whatever is not JSON (RFC 8259), nests deeper than MAX_DEPTH,
    names a member twice, or holds a lone surrogate.
    """
    if "robust.bad-utf8-fails" in defects:
        raw.decode("utf-8")
    if "robust.malformed-fails" in defects:
        json.loads(raw)
    if b"\\u0000" in raw and "robust.nul-fails" in defects:
        raise RuntimeError("a string holds NUL")
    if _UNBOUNDED.search(raw) and "robust.infinite-fails" in defects:
        raise RuntimeError("a number has no end")
    try:
        if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
            _check_depth(raw, defects)
        if "robust.half-characters-fail" in defects:
            value = json.loads(raw)
        else:
            value = _DECODER.decode(raw.decode())
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as why:
        if raw and "accept.malformed" in defects:
            return {}
        if "named twice" in str(why) and "robust.repeated-member-fails" in defects:
            raise RuntimeError("a member is named twice") from why
        raise Problem("malformed", "the body is not usable as JSON") from why
    return value


_UNBOUNDED = re.compile(rb":\s*(NaN|-?Infinity|\d+e\d{3})")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member is named twice")
    return made


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse, object_pairs_hook=_object)
_OUTSIDE_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def _check_depth(raw: bytes, defects: Defects) -> None:
    depth = 0
    for sign in _OUTSIDE_STRINGS.sub(b"", raw):
        if sign in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                if "robust.deep-nesting-fails" in defects:
                    raise RuntimeError("nested too deeply")
                raise ValueError("nested too deeply")
        elif sign in b"]}":
            depth -= 1


def check(validator: jsonschema_rs.Validator, value: Any, defects: Defects) -> None:
    """Raise Problem(`invalid`) that says where a body does not fit its schema."""
    if validator.is_valid(value):
        return
    wrong = []
    for error in validator.iter_errors(value):
        if _tolerated(error, defects):
            continue
        where = "".join(f"/{part}" for part in error.instance_path)
        wrong.append((where or "/", error.message[:200]))
        if len(wrong) >= MAX_REPORTED:
            break
    if wrong:
        raise Problem("invalid", "the body is not valid", details=_details(wrong))


_TOLERATED = {
    "accept.bad-enum": ("enum",),
    "accept.wrong-type": ("type",),
    "accept.out-of-bounds": ("minimum", "maximum"),
    "accept.empty-text": ("minLength",),
    "accept.empty-batch": ("minItems",),
    "accept.missing-field": ("required",),
    "accept.extra-field": ("additionalProperties",),
    "accept.bad-format": ("format",),
}


def _tolerated(error: jsonschema_rs.ValidationError, defects: Defects) -> bool:
    keyword = error.schema_path[-1] if error.schema_path else ""
    return any(keyword in keywords and defect in defects for defect, keywords in _TOLERATED.items())


def _details(wrong: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"field": where, "problem": what} for where, what in wrong]


@dataclass(frozen=True, slots=True)
class Compiled:
    """The compiled half of one operation, shared by every backend on one contract."""

    operation: Operation
    readers: tuple[Reader, ...]
    body: jsonschema_rs.Validator | None


def compile_operation(operation: Operation) -> Compiled:
    """Return the compiled readers and validator of an operation."""
    body = None
    if operation.body is not None:
        body = compiled(operation.body.schema)
    credentials = ("authorization",)
    return Compiled(
        operation,
        tuple(
            reader(p)
            for p in operation.parameters
            if p.location in ("path", "query", "header") and p.name.lower() not in credentials
        ),
        body,
    )
