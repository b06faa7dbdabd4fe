"""A small notes server that departs from its description in named ways, for probes to find out.

It holds notes of somebody else from the start; `untouched` says if they are as they were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.foreign.servers import handled

KEY = "shelf-key-0123456789"
TEXT: dict[str, Any] = {"type": "string"}
SIZE: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 50, "default": 20}


@dataclass
class Shelf:
    """The notes, and the ways in which the server is not as it is described."""

    ways: frozenset[str]
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: int = 0
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for number in range(3):
            id = f"owner-note-number-{number}"
            self.notes[id] = {"id": id, "name": f"mine-{number}", "text": "Do not touch"}
            if "default" in self.ways:
                self.notes[id]["is_default"] = number == 0
        self._before = json.dumps(self.notes)

    def untouched(self) -> bool:
        """True if the owner's notes are as they were."""
        mine = {n: v for n, v in self.notes.items() if n.startswith("owner-")}
        return json.dumps(mine) == self._before

    @property
    def left(self) -> list[str]:
        """Notes that are not the owner's."""
        return [n for n in self.notes if not n.startswith("owner-")]

    # -- answers: (status, body) ----------------------------------------------------------------

    def answer(self, verb: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Answer one request."""
        self.calls.append(f"{verb} {path}")
        prefix = "/homes/default-home" if "tenant" in self.ways else ""
        if path == "/whoami":
            return 200, {"user": "owner", "home": "default-home"}
        if not path.startswith(prefix):
            return 404, self._no("no such home")
        path = path.removeprefix(prefix)
        if path == "" and verb == "GET":
            return 200, {"name": "default-home"}
        if path == "/notes":
            return self._create(body) if verb == "POST" else self._list(query)
        if match := re.fullmatch(r"/notes/([^/]+)", path):
            return self._one(verb, match[1], body)
        return 404, self._no("nothing here")

    def _no(self, message: str) -> Any:
        return {"error": {"code": "no", "message": message}} if "nested" in self.ways else {
            "detail": message
        }  # fmt: skip

    def _create(self, body: Any) -> tuple[int, Any]:
        if not isinstance(body, dict) or not isinstance(body.get("name"), str):
            return 400, self._no("name is missing")
        if "unique" in self.ways and body["name"] in {n["name"] for n in self.notes.values()}:
            return 409, self._no("there is one of that name")
        if "picky" in self.ways:
            return 422, self._no("name must be a colour")
        self.made += 1
        note = {"id": f"made-by-somebody-{self.made:04}", "name": body["name"],
                "text": str(body.get("text", "")).strip().upper()
                if "shouts" in self.ways else body.get("text")}  # fmt: skip
        if "default" in self.ways:
            note["is_default"] = bool(body.get("set_default"))
            for other in self.notes.values() if note["is_default"] else ():
                other["is_default"] = False
        self.notes[note["id"]] = note
        return 201, note

    def _list(self, query: dict[str, str]) -> tuple[int, Any]:
        size, offset = int(query.get("limit", 20)), int(query.get("offset", 0))
        if size > 50:
            if "clamps" not in self.ways:
                return 400, self._no("limit is at most 50")
            size = 50
        found = list(self.notes.values())
        shown = found[offset : offset + size]
        if "moved" in self.ways:
            return 200, {"items": [], "hits": [{"note": n} for n in shown], "total": len(found)}
        return 200, {"items": shown, "total": len(found)}

    def _one(self, verb: str, id: str, body: Any) -> tuple[int, Any]:
        if "by-name" in self.ways:
            id = next((n["id"] for n in self.notes.values() if n["name"] == id), "")
        if id not in self.notes:
            return (410 if "gone" in self.ways else 404), self._no("no such note")
        if verb == "DELETE":
            if "keeps" not in self.ways:
                del self.notes[id]
            return 204, None
        if verb == "PATCH" and isinstance(body, dict):
            self.notes[id] |= {n: v for n, v in body.items() if n in ("name", "text")}
        return 200, self.notes[id]

    # -- its description ------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document, as a framework generates it from the types alone."""
        note = {"type": "object", "properties": {"id": TEXT, "name": TEXT, "text": TEXT}}
        new: dict[str, Any] = {
            "type": "object", "required": ["name"], "properties": {"name": TEXT, "text": TEXT}
        }  # fmt: skip
        if "default" in self.ways:
            new["required"].append("set_default")
            new["properties"]["set_default"] = {"type": "boolean"}
        page = {"type": "object", "properties": {
            "items": {"type": "array", "items": note}, "total": {"type": "integer"}}}  # fmt: skip
        if "moved" in self.ways:
            hit = {"type": "object", "properties": {"note": note}}
            page["properties"]["hits"] = {"type": "array", "items": hit}
        home = "/homes/{home}" if "tenant" in self.ways else ""
        sized = [{"name": n, "in": "query", "schema": s}
                 for n, s in (("limit", SIZE), ("offset", {"type": "integer"}))]  # fmt: skip
        one = {"get": _call("read", note), "patch": _call("change", note, new)}
        if "no-delete" not in self.ways:
            one["delete"] = _call("remove", None)
        paths = {
            f"{home}/notes": {"post": _call("add", note, new),
                              "get": _call("all", page, parameters=sized)},
            f"{home}/notes/{{note_id}}": one,
            "/whoami": {"get": _call("whoami", {"type": "object"})},
        }  # fmt: skip
        if home:
            paths[home] = {"get": _call("home", {"type": "object"})}
        return {
            "openapi": "3.1.0", "info": {"title": "Shelf", "version": "2.1"}, "paths": paths,
            "components": {"securitySchemes": {"k": {"type": "http", "scheme": "bearer"}}},
            "security": [{"k": []}],
        }  # fmt: skip


def _call(id: str, answer: Any, body: Any = None, **more: Any) -> dict[str, Any]:
    content = {"content": {"application/json": {"schema": answer}}} if answer else {}
    made: dict[str, Any] = {
        "operationId": id, "responses": {"200": {"description": "It", **content}}, **more,
    }  # fmt: skip
    if body:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return made


@contextmanager
def serving(*ways: str) -> Iterator[tuple[Shelf, str]]:
    """Serve a shelf that departs in some ways; yield it and its base URL."""
    shelf = Shelf(frozenset(ways))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _any(self) -> None:
            url = urlsplit(self.path)
            data = self.rfile.read(int(self.headers.get("content-length") or 0))
            query = {n: v[0] for n, v in parse_qs(url.query).items()}
            if self.headers.get("authorization") != f"Bearer {KEY}" and "open" not in shelf.ways:
                status, made = 401, shelf._no("who are you?")
            else:
                try:
                    body = json.loads(data) if data else None
                    status, made = shelf.answer(self.command, url.path, query, body)
                except ValueError:
                    status, made = 400, shelf._no("that is no JSON")
            text = b"" if made is None else json.dumps(made).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            if "quota" in shelf.ways:
                for name, value in (("limit", 100), ("remaining", 99), ("reset", 1764547200)):
                    self.send_header(f"x-ratelimit-{name}", str(value))
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _any

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with handled(Handler) as served:
        yield shelf, served.url
