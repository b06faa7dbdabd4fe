"""The words of `x-conformance`: one frozen model per behaviour that an API can promise.

Only words belong here: what may be written in a spec, its type, its unit. How a spec is
read and merged is in `contract.py`; what a promise means for a subject is in the oracles.
Names are borrowed where the field has them: `maxAttempts` counts the first try (gRPC, AWS),
jitter kinds are AWS's, `q`/`w` are the IETF RateLimit draft's. Durations are seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from specs.basis import Basis as Basis
from specs.basis import Stated as Stated
from specs.basis import Word as Word
from specs.http_words import Conditional, Deprecation

StatusPattern = Annotated[str, Field(pattern=r"^([1-5]\d\d|[1-5]XX)$")]
NetworkFault = Literal["connect", "reset", "timeout", "truncated"]


def _as_status(value: object) -> object:
    return {"status": value} if isinstance(value, str) else value


class RetriedStatus(Word):
    """One status that is retried; `basis` and `source` only where they differ from the block's."""

    status: StatusPattern
    basis: Basis | None = None
    source: str | None = None


StatusEntry = Annotated[
    RetriedStatus,
    BeforeValidator(_as_status, json_schema_input_type=StatusPattern | RetriedStatus),
]
"""A status by itself, or with a basis of its own."""


class Backoff(Word):
    """How the delay grows between attempts."""

    kind: Literal["exponential", "constant", "linear"] = "exponential"
    jitter: Literal[True, False, "none", "full", "equal", "decorrelated", "additive"] | None = (
        Field(
            default=None,
            description="true: some jitter is promised, its kind is not; false: none; null: unsaid",
        )
    )
    base: float | None = Field(default=None, ge=0, description="first delay, seconds")
    multiplier: float | None = Field(default=None, ge=1)
    cap: float | None = Field(default=None, gt=0, description="longest delay, seconds")
    jitter_factor: float | None = Field(
        default=None, gt=0, description="largest additive jitter, as a part of the delay"
    )
    jitter_range: tuple[float, float] | None = Field(
        default=None,
        description="where a delay, cut to the cap, is multiplied by a factor drawn between these "
        "two, as `[0.75, 1]` or `[0.9, 1.1]`",
    )
    figures_basis: Basis | None = Field(
        default=None,
        description="of base, multiplier, cap and the kind of jitter, where it differs from "
        "`basis`; that delays grow and that there is jitter at all rests on `basis`",
    )
    figures_source: str | None = None
    basis: Basis | None = None
    source: str | None = None


class RetryAfter(Stated):
    """What is done with a server's wish to wait."""

    header: str = "retry-after"
    pointer: str | None = Field(
        default=None, description="pointer into the error body that repeats it, in seconds"
    )
    pointer_basis: Basis | None = Field(default=None, description="where it differs from `basis`")
    pointer_source: str | None = None
    max: float | None = Field(default=None, gt=0, description="longest wait obeyed, seconds")
    on_exceed: Literal["fail", "clamp", "wait", "ignore"] | None = Field(
        default=None,
        description="what becomes of a longer wish: `ignore` waits as if there were none",
    )
    milliseconds: str | None = Field(
        default=None, description="header that asks in milliseconds; it is read before `header`"
    )


class Retries(Stated):
    """When an SDK sends again."""

    max_attempts: int = Field(ge=1, description="sends of one call at the default options")
    statuses: tuple[StatusEntry, ...] = ()
    never: tuple[StatusPattern, ...] = ()
    network: tuple[NetworkFault, ...] = ()
    network_basis: Basis | None = Field(default=None, description="where it differs from `basis`")
    network_source: str | None = None
    backoff: Backoff = Backoff()
    retry_after: RetryAfter | None = None
    told_by: str | None = Field(
        default=None,
        description="header by which the server says `true` or `false` to sending again, whatever "
        "the status",
    )


class Envelope(Word):
    """Where an error body says what: JSON Pointers into it."""

    code: str | None = None
    message: str | None = None
    request_id: str | None = None
    details: str | None = None


