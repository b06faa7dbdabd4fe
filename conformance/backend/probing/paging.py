"""How a list is really walked: its page size, its bounds and its second page, by reads alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from conformance.backend.listing import walk
from conformance.oracles.found import ok
from conformance.verdict import Inconclusive, NotApplicable
from specs import Basis, Operation

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject
    from specs.draft import Guess


def look_at_paging(
    subject: BackendSubject, lister: Operation, given: Mapping[str, Any], guess: Guess, there: int
) -> None:
    """Ask for pages of one record, and for more than a page may hold; mend the guess.

    `there` is how many records the list shows at least.
    """
    promise = lister.pagination
    assert promise is not None
    try:
        seen = walk(subject, lister, given, 1 if promise.limit else None, most=2)
    except (Inconclusive, NotApplicable):
        return
    first = seen.pages[0] if seen.pages else None
    if first is None:
        return
    if promise.limit and len(first.items) > 1:
        guess.why += f"; `{promise.limit}` of 1 was answered with {len(first.items)}"
        guess.value.pop("limit", None)
        guess.value.pop("defaultLimit", None)
        guess.value.pop("maxLimit", None)
        guess.value.pop("overMax", None)
        return
    distinct = len(set(seen.keys)) == len(seen.keys)
    if there < 2 or (len(seen.pages) == 2 and distinct):
        pages = f"{len(seen.pages)} page{'s' * (len(seen.pages) != 1)}"
        guess.basis, guess.seen = Basis.OBSERVED, f"walked {pages} of one record"
    if promise.max_limit and promise.limit:
        over = subject.send(lister, {**given, promise.limit: promise.max_limit + 1})
        status = over.status or 0
        if ok(over) or 400 <= status < 500:
            guess.value["overMax"] = "clamp" if ok(over) else "error"
            guess.why += f"; more than {promise.max_limit} was answered {status}"
