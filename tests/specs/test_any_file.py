"""Any OpenAPI file is read: its version, references, overlays, and what cannot be judged."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import specs
from specs import check
from specs.reading import joined
from specs.references import closed, validator

OK = {"200": {"description": "It"}}


def document(version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    """A description with one plain operation."""
    return {
        "openapi": version, "info": {"title": "Shelf of Notes", "version": "7"},
        "paths": {"/notes": {"get": {"operationId": "notes", "responses": OK}}}, **more,
    }  # fmt: skip


def answering(schema: Any) -> dict[str, Any]:
    """Responses with a schema."""
    return {"200": {"description": "It", "content": {"application/json": {"schema": schema}}}}


def written(folder: Path, made: Any, name: str = "api.json") -> Path:
    """The file that holds a description."""
    path = folder / name
    text = json.dumps(made) if name.endswith(".json") else yaml.safe_dump(made)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_bare_file_gives_a_contract(tmp_path: Path) -> None:
    """Without x-conformance the file's own words name the API, its key and its operations."""
    made = document(
        security=[{"key": []}],
        components={"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    )
    path = written(tmp_path, made)
    contract = specs.load(path)
    assert (contract.api, contract.root.document_version) == ("shelf-of-notes", "7")
    assert [(a.header, a.prefix) for a in contract.auth] == [("Authorization", "Bearer ")]
    assert contract["notes"].bare
    assert check.check(path) == []


SCHEMES: list[tuple[str, dict[str, str], tuple[str, str]]] = [
    ("basic", {"type": "http", "scheme": "Basic"}, ("Authorization", "Basic ")),
    ("header", {"type": "apiKey", "in": "header", "name": "X-Key"}, ("X-Key", "")),
    ("cookie", {"type": "apiKey", "in": "cookie", "name": "sid"}, ("cookie", "sid=")),
    ("oauth", {"type": "oauth2"}, ("Authorization", "Bearer ")),
]


@pytest.mark.parametrize(("scheme", "shown"), [r[1:] for r in SCHEMES], ids=[r[0] for r in SCHEMES])
def test_each_security_scheme_says_how_a_key_is_shown(
    tmp_path: Path, scheme: dict[str, str], shown: tuple[str, str]
) -> None:
    """A scheme of the file becomes the header that carries the key."""
    made = document(components={"securitySchemes": {"k": scheme}}, security=[{"k": []}])
    [auth] = specs.load(written(tmp_path, made)).auth
    assert (auth.header, auth.prefix) == shown


CONVERTED: list[tuple[str, dict[str, Any], list[Any], list[Any]]] = [
    ("nullable", {"type": "string", "nullable": True}, [None, "a"], [1]),
    ("nullable enum", {"type": "string", "enum": ["a"], "nullable": True}, [None, "a"], ["b"]),
    ("nullable reference", {"allOf": [{"$ref": "#/components/schemas/N"}], "nullable": True},
     [None, 3], ["b"]),
    ("nullable alternative", {"anyOf": [{"type": "integer"}], "nullable": True}, [None, 3], ["b"]),
    ("exclusive", {"type": "integer", "minimum": 1, "exclusiveMinimum": True}, [2], [1]),
    ("not exclusive", {"type": "integer", "maximum": 9, "exclusiveMaximum": False}, [9], [10]),
    ("beside a reference", {"$ref": "#/components/schemas/N", "maximum": 1}, [7], ["b"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"), [r[1:] for r in CONVERTED], ids=[r[0] for r in CONVERTED]
)
def test_older_words_keep_their_meaning(
    tmp_path: Path, schema: Any, valid: list[Any], invalid: list[Any]
) -> None:
    """What OpenAPI 3.0 says in words of its own is read as what JSON Schema says in others."""
    made = document("3.0.3", components={"schemas": {"N": {"type": "integer"}}})
    made["paths"]["/notes"]["get"]["responses"] = answering(schema)
    read = validator(specs.load(written(tmp_path, made))["notes"].success.schema)
    assert [v for v in valid if not read.is_valid(v)] == []
    assert [v for v in invalid if read.is_valid(v)] == []


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"swagger": "2.0", "info": {}, "paths": {}}, "swagger2openapi"),
        ({"openapi": "4.0", "paths": {}}, "3.0, 3.1 and 3.2 are read"),
        ({"openapi": "3.1.0"}, "no `paths`"),
        ({"openapi": "3.1.0", "paths": {}}, "no operation of it can be judged"),
        ([1], "no mapping"),
    ],
)
def test_what_is_not_read_is_said(tmp_path: Path, made: Any, told: str) -> None:
    """A file of another kind is refused with a word on what to do, by everybody alike."""
    path = written(tmp_path, made)
    with pytest.raises(specs.SpecError, match=told.replace("`", ".")):
        specs.load(path)
    assert any(told in problem.what for problem in check.check(path))


