"""Does every backend finding of the kill matrix show itself again? Each program says.

    python -m tests.bench.evidence [--defect START ...] [--seeds N] [--fails]

For each seeded defect: the case that kills it is run, what it finds is grouped as in a report, and
the program of each finding is run against the same server and against the perfect one. It must
end with 1 and the finding's words there, with 0 here, and have no more lines than a program may.
Printed are the findings for which that is not so, and how many have exchanges, a `curl` line and a
program. With several seeds the ids of a defect's findings must be the same under each. The exit
code is 1 where anything is not as it must be.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.backend.grouping import grouped
from conformance.backend.subject import BackendSubject
from conformance.backend.suite import run
from conformance.backend.teeth import judged
from conformance.programs import LINES_MAX
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.defects import Defect, Defects
from conformance.report.results import FindingEntry, summarise
from specs.catalogue import requirements

PATIENCE = 60
"""Seconds that one program may take."""


def keys_of(subject: BackendSubject) -> dict[str, str]:
    """Return the environment that programs take a subject's keys from."""
    named = {f"KEY_{name.upper()}": key for name, key in subject.keys.items()}
    return {**os.environ, **named, "KEY": subject.keys["a"]}


def ends(program: str, subject: BackendSubject) -> tuple[int, str]:
    """Return how a program ends on a backend, and the last thing that it says then."""
    done = subprocess.run(
        [sys.executable, "-c", program, subject.base_url], env=keys_of(subject),
        capture_output=True, text=True, errors="replace",
        timeout=PATIENCE,
    )  # fmt: skip
    return done.returncode, done.stderr.strip()


@dataclass(frozen=True)
class Shown:
    """What became of one finding's program."""

    defect: str
    finding: FindingEntry
    problem: str
    """'' where all is as it must be."""


def findings_of(defect: Defect, subject: BackendSubject) -> tuple[FindingEntry, ...]:
    """Return what a report tells of a defect, judged by the case that kills it."""
    results = grouped(subject.contract, subject.exchanges, run(subject, select=[defect.case]))
    return summarise("backend", defect.api, "server", results, requirements()).findings


def problem_of(finding: FindingEntry, bad: BackendSubject, good: BackendSubject) -> str:
    """Return what is wrong with a finding's evidence; '' where nothing is."""
    if not finding.evidence:
        return "no exchanges"
    if not finding.reproduction:
        return "no program"
    if finding.reproduction.count("\n") > LINES_MAX:
        return f"{finding.reproduction.count(chr(10))} lines"
    code, words = ends(finding.reproduction, bad)
    if code != 1 or finding.requirement not in words:
        return f"ends with {code} there: {words[-200:]}"
    code, words = ends(finding.reproduction, good)
    return f"ends with {code} on the perfect reference: {words[-200:]}" if code else ""


def shown(defect: Defect, seed: int, programs: bool = True) -> Iterator[Shown]:
    """Yield what became of each finding of a defect."""
    with judged(defect.api, seed=seed, defects=Defects.of([defect.id])) as bad:
        found = findings_of(defect, bad)
        if not programs:
            yield from (Shown(defect.id, each, "") for each in found)
            return
        with judged(defect.api, seed=seed) as good:
            yield from (Shown(defect.id, f, problem_of(f, bad, good)) for f in found)


def main() -> int:
    """Run the bench and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--defect", action="append", help="beginning of a defect's id (repeatable)")
    parser.add_argument("--seeds", type=int, default=1, help="compare ids over so many (default 1)")
    parser.add_argument("--fails", action="store_true", help="print the programs that are wrong")
    given = parser.parse_args()
    starts = tuple(given.defect or ("",))
    told: list[Shown] = []
    flapping = []
    for defect in [d for d in DEFECTS if d.id.startswith(starts)]:
        began = time.monotonic()
        mine = list(shown(defect, 0))
        told += mine
        ids = {each.finding.id for each in mine}
        for seed in range(1, given.seeds):
            other = {each.finding.id for each in shown(defect, seed, programs=False)}
            if other != ids:
                flapping.append(defect.id)
                print(f"{defect.id}: other ids under seed {seed}", flush=True)
        if not mine:
            print(f"{defect.id}: nothing was found", flush=True)
        for each in [m for m in mine if m.problem]:
            f = each.finding
            print(f"{each.defect}: {f.requirement} {f.cause!r}: {each.problem}", flush=True)
            if given.fails:
                print(f.reproduction)
        spent = time.monotonic() - began
        if spent > 10:
            print(f"{defect.id}: {len(mine)} findings took {spent:.0f} s", flush=True)
    good = sum(not each.problem for each in told)
    kinds = Counter(each.problem.split(":")[0] or "right" for each in told)
    found = [t.finding for t in told]
    print(
        f"{len(told)} findings; {sum(bool(f.evidence) for f in found)} with exchanges, "
        f"{sum(bool(f.curl) for f in found)} with a curl line, "
        f"{sum(bool(f.reproduction) for f in found)} with a program, {good} right"
    )
    print(", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    return int(good < len(told) or bool(flapping))


if __name__ == "__main__":
    sys.exit(main())
