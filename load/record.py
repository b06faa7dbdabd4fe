"""What a worker counts while it runs, how workers' counts add up, and exact percentiles.

Durations are whole microseconds in sparse histograms laid out as HdrHistogram's with three
significant digits: values below 2048 are exact, larger ones keep eleven bits (an error below
0.1 %). Adding two such histograms loses nothing, so merged workers equal one process. Nothing
here judges (that is `gates.py`), sends, or reads a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hdrh.histogram import HdrHistogram

from conformance.verdict import Finding
from load import reports
from specs import Basis

LONGEST = 24 * 3600 * 1_000_000
"""Microseconds of the longest duration that is told apart."""
SERIES_MAX = 600
"""Points of the time series; a longer run halves their number and doubles their width."""


MOST_FINDINGS = 10_000
"""Findings of one report that are read."""
EXACT = 2048
"""Microseconds below which every value stands for itself."""


def quantise(micros: int) -> int:
    """Return the value that stands for a duration: its eleven leading bits."""
    shift = micros.bit_length() - 11
    return micros if shift <= 0 else micros >> shift << shift


class Histogram:
    """A mergeable histogram of durations in microseconds."""

    __slots__ = ("counts", "total")

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: Counter[int] = Counter()
        self.total = 0
        if counts:
            for value, count in counts.items():
                self.counts[int(value)] += count
                self.total += count

    def add(self, micros: Iterable[int]) -> Counter[int]:
        """Count raw durations and return them counted, so that others need not count again."""
        fresh = Counter(micros)
        for value in [v for v in fresh if not 0 <= v < EXACT]:
            count = fresh.pop(value)
            fresh[quantise(max(value, 0))] += count
        self.merge_counts(fresh)
        return fresh

    def merge_counts(self, fresh: Mapping[int, int]) -> None:
        """Add counted, quantised durations."""
        self.counts.update(fresh)
        self.total += sum(fresh.values())

    def merge(self, other: Histogram) -> None:
        """Add another histogram."""
        self.merge_counts(other.counts)

    def percentile(self, percent: float) -> float:
        """Return the duration in seconds below or at which `percent` of them lie; 0 of none."""
        return self.percentiles([percent])[0]

    def percentiles(self, wanted: Iterable[float]) -> list[float]:
        """Return several percentiles in seconds, in one walk."""
        ordered = sorted(self.counts.items())
        results = {}
        todo = sorted(set(wanted))
        seen = 0
        for value, count in ordered:
            seen += count
            while todo and seen >= max(1, _rank(todo[0], self.total)):
                results[todo.pop(0)] = value / 1e6
        last = ordered[-1][0] / 1e6 if ordered else 0.0
        return [results.get(p, last) for p in wanted]

    def mean(self) -> float:
        """Return the mean in seconds; 0 of none."""
        if not self.total:
            return 0.0
        return sum(v * n for v, n in self.counts.items()) / self.total / 1e6

    def hdr(self) -> HdrHistogram:
        """Return the same as an HdrHistogram, for tools that read its log format."""
        made = HdrHistogram(1, LONGEST, 3)
        for value, count in self.counts.items():
            made.record_value(min(max(value, 1), LONGEST), count)
        return made

    def curve(self) -> list[tuple[float, float]]:
        """Return (percentile, seconds) points for a percentile plot, finer towards 100."""
        points = [0.0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100]
        return [(p, s) for p, s in zip(points, self.percentiles(points), strict=True) if self.total]


def _rank(percent: float, total: int) -> int:
    """Return how many values must lie at or below; rounded as HdrHistogram rounds."""
    return int(percent / 100 * total + 0.5)


@dataclass
class OperationTally:
    """One operation's counts."""

    sent: int = 0
    good: int = 0
    """Answers that were judged and found in order, or with findings but answered as asked."""
    wrong: int = 0
    """Answers with at least one finding."""
    limited: int = 0
    refused: int = 0
    """Answers that say that the key's role is not enough: nothing was learned."""
    received: int = 0
    """Bytes of bodies."""
    errors: Counter[str] = field(default_factory=Counter)
    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)

    @property
    def judged(self) -> int:
        """Whole answers that went through the oracles, limited and refused ones apart."""
        return (
            self.good
            + self.wrong
            + sum(n for kind, n in self.errors.items() if kind.startswith("http-"))
        )

    @property
    def failed(self) -> int:
        """Requests that failed, by any kind."""
        return sum(self.errors.values())

    def merge(self, other: OperationTally) -> None:
        """Add another worker's counts."""
        self.sent += other.sent
        self.good += other.good
        self.wrong += other.wrong
        self.limited += other.limited
        self.refused += other.refused
        self.received += other.received
        self.errors.update(other.errors)
        self.response.merge(other.response)
        self.service.merge(other.service)


