"""The backend suite beside `st run`: judged requests a CPU-second, and what each would find.

    python -m tests.bench.backend_suite                           # speed, on every API
    python -m tests.bench.backend_suite --kills 40 > KILLS.md     # seeded defects that each finds

Both drive the same embedded backend, a fresh one for each run, in a process of its own.

What is compared for speed: a judged request is one that reached the backend and whose answer was
put through every check of its kind, ours by the oracles for single answers (what cases judge over
several answers comes on top), theirs by all checks that `st run` has on by default; on the wire
both figures have been counted to agree with what the tools report. The CPU seconds are user and
system time of the whole process from its start to its end: interpreter, imports, generation,
sending, judging, clean-up and reports, and none of the backend's. Each tool runs alone, by itself,
one process, with its defaults, `st run` with its examples database off so that nothing is carried
over. The one thing that is warm is compiled bytecode, as after any installation: both run once
uncounted before, and share a bytecode folder of the benchmark's own. `all` is the sum of requests
over the sum of seconds, so that an API counts by what it takes; a small API shows the price of
starting, which is ours and theirs alike. Left out of ours are the cases that wait for a quota.

For kills `st run` gets all it can use: every phase, every check, valid and invalid data, and two
identities, so that it can strip credentials and compare tenants. Progress goes to standard error,
the table to standard output; the exit code is 1 where we judge fewer than five times as many
requests a CPU-second over all APIs.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import specs
from conformance.backend import suite, teeth
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defect, Defects

ST = str(Path(sys.executable).parent / "st")
NO_QUOTA = ("contract.", "auth.", "errors.", "robustness.", "pagination.", "idempotency.",
            "state.", "isolation.", "usage.")  # fmt: skip
"""Groups of cases that do not wait for a quota to come back."""
EXAMPLES = 20
"""Examples of one operation that `st run` fuzzes when kills are compared."""
BEST = ("--phases", "examples,coverage,fuzzing,stateful", "--checks", "all", "--mode", "all",
        "--max-examples", str(EXAMPLES))  # fmt: skip
PATIENCE = 1800.0
"""Seconds that one run of `st` may take."""
FLOOR = 5.0
"""Least ratio of judged requests a CPU-second, over all APIs."""


@dataclass(frozen=True)
class Cost:
    """What a run took: judged requests, CPU seconds of whoever sent and judged."""

    judged: int
    cpu: float

    @property
    def rate(self) -> float:
        """Judged requests a CPU-second."""
        return self.judged / self.cpu if self.cpu else 0.0


@dataclass(frozen=True)
class Said:
    """What `st run` said: test cases, and the checks that failed with the operation of each."""

    judged: int
    failures: frozenset[tuple[str, str]]


# -- one run of each -------------------------------------------------------------------------------


def ours(api: str, served: Embedded) -> Cost:
    """Run the suite in a process of its own, without the cases that wait for a quota."""
    keys = [*served.keys, f"member={served.member_key}", f"expired={served.expired_key}"]
    also = teeth.siblings(api, served.url_for)
    with tempfile.TemporaryDirectory(prefix="memconform-bench-") as folder:
        command = [sys.executable, "-m", "conformance", "backend", "--api", api,
                   "--base-url", served.url_for(api), "--out", folder,
                   *(w for key in keys for w in ("--api-key", key)),
                   *(w for case in NO_QUOTA for w in ("--case", case)),
                   *(w for name, url in also.items() for w in ("--also", f"{name}={url}")),
                   ]  # fmt: skip
        cpu = _child(command)
        done = json.loads(Path(folder, "results.json").read_text("utf-8"))["subjects"][0]
    return Cost(int(done["counts"]["exchanges"]), cpu)


def theirs(api: str, served: Embedded, options: Sequence[str] = ()) -> tuple[Cost, Said]:
    """Run `st run` with two identities and `options`; return what it took and what it said."""
    with tempfile.TemporaryDirectory(prefix="memconform-bench-") as folder:
        report = Path(folder, "report.json")
        command = [ST, "--config-file", str(_identities(api, served, Path(folder))), "run",
                   str(specs.load(api).path), "--url", served.url_for(api), "--seed", "1",
                   "--generation-database", "none", "--no-color",
                   "--report", "json", "--report-json-path", str(report), *options]  # fmt: skip
        cpu = _child(command)
        said = _said(json.loads(report.read_text("utf-8")))
    return Cost(said.judged, cpu), said


def _child(command: Sequence[str]) -> float:
    """Run a program to its end, whatever its exit code; return the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False, env=_environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment() -> dict[str, str]:
    """Return an environment in which both keep the bytecode that they compile."""
    kept = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "COLUMNS": "120", "PYTHONPYCACHEPREFIX": _bytecode()}


