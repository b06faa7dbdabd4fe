"""The embedded backend keeps what the five specs promise, whatever it is sent."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import jsonschema_rs
import pytest

import specs
from conformance.reference.backend.calls import Settings
from conformance.reference.backend.keys import KeySpec
from specs import Contract, Operation
from specs.examples import arguments, example
from tests.local_backend import FIRST, SECOND, Local

APIS = specs.names()


def violations(operation: Operation, answer: httpx.Response) -> list[str]:
    """Return what an answer breaks of its declaration: status, media type, headers, schema."""
    declared = operation.response(answer.status_code)
    if declared is None:
        return [f"{answer.status_code} is not declared"]
    found = [
        f"{name} is missing" for name in declared.required_headers if name not in answer.headers
    ]
    media = answer.headers.get("content-type", "").split(";")[0]
    if declared.content and media not in declared.content:
        found.append(f"{media!r} is not declared")
    schema = declared.content.get(media)
    if schema is not None and media == "application/json":
        validator = jsonschema_rs.validator_for(dict(schema), validate_formats=True)
        found += [error.message for error in validator.iter_errors(answer.json())]
    return found


def call(local: Local, operation: Operation, values: dict[str, Any]) -> httpx.Response:
    """Send an operation with flat arguments and return the answer."""
    path, query = operation.path, {}
    for parameter in operation.parameters:
        if parameter.name not in values:
            continue
        value = values[parameter.name]
        if parameter.location == "path":
            path = path.replace("{" + parameter.name + "}", quote(str(value), safe=""))
        elif isinstance(value, list) and not parameter.explode:
            query[parameter.name] = ",".join(value)
        else:
            query[parameter.name] = str(value).lower() if isinstance(value, bool) else value
    names = operation.body.schema.get("properties", {}) if operation.body else {}
    body = {name: values[name] for name in names if name in values}
    target = path + (f"?{urlencode(query, doseq=True)}" if query else "")
    api = next(api for api, s in local.services.items() if operation in list(s.contract))
    return local.ask(api, operation.verb, target, body if operation.body else None)


ORDER = ("create", "batch", "update", "replace", "link", "action", "forget", "read", "list",
         "search", "none", "delete")  # fmt: skip


def in_order(contract: Contract) -> list[Operation]:
    """Return the operations so that what one needs was made before, and deletions come last."""
    return sorted(
        contract,
        key=lambda o: (
            ORDER.index(o.effect.kind) if o.effect else len(ORDER),
            sum(kind != "free" for kind in o.effect.scope.values()) if o.effect else 0,
        ),
    )


def seen_ids(local: Local) -> dict[str, str]:
    """Return resource -> id of what operations elsewhere have made: events, memories, receipts."""
    found = {}
    for service in local.services.values():
        for name in ("receipt", "memory", "event"):
            space = service.store.space(service.realm, "tenant-1", name)
            documents = service.store.find(space, service.clock.time(), limit=1)
            if documents:
                found[name] = documents[0].id
    return found


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("optional", [True, False], ids=["everything", "required-only"])
def test_every_operation_answers_its_example_as_declared(api: str, optional: bool) -> None:
    """Each operation accepts its example and answers with what its spec declares."""
    local = Local(contracts=[specs.load(api)])
    ids: dict[str, str] = {}
    refused, broken = [], []
    for operation in in_order(local.services[api].contract):
        values = arguments(operation, optional=optional)
        effect = operation.effect
        known = {**seen_ids(local), **ids}
        if effect is not None:
            if effect.kind != "create" and effect.target in values:
                held = known.get(effect.resource or "")
                if held is not None and not isinstance(values[effect.target], list):
                    values[effect.target] = held
            for name, kind in effect.scope.items():
                if kind != "free" and name in values:
                    values[name] = known[kind]
        answer = call(local, operation, values)
        if answer.is_success and effect is not None and effect.kind == "create" and effect.id:
            ids[effect.resource or ""] = str(specs.pointer(answer.json(), effect.id))
        if not answer.is_success:
            refused.append((operation.id, answer.status_code, answer.text))
        broken += [(operation.id, what) for what in violations(operation, answer)]
    assert ([], []) == (broken, refused)


HOSTILE = {
    "malformed": b"{",
    "no-json": b"content=1",
    "empty": b"",
    "bad-utf8": b'{"content": "\xff\xfe"}',
    "surrogate-bytes": b'{"content": "\xed\xa0\x80"}',
    "lone-surrogate": b'{"content": "\\ud800"}',
    "nan": b'{"content": NaN}',
    "infinity": b'{"content": 1e999}',
    "long-number": b'{"content": ' + b"9" * 20_000 + b"}",
    "repeated-member": b'{"content": "a", "content": "b"}',
    "deep": b'{"content": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep-objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "array": b"[]",
    "null": b"null",
    "string": b'"text"',
    "bom": b'\xef\xbb\xbf{"content": "a"}',
    "too-large": b'{"content": "' + b"x" * (10 << 20) + b'"}',
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_bodies_are_refused_as_declared(api: str, kind: str) -> None:
    """No body makes the backend fail, and what is not a usable body gets a declared 4xx."""
    local = Local(contracts=[specs.load(api)])
    for operation in local.services[api].contract:
        if operation.body is None or not operation.body.required:
            continue
        if kind != "malformed" and operation.effect and operation.effect.kind not in ("create",):
            continue
        path = operation.path.replace("{", "").replace("}", "")
        answer = local.ask(api, operation.verb, path, raw=HOSTILE[kind])
        assert 400 <= answer.status_code < 500, (operation.id, answer.text)
        assert [] == violations(operation, answer)


@pytest.mark.parametrize("api", APIS)
def test_errors_have_the_declared_envelope(api: str) -> None:
    """Unknown paths, wrong methods, keys and media types are told apart in one envelope."""
    contract = specs.load(api)
    local = Local(contracts=[contract])
    errors = contract.root.errors
    assert errors is not None
    operation = next(o for o in contract if o.authenticated and not o.parameters_in("path"))
    writer = next(o for o in contract if o.body is not None and not o.parameters_in("path"))
    body = json.dumps(example(writer.body.schema) if writer.body else None).encode()
    table = {
        "unknown-path": local.ask(api, "GET", "/no/such/path"),
        "method": local.ask(api, "PROPFIND", operation.path),
        "unauthenticated": local.ask(api, operation.verb, operation.path, key="wrong"),
        "media-type": local.ask(
            api, writer.verb, writer.path, raw=body, headers={"content-type": "text/plain"}
        ),
    }
    for kind, answer in table.items():
        declared = errors.answers[kind]  # type: ignore[index]
        assert declared.status == answer.status_code, kind
        if errors.envelope.code and declared.code:
            assert declared.code == specs.pointer(answer.json(), errors.envelope.code)
        if errors.envelope.message:
            assert specs.pointer(answer.json(), errors.envelope.message)


def test_a_405_names_the_methods_that_are_allowed() -> None:
    """A wrong method is answered with Allow (RFC 9110 section 15.5.6)."""
    answer = Local().ask("sovant", "POST", "/api/v1/memories/x")
    assert (405, "DELETE, GET, HEAD, PATCH, PUT") == (answer.status_code, answer.headers["allow"])


def test_head_answers_like_get_without_a_body() -> None:
    """HEAD is served wherever GET is."""
    answer = Local().ask("claiv", "HEAD", "/healthz", key=None)
    assert (200, b"") == (answer.status_code, answer.content)


def test_an_encoded_slash_stays_in_its_argument() -> None:
    """A path argument may hold a slash, percent-encoded; it does not become another path."""
    local = Local()
    body = {"org_id": "a/b c", "name": "n", "focus": "f"}
    assert 201 == local.ask("memsy", "POST", "/orgs", body).status_code
    assert "a/b c" == local.ask("memsy", "GET", "/orgs/a%2Fb%20c").json()["org_id"]


def test_a_repeated_scalar_parameter_is_refused() -> None:
    """Two page sizes in one query are the client's error, not a choice of ours."""
    assert 400 == Local().ask("sovant", "GET", "/api/v1/memory?limit=1&limit=2").status_code


