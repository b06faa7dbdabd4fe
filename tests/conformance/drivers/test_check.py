"""`driver check`: each way of being wrong is described, and drivers that are right pass."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import specs
from conformance.drivers import check

MINIATURES = Path(__file__).parents[2] / "miniatures"
MINI = MINIATURES / "mini.py"
NOTES = MINIATURES / "notes.yaml"

DESCRIBED = {
    "silent": ("hello", "no answer within"),
    "slow": ("call[sync]", "no answer within"),
    "slow-on-one": ("call[sync]", "no answer within"),
    "chatty": ("hello", "it is no JSON object"),
    "dies": ("call[sync]", "exit code 3); its last words: out of cheese"),
    "dies-on-one": ("call[sync]", "exit code 3); its last words: out of cheese"),
    "lies-about-ids": ("hello", "answered with id 102"),
    "answers-twice": ("quiet", "a line that nobody asked for"),
    "invalid-json": ("hello", "it is no JSON object"),
    "claims-unknown": ("hello.operations", "notes.burn"),
    "omits-operation": ("hello.operations", "does not mention operations: notes.list"),
    "unexplained": ("hello.operations", "notes.list can be called in no mode"),
    "does-anything": ("unknown-operation[sync]", "which does not exist, its outcome is `value`"),
    "huge": ("call[sync]", "a line longer than 16 MiB"),
    "never-ends": ("stop", "still ran"),
    "ignores-the-end": ("end-of-input", "still ran"),
    "wrong-schema": ("open[sync]", "outcome.kind: Input should be"),
    "wrong-reply": ("open[sync]", "answered with a reply `stop`"),
    "pretends": ("call[sync]", "no request was sent"),
    "drops-the-prefix": ("call[sync]", "beside the base URL: GET /notes"),
    "wrong-clock": ("call[sync]", "lie outside the call"),
    "swallows-errors": ("errors[sync]", "raises nothing"),
    "falls-over": ("not-json", "the driver ended"),
    "loses-calls": ("calls[sync]", "4 calls at once, it told of 1"),
    "keeps-clients": ("close[sync]", "still answers calls"),
    "speaks-another": ("hello.protocol", "protocol 2"),
    "of-another-api": ("hello.api", "'tasks', not 'notes'"),
    "cuts-unseen": ("hello.longest_wait", "records none"),
    "no-record": ("hello.clock", "records no waits"),
}


HANGING = {"silent", "slow", "slow-on-one", "never-ends", "ignores-the-end"}
"""Faults that take as long as the driver is given."""


def _remarks(*faults: str) -> list[check.Remark]:
    command = [sys.executable, str(MINI), *faults]
    patience = 2.5 if HANGING & {*faults} else check.TIMEOUT
    return check.check(command, specs.load(NOTES), timeout=patience)


def test_a_driver_that_is_right_has_no_remarks() -> None:
    """The miniature without a fault passes."""
    assert _remarks() == []


@pytest.mark.parametrize("fault", DESCRIBED)
def test_each_way_of_being_wrong_is_described(fault: str) -> None:
    """A faulty driver gets the remark that names its fault, with advice, and few others."""
    wanted, text = DESCRIBED[fault]
    remarks = _remarks(fault)
    found = [r for r in remarks if r.check == wanted and text in r.text]
    assert found, remarks
    assert all(r.advice for r in remarks)
    assert len({r.check for r in remarks}) <= 2, remarks


def test_every_miniature_is_described() -> None:
    """No miniature is left out of the table above."""
    spec = importlib.util.spec_from_file_location("mini", MINI)
    assert spec is not None
    assert spec.loader is not None
    mini = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mini)
    assert set(DESCRIBED) == set(mini.FAULTS)


@pytest.mark.parametrize("api", ["claiv", "memsy-control"])
def test_the_reference_sdk_is_a_good_driver(api: str) -> None:
    """The reference SDK speaks the protocol without remark."""
    command = [sys.executable, "-m", "conformance.reference.sdk", "--api", api]
    assert check.check(command, specs.load(api)) == []


def test_the_command_says_it_in_words() -> None:
    """`driver check` prints what is wrong and what to do, and its exit code says whether."""
    said: list[str] = []
    command = f"{sys.executable} {MINI} loses-calls"
    assert check.main(command, str(NOTES), write=said.append) == 1
    text = "".join(said)
    assert "asked for 4 calls at once, it told of 1\n   → tell how each call ended" in text
    assert check.main(f"{sys.executable} {MINI}", str(NOTES), write=said.append) == 0
    assert "Nothing wrong" in said[-1]


@pytest.mark.parametrize(
    ("command", "api", "says"),
    [
        ("x", "no-such-api", "unknown API"),
        ("", str(NOTES), "no command"),
        ("'x", str(NOTES), "is no command line"),
    ],
)
def test_a_wrong_question_is_usage(command: str, api: str, says: str) -> None:
    """An API that does not exist or an empty command is answered with exit code 2."""
    said: list[str] = []
    assert check.main(command, api, write=said.append) == 2
    assert says in "".join(said)


def test_a_command_that_does_not_exist_is_a_remark() -> None:
    """A driver that cannot be started is said so."""
    remarks = check.check(["/no/such/driver"], specs.load(NOTES))
    assert [r.check for r in remarks] == ["hello"]
    assert "cannot start '/no/such/driver'" in remarks[0].text


def test_a_command_that_ends_at_once_is_not_told_to_catch_errors() -> None:
    """A driver that never said anything gets the advice to give another command."""
    remarks = check.check([sys.executable, "no-such-driver.py"], specs.load(NOTES))
    assert [r.check for r in remarks] == ["hello"]
    assert "no-such-driver.py" in remarks[0].text
    assert remarks[0].advice.startswith("give a command that starts the driver")
