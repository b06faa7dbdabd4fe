"""What a subject of the SDK suite tells of a run: the same twice, and only what was seen."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from conformance.cases import CaseResult, execute
from conformance.drivers.protocol import OptionInfo
from conformance.faults import session
from conformance.faults.script import Script
from conformance.sdk import cases, reference, run_release
from conformance.sdk.suite import speed
from conformance.verdict import Inconclusive, Verdict
from tests.bench.same import differences

SELECT = ["retry.backoff", "retry-after.body", "retry-after.order", "robust.concurrency",
          "robust.kept-connections", "robust.redirects", "composed.scripts"]  # fmt: skip
DEFECTIVE = ("answer.redirect-as-value", "retry-after.body-ignored", "transport.protocol-leak",
             "backoff.too-long")  # fmt: skip


def test_the_same_seed_tells_the_same_twice() -> None:
    """Two results are equal apart from times: waits, timelines and concurrent calls included."""
    command = [sys.executable, "-m", "conformance.reference.sdk", "--api", "claiv"]
    command += [word for defect in DEFECTIVE for word in ("--defect", defect)]
    one, two = (
        {"subjects": [e.model_dump(mode="json") for e in entries]}
        for entries in (
            run_release(None, command, "claiv", select=SELECT, seed=3) for _ in range(2)
        )
    )
    assert one["subjects"][0]["findings"]
    assert list(differences(one, two)) == []


@pytest.mark.parametrize(("one", "two", "told"), [
    ({"cases": [{"seconds": 1.0}]}, {"cases": [{"seconds": 2.0}]}, 0),
    ({"cases": [{"verdict": "pass"}]}, {"cases": [{"verdict": "fail"}]}, 1),
    ({"findings": [{"actual": "Sat, 21 Nov 2026 15:51:44 GMT"}]},
     {"findings": [{"actual": "Sun, 22 Nov 2026 00:00:0"}]}, 0),
    ({"findings": [{"actual": "0.62 s"}]}, {"findings": [{"actual": "0.63 s"}]}, 1),
    ({"findings": []}, {"findings": [{}]}, 1),
    ({"counts": {"pass": 1, "fail": 2}}, {"counts": {"fail": 2, "pass": 1}}, 1),
    ({"counts": {"pass": 1}}, {"counts": {"pass": True}}, 1),
])  # fmt: skip
def test_only_times_may_differ(one: Any, two: Any, told: int) -> None:
    """What compares two results overlooks clocks and dates, and nothing else."""
    assert len(list(differences({"subjects": [one]}, {"subjects": [two]}))) == told


def test_whoever_runs_a_case_learns_how_long_its_calls_took() -> None:
    """The ratio of virtual to real seconds is told under pytest as well as on the command line."""
    case = next(c for c in cases() if c.id == "retry.default")
    with reference("claiv") as subject:
        result = execute(case, subject, subject.contract["ingest"], "sync")
        assert (list(subject.busy), subject.case, subject.mode) == (["retry.default"], "", "")
        assert speed([result], subject.busy)["ratio"] > 0


def test_what_was_not_recorded_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A play whose bodies the testbench had no room for is inconclusive, in words."""
    monkeypatch.setattr(session, "BUDGET", 10)
    with reference("claiv") as subject:
        ask = subject.ask(next(o for o in subject.contract if o.body is not None))
        for alone in (False, True):
            with pytest.raises(Inconclusive, match="than the testbench records"):
                subject.play(Script(), ask, alone=alone)


def test_an_option_is_asked_of_the_mode_that_runs() -> None:
    """An option that only one mode takes is there in that mode and not in the other."""
    with reference("claiv") as subject:
        options = {"timeout": OptionInfo(name="timeout", modes=("sync",), missing="not in async")}
        subject._hello = subject.hello.model_copy(update={"options": options})
        subject.mode = "sync"
        assert subject.option("timeout")
        subject.mode = "async"
        assert not subject.option("timeout")
        subject.mode = ""
        assert not subject.option("timeout")


def test_an_sdk_that_never_waits_is_said_to_do_so() -> None:
    """Without a wait there is no ratio; with one it is virtual seconds to those of the calls."""
    still = CaseResult("retry.statuses", (), Verdict.PASS, seconds=2.0)
    assert (None, "never waits") == tuple(
        speed([still], {"retry.statuses": 1.0})[n] for n in ("ratio", "note")
    )
    waiting = CaseResult("retry.jitter", (), Verdict.PASS, seconds=2.0, virtual_seconds=30.0)
    assert 20.0 == speed([waiting], {"retry.jitter": 1.5, "errors.leaks": 9.0})["ratio"]
