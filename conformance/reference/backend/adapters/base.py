"""What an adapter is: resources and handlers as tables. No system is named here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conformance.clock import epoch_seconds
from conformance.reference.backend.calls import Body, Call, Handler
from conformance.reference.backend.keys import Principal
from conformance.reference.backend.store import Where, equal

if TYPE_CHECKING:
    from conformance.reference.backend.meter import Meter


def _no_text(body: Body) -> str:
    return ""


def as_it_is(body: Body) -> Body:
    """Show a stored body whole."""
    return body


def merge(call: Call, body: Body, changes: Body) -> Body:
    """Return a stored body with what a partial update names changed, and its time."""
    return {**body, **changes, "updated_at": call.time}


@dataclass(frozen=True)
class Resource:
    """How one kind of thing is kept and shown."""

    make: Callable[[Call, Body], Body]
    """Request properties -> stored body, with its id and times."""
    id: str = "id"
    """Property of the stored body that identifies it."""
    change: Callable[[Call, Body, Body], Body] = merge
    """(call, stored body, named changes) -> new body."""
    show: Callable[[Body], Body] = as_it_is
    """Stored body -> representation."""
    text: Callable[[Body], str] = _no_text
    """Stored body -> what search looks at; '' for what is not searched."""
    kept: tuple[str, ...] = ("created_at",)
    """Properties that a full replacement keeps, beside the id."""
    filters: Mapping[str, Callable[[Any], Where]] = field(default_factory=dict)
    """Request name -> condition, where it is not plain equality with the same property."""
    sorts: Mapping[str, str] = field(default_factory=dict)
    """Value of the `sort` parameter -> SQL order."""
    order: str = "seq"
    """SQL order of a list; oldest first, so that new documents disturb no traversal."""
    unique: bool = False
    """The caller chooses the id, so that it can be taken."""
    removed: Callable[[Call, Body], None] | None = None
    """What else goes when one is deleted."""
    visible: Callable[[Call, Body], float] | None = None
    """From when on it can be seen; None: at once."""

    def condition(self, name: str, value: Any) -> Where:
        """Return the condition that a request's filter means."""
        made = self.filters.get(name)
        return made(value) if made else equal(name, value)


@dataclass(frozen=True)
class Adapter:
    """Everything about one API that its contract does not say."""

    resources: Mapping[str, Resource]
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    """Operation id -> handler, where the generic one of its effect does not fit."""
    success: Mapping[str, int] = field(default_factory=dict)
    """Operation id -> status, where several 2xx are declared and the first is not meant."""
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Error code -> further members that its body has."""
    usage: Callable[[Meter, Principal], Mapping[str, int | str]] | None = None
    """(meter, principal) -> usage header -> figure."""
    check: Callable[[Call], None] | None = None
    """Looks at every call before its handler; raises Problem."""
    caps: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """plan -> resource -> how many of it the plan allows."""
    realm: str | None = None
    """Under whose name things are kept; None: the API's own."""


def token(prefix: str) -> str:
    """Return a fresh id with a prefix, `mem_4f…`."""
    return prefix + secrets.token_hex(12)


_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid() -> str:
    """Return a fresh ULID: 26 signs that sort by time of making."""
    number = (int(epoch_seconds() * 1e9) // 1_000_000 << 80) | secrets.randbits(80)
    return "".join(_BASE32[(number >> shift) & 31] for shift in range(125, -1, -5))
