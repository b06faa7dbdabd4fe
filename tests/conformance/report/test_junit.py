"""JUnit: green exactly at exit 0, stable names, and a reason for all that is skipped."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree as ET

import pytest

from conformance.report import baseline as known
from conformance.report import junit
from conformance.report.baseline import compare
from conformance.report.exit import Exit, decide
from conformance.report.results import Results
from conformance.report.waiver import Baseline
from conformance.verdict import Verdict
from specs import Basis
from tests.judged_results import case, finding, results, subject

VAGUE = case("c.d", verdict=Verdict.INCONCLUSIVE, reason="no limit within reach")
CRASH = case("e.f", verdict=Verdict.ERROR, reason="KeyError: 'x'")


def read(made: Results, baseline: Baseline | None = None) -> tuple[ET.Element, Exit]:
    """Return the JUnit document of a run and its exit code."""
    comparison = compare(made, baseline) if baseline is not None else None
    decision = decide(made, comparison)
    return ET.fromstring(junit.render(made, decision, comparison)), decision.code


def named(root: ET.Element, name: str) -> ET.Element:
    """Return the one test case of a name."""
    (found,) = root.findall(f"testsuite/testcase[@name='{name}']")
    return found


FOUND = results(subject(case("a.b", finding(message="bad \x00 byte", operation="add"))))
RUNS: dict[str, tuple[Results, Baseline | None]] = {
    "clean": (results(subject(case())), None),
    "broken": (FOUND, None),
    "waived": (FOUND, known.of(FOUND)),
    "gone": (results(subject(case("a.b"))), known.of(FOUND)),
    "may": (results(subject(case("a.b", finding(basis=Basis.ASSUMED)))), None),
    "vague": (results(subject(VAGUE, VAGUE, case())), None),
    "crash": (results(subject(case(), CRASH)), None),
    "interrupted": (results(subject(case()), complete=False), None),
    "empty": (results(), None),
}


@pytest.mark.parametrize("name", RUNS)
def test_junit_is_green_exactly_at_exit_0(name: str) -> None:
    """A reader of JUnit and a reader of the exit code see the same verdict."""
    root, code = read(*RUNS[name])
    red = len(root.findall(".//failure")) + len(root.findall(".//error"))
    assert (code is Exit.CONFORMS) == (red == 0)
    assert root.get("failures") == str(len(root.findall(".//failure")))


def test_a_waived_finding_is_skipped_with_its_reason() -> None:
    """A waived finding is skipped, and says why and who answers for it."""
    accepted = Baseline(
        waivers=tuple(
            w.model_copy(update={"reason": "the vendor mends it", "owner": "ann"})
            for w in known.of(FOUND).waivers
        )
    )
    skipped = named(read(FOUND, accepted)[0], "RT1").find("skipped")
    assert skipped is not None
    assert "the vendor mends it" in skipped.get("message", "")
    assert "ann" in skipped.get("message", "")


def test_a_finding_below_the_bar_passes_with_output() -> None:
    """A MAY finding is a passed test case that carries the finding as output."""
    told = named(read(*RUNS["may"])[0], "RT1")
    assert ["system-out"] == [child.tag for child in told]
    assert "sends once more" in (told[0].text or "")


def test_inconclusive_is_skipped_with_its_reason() -> None:
    """What could not be judged is skipped and says why."""
    skipped = named(read(results(subject(VAGUE)))[0], "RT1").find("skipped")
    assert skipped is not None
    assert "no limit within reach" in skipped.get("message", "")


def test_names_are_unique_and_hold_no_version() -> None:
    """Two releases of one package have unlike names; the newest keeps its name over releases."""
    old, new = (subject(case(operation="add"), case(), version=v) for v in ("1.0.6", "1.3.3"))
    both, alone = read(results(old, new))[0], read(results(new))[0]
    names = [(c.get("classname"), c.get("name")) for c in both.iter("testcase")]
    assert len(names) == len(set(names))
    assert {(c.get("classname"), c.get("name")) for c in alone.iter("testcase")} <= set(names)
    assert not any("1.3.3" in f"{a}{b}" for a, b in names)


def test_an_older_release_has_a_test_for_what_it_does_not_pass() -> None:
    """Of two releases the newest has all tests, the older one those that it does not pass."""
    made = results(
        subject(case("a.b", finding(operation="add")), version="1"),
        subject(case("a.b"), version="2"),
    )
    names = {
        suite.get("name"): [each.get("name") for each in suite.findall("testcase")]
        for suite in read(made)[0]
    }
    assert ["RT1"] == names["sdk.some-sdk"]
    assert ["RT1"] == names["sdk.some-sdk.older-1"]
    clean = results(subject(case("a.b"), version="1"), subject(case("a.b"), version="2"))
    assert [] == read(clean)[0].findall("testsuite[@name='sdk.some-sdk.older-1']/testcase")


def test_a_waived_finding_is_told_in_full_once() -> None:
    """A finding that spans operations is told at its own, and by its id at the others."""
    wide = [
        case("a.b", finding(cause="x", operation=name), operation=name) for name in ("add", "get")
    ]
    made = results(subject(*wide))
    root, _ = read(made, known.of(made))
    own, other = (named(root, f"RT1 {name}").find("skipped") for name in ("add", "get"))
    assert own is not None
    assert other is not None
    assert "sends once more" in own.get("message", "")
    assert f"waived: {made.subjects[0].findings[0].id}" == other.get("message", "")


def test_a_reason_that_several_operations_share_is_told_once() -> None:
    """What is inconclusive for one reason on several operations tells it at the first."""
    made = results(subject(*(dataclasses.replace(VAGUE, operation=o) for o in ("add", "get"))))
    root, _ = read(made)
    told = [e.get("message") for e in root.findall(".//skipped")]
    assert ["inconclusive: no limit within reach", "inconclusive: as for add"] == told


def test_a_failure_leads_to_the_page_of_its_requirement() -> None:
    """A failure names the page that explains its requirement."""
    failure = named(read(FOUND)[0], "RT1").find("failure")
    assert failure is not None
    assert "docs/requirements/RT1.html" in (failure.text or "")