def test_the_first_declared_credential_decides() -> None:
    """Where two credentials disagree, the one declared first wins, right or wrong."""
    local = Local()
    other = {"authorization": f"Bearer {FIRST}"}
    path = "/api/v1/memory"
    assert 401 == local.ask("sovant", "GET", path, key="wrong", headers=other).status_code
    assert 200 == local.ask("sovant", "GET", path, key=None, headers=other).status_code


def test_tenants_do_not_see_each_other() -> None:
    """What one tenant stores can neither be read, listed, found, changed nor deleted by another."""
    local = Local()
    made = local.ask("sovant", "POST", "/api/v1/memory", {"content": "zebra"}).json()
    path = f"/api/v1/memories/{made['id']}"
    asked = [
        local.ask("sovant", "GET", path, key=SECOND).status_code,
        local.ask("sovant", "PATCH", path, {"content": "x"}, key=SECOND).status_code,
        local.ask("sovant", "DELETE", path, key=SECOND).status_code,
        local.ask("sovant", "GET", "/api/v1/memory", key=SECOND).json()["total"],
        len(local.ask("sovant", "GET", "/api/v1/memory/search?query=zebra", key=SECOND)
            .json()["results"]),
    ]  # fmt: skip
    assert [404, 404, 404, 0, 0] == asked
    assert "zebra" == local.ask("sovant", "GET", path).json()["content"]


