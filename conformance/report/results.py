"""`results.json`: the one product of every run, from which all reports and exit codes derive.

Models here are the schema (`memconform.results/1`); its JSON Schema is generated from them.
`summarise` turns the case results of one subject into its entry.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from conformance import claims
from conformance.cases import CaseResult
from conformance.evidence import Shown
from conformance.foreign import admit
from conformance.report import extent, hidden, needs
from conformance.report.extent import Extent
from conformance.report.needs import NeedEntry
from conformance.report.waiver import Baseline, FailOn
from conformance.verdict import Blame, Finding, Verdict, binding, merge
from specs import Basis
from specs.catalogue import Level, Requirement


class Entry(BaseModel):
    """Base of the models here: frozen, unknown keys refused, `schema` allowed as a name."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _enter(cls, data: Any) -> Any:
        """Admit what others said: nothing of it can keep a result from being written."""
        return {k: admit(v) for k, v in data.items()} if isinstance(data, Mapping) else data


class Budget(Entry):
    """Limits that the run was given; None where there was none."""

    max_requests: int | None = None
    max_seconds: float | None = None


class Run(Entry):
    """How this result came about."""

    tool: str = Field(description="memconform's version")
    started: str = Field(description="RFC 3339, UTC")
    seconds: float
    seed: int
    command: tuple[str, ...] = Field(description="as typed, keys redacted")
    budget: Budget = Budget()
    complete: bool = Field(default=True, description="false: interrupted, or a part is missing")
    reason: str = Field(default="", description="why it is not complete")
    parts: dict[str, float] = Field(default_factory=dict, description="part -> wall seconds")


class RequirementEntry(Entry):
    """One requirement, judged on one subject."""

    id: str
    level: Level
    basis: Basis
    concern: str
    verdict: Verdict
    reason: str = ""
    cases: dict[Verdict, int] = Field(default_factory=dict)
    operations: dict[str, Verdict] = Field(
        default_factory=dict, description="operation -> verdict; empty name: no single operation"
    )


class FindingEntry(Entry):
    """One violation; several with one cause are one entry, counted."""

    id: str = Field(description="stable over runs and versions: names API, subject, cause")
    requirement: str
    level: Level = Field(description="as binding as requirement and basis allow")
    basis: Basis
    source: str = Field(default="", description="where it is promised: document and section")
    case: str
    cases: tuple[str, ...] = Field(default=(), description="every case that showed it")
    operation: str | None = None
    operations: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    fault: str = ""
    message: str
    expected: Any = None
    actual: Any = None
    timeline: tuple[str, ...] = ()
    replay: str = ""
    count: int = 1
    cause: str = ""
    requirements: tuple[str, ...] = Field(
        default=(), description="all that it breaks; `requirement` is what it is told as"
    )
    claim: dict[str, Any] = Field(
        default_factory=dict, description="what is stated, as a value: its name and its fields"
    )
    answers: tuple[str, ...] = Field(
        default=(), description="what the attempts of the call met: `503`, `reset`"
    )
    extent: Extent = Field(default=Extent(), description="where it shows: what a gate remembers")
    search: bool = Field(
        default=False, description="only a random search shows it: no gate rests on it"
    )
    explains: tuple[str, ...] = Field(
        default=(), description="what follows from it and is told nowhere else"
    )
    evidence: tuple[Shown, ...] = Field(default=(), description="exchanges that show it, in full")
    curl: str = Field(default="", description="the one request that shows it, for a shell")
    reproduction: str = Field(
        default="", description="a program that ends with 1 if it shows again, else with 0"
    )


class CaseEntry(Entry):
    """One executed instance of a case."""

    case: str
    operation: str | None = None
    mode: str = ""
    verdict: Verdict
    reason: str = ""
    blame: Blame | None = Field(default=None, description="whose mistake an error is")
    trace: str = Field(default="", description="traceback of a crash of memconform's own")
    seconds: float = 0.0


