"""Teeth of the SDK suite: its defects, how one is judged, and its perfect references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import specs
from conformance.cases import Case, CaseResult
from conformance.contained import folder as temporary_folder
from conformance.reference.defects import Defect
from conformance.reference.sdk.defects import DEFECTS
from conformance.reference.sdk.demo import names, source
from conformance.sdk.judging import leaders
from conformance.sdk.suite import cases, reference, run
from conformance.teeth import Kill
from conformance.verdict import Verdict
from specs import Contract, Operation

__all__ = ["DEFECTS", "kill", "kill_together", "references"]

SLOW = frozenset({"errors.timeouts", "retry.timeouts", "answers.huge", "robust.slow-body"})
"""Cases that wait for real time or move megabytes: run for the defects that name them."""


def kill(defect: Defect) -> Kill:
    """Judge the reference SDK with one defect by the cases of the module that must notice it."""
    return kill_together([defect])[0]


def kill_together(defects: Sequence[Defect]) -> list[Kill]:
    """Judge the reference SDK with several defects of one API at once; return what became of each.

    A defect counts as killed by the failed cases that report its requirement, so that one defect
    cannot be taken for the other.
    """
    named = {d.case for d in defects}
    wanted = sorted({case for d in defects for case in _module(d.case)} - (SLOW - named))
    with temporary_folder("teeth") as folder:
        reached = Path(folder) / "exercised"
        with reference(
            source(defects[0].api), [d.id for d in defects], exercised=str(reached)
        ) as subject:
            results = run(subject, select=wanted, operations=partial(_operations, named))
        exercised = set(reached.read_text().split()) if reached.exists() else set()
    return [_kill(d, results, d.id in exercised) for d in defects]


def _operations(named: set[str], case: Case, contract: Contract) -> Sequence[Operation]:
    """Return one operation of each kind for a case that is named, two for any other."""
    every = list(case.each(contract)) if case.each is not None else []
    kinds = [o for o in leaders(contract) if o in every] or every[:1]
    return kinds if case.id in named else kinds[:2]


def _kill(defect: Defect, results: Sequence[CaseResult], exercised: bool) -> Kill:
    killed = dict.fromkeys(
        r.case for r in results if any(f.requirement == defect.requirement for f in r.findings)
    )
    broken = [f"{r.name}: {r.reason}" for r in results if r.verdict is Verdict.ERROR]
    return Kill(
        defect, killed_by=tuple(killed), exercised=exercised,
        detail=f"errors of ours: {'; '.join(broken[:3])}" if broken else "",
    )  # fmt: skip


def _module(case: str) -> list[str]:
    """Return the ids of all cases that stand in the same module as one."""
    known = {c.id: c.function.__module__ for c in cases()}
    return [identity for identity, module in known.items() if module == known[case]]


def references(seed: int) -> Iterator[tuple[str, bool, str]]:
    """Judge the perfect reference SDK of every contract, shipped or ours; yield the same."""
    for api in (*specs.names(), *names()):
        with reference(source(api)) as subject:
            results = run(subject, seed=seed)
        bad = [r for r in results if r.verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE)]
        said = [
            f"{r.name}: {r.reason or ', '.join(sorted({f.cause for f in r.findings}))}" for r in bad
        ]
        yield api, not bad, "; ".join(said[:5])
