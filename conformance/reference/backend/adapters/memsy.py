"""Memsy's data plane: events become memories, an org hierarchy scopes them.

Each event yields one memory, after the processing delay. The control plane (`memsy_control`)
shows the same tenant from the other side, so both keep their things under one name, `memsy`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from conformance.reference.backend import crud
from conformance.reference.backend.adapters.base import Adapter, Resource, token, ulid
from conformance.reference.backend.calls import Body, Call, Handler, Problem, Reply, iso, moment
from conformance.reference.backend.keys import Principal
from conformance.reference.backend.meter import Meter
from conformance.reference.backend.store import Document, Where, equal

REALM = "memsy"
ORG = "org-of-{tenant}"
QUOTAS: Mapping[str, Mapping[str, int]] = {
    "free": {"apicall": 10_000, "eventsingested": 1_000, "memorystored": 1_000,
             "llmtokens": 100_000, "searchqueries": 1_000},
    "pro": {"apicall": 10_000_000, "eventsingested": 5_000_000, "memorystored": 5_000_000,
            "llmtokens": 500_000_000, "searchqueries": 5_000_000},
}  # fmt: skip
"""plan -> dimension -> what it allows in a period."""
CAPS: Mapping[str, Mapping[str, int]] = {
    "free": {"org": 1, "key": 2},
    "pro": {"org": 100_000, "key": 100_000},
}
MEMBERS: Mapping[str, Mapping[str, Any]] = {
    "admin_required": {"required_scope": "admin"},
    "billing_not_enabled": {"interest_path": "/interest/pro"},
    "feature_not_available": {"upgrade_url": "https://memsy.example/upgrade"},
}
KINDS = {"user_message": "semantic", "assistant_message": "semantic", "tool_result": "procedural",
         "app_event": "episodic"}  # fmt: skip
TYPES = (
    ("preference", re.compile(r"\b(prefer|like|love|favou?rite)", re.I)),
    ("decision", re.compile(r"\b(decid|chose|agreed|will use)", re.I)),
    ("norm", re.compile(r"\b(always|never|must|should)\b", re.I)),
)
"""Memory type -> how people say it; the first that fits wins, else it is a fact."""


def org_of(tenant: str) -> str:
    """Return the id of a tenant's own organisation."""
    return ORG.format(tenant=tenant)


def figures(meter: Meter, tenant: str) -> dict[str, int]:
    """Return what a tenant has used, by dimension."""
    held = meter.counters(tenant)
    return {
        "apicall": meter.total(tenant),
        "eventsingested": held.get("events", 0),
        "memorystored": held.get("memories", 0),
        "llmtokens": held.get("tokens", 0),
        "searchqueries": held.get("searches", 0),
    }


def usage(meter: Meter, who: Principal) -> dict[str, int | str]:
    """Return the usage headers of an answer; the request itself counts."""
    used = figures(meter, who.tenant)
    used["apicall"] += 1
    found: dict[str, int | str] = {"x-plan": who.plan}
    for name, most in QUOTAS[who.plan].items():
        found[f"x-usage-{name}"] = used[name]
        found[f"x-usage-{name}-limit"] = most
    return found


def check(call: Call) -> None:
    """Raise Problem where the key lacks the scope that an operation needs."""
    if not call.operation.authenticated or call.operation.response(403) is None:
        return
    needed = "read" if call.operation.safe else "write"
    if needed not in call.principal.scopes and "keys.scopes-ignored" not in call.defects:
        raise Problem(
            "forbidden", "the key lacks a scope", status=403, code="insufficient_scope",
            members={"required_scope": needed},
        )  # fmt: skip


# -- events and memories ------------------------------------------------------------------------


def _event(call: Call, given: Body) -> Body:
    event_id = ulid()
    metadata = given.get("metadata")
    return {
        **{k: v for k, v in given.items() if k not in ("metadata", "ts")},
        "event_id": event_id,
        "org_id": org_of(call.principal.tenant),
        "ts": iso(moment(given["ts"])) if given.get("ts") else call.time,
        "metadata": _loaded(metadata),
        "ingested_at": call.time,
    }


def _loaded(metadata: str | None) -> Body | None:
    """Return metadata as an object; text that is none stays as it came."""
    if metadata is None:
        return None
    try:
        value = json.loads(metadata)
        json.dumps(value, allow_nan=False).encode()
    except (ValueError, RecursionError):
        value = metadata
    return value if isinstance(value, dict) else {"value": metadata}


def memory_type(text: str) -> str:
    """Return the type of the memory that a text makes."""
    return next((name for name, says in TYPES if says.search(text)), "fact")


