"""The SDK suite around its cases: lanes, timelines, replays, what cannot be run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import specs
from conformance.cases import execute
from conformance.faults.classes import classes_for
from conformance.faults.script import Script
from conformance.history import Call, Exchange, History, Outcome, Raised, Request, Response, Sleep
from conformance.reference.sdk import demo
from conformance.report.results import FindingEntry, Results, Run, SubjectEntry
from conformance.sdk import cases, reference, replay, run, run_release, suite
from conformance.sdk.judging import first, leaders
from conformance.sdk.lanes import harmless
from conformance.sdk.timeline import timeline
from conformance.verdict import Verdict
from specs import Basis
from specs.catalogue import Level

CLAIV = specs.load("claiv")
DEFECTIVE = ["retry.only-503", "error.request-id-lost"]


# --- subjects that cannot be judged ---------------------------------------------------------------


def test_what_cannot_be_installed_is_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that cannot be had is no failure of the SDK and no crash of ours."""

    def refuse(subject: str) -> None:
        raise suite.EnvironmentUnavailable("no network")

    monkeypatch.setattr(suite, "prepare", refuse)
    [entry] = run_release("claiv-memory==0.2.1")
    shown = (entry.name, entry.version, entry.api, entry.verdict, entry.details["reason"])
    assert shown == ("claiv-memory", "0.2.1", "claiv", Verdict.INCONCLUSIVE, "no network")


def test_a_driver_that_does_not_start_is_inconclusive() -> None:
    """A command that is no driver gives an entry that says so."""
    command = [sys.executable, "-c", "raise SystemExit('not today')"]
    [entry] = run_release(None, command, "claiv")
    assert entry.verdict is Verdict.INCONCLUSIVE
    assert "ended" in entry.details["reason"]


# --- running --------------------------------------------------------------------------------------


def test_a_driver_by_its_command() -> None:
    """Any driver is judged by its command; a release has one entry with its coverage in it."""
    command = [sys.executable, "-m", "conformance.reference.sdk", "--api", "octamem"]
    [entry] = run_release(None, command, "octamem", select=["wire.request", "surface"])
    assert (entry.verdict, entry.findings) == (Verdict.PASS, ())
    [table] = entry.details["coverage"]
    assert table["api"] == "octamem"
    assert table["run"] + sum(table["not_run"].values()) == 2 * sum(
        len(classes_for(specs.load("octamem"), o)) for o in specs.load("octamem")
    )


def test_the_same_seed_gives_the_same_result() -> None:
    """Two runs with one seed find the same, in the same order, with the same words."""

    def once() -> list[tuple[object, ...]]:
        with reference("claiv", DEFECTIVE) as subject:
            results = run(subject, select=["errors.documented", "retry.statuses"], seed=3)
        return [
            (r.name, r.verdict, [(f.cause, f.fault, f.expected, f.replay) for f in r.findings])
            for r in results
        ]

    assert once() == once()


def test_findings_carry_their_witness() -> None:
    """A finding names its fault, its timeline and the command that shows it again."""
    with reference("claiv", DEFECTIVE) as subject:
        results = run(subject, select=["retry.statuses"], seed=0)
    found = next(f for r in results for f in r.findings if f.cause == "not-retried:5XX")
    assert found.fault.startswith("ingest before-handler 5")
    assert [line for line in found.timeline if "POST /v1/ingest" in line]
    assert found.replay.startswith("memconform replay ")
    assert "002_d3cf2a5acba3ba5a" in str(found.expected)


def test_every_case_runs_somewhere() -> None:
    """No case is left without an operation on all contracts, shipped or our own."""
    contracts = [specs.load(demo.source(name)) for name in (*specs.names(), *demo.names())]
    idle = [c.id for c in cases() if c.each and not any(list(c.each(k)) for k in contracts)]
    assert idle == []


def test_one_operation_of_each_kind() -> None:
    """The operations that rare faults are played on differ in kind, and the first is among them."""
    for contract in map(specs.load, specs.names()):
        chosen = leaders(contract)
        kinds = {
            (o.verb, o.body is not None, o.pagination is not None, o.stream is not None,
             o.idempotency is not None) for o in chosen
        }  # fmt: skip
        assert len(kinds) == len(chosen)
        assert first(contract)


# --- lanes ----------------------------------------------------------------------------------------