@cache
def _bytecode() -> str:
    """Return a folder for compiled bytecode that lasts as long as this process."""
    folder = tempfile.TemporaryDirectory(prefix="memconform-bytecode-")
    atexit.register(folder.cleanup)
    return folder.name


def _identities(api: str, served: Embedded, folder: Path) -> Path:
    """Write what tells `st` of two tenants' keys; return its configuration file."""
    way = specs.load(api).auth[0]
    people = [
        {"name": name, "fixedHeaders": [{"name": way.header, "value": way.prefix + key}]}
        for name, key in zip(("first", "second"), served.keys, strict=False)
    ]
    known = folder / "auth.json"
    known.write_text(json.dumps({"auth": people}), "utf-8")
    made = folder / "schemathesis.toml"
    made.write_text(f'[auth.wfc]\npath = "{known}"\npeers = ["first", "second"]\n', "utf-8")
    return made


def _said(report: dict[str, Any]) -> Said:
    """Read a report of `st`. Raises RuntimeError where it could not run."""
    if report["exit_code"] not in (0, 1):
        raise RuntimeError(f"st run could not run: {report['errors']}")
    failures = frozenset(
        (str(each["type"]), operation)
        for each in report["failures"]
        for operation in each["operations"] or [""]
    )
    return Said(int(report["test_cases"]["generated"]), failures)


# -- side by side ----------------------------------------------------------------------------------


def speed(apis: Sequence[str]) -> float:
    """Print judged requests a CPU-second, side by side; return the ratio over all APIs."""
    print(f"{'api':<15}{'ours':>8}{'cpu s':>8}{'/cpu s':>8}   "
          f"{'st run':>8}{'cpu s':>8}{'/cpu s':>8}{'times':>8}")  # fmt: skip
    side_by_side(min(apis, key=lambda api: len(list(specs.load(api)))))  # compiles what both import
    total = [Cost(0, 0.0), Cost(0, 0.0)]
    for api in apis:
        both = side_by_side(api)
        _row(api, *both)
        total = [Cost(a.judged + b.judged, a.cpu + b.cpu) for a, b in zip(total, both, strict=True)]
    return _row("all", *total)


def side_by_side(api: str) -> tuple[Cost, Cost]:
    """Return what each of the two took for an API, on a fresh backend each."""
    with Embedded(process=True) as served:
        mine = ours(api, served)
    with Embedded(process=True) as served:
        return mine, theirs(api, served)[0]


def _row(name: str, mine: Cost, other: Cost) -> float:
    times = mine.rate / other.rate if other.rate else 0.0
    left = f"{mine.judged:>8}{mine.cpu:>8.2f}{mine.rate:>8.0f}"
    right = f"{other.judged:>8}{other.cpu:>8.2f}{other.rate:>8.0f}"
    print(f"{name:<15}{left}   {right}{times:>8.1f}", flush=True)
    return times


@dataclass(frozen=True)
class Compared:
    """One defect: whether each of the two noticed it."""

    defect: Defect
    ours: bool
    theirs: bool


def sample(count: int, seed: int) -> list[Defect]:
    """Return `count` seeded defects of the shipped APIs, drawn at random; all where fewer."""
    known = [d for d in DEFECTS if d.api in specs.names()]
    return sorted(random.Random(seed).sample(known, min(count, len(known))), key=lambda d: d.id)


