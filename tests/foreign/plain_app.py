"""The Claiv API, written from its document and its wire description alone.

An honest, small server as somebody else would write it: Starlette, a few dictionaries, checks by
hand. It imports nothing of this project and shares no model with the reference backend, so that
a case which only our own backend could pass is found out. Bounded: the oldest tenant's oldest
event goes when there are too many.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

EVENTS_MAX = 20_000
BODY_MAX = 1_000_000
KINDS = ("message", "tool_call", "app_event")
ROLES = ("user", "assistant", "system", "tool")
RANGES = ("7d", "30d", "month", "today")
WORD = re.compile(r"\w+")


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.status, self.code, self.details = status, code, details


class Tenant:
    """What one key owns."""

    def __init__(self) -> None:
        self.events: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.by_key: dict[str, str] = {}
        self.receipts: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self.calls: list[tuple[str, int]] = []


def answer_error(refused: Refused, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the documented envelope."""
    error = {"code": refused.code, "message": str(refused), "request_id": str(uuid.uuid4())}
    if refused.details is not None:
        error["details"] = refused.details
    return JSONResponse({"error": error}, status_code=refused.status, headers=headers)


def moment(value: Any, name: str) -> datetime:
    """Return an RFC 3339 time. Raises Refused."""
    shape = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"
    if isinstance(value, str) and re.fullmatch(shape, value, re.ASCII):
        try:
            parsed = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.upper()))
            return parsed.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise Refused(400, "invalid_request", f"{name} is not a time", {name: "RFC 3339 wanted"})


def text(body: dict[str, Any], name: str, *, required: bool = False) -> str | None:
    """Return a string that is not empty. Raises Refused."""
    if name not in body:
        if required:
            raise Refused(400, "invalid_request", f"{name} is missing", {name: "required"})
        return None
    value = body[name]
    if not isinstance(value, str) or not value:
        raise Refused(400, "invalid_request", f"{name} is not a text", {name: "text wanted"})
    return value


def choice(body: dict[str, Any], name: str, of: Collection[str], *, required: bool = False) -> None:
    """Check one of a few words. Raises Refused."""
    value = text(body, name, required=required)
    if value is not None and value not in of:
        raise Refused(400, "invalid_request", f"{name} is none of {', '.join(of)}")


def mapping(body: dict[str, Any], name: str) -> None:
    """Check an object. Raises Refused."""
    if name in body and not isinstance(body[name], dict):
        raise Refused(400, "invalid_request", f"{name} is not an object")


def number(body: dict[str, Any], name: str, low: float, high: float) -> float | None:
    """Return a number between two others. Raises Refused."""
    value = body.get(name)
    if name not in body:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refused(400, "invalid_request", f"{name} is not between {low} and {high}")
    return value


