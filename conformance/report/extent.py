"""How far a finding reaches: what a baseline remembers of it beside its id.

A finding keeps its id while it spreads, so an id alone cannot tell that it got worse. The extent
lists where it shows; `wider` says what one extent has beyond another. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from conformance.verdict import Finding


class Extent(BaseModel):
    """Where a finding shows. Each field is sorted; an empty one says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    apis: tuple[str, ...] = Field(default=(), description="contracts of the package")
    operations: tuple[str, ...] = ()
    modes: tuple[str, ...] = Field(default=(), description="`sync`, `async`")
    conditions: tuple[str, ...] = Field(
        default=(), description="what provokes it: `status 400 with an empty array`"
    )
    exceptions: tuple[str, ...] = Field(default=(), description="classes that came out")

    def __bool__(self) -> bool:
        """True where anything is listed."""
        return any(getattr(self, name) for name in FIELDS)

    @property
    def spreads(self) -> bool:
        """True where it lists a place: of a difference, that the finding fails a gate.

        A new condition or exception in a known place is told, and fails nothing: which odd
        bodies are tried may grow with every release of memconform.
        """
        return bool(self.apis or self.operations or self.modes)


FIELDS = tuple(Extent.model_fields)


def of(findings: Iterable[Finding], api: str) -> Extent:
    """Return the extent of findings with one cause; `api` is that of those that name none.

    What a random search alone has tried says nothing of how far a finding reaches: it differs
    from seed to seed. It counts only where nothing else showed the finding.
    """
    every = list(findings)
    told = [f for f in every if not f.search] or every
    return Extent(
        apis=_sorted(f.api or api for f in told),
        operations=_sorted(f.operation for f in told),
        modes=_sorted(f.mode for f in told),
        conditions=_sorted(c for f in told for c in f.conditions),
        exceptions=_sorted(e for f in told for e in f.exceptions),
    )


def _sorted(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))


def wider(old: Extent, new: Extent) -> Extent:
    """Return what `new` has beyond `old`; empty where it reaches no further.

    A field that `old` leaves empty was not remembered, so nothing is beyond it.
    """
    beyond: dict[str, tuple[str, ...]] = {
        name: tuple(v for v in getattr(new, name) if v not in getattr(old, name))
        for name in FIELDS
        if getattr(old, name)
    }
    return Extent(**beyond)


def words(beyond: Extent) -> str:
    """Return a difference in words, `on search; in async`; '' where there is none."""
    heads = {
        "apis": "in the API", "operations": "on", "modes": "in", "conditions": "for",
        "exceptions": "with",
    }  # fmt: skip
    parts = [f"{heads[n]} {', '.join(getattr(beyond, n))}" for n in FIELDS if getattr(beyond, n)]
    return "; ".join(parts)


def union(extents: Iterable[Extent]) -> Extent:
    """Return what several extents list together: a finding may reach further in one release."""
    every = list(extents)
    listed: dict[str, tuple[str, ...]] = {
        name: _sorted(v for each in every for v in getattr(each, name)) for name in FIELDS
    }
    return Extent(**listed)
