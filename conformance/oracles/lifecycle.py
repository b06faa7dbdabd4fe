"""What an accepted answer says of its operation's end: Deprecation and Sunset (DP1, DP2).

Judged only where the contract declares it: older servers send `Deprecation: true`, as drafts had.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from conformance.history import Exchange
from conformance.oracles.found import found, ok
from conformance.verdict import Finding
from specs import Operation
from specs.dates import http_date

_DATE = re.compile(r"@(-?\d{1,15})(?:;.*)?\Z")
"""A Date of Structured Fields (RFC 9651 section 3.3.7), perhaps with parameters."""


def judge(operation: Operation, exchange: Exchange) -> Iterator[Finding]:
    """Yield what is wrong with the ends that one accepted answer tells, or does not."""
    declared = operation.deprecation
    if declared is None or exchange.response is None or not ok(exchange):
        return
    told = exchange.response.header("deprecation")
    match = _DATE.match(told.strip()) if told is not None else None
    if match is None:
        message = (
            "an answer of a deprecated operation has no Deprecation field" if told is None
            else "Deprecation is no date of the form @SECONDS (RFC 9745 section 2.1)"
        )  # fmt: skip
        yield found(
            "DP1", message, exchange, cause="deprecation", operation=operation,
            basis=declared.basis, expected="Deprecation: @SECONDS", actual=told,
        )  # fmt: skip
    if not declared.sunset:
        return
    ends = exchange.response.header("sunset")
    when = http_date(ends) if ends is not None else None
    early = when is not None and match is not None and when < int(match[1])
    if when is None or early:
        message = (
            "an answer's Sunset lies before its Deprecation (RFC 9745 section 4)" if early
            else "an answer of an operation that goes away has no Sunset with a date (RFC 8594)"
        )  # fmt: skip
        yield found(
            "DP2", message, exchange, cause="sunset", operation=operation, basis=declared.basis,
            expected="Sunset: a date not before Deprecation's", actual=ends,
        )  # fmt: skip
