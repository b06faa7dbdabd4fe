"""Whose a record is, and so what a run may change: nothing that it did not create.

A run owns the names that it made up and the ids that answers to its own creations gave, unless
such an id was shown before the creation was sent: then it is somebody's record. `withheld` looks
at one request before it leaves and says why it must not; the subject asks it of every request,
whichever case sends it. Nothing here sends or judges.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from conformance.history import Request
from conformance.verdict import NotApplicable
from specs import Contract, Operation
from specs.exclusions import takes_from_all
from specs.vocabulary import Effect

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing (RFC 9110 section 9.2.1)."""
LASTING = 16
"""Characters of an id that no server gives a second time; a shorter one may come back after a
deletion, as the number of a row does, and then it is another record."""


class Withheld(NotApplicable):
    """A request was not sent, because it could change what the run did not create."""


@dataclass
class Belongings:
    """What belongs to a run, and what was there without it.

    Ids count for one kind of record, and short ones for one tenant: two tables both begin with 1.
    """

    names: set[str] = field(default_factory=set)
    """Every name that the run made up."""
    ids: dict[tuple[str, str], str] = field(default_factory=dict)
    """(resource, id) of each record that the run created and has not deleted -> its tenant."""
    deleted: dict[tuple[str, str], str] = field(default_factory=dict)
    """(resource, id) of each record that the run created and deleted -> its tenant."""
    seen: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """(tenant, resource, id) that a list or search showed -> when it did so first."""
    whole: set[tuple[str, str]] = field(default_factory=set)
    """(tenant, resource) of which a list was read to its end before anything was created."""
    buried: set[tuple[str, str]] = field(default_factory=set)
    """(resource, id) of records that an earlier part of this run created and deleted."""
    reused: set[tuple[str, str]] = field(default_factory=set)
    """(resource, id) that a creation gave although it was taken."""

    def name(self, value: Any) -> Any:
        """Take note of a name that was made up, and return it."""
        self.names.add(str(value))
        return value

    def shown(self, who: str, resource: str | None, ids: Iterable[str], at: float) -> None:
        """Take note of ids that an answer to a tenant showed at a time."""
        for each in ids:
            key = (who or "a", resource or "", each)
            self.seen[key] = min(at, self.seen.get(key, at))

    def created(self, who: str, resource: str, id: str, sent: float) -> bool:
        """Take note of an id that a creation gave; return False where it is somebody's.

        `sent` is when the creation was sent: what was shown before that was there before.
        """
        key = (resource, id)
        mine = key in self.ids or key in self.deleted or id in self.names
        if not mine and self.seen.get((who or "a", *key), sent) < sent:
            self.reused.add(key)
            return False
        self.deleted.pop(key, None)
        self.ids[key] = who or "a"
        return True

    def gone(self, resource: str, id: str) -> None:
        """Take note that a record of the run is deleted."""
        who = self.ids.pop((resource, id), None)
        if who is not None:
            self.deleted[resource, id] = who

    def foreign(self, value: Any, resource: str, who: str) -> bool:
        """Return True for the id of a record that is known to be somebody else's."""
        text = str(value)
        known = (who or "a", resource, text) in self.seen or (resource, text) in self.reused
        return known and not self.owns(text, resource, who)

    def owns(self, value: Any, resource: str, who: str) -> bool:
        """Return True where a value names only what the run created or made up."""
        if isinstance(value, list):
            return bool(value) and all(self.owns(each, resource, who) for each in value)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            return False
        text, who = str(value), who or "a"
        key = (resource, text)
        if text in self.names or key in self.reused:
            return key not in self.reused
        if lasting(text):
            return key in self.ids or key in self.deleted
        if key not in self.ids:
            return False
        alone = (who, resource) in self.whole and (who, resource, text) not in self.seen
        return self.ids[key] == who or alone


def lasting(id: str) -> bool:
    """Return True for an id that no other record has or will have; the number of a row is none."""
    return len(id) >= LASTING and not id.isdigit()


def withheld(
    contract: Contract,
    mine: Belongings,
    operation: Operation | None,
    request: Request,
    arguments: Mapping[str, Any],
    who: str,
) -> str:
    """Return why a request of a tenant must not be sent, '' where it may.

    `arguments` are those of path, query and header; what the body names is read from its bytes.
    """
    if operation is None or request.method != operation.verb:
        if request.method in SAFE:
            return ""
        return _undeclared(mine, operation, request, who)
    if operation.safe:
        return ""
    named = _named(operation, request, arguments)
    taking = next((n for n, v in named.items() if v is True and takes_from_all(n)), None)
    if taking is not None:
        return (
            f"not sent: {operation.id} with {taking} true would take it from a record that this "
            "run did not create"
        )
    asked = _Asked(contract, mine, operation, named, who)
    effect = operation.effect
    if effect is None or (effect.target is None and effect.kind not in _RULES):
        return asked.of_unknown_effect()
    return _RULES.get(effect.kind, _Asked.on_one)(asked)


