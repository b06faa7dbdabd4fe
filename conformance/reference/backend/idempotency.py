"""Repeated requests: one effect and one answer for each idempotency key.

The key's place, scope and what a mismatch means are declared. `once` runs inside the write
transaction of its request, so concurrent duplicates queue up behind the first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from conformance.reference.backend.calls import Call, Problem, Reply, put
from specs.vocabulary import Idempotency


def given(call: Call, declared: Idempotency) -> str | None:
    """Return the idempotency key of a request; None where it has none."""
    if declared.location == "header":
        raw = call.headers.get(declared.name.lower().encode())
        value = raw.decode("latin-1") if raw is not None else None
    else:
        value = call.values.get(declared.name)
    if value is None and declared.required and "idempotency.not-required" not in call.defects:
        raise Problem("invalid", f"{declared.name} is required")
    return str(value) if value is not None else None


def once(call: Call, declared: Idempotency, run: Callable[[], Reply]) -> Reply:
    """Run a request the first time its key is seen, and repeat its answer afterwards.

    Raises Problem where the key came with another payload and the contract refuses that.
    """
    key = given(call, declared)
    if key is None or "idempotency.ignored" in call.defects:
        return run()
    if call.raced and "idempotency.race-is-400" in call.defects:
        raise Problem("invalid", "this request is under way")
    space = _space(call, declared)
    key = _scoped(call, declared, key)
    payload = _digest(call)
    since = call.now - declared.ttl if declared.ttl else 0.0
    if "idempotency.kept-for-ever" in call.defects:
        since = 0.0
    kept = call.store.answer(space, key, since)
    if kept is not None and not call.raced:
        seen, status, body = kept
        refused = declared.on_mismatch in ("conflict", "unprocessable")
        if seen != payload and refused and "idempotency.mismatch-accepted" not in call.defects:
            status = 409 if declared.on_mismatch == "conflict" else 422
            raise Problem(
                "invalid", "the idempotency key came with another payload before", status=status
            )
        if "idempotency.effect-repeated" in call.defects:
            run()
        if "idempotency.other-answer" in call.defects:
            return run()
        if declared.replayed and "idempotency.not-marked" not in call.defects:
            put(body, declared.replayed, True)
        return Reply(body, status)
    reply = run()
    if declared.replayed:
        put(reply.body, declared.replayed, "idempotency.always-marked" in call.defects)
    call.store.keep_answer(space, key, payload, reply.status or 0, reply.body, call.now)
    return reply


def _space(call: Call, declared: Idempotency) -> int:
    tenant = "everyone" if "idempotency.crosses-tenants" in call.defects else None
    operation = call.operation.id if declared.scope == "operation" else "any"
    return call.space(f"answers:{operation}", tenant)


def _scoped(call: Call, declared: Idempotency, key: str) -> str:
    if "idempotency.payload-decides" in call.defects:
        key = _payload(call, declared)
    if "idempotency.per-connection" in call.defects:
        key = f"{call.connection} {key}"
    if declared.scope != "user":
        return key
    return json.dumps([call.values.get("user_id"), key])


def _payload(call: Call, declared: Idempotency) -> str:
    """Return what stands for a request's content without its key."""
    kept = {name: value for name, value in call.values.items() if name != declared.name}
    return json.dumps(kept, sort_keys=True)


def _digest(call: Call) -> str:
    text = json.dumps([call.arguments, call.body], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
