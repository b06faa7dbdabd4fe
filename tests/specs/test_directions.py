"""Schemas by direction and by discriminator, written out when a document is read."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from specs import directions
from specs.examples import example

ITEM: dict[str, Any] = {
    "type": "object", "required": ["id", "name", "pin"],
    "properties": {
        "id": {"type": "string", "readOnly": True}, "name": {"type": "string"},
        "pin": {"type": "string", "writeOnly": True},
        "inner": {"$ref": "#/components/schemas/Item"},
    },
}  # fmt: skip


def _document(schema: Any, **schemas: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    operation = {
        "requestBody": {"content": content},
        "responses": {"200": {"content": copy.deepcopy(content)}},
    }
    return {"paths": {"/a": {"post": operation}}, "components": {"schemas": schemas}}


def test_each_direction_has_its_members() -> None:
    """A request lacks what is read only, an answer need not hold what is written only."""
    document = _document({"$ref": "#/components/schemas/Item"}, Item=copy.deepcopy(ITEM))
    directions.write_out(document)
    known = document["components"]["schemas"]
    assert known["Item"] == ITEM
    assert known["Item.request"]["required"] == ["name", "pin"]
    assert set(known["Item.request"]["properties"]) == {"name", "pin", "inner"}
    assert known["Item.response"]["required"] == ["id", "name"]
    operation = document["paths"]["/a"]["post"]
    for part, kind in ((operation["requestBody"], "request"),
                       (operation["responses"]["200"], "response")):  # fmt: skip
        place = f"#/components/schemas/Item.{kind}"
        assert part["content"]["application/json"]["schema"] == {"$ref": place}
        assert known[f"Item.{kind}"]["properties"]["inner"] == {"$ref": place}


@pytest.mark.parametrize(
    ("mapping", "names"),
    [
        ({"circle": "#/components/schemas/Circle", "round": "Circle"}, ["circle", "round"]),
        (None, ["Circle"]),
    ],
)
def test_a_branch_has_the_names_that_lead_to_it(
    mapping: dict[str, str] | None, names: list[str]
) -> None:
    """The names of a branch are those of the mapping, and without one the component's."""
    said: dict[str, Any] = {"propertyName": "kind", **({"mapping": mapping} if mapping else {})}
    schema = {"oneOf": [{"$ref": "#/components/schemas/Circle"}], "discriminator": said}
    directions.write_out(_document(schema, Circle={"type": "object"}))
    [branch] = schema["oneOf"]
    assert branch["allOf"][1] == {"required": ["kind"], "properties": {"kind": {"enum": names}}}


def test_nothing_to_write_out() -> None:
    """A document without these words stays as it is."""
    document = _document({"type": "object", "properties": {"a": {"type": "string"}}})
    before = copy.deepcopy(document)
    directions.write_out(document)
    assert document == before


@pytest.mark.parametrize("pattern", [r"^\p{L}[\p{L}\p{N} ]*$", r"^[\p{Lu}\-]{3}$", r"^\p{Nd}{2}$"])
def test_examples_of_unicode_classes(pattern: str) -> None:
    """A pattern of ECMA's Unicode classes has an example that fits it."""
    assert example({"type": "string", "pattern": pattern})
