"""What a load run's details say, as tables for people: values in, rows of text out. Pure.

Charts of the same details are in `charts.py`. A run of a kind without something (steps of a
search, clients of a storm) has no table of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PERCENTILES = ("mean", "p50", "p75", "p90", "p95", "p99", "p999", "max")
_LEDGER = (
    ("written", "acknowledged writes"), ("read-back", "read back"), ("unread", "not readable"),
    ("lost", "lost"), ("unfound", "not found by search"), ("duplicated", "there twice"),
    ("altered", "altered"), ("resurrected", "deleted and there again"),
    ("unsure", "outcome never told"), ("cleaned", "deleted afterwards"),
)  # fmt: skip
_LIMIT = (
    ("operation", "operation"), ("quota", "quota"), ("sent", "sent"), ("admitted", "let in"),
    ("refused", "turned away"), ("unreached", "not reached"),
)  # fmt: skip
_STORM = (
    ("operation", "calls"), ("status", "failed with"), ("calls_during", "calls in the outage"),
    ("sends_during", "sends of them"), ("amplification", "sends a call"),
    ("allowed", "allowed"), ("recovery", "s to recover"), ("goodput_before", "good/s before"),
    ("goodput_during", "during"), ("goodput_after", "after"), ("problem", "problem"),
)  # fmt: skip
_LIST = (
    ("style", "pages by"), ("stays", "stayed"), ("walks", "walks"), ("unwalked", "broken off"),
    ("missed", "missed under writes"), ("repeated", "seen twice under writes"),
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """One table: its title, its columns' names, its rows; the first column names the row."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    beside: bool = False
    """True for what is looked at together with the charts."""
    long: bool = False
    """True for what is folded until it is asked for."""


def tables(details: Mapping[str, Any]) -> list[Table]:
    """Return the tables of a load run's details; [] for what is no load run."""
    if "curve" not in details:
        return []
    return [table for table in _all(details) if table.rows]


def _all(details: Mapping[str, Any]) -> Iterator[Table]:
    yield Table(
        "errors by kind", ("kind", "requests", "share"), tuple(_errors(details)), beside=True
    )
    yield Table(
        "stages", ("stage", "from", "to", "a second", "planned", "sent"), tuple(_stages(details))
    )
    yield Table("times, in ms", ("", *PERCENTILES), tuple(_times(details)))
    search = details.get("breakpoint", {})
    yield Table("rates tried", ("a second", "held", "what broke"), tuple(_steps(search)))
    groups = {g["name"]: g for g in details.get("storm", {}).get("groups", ())}
    yield _listed("clients of the outage", "client", groups, _STORM)
    yield _listed("lists walked", "list", details.get("pages", {}).get("lists", {}), _LIST)
    yield _pairs("rate limit", details.get("rate-limit", {}), _LIMIT)
    yield _pairs("ledger", details.get("ledger") or {}, _LEDGER)
    head = ("operation", "sent", "judged", "wrong", "failed", "p50 ms", "p99 ms", "max ms")
    yield Table("operations", head, tuple(_operations(details)), long=True)
    excluded = details.get("excluded", {}).items()
    left_out = tuple((name, str(why)) for name, why in excluded)
    yield Table("left out", ("operation", "why"), left_out, long=True)


def _errors(details: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    sent = max(details.get("sent", 0), 1)
    for kind, count in details.get("errors", {}).items():
        yield kind, _text(count), f"{count / sent:.3%}"
    if not details.get("errors"):
        yield "none", "0", "0%"


def _stages(details: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for each in details.get("stages", ()):
        rate = f"{each['rate']:g}"
        if each["to"] != each["rate"]:
            rate = f"{rate} → {each['to']:g}"
        yield (
            each["name"], f"{round(each['start'], 2):g} s", f"{round(each['end'], 2):g} s", rate,
            _text(each["planned"]), _text(each["taken"]),
        )  # fmt: skip


def _times(details: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name in ("response", "service", "lag"):
        times = details.get(name) or {}
        if times:
            yield name, *(_ms(times.get(p)) for p in PERCENTILES)


def _steps(search: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    words = {True: "yes", False: "no", None: "cannot be told"}
    for step in search.get("steps", ()):
        yield f"{step['rate']:g}", words[step["held"]], step["why"]
    if search.get("steps"):
        yield f"{search['held']:g}", "the highest that held", search["why"]


def _operations(details: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, each in details.get("operations", {}).items():
        times = each["response"]
        yield (
            name, _text(each["sent"]), _text(each["judged"]), _text(each["wrong"]),
            _text(sum(each["errors"].values())),
            *(_ms(times.get(p)) for p in ("p50", "p99", "max")),
        )  # fmt: skip


def _listed(
    title: str, first: str, items: Mapping[str, Mapping[str, Any]],
    columns: Sequence[tuple[str, str]],
) -> Table:  # fmt: skip
    """Return a row for each item, without the columns that none of them has anything in."""
    kept = [(k, n) for k, n in columns if any(e.get(k) not in (None, "") for e in items.values())]
    rows = tuple((name, *(_text(e.get(k)) for k, _ in kept)) for name, e in items.items())
    return Table(title, (first, *(n for _, n in kept)), rows)


def _pairs(title: str, values: Mapping[str, Any], names: Sequence[tuple[str, str]]) -> Table:
    """Return one row of what is there."""
    kept = [(key, name) for key, name in names if key in values]
    row = tuple(_text(values[key]) for key, _ in kept)
    return Table(title, tuple(name for _, name in kept), (row,) if row else ())


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.1f}"


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