@dataclass
class Point:
    """One stretch of the time series."""

    sent: int = 0
    answered: int = 0
    failed: int = 0
    limited: int = 0
    times: Counter[int] = field(default_factory=Counter)
    """Response times in microseconds, coarsely (six bits)."""

    def merge(self, other: Point) -> None:
        """Add another stretch."""
        self.sent += other.sent
        self.answered += other.answered
        self.failed += other.failed
        self.limited += other.limited
        self.times.update(other.times)


@dataclass
class Series:
    """Counts over time from the run's beginning, in stretches of `width` seconds."""

    width: int = 1
    points: dict[int, Point] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length of what it covers, in seconds."""
        return float((max(self.points, default=-1) + 1) * self.width)

    def at(self, seconds: float) -> Point:
        """Return the stretch that a time lies in; halves the series when it grows too long."""
        index = max(int(seconds // self.width), 0)
        while index >= SERIES_MAX:
            self.widen()
            index = int(seconds // self.width)
        return self.points.setdefault(index, Point())

    def widen(self) -> None:
        """Double the width of every stretch."""
        merged: dict[int, Point] = {}
        for index, point in self.points.items():
            merged.setdefault(index // 2, Point()).merge(point)
        self.points = merged
        self.width *= 2

    def merge(self, other: Series) -> None:
        """Add another worker's series, whichever is coarser setting the width."""
        while self.width < other.width:
            self.widen()
        for index, point in other.points.items():
            self.at(index * other.width).merge(point)


def coarse(micros: int) -> int:
    """Return a duration with its six leading bits: enough for a chart."""
    shift = micros.bit_length() - 6
    return micros if shift <= 0 else micros >> shift << shift


@dataclass
class Seen:
    """One finding, how often it was seen, and its first witness."""

    finding: Finding
    count: int = 1


@dataclass
class Tally:
    """Everything that a worker counted; workers' tallies add up with `merge`."""

    operations: dict[str, OperationTally] = field(default_factory=dict)
    lag: Histogram = field(default_factory=Histogram)
    series: Series = field(default_factory=Series)
    findings: dict[tuple[str, str], Seen] = field(default_factory=dict)
    numbers: Counter[str] = field(default_factory=Counter)
    """planned, taken, untaken, opened, unannounced, in-flight, ledger counts, …"""
    stages: Counter[str] = field(default_factory=Counter)
    """Tickets taken in each stage."""
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """What only one kind of profile has: steps of a search, windows of a limit, clients."""

    def of(self, operation: str) -> OperationTally:
        """Return the counts of an operation."""
        return self.operations.setdefault(operation, OperationTally())

    def merge(self, other: Tally) -> None:
        """Add another worker's counts."""
        for name, tally in other.operations.items():
            self.of(name).merge(tally)
        self.lag.merge(other.lag)
        self.series.merge(other.series)
        for key, seen in other.findings.items():
            if key in self.findings:
                self.findings[key].count += seen.count
            else:
                self.findings[key] = seen
        self.numbers.update(other.numbers)
        self.stages.update(other.stages)
        self.notes += [note for note in other.notes if note not in self.notes]
        self.facts.update(other.facts)

    def saw(self, finding: Finding) -> None:
        """Count a finding; the first with its cause is kept as the witness."""
        key = (finding.requirement, finding.cause)
        if key in self.findings:
            self.findings[key].count += 1
        else:
            self.findings[key] = Seen(finding)

    @property
    def drawn(self) -> int:
        """Tickets that the schedule had, those included that came to nobody's turn."""
        return self.stages.total() + self.numbers["untaken"]

    def total(self) -> OperationTally:
        """Return the counts of all operations together."""
        whole = OperationTally()
        for tally in self.operations.values():
            whole.merge(tally)
        return whole


