"""Concurrent writes and reads of one record: is there an order that explains them (ST12)?

A small search in the manner of Wing and Gong: histories here have a handful of operations, so
every order that respects real time is tried. The record is a mapping; a write sets properties,
a read shows them all. Operations whose answer was lost may have happened or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from conformance.history import Exchange
from conformance.oracles.found import MISSING, found, ok
from conformance.oracles.state import same
from conformance.verdict import Finding
from specs import Operation


@dataclass(frozen=True, slots=True)
class Event:
    """One operation on the record: what it wrote, or what it saw; seconds on one clock."""

    began: float
    ended: float
    writes: Mapping[str, Any] | None = None
    saw: Mapping[str, Any] | None = None
    whole: bool = False
    """True where a write sets the whole record: what it does not name is unknown afterwards."""
    sure: bool = True
    """False where nobody knows whether it happened."""


def explains(initial: Mapping[str, Any], events: Sequence[Event]) -> bool:
    """Return True where some order of events, true to real time, explains every read."""
    unsure = [e for e in events if not e.sure]
    sure = [e for e in events if e.sure]
    for count in range(len(unsure) + 1):
        for chosen in permutations(unsure, count):
            for order in permutations([*sure, *chosen]):
                if _timely(order) and _told_true(initial, order):
                    return True
    return False


def _timely(order: Sequence[Event]) -> bool:
    """Return True where nothing that ended before another began comes after it."""
    return all(
        not later.ended < earlier.began
        for place, earlier in enumerate(order) for later in order[place + 1 :]
    )  # fmt: skip


def _told_true(initial: Mapping[str, Any], order: Sequence[Event]) -> bool:
    record: dict[str, Any] = dict(initial)
    for event in order:
        if event.writes is not None:
            if event.whole:
                record = {}
            record.update(event.writes)
        if event.saw is not None:
            for name, value in record.items():
                there = event.saw.get(name, MISSING)
                if there is not MISSING and not same(value, there):
                    return False
    return True


def judge(
    operation: Operation,
    before: Exchange,
    writes: Sequence[tuple[Exchange, Mapping[str, Any]]],
    reads: Sequence[Exchange],
    after: Exchange,
) -> Iterator[Finding]:
    """Yield where no order explains what concurrent clients were told (ST12)."""
    effect = operation.effect
    assert effect is not None
    names = {n for _, change in writes for n in change}
    renamed = {n: effect.renamed.get(n, n) for n in names}
    initial = _shown(before, renamed)
    whole = effect.kind == "replace"
    events = [
        Event(e.sent, _end(e), writes=change, whole=whole, sure=ok(e))
        for e, change in writes if not (e.status is not None and 400 <= e.status < 500)
    ]  # fmt: skip
    events += [Event(e.sent, _end(e), saw=_shown(e, renamed)) for e in [*reads, after] if ok(e)]
    if not explains(initial, events):
        told = [(e, f"writes {_words(change)}") for e, change in writes if e.response is not None]
        told += [(e, f"reads {_words(_shown(e, renamed))}") for e in [*reads, after]]
        yield found(
            "ST12", f"no order of the concurrent writes explains what was read: from "
            f"{_words(initial)}, {_timeline(told)}", before,
            *[e for e, _ in writes], *reads, after, cause=f"not-linearizable {operation.id}",
            operation=operation, basis=effect.basis,
        )  # fmt: skip


def _timeline(told: Sequence[tuple[Exchange, str]]) -> str:
    """Return who did what from when to when, in milliseconds since the first began."""
    began = min(e.sent for e, _ in told)
    lines = []
    for number, (exchange, words) in enumerate(sorted(told, key=lambda pair: pair[0].sent), 1):
        end = f"{(_end(exchange) - began) * 1000:.1f}"
        lines.append(f"{number} ({(exchange.sent - began) * 1000:.1f}–{end} ms) {words}")
    return "; ".join(lines)


def _words(values: Mapping[str, Any]) -> str:
    """Return properties and the beginnings of their values: `title='amb…'`."""
    shown = {n: repr(v) for n, v in values.items()}
    return ", ".join(
        f"{n}={v if len(v) <= SHORT else v[: SHORT - 1] + '…'}" for n, v in sorted(shown.items())
    )


SHORT = 24
"""Characters that a value may take in a message."""


def _end(exchange: Exchange) -> float:
    return exchange.received if exchange.received is not None else float("inf")


def _shown(exchange: Exchange, renamed: Mapping[str, str]) -> dict[str, Any]:
    body = exchange.response.json_or_none() if exchange.response else None
    if not isinstance(body, Mapping):
        return {}
    return {n: body[there] for n, there in renamed.items() if there in body}
