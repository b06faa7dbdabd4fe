"""Load on a description that says nothing of behaviour: what can be played is, the rest is said."""

from __future__ import annotations

import specs
from conformance.options import at, find
from load.plan import make_plan
from load.profile import load_profile
from load.session import read
from specs.effects import dispensable
from specs.reading import joined

OK = {"200": {"description": "It"}}


def test_locust_takes_overlays_too() -> None:
    """`--overlay` on Locust's command line means what it means everywhere else."""
    row = find("locust", "overlay")
    assert (row.repeatable, row.env["locust"]) == (True, "MEMCONFORM_OVERLAY")
    given = {o.key: o.default_at("locust") for o in at("locust")}
    made = read({**given, "api": "api.yaml", "overlay": ["a.yaml", "b.yaml"]}, "http://127.0.0.1")
    assert made.api == joined("api.yaml", ["a.yaml", "b.yaml"])


def test_what_nobody_can_name_is_not_played() -> None:
    """A path that leads to a made-up id answers 404 on every right server, so it is left out."""
    contract = specs.from_document({
        "openapi": "3.1.0", "info": {"title": "Notes", "version": "1"},
        "paths": {"/notes": {"get": {"operationId": "list", "responses": OK}},
                  "/notes/{id}": {"get": {"operationId": "get", "responses": OK}}},
    })  # fmt: skip
    plan = make_plan(contract, load_profile("smoke"))
    assert [task.name for task in plan.tasks] == ["list"]
    assert [each.operation for each in plan.excluded] == ["get"]


def test_what_nobody_says_the_effect_of_is_not_played() -> None:
    """A POST of unknown effect could save somebody's settings a thousand times, so it stays out."""
    contract = specs.from_document({
        "openapi": "3.1.0", "info": {"title": "Notes", "version": "1"},
        "paths": {"/notes": {"get": {"operationId": "list", "responses": OK},
                             "post": {"operationId": "add", "responses": OK}}},
    })  # fmt: skip
    plan = make_plan(contract, load_profile("smoke"))
    assert [task.name for task in plan.tasks] == ["list"]
    assert "spec draft" in plan.excluded[0].reason


def test_a_record_is_made_and_read_in_one_place() -> None:
    """A name that nothing needs is left out by all, or a read by id would look elsewhere."""
    store = {"name": "store", "in": "query", "schema": {"type": "string"}}
    id = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    body = {"content": {"application/json": {"schema": {
        "type": "object", "required": ["text"],
        "properties": {"text": {"type": "string"}, "store": {"type": "string"}}}}}}  # fmt: skip
    stated = {"basis": "observed", "source": "notes 1.0"}

    def does(kind: str, **more: str) -> dict[str, object]:
        effect = {**stated, "kind": kind, "resource": "note", "scope": {"store": "free"}, **more}
        return {"operationId": kind, "responses": OK, "x-conformance": {**stated, "effect": effect}}

    made = specs.from_document({
        "openapi": "3.1.0", "info": {"title": "Notes", "version": "1"},
        "paths": {
            "/notes": {"post": {**does("create", id="/id"), "requestBody": body}},
            "/notes/{id}": {"get": {**does("read", target="id"), "parameters": [id, store]}},
        },
    })  # fmt: skip
    assert dispensable(made, "note") == {"store"}
    assert not any(dispensable(specs.load(n), r) for n, r in SHIPPED)


SHIPPED = [("sovant", "memory"), ("claiv", "event"), ("memsy", "memory")]
