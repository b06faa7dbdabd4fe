"""Words of `x-conformance` for what HTTP's own standards define: conditions, and ends of life.

Beside the words live the few facts that follow from them for every request. Nothing here judges.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pydantic import Field

from specs.basis import Stated

if TYPE_CHECKING:
    from specs.model import Operation

MATCH_ANY = ("if-match", "*")
"""The condition that holds for every record that is there (RFC 9110 section 13.1.1)."""


class Conditional(Stated):
    """Entity tags: a read shows one and answers 304; a write obeys `If-Match`.

    A read with this word sends an `ETag` and answers 304 to an `If-None-Match` that holds
    it. A write with this word does nothing and answers 412 if `If-Match` names no current tag.
    """

    required: bool = Field(
        default=False,
        description="write: a request without `If-Match` is answered 428 (RFC 6585 section 3)",
    )


class Deprecation(Stated):
    """The operation is on its way out, and its accepted answers say so.

    They carry `Deprecation` (RFC 9745), and `Sunset` (RFC 8594) where `sunset` is true.
    """

    sunset: bool = Field(default=False, description="the answers also say when it goes away")


def standing_headers(
    operation: Operation, given: Collection[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Return the condition that every write needs where one is required and none is `given`."""
    declared = operation.conditional
    shown = any(name.lower() == "if-match" for name, _ in given)
    if declared is None or not declared.required or shown:
        return ()
    return (MATCH_ANY,)
