"""What a run could not judge for want of words: operations that only their shapes describe.

Lines for a person, beside the verdicts; they say what to type next. Nothing here judges.
"""

from __future__ import annotations

from collections.abc import Iterator

from specs import Contract
from specs.reading import split

NAMED_MAX = 5
"""Operations left out that are named; the others are counted."""


def withheld(contract: Contract) -> Iterator[str]:
    """Yield which operations had better not be called, in one line."""
    found = [f"{each.verb} {each.path}" for each in contract.left_out if each.withheld]
    if found:
        more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
        yield (
            f"not called, for their names say that they may reach beyond what a run creates: "
            f"{', '.join(found[:NAMED_MAX])}{more}; an `x-conformance` of its own has one judged"
        )


def unjudged(contract: Contract) -> Iterator[str]:
    """Yield what was not judged and why, and what would change that."""
    left = [each for each in contract.left_out if not each.withheld]
    yield from withheld(contract)
    for each in left[:NAMED_MAX]:
        yield f"left out: {each}"
    if len(left) > NAMED_MAX:
        yield f"left out: {len(left) - NAMED_MAX} more operations, which `spec check` names"
    if contract.mended:
        yield (
            f"{len(contract.mended)} words of its schemas are no JSON Schema and were passed over; "
            "`spec check` names them"
        )
    for idle in contract.idle:
        yield f"overlay: {idle}"
    plain = [operation for operation in contract if operation.bare]
    if plain:
        source, overlays = split(contract.source)
        to = " --to overlay.yaml" if not overlays else ""
        yield (
            f"{len(plain)} of {len(contract.operations)} operations were judged by their shapes "
            "alone: nobody says what they do, so state, pages and isolation were not judged. "
            f"Next: memconform spec draft {source}{to}"
        )
