"""The wire: whether a request is the one that the contract declares for its operation.

Judges one recorded request against the operation and the arguments of the call that sent it. A
request to a path that the contract does not declare is one finding; body, query, credentials and
arguments of that same request are judged all the same.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from conformance.claims import (
    NoBody,
    NoCredentials,
    NotEncoded,
    WrongBody,
    WrongDefault,
    WrongTarget,
)
from conformance.history import Request, header, header_all
from conformance.oracles.contract import evaluated
from conformance.oracles.exceptions import said, same_value
from conformance.oracles.found import weaker
from conformance.verdict import Finding
from specs import Basis, Contract, Operation
from specs.constraints import along
from specs.references import validator

TRANSPORT = frozenset({"host", "user-agent", "accept", "accept-encoding", "connection"})


def judge(
    contract: Contract, operation: Operation, arguments: Mapping[str, Any], request: Request,
    key: str | None, path: str,
) -> list[Finding]:  # fmt: skip
    """Return what is wrong with a request.

    `path` is the request's path below the base URL, still encoded; `key` the API key in use.
    """
    return [
        *_target(contract, operation, arguments, request, path),
        *judge_query(operation, arguments, request),
        *judge_body(operation, arguments, request),
        *judge_auth(contract, operation, request, key),
    ]


# --- method and path --------------------------------------------------------------------------


def _target(
    contract: Contract, operation: Operation, arguments: Mapping[str, Any], request: Request,
    path: str,
) -> Iterator[Finding]:  # fmt: skip
    if operation.matches(request.method, path):
        yield from _path_arguments(operation, arguments, path)
        return
    template = templated(path, arguments)
    other = contract.match(request.method, path)
    sent = f"{request.method} {template}"
    claim = WrongTarget(
        f"{operation.verb} {operation.path}", sent, other.id if other is not None else "",
        f"{operation.id}:{sent}" if other is not None
        else _moved(operation, request.method, template),
    )  # fmt: skip
    said_ = said(operation.wire_basis, operation.wire_source)
    yield Finding.of("WR1", claim, operation.wire_basis, said_)


def _moved(operation: Operation, method: str, sent: str) -> str:
    """Return what is wrong with a target that no operation has: the part of the path that differs.

    Operations that moved together, as from /v1 to /v6, are one cause. A path that shares no word
    with the declared one, and a method that differs, are the operation's own.
    """
    old, new = operation.path.split("/")[1:], sent.split("/")[1:]
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    shared = [*old[:start], *old[len(old) - end :]]
    before, after = ("/".join(p[start : len(p) - end]) for p in (old, new))
    if method != operation.verb or before == after or not any(map(_word, shared)):
        return f"{operation.id}:{method} {sent}"
    return f"/{before} -> /{after}"


def _alike(some: list[str], others: list[str]) -> int:
    """Return in how many entries two lists begin alike."""
    pairs = zip(some, others, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(some), len(others)))


def _word(step: str) -> bool:
    """True for a step of a path that is no argument."""
    return bool(step) and not step.startswith("{")


def templated(path: str, arguments: Mapping[str, Any]) -> str:
    """Return a path with the values of a call's arguments put back to their names."""
    parts = path.split("/")
    for name, value in arguments.items():
        if isinstance(value, str | int) and str(value):
            parts = [f"{{{name}}}" if unquote(p) == str(value) else p for p in parts]
    return "/".join(parts)


def _path_arguments(
    operation: Operation, arguments: Mapping[str, Any], path: str
) -> Iterator[Finding]:
    for name, raw in operation.path_arguments(path).items():
        wanted = arguments.get(name)
        if wanted is not None and unquote(raw) != str(wanted):
            yield Finding(
                "WR5", f"sends another value than it was given in the path argument `{name}`",
                expected=quote(str(wanted), safe=""), actual=raw, basis=operation.basis,
                cause=f"argument:path:{operation.id}.{name}",
            )  # fmt: skip


def judge_encoded(
    operation: Operation, arguments: Mapping[str, Any], request: Request, path: str
) -> list[Finding]:
    """Return whether path arguments with special characters were percent-encoded (RFC 3986 §2).

    `arguments` hold at least one path argument with characters that mean something in a URL.
    """
    sent = operation.path_arguments(path)
    if operation.matches(request.method, path) and all(
        unquote(sent[p.name]) == str(arguments[p.name]) for p in operation.parameters_in("path")
    ):
        return []
    wanted = operation.path
    for p in operation.parameters_in("path"):
        wanted = wanted.replace(f"{{{p.name}}}", quote(str(arguments[p.name]), safe=""))
    given = ", ".join(f"{p.name} = {arguments[p.name]!r}" for p in operation.parameters_in("path"))
    claim = NotEncoded(
        f"{operation.verb} {wanted}", f"{request.method} {request.target}", given
    )  # fmt: skip
    return [Finding.of("WR8", claim, operation.wire_basis)]


# --- what the caller left out -----------------------------------------------------------------


