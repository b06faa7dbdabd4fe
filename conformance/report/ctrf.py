"""CTRF (Common Test Report Format, ctrf.io) 1.0: the tests of JUnit for tools that read JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from conformance.foreign import lines
from conformance.report import outcomes
from conformance.report.baseline import Comparison
from conformance.report.exit import Decision
from conformance.report.outcomes import Outcome, State
from conformance.report.results import Results

STATUS = {
    State.PASSED: "passed",
    State.FAILED: "failed",
    State.ERROR: "failed",
    State.SKIPPED: "skipped",
}
"""An error of memconform's own is red as well: the run has not said that anybody conforms."""


def render(results: Results, decision: Decision, comparison: Comparison | None = None) -> str:
    """Return the report of a run, as JSON."""
    suites = list(outcomes.of(results, decision, comparison))
    tests = [_test(suite.name, outcome) for suite in suites for outcome in suite.outcomes]
    counts = Counter(test["status"] for test in tests)
    start = _milliseconds(results.run.started)
    summary = {
        "tests": len(tests),
        **{status: counts[status] for status in ("passed", "failed", "skipped")},
        "pending": 0,
        "other": 0,
        "suites": len(suites),
        "start": start,
        "stop": start + round(results.run.seconds * 1000),
    }
    tool = {"name": "memconform", "version": results.run.tool}
    told = {"tool": tool, "summary": summary, "tests": tests}
    whole = {"reportFormat": "CTRF", "specVersion": "1.0.0", "results": told}
    return json.dumps(whole, ensure_ascii=False, indent=None) + "\n"


def _test(suite: str, outcome: Outcome) -> dict[str, Any]:
    return {key: value for key, value in _fields(suite, outcome) if value not in ("", [])}


def _fields(suite: str, outcome: Outcome) -> Iterator[tuple[str, Any]]:
    yield "name", lines(f"{suite}: {outcome.name}")
    yield "status", STATUS[outcome.state]
    # One exchange shows several requirements, so no test has a time of its own.
    yield "duration", 0
    yield "suite", [lines(suite)]
    yield "message", lines(outcome.message)
    yield "trace", lines(outcome.text)
    yield "rawStatus", outcome.raw
    yield "tags", [tag for tag in (outcome.requirement,) if tag]


def _milliseconds(started: str) -> int:
    return round(datetime.fromisoformat(started).timestamp() * 1000) if started else 0