class ErrorRule(Word):
    """One row of the error table: which answer becomes which exception.

    Rules are tried in order; the first whose status pattern, code and network fault fit wins.
    """

    status: StatusPattern | None = None
    code: str | None = Field(default=None, description="value at the envelope's code pointer")
    network: tuple[NetworkFault, ...] = ()
    exception: str
    bases: tuple[str, ...] = Field(default=(), description="documented base classes, nearest first")
    attributes: dict[str, str] = Field(
        default_factory=dict,
        description="exception attribute -> where its value comes from: `status`, `code`, "
        "`message`, `requestId`, `details`, `body` (all of it), `any` (there, and not null), "
        "`header:NAME`, `value:JSON` (always that), or a JSON Pointer into the body; an attribute "
        "may be a path, `debug.retry_after`",
    )
    basis: Basis | None = None
    source: str | None = None


Provocation = Literal[
    "unauthenticated", "forbidden", "unknown-id", "invalid", "malformed", "media-type",
    "method", "unknown-path", "too-large", "rate-limited", "quota", "duplicate",
]  # fmt: skip


class Answer(Word):
    """What a provoked error is answered with; `basis` and `source` where they differ."""

    status: int = Field(ge=400, le=599)
    code: str | None = Field(default=None, description="value at the envelope's code pointer")
    basis: Basis | None = None
    source: str | None = None
    code_basis: Basis | None = Field(default=None, description="where it differs from `basis`")
    code_source: str | None = None


class Errors(Stated):
    """How failures look on the wire and what an SDK makes of them."""

    base: str = Field(description="the class that all of the SDK's errors inherit from")
    covers: tuple[Literal["status", "network"], ...] = Field(
        default=("status", "network"),
        description="which errors have that base: `[status]` where the HTTP library's own come "
        "through when there is no answer",
    )
    module: str | None = Field(default=None, description="module that exports the classes")
    envelope: Envelope = Envelope()
    envelope_basis: Basis | None = Field(default=None, description="where it differs from `basis`")
    envelope_source: str | None = None
    request_id_header: str | None = None
    map: tuple[ErrorRule, ...] = ()
    answers: dict[Provocation, Answer] = Field(
        default_factory=dict, description="provocation -> the answer that is declared for it"
    )


class Surfaced(Word):
    """Where an SDK hands header values to its caller: attribute paths on a result."""

    on: Literal["result", "exception", "client"] = "result"
    attributes: dict[str, str] = Field(
        default_factory=dict, description="attribute path -> header name"
    )
    observed: dict[str, str] = Field(
        default_factory=dict, description="the same, for attributes that no document names"
    )
    observed_source: str | None = Field(
        default=None, description="releases that show those, where not all observed ones do"
    )
    basis: Basis | None = None
    source: str | None = None


class Policy(Word):
    """One quota: `q` units in each window of `w` seconds."""

    q: int = Field(ge=1)
    w: float = Field(gt=0)


class RateLimit(Stated):
    """What the server says about quotas, in headers and when they are used up."""

    headers: Literal["x-ratelimit", "draft-6", "draft-7", "draft-8", "none"]
    limit: str | None = Field(default=None, description="header that carries the quota")
    remaining: str | None = None
    reset: str | None = None
    reset_unit: Literal["epoch-seconds", "epoch-ms", "delta-seconds", "http-date"] | None = None
    reset_basis: Basis | None = None
    reset_source: str | None = None
    on: Literal["every-response", "limited-operations"] = "every-response"
    exceeded_status: int = 429
    exceeded_code: str | None = None
    retry_after: bool = Field(default=True, description="a 429 carries Retry-After")
    retry_after_basis: Basis | None = None
    retry_after_source: str | None = None
    algorithm: Literal["fixed-window", "sliding-window", "token-bucket", "gcra"] | None = None
    partition: Literal["api-key", "ip", "none"] = "api-key"
    category: str | None = Field(default=None, description="operations of one category share")
    policies: tuple[Policy, ...] = Field(default=(), description="only where a document says them")
    surfaced: Surfaced | None = None


