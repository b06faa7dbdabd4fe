"""Break foreign descriptions at random, and hold every command to it that it never fails.

    python -m tests.bench.fuzz [--mutants 200] [--from SEED] [--run-each 5] [--generate-each 25]

Each mutant of each description of the corpus is checked, drafted and planned; each fifth one is
probed and judged too, against a server that answers anything. Exit 1 at any error of ours.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.mutants import CORPUS, corpus, mutated, trouble


def main() -> int:
    """Run the bench; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutants", type=int, default=200, help="of each description (200)")
    parser.add_argument("--from", type=int, default=1000, dest="first", help="first seed (1000)")
    parser.add_argument("--run-each", type=int, default=5, help="judge each N-th one whole (5)")
    parser.add_argument("--generate-each", type=int, default=25, help="with requests that "
                        "Schemathesis makes, each N-th one (25)")  # fmt: skip
    given = parser.parse_args()
    bad = judged = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in CORPUS:
            for seed in range(given.first, given.first + given.mutants):
                random = Random(f"{path.name} {seed}")
                made = mutated(corpus(path), random, times=1 + seed % 4)
                run, generated = seed % given.run_each == 0, seed % given.generate_each == 0
                found = trouble(made, Path(folder), random, run, generated)
                judged += 1
                bad += bool(found)
                for each in found:
                    print(f"{path.name} seed {seed}: {each}", flush=True)
    print(f"{judged} mutants, {bad} with errors of our own")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
