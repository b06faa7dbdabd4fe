"""Things made on a backend through its own API: valid calls, records to work on, and clean-up.

Everything follows from the contract: `effect` says which operation creates what and where the
answer shows its id, `scope` which names point to other records and which the caller makes up.
All that is created carries the run's mark where its schema has room for one, and is remembered
so that it can be removed. Nothing here judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID

from conformance.backend.ownership import Belongings, entry_markers
from conformance.history import Exchange
from conformance.oracles.found import MISSING, ok, told, value_at, value_in
from conformance.verdict import Inconclusive, NotApplicable
from specs import Contract, Operation, Parameter, effects
from specs import examples as spec_examples
from specs.contract import Schema
from specs.effects import creators
from specs.effects import on as operations_on


class Sender(Protocol):
    """What making things takes: somebody who sends, and knows names that nobody else has."""

    contract: Contract
    keys: Mapping[str, str]
    mine: Belongings

    @property
    def mark(self) -> str:
        """What stands in everything that is made."""

    def name(self, kind: str = "n") -> str:
        """Return a fresh name."""

    def enter(self, case: str) -> None:
        """Say what the next exchanges belong to."""

    def send(
        self,
        operation: Operation | str,
        arguments: Mapping[str, Any] | None = None,
        *,
        key: str | None = "a",
    ) -> Exchange:
        """Send one request and return the exchange."""


@dataclass(frozen=True)
class Made:
    """One record that was created: what was asked for, and what came of it."""

    resource: str
    id: str
    operation: Operation
    arguments: Mapping[str, Any]
    """The call's arguments; of a batch, those of this entry only."""
    exchange: Exchange
    principal: str
    whole: Mapping[str, Any]
    """The arguments of the whole call."""


def properties(operation: Operation) -> Mapping[str, Schema]:
    """Return the schemas of all arguments by wire name: parameters and body properties."""
    found: dict[str, Schema] = {p.name: p.schema for p in operation.parameters}
    if operation.body is not None:
        found.update(object_properties(operation.body.schema))
    return found


def object_properties(schema: Schema) -> dict[str, Schema]:
    """Return the properties of an object schema, those of its `allOf` parts included."""
    found: dict[str, Schema] = {}
    for part in schema.get("allOf", ()):
        found.update(object_properties(part))
    found.update(schema.get("properties", {}))
    return found


def required(operation: Operation) -> frozenset[str]:
    """Return the names of the arguments that a call cannot leave out."""
    names = {p.name for p in operation.parameters if p.required}
    if operation.body is not None:
        names |= set(operation.body.schema.get("required", ()))
        for part in operation.body.schema.get("allOf", ()):
            names |= set(part.get("required", ()))
    return frozenset(names)


def _needed_header(parameter: Parameter) -> bool:
    """Return True for a header or cookie that must be sent and that nobody else sends."""
    framing = {"content-type", "accept", "authorization", "host", "content-length"}
    return (
        parameter.location == "header"
        and parameter.required
        and parameter.name.lower() not in framing
        and "idempotency" not in parameter.name.lower()
    )


def is_free_text(schema: Schema) -> bool:
    """Return True where a schema takes any text of some length."""
    return (
        schema.get("type") == "string"
        and not {"enum", "const", "format", "pattern"} & set(schema)
        and schema.get("maxLength", 1000) >= 80
    )