class UsageHeader(Word):
    """One usage figure and, where it has one, its limit."""

    used: str
    limit: str | None = None


class Usage(Stated):
    """Quota and plan headers beside the rate limit's."""

    plan: str | None = Field(default=None, description="header that names the plan")
    figures: tuple[UsageHeader, ...] = ()
    surfaced: Surfaced | None = None


class Pagination(Stated):
    """How a list is walked."""

    style: Literal["offset", "page", "cursor", "token", "link"]
    limit: str | None = Field(default=None, description="request parameter: page size")
    offset: str | None = None
    page: str | None = None
    cursor: str | None = None
    items: str = Field(description="pointer to the page's items; '' where the body is the array")
    total: str | None = None
    has_more: str | None = None
    next: str | None = Field(default=None, description="pointer to the next cursor or URL")
    item_key: str = Field(description="pointer inside an item to what identifies it")
    cursor_ttl: float | None = Field(
        default=None, gt=0, description="seconds after which a cursor is out of date"
    )
    default_limit: int | None = Field(default=None, ge=1)
    max_limit: int | None = Field(default=None, ge=1)
    over_max: Literal["clamp", "error"] | None = None
    beyond_end: Literal["empty", "error"] = "empty"
    order: Literal["asc", "desc"] | None = None
    order_by: str | None = None


class Idempotency(Stated):
    """How a repeated request is told from a new one."""

    location: Literal["body", "header"]
    name: str = Field(description="body property or header that carries the key")
    required: bool = False
    scope: Literal["tenant", "user", "operation"] = "tenant"
    replayed: str | None = Field(default=None, description="pointer to a flag true on replays")
    stable: tuple[str, ...] = Field(
        default=(), description="pointers whose values a replay repeats exactly"
    )
    on_mismatch: Literal["replay", "conflict", "unprocessable"] | None = None
    ttl: float | None = Field(default=None, gt=0)


EffectKind = Literal[
    "create", "read", "list", "search", "update", "replace", "delete", "batch", "link",
    "forget", "action", "none",
]  # fmt: skip


class Progress(Word):
    """Where an answer says how far asynchronous work has come: pointers to arrays of ids."""

    done: str
    pending: str | None = None
    failed: str | None = None


class Shown(Word):
    """A value that another operation shows once the effect has happened.

    Where `pointer` leads to an array, the array holds the value among others.
    """

    operation: str
    pointer: str
    value: Any = Field(default=None, description="the value, where it is always the same")
    answer: str | None = Field(
        default=None, description="pointer to the value in the answer of the operation itself"
    )
    where: dict[str, Any] = Field(
        default_factory=dict, description="only where the request has these values, by name"
    )


class Grants(Stated):
    """What a key may do that was made for less than everything.

    A key whose request named the one scope `reading` may call what changes nothing, and is
    refused what changes something.
    """

    property: str = Field(description="request property that names the scopes")
    reading: str = Field(description="the scope that allows reading and nothing else")
    status: int = Field(default=403, ge=400, le=499)
    code: str


