"""The wire, surfaced and paging oracles as pure functions: requests and values in, findings out."""

from __future__ import annotations

import json
from typing import Any

import pytest

import specs
from conformance.history import Call, Outcome, Request
from conformance.oracles import paging, surfaced, wire
from conformance.oracles.answers import Answer
from specs.examples import arguments as example_arguments
from specs.examples import example_response

CLAIV, SOVANT, MEMSY = specs.load("claiv"), specs.load("sovant"), specs.load("memsy")
INGEST, LIST, UPDATE = CLAIV["ingest"], SOVANT["memory.list"], SOVANT["memory.update"]
SEARCH, HEALTH = MEMSY["search"], CLAIV["health"]
KEY = "sk_test_wire"
EVENT = {"user_id": "u", "type": "message", "content": "hé 🙂"}
JSON = ("Content-Type", "application/json")
BEARER = ("Authorization", f"Bearer {KEY}")


def sent(body: Any = None, target: str = "/v1/ingest", method: str = "POST",
         headers: tuple[tuple[str, str], ...] = (JSON, BEARER)) -> Request:  # fmt: skip
    """Return a request; a body that is no bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Request(method, target, headers, raw)


def causes(contract: specs.Contract, operation: specs.Operation, arguments: dict[str, Any],
           request: Request) -> set[str]:  # fmt: skip
    """Return the causes of what is wrong with a request."""
    found = wire.judge(contract, operation, arguments, request, KEY, request.path)
    return {f.cause for f in found}


REQUESTS = [
    ("right", sent(EVENT), set()),
    ("other path", sent(EVENT, "/v6/events"), {"target:ingest:POST /v6/events"}),
    ("moved path", sent(EVENT, "/v6/ingest"), {"target:/v1 -> /v6"}),
    ("deeper path", sent(EVENT, "/v1/memory/ingest"), {"target:/ -> /memory"}),
    ("another's path", sent(EVENT, "/v1/recall"), {"target:ingest:POST /v1/recall"}),
    ("other method", sent(EVENT, method="PUT"), {"target:ingest:PUT /v1/ingest"}),
    ("lost argument", sent({"user_id": "u", "type": "message"}),
     {"argument-lost:ingest.content", "body:ingest:/:required:content"}),
    ("changed argument", sent({**EVENT, "content": "h? ?"}), {"argument:body:ingest.content"}),
    ("null", sent({**EVENT, "thread_id": None}), {"body:ingest:nulls"}),
    ("not JSON", sent(b"user_id=u"), {"body:not-json:ingest"}),
    ("no media type", sent(EVENT, headers=(BEARER,)), {"media-type:none"}),
    ("no body", sent(None), {"body:none:ingest"}),
    ("no key", sent(EVENT, headers=(JSON,)), {"credentials:Authorization"}),
    ("key without prefix", sent(EVENT, headers=(JSON, ("authorization", KEY))),
     {"credentials:Authorization"}),
    ("key twice", sent(EVENT, headers=(JSON, BEARER, BEARER)),
     {"credentials-twice:Authorization"}),
    ("key in the URL", sent(EVENT, f"/v1/ingest?k={KEY}"),
     {"key-in:url", "query:extra:ingest.k"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "expected"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS]
)
def test_requests(request_: Request, expected: set[str]) -> None:
    """Each fault of a request is one finding; what is right about it is still judged as right."""
    assert causes(CLAIV, INGEST, EVENT, request_) == expected


def test_a_wrong_path_hides_nothing() -> None:
    """A request to an undeclared path is told once, and its lost argument all the same."""
    found = causes(CLAIV, INGEST, EVENT, sent({"user_id": "u", "type": "message"}, "/v6/ingest"))
    assert "argument-lost:ingest.content" in found


def test_paths_are_told_by_their_template() -> None:
    """The cause of a wrong path holds argument names, so that it is the same for every value."""
    request = sent({"tags": ["a"]}, "/v9/mem/m%201", "PATCH", headers=(JSON,))
    found = causes(SOVANT, UPDATE, {"id": "m 1", "tags": ["a"]}, request)
    assert "target:memory.update:PATCH /v9/mem/{id}" in found


def test_operations_that_moved_together_are_one_cause() -> None:
    """Where only a part of the paths differs, and in the same way, there is one finding for all."""
    paths = {"recall": "/v6/recall", "forget": "/v6/forget", "usage.limits": "/v6/usage/limits"}
    found = {
        cause
        for id, path in paths.items()
        for operation in [CLAIV[id]]
        for cause in causes(CLAIV, operation, {}, Request(operation.verb, path))
        if cause.startswith("target")
    }
    assert found == {"target:/v1 -> /v6"}


QUERIES = [
    ("tags=a&tags=b", {"tags": ["a", "b"]}, set()),
    ("tags=a,b", {"tags": ["a", "b"]}, set()),
    ("is_archived=false", {"is_archived": False}, set()),
    ("is_archived=False", {"is_archived": False},
     {"argument:query:memory.list.is_archived", "query:invalid:memory.list.is_archived"}),
    ("limit=20", {"limit": 5}, {"argument:query:memory.list.limit"}),
    ("", {"limit": 5}, {"argument-lost:memory.list.limit"}),
    ("sort=x", {}, {"query:extra:memory.list.sort"}),
    ("thread_id=a%20b", {"thread_id": "a b"}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("query", "arguments", "expected"), QUERIES)
def test_queries(query: str, arguments: dict[str, Any], expected: set[str]) -> None:
    """Query arguments arrive as given, in a form that their schema allows, and no others."""
    request = sent(None, f"/api/v1/memory?{query}", "GET")
    found = {f.cause for f in wire.judge_query(LIST, arguments, request)}
    assert found == expected


ENCODED = [("/api/v1/memories/a%20b%2Fc", 0), ("/api/v1/memories/a%20b/c", 1),
           ("/api/v1/memories/c", 1)]  # fmt: skip


@pytest.mark.parametrize(("target", "number"), ENCODED)
def test_encoded_paths(target: str, number: int) -> None:
    """An id with a slash stays one segment of the path."""
    request = sent({"tags": []}, target, "PATCH")
    found = wire.judge_encoded(UPDATE, {"id": "a b/c"}, request, request.path)
    assert len(found) == number


def test_no_key_where_none_is_needed() -> None:
    """A health check that needs no key gets none."""
    quiet = sent(None, "/healthz", "GET", headers=())
    loud = sent(None, "/healthz", "GET", headers=(BEARER,))
    found = [len(wire.judge_auth(CLAIV, HEALTH, r, KEY)) for r in (quiet, loud)]
    assert found == [0, 1]


# --- what is handed out ---------------------------------------------------------------------------


def answered(operation: specs.Operation, value: Any, headers: dict[str, str] | None = None) -> (
    tuple[Call, Answer, Any]
):  # fmt: skip
    """Return a call with a value, and the declared answer that it was made from."""
    status, declared, body = example_response(operation)
    pairs = tuple((headers if headers is not None else declared).items())
    outcome = Outcome("value", value if value is not ... else body)
    call = Call(1, operation.id, {}, "sync", 0, 1, outcome)
    return call, Answer(status, pairs, json.dumps(body).encode()), body


def test_plain_results_carry_every_field() -> None:
    """Where no attributes are documented the result has the answer's names and values."""
    call, answer, body = answered(INGEST, ...)
    name = next(iter(body))
    short, _, _ = answered(INGEST, {k: v for k, v in body.items() if k != name})
    wrong, _, _ = answered(INGEST, {**body, name: "other"})
    found = [
        [f.cause for f in surfaced.judge_fields(INGEST, each, answer)]
        for each in (call, short, wrong)
    ]
    assert found == [[], [f"field-missing:ingest.{name}"], [f"field-value:ingest.{name}"]]


