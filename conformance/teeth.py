"""`memconform teeth`: the kill matrix, proof that the suites can fail.

Each suite brings its defects, a way to judge one, and its perfect references; this module runs
them (each in a process of its own), and decides: a defect is *killed* only by the case that it
names, *invalid* where its place was never reached, else it *survived*.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from os import cpu_count
from typing import Any, Literal, Protocol

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conformance.reference.defects import Defect
from conformance.report.exit import Exit

SUITES = ("backend", "sdk", "load")


@dataclass(frozen=True)
class Kill:
    """What became of one defect."""

    defect: Defect
    killed_by: tuple[str, ...] = ()
    """Ids of the cases that failed."""
    exercised: bool = True
    """False where the defect's place was never reached."""
    detail: str = ""

    @property
    def verdict(self) -> Literal["killed", "survived", "invalid"]:
        """Killed by the case it names, invalid where never reached, else survived."""
        if self.defect.case in self.killed_by:
            return "killed"
        return "survived" if self.exercised else "invalid"


@dataclass(frozen=True)
class Reference:
    """A perfect reference under its suite."""

    suite: str
    api: str
    clean: bool
    detail: str = ""


@dataclass(frozen=True)
class Bite:
    """A whole kill matrix."""

    kills: tuple[Kill, ...]
    references: tuple[Reference, ...]

    @property
    def good(self) -> bool:
        """True where every defect was killed and every reference is clean."""
        return all(k.verdict == "killed" for k in self.kills) and all(
            r.clean for r in self.references
        )


class Material(Protocol):
    """What a suite's `teeth` module offers."""

    DEFECTS: Sequence[Defect]

    def kill(self, defect: Defect) -> Kill:
        """Judge a reference with one defect."""

    def references(self, seed: int) -> Iterable[tuple[str, bool, str]]:
        """Judge the perfect references; yield (api, clean, what was found)."""


def material(suite: str) -> Material:
    """Return a suite's defects and references."""
    if suite == "load":
        found = next(iter(entry_points(group="memconform.suites", name="load")))
        module: Any = import_module(found.value + ".teeth")
    else:
        module = import_module(f"conformance.{suite}.teeth")
    made: Material = module
    return made


def _kill(suite: str, identity: str) -> Kill:
    made = material(suite)
    defect = next(d for d in made.DEFECTS if d.id == identity)
    try:
        return made.kill(defect)
    except Exception as error:
        return Kill(
            defect, exercised=False, detail=f"error of ours: {type(error).__name__}: {error}"
        )


def _references(suite: str, seed: int) -> list[Reference]:
    return [Reference(suite, api, clean, detail)
            for api, clean, detail in material(suite).references(seed)]  # fmt: skip


def bite(
    suites: Sequence[str],
    only: Sequence[str] = (),
    *,
    seed: int = 0,
    jobs: int | None = None,
    console: Console | None = None,
) -> Bite:
    """Run the defects (those whose id starts with one of `only`, or all) and the references."""
    kills: list[Kill] = []
    references: list[Reference] = []
    for suite in suites:
        chosen = [
            d.id
            for d in material(suite).DEFECTS
            if not only or any(d.id.startswith(start) for start in only)
        ]
        # Load figures mean nothing when two generators share the cores.
        at_once = 1 if suite == "load" else jobs or cpu_count() or 1
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(at_once, mp_context=context) as pool:
            pending: list[Future[Any]] = [pool.submit(_kill, suite, i) for i in chosen]
            perfect = None if only else pool.submit(_references, suite, seed)
            for number, future in enumerate(as_completed(pending), 1):
                _say(console, suite, number, len(chosen), future.result())
            kills += [future.result() for future in pending]
            if perfect is not None:
                references += perfect.result()
    return Bite(tuple(kills), tuple(references))


def _say(console: Console | None, suite: str, number: int, of: int, kill: Kill) -> None:
    if console is None or (kill.verdict == "killed" and number % 10 and number != of):
        return
    console.print(f"{suite} {number}/{of}: {kill.defect.id} {kill.verdict}", markup=False)


def dump(made: Bite) -> str:
    """Return the matrix as JSON."""
    return (
        json.dumps(
            {
                "defects": [
                    {
                        "id": k.defect.id,
                        "suite": k.defect.suite,
                        "api": k.defect.api,
                        "requirement": k.defect.requirement,
                        "expected_case": k.defect.case,
                        "killed_by": list(k.killed_by),
                        "verdict": k.verdict,
                    }
                    for k in made.kills
                ],
                "references": [
                    {"suite": r.suite, "api": r.api, "clean": r.clean} for r in made.references
                ],
            },
            indent=1,
        )
        + "\n"
    )


def show(console: Console, made: Bite) -> int:
    """Print the matrix and return the exit code."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("suite", "defect", "api", "requirement", "killed by", "verdict"):
        table.add_column(column, overflow="fold")
    styles = {"killed": "green", "survived": "red", "invalid": "yellow"}
    for kill in made.kills:
        others = len(set(kill.killed_by) - {kill.defect.case})
        by = kill.defect.case if kill.verdict == "killed" else "–"
        style = styles[kill.verdict]
        table.add_row(
            kill.defect.suite,
            kill.defect.id,
            kill.defect.api,
            kill.defect.requirement,
            escape(by + (f" and {others} more" if others else "")),
            f"[{style}]{kill.verdict}[/{style}]",
        )
    console.print(table)
    for kill in made.kills:
        if kill.verdict != "killed":
            seen = ", ".join(kill.killed_by) or "no case"
            console.print(
                f"{kill.verdict}: {kill.defect.id} ({kill.defect.summary}) should die by "
                f"{kill.defect.case}; failed: {seen}. {kill.detail}",
                markup=False,
            )
    for reference in made.references:
        if not reference.clean:
            console.print(
                f"not clean: {reference.suite} {reference.api}: {reference.detail}", markup=False
            )
    return _last_line(console, made)


def _last_line(console: Console, made: Bite) -> int:
    killed = sum(k.verdict == "killed" for k in made.kills)
    clean = sum(r.clean for r in made.references)
    console.print(
        f"{killed} of {len(made.kills)} defects killed by the case they name, "
        f"{clean} of {len(made.references)} perfect references clean"
    )
    if not made.kills:
        return int(Exit.TOO_LITTLE_EVIDENCE)
    return int(Exit.CONFORMS if made.good else Exit.DEVIATES)
