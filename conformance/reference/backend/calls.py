"""What passes between the machinery and the handlers: a call, a reply, a problem.

Values and small helpers only. How a request becomes a `Call` is in `app.py`; what handlers make
of it is in `crud.py` and the adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from conformance.reference.backend.keys import Principal
from conformance.reference.defects import Defects
from specs import Operation

if TYPE_CHECKING:
    from conformance.reference.backend.meter import Meter
    from conformance.reference.backend.store import Store

Body = dict[str, Any]


class Problem(Exception):
    """Raised where a request cannot be served; becomes the contract's error envelope.

    `kind` is a provocation of the vocabulary (`invalid`, `unknown-id`, …). `code` and `status`
    are given where an operation answers something of its own. `members` are further members of
    the object that holds the code.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        details: Any = None,
        members: Mapping[str, Any] | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.code = code
        self.details = details
        self.members = dict(members or {})
        self.headers = tuple(headers)


@dataclass(slots=True)
class Reply:
    """What a handler answers. `status` None: the operation's usual success."""

    body: Any = None
    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    events: list[Any] | None = None
    """Events of a streamed answer; None where it is not streamed."""
    encoded: bytes | None = None
    """The body as it is sent, where that is at hand already."""


@dataclass(slots=True)
class Call:
    """One request that passed authentication, quota and validation."""

    realm: str
    """Under whose name documents, keys and traffic are kept; APIs of one service share it."""
    operation: Operation
    principal: Principal
    arguments: dict[str, Any]
    """Path, query and header parameters, coerced to the types of their schemas."""
    body: Any
    request_id: str
    now: float
    """Seconds since the epoch."""
    store: Store
    defects: Defects
    settings: Settings
    tenants: tuple[str, ...] = ()
    """Tenants behind the given keys; only defects look at other tenants than the caller's."""
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    meter: Meter | None = None
    stale: Body | None = None
    """The stored body as it was before another request came between; only defects set it."""
    raced: bool = False
    """True where a defect lets this request run beside its twin, or beside a write."""
    connection: str = ""
    """Address of the client's end of the connection; only a defect asks."""

    def space(self, collection: str, tenant: str | None = None) -> int:
        """Return the caller's space of a collection."""
        return self.store.space(self.realm, tenant or self.principal.tenant, collection)

    def holds(self, collection: str, id: str, defect: str = "") -> bool:
        """Return whether the caller has a document; a defect asks every tenant for it."""
        tenants = self.tenants if defect in self.defects else (self.principal.tenant,)
        return any(self.store.get(self.space(collection, t), id, self.now) for t in tenants)

    @property
    def values(self) -> Body:
        """The properties of the body; empty where the body is not an object."""
        return self.body if isinstance(self.body, dict) else {}

    def argument(self, name: str, default: Any = None) -> Any:
        """Return what the request gives under a wire name, wherever it stands."""
        if name in self.arguments:
            return self.arguments[name]
        return self.values.get(name, default)

    @property
    def time(self) -> str:
        """The call's time, RFC 3339."""
        return iso(self.now)


@dataclass(frozen=True, slots=True)
class Settings:
    """What whoever starts the backend may choose, beside keys and quotas."""

    processing_delay: float = 0.0
    """Seconds until what is ingested asynchronously can be seen."""
    delay: float = 0.0
    """Seconds that every answer is held back: for people who try timeouts."""
    max_body: int = 1 << 20
    """Bytes of a request body; more are answered as too large."""


Handler = Callable[[Call], Reply]


def iso(at: float) -> str:
    """Return seconds since the epoch as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


EARLIEST, LATEST = -62_135_596_800.0, 253_402_300_799.0
"""First and last second of the years 1 to 9999, UTC: what a time zone reaches beyond is cut."""


def moment(text: str, *, end: bool = False) -> float:
    """Return an RFC 3339 time or a date as seconds since the epoch; a date means its first second.

    With `end` a plain date means its last moment. A leap second counts as the one before it, the
    year 0 as the first second of all.
    Raises Problem where the text is neither.
    """
    if text.startswith("0000-"):
        return EARLIEST
    plain = text.upper().replace("Z", "+00:00").replace(":60", ":59")
    try:
        at = datetime.fromisoformat(plain)
    except ValueError as why:
        raise Problem("invalid", "a time is neither RFC 3339 nor a date") from why
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    seconds = at.timestamp() + (86_399.999 if end and len(text) == 10 else 0)
    return min(max(seconds, EARLIEST), LATEST)


def put(body: Any, path: str, value: Any) -> Any:
    """Set what a JSON Pointer names, making objects on the way, and return the body.

    The empty pointer is the body itself.
    """
    if not path:
        return value
    *parents, last = (t.replace("~1", "/").replace("~0", "~") for t in path.split("/")[1:])
    node = body
    for token in parents:
        node = node.setdefault(token, {})
    node[last] = value
    return body


def parent(path: str) -> str:
    """Return the pointer to what holds the thing pointed to: `/memory/id` -> `/memory`."""
    return path.rpartition("/")[0]
