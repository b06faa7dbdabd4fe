"""The whole suite on every lenient server, over several seeds: `python -m tests.bench.lenient`.

Prints how many findings of each level a report has; ends with 1 where one is more than MAY or
where there are too many.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from specs.catalogue import Level
from tests.conformance.backend.test_lenient import MAY_MAX, told
from tests.foreign import servers


def main() -> int:
    """Run the servers that are asked for; return the exit code."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("apis", nargs="*", default=list(servers.LENIENT), help="APIs (all)")
    asked.add_argument("--seeds", type=int, default=5, help="number of seeds from 0 (5)")
    given = asked.parse_args()
    worst = 0
    for api in given.apis:
        for seed in range(given.seeds):
            findings = told(api, seed, None)
            counts = Counter(f.level for f in findings)
            print(f"{api} seed {seed}: " + ", ".join(f"{counts[each]} {each}" for each in Level))
            for each in findings:
                print(f"  {each.level} {each.requirement} {each.message}")
            worst |= counts[Level.MAY] < len(findings) or len(findings) > MAY_MAX
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
