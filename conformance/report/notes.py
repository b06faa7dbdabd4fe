"""What a person must know of a subject beside its verdicts: lines of plain text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.report.results import SubjectEntry

SHOWN = 20
"""Leftovers that are listed by name; the rest are counted, and all stand in results.json."""


def notes(subject: SubjectEntry) -> Iterator[str]:
    """Yield why it could not be judged, what the run left on it, what it would have noticed."""
    details = subject.details
    if why := details.get("undecided"):
        yield f"could not be judged: {why}"
    if line := details.get("line"):
        yield str(line)
    left = [str(each) for each in details.get("leftovers", ())]
    if left:
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        yield f"left on the server: {'; '.join(left[:SHOWN])}{more}"
    if line := details.get("sensitivity", {}).get("line"):
        yield str(line)
