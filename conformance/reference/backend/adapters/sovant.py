"""Sovant: memories, threads, chat with memory at hand, facts about the user, keys."""

from __future__ import annotations

import re
from typing import Any

from conformance.reference.backend import crud
from conformance.reference.backend.adapters.base import Adapter, Resource, token
from conformance.reference.backend.calls import Body, Call, Problem, Reply, moment
from conformance.reference.backend.keys import fingerprint, generate
from conformance.reference.backend.store import Where, at_least, at_most, contains

DEFAULT_TYPE = "observation"
PROFILE = "profile"


def _memory(call: Call, given: Body) -> Body:
    return {
        "id": token("mem_"),
        "type": DEFAULT_TYPE,
        "tags": [],
        "metadata": {},
        "thread_id": None,
        "is_archived": False,
        **given,
        "created_at": call.time,
        "updated_at": call.time,
    }


def _text(body: Body) -> str:
    return f"{body['content']} {' '.join(body.get('tags') or ())}"


def _all_tags(values: list[str]) -> Where:
    each = [contains("tags", value) for value in values]
    return Where(" AND ".join(w.sql for w in each), tuple(v for w in each for v in w.values))


def _date_from(value: str) -> Where:
    moment(value)
    return at_least("created_at", value)


def _date_to(value: str) -> Where:
    moment(value)
    return at_most("created_at", f"{value}T23:59:59.999Z" if len(value) == 10 else value)


MEMORY = Resource(
    make=_memory,
    text=_text,
    filters={"tags": _all_tags, "from_date": _date_from, "to_date": _date_to},
)


def _thread(call: Call, given: Body) -> Body:
    return {
        "id": token("thread_"),
        "metadata": {},
        **given,
        "created_at": call.time,
        "updated_at": call.time,
    }


def _unlink(call: Call, thread: Body) -> None:
    """Let the memories of a deleted thread go on without one."""
    space = call.space("memory")
    for document in call.store.find(
        space, call.now, [Where("json_extract(body, '$.thread_id')=?", (thread["id"],))]
    ):
        call.store.replace(space, document, {**document.body, "thread_id": None})


THREAD = Resource(make=_thread, removed=_unlink)


def link_memory(call: Call) -> Reply:
    """Put a memory into a thread."""
    thread = str(call.arguments["id"])
    if not call.holds("thread", thread, "isolation.link"):
        raise Problem("unknown-id", "there is no such thread")
    space = call.space("memory")
    document = call.store.get(space, call.values["memory_id"], call.now)
    if document is None:
        raise Problem("unknown-id", "there is no such memory")
    body = {**document.body, "thread_id": thread, "updated_at": call.time}
    if "link.does-nothing" not in call.defects:
        call.store.replace(space, document, body)
    return Reply(body)


# -- batches ----------------------------------------------------------------------------------


def batch(call: Call) -> Reply:
    """Do each entry on its own; one that fails takes nothing else with it."""
    results = [_entry(call, entry) for entry in call.values["operations"]]
    done = sum(each["success"] for each in results)
    if "batch.summary-wrong" in call.defects:
        done = len(results)
    if "batch.stops-at-failure" in call.defects:
        stop = next((n for n, each in enumerate(results) if not each["success"]), len(results))
        results = results[: stop + 1]
    if "batch.order-changed" in call.defects:
        results.reverse()
    summary = {"total": len(results), "succeeded": done, "failed": len(results) - done}
    if done < len(results) and "batch.all-or-nothing" in call.defects:
        raise Problem("invalid", "an entry failed")
    return Reply({"results": results, "summary": summary})


def _entry(call: Call, entry: Body) -> Body:
    try:
        with call.store.part():
            memory = _DONE[entry["op"]](call, entry)
    except Problem as problem:
        if "batch.failure-hidden" in call.defects:
            return {"op": entry["op"], "success": True, "id": entry.get("id")}
        error = {"code": "not_found", "message": problem.message, "request_id": call.request_id}
        return {"op": entry["op"], "success": False, "id": entry.get("id"), "error": error}
    done: Body = {"op": entry["op"], "success": True, "id": memory["id"]}
    return done if entry["op"] == "delete" else {**done, "memory": memory}