def _memory(call: Call, event: Body, ready: float) -> Body:
    text = event["content"]
    level = next((n for n in ("actor", "team", "role") if event.get(f"{n}_id")), "org")
    return {
        "memory_id": str(uuid.uuid4()),
        "org_id": event["org_id"],
        "scope": {
            "level": level,
            **{name: event.get(name) for name in ("actor_id", "team_id", "role_id")},
        },
        "type": memory_type(text),
        "kind": KINDS[event["kind"]],
        "memory_kind": KINDS[event["kind"]],
        "status": "active",
        "text": text,
        "summary": text[:120],
        "payload": None,
        "confidence": 0.9,
        "strength": 1.0,
        "recall_count": 0,
        "decay_half_life_days": 30.0,
        "pinned": False,
        "tags": [event["kind"]],
        "entity_refs": [],
        "source_event_ids": [event["event_id"]],
        "source_urls": [],
        "last_recalled_at": None,
        "effective_from": event["ts"],
        "effective_to": None,
        "observed_at": event["ts"],
        "created_at": iso(ready),
        "updated_at": iso(ready),
    }


def ingest(call: Call) -> Reply:
    """Store a batch of events and let each become a memory after the processing delay."""
    ids = []
    ready = call.now + call.settings.processing_delay
    given = call.values["events"]
    if "ingest.drops-last" in call.defects:
        given = given[:-1]
    for entry in given:
        event = _event(call, entry)
        ids.append(event["event_id"])
        if "ingest.first-only" in call.defects and len(ids) > 1:
            continue
        crud.insert(call, EVENT, "event", event, call.now)
        if "ingest.never-processed" not in call.defects:
            memory = _memory(call, event, ready)
            crud.insert(call, MEMORY, "memory", memory, ready)
        for tag in {event["session_id"], event["actor_id"]}:
            _track(call, tag, event["event_id"])
    if "ingest.ids-repeated" in call.defects:
        ids = [ids[0]] * len(ids)
    assert call.meter is not None
    call.meter.add(call.principal.tenant, events=len(ids), memories=len(ids),
                   tokens=sum(len(e["content"]) // 4 + 1 for e in given))  # fmt: skip
    return Reply({"event_ids": ids})


def _track(call: Call, tag: str, event_id: str) -> None:
    call.store.insert(call.space("tracked"), f"{tag}\n{event_id}", {"tag": tag}, call.now)


def clear(call: Call) -> Reply:
    """Forget which events were tracked under a container tag; memories stay."""
    space, tag = call.space("tracked"), call.arguments["container_tag"]
    found = call.store.find(space, call.now, [equal("tag", tag)])
    for document in found:
        if "clear.does-nothing" not in call.defects:
            call.store.delete(space, document)
    number = len(found) + ("clear.count-off-by-one" in call.defects)
    return Reply({"deleted": 0 if "clear.counts-nothing" in call.defects else number})


def status(call: Call) -> Reply:
    """Say which events have become memories; ids that nobody knows have failed."""
    done: list[str] = []
    pending: list[str] = []
    failed: list[str] = []
    space, wanted = call.space("event"), call.values["event_ids"]
    for id in wanted:
        event = call.store.get(space, id, call.now)
        if event is None:
            failed.append(id)
        elif "status.always-pending" in call.defects:
            pending.append(id)
        elif moment(event.body["ingested_at"]) + call.settings.processing_delay <= call.now + 0.001:
            done.append(id)
        else:
            pending.append(id)
    if "status.unknown-completed" in call.defects:
        done, failed = done + failed, []
    statuses = {**dict.fromkeys(done, "completed"), **dict.fromkeys(pending, "pending"),
                **dict.fromkeys(failed, "failed")}  # fmt: skip
    total = len(wanted) + ("status.total-wrong" in call.defects)
    return Reply(
        {"completedIds": done, "failedIds": failed, "pendingIds": pending, "total": total,
         "statuses": statuses}
    )  # fmt: skip


def search(call: Call) -> Reply:
    """Find memories by words, with the events that they come from where asked."""
    values, defects = call.values, call.defects
    where = []
    if values.get("actor_id") is not None and "scope.actor-ignored" not in defects:
        where.append(Where("json_extract(body, '$.scope.actor_id')=?", (values["actor_id"],)))
    threshold = float(values.get("threshold", 0.3))
    if "search.threshold-ignored" in defects:
        threshold = 0.0
    limit = int(values.get("limit", 10)) if "search.limit-ignored" not in defects else -1
    space = call.space("memory")
    if len(call.tenants) > 1 and "isolation.search" in defects:
        space = call.space("memory", call.tenants[0])
    found = call.store.search(space, call.now, values["query"], where, limit, threshold)
    if "search.order-reversed" in defects:
        found.reverse()
    assert call.meter is not None
    call.meter.add(call.principal.tenant, searches=1)
    with_events = bool(values.get("include_source_events", False))
    if "search.source-events-ignored" in defects:
        with_events = False
    return Reply({"results": [_hit(call, score, d, with_events) for score, d in found]})


def _hit(call: Call, score: float, document: Document, with_events: bool) -> Body:
    memory = document.body
    metadata = {
        "title": memory["text"][:60],
        "entities": [],
        **{n: memory[n] for n in ("summary", "tags", "source_event_ids", "kind", "type",
                                  "strength", "confidence", "observed_at")},
    }  # fmt: skip
    if with_events:
        space = call.space("event")
        events = [call.store.get(space, id, call.now) for id in memory["source_event_ids"]]
        metadata["source_events"] = [
            {name: e.body[name] for name in ("event_id", "kind", "content", "ts")}
            for e in events
            if e is not None
        ]
    return {"id": memory["memory_id"], "content": memory["text"], "score": round(score, 6),
            "metadata": metadata}  # fmt: skip


def health(call: Call) -> Reply:
    """Say that the service is up."""
    return Reply(
        {"status": "ok", "version": "2.1.0", "billing_enabled": True,
         "components": {"async_memsy": "ok", "sync_memsy": "ok"}}
    )  # fmt: skip


def stats(call: Call) -> Reply:
    """Count the memories of the organisation."""
    held = [d.body for d in call.store.find(call.space("memory"), call.now)]
    number = len(held) + ("stats.total-off-by-one" in call.defects)

    def mean(name: str) -> float:
        return round(sum(m[name] for m in held) / len(held), 4) if held else 0.0

    seen = sorted(m["observed_at"] for m in held)
    return Reply(
        {
            "total": number,
            "total_memories": number,
            "active_memories": sum(m["status"] == "active" for m in held),
            "by_type": Counter(m["type"] for m in held),
            "by_kind": Counter(m["memory_kind"] for m in held),
            "by_status": Counter(m["status"] for m in held),
            "avg_confidence": mean("confidence"),
            "avg_strength": mean("strength"),
            "top_entities": [],
            "confidence_buckets": [],
            "date_range": {"from": seen[0], "to": seen[-1]} if seen else None,
        }
    )


def _says(value: str) -> Where:
    return Where("instr(lower(json_extract(body, '$.text')), lower(?)) > 0", (value,))


EVENT = Resource(
    make=_event,
    id="event_id",
    sorts={"ts_desc": "json_extract(body, '$.ts') DESC, seq DESC",
           "ts_asc": "json_extract(body, '$.ts'), seq"},
    order="json_extract(body, '$.ts') DESC, seq DESC",
)  # fmt: skip
MEMORY = Resource(
    make=lambda call, given: given,
    id="memory_id",
    text=lambda body: str(body["text"]),
    filters={"kind": lambda value: equal("memory_kind", value), "search": _says},
    sorts={
        f"{name}_{way}": f"json_extract(body, '$.{name}') {way.upper()}, seq {way.upper()}"
        for name in ("observed_at", "strength", "confidence", "created_at")
        for way in ("asc", "desc")
    },
    order="json_extract(body, '$.observed_at') DESC, seq DESC",
)

# -- the hierarchy ----------------------------------------------------------------------


def _prompt(body: Body, round: int) -> str:
    return f"[{round}] Promote what matters to {body['name']}: {body['focus']}"


def _record(id_name: str, chosen: bool) -> Resource:
    """Return the resource of one level; at the top the caller chooses the id."""

    def make(call: Call, given: Body) -> Body:
        body = {**given, "created_at": call.time, "updated_at": call.time}
        if not chosen:
            body[id_name] = token(f"{id_name[:4]}_")
        return {**body, "promotion_prompt": _prompt(body, 1), "prompt_meta": {"round": 1}}

    def change(call: Call, body: Body, changes: Body) -> Body:
        kept = {k: v for k, v in changes.items() if k in ("name", "focus", "promotion_prompt")}
        return {**body, **kept, "updated_at": call.time}

    return Resource(make=make, id=id_name, change=change, unique=chosen, removed=_left_alone)


def _left_alone(call: Call, record: Body) -> None:
    """Leave the memories of a deleted record where they are."""
    if "delete.takes-memories" in call.defects:
        space = call.space("memory")
        for document in call.store.find(space, call.now):
            crud.remove(call, MEMORY, space, document)


def _regenerate(resource: Resource, collection: str) -> Callable[[Call], Reply]:
    def handle(call: Call) -> Reply:
        space = call.space(collection)
        document = call.store.get(space, call.arguments[resource.id], call.now)
        wanted = call.arguments.get("org_id")
        if document is None or (wanted is not None and document.body["org_id"] != wanted):
            raise Problem("unknown-id", crud.UNKNOWN)
        round = (document.body.get("prompt_meta") or {}).get("round", 1) + 1
        body = {
            **document.body,
            "promotion_prompt": _prompt(document.body, round),
            "prompt_meta": {"round": round},
            "updated_at": call.time,
        }
        if "regenerate.focus-lost" in call.defects:
            body["focus"] = body["name"]
        call.store.replace(space, document, body)
        return Reply(body)

    return handle


LEVELS = {
    "org": _record("org_id", chosen=True),
    "role": _record("role_id", chosen=False),
    "team": _record("team_id", chosen=False),
}
_REGENERATORS: dict[str, Handler] = {
    f"{name}s.regenerate_prompt": _regenerate(resource, name) for name, resource in LEVELS.items()
}

ADAPTER = Adapter(
    resources={"event": EVENT, "memory": MEMORY, **LEVELS},
    handlers={
        "ingest": ingest,
        "search": search,
        "status": status,
        "health": health,
        "clear": clear,
        "memories.stats": stats,
        **_REGENERATORS,
    },
    members=MEMBERS,
    usage=usage,
    check=check,
    caps=CAPS,
    realm=REALM,
)
