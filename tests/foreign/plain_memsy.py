"""Memsy's data plane, written with FastAPI from its document and wire description alone.

Like `plain_app.py` an honest server by somebody else: pydantic models, a few dictionaries, events
that become memories a moment after they are accepted, a fixed window of requests. It imports
nothing of this project. Bounded: the oldest event goes when there are too many.
"""

import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

EVENTS_MAX = 20_000
BODY_MAX = 1_000_000
PROCESSING = 0.15
"""Seconds until an accepted event is a memory."""
WORD = re.compile(r"\w+")
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
CODES = {
    400: "bad_request",
    401: "invalid_api_key",
    404: "not_found",
    405: "method_not_allowed",
    409: "already_exists",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "validation_error",
    429: "rate_limit_exceeded",
}


def _moment(value: str) -> str:
    if not TIME.fullmatch(value):
        raise ValueError("not an RFC 3339 time")
    datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.upper()))
    return value


Text = Annotated[str, Field(min_length=1)]
Moment = Annotated[str, AfterValidator(_moment)]


class Model(BaseModel):
    """Base of the bodies: types as they are, unknown properties ignored."""

    model_config = ConfigDict(strict=True)


class Event(Model):
    """One event of a batch."""

    actor_id: Text
    session_id: Text
    kind: Literal["user_message", "assistant_message", "tool_result", "app_event"]
    content: Text
    ts: Moment = ""
    metadata: str = ""
    role_id: Text = "-"
    team_id: Text = "-"


class Batch(Model):
    """Body of ingest."""

    events: Annotated[list[Event], Field(min_length=1)]


class Search(Model):
    """Body of search."""

    query: Text
    actor_id: Text = ""
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.3
    include_source_events: bool = False


class Ids(Model):
    """Body of status."""

    event_ids: Annotated[list[Text], Field(min_length=1)]


class RecordCreate(Model):
    """Body that creates an org, a role or a team."""

    org_id: Text
    name: Text
    focus: Text


class RecordUpdate(Model):
    """Body that changes one."""

    name: Text = ""
    focus: Text = ""
    promotion_prompt: Text = ""


class Tenant:
    """What one key owns."""

    def __init__(self, number: int) -> None:
        self.org_id = f"org-of-tenant-{number}"
        self.events: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.tracked: dict[str, str] = {}
        self.records: dict[str, OrderedDict[tuple[str, str], dict[str, Any]]] = {
            kind: OrderedDict() for kind in ("org", "role", "team")
        }
        self.calls = self.searches = self.ingested = 0
        self.window = 0.0
        self.in_window = 0


Handler = Callable[[Request], Awaitable[Response]]


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    detail = {"error": CODES.get(status, "error"), "message": message}
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _tenant(request: Request) -> Tenant:
    found: Tenant = request.state.tenant
    return found


Me = Annotated[Tenant, Depends(_tenant)]
Size = Annotated[int, Query(ge=1, le=200)]
Skip = Annotated[int, Query(ge=0, le=1_000_000)]
routes = APIRouter()


def _done(event: dict[str, Any]) -> bool:
    return time.monotonic() - event["since"] >= PROCESSING


@routes.post("/ingest")
def ingest(me: Me, batch: Batch) -> dict[str, Any]:
    """Accept a batch of events."""
    ids = []
    for event in batch.events:
        event_id = uuid.uuid4().hex
        me.events[event_id] = {
            **event.model_dump(),
            "event_id": event_id,
            "memory_id": str(uuid.uuid4()),
            "ts": event.ts or _now(),
            "since": time.monotonic(),
            "observed_at": _now(),
        }
        me.tracked[event_id] = event.session_id
        ids.append(event_id)
    me.ingested += len(ids)
    while len(me.events) > EVENTS_MAX:
        old, _ = me.events.popitem(last=False)
        me.tracked.pop(old, None)
    return {"event_ids": ids}


@routes.post("/search")
def search(me: Me, wanted: Search) -> dict[str, Any]:
    """Find processed events by the words that they share with the query."""
    me.searches += 1
    words = set(WORD.findall(wanted.query.lower()))
    hits = []
    for event in me.events.values():
        if not _done(event) or wanted.actor_id not in ("", event["actor_id"]):
            continue
        have = set(WORD.findall(event["content"].lower()))
        score = 1.0 if event["content"] == wanted.query else len(words & have) / max(len(words), 1)
        if score >= wanted.threshold:
            hits.append((score, event))
    hits.sort(key=lambda hit: -hit[0])
    return {"results": [_hit(s, e, wanted) for s, e in hits[: wanted.limit]]}


def _hit(score: float, event: dict[str, Any], wanted: Search) -> dict[str, Any]:
    metadata: dict[str, Any] = {"title": None, "source_event_ids": [event["event_id"]]}
    if wanted.include_source_events:
        source = {name: event[name] for name in ("event_id", "kind", "content", "ts")}
        metadata["source_events"] = [source]
    return {
        "id": event["memory_id"],
        "content": event["content"],
        "score": score,
        "metadata": metadata,
    }


