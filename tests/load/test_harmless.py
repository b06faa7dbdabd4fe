"""A load run changes nothing that it did not create."""

from __future__ import annotations

import specs
from load.call import origin
from load.lane import Lane
from load.plan import make_plan
from load.profile import load_profile
from tests.miniatures.grudge import contract
from tests.scripted import document


def _excluded(source: specs.Contract) -> dict[str, str]:
    plan = make_plan(source, load_profile("smoke"))
    return {each.operation: each.reason for each in plan.excluded}


def test_operations_that_could_harm_are_left_out_of_load() -> None:
    """What is alarming by name, skipped by the contract, or of no declared effect is not played."""
    out = _excluded(contract())
    assert {"admin.restart", "admin.reindex", "admin.refresh", "things.archive"} == set(out)
    assert out["admin.refresh"] == "it sends mail"
    assert "no effect" in out["things.archive"]


def test_records_that_only_a_list_shows_are_read_and_not_changed() -> None:
    """Where nothing makes a kind of record, those that a list shows are somebody's."""
    made = document()
    del made["paths"]["/things"]["post"]
    out = _excluded(specs.from_document(made))
    assert {"things.update", "things.delete"} == set(out)
    assert "of the run's own" in out["things.update"]


def test_what_the_examples_of_a_spec_name_is_not_touched() -> None:
    """Targets that nobody makes, and entries of batches, get names of the run's own."""
    for api in ("memsy", "sovant"):
        plan = make_plan(specs.load(api), load_profile("smoke"))
        lane = Lane(plan, origin("http://127.0.0.1:1/x"), "key", "mcrunl0", 1)
        for task in plan.tasks:
            effect = task.operation.effect
            if effect is None or task.operation.safe or effect.kind == "create":
                continue
            for template, _ in lane._templates[task.index]:
                shown = repr(template)
                if effect.target and effect.target not in task.needs:
                    assert "mcrunl0-x" in shown
                assert "mem_123abc" not in shown
