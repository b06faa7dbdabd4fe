"""A draft says what the shapes of an OpenAPI file let one guess, with reasons; it always checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import specs
from specs import check
from specs.draft import draft, render
from specs.reading import joined

TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer"}


def thing(**properties: Any) -> dict[str, Any]:
    """The schema of an object."""
    return {"type": "object", "properties": properties}


def listed(schema: Any) -> dict[str, Any]:
    """The schema of an array."""
    return {"type": "array", "items": schema}


def call(answer: Any = None, body: Any = None, query: Any = None, **more: Any) -> dict[str, Any]:
    """An operation that takes a body and query parameters and answers with a schema."""
    content = {"content": {"application/json": {"schema": answer}}} if answer else {}
    made: dict[str, Any] = {"responses": {"200": {"description": "It", **content}}, **more}
    if body:
        made["requestBody"] = {"content": {"application/json": {"schema": body}}}
    made["parameters"] = [{"name": n, "in": "query", "schema": s} for n, s in (query or {}).items()]
    return made


NOTE = thing(id=TEXT, text=TEXT)
MEMORY = thing(content_hash=TEXT, content=TEXT)
WRAPPED = thing(data=thing(id=TEXT, name=TEXT))

CASES: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("create", {"/notes": {"post": call(NOTE, thing(text=TEXT))},
                "/notes/{id}": {"get": call(NOTE)}},
     "post_notes effect", {"kind": "create", "resource": "note", "id": "/id"}),
    ("read", {"/notes/{note_id}": {"get": call(NOTE)}},
     "get_notes_note_id effect", {"kind": "read", "target": "note_id", "id": "/id"}),
    ("patch", {"/notes/{id}": {"get": call(NOTE), "patch": call(NOTE, thing(text=TEXT))}},
     "patch_notes_id effect", {"kind": "update", "target": "id"}),
    ("put a whole one", {"/notes/{id}": {"get": call(NOTE), "put": call(
        NOTE, {**thing(text=TEXT), "required": ["text"]})}},
     "put_notes_id effect", {"kind": "replace"}),
    ("put a part", {"/notes/{id}": {"get": call(NOTE), "put": call(NOTE, thing(text=TEXT))}},
     "put_notes_id effect", {"kind": "update"}),
    ("delete", {"/notes/{id}": {"get": call(NOTE), "delete": call()}},
     "delete_notes_id effect", {"kind": "delete", "target": "id"}),
    ("list at the root", {"/notes": {"get": call(listed(NOTE))},
                          "/notes/{id}": {"get": call(NOTE)}},
     "get_notes effect", {"kind": "list", "items": "", "itemId": "/id", "content": "/text"}),
    ("wrapped", {"/labels": {"post": call(WRAPPED, thing(name=TEXT))},
                 "/labels/{label_id}": {"get": call(WRAPPED)}},
     "post_labels effect", {"id": "/data/id", "resource": "label"}),
    ("id of another name", {"/memories": {"post": call(MEMORY, thing(content=TEXT))},
                            "/memories/{content_hash}": {"get": call(MEMORY)}},
     "post_memories effect", {"id": "/content_hash", "resource": "memory"}),
    ("chosen by the caller", {"/shelves": {"post": call(thing(), thing(name=TEXT))},
                              "/shelves/{shelf_name}": {"get": call(thing(name=TEXT))}},
     "post_shelves effect", {"kind": "create", "target": "name"}),
    ("list by post", {"/runs": {"post": call(NOTE, thing(text=TEXT))},
                      "/runs/{id}": {"get": call(NOTE)},
                      "/runs/filter": {"post": call(listed(NOTE),
                                                    thing(limit=WHOLE, offset=WHOLE))}},
     "post_runs_filter effect", {"kind": "list", "resource": "run", "items": ""}),
    ("search", {"/memories": {"post": call(MEMORY, thing(content=TEXT))},
                "/memories/{content_hash}": {"get": call(MEMORY)},
                "/search": {"post": call(thing(results=listed(thing(memory=MEMORY, score=WHOLE))),
                                         thing(query=TEXT))}},
     "post_search effect", {"kind": "search", "query": "query", "items": "/results",
                            "itemId": "/memory/content_hash", "content": "/memory/content"}),
    ("list of ids", {"/memories": {"post": call(MEMORY, thing(content=TEXT))},
                     "/memories/{content_hash}": {"get": call(MEMORY)},
                     "/memories/hashes": {"get": call(thing(hashes=listed(TEXT)))}},
     "get_memories_hashes effect", {"kind": "list", "items": "/hashes", "itemId": ""}),
    ("inside of another", {"/shelves": {"post": call(NOTE, thing(text=TEXT))},
                           "/shelves/{shelf_id}": {"get": call(NOTE)},
                           "/shelves/{shelf_id}/books": {"post": call(NOTE, thing(text=TEXT))},
                           "/shelves/{shelf_id}/books/{id}": {"get": call(NOTE)}},
     "post_shelves_shelf_id_books effect", {"resource": "book", "scope": {"shelf_id": "shelf"}}),
    ("refers to another", {"/threads": {"post": call(NOTE, thing(text=TEXT))},
                           "/threads/{id}": {"get": call(NOTE)},
                           "/notes": {"post": call(NOTE, {**thing(thread_id=TEXT),
                                                          "required": ["thread_id"]})},
                           "/notes/{id}": {"get": call(NOTE)}},
     "post_notes effect", {"scope": {"thread_id": "thread"}}),
    ("under a name", {"/notes": {"post": call(NOTE, thing(text=TEXT, store=TEXT)),
                                 "get": call(listed(NOTE), query={"store": TEXT})},
                      "/notes/{id}": {"get": call(NOTE, query={"store": TEXT})}},
     "get_notes effect", {"scope": {"store": "free"}}),
    ("a unique name", {"/tags": {"post": call(NOTE, {**thing(name={**TEXT, "pattern": "^[a-z]+$"}),
                                                     "required": ["name"]})},
                       "/tags/{id}": {"get": call(NOTE)}},
     "post_tags effect", {"scope": {"name": "free"}}),
    ("offset", {"/notes": {"get": call(
        thing(items=listed(NOTE), total=WHOLE),
        query={"offset": WHOLE, "limit": {**WHOLE, "default": 20, "maximum": 100}})},
        "/notes/{id}": {"get": call(NOTE)}},
     "get_notes pagination", {"style": "offset", "offset": "offset", "limit": "limit",
                              "defaultLimit": 20, "maxLimit": 100, "total": "/total",
                              "items": "/items", "itemKey": "/id"}),
    ("page", {"/notes": {"get": call(thing(notes=listed(NOTE), has_more={"type": "boolean"}),
                                     query={"page": WHOLE, "page_size": WHOLE})},
              "/notes/{id}": {"get": call(NOTE)}},
     "get_notes pagination", {"style": "page", "page": "page", "hasMore": "/has_more"}),
    ("cursor of a number", {"/notes": {"get": call(thing(data=listed(NOTE), next_cursor=WHOLE),
                                                   query={"cursor": WHOLE, "limit": WHOLE})},
                            "/notes/{id}": {"get": call(NOTE)}},
     "get_notes pagination", {"style": "cursor", "cursor": "cursor", "next": "/next_cursor"}),
    ("speakeasy", {"/notes": {"get": call(
        listed(NOTE), query={"from_row": WHOLE, "many": WHOLE},
        **{"x-speakeasy-pagination": {"type": "offsetLimit", "inputs": [
            {"name": "from_row", "in": "parameters", "type": "offset"},
            {"name": "many", "in": "parameters", "type": "limit"}],
            "outputs": {"results": "$"}}})}, "/notes/{id}": {"get": call(NOTE)}},
     "get_notes pagination", {"style": "offset", "offset": "from_row", "limit": "many"}),
    ("fern", {"/notes": {"get": call(
        thing(data=listed(NOTE)), query={"which": WHOLE},
        **{"x-fern-pagination": {"offset": "$request.which", "results": "$response.data"}})},
        "/notes/{id}": {"get": call(NOTE)}},
     "get_notes pagination", {"style": "offset", "offset": "which"}),
    ("stainless", {"/notes": {"get": call(
        thing(data=listed(NOTE), last={**TEXT, "x-stainless-pagination-property": {
            "purpose": "next_cursor_field"}}),
        query={"behind": {**TEXT, "x-stainless-pagination-property": {
            "purpose": "next_cursor_param"}}, "limit": WHOLE})},
        "/notes/{id}": {"get": call(NOTE)}},
     "get_notes pagination", {"style": "cursor", "cursor": "behind", "next": "/last",
                              "limit": "limit", "items": "/data"}),
    ("basecamp", {"/notes": {"get": call(
        listed(NOTE), query={"page": WHOLE},
        **{"x-basecamp-pagination": {"style": "link", "maxPageSize": 50}})},
        "/notes/{id}": {"get": call(NOTE)}},
     "get_notes pagination", {"style": "link", "items": ""}),
    ("retries", {"/notes": {"post": call(NOTE, thing(text=TEXT), **{"x-basecamp-retry": {
        "maxAttempts": 3, "baseDelayMs": 1000, "retryOn": [429, 503]}})},
        "/notes/{id}": {"get": call(NOTE)}},
     "post_notes retries", {"maxAttempts": 3, "statuses": ["429", "503"],
                            "backoff": {"base": 1.0}}),
    ("a link", {"/notes": {"post": {**call(thing(made=thing(ref=TEXT)), thing(text=TEXT)),
                                    "responses": {"201": {
        "description": "It", "content": {"application/json": {"schema": thing(
            made=thing(ref=TEXT))}}, "links": {"one": {"operationId": "get_notes_id", "parameters":
                                                       {"id": "$response.body#/made/ref"}}}}}}},
        "/notes/{id}": {"get": call(NOTE)}},
     "post_notes effect", {"kind": "create", "id": "/made/ref"}),
    ("idempotency", {"/notes": {"post": call(NOTE, thing(text=TEXT, idempotency_key=TEXT))},
                     "/notes/{id}": {"get": call(NOTE)}},
     "post_notes idempotency", {"location": "body", "name": "idempotency_key"}),
]  # fmt: skip


def written(folder: Path, paths: dict[str, Any], **more: Any) -> Path:
    """The file that holds a description of paths."""
    path = folder / "api.json"
    made = {"openapi": "3.1.0", "info": {"title": "Notes", "version": "1.0"}, "paths": paths}
    path.write_text(json.dumps({**made, **more}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("paths", "place", "wanted"), [r[1:] for r in CASES], ids=[r[0] for r in CASES]
)
def test_behaviour_is_guessed(
    tmp_path: Path, paths: dict[str, Any], place: str, wanted: dict[str, Any]
) -> None:
    """Each way in which real descriptions show what an operation does is recognised."""
    path = written(tmp_path, paths)
    made = draft(str(path))
    id, block = place.split()
    [guess] = [g for g in made.guesses if g.operation and g.operation.id == id and g.block == block]
    assert {name: guess.value.get(name) for name in wanted} == wanted
    assert guess.why
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(render(made, extends=path.name), encoding="utf-8")
    assert check.check(joined(path, [overlay])) == []
    contract = specs.load(overlay)
    assert not contract[id].bare
    assert contract[id].accepts_basis is specs.Basis.ASSUMED


def test_what_cannot_be_guessed_is_asked(tmp_path: Path) -> None:
    """A fixed tenant, an answer without an id and an unknown action become questions."""
    path = written(tmp_path, {
        "/{tenant}/notes": {"post": call(NOTE, thing(text=TEXT))},
        "/{tenant}/notes/{id}": {"get": call(NOTE)},
        "/odd": {"post": call(thing(), thing(text=TEXT)), "get": call(listed(NOTE))},
        "/odd/{id}": {"get": call(NOTE)},
        "/notes/{id}/touch": {"post": call(NOTE)},
    })  # fmt: skip
    asked = draft(str(path)).questions
    for word in ("which tenant may be used", "post_odd", "post_notes_id_touch"):
        assert any(word in question for question in asked), word
    assert all(f"#{line[1:]}" for line in render(draft(str(path))).splitlines()[:3])


def test_errors_are_guessed_from_what_all_of_them_have(tmp_path: Path) -> None:
    """The envelope is what every declared error has as text; statuses are those declared."""
    error = {"description": "No", "content": {"application/json": {
        "schema": thing(code=TEXT, message=TEXT, request_id=TEXT, details=thing())}}}  # fmt: skip
    noted = call(NOTE)
    noted["responses"] |= {"404": error, "422": error}
    made = draft(str(written(tmp_path, {"/notes/{id}": {"get": noted}})))
    [guess] = [g for g in made.guesses if g.block == "errors"]
    assert guess.value["envelope"] == {
        "message": "/message", "code": "/code", "requestId": "/request_id"
    }  # fmt: skip
    assert guess.value["answers"]["invalid"] == {"status": 422}


def test_a_draft_is_an_overlay_whose_guesses_stand_with_their_reasons(tmp_path: Path) -> None:
    """Reasons are comments, bases are `assumed`, and what a person wrote is left alone."""
    own = {"basis": "documented", "source": "handbook § Notes"}
    path = written(tmp_path, {
        "/notes": {"post": call(NOTE, thing(text=TEXT)), "get": call(listed(NOTE))},
        "/notes/{id}": {"get": call(NOTE, **{"x-conformance": own})},
    })  # fmt: skip
    text = render(draft(str(path)))
    document = yaml.safe_load(text)
    assert document["overlay"] == "1.0.0"
    targets = [action["target"] for action in document["actions"]]
    assert targets == ["$", "$.paths['/notes'].get", "$.paths['/notes'].post"]
    assert document["actions"][1]["update"]["x-conformance"]["effect"]["basis"] == "assumed"
    assert "# effect: POST /notes" in text


WORKFLOW: dict[str, Any] = {
    "arazzo": "1.0.1", "info": {"title": "Ways", "version": "1"},
    "sourceDescriptions": [{"name": "notes", "url": "./api.json", "type": "openapi"}],
    "workflows": [{"workflowId": "keep", "steps": [
        {"stepId": "add", "operationId": "notes.post_homes_home_jots",
         "parameters": [{"name": "home", "in": "path", "value": "first-home"}],
         "successCriteria": [{"condition": "$statusCode == 201"}],
         "outputs": {"made": "$response.body#/jot/ref"}},
        {"stepId": "look",
         "operationPath": "{$sourceDescriptions.notes.url}#/paths/~1jot~1{ref}/get",
         "parameters": [{"name": "ref", "in": "path", "value": "$steps.add.outputs.made"}]},
        {"stepId": "end", "operationId": "delete_jot_ref",
         "parameters": [{"name": "ref", "in": "path", "value": "$steps.add.outputs.made"}]},
    ]}],
}  # fmt: skip


def test_an_arazzo_description_says_which_answer_feeds_which_call(tmp_path: Path) -> None:
    """A workflow links what paths do not: a creation, its id, its reader, its deletion, a place."""
    path = written(tmp_path, {
        "/homes/{home}/jots": {"post": call(thing(jot=thing(ref=TEXT)), thing(text=TEXT))},
        "/jot/{ref}": {"get": call(thing(ref=TEXT)), "delete": call()},
    })  # fmt: skip
    ways = tmp_path / "ways.yaml"
    ways.write_text(yaml.safe_dump(WORKFLOW), encoding="utf-8")
    made = draft(str(path), [str(ways)])
    effects = {o.id: made.effect(o) for o in made.contract}
    assert effects["post_homes_home_jots"]["id"] == "/jot/ref"
    assert {e["resource"] for e in effects.values()} == {"jot"}
    assert effects["delete_jot_ref"]["target"] == "ref"
    assert next(g.value for g in made.guesses if g.block == "fixed") == {"home": "first-home"}
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(render(made, extends=path.name), encoding="utf-8")
    assert check.check(joined(path, [overlay])) == []


def test_what_is_no_arazzo_is_refused(tmp_path: Path) -> None:
    """Another file under `--arazzo` is a mistake that is said by name."""
    path = written(tmp_path, {"/notes/{id}": {"get": call(NOTE)}})
    with pytest.raises(specs.SpecError, match="no Arazzo"):
        draft(str(path), [str(path)])
