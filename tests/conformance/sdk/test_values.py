"""Calls at the edges: which values are played, and where."""

from __future__ import annotations

import pytest

import specs
from conformance.oracles.contract import shape
from conformance.reference.sdk import demo
from conformance.sdk import reference
from conformance.sdk.test_spellings import answering, in_turn, prose
from conformance.sdk.test_values import bodied, variants
from specs import examples

APIS = (*specs.names(), *demo.names())


@pytest.mark.parametrize("api", APIS)
def test_edges_are_lawful(api: str) -> None:
    """Whatever is played is valid under the schema of its argument."""
    contract = specs.load(demo.source(api))
    for operation in bodied(contract):
        assert operation.body is not None
        declared = operation.body.schema.get("properties", {})
        for kind, arguments in variants(operation, {}):
            for name, value in arguments.items():
                assert shape(declared[name]).valid(value), (kind, name)


@pytest.mark.parametrize("api", APIS)
def test_foreign_texts_are_lawful(api: str) -> None:
    """An answer with texts beyond ASCII is still the declared one; words of the API stay."""
    for operation in answering(specs.load(demo.source(api))):
        schema = operation.success.schema
        assert schema is not None
        body = examples.example_response(operation)[2]
        assert shape(schema).valid(prose(schema, body)), operation.id


def test_words_of_the_api_are_no_prose() -> None:
    """Ids, times and words that programs compare are left; texts in lists and objects are not."""
    text = {"type": "string"}
    schema = {"properties": {"id": text, "createdAt": text, "content": text,
                             "items": {"items": {"properties": {"title": text}}}}}  # fmt: skip
    given = {"id": "a", "createdAt": "b", "content": "c", "items": [{"title": "d"}]}
    assert prose(schema, given, "X") == {
        "id": "a", "createdAt": "b", "content": "X", "items": [{"title": "X"}],
    }  # fmt: skip


@pytest.mark.parametrize("deep", [False, True])
def test_every_row_is_played_somewhere(deep: bool) -> None:
    """By turns each row falls to one operation; in a deep run every row to each of them."""
    with reference("octamem") as subject:
        subject.deep = deep
        every = list(subject.contract)
        shares = [in_turn(subject, o, every, range(7)) for o in every]
    assert {n for share in shares for n in share} == set(range(7))
    assert sum(map(len, shares)) == (7 * len(every) if deep else 7)
