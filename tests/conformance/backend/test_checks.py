"""Our oracles as checks of Schemathesis: they judge one answer as the suite does."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.backend import checks
from tests.scripted import document

THING = {"id": "1", "name": "x"}
LIMITS = {
    "x-ratelimit-limit": ["9"], "x-ratelimit-remaining": ["8"],
    "x-ratelimit-reset": ["1999999999"],
}  # fmt: skip
DOCUMENT = document(rateLimit={
    "basis": "documented", "source": "s", "headers": "x-ratelimit", "resetUnit": None,
})  # fmt: skip


def answered(status: int, body: Any, headers: dict[str, list[str]]) -> tuple[Any, Any]:
    """Return what Schemathesis hands to a check: its answer and its case."""
    asked = SimpleNamespace(
        method="GET", path_url="/things/1", body=None, headers={"Authorization": "Bearer k"}
    )
    response = SimpleNamespace(
        status_code=status, content=json.dumps(body).encode(), elapsed=0.01, request=asked,
        headers={"content-type": ["application/json"], **headers},
    )  # fmt: skip
    operation = SimpleNamespace(
        schema=SimpleNamespace(raw_schema=DOCUMENT), method="get", path="/things/{id}",
        label="GET /things/{id}",
    )  # fmt: skip
    return response, SimpleNamespace(operation=operation)


@pytest.mark.parametrize(
    ("check", "status", "body", "headers", "words"),
    [
        (checks.memconform_contract, 200, THING, {}, None),
        (checks.memconform_contract, 200, {"id": "1"}, {}, "CT1"),
        (checks.memconform_contract, 418, THING, {}, "CT2"),
        (checks.memconform_error, 404, {"error": {"code": "", "message": "m"}}, {}, "ER4"),
        (checks.memconform_error, 200, THING, {}, None),
        (checks.memconform_headers, 200, THING, {}, "HD6"),
        (checks.memconform_headers, 429, THING, LIMITS, "RL12"),
    ],
)
def test_a_check_says_what_the_oracle_says(
    check: Any, status: int, body: Any, headers: dict[str, list[str]], words: str | None
) -> None:
    """A broken rule fails the check with its requirement; an honest answer passes."""
    response, case = answered(status, body, headers)
    if words is None:
        assert check(None, response, case) is None
    else:
        with pytest.raises(AssertionError, match=words):
            check(None, response, case)
