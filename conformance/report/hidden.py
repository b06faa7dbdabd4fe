"""What hides what: a finding that keeps another from showing, so that its absence proves nothing.

A connection error that comes out as the HTTP library's own is told as that (ER9); whether it would
have been the documented class (ER15) is not seen. A call that is not sent again shows nothing of
how it would have waited, or what it would have raised in the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LEAKED = frozenset({"ER14", "ER15"})
"""What an SDK's own exception for a broken connection is held to."""


def by_leak(requirement: str, told: Iterable[tuple[str, str]]) -> bool:
    """True where findings, as (requirement, cause), leave open whether a requirement was kept."""
    return requirement in _LEAKED and ("ER9", "leak:transport") in told


def by_giving_up(fault: str, timeline: Iterable[str], causes: Iterable[str]) -> bool:
    """True where what shows only in a second attempt cannot show in a subject that makes none.

    `fault` and `timeline` are those of a finding, `causes` the other subject's. Statuses are
    compared, so that one that is not retried hides nothing of another that is.
    """
    if not any(" #2 →" in line for line in timeline):
        return False
    statuses = re.findall(r"\b[1-5]\d\d\b", fault.partition("body=")[0])
    given_up = {c.partition(":")[2] for c in causes if c.startswith("not-retried:")}
    return any(s in given_up or f"{s[0]}XX" in given_up for s in statuses)
