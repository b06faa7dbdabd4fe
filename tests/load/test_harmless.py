"""A load run changes nothing that it did not create."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import specs
from conformance.backend.trust import SYSTEM
from conformance.report.notes import notes
from conformance.report.results import SubjectEntry
from conformance.verdict import Verdict
from load import runner
from load.call import origin
from load.census import Census, told
from load.lane import Lane
from load.plan import make_plan
from load.profile import load_profile
from load.runner import Reach, run
from load.session import Options, Session
from tests.miniatures.grudge import OWNERS, Grudge, contract, described, served
from tests.scripted import document

KEY = "first-key-of-a-tenant"


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


def test_nothing_is_forgotten_without_a_scope() -> None:
    """A forget whose scope may be left out gets one of the run's own: it could be everybody's."""
    made = described()
    body = made["paths"]["/things/forget"]["post"]["requestBody"]
    del body["content"]["application/json"]["schema"]["required"]
    plan = make_plan(specs.from_document(made), load_profile("smoke"))
    lane = Lane(plan, origin("http://127.0.0.1:1/x"), "key", "mcrunl0", 1)
    task = plan.task("things.forget")
    assert all(b'"owner": "mcrunl0-f"' in lane.shoot(task).data for _ in range(8))


def test_an_id_that_was_there_before_is_not_the_runs() -> None:
    """A creation that gives an id of somebody's record makes nothing that the run may change."""
    plan = make_plan(contract(), load_profile("smoke"))
    lane = Lane(plan, origin("http://127.0.0.1:1/x"), "key", "mcrunl0", 1)
    lane.not_ours = frozenset({("thing", "2")})
    shot = lane.shoot(plan.task("things.create"))
    for id in ("2", "4"):
        lane.learn(shot, {"id": id, "name": "x"})
    assert ["4"] == [each.id for each in lane.written] == [e.id for e in lane.pools["thing"]]
    assert {("thing", "2")} == lane.reused


@pytest.mark.parametrize(
    ("chosen", "sent", "said"),
    [
        ({}, None, "its name says"),
        ({"only": ("things.list", "things.create")}, {"things.list", "things.create"}, "--only"),
        ({"only": ("admin.reindex",)}, {"admin.reindex"}, "--only"),
        ({"exclude": ("things.delete",)}, None, "--exclude"),
    ],
)
def test_a_person_chooses_the_operations(
    tmp_path: Path, chosen: dict[str, Any], sent: set[str] | None, said: str
) -> None:
    """--only sends what it names and nothing else, --exclude all but what it names."""
    file = tmp_path / "things.json"
    file.write_text(json.dumps(described()), "utf-8")
    session = Session(Options(str(file), "http://127.0.0.1:1/x", (KEY,), "smoke", **chosen))
    played = {task.name for task in session.plan.tasks}
    assert played.isdisjoint(chosen.get("exclude", ()))
    assert sent in (None, played)
    assert any(said in each.reason for each in session.plan.excluded)
    with pytest.raises(ValueError, match=r"--only 'things\.nothing'"):
        Session(Options(str(file), "http://h", (KEY,), "smoke", only=("things.nothing",)))


def test_choices_reach_the_process_that_sends() -> None:
    """The child of `memconform load` is told what to leave out; what is odd stays one word."""
    words = Reach(only=("a", "-b"), exclude=("c",)).words
    assert ["--only=a", "--only=-b", "--exclude=c"] == words
    assert runner.Reach is Reach


def census(url: str) -> Census:
    """Return what looks at the records of others there."""
    return Census(contract(), url, (KEY,), left_out={}, trust=SYSTEM, headers=(), timeout=5)


def test_a_load_run_says_what_became_of_the_records_that_were_there() -> None:
    """Records that are gone or changed at the end stand in the result and in what is shown."""
    server = Grudge()
    with served(server) as url:
        made = census(url)
        made.look()
        assert [frozenset(("thing", id) for id in OWNERS)] == made.foreign()
        assert {"before": 3, "same": 3} == made.proof()
        del server.things["1"]
        server.things["2"]["name"] = "changed by somebody"
        foreign = made.proof(["thing 3"])
    assert ["thing 1"] == foreign["gone"]
    assert ["thing 2"] == foreign["changed"]
    assert ["thing 3"] == foreign["reused"]
    assert 2 == len(list(told(foreign)))
    entry = SubjectEntry(
        kind="load", api="things", name="x", verdict=Verdict.PASS, details={"foreign": foreign}
    )
    assert next(iter(notes(entry))).startswith("GONE: thing 1")


def test_what_cannot_be_looked_at_is_said() -> None:
    """A dead server and an ended run are no proof, and say so."""
    made = census("http://127.0.0.1:1/base")
    assert {} == made.ended() == made.proof()
    made.look()
    assert 1 == len(made.proof()["unsure"])
    assert {"before": 0, "same": 0, "unsure": ["the run was ended before it looked again"]} == (
        made.ended()
    )


SHORT = """
name = "short"
users = 4
timeout = 5
drain = 2
prepare = 2
[[stages]]
seconds = 1
rate = 60
[gates]
lag = 5
"""


def test_a_load_run_leaves_the_records_of_others(tmp_path: Path) -> None:
    """A server that gives ids twice and obeys every method: its owner loses nothing."""
    file, profile = tmp_path / "things.json", tmp_path / "short.toml"
    file.write_text(json.dumps(described()), "utf-8")
    profile.write_text(SHORT, "utf-8")
    server = Grudge("reuses", "obeys")
    with served(server) as url:
        made = run(url, str(file), [KEY], profile, processes=2)
    methods = {method for method, _ in server.asked}
    assert {"POST", "DELETE"} <= methods
    assert [] == [path for _, path in server.asked if path.startswith("/admin")]
    assert list(OWNERS) == server.kept()
    foreign = made.details["foreign"]
    assert (3, []) == (foreign["before"], foreign.get("gone", []))
