"""The extent of a finding: what it lists, and when it reaches further than before."""

from __future__ import annotations

import pytest

from conformance.cases import CaseResult
from conformance.report import extent
from conformance.report.extent import Extent, wider
from conformance.report.results import FindingEntry, Results, summarise
from conformance.report.run import make
from conformance.verdict import Finding, Verdict
from specs.catalogue import requirements

LEAK = Finding("ER9", "lets an exception out", cause="leak", operation="add", mode="sync")
EMPTY = LEAK.at(conditions=("status 200 without a body",), exceptions=("json.JSONDecodeError",))
PAGE = LEAK.at(conditions=("status 200 with HTML",), exceptions=("ValueError",), operation="list")


def entry(*findings: Finding) -> FindingEntry:
    """The one finding of a run that found these."""
    result = CaseResult("a.b", ("ER9",), Verdict.FAIL, findings=findings)
    [found] = summarise("sdk", "demo", "some-sdk", [result], requirements()).findings
    return found


def test_the_extent_lists_all_that_shows_a_finding() -> None:
    """Every API, operation, mode, condition and exception of one cause is in its one entry."""
    found = entry(EMPTY, PAGE.at(mode="async"), PAGE.at(api="demo-control"))
    assert found.count == 3
    assert found.extent == Extent(
        apis=("demo", "demo-control"),
        operations=("add", "list"),
        modes=("async", "sync"),
        conditions=("status 200 with HTML", "status 200 without a body"),
        exceptions=("ValueError", "json.JSONDecodeError"),
    )


def test_the_extent_hangs_on_no_order() -> None:
    """The same findings in another order have the same extent and the same id."""
    one, two = entry(EMPTY, PAGE), entry(PAGE, EMPTY)
    assert (one.id, one.extent) == (two.id, two.extent)


def test_a_random_search_widens_nothing() -> None:
    """What only a search tried is left out, and marked where it is all that there is."""
    searched = PAGE.at(search=True)
    found = entry(searched, EMPTY)
    assert (found.search, found.extent) == (False, extent.of([EMPTY], "demo"))
    alone = entry(searched)
    assert (alone.search, alone.extent) == (True, extent.of([searched], "demo"))


KNOWN = Extent(apis=("demo",), operations=("add",), modes=("sync",), conditions=("a",))


@pytest.mark.parametrize(
    ("new", "beyond", "spreads"),
    [
        ({}, Extent(), False),
        ({"operations": ("add", "list")}, Extent(operations=("list",)), True),
        ({"modes": ("async", "sync")}, Extent(modes=("async",)), True),
        ({"apis": ("control", "demo")}, Extent(apis=("control",)), True),
        ({"conditions": ("a", "b")}, Extent(conditions=("b",)), False),
        ({"exceptions": ("E",)}, Extent(), False),
        ({"operations": ()}, Extent(), False),
    ],
    ids=str,
)
def test_wider_is_what_the_known_extent_lacks(
    new: dict[str, tuple[str, ...]], beyond: Extent, spreads: bool
) -> None:
    """Another operation, mode or API spreads; what was not remembered cannot be beyond it."""
    found = wider(KNOWN, KNOWN.model_copy(update=new))
    assert (found, found.spreads, bool(found)) == (beyond, spreads, bool(beyond))


def test_what_is_wider_is_told_in_words() -> None:
    """The words name what is new, each kind with its own preposition."""
    assert extent.words(Extent(operations=("list", "get"), modes=("async",))) == (
        "on list, get; in async"
    )
    assert extent.words(Extent()) == ""


def test_the_extent_is_written_and_read_back() -> None:
    """`results.json` keeps the extent as it is."""
    result = CaseResult("a.b", ("ER9",), Verdict.FAIL, findings=(EMPTY, PAGE))
    subject = summarise("sdk", "demo", "some-sdk", [result], requirements())
    run = make([subject], started="", seconds=0, seed=0, command=[])
    text = run.model_dump_json(by_alias=True)
    assert Results.model_validate_json(text) == run
