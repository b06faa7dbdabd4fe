"""Small judged subjects and runs, for tests of what is made of results."""

from __future__ import annotations

import dataclasses
from typing import Any

from conformance.cases import CaseResult
from conformance.report.results import Results, SubjectEntry, summarise
from conformance.report.run import make
from conformance.verdict import Finding, Verdict
from specs.catalogue import requirements


def case(
    name: str = "retries.attempts",
    *findings: Finding,
    verdict: Verdict | None = None,
    **more: Any,
) -> CaseResult:
    """A case result: failed if it has findings, else passed, unless told otherwise."""
    made = verdict or (Verdict.FAIL if findings else Verdict.PASS)
    result = CaseResult(name, ("RT1",), made, findings=tuple(f.at(case=name) for f in findings))
    return dataclasses.replace(result, **more)


def finding(cause: str = "one", **more: Any) -> Finding:
    """A finding of RT1."""
    return dataclasses.replace(Finding("RT1", "sends once more than promised", cause=cause), **more)


def subject(*results: CaseResult, name: str = "some-sdk", version: str = "1.0") -> SubjectEntry:
    """A judged SDK."""
    return summarise("sdk", "demo", name, results, requirements(), version=version)


def results(*subjects: SubjectEntry, **more: Any) -> Results:
    """A complete run of some subjects."""
    settings: dict[str, Any] = {
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.0,
        "seed": 0,
        "command": ["memconform"],
    }
    return make(subjects, **{**settings, **more})