class SubjectEntry(Entry):
    """Everything that was learned of one subject."""

    kind: Literal["backend", "sdk", "load"]
    api: str
    name: str
    version: str = ""
    base_url: str = ""
    verdict: Verdict
    requirements: tuple[RequirementEntry, ...] = ()
    findings: tuple[FindingEntry, ...] = ()
    needs: tuple[NeedEntry, ...] = Field(
        default=(), description="why requirements are open, and what settles it"
    )
    cases: tuple[CaseEntry, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)
    virtual_seconds: float = 0.0
    wall_seconds: float = 0.0
    details: dict[str, Any] = Field(
        default_factory=dict, description="what only this kind has: load figures, coverage tables"
    )


class Results(Entry):
    """A whole run."""

    schema_: Literal["memconform.results/1"] = Field(default="memconform.results/1", alias="schema")
    run: Run
    subjects: tuple[SubjectEntry, ...] = ()
    baseline: Baseline | None = Field(
        default=None, description="the waivers that the run was compared with"
    )
    fail_on: FailOn | None = Field(default=None, description="which findings fail the run")


def vocabulary() -> frozenset[str]:
    """Return the words of `results.json` itself, in lower case: no key may be one of them."""
    models = (Budget, Run, RequirementEntry, FindingEntry, CaseEntry, SubjectEntry, Results, Extent)
    names = {name.strip("_") for model in models for name in model.model_fields}
    values = {str(each) for kind in (Verdict, Basis, Level, Blame) for each in kind}
    return frozenset(w.lower() for w in {*names, *values, "backend", "sdk", "load", "true",
                                         "false", "null", "none", "memconform"})  # fmt: skip


def finding_id(api: str, subject: str, requirement: str, cause: str) -> str:
    """Return the id that a finding keeps over runs and over versions of the subject."""
    text = "\0".join((api, subject, requirement, cause))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def summarise(
    kind: Literal["backend", "sdk", "load"],
    api: str,
    name: str,
    results: Sequence[CaseResult],
    catalogue: Mapping[str, Requirement],
    *,
    version: str = "",
    base_url: str = "",
    wall_seconds: float = 0.0,
    details: Mapping[str, Any] | None = None,
) -> SubjectEntry:
    """Return one subject's entry. Raises KeyError where a case names an unknown requirement."""
    requirements = _requirements(results, catalogue)
    verdicts = Counter(r.verdict for r in results)
    # A backend is its API: where it answers says nothing about what it does.
    findings = _findings(api, "" if kind == "backend" else name, results, catalogue)
    return SubjectEntry(
        kind=kind,
        api=api,
        name=name,
        version=version,
        base_url=base_url,
        verdict=merge(r.verdict for r in results),
        requirements=requirements,
        findings=findings,
        needs=needs.of(
            results, {r.id for r in requirements if r.verdict is Verdict.INCONCLUSIVE}
        ),
        cases=tuple(
            CaseEntry(case=r.case, operation=r.operation, mode=r.mode, verdict=r.verdict,
                      reason=r.reason, blame=r.blame, trace=r.trace,
                      seconds=round(r.seconds, 4))
            for r in results
        ),
        counts={
            "cases": len(results),
            "exchanges": sum(r.exchanges for r in results),
            "findings": len(findings),
            **{str(verdict): count for verdict, count in sorted(verdicts.items())},
        },
        virtual_seconds=round(sum(r.virtual_seconds for r in results), 3),
        wall_seconds=round(wall_seconds, 3),
        details=dict(details or {}),
    )  # fmt: skip


_HIDDEN = "a foreign exception came out instead, which is told as that"


_FOLLOWS = "what was found follows from another finding, which names it"


def _requirements(
    results: Iterable[CaseResult], catalogue: Mapping[str, Requirement]
) -> tuple[RequirementEntry, ...]:
    seen: dict[str, list[tuple[Verdict, CaseResult]]] = {}
    for result in results:
        broken = {f.requirement for f in result.findings}
        for requirement in dict.fromkeys((*result.requirements, *broken)):
            verdict = result.verdict
            if verdict is Verdict.FAIL and requirement not in broken:
                verdict = Verdict.PASS
                follows = any(
                    e.startswith(f"{requirement}:") for f in result.findings for e in f.explains
                )
                if follows:
                    verdict, result = Verdict.INCONCLUSIVE, replace(result, reason=_FOLLOWS)
                elif hidden.by_leak(requirement, [f.claim for f in result.findings]):
                    verdict, result = Verdict.INCONCLUSIVE, replace(result, reason=_HIDDEN)
            seen.setdefault(requirement, []).append((verdict, result))
    entries = []
    for requirement, pairs in sorted(seen.items(), key=lambda item: natural(item[0])):
        verdict = merge(v for v, _ in pairs)
        found = [f for _, r in pairs for f in r.findings if f.requirement == requirement]
        basis = min((f.basis for f in found), key=list(Basis).index, default=Basis.DOCUMENTED)
        entries.append(
            RequirementEntry(
                id=requirement,
                level=catalogue[requirement].level,
                basis=basis,
                concern=catalogue[requirement].concern,
                verdict=verdict,
                reason=next((r.reason for v, r in pairs if v is verdict and r.reason), ""),
                cases=dict(Counter(v for v, _ in pairs)),
                operations=_by_operation(pairs),
            )
        )
    return tuple(entries)


