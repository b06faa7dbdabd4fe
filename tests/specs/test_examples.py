"""Example values: always valid, always the same, and telling where they must tell."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import specs
from specs import examples


def is_valid(schema: Any, value: Any) -> bool:
    """Return whether a value keeps to a schema, formats included."""
    return jsonschema_rs.validator_for(schema, validate_formats=True).is_valid(value)


SCHEMAS = [
    (name, label, schema)
    for name in specs.names()
    for label, schema in examples.all_schemas(specs.load(name))
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SCHEMAS), st.integers(0, 10_000), st.booleans())
def test_every_schema_of_every_spec_has_valid_examples(
    entry: tuple[str, str, Any], seed: int, optional: bool
) -> None:
    """An example is valid under its schema, whatever the seed."""
    name, label, schema = entry
    value = examples.example(schema, seed, optional)
    assert is_valid(schema, value), f"{name} {label}: {value!r}"


@pytest.mark.parametrize("name", specs.names())
def test_first_examples_of_every_schema_are_valid(name: str) -> None:
    """The first examples of each schema, with and without optional members, are valid."""
    for label, schema in examples.all_schemas(specs.load(name)):
        for optional in (True, False):
            value = examples.example(schema, 0, optional)
            assert is_valid(schema, value), f"{label}: {value!r}"


@pytest.mark.parametrize("name", specs.names())
def test_every_declared_answer_has_an_example(name: str) -> None:
    """Each declared status has an answer with every required header and a valid body."""
    for operation in specs.load(name):
        for declared, response in operation.responses.items():
            status = int(declared.replace("XX", "03"))
            got, headers, body = examples.example_response(operation, status)
            assert got == status
            assert set(response.required_headers) <= set(headers)
            if response.schema is not None:
                assert is_valid(response.schema, body), f"{operation.id} {declared}: {body!r}"


def test_an_error_body_carries_the_code_that_is_asked_for() -> None:
    """The code stands where the envelope says it stands."""
    operation = specs.load("memsy")["search"]
    _, _, body = examples.example_response(operation, 403, code="seat_required")
    assert operation.errors is not None
    assert operation.errors.envelope.code is not None
    assert specs.pointer(body, operation.errors.envelope.code) == "seat_required"


def test_header_and_body_name_the_same_request() -> None:
    """The request id of an error body is that of its header, whatever the seed."""
    operation = specs.load("sovant")["memory.get"]
    for seed in range(6):
        _, headers, body = examples.example_response(operation, 404, seed)
        assert body["request_id"] == headers["x-request-id"]


def test_a_status_that_nothing_declares_is_refused() -> None:
    """There is no example of an answer that no document announces."""
    with pytest.raises(LookupError, match="declares no answer for 418"):
        examples.example_response(specs.load("octamem")["add"], 418)


def test_arguments_are_flat_and_complete() -> None:
    """Path, query and body arguments stand side by side under their wire names."""
    operation = specs.load("sovant")["memory.update"]
    assert set(examples.arguments(operation)) == {
        "id", "content", "type", "tags", "metadata", "is_archived",
    }  # fmt: skip


def test_required_arguments_alone_where_asked() -> None:
    """Without optional arguments only what must be sent is there."""
    operation = specs.load("claiv")["recall"]
    assert set(examples.arguments(operation, optional=False)) == {"user_id", "task", "token_budget"}


def test_nobody_gets_a_stream_without_asking() -> None:
    """The argument that asks for a stream is left out."""
    assert "stream" not in examples.arguments(specs.load("sovant")["chat.send_message"])


def test_same_seed_same_value_in_another_process() -> None:
    """Examples do not depend on the process, on hash seeds least of all."""
    code = (
        "import specs; from specs.examples import arguments;"
        "print([arguments(o, 7) for o in specs.load('memsy')])"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1] != b""


def test_texts_of_different_seeds_differ() -> None:
    """Two records made with two seeds can be told apart by their text."""
    operation = specs.load("octamem")["add"]
    texts = {examples.arguments(operation, seed)["content"] for seed in range(50)}
    assert len(texts) == 50


TELLING: list[tuple[dict[str, Any], Any]] = [
    ({"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, 20),
    ({"type": "boolean", "default": True}, True),
    ({"enum": ["asc", "desc"], "default": "asc"}, "asc"),
]


@pytest.mark.parametrize(("schema", "default"), TELLING)
@pytest.mark.parametrize("seed", range(5))
def test_defaults_are_avoided(schema: dict[str, Any], default: Any, seed: int) -> None:
    """A value that went missing can be told from a default that was left out."""
    assert examples.example(schema, seed) != default


HARD: list[dict[str, Any]] = [
    {"type": "string", "pattern": "^mem_[a-z0-9]{6,12}$"},
    {"type": "string", "pattern": r"^\d{4}-(a|b)[^x]$"},
    {"type": "string", "minLength": 40, "maxLength": 40},
    {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 3},
    {"type": "object", "minProperties": 2, "properties": {"a": {"type": "string"}, "b": {}}},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}},
    {"type": ["null", "integer"], "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "multipleOf": 7, "minimum": 30, "maximum": 36},
    {
        "type": "object",
        "properties": {"query": {"type": "string"}, "tags": {"type": "array"}},
        "anyOf": [{"required": ["query"]}, {"required": ["tags"]}],
    },
    {"allOf": [{"required": ["a"]}, {"properties": {"a": {"const": 1}}, "type": "object"}]},
    {"oneOf": [{"type": "null"}, {"type": "string", "format": "uuid"}]},
    *({"type": "string", "format": f} for f in ("date-time", "date", "uri", "email", "ipv4")),
]


@pytest.mark.parametrize("schema", HARD, ids=lambda s: str(sorted(s)))
@pytest.mark.parametrize("seed", range(4))
def test_examples_of_awkward_schemas(schema: dict[str, Any], seed: int) -> None:
    """Patterns, bounds, alternatives and formats are kept."""
    assert is_valid(schema, examples.example(schema, seed))


def test_an_impossible_schema_is_refused() -> None:
    """A schema that nothing satisfies is named, not answered with something invalid."""
    with pytest.raises(examples.NoExample, match="write one under its `examples`"):
        examples.example({"type": "string", "not": {"type": "string"}})


def test_whoever_changes_an_example_changes_no_other() -> None:
    """Each value is its caller's own, though the schema gives one object to all."""
    schema = {"type": "array", "items": {"type": "object"}, "examples": [[{"text": "one"}]]}
    examples.example(schema)[0]["text"] = "changed"
    assert [{"text": "one"}] == examples.example(schema)
