"""What may be sent: the operations of a run by weight, and what each needs and shows.

A `Plan` is compiled once from contract and profile. Who sends what when, with which ids, is
`lane.py`'s. No I/O and no clock here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from load.judge import Judge
from load.profile import Profile
from specs import Basis, Contract, Operation, effects
from specs.exclusions import excluded


@dataclass(frozen=True)
class Excluded:
    """An operation that is left out of the run, and why."""

    operation: str
    reason: str


@dataclass(frozen=True, slots=True)
class Need:
    """One id that a task's request carries."""

    name: str
    resource: str
    alone: bool
    """Nobody else may use the resource meanwhile."""
    removes: bool
    """The resource is gone afterwards, so it must be the run's own."""


@dataclass(frozen=True, eq=False)
class Task:
    """One operation of the run: its judge, and where its answers carry ids."""

    operation: Operation
    judge: Judge
    weight: int
    needs: Mapping[str, str]
    """Request name -> resource whose id it carries, the target's first."""
    index: int
    shows: bool = False
    """True where its answers show the text that marks writes."""
    keeps: bool = False
    """True for a creation whose text a read shows again."""
    kind: str = field(init=False)
    uses: tuple[Need, ...] = field(init=False)
    teaches: bool = field(init=False)
    """True where something is learned from its good answers."""

    def __post_init__(self) -> None:
        effect = self.operation.effect
        kind = effects.kind(self.operation)
        uses = tuple(
            Need(name, resource, alone := kind in effects.ALONE and effect is not None
                 and resource == effect.resource, alone and kind == "delete")
            for name, resource in self.needs.items()
        )  # fmt: skip
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "uses", uses)
        receipt = effect is not None and effect.receipt is not None
        teaches = kind not in ("read", "none") or self.operation.idempotency is not None
        object.__setattr__(self, "teaches", teaches or receipt)

    @property
    def name(self) -> str:
        """The operation's id."""
        return self.operation.id

    @property
    def makes(self) -> tuple[str, ...]:
        """Resources that it creates, with an id or without."""
        effect = self.operation.effect
        if effect is None or effect.kind != "create" or effect.resource is None:
            return ()
        return (effect.resource,)


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


def make_plan(
    contract: Contract, profile: Profile, left_out: Mapping[str, str] | None = None
) -> Plan:
    """Return the tasks of a run. Operations that cannot be played are excluded with a reason.

    `left_out` says which are not sent and why; without it, the contract and the names say so.
    """
    if left_out is None:
        left_out = {id: why for id, why in excluded(contract).items() if id not in profile.only}
    unknown = [n for n in (*profile.only, *profile.weights) if n not in contract.operations]
    if unknown:
        raise KeyError(
            f"profile {profile.name!r} names operations that {contract.api} does not have: "
            f"{', '.join(unknown)}"
        )
    weights = {o.id: _weight(o, profile) for o in contract}
    wanted = [o for o in contract if weights[o.id]]
    out = [
        Excluded(o.id, "weight 0" if not o.load.weight else "left out by the profile")
        for o in contract
        if not weights[o.id]
    ]
    harm = {o.id: left_out.get(o.id) or _harm(o, wanted) for o in wanted}
    out += [Excluded(id, why) for id, why in harm.items() if why]
    wanted = [o for o in wanted if not harm[o.id]]
    sources = {r for o in wanted for r in (*effects.makes(o), *effects.shows(o))}
    tasks: list[Task] = []
    for operation in wanted:
        needs = effects.needs(operation)
        missing = [r for r in needs.values() if r not in sources]
        if missing and operation.effect is not None and operation.effect.kind == "action":
            needs = {name: r for name, r in needs.items() if r in sources}
        elif missing:
            out.append(Excluded(operation.id, f"nothing in the plan makes a {missing[0]}"))
            continue
        judge = Judge(operation)
        shows, keeps = shows_mark(contract, operation), shows_writes(contract, operation)
        weight = weights[operation.id]
        tasks.append(Task(operation, judge, weight, needs, len(tasks), shows, keeps))
    makers = {r: task for task in reversed(tasks) for r in effects.makes(task.operation)}
    for task in tasks:
        for resource in effects.shows(task.operation):
            makers.setdefault(resource, task)
    return Plan(contract, profile, tuple(tasks), tuple(out), makers)


