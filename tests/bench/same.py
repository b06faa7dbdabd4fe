"""Whether two runs with one seed told the same, byte for byte apart from times.

    memconform sdk A==1 A==2 --seed 7 --out one; memconform sdk A==1 A==2 --seed 7 --out two
    python -m tests.bench.same one/results.json two/results.json

What is a time is said in `TIMES` and `_MOMENTS`; all else must be equal, in the same order.
Differences are printed by their place, and the exit code is 1 where there are any.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

TIMES = frozenset({
    "run.started", "run.seconds", "run.parts", "run.command",
    "subjects.wall_seconds", "subjects.cases.seconds",
    "subjects.virtual_seconds", "subjects.details.speed.retry_virtual_seconds",
    "subjects.details.speed.retry_call_seconds", "subjects.details.speed.retry_wall_seconds",
    "subjects.details.speed.ratio",
})  # fmt: skip
"""What a run measures by a real clock, virtual seconds too: a wait until a date hangs on the second
in which it begins. And the command, which names where the run wrote."""
_MOMENTS = re.compile(
    r"\b[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4}[0-9: ]*(GMT)?"
    r"|\b[A-Z][a-z]+day, [0-9]{2}-[A-Z][a-z]{2}-[0-9]{2}[0-9: ]*(GMT)?"
    r"|\b[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} [0-9]{4}"
)
"""Dates as HTTP writes them, which servers send: the end of one may be cut off."""
SHOWN = 300
"""Characters of a value that are shown."""
ABSENT = object()
"""Stands for what one of the two lacks."""


def differences(one: Any, two: Any, place: str = "", at: str = "") -> Iterator[str]:
    """Yield each place where two results differ, with both values.

    `place` is the place's kind (`subjects.cases.seconds`), `at` the place itself
    (`subjects[0].cases[3].seconds`).
    """
    if place in TIMES:
        return
    if isinstance(one, dict) and isinstance(two, dict):
        if list(one) != list(two) and sorted(one) == sorted(two):
            yield f"{at}: its keys stand in another order: {list(one)} and {list(two)}"[:SHOWN]
        for key in dict.fromkeys((*one, *two)):
            named = _below(place, key), _below(at, key)
            yield from differences(one.get(key, ABSENT), two.get(key, ABSENT), *named)
    elif isinstance(one, list) and isinstance(two, list):
        for number, (left, right) in enumerate(zip_longest(one, two, fillvalue=ABSENT)):
            yield from differences(left, right, place, f"{at}[{number}]")
    elif _timeless(one) != _timeless(two) or type(one) is not type(two):
        yield f"{at}: {_shown(one)} and {_shown(two)}"


def _timeless(value: Any) -> Any:
    return _MOMENTS.sub("DATE", value) if isinstance(value, str) else value


def _below(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _shown(value: Any) -> str:
    return "nothing" if value is ABSENT else json.dumps(value, ensure_ascii=False)[:SHOWN]


def main(arguments: list[str]) -> int:
    """Compare two results; return 0 where they are the same, 1 where not, 2 for wrong usage."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    one, two = (json.loads(Path(name).read_text("utf-8")) for name in arguments)
    found = list(differences(one, two))
    for line in found:
        print(line)
    findings = sum(len(s["findings"]) for s in one["subjects"])
    same = f"the same: {len(one['subjects'])} subjects, {findings} findings"
    print(f"{len(found)} differences" if found else same)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
