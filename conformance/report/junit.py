"""JUnit XML: one test case a requirement, subject and operation, green exactly at exit 0.

Names hold no version, so a pipeline compares the same test over releases. Of several releases in
one run the newest has the plain name. Inconclusive and waived are skipped with the reason. A
finding that does not fail the run passes, with the finding as output. The first test case is the
verdict of the whole run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as ET

from conformance.foreign import xml
from conformance.report.baseline import Comparison, accepted_as, label
from conformance.report.exit import Decision, Exit
from conformance.report.results import FindingEntry, RequirementEntry, Results, SubjectEntry
from conformance.report.waiver import FailOn, Waiver
from conformance.verdict import Verdict

LINES = 12
"""Lines of a finding's timeline that a failure shows; results.json has all."""


def render(results: Results, decision: Decision, comparison: Comparison | None = None) -> str:
    """Return the XML document of a run."""
    suites = ET.Element("testsuites", name="memconform", time=f"{results.run.seconds:.3f}")
    suites.append(_run(results, decision))
    bar = results.fail_on or (FailOn.MUST if comparison is None else FailOn.NEW)
    for subject, name in _named(results.subjects):
        suites.append(_suite(subject, name, comparison, bar))
    for attribute in ("tests", "failures", "errors", "skipped"):
        suites.set(attribute, str(sum(int(s.get(attribute, "0")) for s in suites)))
    ET.indent(suites, space="")
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _run(results: Results, decision: Decision) -> ET.Element:
    """Return the suite of one test case that is green exactly if the exit code is 0."""
    suite = ET.Element("testsuite", name="memconform", time=f"{results.run.seconds:.3f}")
    verdict = ET.SubElement(suite, "testcase", classname="memconform", name="verdict")
    if decision.code is not Exit.CONFORMS:
        kind = "error" if decision.code is Exit.ERROR else "failure"
        ET.SubElement(verdict, kind, message=xml(f"exit {decision.code}: {decision.reason}"))
    return _counted(suite)


def _named(subjects: Sequence[SubjectEntry]) -> Iterator[tuple[SubjectEntry, str]]:
    """Yield each subject with a name that no other has; older releases of one are numbered."""
    left = [accepted_as(s) for s in subjects]
    for subject in subjects:
        name = accepted_as(subject)
        left.remove(name)
        older = left.count(name)
        yield subject, name.replace(" ", ".", 1) + (f".older-{older}" if older else "")


def _suite(
    subject: SubjectEntry, name: str, comparison: Comparison | None, bar: FailOn
) -> ET.Element:
    suite = ET.Element("testsuite", name=xml(name), time=f"{subject.wall_seconds:.3f}")
    if subject.version:
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="version", value=xml(subject.version))
    for requirement in subject.requirements:
        for operation, verdict in requirement.operations.items():
            if verdict is not Verdict.NOT_APPLICABLE:
                case = ET.SubElement(
                    suite,
                    "testcase",
                    classname=xml(name),
                    name=xml(f"{requirement.id} {operation}".strip()),
                )
                _tell(case, subject, requirement, operation, verdict, comparison, bar)
    return _counted(suite)


def _counted(suite: ET.Element) -> ET.Element:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _tell(
    case: ET.Element,
    subject: SubjectEntry,
    requirement: RequirementEntry,
    operation: str,
    verdict: Verdict,
    comparison: Comparison | None,
    bar: FailOn,
) -> None:
    """Fill a test case with what became of a requirement on an operation."""
    if verdict is Verdict.INCONCLUSIVE:
        ET.SubElement(case, "skipped", message=xml(f"inconclusive: {requirement.reason}"))
    elif verdict is Verdict.ERROR:
        error = ET.SubElement(case, "error", message=xml(requirement.reason))
        error.text = xml(_trace(subject, operation)) or None
    if verdict is not Verdict.FAIL:
        return
    found = [
        f for f in subject.findings
        if f.requirement == requirement.id and (not operation or operation in f.operations)
    ]  # fmt: skip
    waivers = {f.id: comparison.waiver(label(subject), f) if comparison else None for f in found}
    wide = {f.id for _, f, _ in comparison.wider} if comparison else set()
    free = {f.id for _, f in comparison.searched} if comparison else set()
    failing = [
        f
        for f in found
        if f.id not in free and (not waivers[f.id] or f.id in wide) and bar.fails(f.level)
    ]
    if failing:
        failure = ET.SubElement(case, "failure", message=xml("; ".join(map(_line, failing))))
        failure.text = xml("\n".join(line for f in failing for line in _evidence(f, operation)))
    elif found and all(waivers.values()):
        ET.SubElement(case, "skipped", message=xml("; ".join(_waived(waivers[f.id], f)
                                                                for f in found)))  # fmt: skip
    else:
        output = ET.SubElement(case, "system-out")
        lines = [line for f in found for line in (_line(f), f.replay) if line]
        output.text = xml("\n".join(lines) or requirement.reason)


def _trace(subject: SubjectEntry, operation: str) -> str:
    """Return the trace of the first crash on an operation; empty if nothing crashed there."""
    return next(
        (c.trace for c in subject.cases if c.trace and operation in ("", c.operation or "")), ""
    )


def _line(finding: FindingEntry) -> str:
    return f"{finding.level} {finding.requirement}: {finding.message} ({finding.id})"


def _waived(waiver: Waiver | None, finding: FindingEntry) -> str:
    parts = [finding.message]
    if waiver is not None:
        parts += [waiver.reason, waiver.ticket, waiver.owner and f"owner {waiver.owner}"]
    return "waived: " + "; ".join(part for part in parts if part)


def _evidence(finding: FindingEntry, operation: str) -> Iterator[str]:
    """Yield what shows a finding; of one that spans operations, where it is shown."""
    if operation and operation != finding.operation:
        yield f"{finding.requirement} is shown by {finding.case} on {finding.operation}"
        return
    yield from finding.timeline[:LINES]
    if len(finding.timeline) > LINES:
        yield f"… and {len(finding.timeline) - LINES} more lines in results.json"
    for each in finding.evidence:
        yield from each.lines()
    yield from (finding.replay, finding.reproduction)
