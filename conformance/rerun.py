"""`--failed RESULTS`: which cases of an earlier run failed it, so that only they run again. Pure.

With a baseline in that result, a known deviation did not fail it; without one, every finding did.
"""

from __future__ import annotations

from collections.abc import Iterator

from conformance.report.baseline import compare, label
from conformance.report.results import Results, SubjectEntry
from conformance.verdict import Verdict


class NothingFailed(Exception):
    """The earlier run has nothing to judge again."""


class NotJudged(ValueError):
    """The earlier run judged something else; the message lists what it judged."""


def failed(results: Results, kind: str, wanted: str) -> list[str]:
    """Return the ids of the cases that failed an earlier run on one subject, in its order.

    `wanted`: a backend's API, an SDK as it was asked for (`NAME`, `NAME==VERSION`, a path), a load
    subject's API. Raises NotJudged if that run judged no such subject.
    """
    entries = [s for s in results.subjects if s.kind == kind and wanted in _names(s)]
    if not entries:
        held = ", ".join(label(s) for s in results.subjects) or "nothing"
        raise NotJudged(f"it judged no {kind} {wanted!r}; it judged {held}")
    return list(dict.fromkeys(case for entry in entries for case in _cases(results, entry)))


def _names(entry: SubjectEntry) -> tuple[str, ...]:
    if entry.kind != "sdk":
        return (entry.api,)
    asked = str(entry.details.get("subject", ""))
    return (entry.name, f"{entry.name}=={entry.version}", *([asked] if asked else []))


def _cases(results: Results, entry: SubjectEntry) -> Iterator[str]:
    """Yield the cases of one subject that failed the run, or ended in an error."""
    yield from (c.case for c in entry.cases if c.verdict is Verdict.ERROR)
    findings = list(entry.findings)
    if results.baseline is not None:
        made, name = compare(results, results.baseline), label(entry)
        told = [
            *made.new,
            *[(n, f) for n, f, _ in made.wider],
            *[(n, f) for n, f, _ in made.expired],
        ]
        fresh = {finding.id for subject, finding in told if subject == name}
        findings = [f for f in findings if f.id in fresh]
    for finding in findings:
        yield from finding.cases or (finding.case,)