def _create(call: Call, entry: Body) -> Body:
    body = _memory(call, entry["data"])
    if "batch.creates-twice" in call.defects:
        crud.insert(call, MEMORY, "memory", _memory(call, entry["data"]), call.now)
    if "batch.create-not-stored" not in call.defects:
        crud.insert(call, MEMORY, "memory", body, call.now)
    return body


def _found(call: Call, id: str) -> tuple[int, Any]:
    tenants = call.tenants if "isolation.batch" in call.defects else (call.principal.tenant,)
    for tenant in tenants:
        space = call.space("memory", tenant)
        document = call.store.get(space, id, call.now)
        if document is not None:
            return space, document
    raise Problem("unknown-id", crud.UNKNOWN)


def _update(call: Call, entry: Body) -> Body:
    space, document = _found(call, entry["id"])
    body = MEMORY.change(call, document.body, entry["data"])
    call.store.replace(space, document, body, _text(document.body), _text(body))
    return body


def _delete(call: Call, entry: Body) -> Body:
    space, document = _found(call, entry["id"])
    if "batch.delete-does-nothing" not in call.defects:
        crud.remove(call, MEMORY, space, document)
    return dict(document.body)


_DONE = {"create": _create, "update": _update, "delete": _delete}


# -- chat -------------------------------------------------------------------------------------


def _session(call: Call, given: Body) -> Body:
    return {"id": token("sess_"), "title": None, **given, "created_at": call.time}


SESSION = Resource(make=_session)


def _message(call: Call, given: Body) -> Body:
    return {"id": token("msg_"), **given, "created_at": call.time}


def _shown_message(body: Body) -> Body:
    return {name: value for name, value in body.items() if name != "session_id"}


MESSAGE = Resource(make=_message, show=_shown_message)


def _session_of(call: Call) -> str:
    id = str(call.arguments["id"])
    if not call.holds("session", id, "isolation.parent"):
        raise Problem("unknown-id", "there is no such session")
    return id


