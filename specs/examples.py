"""Example values from schemas: what a case sends and what a testbench answers with.

Everything here is deterministic: the same schema and seed give the same value, in every process.
A value is always valid under its schema, formats included. Random exploration belongs to
Hypothesis and Schemathesis; here is the one plain value that a reader expects. Schemas are those
of a `Contract`, so references are resolved already.

Defaults are avoided where there is another choice: a client may leave a default out of its
request, and a value that went missing could not be told from it.
"""

from __future__ import annotations

import base64
import copy
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from random import Random
from typing import Any

from specs.contract import Contract, Operation, Response, Schema, error_rule, pointer
from specs.exclusions import takes_from_all
from specs.references import validator

# The standard library's own reader of patterns; type checkers disagree whether it is there.
_PARSER: Any = import_module("re._parser")

TRIES = 24
"""Candidates looked at before a schema is given up; each differs by its seed."""
WORDS = (
    "amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heron",
    "ivory", "juniper", "kestrel", "lagoon", "maple", "nectar", "onyx", "pebble",
)  # fmt: skip
DEPTH_MAX = 8
"""Levels of a value below which only what is required is made: a schema may contain itself."""
EPOCH = datetime(2024, 1, 15, 9, 30, tzinfo=UTC)


class NoExample(ValueError):
    """No valid value was found; the message says to write one under the schema's `examples`."""


def example(schema: Schema | bool, seed: int = 0, optional: bool = True) -> Any:
    """Return a value that is valid under `schema`.

    Small seeds walk through the schema's own `examples`; beyond them values are made up.
    With `optional` false only required properties are there. Raises NoExample.
    """
    check = validator(schema)
    for attempt in range(TRIES):
        try:
            value = _value(schema, _Source(seed, attempt), optional)
        except RecursionError:  # it asks for itself without end, so nothing is valid under it
            break
        if check.is_valid(value):
            return _own(value)
    raise NoExample(f"no valid example found for {schema!r:.300}; write one under its `examples`")


