"""Line charts as inline SVG, drawn from series in a result's details.

A chart is `{"x": label, "y": label, "log_x": bool, "log_y": bool, "series": [{"name": …,
"points": [[x, y], …]}]}`; the page needs no script for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 480, 230, 48, 36, 24, 12
DOTTED = 24
"""Points of a line that are drawn as dots too: one alone would not be seen."""


@dataclass(frozen=True)
class Chart:
    """A drawn chart: its title, its SVG, and its series' names in the order of their colours."""

    title: str
    svg: Markup
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    log: bool
    start: float
    length: float

    def place(self, value: float) -> float:
        low, high, at = (
            (math.log10(v) for v in (self.low, self.high, max(value, self.low)))
            if self.log
            else (self.low, self.high, value)
        )
        return self.start + self.length * (at - low) / ((high - low) or 1)

    def ticks(self) -> list[float]:
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            return [
                v for v in (10.0**e for e in range(first, last + 1)) if self.low <= v <= self.high
            ]
        step = _nice((self.high - self.low) / 5)
        count = int((self.high - self.low) / step + 1e-9)
        return [self.low + step * i for i in range(count + 1)]


def draw(title: str, chart: Mapping[str, Any]) -> Chart:
    """Return a chart drawn as SVG; an empty one says that there is nothing to draw."""
    series: Sequence[Mapping[str, Any]] = chart.get("series", [])
    points = [p for s in series for p in s["points"]]
    names = tuple(str(s["name"]) for s in series)
    if not points:
        return Chart(title, Markup("<p>nothing recorded</p>"), names)
    x = _axis([p[0] for p in points], bool(chart.get("log_x")), LEFT, WIDTH - LEFT - RIGHT)
    y = _axis(
        [p[1] for p in points], bool(chart.get("log_y")), HEIGHT - BOTTOM, -(HEIGHT - BOTTOM - TOP)
    )
    parts = [*_grid(x, y, str(chart.get("x", "")), str(chart.get("y", "")))]
    for number, each in enumerate(series):
        path = " ".join(f"{x.place(px):.1f},{y.place(py):.1f}" for px, py in each["points"])
        parts.append(f'<polyline class="line c{number % 6}" points="{path}"/>')
        if len(each["points"]) <= DOTTED:
            parts += [
                f'<circle class="dot c{number % 6}" cx="{x.place(px):.1f}" cy="{y.place(py):.1f}"'
                ' r="3"/>' for px, py in each["points"]
            ]  # fmt: skip
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )
    return Chart(title, Markup(svg), names)  # noqa: S704 - every text in it was escaped


def of_load(details: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the charts of a load run's details: seconds become milliseconds; {} for others."""
    series = details.get("series") or []
    if not series or "curve" not in details:
        return {}
    return {**_over_time(details, series), **_by_rate(details.get("breakpoint", {}))}


def _by_rate(search: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a search tried: latency and answers at each rate; {} for other kinds."""
    steps = sorted((s for s in search.get("steps", ()) if "answered" in s), key=lambda s: s["rate"])
    if not steps:
        return {}
    timed = [s for s in steps if "p50" in s]
    return {
        "latency by rate": {
            "x": "requests per second, planned",
            "y": "ms",
            "series": [
                {"name": name, "points": [[s["rate"], s[name] * 1000] for s in timed]}
                for name in ("p50", "p99")
            ],
        },
        "rate planned and reached": {
            "x": "requests per second, planned",
            "y": "answered per second",
            "series": [
                {"name": "planned", "points": [[s["rate"], s["rate"]] for s in steps]},
                {"name": "reached", "points": [[s["rate"], s["answered"]] for s in steps]},
            ],
        },
    }


def _over_time(
    details: Mapping[str, Any], series: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:

    def over_time(*names: str, scale: float = 1) -> list[dict[str, Any]]:
        return [
            {"name": name, "points": [[p["t"], p[name] * scale] for p in series if name in p]}
            for name in names
        ]

    there = [name for name in ("planned", "limited") if any(p.get(name) for p in series)]
    return {
        "latency over time": {"x": "seconds", "y": "ms",
                              "series": over_time("p50", "p99", scale=1000)},
        "latency by percentile": {
            "x": "1 / (1 - percentile): 10 is p90, 100 is p99",
            "y": "ms",
            "log_x": True,
            "series": [
                {"name": name, "points": _hdr(details[key])}
                for name, key in (("response", "curve"), ("service", "service-curve"))
                if details.get(key)
            ],
        },
        "throughput": {"x": "seconds", "y": "per second",
                       "series": over_time("answered", "failed", *there)},
    }  # fmt: skip


def _hdr(curve: Sequence[Sequence[float]]) -> list[list[float]]:
    return [
        [1 / (1 - percent / 100), seconds * 1000] for percent, seconds in curve if percent < 100
    ]


def _axis(values: Sequence[float], log: bool, start: float, length: float) -> _Axis:
    if log:
        positive = [v for v in values if v > 0] or [1.0]
        low, high = min(positive), max(positive)
        return _Axis(low, high if high > low else low * 10, True, start, length)
    low, high = min(0.0, min(values)), max(values)
    return _Axis(low, high if high > low else low + 1, False, start, length)


def _grid(x: _Axis, y: _Axis, x_label: str, y_label: str) -> list[str]:
    parts = []
    for tick in y.ticks():
        at = y.place(tick)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(
            f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
        )
    for tick in x.ticks():
        at = x.place(tick)
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">'
            f"{_number(tick)}</text>"
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append(f'<text x="4" y="2" dominant-baseline="hanging">{escape(y_label)}</text>')
    return parts


def _nice(step: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(step))
    return next(f * magnitude for f in (1, 2, 5, 10) if f * magnitude >= step)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
