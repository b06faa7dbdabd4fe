"""One API key's part of a run: its prepared requests, its ids, its acknowledged writes.

Ids are learned from answers and leased while a request uses them: nothing is deleted under a
read, so a 404 is never our own doing. Keys never mix. No I/O and no clock here: the engine sends,
and hands back what came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from typing import Any

from conformance.backend.ownership import entry_markers
from load.call import Inside, Origin, Slot, Template, compile_template, in_path
from load.judge import PLAIN, Asked
from load.plan import Need, Plan, Task, marked_property
from specs import Contract, Operation, effects, pointer
from specs.examples import NoExample, arguments
from specs.http_words import standing_headers

VARIANTS = ((0, True), (0, False), (1, False), (2, False))
"""(seed, with optional arguments) of the requests prepared per operation and key. Optional ones
only as the contract's own examples have them: made-up ones may contradict each other."""
POOL = 5000
"""Ids kept ready per resource; older ones leave the pool, not the ledger."""
REPLAY_EVERY = 4
"""Every so many requests that carry an idempotency key repeat an earlier one."""
OWED = 200
FREE_NAMES = 4


@dataclass(slots=True, eq=False)
class Resource:
    """One thing that the run created, or learned of, and what is known of it."""

    kind: str
    id: Any
    mark: str | None = None
    """Text of the last acknowledged write; None where the writes do not show."""
    users: int = 0
    exclusive: bool = False
    ours: bool = True
    deleted: bool = False
    known: bool = True
    """False after a write whose outcome is unknown."""
    scope: dict[str, Any] = field(default_factory=dict)
    """The free names that it was written under."""
    parents: dict[str, Resource] = field(default_factory=dict)
    """Request name -> the resource that it was made in."""
    quoted: bytes = b""
    """Its id as it stands in a path."""
    reading: tuple[Template, Shot] | None = None
    """Its last read, ready to be sent again; None where what a read must show has changed."""
    children: list[Resource] | None = None
    """What the run made in it."""

    def wrote(self, mark: str | None) -> None:
        """Take note of an acknowledged write with a mark, or (None) of one without."""
        self.mark, self.known, self.reading = mark or self.mark, mark is not None, None

    def doubt(self) -> None:
        """Take note of a write whose outcome is unknown."""
        self.known, self.reading = False, None


@dataclass(slots=True, eq=False)
class Shot:
    """One request about to be sent."""

    task: Task
    data: bytes
    asked: Asked
    held: tuple[Resource, ...] = ()
    """What it uses, in the order of its task's needs."""
    mark: str | None = None
    scope: dict[str, Any] | None = None
    key: str | None = None
    """Idempotency key that it carries."""
    replay_of: Any = None
    """For a replay: the decoded first answer."""


def _usable(resource: Resource, need: Need) -> bool:
    """Return True where nothing that goes on now forbids this use."""
    if resource.exclusive or (need.alone and resource.users):
        return False
    if need.removes and not resource.ours:
        return False
    return not resource.parents or not any(p.exclusive for p in resource.parents.values())


class Deck:
    """Which operation comes next: first each one, then by weight; the same for the same seed.

    An operation that cannot be played now (its resource is not there yet) is owed and dealt as
    soon as it can be.
    """

    def __init__(self, plan: Plan, seed: int, rounds: int) -> None:
        self.owed: deque[Task] = deque()
        packs = _packs(plan, Random(f"deck/{seed}"), rounds)
        self.deal: Callable[[], Task] = chain.from_iterable(packs).__next__
        """Returns the next operation by weight."""


def _packs(plan: Plan, random: Random, rounds: int) -> Iterator[list[Task]]:
    """Yield, without end, packs of cards: first so many with each operation once, in order."""
    for _ in range(rounds):
        yield sorted(plan.tasks, key=_journey)
    while True:
        cards = [task for task in plan.tasks for _ in range(task.weight)]
        random.shuffle(cards)
        yield cards


_ORDER = (
    "create",
    "batch",
    "action",
    "forget",
    "list",
    "search",
    "read",
    "link",
    "update",
    "replace",
    "none",
    "delete",
)


def _journey(task: Task) -> int:
    kind = task.operation.effect.kind if task.operation.effect else "none"
    return _ORDER.index(kind)


