"""Where the seconds of a verdict go: each part of the product by itself, as one table.

    python -m tests.bench.time [--only START …] [--repeat 1] [--cases 5] [--write FILE]

A part is one command of a person: a backend of one API, one SDK release, a load run, the kill
matrix of a suite. Each row has its wall and processor seconds, what it waited (wall seconds of one
core that nothing used), the peak memory of its largest process, and its longest cases. The table
of the repository is `tests/bench/TIME.md`; `--write` renews it. Figures are medians of
`--repeat` runs, and mean something on a quiet machine alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import specs
from conformance.run import Backend, embedded, releases

MATRICES = ("backend", "sdk", "load")


@dataclass(frozen=True)
class Part:
    """One command, and where its results are."""

    name: str
    words: tuple[str, ...]
    results: bool = True
    """True if it writes a results.json, from which its cases are taken."""


@dataclass(frozen=True)
class Figures:
    """What one run of a part took: seconds, and MB of its largest process."""

    wall: float
    cpu: float
    peak: float
    cases: Mapping[str, float]

    @property
    def idle(self) -> float:
        """Wall seconds in which not even one core was busy, at least."""
        return max(0.0, self.wall - self.cpu)


def parts(backend: Backend) -> Iterator[Part]:
    """Yield every part in the order of the table."""
    keys = [word for key in backend.keys for word in ("--api-key", key)]
    keys += [w for role, key in backend.roles.items() for w in ("--api-key", f"{role}={key}")]
    for api in specs.names():
        where = ("--base-url", backend.urls[api], "--api", api)
        yield Part(f"backend {api}", ("backend", *where, *keys))
    for api in specs.names()[:1]:
        where = ("--base-url", backend.urls[api], "--api", api)
        yield Part(f"backend {api} --fast", ("backend", *where, *keys, "--fast"))
    for package, version in releases():
        release = f"{package}=={version}"
        yield Part(f"sdk {release}", ("sdk", release, "--no-cache"))
    for api in specs.names():
        where = ("--base-url", backend.urls[api], "--api", api, "--api-key", backend.keys[0])
        yield Part(f"load {api}", ("load", *where, "--load-profile", "smoke"))
    yield Part("run", ("run", "--no-cache"))
    for suite in MATRICES:
        yield Part(f"teeth {suite}", ("teeth", "--suite", suite), results=False)


def measured(part: Part) -> Figures:
    """Run a part once, alone."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "conformance", *part.words]
        words += ["--out", folder] if part.results else []
        began = time.monotonic()
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        cases = _cases(Path(folder) / "results.json") if part.results else {}
    return Figures(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, cases)


def _cases(path: Path) -> dict[str, float]:
    """Return case -> seconds over all of its operations, subjects and modes."""
    found: Counter[str] = Counter()
    if path.is_file():
        for subject in json.loads(path.read_text("utf-8"))["subjects"]:
            for case in subject["cases"]:
                found[case["case"]] += case["seconds"]
    return dict(found)


def row(name: str, runs: Sequence[Figures], most: int) -> str:
    """Return a line of the table: medians of a part's runs."""
    longest = Counter(runs[0].cases).most_common(most)
    told = ", ".join(f"{case} {seconds:.1f}" for case, seconds in longest)
    figures = (
        statistics.median(r.wall for r in runs), statistics.median(r.cpu for r in runs),
        statistics.median(r.idle for r in runs), max(r.peak for r in runs),
    )  # fmt: skip
    return f"| {' | '.join([name, *(f'{each:.1f}' for each in figures), told])} |"


def main(words: Sequence[str] | None = None) -> int:
    """Measure the parts that are asked for, and print or write their table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--only", action="append", default=[], metavar="START")
    asked.add_argument("--repeat", type=int, default=1)
    asked.add_argument("--cases", type=int, default=5)
    asked.add_argument("--write", type=Path)
    given = asked.parse_args(words)
    lines = [
        "# Where the seconds go",
        "",
        "Made by `python -m tests.bench.time --write tests/bench/TIME.md`; seconds and MB, medians",
        f"of {given.repeat}. {os.cpu_count()} cores, Python {platform.python_version()}.",
        "",
        "| part | wall | processor | waited | peak | longest cases |",
        "|---|---|---|---|---|---|",
    ]
    with embedded() as backend:
        for part in parts(backend):
            if given.only and not any(part.name.startswith(start) for start in given.only):
                continue
            lines.append(row(part.name, [measured(part) for _ in range(given.repeat)], given.cases))
            print(lines[-1], flush=True)
    text = "\n".join([*lines, ""])
    if given.write:
        given.write.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