NODE, LEAF = {"$ref": "#/components/schemas/Node"}, {"$ref": "#/components/schemas/Leaf"}
RECURSIVE = {
    "Node": {"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "children": {"type": "array", "items": NODE}, "leaf": LEAF}},
    "Leaf": {"type": "object", "properties": {"of": NODE}},
}  # fmt: skip


def test_recursive_schemas_are_judged(tmp_path: Path) -> None:
    """A schema may contain itself, by another one too: it is made, sent and judged like any."""
    made = document(components={"schemas": RECURSIVE})
    made["paths"]["/notes"]["post"] = {
        "operationId": "add", "responses": answering({"$ref": "#/components/schemas/Node"}),
        "requestBody": {"content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/Leaf"}}}},
    }  # fmt: skip
    operation = specs.load(written(tmp_path, made))["add"]
    assert operation.body is not None
    read = validator(operation.success.schema)
    deep: dict[str, Any] = {"name": "a"}
    for _ in range(50):
        deep = {"name": "b", "children": [deep], "leaf": {"of": deep}}
    assert read.is_valid({"name": "a", "children": [{"name": "b", "leaf": {"of": {"name": "c"}}}]})
    assert not read.is_valid({"name": "a", "children": [{"name": "b", "children": [{}]}]})
    from specs.examples import example

    for seed in range(4):
        assert validator(operation.body.schema).is_valid(example(operation.body.schema, seed))
    assert len(json.dumps(closed(operation.body.schema))) < 2000


def test_one_operation_that_cannot_be_judged_is_left_out(tmp_path: Path) -> None:
    """The rest is judged; the checker names line and reason, and agrees with the loader."""
    made = document()
    made["paths"] |= {
        "/broken": {"get": {"operationId": "b", "responses": answering({"$ref": "#/nowhere"})}},
        "/silent": {"get": {"operationId": "s", "responses": {"401": {"description": "No"}}}},
        "/restart": {"post": {"operationId": "r", "responses": OK}},
        "/all": {"delete": {"operationId": "d", "responses": OK}},
        "/asked": {"query": {"operationId": "q", "responses": OK}},
        "/again": {"get": {"operationId": "notes", "responses": OK}},
    }
    path = tmp_path / "api.yaml"
    path.write_text(yaml.safe_dump(made, sort_keys=False), encoding="utf-8")
    contract = specs.load(path)
    assert set(contract.operations) == {"notes", "get_again"}
    told = {left.path: left for left in contract.left_out}
    assert set(told) == {"/broken", "/silent", "/restart", "/all", "/asked"}
    assert "'#/nowhere' points to nothing" in told["/broken"].reason
    lines = path.read_text("utf-8").splitlines()
    for left in contract.left_out:
        assert lines[left.line - 1].strip().startswith(f"{left.verb.lower()}:")
    assert {(p.line, p.what.removeprefix("is left out: ")) for p in check.check(path)} == {
        (left.line, left.reason) for left in contract.left_out
    }


MENDED: list[tuple[str, Any, list[Any]]] = [
    ("type", {"type": "strange"}, [1, "a"]),
    ("type inside", {"type": "object", "properties": {"a": {"type": "any"}}}, [{"a": 3}]),
    ("inside an alternative", {"anyOf": [{"type": "any"}, {"type": "null"}]}, [3, None]),
    ("no list", {"required": True, "type": "string"}, ["a"]),
    ("no pattern", {"type": "string", "pattern": "(?P<year>\\d{4}"}, ["a"]),
    ("no schema at all", {"properties": 3}, [1]),
]