class World:
    """The records of one run."""

    def __init__(self, subject: Sender) -> None:
        self._subject = subject
        self._made: list[Made] = []
        self._left: list[str] = []
        self.tidies = True
        """False where there is nothing to tidy: a recording has no server."""
        self._forgettable: list[tuple[Operation, dict[str, Any], str]] = []
        self._homes: dict[tuple[str, str], Mapping[str, Any]] = {}
        """Arguments of an operation and tenant, for calls that do not name where they go."""
        self._credentials = {a.header.lower() for a in subject.contract.auth}

    # -- valid calls ---------------------------------------------------------------------------

    def arguments(
        self,
        operation: Operation | str,
        key: str = "a",
        given: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        optional: bool = False,
    ) -> dict[str, Any]:
        """Return arguments that the contract calls valid and that this backend should accept.

        Made-up names are fresh, ids are those of records made for the purpose (only where the
        call needs them), free text carries the run's mark. `given` wins over all of it; a value
        of MISSING leaves a name out. Raises Inconclusive where a needed record cannot be made.
        """
        if isinstance(operation, str):
            operation = self._subject.contract[operation]
        given = given or {}
        values = self._example(operation, seed, optional)
        if operation.bare and not operation.safe:
            for p in operation.parameters_in("path"):  # what is there is somebody's
                values[p.name] = self.unknown_id(operation, p.name)
        effect = operation.effect
        references = dict(effect.scope) if effect else {}
        if effect and effect.target and effect.resource:
            free = effect.kind == "create" or self._named_only(effect.resource)
            own = "free" if free else effect.resource
            references[effect.target] = own
        needed, known = required(operation), properties(operation)
        given = {**{n: v for n, v in operation.fixed.items() if n in known}, **given}
        # names first: a record to refer to is made under the same ones
        for name, kind in sorted(references.items(), key=lambda each: each[1] != "free"):
            if name in given:
                continue
            if name not in needed:
                values.pop(name, None)
            elif kind == "free":
                values[name] = self._named(operation, name, values.get(name))
            else:
                values[name] = self._reference(operation, name, kind, key, values, given)
        if operation.idempotency:
            values.pop(operation.idempotency.name, None)
        if operation.pagination and operation.pagination.cursor:
            values.pop(operation.pagination.cursor, None)  # only a page hands one out
        if effect and effect.kind == "batch":
            self._disown(operation, values)
        if effect and effect.kind not in ("read", "list", "search", "delete"):
            self._mark(operation, values)
        values.update(given)
        return {name: value for name, value in values.items() if value is not MISSING}

    def _example(self, operation: Operation, seed: int, optional: bool) -> dict[str, Any]:
        """Return a valid call. Raises Inconclusive where none can be made from the schemas."""
        try:
            values = spec_examples.arguments(operation, seed=seed, optional=optional)
            for p in operation.parameters:
                if _needed_header(p) and p.name.lower() not in self._credentials:
                    values[p.name] = spec_examples.example(p.schema, seed, optional)
        except spec_examples.NoExample as error:
            raise Inconclusive(f"{operation.id}: {error}") from error
        return values

    def whole(
        self, operation: Operation, arguments: Mapping[str, Any], key: str | None
    ) -> Mapping[str, Any]:
        """Return arguments with what no request can do without: path and required headers.

        A nested list lies below records that its caller did not name; every call of one operation
        names the same ones. Raises Inconclusive where there are none.
        """
        lacking = [
            p.name for p in operation.parameters
            if p.name not in arguments and (p.location == "path" or _needed_header(p))
            and p.name.lower() not in self._credentials
        ]  # fmt: skip
        if not lacking:
            return arguments
        place = (operation.id, key or "a")
        if place not in self._homes:
            self._homes[place] = self.arguments(operation, place[1])
        home = self._homes[place]
        return {**{n: home[n] for n in lacking if n in home}, **arguments}

    def _named(self, operation: Operation, name: str, example: Any) -> Any:
        schema = properties(operation).get(name, {})
        if schema.get("type") == "string" and not {"enum", "format", "pattern"} & set(schema):
            return self._subject.mine.name(_short(self._subject.name(name), schema))
        if schema.get("pattern") and schema.get("type") == "string":
            made = _fitting(schema, self._subject.name(name), None)
            return example if made is None else self._subject.mine.name(made)
        if schema.get("format") == "uuid":
            return self._subject.mine.name(_unheard_of(schema, self._subject.name(name)))
        return example

    def _reference(
        self,
        operation: Operation,
        name: str,
        resource: str,
        key: str,
        values: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> Any:
        """Return the id of a record to refer to, made within the same scope as the call."""
        scope = operation.effect.scope if operation.effect else {}
        shared = {n: given.get(n, values.get(n)) for n in scope if n != name and n in values}
        made = self.make(resource, key, {n: v for n, v in shared.items() if v is not None})
        schema = properties(operation).get(name, {})
        for scoped in scope:
            if scoped != name and scoped in made.arguments and isinstance(values, dict):
                values[scoped] = made.arguments[scoped]
        return [made.id] if schema.get("type") == "array" else made.id

    def _disown(self, operation: Operation, values: dict[str, Any]) -> None:
        """Let entries of a batch name what nothing has: an example may be somebody's id."""
        each = (operation.effect.each or "/")[1:] if operation.effect else ""
        markers = entry_markers(operation, each)
        for entry in values.get(each) or []:
            if isinstance(entry, dict):
                plain = [n for n, v in entry.items() if n not in markers and isinstance(v, str)]
                entry.update({n: self._subject.name("unknown") for n in plain})

    def _mark(self, operation: Operation, values: dict[str, Any]) -> None:
        """Put the run's mark into free text that a person reads; ids and names stay."""
        scope = operation.effect.scope if operation.effect else {}
        skip = {*scope, *(p.name for p in operation.parameters)}
        if operation.effect and operation.effect.target:
            skip.add(operation.effect.target)
        each = operation.effect.each if operation.effect else None
        fields = properties(operation)
        if each and isinstance(values.get(each[1:]), list):
            inner = object_properties(fields[each[1:]].get("items", {}))
            for entry in values[each[1:]]:
                if isinstance(entry, dict):
                    self._mark_in(inner, entry, skip)
                    for name, kind in scope.items():
                        if name in entry and kind == "free" and is_free_text(inner.get(name, {})):
                            entry[name] = self._subject.name(name)
            return
        self._mark_in(fields, values, skip)

    def _mark_in(
        self, fields: Mapping[str, Schema], values: dict[str, Any], skip: set[str]
    ) -> None:
        for name, value in values.items():
            schema = fields.get(name, {})
            if name in skip or name.endswith("_id") or not is_free_text(schema):
                continue
            if isinstance(value, str):
                values[name] = f"{value} {self._subject.name('t')}"[: schema.get("maxLength", 4000)]
                return

    # -- records -------------------------------------------------------------------------------

    def make(
        self,
        resource: str,
        key: str = "a",
        given: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
    ) -> Made:
        """Create one record and return it. Raises Inconclusive where that cannot be done."""
        return self.make_all(resource, key, given, seed=seed)[0]

    def make_all(
        self,
        resource: str,
        key: str = "a",
        given: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
    ) -> list[Made]:
        """Create records with one call: one, or as many as a batch creates."""
        if not creators(self._subject.contract, resource):
            return [self._otherwise(resource, key)]
        operation, arguments = self.creation(resource, key, given, seed=seed)
        exchange = self._subject.send(operation, arguments, key=key)
        made = self.note(operation, arguments, exchange, key)
        if not made:
            raise Inconclusive(
                f"could not make a {resource}: {operation.id} was answered {told(exchange)}"
                + ("" if not ok(exchange) else " without an id")
            )
        return made

    def creation(
        self,
        resource: str,
        key: str = "a",
        given: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
    ) -> tuple[Operation, dict[str, Any]]:
        """Return a call, not sent yet, that creates records of a kind that an operation creates.

        Whoever sends it tells `note` of the answer.
        """
        operation, given = creators(self._subject.contract, resource)[0], given or {}
        known, inner = properties(operation), self._entry_fields(operation)
        effect = operation.effect
        outer = {n: v for n, v in given.items() if n in known}
        arguments = self.arguments(operation, key, outer, seed=seed)
        if effect and effect.each and isinstance(arguments.get(effect.each[1:]), list):
            for entry in arguments[effect.each[1:]]:
                entry.update({n: v for n, v in given.items() if n in inner})
        return operation, arguments

    def _otherwise(self, resource: str, key: str) -> Made:
        """Return a record of a kind that no operation creates by itself.

        Some come with another effect (the receipt of a deletion), some are what other records
        become, some just exist (a list shows them). Raises NotApplicable where none can be had.
        """
        contract = self._subject.contract
        for operation in contract:
            effect = operation.effect
            if effect is not None and effect.receipt and resource == "receipt":
                arguments = self.arguments(operation, key)
                exchange = self._subject.send(operation, arguments, key=key)
                given = value_at(exchange, effect.receipt)
                if isinstance(given, str):
                    return Made(resource, given, operation, {}, exchange, key, {})
        for maker in contract:
            if maker.effect is not None and maker.effect.yields == resource:
                self.make(maker.effect.resource or "", key)
        for lister in operations_on(contract, resource, "list"):
            effect = lister.effect
            asked = self.arguments(lister, key)
            exchange = self._subject.send(lister, asked, key=key)
            items = value_at(exchange, effect.items if effect else None)
            for item in items if isinstance(items, list) else []:
                shown = value_in(item, effect.item_id if effect else None)
                if isinstance(shown, str):
                    return Made(resource, shown, lister, {}, exchange, key, {})
        raise NotApplicable(f"no operation creates a {resource}, and none is listed")

    def _named_only(self, resource: str) -> bool:
        """Return True where a kind of record is nothing but a name that the caller makes up."""
        others = ("create", "read", "list", "search", "forget")
        effects = [o.effect for o in self._subject.contract if o.effect]
        return not any(
            e.yields == resource or (e.receipt and resource == "receipt") for e in effects
        ) and not operations_on(self._subject.contract, resource, *others)

    def _entry_fields(self, operation: Operation) -> Mapping[str, Schema]:
        each = operation.effect.each if operation.effect else None
        if not each:
            return {}
        return object_properties(properties(operation).get(each[1:], {}).get("items", {}))

    def note(
        self, operation: Operation, arguments: Mapping[str, Any], exchange: Exchange, key: str
    ) -> list[Made]:
        """Remember what an exchange created, whoever sent it; return it.

        Noted once however often it is told. What somebody had before is returned and not kept.
        """
        made = list(created(operation, arguments, exchange, key))
        for each in made:
            if self._subject.mine.created(key, each.resource, each.id, exchange.sent):
                name = (each.resource, each.id)
                self._made = [m for m in self._made if (m.resource, m.id) != name] + [each]
        self._remember_forgettable(operation, arguments, key, exchange)
        return made

    def _remember_forgettable(
        self, operation: Operation, arguments: Mapping[str, Any], key: str, exchange: Exchange
    ) -> None:
        """Where nothing deletes single records, a `forget` by scope is how they go."""
        effect = operation.effect
        if effect is None or effect.kind != "create" or not ok(exchange):
            return
        for forget in operations_on(self._subject.contract, effect.resource, "forget"):
            names = required(forget)
            if names <= set(arguments):
                scope = {n: arguments[n] for n in names}
                entry = (forget, scope, key)
                if entry not in self._forgettable:
                    self._forgettable.append(entry)
                return

    def unknown_id(self, operation: Operation, name: str) -> Any:
        """Return an id that has the declared form and that nothing has.

        Where the form leaves no choice it is the schema's example, which may name something.
        """
        schema = properties(operation).get(name, {})
        wish = self._subject.name("unknown")
        value = spec_examples.example(schema, seed=987_654) if schema else wish
        if isinstance(value, list):
            return [wish]
        if is_free_text(schema) or (
            schema.get("type") == "string" and not ({"format", "pattern", "enum"} & set(schema))
        ):
            return wish
        made = _unheard_of(schema, wish)
        return value if made is None else self._subject.mine.name(made)

    # -- clean-up ------------------------------------------------------------------------------

    def clean(self) -> list[str]:
        """Delete everything that was created, newest first; return what is left, in words."""
        if not self.tidies:
            return []
        self._subject.enter("clean-up")
        taken = []
        for operation, scope, key in self._forgettable:
            exchange = self._try(operation, scope, key)
            if exchange is not None and ok(exchange):
                taken.append(scope)
        self._forgettable.clear()
        self.tidy()
        self._left += self._remaining(taken)
        left = list(dict.fromkeys(self._left))
        self._made.clear()
        self._left = []
        return left

    def adopt(self, made: Made) -> None:
        """Take over a record that an earlier part of this run created and did not delete."""
        self._subject.mine.ids[made.resource, made.id] = made.principal or "a"
        self._made.append(made)

    def tidy(self) -> None:
        """Delete the records that single deletes can remove; what a forget takes waits for it.

        Done after every case: cases meet a small tenant, and a killed run leaves little behind.
        """
        if not self.tidies:
            return
        kept = []
        for made in reversed(self._made):
            mine, name = self._subject.mine, (made.resource, made.id)
            if name in mine.buried:  # another record may have its number by now
                mine.gone(*name)
            if name in mine.deleted:
                continue
            deleters = operations_on(self._subject.contract, made.resource, "delete")
            if not deleters:
                kept.append(made)
                continue
            arguments = self._to_delete(deleters[0], made)
            exchange = self._try(deleters[0], arguments, made.principal) if arguments else None
            if exchange is None or not ok(exchange):
                self._left += self._undeleted(made, exchange)
        self._made = kept[::-1]

    def _undeleted(self, made: Made, exchange: Exchange | None) -> Iterator[str]:
        """Yield what is left where a deletion was not accepted.

        That nothing has the id is believed where a read says so too.
        """
        name = f"{made.resource} {made.id}"
        if exchange is None:
            yield f"{name}: its deletion could not be sent"
            return
        if exchange.status not in (404, 410):
            yield f"{name}: its deletion was answered {told(exchange)}"
            return
        for reader in operations_on(self._subject.contract, made.resource, "read"):
            arguments = self._to_delete(reader, made)
            if not arguments or not (reader.effect and reader.effect.target):
                continue
            read = self._try(reader, arguments, made.principal)
            if read is not None and read.status in (404, 410):
                self._subject.mine.gone(made.resource, made.id)
                return
        yield f"{name}: its deletion was answered {told(exchange)}, and no read confirms it"

    def _remaining(self, taken: list[dict[str, Any]]) -> Iterator[str]:
        """Yield what was made, has no single deletion, and is in no scope that was forgotten."""
        for made in self._made:
            has = {**made.whole, **made.arguments}
            if any(scope.items() <= has.items() for scope in taken):
                continue
            way = operations_on(self._subject.contract, made.resource, "forget")
            why = "it was not forgotten" if way else "no operation deletes it"
            yield f"{made.resource} {made.id}: {why}"

    def _to_delete(self, operation: Operation, made: Made) -> dict[str, Any] | None:
        effect = operation.effect
        assert effect is not None
        names = required(operation)
        arguments = {n: made.whole[n] for n in names if n in made.whole}
        if effect.target:
            arguments[effect.target] = made.id
        return arguments if names <= set(arguments) else None

    def _try(self, operation: Operation, arguments: Mapping[str, Any], key: str) -> Exchange | None:
        try:
            return self._subject.send(operation, arguments, key=key)
        except (Inconclusive, NotApplicable, OSError):
            return None


def created(
    operation: Operation, arguments: Mapping[str, Any], exchange: Exchange, key: str
) -> Iterator[Made]:
    """Yield the records that an answer says were created."""
    effect, response = operation.effect, exchange.response
    if effect is None or response is None or not ok(exchange):
        return
    for made, own in effects.created(operation, arguments, response.json_or_none()):
        yield Made(effect.resource or "", str(made), operation, own, exchange, key, arguments)


def _short(name: str, schema: Schema) -> str:
    """Return a name within a schema's length: the whole one, else as much of its digest."""
    most = schema.get("maxLength", 200)
    return name if len(name) <= most else sha256(name.encode()).hexdigest()[:most]


def _unheard_of(schema: Schema, wish: str) -> Any:
    """Return a value of a schema that nobody can have; None where it leaves too little choice."""
    digest = sha256(wish.encode()).digest()
    if schema.get("format") == "uuid":
        return str(UUID(bytes=digest[:16], version=4))
    if schema.get("type") == "integer":
        low, high = schema.get("minimum", 0), schema.get("maximum", 2**31 - 1)
        if high - low < 2**20:
            return None
        return high - int.from_bytes(digest[:4], "big") % ((high - low) // 2)
    return _fitting(schema, wish, None) if schema.get("pattern") else None


def _fitting(schema: Schema, wish: str, example: Any) -> Any:
    """Return the wished-for name where a pattern allows it, else a plainer one or the example."""
    from conformance.oracles.contract import shape

    for name in (wish, wish.replace("-", "_"), wish.replace("-", "")):
        if shape(schema).valid(name):
            return name
    return example


__all__ = ["Made", "Sender", "World", "created", "creators", "operations_on", "properties"]