class Lane:
    """One API key's part of a run on one worker."""

    def __init__(
        self, plan: Plan, where: Origin, key: str, name: str, seed: int,
        foreign: tuple[bytes, ...] = (),
    ) -> None:  # fmt: skip
        self.plan = plan
        self.name = name
        """`mc<run>l<lane>`: what every text that this lane writes carries."""
        self.foreign = foreign
        self.not_ours: frozenset[tuple[str, str]] = frozenset()
        """(kind, id) of what was there before the run: somebody's, whatever a creation gives."""
        self.reused: set[tuple[str, str]] = set()
        """What of it the server gave to a creation of the run as well."""
        self.pools: dict[str, deque[Resource]] = {}
        self.written: list[Resource] = []
        """Every acknowledged creation: the ledger's entries."""
        self.deck = Deck(plan, seed, rounds=2)
        self.where = where
        self.credentials = _credentials(plan.contract, key)
        self._number = 0
        self._turn = [0] * len(plan.tasks)
        self._templates = [self._prepare(task) for task in plan.tasks]
        self._plain = Asked(foreign=foreign) if foreign else PLAIN
        self._answered: dict[int, tuple[Shot, Any]] = {}

    def _prepare(self, task: Task) -> tuple[tuple[Template, dict[str, Any]], ...]:
        """Prepare an operation's requests: several variants of the contract's examples."""
        made: list[tuple[Template, dict[str, Any]]] = []
        for turn, (seed, optional) in enumerate(VARIANTS):
            try:
                given = arguments(task.operation, seed=seed, optional=optional)
            except NoExample:
                given = arguments(task.operation, seed=0)
            given |= _pinned(task.operation)
            scope = self._with_gaps(task, given, turn)
            headers: list[tuple[str, str | Slot]] = []
            if task.operation.authenticated:
                headers += self.credentials
            idempotency = task.operation.idempotency
            if idempotency is not None and idempotency.location == "header":
                headers.append((idempotency.name, Slot("key")))
            headers += standing_headers(task.operation, ())
            prepared = compile_template(task.operation, self.where, given, headers), scope
            if prepared not in made:
                made.append(prepared)
        return tuple(made)

    def _with_gaps(self, task: Task, given: dict[str, Any], turn: int) -> dict[str, Any]:
        """Replace what must differ from call to call by gaps; return the free names used."""
        operation, effect = task.operation, task.operation.effect
        for name, resource in task.needs.items():
            slot = Slot("id", resource, name)
            given[name] = [slot] if _is_array(operation, name) else slot
        if effect is not None and effect.kind == "create" and effect.target:
            given[effect.target] = Slot("new", "", effect.target)
        self._disown(task, given)
        scope: dict[str, Any] = {}
        if effect is not None and effect.kind == "forget" and not set(effect.scope) & set(given):
            free = [name for name, meaning in effect.scope.items() if meaning == "free"]
            given |= dict.fromkeys(free[:1], "")  # without a scope it could be everybody's
        if effect is not None:
            for name in effects.dispensable(self.plan.contract, effect.resource):
                given.pop(name, None)  # all of the run's records live under none
            for name, meaning in effect.scope.items():
                if meaning == "free" and name in given and isinstance(given[name], str):
                    part = "f" if effect.kind == "forget" else str(turn % FREE_NAMES)
                    given[name] = scope[name] = f"{self.name}-{part}"
        if operation.stream is not None:
            given.pop(operation.stream.parameter, None)
        if operation.idempotency is not None and operation.idempotency.location == "body":
            given[operation.idempotency.name] = Slot("key")
        marked = marked_property(self.plan.contract, operation)
        if marked is not None and marked in given:
            given[marked] = Inside(f"{given[marked]} ", Slot("mark"))
        return scope

    def _disown(self, task: Task, given: dict[str, Any]) -> None:
        """Let what may change something name nothing of anybody's: examples may be real ids."""
        effect = task.operation.effect
        if effect is None or task.operation.safe:
            return
        target = effect.target
        if target and effect.kind != "create" and isinstance(given.get(target), str):
            given[target] = f"{self.name}-x"
        each = (effect.each or "/")[1:]
        for entry in (given.get(each) or []) if effect.kind == "batch" else []:
            for name in set(entry) - entry_markers(task.operation, each):
                if isinstance(entry[name], str):
                    entry[name] = f"{self.name}-x"

    def shoot(self, task: Task | None = None) -> Shot:
        """Return the next request; of `task` where given. Leases what it uses.

        Where something is missing, what makes it is sent instead and the operation is owed.
        """
        if task is not None:
            wanted = task
        elif self.deck.owed:
            wanted = self._choose()
        else:
            wanted = self.deck.deal()
        for _ in range(4):
            held = self._lease(wanted)
            if held is not None:
                return self._build(wanted, held)
            if task is None:
                self._owe(wanted)
            wanted = self.plan.makers[self._missing(wanted)]
        while True:  # what makes it is itself waiting: play something else
            wanted = self.deck.deal()
            held = self._lease(wanted)
            if held is not None:
                return self._build(wanted, held)
            self._owe(wanted)

    def _owe(self, task: Task) -> None:
        if len(self.deck.owed) < OWED:
            self.deck.owed.append(task)

    def _choose(self) -> Task:
        owed = self.deck.owed
        if owed and self._ready(owed[0]):
            return owed.popleft()
        return self.deck.deal()

    def _ready(self, task: Task) -> bool:
        held = self._lease(task)
        for resource in held or ():
            self.release(resource)
        return held is not None

    def _missing(self, task: Task) -> str:
        """Return the resource to make first: the first of which there is none at all."""
        for resource in task.needs.values():
            if not any(not r.deleted for r in self.pools.get(resource, ())):
                return resource
        return next(iter(task.needs.values()))

    def _free(self, need: Need) -> Resource | None:
        """Return one of a kind that may be used now; pools turn, so that all are."""
        pool = self.pools.get(need.resource)
        if not pool:
            return None
        each = pool[0]
        if not (each.deleted or each.exclusive or each.parents or need.alone):  # the usual case
            pool.rotate(-1)
            return each
        for _ in range(min(len(pool), 16)):
            each = pool[0]
            pool.rotate(-1)
            if each.deleted:
                pool.pop()
            elif _usable(each, need):
                return each
        return None

    def _lease(self, task: Task) -> tuple[Resource, ...] | None:
        """Lease what a task needs, in its order; None, and nothing leased, where one lacks.

        What the target was made in goes with it: a role is asked for in its own organisation.
        """
        uses = task.uses
        if not uses:
            return ()
        target = self._free(uses[0])
        if target is None:
            return None
        if len(uses) == 1:
            target.users += 1
            target.exclusive = uses[0].alone
            return (target,)
        chosen = [target]
        for need in uses[1:]:
            other = target.parents.get(need.name) or self._free(need)
            if other is None:
                return None
            chosen.append(other)
        for need, each in zip(uses, chosen, strict=True):
            each.users += 1
            each.exclusive = each.exclusive or need.alone
        return tuple(chosen)

    def release(self, resource: Resource) -> None:
        """Give a leased resource back."""
        resource.users -= 1
        if resource.users == 0:
            resource.exclusive = False

    def _build(self, task: Task, held: tuple[Resource, ...]) -> Shot:
        index = task.index
        turn = self._turn[index]
        self._turn[index] = turn + 1
        if not held and turn % REPLAY_EVERY == REPLAY_EVERY - 1 and index in self._answered:
            first, value = self._answered.pop(index)
            return Shot(task, first.data, self._plain, key=first.key, replay_of=value)
        variants = self._templates[index]
        template, scope = variants[turn % len(variants)]
        if template.fixed is not None:
            return Shot(task, template.fixed, self._plain, held, None, scope)
        if template.around is not None:
            target = held[0]
            if target.reading is not None and target.reading[0] is template:
                return target.reading[1]
            data = template.around[0] + target.quoted + template.around[1]
            shot = Shot(task, data, self._asked(task, held, None), held, None, scope)
            if task.kind == "read":
                target.reading = template, shot
            return shot
        values: dict[Slot, Any] = {}
        mark = key = None
        by_name = dict(zip(task.needs, held, strict=True))
        for slot in template.slots:
            if slot.kind == "id":
                values[slot] = by_name[slot.argument].id
                continue
            self._number += 1
            values[slot] = text = f"{self.name}n{self._number:08d}z"
            if slot.kind == "mark":
                mark = text
            elif slot.kind == "key":
                key = text
        data = template.render(values)
        return Shot(task, data, self._asked(task, held, mark), held, mark, scope, key)

    def _asked(self, task: Task, held: tuple[Resource, ...], mark: str | None) -> Asked:
        """Return what the answer must be about, and show."""
        kind = task.kind
        if not held or kind not in ("read", "update", "replace"):
            return self._plain
        target = held[0]
        if kind == "read" and task.shows:
            written = target.mark.encode() if target.known and target.mark else None
            return Asked(target.id, written, self.foreign)
        wanted = mark.encode() if task.shows and mark and kind != "read" else None
        return Asked(target.id, wanted, self.foreign)

    def learn(self, shot: Shot, value: Any) -> None:
        """Take note of a good answer: ids made or seen, writes acknowledged, deletions."""
        effect = shot.task.operation.effect
        if shot.key is not None and shot.replay_of is None:
            self._answered[shot.task.index] = shot, value
        if effect is None:
            return
        if effect.kind == "create" and shot.replay_of is None:
            for made, _ in effects.created(shot.task.operation, {}, value):
                self._created(effect.resource or "", made, shot)
            if effect.id is None and effect.ids is None and shot.mark is not None:
                self.written.append(
                    Resource(effect.resource or "", None, shot.mark, scope=shot.scope or {})
                )
        elif effect.kind in ("list", "search"):
            self._seen(effect.resource or "", effect.items, effect.item_id, value)
        elif effect.kind in ("update", "replace") and shot.held:
            if shot.mark is not None:
                shot.held[0].wrote(shot.mark)
            elif effect.kind == "replace":
                shot.held[0].doubt()
        elif effect.kind == "delete" and shot.held:
            self._deleted(shot.held[0])
        receipt = effects.receipt(shot.task.operation, value)
        if receipt is not None:
            pool = self.pools.setdefault("receipt", deque(maxlen=POOL))
            pool.append(Resource("receipt", receipt, ours=False, quoted=in_path(receipt)))

    def _deleted(self, resource: Resource) -> None:
        """What was made in a deleted resource may be gone with it: nobody says."""
        resource.deleted, resource.reading = True, None
        for each in resource.children or ():
            each.deleted = True
            each.doubt()

    def unsure(self, shot: Shot) -> None:
        """Take note that nobody knows whether a write happened."""
        effect = shot.task.operation.effect
        if effect is not None and effect.kind in effects.ALONE:
            for resource in shot.held:
                resource.doubt()
                if effect.kind in ("delete", "forget"):
                    resource.deleted = True

    def _created(self, kind: str, made: Any, shot: Shot) -> None:
        if (kind, str(made)) in self.not_ours:
            self.reused.add((kind, str(made)))
            return
        mark = shot.mark if shot.task.keeps else None
        parents = dict(zip(shot.task.needs, shot.held, strict=True))
        resource = Resource(
            kind, made, mark, scope=shot.scope or {}, parents=parents, quoted=in_path(made)
        )
        for parent in parents.values():
            if parent.children is None:
                parent.children = []
            parent.children.append(resource)
        pool = self.pools.setdefault(kind, deque(maxlen=POOL))
        if len(pool) == POOL:
            pool[0].reading = None  # it leaves the pool, and stays in the ledger
        pool.append(resource)
        self.written.append(resource)

    def _seen(self, kind: str, items: str | None, item_id: str | None, value: Any) -> None:
        """Learn ids from a list only where nothing makes them: other runs' data is not ours."""
        maker = self.plan.makers.get(kind)
        if maker is None or maker.operation.effect is None or items is None or item_id is None:
            return
        if maker.operation.effect.kind not in ("list", "search"):
            return
        pool = self.pools.setdefault(kind, deque(maxlen=POOL))
        known = {r.id for r in pool}
        try:
            entries = pointer(value, items)
        except LookupError:
            return
        for entry in entries[:50] if isinstance(entries, list) else ():
            found = effects.at(entry, item_id)
            if effects.is_id(found) and found not in known:
                known.add(found)
                pool.append(Resource(kind, found, ours=False, quoted=in_path(found)))


def _pinned(operation: Operation) -> dict[str, Any]:
    """Return the arguments that every call names with the same value, where this one has them."""
    known = {p.name for p in operation.parameters}
    if operation.body is not None:
        known |= set(operation.body.schema.get("properties", ()))
    return {name: value for name, value in operation.fixed.items() if name in known}


def _is_array(operation: Operation, name: str) -> bool:
    """Return True where a request name carries several ids."""
    for parameter in operation.parameters:
        if parameter.name == name:
            return bool(parameter.schema.get("type") == "array")
    properties = (operation.body.schema if operation.body else {}).get("properties", {})
    return bool(properties.get(name, {}).get("type") == "array")


def _credentials(contract: Contract, key: str) -> list[tuple[str, str | Slot]]:
    return [(h.header, f"{h.prefix}{key}") for h in contract.auth[:1]]
