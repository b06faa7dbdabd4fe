"""`memconform teeth`: the kill matrix, proof that the suites can fail.

Each suite brings its defects, a way to judge one, and its perfect references; this module runs
them (each in a process of its own), and decides: a defect is *killed* only by the case that it
names, *invalid* where its place was never reached, else it *survived*. Of two defects at once each
must be killed as if it were alone; one whose place the other keeps from being reached is *hidden*.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol, TypeVar

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from conformance.reference.defects import Defect
from conformance.report.exit import Exit

SUITES = ("backend", "sdk", "load")
T = TypeVar("T")


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
    seed: int = 0


@dataclass(frozen=True)
class Pair:
    """What became of two defects that were there at once."""

    kills: tuple[Kill, ...]

    @property
    def verdict(self) -> Literal["both", "hidden", "survived"]:
        """Both killed; or one hidden by the other, which was killed; or one survived."""
        found = {k.verdict for k in self.kills}
        if found == {"killed"}:
            return "both"
        return "hidden" if found == {"killed", "invalid"} else "survived"


@dataclass(frozen=True)
class Bite:
    """A whole kill matrix."""

    kills: tuple[Kill, ...]
    references: tuple[Reference, ...]
    pairs: tuple[Pair, ...] = ()

    @property
    def good(self) -> bool:
        """True where every defect was killed, alone and in pairs, and every reference is clean."""
        return (
            all(k.verdict == "killed" for k in self.kills)
            and all(p.verdict != "survived" for p in self.pairs)
            and all(r.clean for r in self.references)
        )


class Material(Protocol):
    """What a suite's `teeth` module offers."""

    DEFECTS: Sequence[Defect]

    def kill(self, defect: Defect) -> Kill:
        """Judge a reference with one defect."""

    def references(self, seed: int) -> Iterable[tuple[str, bool, str]]:
        """Judge the perfect references; yield (api, clean, what was found)."""


class Together(Protocol):
    """What a suite's `teeth` module offers besides where it can judge defects in pairs."""

    def kill_together(self, defects: Sequence[Defect]) -> Sequence[Kill]:
        """Judge a reference with several defects of one API; return what became of each."""


def material(suite: str) -> Material:
    """Return a suite's defects and references."""
    if suite == "load":
        found = next(iter(entry_points(group="memconform.suites", name="load")))
        module: Any = import_module(found.value + ".teeth")
    else:
        module = import_module(f"conformance.{suite}.teeth")
    made: Material = module
    return made


def judges_pairs(suite: str) -> bool:
    """True where a suite can judge two defects at once."""
    return hasattr(material(suite), "kill_together")


def pairs_of(defects: Sequence[Defect], seed: int) -> list[tuple[Defect, Defect]]:
    """Return pairs of one API, each defect in at least one; which meet hangs on the seed.

    Two of one group (`retry.…`) or with one requirement are no pair: they break one thing twice.
    A defect that has no partner is in none.
    """
    found: list[tuple[Defect, Defect]] = []
    met: set[str] = set()
    for api in dict.fromkeys(d.api for d in defects):
        mine = [d for d in defects if d.api == api]
        random.Random(f"{seed} {api}").shuffle(mine)
        for one in mine:
            others = [o for o in mine if _apart(one, o)]
            fresh = [o for o in others if o.id not in met]
            if one.id not in met and others:
                found.append((one, (fresh or others)[0]))
                met |= {one.id, found[-1][1].id}
    return found


def _apart(one: Defect, other: Defect) -> bool:
    return (
        one.id.split(".")[0] != other.id.split(".")[0]
        and one.requirement != other.requirement
        and one.case != other.case
    )


def _named(suite: str, identity: str) -> Defect:
    return next(d for d in material(suite).DEFECTS if d.id == identity)


def _kill(suite: str, identity: str) -> Kill:
    made, defect = material(suite), _named(suite, identity)
    try:
        return made.kill(defect)
    except Exception as error:
        return _broken(defect, error)


def _pair(suite: str, identities: Sequence[str]) -> Pair:
    made: Any = material(suite)
    together: Together = made
    defects = [_named(suite, identity) for identity in identities]
    try:
        return Pair(tuple(together.kill_together(defects)))
    except Exception as error:
        return Pair(tuple(_broken(d, error) for d in defects))


def _broken(defect: Defect, error: Exception) -> Kill:
    return Kill(defect, exercised=False, detail=f"error of ours: {type(error).__name__}: {error}")


