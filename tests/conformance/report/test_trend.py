"""Many runs on one page: sorted, compared each with the one before it, and safe to open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conformance.cli import app
from conformance.report import baseline as known
from conformance.report import trend, write
from conformance.report.exit import Exit
from conformance.report.results import Results
from conformance.report.versions import State
from conformance.verdict import Verdict
from tests.judged_results import case, finding, results, subject

BREAKS = subject(case("a.b", finding()), case("c.d"), version="1")
FREE = subject(case("a.b"), case("c.d"), version="2")
VAGUE = subject(case("a.b", verdict=Verdict.INCONCLUSIVE, reason="slow"), version="2")


def dated(day: int, *subjects: object) -> Results:
    """Return a run of a day in January."""
    return results(*subjects, started=f"2026-01-{day:02}T00:00:00+00:00")  # type: ignore[arg-type]


RUNS = [("c3", dated(3, FREE)), ("c1", dated(1, FREE)), ("c2", dated(2, BREAKS))]


def written(tmp_path: Path, *runs: Results) -> list[str]:
    """Write each run and return the paths."""
    for number, made in enumerate(runs):
        write.results(tmp_path / str(number), made)
    return [str(tmp_path / str(number) / "results.json") for number in range(len(runs))]


def test_runs_go_from_the_oldest_to_the_newest() -> None:
    """Runs are sorted by their start, and each keeps its commit."""
    assert ["c1", "c2", "c3"] == [p.commit for p in trend.of(RUNS).points]


def test_each_run_is_held_beside_the_one_before() -> None:
    """A finding that comes is new, and one that goes is gone, in the run where that happens."""
    first, second, third = trend.of(RUNS).points
    assert {} == dict(first.since)
    assert "1 new" == second.moved
    assert "1 gone" == third.moved
    assert [Exit.CONFORMS, Exit.DEVIATES, Exit.CONFORMS] == [
        p.decision.code for p in (first, second, third)
    ]


def test_what_was_not_judged_is_not_gone() -> None:
    """A run whose case was inconclusive says so, and one without the subject says that."""
    made = trend.of([("a", dated(1, BREAKS)), ("b", dated(2, VAGUE)), ("c", dated(3))])
    (row,) = made.tracks[0].rows
    assert (State.SHOWS, State.UNJUDGED, None) == row.states
    assert "1 not observed" == made.points[1].moved


def test_a_run_is_judged_by_the_waivers_that_it_remembers() -> None:
    """A run whose findings were all waived conforms on the page too."""
    made = dated(1, BREAKS)
    waived = made.model_copy(update={"baseline": known.of(made)})
    assert Exit.CONFORMS == trend.of([("a", waived)]).points[0].decision.code


def test_the_page_escapes_what_others_said() -> None:
    """Names and messages cannot become markup, and the page runs no script."""
    bad = "<script>alert(1)</script>\x1b[31m"
    spoilt = subject(case("a.b", finding(message=bad)), name=bad)
    page = trend.render(trend.of([(bad, dated(1, spoilt)), ("b", dated(2, FREE))]))
    assert "<script" not in page
    assert "\x1b" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'")


def test_the_command_writes_a_page_and_prints_a_table(tmp_path: Path) -> None:
    """`memconform trend` prints a row for each run with its commit, and names the page."""
    paths = written(tmp_path, *(made for _, made in RUNS))
    words = [word for commit, _ in RUNS for word in ("--commit", commit)]
    done = CliRunner().invoke(app, ["trend", *paths, *words, "--out", str(tmp_path / "out")])
    assert 0 == done.exit_code, done.output
    rows = [line for line in done.output.splitlines() if re.match(r"\s*\d ", line)]
    assert [["c1", "conforms"], ["c2", "does"], ["c3", "conforms"]] == [
        [row.split()[1], row.split()[3]] for row in rows
    ]
    page = (tmp_path / "out" / "trend.html").read_text("utf-8")
    assert "3 runs, c1 to c3" in page
    assert "1 gone" in page


@pytest.mark.parametrize("commits", [["--commit", "a"], ["--commit", "a"] * 3])
def test_commits_and_runs_must_pair(tmp_path: Path, commits: list[str]) -> None:
    """Fewer or more commits than runs are a usage error that counts both."""
    paths = written(tmp_path, dated(1, FREE), dated(2, FREE))
    done = CliRunner().invoke(app, ["trend", *paths, *commits, "--out", str(tmp_path)])
    assert 2 == done.exit_code
    assert "2 RESULTS" in done.output


def test_a_load_subject_has_its_latency_drawn() -> None:
    """Of a load subject the page draws p50 and p99 by run, in milliseconds."""
    loads = [
        FREE.model_copy(
            update={"kind": "load", "details": {"response": {"p50": 0.01 * n, "p99": 0.1 * n}}}
        )
        for n in (1, 2)
    ]
    made = trend.of([(str(n), dated(n, each)) for n, each in enumerate(loads, 1)])
    lines = made.tracks[0].figures()["series"]
    assert [("p50", 2, 20.0), ("p99", 2, 200.0)] == [
        (line["name"], *line["points"][-1]) for line in lines
    ]
    assert trend.render(made).count("<svg") == 2
