"""The kill matrix itself: which defects meet, what the verdicts mean, what is told of them."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from conformance.cli import app
from conformance.reference.defects import Defect
from conformance.sdk.teeth import DEFECTS
from conformance.teeth import Bite, Kill, Pair, Plan, Reference, dump, pairs_of, show


def defect(identity: str, case: str = "retry.statuses", requirement: str = "RT5") -> Defect:
    """Return a defect of no reference."""
    return Defect(identity, "sdk", "claiv", requirement, case, "Does something wrong.")


KILLED = Kill(defect("a.one"), ("retry.statuses", "retry.default"))
SURVIVED = Kill(defect("b.two"), ("wire.request",))
INVALID = Kill(defect("c.three"), exercised=False)
CLEAN = Reference("sdk", "claiv", True)


def test_pairs_leave_nobody_out() -> None:
    """Every defect meets another of its API, of another group, requirement and case."""
    pairs = pairs_of(DEFECTS, 0)
    met = {d.id for pair in pairs for d in pair}
    lonely = {d.id for d in DEFECTS} - met
    assert lonely == set()
    for one, other in pairs:
        assert one.api == other.api
        assert one.requirement != other.requirement
        assert one.case != other.case
        assert one.id.split(".")[0] != other.id.split(".")[0]


def test_pairs_hang_on_the_seed() -> None:
    """The same seed gives the same pairs; another gives others."""
    assert pairs_of(DEFECTS, 1) == pairs_of(DEFECTS, 1)
    assert pairs_of(DEFECTS, 1) != pairs_of(DEFECTS, 2)


PAIRS = [
    ((KILLED, KILLED), "both"),
    ((KILLED, INVALID), "hidden"),
    ((KILLED, SURVIVED), "survived"),
    ((INVALID, INVALID), "survived"),
]


@pytest.mark.parametrize(("kills", "verdict"), PAIRS)
def test_a_pair(kills: tuple[Kill, ...], verdict: str) -> None:
    """Of a pair both are killed, or one keeps the other from being reached, or one survived."""
    assert Pair(kills).verdict == verdict


GOOD = [
    (Bite((KILLED,), (CLEAN,)), True),
    (Bite((KILLED, SURVIVED), ()), False),
    (Bite((KILLED, INVALID), ()), False),
    (Bite((), (CLEAN, Reference("sdk", "memsy", False, "retry.jitter", 7))), False),
    (Bite((), (), (Pair((KILLED, INVALID)),)), True),
    (Bite((), (), (Pair((KILLED, SURVIVED)),)), False),
]


@pytest.mark.parametrize(("made", "good"), GOOD)
def test_one_survivor_spoils_the_matrix(made: Bite, good: bool) -> None:
    """The matrix is good where nothing survived and every reference is clean; else exit 1."""
    console = Console(file=io.StringIO(), width=200)
    assert (made.good, show(console, made)) == (good, 0 if good else 1)


def test_what_did_not_go_well_is_named() -> None:
    """Survivors, and references that are not clean, are told with their case, seed and reason."""
    console = Console(file=io.StringIO(), width=200, record=True)
    dirty = Reference("sdk", "memsy", False, "retry.jitter[search-sync]: jitter:none", 7)
    show(console, Bite((KILLED, SURVIVED), (CLEAN, dirty)))
    text = console.export_text()
    for words in (
        "survived: b.two (Does something wrong.) should die by retry.statuses",
        "not clean: sdk memsy, seed 7: retry.jitter[search-sync]",
        "1 of 2 defects killed by the case they name, 1 of 2 perfect references clean over 2 seeds",
    ):
        assert words in text


def test_nothing_run_proves_nothing() -> None:
    """A prefix that fits no defect is too little evidence, never a pass."""
    assert show(Console(file=io.StringIO()), Bite((), ())) == 5


def test_the_matrix_as_json() -> None:
    """Defects and references stand under their names; pairs hold their defects as those do."""
    made = json.loads(dump(Bite((KILLED,), (CLEAN,), (Pair((KILLED, INVALID)),))))
    assert made["defects"] == [
        {
            "id": "a.one", "suite": "sdk", "api": "claiv", "requirement": "RT5",
            "expected_case": "retry.statuses",
            "killed_by": ["retry.statuses", "retry.default"], "verdict": "killed",
        }
    ]  # fmt: skip
    assert made["references"] == [{"suite": "sdk", "api": "claiv", "clean": True, "seed": 0}]
    [pair] = made["pairs"]
    assert (pair["verdict"], [d["verdict"] for d in pair["defects"]]) == (
        "hidden", ["killed", "invalid"],
    )  # fmt: skip


PLANS = [
    (Plan(), [0], True),
    (Plan(seed=3, seeds=2), [3, 4], True),
    (Plan(only=("retry.",)), [], True),
    (Plan(pairs=True), [], True),
    (Plan(seeds=20, references_only=True), list(range(20)), False),
]


@pytest.mark.parametrize(("plan", "seeds", "defects"), PLANS)
def test_plans(plan: Plan, seeds: list[int], defects: bool) -> None:
    """References are judged unless part of the defects is asked for, on as many seeds as wanted."""
    assert (list(plan.reference_seeds), bool(plan.defects("sdk"))) == (seeds, defects)
    assert all(d.id.startswith("retry.") for d in Plan(only=("retry.",)).defects("sdk"))


USAGE = [
    (["--references-only", "--pairs"], "runs no defect"),
    (["--references-only", "--defect", "retry."], "runs no defect"),
    (["--pairs", "--suite", "load"], "load judges one defect at a time"),
    (["--seeds", "0"], "seeds"),
]


@pytest.mark.parametrize(("words", "said"), USAGE)
def test_what_makes_no_sense_is_usage(words: list[str], said: str) -> None:
    """Options that contradict each other are refused before anything runs, and the text says so."""
    done = CliRunner().invoke(app, ["teeth", *words])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