def test_roles_guard_what_is_kept_for_them() -> None:
    """Keys without an administrator's rights or a seat get the declared codes."""
    member = KeySpec("member-key-of-tests", "tenant-1", admin=False, seat=False)
    local = Local(keys={"a": KeySpec(FIRST, "tenant-1"), "m": member})
    for operation in local.services["memsy-control"].contract:
        if operation.roles is None or operation.parameters_in("path") or operation.body:
            continue
        answer = local.ask("memsy-control", operation.verb, operation.path, key=member.key)
        told = (answer.status_code, answer.json()["detail"]["error"])
        assert (operation.roles.status, operation.roles.code) == told
        assert 200 == local.ask("memsy-control", operation.verb, operation.path).status_code


def test_an_expired_key_is_refused() -> None:
    """A key that is past opens nothing."""
    local = Local(keys={"x": KeySpec("expired-key", "tenant-1", expired=True)})
    assert 401 == local.ask("claiv", "GET", "/v1/usage/limits", key="expired-key").status_code


@pytest.mark.parametrize(
    ("api", "path", "secret", "id"),
    [("sovant", "/api/v1/keys", "key", "id"), ("memsy-control", "/keys", "raw_key", "key_id")],
)
def test_a_created_key_works_until_it_is_revoked(api: str, path: str, secret: str, id: str) -> None:
    """A key made through the API is the same tenant's, is never shown again, and can be ended."""
    local = Local()
    made = local.ask(api, "POST", path, {"name": "ci"}).json()
    listed = local.ask(api, "GET", path, key=made[secret])
    assert 200 == listed.status_code
    assert made[id] in listed.text
    assert made[secret] not in listed.text
    assert local.ask(api, "DELETE", f"{path}/{made[id]}").is_success
    assert 401 == local.ask(api, "GET", path, key=made[secret]).status_code


def test_a_key_without_a_scope_may_not_write() -> None:
    """A key with the scope `read` reads and is told which scope it lacks for more."""
    local = Local()
    body = {"name": "reader", "scopes": ["read"]}
    key = local.ask("memsy-control", "POST", "/keys", body).json()["raw_key"]
    assert 200 == local.ask("memsy", "GET", "/orgs", key=key).status_code
    record = {"org_id": "o", "name": "n", "focus": "f"}
    answer = local.ask("memsy", "POST", "/orgs", record, key=key)
    detail = answer.json()["detail"]
    assert (403, "insufficient_scope", "write") == (
        answer.status_code, detail["error"], detail["required_scope"]
    )  # fmt: skip


def test_a_free_plan_may_not_name_its_organisation() -> None:
    """What the contract refuses to a plan is refused to keys of that plan only."""
    keys = {"f": KeySpec(FIRST, "tenant-1", plan="free"), "p": KeySpec(SECOND, "tenant-2")}
    local = Local(keys=keys)
    body = {"query": "x", "org_id": "o"}
    refused = local.ask("memsy", "POST", "/search", body)
    assert (400, "org_id_not_allowed") == (
        refused.status_code, refused.json()["detail"]["error"]
    )  # fmt: skip
    assert 200 == local.ask("memsy", "POST", "/search", body, key=SECOND).status_code


def test_events_become_memories_after_the_processing_delay() -> None:
    """Ingested events are pending, then completed; only then is there a memory to find."""
    local = Local(settings=Settings(processing_delay=5))
    event = {"actor_id": "a", "session_id": "s", "kind": "user_message", "content": "likes zebras"}
    ids = local.ask("memsy", "POST", "/ingest", {"events": [event]}).json()["event_ids"]

    def seen() -> tuple[list[str], list[str], int]:
        status = local.ask("memsy", "POST", "/status", {"event_ids": ids}).json()
        found = local.ask("memsy", "POST", "/search", {"query": "zebras"}).json()["results"]
        return status["pendingIds"], status["completedIds"], len(found)

    assert (ids, [], 0) == seen()
    local.clock.sleep(6)
    assert ([], ids, 1) == seen()
    assert ids == [e["event_id"] for e in local.ask(
        "memsy-control", "GET", "/console/events").json()["items"]]  # fmt: skip


