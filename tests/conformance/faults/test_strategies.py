"""Composed fault scripts: what is drawn can be played, covers everything, and is repeatable."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings

import specs
from conformance.faults.script import KINDS, Instruction, Script, Stage
from conformance.faults.strategies import drawn, reduced, scripts

CLAIV = specs.load("claiv")


@pytest.fixture(scope="module")
def found() -> tuple[Script, ...]:
    """Some hundred drawn scripts."""
    return drawn(scripts(CLAIV), 400, 1)


@settings(max_examples=200)
@given(scripts(CLAIV))
def test_drawn_scripts_can_be_written_down_and_played(script: Script) -> None:
    """Each drawn script has one to six instructions, and its text form is itself."""
    assert 1 <= len(script) <= 6
    assert Script.parse(script.short()) == script
    assert {i.operation for i in script} <= {None, *CLAIV.operations}


def test_every_stage_and_effect_is_drawn(found: tuple[Script, ...]) -> None:
    """A few hundred scripts hold each stage, and each effect but those with own tables."""
    parts = [i for script in found for i in script]
    assert {i.stage for i in parts} == set(Stage)
    assert {i.effect.kind for i in parts} == set(KINDS) - {"refuse", "trickle", "late"}
    assert {i.operation for i in parts} == {None, *CLAIV.operations}


def test_the_same_seed_draws_the_same_scripts() -> None:
    """Runs are repeatable by their seed, and differ by it."""
    one, same, other = (drawn(scripts(CLAIV), 50, n) for n in (7, 7, 8))
    assert one == same
    assert one != other


def test_silence_can_be_left_out() -> None:
    """Where no client should have to time out, none has to."""
    found = drawn(scripts(CLAIV, silent=False), 200, 3)
    assert not [i for script in found for i in script if i.effect.kind == "stall"]


SHRUNK = [
    (lambda i: True, "503"),
    (lambda i: i.stage is Stage.AFTER_COMMIT, "503"),
    (lambda i: i.effect.status == 429, "429"),
    (lambda i: i.effect.kind == "truncate", "truncate"),
    (lambda i: i.effect.body == b"[]", '503 body="[]"'),
    (lambda i: bool(i.effect.headers), "503 retry-after="),
]


@pytest.mark.parametrize(("guilty", "effect"), SHRUNK)
def test_a_failing_script_is_reduced_to_its_guilty_part(
    found: tuple[Script, ...], guilty: Callable[[Instruction], bool], effect: str
) -> None:
    """However long a script, what is reported is its guilty part, made as plain as it gets."""
    tries = []

    def fails(script: Script) -> bool:
        tries.append(script)
        return any(map(guilty, script))

    long = next(script for script in found if len(script) > 2 and any(map(guilty, script)))
    (left,) = reduced(long, fails)
    assert left.short().split(" ", 2)[2].startswith(effect)
    assert (left.attempt, left.times) == (1, 1)
    assert len(tries) == len(set(tries)) <= 200


def test_two_faults_that_only_fail_together_are_both_kept(found: tuple[Script, ...]) -> None:
    """What needs two instructions keeps two, and only two."""

    def fails(script: Script) -> bool:
        return {i.operation for i in script} >= {"recall", "forget"}

    long = next(script for script in found if fails(script))
    plain = "recall#1 before-handler 503", "forget#1 before-handler 503"
    assert sorted(i.short() for i in reduced(long, fails)) == sorted(plain)