def _named(operation: Operation, request: Request, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request names: arguments outside of its body, and the body's own members."""
    places = {p.name for p in operation.parameters}
    found = {name: value for name, value in arguments.items() if name in places}
    try:
        body = json.loads(request.body) if request.body else None
    except (ValueError, RecursionError):
        body = None
    return {**(body if isinstance(body, dict) else {}), **found}


def _undeclared(mine: Belongings, operation: Operation | None, request: Request, who: str) -> str:
    """A method that is not declared may be obeyed: then it must hit nothing of anybody's."""
    path = urlsplit(request.target).path
    variable = list(path_values(operation, path)) if operation is not None else []
    if variable and all(mine.owns(each, "", who) for each in variable):
        return ""
    return (
        f"not sent: {request.method} is not declared for {path[:60]}, and could change what this "
        "run did not create if it is obeyed"
    )


def path_values(operation: Operation, path: str) -> Iterator[str]:
    """Yield what stands in the place of each path parameter in a path, the last ones first."""
    template, given = operation.path.split("/")[::-1], path.split("/")[::-1]
    for pattern, value in zip(template, given, strict=False):
        if "{" in pattern:
            yield unquote(value)


@dataclass(frozen=True)
class _Asked:
    """A request that may change something, and what it names."""

    contract: Contract
    mine: Belongings
    operation: Operation
    named: Mapping[str, Any]
    who: str

    @property
    def effect(self) -> Effect:
        assert self.operation.effect is not None
        return self.operation.effect

    def told(self, name: str, value: Any) -> str:
        shown = "nothing" if value is None else repr(value)[:60]
        return (
            f"not sent: {self.operation.id} would change what this run did not create "
            f"({name} is {shown})"
        )

    def owns(self, value: Any, resource: str | None) -> bool:
        return self.mine.owns(value, resource or "", self.who)

    def foreign(self, value: Any, resource: str | None) -> bool:
        return self.mine.foreign(value, resource or "", self.who)

    def on_one(self) -> str:
        """A change goes to a record of the run's."""
        target = self.named.get(self.effect.target or "")
        if target is None and self.inside():
            return self.elsewhere()
        if not self.owns(target, self.effect.resource):
            return self.told(self.effect.target or "the record", target)
        return self.elsewhere()

    def inside(self) -> bool:
        """True where the path leads into records of the run's, whatever else is left out."""
        kinds = self.effect.scope
        names = [p.name for p in self.operation.parameters_in("path")]
        return bool(names) and all(self.owns(self.named.get(n), kinds.get(n, "")) for n in names)

    def of_unknown_effect(self) -> str:
        """Where nobody says what an operation works on, its path names something of the run's."""
        operation = self.operation
        inside = [self.named.get(p.name) for p in operation.parameters_in("path")]
        if inside and all(self.owns(each, None) for each in inside):
            return ""
        if not inside and operation.verb == "POST":
            return ""
        return (
            f"not sent: the contract does not say which record {operation.id} works on, so "
            f"{operation.verb} {operation.path} could change what this run did not create"
        )

    def creation(self) -> str:
        """A creation takes the place of nothing that is there, and goes into nobody's record."""
        target = self.effect.target
        if target and target in self.named:
            chosen = self.named[target]
            replaces = self.operation.verb != "POST" and not self.owns(chosen, self.effect.resource)
            if replaces or self.foreign(chosen, self.effect.resource):
                return self.told(target, chosen)
        return self.elsewhere()

    def elsewhere(self) -> str:
        """Nothing goes into somebody's record where the run could have made one of its own."""
        for name, kind in self.effect.scope.items():
            if kind == "free" or name not in self.named:
                continue
            makes = any(
                o.effect and o.effect.kind == "create" and o.effect.resource == kind
                for o in self.contract
            )
            value = self.named[name]
            values = value if isinstance(value, list) else [value]
            if makes and any(self.foreign(each, kind) for each in values):
                return self.told(name, value)
        return ""

    def forgetting(self) -> str:
        """Forgetting goes by a scope of the run's own: a missing one may stand for everything."""
        narrowing = dict(self.effect.scope)
        if self.effect.target:
            narrowing[self.effect.target] = self.effect.resource or ""
        given = {n for n in narrowing if self.named.get(n) is not None}
        for name in sorted((_required(self.operation) & set(narrowing)) | given):
            if not self.owns(self.named.get(name), narrowing[name]):
                return self.told(name, self.named.get(name))
        return "" if given else self.told("its scope", None)

    def batch(self) -> str:
        """Entries of a batch that name a record name one of the run's."""
        each = (self.effect.each or "/")[1:]
        entries = self.named.get(each)
        markers = entry_markers(self.operation, each)
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, dict):
                continue
            words = [v for n, v in entry.items() if n not in markers and isinstance(v, (str, int))]
            creates = "create" in [v for v in entry.values() if isinstance(v, str)]
            owned = creates or all(self.owns(word, self.effect.resource) for word in words)
            if not owned or any(self.foreign(word, self.effect.resource) for word in words):
                return self.told("an entry", entry)
        return ""


_RULES: Mapping[str, Callable[[_Asked], str]] = {
    "create": _Asked.creation, "forget": _Asked.forgetting, "batch": _Asked.batch,
    "update": _Asked.on_one, "replace": _Asked.on_one, "delete": _Asked.on_one,
    "link": _Asked.on_one,
}  # fmt: skip


def _required(operation: Operation) -> set[str]:
    body = operation.body.schema.get("required", ()) if operation.body else ()
    return {p.name for p in operation.parameters if p.required} | set(body)


def entry_markers(operation: Operation, each: str) -> set[str]:
    """Return the properties of batch entries that say what is done, and name nothing."""
    schema = operation.body.schema if operation.body else {}
    items = schema.get("properties", {}).get(each, {}).get("items", {})
    kinds = items.get("oneOf", items.get("anyOf", [items]))
    return {
        name for kind in kinds for name, inner in kind.get("properties", {}).items()
        if {"const", "enum"} & set(inner)
    }  # fmt: skip