class Effect(Stated):
    """What an operation does to which resource, so that state cases and journeys need no code.

    A representation shares its property names with the request that wrote it; `renamed` lists
    the exceptions.
    """

    kind: EffectKind
    resource: str | None = None
    id: str | None = Field(
        default=None, description="pointer in the answer to the created or shown resource's id"
    )
    ids: str | None = Field(default=None, description="pointer to an array of created ids")
    target: str | None = Field(
        default=None, description="path parameter, query parameter or body property naming the id"
    )
    items: str | None = Field(default=None, description="pointer to found items (list, search)")
    item_id: str | None = Field(
        default=None,
        description="pointer inside an item to its id, or to an array of the ids it stands for",
    )
    content: str | None = Field(
        default=None, description="pointer inside an item to the text that was written"
    )
    content_basis: Basis | None = Field(default=None, description="where it differs from `basis`")
    content_source: str | None = None
    each: str | None = Field(
        default=None, description="request pointer to the array whose entries are created"
    )
    query: str | None = Field(default=None, description="request property that carries the query")
    scope: dict[str, str] = Field(
        default_factory=dict,
        description="request name -> what it refers to: a resource whose id it holds "
        "(`thread`), or `free` for a name the caller makes up (`user_id`)",
    )
    renamed: dict[str, str] = Field(
        default_factory=dict, description="request property -> property of the representation"
    )
    delay: float = Field(default=0, ge=0, description="seconds until the effect must be visible")
    time: str | None = Field(
        default=None, description="create: property of an entry that sets its time (RFC 3339)"
    )
    since: str | None = Field(
        default=None,
        description="forget, search, list: request name of the earliest time that it covers",
    )
    until: str | None = Field(
        default=None,
        description="forget, search, list: request name of the latest time that it covers",
    )
    count: str | None = Field(
        default=None, description="pointer in the answer to how many records it affected"
    )
    receipt: str | None = Field(
        default=None, description="pointer in the answer to the id of the `receipt` it leaves"
    )
    yields: str | None = Field(
        default=None, description="create: another resource of which each entry makes one, later"
    )
    volatile: tuple[str, ...] = Field(
        default=(),
        description="properties of the representation that may change though nobody names them",
    )
    progress: Progress | None = Field(
        default=None, description="the answer says how far the work on the ids in `target` is"
    )
    sets: tuple[Shown, ...] = Field(default=(), description="what other operations then show")
    secret: str | None = Field(default=None, description="pointer to what is shown only once")
    expires: str | None = Field(
        default=None,
        description="create: request property that says when the made key ends (RFC 3339)",
    )
    grants: Grants | None = Field(default=None, description="create: what the made key may do")
    spares: tuple[str, ...] = Field(
        default=(), description="delete: resources whose records it leaves as they are"
    )


class Relation(Stated):
    """Something in an answer that agrees with the request, or with the rest of the answer."""

    left: str = Field(description="pointer into the answer; `*` stands for every entry")
    op: Literal[
        "==", "<=", ">=", "max-items", "counts", "has", "intersects", "sorted-asc", "sorted-desc"
    ] = Field(
        description="`counts`: a number is that of the right array's entries; `has`: an object "
        "has the member that the right names; `intersects`: two arrays have an entry in common"
    )
    right: str | None = Field(
        default=None,
        description="name of a request value, or a pointer into the answer (starts with `/`); "
        "where the request leaves it out, the default of its schema, and nothing without one",
    )
    when: dict[str, Any] = Field(
        default_factory=dict,
        description="only where the request has these values, or leaves them to their defaults",
    )


class Tally(Stated):
    """A figure in an answer that counts: what is there, or what was done."""

    pointer: str = Field(
        description="pointer into the answer; with `*` for every entry, the sum is meant"
    )
    of: str | None = Field(
        default=None, description="resource whose records it counts: as many as are listed"
    )
    where: dict[str, Any] = Field(
        default_factory=dict,
        description="only records that have these values, by pointer into their representation",
    )
    by: dict[str, str] = Field(
        default_factory=dict,
        description="only records made under a name: argument of this operation -> request "
        "property of what creates them",
    )
    calls: tuple[str, ...] = Field(
        default=(), description="operations of whose accepted calls it counts each one or more"
    )
    delay: float = Field(default=0, ge=0, description="seconds until it must have moved")


class Refusal(Stated):
    """A request that is well formed and still refused, for whose it is or what it would exceed."""

    plan: str | None = Field(default=None, description="only keys of this plan are refused")
    property: str | None = Field(default=None, description="only bodies that name this property")
    cap: str | None = Field(
        default=None, description="only where the plan's number of this resource is used up"
    )
    status: int = Field(ge=400, le=499)
    code: str


class Roles(Stated):
    """Who may call an operation, and what anyone else is told."""

    needs: Literal["admin", "seat"]
    status: int = 403
    code: str


class Returns(Stated):
    """What the SDK's method hands back, where it is not the JSON answer under the same names."""

    type: str | None = Field(default=None, description="class of the result, `SearchResponse`")
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="attribute path on the result -> pointer into the answer; `[]` and `*` stand "
        "for every entry (`results[].title` -> `/results/*/metadata/title`); the empty path is "
        "the result itself",
    )


