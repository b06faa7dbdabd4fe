"""Admission at the limit: exactly the quota, judged for windows and for buckets."""

import pytest

from conformance.oracles.limits import Quota
from load.admission import Admission, judge, judge_untold


def window(admitted: int, refused: int, limit: int = 10, reset: float = 100.0) -> list[Admission]:
    """Return one window's admissions, remaining counted down from a fresh quota."""
    let_in = [Admission(50.0, True, limit, max(limit - 1 - n, 0), reset) for n in range(admitted)]
    return let_in + [Admission(51.0, False, limit, 0, reset)] * refused


def slugs(events: list[Admission], algorithm: str | None = None) -> set[str]:
    """Return what is found wrong."""
    return {w.slug for w in judge(events, algorithm)}


def test_exactly_the_quota_is_right() -> None:
    """Ten of twenty let in under a quota of ten: nothing to find."""
    assert slugs(window(10, 10)) == set()


def test_one_too_many_is_over_admission() -> None:
    """Eleven let in within one window of ten: found, with how many."""
    found = judge(window(11, 9))
    assert [(w.slug, w.count) for w in found if w.slug == "over-admitted"] == [("over-admitted", 1)]


def test_turned_away_before_the_quota_is_used_is_found() -> None:
    """Seven let in and thirteen refused of a fresh quota of ten: too few."""
    assert slugs(window(7, 13)) == {"under-admitted"}


def test_two_windows_are_judged_apart() -> None:
    """Ten in each of two windows are in order although they are twenty."""
    assert slugs(window(10, 3) + window(10, 3, reset=160.0)) == set()


def test_a_window_seen_from_its_middle_is_not_under_admitted() -> None:
    """Where others had used part of the quota before, fewer admissions are in order."""
    assert slugs(window(10, 5)[4:]) == set()


def test_two_requests_cannot_be_told_the_same_remaining() -> None:
    """A repeated remaining is a counter that was read twice."""
    events = window(4, 0)
    events.append(events[-1])
    assert slugs(events) == {"remaining-repeated"}


@pytest.mark.parametrize(
    ("admitted", "expected"), [(10, set()), (12, set()), (30, {"over-admitted"})]
)
def test_a_bucket_may_let_in_what_flows_in_meanwhile(admitted: int, expected: set[str]) -> None:
    """A bucket of ten that refills one a second lets in a few more than ten, not thirty."""
    events = [
        Admission(50.0 + n * 0.05, True, 10, max(9 - n, 0), 50.0 + n * 0.05 + min(n + 1, 10))
        for n in range(admitted)
    ]
    assert slugs(events, "token-bucket") == expected


def test_answers_that_say_nothing_are_not_judged() -> None:
    """Without limit and reset there is nothing to hold admissions against."""
    assert judge([Admission(1.0, True, None, None, None)] * 50) == []


@pytest.mark.parametrize(
    ("admitted", "seconds", "found"),
    [(40, 0.5, False), (41, 0.0, True), (50, 0.5, True), (80, 9.5, False)],
)
def test_a_named_quota_bounds_a_burst_whose_answers_say_nothing(
    admitted: int, seconds: float, found: bool
) -> None:
    """More than the quota is found within its window; a burst that outlasts it gets a second."""
    events = [Admission(seconds * n / 80, n < admitted, 40, None, None) for n in range(80)]
    assert bool(judge_untold(events, Quota(40, 10.0))) is found