def pack(tally: Tally) -> dict[str, Any]:
    """Return a tally as plain values, for the message from worker to master."""
    return {
        "operations": {
            name: {
                "counts": [t.sent, t.good, t.wrong, t.limited, t.refused, t.received],
                "errors": dict(t.errors),
                "response": dict(t.response.counts),
                "service": dict(t.service.counts),
            }
            for name, t in tally.operations.items()
        },
        "lag": dict(tally.lag.counts),
        "series": {
            "width": tally.series.width,
            "points": {
                i: [p.sent, p.answered, p.failed, p.limited, dict(p.times)]
                for i, p in tally.series.points.items()
            },
        },
        "findings": [_pack_finding(s) for s in tally.findings.values()],
        "numbers": dict(tally.numbers),
        "stages": dict(tally.stages),
        "notes": tally.notes,
        "facts": tally.facts,
    }


def unpack(raw: Any) -> Tally:
    """Return the tally that `pack` made plain. Raises NoReport where it is not one."""
    try:
        return _unpacked(reports.table(raw, "the report"))
    except (KeyError, TypeError, ValueError, AttributeError) as why:
        if isinstance(why, reports.NoReport):
            raise
        raise reports.NoReport(f"the report lacks or garbles {why}") from why


def _unpacked(raw: Mapping[str, Any]) -> Tally:
    made = Tally()
    for name, values in reports.table(raw["operations"], "operations", 10_000).items():
        counts = [reports.count(each, f"{name}.counts") for each in values["counts"]]
        sent, good, wrong, limited, refused, received = counts
        made.operations[str(name)] = OperationTally(
            sent, good, wrong, limited, refused, received, _names(values["errors"], "errors"),
            _histogram(values["response"]), _histogram(values["service"]),
        )  # fmt: skip
    made.lag = _histogram(raw["lag"])
    width = reports.count(raw["series"]["width"], "series.width", reports.WIDEST_POINT)
    made.series = Series(max(width, 1))
    points = reports.table(raw["series"]["points"], "series.points", SERIES_MAX)
    for index, (sent, answered, failed, limited, times) in points.items():
        for each in (sent, answered, failed, limited):
            reports.count(each, "series.points")
        at = reports.index(index, "series.points", SERIES_MAX - 1)
        made.series.points[at] = Point(
            sent, answered, failed, limited, _histogram(times).counts
        )  # fmt: skip
    for each in raw["findings"][:MOST_FINDINGS]:
        seen = _unpack_finding(reports.plain(each, "findings"))
        made.findings[seen.finding.requirement, seen.finding.cause] = seen
    made.numbers = Counter(
        {str(k): reports.number(v, f"numbers.{k}")
         for k, v in reports.table(raw["numbers"], "numbers", 10_000).items()}
    )  # fmt: skip
    made.stages = _names(raw["stages"], "stages")
    made.notes = reports.texts(raw["notes"], "notes")
    made.facts = dict(reports.plain(reports.table(raw["facts"], "facts"), "facts"))
    return made


def _names(raw: Any, where: str) -> Counter[str]:
    """Return counts by name."""
    known = reports.table(raw, where, 10_000)
    return Counter({str(name): reports.count(value, where) for name, value in known.items()})


def _histogram(raw: Any) -> Histogram:
    """Return a histogram whose durations and counts are in range."""
    known = reports.table(raw, "a histogram").items()
    return Histogram(
        {reports.index(k, "a duration", LONGEST): reports.count(v, "its count") for k, v in known}
    )


def _pack_finding(seen: Seen) -> dict[str, Any]:
    return {"count": seen.count, **asdict(seen.finding)}


def _unpack_finding(raw: Mapping[str, Any]) -> Seen:
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in raw.items() if k != "count"
    }
    values["basis"] = Basis(values["basis"])
    return Seen(Finding(**values), reports.count(raw["count"], "a finding's count"))
