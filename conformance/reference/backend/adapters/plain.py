"""An adapter made from a contract alone, for specs that have none of their own.

Every resource keeps what requests give it; what a representation needs beyond that is filled in
with the example values of its schema. Kinds of effect that only an adapter could do (batches,
links, forgetting) are answered as declared, without an effect of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.reference.backend.adapters.base import Adapter, Resource, token
from conformance.reference.backend.calls import Body, Call, Handler, Reply
from conformance.reference.backend.store import encode
from specs import Contract, Operation
from specs.contract import pointer
from specs.examples import example, example_response

_GENERIC = ("create", "read", "update", "replace", "delete", "list", "search")


def plain(contract: Contract) -> Adapter:
    """Return an adapter that serves a contract by its effects alone."""
    resources: dict[str, Resource] = {}
    handlers: dict[str, Handler] = {}
    for operation in contract:
        effect = operation.effect
        if effect is None or effect.kind not in _GENERIC or effect.resource is None:
            handlers[operation.id] = _as_declared(operation)
        elif effect.resource not in resources:
            resources[effect.resource] = _resource(contract, effect.resource)
    return Adapter(resources, handlers)


def _as_declared(operation: Operation) -> Handler:
    _, _, body = example_response(operation)

    def handle(call: Call) -> Reply:
        return Reply(body)

    return handle


def _resource(contract: Contract, name: str) -> Resource:
    own = [o for o in contract if o.effect is not None and o.effect.resource == name]
    schema = next((s for s in map(_shown, own) if s), {})
    template = example(schema, optional=False) if schema else {}
    key = next((o.effect.id.rpartition("/")[2] for o in own if o.effect and o.effect.id), "id")
    properties = set(schema.get("properties", {}))

    def make(call: Call, given: Body) -> Body:
        times = {n: call.time for n in ("created_at", "updated_at") if n in properties}
        return {**template, **times, **given, key: token(f"{name[:4]}_")}

    return Resource(
        make=make,
        id=key,
        change=lambda call, body, changes: {**body, **changes},
        text=encode,
    )


def _shown(operation: Operation) -> Mapping[str, Any]:
    """Return the schema of a representation, where the operation answers with one."""
    effect = operation.effect
    if effect is None or effect.id is None or operation.success.schema is None:
        return {}
    schema: Any = operation.success.schema
    for part in effect.id.split("/")[1:-1]:
        schema = pointer(schema, f"/properties/{part}")
    return dict(schema) if isinstance(schema, Mapping) else {}
