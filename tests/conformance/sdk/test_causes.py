"""One cause is one finding, at one weight, whatever is selected."""

from __future__ import annotations

import pytest

from conformance.report.results import summarise
from conformance.sdk import reference
from conformance.sdk.suite import run
from specs.catalogue import requirements


@pytest.mark.parametrize(
    ("api", "defect", "cases"),
    [
        ("memsy", "headers.rate-limit-lost", ("headers.surfaced", "answers.spellings")),
        ("octamem", "error.leak-transport", ("errors.network",)),
    ],
)
def test_one_cause_is_told_once(api: str, defect: str, cases: tuple[str, ...]) -> None:
    """Cases that meet a mistake which another one tells add no finding of their own."""
    with reference(api, [defect]) as subject:
        results = run(subject, select=cases)
    made = summarise("sdk", api, "reference", results, requirements())
    assert len(made.findings) == 1, [(f.requirement, f.cause) for f in made.findings]
    [found] = made.findings
    assert found.extent.modes == ("async", "sync")
    assert set(found.operations) == set(found.extent.operations)