def _own(value: Any) -> Any:
    """Return a copy: what a schema gives as an example is one object for all who ask."""
    if isinstance(value, Mapping):
        return {key: _own(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_own(each) for each in value]
    return value


def arguments(operation: Operation, seed: int = 0, optional: bool = True) -> dict[str, Any]:
    """Return the arguments of one call, flat, by wire name: path, query and body properties.

    Header and cookie parameters are not arguments of a call and are left out, and so is the
    one that asks for a stream: streams are asked for on purpose. A flag that only one record has
    (to be the default one) is never set: it would be taken from somebody's.
    """
    found = {}
    for parameter in operation.parameters:
        if parameter.location in ("path", "query") and (parameter.required or optional):
            found[parameter.name] = example(parameter.schema, seed, optional)
    if operation.body is not None and (operation.body.required or optional):
        body = example(operation.body.schema, seed, optional)
        if isinstance(body, dict):
            found.update(body)
    if operation.stream is not None:
        found.pop(operation.stream.parameter, None)
    return {n: False if v is True and takes_from_all(n) else v for n, v in found.items()}


def example_response(
    operation: Operation, status: int | None = None, seed: int = 0, code: str | None = None
) -> tuple[int, dict[str, str], Any]:
    """Return an answer as declared: status, headers by lower-case name, decoded body.

    The lowest 2xx is taken where no `status` is given. An error body carries `code`, or the first
    code that the error table gives this status, where its schema allows that. The body is None
    where none is declared; a media type that is not JSON gives text. Raises LookupError where
    nothing covers the status.
    """
    response = operation.success if status is None else operation.response(status)
    if response is None:
        declared = ", ".join(operation.responses)
        raise LookupError(f"{operation.id} declares no answer for {status}; it has: {declared}")
    if status is None:
        status = int(response.status) if response.status.isdigit() else 200
    headers = {name: _text(example(schema, seed)) for name, schema in response.headers.items()}
    media_type, body = _body(response, seed)
    if media_type is not None:
        headers["content-type"] = media_type
    if status >= 400 and operation.errors is not None and response.schema is not None:
        body = _with_code(operation, response.schema, status, code, body)
        body = _with_request_id(operation, headers, body)
    return status, headers, body


def all_schemas(contract: Contract) -> Iterator[tuple[str, Schema]]:
    """Yield every schema of a contract with a short name for it, `search.request`."""
    for operation in contract:
        for parameter in operation.parameters:
            yield f"{operation.id}.{parameter.location}.{parameter.name}", parameter.schema
        if operation.body is not None:
            yield f"{operation.id}.request", operation.body.schema
        for response in operation.responses.values():
            for name, schema in response.headers.items():
                yield f"{operation.id}.{response.status}.header.{name}", schema
            for media_type, schema in response.content.items():
                yield f"{operation.id}.{response.status}.{media_type}", schema


class _Source:
    """Where choices come from: a seed, the attempt, and the place in the value."""

    def __init__(self, seed: int, attempt: int, path: str = "") -> None:
        self.seed = seed
        self.attempt = attempt
        self.path = path
        self.random = Random(f"{seed}/{attempt}/{path}")

    @property
    def depth(self) -> int:
        """How far inside the value the place is."""
        return self.path.count("/")

    def below(self, step: object) -> _Source:
        return _Source(self.seed, self.attempt, f"{self.path}/{step}")

    def pick(self, choices: Sequence[Any]) -> Any:
        """Walk through the choices as the seed and the attempts go on."""
        return choices[(self.seed + self.attempt) % len(choices)]


def _value(schema: Schema | bool, source: _Source, optional: bool) -> Any:
    if isinstance(schema, bool):
        return source.random.choice(WORDS)
    optional = optional and source.depth < DEPTH_MAX
    if "const" in schema:
        return schema["const"]
    given = schema.get("examples") or ([schema["example"]] if "example" in schema else [])
    if given and (source.seed + source.attempt < len(given) or not _roomy(schema)):
        value = source.pick(given)
        if optional or not isinstance(value, dict):
            return value
        wanted = set(schema.get("required", ()))
        return {key: entry for key, entry in value.items() if key in wanted}
    if "enum" in schema:
        return source.pick(_without_default(schema["enum"], schema))
    for word in ("allOf", "oneOf", "anyOf"):
        if word in schema:
            base = {key: entry for key, entry in schema.items() if key != word}
            branches = schema[word] if word == "allOf" else [_branch(schema[word], source)]
            for branch in branches:
                base = _merged(base, branch)
            return _value(_telling(base), source, optional)
    return _MAKERS[_type(schema)](schema, source, optional)


def _object(schema: Schema, source: _Source, optional: bool) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    made = {
        name: _value(inner, source.below(name), optional)
        for name, inner in properties.items()
        if (optional or name in required) and inner is not False
    }
    extra = schema.get("additionalProperties", True)
    wanted = schema.get("minProperties", 1 if optional and not properties else 0)
    for name in [n for n in properties if n not in made][: max(0, wanted - len(made))]:
        made[name] = _value(properties[name], source.below(name), optional)
    for name in (*(n for n in required if n not in made), *WORDS):
        if (len(made) >= wanted and name not in required) or extra is False:
            continue
        made[name] = _value(extra, source.below(name), optional)
    return made


def _array(schema: Schema, source: _Source, optional: bool) -> list[Any]:
    least = schema.get("minItems", 0)
    size = max(least, min(1 + (source.seed + source.attempt) % 2, schema.get("maxItems", 2)))
    if not optional:
        size = least
    prefix = schema.get("prefixItems", [])
    items = schema.get("items", True)
    made: list[Any] = []
    for index in range(size * 4):
        if len(made) == size:
            break
        inner = prefix[index] if index < len(prefix) else items
        value = _value(inner, _nth(source, index), optional)
        if not (schema.get("uniqueItems") and value in made):
            made.append(value)
    return made


def _nth(source: _Source, index: int) -> _Source:
    """Entries of one array differ: each has its own seed."""
    return _Source(source.seed + index, source.attempt, f"{source.path}/{index}")


def _integer(schema: Schema, source: _Source, optional: bool) -> int:
    return int(_number(schema, source, optional, whole=True))


def _number(schema: Schema, source: _Source, optional: bool, whole: bool = False) -> float:
    low, high = _bounds(schema, whole)
    step = schema.get("multipleOf", 1 if whole else None)
    if step:
        first, last = -(-low // step), high // step
        value = step * source.random.randint(int(first), int(max(first, min(last, first + 50))))
    else:
        value = round(source.random.uniform(low, min(high, low + 50)), 3)
        value = min(max(value, low), high)
    if value == schema.get("default") and low <= value + (step or 0.5) <= high:
        value += step or 0.5
    return float(value)


def _bounds(schema: Schema, whole: bool) -> tuple[float, float]:
    nudge = 1 if whole else 1e-3
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    high = schema.get("maximum", schema.get("exclusiveMaximum", max(low, 0) + 100))
    if "exclusiveMinimum" in schema and low == schema["exclusiveMinimum"]:
        low += nudge
    if "exclusiveMaximum" in schema and high == schema["exclusiveMaximum"]:
        high -= nudge
    return min(low, high), high


def _boolean(schema: Schema, source: _Source, optional: bool) -> bool:
    return bool(source.pick(_without_default((True, False), schema)))


def _null(schema: Schema, source: _Source, optional: bool) -> None:
    return None


def _string(schema: Schema, source: _Source, optional: bool) -> str:
    if "format" in schema and schema["format"] in _FORMATS:
        return _FORMATS[schema["format"]](source)
    if "pattern" in schema:
        return _matching(schema["pattern"], source, schema)
    least, most = schema.get("minLength", 0), schema.get("maxLength", 100_000)
    text = " ".join(source.random.choice(WORDS) for _ in range(3)) + f" {source.seed}"
    while len(text) < least:
        text += " " + source.random.choice(WORDS)
    return text[:most].strip().ljust(min(least, most), "x") or text[: max(least, min(1, most))]


def _moment(source: _Source) -> datetime:
    return EPOCH + timedelta(
        days=source.seed + source.attempt, seconds=source.random.randint(0, 59)
    )


def _uuid(source: _Source) -> str:
    return str(uuid.UUID(int=source.random.getrandbits(128), version=4))


_FORMATS: dict[str, Callable[[_Source], str]] = {
    "date-time": lambda s: _moment(s).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "date": lambda s: _moment(s).date().isoformat(),
    "time": lambda s: _moment(s).strftime("%H:%M:%SZ"),
    "duration": lambda s: f"PT{1 + s.seed}M",
    "uuid": _uuid,
    "uri": lambda s: f"https://example.com/{s.random.choice(WORDS)}/{s.seed}",
    "uri-reference": lambda s: f"/{s.random.choice(WORDS)}/{s.seed}",
    "email": lambda s: f"{s.random.choice(WORDS)}{s.seed}@example.com",
    "hostname": lambda s: f"{s.random.choice(WORDS)}{s.seed}.example.com",
    "ipv4": lambda s: f"192.0.2.{1 + s.seed % 250}",
    "ipv6": lambda s: f"2001:db8::{1 + s.seed % 250:x}",
    "byte": lambda s: base64.b64encode(s.random.choice(WORDS).encode()).decode(),
}
_MAKERS: dict[str, Callable[[Schema, _Source, bool], Any]] = {
    "object": _object,
    "array": _array,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
    "string": _string,
}


def _type(schema: Schema) -> str:
    """Return the one type to make: the first that is not null, guessed where none is given."""
    given = schema.get("type")
    if isinstance(given, str):
        return given
    if given:
        return next((t for t in given if t != "null"), "null")
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _roomy(schema: Schema) -> bool:
    """True where values beyond the given examples may be made up: free text and free numbers."""
    return _type(schema) in ("string", "integer", "number") and "enum" not in schema


def _without_default(choices: Sequence[Any], schema: Schema) -> Sequence[Any]:
    left = [c for c in choices if c is not None and c != schema.get("default", ...)]
    return left or choices


def _branch(branches: Sequence[Schema], source: _Source) -> Any:
    """Return one alternative, not null; deep inside, what may end a recursion wins."""
    if source.depth >= DEPTH_MAX:
        ends = [b for b in branches if not {"$ref", "properties", "items"} & set(b)]
        return source.pick(ends or branches)
    return source.pick(_not_null(branches))


def _not_null(branches: Sequence[Schema]) -> Sequence[Schema]:
    return [b for b in branches if b.get("type") != "null"] or branches


def _merged(left: Schema, right: Schema) -> dict[str, Any]:
    """Return a schema that asks for both; where bounds differ the right one is taken."""
    made = {**left, **right}
    if "properties" in left and "properties" in right:
        made["properties"] = {
            name: _merged(left["properties"].get(name, {}), inner)
            for name, inner in {**left["properties"], **right["properties"]}.items()
        }
    if "required" in left and "required" in right:
        made["required"] = [*left["required"], *right["required"]]
    if "additionalProperties" in left and "additionalProperties" not in right:
        made["additionalProperties"] = left["additionalProperties"]
    for word, tighter in (("minimum", max), ("minLength", max), ("maximum", min)):
        if word in left and word in right:
            made[word] = tighter(left[word], right[word])
    return made


def _telling(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a merged schema with only those of its examples that fit all that was merged."""
    if "examples" not in schema:
        return schema
    check = validator(schema)
    return {**schema, "examples": [e for e in schema["examples"] if check.is_valid(e)]}


def _matching(pattern: str, source: _Source, schema: Schema) -> str:
    """Return a string that matches a regular expression, within the schema's length."""
    wanted = schema.get("minLength", 0)
    parsed = _PARSER.parse(_spelt(pattern))
    for width in range(8, 8 + max(wanted, 1) + 1):
        made = "".join(_piece(op, value, source, width) for op, value in parsed)
        if len(made) >= wanted:
            return made[: schema.get("maxLength", len(made))]
    return made


_CLASSES = re.compile(r"\\p\{(?P<name>[^}]*)\}")
_RANGES = {"N": "0-9", "Lu": "A-Z", "Ll": "a-z", "P": "-_.,", "Z": " ", "S": "$+", "M": "\u0301"}


def _spelt(pattern: str) -> str:
    """Return an ECMA pattern in Python's words, with the ASCII part of each Unicode class.

    What is made of it fits the wider class too.
    """
    made, inside, place = "", False, 0
    while place < len(pattern):
        found = _CLASSES.match(pattern, place)
        if found is not None:
            name = found["name"].rpartition("=")[2]
            chars = _RANGES.get(name) or _RANGES.get(name[:1]) or "A-Za-z"
            made += chars if inside else f"[{chars}]"
            place = found.end()
            continue
        width = 2 if pattern[place] == "\\" else 1
        piece = pattern[place : place + width]
        inside = (inside or piece == "[") and piece != "]"
        made += {"\\/": "/", "\\-": "\\-"}.get(piece, piece)
        place += width
    return made


def _piece(op: object, value: Any, source: _Source, width: int) -> str:
    """Return text for one node of a parsed pattern; repeats grow up to `width`."""
    kind = str(op)
    if kind == "LITERAL":
        return chr(value)
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inner = value
        times = max(int(least), min(int(most), width))
        return "".join(_piece(o, v, source, width) for _ in range(times) for o, v in inner)
    if kind == "SUBPATTERN":
        return "".join(_piece(o, v, source, width) for o, v in value[-1])
    if kind == "BRANCH":
        return "".join(_piece(o, v, source, width) for o, v in source.random.choice(value[1]))
    if kind == "IN":
        return source.random.choice(_charset(value))
    if kind in ("ANY", "NOT_LITERAL"):
        return "x" if value != ord("x") else "y"
    return ""


def _charset(entries: Sequence[tuple[object, Any]]) -> str:
    found = ""
    for op, value in entries:
        kind = str(op)
        if kind == "LITERAL":
            found += chr(value)
        elif kind == "RANGE":
            found += "".join(chr(c) for c in range(value[0], min(value[1], value[0] + 94) + 1))
        elif kind == "CATEGORY":
            found += {"CATEGORY_DIGIT": "0123456789", "CATEGORY_SPACE": " "}.get(
                str(value), "abcdefghijklmnopqrstuvwxyz"
            )
    if entries and str(entries[0][0]) == "NEGATE":
        return "".join(c for c in "abcdefghijklmnopqrstuvwxyz0123456789" if c not in found)
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _body(response: Response, seed: int) -> tuple[str | None, Any]:
    if response.schema is not None:
        media_type = next(m for m, s in response.content.items() if s is response.schema)
        return media_type, example(response.schema, seed)
    for media_type, schema in response.content.items():
        return media_type, example(schema or {"type": "string"}, seed)
    return None, None


def _with_code(
    operation: Operation, schema: Schema, status: int, code: str | None, body: Any
) -> Any:
    """Return the error body with the wanted code in its place, where the schema allows it."""
    assert operation.errors is not None
    place = operation.errors.envelope.code
    rule = error_rule(operation.errors, status=status)
    wanted = code or (rule.code if rule is not None else None)
    if not place or wanted is None:
        return body
    parent, _, name = place.rpartition("/")
    changed = copy.deepcopy(body)
    try:
        pointer(changed, parent)[name] = wanted
    except (LookupError, TypeError):
        return body
    valid = validator(schema).is_valid(changed)
    return changed if valid or code is not None else body


def _with_request_id(operation: Operation, headers: Mapping[str, str], body: Any) -> Any:
    """Return the error body with the request id of the header: both name one request."""
    assert operation.errors is not None
    place, name = operation.errors.envelope.request_id, operation.errors.request_id_header
    if not place or not name or name.lower() not in headers:
        return body
    parent, _, last = place.rpartition("/")
    changed = copy.deepcopy(body)
    try:
        inside = pointer(changed, parent)
    except LookupError:
        return body
    if isinstance(inside, dict) and last in inside:
        inside[last] = headers[name.lower()]
    return changed
