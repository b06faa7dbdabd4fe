"""`--resume` after kill -9 at random moments, on the perfect backend: is anybody accused?

A recorded run of `memconform backend` is killed at a random moment, some of them inside
`idempotency.concurrent`, gone on with by `--resume`, and killed again now and then before that.
Each line says where it was killed and how the resumed run ended; every one must end with 0.

    python -m tests.bench.resumed --kills 20
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conformance.clock import monotonic
from conformance.reference.backend.server import Embedded
from tests.leftovers import ROOT, until

CONCURRENT = "idempotency.concurrent"


def command(backend: Embedded, api: str, folder: Path, *more: str) -> list[str]:
    """Return the command line of a recorded run."""
    roles = {"member": backend.member_key, "limited": backend.limited_key,
             "expired": backend.expired_key}  # fmt: skip
    keys = [*backend.keys, *(f"{name}={key}" for name, key in roles.items() if key)]
    given = [word for key in keys for word in ("--api-key", key)]
    return [
        sys.executable, "-m", "conformance", "backend", "--base-url", backend.url_for(api),
        "--api", api, *given, "--seed", "5", "--fast", "--record", str(folder / "run.jsonl"),
        "--out", str(folder / "out"), *more,
    ]  # fmt: skip


def held(folder: Path) -> list[str]:
    """Return the cases of the exchanges that the recording holds by now."""
    file = folder / "run.jsonl"
    lines = file.read_bytes().splitlines()[1:] if file.exists() else []
    found = []
    for line in lines:
        try:
            found.append(str(json.loads(line).get("case", "end")))
        except ValueError:
            continue
    return found


def killed(words: Sequence[str], folder: Path, after: int, inside: str = "") -> str:
    """Run, kill -9 once the recording holds `after` exchanges (of a case), and say where."""
    with (folder / "said").open("wb") as said:
        child = subprocess.Popen(words, cwd=ROOT, stdout=said, stderr=said, env=dict(os.environ))
    try:
        until(
            lambda: child.poll() is not None
            or sum(case.startswith(inside) for case in held(folder)) > after, 240,
        )  # fmt: skip
    finally:
        child.kill()
        child.wait()
    return (held(folder) or ["nothing"])[-1]


def main() -> int:
    """Kill and resume as often as asked; the exit code is 1 where a run did not end with 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.resumed", description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--api", action="append", default=[], help="claiv and octamem")
    parser.add_argument("--case", action="append", default=[], help="only these cases")
    given = parser.parse_args()
    apis = given.api or ["claiv", "octamem"]
    drawn, bad = random.Random(given.seed), 0
    chosen = [word for case in given.case for word in ("--case", case)]
    for number in range(given.kills):
        api = apis[number % len(apis)]
        inside = CONCURRENT if number % 3 == 0 and api == "claiv" else ""
        after = drawn.randrange(0, 12) if inside else drawn.randrange(1, 300)
        began = monotonic()
        with Embedded() as backend, tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            where = [killed(command(backend, api, folder, *chosen), folder, after, inside)]
            if number % 4 == 3:
                again = command(backend, api, folder, *chosen, "--resume")
                where.append(killed(again, folder, after + drawn.randrange(1, 200)))
            done = subprocess.run(
                command(backend, api, folder, *chosen, "--resume"), cwd=ROOT, check=False,
                capture_output=True, text=True,
            )  # fmt: skip
            judged = subprocess.run(
                [sys.executable, "-m", "conformance", "judge", str(folder / "run.jsonl"), "--out",
                 str(folder / "judged")], cwd=ROOT, check=False, capture_output=True, text=True,
            )  # fmt: skip
        bad += done.returncode != 0
        last = done.stdout.strip().splitlines()[-1:] or ["nothing was said"]
        print(f"{api:8} killed in {' and '.join(where):40} resumed: exit {done.returncode}, "
              f"judged: exit {judged.returncode}, {monotonic() - began:.0f} s; {last[0][:120]}",
              flush=True)  # fmt: skip
        if done.returncode:
            print(done.stdout[-3000:])
    print(f"{given.kills} kills, {bad} resumed runs did not end with 0")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
