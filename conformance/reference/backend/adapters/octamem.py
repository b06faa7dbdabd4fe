"""OctaMem: text in, text out, linked by a context that the caller names."""

from __future__ import annotations

from conformance.reference.backend import crud
from conformance.reference.backend.adapters.base import Adapter, Resource, token
from conformance.reference.backend.calls import Body, Call, Reply
from conformance.reference.backend.store import equal

LIMIT = 10_000_000
"""Memories that the plan allows."""
MOST_FOUND = 20


def _memory(call: Call, given: Body) -> Body:
    return {"id": token("mem_"), "previousContext": "", **given, "created_at": call.time}


MEMORY = Resource(make=_memory, text=lambda body: f"{body['content']} {body['previousContext']}")


def add(call: Call) -> Reply:
    """Store a text."""
    if "state.create-not-stored" not in call.defects:
        crud.insert(call, MEMORY, "memory", _memory(call, call.values), call.now)
    if "ingest.stored-twice" in call.defects:
        crud.insert(call, MEMORY, "memory", _memory(call, call.values), call.now)
    if "usage.details-stuck" not in call.defects:
        call.store.add(call.space("figures"), "memories")
    return Reply({"success": True})


def search(call: Call) -> Reply:
    """Find texts by words; a context that is not empty keeps to itself."""
    context = call.values.get("previousContext")
    where = [equal("previousContext", context)] if context else []
    if "scope.context-ignored" in call.defects:
        where = []
    space = call.space("memory")
    if len(call.tenants) > 1 and "isolation.search" in call.defects:
        space = call.space("memory", call.tenants[0])
    found = call.store.search(space, call.now, call.values["query"], where, MOST_FOUND)
    results = [{**document.body, "score": round(score, 6)} for score, document in found]
    if "recall.empty" in call.defects:
        results = []
    return Reply({"pending_id": None, "results": results})


def details(call: Call) -> Reply:
    """Say how much of the plan is used: texts stored."""
    used = call.store.counters(call.space("figures")).get("memories", 0)
    return Reply({"usage": used, "limit": LIMIT})


ADAPTER = Adapter(
    resources={"memory": MEMORY},
    handlers={"add": add, "search": search, "details": details},
)
