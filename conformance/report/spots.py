"""Where a finding points in a repository: the line of the promise in a spec, or of a waiver."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from conformance.report.results import FindingEntry, SubjectEntry
from specs import promised


@dataclass(frozen=True)
class Spot:
    """A line of a file."""

    path: str
    """With forward slashes; from the repository's root if `inside`."""
    line: int
    """From 1."""
    inside: bool
    """False if the file ships with memconform and is none of the repository's."""


def of_promise(subject: SubjectEntry, finding: FindingEntry, root: Path) -> Spot | None:
    """Return where the promise stands that a finding breaks; None if the spec is no file here."""
    path = promised.file(str(subject.details.get("spec") or subject.api))
    if path is None:
        return None
    line = promised.line(path, finding.requirement, finding.operation)
    within = inside(path, root)
    return Spot(within or f"{path.parent.name}/{path.name}", line, bool(within))


def of_waiver(baseline: Path, id: str, root: Path) -> Spot | None:
    """Return where a baseline's file names a finding; None if it does not."""
    try:
        lines = baseline.read_text("utf-8").splitlines()
    except (OSError, UnicodeError):
        return None
    named = re.compile(rf'"?id"?\s*[:=]\s*"{re.escape(id)}"')
    found = next((n for n, text in enumerate(lines, 1) if named.search(text)), 0)
    within = inside(baseline, root)
    return Spot(within or baseline.name, found, bool(within)) if found else None


def inside(path: Path, root: Path) -> str:
    """Return a path from a root, with forward slashes; empty if it does not stand inside."""
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return ""