def judge_defaults(
    operation: Operation, arguments: Mapping[str, Any], request: Request
) -> list[Finding]:
    """Return which arguments that the caller left out were sent with another value than declared.

    To leave them to the server is as good as to send their default.
    """
    query, body = dict(request.query), request.json_or_none()
    schemas = [(p.name, p.schema, query.get(p.name)) for p in operation.parameters_in("query")]
    if operation.body is not None and isinstance(body, dict):
        properties = operation.body.schema.get("properties", {})
        schemas += [(name, schema, body.get(name)) for name, schema in properties.items()]
    found = []
    for name, schema, sent in schemas:
        if name in arguments or sent is None or schema.get("default") is None:
            continue
        default = schema["default"]
        text = str(default).lower() if isinstance(default, bool) else default
        if same_value(sent, default) or same_value(sent, text):
            continue
        basis = Basis(schema.get("x-basis", operation.basis))
        claim = WrongDefault(operation.id, name, default, repr(sent))
        found.append(Finding.of("WR5", claim, basis, said(basis, operation.source)))
    return found


# --- query ------------------------------------------------------------------------------------


def judge_query(
    operation: Operation, arguments: Mapping[str, Any], request: Request
) -> list[Finding]:
    """Return which query arguments were lost, changed or made up."""
    found: list[Finding] = []
    declared = {p.name: p for p in operation.parameters_in("query")}
    sent: dict[str, list[str]] = {}
    for name, value in request.query:
        sent.setdefault(name, []).append(value)
    for name, parameter in declared.items():
        if name not in arguments or arguments[name] is None:
            continue
        got = sent.get(name)
        if got is None:
            if _in_body(request, name):
                continue  # the body oracle judges it where it went
            if not _is_default(parameter.schema, arguments[name]):
                found.append(_lost(operation, name, "query", arguments[name]))
            continue
        if not any(_query_text(arguments[name], form) == got for form in ("each", "comma")):
            found.append(
                Finding(
                    "WR5", f"changes the query argument `{name}`",
                    expected=str(arguments[name]), actual=", ".join(got), basis=operation.basis,
                    cause=f"argument:query:{operation.id}.{name}",
                )
            )  # fmt: skip
        if not valid_query(parameter.schema, got):
            found.append(
                Finding(
                    "WR2", f"sends a query parameter `{name}` that its schema does not allow",
                    expected=json.dumps(dict(parameter.schema), default=str)[:120],
                    actual=", ".join(got), basis=operation.basis,
                    cause=f"query:invalid:{operation.id}.{name}",
                )
            )  # fmt: skip
    extra = sorted(set(sent) - set(declared) - set(arguments))
    found.extend(
        Finding(
            "WR2", f"sends a query parameter `{name}` that the contract does not declare",
            expected=f"only {', '.join(declared) or 'no query'}",
            actual=f"{name}={sent[name][0]}", basis=Basis.ASSUMED,
            cause=f"query:extra:{operation.id}.{name}",
        )
        for name in extra
    )  # fmt: skip
    return found


def _in_body(request: Request, name: str) -> bool:
    body = request.json_or_none()
    return isinstance(body, dict) and name in body


def _query_text(value: Any, form: str) -> list[str]:
    if isinstance(value, list):
        texts = [_text(v) for v in value]
        return texts if form == "each" else [",".join(texts)]
    return [_text(value)]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def valid_query(schema: Mapping[str, Any], texts: list[str]) -> bool:
    """True where a query value, read as the types that a schema allows, is valid under it."""
    candidates: list[Any] = [texts, texts[0].split(",")] if texts else []
    for text in texts[:1]:
        candidates.append(text)
        with contextlib.suppress(ValueError):
            candidates.append(json.loads(text))
    check = validator(schema)
    return any(check.is_valid(candidate) for candidate in candidates)


# --- body -------------------------------------------------------------------------------------


def judge_body(
    operation: Operation, arguments: Mapping[str, Any], request: Request
) -> list[Finding]:
    """Return what is wrong with a request's body: media type, shape, and lost arguments."""
    if operation.body is None:
        if request.body not in (b"", b"{}", b"null"):
            return [
                Finding(
                    "WR3", "sends a body where the contract declares none",
                    expected="no body", actual=f"{len(request.body)} bytes",
                    basis=Basis.ASSUMED, cause=f"body:unexpected:{operation.id}",
                )
            ]  # fmt: skip
        return []
    if not request.body:
        if not operation.body.required and not _body_arguments(operation, arguments):
            return []
        return _misplaced(operation, arguments, request)
    try:
        body = request.json()
    except ValueError:
        return [
            Finding(
                "WR4", "sends a body that is not JSON", expected="JSON in UTF-8",
                actual=repr(request.body[:60]), basis=operation.wire_basis,
                cause=f"body:not-json:{operation.id}",
            )
        ]  # fmt: skip
    return [
        *_media_type(operation, request),
        *_shape(operation, body),
        *_arguments(operation, arguments, body),
    ]


def _misplaced(
    operation: Operation, arguments: Mapping[str, Any], request: Request
) -> list[Finding]:
    """One finding where the arguments of a declared body were sent elsewhere, as in a query."""
    where = "in the query" if request.query else "nowhere"
    claim = NoBody(operation.id, ", ".join(_body_arguments(operation, arguments)), where)
    said_ = said(operation.basis, operation.source)
    return [Finding.of("WR3", claim, operation.wire_basis, said_)]


