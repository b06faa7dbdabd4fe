"""JUnit XML: one test suite a subject, one test case a case instance.

Inconclusive is written as `skipped` with its reason, which JUnit readers count apart from
passes; cases that do not apply are left out, since JUnit has no word for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from conformance.foreign import through, xml
from conformance.report.baseline import label
from conformance.report.results import CaseEntry, FindingEntry, Results, SubjectEntry
from conformance.verdict import Verdict


def render(results: Results) -> str:
    """Return the XML document of a run."""
    results = through(results, xml)
    suites = ET.Element("testsuites", name="memconform", time=f"{results.run.seconds:.3f}")
    for subject in results.subjects:
        suites.append(_suite(subject))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(subject: SubjectEntry) -> ET.Element:
    cases = [c for c in subject.cases if c.verdict is not Verdict.NOT_APPLICABLE]
    suite = ET.Element(
        "testsuite",
        name=f"{label(subject)} ({subject.api})",
        tests=str(len(cases)),
        failures=str(sum(c.verdict is Verdict.FAIL for c in cases)),
        errors=str(sum(c.verdict is Verdict.ERROR for c in cases)),
        skipped=str(sum(c.verdict is Verdict.INCONCLUSIVE for c in cases)),
        time=f"{subject.wall_seconds:.3f}",
    )
    for case in cases:
        suite.append(_case(subject, case))
    return suite


def _case(subject: SubjectEntry, case: CaseEntry) -> ET.Element:
    inside = "-".join(part for part in (case.operation, case.mode) if part)
    element = ET.Element(
        "testcase",
        classname=f"{subject.kind}.{subject.api}.{case.case.partition('.')[0]}",
        name=f"{case.case}[{inside}]" if inside else case.case,
        time=f"{case.seconds:.3f}",
    )
    if case.verdict is Verdict.FAIL:
        found = [f for f in subject.findings if _belongs(f, case)]
        message = "; ".join(f"{f.requirement}: {f.message}" for f in found) or "see results.json"
        failure = ET.SubElement(element, "failure", message=message)
        failure.text = "\n".join(line for f in found for line in _shown(f, case))
    elif case.verdict is Verdict.ERROR:
        error = ET.SubElement(element, "error", message=case.reason)
        error.text = case.trace or None
    elif case.verdict is Verdict.INCONCLUSIVE:
        ET.SubElement(element, "skipped", message=f"inconclusive: {case.reason}")
    return element


def _shown(finding: FindingEntry, case: CaseEntry) -> Iterator[str]:
    """Yield what shows a finding; of one that stands for several, where it was shown."""
    if case.operation not in (None, finding.operation):
        yield f"{finding.requirement} is shown by {finding.case} on {finding.operation}"
        return
    yield from finding.timeline
    for each in finding.evidence:
        yield from each.lines()
    yield from (finding.replay, finding.reproduction)


def _belongs(finding: FindingEntry, case: CaseEntry) -> bool:
    if finding.case != case.case and case.case not in finding.cause:
        return False
    return case.operation is None or case.operation in (finding.operation, *finding.operations)
