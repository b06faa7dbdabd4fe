"""Comparing runs: noise is not a difference, a difference is not noise."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import specs
from conformance.reference.backend.server import Embedded
from load.against import ENOUGH, Incomparable, compare, previous, proportion_test, rank_test
from load.relay import Ask, Forward, Relay, Reply


def details(factor: float = 1.0, seed: int = 1, failed: int = 0, **change: Any) -> dict[str, Any]:
    """Return the details of a minute at 50 a second, times scaled by a factor."""
    random = Random(seed)
    series = [
        {"answered": 50.0, "p50": random.lognormvariate(-4, 0.15) * factor,
         "p99": random.lognormvariate(-3, 0.4) * factor}
        for _ in range(60)
    ]  # fmt: skip
    return {
        "profile": "steady", "kind": "open", "arrival": "poisson", "users": 64, "planned": 3000,
        "seconds": 60.0, "sent": 3000, "errors": {"reset": failed} if failed else {},
        "series": series, **change,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(2, 22))
def test_two_runs_of_the_same_server_do_not_differ(seed: int) -> None:
    """Twenty pairs of runs that differ by noise alone: nothing is told of any."""
    assert compare(details(seed=1), details(seed=seed)) == []


@pytest.mark.parametrize("seed", range(2, 12))
def test_a_run_that_is_a_third_slower_is_told(seed: int) -> None:
    """A third more on every answer stands out of the same noise."""
    found = {w.what for w in compare(details(seed=1), details(1.33, seed=seed))}
    assert "p50" in found


def test_a_faster_run_is_not_worse() -> None:
    """The test looks one way only."""
    assert compare(details(seed=1), details(0.5, seed=2)) == []


def test_more_failures_are_told_and_a_single_one_is_not() -> None:
    """Thirty failures of three thousand are certain, one is not."""
    assert [w.what for w in compare(details(), details(failed=30))] == ["errors"]
    assert compare(details(), details(failed=1)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"users": 8}, "another users"),
        ({"planned": 9000}, "another rate"),
        ({"series": []}, "stretches of time"),
    ],
)
def test_runs_that_say_nothing_about_each_other_are_refused(
    change: dict[str, Any], words: str
) -> None:
    """Another rate, other users or too short a run cannot be compared, in words."""
    with pytest.raises(Incomparable, match=words):
        compare(details(), details(**change))


def test_the_earlier_run_is_found_by_api_and_profile() -> None:
    """Of a whole results.json, the same API's run under the same profile is taken."""
    results = {"subjects": [{"kind": "load", "api": "claiv", "details": details()}]}
    assert previous(results, "claiv", "steady")["planned"] == 3000
    with pytest.raises(Incomparable, match="no load run of memsy"):
        previous(results, "memsy", "steady")


def test_the_rank_test_knows_its_edges() -> None:
    """Equal samples are certain to be noise, disjoint ones certain not to be."""
    assert rank_test([1.0] * 9, [1.0] * 9) == 1.0
    assert rank_test(list(range(10)), list(range(10, 20))) < 0.001
    assert proportion_test(0, 0, 1, 10) == 1.0


def test_two_runs_as_short_as_may_be_can_differ() -> None:
    """The fewest stretches of time that are accepted are enough for a difference to be certain."""
    assert rank_test([1.0] * ENOUGH, [2.0] * ENOUGH) < 0.01


SECONDS = ENOUGH + 2
PROFILE = """
name = "short"
users = 16
timeout = 20
drain = 10
prepare = 1
ledger = false
cleanup = false
only = ["search"]
[[stages]]
seconds = {seconds}
rate = 20
[gates]
lag = 20.0
throughput = 0.1
"""


@pytest.fixture(scope="module")
def subject() -> Iterator[tuple[str, str]]:
    """The URL and key of a backend whose answers take 25 ms at least."""

    async def slowly(relay: Relay, ask: Ask, forward: Forward) -> Reply:
        await asyncio.sleep(0.025)
        return await forward()

    with (
        Embedded() as backend,
        Relay(backend.url_for("octamem"), specs.load("octamem"), slowly) as relay,
    ):
        yield relay.url, backend.keys[0]


def earlier(folder: Path, **change: Any) -> Path:
    """Write the results.json of an earlier run whose answers all took so long."""
    took = change.pop("took", 0.001)
    series = [{"answered": 20.0, "p50": took, "p99": took} for _ in range(SECONDS)]
    known = details(series=series, profile="short", arrival="constant", users=16,
                    planned=20 * SECONDS, seconds=float(SECONDS), sent=20 * SECONDS)  # fmt: skip
    file = folder / "earlier.json"
    subject = {"kind": "load", "api": "octamem", "details": {**known, **change}}
    file.write_text(json.dumps({"subjects": [subject]}))
    return file


def ask(
    folder: Path, subject: tuple[str, str], against: Path, seconds: float = SECONDS
) -> subprocess.CompletedProcess[str]:
    """Run `memconform load --against FILE`, as a pipeline would."""
    profile = folder / "short.toml"
    profile.write_text(PROFILE.format(seconds=seconds))
    line = [sys.executable, "-m", "conformance", "load", "--base-url", subject[0], "--api",
            "octamem", "--load-profile", str(profile), "--against", str(against),
            "--out", str(folder / "out")]  # fmt: skip
    environment = {**os.environ, "MEMCONFORM_API_KEY": subject[1], "COLUMNS": "400"}
    return subprocess.run(
        line, capture_output=True, text=True, env=environment, timeout=180, check=False
    )


def test_the_command_tells_a_worse_run_in_words(tmp_path: Path, subject: tuple[str, str]) -> None:
    """Where every second is slower than before, exit 1, from what to what, and how sure it is."""
    ended = ask(tmp_path, subject, earlier(tmp_path))
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "p50 went from 1.0 ms to" in ended.stdout
    assert "noise alone shows so much once in" in ended.stdout


def test_the_command_is_green_where_nothing_is_worse(
    tmp_path: Path, subject: tuple[str, str]
) -> None:
    """A run that is faster than the earlier one conforms."""
    ended = ask(tmp_path, subject, earlier(tmp_path, took=60.0))
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_what_cannot_be_compared_is_too_little_evidence(
    tmp_path: Path, subject: tuple[str, str]
) -> None:
    """Whoever asks for a comparison that says nothing gets exit 5 and the reason, not green."""
    ended = ask(tmp_path, subject, earlier(tmp_path, users=99), seconds=1)
    assert ended.returncode == 5, ended.stdout + ended.stderr
    assert "another users" in ended.stdout


@pytest.mark.parametrize("text", [None, "not json"])
def test_a_file_that_is_no_result_is_a_usage_error(
    tmp_path: Path, subject: tuple[str, str], text: str | None
) -> None:
    """What is not there, or is no JSON, is exit 2 before anything is sent."""
    file = tmp_path / "none.json"
    if text is not None:
        file.write_text(text)
    assert ask(tmp_path, subject, file, seconds=1).returncode == 2
