"""Showing a run while it happens: a table in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from conformance.clock import Clock, SystemClock
from conformance.run import Part

QUIET_SECONDS = 10.0
"""Longest silence between two plain lines."""


@contextmanager
def watching(
    console: Console, clock: Clock | None = None
) -> Iterator[Callable[[Sequence[Part]], None]]:
    """Yield a function that is given the parts of a run again and again, and shows them."""
    clock = clock or SystemClock()
    if console.is_terminal:
        with Live(console=console, transient=True, refresh_per_second=4) as live:
            yield lambda parts: live.update(_table(parts, clock))
    else:
        yield _Lines(console, clock)


def _table(parts: Sequence[Part], clock: Clock) -> Table:
    finished = sum(p.state == "finished" for p in parts)
    table = Table(
        title=f"{finished} of {len(parts)} parts finished", title_justify="left", box=None
    )
    for column in ("part", "cases", "since", ""):
        table.add_column(column, no_wrap=True)
    for part in parts:
        if part.state == "running":
            since = f"{clock.monotonic() - part.started:.0f} s"
            table.add_row(f"{part.kind} {_name(part)}", _count(part), since, part.what)
    return table


def _name(part: Part) -> str:
    return f"{part.name}=={part.version}" if part.version else part.api


def _count(part: Part) -> str:
    return f"{part.done}/{part.of}" if part.of else ""


class _Lines:
    """Says when a part starts and ends, and breaks a silence that grows long."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self.console, self.clock = console, clock
        self.said: dict[int, str] = {}
        self.last = clock.monotonic()

    def __call__(self, parts: Sequence[Part]) -> None:
        finished = sum(p.state == "finished" for p in parts)
        for part in parts:
            if part.state != "waiting" and self.said.get(id(part)) != part.state:
                self.said[id(part)] = part.state
                took = f" in {part.seconds:.1f} s" if part.state == "finished" else ""
                self._say(
                    f"[{finished}/{len(parts)}] {part.kind} {_name(part)}: {part.state}{took}"
                )
        if self.clock.monotonic() - self.last > QUIET_SECONDS:
            for part in parts:
                if part.state == "running":
                    self._say(f"    {part.kind} {_name(part)}: {_count(part)} {part.what}")

    def _say(self, line: str) -> None:
        self.last = self.clock.monotonic()
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
