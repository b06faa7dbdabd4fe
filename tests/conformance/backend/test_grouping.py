"""One cause, one finding: over operations, members and variants, and what follows is hidden."""

from __future__ import annotations

import pytest

import specs
from conformance.backend import suite
from conformance.backend.grouping import general, grouped
from conformance.backend.subject import BackendSubject, SubjectError
from conformance.backend.teeth import judged
from conformance.cases import CaseResult
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.defects import Defects
from conformance.report.results import SubjectEntry, summarise
from conformance.verdict import Finding, Verdict
from specs import Basis
from specs.catalogue import requirements
from tests.foreign import servers
from tests.scripted import exchange

CLAIV = specs.load("claiv")


def entry(api: str, results: list[CaseResult]) -> SubjectEntry:
    """Return results as a report has them."""
    return summarise("backend", api, "server", results, requirements())


@pytest.mark.parametrize(
    ("defect", "told"),
    [
        ("error.request-id-missing", [("ER6", "error answers name no request id: ")]),
        ("error.html", [("CT3", "answers are of text/html, not of what is declared: ")]),
        (
            "answer.required-missing",
            [("CT1", "answers lack members that are declared as required: 11 operations")],
        ),
        ("accept.out-of-bounds", [("CT4", "accepts numbers out of bounds: ")]),
    ],
)
def test_one_mistake_is_one_finding(defect: str, told: list[tuple[str, str]]) -> None:
    """However many operations and cases show a defect, a reader sees its cause, counted."""
    named = next(d for d in DEFECTS if d.id == defect)
    with judged(named.api, defects=Defects.of([defect])) as subject:
        results = suite.run(subject, select=[named.case])
        made = entry(named.api, grouped(subject.contract, subject.exchanges, results))
    found = [(f.requirement, f.message) for f in made.findings]
    assert len(found) == len(told), found
    for (requirement, message), (wanted, start) in zip(found, told, strict=True):
        assert requirement == wanted
        assert message.startswith(start)
    for finding in made.findings:
        assert len(finding.extent.conditions) > 1
        assert finding.evidence


@pytest.mark.parametrize(
    ("cause", "operation", "made", "place"),
    [
        ("accepted null ingest body.thread_id", "ingest", "accepted null", "ingest body.thread_id"),
        ("accepted below-minimum recall body.token_budget", "recall", "accepted bound",
         "recall body.token_budget"),
        ("accepted bound recall body.token_budget", "recall", "accepted bound",
         "recall body.token_budget"),
        ("schema ingest 400 /error lacks request_id required", "ingest",
         "schema required error answers", "ingest 400 /error lacks request_id"),
        ("request-id-missing-404", "recall", "request-id-missing", "recall 404"),
        ("created-unreadable ingest", "ingest", "created-unreadable", "ingest"),
        ("gap", "receipts.list", "gap", "receipts.list"),
    ],
)  # fmt: skip
def test_the_place_moves_out_of_the_cause(
    cause: str, operation: str, made: str, place: str
) -> None:
    """Operation, member and status are conditions of a finding; its cause is the mistake."""
    finding = general(
        Finding("CT4", "m", operation=operation, cause=cause, basis=Basis.ASSUMED), CLAIV
    )
    assert (finding.cause, finding.conditions) == (made, (place,))


def test_an_operation_that_is_not_served_is_one_finding() -> None:
    """Where a path answers nothing but 404, that is told once, and its cases say nothing else."""
    refused = Finding(
        "CT5", "a valid call is refused with 404", operation="recall", actual=404,
        cause="valid-refused recall 404", case="contract.examples",
    )  # fmt: skip
    other = Finding("ER5", "m", operation="recall", cause="status invalid recall 404")
    results = [
        CaseResult("contract.examples", ("CT5",), Verdict.FAIL, operation="recall",
                   findings=(refused,)),
        CaseResult("errors.invalid", ("ER5",), Verdict.FAIL, operation="recall", findings=(other,)),
        CaseResult("errors.invalid", ("ER5",), Verdict.PASS, operation="ingest"),
    ]  # fmt: skip
    seen = [exchange(status=404, operation="recall"), exchange(status=200, operation="ingest")]
    made = grouped(CLAIV, seen, results)
    assert [r.verdict for r in made] == [Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS]
    [told] = [f for r in made for f in r.findings]
    assert told.message == (
        "operation `recall` is not served at its path: every request was answered 404; its 1 "
        "other cases were not judged"
    )
    assert told.basis is Basis.OBSERVED


def test_a_wrong_path_accuses_nobody() -> None:
    """Where every request is answered 404 the path is asked for, and no promise is judged."""
    with servers.plain() as served:
        subject = BackendSubject(CLAIV, f"{served.url}/nosuch", served.keys)
        with pytest.raises(SubjectError, match="is the path missing from --base-url"):
            suite.run(subject)
        subject.close()