def _references(suite: str, seed: int) -> list[Reference]:
    return [Reference(suite, api, clean, detail, seed)
            for api, clean, detail in material(suite).references(seed)]  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What is run: `only` defects whose id starts so (all), and what besides or instead."""

    only: Sequence[str] = ()
    seed: int = 0
    seeds: int = 1
    """On how many seeds, from `seed` on, the perfect references are judged."""
    references_only: bool = False
    pairs: bool = False
    """Defects two at once, in place of one by one and of the references."""

    def defects(self, suite: str) -> list[Defect]:
        """Return the defects of a suite that are run."""
        if self.references_only:
            return []
        every = material(suite).DEFECTS
        return [d for d in every if not self.only or d.id.startswith(tuple(self.only))]

    @property
    def reference_seeds(self) -> range:
        """The seeds that the perfect references are judged on."""
        wanted = self.references_only or not (self.only or self.pairs)
        return range(self.seed, self.seed + self.seeds if wanted else self.seed)


def bite(
    suites: Sequence[str],
    plan: Plan = Plan(),
    *,
    jobs: int | None = None,
    console: Console | None = None,
) -> Bite:
    """Run the defects, or pairs of them, and the references that a plan asks for."""
    kills: list[Kill] = []
    pairs: list[Pair] = []
    references: list[Reference] = []
    for suite in suites:
        # Load figures mean nothing when two generators share the cores.
        at_once = 1 if suite == "load" else jobs or os.cpu_count() or 1
        chosen = plan.defects(suite)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(at_once, mp_context=context, initializer=_end_with_parent)
        with pool, _ended_together(pool):
            if plan.pairs:
                two = [(a.id, b.id) for a, b in pairs_of(chosen, plan.seed)]
                pairs += _all([pool.submit(_pair, suite, p) for p in two], _saying(console, suite))
            else:
                alone = [pool.submit(_kill, suite, d.id) for d in chosen]
                perfect = [pool.submit(_references, suite, s) for s in plan.reference_seeds]
                kills += _all(alone, _saying(console, suite))
                for made in _all(perfect, _saying(console, suite)):
                    references += made
    return Bite(tuple(kills), tuple(references), tuple(pairs))


def _end_with_parent() -> None:
    """In a worker: end as soon as its parent does, of whatever; what it started then ends too."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(int(Exit.ERROR))

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _ended_together(pool: ProcessPoolExecutor) -> Iterator[None]:
    """End the workers at once where the work is interrupted; what they serve ends with them."""
    try:
        yield
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise


def _all(pending: Sequence[Future[T]], say: Callable[[int, int, T], None]) -> list[T]:
    """Wait for what is under way, saying how far it is; return it in the order of its start."""
    for number, future in enumerate(as_completed(pending), 1):
        say(number, len(pending), future.result())
    return [future.result() for future in pending]


def _saying(console: Console | None, suite: str) -> Callable[[int, int, Any], None]:
    """Return what tells of each seed's references, of every tenth defect, and of what is odd."""

    def say(number: int, of: int, made: Kill | Pair | Sequence[Reference]) -> None:
        if isinstance(made, Kill):
            text, usual = f"{made.defect.id} {made.verdict}", made.verdict == "killed"
        elif isinstance(made, Pair):
            text, usual = f"{_both(made)} {made.verdict}", made.verdict == "both"
        else:
            dirty = [f"{r.api} ({r.detail})" for r in made if not r.clean]
            text, usual = f"references, seed {made[0].seed if made else '?'}", False
            text += f": not clean: {', '.join(dirty)}" if dirty else f": all {len(made)} clean"
        if console is not None and (not usual or number % 10 == 0 or number == of):
            console.print(f"{suite} {number}/{of}: {text}", markup=False)

    return say


def _both(pair: Pair) -> str:
    return " + ".join(k.defect.id for k in pair.kills)


def dump(made: Bite) -> str:
    """Return the matrix as JSON: `{"defects": […], "references": […], "pairs": […]}`."""
    told = {
        "defects": [_defect_entry(k) for k in made.kills],
        "references": [
            {"suite": r.suite, "api": r.api, "clean": r.clean, "seed": r.seed}
            for r in made.references
        ],
        "pairs": [
            {"verdict": p.verdict, "defects": [_defect_entry(k) for k in p.kills]}
            for p in made.pairs
        ],
    }
    return json.dumps(told, indent=1) + "\n"


def _defect_entry(kill: Kill) -> dict[str, Any]:
    return {
        "id": kill.defect.id,
        "suite": kill.defect.suite,
        "api": kill.defect.api,
        "requirement": kill.defect.requirement,
        "expected_case": kill.defect.case,
        "killed_by": list(kill.killed_by),
        "verdict": kill.verdict,
    }


def show(console: Console, made: Bite) -> int:
    """Print the matrix and return the exit code."""
    if made.kills:
        console.print(_matrix(made.kills))
    for pair in made.pairs:
        if pair.verdict != "both":
            console.print(f"{pair.verdict}: {_both(pair)}", markup=False)
    for kill in (*made.kills, *(k for p in made.pairs if p.verdict != "both" for k in p.kills)):
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
                f"not clean: {reference.suite} {reference.api}, seed {reference.seed}: "
                f"{reference.detail}",
                markup=False,
            )
    return _last_line(console, made)


def _matrix(kills: Sequence[Kill]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("suite", "defect", "api", "requirement", "killed by", "verdict"):
        table.add_column(column, overflow="fold")
    styles = {"killed": "green", "survived": "red", "invalid": "yellow"}
    for kill in kills:
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
    return table


def _last_line(console: Console, made: Bite) -> int:
    killed = sum(k.verdict == "killed" for k in made.kills)
    both = sum(p.verdict == "both" for p in made.pairs)
    hidden = sum(p.verdict == "hidden" for p in made.pairs)
    clean = sum(r.clean for r in made.references)
    said = []
    if made.kills:
        said.append(f"{killed} of {len(made.kills)} defects killed by the case they name")
    if made.pairs:
        said.append(f"{both} of {len(made.pairs)} pairs both reported")
        said += [f"in {hidden} one hides the other"] if hidden else []
    if made.references:
        seeds = len({r.seed for r in made.references})
        over = f" over {seeds} seeds" if seeds > 1 else ""
        said.append(f"{clean} of {len(made.references)} perfect references clean{over}")
    console.print(", ".join(said) or "nothing was run: no defect's id starts so")
    if not said:
        return int(Exit.TOO_LITTLE_EVIDENCE)
    return int(Exit.CONFORMS if made.good else Exit.DEVIATES)
