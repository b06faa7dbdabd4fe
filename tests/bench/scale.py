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
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import psutil

import specs
from conformance.verdict import Finding
from load.record import SERIES_MAX, Tally, coarse, pack, unpack
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
    contracts = [specs.load(api) for api in specs.names()]
    for operation in max((c.operations for c in contracts), key=len):
        of = tally.of(operation)
        micros = [int(random.lognormvariate(9, 1.5)) for _ in range(50_000)]
        of.response.add(micros)
        of.service.add(micros)
        of.sent = of.good = len(micros)
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


def table(rate: int, worth: float) -> dict[str, Any]:
    """Return, in words, what `rate` requests a second take where a processor second of a worker
    is worth `worth` of them."""
    each = worth * BUSY
    workers = math.ceil(rate / each)
    memory, entry = worker(), ledger()
    size, merge = merging()
    entries = each * CREATIONS * SECONDS
    return {
        "judged per processor second": f"{worth:,.0f}",
        "requests per worker": f"{each:,.0f}/s at {BUSY:.0%} of a core",
        "workers": f"{workers}",
        f"machines of {CORES} cores": f"{math.ceil(workers / FOR_WORKERS)}",
        "memory of a worker": f"{memory / 1e6:.0f} MB and its ledger",
        "ledger": f"{entry:.0f} bytes for each acknowledged write",
        "ledger after an hour, 10 % writes": f"{entries * entry / 1e9:.1f} GB per worker",
        "last report of a worker": f"{size / 1e6:.2f} MB at most",
        "merging": f"{merge:.2f} s per worker, {merge * workers:.0f} s for all, once, at the end",
        f"answers of {ANSWER} bytes": f"{rate * ANSWER * 8 / 1e9:.1f} Gbit/s",
    }
