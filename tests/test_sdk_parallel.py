"""Copies of a driver side by side: the same result as one after another, whatever one copy does."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import specs
from conformance.cases import Case, CaseResult
from conformance.faults.script import Script
from conformance.faults.testbench import Testbench
from conformance.sdk import parallel, suite
from conformance.sdk.subject import SdkSubject
from conformance.verdict import Inconclusive, Verdict

CLAIV = specs.load("claiv")
MINIATURES = Path(__file__).parent / "miniatures"
DEFECTIVE = ("retry.only-503", "error.request-id-lost")
CASES = ["wire.request", "errors.documented", "retry.recovery", "composed"]


def target(*defects: str) -> suite.Target:
    """How the reference SDK of a contract is started."""
    command = [sys.executable, "-m", "conformance.reference.sdk", "--api", "claiv"]
    return suite.Target(CLAIV, (*command, *(w for d in defects for w in ("--defect", d))))


@contextlib.contextmanager
def subject(made: suite.Target) -> Iterator[SdkSubject]:
    """A subject with its driver running."""
    with (
        Testbench() as bench,
        contextlib.closing(suite._one(made, bench, "", "", "claiv", "virtual")) as found,
    ):
        yield found


def told(results: Sequence[CaseResult]) -> list[Any]:
    """What a reader of the results cares for, without times and counts."""
    return [
        (r.name, r.verdict, r.reason, [(f.requirement, f.cause, f.operation) for f in r.findings])
        for r in results
    ]


def test_copies_find_what_one_finds() -> None:
    """Results, witnesses and coverage are those of a run one after another, in the same order."""
    with subject(target(*DEFECTIVE)) as alone:
        wanted = told(suite.run(alone, CASES))
    with subject(target(*DEFECTIVE)) as first:
        another = lambda: suite._another(target(*DEFECTIVE), first)  # noqa: E731
        found = told(suite.run_copies(first, another, 3, CASES))
        assert found == wanted
        assert {w for *_, findings in found for w in findings}
        assert list(first.witnesses) == list(alone.witnesses)
        assert first.ran == alone.ran
        assert suite.coverage(first) == suite.coverage(alone)


def _case(id: str, modes: Sequence[str] = ("",)) -> Case:
    return Case(id, "sdk", (), id, lambda *_: [], None, tuple(modes))


def _result(case: Case, operation: Any, mode: str) -> CaseResult:
    return CaseResult(case.id, (), Verdict.PASS, operation=operation, mode=mode)


@pytest.fixture
def first() -> Iterator[SdkSubject]:
    """A subject whose driver runs, without defects."""
    with subject(target()) as made:
        yield made


def test_cases_run_at_the_same_time(first: SdkSubject) -> None:
    """As many cases are under way at once as there are copies."""
    together = threading.Barrier(3, timeout=60)

    def execute(case: Case, subject: SdkSubject, operation: Any, mode: str) -> CaseResult:
        together.wait()
        return _result(case, operation, mode)

    todo = [(_case(f"case.{n}"), None, "") for n in range(6)]
    results = parallel.run(first, todo, execute, lambda: suite._another(target(), first), 3)
    assert [r.case for r in results] == [f"case.{n}" for n in range(6)]


def test_runs_of_one_case_stay_together_and_in_order(first: SdkSubject) -> None:
    """What one run of a case found to hang, its next run in that mode knows, and no other."""
    seen: dict[tuple[str, str], list[set[tuple[str, str]]]] = {}

    def execute(case: Case, subject: SdkSubject, operation: Any, mode: str) -> CaseResult:
        seen.setdefault((case.id, mode), []).append(set(subject.hung))
        subject.hung.add((mode, f"{case.id}-{len(seen[case.id, mode])}"))
        return _result(case, operation, mode)

    cases = [_case(f"case.{n}") for n in range(4)]
    todo = [(c, None, m) for c in cases for _ in range(3) for m in ("sync", "async")]
    parallel.run(first, todo, execute, lambda: suite._another(target(), first), 3)
    assert seen == {
        (c.id, m): [{(m, f"{c.id}-{n + 1}") for n in range(before)} for before in range(3)]
        for c in cases for m in ("sync", "async")
    }  # fmt: skip


def test_a_copy_that_does_not_start_is_done_without(first: SdkSubject) -> None:
    """Where only one driver can run at a time, it does all the cases."""
    broken = suite.Target(CLAIV, (sys.executable, "-c", "raise SystemExit(1)"))
    results = parallel.run(
        first, [(_case(f"case.{n}"), None, "") for n in range(4)],
        lambda case, subject, operation, mode: _result(case, operation, mode),
        lambda: suite._another(broken, first), 3,
    )  # fmt: skip
    assert len(results) == 4


def test_a_driver_that_dies_harms_its_case_alone() -> None:
    """A driver that ends in the middle of a call is an error of that case, and of no other."""
    command = (sys.executable, str(MINIATURES / "mini.py"), "dies-on-one")
    mortal = suite.Target(specs.load(MINIATURES / "notes.yaml"), command)

    def one_call(subject: SdkSubject, operation: Any) -> list[Any]:
        assert subject.play(Script(), subject.ask(operation), alone=True).call.outcome.value
        return []

    case = Case("call", "sdk", (), "", one_call, each=lambda contract: contract)
    with subject(mortal) as first:
        todo = [(case, o, m) for m in ("a", "b", "c") for o in first.contract]
        results = parallel.run(
            first, todo, suite._execute, lambda: suite._another(mortal, first), 3
        )  # fmt: skip
    assert {(r.operation, r.verdict) for r in results} == {
        ("notes.add", Verdict.PASS), ("notes.list", Verdict.ERROR),
    }  # fmt: skip
    assert all("out of cheese" in r.reason for r in results if r.verdict is Verdict.ERROR)


def test_an_interrupted_run_leaves_no_driver(first: SdkSubject) -> None:
    """Ctrl-C ends every copy's driver, one in the middle of a call too, and none starts again."""
    copies: list[SdkSubject] = []
    calling = threading.Event()

    def execute(case: Case, subject: SdkSubject, operation: Any, mode: str) -> CaseResult:
        if subject is first:
            assert calling.wait(60)
            raise KeyboardInterrupt
        copies.append(subject)
        subject.driver.hello()
        calling.set()
        while True:  # until its driver is taken away
            outcome = subject.driver.open("http://127.0.0.1:9", "k")
            if not isinstance(outcome, str):
                return _result(case, operation, mode)

    todo = [(_case(f"case.{n}"), None, "") for n in range(4)]
    with pytest.raises(KeyboardInterrupt):
        parallel.run(first, todo, execute, lambda: suite._another(target(), first), 2)
    assert len(copies) == 1
    assert first.driver.pid is None or first.driver._pipe is None or first.driver._pipe.ended
    assert copies[0].driver.pid is None
    outcome = copies[0].driver.open("http://127.0.0.1:9", "k")
    assert not isinstance(outcome, str)
    assert "not wanted any more" in outcome.detail


