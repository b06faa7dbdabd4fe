"""Claiv: events in, memory blocks out within a token budget, deletion with receipts.

Every event becomes memory at once, as one block whose type is read off its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

from conformance.reference.backend import crud
from conformance.reference.backend.adapters.base import Adapter, Resource, token, ulid
from conformance.reference.backend.calls import Body, Call, Reply, iso, moment
from conformance.reference.backend.meter import Traffic, today
from conformance.reference.backend.store import Document, Where, at_least, at_most, equal

BLOCKS = (
    ("open_loop", re.compile(r"\b(todo|remind|follow up|need to|pending)\b|\?\s*$", re.I)),
    ("fact", re.compile(r"\b(prefers?|likes?|uses?|lives?|works?|named?|writes?)\b", re.I)),
    ("claim", re.compile(r"\b(thinks?|believes?|maybe|probably|says?)\b", re.I)),
)
"""Block type -> what a text of that type says; the first that fits wins."""
PLURAL = {"open_loop": "open_loops", "fact": "facts", "claim": "claims", "episode": "episodes"}
PLAN = "pro"
QUOTAS = {"requests": 1_000_000, "tokens": 50_000_000, "work_units": 5_000_000,
          "ingest_events": 500_000}  # fmt: skip


def block_type(event: Body) -> str:
    """Return the type of the block that an event becomes."""
    if event["type"] == "app_event":
        return "episode"
    return next((name for name, says in BLOCKS if says.search(event["content"])), "chunk")


def tokens(text: str) -> int:
    """Return the estimate of a text's tokens: one for every four signs begun."""
    return -(-len(text) // 4)


def _event(call: Call, given: Body) -> Body:
    said = given.get("event_time")
    if said and "time.offset-ignored" in call.defects:
        said = said[:19]
    at = moment(said) if said else call.now
    kept = {k: v for k, v in given.items() if k != "idempotency_key"}
    return {**kept, "event_id": ulid(), "at": at, "stored_at": call.time}


def ingest(call: Call) -> Reply:
    """Store one event; the machinery sees to its idempotency key."""
    event = _event(call, call.values)
    visible = call.now + call.settings.processing_delay
    if "state.create-not-stored" not in call.defects:
        crud.insert(call, EVENT, "event", event, visible)
    if "ingest.stored-twice" in call.defects:
        crud.insert(call, EVENT, "event", _event(call, call.values), visible)
    space = call.space("figures")
    call.store.add(space, "ingest_events")
    call.store.add(space, "tokens", tokens(event["content"]))
    return Reply({"event_id": event["event_id"], "deduped": False})


def _scope(call: Call) -> list[Where]:
    """Return the conditions of user, thread and time range that a request states."""
    found, defects = [], call.defects
    if "scope.user-ignored" not in defects:
        found.append(equal("user_id", call.values["user_id"]))
    if call.values.get("thread_id") is not None and "scope.thread-ignored" not in defects:
        found.append(equal("thread_id", call.values["thread_id"]))
    if call.values.get("from_time") and "forget.ignores-from" not in defects:
        found.append(at_least("at", moment(call.values["from_time"])))
    if call.values.get("to_time") and "forget.ignores-to" not in defects:
        found.append(at_most("at", moment(call.values["to_time"])))
    return found


def _narrowed(call: Call, event: Body) -> bool:
    """Return whether an event's metadata agrees with the request's `scope` where both speak."""
    known = event.get("metadata") or {}
    return all(known.get(k, v) == v for k, v in (call.values.get("scope") or {}).items())


def _recalled(call: Call) -> list[tuple[float, Body]]:
    """Return the events that fit a task, best first, as many as the token budget holds."""
    space = call.space("event")
    if len(call.tenants) > 1 and "isolation.search" in call.defects:
        space = call.space("event", call.tenants[0])
    minimum = float(call.values.get("min_confidence") or 0)
    with call.store.reading():
        found = call.store.search(space, call.now, call.values["task"], _scope(call), 500, minimum)
    if call.values.get("since"):
        since = moment(call.values["since"])
        found = [(score, d) for score, d in found if d.body["at"] >= since]
    chosen, left = [], int(call.values["token_budget"])
    if "recall.budget-ignored" in call.defects:
        left = 10**9
    for score, document in found:
        cost = tokens(document.body["content"])
        if cost <= left and _narrowed(call, document.body):
            chosen.append((score, document.body))
            left -= cost
    return chosen


def _pack(call: Call, block: Callable[[float, Body], Body]) -> Reply:
    chosen = _recalled(call)
    if "recall.order-reversed" in call.defects:
        chosen.reverse()
    blocks = [block(score, event) for score, event in chosen]
    if "recall.empty" in call.defects:
        blocks = []
    spent = sum(tokens(b["content"]) for b in blocks)
    if "recall.estimate-wrong" in call.defects:
        spent += int(call.values["token_budget"])
    call.store.add(call.space("figures"), "tokens", spent)
    lines = "\n".join(f"- {b['content']}" for b in blocks)
    return Reply(
        {
            "system_context": f"What is known about this user:\n{lines}" if blocks else "",
            "memory_blocks": blocks,
            "citations": [event["event_id"] for _, event in chosen][: len(blocks)],
            "token_estimate": spent,
        }
    )


def recall(call: Call) -> Reply:
    """Recall blocks for a task."""

    def block(score: float, event: Body) -> Body:
        return {
            "type": block_type(event),
            "content": event["content"],
            "source_ids": [event["event_id"]],
            "score": round(score, 6),
        }

    return _pack(call, block)


def recall_v2(call: Call) -> Reply:
    """Recall assertions with the evidence that they rest on."""

    def block(score: float, event: Body) -> Body:
        return {
            "type": "episode" if event["type"] == "app_event" else "assertion",
            "content": event["content"],
            "source_ids": [event["event_id"]],
            "evidence": [{"event_id": event["event_id"], "quote": event["content"]}],
            "score": round(score, 6),
        }

    return _pack(call, block)


def _forgotten(call: Call) -> list[Document]:
    where, space = _scope(call), call.space("event")
    found = call.store.find(space, call.now + call.settings.processing_delay, where)
    if "isolation.forget" in call.defects:
        spaces = [call.space("event", tenant) for tenant in call.tenants]
        for each in spaces:
            for document in call.store.find(each, call.now, where):
                crud.remove(call, EVENT, each, document)
    if "forget.leaves-one" in call.defects:
        found = found[1:]
    if "forget.does-nothing" not in call.defects:
        for document in found:
            crud.remove(call, EVENT, space, document)
    return found


def _receipt(call: Call, counts: Body) -> Reply:
    """Keep and answer the receipt of a deletion."""
    scope = {
        name: call.values.get(name) for name in ("user_id", "thread_id", "from_time", "to_time")
    }
    if "receipt.counts-wrong" in call.defects:
        counts = {**counts, "events": counts["events"] + 1}
    receipt = {
        "receipt_id": token("rcpt_"),
        "scope": scope,
        "requested_at": call.time,
        "completed_at": iso(call.now),
        "deleted_counts": counts,
        "user_id": scope["user_id"],
    }
    if "receipt.not-kept" not in call.defects:
        kept = receipt
        if "receipt.differs" in call.defects:
            kept = {**receipt, "deleted_counts": {**counts, "events": counts["events"] + 7}}
        crud.insert(call, RECEIPT, "receipt", kept, call.now)
    return Reply({"receipt_id": receipt["receipt_id"], "deleted_counts": counts})


def forget(call: Call) -> Reply:
    """Delete what a user, thread and time range cover."""
    gone = _forgotten(call)
    counts = {"events": len(gone), "chunks": 0, **dict.fromkeys(PLURAL.values(), 0)}
    for document in gone:
        counts[PLURAL.get(block_type(document.body), "chunks")] += 1
    return _receipt(call, counts)


def forget_v2(call: Call) -> Reply:
    """Delete the same, counted in assertions."""
    gone = _forgotten(call)
    episodes = sum(d.body["type"] == "app_event" for d in gone)
    counts = {
        "events": len(gone),
        "assertions": len(gone) - episodes,
        "episodes": episodes,
        "entities": 0,
        "conflicts": 0,
        "extraction_failures": 0,
    }
    reply = _receipt(call, counts)
    reply.body["warnings"] = []
    return reply


# -- usage ----------------------------------------------------------------------------------


def _period(call: Call) -> tuple[str, date, date]:
    name = call.argument("range", "7d")
    last = today(call.now)
    first = {
        "today": last,
        "7d": last - timedelta(days=6),
        "30d": last - timedelta(days=29),
        "month": last.replace(day=1),
    }[name]
    if "usage.range-ignored" in call.defects:
        return "7d", last - timedelta(days=6), last
    return name, first, last


def _report(call: Call, first: date, last: date) -> dict[tuple[str, str], Traffic]:
    assert call.meter is not None
    if "usage.report-empty" in call.defects:
        return {}
    if "usage.report-mixed" in call.defects:
        return _everybodys(call, first, last)
    return call.meter.report(call.principal.tenant, first, last)


def _everybodys(call: Call, first: date, last: date) -> dict[tuple[str, str], Traffic]:
    """Return every tenant's traffic in one report."""
    assert call.meter is not None
    found: dict[tuple[str, str], Traffic] = {}
    for tenant in call.tenants:
        for key, traffic in call.meter.report(tenant, first, last).items():
            found.setdefault(key, Traffic()).add(traffic)
    return found


def _sum(found: Iterable[Traffic]) -> Traffic:
    total = Traffic()
    for each in found:
        total.add(each)
    return total


def usage_summary(call: Call) -> Reply:
    """Figures of a period, in total and by day."""
    name, first, last = _period(call)
    report, figures = _report(call, first, last), call.store.counters(call.space("figures"))
    by_kind = {
        kind: _sum(t for (_, o), t in report.items() if o.removesuffix("_v2") == kind)
        for kind in ("ingest", "recall", "forget")
    }
    total = _sum(report.values())
    totals = {
        "requests": total.requests,
        "ingest_requests": by_kind["ingest"].requests,
        "recall_requests": by_kind["recall"].requests,
        "forget_requests": by_kind["forget"].requests,
        "ingest_events": figures.get("ingest_events", 0),
        "tokens": figures.get("tokens", 0),
        "work_units": total.requests,
        "errors": total.errors,
        "request_bytes": total.received,
        "response_bytes": total.sent,
    }
    daily = [_day(report, first + timedelta(days=n)) for n in range((last - first).days + 1)]
    return Reply(
        {"range": name, "start_date": first.isoformat(), "end_date": last.isoformat(),
         "totals": totals, "daily": daily}
    )  # fmt: skip


def _day(report: dict[tuple[str, str], Traffic], when: date) -> Body:
    own = {o: t for (day, o), t in report.items() if day == when.isoformat()}
    total, taken = _sum(own.values()), own.get("ingest", Traffic())
    return {
        "date": when.isoformat(),
        "requests": total.requests,
        "ingest_events": taken.requests - taken.errors,
        "tokens": 0,
        "work_units": total.requests,
        "errors": total.errors,
    }


def usage_breakdown(call: Call) -> Reply:
    """Figures of a period by endpoint."""
    name, first, last = _period(call)
    report = _report(call, first, last)
    endpoints: list[Any] = []
    for operation in sorted({o for _, o in report}):
        own = _sum(t for (_, o), t in report.items() if o == operation)
        endpoints.append(
            {
                "endpoint": operation,
                "requests": own.requests,
                "errors": own.errors,
                "error_rate": round(own.errors / own.requests, 6),
                "avg_latency_ms": round(own.seconds * 1000 / own.requests, 3),
            }
        )
    return Reply(
        {"range": name, "start_date": first.isoformat(), "end_date": last.isoformat(),
         "endpoints": endpoints}
    )  # fmt: skip


def usage_limits(call: Call) -> Reply:
    """What the plan allows and how much of it is used this month."""
    last = today(call.now)
    total = _sum(_report(call, last.replace(day=1), last).values())
    figures = call.store.counters(call.space("figures"))
    used = {
        "requests": total.requests,
        "work_units": total.requests,
        "tokens": figures.get("tokens", 0),
        "ingest_events": figures.get("ingest_events", 0),
    }
    if "usage.report-stuck" in call.defects:
        used = dict.fromkeys(used, 7)
    limits = {
        name: {
            "used": used[name],
            "limit": most,
            "remaining": max(0, most - used[name]),
            "percentage_used": round(100 * used[name] / most, 4),
        }
        for name, most in QUOTAS.items()
    }
    reset = (last.replace(day=1) + timedelta(days=32)).replace(day=1)
    return Reply(
        {
            "plan": PLAN,
            "billing_cycle_day": 1,
            "reset_date": reset.isoformat(),
            "is_within_quota": all(used[name] <= most for name, most in QUOTAS.items()),
            "limits": limits,
        }
    )


def health(call: Call) -> Reply:
    """Say that the service is up."""
    return Reply({"ok": True})


def _shown_receipt(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "user_id"}


EVENT = Resource(make=_event, id="event_id", text=lambda body: str(body["content"]))
RECEIPT = Resource(make=lambda call, given: given, id="receipt_id", show=_shown_receipt)

ADAPTER = Adapter(
    resources={"event": EVENT, "receipt": RECEIPT},
    handlers={
        "ingest": ingest,
        "recall": recall,
        "recall_v2": recall_v2,
        "forget": forget,
        "forget_v2": forget_v2,
        "usage.summary": usage_summary,
        "usage.breakdown": usage_breakdown,
        "usage.limits": usage_limits,
        "health": health,
    },
)
