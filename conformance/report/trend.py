"""Many runs of the same subjects, oldest to newest: one page and one table. Pure.

A run is compared with the one before it as `--against` does: new, gone, unchanged, not observed.
A finding keeps its id over runs, so each is a row whose cells say what every run says about it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from conformance.foreign import page, terminal, through
from conformance.report import charts
from conformance.report.baseline import beside, compare
from conformance.report.exit import Decision, Exit, decide
from conformance.report.html import environment
from conformance.report.outcomes import named, page_of
from conformance.report.results import FindingEntry, Results, SubjectEntry, natural
from conformance.report.versions import State, state_of
from specs.catalogue import Level

SIGNS = {State.SHOWS: "✗", State.FREE: "✓", State.UNJUDGED: "?", None: "–"}
TONES = {State.SHOWS: "fail", State.FREE: "pass", State.UNJUDGED: "inconclusive", None: "soft"}
VERDICTS = {
    Exit.CONFORMS: "conforms",
    Exit.DEVIATES: "does not conform",
    Exit.USAGE: "usage",
    Exit.ERROR: "error",
    Exit.STALE_BASELINE: "baseline out of date",
    Exit.TOO_LITTLE_EVIDENCE: "too little evidence",
}


@dataclass(frozen=True)
class Point:
    """One run."""

    commit: str
    """What it was a run of, as given; empty if nobody said."""
    results: Results
    decision: Decision
    since: Mapping[str, int]
    """What became of findings since the run before: `new`, `gone`, …; empty for the first."""

    @property
    def name(self) -> str:
        """The commit; the run's start if none was given."""
        return self.commit or self.results.run.started[:16] or "?"

    @property
    def counts(self) -> dict[Level, int]:
        """Findings by level."""
        levels = [f.level for s in self.results.subjects for f in s.findings]
        return {level: levels.count(level) for level in Level}

    @property
    def moved(self) -> str:
        """What became of findings since the run before, in words."""
        return ", ".join(f"{count} {word}" for word, count in self.since.items() if count)


@dataclass(frozen=True)
class Row:
    """One finding over all runs, as the newest that shows it tells it."""

    finding: FindingEntry
    states: tuple[State | None, ...]
    """A state for each run; None if the run did not judge its subject."""

    @property
    def moved(self) -> bool:
        """True if not all runs say the same."""
        return len(set(self.states)) > 1


@dataclass(frozen=True)
class Track:
    """One subject over all runs."""

    name: str
    subjects: tuple[SubjectEntry | None, ...]
    rows: tuple[Row, ...]

    def figures(self) -> dict[str, Any]:
        """Return the chart of a load subject's latency, by run; {} for others."""
        times = [
            (n, s.details["response"])
            for n, s in enumerate(self.subjects, 1)
            if s is not None and s.kind == "load" and s.details.get("response")
        ]
        lines = [
            {"name": p, "points": [[n, told[p] * 1000] for n, told in times if p in told]}
            for p in ("p50", "p99")
        ]
        return {"x": "run", "y": "ms", "series": lines} if times else {}


@dataclass(frozen=True)
class Trend:
    """All runs, oldest first."""

    points: tuple[Point, ...]
    tracks: tuple[Track, ...]


def of(runs: Sequence[tuple[str, Results]]) -> Trend:
    """Return the trend of runs, each with its commit; runs that say when they began are sorted."""
    ordered = sorted(runs, key=lambda each: each[1].run.started)
    points: list[Point] = []
    for commit, results in ordered:
        since = _since(results, points[-1].results) if points else {}
        baseline = results.baseline
        decision = decide(results, compare(results, baseline) if baseline is not None else None)
        points.append(Point(commit, results, decision, since))
    return Trend(tuple(points), tuple(_tracks([results for _, results in ordered])))


def _since(results: Results, earlier: Results) -> dict[str, int]:
    made = beside(results, earlier)
    return {
        "new": len(made.new) + len(made.searched),
        "gone": len(made.gone),
        "unchanged": len(made.known),
        "wider": len(made.wider),
        "not observed": len(made.unobserved) + len(made.unmatched),
    }


def _tracks(runs: Sequence[Results]) -> Iterator[Track]:
    found: dict[str, list[SubjectEntry | None]] = {}
    for at, results in enumerate(runs):
        for subject, name, _ in named(results.subjects):
            found.setdefault(name, [None] * len(runs))[at] = subject
    order = list(Level)
    for name, subjects in found.items():
        newest = {f.id: f for subject in subjects if subject for f in subject.findings}
        rows = [
            Row(finding, tuple(state_of(s, finding) if s else None for s in subjects))
            for finding in newest.values()
        ]
        rows.sort(key=lambda r: (order.index(r.finding.level), natural(r.finding.requirement)))
        yield Track(name, tuple(subjects), tuple(rows))


def render(trend: Trend) -> str:
    """Return the page of many runs."""
    shown = of([(page(p.commit), through(p.results, page)) for p in trend.points])
    levels = {
        "x": "run",
        "y": "findings",
        "series": [
            {"name": str(level),
             "points": [[n, p.counts[level]] for n, p in enumerate(shown.points, 1)]}
            for level in Level
        ],
    }  # fmt: skip
    drawn = [charts.draw("findings by level", levels)]
    drawn += [charts.draw(t.name, t.figures()) for t in shown.tracks if t.figures()]
    return environment().get_template("trend.html.j2").render(
        points=shown.points, tracks=shown.tracks, charts=drawn, signs=SIGNS, tones=TONES,
        verdicts=VERDICTS, levels=list(Level), page_of=page_of,
    )  # fmt: skip


def table(trend: Trend) -> Table:
    """Return the runs as a table for a terminal, a row each, oldest first."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("run", "commit", "began", "verdict", *map(str, Level), "since the run before"):
        made.add_column(head, justify="right" if head in list(Level) else "left")
    for number, point in enumerate(trend.points, 1):
        cells = [
            str(number),
            point.commit[:20] or "–",
            point.results.run.started[:16],
            VERDICTS[point.decision.code],
            *(str(count) for count in point.counts.values()),
            point.moved or "–",
        ]
        made.add_row(*(Text(terminal(cell)) for cell in cells))
    return made
