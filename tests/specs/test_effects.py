"""Effects: who does what to a resource, and the ids that an answer gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import specs
from specs import effects
from specs.vocabulary import Effect

CREATE = specs.load("sovant")["memory.create"]


def operation(**declared: Any) -> specs.Operation:
    """Return an operation with an effect of our own."""
    effect = Effect.model_validate({"basis": "documented", "source": "ours", **declared})
    return replace(CREATE, effect=effect)


ONE = operation(kind="create", resource="thing", id="/id")
MANY = operation(kind="create", resource="thing", ids="/ids", each="/entries")
BATCH = operation(kind="batch", resource="thing", each="/calls", items="/results", item_id="/id")


@pytest.mark.parametrize(
    ("does", "arguments", "body", "expected"),
    [
        (ONE, {"a": 1}, {"id": "t1"}, [("t1", {"a": 1})]),
        (ONE, {}, {"id": 7}, [(7, {})]),
        (ONE, {}, {"id": True}, []),
        (ONE, {}, {"other": "t1"}, []),
        (ONE, {}, None, []),
        (MANY, {"entries": [{"a": 1}, {"a": 2}]}, {"ids": ["x", "y"]},
         [("x", {"a": 1}), ("y", {"a": 2})]),
        (MANY, {"entries": [{"a": 1}]}, {"ids": ["x", None, "y"]}, [("x", {"a": 1}), ("y", {})]),
        (BATCH, {"calls": [{"op": "create"}, {"op": "delete"}]},
         {"results": [{"id": "x"}, {"id": "y"}]}, [("x", {})]),
        (BATCH, {"calls": [{"op": "create"}]}, {"results": "none"}, []),
        (operation(kind="delete", resource="thing", target="id"), {}, {"id": "t1"}, []),
    ],
)  # fmt: skip
def test_an_answer_tells_what_was_created(
    does: specs.Operation, arguments: dict[str, Any], body: Any, expected: list[Any]
) -> None:
    """Each id comes with the arguments that it was made of; what is no id is none."""
    assert expected == list(effects.created(does, arguments, body))


def test_the_contract_says_who_does_what() -> None:
    """Makers, readers and the ids that a call needs are read from the declared effects."""
    contract = specs.load("sovant")
    assert "memory.create" in [o.id for o in effects.creators(contract, "memory")]
    assert {"memory.get"} == {o.id for o in effects.on(contract, "memory", "read")}
    assert ("memory",) == effects.makes(contract["memory.create"])
    assert ("memory",) == effects.shows(contract["memory.list"])
    assert "memory" in effects.needs(contract["memory.get"]).values()
    assert {} == effects.needs(contract["memory.list"])
    assert "none" == effects.kind(None)


def test_every_creator_of_the_shipped_specs_is_a_writer() -> None:
    """What tells an id also writes; no operation makes a resource without a name."""
    for name in specs.names():
        contract = specs.load(name)
        writers = {o.id for o in effects.writers(contract)}
        for operation_ in contract:
            for resource in effects.makes(operation_):
                made = {o.id for o in effects.creators(contract, resource)}
                assert resource == "receipt" or (operation_.id in made and made <= writers)
