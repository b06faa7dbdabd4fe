"""What many requests a second would take: workers, memory, merging, from what is measured here.

Measured are the parts (a worker's memory, a ledger's entry, the largest report that a worker can
send, what the master does with one); the rest is arithmetic, as `table` has it.
"""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgpack
import psutil

import specs
from conformance.verdict import Finding
from load.record import SERIES_MAX, Histogram, Tally, coarse, pack, unpack
from tests.bench import soak

BUSY = 0.5
"""Part of a core that is planned with, so that lag stays in milliseconds."""
CORES, FOR_WORKERS = 16, 14
"""Cores of a machine, and those that are not the system's."""
ANSWER = 500
"""Bytes of an answer, head and body."""
CREATIONS, SECONDS = 0.1, 3600
"""Part of the requests that the ledger remembers, and for how long a run goes on."""
IMPORTS = (
    "import os, locust, load.users, psutil; print(psutil.Process(os.getpid()).memory_info().rss)"
)


def report(seed: int) -> Tally:
    """Return about the largest tally there can be: every operation wide, the series full."""
    random, tally = Random(seed), Tally()
    wide = Histogram()
    wide.add(int(random.lognormvariate(9, 1.5)) for _ in range(50_000))
    contracts = [specs.load(api) for api in specs.names()]
    for operation in max((c.operations for c in contracts), key=len):
        of = tally.of(operation)
        of.response.merge(wide)
        of.service.merge(wide)
        of.sent = of.good = wide.total
        tally.saw(Finding("LD5", "an answer that is wrong", operation=operation, cause=operation))
    for second in range(SERIES_MAX):
        point = tally.series.at(second)
        for _ in range(200):
            point.times[coarse(int(random.lognormvariate(9, 1.5)))] += 1
    return tally


def merging(workers: int = 4) -> tuple[int, float]:
    """Return (bytes of a report, the master's processor seconds for one more)."""
    messages = [msgpack.dumps(pack(report(seed))) for seed in range(workers)]
    whole = Tally()
    began = time.process_time()
    for message in messages:
        whole.merge(unpack(msgpack.loads(message, strict_map_key=False)))
    return max(map(len, messages)), (time.process_time() - began) / workers


def ledger(writes: int = 5_000) -> float:
    """Return the bytes that an acknowledged write takes as long as the run goes on."""

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        return soak.per_write(writes, held)
    finally:
        tracemalloc.stop()


def worker() -> int:
    """Return the bytes of a process with Locust and our users, plus what a soak adds to one."""
    bare = subprocess.run(
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    before = int(psutil.Process().memory_info().rss)
    sizes = [held for _, held in soak.growth(200_000, lambda: psutil.Process().memory_info().rss)]
    return int(bare.stdout) + max(sizes) - before


@dataclass(frozen=True)
class Measured:
    """What is measured of one worker and of the master."""

    worth: float
    """Judged requests that a processor second of a worker is worth."""
    memory: float
    """Bytes of a worker without its ledger."""
    entry: float
    """Bytes of an acknowledged write."""
    report: float
    """Bytes of the largest last report."""
    merge: float
    """Processor seconds of the master for one report."""


def measured(worth: float) -> Measured:
    """Measure all but the first here and now; rounded, so that what is printed adds up."""
    size, merge = merging()
    memory = round(worker(), -6)
    return Measured(round(worth), memory, round(ledger()), round(size, -5), round(merge, 2))


def table(rate: int, one: Measured) -> dict[str, str]:
    """Return, in words, what `rate` requests a second take; the measured figures come first."""
    each = one.worth * BUSY
    workers = math.ceil(rate / each)
    kept = each * CREATIONS * SECONDS * one.entry
    return {
        "judged per processor second": f"{one.worth:,.0f}",
        "memory of a worker": f"{one.memory / 1e6:.0f} MB",
        "ledger": f"{one.entry:.0f} bytes per acknowledged write",
        "last report of a worker": f"{one.report / 1e6:.1f} MB at most",
        "merging a report": f"{one.merge:.2f} s",
        "requests of a worker": f"{each:,.0f} per second, at {BUSY:.0%} of a core",
        "workers": f"{workers}",
        f"machines of {CORES} cores": f"{math.ceil(workers / FOR_WORKERS)}",
        "merging all": f"{one.merge * workers:.0f} s, once, at the end",
        "ledger after an hour": f"{kept / 1e9:.1f} GB per worker, at {CREATIONS:.0%} writes",
        "network": f"{rate * ANSWER * 8 / 1e9:.1f} Gbit/s, at {ANSWER} bytes an answer",
    }
