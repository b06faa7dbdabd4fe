"""On what each constraint of the shipped specs rests: by its kind, unless the spec says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import specs
from conformance.cli import app
from specs import Basis, constraints, listing
from specs.constraints import TABLE, Kind

SPEC = str(Path(specs.__file__).parent / "claiv.yaml")
NEVER = (
    Kind.NULL, Kind.EXTRA, Kind.LENGTH, Kind.BOUND, Kind.PATTERN, Kind.SUCCESS, Kind.PATH,
)  # fmt: skip
STATED = {
    ("claiv", "recall", "request body.token_budget", Kind.BOUND),
    *(("octamem", o, f"POST /api/memory/{o}", Kind.PATH) for o in ("add", "search", "details")),
}
"""What a document does say of these kinds: 200 to 8000 tokens, and three paths."""


@pytest.mark.parametrize("api", specs.names())
def test_what_no_document_says_is_not_documented(api: str) -> None:
    """Null, extra members, figures, the kind of success and paths are documented where stated."""
    found = {
        (api, each.operation, each.place, each.kind)
        for each in listing.constraints(specs.load(api))
        if each.kind in NEVER and each.basis is Basis.DOCUMENTED
    }
    assert found == {each for each in STATED if each[0] == api}


@pytest.mark.parametrize("api", specs.names())
def test_nothing_rests_on_more_than_what_it_is_about(api: str) -> None:
    """A constraint is no surer than its place, unless the spec states that very thing."""
    order = list(Basis)
    for each in listing.constraints(specs.load(api)):
        most = TABLE[each.kind].most
        if (api, each.operation, each.place, each.kind) in STATED or each.kind in (
            Kind.STATUS, Kind.SUCCESS, Kind.BOUND, Kind.LENGTH, Kind.HEADER,
        ):  # fmt: skip
            continue  # these have statements of their own: answers, figures, blocks
        assert order.index(each.basis) >= order.index(each.inherited), each
        assert order.index(each.basis) >= order.index(most) or each.kind is Kind.BODY, each


@pytest.mark.parametrize(
    ("steps", "null", "basis"),
    [
        (("properties", "user_id", "type"), False, Basis.DOCUMENTED),
        (("properties", "user_id", "type"), True, Basis.DOCUMENTED),
        (("properties", "thread_id", "type"), True, Basis.ASSUMED),
        (("properties", "thread_id", "minLength"), False, Basis.ASSUMED),
        (("properties", "event_time", "format"), False, Basis.DOCUMENTED),
        (("properties", "role", "enum"), False, Basis.OBSERVED),
        (("required",), False, Basis.DOCUMENTED),
        (("additionalProperties",), False, Basis.ASSUMED),
    ],
)
def test_a_broken_rule_has_the_basis_of_that_rule(
    steps: tuple[str, ...], null: bool, basis: Basis
) -> None:
    """One request body holds rules of every weight, and each is told by its own."""
    ingest = specs.load("claiv")["ingest"]
    assert ingest.body is not None
    schema = ingest.body.schema
    assert constraints.broken(ingest, schema, steps, ingest.basis, null) is basis


def test_a_document_of_the_api_itself_states_what_it_declares() -> None:
    """Without an SDK between, every declared constraint is the document's own word."""
    free = {"type": "string", "x-basis-of": {"null": "assumed"}}
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"name": {"type": "string", "maxLength": 3}, "free": free},
    }
    make = {
        "operationId": "make",
        "x-conformance": {"basis": "documented", "source": "own § Things"},
        "requestBody": {"content": {"application/json": {"schema": schema}}},
        "responses": {"201": {"description": "made"}},
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1"},
        "x-conformance": {"api": "own", "document": "own", "documentVersion": "1"},
        "paths": {"/things": {"post": make}},
    }
    contract = specs.from_document(document)
    weights = {
        (each.place, each.kind): each.basis
        for each in listing.constraints(contract)
        if each.kind is not Kind.PATH
    }
    assert weights.pop(("request body.free", Kind.NULL)) is Basis.ASSUMED
    assert set(weights.values()) == {Basis.DOCUMENTED}


def test_a_reviewer_can_list_what_moved() -> None:
    """`spec check --constraints moved` names each place, its kind and the rule that decided."""
    shown = CliRunner().invoke(app, ["spec", "check", SPEC, "--constraints", "moved"])
    assert shown.exit_code == 0
    assert (
        "request body.thread_id  null  [for what is optional, null may mean absent]" in shown.output
    )
    assert "constraints: " in shown.output
    wrong = CliRunner().invoke(app, ["spec", "check", "--constraints", "heavy"])
    assert wrong.exit_code == 2
