"""`memconform explain`: what one id means, in the words of the tables that define it.

An id is a requirement (`RA4`), a case (`retry-after.seconds`), a seeded defect, an exit code, an
option, a word of `x-conformance`, or the id of a finding in a results file. Nothing is written
here that a table says elsewhere. Pure, but for reading those tables.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module

from conformance import options
from conformance.cases import Case
from conformance.docs.timelines import shows
from conformance.plural import many
from conformance.reference.defects import Defect
from conformance.report import baseline
from conformance.report.exit import MEANING, Exit
from conformance.report.results import FindingEntry, Results
from conformance.teeth import SUITES, material
from specs.catalogue import Requirement, requirements
from specs.guidance import guidance
from specs.schema import schema


class Unknown(ValueError):
    """No table knows the id; the message says what is alike and what to type."""


def explain(id: str, results: Results | None = None) -> str:
    """Return what an id means, as Markdown. Raises Unknown if no table knows it."""
    for look in (_requirement, _case, _defect, _exit, _option, _word):
        if lines := list(look(id)):
            return "\n".join(lines) + "\n"
    for subject in results.subjects if results else ():
        for finding in subject.findings:
            if finding.id == id:
                return "\n".join(_finding(baseline.label(subject), finding)) + "\n"
    raise Unknown(
        f"{id!r} is no requirement, case, defect, exit code, option or word of x-conformance"
        f"{_alike(id)}. A finding's id is looked up in --results FILE."
    )


def _alike(id: str) -> str:
    known = (*requirements(), *(c.id for c in cases()), *(d.id for d in defects()))
    close = [k for k in known if id.lower() in k.lower() or k.lower().startswith(id[:4].lower())]
    return f"; alike: {', '.join(close[:6])}" if close and id else ""


@cache
def cases() -> tuple[Case, ...]:
    """Return the cases of the suites that drive a subject, in their order."""
    return tuple(
        case
        for suite in ("backend", "sdk")
        for case in import_module(f"conformance.{suite}").cases()
    )


@cache
def defects() -> tuple[Defect, ...]:
    """Return every seeded defect."""
    return tuple(d for suite in SUITES for d in material(suite).DEFECTS)


def _requirement(id: str) -> Iterator[str]:
    found = requirements().get(id.upper())
    if found is None:
        return
    whose = " (the level is memconform's own: no standard sets one)" if found.ours else ""
    yield f"# {found.id}: {found.statement}"
    yield ""
    yield f"Level: {found.level}{whose}. Judged on: {', '.join(found.subject)}."
    yield f"Concern: {found.concern}. Source: {found.source}."
    yield "A finding weighs as much as the words behind it: documented MUST, observed SHOULD,"
    yield "assumed MAY. An API that does not promise it is not judged by it."
    about = guidance().get(found.id)
    yield from ("", "## Why it matters", about.why) if about else ()
    yield from _sent(found)
    if about:
        yield from ("", "## What it does not flag", about.lets)
        yield from _fix(found, about.fix)
    proofs = (d for d in defects() if d.requirement == found.id)
    yield from _section(
        "Proven by seeded defects",
        (f"`{d.id}`: {d.summary} Noticed by `{d.case}`." for d in proofs),
    )
    yield from _section("Promised by", _promising(found.id))
    broken = list(_breaking(found.id)) or ["No published release that memconform ships with."]
    yield from _section("Published releases that break it", iter(broken))
    yield from _after(found.id)


def _sent(found: Requirement) -> Iterator[str]:
    """Yield what the cases send, and what keeping and breaking it look like on the wire."""
    yield from ("", "## What is sent")
    yield from (f"- `{c.id}`: {c.summary}" for c in _testing(found))
    if found.untestable:
        yield f"No case can test it: {found.untestable}"
    seen = shows().get(found.id)
    if seen is None:
        return
    if seen.fault:
        yield from ("", f"The timelines below play this fault script: `{seen.fault}`.")
    where = f"`{seen.case}` on {seen.api}{f' {seen.operation}' if seen.operation else ''}"
    yield from ("", "## Kept: the perfect reference", f"{where} passes:", "", "```text",
                *seen.passing, "```")  # fmt: skip
    yield from ("", f"## Broken: `{seen.defect}`", f"{where} says: {seen.message}.", "",
                "```text", *seen.failing, "```")  # fmt: skip


_FIXED = {
    "backend": "In a backend",
    "sdk": "In an SDK",
    "load": "Under load",
    "cache": "In a cache",
}
_NOTHING = "nothing to do; this requirement does not judge it."


def _fix(found: Requirement, fix: str) -> Iterator[str]:
    """Yield how to fix it in each kind of subject; a kind that it does not judge has nothing to."""
    yield from ("", "## How to fix it")
    for kind in dict.fromkeys((*found.subject, "backend", "sdk")):
        told = fix if kind in found.subject else _NOTHING
        yield f"- {_FIXED[kind]}: {told}"


def _after(requirement: str) -> Iterator[str]:
    yield from (
        "",
        "## What to do",
        f"- See it again: `memconform explain FINDING --results results.json` shows a finding of "
        f"{requirement} with its evidence.",
        "- Waive it: `memconform baseline update results.json known.toml`, then give the waiver "
        "an owner, a reason and a last day.",
    )


def _testing(requirement: Requirement) -> list[Case]:
    return [c for c in cases() if requirement.id in c.requirements]


def _promising(requirement: str) -> Iterator[str]:
    from specs import trace

    for document, traced in trace.promises().items():
        for promise in traced.promises:
            if requirement in promise.requirements:
                yield f"{document} § {promise.section}: {promise.promise}"


def _breaking(requirement: str) -> Iterator[str]:
    for waiver in baseline.read(baseline.SHIPPED).waivers:
        if waiver.requirement == requirement:
            which = f" {', '.join(waiver.versions)}" if waiver.versions else ""
            yield f"{waiver.subject}{which}: {waiver.message}"


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    rows = list(lines)
    if rows:
        yield from ("", f"## {title}", *(f"- {row}" for row in rows))


def _case(id: str) -> Iterator[str]:
    found = [c for c in cases() if c.id == id]
    for number, each in enumerate(found):
        yield f"# {each.id}: {each.summary}" if not number else f"## In the {each.suite} suite"
        yield ""
        yield f"Suite: {each.suite}. Run it alone: `--case {each.id}`."
        more = (inspect.getdoc(each.function) or "").partition("\n\n")[2]
        if more:
            yield from ("", more)
        known = requirements()
        yield from _section("Tests", (f"{r}: {known[r].statement}" for r in each.requirements))
    yield from _section(
        "Proven by seeded defects",
        (f"`{d.id}`: {d.summary}" for d in defects() if found and d.case == id),
    )


def _defect(id: str) -> Iterator[str]:
    for found in (d for d in defects() if d.id == id):
        yield f"# {found.id}: {found.summary}"
        yield ""
        yield f"Suite: {found.suite}. Shown on: {found.api}. Breaks {found.requirement}: "
        yield f"{requirements()[found.requirement].statement}"
        again = f"memconform teeth --suite {found.suite} --defect {id}"
        yield f"`{found.case}` must notice it: `{again}`."


def _exit(id: str) -> Iterator[str]:
    if id.isdigit() and int(id) in list(Exit):
        code = Exit(int(id))
        yield f"# Exit {int(code)}: {MEANING[code]}"


def _option(id: str) -> Iterator[str]:
    rows = [row for row in options.TABLE if row.name == id]
    for row in rows:
        yield f"# {row.name} {row.metavar}".rstrip()
        yield ""
        yield f"{row.help[:1].upper()}{row.help[1:]}."
        yield f"Taken by: {', '.join(place or 'memconform' for place in row.where)}."


def _word(id: str) -> Iterator[str]:
    wanted = id.removeprefix("x-conformance.").split(".")[-1]
    blocks = {"x-conformance": schema(), **schema()["$defs"]}
    for name, block in blocks.items():
        properties = block.get("properties", {})
        if wanted == name or wanted in properties:
            chosen = properties if wanted == name else {wanted: properties[wanted]}
            yield f"# {name}" if wanted == name else f"# {name}.{wanted}"
            yield ""
            if wanted == name and block.get("description"):
                yield f"{block['description']}"
            for word, rule in chosen.items():
                yield f"- `{word}`: {rule.get('description', '')} {_kind(rule)}".rstrip()
            yield ""


def _kind(rule: dict[str, object]) -> str:
    parts = [str(rule["type"])] if "type" in rule else []
    if "enum" in rule:
        parts.append(f"one of {rule['enum']}")
    if "default" in rule:
        parts.append(f"default {rule['default']}")
    return f"({'; '.join(parts)})" if parts else ""


def _finding(name: str, finding: FindingEntry) -> Iterator[str]:
    yield f"# {finding.id}: {finding.message}"
    yield ""
    shown = many(finding.count, "time")
    yield f"{finding.level} {finding.requirement} on {name}, shown {shown} by "
    yield f"{', '.join(finding.cases or (finding.case,))}."
    yield requirements()[finding.requirement].statement
    yield f"Promised in: {finding.source or 'no document; the usual way of the field'}."
    if finding.operations:
        yield f"Operations: {', '.join(finding.operations)}."
    for head, value in (("Expected", finding.expected), ("Actual", finding.actual)):
        if value is not None:
            yield f"{head}: {value}"
    evidence: Sequence[str] = [
        *finding.timeline, *(line for each in finding.evidence for line in each.lines())
    ]  # fmt: skip
    if evidence:
        yield from ("", "```text", *evidence, "```")
    yield from (line for line in ("", finding.replay, finding.curl, finding.reproduction) if line)
    yield f"Next: `memconform explain {finding.requirement}`."
