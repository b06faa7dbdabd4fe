"""Servers that choose otherwise where the documents leave a choice: nobody's promise is broken."""

from __future__ import annotations

import pytest

import specs
from conformance.backend import suite
from conformance.backend.grouping import grouped
from conformance.backend.subject import BackendSubject
from conformance.report.results import FindingEntry, summarise
from conformance.verdict import Verdict
from specs.catalogue import Level, requirements
from tests.foreign import servers

MAY_MAX = 10
CHEAP = ("contract.examples", "contract.generated", "errors.", "pagination.bounds")
"""What the choices show in; the rest of the suite is run on these servers by the bench."""


def told(api: str, seed: int, select: tuple[str, ...] | None) -> list[FindingEntry]:
    """Return what a report says of the lenient server of an API."""
    with servers.lenient_for(api) as served:
        subject = BackendSubject(specs.load(api), served.url, served.keys, seed=seed)
        try:
            results = suite.run(subject, select=select)
        finally:
            subject.close()
    assert [r.reason for r in results if r.verdict is Verdict.ERROR] == []
    seen = grouped(subject.contract, subject.exchanges, results)
    return list(summarise("backend", api, "lenient", seen, requirements()).findings)


@pytest.mark.parametrize("api", ["octamem", "claiv"])
def test_an_open_choice_breaks_no_promise(api: str) -> None:
    """Null for absence, another 2xx, trimmed pages, 400 for 404: told as open, in a few lines."""
    findings = told(api, 1, CHEAP)
    assert [(f.level, f.requirement, f.cause) for f in findings if f.level is not Level.MAY] == []
    assert {"CT2", "CT4"} <= {f.requirement for f in findings}
    assert len(findings) <= MAY_MAX
