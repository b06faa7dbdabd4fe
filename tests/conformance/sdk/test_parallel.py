"""Copies of a driver side by side: the same result as one after another, whatever one copy does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

import specs
from conformance.cases import Case, CaseResult, Interrupted, execute
from conformance.faults.script import Script
from conformance.faults.testbench import Testbench
from conformance.progress import VARIABLE, parse
from conformance.report.results import Results
from conformance.sdk import parallel, suite
from conformance.sdk.subject import SdkSubject
from conformance.verdict import Inconclusive, Verdict

CLAIV = specs.load("claiv")
MINIATURES = Path(__file__).parents[2] / "miniatures"
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
            first, todo, execute, lambda: suite._another(mortal, first), 3
        )  # fmt: skip
    assert {(r.operation, r.verdict) for r in results} == {
        ("notes.add", Verdict.PASS), ("notes.list", Verdict.ERROR),
    }  # fmt: skip
    assert all("out of cheese" in r.reason for r in results if r.verdict is Verdict.ERROR)


def test_an_interrupted_run_leaves_no_driver_and_what_it_knows(first: SdkSubject) -> None:
    """Ctrl-C ends every copy's driver, one in the middle of a call too, and none starts again.

    What was judged before is kept; what was under way says nothing, its driver being gone.
    """
    copies: list[SdkSubject] = []
    calling = threading.Event()

    def execute(case: Case, subject: SdkSubject, operation: Any, mode: str) -> CaseResult:
        if subject is first:
            assert calling.wait(60)
            if case.id == "case.0":
                return _result(case, operation, mode)
            raise KeyboardInterrupt
        if case.id == "case.0":  # it is the subject's own
            return _result(case, operation, mode)
        copies.append(subject)
        subject.driver.hello()
        calling.set()
        while True:  # until its driver is taken away
            outcome = subject.driver.open("http://127.0.0.1:9", "k")
            if not isinstance(outcome, str):
                return _result(case, operation, mode)

    todo = [(_case(f"case.{n}"), None, "") for n in range(4)]
    with pytest.raises(Interrupted) as stopped:
        parallel.run(first, todo, execute, lambda: suite._another(target(), first), 2)
    assert [r.case for r in stopped.value.finished] == ["case.0"]
    assert len(copies) == 1
    assert first.driver.pid is None or first.driver._pipe is None or first.driver._pipe.ended
    assert copies[0].driver.pid is None
    outcome = copies[0].driver.open("http://127.0.0.1:9", "k")
    assert not isinstance(outcome, str)
    assert "not wanted any more" in outcome.detail


def test_an_interruption_that_reaches_a_copy_ends_the_run(first: SdkSubject) -> None:
    """Where a copy's progress raises the exception that got lost, nobody works on or is waited for.

    The subject is at a case that ends only because its driver is taken away: no result.
    """
    calling = threading.Event()

    def execute(case: Case, subject: SdkSubject, operation: Any, mode: str) -> CaseResult:
        if subject is not first:
            assert calling.wait(60)
            raise KeyboardInterrupt
        while isinstance(subject.driver.open("http://127.0.0.1:9", "k"), str):
            calling.set()
        return _result(case, operation, mode)

    todo = [(_case(f"case.{n}"), None, "") for n in range(2)]
    with pytest.raises(Interrupted) as stopped:
        parallel.run(first, todo, execute, lambda: suite._another(target(), first), 2)
    assert stopped.value.finished == ()


def test_an_end_among_the_late_cases_keeps_the_early_ones(
    first: SdkSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases that come after all others take nothing with them when the run ends in one of them."""

    def execute(case: Case, subject: SdkSubject, operation: Any, mode: str) -> CaseResult:
        if case.id.startswith(suite.LATE):
            raise KeyboardInterrupt
        return _result(case, operation, mode)

    monkeypatch.setattr(suite, "execute", execute)
    early = [(c.id, mode) for c, _, mode in suite._todo(first, ["surface"])]
    another = lambda: suite._another(target(), first)  # noqa: E731
    with pytest.raises(Interrupted) as stopped:
        suite.run_copies(first, another, 2, ["surface", "composed"])
    assert [(r.case, r.mode) for r in stopped.value.finished] == early


def test_an_ended_run_in_real_time_leaves_a_result(tmp_path: Path) -> None:
    """Exit 3, a valid result of what was judged until then, and no process of eight left over."""
    driver = f"{sys.executable} {MINIATURES / 'mini.py'} slow-on-one"
    words = ["sdk", "--driver", driver, "--api", str(MINIATURES / "notes.yaml")]
    ending = subprocess.Popen(
        [sys.executable, "-m", "conformance", *words, "--out", str(tmp_path)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, VARIABLE: "json"},
    )  # fmt: skip
    assert ending.stderr is not None
    for line in ending.stderr:
        event = parse(line)
        if event and event["done"] >= 8:
            break
    family = psutil.Process(ending.pid).children(recursive=True)
    ending.send_signal(signal.SIGTERM)
    said, _ = ending.communicate(timeout=120)
    _, alive = psutil.wait_procs(family, timeout=60)
    assert ending.returncode == 3, said
    assert "not complete: interrupted" in said
    made = Results.model_validate_json((tmp_path / "results.json").read_text("utf-8"))
    assert not made.run.complete
    [entry] = made.subjects
    assert entry.name == "mini"
    assert 8 <= entry.counts["cases"] < 100
    assert "error" not in entry.counts, entry.requirements
    assert family
    assert not alive


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
