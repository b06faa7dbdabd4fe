"""`report.html`: one self-contained page; no script, font or image comes from elsewhere.

Its only script searches, filters and copies; the content security policy admits that one by its
hash. Without it the page shows everything. Everything that a subject said passes through the
template's escaping. The page is drawn from `results.json` alone, so `memconform report` can make
it again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from conformance.foreign import page, through
from conformance.plural import many
from conformance.report import charts, load
from conformance.report.baseline import Comparison, label
from conformance.report.differences import differences, next_step, to_act_on, waiver_lines
from conformance.report.exit import Decision, Exit, evidence
from conformance.report.matrix import by_kind
from conformance.report.notes import notes
from conformance.report.outcomes import page_of
from conformance.report.results import FindingEntry, Results, SubjectEntry
from conformance.report.versions import State, histories
from conformance.verdict import Verdict
from specs.catalogue import requirements
from specs.sources import spelt

_SIGNS = {
    Verdict.PASS: "✓",
    Verdict.INCONCLUSIVE: "?",
    Verdict.FAIL: "✗",
    Verdict.ERROR: "!",
    Verdict.NOT_APPLICABLE: "·",
}
_STATES = {
    State.SHOWS: ("✗", "fail"),
    State.FREE: ("✓", "pass"),
    State.UNJUDGED: ("?", "inconclusive"),
}
_WORDS = {
    Exit.CONFORMS: "Conforms",
    Exit.DEVIATES: "Does not conform",
    Exit.USAGE: "Usage",
    Exit.ERROR: "Error",
    Exit.STALE_BASELINE: "Baseline out of date",
    Exit.TOO_LITTLE_EVIDENCE: "Too little evidence",
}


def render(results: Results, decision: Decision, comparison: Comparison | None = None) -> str:
    """Return the page of a run."""
    results = through(results, page)
    decision = replace(decision, reason=page(decision.reason))
    states = to_act_on(comparison)
    marks = _Marks(results, states, compared=comparison is not None)
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            run=results.run,
            subjects=results.subjects,
            matrices=by_kind(results.subjects),
            next_step=next_step(decision, comparison),
            first=_first,
            histories=histories(results.subjects),
            states=_STATES,
            decision=decision,
            word=_word(decision, comparison),
            label=label,
            many=many,
            anchor=_anchor,
            evidence=evidence,
            signs=_SIGNS,
            statements={r.id: r for r in requirements().values()},
            to_act_on=lambda subject, finding: states.get((label(subject), finding.id), ""),
            differences=differences(comparison) if comparison else "",
            waivers=list(waiver_lines(comparison)) if comparison else [],
            notes=notes,
            fresh=[
                (s, f)
                for s in results.subjects
                for f in s.findings
                if states.get((label(s), f.id)) == "new"
            ],
            filters=marks.values(),
            marked=marks.of,
            page_of=page_of,
            explained=explained(results),
            script=Markup(_script()),  # noqa: S704 - a file of this package
            script_hash=script_source(_script()),
            load_charts=_load_charts,
            load_tables=load.tables,
            total=sum(len(s.findings) for s in results.subjects),
            Verdict=Verdict,
        )
    )


def _word(decision: Decision, comparison: Comparison | None) -> str:
    """Return the verdict; a run that deviates only as it may says how often."""
    word = _WORDS[decision.code]
    if decision.code is Exit.CONFORMS and comparison and comparison.known:
        return f"{word}, with {many(len(comparison.known), 'known deviation')}"
    return word


@cache
def environment() -> Environment:
    """Return the template engine of all pages: everything that it is given is escaped."""
    made = Environment(
        loader=PackageLoader("conformance.report", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["value"] = _value
    return made


def explained(results: Results) -> frozenset[str]:
    """Return the requirements whose pages a run writes beside its reports."""
    return frozenset(f.requirement for s in results.subjects for f in s.findings)


@cache
def _script() -> str:
    return files("conformance.report").joinpath("templates/report.js").read_text("utf-8")


def script_source(script: str) -> str:
    """Return a script's source expression (CSP Level 3, section 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


class _Marks:
    """What a finding is found by: level, concern, operation, and known or new."""

    def __init__(
        self, results: Results, states: Mapping[tuple[str, str], str], *, compared: bool
    ) -> None:
        self._results, self._states, self._compared = results, states, compared

    def of(self, subject: SubjectEntry, finding: FindingEntry) -> dict[str, list[str]]:
        """Return the values of one finding under each filter."""
        state = self._states.get((label(subject), finding.id), "known")
        return {
            "level": [finding.level],
            "concern": _concerns(finding),
            "operation": sorted(finding.operations),
            "state": [state] if self._compared else [],
        }

    def values(self) -> dict[str, list[str]]:
        """Return each filter with every value that a finding of the run has."""
        found: dict[str, set[str]] = {}
        for subject in self._results.subjects:
            for finding in subject.findings:
                for name, values in self.of(subject, finding).items():
                    found.setdefault(name, set()).update(values)
        return {name: sorted(values) for name, values in found.items()}


def _first(subject: SubjectEntry, concern: str) -> str:
    """Return the anchor of the gravest finding of a concern; empty if it has none."""
    found = (f for f in subject.findings if concern in _concerns(f))
    return next((f"#{_anchor(subject)}-{f.id}" for f in found), "")


def _concerns(finding: FindingEntry) -> list[str]:
    """Return the concerns of all requirements that a finding breaks."""
    known = requirements()
    broken = finding.requirements or (finding.requirement,)
    return sorted({known[each].concern for each in broken})


def _anchor(subject: SubjectEntry) -> str:
    text = f"{label(subject)} {subject.api}"
    return "".join(c if c.isalnum() else "-" for c in text)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return spelt(text)


def _load_charts(subject: SubjectEntry) -> list[charts.Chart]:
    return [charts.draw(name, each) for name, each in charts.of_load(subject.details).items()]
