"""Defects: named ways of being wrong, and which case must notice each.

A reference (backend, SDK, load target) consults `Defects` at the one place where the defect
lives: `if "rate.no-retry-after" in defects`. Consulting counts as exercising: a defect whose
place was never reached is *invalid*, not survived.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


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