def quiet(api: str) -> tuple[int, frozenset[tuple[str, str]]]:
    """Return what each says of the perfect backend: our findings (a count), and theirs."""
    with teeth.judged(api) as subject:
        found = sum(len(result.findings) for result in suite.run(subject))
    with Embedded(process=True) as served:
        return found, theirs(api, served, BEST)[1].failures


def compared(defect: Defect, usual: frozenset[tuple[str, str]]) -> Compared:
    """Judge a backend with one defect by both; `usual` is what `st run` says without it.

    We notice it where the case that it names fails, `st run` where any check fails on any
    operation that does not fail so on the perfect backend.
    """
    mine = defect.case in teeth.kill(defect).killed_by
    with Embedded(process=True, defects=Defects.of([defect.id])) as served:
        said = theirs(defect.api, served, BEST)[1].failures
    print(f"{defect.id}: ours {mine}, st run {sorted(said - usual)}", file=sys.stderr, flush=True)
    return Compared(defect, mine, bool(said - usual))


def kills(count: int, seed: int) -> None:
    """Print, as Markdown, how many of the sampled defects each of the two notices."""
    chosen = sample(count, seed)
    apis = sorted({defect.api for defect in chosen})
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        perfect = dict(zip(apis, pool.map(quiet, apis), strict=True))
        made = list(pool.map(lambda d: compared(d, perfect[d.api][1]), chosen))
    print(INTRODUCTION.format(
        command=f"python -m tests.bench.backend_suite --kills {count} --seed {seed}",
        count=len(chosen), of=sum(d.api in specs.names() for d in DEFECTS), seed=seed,
        version=version("schemathesis"), options=" ".join(BEST),
    ))  # fmt: skip
    print(HEADING)
    print("|---|---|---|---|---|---|")
    for api in apis:
        _line(api, [m for m in made if m.defect.api == api],
              perfect[api][0], len(perfect[api][1]))  # fmt: skip
    _line(
        "all", made, sum(p[0] for p in perfect.values()), sum(len(p[1]) for p in perfect.values())
    )
    print("\n| defect | what is wrong | ours | `st run` |\n|---|---|---|---|")
    for each in made:
        words = ["killed" if noticed else "–" for noticed in (each.ours, each.theirs)]
        print(f"| `{each.defect.id}` | {each.defect.summary} | {words[0]} | {words[1]} |")


def _line(name: str, made: Sequence[Compared], mine: int, other: int) -> None:
    of = len(made)
    share = [f"{n} ({100 * n // of} %)" for n in (sum(m.ours for m in made),
                                                 sum(m.theirs for m in made))]  # fmt: skip
    print(f"| {name} | {of} | {share[0]} | {share[1]} | {mine} | {other} |")


HEADING = (
    "| API | defects | ours | `st run` | ours, on the perfect one | `st run`, on the perfect one |"
)
INTRODUCTION = """# What the backend suite kills, beside `st run`

Made by `{command}`: {count} of the {of} seeded defects of the
five APIs, drawn with seed {seed}, one at a time on the embedded backend.

`st run` is Schemathesis {version} with `{options}`, seed 1, no
examples database, and the keys of two tenants; it has killed a defect where a check fails on an
operation that does not fail so on the perfect backend. We have killed it where the case that the
defect names fails. The last columns count what each finds on the perfect backend. The defects are
ours, and each was written together with a case: the share of ours says that the cases bite, and
only that of `st run` says how far schemas alone reach.
"""


def main() -> int:
    """Read the options and run one of the two; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, metavar="N", help="compare on N seeded defects")
    parser.add_argument("--seed", type=int, default=1, help="of the sample of defects (1)")
    parser.add_argument("--api", action="append", help="an API (all)")
    options = parser.parse_args()
    if options.kills:
        kills(options.kills, options.seed)
        return 0
    return 0 if speed(options.api or list(specs.names())) >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