SCRIPTS = [
    ("ingest#1 503", True),
    ("ingest 429 retry-after=2", True),
    ('ingest#1 400 body="<html>" content-type=text/html', True),
    ("", True),
    ("ingest#1 reset", False),
    ("ingest#1 mid-response truncate", False),
    ("ingest#1 200 framing=none", False),
    ("ingest#1 200 content-length=9", False),
    ("ingest#1 204", False),
    ("ingest#1 307 location=/x", False),
    ("ingest#1 stall", False),
    ("ingest#1 200 size=1000", False),
]


@pytest.mark.parametrize(("text", "expected"), SCRIPTS)
def test_harmless_scripts(text: str, expected: bool) -> None:
    """Only whole and well-framed answers leave a client as it was."""
    assert harmless(Script.parse(text)) is expected


def test_plays_of_one_lane_do_not_see_each_other() -> None:
    """A play at a kept client has its own exchanges and effects only."""
    with reference("claiv") as subject:
        operation = CLAIV["ingest"]
        ask = subject.ask(operation, {"idempotency_key": "one"})
        again = subject.ask(operation, {"idempotency_key": "two"})
        plays = [subject.play(Script(), each) for each in (ask, again)]
        failed = subject.play(Script.parse("ingest 400"), again)
    counts = [(len(p.attempts), len(p.commits.get("ingest", []))) for p in (*plays, failed)]
    assert counts == [(1, 1), (1, 1), (1, 0)]


# --- timelines ------------------------------------------------------------------------------------


def test_timeline() -> None:
    """A timeline tells attempts, answers, waits and the end, in the SDK's own time."""
    limited = Response(429, (("Retry-After", "2"),), b"{}")
    exchanges = (
        Exchange(1, Request("POST", "/v1/ingest"), limited, 10.0, 10.1),
        Exchange(2, Request("POST", "/v1/ingest"), None, 10.2, 10.3, failure="reset"),
    )
    error = Raised("ClaivNetworkError", "claiv", (), "broken", text="broken")
    call = Call(
        1, "ingest", {"user_id": "u"}, "sync", 9, 11, Outcome("error", error=error),
        (Sleep(10.15, 2.0),), (1, 2),
    )  # fmt: skip
    assert timeline(History(exchanges, (call,)), call) == (
        "+0.000 call ingest(user_id)",
        "+0.000 POST /v1/ingest #1 → 429, retry-after: 2",
        "+0.000 slept 2.000 s",
        "+2.000 POST /v1/ingest #2 → reset",
        "+2.000 raised ClaivNetworkError('broken')",
    )


def test_a_timeline_tells_what_came_slowly() -> None:
    """What takes real time leaves the SDK's own clock alone, so the line says it in words."""
    whole = Response(200, (), b"{}")
    sent = Exchange(1, Request("POST", "/v1/ingest"), whole, 10.0, 11.5, instruction=0)
    call = Call(1, "ingest", {}, "sync", 9, 12, Outcome("value", {}), (), (1,))
    script = Script.parse("ingest mid-response trickle seconds=0.01")
    assert timeline(History((sent,), (call,)), call, script)[1:] == (
        "+0.000 POST /v1/ingest #1 → 200, byte by byte, one every 0.01 s of real time",
        "+0.000 returned a dict with nothing",
    )


@pytest.mark.parametrize(
    ("defect", "told"),
    [
        ("retry.only-503", "does not send again after some of the 5XX: 500, 501, 502, 504, "),
        ("retry.never", "does not send again after status 5XX"),
    ],
)
def test_statuses_that_are_not_retried_are_named(defect: str, told: str) -> None:
    """Where some statuses of a promised range are retried, the finding names those that are not."""
    with reference("claiv", [defect]) as subject:
        made = subject.contract["ingest"]
        results = run(subject, ["retry.statuses"], operations=lambda *_: [made])
    found = [f for r in results for f in r.findings if f.cause == "not-retried:5XX"]
    assert len(found) == len(results) == 2
    assert all(f.message.startswith(told) for f in found)


