"""`report.html`: one self-contained page; no script, font or image comes from elsewhere.

Everything that a subject said passes through the template's escaping. The page is drawn from
`results.json` alone, so `memconform report` can make it again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from conformance.foreign import page, through
from conformance.report import charts, load
from conformance.report.baseline import Comparison, label
from conformance.report.differences import differences, next_step, to_act_on, waiver_lines
from conformance.report.exit import Decision, Exit, evidence
from conformance.report.matrix import by_kind
from conformance.report.notes import notes
from conformance.report.results import Results, SubjectEntry
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
    environment = Environment(
        loader=PackageLoader("conformance.report", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["value"] = _value
    states = to_act_on(comparison)
    return environment.get_template("report.html.j2").render(
        run=results.run,
        subjects=results.subjects,
        matrices=by_kind(results.subjects),
        next_step=next_step(decision, comparison),
        first=_first,
        histories=histories(results.subjects),
        states=_STATES,
        decision=decision,
        word=_WORDS[decision.code],
        label=label,
        anchor=_anchor,
        evidence=evidence,
        signs=_SIGNS,
        statements={r.id: r for r in requirements().values()},
        to_act_on=lambda subject, finding: states.get((label(subject), finding.id), ""),
        differences=differences(comparison) if comparison else "",
        waivers=list(waiver_lines(comparison)) if comparison else [],
        notes=notes,
        load_charts=_load_charts,
        load_tables=load.tables,
        total=sum(len(s.findings) for s in results.subjects),
        Verdict=Verdict,
    )


def _first(subject: SubjectEntry, concern: str) -> str:
    """Return the anchor of the gravest finding of a concern; empty if it has none."""
    known = requirements()
    found = (f for f in subject.findings if known[f.requirement].concern == concern)
    return next((f"#{_anchor(subject)}-{f.id}" for f in found), "")


def _anchor(subject: SubjectEntry) -> str:
    text = f"{label(subject)} {subject.api}"
    return "".join(c if c.isalnum() else "-" for c in text)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return spelt(text)


def _load_charts(subject: SubjectEntry) -> list[charts.Chart]:
    return [charts.draw(name, each) for name, each in charts.of_load(subject.details).items()]