@pytest.mark.parametrize(("schema", "valid"), [r[1:] for r in MENDED], ids=[r[0] for r in MENDED])
def test_what_is_no_schema_is_passed_over(tmp_path: Path, schema: Any, valid: list[Any]) -> None:
    """A word that no validator understands costs nothing but itself, and the checker names it."""
    made = document()
    made["paths"]["/notes"]["get"]["responses"] = answering(schema)
    path = written(tmp_path, made)
    read = validator(specs.load(path)["notes"].success.schema)
    assert [v for v in valid if not read.is_valid(v)] == []
    assert check.check(path)


def test_references_lead_into_the_file_s_folder_only(tmp_path: Path) -> None:
    """Parts may stand in files beside the description, and nowhere else."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/parts").mkdir()
    written(tmp_path, {"Secret": {"type": "integer"}}, "outside.yaml")
    written(tmp_path / "in/parts", {"$ref": "more.yaml#/Text"}, "text.json")
    written(tmp_path / "in/parts", {"Text": {"$ref": "#/Base"}, "Base": {"type": "string"}},
            "more.yaml")  # fmt: skip
    made = document()
    made["paths"]["/notes"]["get"]["responses"] = answering({"$ref": "parts/text.json"})
    made["paths"]["/out"] = {
        "get": {"operationId": "out", "responses": answering({"$ref": "../outside.yaml#/Secret"})}
    }
    contract = specs.load(written(tmp_path / "in", made))
    assert set(contract.operations) == {"notes"}
    read = validator(contract["notes"].success.schema)
    assert read.is_valid("a")
    assert not read.is_valid(1)
    assert "outside.yaml" in contract.left_out[0].reason


def overlay(*actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An overlay with actions."""
    return {"overlay": "1.0.0", "info": {"title": "Ours", "version": "1"},
            "actions": list(actions), **more}  # fmt: skip


EFFECT = {"basis": "assumed", "source": "a guess", "effect": {
    "basis": "assumed", "source": "a guess", "kind": "none"}}  # fmt: skip


def test_an_overlay_says_more_of_a_file(tmp_path: Path) -> None:
    """Overlays are applied in their order; the file itself stays as it was exported."""
    path = written(tmp_path, document())
    before = path.read_bytes()
    target = "$.paths['/notes'].get"
    first = overlay({"target": target, "update": {"x-conformance": EFFECT, "tags": ["a"]}})
    second = overlay(
        {"target": target, "update": {"tags": ["b"], "operationId": "list"}},
        {"target": "$.paths['/gone']", "update": {}},
        {"target": "$.info.title", "update": "Renamed"},
        {"target": "$.paths[?@.post]", "remove": True},
    )
    names = [written(tmp_path, first, "1.yaml"), written(tmp_path, second, "2.yaml")]
    contract = specs.load(joined(path, names))
    assert contract.title == "Renamed"
    assert not contract["list"].bare
    assert contract.document["paths"]["/notes"]["get"]["tags"] == ["a", "b"]
    assert [i.split("2.yaml: ")[1][:10] for i in contract.idle] == ["actions[1]", "actions[3]"]
    assert path.read_bytes() == before
    assert specs.load(contract.source) is contract


def test_an_overlay_stands_for_the_file_that_it_extends(tmp_path: Path) -> None:
    """An overlay that names its description (`extends`) is a spec by itself."""
    written(tmp_path, document())
    made = overlay({"target": "$.paths['/notes'].get", "update": {"operationId": "other"}},
                   extends="api.json")  # fmt: skip
    assert set(specs.load(written(tmp_path, made, "o.yaml")).operations) == {"other"}


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"actions": []}, "no Overlay"),
        (overlay(overlay="2.0.0"), "1.0 and 1.1 are read"),
        (overlay({"update": {}}), "has no `target`"),
        (overlay({"target": "$[", "update": {}}), "is no JSONPath"),
        (overlay({"target": "$", "remove": True}), "cannot be removed"),
    ],
)
def test_a_wrong_overlay_is_explained(tmp_path: Path, made: Any, told: str) -> None:
    """An overlay that cannot be applied is named with what is wrong."""
    source = joined(written(tmp_path, document()), [written(tmp_path, made, "o.yaml")])
    with pytest.raises(specs.SpecError, match=told.replace("`", ".")):
        specs.load(source)


