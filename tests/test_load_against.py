"""Comparing runs: noise is not a difference, a difference is not noise."""

from random import Random
from typing import Any

import pytest

from load.against import Incomparable, compare, previous, proportion_test, rank_test


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
