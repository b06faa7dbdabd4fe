"""From an operation and its arguments to the request on the wire, and to its bytes.

Pure: nothing here sends. Arguments are one flat dict, keyed by the names of the spec: path,
query and header parameters and properties of the body. Names that the operation does not know
go into the body where there is one, else into the query: cases send unknown names on purpose.
"""

from __future__ import annotations

import base64
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from conformance.backend import bodies
from conformance.history import Headers, Request
from conformance.option_kinds import Credentials
from specs import Contract, Operation

UNSET: Any = object()
"""Stands for `nothing given` where None is a value that may be sent."""


def build(
    operation: Operation,
    arguments: Mapping[str, Any],
    *,
    base_path: str = "",
    headers: Headers = (),
    body: bytes | None = None,
    json_body: Any = UNSET,
    media_type: str | None = None,
    method: str | None = None,
) -> Request:
    """Return the request that calls `operation` with flat `arguments`.

    `body` (bytes) or `json_body` (any value) replace what the arguments would make of the body;
    `media_type` replaces the declared one ('' sends none). Raises KeyError where a path argument
    is missing.
    """
    places = {p.name: p.location for p in operation.parameters}
    joined = {p.name for p in operation.parameters if not p.explode}
    path = operation.path
    query: list[tuple[str, str]] = []
    fields: list[tuple[str, str]] = []
    content: dict[str, Any] = {}
    for name, value in arguments.items():
        place = places.get(name) or ("body" if operation.body else "query")
        if place == "path":
            path = path.replace(
                "{" + name + "}", quote(text(value), safe="", errors="surrogatepass")
            )
        elif place == "query":
            values = value if isinstance(value, list) else [value]
            texts = [text(v) for v in values]
            query += [(name, ",".join(texts))] if name in joined else [(name, t) for t in texts]
        elif place == "header":
            fields.append((name.lower(), text(value)))
        elif place == "body":
            content[name] = value
    if "{" in path:
        raise KeyError(f"{operation.id}: no value for the path parameters of {path}")
    whole = content if json_body is UNSET else json_body
    sent = json_body is not UNSET or (operation.body and (content or operation.body.required))
    form = bodies.form(operation.body.media_type, whole) if operation.body and sent else None
    if body is None and form is not None:
        body, media_type = form[0], form[1] if media_type is None else media_type
    elif body is None and json_body is not UNSET:
        body = written(json_body)
    elif body is None and operation.body and (content or operation.body.required):
        body = written(content)
    if media_type is None and body is not None:
        media_type = operation.body.media_type if operation.body else "application/json"
    if media_type:
        fields.append(("content-type", media_type))
    target = base_path + path + (f"?{urlencode(query, errors='surrogatepass')}" if query else "")
    return Request(method or operation.verb, target, (*headers, *fields), body or b"")


def written(value: Any) -> bytes:
    """Return a value as JSON; what no UTF-8 can hold stands in it escaped."""
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def text(value: Any) -> str:
    """Return a value as it stands in a path, a query or a header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value)


def encode(request: Request, authority: str) -> bytes:
    """Return the request's bytes, with the Host and Content-Length that it lacks."""
    names = {name.lower() for name, _ in request.headers}
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"host: {authority}")
    lines += [f"{name}: {value}" for name, value in request.headers]
    framed = {"content-length", "transfer-encoding"} & names
    if not framed and (request.body or request.method in ("POST", "PUT", "PATCH")):
        lines.append(f"content-length: {len(request.body)}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    try:
        return head.encode("utf-8", "surrogateescape") + request.body
    except UnicodeEncodeError:  # a server gave an id that no UTF-8 can hold
        return head.encode("utf-8", "surrogatepass") + request.body


@dataclass(frozen=True)
class Always:
    """What goes out with every request: `--header`, and the credentials of the base URL.

    It is added to the bytes alone, so that no history, recording or report can show it.
    """

    headers: Headers = ()
    query: str = ""
    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, headers: Headers, url: Credentials) -> Always:
        """Return what the options say; user information goes out as RFC 7617 has it."""
        made, secrets = list(headers), [value for _, value in headers]
        if url.user or url.password:
            word = base64.b64encode(f"{url.user}:{url.password}".encode()).decode()
            made.append(("authorization", f"Basic {word}"))
            secrets.append(word)
        return cls(tuple(made), url.query, (*secrets, *url.secrets))

    def added(self, request: Request) -> Request:
        """Return a request with all of it, except headers that the request has itself."""
        if not self.headers and not self.query:
            return request
        names = {name.lower() for name, _ in request.headers}
        headers = tuple(each for each in self.headers if each[0] not in names)
        sign = "&" if "?" in request.target else "?"
        target = request.target + (sign + self.query if self.query else "")
        return replace(request, target=target, headers=(*headers, *request.headers))


NOTHING = Always()


def credentials(contract: Contract, key: str, *, way: int = 0) -> Headers:
    """Return the header that shows `key` in the contract's `way`-th manner; none without any."""
    if not contract.auth:
        return ()
    header = contract.auth[way]
    if header.prefix.strip().lower() == "basic" and ":" in key:  # RFC 7617: user and password
        key = b64encode(key.encode()).decode()
    return ((header.header.lower(), header.prefix + key),)


def redact(headers: Headers, contract: Contract) -> Headers:
    """Return the headers without any credential."""
    secret = {a.header.lower() for a in contract.auth} | {"authorization", "cookie", "x-api-key"}
    return tuple((n, "<key>" if n.lower() in secret else v) for n, v in headers)