def _body_arguments(operation: Operation, arguments: Mapping[str, Any]) -> list[str]:
    elsewhere = {p.name for p in operation.parameters}
    return [name for name in arguments if name not in elsewhere]


def _media_type(operation: Operation, request: Request) -> Iterator[Finding]:
    assert operation.body is not None
    declared = operation.body.media_type.split(";")[0].lower()
    if request.media_type != declared:
        yield Finding(
            "WR4", "does not name the declared media type of its body",
            expected=declared, actual=request.media_type or "none",
            basis=operation.wire_basis,
            cause=f"media-type:{request.media_type or 'none'}",
        )  # fmt: skip


def _shape(operation: Operation, body: Any) -> Iterator[Finding]:
    assert operation.body is not None
    check = validator(operation.body.schema)
    told = set()
    for error in check.iter_errors(body):
        place = "/".join("*" if isinstance(p, int) else str(p) for p in error.instance_path)
        claim = WrongBody(
            operation.id, f"/{place}", str(error.kind.name), tuple(sorted(_named(error))),
            _null(error, body), error.message[:160],
        )  # fmt: skip
        if claim.cause in told:
            continue
        told.add(claim.cause)
        stated = along(operation.body.schema, evaluated(error), operation.wire_basis)
        basis = weaker(operation.wire_basis, stated)
        said_ = said(operation.basis, operation.source)
        yield Finding.of("WR3", claim, basis, said_, operation=operation.id)


def _null(error: Any, body: Any) -> bool:
    """True where what a schema refuses is a null."""
    value = body
    for step in error.instance_path:
        value = value[step]
    return value is None and error.kind.name in ("type", "enum", "oneOf", "anyOf", "const")


def _named(error: Any) -> Sequence[str]:
    """Return the members that an error is about: those that lack, or are too many."""
    if error.kind.name == "required":
        return [str(error.kind.property)]
    if error.kind.name == "additionalProperties":
        return [str(name) for name in error.kind.unexpected]
    return []


def _arguments(operation: Operation, arguments: Mapping[str, Any], body: Any) -> Iterator[Finding]:
    if not isinstance(body, Mapping):
        return
    declared = operation.body.schema.get("properties", {}) if operation.body else {}
    for name in _body_arguments(operation, arguments):
        wanted = arguments[name]
        if name not in body:
            if wanted is not None and not _is_default(declared.get(name, {}), wanted):
                yield _lost(operation, name, "body", wanted)
        elif body[name] != wanted:
            yield Finding(
                "WR5", f"changes the argument `{name}`",
                operation=operation.id, expected=_brief(wanted), actual=_brief(body[name]),
                basis=operation.basis, cause=f"argument:body:{operation.id}.{name}",
            )  # fmt: skip


def _is_default(schema: Mapping[str, Any], value: Any) -> bool:
    """True where a value that is not sent is what the server takes where nothing is sent."""
    return "default" in schema and same_value(schema["default"], value)


def _lost(operation: Operation, name: str, place: str, value: Any) -> Finding:
    return Finding(
        "WR5", f"does not send the argument `{name}`",
        operation=operation.id,
        expected=f"`{name}` = {_brief(value)} in the {place} "
        f"({said(operation.basis, operation.source)})",
        actual="it is not sent", basis=operation.basis,
        cause=f"argument-lost:{operation.id}.{name}",
    )  # fmt: skip


# --- credentials ------------------------------------------------------------------------------


def judge_auth(
    contract: Contract, operation: Operation, request: Request, key: str | None
) -> list[Finding]:
    """Return whether credentials were sent as declared: the first declared way, or all of them."""
    if not key or not contract.auth:
        return []
    first = contract.auth[0]
    shown = [a for a in contract.auth if header(request.headers, a.header) == a.prefix + key]
    if not operation.authenticated:
        if shown or any(key in value for _, value in request.headers):
            return [
                Finding(
                    "AU1", "sends credentials to an operation that needs none",
                    operation=operation.id, expected="no credentials", actual="the API key",
                    basis=Basis.ASSUMED, cause="credentials-unneeded",
                )
            ]  # fmt: skip
        return []
    found = []
    if first not in shown:
        other = ", ".join(a.header for a in shown)
        claim = NoCredentials(first.header, first.prefix, other)
        found.append(Finding.of("AU1", claim, first.basis, said(first.basis, first.source)))
    for each in contract.auth:
        if len(header_all(request.headers, each.header)) > 1:
            found.append(
                Finding(
                    "AU1", f"sends the {each.header} header twice", expected="once",
                    actual=f"{len(header_all(request.headers, each.header))} times",
                    basis=each.basis, cause=f"credentials-twice:{each.header}",
                )
            )  # fmt: skip
    if key in request.target:
        found.append(
            Finding(
                "AU7", "shows the API key in the URL", expected="the key in headers only",
                actual="the key in path or query", cause="key-in:url",
            )
        )  # fmt: skip
    return found


def _brief(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