def test_documented_attributes_are_looked_up() -> None:
    """Attribute paths with `[]` reach into every entry of a list."""
    value = {"$type": "R", "results": [{"$type": "M", "title": "a"}, {"$type": "M", "title": "b"}]}
    assert surfaced.at(value, "results[].title") == ["a", "b"]
    with pytest.raises(LookupError):
        surfaced.at(value, "results[].summary")


def test_pointers_with_stars() -> None:
    """A `*` in a pointer stands for every entry; what is not there is left out."""
    body = {"results": [{"m": {"t": 1}}, {"m": {}}, {"m": {"t": 3}}]}
    assert surfaced.pointed(body, "/results/*/m/t") == [1, 3]


FIGURES = [
    ({"rate_limit": {"remaining": 7}}, set()),
    ({"rate_limit": {"remaining": 8}}, {"header-value:x-ratelimit-remaining:rate_limit.remaining"}),
    ({"rate_limit": None}, {"not-handed-out:rate_limit"}),
    ({"rate_limit": {"remaining": None, "limit": 3}}, {"not-read:rate_limit:documented"}),
    ({"rate_limit": {"left": 7}},
     {"header-missing:x-ratelimit-remaining:rate_limit.remaining"}),
    (None, {"not-handed-out:rate_limit"}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), FIGURES)
def test_figures(value: Any, expected: set[str]) -> None:
    """A header's figure stands at its documented attribute, with its value."""
    call, answer, _ = answered(SEARCH, value, {"x-ratelimit-remaining": "7"})
    assert {f.cause for f in surfaced.judge_figures(SEARCH, call, answer)} == expected


def test_headers_that_are_not_read_are_one_cause() -> None:
    """Who reads other names misses several headers at once, which is told once for each basis."""
    nothing = {"plan": None, "api_calls": None, "api_calls_limit": 5, "memory_stored": None}
    headers = {"x-plan": "pro", "x-usage-apicall": "3", "x-usage-apicall-limit": "5"}
    call, answer, _ = answered(SEARCH, {"usage": nothing}, {**headers, "x-usage-memorystored": "8"})
    found = {
        f.cause: (str(f.basis), f.message.partition(": ")[2], f.actual)
        for f in surfaced.judge_figures(SEARCH, call, answer)
        if f.requirement == "HD3"
    }
    assert found == {
        "not-read:usage:documented": ("documented", "x-plan", "`usage.plan` is None"),
        "not-read:usage:observed": (
            "observed", "x-usage-apicall, x-usage-memorystored",
            "`usage.api_calls` is None; `usage.memory_stored` is None",
        ),
    }  # fmt: skip