def test_forgetting_takes_exactly_its_range_and_leaves_a_receipt() -> None:
    """A time range is forgotten, both ends included; the receipt counts what went."""
    local = Local()
    for day in (1, 2, 3, 4):
        body = {"user_id": "u", "type": "message", "content": f"zebra {day}",
                "event_time": f"2025-01-0{day}T00:00:00Z"}  # fmt: skip
        assert 200 == local.ask("claiv", "POST", "/v1/ingest", body).status_code
    asked = {"user_id": "u", "from_time": "2025-01-02T00:00:00Z",
             "to_time": "2025-01-03T00:00:00Z"}  # fmt: skip
    told = local.ask("claiv", "POST", "/v1/forget", asked).json()
    assert 2 == told["deleted_counts"]["events"]
    kept = local.ask("claiv", "GET", f"/v1/deletion-receipts/{told['receipt_id']}").json()
    assert told["deleted_counts"] == kept["deleted_counts"]
    query = {"user_id": "u", "task": "zebra", "token_budget": 2000}
    blocks = local.ask("claiv", "POST", "/v1/recall", query).json()["memory_blocks"]
    assert ["zebra 1", "zebra 4"] == sorted(b["content"] for b in blocks)


def test_recall_keeps_to_its_token_budget() -> None:
    """The blocks recalled together estimate to no more tokens than asked for."""
    local = Local()
    for number in range(12):
        body = {"user_id": "u", "type": "message", "content": f"zebra {number} " + "x" * 300}
        local.ask("claiv", "POST", "/v1/ingest", body)
    asked = {"user_id": "u", "task": "zebra", "token_budget": 200}
    told = local.ask("claiv", "POST", "/v1/recall", asked).json()
    assert 2 == len(told["memory_blocks"])
    assert told["token_estimate"] <= 200


def test_a_batch_does_each_entry_on_its_own() -> None:
    """An entry that fails says so, and takes neither the others nor their count with it."""
    local = Local()
    entries = [
        {"op": "create", "data": {"content": "one"}},
        {"op": "delete", "id": "mem_unknown"},
        {"op": "create", "data": {"content": "two"}},
    ]
    told = local.ask("sovant", "POST", "/api/v1/memory/batch", {"operations": entries}).json()
    assert [True, False, True] == [each["success"] for each in told["results"]]
    assert {"total": 3, "succeeded": 2, "failed": 1} == told["summary"]
    assert 2 == local.ask("sovant", "GET", "/api/v1/memory").json()["total"]


def test_chat_streams_what_it_then_remembers() -> None:
    """The pieces of a stream are the message that the history shows; `done` comes last."""
    local = Local()
    session = local.ask("sovant", "POST", "/api/v1/chat/sessions", {}).json()["id"]
    path = f"/api/v1/chat/sessions/{session}/messages"
    answer = local.ask("sovant", "POST", path, {"content": "hello there", "stream": True})
    assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line]
    assert ["delta"] * (len(events) - 1) + ["done"] == [e["type"] for e in events]
    history = local.ask("sovant", "GET", path).json()["messages"]
    said = "".join(e["data"] for e in events[:-1])
    assert ["hello there", said] == [m["content"] for m in history]


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("i'm from kuching", {"entity": "location", "value": "kuching"}),
        ("My name is Ana.", {"entity": "name", "value": "Ana"}),
        ("I am 34", {"entity": "age", "value": "34"}),
        ("I prefer dark mode!", {"entity": "preference", "value": "dark mode"}),
        ("The weather is fine", None),
    ],
)
def test_profile_facts_are_read_off_a_text(text: str, fact: dict[str, str] | None) -> None:
    """A text's fact about its writer is found, or null where it has none."""
    answer = Local().ask("sovant", "POST", "/api/v1/recall/profile/extract", {"text": text})
    assert fact == answer.json()


def test_usage_headers_count_every_request() -> None:
    """The figure of API calls grows by one with each answer, accepted or refused."""
    local = Local()
    asked = [local.ask("memsy", "GET", path) for path in ("/orgs", "/orgs/none", "/health")]
    assert ["1", "2", "3"] == [a.headers["x-usage-apicall"] for a in asked]


def test_data_and_usage_outlive_the_application(tmp_path: Any) -> None:
    """What was acknowledged is there after a new start on the same file."""
    db = str(tmp_path / "data.sqlite")
    first = Local(db=db)
    id = first.ask("sovant", "POST", "/api/v1/memory", {"content": "kept"}).json()["id"]
    answer = Local(db=db).ask("sovant", "GET", f"/api/v1/memories/{id}")
    assert "kept" == answer.json()["content"]
