"""One finding weighs the same in a run of many cases and where its case is asked for alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from conformance.backend import suite
from conformance.backend.grouping import grouped
from conformance.backend.teeth import judged
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.defects import Defects
from conformance.report.results import FindingEntry, summarise
from specs.catalogue import requirements

SAMPLE = ("error.html", "error.rejected-yet-changed")


def found(api: str, defect: str, select: Sequence[str]) -> dict[str, FindingEntry]:
    """Return what a report holds of the embedded backend with a defect, by id."""
    with judged(api, defects=Defects.of([defect])) as subject:
        results = suite.run(subject, select=select)
        seen = grouped(subject.contract, subject.exchanges, results)
    entry = summarise("backend", api, "embedded", seen, requirements())
    return {each.id: each for each in entry.findings}


@pytest.mark.parametrize("defect", SAMPLE)
def test_a_case_by_itself_gives_the_same_level(defect: str) -> None:
    """What else ran makes a finding no more and no less binding."""
    named = next(d for d in DEFECTS if d.id == defect)
    alone = found(named.api, defect, [named.case])
    among = found(named.api, defect, [named.case, "contract.examples", "errors.request-id"])
    assert alone
    both = alone.keys() & among.keys()
    assert both, (sorted(alone), sorted(among))
    assert {i: alone[i].level for i in both} == {i: among[i].level for i in both}
