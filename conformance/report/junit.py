"""JUnit XML: one test case a requirement, subject and operation, green exactly at exit 0.

What the test cases are and what became of them is said in `outcomes.py`; here it is written as
XML that every reader of JUnit takes.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from conformance.foreign import xml
from conformance.report import outcomes
from conformance.report.baseline import Comparison
from conformance.report.exit import Decision
from conformance.report.outcomes import Outcome, State, Suite
from conformance.report.results import Results

_TAGS = {State.FAILED: "failure", State.ERROR: "error", State.SKIPPED: "skipped"}


def render(results: Results, decision: Decision, comparison: Comparison | None = None) -> str:
    """Return the XML document of a run."""
    suites = ET.Element("testsuites", name="memconform", time=f"{results.run.seconds:.3f}")
    for suite in outcomes.of(results, decision, comparison):
        suites.append(_suite(suite))
    for attribute in ("tests", "failures", "errors", "skipped"):
        suites.set(attribute, str(sum(int(s.get(attribute, "0")) for s in suites)))
    for element in (suites, *suites, *suites.findall("testsuite/testcase")):
        element.tail = "\n"  # a line each: there are thousands
    text = ET.tostring(suites, encoding="unicode", xml_declaration=True)
    return text.replace('" />', '"/>')  # in a text > is escaped


def _suite(told: Suite) -> ET.Element:
    suite = ET.Element("testsuite", name=xml(told.name), time=f"{told.seconds:.3f}")
    if told.version:
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="version", value=xml(told.version))
    for outcome in told.outcomes:
        case = ET.SubElement(
            suite, "testcase", classname=xml(told.name), name=xml(outcome.name)
        )  # fmt: skip
        _tell(case, outcome)
    suite.set("tests", str(len(told.outcomes)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    return suite


def _tell(case: ET.Element, outcome: Outcome) -> None:
    """Fill a test case with what became of it."""
    tag = _TAGS.get(outcome.state)
    if tag:
        element = ET.SubElement(case, tag, message=xml(outcome.message))
        element.text = xml(outcome.text) or None
    elif outcome.text:
        ET.SubElement(case, "system-out").text = xml(outcome.text)