def _by_operation(pairs: Iterable[tuple[Verdict, CaseResult]]) -> dict[str, Verdict]:
    grouped: dict[str, list[Verdict]] = {}
    for verdict, result in pairs:
        grouped.setdefault(result.operation or "", []).append(verdict)
    return {name: merge(verdicts) for name, verdicts in grouped.items()}


def _findings(
    api: str, name: str, results: Iterable[CaseResult], catalogue: Mapping[str, Requirement]
) -> tuple[FindingEntry, ...]:
    groups: dict[tuple[str, str], list[Finding]] = {}
    for result in results:
        for finding in result.findings:
            requirement, cause = finding.identity
            cause = cause or f"{finding.case} {finding.operation or ''}".strip()
            groups.setdefault((requirement, cause), []).append(finding)
    entries = []
    for (requirement, cause), group in groups.items():
        first = min(group, key=_best)
        basis = min((f.basis for f in group), key=list(Basis).index)
        reach = extent.of(group, api)
        entries.append(
            FindingEntry(
                id=finding_id(api, name, requirement, cause),
                requirement=requirement,
                level=binding(catalogue[requirement].level, basis),
                basis=basis,
                source=next((f.source for f in group if f.basis is basis), ""),
                case=first.case,
                cases=tuple(dict.fromkeys(f.case for f in group)),
                operation=first.operation,
                operations=tuple(dict.fromkeys(f.operation for f in group if f.operation)),
                modes=tuple(dict.fromkeys(f.mode for f in group if f.mode)),
                fault=first.fault,
                message=_message(group, first, reach),
                expected=first.expected,
                actual=first.actual,
                timeline=first.timeline,
                replay=first.replay,
                count=len(group),
                cause=cause,
                requirements=tuple(sorted({f.requirement for f in group}, key=natural)),
                claim=claims.written(first.claim),
                answers=first.answers,
                extent=reach,
                search=first.search,
                explains=tuple(dict.fromkeys(e for f in group for e in f.explains)),
                evidence=first.evidence,
                curl=first.curl,
                reproduction=first.reproduction,
            )
        )
    order = list(Level)
    return tuple(
        sorted(entries, key=lambda e: (order.index(e.level), natural(e.requirement), e.id))
    )


def _best(finding: Finding) -> tuple[bool, int, bool, bool]:
    """Return what the finding to show of several is chosen by: found for sure, plain to see."""
    basis = list(Basis).index(finding.basis)
    return finding.search, basis, not finding.reproduction, not finding.curl


def _message(group: Sequence[Finding], first: Finding, reach: Extent) -> str:
    """Return what findings of one cause say together: every exception, and in how many places."""
    many = first.claim.MANY if first.claim is not None else ""
    if many and len(reach.exceptions) > 1:
        return many.format(exceptions=", ".join(reach.exceptions))
    places = {each for f in group for each in f.conditions}
    operations = {f.operation for f in group if f.operation}
    if not first.general or len(places) < 2:
        return first.message
    counted = f"{len(operations)} operation{'s' * (len(operations) != 1)}"
    if len(places) > len(operations):
        counted = f"{len(places)} places of {counted}"
    return f"{first.general}: {counted}"


def natural(text: str) -> tuple[str, int]:
    """Return a sort key that puts RA2 before RA10."""
    head = text.rstrip("0123456789")
    return head, int(text[len(head) :] or 0)
