"""Every sentence that promises something is traced to what tests it, or says why nothing can."""

from __future__ import annotations

import pytest

from conformance import trace as joined
from specs import check, trace

DOCUMENT = "004_02cd18ee9950a948"


def test_nothing_is_wrong_with_what_is_traced() -> None:
    """Every section is accounted for; sections, operations and requirements exist."""
    assert list(trace.faults()) == []


def test_every_promise_is_tested_or_says_why_not() -> None:
    """A promise has a case for its requirements, or a reason why none can test it."""
    assert list(trace.untested(joined.tested)) == []


def test_no_requirement_of_a_promise_lacks_a_case() -> None:
    """The table never has to say that there is no case yet."""
    assert "no case yet" not in joined.table()


def test_checked_in_table_is_current() -> None:
    """`memconform spec trace` prints what specs/traceability.md holds."""
    assert joined.table() == trace.FILE.read_text("utf-8"), (
        "run: memconform spec trace > specs/traceability.md"
    )


def test_every_document_is_traced() -> None:
    """Each known document has its promises."""
    assert set(trace.promises()) == set(check.documents())
    assert all(one.promises for one in trace.promises().values())


def test_cases_count_only_where_they_run() -> None:
    """A case that never runs on an API, or on an operation, proves nothing of it."""
    assert joined.tested("octamem", "PG1", []) == []
    assert joined.tested("sovant", "PG1", ["memory.create"]) == []
    assert joined.tested("sovant", "PG1", ["memory.list"])


WRONG: list[tuple[dict[str, object], str]] = [
    ({"requirements": ["ER999"], "behaviour": ["errors"]}, "there is no requirement ER999"),
    ({"requirements": ["ER1"], "behaviour": ["errors"], "untestable": "so"}, "needs either"),
    ({}, "needs either requirements or a reason"),
    ({"requirements": ["ER1"]}, "does not say which behaviour"),
    ({"untestable": "so", "operations": ["fly"]}, "octamem has no operation 'fly'"),
    ({"untestable": "so", "api": "claiv"}, "claiv was not written from this document"),
    ({"untestable": "so", "section": "Nowhere"}, "has no section 'Nowhere'"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[row[1] for row in WRONG])
def test_what_is_wrong_with_a_promise_is_said(changes: dict[str, object], message: str) -> None:
    """Each way of tracing a promise wrongly is told."""
    promise = trace.Promise.model_validate(
        {"section": "Configuration", "promise": "It works.", **changes}
    )
    others = trace.promises()[DOCUMENT]
    traced = trace.Traced(silent=others.silent, promises=(*others.promises, promise))
    assert any(message in fault for fault in trace.faults({DOCUMENT: traced}))


def test_cells_cannot_break_the_table() -> None:
    """A bar in a promise stays inside its cell."""
    promise = trace.Promise(section="Search", promise="a | b", untestable="c")
    one = trace.Traced(silent={}, promises=(promise,))
    assert r"a \| b" in trace.render({DOCUMENT: one}, lambda *_: ())
