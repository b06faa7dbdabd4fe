"""SARIF 2.1.0 (OASIS Standard): findings as code scanners show them, at the promise they break.

Every finding is a result; a waived one carries its suppression. A result points at the line of
the spec that makes the promise. Of a spec that ships with memconform the path is relative to
memconform.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from conformance.foreign import lines, through
from conformance.report.baseline import Comparison, label
from conformance.report.differences import to_act_on
from conformance.report.exit import Decision, Exit
from conformance.report.outcomes import page_of
from conformance.report.results import FindingEntry, Results, SubjectEntry
from conformance.report.spots import of_promise
from conformance.report.waiver import Waiver
from specs.catalogue import Level, Requirement, requirements

VERSION = "2.1.0"
OUTSIDE = "MEMCONFORM"
"""Base of paths that are none of the repository's."""
LEVELS = {Level.MUST: "error", Level.SHOULD: "warning", Level.MAY: "note"}
"""Section 3.27.10."""
_STATES = {"new": "new", "wider": "updated", "expired": "unchanged", "found by search": "new"}
"""Section 3.27.24."""


def render(results: Results, decision: Decision, comparison: Comparison | None = None) -> str:
    """Return the log of a run, as JSON."""
    broken = dict.fromkeys(f.requirement for s in results.subjects for f in s.findings)
    order = {id: n for n, id in enumerate(broken)}
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "memconform",
                "semanticVersion": results.run.tool,
                "rules": [_rule(requirements()[id]) for id in broken],
            }
        },
        "invocations": [_invocation(results, decision)],
        "originalUriBaseIds": {
            OUTSIDE: {"description": {"text": "where memconform is installed"}}
        },
        "columnKind": "unicodeCodePoints",
        "results": list(_results(results, order, comparison)),
    }  # fmt: skip
    return json.dumps({"version": VERSION, "runs": [run]}, ensure_ascii=False, indent=1) + "\n"


def _rule(requirement: Requirement) -> dict[str, Any]:
    page = page_of(requirement.id)
    return {
        "id": requirement.id,
        "shortDescription": {"text": requirement.statement},
        "fullDescription": {"text": f"{requirement.statement} ({requirement.source})"},
        "help": {
            "text": f"What it means, and how to fix it: {page}, or "
            f"`memconform explain {requirement.id}`",
            "markdown": f"[What {requirement.id} means, and how to fix it]({page}), or "
            f"`memconform explain {requirement.id}`",
        },
        "defaultConfiguration": {"level": LEVELS[requirement.level]},
        "properties": {"tags": [requirement.concern, *requirement.subject]},
    }


def _invocation(results: Results, decision: Decision) -> dict[str, Any]:
    made: dict[str, Any] = {
        "executionSuccessful": decision.code not in (Exit.ERROR, Exit.USAGE),
        "exitCode": int(decision.code),
        "exitCodeDescription": lines(decision.reason),
        "commandLine": lines(" ".join(results.run.command)),
    }
    if results.run.started:
        began = datetime.fromisoformat(results.run.started)
        ended = began + timedelta(seconds=results.run.seconds)
        made["startTimeUtc"], made["endTimeUtc"] = began.isoformat(), ended.isoformat()
    return made


def _results(
    results: Results, order: dict[str, int], comparison: Comparison | None
) -> Iterator[dict[str, Any]]:
    states = to_act_on(comparison)
    for subject in results.subjects:
        for finding in subject.findings:
            made = _result(subject, finding, order[finding.requirement])
            if comparison is not None:
                state = states.get((label(subject), finding.id), "")
                made["baselineState"] = _STATES.get(state, "unchanged")
                waiver = comparison.waiver(label(subject), finding)
                made["suppressions"] = [_suppression(waiver)] if waiver else []
            yield made


def _result(subject: SubjectEntry, finding: FindingEntry, index: int) -> dict[str, Any]:
    where = f" ({', '.join(finding.operations)})" if finding.operations else ""
    told: dict[str, Any] = {
        "ruleId": finding.requirement,
        "ruleIndex": index,
        "level": LEVELS[finding.level],
        "message": {"text": f"{label(subject)}: {finding.message}{where}"},
        "locations": list(_locations(subject, finding)),
        "partialFingerprints": {"finding/v1": f"{subject.kind} {subject.api} {finding.id}"},
        "properties": {"case": finding.case, "basis": str(finding.basis), "again": finding.replay},
    }
    return through(told, lines)  # type: ignore[no-any-return]


def _locations(subject: SubjectEntry, finding: FindingEntry) -> Iterator[dict[str, Any]]:
    spot = of_promise(subject, finding, Path.cwd())
    if spot is not None:
        place = {"uri": spot.path} if spot.inside else {"uri": spot.path, "uriBaseId": OUTSIDE}
        yield {"physicalLocation": {"artifactLocation": place, "region": {"startLine": spot.line}}}


def _suppression(waiver: Waiver) -> dict[str, Any]:
    parts = (waiver.reason, waiver.ticket, waiver.owner and f"owner {waiver.owner}")
    told = "; ".join(lines(part) for part in parts if part)
    return {"kind": "external", "status": "accepted", "justification": told or "in the baseline"}
