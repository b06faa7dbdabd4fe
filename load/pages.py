"""Walking lists while others write: what stays must be seen, once, in every walk.

Before the load, items are made that nobody touches; then walkers go from the first page to the
last, again and again, while the schedule's writes go on. With cursors a walk is promised to be
whole and is judged. Pages that are counted by offset shift under writes wherever they are: there
the walks under load are only counted, and one last walk, when all is quiet, is judged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import gevent

from conformance.verdict import Finding
from load.engine import Engine
from load.framing import Trouble
from load.judge import BAD
from load.lane import Lane, Resource
from load.ledger import Unwalkable, walk
from load.plan import Task
from specs import Operation, paging, pointer


@dataclass
class Walked:
    """One walk from the first page to the last."""

    ids: list[Any] = field(default_factory=list)
    quiet: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Told:
    """What a walk got wrong: how many it missed and saw more than once."""

    missed: int
    repeated: int


def judge(walked: Walked, stays: set[Any]) -> Told:
    """Hold one walk against what was there all the time. Pure."""
    seen = Counter(walked.ids)
    return Told(len(stays - seen.keys()), sum(seen[each] > 1 for each in stays))


def drive(engine: Engine) -> None:
    """Make what stays, let the schedule write, walk meanwhile, and once more at the end."""
    lane = engine.lanes[0]
    found = _lists(lane)
    facts: dict[str, Any] = {"lists": {}}
    engine.tally.facts["pages"] = facts
    with engine.watched():
        engine.prepare()
        walkers = []
        for lister, maker in found:
            stays = _make(engine, lane, maker)
            walks: list[Walked] = []
            walker = gevent.spawn(_go_round, engine, lane, lister, walks)
            walkers.append((lister, stays, walks, walker))
        engine.round(engine.schedule)
        for lister, stays, walks, walker in walkers:
            walker.join(timeout=engine.profile.timeout)
            walker.kill()
            last = _walk(engine, lane, lister)
            last.quiet = True
            facts["lists"][lister.id] = _tell(engine, lister, stays, [*walks, last])


def _lists(lane: Lane) -> list[tuple[Operation, Task]]:
    """Return each paged list that needs no id, with the task that makes what it lists."""
    found = []
    for task in lane.plan.tasks:
        effect = task.operation.effect
        if effect is None or effect.kind != "list" or task.operation.pagination is None:
            continue
        maker = lane.plan.makers.get(effect.resource or "")
        if maker is not None and maker.kind == "create" and not task.needs:
            found.append((task.operation, maker))
    return found


def _make(engine: Engine, lane: Lane, maker: Task) -> set[Any]:
    """Make the items that nobody else may touch, and return their ids."""
    wire, made = engine.wire(), set()
    for _ in range(engine.profile.walk.prepared):
        before = len(lane.written)
        if engine.send(wire, lane, lane.shoot(maker), None) is BAD:
            continue
        for resource in lane.written[before:]:
            resource.ours = False  # so that no delete of the run takes it
            _take_out(lane, resource)
            made.add(resource.id)
    return made


def _take_out(lane: Lane, resource: Resource) -> None:
    pool = lane.pools.get(resource.kind)
    if pool is not None and resource in pool:
        pool.remove(resource)


def _go_round(engine: Engine, lane: Lane, lister: Operation, walks: list[Walked]) -> None:
    engine.started.wait()
    while len(walks) < engine.profile.walk.lists and engine.started.is_set():
        walks.append(_walk(engine, lane, lister))
        gevent.sleep(0)


def _walk(engine: Engine, lane: Lane, lister: Operation) -> Walked:
    walked, effect = Walked(), lister.effect
    assert effect is not None
    wire = engine.wire()
    try:
        for item in walk(lane, wire, lister, {}, engine.profile.walk.page):
            walked.ids.append(_id(item, effect.item_id))
    except (Trouble, Unwalkable) as why:
        walked.problem = str(why)
    wire.close()
    return walked


def _id(item: Any, path: str | None) -> Any:
    try:
        found = pointer(item, path or "")
    except LookupError:
        return None
    return found if isinstance(found, str | int) else str(found)


def _tell(
    engine: Engine, lister: Operation, stays: set[Any], walks: list[Walked]
) -> dict[str, Any]:
    """Judge all walks of one list and return their figures."""
    promise = lister.pagination
    assert promise is not None
    steady = paging.steady(promise)
    figures: dict[str, Any] = {
        "style": promise.style, "stays": len(stays), "walks": len(walks),
        "missed": 0, "repeated": 0, "unwalked": 0,
    }  # fmt: skip
    for walked in walks:
        if walked.problem:
            figures["unwalked"] += 1
            continue
        told = judge(walked, stays)
        if not walked.quiet:
            figures["missed"] += told.missed
            figures["repeated"] += told.repeated
        if not (steady or walked.quiet):
            continue
        when = "when all was quiet" if walked.quiet else "while others wrote"
        for count, slug, words in ((told.missed, "missed", "missed"),
                                   (told.repeated, "repeated", "saw more than once")):  # fmt: skip
            if count:
                engine.tally.saw(
                    Finding("LD5", f"{lister.id}: a walk {when} {words} {count} of {len(stays)} "
                            "items that were there all the time", operation=lister.id,
                            basis=promise.basis, cause=f"walk-{slug} {lister.id} {when}")
                )  # fmt: skip
    return figures
