"""Sovant's API, written from its document alone, with the other choice wherever it is silent.

`null` is absence, members that it does not know are ignored, success is another 2xx, page sizes are
trimmed, ids are numbers in text, times have milliseconds and an offset, all keys share one quota,
connections close after each answer. The facts about a user, of which the document shows no path,
are served at paths of its own. It imports nothing of this project.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Body = dict[str, Any]
BODY_MAX = 1_000_000
QUOTA, WINDOW = 1_000_000, 3600
KINDS = ("journal", "insight", "observation", "task", "preference")
ENTITIES = ("location", "name", "age", "preference")
WORD = re.compile(r"\w+")
FROM = re.compile(r"\bi(?:'m| am) from ([\w ]+)", re.IGNORECASE)


class Refused(Exception):
    """A request that is answered with an error: its status and what is wrong."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Tenant:
    """What one key owns, each kind of record by its id."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, Body]] = {
            kind: {} for kind in ("memory", "thread", "session", "key")
        }
        self.said: dict[str, list[Body]] = {}
        self.facts: Body = {"preferences": []}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _text(given: Any) -> bool:
    return isinstance(given, str) and given != ""


def _tags(given: Any) -> bool:
    return isinstance(given, list) and all(_text(each) and "," not in each for each in given)


CHECKS: dict[str, Callable[[Any], bool]] = {
    "tags": _tags,
    "metadata": lambda given: isinstance(given, dict),
    "type": lambda given: given in KINDS if isinstance(given, str) else False,
    "entity": lambda given: given in ENTITIES if isinstance(given, str) else False,
    **dict.fromkeys(
        ("is_archived", "stream", "use_memory"), lambda given: isinstance(given, bool)
    ),
    "operations": lambda given: isinstance(given, list) and 0 < len(given) <= 100,
}  # fmt: skip
"""Member -> what it must be; every other member is a text."""


def _read(given: Any, takes: str, needs: str = "") -> Body:
    """Return the members of `given` that are taken. Raises Refused."""
    if not isinstance(given, dict):
        raise Refused(400, "an object is wanted")
    kept = {n: given[n] for n in takes.split() if given.get(n) is not None}
    for name in needs.split():
        if name not in kept:
            raise Refused(400, f"{name} is wanted")
    for name, value in kept.items():
        if not CHECKS.get(name, _text)(value):
            raise Refused(400, f"{name} is not as it should be")
    return kept


class Sovant:
    """The application: every route is a method that takes a tenant, a request and its JSON."""

    def __init__(self, keys: Collection[str]) -> None:
        self.tenants = {key: Tenant() for key in keys}
        self.owners: dict[str, str] = {}
        self.numbers = itertools.count(70_001)
        self.start, self.used = time.time(), 0

    def fresh(self, **fields: Any) -> Body:
        """Return a new record."""
        return {"created_at": _now(), "id": str(next(self.numbers)), **fields}

    def route(self, path: str, method: str, does: Any, status: int = 200) -> Route:
        """Return a route that reads the request, does it, and answers."""

        async def answer(request: Request) -> Response:
            headers = {"connection": "close", "X-REQUEST-ID": str(next(self.numbers))}
            try:
                tenant = self._tenant(request, headers)
                sent = await _json(request)
                done = does(tenant, request, sent)
            except Refused as no:
                body = {"message": no.why, "code": f"E{no.status}", "see": "https://example.test"}
                return JSONResponse(body, no.status, headers)
            if isinstance(done, Response):
                done.headers.update(headers)
                return done
            return JSONResponse(done, status, headers)

        return Route(path, answer, methods=[method])

    def _tenant(self, request: Request, headers: dict[str, str]) -> Tenant:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        own = request.headers.get("x-sovant-api-key")
        key = own if own is not None else bearer if scheme.lower() == "bearer" else ""
        owner = self.owners.get(key, key)
        if owner not in self.tenants:
            raise Refused(401, "which key?")
        if time.time() - self.start > WINDOW:
            self.start, self.used = time.time(), 0
        self.used += 1
        headers |= {
            "X-Ratelimit-LIMIT": str(QUOTA),
            "X-Ratelimit-REMAINING": str(max(0, QUOTA - self.used)),
            "X-Ratelimit-RESET": str(int(self.start) + WINDOW),
        }
        return self.tenants[owner]

    # --- memories

    def create(self, me: Tenant, _: Request, sent: Any) -> Body:
        """Keep a memory."""
        given = _read(sent, "content type tags metadata thread_id", "content")
        usual = {"type": "observation", "tags": [], "metadata": {}, "thread_id": None}
        record = self.fresh(is_archived=False, **{**usual, **given})
        me.kinds["memory"][record["id"]] = record
        return record

    def memories(self, me: Tenant, request: Request, _: Any) -> Body:
        """List memories, newest first."""
        return _page(_chosen(me, request), request, "memories")

    def search(self, me: Tenant, request: Request, _: Any) -> Body:
        """Find memories that share a word with the query."""
        asked = request.query_params
        words = set(WORD.findall(asked.get("query", "").lower()))
        found = [
            each
            for each in _chosen(me, request)
            if ("query" not in asked or words & set(WORD.findall(each["content"].lower())))
            and _day(asked, "from_date") <= each["created_at"][:10] <= _day(asked, "to_date")
        ]
        return {"results": found[: _number(request, "limit", 20, 1, 100)]}

    def update(self, me: Tenant, request: Request, sent: Any) -> Body:
        """Change what is named of a memory."""
        record = _one(me, "memory", request.path_params["id"])
        record |= _read(sent, "content type tags metadata is_archived")
        return record

    def put(self, me: Tenant, request: Request, sent: Any) -> Body:
        """Change all of a memory."""
        record = _one(me, "memory", request.path_params["id"])
        given = _read(sent, "content type tags metadata thread_id", "content")
        usual = {"type": "observation", "tags": [], "metadata": {}, "thread_id": None}
        record |= {**usual, **given}
        return record

    def batch(self, me: Tenant, _: Request, sent: Any) -> Body:
        """Do several changes, each by itself."""
        entries = _read(sent, "operations", "operations")["operations"]
        for entry in entries:
            _checked(entry)
        results = [self._done(me, entry) for entry in entries]
        right = sum(each["success"] for each in results)
        summary = {"total": len(results), "succeeded": right, "failed": len(results) - right}
        return {"results": results, "summary": summary}

    def _done(self, me: Tenant, entry: Body) -> Body:
        op = entry["op"]
        try:
            if op == "create":
                record = self.create(me, None, entry["data"])  # type: ignore[arg-type]
                return {"op": op, "success": True, "id": record["id"], "memory": record}
            record = _one(me, "memory", entry["id"])
        except Refused as no:
            return {"op": op, "success": False, "error": {"message": no.why}}
        if op == "delete":
            del me.kinds["memory"][record["id"]]
            return {"op": op, "success": True, "id": record["id"]}
        record |= _read(entry["data"], "content type tags metadata is_archived")
        return {"op": op, "success": True, "id": record["id"], "memory": record}

    # --- threads, sessions, facts, keys

    def make(self, kind: str, takes: str, needs: str = "") -> Any:
        """Return what makes a record of a kind."""

        def done(me: Tenant, _: Request, sent: Any) -> Body:
            given = _read({} if sent is None else sent, takes, needs)
            record = self.fresh(**given)
            me.kinds[kind][record["id"]] = record
            return record

        return done

    def link(self, me: Tenant, request: Request, sent: Any) -> Body:
        """Put a memory into a thread."""
        thread = _one(me, "thread", request.path_params["id"])
        memory = _one(me, "memory", _read(sent, "memory_id", "memory_id")["memory_id"])
        memory["thread_id"] = thread["id"]
        return memory

    def say(self, me: Tenant, request: Request, sent: Any) -> Any:
        """Say something in a session; the answer repeats it."""
        session = _one(me, "session", request.path_params["id"])["id"]
        given = _read(sent, "content provider model use_memory stream", "content")
        answer = self.fresh(role="assistant", content=f"I hear: {given['content']}")
        said = me.said.setdefault(session, [])
        said += [self.fresh(role="user", content=given["content"]), answer]
        if not given.get("stream"):
            return answer
        events = [{"type": "delta", "data": answer["content"]}, {"type": "done"}]
        lines = [f"data: {json.dumps(each)}\n\n" for each in events]
        return StreamingResponse(iter(lines), media_type="text/event-stream")

    def messages(self, me: Tenant, request: Request, _: Any) -> Body:
        """Return what was said."""
        session = _one(me, "session", request.path_params["id"])["id"]
        return {"messages": me.said.get(session, [])}

    def extract(self, _me: Tenant, _: Request, sent: Any) -> Body | None:
        """Find where somebody is from."""
        found = FROM.search(_read(sent, "text", "text")["text"])
        return {"entity": "location", "value": found[1]} if found else None

    def save(self, me: Tenant, _: Request, sent: Any) -> Body:
        """Keep a fact."""
        given = _read(sent, "entity value", "entity value")
        if given["entity"] == "preference":
            me.facts["preferences"].append(given["value"])
        else:
            me.facts[given["entity"]] = given["value"]
        return given

    def new_key(self, me: Tenant, _: Request, sent: Any) -> Body:
        """Make a key that works."""
        record = self.fresh(**_read(sent, "name", "name"))
        me.kinds["key"][record["id"]] = record
        secret = f"sk_live_{record['id']}_of_somebody"
        self.owners[secret] = next(key for key, tenant in self.tenants.items() if tenant is me)
        return {**record, "key": secret}

    def revoke(self, me: Tenant, request: Request, _: Any) -> Body:
        """Revoke a key."""
        record = _one(me, "key", request.path_params["id"])
        del me.kinds["key"][record["id"]]
        self.owners.pop(f"sk_live_{record['id']}_of_somebody", None)
        return {"ok": 1}


def _get(kind: str) -> Any:
    return lambda me, request, _: _one(me, kind, request.path_params["id"])


def _change(kind: str, takes: str) -> Any:
    def done(me: Tenant, request: Request, sent: Any) -> Body:
        record = _one(me, kind, request.path_params["id"])
        record |= _read(sent, takes)
        return record

    return done


def _drop(kind: str) -> Any:
    def done(me: Tenant, request: Request, _: Any) -> Body:
        record = _one(me, kind, request.path_params["id"])
        del me.kinds[kind][record["id"]]
        if kind == "thread":
            for memory in me.kinds["memory"].values():
                if memory["thread_id"] == record["id"]:
                    memory["thread_id"] = None
        return {"gone": True}

    return done


def _one(me: Tenant, kind: str, id: Any) -> Body:
    if not isinstance(id, str) or id not in me.kinds[kind]:
        raise Refused(404, "there is none")
    return me.kinds[kind][id]


def _checked(entry: Any) -> None:
    op = entry.get("op") if isinstance(entry, dict) else None
    if op not in ("create", "update", "delete"):
        raise Refused(400, "op is create, update or delete")
    if op != "create" and not _text(entry.get("id")):
        raise Refused(400, "id is wanted")
    if op != "delete":
        takes = "content type tags metadata thread_id is_archived"
        _read(entry.get("data"), takes, "content" if op == "create" else "")


def _chosen(me: Tenant, request: Request) -> list[Body]:
    asked = request.query_params
    if asked.get("type", KINDS[0]) not in KINDS:
        raise Refused(400, "type is not one of the five")
    if asked.get("is_archived", "true").lower() not in ("true", "false"):
        raise Refused(400, "is_archived is true or false")
    tags = set(asked["tags"].split(",")) if "tags" in asked else None
    archived = asked["is_archived"].lower() == "true" if "is_archived" in asked else None
    return [
        each
        for each in reversed(list(me.kinds["memory"].values()))
        if asked.get("type", each["type"]) == each["type"]
        and archived in (None, each["is_archived"])
        and ("thread_id" not in asked or asked["thread_id"] == each["thread_id"])
        and (tags is None or tags & set(each["tags"]))
    ]


def _day(asked: Any, name: str) -> str:
    given = str(asked.get(name, "0000-01-01" if name == "from_date" else "9999-12-31"))
    if name in asked:
        try:
            datetime.fromisoformat(given)
        except ValueError:
            raise Refused(400, f"{name} is not a day") from None
    return given[:10]


def _number(request: Request, name: str, usual: int, low: int, high: int) -> int:
    given = request.query_params.get(name, str(usual))
    if not re.fullmatch(r"-?\d{1,18}", given, re.ASCII):
        raise Refused(400, f"{name} is a number")
    return min(max(int(given), low), high)


def _page(found: list[Body], request: Request, name: str) -> Body:
    start, size = _number(request, "offset", 0, 0, 10**9), _number(request, "limit", 20, 1, 100)
    more = start + size < len(found)
    return {"has_more": more, "total": len(found), name: found[start : start + size]}


async def _json(request: Request) -> Any:
    raw = await request.body()
    if len(raw) > BODY_MAX:
        raise Refused(413, "too much at once")
    try:
        sent = json.loads(raw.decode("utf-8"), parse_constant=_no_constant) if raw else None
        json.dumps(sent, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise Refused(400, "this is not JSON") from None
    return sent


def _no_constant(name: str) -> float:
    raise ValueError(name)


def sovant(keys: Collection[str], by: type[Sovant] = Sovant) -> Starlette:
    """Return the application, made by the class or one of its children."""
    made = by(keys)
    memory, thread, own = "/api/v1/memories/{id}", "/api/v1/threads/{id}", "/api/v1/keys/{id}"
    talk = "/api/v1/chat/sessions"
    table = [
        ("/api/v1/memory/search", "GET", made.search, 200),
        ("/api/v1/memory/batch", "POST", made.batch, 207),
        ("/api/v1/memory", "GET", made.memories, 200),
        ("/api/v1/memory", "POST", made.create, 202),
        (memory, "GET", _get("memory"), 200),
        (memory, "PATCH", made.update, 202),
        (memory, "PUT", made.put, 201),
        (memory, "DELETE", _drop("memory"), 202),
        ("/api/v1/threads", "POST", made.make("thread", "title metadata", "title"), 200),
        ("/api/v1/threads", "GET", lambda me, request, _: _page(
            list(reversed(me.kinds["thread"].values())), request, "threads"), 200),
        (thread, "GET", _get("thread"), 200),
        (thread, "PATCH", _change("thread", "title metadata"), 201),
        (thread, "PUT", _change("thread", "title metadata"), 201),
        (thread, "DELETE", _drop("thread"), 202),
        (f"{thread}/memories", "POST", made.link, 201),
        (talk, "POST", made.make("session", "title"), 200),
        (f"{talk}/{{id}}/messages", "POST", made.say, 201),
        (f"{talk}/{{id}}/messages", "GET", made.messages, 200),
        ("/api/v2/users/me/extractions", "POST", made.extract, 200),
        ("/api/v2/users/me/facts", "POST", made.save, 200),
        ("/api/v2/users/me/facts", "GET", lambda me, *_: me.facts, 200),
        ("/api/v1/keys", "GET", lambda me, *_: list(me.kinds["key"].values()), 200),
        ("/api/v1/keys", "POST", made.new_key, 200),
        (own, "PATCH", _change("key", "name"), 201),
        (own, "DELETE", made.revoke, 202),
    ]  # fmt: skip
    return Starlette(routes=[made.route(*row) for row in table])
