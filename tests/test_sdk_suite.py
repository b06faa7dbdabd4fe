"""The SDK suite around its cases: lanes, timelines, reproductions, replays, what cannot be run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import specs
from conformance.cases import execute
from conformance.drivers.environment import EnvironmentUnavailable, prepare
from conformance.drivers.hosting.table import Operation as Row
from conformance.drivers.hosting.table import Option, Shape, Table, Way
from conformance.faults.classes import classes_for
from conformance.faults.script import Script
from conformance.history import Call, Exchange, History, Outcome, Raised, Request, Response, Sleep
from conformance.reference.sdk import demo
from conformance.report.results import Results, Run, SubjectEntry
from conformance.sdk import cases, reference, replay, run, run_release, suite
from conformance.sdk.judging import first, leaders
from conformance.sdk.lanes import harmless
from conformance.sdk.reproduce import LONGEST, Unwritable, Witness, script
from conformance.sdk.timeline import timeline
from conformance.verdict import Verdict

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


# --- reproductions --------------------------------------------------------------------------------

TABLE = Table(
    api="claiv", package="claiv-memory", module="claiv",
    clients={"sync": "ClaivClient", "async": "AsyncClaivClient"},
    operations={"ingest": Row(Way("ingest", Shape(rest="dict")))},
    options={"api-key": Option("api_key"), "max-retries": Option("max_retries")},
)  # fmt: skip
FAKE = """
import http.client, json, urllib.parse
class ClaivClient:
    def __init__(self, *, api_key, base_url, max_retries=2):
        self.at = urllib.parse.urlsplit(base_url)
    def ingest(self, request):
        link = http.client.HTTPConnection(self.at.hostname, self.at.port)
        link.request("POST", "/v1/ingest", json.dumps(request))
        answer = link.getresponse()
        return answer.status, answer.read()
class AsyncClaivClient(ClaivClient):
    async def ingest(self, request):
        return super().ingest(request)
"""


def witness(text: str, mode: str = "sync") -> Witness:
    """Return a call of `ingest` under a fault script."""
    return Witness(
        CLAIV["ingest"], mode, {"user_id": "u", "content": "hé"}, {"max-retries": 0},
        Script.parse(text), None, (),
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_reproductions_run(tmp_path: Path, mode: str) -> None:
    """A reproduction needs the SDK and the standard library, and shows what came."""
    (tmp_path / "claiv.py").write_text(FAKE)
    text = script(CLAIV, TABLE, witness('ingest 503 body="busy"', mode), "claiv: RT5 (abc)")
    (tmp_path / "show.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "show.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert "got POST /v1/ingest HTTP/1.1" in done.stdout
    assert "returned (503, b'busy')" in done.stdout


FAULTS = ["* before-accept refuse", "ingest reset", "ingest stall", "",
          "ingest#1 mid-response truncate", "ingest 429 retry-after={imf+30}"]  # fmt: skip


@pytest.mark.parametrize("text", FAULTS)
def test_reproductions_are_short(text: str) -> None:
    """Every script fits on a screen and compiles."""
    made = script(CLAIV, TABLE, witness(text), "title")
    compile(made, "show.py", "exec")
    assert made.count("\n") <= LONGEST


def test_a_reproduction_answers_as_the_call_was_answered() -> None:
    """Attempts that were not harmed succeed, and what earlier calls took is not given again."""
    made = Script.parse("ingest#1 503; ingest#2 500; ingest#4 502")
    later = replace(witness(""), script=made, before=("ingest", "other", "ingest"))
    text = script(CLAIV, TABLE, later, "title")
    answers = re.findall(r"^    b'HTTP/1.1 (\d+)", text, re.MULTILINE)
    assert ["200", "502", "200"] == answers


def test_a_refused_connection_is_shown_at_a_closed_port() -> None:
    """Where nobody listens, the script closes its server before it calls."""
    text = script(CLAIV, TABLE, witness("* before-accept refuse"), "title")
    assert "server.close()" in text
    assert "Thread" not in text


def test_long_runs_are_multiplied() -> None:
    """A body of five thousand digits is written as a product."""
    made = script(CLAIV, TABLE, witness('ingest 200 body="' + "9" * 5000 + '"'), "title")
    assert "b'9' * 5000" in made


@pytest.mark.parametrize("text", ["ingest#1 trickle"])
def test_what_a_socket_server_cannot_show(text: str) -> None:
    """Faults beyond a plain server have no script, and the reason is said."""
    with pytest.raises(Unwritable):
        script(CLAIV, TABLE, witness(text), "title")


# --- replays --------------------------------------------------------------------------------------


def results(folder: Path, entry: SubjectEntry) -> Path:
    """Write a result of one subject and return its file."""
    made = Run(tool="0", started="2024-01-01T00:00:00Z", seconds=1.0, seed=0, command=("x",))
    path = folder / "results.json"
    path.write_text(Results(run=made, subjects=(entry,)).model_dump_json(by_alias=True))
    return path


def test_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding is shown again by its id: exit 1 while it is there, 0 once it is gone."""
    command = [sys.executable, "-m", "conformance.reference.sdk", "--api", "claiv",
               "--defect", "error.request-id-lost"]  # fmt: skip
    [entry] = run_release(None, command, "claiv", select=["errors.documented"])
    [finding] = entry.findings
    path = results(tmp_path, entry)
    monkeypatch.setattr(replay, "opened", lambda s, a: reference("claiv", DEFECTIVE))
    console = Console(record=True, width=200, file=(tmp_path / "out").open("w"))
    assert replay.main(finding.id, path, console) == 1
    text = console.export_text()
    assert "request_id" in text
    assert "POST /v1/ingest" in text
    monkeypatch.setattr(replay, "opened", lambda s, a: reference("claiv"))
    assert replay.main(finding.id, path, console) == 0


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


SHOWN = {
    "sovant==1.3.3": ("surface.exceptions", "surface.options", "surface.methods"),
    "octamem==1.1.2": ("errors.network",),
}
"""Release -> cases whose findings are shown again by their scripts."""


@pytest.mark.parametrize("release", SHOWN)
def test_reproductions_show_what_the_finding_says(release: str, tmp_path: Path) -> None:
    """Run with nothing but the published release, a script prints the contradiction."""
    try:
        python = prepare(release).python
    except EnvironmentUnavailable as why:
        pytest.skip(str(why))
    [entry] = run_release(release, select=SHOWN[release])
    scripts = entry.details["reproductions"]
    said = {"ER16": "not in", "WR7": "unexpected keyword", "WR6": "no attribute", "ER12": "raised"}
    assert {f.requirement for f in entry.findings} <= {*said, "ER13"}
    for finding in entry.findings[:3] + entry.findings[-1:]:
        text = scripts[finding.id]
        assert text.count("\n") <= LONGEST
        roots = {n.split(".")[0] for line in text.splitlines() if line.startswith("import ")
                 for n in line.split("  #")[0].removeprefix("import ").split(", ")}  # fmt: skip
        assert roots - set(sys.stdlib_module_names) == {entry.name}
        (tmp_path / "show.py").write_text(text)
        done = subprocess.run(
            [python, "show.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
            check=True,
        )  # fmt: skip
        assert said.get(finding.requirement, "raised") in done.stdout
