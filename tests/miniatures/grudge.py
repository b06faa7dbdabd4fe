"""A small server that obeys too much, for tests that a run harms nobody: one record store.

`Grudge("obeys")` does what any method asks, declared or not; other words give it other faults.
The three records of its owner are there before a run and must be there after it.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import specs
from conformance.history import Response
from tests.scripted import document, response

OWNERS = {"1": "the first of mine", "2": "the second of mine", "3": "the third of mine"}


def contract() -> specs.Contract:
    """Return a contract with one kind of record, a forget by name, and what nobody explained."""
    return specs.from_document(described())


def described() -> dict[str, Any]:
    """Return the OpenAPI document of it."""
    made = document()
    paths = made["paths"]
    stated = {"basis": "documented", "source": "somewhere"}
    fields = paths["/things"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    thing = paths["/things"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    for schema in (fields, thing):
        schema["properties"]["owner"] = {"type": "string", "minLength": 1, "maxLength": 90}
    effect = paths["/things"]["post"]["x-conformance"]["effect"]
    effect["scope"] = {"owner": "free"}
    answers = paths["/things"]["post"]["responses"]

    def post(id: str, effect: dict[str, Any] | None, body: dict[str, Any]) -> dict[str, Any]:
        shown = {"operationId": id, "responses": answers, "x-conformance": dict(stated)}
        if effect:
            shown["x-conformance"]["effect"] = {**stated, **effect}
        content = {"application/json": {"schema": {"type": "object", **body}}}
        return {**shown, "requestBody": {"required": True, "content": content}}

    name = {"type": "string", "minLength": 1}
    target = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    paths["/things/forget"] = {"post": post(
        "things.forget", {"kind": "forget", "resource": "thing", "scope": {"owner": "free"}},
        {"required": ["owner"], "properties": {"owner": name}},
    )}  # fmt: skip
    paths["/things/find"] = {"post": post(
        "things.find", {"kind": "search", "resource": "thing", "items": "/items", "itemId": "/id",
                        "query": "text"},
        {"required": ["text"], "properties": {"text": name}},
    )}  # fmt: skip
    paths["/things/{id}/archive"] = {"delete": {
        "operationId": "things.archive", "responses": answers, "x-conformance": dict(stated),
        "parameters": [target],
    }}  # fmt: skip
    bare = {"responses": answers, "x-conformance": dict(stated)}
    paths["/admin/restart"] = {"post": {"operationId": "admin.restart", **bare}}
    paths["/admin/reindex"] = {"get": {"operationId": "admin.reindex", **bare}}
    paths["/admin/refresh"] = {"post": {
        "operationId": "admin.refresh", **bare,
        "x-conformance": {**stated, "skip": "it sends mail"},
    }}  # fmt: skip
    return made


class Grudge:
    """The server: call it with the bytes of a request."""

    def __init__(self, *faults: str) -> None:
        self.faults = set(faults)
        marks = {id: {"id": id, "name": text, "owner": "me"} for id, text in OWNERS.items()}
        self.things: dict[str, dict[str, Any]] = marks
        self.numbers = itertools.count(4)
        self.asked: list[tuple[str, str]] = []
        self.raw: list[bytes] = []

    def __call__(self, data: bytes) -> Response:
        """Answer one request."""
        head, _, body = data.partition(b"\r\n\r\n")
        method, target, *_ = head.decode("latin-1").split(" ")
        path = urlsplit(target).path.removeprefix("/base")
        self.asked.append((method, path))
        self.raw.append(data)
        if "logs" in self.faults:  # every request is noted in every record
            for thing in self.things.values():
                thing["seen_by"] = body.decode("utf-8", "replace")[:500] + target
        parts = [unquote(p) for p in path.split("/") if p]
        try:
            asked = json.loads(body) if body else {}
        except (ValueError, RecursionError):
            asked = {} if "forgiving" in self.faults else None
        if not isinstance(asked, dict):
            if "forgiving" not in self.faults:
                return _refused(400, "invalid")
            asked = {}
        if b"bearer second-key" in head.lower():
            return response(200, {"items": []}) if method == "GET" else _refused(404, "not_found")
        return self._answer(method, parts, asked, parse_qs(urlsplit(target).query))

    def _answer(self, method: str, parts: list[str], asked: Any, query: Any) -> Response:
        match [method, *parts]:
            case ["GET", "things"]:
                return response(200, {"items": list(self.things.values())})
            case ["POST", "things", "find"]:
                return response(200, {"items": list(self.things.values())})
            case ["POST", "things", "forget"]:
                owner = asked.get("owner")
                if not isinstance(owner, str) and "forgiving" not in self.faults:
                    return _refused(400, "invalid")
                for id in [i for i, t in self.things.items() if owner in (None, t.get("owner"))]:
                    del self.things[id]
                return response(200, {"id": "0", "name": "done"})
            case [_, "admin", _]:
                return response(200, {"id": "0", "name": "done"})
            case ["POST", "things"]:
                return self._create(asked)
            case ["DELETE", "things"] if "obeys" in self.faults:
                self.things.clear()
                return response(200, {})
            case ["PUT" | "POST", "things", id] if "obeys" in self.faults:
                self.things[id] = {**asked, "id": id}
                return response(200, self.things[id])
            case [_, "things", id, *more] if not more or more == ["archive"]:
                return self._one(method, id, asked)
        return _refused(404 if method in ("GET", "POST") else 405, "not_found")

    def _create(self, asked: Any) -> Response:
        if not isinstance(asked.get("name"), str) or not asked["name"]:
            return _refused(400, "invalid")
        number = next(self.numbers)
        id = str(number) if "counts" in self.faults else f"thing-{number:032x}"
        if "reuses" in self.faults and number % 3 == 0:
            return response(200, {**asked, "id": "2"})  # as if it had been there already
        if "fills" in self.faults:  # the lowest number that is free
            id = str(next(n for n in itertools.count(1) if str(n) not in self.things))
        self.things[id] = {**asked, "id": id}
        return response(200, self.things[id])

    def _one(self, method: str, id: str, asked: Any) -> Response:
        if id not in self.things:
            return _refused(404, "not_found")
        if method == "GET":
            return response(200, self.things[id])
        if method == "PATCH":
            if set(asked) - {"name", "size", "owner"}:
                return _refused(400, "invalid")
            self.things[id].update(asked)
            return response(200, self.things[id])
        if method == "DELETE":
            gone = self.things.pop(id)
            if "busy" in self.faults:  # another client's record takes the number at once
                self.things[id] = {"id": id, "name": "of another client", "owner": "they"}
            return response(200, gone)
        return _refused(405, "not_found")

    def kept(self) -> list[str]:
        """Return which of the owner's records are still there as they were."""
        return [i for i, text in OWNERS.items() if self.things.get(i, {}).get("name") == text]


def _refused(status: int, code: str) -> Response:
    return response(status, {"error": {"code": code, "message": code}}, (("allow", "GET"),))


@contextmanager
def served(server: Grudge) -> Iterator[str]:
    """Serve it on a socket; yield its base URL."""
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            """Answer as the server does."""
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            head = f"{self.command} {self.path} HTTP/1.1\r\n{self.headers}".encode("latin-1")
            with one_at_a_time:
                made = server(head.replace(b"\n\n", b"\r\n\r\n") + body)
            self.send_response(made.status)
            for name, value in (*made.headers, ("content-length", str(len(made.body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(made.body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = answer

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}/base"
    finally:
        http.shutdown()
        http.server_close()
