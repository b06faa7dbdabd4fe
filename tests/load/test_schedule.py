"""Arrival schedules: intended starts are exact, shared, and the same for the same seed."""

import itertools

import pytest

from load.profile import Stage
from load.schedule import from_stages

CONSTANT = from_stages([Stage(name="a", seconds=10, rate=5)])
RAMP = from_stages([Stage(name="up", seconds=10, rate=10, to=30)])


def test_a_constant_rate_spaces_its_tickets_evenly() -> None:
    """At five a second, tickets start every 200 ms and there are as many as the area says."""
    starts = list(CONSTANT.tickets())
    assert len(starts) == 50
    assert starts[:4] == pytest.approx([0.0, 0.2, 0.4, 0.6])


def test_a_ramp_inverts_its_own_plan() -> None:
    """The time at which n requests are planned has n requests planned before it."""
    assert RAMP.total == 200
    for position in (0, 1, 57, 123, 199):
        assert RAMP.planned(RAMP.at(position)) == pytest.approx(position, abs=1e-6)


def test_a_ramp_grows_denser() -> None:
    """Gaps shrink along a ramp from the first rate's to the last rate's."""
    starts = list(RAMP.tickets())
    assert starts[1] - starts[0] == pytest.approx(1 / 10, rel=0.02)
    assert starts[-1] - starts[-2] == pytest.approx(1 / 30, rel=0.02)


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_workers_share_the_tickets_without_gap_or_overlap(workers: int) -> None:
    """All workers' tickets together are the one-process plan, each ticket once."""
    shared = sorted(t for i in range(workers) for t in RAMP.tickets(i, workers))
    assert shared == list(RAMP.tickets())


def test_poisson_arrivals_have_the_planned_mean_and_repeat() -> None:
    """A Poisson plan has about its rate, its own variance, and the same draws for a seed."""
    stages = [Stage(name="a", seconds=100, rate=50)]
    one, again = (list(from_stages(stages, "poisson", 7).tickets()) for _ in range(2))
    assert one == again
    assert len(one) == pytest.approx(5000, rel=0.06)
    gaps = [b - a for a, b in itertools.pairwise(one)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((g - mean) ** 2 for g in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.1)


def test_stages_follow_one_another() -> None:
    """The second stage starts where the first ends, in time and in count."""
    both = from_stages([Stage(name="a", seconds=2, rate=10), Stage(name="b", seconds=1, rate=100)])
    assert both.total == 120
    assert [both.stage_at(t) for t in (0.0, 1.99, 2.0, 2.9)] == ["a", "a", "b", "b"]
    assert sum(2.0 <= t < 3.0 for t in both.tickets()) == 100


def test_a_worker_beyond_the_count_is_refused() -> None:
    """A worker's index must lie below the number of workers."""
    with pytest.raises(ValueError, match="worker 2 of 2"):
        next(CONSTANT.tickets(2, 2))
