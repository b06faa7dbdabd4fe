"""What could not be judged, grouped by what it lacked: one line a cause, and what settles it.

A requirement is open where its verdict is inconclusive. Cases that name what they lack are grouped
by that, with the largest amount; the others by their reason. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from conformance.cases import CaseResult
from conformance.verdict import Verdict

SHOWN = 5
"""Reasons without a remedy that are told; all stand in results.json."""


class NeedEntry(BaseModel):
    """One cause of open requirements."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str = Field(description="what was missing, or the reason where nobody says what settles")
    give: str = Field(default="", description="the option or key that settles it")
    requirements: tuple[str, ...] = ()
    cases: int = Field(default=0, description="instances that ended so")


def of(results: Iterable[CaseResult], undecided: Collection[str]) -> tuple[NeedEntry, ...]:
    """Return the causes for which requirements are open, the largest first.

    `undecided` are the requirements whose verdict is inconclusive.
    """
    groups: dict[tuple[str, str], list[CaseResult]] = {}
    for result in results:
        if result.verdict is Verdict.INCONCLUSIVE and set(result.requirements) & set(undecided):
            need = result.need
            key = (need.what, need.give) if need is not None else (result.reason, "")
            groups.setdefault(key, []).append(result)
    made = [_entry(*key, group, undecided) for key, group in groups.items()]
    return tuple(sorted(made, key=lambda n: (not n.give, -len(n.requirements), n.what)))


def _entry(
    what: str, give: str, group: Sequence[CaseResult], undecided: Collection[str]
) -> NeedEntry:
    most = max((r.need.amount for r in group if r.need is not None), default=0.0)
    open_ = {q for r in group for q in r.requirements if q in undecided}
    return NeedEntry(
        what=what.replace("{amount}", f"{most:.0f}"),
        give=give.replace("{amount}", f"{most:.0f}"),
        requirements=tuple(sorted(open_)),
        cases=len(group),
    )


def lines(needs: Sequence[NeedEntry]) -> Iterator[str]:
    """Yield one line a cause: first those that a person can settle, then some of the others."""
    for need in needs:
        if need.give:
            verb = "needs" if len(need.requirements) == 1 else "need"
            yield f"{_count(need)} {verb} {need.what}: give {need.give}"
    rest = [need for need in needs if not need.give]
    for need in rest[:SHOWN]:
        verb = "is" if len(need.requirements) == 1 else "are"
        yield f"{_count(need)} {verb} open: {need.what}"
    if len(rest) > SHOWN:
        yield f"{len(rest) - SHOWN} more reasons for open requirements are in results.json"


def _count(need: NeedEntry) -> str:
    number = len(need.requirements)
    listed = ", ".join(need.requirements[:4]) + (", …" if number > 4 else "")
    return f"{number} requirement{'s' * (number != 1)} ({listed})"
