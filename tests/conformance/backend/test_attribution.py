"""A case that looks back at state blames only what was refused, never what was let through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import specs
from conformance.backend import suite
from conformance.backend.subject import BackendSubject
from conformance.backend.using import contradictory
from conformance.verdict import Verdict
from tests.foreign import servers
from tests.foreign.lenient_sovant import Body, Refused, Sovant, sovant


class TakesAll(Sovant):
    """Takes whatever a change or a creation holds, also what is wrong."""

    def update(self, me: Any, request: Any, sent: Any) -> Body:
        """Change what is named, to whatever is given."""
        record: Body = super().update(me, request, {})
        record |= {"tags": [*record["tags"], "taken"]}
        return record

    def create(self, me: Any, request: Any, sent: Any) -> Body:
        """Keep whatever is given, beside what is right."""
        try:
            return super().create(me, request, sent)
        except Refused:
            return super().create(me, request, {"content": "whatever"})


class RefusesTooLate(Sovant):
    """Does what it is asked for, then refuses it."""

    def update(self, me: Any, request: Any, sent: Any) -> Body:
        """Change the record before the request is looked at."""
        record: Body = super().update(me, request, {})
        record |= {"tags": [*record["tags"], "late"]}
        return super().update(me, request, sent)

    def create(self, me: Any, request: Any, sent: Any) -> Body:
        """Keep a memory before the request is looked at."""
        super().create(me, request, {"content": "too early"})
        return super().create(me, request, sent)


@pytest.mark.parametrize("case", ["errors.no-change", "errors.nothing-created"])
@pytest.mark.parametrize(("by", "blamed"), [(TakesAll, False), (RefusesTooLate, True)])
def test_a_refused_request_is_blamed_for_its_own_effect_alone(
    case: str, by: type[Sovant], blamed: bool
) -> None:
    """Wrong requests that were accepted explain a difference; a refused one has to make its own."""
    with servers.asgi(sovant(servers.KEYS, by)) as served:
        subject = BackendSubject(specs.load("sovant"), served.url, served.keys, seed=2)
        try:
            results = suite.run(subject, select=[case])
        finally:
            subject.close()
    assert [r.reason for r in results if r.verdict is Verdict.ERROR] == []
    findings = [f for r in results for f in r.findings if f.requirement == "ER8"]
    assert any((f.operation or "").startswith("memory.") for f in findings) is blamed, findings


@pytest.mark.parametrize(
    ("arguments", "nothing"),
    [
        ({"from_time": "2025-06-01T00:00:00Z", "to_time": "2025-01-01T00:00:00Z"}, True),
        ({"from_time": "2025-01-01T00:00:00Z", "to_time": "2025-06-01T00:00:00Z"}, False),
        ({"from_time": "2025-01-01T03:00:00+05:00", "to_time": "2024-12-31T23:00:00Z"}, False),
        ({"from_date": "2024-12-31", "to_date": "2024-01-01"}, True),
        ({"period_start": "2025-02-01", "period_end": "2025-01-01"}, True),
        ({"from_time": "2016-12-31T23:59:60Z", "to_time": "2016-12-31T10:00:00Z"}, True),
        ({"min_score": 0.9, "max_score": 0.1}, True),
        ({"min_score": 0.1, "max_score": 0.9}, False),
        ({"from_time": "2025-06-01T00:00:00Z"}, False),
    ],
)
def test_two_valid_values_may_leave_nothing(arguments: Mapping[str, Any], nothing: bool) -> None:
    """An end before its start is valid by each member, and no promise of acceptance covers it."""
    assert contradictory(arguments) is nothing
