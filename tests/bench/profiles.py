"""Every load profile on every API of the perfect backend, shortened, as one table.

    python -m tests.bench.profiles [--seconds 12] [--jobs 2] [--only NAME …] [--api NAME …]
                                   [--json FILE]

Each cell is one whole run (`load.runner.run`) with its exit code; under the table stands, in the
run's own words, whatever a gate found or could not tell. Ends with 1 where a run of the perfect
backend ended with anything but 0. The limit that `rate-limit` is driven into is one that fits its
time; its backend is one of its own. Full length (`--seconds 0`) takes the sum of all profiles,
of the soak alone four hours for each API: name what you want by `--only`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import specs
from conformance.reference.backend.server import Embedded
from load.profile import load_profile, names
from load.result import exit_code, sentences
from load.runner import LoadError, run

QUOTA = "60/6"
"""The limit that is driven, REQUESTS/SECONDS; named to APIs whose answers do not say it."""


@dataclass(frozen=True)
class Cell:
    """One run: what it sent and what it came to."""

    profile: str
    api: str
    code: int
    seconds: float
    sent: int = 0
    p50: float = 0.0
    p99: float = 0.0
    lag: float = 0.0
    """The generator's own p99 delay in seconds: how busy this machine was."""
    said: tuple[str, ...] = ()


def play(profile: str, api: str, seconds: float) -> Cell:
    """Run one profile on one API of a perfect backend of its own."""
    limited = load_profile(profile).kind == "rate-limit"
    began = time.monotonic()
    with Embedded(process=True, rate_limit=QUOTA if limited else None) as backend:
        try:
            made = run(
                backend.url_for(api), api, backend.keys[:1], profile,
                quota=QUOTA if limited else None, seconds=seconds or None,
            )  # fmt: skip
        except LoadError as why:
            return Cell(profile, api, 3, round(time.monotonic() - began, 1), said=(str(why),))
    times, lag = made.details["response"], made.details["lag"]
    return Cell(
        profile, api, exit_code(made), round(time.monotonic() - began, 1), made.details["sent"],
        times.get("p50", 0.0), times.get("p99", 0.0), lag.get("p99", 0.0), tuple(sentences(made)),
    )  # fmt: skip


def matrix(
    profiles: Sequence[str], apis: Sequence[str], seconds: float, jobs: int
) -> Iterator[Cell]:
    """Yield the cells of all pairs, in order, `jobs` at a time."""
    pairs = [(profile, api) for profile in profiles for api in apis]
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(play, *zip(*pairs, strict=True), [seconds] * len(pairs))


def table(cells: Sequence[Cell]) -> str:
    """Return the cells as a table, profiles by APIs, and below it what was said. Pure."""
    apis = list(dict.fromkeys(c.api for c in cells))
    lines = [f"{'':24}" + "".join(f"{api:>24}" for api in apis)]
    for profile in dict.fromkeys(c.profile for c in cells):
        row = {c.api: c for c in cells if c.profile == profile}
        lines.append(f"{profile:24}" + "".join(f"{_told(row.get(api)):>24}" for api in apis))
    said = [f"{c.profile} on {c.api}: {each}" for c in cells for each in c.said]
    lines += ["", "a cell: exit code, requests, p50 / p99 in ms", *said]
    return "\n".join(lines)


def _told(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return f"{cell.code}  {cell.sent}  {cell.p50 * 1000:.0f} / {cell.p99 * 1000:.0f}"


@contextmanager
def _timed() -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


def main() -> int:
    """Print the table, write the JSON, end with 1 where a run did not end with 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profiles")
    parser.add_argument("--seconds", type=float, default=12.0, help="0: each at its full length")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--only", action="append", choices=names(), help="a profile; absent: all")
    parser.add_argument("--api", action="append", choices=specs.names(), help="absent: all")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    cells: list[Cell] = []
    with _timed():
        found = matrix(given.only or names(), given.api or specs.names(), given.seconds, given.jobs)
        for cell in found:
            cells.append(cell)
            print(f"{cell.profile} on {cell.api}: {cell.code}, {cell.seconds:g} s",
                  file=sys.stderr, flush=True)  # fmt: skip
    print(table(cells))
    if given.json is not None:
        rows = [asdict(cell) for cell in cells]
        given.json.write_text(json.dumps({"seconds": given.seconds, "rows": rows}, indent=1))
    return int(any(cell.code for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
