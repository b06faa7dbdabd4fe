"""Memsy's control plane, written from its document alone, with other choices where it is silent.

Success is another 2xx, `null` is absence, unknown members are ignored, page sizes are trimmed, what
is unknown is a bad request, errors say more, times have milliseconds and an offset, all keys share
one quota. Each caller is an administrator with a seat. It imports nothing of this project.
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
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Body = dict[str, Any]
BODY_MAX = 1_000_000
QUOTA, WINDOW = 1_000_000, 3600
KEYS_MAX = 100_000
KINDS = ("user_message", "assistant_message", "tool_result", "app_event")


class Refused(Exception):
    """A request that is answered with an error: its status, its code and what is wrong."""

    def __init__(self, status: int, code: str, why: str, allow: str = "") -> None:
        super().__init__(why)
        self.status, self.code, self.why = status, code, why
        self.headers = {"allow": allow} if allow else {}


class Tenant:
    """What the keys of one organisation own."""

    def __init__(self, number: int) -> None:
        self.org, self.calls, self.interest = f"o-{number}", 0, False
        self.keys: dict[str, Body] = {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _bad(why: str) -> Refused:
    return Refused(400, "bad_request", why)


class Control:
    """The application; each handler takes a tenant, a request and its JSON."""

    def __init__(self, keys: Collection[str]) -> None:
        self.tenants = {key: Tenant(number) for number, key in enumerate(keys)}
        self.rights: dict[str, tuple[str, ...]] = dict.fromkeys(keys, ("read", "write"))
        self.ends: dict[str, float] = {}
        self.numbers = itertools.count(8001)
        self.start, self.used = time.time(), 0

    def route(self, path: str, method: str, does: Callable[..., Any], status: int = 200) -> Route:
        """Return a route that reads the request, does it, and answers."""

        async def answer(request: Request) -> Response:
            headers: dict[str, str] = {}
            try:
                tenant = self._tenant(request, headers)
                done = does(tenant, request, await _json(request))
            except Refused as no:
                detail = {"message": no.why, "error": no.code, "hint": "see the manual", "try": 1}
                body = {"trace": "t-1", "detail": detail}
                return JSONResponse(body, no.status, {**headers, **no.headers})
            return JSONResponse(done, status, headers)

        return Route(path, answer, methods=[method])

    def _tenant(self, request: Request, headers: dict[str, str]) -> Tenant:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if (
            scheme.lower() != "bearer"
            or key not in self.tenants
            or time.time() >= self.ends.get(key, float("inf"))
        ):
            raise Refused(401, "who_are_you", "which key?")
        tenant = self.tenants[key]
        if time.time() - self.start > WINDOW:
            self.start, self.used = time.time(), 0
        self.used, tenant.calls = self.used + 1, tenant.calls + 1
        headers |= {
            "X-PLAN": "team",
            "x-usage-apicall": str(tenant.calls),
            "x-usage-apicall-limit": "100000000",
            "X-RATELIMIT-LIMIT": str(QUOTA),
            "X-RATELIMIT-REMAINING": str(QUOTA - self.used),
            "X-RATELIMIT-RESET": str(int(self.start) + WINDOW),
        }
        if request.method not in ("GET", "HEAD") and "write" not in self.rights[key]:
            raise Refused(403, "insufficient_scope", "this key only reads")
        return tenant

    def new_key(self, me: Tenant, _: Request, sent: Any) -> Body:
        """Make a key that works."""
        given = _read(sent, ("name", "scopes", "expires_at"))
        scopes = given.get("scopes", ["read", "write"])
        if not isinstance(scopes, list) or not set(map(str, scopes)) <= {"read", "write"}:
            raise _bad("scopes are read and write")
        if not _text(given.get("name")):
            raise _bad("name is wanted")
        end = _moment(given["expires_at"]) if "expires_at" in given else float("inf")
        id = str(next(self.numbers))
        raw = f"msy_{id}_of_somebody"
        record = {"key_id": id, "prefix": raw[:6], "name": given["name"], "scopes": scopes}
        usual = {"is_active": True, "created_at": _now(), "last_used_at": None, "expires_at": None}
        me.keys[id] = {**usual, **record, **given}
        self.tenants[raw], self.rights[raw], self.ends[raw] = me, tuple(scopes), end
        return {**record, "raw_key": raw}

    def drop_key(self, me: Tenant, request: Request, _: Any) -> Body:
        """Revoke a key."""
        id = _known(me, request)
        del me.keys[id]
        self.tenants.pop(f"msy_{id}_of_somebody", None)
        return {}


def _read(sent: Any, takes: tuple[str, ...]) -> Body:
    if not isinstance(sent, dict):
        raise _bad("an object is wanted")
    return {n: sent[n] for n in takes if sent.get(n) is not None}


def _text(given: Any) -> bool:
    return isinstance(given, str) and given != ""


def _moment(given: Any) -> float:
    """Return seconds since 1970."""
    try:
        if not isinstance(given, str) or not re.match(r"\d{4}-\d\d-\d\d[Tt]", given):
            raise ValueError(given)
        read = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", given.upper()))
        return read.replace(tzinfo=read.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        raise _bad("not a time") from None


def _known(me: Tenant, request: Request) -> str:
    id = str(request.path_params["id"])
    if id not in me.keys:
        raise _bad("there is no such key")
    return id


def _keys(me: Tenant, *_: Any) -> Body:
    kept = list(me.keys.values())
    return {"active_count": len(kept), "max_keys": KEYS_MAX, "keys": kept}


def _me(me: Tenant, *_: Any) -> Body:
    return {
        "org_id": me.org, "tier": "team", "email": "somebody@example.test", "customer_id": "77",
        "is_billing_admin": True, "is_superadmin": False, "colour": "green",
    }  # fmt: skip


def _events(_me: Tenant, request: Request, _: Any) -> Body:
    asked = request.query_params
    if asked.get("kind", KINDS[0]) not in KINDS:
        raise _bad("kind is not one of the four")
    if asked.get("sort", "ts_asc") not in ("ts_asc", "ts_desc"):
        raise _bad("sort is not one of the two")
    limit, offset = _number(asked, "limit", 50, 1, 200), _number(asked, "offset", 0, 0, 10**6)
    return {"total": 0, "items": [], "limit": limit, "offset": offset}


def _number(asked: Any, name: str, usual: int, low: int, high: int) -> int:
    given = asked.get(name, str(usual))
    if not re.fullmatch(r"-?\d{1,18}", given, re.ASCII):
        raise _bad(f"{name} is a number")
    return min(max(int(given), low), high)


def _summary(me: Tenant, *_: Any) -> Body:
    used = [{"dimension": "api_calls", "used": me.calls, "limit": None}]
    first, last = "2026-01-01", "2099-12-31"
    return {
        "org_id": me.org, "tier": "team", "period_start": first, "period_end": last,
        "dimensions": used,
    }  # fmt: skip


def _series(me: Tenant, request: Request, _: Any) -> Body:
    asked = request.query_params
    granularity = asked.get("granularity", "daily")
    if granularity not in ("daily", "hourly"):
        raise _bad("granularity is daily or hourly")
    point = {"date": _now()[:10], "dimension": "api_calls", "quantity": me.calls}
    data = [point] if asked.get("dimension", "api_calls") == "api_calls" else []
    return {"org_id": me.org, "granularity": granularity, "data": data}


def _bill(*_: Any) -> Body:
    return {"tier": "team", "purchased_seats": 3, "assigned_seats": 2, "available_seats": 1}


def _interested(me: Tenant, _: Request, sent: Any) -> Body:
    given = _read(sent, ("email", "name", "company", "use_case", "notes"))
    if not (_text(given.get("email")) and _text(given.get("name"))):
        raise _bad("email and name are wanted")
    if not all(isinstance(each, str) for each in given.values()):
        raise _bad("all are texts")
    me.interest = True
    return {"message": "we write to you"}


def _not_so(*methods: str) -> Callable[..., Body]:
    """Return what answers every other method of a path than these."""

    def refuse(*_: Any) -> Body:
        raise Refused(405, "not_so", "this is not done here", ", ".join(methods))

    return refuse


async def _json(request: Request) -> Any:
    raw = await request.body()
    if len(raw) > BODY_MAX:
        raise Refused(413, "too_much", "too much at once")
    try:
        sent = json.loads(raw.decode("utf-8"), parse_constant=_no_constant) if raw else None
        json.dumps(sent, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise _bad("this is not JSON") from None
    return sent


def _no_constant(name: str) -> float:
    raise ValueError(name)


def control(keys: Collection[str]) -> Starlette:
    """Return the application."""
    made = Control(keys)
    table = [
        ("/me", "GET", _me, 200),
        ("/health", "GET", lambda *_: {"status": "fine"}, 200),
        ("/console/events", "GET", _events, 200),
        ("/usage/summary", "GET", _summary, 200),
        ("/usage/timeseries", "GET", _series, 200),
        ("/billing/summary", "GET", _bill, 200),
        ("/billing/invoices", "GET", lambda *_: [], 200),
        ("/keys", "GET", _keys, 200),
        ("/keys", "POST", made.new_key, 200),
        ("/keys/{id}", "DELETE", made.drop_key, 200),
        ("/keys/{id}/usage", "GET", lambda me, request, _: {"usage": [], "of": _known(
            me, request)}, 200),
        ("/interest/pro", "POST", _interested, 202),
        ("/interest/pro/status", "GET", lambda me, *_: {"expressed": me.interest}, 200),
    ]  # fmt: skip
    ways = sorted({(path, method) for path, method, *_ in table}, reverse=True)
    others = [
        made.route(path, method, _not_so(*(m for p, m in ways if p == path)), 405)
        for path in dict(ways)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        if (path, method) not in ways
    ]
    return Starlette(routes=[*(made.route(*row) for row in table), *others])
