"""Findings that spread, and findings that only a search shows, held against a baseline."""

from __future__ import annotations

import pytest

from conformance.report import baseline as known
from conformance.report import junit, text
from conformance.report.baseline import compare
from conformance.report.exit import Exit, decide
from conformance.report.results import Results
from conformance.verdict import Finding
from tests.judged_results import case, finding, results, subject

HERE = finding(operation="add", mode="sync", conditions=("status 400",), exceptions=("E",))


def run(*found: Finding, version: str = "1.0") -> Results:
    """A run of one release whose case found these."""
    return results(subject(case("a.b", *found), version=version))


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({}, Exit.CONFORMS, ""),
        ({"operation": "list"}, Exit.DEVIATES, "on list"),
        ({"mode": "async"}, Exit.DEVIATES, "in async"),
        ({"api": "demo-control"}, Exit.DEVIATES, "in the API demo-control"),
        ({"conditions": ("status 500",)}, Exit.CONFORMS, ""),
        ({"exceptions": ("F",)}, Exit.CONFORMS, ""),
    ],
    ids=str,
)
def test_a_known_finding_that_spreads_fails_the_gate(
    more: dict[str, object], code: Exit, words: str
) -> None:
    """Another operation, mode or API of a known finding is told and fails; its id is the same."""
    comparison = compare(run(HERE, HERE.at(**more)), known.of(run(HERE)))
    decision = decide(run(HERE, HERE.at(**more)), comparison)
    assert decision.code is code, decision.reason
    assert words in decision.reason
    assert not comparison.new


def test_a_baseline_of_two_releases_remembers_what_each_reaches() -> None:
    """An operation that one release alone has makes the other release's finding no wider."""
    both = results(
        subject(case("a.b", HERE.at(operation="add")), version="1"),
        subject(case("a.b", HERE.at(operation="list")), version="2"),
    )
    accepted = known.of(both)
    assert accepted.waivers[0].extent.operations == ("add", "list")
    assert decide(both, compare(both, accepted)).code is Exit.CONFORMS


def test_accepting_a_part_of_a_run_forgets_no_place() -> None:
    """A baseline that is updated from one case keeps what the whole run had shown."""
    whole = run(HERE, HERE.at(operation="list"))
    accepted = known.updated(known.of(whole), run(HERE))
    assert not compare(whole, accepted).wider


def test_a_gate_does_not_flap_by_what_a_search_finds() -> None:
    """With a baseline a searched finding is told and passes, in the exit code and in JUnit.

    It is not accepted either, so that its absence at another seed is nothing that is gone.
    """
    searched = finding(cause="rare", search=True)
    seen, unseen = run(HERE, searched), run(HERE)
    accepted = known.of(seen)
    assert [w.id for w in accepted.waivers] == [w.id for w in known.of(unseen).waivers]
    for each, told in ((seen, 1), (unseen, 0)):
        comparison = compare(each, accepted)
        assert decide(each, comparison).code is Exit.CONFORMS
        assert len(comparison.searched) == told
        assert "<failure" not in junit.render(each, decide(each, comparison), comparison)
    assert text.differences(compare(seen, accepted)) == "1 known, 0 new, 1 found by search"


def test_without_a_baseline_a_searched_finding_counts() -> None:
    """Nothing excuses a broken promise that the run did show."""
    alone = run(finding(cause="rare", search=True))
    assert decide(alone).code is Exit.DEVIATES
