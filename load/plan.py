"""What is sent: operations by weight, journeys from effects, ids learned from answers.

A `Plan` is compiled once from contract and profile; each API key gets a `Lane` with its own
prepared requests, ids and acknowledged writes, so that keys never mix. Ids are leased while a
request uses them: nothing is deleted under a read, so a 404 is never our own doing. No I/O and
no clock here: the engine sends, and hands back what came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from load.call import Inside, Origin, Slot, Template, compile_template
from load.judge import PLAIN, Asked, Judge
from load.profile import Profile
from specs import Contract, Operation, pointer
from specs.examples import NoExample, arguments

VARIANTS = 6
"""Different requests prepared per operation and key."""
POOL = 5000
"""Ids kept ready per resource; older ones leave the pool, not the ledger."""
EXCLUSIVE = frozenset({"update", "replace", "delete", "forget", "link"})
FREE_NAMES = 4


@dataclass(frozen=True)
class Excluded:
    """An operation that is left out of the run, and why."""

    operation: str
    reason: str


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


@dataclass(slots=True, eq=False)
class Shot:
    """One request about to be sent."""

    task: Task
    data: bytes
    asked: Asked
    held: tuple[Resource, ...] = ()
    mark: str | None = None
    scope: dict[str, Any] | None = None
    key: str | None = None
    """Idempotency key that it carries."""
    replay_of: Any = None
    """For a replay: the decoded first answer."""


@dataclass(frozen=True, eq=False)
class Task:
    """One operation of the run: its judge, and where its answers carry ids."""

    operation: Operation
    judge: Judge
    weight: int
    needs: Mapping[str, str]
    """Request name -> resource whose id it carries."""
    index: int

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.operation.id


@dataclass(frozen=True)
class Plan:
    """The tasks of a run on one contract."""

    contract: Contract
    profile: Profile
    tasks: tuple[Task, ...]
    excluded: tuple[Excluded, ...]
    makers: Mapping[str, Task]
    """Resource -> the task that makes one."""

    def task(self, operation: str) -> Task:
        """Return the task of an operation. Raises KeyError where it is left out."""
        for task in self.tasks:
            if task.name == operation:
                return task
        raise KeyError(operation)


def make_plan(contract: Contract, profile: Profile) -> Plan:
    """Return the tasks of a run. Operations that cannot be played are excluded with a reason."""
    unknown = [n for n in (*profile.only, *profile.weights) if n not in contract.operations]
    if unknown:
        raise KeyError(
            f"profile {profile.name!r} names operations that {contract.api} does not have: "
            f"{', '.join(unknown)}"
        )
    weights = {o.id: _weight(o, profile) for o in contract}
    wanted = [o for o in contract if weights[o.id]]
    excluded = [
        Excluded(o.id, "weight 0" if not o.load.weight else "left out by the profile")
        for o in contract
        if not weights[o.id]
    ]
    made = {r for o in wanted for r in _makes(o)}
    learned = {r for o in wanted for r in _learns(o)}
    tasks: list[Task] = []
    for operation in wanted:
        needs = _needs(operation)
        missing = [r for r in needs.values() if r not in made | learned]
        if missing:
            excluded.append(Excluded(operation.id, f"nothing in the plan makes a {missing[0]}"))
            continue
        judge = Judge(operation)
        tasks.append(Task(operation, judge, weights[operation.id], needs, len(tasks)))
    makers = {r: task for task in reversed(tasks) for r in _makes(task.operation)}
    for task in tasks:
        for resource in _learns(task.operation):
            makers.setdefault(resource, task)
    return Plan(contract, profile, tuple(tasks), tuple(excluded), makers)


def _weight(operation: Operation, profile: Profile) -> int:
    if profile.only and operation.id not in profile.only:
        return 0
    if profile.safe and not operation.safe:
        return 0
    return profile.weights.get(operation.id, operation.load.weight)


def _makes(operation: Operation) -> Iterator[str]:
    effect = operation.effect
    if effect is None:
        return
    if effect.kind == "create" and effect.resource and (effect.id or effect.ids):
        yield effect.resource
    if effect.receipt:
        yield "receipt"


def _learns(operation: Operation) -> Iterator[str]:
    effect = operation.effect
    if effect is None or effect.resource is None or effect.kind not in ("list", "search"):
        return
    if effect.items is not None and effect.item_id is not None:
        yield effect.resource


def _needs(operation: Operation) -> dict[str, str]:
    effect = operation.effect
    needs = {}
    if effect is not None:
        if effect.target and effect.resource and effect.kind not in ("create", "list", "search"):
            needs[effect.target] = effect.resource
        for name, resource in effect.scope.items():
            if resource != "free":
                needs[name] = resource
    return needs


class Deck:
    """Which operation comes next: first each one, then by weight; the same for the same seed.

    An operation that cannot be played now (its resource is not there yet) is owed and dealt as
    soon as it can be.
    """

    def __init__(self, plan: Plan, seed: int, rounds: int) -> None:
        self._plan = plan
        self._random = Random(f"deck/{seed}")
        self._cards: deque[Task] = deque()
        self._rounds = rounds
        self.owed: deque[Task] = deque()

    def deal(self) -> Task:
        """Return the next operation by weight."""
        if not self._cards:
            self._fill()
        return self._cards.popleft()

    def _fill(self) -> None:
        tasks = self._plan.tasks
        if self._rounds > 0:
            self._rounds -= 1
            self._cards.extend(sorted(tasks, key=_journey))
            return
        cards = [task for task in tasks for _ in range(task.weight)]
        self._random.shuffle(cards)
        self._cards.extend(cards)


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
)  # noqa: E501


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
        self._replays: dict[int, tuple[bytes, str, Any]] = {}

    def _prepare(self, task: Task) -> tuple[tuple[Template, dict[str, Any]], ...]:
        """Prepare an operation's requests: several variants of the contract's examples."""
        made = []
        for seed in range(VARIANTS):
            try:
                given = arguments(task.operation, seed=seed, optional=seed % 2 == 0)
            except NoExample:
                given = arguments(task.operation, seed=0)
            scope = self._with_gaps(task, given, seed)
            headers: list[tuple[str, str | Slot]] = []
            if task.operation.authenticated:
                headers += self.credentials
            idempotency = task.operation.idempotency
            if idempotency is not None and idempotency.location == "header":
                headers.append((idempotency.name, Slot("key")))
            made.append((compile_template(task.operation, self.where, given, headers), scope))
        return tuple(made)

    def _with_gaps(self, task: Task, given: dict[str, Any], seed: int) -> dict[str, Any]:
        """Replace what must differ from call to call by gaps; return the free names used."""
        operation, effect = task.operation, task.operation.effect
        for name, resource in task.needs.items():
            given[name] = Slot("id", resource, name)
        scope: dict[str, Any] = {}
        if effect is not None:
            for name, meaning in effect.scope.items():
                if meaning == "free" and name in given and isinstance(given[name], str):
                    part = "f" if effect.kind == "forget" else str(seed % FREE_NAMES)
                    given[name] = scope[name] = f"{self.name}-{part}"
        if operation.stream is not None:
            given.pop(operation.stream.parameter, None)
        if operation.idempotency is not None and operation.idempotency.location == "body":
            given[operation.idempotency.name] = Slot("key")
        marked = marked_property(operation)
        if marked is not None and marked in given:
            given[marked] = Inside(f"{given[marked]} ", Slot("mark"))
        return scope

    def shoot(self, task: Task | None = None) -> Shot:
        """Return the next request; of `task` where given. Leases what it uses."""
        if task is None:
            task = self._choose()
        held: list[Resource] = []
        seen: set[Task] = set()
        while True:
            lease = self._lease(task, held)
            if lease is not None or task in seen:
                break
            seen.add(task)
            self.deck.owed.append(task)
            if len(self.deck.owed) > 200:
                self.deck.owed.popleft()
            missing = next(r for r in task.needs.values() if self._free(task, r) is None)
            task = self.plan.makers[missing]
        return self._build(task, tuple(held))

    def _choose(self) -> Task:
        owed = self.deck.owed
        if owed and self._ready(owed[0]):
            return owed.popleft()
        return self.deck.deal()

    def _ready(self, task: Task) -> bool:
        return all(self._free(task, r) is not None for r in task.needs.values())

    def _free(self, task: Task, resource: str) -> Resource | None:
        pool = self.pools.get(resource)
        if not pool:
            return None
        effect = task.operation.effect
        alone = effect is not None and effect.kind in EXCLUSIVE and resource == effect.resource
        deletes = effect is not None and effect.kind == "delete" and alone
        for _ in range(min(len(pool), 8)):
            candidate = pool[0]
            pool.rotate(-1)
            if candidate.deleted:
                pool.pop()
                continue
            if (
                candidate.exclusive
                or (alone and candidate.users)
                or (deletes and not candidate.ours)
            ):
                continue
            return candidate
        return None

    def _lease(self, task: Task, held: list[Resource]) -> bool | None:
        """Lease one resource for each need into `held`; None, and nothing held, where one lacks."""
        effect = task.operation.effect
        for resource in task.needs.values():
            candidate = self._free(task, resource)
            if candidate is None:
                for each in held:
                    self.release(each)
                held.clear()
                return None
            candidate.users += 1
            if effect is not None and effect.kind in EXCLUSIVE and resource == effect.resource:
                candidate.exclusive = True
            held.append(candidate)
        return True

    def release(self, resource: Resource) -> None:
        """Give a leased resource back."""
        resource.users -= 1
        if resource.users == 0:
            resource.exclusive = False

    def _build(self, task: Task, held: tuple[Resource, ...]) -> Shot:
        variants = self._templates[task.index]
        turn = self._turn[task.index]
        self._turn[task.index] = turn + 1
        template, scope = variants[turn % len(variants)]
        if template.fixed is not None:
            return Shot(task, template.fixed, self._plain, held, scope=scope)
        values: dict[Slot, Any] = {}
        mark = key = None
        names = iter(held)
        by_name = dict(zip(task.needs, names, strict=False))
        for slot in template.slots:
            if slot.kind == "id":
                if slot.argument in by_name:
                    values[slot] = by_name[slot.argument].id
                else:  # nothing of the kind is there: ask for what surely is not
                    values[slot] = f"{self.name}-none"
            else:
                self._number += 1
                text = f"{self.name}n{self._number:08d}z"
                values[slot] = text
                if slot.kind == "mark":
                    mark = text
                else:
                    key = text
        data = template.render(values)
        return Shot(task, data, self._asked(task, held, mark), held, mark, scope, key)

    def _asked(self, task: Task, held: tuple[Resource, ...], mark: str | None) -> Asked:
        effect = task.operation.effect
        if not held or effect is None or effect.kind not in ("read", "update", "replace"):
            return self._plain
        target = held[0]
        wanted = None
        if shows_mark(task.operation):
            if effect.kind == "read":
                wanted = target.mark if target.known else None
            else:
                wanted = mark
        return Asked(0, target.id, wanted.encode() if wanted else None, self.foreign)

    def learn(self, shot: Shot, value: Any) -> None:
        """Take note of a good answer: ids made or seen, writes acknowledged, deletions."""
        effect = shot.task.operation.effect
        if effect is None:
            return
        if effect.kind == "create":
            for made in _ids(value, effect.id, effect.ids):
                self._created(effect.resource or "", made, shot)
        elif effect.kind in ("list", "search"):
            self._seen(effect.resource or "", effect.items, effect.item_id, value)
        elif effect.kind in ("update", "replace") and shot.held:
            if shot.mark is not None:
                shot.held[0].mark = shot.mark
                shot.held[0].known = True
            elif effect.kind == "replace":
                shot.held[0].known = False
        elif effect.kind == "delete" and shot.held:
            shot.held[0].deleted = True
        if effect.receipt:
            for made in _ids(value, effect.receipt, None):
                pool = self.pools.setdefault("receipt", deque(maxlen=POOL))
                pool.append(Resource("receipt", made, ours=False))

    def unsure(self, shot: Shot) -> None:
        """Take note that nobody knows whether a write happened."""
        effect = shot.task.operation.effect
        if effect is not None and effect.kind in EXCLUSIVE:
            for resource in shot.held:
                resource.known = False
                if effect.kind in ("delete", "forget"):
                    resource.deleted = True

    def _created(self, kind: str, made: Any, shot: Shot) -> None:
        mark = shot.mark if shows_writes(self.plan.contract, shot.task.operation) else None
        resource = Resource(kind, made, mark, scope=shot.scope or {})
        self.pools.setdefault(kind, deque(maxlen=POOL)).append(resource)
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
            for found in _ids(entry, item_id, None):
                if found not in known:
                    known.add(found)
                    pool.append(Resource(kind, found, ours=False))


def marked_property(operation: Operation) -> str | None:
    """Return the free text of a write that carries its mark: its content, else its first text."""
    effect = operation.effect
    if effect is None or effect.kind not in ("create", "update", "replace"):
        return None
    if operation.body is None:
        return None
    properties = operation.body.schema.get("properties", {})
    required = operation.body.schema.get("required", ())
    names = [(effect.content or "").rpartition("/")[2], "content", *required]
    taken = {operation.idempotency.name} if operation.idempotency else set()
    for name in names:
        if name in properties and name not in effect.scope and name not in taken:
            if _is_free_text(properties[name]):
                return str(name)
    return None


def _is_free_text(schema: Mapping[str, Any]) -> bool:
    return (
        schema.get("type") == "string"
        and not {"enum", "const", "pattern", "format"} & schema.keys()
        and schema.get("maxLength", 10_000) >= 200
    )


def shows_mark(operation: Operation) -> bool:
    """Return True where an answer's schema has the property that writes of it mark."""
    effect = operation.effect
    schema = operation.success.schema
    if effect is None or schema is None:
        return False
    properties = schema.get("properties", {})
    if effect.content:
        return effect.content.rpartition("/")[2] in properties or effect.content.count("/") > 1
    marked = marked_property(operation)
    return marked is not None and effect.renamed.get(marked, marked) in properties


def shows_writes(contract: Contract, create: Operation) -> bool:
    """Return True where reading what `create` made shows its marked text."""
    effect = create.effect
    marked = marked_property(create)
    if effect is None or marked is None:
        return False
    name = effect.renamed.get(marked, marked)
    for operation in contract:
        other = operation.effect
        if other is None or other.resource != effect.resource or other.kind != "read":
            continue
        schema = operation.success.schema or {}
        return name in schema.get("properties", {})
    return True


def _ids(value: Any, one: str | None, many: str | None) -> Iterator[Any]:
    for path in (one, many):
        if path is None:
            continue
        try:
            found = pointer(value, path)
        except LookupError:
            continue
        for each in found if isinstance(found, list) else [found]:
            if isinstance(each, str | int) and not isinstance(each, bool):
                yield each


def _credentials(contract: Contract, key: str) -> list[tuple[str, str | Slot]]:
    return [(h.header, f"{h.prefix}{key}") for h in contract.auth[:1]]
