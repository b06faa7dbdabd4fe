"""Where in a spec's file a promise stands, so that a reader can be led to its line.

Which words of a document a promise rests on is said in `sources.py`; here it is the spec's own
text. Nothing here judges.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from specs.positions import Located, Unreadable, read
from specs.reading import HERE

_BLOCKS = {
    "RT": "retries",
    "RA": "retries",
    "ER": "errors",
    "PD": "errors",
    "RL": "rateLimit",
    "HD": "usage",
    "IK": "idempotency",
    "PG": "pagination",
    "LK": "pagination",
    "AU": "auth",
    "ST": "effect",
}
"""Kind of requirement -> the block of `x-conformance` that it is about."""


def file(name: str) -> Path | None:
    """Return the file of a shipped spec, by id, or a spec's own path; None where there is none."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml", ".json"):
        path = HERE / f"{name}.yaml"
    return path if path.is_file() else None


def line(path: Path, requirement: str, operation: str | None) -> int:
    """Return the line, from 1, of what a spec says on a requirement of an operation.

    That is the block at the operation; else the block at the root; else the operation; else the
    root. A file that cannot be read has one line.
    """
    located = _located(path)
    if located is None:
        return 1
    block = _BLOCKS.get(requirement.rstrip("0123456789"), "")
    there = _operation(located.document, operation or "")
    wanted = [(*there, "x-conformance", block)] if there and block else []
    wanted += [("x-conformance", block)] if block else []
    wanted += [there] if there else []
    wanted += [("x-conformance",)]
    found = next((each for each in wanted if each in located.places), ())
    return located.place(found).line


@cache
def _located(path: Path) -> Located | None:
    try:
        return read(path.read_text("utf-8"))
    except (OSError, UnicodeError, Unreadable):
        return None


def _operation(document: Any, wanted: str) -> tuple[str, ...]:
    """Return the path to an operation in a document; () where it has none of that id."""
    paths = document.get("paths") if isinstance(document, dict) else None
    for path, item in (paths if isinstance(paths, dict) else {}).items():
        for verb, operation in (item if isinstance(item, dict) else {}).items():
            if isinstance(operation, dict) and operation.get("operationId") == wanted:
                return "paths", str(path), str(verb)
    return ()
