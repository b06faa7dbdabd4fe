"""Honest servers that choose otherwise wherever the documents leave a choice open.

`Lenient` stands before an application and makes its choices the other ones: null is absence,
success is another 2xx, page sizes are trimmed, an unknown id is a bad request, envelopes say more,
times are told in another precision, empty text is text. It imports nothing of this project.
`octamem` is a whole application, written from that document alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
BODY_MAX = 1_000_000
TIME = re.compile(r'("\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|\+00:00)"')
OTHER_SUCCESS = {200: 201, 201: 200, 204: 200}


class Lenient:
    """An ASGI application before another.

    `ids` begin the paths that end in an id; `code` is what a bad request is called.
    """

    def __init__(self, app: Any, ids: Collection[str], largest: int, code: bytes) -> None:
        self.app, self.ids, self.largest, self.code = app, tuple(ids), largest, code

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one request, with the choices of the inner application turned round."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope = {**scope, "query_string": self._query(scope["query_string"])}
        body, more = b"", True
        while more and len(body) <= 2 * BODY_MAX:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        asked = _without_nulls(body)
        headers = [(n, v) for n, v in scope["headers"] if n != b"content-length"]
        scope["headers"] = [*headers, (b"content-length", str(len(asked)).encode())]
        sent = False

        async def again() -> Message:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": asked, "more_body": False}

        start: Message = {}
        answer = b""

        async def keep(message: Message) -> None:
            nonlocal answer
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                answer += message.get("body", b"")

        await self.app(scope, again, keep)
        await self._answer(scope, start, answer, send)

    async def _answer(self, scope: Any, start: Message, answer: bytes, send: Send) -> None:
        status = start["status"]
        if status == 404 and scope["path"].startswith(self.ids):
            status, answer = 400, answer.replace(b"not_found", self.code)
        if scope["method"] != "GET":
            status = OTHER_SUCCESS.get(status, status)
        if start["status"] == 204:
            answer = b"{}"
        answer = _otherwise(answer, status)
        fields = [(n, v) for n, v in start["headers"] if n.lower() != b"content-length"]
        if start["status"] == 204:
            fields.append((b"content-type", b"application/json"))
        fields.append((b"content-length", str(len(answer)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": answer})

    def _query(self, raw: bytes) -> bytes:
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
        return urlencode([(n, self._trimmed(n, v)) for n, v in pairs]).encode("ascii")

    def _trimmed(self, name: str, value: str) -> str:
        if not re.fullmatch(r"-?\d{1,9}", value, re.ASCII):
            return value
        low, high = {"limit": (1, self.largest), "offset": (0, 10**6)}.get(name, (None, None))
        return value if low is None or high is None else str(min(max(int(value), low), high))


def _without_nulls(body: bytes) -> bytes:
    """Return a JSON object without its members that are null; anything else as it is."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return body
    if not isinstance(value, dict) or None not in value.values():
        return body
    return json.dumps({n: v for n, v in value.items() if v is not None}).encode()


def _otherwise(answer: bytes, status: int) -> bytes:
    """Return a JSON answer with times in milliseconds, and more in an error than is declared."""
    text = TIME.sub(lambda m: f'{m[1]}.{(m[2] or "000")[:3].ljust(3, "0")}Z"', answer.decode())
    if status >= 400 and text.startswith("{"):
        return json.dumps({"docs": "https://example.test/errors", **json.loads(text)}).encode()
    return text.encode()


# --- OctaMem --------------------------------------------------------------------------------------


class Octamem:
    """Text in, found by its words; one dictionary of texts for each key."""

    def __init__(self, keys: Collection[str]) -> None:
        self.texts: dict[str, list[tuple[str, str]]] = {key: [] for key in keys}

    async def _asked(self, request: Request) -> tuple[str, dict[str, Any]] | Response:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key not in self.texts:
            return _no(401, "who are you?")
        raw = await request.body()
        if len(raw) > BODY_MAX:
            return _no(413, "too much at once")
        try:
            body = json.loads(raw.decode("utf-8"), parse_constant=_no_constant) if raw else {}
            json.dumps(body, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError):
            return _no(400, "not JSON")
        if not isinstance(body, dict):
            return _no(400, "not an object")
        context = body.get("previousContext")
        if context is not None and not isinstance(context, str):
            return _no(400, "previousContext is a text")
        return key, body

    async def add(self, request: Request) -> Response:
        """Keep a text."""
        asked = await self._asked(request)
        if isinstance(asked, Response):
            return asked
        key, body = asked
        if not isinstance(body.get("content"), str):
            return _no(400, "content is a text")
        self.texts[key].append((body["content"], body.get("previousContext") or ""))
        return JSONResponse({"success": True, "took_ms": 1}, status_code=202)

    async def search(self, request: Request) -> Response:
        """Find texts that share a word with the query, in the same context."""
        asked = await self._asked(request)
        if isinstance(asked, Response):
            return asked
        key, body = asked
        if not isinstance(body.get("query"), str):
            return _no(400, "query is a text")
        words = set(re.findall(r"\w+", body["query"].lower()))
        context = body.get("previousContext") or ""
        found = [
            {"content": text, "context": where}
            for text, where in self.texts[key]
            if words & set(re.findall(r"\w+", text.lower())) and context in ("", where)
        ]
        return JSONResponse({"pending_id": None, "results": found}, status_code=203)

    async def details(self, request: Request) -> Response:
        """Say how much is kept."""
        asked = await self._asked(request)
        if isinstance(asked, Response):
            return asked
        return JSONResponse({"usage": len(self.texts[asked[0]]), "limit": None})


def _no(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why, "hint": "see the manual", "code": "refused"}, status)


def _no_constant(name: str) -> float:
    raise ValueError(name)


def octamem(keys: Collection[str]) -> Starlette:
    """Return the application."""
    made = Octamem(keys)
    table = {"add": made.add, "search": made.search, "details": made.details}
    return Starlette(
        routes=[Route(f"/api/memory/{n}", call, methods=["POST"]) for n, call in table.items()]
    )
