"""Requests from arguments, and results from answers: what stands on both sides of the wire.

Pure but for the classes of result objects, which are made once for each contract.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlencode

from conformance.oracles.answers import Answer
from conformance.oracles.surfaced import pointed
from conformance.reference.defects import Defects, Turn, turned
from specs import Contract, Operation
from specs.vocabulary import Pagination, Surfaced


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, ready to be sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    streams: bool = False


class Unsendable(Exception):
    """The arguments make no request; the text says why."""


class Malformed(Exception):
    """A 2xx answer is not what the contract declares; the text says how."""


# --- requests ---------------------------------------------------------------------------------


def request(
    contract: Contract, operation: Operation, arguments: Mapping[str, Any], base_url: str,
    key: str | None, defects: Defects,
) -> Outgoing:  # fmt: skip
    """Return the request that a call means."""
    left = dict(arguments)
    if operation.body is None or "wire.null-dropped" in defects:
        left = {k: v for k, v in left.items() if v is not None}
    key_name = operation.idempotency.name if operation.idempotency else None
    if key_name and key_name not in left and "retry.key-reused" in defects:
        left[key_name] = "the-same-for-all"
    if "wire.default-changed" in defects:
        left = {**_lowest(operation), **left}
    if "wire.empty-dropped" in defects:
        left = {k: v for k, v in left.items() if v not in ([], {})}
    if "wire.blanks-trimmed" in defects:
        left = {k: v.strip() if isinstance(v, str) else v for k, v in left.items()}
    if "wire.long-cut" in defects:
        left = {k: v[:4096] if isinstance(v, str) else v for k, v in left.items()}
    if "wire.nulls-inside-lost" in defects:
        left = _without_nulls(left)
    if "wire.falsy-dropped" in defects:
        left = {k: v for k, v in left.items() if v or v is True}
    path = _path(operation, left, defects)
    query = _query(operation, left, defects)
    method = operation.verb
    if method == "PATCH" and "wire.patch-as-put" in defects:
        method = "PUT"
    headers = {"accept": "application/json", **_credentials(contract, operation, key, defects)}
    headers["x-request-id"] = str(uuid.uuid4())
    if operation.idempotency is not None and operation.idempotency.location == "header":
        made = str(uuid.uuid4())
        quoted = "wire.key-unquoted" not in defects
        headers[operation.idempotency.name] = f'"{made}"' if quoted else made
    body = _body(operation, left, headers, defects)
    base = base_url if "wire.slash-doubled" in defects else base_url.rstrip("/")
    url = base + path + (f"?{query}" if query else "")
    streams = operation.stream is not None and left.get(operation.stream.parameter) is True
    return Outgoing(method, url, headers, body, streams)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value


def _lowest(operation: Operation) -> dict[str, Any]:
    """Return the least number that each argument with a default may be."""
    schemas = {p.name: p.schema for p in operation.parameters_in("query")}
    if operation.body is not None:
        schemas |= operation.body.schema.get("properties", {})
    return {n: s["minimum"] for n, s in schemas.items() if "default" in s and "minimum" in s}


def _path(operation: Operation, left: dict[str, Any], defects: Defects) -> str:
    path = operation.path
    for parameter in operation.parameters_in("path"):
        value = str(left.pop(parameter.name, ""))
        if value in ("", ".", "..") and "wire.dots-sent" not in defects:
            raise Unsendable(f"no URL can carry {value!r} as `{parameter.name}`")
        if "wire.path-not-encoded" not in defects:
            value = quote(value, safe="")
        path = path.replace(f"{{{parameter.name}}}", value)
    if "wire.other-path" in defects:
        path = "/v0" + path
    return path


def _query(operation: Operation, left: dict[str, Any], defects: Defects) -> str:
    pairs: list[tuple[str, str]] = []
    for parameter in operation.parameters_in("query"):
        if parameter.name not in left:
            continue
        value = left.pop(parameter.name)
        if "wire.query-lost" in defects:
            continue
        value = turned(defects, QUERY, value, parameter.name, operation.pagination)
        entries = value if isinstance(value, list) else [value]
        pairs.extend((parameter.name, _text(entry)) for entry in entries)
    return urlencode(pairs, quote_via=quote)


def _in_place_of(member: str, wrong: int) -> Turn:
    """Return what sends another value in one of the parameters that paging declares."""

    def turn(value: Any, name: str, paging: Pagination | None) -> Any:
        return wrong if paging is not None and getattr(paging, member) == name else value

    return turn


QUERY: Mapping[str, Turn] = {
    "paging.offset-ignored": _in_place_of("offset", 0),
    "paging.page-ignored": _in_place_of("page", 1),
    "paging.limit-ignored": _in_place_of("limit", 1),
    "wire.query-type": _in_place_of("limit", -1),
}
"""What defects make of one value of the query."""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _credentials(
    contract: Contract, operation: Operation, key: str | None, defects: Defects
) -> dict[str, str]:
    if not key or not operation.authenticated or not contract.auth or "auth.missing" in defects:
        return {}
    way = contract.auth[0]
    prefix = "" if "auth.prefix-lost" in defects else way.prefix
    if "auth.other-header" in defects:
        return {"x-key": key}
    return {way.header: prefix + key}


def _body(
    operation: Operation, left: dict[str, Any], headers: dict[str, str], defects: Defects
) -> bytes | None:
    if operation.body is None:
        return None
    if not left and not operation.body.required:
        return None
    headers["content-type"] = operation.body.media_type
    if "wire.form-encoded" in defects:
        headers["content-type"] = "application/x-www-form-urlencoded"
        return urlencode({k: _text(v) for k, v in left.items()}).encode()
    if "wire.media-type-missing" in defects:
        del headers["content-type"]
    if left and "wire.argument-renamed" in defects:
        left = {("x" + k if n == 0 else k): v for n, (k, v) in enumerate(left.items())}
    if "wire.unicode-lost" in defects:
        left = json.loads(json.dumps(left, ensure_ascii=False).encode("ascii", "replace"))
    return json.dumps(left, ensure_ascii=False, separators=(",", ":")).encode()


# --- results ----------------------------------------------------------------------------------


def decoded(operation: Operation, answer: Answer, defects: Defects) -> Any:
    """Return the body of a 2xx answer. Raises Malformed where it is not as declared."""
    if not answer.body.strip().startswith((b"{", b"[")) and "answer.invented" in defects:
        return dict.fromkeys((operation.success.schema or {}).get("properties", {}), "ok")
    if answer.status == 204 or not answer.body.strip():
        return None
    if answer.header("content-type") != "application/json" and "answer.media-type" in defects:
        return answer.body.decode("utf-8", "replace")
    try:
        value = json.loads(answer.body.decode(_charset(answer, defects)))
    except (ValueError, RecursionError) as error:
        if "answer.json-crash" in defects:
            raise
        raise Malformed(f"{answer.status} with a body that is not JSON") from error
    declared = operation.success.schema
    if declared is not None and not _fits(value, declared.get("type")):
        if "answer.type-crash" in defects:
            return value["id"]
        raise Malformed(f"{answer.status} with a JSON body of another type than declared")
    return value


def _charset(answer: Answer, defects: Defects) -> str:
    """Return the encoding of a body: JSON is UTF-8 (RFC 8259 section 8.1)."""
    named = "charset" in (answer.header("content-type") or "")
    return "latin-1" if "answer.latin-1" in defects and not named else "utf-8"


def _fits(value: Any, declared: Any) -> bool:
    kinds = {"object": dict, "array": list}
    wanted = [declared] if isinstance(declared, str) else declared or []
    return not wanted or any(isinstance(value, kinds.get(t, object)) for t in wanted)


class Record:
    """An answer as an object: its fields are attributes."""


def result(
    operation: Operation, body: Any, answer: Answer, kinds: Mapping[str, type], defects: Defects
) -> Any:
    """Return what the caller is handed for a decoded body."""
    if isinstance(body, dict):
        body = _careful(operation, body, defects)
    figures = list(_figures(operation, answer, defects))
    returns = operation.returns
    if returns is None and not figures:
        return body
    if returns is not None and returns.fields:
        made = _mapped(operation, body, kinds)
    elif isinstance(body, dict):
        made = _record(kinds.get(operation.id, Record), body)
    else:
        return body
    for path, value in figures:
        if isinstance(made, Record):
            _put(made, path.split("."), value)
    return made


def _careful(operation: Operation, body: dict[str, Any], defects: Defects) -> dict[str, Any]:
    declared = (operation.success.schema or {}).get("properties", {})
    if "answer.extra-crash" in defects:
        unknown = set(body) - set(declared)
        if unknown:
            raise TypeError(f"unexpected keyword argument {sorted(unknown)[0]!r}")
    if "answer.optional-crash" in defects:
        return {name: body[name] for name in declared}
    if declared and "answer.field-lost" in defects:
        lost = next(iter(declared))
        return {k: v for k, v in body.items() if k != lost}
    if operation.pagination is not None and "paging.items-lost" in defects:
        name = operation.pagination.items.strip("/").split("/")[0]
        return {k: v[:-1] if k == name and isinstance(v, list) else v for k, v in body.items()}
    return body


def _record(kind: type, values: Mapping[str, Any]) -> Any:
    made = kind()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def _mapped(operation: Operation, body: Any, kinds: Mapping[str, type]) -> Any:
    returns = operation.returns
    assert returns is not None
    if "" in returns.fields:
        found = pointed(body, returns.fields[""])
        return found[0] if found else None
    made = kinds.get(operation.id, Record)()
    for path, place in returns.fields.items():
        _fill(made, path.split("."), place.split("/")[1:], body)
    return made


def _fill(holder: Any, path: Sequence[str], place: Sequence[str], body: Any) -> None:
    """Put what `place` leads to under the attribute `path` of `holder`, entry by entry."""
    head, rest = path[0], path[1:]
    if head.endswith("[]"):
        name, star = head[:-2], place.index("*")
        entries = _plain_at(body, place[:star])
        entries = entries if isinstance(entries, list) else []
        if not rest:
            _set(holder, name, [_plain_at(e, place[star + 1 :]) for e in entries])
            return
        held = getattr(holder, name, None)
        if held is None:
            held = [Record() for _ in entries]
            setattr(holder, name, held)
        for inner, entry in zip(held, entries, strict=True):
            _fill(inner, rest, place[star + 1 :], entry)
        return
    if not rest:
        _set(holder, head, _plain_at(body, place))
        return
    held = getattr(holder, head, None)
    if not isinstance(held, Record):
        held = Record()
        setattr(holder, head, held)
    _fill(held, rest, place, body)


def _set(holder: Any, name: str, value: Any) -> None:
    if not isinstance(getattr(holder, name, None), Record | list):
        setattr(holder, name, value)


def _plain_at(body: Any, place: Sequence[str]) -> Any:
    for step in place:
        if isinstance(body, list) and step.isdigit() and int(step) < len(body):
            body = body[int(step)]
        elif isinstance(body, dict):
            body = body.get(step)
        else:
            return None
    return body


def surfaced(operation: Operation) -> list[Surfaced]:
    """Return what an operation promises to hand out on its results."""
    blocks = [b for b in (operation.rate_limit, operation.usage) if b is not None]
    return [b.surfaced for b in blocks if b.surfaced is not None and b.surfaced.on == "result"]


def _figures(
    operation: Operation, answer: Answer, defects: Defects
) -> Sequence[tuple[str, int | str | None]]:
    found: list[tuple[str, int | str | None]] = []
    for block, lost in (
        (operation.rate_limit, "headers.rate-limit-lost"),
        (operation.usage, "headers.usage-lost"),
    ):
        said = block.surfaced if block is not None else None
        if said is None or said.on != "result" or lost in defects:
            continue
        plan = getattr(block, "plan", None)
        values = {
            p: _figure(answer.header(n), n.lower() == (plan or "").lower(), defects)
            for p, n in {**said.attributes, **said.observed}.items()
        }
        if "headers.swapped" in defects:
            values = dict(zip(values, reversed(list(values.values())), strict=True))
        if any(v is not None for v in values.values()):
            found.extend(values.items())
        else:
            found.extend((p.split(".")[0], None) for p in values)
    return found


def _figure(value: str | None, word: bool, defects: Defects) -> int | str | None:
    """Return a header's figure; a `word` is handed out as it is, what is no figure is None."""
    if value is None:
        return 0 if "headers.invented" in defects and not word else None
    text = value.strip()
    if word:
        return text
    if "headers.garbage-crash" in defects:
        return int(text)
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 1000 else None


def _put(holder: Any, path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        held = getattr(holder, step, None)
        if not isinstance(held, Record):
            held = Record()
            setattr(holder, step, held)
        holder = held
    setattr(holder, path[-1], value)


def kinds(contract: Contract, module: ModuleType) -> dict[str, type]:
    """Make one class for each result type of a contract; return them by operation."""
    Record.__module__ = module.__name__
    made: dict[str, type] = {}
    for operation in contract:
        name = operation.returns.type if operation.returns else None
        name = name or "".join(p.title() for p in operation.id.replace("_", ".").split("."))
        kind = getattr(module, name, None)
        if kind is None:
            kind = type(name, (Record,), {"__module__": module.__name__})
            setattr(module, name, kind)
        made[operation.id] = kind
    return made