def test_overlay_1_1_copies(tmp_path: Path) -> None:
    """Overlay 1.1 may copy a part of the description elsewhere."""
    made = document()
    made["paths"]["/other"] = {}
    source = joined(
        written(tmp_path, made),
        [written(tmp_path, overlay({"target": "$.paths['/other']", "copy": "$.paths['/notes']"},
                                   overlay="1.1.0"), "o.yaml")],
    )  # fmt: skip
    assert set(specs.load(source).operations) == {"notes", "get_other"}


def test_a_description_is_fetched(tmp_path: Path) -> None:
    """A URL is read like a file; one that answers otherwise is explained."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/openapi.json"
            body = json.dumps(document()).encode() if found else b"no"
            self.send_response(200 if found else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        assert set(specs.load(f"{base}/openapi.json").operations) == {"notes"}
        assert check.check(f"{base}/openapi.json") == []
        with pytest.raises(specs.SpecError, match="answered 404"):
            specs.load(f"{base}/docs")
    finally:
        server.shutdown()
        server.server_close()


def test_a_thousand_operations_load_in_seconds(tmp_path: Path) -> None:
    """A large file of schemas that all refer to each other costs its size, not its paths."""
    count = 1000
    schemas = {
        f"S{i}": {"type": "object", "description": "words " * 60, "properties": {
            f"p{j}": {"$ref": f"#/components/schemas/S{(i * 7 + j) % count}"} for j in range(6)}}
        for i in range(count)
    }  # fmt: skip
    made = document(components={"schemas": schemas})
    made["paths"] = {
        f"/r{i}": {"get": {"operationId": f"r{i}",
                           "responses": answering({"$ref": f"#/components/schemas/S{i}"})}}
        for i in range(count)
    }  # fmt: skip
    path = written(tmp_path, made)
    began = time.process_time()
    assert len(specs.load(path).operations) == count
    assert time.process_time() - began < 5


MISTYPED: list[tuple[str, tuple[Any, ...], str, str]] = [
    ("an operation", ("paths", "/notes", "get", "responces"), "'responces'", "'responses'"),
    ("a path", ("paths", "/notes", "parametres"), "'parametres'", "'parameters'"),
    ("the document", ("component",), "'component'", "'components'"),
    ("a response", ("paths", "/notes", "get", "responses", "200", "contents"), "'contents'",
     "'content'"),
    ("an own word", ("paths", "/notes", "get", "x-responses"), "", ""),
    ("a tool's word", ("paths", "/notes", "get", "codeSamples"), "", ""),
]  # fmt: skip


@pytest.mark.parametrize("row", MISTYPED, ids=[r[0] for r in MISTYPED])
def test_a_mistyped_word_is_named_with_the_one_that_was_meant(
    tmp_path: Path, row: tuple[str, tuple[Any, ...], str, str]
) -> None:
    """`responces` is told with its line; words of other tools are left alone."""
    _, where, wrong, meant = row
    made = json.loads(json.dumps(document()))
    holder: Any = made
    for step in where[:-1]:
        holder = holder[step]
    holder[where[-1]] = holder.get("responses") or {}
    told = " ".join(map(str, check.check(written(tmp_path, made, "api.yaml"))))
    assert (wrong in told and meant in told) if wrong else "no word of OpenAPI" not in told


def test_a_file_that_a_mistyped_word_spoils_is_told_so(tmp_path: Path) -> None:
    """Where nothing can be judged because of one word, that word is the answer, and a problem."""
    made = json.loads(json.dumps(document()))
    made["paths"]["/notes"]["get"]["responces"] = made["paths"]["/notes"]["get"].pop("responses")
    [problem] = check.check(written(tmp_path, made))
    assert "'responses' was meant" in problem.what
    assert not problem.note