def _harm(operation: Operation, wanted: list[Operation]) -> str:
    """Return why an operation is not played; '' if it is.

    It could change what the run did not create, or it would be asked for what nobody knows.
    """
    if operation.bare and operation.made_up:
        return "nothing says what its path names"
    if operation.bare and not operation.safe:
        return "nothing says what it changes; `memconform spec draft` guesses that"
    effect = operation.effect
    guessed = effect is not None and Basis.ASSUMED is effect.basis is operation.accepts_basis
    if guessed and not operation.safe:
        return "what it does was guessed and not seen; `spec draft --probe` sees"
    if operation.safe or (effect is not None and effect.kind == "create"):
        return ""
    if effect is None:
        fixed = operation.verb == "POST" and not operation.parameters_in("path")
        return "" if fixed else "no effect says which records it changes"
    made = {r for o in wanted for r in effects.makes(o)}
    learned = {r for o in wanted for r in effects.shows(o)} - made
    if effect.target and effect.resource in learned:
        return f"nothing in the plan makes a {effect.resource} of the run's own"
    if effect.kind == "forget" and not (
        "free" in effect.scope.values() or effects.needs(operation)
    ):
        return "nothing says what it forgets, and so it could be everything"
    return ""


def _weight(operation: Operation, profile: Profile) -> int:
    if profile.only and operation.id not in profile.only:
        return 0
    if profile.safe and not operation.safe:
        return 0
    return profile.weights.get(operation.id, operation.load.weight)


def showing(plan: Plan, kind: str | None = None) -> float:
    """Return the seconds after which a write (of one kind, or of any) must show at the latest."""
    effects = [t.operation.effect for t in plan.tasks if kind is None or kind in t.makes]
    return max((e.delay for e in effects if e is not None), default=0.0)


def settling(plan: Plan) -> float:
    """Return the seconds for which the end of a run may wait for writes to show."""
    settle = plan.profile.settle
    return settle if settle is not None else showing(plan)


def marked_property(contract: Contract, operation: Operation) -> str | None:
    """Return the free text of a write that carries its mark; an update marks what creation did."""
    effect = operation.effect
    if effect is None or effect.kind not in ("create", "update", "replace"):
        return None
    if operation.body is None:
        return None
    properties = operation.body.schema.get("properties", {})
    if effect.kind != "create":
        maker = next(iter(effects.on(contract, effect.resource, "create")), None)
        name = marked_property(contract, maker) if maker is not None else None
        return name if name in properties else None
    required = operation.body.schema.get("required", ())
    taken = {operation.idempotency.name if operation.idempotency else "", effect.target or ""}
    for name in ((effect.content or "").rpartition("/")[2], "content", *required, *properties):
        fits = name in properties and name not in effect.scope and name not in taken
        if fits and _is_free_text(properties[name]):
            return str(name)
    return None


def _is_free_text(schema: Mapping[str, Any]) -> bool:
    return (
        schema.get("type") == "string"
        and not {"enum", "const", "pattern", "format"} & schema.keys()
        and schema.get("maxLength", 10_000) >= 200
    )


def shows_mark(contract: Contract, operation: Operation) -> bool:
    """Return True where an answer's schema has the property that writes of it mark."""
    effect = operation.effect
    if effect is None:
        return False
    for other in effects.on(contract, effect.resource, "create"):
        marked = marked_property(contract, other)
        properties = (operation.success.schema or {}).get("properties", {})
        return marked is not None and effect.renamed.get(marked, marked) in properties
    return False


def shows_writes(contract: Contract, create: Operation) -> bool:
    """Return True where reading what `create` made shows its marked text, or nothing reads it."""
    effect = create.effect
    if effect is None or marked_property(contract, create) is None:
        return False
    for operation in effects.on(contract, effect.resource, "read"):
        return shows_mark(contract, operation)
    return True
