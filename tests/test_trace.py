"""The trace from documents to cases: current, and without a promise that nothing tests."""

from __future__ import annotations

from conformance import trace as joined
from specs import trace


def test_every_promise_is_tested_or_says_why_not() -> None:
    """A promise has a case for its requirements, or a reason why none can test it."""
    assert [] == list(trace.untested(joined.tested))


def test_checked_in_table_is_current() -> None:
    """`memconform spec trace` prints what specs/traceability.md holds."""
    assert joined.table() == trace.FILE.read_text("utf-8")
