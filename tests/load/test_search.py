"""The breakpoint search: doubled, confirmed, bisected, and always over with a reason."""

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.breakpoint import drive
from load.profile import Profile, Search
from load.record import Tally
from load.schedule import Schedule
from load.search import RateSearch


def played(truth: float, **plan: float) -> RateSearch:
    """Search a server that holds every rate up to `truth`."""
    search = RateSearch(Search.model_validate({"start": 10, "limit": 10_000, "steps": 60, **plan}))
    while search.rate is not None:
        held = search.rate <= truth
        search.told(held, "" if held else "too slow")
    return search


@given(st.floats(3, 9_000))
def test_the_search_brackets_the_truth(truth: float) -> None:
    """What held lies at or below the breakpoint, what broke above it, a tenth apart."""
    search = played(truth)
    assert search.broke is not None
    assert search.held <= truth < search.broke
    assert search.held >= 0.85 * truth - 1
    assert "too slow" in search.why


def test_a_server_that_holds_the_limit_says_so() -> None:
    """The search stops at its limit and names it."""
    search = played(1e9, limit=500)
    assert (search.held, search.broke) == (500, None)
    assert "500/s" in search.why


def test_one_hiccup_does_not_decide() -> None:
    """A rate that breaks once and holds the second time has held."""
    search = RateSearch(Search(start=10, limit=20, steps=9))
    for held in (True, False, True):
        search.told(held, "" if held else "hiccup")
    assert (search.held, search.rate) == (20, None)


def test_what_held_at_first_is_tried_again_at_the_end() -> None:
    """A server that its own data has made slower is given the rate that it still holds."""
    search, tried = RateSearch(Search(start=10, limit=1000, steps=60)), 0
    while search.rate is not None:
        tried += 1
        truth = 100 if tried < 8 else 50
        search.told(search.rate <= truth, "" if search.rate <= truth else "too slow")
    assert search.held <= 50 < (search.broke or 0)
    assert search.faded
    assert "no longer at the end" in search.why


def test_what_held_last_needs_no_second_look() -> None:
    """Each rate that breaks is tried twice; what held is tried again only if others broke after."""
    search = played(95)
    assert search.steps[-1].held
    assert not search.faded
    assert len([s for s in search.steps if s.held and s.rate == search.held]) <= 2


def test_a_slow_generator_ends_the_search_without_a_verdict() -> None:
    """Where the generator could not tell, the search stops and says whose fault it was."""
    search = RateSearch(Search(start=10, limit=1000))
    search.told(True)
    for _ in range(2):
        assert search.rate == 20
        search.told(None, "the generator was the bottleneck")
    assert search.rate is None
    assert search.held == 10
    assert search.why == "at 20/s the generator was the bottleneck"


def test_one_hiccup_of_the_generator_does_not_decide() -> None:
    """A rate of which nothing could be said once is tried again."""
    search = RateSearch(Search(start=10, limit=20, steps=9))
    for held in (True, None, True):
        search.told(held, "" if held else "late")
    assert (search.held, search.rate) == (20, None)


def test_the_number_of_steps_is_bounded() -> None:
    """A search never makes more steps than it may."""
    assert len(played(777, steps=5, precision=0.0).steps) == 5


def test_a_server_that_holds_nothing_is_told() -> None:
    """Where even one request a second breaks a gate, nothing has held."""
    search = played(0.1)
    assert search.held == 0
    assert search.why


@pytest.mark.parametrize("truth", [11.0, 100.0, 4321.0])
def test_few_steps_suffice(truth: float) -> None:
    """Doubling and bisecting take a few dozen steps at most over four orders of magnitude."""
    assert len(played(truth).steps) < 30


class Overrun:
    """An engine whose first step leaves answers behind that come only when it is waited for."""

    def __init__(self) -> None:
        self.profile = Profile(name="t", kind="breakpoint", timeout=30)
        self.tally = Tally()
        self.playing = 0
        self.rounds: list[int] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Nothing to watch."""
        yield

    def prepare(self) -> None:
        """Nothing to prepare."""

    def round(self, schedule: Schedule) -> None:
        """Play a step; the first one ends with requests in flight."""
        self.rounds.append(self.playing)
        if len(self.rounds) == 1:
            self.playing = 3
            gevent.spawn(self._answered)

    def _answered(self) -> None:
        self.tally.of("get").response.add([9_000_000])
        self.playing = 0

    def flush(self, now: float) -> None:
        """Count what came late."""
        self.tally.numbers["flushed"] += 1


def test_a_step_does_not_pay_for_the_one_before() -> None:
    """The next step begins with nothing in flight, and late answers count for the step before."""
    engine, seen = Overrun(), list[Tally]()

    def decide(tally: Tally) -> float | None:
        seen.append(tally)
        return 10.0 if len(seen) == 1 else None

    drive(engine, decide, 20.0, seed=0)  # type: ignore[arg-type]
    assert engine.rounds == [0, 0]
    assert [t.of("get").response.total for t in seen] == [1, 0]
