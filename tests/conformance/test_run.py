"""Children and the run that is made of them."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from conformance import progress
from conformance import run as runs
from conformance.children import Child, python
from conformance.clock import VirtualClock
from conformance.live import watching
from conformance.report.results import Results, SubjectEntry
from conformance.report.run import make
from conformance.run import Backend as Served
from conformance.run import Part, _subjects, plan, releases
from conformance.verdict import Verdict


def child(code: str, **settings: object) -> Child:
    """A child that runs some Python."""
    return Child([sys.executable, "-c", code], **settings)  # type: ignore[arg-type]


def test_child_reports_progress_and_keeps_its_last_words() -> None:
    """Events reach the listener; other lines on standard error are kept for the explanation."""
    events: list[dict[str, object]] = []
    made = child(
        'import sys; print(\'{"event": "progress", "done": 1}\', file=sys.stderr);'
        "print('boom', file=sys.stderr); sys.exit(7)",
        listener=events.append,
    )
    assert 7 == made.wait(30)
    assert [{"event": "progress", "done": 1}] == events
    assert ["boom"] == list(made.tail)


def test_stopping_ends_grandchildren_and_the_deaf() -> None:
    """A child that ignores every polite signal is ended, and so is what it started."""
    made = child(
        "import signal, subprocess, sys, time\n"
        "for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_IGN)\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(600)"
    )
    grandchild = int(made.first_line(30) or 0)
    made.stop(patience=0.2)
    assert made.poll() is not None
    assert _ends(grandchild)


def _ends(pid: int) -> bool:
    """True once a process has ended; a zombie that nobody has reaped yet has."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        gone, _ = psutil.wait_procs([process], timeout=10)
    except psutil.NoSuchProcess:
        return True
    return bool(gone)


def test_part_that_dies_becomes_an_error(tmp_path: Path) -> None:
    """A part without a result is a subject with an error that says what the part said."""
    part = Part("sdk", "demo", "demo", ())
    part.child = child("import sys; print('out of luck', file=sys.stderr); sys.exit(9)")
    part.child.wait(30)
    part.state = "finished"
    (entry,) = _subjects([part], tmp_path, True)
    assert Verdict.ERROR == entry.verdict
    assert "exit code 9" in entry.cases[0].reason
    assert "out of luck" in entry.cases[0].reason


def test_half_a_result_is_an_error(tmp_path: Path) -> None:
    """A results.json that breaks off is an error, never read as complete."""
    whole = make([], started="2026-01-01T00:00:00+00:00", seconds=0, seed=0, command=[])
    folder = tmp_path / "00"
    folder.mkdir()
    (folder / "results.json").write_text(whole.model_dump_json(by_alias=True)[:-20], "utf-8")
    part = Part("load", "demo", "demo", (), state="finished")
    (entry,) = _subjects([part], tmp_path, True)
    assert Verdict.ERROR == entry.verdict


def test_plan_covers_every_api_and_release() -> None:
    """Five backends, eight releases and five load runs, in the order of the report."""
    served = Served(
        dict.fromkeys(
            ("claiv", "memsy", "memsy-control", "octamem", "sovant"), "http://127.0.0.1:1/x"
        ),
        ("k",),
    )
    kinds = [p.kind for p in plan(["backend", "sdk", "load"], served, 0)]
    assert ["backend"] * 5 + ["sdk"] * 8 + ["load"] * 5 == kinds


def test_releases_are_the_documented_and_the_latest() -> None:
    """Each package is judged at the version that its document describes, then at its latest."""
    made = list(releases())
    assert 8 == len(made)
    assert 4 == len({package for package, _ in made})


