"""Whether two runs found the same mistakes, where ids changed because words or merging made them.

    memconform run --out new; python -m tests.bench.same_findings old/results.json new/results.json

Each old finding is mapped to a new one of the same subject: by its id, else by the first row of
`MOVED` that fits. The map of ids is printed, then what was lost and what is new. The exit code is
1 where anything was lost or is new, 0 where the sets are the same.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]
Key = tuple[str, str]

MOVED: tuple[tuple[str, str, str, str], ...] = (
    (r"CT13|ER3|ER9", r"leak:transport(?=.* \S*(Decod|Encod)\w*Error)", "ER9", "leak:coding"),
    (r"CT13|ER3", r"leak:(\w+)", "ER9", r"leak:\1"),
    (r"RA3", r"retry-after:leak", "RA5", "retry-after:leak"),
    (r"\w+", r"value-for:(\d)\d\d", r"=", r"value-for:\1XX"),
    (r"ER3", r"class:\w+:\w+:(array|array-of-nulls|number|string|true|null|object)", "ER3",
     "class:odd-shape"),
    (r"ER3", r"class:\w+:\w+:(?!words)[\w-]+", "ER3", "class:odd-text"),
    (r"RB8", r"hang:.*", "RB8", "hang:silence"),
)  # fmt: skip
"""Requirement and cause that a finding had, and those that it has now; `=`: the same."""


def moved(finding: Entry) -> Iterator[Key]:
    """Yield the requirements and causes that a finding may have now."""
    yield finding["requirement"], finding["cause"]
    seen = f"{finding['cause']} {str(finding['actual']).partition(' for ')[0]}"
    for was, cause, now, becomes in MOVED:
        if re.fullmatch(was, finding["requirement"]) and re.match(cause, seen):
            found = re.match(cause, seen)
            assert found is not None
            yield (finding["requirement"] if now == "=" else now), found.expand(becomes)


def compare(old: Entry, new: Entry) -> tuple[list[str], list[str], list[str]]:
    """Return the map, the lost and the new findings of two runs, a line each."""
    mapped, lost, fresh = [], [], []
    now = {_label(s): {(f["requirement"], f["cause"]): f for f in s["findings"]}
           for s in new["subjects"]}  # fmt: skip
    reached: set[tuple[str, str]] = set()
    for subject in old["subjects"]:
        name = _label(subject)
        there = now.get(name, {})
        for finding in subject["findings"]:
            keys = [key for key in moved(finding) if key in there]
            if not keys:
                lost.append(f"{name}: {_line(finding)}")
                continue
            found = there[keys[0]]
            reached.add((name, found["id"]))
            if found["id"] != finding["id"]:
                mapped.append(f"{name}: {finding['id']} -> {found['id']}  {_line(finding)}")
    for name, there in now.items():
        fresh += [f"{name}: {_line(f)}" for f in there.values() if (name, f["id"]) not in reached]
    return mapped, lost, fresh


def _label(subject: Entry) -> str:
    address = subject["name"] if subject["kind"] == "sdk" else subject["api"]
    return f"{subject['kind']} {address}=={subject['version']}"


def _line(finding: Entry) -> str:
    return f"{finding['id']} {finding['requirement']} {finding['cause']}: {finding['message']}"


def main(arguments: list[str]) -> int:
    """Compare two results; return 0 where the sets are the same, 1 where not, 2 for usage."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    old, new = (json.loads(Path(name).read_text("utf-8")) for name in arguments)
    for title, lines in zip(("moved", "lost", "new"), compare(old, new), strict=True):
        print(f"{len(lines)} {title}")
        for line in lines:
            print(f"  {line}")
    _, lost, fresh = compare(old, new)
    return 1 if lost or fresh else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
