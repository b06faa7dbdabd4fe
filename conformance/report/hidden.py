"""What hides what: a finding that keeps another from showing, so that its absence proves nothing.

A connection error that comes out as the HTTP library's own is told as that (ER9); whether it would
have been the documented class (ER15) is not seen. A call that is not sent again shows nothing of
how it would have waited, or what it would have raised in the end. Decided from claims and from what
the attempts met, never from words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conformance.claims import Base, Leaked, NotRetried

_LEAKED = frozenset({"ER14", "ER15"})
"""What an SDK's own exception for a broken connection is held to."""


def by_leak(requirement: str, told: Iterable[Base | None]) -> bool:
    """True where claims leave open whether a requirement was kept."""
    return requirement in _LEAKED and any(
        isinstance(claim, Leaked) and claim.family == "transport" for claim in told
    )


def by_giving_up(answers: Sequence[str], told: Iterable[Base | None]) -> bool:
    """True where what shows only in a second attempt cannot show in a subject that makes none.

    `answers` are what the attempts of a finding's call met, `told` the other subject's claims. The
    first answers are compared, so that one that is not retried hides nothing of another that is.
    """
    given_up = {claim.pattern for claim in told if isinstance(claim, NotRetried)}
    return len(answers) > 1 and any(
        a in given_up or (a.isdigit() and f"{a[0]}XX" in given_up) for a in answers[:-1]
    )