def send_message(call: Call) -> Reply:
    """Keep what was said, answer it, and keep the answer; whole or as a stream."""
    session, said = _session_of(call), call.values["content"]
    known: list[str] = []
    if call.values.get("use_memory"):
        found = call.store.search(call.space("memory"), call.now, said, limit=3)
        known = [document.body["content"] for _, document in found]
    answer = f"You said: {said}" + (f" I remember: {'; '.join(known)}" if known else "")
    kept = {"content": said, "role": "user", "session_id": session}
    if "chat.said-not-kept" not in call.defects:
        crud.insert(call, MESSAGE, "message", _message(call, kept), call.now)
    reply = _message(call, {"content": answer, "role": "assistant", "session_id": session})
    if "chat.answer-not-kept" not in call.defects:
        crud.insert(call, MESSAGE, "message", reply, call.now)
    if not call.values.get("stream"):
        return Reply(_shown_message(reply))
    pieces = re.findall(r"\S+\s*|\s+", answer)
    if "stream.loses-piece" in call.defects:
        pieces.pop(len(pieces) // 2)
    events: list[Any] = [{"type": "delta", "data": piece} for piece in pieces]
    return Reply(events=[*events, {"type": "done", "id": reply["id"]}])


def get_messages(call: Call) -> Reply:
    """Return what was said in a session, oldest first."""
    where = [Where("json_extract(body, '$.session_id')=?", (_session_of(call),))]
    if "chat.sessions-mixed" in call.defects:
        where = []
    found = call.store.find(call.space("message"), call.now, where)
    return Reply({"messages": [_shown_message(d.body) for d in found]})


# -- facts about the user -----------------------------------------------------------------------

FACTS = (
    (
        "location",
        re.compile(r"\bi(?:'m| am) from (?P<v>[\w .'-]+)|\bi live in (?P<w>[\w .'-]+)", re.I),
    ),
    ("name", re.compile(r"\bmy name(?:'s| is) (?P<v>[\w .'-]+)|\bcall me (?P<w>[\w .'-]+)", re.I)),
    ("age", re.compile(r"\bi(?:'m| am) (?P<v>\d{1,3})\b|\bmy age is (?P<w>\d{1,3})\b", re.I)),
    (
        "preference",
        re.compile(r"\bi (?:prefer|like|love) (?P<v>.+)|\bmy favou?rite (?P<w>.+)", re.I),
    ),
)
"""Entity -> how people say it; the first that fits wins."""


def extract_profile(call: Call) -> Reply:
    """Find a fact about the user in a text; null where it holds none."""
    text = call.values["text"].replace("’", "'")
    for entity, says in FACTS:
        match = says.search(text)
        value = _canonical(match["v"] or match["w"]) if match else ""
        if value:
            return Reply({"entity": entity, "value": value})
    return Reply(None)


def _canonical(value: str) -> str:
    return " ".join(value.split()).rstrip(".!?,;") or value.strip()


def _profile_space(call: Call) -> int:
    everybody = call.tenants and "isolation.profile" in call.defects
    return call.space(PROFILE, call.tenants[0] if everybody else None)


def save_profile_fact(call: Call) -> Reply:
    """Keep a fact: preferences add up, everything else is replaced."""
    fact = {"entity": call.values["entity"], "value": _canonical(call.values["value"]) or "?"}
    space = _profile_space(call)
    document = call.store.get(space, PROFILE, call.now)
    profile = dict(document.body) if document else {}
    if "profile.last-only" in call.defects:
        profile = {}
    if fact["entity"] == "preference":
        held = profile.get("preferences", [])
        profile["preferences"] = [*(p for p in held if p != fact["value"]), fact["value"]]
    else:
        profile[fact["entity"]] = fact["value"]
    if "profile.not-kept" in call.defects or (
        document is not None and "profile.first-only" in call.defects
    ):
        return Reply(fact)
    if document is None:
        call.store.insert(space, PROFILE, profile, call.now)
    else:
        call.store.replace(space, document, profile)
    return Reply(fact)


def get_profile_facts(call: Call) -> Reply:
    """Return everything that is known about the user."""
    document = call.store.get(_profile_space(call), PROFILE, call.now)
    empty: Body = {"name": None, "age": None, "location": None, "preferences": []}
    return Reply({**empty, **(document.body if document else {})})


# -- keys -----------------------------------------------------------------------------------------


def _key(call: Call, given: Body) -> Body:
    return {"id": token("key_"), **given, "created_at": call.time}


def _revoked(call: Call, key: Body) -> None:
    if "keys.revoked-works" not in call.defects:
        call.store.revoke(call.realm, call.principal.tenant, key["id"])


def _without_secret(body: Body) -> Body:
    return {name: value for name, value in body.items() if name not in ("secret", "updated_at")}


def _with_secret(body: Body) -> Body:
    return {**_without_secret(body), **({"key": body["secret"]} if "secret" in body else {})}


KEY = Resource(make=_key, show=_without_secret, removed=_revoked)


def create_key(call: Call) -> Reply:
    """Make a key that works, and show its secret this once."""
    secret = generate("sk_live_")
    key = _key(call, {"name": call.values["name"]})
    if "keys.secret-listed" in call.defects:
        key["secret"] = secret
    crud.insert(call, KEY, "key", key, call.now)
    call.store.grant(
        fingerprint(secret), call.realm, key["id"], call.principal.tenant, call.principal.rights()
    )
    return Reply({**_without_secret(key), "key": secret})


def list_keys(call: Call) -> Reply:
    """Return the keys without their secrets."""
    show = _with_secret if "keys.secret-listed" in call.defects else _without_secret
    return Reply([show(d.body) for d in call.store.find(call.space("key"), call.now)])


ADAPTER = Adapter(
    resources={
        "memory": MEMORY,
        "thread": THREAD,
        "session": SESSION,
        "message": MESSAGE,
        "key": KEY,
    },
    handlers={
        "memory.batch": batch,
        "threads.link_memory": link_memory,
        "chat.send_message": send_message,
        "chat.get_messages": get_messages,
        "recall.extract_profile": extract_profile,
        "recall.save_profile_fact": save_profile_fact,
        "recall.get_profile_facts": get_profile_facts,
        "keys.create": create_key,
        "keys.list": list_keys,
    },
    success=dict.fromkeys(
        (
            "memory.create",
            "threads.create",
            "chat.create_session",
            "recall.save_profile_fact",
            "keys.create",
        ),
        201,
    ),
)
