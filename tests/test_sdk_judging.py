"""What a subject of the SDK suite tells of a run: the same twice, and only what was seen."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import pytest

from conformance.cases import CaseResult
from conformance.drivers.protocol import OptionInfo
from conformance.faults import session
from conformance.faults.script import Script
from conformance.sdk import reference, run
from conformance.sdk.suite import speed
from conformance.verdict import Inconclusive, Verdict

SELECT = ["retry-after.body", "robust.concurrency"]
_TIME = re.compile(r"\d+\.\d+( s\b)?|\d+ m?s\b")
_PLACE = re.compile(r"127\.0\.0\.1:\d+(/c/[0-9a-f]+)?")


def normalised(results: list[CaseResult]) -> list[dict[str, Any]]:
    """Results without times, addresses and timelines, which hold new keys and headers."""

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return _PLACE.sub("PLACE", _TIME.sub("TIME", value))
        if isinstance(value, dict):
            return {n: plain(v) for n, v in value.items() if n != "timeline"}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value

    return [plain({**asdict(r), "seconds": 0.0, "virtual_seconds": 0.0}) for r in results]


def test_the_same_seed_tells_the_same_twice() -> None:
    """Verdicts, exchanges and findings of two runs are equal, concurrent calls included."""
    runs = []
    for _ in range(2):
        with reference("claiv", ["retry-after.body-ignored"]) as subject:
            runs.append(normalised(run(subject, select=SELECT, seed=3)))
    assert runs[0]
    assert runs[0] == runs[1]


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