@routes.post("/status")
def status(me: Me, asked: Ids) -> dict[str, Any]:
    """Say how far the processing of events has come."""
    states = {
        i: "failed" if i not in me.events else "completed" if _done(me.events[i]) else "pending"
        for i in asked.event_ids
    }
    lists = {f"{s}Ids": [i for i in states if states[i] == s] for s in set(states.values())}
    empty: dict[str, Any] = {"completedIds": [], "failedIds": [], "pendingIds": []}
    return {**empty, **lists, "total": len(states), "statuses": states}


@routes.get("/health")
def health(me: Me) -> dict[str, Any]:
    """Say that the server is up."""
    return {"status": "ok", "version": "0", "billing_enabled": None, "components": {"all": "ok"}}


@routes.delete("/clear/{container_tag}")
def clear(me: Me, container_tag: str) -> dict[str, int]:
    """Stop tracking the events of a session."""
    gone = [i for i, session in me.tracked.items() if session == container_tag]
    for event_id in gone:
        del me.tracked[event_id]
    return {"deleted": len(gone)}


def _memory(me: Tenant, event: dict[str, Any]) -> dict[str, Any]:
    return {
        "memory_id": event["memory_id"],
        "org_id": me.org_id,
        "scope": {"level": "actor", "actor_id": event["actor_id"]},
        "type": "fact",
        "kind": "fact",
        "memory_kind": "semantic",
        "status": "active",
        "text": event["content"],
        "confidence": 1.0,
        "strength": 1.0,
        "tags": [],
        "source_event_ids": [event["event_id"]],
        "observed_at": event["observed_at"],
        "created_at": event["observed_at"],
        "updated_at": event["observed_at"],
    }


Sort = Literal[
    "observed_at_desc", "observed_at_asc", "strength_desc", "confidence_desc", "created_at_desc"
]


@routes.get("/console/memories")
def memories(
    me: Me,
    kind: Literal["semantic", "episodic", "procedural"] = "semantic",
    type: Annotated[str, Query(min_length=1)] = "fact",
    status: Annotated[str, Query(min_length=1)] = "active",
    sort: Sort = "observed_at_desc",
    search: Annotated[str | None, Query(min_length=1)] = None,
    limit: Size = 50,
    offset: Skip = 0,
) -> dict[str, Any]:
    """Browse memories."""
    fit = [_memory(me, e) for e in me.events.values() if _done(e)]
    if sort.endswith("_desc"):
        fit.reverse()
    if (kind, type, status) != ("semantic", "fact", "active"):
        fit = []
    if search is not None:
        fit = [m for m in fit if search in m["text"]]
    page = fit[offset : offset + limit]
    return {"items": page, "total": len(fit), "limit": limit, "offset": offset}


@routes.get("/console/memories/stats")
def stats(me: Me) -> dict[str, Any]:
    """Count memories."""
    total = sum(1 for e in me.events.values() if _done(e))
    return {
        "total": total,
        "total_memories": total,
        "active_memories": total,
        "by_type": {"fact": total},
        "by_kind": {"semantic": total},
        "by_status": {"active": total},
        "avg_confidence": 1.0,
        "avg_strength": 1.0,
        "top_entities": [],
    }


@routes.get("/console/memories/{memory_id}")
def memory(me: Me, memory_id: uuid.UUID) -> dict[str, Any]:
    """Read one memory."""
    for event in me.events.values():
        if event["memory_id"] == str(memory_id) and _done(event):
            return _memory(me, event)
    raise HTTPException(404, "no such memory")


def _one(me: Tenant, kind: str, id: str, org_id: str) -> dict[str, Any]:
    found = me.records[kind].get((org_id, id))
    if found is None:
        raise HTTPException(404, f"no such {kind}")
    return found


def _make(me: Tenant, kind: str, body: RecordCreate) -> dict[str, Any]:
    id = body.org_id if kind == "org" else uuid.uuid4().hex
    org = "" if kind == "org" else body.org_id
    if (org, id) in me.records[kind]:
        raise HTTPException(409, f"this {kind} exists")
    made = {**body.model_dump(), f"{kind}_id": id, "created_at": _now(), "updated_at": _now()}
    made["promotion_prompt"] = f"Promote what matters to {body.focus}."
    me.records[kind][org, id] = made
    while len(me.records[kind]) > EVENTS_MAX:
        me.records[kind].popitem(last=False)
    return made


def _change(record: dict[str, Any], body: RecordUpdate) -> dict[str, Any]:
    record.update(body.model_dump(exclude_unset=True), updated_at=_now())
    return record


def _write(record: dict[str, Any]) -> dict[str, Any]:
    record.update(promotion_prompt=f"Prompt {uuid.uuid4().hex}.", updated_at=_now())
    return record