def test_invented_figures() -> None:
    """Without the header there is no figure."""
    call, answer, _ = answered(SEARCH, {"rate_limit": {"remaining": 0}}, {})
    quiet, _, _ = answered(SEARCH, {"rate_limit": None}, {})
    found = [len(surfaced.invented(SEARCH, each, answer)) for each in (call, quiet)]
    assert found == [1, 0]


def test_what_the_driver_cut_proves_nothing() -> None:
    """A value of which the driver left something out is not held against the SDK."""
    call, answer, _ = answered(INGEST, {"$cut": "size", "$of": "dict"})
    assert surfaced.judge_fields(INGEST, call, answer) == []


# --- pages ----------------------------------------------------------------------------------------


def page(query: str) -> Request:
    """Return the request of one page."""
    return Request("GET", f"/api/v1/memory?{query}")


WALKS = [
    (["limit=2&offset=0&type=task", "limit=2&offset=2&type=task"], set()),
    (["limit=2&offset=0&type=task", "limit=2&offset=0&type=task"],
     {"page-argument:memory.list.offset"}),
    (["limit=2&offset=0&type=task", "limit=2&offset=2"], {"page-filter:memory.list.type"}),
    (["limit=9&offset=0&type=task", "limit=9&offset=2&type=task"],
     {"page-argument:memory.list.limit"}),
]  # fmt: skip


@pytest.mark.parametrize(("queries", "expected"), WALKS)
def test_walks(queries: list[str], expected: set[str]) -> None:
    """Each page is asked for as told, and the filters stay."""
    told = [{"limit": 2, "offset": 2 * n, "type": "task"} for n in range(len(queries))]
    asked = list(zip(told, map(page, queries), strict=True))
    assert {f.cause for f in paging.judge_walk(LIST, asked)} == expected


def test_items_of_a_page() -> None:
    """Every item of a page is handed out once, in order."""
    body = {"memories": [{"id": "a"}, {"id": "b"}], "total": 2, "has_more": False}
    answer = Answer(200, (), json.dumps(body).encode())
    values: list[Any] = [
        body,
        {"memories": body["memories"][:1]},
        {"memories": [*body["memories"]][::-1]},
    ]
    found = [
        len(
            paging.judge_items(
                LIST, Call(1, LIST.id, {}, "sync", 0, 1, Outcome("value", v)), answer
            )
        )
        for v in values
    ]
    assert found == [0, 1, 1]


def test_examples_are_right() -> None:
    """What the examples say is sent is what the oracle takes for right: no false alarm."""
    for contract in (CLAIV, MEMSY):
        for operation in contract:
            if operation.body is None or operation.parameters:
                continue
            given = example_arguments(operation)
            headers = (JSON, BEARER) if operation.authenticated else (JSON,)
            request = sent(given, operation.path, operation.verb, headers)
            assert causes(contract, operation, given, request) == set()


DEFAULTS = [
    ({"query": "q", "threshold": 0.3}, {"query": "q"}, set()),
    ({"query": "q"}, {"query": "q"}, set()),
    ({"query": "q", "threshold": None}, {"query": "q"}, set()),
    ({"query": "q", "threshold": 0.0}, {"query": "q"}, {"default:search.threshold"}),
    ({"query": "q", "threshold": 0.0}, {"query": "q", "threshold": 0.0}, set()),
    ({"query": "q", "limit": "10"}, {"query": "q"}, set()),
    ({"query": "q", "include_source_events": True}, {"query": "q"},
     {"default:search.include_source_events"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "arguments", "expected"), DEFAULTS)
def test_defaults_of_arguments(
    body: dict[str, Any], arguments: dict[str, Any], expected: set[str]
) -> None:
    """What the caller left out is absent on the wire, or has its declared default."""
    found = wire.judge_defaults(SEARCH, arguments, sent(body, "/search"))
    assert {f.cause for f in found} == expected


INVENTED = [
    ("html", b"<html>no</html>", {"event_id": None}, set()),
    ("made up", b"<html>no</html>", {"event_id": "e-1", "deduped": False}, {"event_id"}),
    ("made up of nothing", b"", {"event_id": "e-1"}, {"event_id"}),
    ("neutral", b"", {"event_id": "", "deduped": False}, set()),
    ("raw text", b"<html>no</html>", "<html>no</html>", {"text"}),
    ("an object", b'{"event_id":"e-1"}', {"event_id": "e-1"}, set()),
]


@pytest.mark.parametrize(("body", "value", "expected"), [row[1:] for row in INVENTED])
def test_invented_values(body: bytes, value: Any, expected: set[str]) -> None:
    """A success without an object in it gives no field a value."""
    call = Call(1, "ingest", {}, "sync", 0.0, 1.0, Outcome("value", value=value))
    found = surfaced.judge_invented(INGEST, call, Answer(200, (), body))
    assert {f.cause.rpartition(":")[2].rpartition(".")[2] for f in found} == expected
