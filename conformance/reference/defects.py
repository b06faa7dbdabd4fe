"""Defects: named ways of being wrong, and which case must notice each.

A reference (backend, SDK, load target) reads like the specification. Where something can go wrong
it has a *seam*: a value passes through `turned` with a table of defects, and the one that is
switched on changes it. A change counts as exercising: a defect whose place was never reached, or
that found nothing to change, is *invalid*, not survived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Defect:
    """One seeded defect."""

    id: str
    """`group.what-is-wrong`, stable for ever."""
    suite: str
    """backend, sdk or load: which suite must notice."""
    api: str
    """The contract that it is shown on."""
    requirement: str
    """The requirement that it breaks."""
    case: str
    """The case that must kill it."""
    summary: str
    """One sentence: what the reference does wrong."""


@dataclass
class Defects:
    """The defects that are switched on in one reference, and which of them were reached."""

    active: frozenset[str] = frozenset()
    exercised: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, ids: Iterable[str]) -> Defects:
        """Return a set of switched-on defects."""
        return cls(frozenset(ids))

    def __contains__(self, defect: object) -> bool:
        if defect in self.active:
            self.exercised.add(str(defect))
            return True
        return False


Turn = Callable[..., Any]
"""(value, what else the seam knows…) -> the value as one defect makes it; the same: no change."""


def turned(defects: Defects, seam: Mapping[str, Turn], value: T, *known: Any) -> T:
    """Return what the switched-on defects of one seam make of a value; without any, the value."""
    if defects.active:
        for name in defects.active & seam.keys():
            made: T = seam[name](value, *known)
            if made != value:
                defects.exercised.add(name)
                value = made
    return value
