"""Exchanges and transports made by hand, for tests of oracles and of the backend subject."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import specs
from conformance.backend.transport import Answer
from conformance.clock import VirtualClock
from conformance.history import Exchange, Headers, Request, Response
from conformance.verdict import Finding

JSON: Headers = (("content-type", "application/json"),)


def response(status: int = 200, body: Any = None, headers: Headers = ()) -> Response:
    """Return a JSON answer; `headers` are added to the content type."""
    data = b"" if body is None else json.dumps(body).encode()
    return Response(status, (*JSON, *headers), data)


def exchange(
    status: int = 200,
    body: Any = None,
    headers: Headers = (),
    *,
    operation: str | None = "things.get",
    number: int = 0,
    sent: float = 0.0,
    took: float = 0.001,
    principal: str = "a",
    request: Request | None = None,
    raw: bytes | None = None,
) -> Exchange:
    """Return an exchange that was answered."""
    answer = response(status, body, headers)
    if raw is not None:
        answer = Response(status, (*JSON, *headers), raw)
    return Exchange(
        number=number,
        request=request or Request("GET", "/things/1"),
        response=answer,
        sent=sent,
        received=sent + took,
        operation=operation,
        principal=principal,
    )


class ScriptedTransport:
    """Answers by a function of the request's bytes, on a virtual clock; remembers what was sent."""

    def __init__(
        self, handler: Callable[[bytes], Response | None], clock: VirtualClock | None = None
    ) -> None:
        self.handler, self.clock = handler, clock or VirtualClock()
        self.sent: list[bytes] = []
        self.closed = False

    def exchange(self, data: bytes, timeout: float, *, fresh: bool = False) -> Answer:
        """Answer one request."""
        self.sent.append(data)
        now = self.clock.monotonic()
        made = self.handler(data)
        return Answer(made, None if made else "reset", now, now + 0.001)

    def together(self, data: Sequence[bytes], timeout: float) -> list[Answer]:
        """Answer several requests in order."""
        return [self.exchange(each, timeout) for each in data]

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


def document(**extra: Any) -> dict[str, Any]:
    """Return a small OpenAPI document with one kind of record and every CRUD operation."""
    thing = {
        "type": "object",
        "required": ["id", "name"],
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "name": {"type": "string", "minLength": 1},
            "size": {"type": "integer", "minimum": 1, "maximum": 9, "x-basis": "assumed"},
            "updated_at": {"type": "string"},
        },
    }
    body = {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {n: thing["properties"][n] for n in ("name", "size")},  # type: ignore[index]
    }
    error = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "object", "required": ["code", "message"]}},
    }

    def json_of(schema: Any) -> dict[str, Any]:
        return {"description": "-", "content": {"application/json": {"schema": schema}}}

    refusals = {s: json_of(error) for s in ("400", "401", "404", "429")}
    stated = {"basis": "documented", "source": "somewhere"}

    def operation(id: str, effect: dict[str, Any] | None, ok: Any, **more: Any) -> dict[str, Any]:
        x = {**stated, **({"effect": {**stated, **effect}} if effect else {})}
        x.update(more.pop("x", {}))
        return {
            "operationId": id,
            "responses": {"200": ok, **refusals},
            "x-conformance": x,
            **more,
        }

    takes = {"requestBody": {"required": True, "content": {"application/json": {
        "schema": body}}}}  # fmt: skip
    named = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    page = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": thing}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Things", "version": "1"},
        "security": [{"bearer": []}],
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "x-conformance": {
            "api": "things",
            "document": "none",
            "documentVersion": "1",
            "basePath": "/things-api",
            "auth": [{"header": "Authorization", "prefix": "Bearer "}],
            "errors": {
                **stated,
                "base": "ThingsError",
                "envelope": {"code": "/error/code", "message": "/error/message",
                             "requestId": "/error/request_id"},
                "answers": {
                    "invalid": {"status": 400, "code": "invalid"},
                    "unauthenticated": {"status": 401, "code": "unauthorized"},
                    "unknown-id": {"status": 404, "code": "not_found"},
                },
            },
            "rateLimit": {
                **stated, "headers": "x-ratelimit", "limit": "x-ratelimit-limit",
                "remaining": "x-ratelimit-remaining", "reset": "x-ratelimit-reset",
                "resetUnit": "epoch-seconds",
            },
            **extra,
        },
        "paths": {
            "/things": {
                "post": operation(
                    "things.create", {"kind": "create", "resource": "thing", "id": "/id"},
                    json_of(thing), **takes,
                ),
                "get": operation(
                    "things.list",
                    {"kind": "list", "resource": "thing", "items": "/items", "itemId": "/id"},
                    json_of(page),
                ),
            },
            "/things/{id}": {
                "get": operation(
                    "things.get", {"kind": "read", "resource": "thing", "target": "id"},
                    json_of(thing), parameters=named,
                ),
                "patch": operation(
                    "things.update", {"kind": "update", "resource": "thing", "target": "id"},
                    json_of(thing), parameters=named, **takes,
                ),
                "delete": operation(
                    "things.delete", {"kind": "delete", "resource": "thing", "target": "id"},
                    json_of(thing), parameters=named,
                ),
            },
        },
    }  # fmt: skip


def contract(**extra: Any) -> specs.Contract:
    """Return the contract of `document`."""
    return specs.from_document(document(**extra), Path("things.yaml"))


def causes(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Return what was found, without the words."""
    return [(f.requirement, f.cause) for f in findings]


def required(findings: Iterable[Finding]) -> list[str]:
    """Return the requirements that were broken, each once."""
    return list(dict.fromkeys(f.requirement for f in findings))
