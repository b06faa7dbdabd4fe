"""What a person must know of a subject beside its verdicts: lines of plain text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conformance.report import needs
from conformance.report.results import SubjectEntry

SHOWN = 20
"""Leftovers that are listed by name; the rest are counted, and all stand in results.json."""


def notes(subject: SubjectEntry) -> Iterator[str]:
    """Yield why it could not be judged, what the run left on it, what it would have noticed."""
    details = subject.details
    if why := details.get("undecided"):
        yield f"could not be judged: {why}"
    if when := details.get("kept"):
        yield (
            f"the result of {when}: release, contract, seed and memconform are the same; "
            "--no-cache judges again"
        )
    if line := details.get("line"):
        yield str(line)
    yield from map(str, details.get("unjudged", ()))
    yield from needs.lines(subject.needs)
    left = [str(each) for each in details.get("leftovers", ())]
    if left:
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        yield f"left on the server: {'; '.join(left[:SHOWN])}{more}"
    if count := details.get("let_go"):
        yield f"bodies of {count} exchanges were let go to save memory, and not looked at again"
    if why := details.get("recording"):
        yield f"not recorded to its end: {why}"
    if out := details.get("excluded"):
        yield f"not sent: {_some([f'{name} ({why})' for name, why in out.items()])}"
    yield from _standing(details.get("foreign", {}))
    if line := details.get("sensitivity", {}).get("line"):
        yield str(line)


def _standing(details: Mapping[str, Any]) -> Iterator[str]:
    """Yield what became of the records that were there before the run, one line each."""
    if not details:
        return
    before, gone, changed = details.get("before", 0), details.get("gone"), details.get("changed")
    if gone:
        yield f"GONE: {_some(gone)} stood on the server before the run and is not there now"
    if changed:
        yield (
            f"changed: {_some(changed)} stood on the server before the run and shows something "
            "else now; this run sent no change to it"
        )
    if reused := details.get("reused"):
        yield f"the server gave ids twice: {_some(reused)} stood there before and was left alone"
    if before and not gone and not changed:
        yield f"{details.get('same', 0)} of {before} earlier records are as they were"
    if unsure := details.get("unsure"):
        yield f"not looked at before and after: {_some(unsure)}"


def _some(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(map(str, names[:most])) + more
