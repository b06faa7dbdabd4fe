"""A model beside the backend: random programs over records of one kind, two tenants interleaved.

A program is a list of steps over numbered slots; it makes its own records, so any part of it is
a program too, and a failing one can be shortened by leaving steps out. The model is what the
contract promises: what was written is there, what was deleted is not, nobody sees another's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from conformance.backend.listing import max_size, walk
from conformance.backend.views import body_of, write
from conformance.backend.world import Made, operations_on, properties, required
from conformance.history import Exchange
from conformance.oracles import state
from conformance.oracles.found import found, ok, told
from conformance.verdict import Finding, Inconclusive
from specs import Contract, Operation
from specs import examples as spec_examples

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

Kind = Literal["create", "read", "update", "replace", "delete", "list", "peek", "meddle"]
WEIGHTS: Mapping[Kind, int] = {
    "create": 5, "read": 5, "update": 5, "replace": 2, "delete": 2, "list": 2, "peek": 1,
    "meddle": 1,
}  # fmt: skip
SHRINKS_MAX = 40
"""Programs run at most to shorten a failing one."""


@dataclass(frozen=True)
class Step:
    """One command. `slot` names a record; peeking and meddling are the other tenant's."""

    kind: Kind
    slot: int
    tenant: int
    seed: int

    def words(self) -> str:
        """Return the step as it stands in a finding: `a: update 2`."""
        return f"{'ab'[self.tenant]}: {self.kind} {self.slot}"


@dataclass
class Record:
    """What the model knows of one record."""

    made: Made
    tenant: int
    values: dict[str, Any]
    alive: bool = True


@dataclass(frozen=True)
class Tools:
    """The operations on one kind of record, by what they do."""

    resource: str
    create: Operation
    read: Operation | None
    update: Operation | None
    replace: Operation | None
    delete: Operation | None
    listing: Operation | None

    @classmethod
    def of(cls, contract: Contract, create: Operation) -> Tools:
        """Return the operations on what `create` creates."""
        resource = create.effect.resource if create.effect else None

        def first(*kinds: str) -> Operation | None:
            fitting = [
                o for o in operations_on(contract, resource, *kinds)
                if o.effect and (o.effect.target or kinds == ("list",)) and not o.effect.progress
            ]  # fmt: skip
            return next(iter(fitting), None)

        return cls(
            resource or "", create, first("read"), first("update"), first("replace"),
            first("delete"), first("list"),
        )  # fmt: skip

    def kinds(self, tenants: int) -> list[Kind]:
        """Return the kinds of steps that can be taken."""
        found: list[Kind] = ["create"]
        if self.read:
            found.append("read")
        if self.update:
            found.append("update")
        if self.replace:
            found.append("replace")
        if self.delete:
            found.append("delete")
        if self.listing:
            found.append("list")
        if tenants > 1 and self.read:
            found.append("peek")
        if tenants > 1 and (self.delete or self.update):
            found.append("meddle")
        return found


def program(random: Random, tools: Tools, length: int, tenants: int) -> list[Step]:
    """Return a random program; its first steps create, so that there is something to work on.

    A step works on the record of the step before as often as on any other: what goes wrong
    goes wrong in the sequence of two steps more often than in one.
    """
    kinds = tools.kinds(tenants)
    steps = [Step("create", slot, slot % tenants, random.getrandbits(16)) for slot in (0, 1)]
    slots = 2
    while len(steps) < length:
        kind = random.choices(kinds, [WEIGHTS[k] for k in kinds])[0]
        if kind == "create":
            slots += 1
            steps.append(Step(kind, slots - 1, random.randrange(tenants), random.getrandbits(16)))
        else:
            slot = random.choice((steps[-1].slot, random.randrange(slots)))
            steps.append(Step(kind, slot, random.randrange(tenants), random.getrandbits(16)))
    return steps


