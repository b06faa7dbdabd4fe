"""JUnit: green exactly at exit 0, stable names, and a reason for all that is skipped."""

from __future__ import annotations

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