def _records(kind: str) -> APIRouter:
    """Return the routes of one kind of record; orgs stand alone, the others in an org."""
    router, many = APIRouter(), f"/{kind}s"
    one = many + "/{id}"

    def org(org_id: Annotated[str, Query(min_length=1)]) -> str:
        return org_id

    Org = Annotated[str, Depends((lambda: "") if kind == "org" else org)]

    @router.get(many)
    def listed(me: Me, org_id: Org, limit: Size = 100, offset: Skip = 0) -> list[dict[str, Any]]:
        fit = [r for (o, _), r in me.records[kind].items() if o == org_id]
        return fit if kind == "org" else fit[offset : offset + limit]

    @router.post(many, status_code=201)
    def create(me: Me, body: RecordCreate) -> dict[str, Any]:
        return _make(me, kind, body)

    @router.get(one)
    def read(me: Me, id: str, org_id: Org) -> dict[str, Any]:
        return _one(me, kind, id, org_id)

    @router.patch(one)
    def update(me: Me, id: str, org_id: Org, body: RecordUpdate) -> dict[str, Any]:
        return _change(_one(me, kind, id, org_id), body)

    @router.delete(one, status_code=204)
    def delete(me: Me, id: str, org_id: Org) -> None:
        _one(me, kind, id, org_id)
        del me.records[kind][org_id, id]

    @router.post(one + "/regenerate-prompt")
    def regenerate(me: Me, id: str, org_id: Org) -> dict[str, Any]:
        return _write(_one(me, kind, id, org_id))

    return router


class Gate:
    """What happens before and after every handler: keys, limits, figures in headers."""

    def __init__(self, keys: Collection[str], limit: int, window: float) -> None:
        self.tenants = {key: Tenant(n) for n, key in enumerate(keys)}
        self.limit, self.seconds = limit, window

    async def __call__(self, request: Request, call: Handler) -> Response:
        """Answer one request."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        tenant = self.tenants.get(key)
        if scheme.lower() != "bearer" or tenant is None:
            return _refusal(401, "the key is missing or not known")
        now = time.time()
        if now >= tenant.window + self.seconds:
            tenant.window, tenant.in_window = now - now % self.seconds, 0
        request.state.tenant = tenant
        tenant.calls += 1
        if tenant.in_window >= self.limit:
            wait = max(1, -int(-(tenant.window + self.seconds - now) // 1))
            answer: Response = _refusal(429, "too many requests", {"Retry-After": str(wait)})
        else:
            tenant.in_window += 1
            answer = await self._admitted(request, call)
        for name, value in self._figures(tenant).items():
            answer.headers[name] = str(value)
        return answer

    async def _admitted(self, request: Request, call: Handler) -> Response:
        if request.method in ("POST", "PATCH", "PUT"):
            raw = b""
            async for piece in request.stream():
                raw += piece
                if len(raw) > BODY_MAX:
                    return _refusal(413, f"more than {BODY_MAX} bytes")
            media = request.headers.get("content-type", "").split(";")[0].strip().lower()
            if raw and media != "application/json":
                return _refusal(415, "send application/json")
            request._body = raw
        return await call(request)

    def _figures(self, tenant: Tenant) -> dict[str, object]:
        figures = {
            "ApiCall": tenant.calls,
            "EventsIngested": tenant.ingested,
            "SearchQueries": tenant.searches,
        }
        headers: dict[str, object] = {"X-Plan": "pro"}
        for name, used in figures.items():
            headers[f"X-Usage-{name}"] = used
            headers[f"X-Usage-{name}-Limit"] = 10_000_000
        headers["X-RateLimit-Limit"] = self.limit
        headers["X-RateLimit-Remaining"] = self.limit - tenant.in_window
        headers["X-RateLimit-Reset"] = int(tenant.window + self.seconds)
        return headers


async def invalid(request: Request, error: Exception) -> Response:
    """Answer what FastAPI finds wrong with a request."""
    assert isinstance(error, RequestValidationError)
    where = sorted({".".join(map(str, e["loc"])) for e in error.errors()})
    return _refusal(422, f"wrong: {', '.join(where)[:300]}")


async def refused(request: Request, error: Exception) -> Response:
    """Answer what the framework or a handler refuses."""
    assert isinstance(error, StarletteHTTPException)
    status = 422 if error.status_code == 400 else error.status_code
    return _refusal(status, str(error.detail), dict(error.headers or {}))


def app(keys: Collection[str], limit: int = 100_000, window: float = 60.0) -> FastAPI:
    """Return the application. `limit` requests are served per key in each window of seconds."""
    made = FastAPI(openapi_url=None, redirect_slashes=False)
    made.include_router(routes)
    for kind in ("org", "role", "team"):
        made.include_router(_records(kind))
    made.middleware("http")(Gate(keys, limit, window))
    made.add_exception_handler(RequestValidationError, invalid)
    made.add_exception_handler(StarletteHTTPException, refused)
    return made