@dataclass
class Machine:
    """Runs programs on a subject and compares every answer with the model."""

    subject: BackendSubject
    tools: Tools
    principals: Sequence[str]
    records: dict[int, Record] = field(default_factory=dict)
    scope: dict[int, dict[str, Any]] = field(default_factory=dict)

    def run(self, steps: Sequence[Step]) -> list[Finding]:
        """Run a program on fresh records; return the findings of its first step that has any."""
        self.records, self.scope = {}, {}
        for step in steps:
            findings = list(self._step(step))
            if findings:
                return findings
        return []

    def shortest(self, steps: Sequence[Step]) -> tuple[list[Step], list[Finding]]:
        """Return a program that still fails and is as short as leaving steps out makes it."""
        best, findings = list(steps), self.run(steps)
        runs = 0
        size = max(1, len(best) // 2)
        while findings and runs < SHRINKS_MAX:
            shorter = False
            for start in range(0, len(best), size):
                candidate = best[:start] + best[start + size :]
                runs += 1
                again = self.run(candidate) if candidate else []
                if again and again[0].cause == findings[0].cause:
                    best, findings, shorter = candidate, again, True
                    break
                if runs >= SHRINKS_MAX:
                    break
            if not shorter:
                if size == 1:
                    break
                size = max(1, size // 2)
        return best, findings

    def _step(self, step: Step) -> Iterator[Finding]:
        if step.kind == "create":
            yield from self._create(step)
            return
        if step.kind == "list":
            yield from self._list(step)
            return
        record = self.records.get(step.slot)
        if record is None:
            return
        if step.kind == "read":
            yield from self._read(record)
        elif step.kind in ("update", "replace"):
            yield from self._change(step, record)
        elif step.kind == "delete":
            yield from self._delete(record)
        elif step.kind == "peek":
            yield from self._peek(record)
        elif step.kind == "meddle":
            yield from self._meddle(step, record)

    def _key(self, tenant: int) -> str:
        return self.principals[tenant % len(self.principals)]

    def _create(self, step: Step) -> Iterator[Finding]:
        if step.slot in self.records:
            return
        given = self.scope.get(step.tenant, {})
        made = write(
            self.subject, self.tools.create, self._key(step.tenant), given,
            seed=step.seed % 97, optional=bool(step.seed & 1),
        )[0]  # fmt: skip
        names = set(self.tools.create.effect.scope if self.tools.create.effect else ())
        lister = required(self.tools.listing) if self.tools.listing else frozenset()
        self.scope.setdefault(
            step.tenant, {n: made.whole[n] for n in names & lister if n in made.whole}
        )
        self.records[step.slot] = Record(made, step.tenant, dict(body_of(made)))
        yield from self._read(self.records[step.slot])

    def _arguments(self, operation: Operation, record: Record) -> dict[str, Any]:
        target = operation.effect.target if operation.effect else None
        known = properties(operation)
        scope = operation.effect.scope if operation.effect else {}
        names = {*scope, *(p.name for p in operation.parameters)} & set(known)
        given = {n: record.made.whole[n] for n in names if n in record.made.whole}
        return {**given, **({target: record.made.id} if target else {})}

    def _read(self, record: Record) -> Iterator[Finding]:
        reader = self.tools.read
        if reader is None:
            return
        key = self._key(record.tenant)
        exchange = self.subject.send(reader, self._arguments(reader, record), key=key)
        effect = self.tools.create.effect
        assert effect is not None
        if not record.alive:
            yield from self._if(ok(exchange), "ST6", "a deleted record can be read", exchange)
            return
        if not ok(exchange):
            yield from self._if(True, "ST1", f"a record is answered {told(exchange)}", exchange)
            return
        assert exchange.response is not None
        shown = exchange.response.json_or_none()
        wrong = state.differences(record.values, shown, effect.renamed)
        yield from self._if(
            bool(wrong), "ST1", f"a record shows another {', '.join(wrong[:3])} than the model",
            exchange,
        )  # fmt: skip

    def _change(self, step: Step, record: Record) -> Iterator[Finding]:
        operation = self.tools.update if step.kind == "update" else self.tools.replace
        if operation is None or operation.effect is None:
            return
        arguments = self._arguments(operation, record)
        values = self._values(operation, step, set(arguments))
        if not values:
            return
        key = self._key(record.tenant)
        exchange = self.subject.send(operation, {**arguments, **values}, key=key)
        if not record.alive:
            yield from self._if(ok(exchange), "ST6", "a deleted record can be changed", exchange)
            return
        if not ok(exchange):
            if exchange.status is not None and 400 <= exchange.status < 500:
                raise Inconclusive(f"{operation.id} was answered {told(exchange)}")
            return
        if step.kind == "replace":
            record.values = {}
        record.values.update(values)
        yield from self._read(record)

    def _values(self, operation: Operation, step: Step, skip: set[str]) -> dict[str, Any]:
        """Return new values for some of the properties that a change may name."""
        random = Random(step.seed)
        schemas = properties(operation)
        places = {p.name for p in operation.parameters} | skip
        if operation.effect:
            places |= set(operation.effect.scope)
        names = [n for n in schemas if n not in places]
        needed = [n for n in names if n in required(operation)]
        others = [n for n in names if n not in needed]
        chosen = random.sample(others, random.randint(0 if needed else 1, len(others))) if (
            others) else []  # fmt: skip
        return {
            n: spec_examples.example(schemas[n], seed=random.randrange(50))
            for n in (*needed, *chosen)
        }

    def _delete(self, record: Record) -> Iterator[Finding]:
        operation = self.tools.delete
        if operation is None:
            return
        key = self._key(record.tenant)
        exchange = self.subject.send(operation, self._arguments(operation, record), key=key)
        if record.alive and not ok(exchange):
            yield from self._if(
                True, "ST6", f"a record's deletion is answered {told(exchange)}", exchange
            )
        record.alive = False
        yield from self._read(record)

    def _list(self, step: Step) -> Iterator[Finding]:
        lister = self.tools.listing
        if lister is None:
            return
        scope = self.scope.get(step.tenant, {})
        if not required(lister) <= set(scope):
            return
        key = self._key(step.tenant)
        seen = walk(self.subject, lister, scope, max_size(lister), key)
        shown = set(seen.keys)
        last = seen.pages[-1].exchange
        for record in self.records.values():
            mine = record.tenant == step.tenant
            if mine and record.alive and not self.tools.create.effect.delay:  # type: ignore[union-attr]
                yield from self._if(
                    record.made.id not in shown, "ST2", "a record is not listed", last
                )
            elif mine and not record.alive:
                yield from self._if(
                    record.made.id in shown, "ST6", "a deleted record is listed", last
                )
            elif not mine and self._key(record.tenant) != key:
                yield from self._if(
                    record.made.id in shown, "IS2", "another tenant's record is listed", last
                )

    def _peek(self, record: Record) -> Iterator[Finding]:
        """Read a record as the other tenant."""
        reader = self.tools.read
        assert reader is not None
        other = self._key(record.tenant + 1)
        exchange = self.subject.send(reader, self._arguments(reader, record), key=other)
        if other != self._key(record.tenant) and ok(exchange):
            assert exchange.response is not None
            body = exchange.response.body
            yield from self._if(
                record.made.id.encode() in body, "IS1", "another tenant reads a record", exchange
            )

    def _meddle(self, step: Step, record: Record) -> Iterator[Finding]:
        """Delete or change a record as the other tenant, then look as its owner."""
        operation = self.tools.delete if step.seed & 1 else self.tools.update
        operation = operation or self.tools.delete or self.tools.update
        assert operation is not None
        other = self._key(record.tenant + 1)
        if other == self._key(record.tenant):
            return
        arguments = self._arguments(operation, record)
        values = {} if operation is self.tools.delete else (
            self._values(operation, step, set(arguments)))  # fmt: skip
        self.subject.send(operation, {**arguments, **values}, key=other)
        for finding in self._read(record):
            yield finding.at(requirement="IS3", cause=f"machine IS3 {self.tools.resource}")

    def _if(
        self, broken: bool, requirement: str, message: str, exchange: Exchange
    ) -> Iterator[Finding]:
        if broken:
            effect = self.tools.create.effect
            yield found(
                requirement, message, exchange,
                cause=f"machine {requirement} {self.tools.resource}",
                basis=effect.basis if effect else self.tools.create.basis,
            )  # fmt: skip
