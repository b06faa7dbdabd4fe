"""The backend suite beside `st run`: judged requests a CPU-second, and what each would find.

    python -m tests.bench.backend_suite                 # speed, on every API
    python -m tests.bench.backend_suite --kills 40      # kill rate, on so many seeded defects

Both drive the same embedded backend, which runs in a process of its own; CPU time is that of the
process that sends and judges. `st run` runs with its defaults, with all of its checks, and with
the contract's examples database off, so that both do the same work twice.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import specs
from conformance.backend import suite, teeth
from conformance.backend.subject import BackendSubject
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects

ST = str(Path(sys.executable).parent / "st")
NO_QUOTA = ("contract.", "auth.", "errors.", "robustness.", "pagination.", "idempotency.",
            "state.", "isolation.", "usage.")  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """What a run took: judged requests, CPU seconds of whoever sent and judged, wall seconds."""

    judged: int
    cpu: float
    wall: float

    @property
    def rate(self) -> float:
        """Judged requests a CPU-second."""
        return self.judged / self.cpu if self.cpu else 0.0


def ours(api: str, served: Embedded) -> Cost:
    """Run the suite, without the cases that wait for a quota to come back."""
    keys = [*served.keys, f"member={served.member_key}", f"expired={served.expired_key}"]
    subject = BackendSubject(
        specs.load(api), served.url_for(api), keys, also=teeth.siblings(api, served.url_for)
    )
    began, cpu = time.monotonic(), time.process_time()
    suite.run(subject, select=NO_QUOTA)
    cost = Cost(subject.exchanged, time.process_time() - cpu, time.monotonic() - began)
    subject.close()
    return cost


def theirs(api: str, url: str, key: str) -> tuple[Cost, bool]:
    """Run `st run` with its defaults; return what it took and whether it found anything."""
    contract = specs.load(api)
    header = f"{contract.auth[0].header}: {contract.auth[0].prefix}{key}"
    command = [ST, "run", str(contract.path), "--url", url, "-H", header, "--seed", "1",
               "--generation-database", "none", "--no-color"]  # fmt: skip
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False,
                          env={**os.environ, "COLUMNS": "120"})  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    match = re.search(r"([\d,]+) generated", done.stdout)
    judged = int(match.group(1).replace(",", "")) if match else 0
    return Cost(judged, cpu, time.monotonic() - began), done.returncode == 1


def speed(apis: list[str]) -> None:
    """Print judged requests a CPU-second, side by side."""
    print(f"{'api':<15}{'ours':>8}{'cpu s':>8}{'/cpu s':>8}   "
          f"{'st run':>8}{'cpu s':>8}{'/cpu s':>8}"
          f"{'times':>8}")  # fmt: skip
    total = [Cost(0, 0.0, 0.0), Cost(0, 0.0, 0.0)]
    for api in apis:
        with Embedded(process=True) as served:
            mine = ours(api, served)
        with Embedded(process=True) as served:
            other, _ = theirs(api, served.url_for(api), served.keys[0])
        _row(api, mine, other)
        total = [
            Cost(a.judged + b.judged, a.cpu + b.cpu, a.wall + b.wall)
            for a, b in zip(total, (mine, other), strict=True)
        ]
    _row("all", *total)


def _row(name: str, mine: Cost, other: Cost) -> None:
    times = mine.rate / other.rate if other.rate else 0.0
    left = f"{mine.judged:>8}{mine.cpu:>8.2f}{mine.rate:>8.0f}"
    right = f"{other.judged:>8}{other.cpu:>8.2f}{other.rate:>8.0f}"
    print(f"{name:<15}{left}   {right}{times:>8.1f}", flush=True)


def kills(count: int) -> None:
    """Print how many of evenly spread defects each of the two notices.

    A defect counts for `st run` where it finds something that it does not find on the perfect
    backend; by us, where the case that it names fails.
    """
    known = [d for d in DEFECTS if d.api in specs.names()]
    chosen = known[:: max(1, len(known) // count)][:count]
    noisy: dict[str, bool] = {}
    seen = {"ours": 0, "st run": 0}
    for defect in chosen:
        if defect.api not in noisy:
            with Embedded(process=True) as served:
                noisy[defect.api] = theirs(defect.api, served.url_for(defect.api),
                                           served.keys[0])[1]  # fmt: skip
        with Embedded(process=True, defects=Defects.of([defect.id])) as served:
            found = theirs(defect.api, served.url_for(defect.api), served.keys[0])[1]
        mine = defect.case in teeth.kill(defect).killed_by
        seen["ours"] += mine
        seen["st run"] += found and not noisy[defect.api]
        print(f"{defect.id:<36}{'killed' if mine else '-':>8}{'killed' if found else '-':>8}",
              flush=True)  # fmt: skip
    loud = ", ".join(api for api, complains in noisy.items() if complains) or "none"
    print(f"of {len(chosen)}: ours {seen['ours']}, st run {seen['st run']}; it complains of the "
          f"perfect backend too on: {loud}")  # fmt: skip


def main() -> None:
    """Read the options and run one of the two."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, metavar="N", help="compare on N seeded defects")
    parser.add_argument("--api", action="append", help="an API (all)")
    options = parser.parse_args()
    if options.kills:
        kills(options.kills)
    else:
        speed(options.api or list(specs.names()))


if __name__ == "__main__":
    main()