class Load(Word):
    """How much of a load run an operation is."""

    weight: int = Field(default=1, ge=0, description="0 keeps it out of load runs")


class Stream(Stated):
    """A streamed answer (server-sent events)."""

    parameter: str = Field(description="request property that asks for the stream")
    type: str = Field(description="pointer in an event's data to its type")
    delta: str = Field(description="type of an event that carries a piece")
    done: str = Field(description="type of the last event")
    data: str = Field(description="pointer in an event's data to the piece")
    kept: str | None = Field(
        default=None, description="operation that lists the whole answer once the stream ended"
    )
    kept_basis: Basis | None = Field(default=None, description="where it differs from `basis`")
    kept_source: str | None = None


class AuthHeader(Word):
    """One way to show a key; the first in a list wins where several are sent."""

    header: str
    prefix: str = ""
    basis: Basis = Basis.DOCUMENTED
    source: str = ""


class Option(Stated):
    """One constructor option of the SDK's client."""

    name: str
    role: Literal[
        "api-key", "base-url", "timeout", "max-retries", "backoff-base", "debug", "http-client"
    ]
    default: Any = None
    env: str | None = Field(
        default=None, description="environment variable that stands in where it is left out"
    )


class Client(Stated):
    """The documented shape of the SDK: what its caller imports and constructs."""

    package: str = Field(description="name on PyPI")
    module: str = Field(description="import name")
    documented: str = Field(description="the version that the document describes")
    latest: str = Field(description="newest release that the known deviations were taken from")
    sync: str | None = Field(default=None, description="class of the blocking client")
    asynchronous: str | None = Field(default=None, alias="async")
    context_manager: bool = False
    generator: Literal["stainless", "fern", "speakeasy", "openapi-generator"] | None = Field(
        default=None,
        description="what made the SDK: what its clients do in general stands in for what this "
        "contract leaves out, as observed (`specs/generators/`)",
    )
    options: tuple[Option, ...] = ()


class RootBehaviour(Word):
    """`x-conformance` at the document root: the defaults of every operation."""

    api: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    document: str = Field(description="id of the seed document")
    document_version: str
    base_path: str = Field(
        default="", description="where the embedded backend mounts this API, if it has it"
    )
    observed_in: str | None = Field(
        default=None,
        description="the releases that show what schemas and answers call `x-basis: observed`",
    )
    client: Client | None = None
    auth: tuple[AuthHeader, ...] = ()
    fixed: dict[str, Any] = Field(
        default_factory=dict, description="parameter -> value that every call names"
    )
    retries: Retries | None = None
    errors: Errors | None = None
    rate_limit: RateLimit | None = None
    usage: Usage | None = None


class OperationBehaviour(Stated):
    """`x-conformance` at an operation; blocks shared with the root are merged over it."""

    method: str | None = Field(
        default=None, description="documented way to call it on a client, `memory.create`"
    )
    wire_basis: Basis | None = Field(
        default=None,
        description="of HTTP method, path and where arguments go; where it is left out, observed "
        "at best, for documents of SDKs seldom show the wire",
    )
    wire_source: str | None = None
    accepts_basis: Basis | None = Field(
        default=None, description="of that all its schemas allow is accepted; else as `basis`"
    )
    accepts_source: str | None = None
    retries: Retries | Literal[False] | None = None
    errors: Errors | None = None
    rate_limit: RateLimit | Literal[False] | None = None
    usage: Usage | Literal[False] | None = None
    pagination: Pagination | None = None
    idempotency: Idempotency | None = None
    effect: Effect | None = None
    roles: Roles | None = None
    refuses: tuple[Refusal, ...] = ()
    relations: tuple[Relation, ...] = ()
    tallies: tuple[Tally, ...] = ()
    stream: Stream | None = None
    conditional: Conditional | None = None
    deprecation: Deprecation | None = None
    returns: Returns | None = None
    load: Load = Load()
    skip: str | None = Field(default=None, description="why it is called by nothing and nobody")
