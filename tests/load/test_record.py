"""Recording: percentiles are exact, and merged workers equal one process."""

from random import Random

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

import specs
from conformance.verdict import Finding
from load.call import origin
from load.engine import Engine
from load.framing import Trouble, TroubleKind
from load.plan import make_plan
from load.profile import Profile, Stage
from load.record import SERIES_MAX, Histogram, Series, Tally, pack, quantise, unpack
from load.schedule import from_profile
from load.session import make_lanes

MICROS = st.lists(st.integers(0, 3_600_000_000), min_size=1, max_size=200)


@given(st.integers(0, 86_400_000_000))
def test_quantising_keeps_three_digits(micros: int) -> None:
    """A duration's stand-in lies below it by less than a tenth of a percent."""
    assert micros * 0.999 <= quantise(micros) <= micros


@given(MICROS, st.integers(1, 5))
def test_merged_workers_equal_one_process(values: list[int], workers: int) -> None:
    """However durations are dealt to workers, the merged histogram is that of all of them."""
    whole, merged = Histogram(), Histogram()
    whole.add(values)
    for index in range(workers):
        part = Histogram()
        part.add(values[index::workers])
        merged.merge(part)
    assert merged.counts == whole.counts
    assert merged.total == whole.total == len(values)


@pytest.mark.parametrize("percent", [50, 90, 99, 99.9, 100])
def test_percentiles_agree_with_hdrhistogram(percent: float) -> None:
    """Our percentiles are HdrHistogram's, within its own three digits."""
    random = Random(3)
    values = [int(random.lognormvariate(8, 1.5)) + 1 for _ in range(20_000)]
    ours = Histogram()
    ours.add(values)
    theirs = HdrHistogram(1, 86_400_000_000, 3)
    for value in values:
        theirs.record_value(value)
    expected = theirs.get_value_at_percentile(percent) / 1e6
    assert ours.percentile(percent) == pytest.approx(expected, rel=0.002)
    assert ours.hdr().get_total_count() == 20_000


def test_a_histogram_of_nothing_says_zero() -> None:
    """Without values, percentiles and mean are zero and the curve is empty."""
    assert (Histogram().percentile(99), Histogram().mean(), Histogram().curve()) == (0.0, 0.0, [])


def test_a_tally_survives_the_message_to_the_master() -> None:
    """Packed and unpacked, a tally is what it was, findings and series included."""
    tally = Tally()
    of = tally.of("memory.get")
    of.sent, of.good = 3, 2
    of.errors["timeout"] = 1
    of.response.add([100, 5_000, 77])
    tally.series.at(2.5).sent = 3
    tally.saw(Finding("LD5", "wrong", operation="memory.get", cause="x", timeline=("GET",)))
    tally.numbers["written"] = 4
    assert pack(unpack(pack(tally))) == pack(tally)


def test_one_cause_is_one_finding_counted() -> None:
    """Findings with the same requirement and cause are kept once and counted over workers."""
    tallies = [Tally(), Tally()]
    for tally in tallies:
        for _ in range(3):
            tally.saw(Finding("LD5", "wrong", cause="x"))
    tallies[0].merge(tallies[1])
    assert [s.count for s in tallies[0].findings.values()] == [6]


def test_a_long_run_keeps_a_short_series() -> None:
    """A soak of a week keeps at most the same number of points, and every count."""
    series = Series()
    for second in range(0, 7 * 86_400, 60):
        series.at(second).sent += 1
    assert len(series.points) <= SERIES_MAX
    assert sum(p.sent for p in series.points.values()) == 7 * 24 * 60


def test_memory_stays_flat_over_ten_million_requests() -> None:
    """Statistics of ten million requests take no more room than those of a hundred thousand."""
    random = Random(1)
    sizes = []
    histogram = Histogram()
    batch = [int(random.lognormvariate(8, 1)) for _ in range(100_000)]
    for round_ in range(100):
        histogram.add(batch)
        if round_ in (0, 99):
            sizes.append(len(histogram.counts))
    assert histogram.total == 10_000_000
    assert sizes[1] == sizes[0] < 20_000


class Broken:
    """A wire on which every exchange breaks in one way, or is answered so."""

    opened = unannounced = 0
    greenlet = shot = None
    busy_since = 0.0

    def __init__(self, outcome: TroubleKind | int) -> None:
        self.outcome = outcome

    def exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Break, or answer with a bare status."""
        if isinstance(self.outcome, int):
            return self.outcome, b"HTTP/1.1 %d X\r\n" % self.outcome, b"{}"
        raise Trouble(self.outcome)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("outcome", "failed", "answered", "timed"),
    [
        ("refused", 1, 0, 0),
        ("truncated", 1, 0, 0),
        ("timeout", 1, 0, 1),
        (500, 1, 1, 1),
        (429, 0, 0, 0),
    ],
)
def test_the_series_tells_what_failed_from_what_was_answered(
    outcome: TroubleKind | int, failed: int, answered: int, timed: int
) -> None:
    """What broke was not answered and has no time; what was given up has the time it took."""
    profile = Profile(name="t", stages=(Stage(seconds=1, rate=1),), only=("search",))
    plan = make_plan(specs.load("octamem"), profile)
    lanes = make_lanes(plan, origin("http://127.0.0.1:1"), ["k"], "t", 0)
    engine = Engine(profile, from_profile(profile), lanes, lambda: Broken(outcome))
    engine.send(engine.wire(), lanes[0], lanes[0].shoot(), 0.0)
    (point,) = engine.tally.series.points.values()
    assert (point.failed, point.answered, point.times.total()) == (failed, answered, timed)
