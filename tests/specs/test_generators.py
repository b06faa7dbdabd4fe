"""Generator profiles: what a contract takes over by naming the generator, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import specs
from specs import Basis, generators
from specs.contract import from_document

BELOW = "below a documented block"


def contract(generator: str, **root: Any) -> specs.Contract:
    """A contract of one operation whose client was made by a generator."""
    client = {
        "package": "notes", "module": "notes", "documented": "1", "latest": "1", "sync": "Notes",
        "basis": "documented", "source": "notes § Usage", "generator": generator,
        **root.pop("client", {}),
    }  # fmt: skip
    block = {"api": "notes", "document": "notes", "documentVersion": "1", "client": client, **root}
    operation = {
        "operationId": "notes.list",
        "x-conformance": {"basis": "documented", "source": "notes § List"},
        "responses": {"200": {"description": "the notes"}},
    }
    document = {
        "openapi": "3.1.0", "info": {"title": "Notes", "version": "1"},
        "paths": {"/notes": {"get": operation}}, "x-conformance": block,
    }  # fmt: skip
    return from_document(document)


def stated(part: Any) -> Iterator[Mapping[str, Any]]:
    """Every block of a profile that says on what it rests."""
    if isinstance(part, Mapping):
        if "basis" in part:
            yield part
        for each in part.values():
            yield from stated(each)
    elif isinstance(part, list):
        for each in part:
            yield from stated(each)


@pytest.mark.parametrize("name", generators.names())
def test_every_fact_is_observed_and_says_where(name: str) -> None:
    """No profile documents anything: each block is observed and cites a file of the runtime."""
    blocks = list(stated(generators.profile(name)))
    assert len(blocks) >= 3
    assert {b["basis"] for b in blocks} == {"observed"}
    assert all(f" § {b['source'].partition(' § ')[2]}" in b["source"] for b in blocks)
    assert all(".py" in b["source"] for b in blocks)


@pytest.mark.parametrize("name", generators.names())
def test_one_line_brings_the_whole_profile(name: str) -> None:
    """Retries, errors and options of a contract that only names the generator are the profile's."""
    made = contract(name)
    below = generators.profile(name)
    (operation,) = made
    assert operation.retries is not None
    assert operation.errors is not None
    assert operation.retries.max_attempts == below["retries"]["maxAttempts"]
    assert operation.retries.basis is Basis.OBSERVED
    assert operation.errors.base == below["errors"]["base"]
    assert len(operation.errors.map) == len(below["errors"]["map"])
    assert made.client is not None
    roles = [o["role"] for o in below.get("client", {}).get("options", [])]
    assert [o.role for o in made.client.options] == roles


def test_own_words_win_and_lift_nothing() -> None:
    """A documented block keeps its words; what is filled in below it stays observed."""
    own = {
        "basis": "documented", "source": "notes § Retries", "maxAttempts": 6, "statuses": ["429"],
    }  # fmt: skip
    option = {
        "role": "max-retries", "name": "retries", "default": 5, "basis": "documented",
        "source": "notes § Retries",
    }  # fmt: skip
    made = contract("stainless", retries=own, client={"options": [option]})
    (operation,) = made
    retries = operation.retries
    assert retries is not None
    assert made.client is not None
    assert (retries.basis, retries.max_attempts) == (Basis.DOCUMENTED, 6)
    assert [entry.status for entry in retries.statuses] == ["429"]
    assert (retries.network, retries.told_by) == ((), None), BELOW
    assert (retries.backoff.base, retries.backoff.basis) == (0.5, Basis.OBSERVED)
    assert retries.retry_after is not None
    assert retries.retry_after.basis is Basis.OBSERVED
    names = {o.role: o.name for o in made.client.options}
    assert names["max-retries"] == "retries"
    assert names["timeout"] == "timeout"


def test_an_unknown_generator_is_refused_with_the_known_ones() -> None:
    """A generator that has no profile is a mistake in the spec, told with the names there are."""
    with pytest.raises(specs.SpecError, match="stainless"):
        contract("handmade")