def test_progress_is_words_for_people_and_json_for_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reporter writes sparse words, or JSON lines where a parent asked for them."""
    clock, words, lines = VirtualClock(), io.StringIO(), io.StringIO()
    reporter = progress.Reporter("part", words, clock)
    for done in range(3):
        reporter(done, 3, "x")
    monkeypatch.setenv(progress.VARIABLE, "json")
    progress.Reporter("part", lines, clock)(1, 3, "y")
    assert 1 == len(words.getvalue().splitlines())
    assert {"event": "progress", "part": "part", "done": 1, "of": 3, "what": "y"} == json.loads(
        lines.getvalue()
    )


def test_progress_says_about_how_long_the_rest_takes() -> None:
    """Once some time has passed a person is told what is left, as if cases took the same time."""
    clock, words = VirtualClock(), io.StringIO()
    reporter = progress.Reporter("part", words, clock)
    for done in range(4):
        reporter(done, 3, "x")
        clock.sleep(60)
    assert [
        "part: 0 of 3 cases, 0 s  x", "part: 1 of 3 cases, 60 s, about 2 min left  x",
        "part: 2 of 3 cases, 120 s, about 60 s left  x", "part: 3 of 3 cases, 180 s  x",
    ] == words.getvalue().splitlines()  # fmt: skip


def test_lines_say_start_and_end_once() -> None:
    """Without a terminal a part is named when it starts and when it ends, not in between."""
    out = io.StringIO()
    part = Part("sdk", "demo", "demo", (), version="1")
    with watching(Console(file=out, force_terminal=False), VirtualClock()) as watch:
        for state in ("waiting", "running", "running", "finished", "finished"):
            part.state = state  # type: ignore[assignment]
            watch([part])
    assert [
        "[0/1] sdk demo==1: running",
        "[1/1] sdk demo==1: finished in 0.0 s",
    ] == out.getvalue().splitlines()


def test_results_round_trip() -> None:
    """What a part writes is what the run reads."""
    made = make([], started="2026-01-01T00:00:00+00:00", seconds=1, seed=3, command=["x"])
    assert made == Results.model_validate_json(made.model_dump_json(by_alias=True))


def test_nothing_of_ours_runs_on_after_a_child_is_stopped() -> None:
    """Stopping joins the reader threads."""
    before = threading.active_count()
    made = child("import time; print(1, flush=True); time.sleep(600)")
    assert made.first_line(30) == "1\n"
    made.stop(patience=5)
    assert before == threading.active_count()
    assert _ends(made.pid)


def test_interrupt_leaves_a_marked_result_and_no_process(tmp_path: Path) -> None:
    """Ctrl-C in a run exits 3, leaves a partial result that says so, and nothing running."""
    out = tmp_path / "out"
    started = subprocess.Popen(
        [*python("run", "--only", "backend", "--no-baseline"), "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert started.stdout is not None
    said = ""
    while "backend claiv: running" not in said:
        line = started.stdout.readline()
        assert line, said
        said += line
    family = psutil.Process(started.pid).children(recursive=True)
    started.send_signal(signal.SIGINT)
    said += started.communicate(timeout=60)[0]
    assert 3 == started.returncode, said
    made = Results.model_validate_json((out / "results.json").read_text("utf-8"))
    assert not made.run.complete
    assert "interrupted" in made.run.reason
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [] == alive
    assert [] == [f for s in made.subjects for f in s.findings]


@pytest.mark.parametrize("subjects", [("one", "two"), ("one",)])
def test_an_interrupted_sdk_run_tells_what_it_knows(
    tmp_path: Path, subjects: tuple[str, ...]
) -> None:
    """Ctrl-C to the main process alone: exit 3 in one line, what was found so far, nobody left."""
    out = tmp_path / "out"
    driver = shlex.join([sys.executable, "-m", "conformance.reference.sdk", "--api", "claiv"])
    started = subprocess.Popen(
        [*python("sdk", *subjects, "--driver", driver, "--api", "claiv"), "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path), progress.VARIABLE: "json"},
    )  # fmt: skip
    assert started.stdout is not None
    done: dict[str, int] = {}
    while len(done) < len(subjects) or min(done.values()) < 40:
        line = started.stdout.readline()
        assert line, done
        event = progress.parse(line) or {}
        if event.get("event") == "progress":
            done[event["part"]] = event["done"]
    family = psutil.Process(started.pid).children(recursive=True)
    started.send_signal(signal.SIGINT)
    told = started.communicate(timeout=120)[0]
    assert 3 == started.returncode, told
    assert 1 == sum("interrupted" in line for line in told.splitlines()), told
    made = Results.model_validate_json((out / "results.json").read_text("utf-8"))
    assert (made.run.complete, made.run.reason) == (False, "interrupted")
    assert [s.name for s in made.subjects] == list(subjects)
    assert all(30 < s.counts["cases"] < 600 for s in made.subjects)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert [] == alive


def test_subjects_run_apart_and_one_that_dies_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed is that subject's error; the others' results stand, in order."""
    found = make([], started="2026-01-01T00:00:00+00:00", seconds=0, seed=0, command=[])
    whole = SubjectEntry(kind="sdk", api="demo", name="well", verdict=Verdict.PASS)
    result = tmp_path / "results.json"
    result.write_text(
        found.model_copy(update={"subjects": (whole,)}).model_dump_json(by_alias=True), "utf-8"
    )
    codes = {
        "dies": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "well": "import os, shutil, sys; os.makedirs(sys.argv[-1]);"
        f"shutil.copy({str(result)!r}, sys.argv[-1])",
    }
    monkeypatch.setattr(
        runs, "python", lambda name, *rest: [sys.executable, "-c", codes[name], *rest]
    )
    parts = [Part("sdk", "demo", name, (name,)) for name in ("dies", "well")]
    (dead, alive), complete = runs.apart(parts, parts[::-1], jobs=2)
    assert complete
    assert ("dies", Verdict.ERROR) == (dead.name, dead.verdict)
    assert "exit code -9" in dead.cases[0].reason
    assert ("well", Verdict.PASS) == (alive.name, alive.verdict)