def test_a_wait_of_ten_years_is_told_and_counts_as_a_day() -> None:
    """A server that asks for years is not obeyed; the speed of a run is not made of such waits."""
    with reference("octamem", ["retry-after.unbounded"]) as subject:
        made = subject.contract["add"]
        script = Script.parse("add#1 429 retry-after=315360000")
        before = subject.virtual_seconds
        subject.play(script, subject.ask(made))
        assert subject.virtual_seconds - before == 86_400.0
        results = run(subject, ["retry-after.odd"], operations=lambda *_: [made])
    told = [f for r in results for f in r.findings if f.cause == "retry-after:unbounded"]
    assert {f.mode for f in told} == {"sync", "async"}
    assert all("429 retry-after=315360000" in f.fault for f in told)
    assert all("+0.000 slept 100000000.000 s" in f.timeline for f in told)  # its own bound


# --- replays --------------------------------------------------------------------------------------


def results(folder: Path, entry: SubjectEntry) -> Path:
    """Write a result of one subject and return its file."""
    made = Run(tool="0", started="2024-01-01T00:00:00Z", seconds=1.0, seed=0, command=("x",))
    path = folder / "results.json"
    path.write_text(Results(run=made, subjects=(entry,)).model_dump_json(by_alias=True))
    return path


def test_replay(tmp_path: Path) -> None:
    """A finding is shown again by its id: exit 1 while it is there, 0 once it is gone.

    Where it cannot be said, because the driver is gone or dies, the code is 5, with the reason.
    """
    command = [sys.executable, "-m", "conformance.reference.sdk", "--api", "claiv",
               "--defect", "error.request-id-lost"]  # fmt: skip
    [entry] = run_release(None, command, "claiv", select=["errors.documented"])
    [finding] = entry.findings
    path = results(tmp_path, entry)
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    assert replay.main(finding.id, path, console, trust=True) == 1
    text = console.export_text()
    assert "request_id" in text
    assert "POST /v1/ingest" in text

    def driven(*words: str) -> Path:
        details = {**entry.details, "driver": list(words)}
        return results(tmp_path, entry.model_copy(update={"details": details}))

    assert replay.main(finding.id, driven(*command[:-2]), console, trust=True) == 0
    dead = driven(sys.executable, "-c", "")
    assert replay.main(finding.id, dead, console, trust=True) == 5
    assert "cannot be run again: the driver ended" in console.export_text()


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"driver": ["sh", "-c", "touch FILE"]}, "the driver sh -c 'touch FILE'"),
        ({"driver": "touch FILE"}, "the driver 'touch FILE'"),
        ({"table": "FILE"}, "the driver table FILE"),
        ({"subject": "no-such-package-of-ours==1.0"}, "the package no-such-package-of-ours==1.0"),
        ({"subject": "octamem==1 --index-url http://x"}, "the package octamem==1 --index-url"),
        ({"subject": "./folder"}, "the package ./folder"),
    ],
)
def test_a_results_file_starts_nothing(tmp_path: Path, details: dict[str, Any], words: str) -> None:
    """What a file names is shown and not run: it may come from anywhere."""
    told = FindingEntry(
        id="0123456789", requirement="ER1", level=Level.MUST, basis=Basis.DOCUMENTED, case="x",
        message="m",
    )  # fmt: skip
    entry = SubjectEntry(
        kind="sdk", api="claiv", name="x", verdict=Verdict.FAIL, findings=(told,), details=details
    )
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    assert replay.main(told.id, results(tmp_path, entry), console) == 2
    assert f"this would run {words}" in console.export_text()


def test_replay_of_what_is_not_there(tmp_path: Path) -> None:
    """An unknown id and an unreadable file are usage errors, said in words."""
    entry = SubjectEntry(kind="sdk", api="claiv", name="x", verdict=Verdict.PASS)
    path = results(tmp_path, entry)
    console = Console(file=(tmp_path / "out").open("w"))
    missing = replay.main("0000000000", tmp_path / "none.json", console)
    assert (replay.main("0000000000", path, console), missing) == (2, 2)
    path.write_text(json.dumps({"schema": "other"}))
    assert replay.main("0000000000", path, console) == 2


def test_a_missing_method_leaves_the_rest_judged() -> None:
    """What an SDK lacks is one finding; its other cases do not apply, and are never passed."""
    with reference("octamem", ["client.method-missing"]) as subject:
        lacking = next(iter(subject.contract))
        by_id = {c.id: c for c in cases()}
        there = execute(by_id["surface.methods"], subject, lacking)
        wire = execute(by_id["wire.request"], subject, lacking, "sync")
    assert (there.verdict, wire.verdict) == (Verdict.FAIL, Verdict.NOT_APPLICABLE)