def test_what_breaks_a_copy_is_raised(first: SdkSubject) -> None:
    """An error of ours in another thread ends the run with that error."""

    def execute(case: Case, subject: SdkSubject, operation: Any, mode: str) -> CaseResult:
        if subject is first:
            broke.wait(60)
            return _result(case, operation, mode)
        broke.set()
        raise ZeroDivisionError("ours")

    broke = threading.Event()
    todo = [(_case(f"case.{n}"), None, "") for n in range(4)]
    with pytest.raises(ZeroDivisionError):
        parallel.run(first, todo, execute, lambda: suite._another(target(), first), 2)


# --- waits that take real time --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"clock": "virtual"}, 0.0),
        ({"clock": "real", "time_scale": 0.001}, 0.6),
        ({"clock": "real", "time_scale": 1.0}, 30.0),
        ({"clock": "real", "time_scale": 1.0, "longest_wait": 0.01}, 0.24),
    ],
)
def test_real_waits_are_allowed_for(
    first: SdkSubject, changes: dict[str, Any], seconds: float
) -> None:
    """A call gets the real time that its waits may take, as far as the driver says."""
    first._hello = first.hello.model_copy(update=changes)
    assert first.allowance == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("says", "script", "told"),
    [
        ({}, "notes.add 429", "inconclusive"),
        ({}, "notes.add stall", "hang"),
        ({"longest_wait": 0.01}, "notes.add 429", "hang"),
        ({"clock": "virtual"}, "notes.add 429", "hang"),
    ],
)
def test_a_call_that_may_be_waiting_is_not_called_hung(
    monkeypatch: pytest.MonkeyPatch, says: dict[str, Any], script: str, told: str
) -> None:
    """Only where a driver says how long its waits take at most is a long one told from a hang."""
    monkeypatch.setattr("conformance.sdk.subject.LONGEST", 0.1)
    command = (sys.executable, str(MINIATURES / "mini.py"), "slow")
    with subject(suite.Target(specs.load(MINIATURES / "notes.yaml"), command)) as slow:
        slow._hello = slow.hello.model_copy(update=says)
        ask = slow.ask(slow.contract["notes.add"])
        with (
            pytest.raises(Inconclusive, match="longest_wait")
            if told == "inconclusive"
            else (contextlib.nullcontext())
        ):
            made = slow.play(Script.parse(script), ask, timeout=0.5, alone=True)
            assert made.call.outcome.kind == told