async def read(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request. Raises Refused."""
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != "application/json":
        raise Refused(415, "unsupported_media_type", "send application/json")
    raw = b""
    async for piece in request.stream():
        raw += piece
        if len(raw) > BODY_MAX:
            raise Refused(413, "payload_too_large", f"more than {BODY_MAX} bytes")
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        json.dumps(body, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise Refused(400, "invalid_request", "the body is not JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise Refused(400, "invalid_request", "the body is not an object")
    return body


def _no_constant(name: str) -> float:
    raise ValueError(name)


def whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a whole number of the query. Raises Refused."""
    raw = request.query_params.get(name)
    if raw is None:
        return default
    if re.fullmatch(r"-?\d{1,9}", raw, re.ASCII) and low <= int(raw) <= high:
        return int(raw)
    raise Refused(400, "invalid_request", f"{name} is not between {low} and {high}")


class Plain:
    """The handlers and what they keep."""

    def __init__(self, keys: Collection[str]) -> None:
        self.tenants = {key: Tenant() for key in keys}

    def tenant(self, request: Request) -> Tenant:
        """Return whom the request comes from. Raises Refused."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or key not in self.tenants:
            raise Refused(401, "unauthorized", "the key is missing or not known")
        return self.tenants[key]

    async def ingest(self, request: Request) -> Response:
        """Store an event, unless its idempotency key was seen."""
        tenant, body = self.tenant(request), await read(request)
        for name in ("user_id", "content"):
            text(body, name, required=True)
        choice(body, "type", KINDS, required=True)
        choice(body, "role", ROLES)
        text(body, "thread_id")
        mapping(body, "metadata")
        key = text(body, "idempotency_key")
        now = datetime.now(UTC)
        at = moment(body["event_time"], "event_time") if "event_time" in body else now
        if key is not None and key in tenant.by_key:
            return JSONResponse({"event_id": tenant.by_key[key], "deduped": True})
        event_id = str(uuid.uuid4())
        tenant.events[event_id] = {**body, "at": at}
        if key is not None:
            tenant.by_key[key] = event_id
        while len(tenant.events) > EVENTS_MAX:
            _, old = tenant.events.popitem(last=False)
            tenant.by_key.pop(old.get("idempotency_key"), None)
        return JSONResponse({"event_id": event_id, "deduped": False})

    def found(self, tenant: Tenant, body: dict[str, Any]) -> list[tuple[float, str, str]]:
        """Return (score, id, content) of the events that fit, best first, within the budget."""
        wanted = set(WORD.findall(body["task"].lower()))
        hits = []
        for event_id, event in tenant.events.items():
            if event["user_id"] != body["user_id"]:
                continue
            if body.get("thread_id") not in (None, event.get("thread_id")):
                continue
            words = set(WORD.findall(event["content"].lower()))
            score = len(wanted & words) / len(wanted) if wanted else 0.0
            if event["content"] == body["task"]:
                score = 1.0
            hits.append((score, event_id, event["content"]))
        hits.sort(key=lambda hit: -hit[0])
        kept, spent = [], 0
        for hit in hits:
            cost = len(hit[2]) // 4 + 1
            if spent + cost <= body["token_budget"]:
                kept.append(hit)
                spent += cost
        return kept

    def check_recall(self, body: dict[str, Any]) -> None:
        """Check what both versions of recall share. Raises Refused."""
        text(body, "user_id", required=True)
        text(body, "task", required=True)
        text(body, "thread_id")
        budget = number(body, "token_budget", 200, 8000)
        if budget is None or budget != int(budget):
            raise Refused(400, "invalid_request", "token_budget is not a whole number")
        number(body, "min_confidence", 0, 1)
        mapping(body, "scope")

    def pack(self, blocks: list[dict[str, Any]]) -> Response:
        """Return an answer to recall."""
        ids = list(dict.fromkeys(i for block in blocks for i in block["source_ids"]))
        spent = sum(len(block["content"]) // 4 + 1 for block in blocks)
        return JSONResponse(
            {
                "system_context": f"{len(blocks)} things are known.",
                "memory_blocks": blocks,
                "citations": ids,
                "token_estimate": spent,
            }
        )

    async def recall(self, request: Request) -> Response:
        """Find a user's events."""
        tenant, body = self.tenant(request), await read(request)
        self.check_recall(body)
        return self.pack(
            [
                {"type": "chunk", "content": c, "source_ids": [i], "score": s}
                for s, i, c in self.found(tenant, body)
            ]
        )

    async def recall_v2(self, request: Request) -> Response:
        """Find a user's events, with what they rest on."""
        tenant, body = self.tenant(request), await read(request)
        self.check_recall(body)
        choice(body, "mode", ("state", "delta", "tasks", "audit", "compose"))
        choice(body, "status", ("open", "completed", "all"))
        if "since" in body:
            moment(body["since"], "since")
        relations = body.get("relations", [])
        if not isinstance(relations, list) or not all(isinstance(r, str) and r for r in relations):
            raise Refused(400, "invalid_request", "relations is not a list of texts")
        return self.pack(
            [
                {
                    "type": "assertion",
                    "content": c,
                    "source_ids": [i],
                    "evidence": [{"event_id": i, "quote": c[:80]}],
                    "score": s,
                }
                for s, i, c in self.found(tenant, body)
            ]
        )

    async def _drop(self, request: Request, names: tuple[str, ...]) -> dict[str, Any]:
        tenant, body = self.tenant(request), await read(request)
        text(body, "user_id", required=True)
        text(body, "thread_id")
        since = moment(body["from_time"], "from_time") if "from_time" in body else None
        until = moment(body["to_time"], "to_time") if "to_time" in body else None
        gone = [
            event_id
            for event_id, event in tenant.events.items()
            if event["user_id"] == body["user_id"]
            and body.get("thread_id") in (None, event.get("thread_id"))
            and (since is None or event["at"] >= since)
            and (until is None or event["at"] <= until)
        ]
        for event_id in gone:
            key = tenant.events.pop(event_id).get("idempotency_key")
            tenant.by_key.pop(key, None)
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        receipt = {
            "receipt_id": str(uuid.uuid4()),
            "scope": {
                name: body.get(name) for name in ("user_id", "thread_id", "from_time", "to_time")
            },
            "requested_at": now,
            "completed_at": now,
            "deleted_counts": {name: len(gone) if name == "events" else 0 for name in names},
        }
        tenant.receipts[receipt["receipt_id"]] = receipt
        while len(tenant.receipts) > EVENTS_MAX:
            tenant.receipts.popitem(last=False)
        return {name: receipt[name] for name in ("receipt_id", "deleted_counts")}

    async def forget(self, request: Request) -> Response:
        """Delete a user's events."""
        names = ("events", "chunks", "episodes", "facts", "claims", "open_loops")
        return JSONResponse(await self._drop(request, names))

    async def forget_v2(self, request: Request) -> Response:
        """Delete a user's events, with other counts."""
        names = ("events", "assertions", "episodes", "entities", "conflicts", "extraction_failures")
        return JSONResponse(await self._drop(request, names))

    async def receipts(self, request: Request) -> Response:
        """List receipts, newest first."""
        tenant = self.tenant(request)
        limit = whole(request, "limit", 20, 1, 100)
        offset = whole(request, "offset", 0, 0, 1_000_000)
        user = request.query_params.get("user_id")
        if user == "":
            raise Refused(400, "invalid_request", "user_id is empty")
        fit = [
            r for r in reversed(tenant.receipts.values()) if user in (None, r["scope"]["user_id"])
        ]
        page = {"total": len(fit), "limit": limit, "offset": offset}
        return JSONResponse({"receipts": fit[offset : offset + limit], **page})

    async def receipt(self, request: Request) -> Response:
        """Read one receipt."""
        found = self.tenant(request).receipts.get(request.path_params["receipt_id"])
        if found is None:
            raise Refused(404, "not_found", "no such receipt")
        return JSONResponse(found)

    def period(self, request: Request) -> dict[str, str]:
        """Return the period that a usage request asks for. Raises Refused."""
        name = request.query_params.get("range", "7d")
        if name not in RANGES:
            raise Refused(400, "invalid_request", "range is not known")
        today = datetime.now(UTC).date()
        days = {"7d": 6, "30d": 29, "month": today.day - 1, "today": 0}[name]
        start: date = today - timedelta(days=days)
        return {"range": name, "start_date": start.isoformat(), "end_date": today.isoformat()}

    async def summary(self, request: Request) -> Response:
        """Sum up the tenant's calls."""
        tenant, period = self.tenant(request), self.period(request)
        named = {
            f"{kind}_requests": sum(1 for path, _ in tenant.calls if path.endswith(kind))
            for kind in ("ingest", "recall", "forget")
        }
        figures = {
            "requests": len(tenant.calls),
            "ingest_events": len(tenant.events),
            "tokens": 0,
            "work_units": 0,
            "errors": sum(1 for _, status in tenant.calls if status >= 400),
        }
        totals = {**figures, **named, "request_bytes": 0, "response_bytes": 0}
        daily = [{"date": period["end_date"], **figures}]
        return JSONResponse({**period, "totals": totals, "daily": daily})

    async def breakdown(self, request: Request) -> Response:
        """Sum up the tenant's calls by path."""
        tenant, period = self.tenant(request), self.period(request)
        endpoints = []
        for path in sorted({path for path, _ in tenant.calls}):
            statuses = [status for other, status in tenant.calls if other == path]
            errors = sum(1 for status in statuses if status >= 400)
            endpoints.append(
                {
                    "endpoint": path,
                    "requests": len(statuses),
                    "errors": errors,
                    "error_rate": errors / len(statuses),
                    "avg_latency_ms": 1.0,
                }
            )
        return JSONResponse({**period, "endpoints": endpoints})

    async def limits(self, request: Request) -> Response:
        """Say what the plan allows: no bounds here."""
        tenant = self.tenant(request)
        used = {"requests": len(tenant.calls), "ingest_events": len(tenant.events)}
        limits = {
            name: {
                "used": used.get(name, 0),
                "limit": None,
                "remaining": None,
                "percentage_used": 0,
            }
            for name in ("requests", "tokens", "work_units", "ingest_events")
        }
        reset = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
        plan = {"plan": "self-hosted", "billing_cycle_day": 1, "reset_date": reset}
        return JSONResponse({**plan, "is_within_quota": True, "limits": limits})

    async def health(self, request: Request) -> Response:
        """Say that the server is up."""
        return JSONResponse({"ok": True})

    def counted(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Return the handler with its calls counted and its refusals answered."""

        async def call(request: Request) -> Response:
            try:
                answer: Response = await handler(request)
            except Refused as refused:
                answer = answer_error(refused)
            _, _, key = request.headers.get("authorization", "").partition(" ")
            if key in self.tenants:
                calls = self.tenants[key].calls
                calls.append((request.scope["route"].path, answer.status_code))
                del calls[:-EVENTS_MAX]
            return answer

        return call


async def unrouted(request: Request, error: Exception) -> Response:
    """Answer what Starlette itself refuses in the documented envelope."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    refused = Refused(error.status_code, code, error.detail)
    return answer_error(refused, dict(error.headers or {}))


def app(keys: Collection[str]) -> Starlette:
    """Return the application."""
    plain = Plain(keys)
    table = (
        ("/v1/ingest", plain.ingest, "POST"),
        ("/v1/recall", plain.recall, "POST"),
        ("/v1/forget", plain.forget, "POST"),
        ("/v2/recall", plain.recall_v2, "POST"),
        ("/v2/forget", plain.forget_v2, "POST"),
        ("/v1/deletion-receipts", plain.receipts, "GET"),
        ("/v1/deletion-receipts/{receipt_id}", plain.receipt, "GET"),
        ("/v1/usage/summary", plain.summary, "GET"),
        ("/v1/usage/breakdown", plain.breakdown, "GET"),
        ("/v1/usage/limits", plain.limits, "GET"),
        ("/healthz", plain.health, "GET"),
    )
    routes = [Route(path, plain.counted(handler), methods=[verb]) for path, handler, verb in table]
    return Starlette(routes=routes, exception_handlers={HTTPException: unrouted})
