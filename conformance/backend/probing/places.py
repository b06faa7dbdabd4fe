"""Where records may be created, if their path leads through something that a probe cannot make.

A tenant that nothing deletes, a project that nothing creates: one that is there is looked for in
answers to plain reads, confirmed by another read, and fixed at the root. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from conformance.history import Exchange
from conformance.oracles.found import ok, value_in
from conformance.verdict import Inconclusive, NotApplicable
from specs import Basis, Operation
from specs.draft import Draft, Guess
from specs.draft.shapes import plain, singular

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

LOOKED_AT = 12
"""Plain reads that are asked for values."""
TRIED = 3
"""Values of one name that are tried."""
DEEP = 2


def settle(
    made: Draft,
    subject: BackendSubject,
    undeletable: Callable[[str], str],
    renew: Callable[[], None],
) -> None:
    """Fix path parameters that lead through what the probe cannot create and delete.

    One after the other: within a tenant that is fixed, the probe may make projects of its own.
    """
    found: dict[str, Any] = {}
    answers: list[tuple[Operation, Any]] | None = None
    tried: set[str] = set()
    while name := next((n for n in _open(made, undeletable) if n not in tried), None):
        tried.add(name)
        answers = list(_answers(subject)) if answers is None else answers
        values = list(dict.fromkeys(_values(made, answers, name)))[:TRIED]
        value = next((v for v in values if _leads(subject, name, v, found)), None)
        if value is not None:
            found[name] = value
            _fix(made, name, value)
            renew()


def _fix(made: Draft, name: str, value: Any) -> None:
    """Write one value into the draft, and take its name out of what operations refer to."""
    fixed = next((g for g in made.guesses if g.block == "fixed"), None)
    if fixed is None:
        fixed = Guess(None, "fixed", {}, "", Basis.OBSERVED, "reads under them are answered")
        made.guesses.insert(0, fixed)
    fixed.value[name] = value
    told = ", ".join(f"{n} {v!r}" for n, v in fixed.value.items())
    fixed.why = f"the server has {told}, and nothing that was recognised makes and deletes one"
    for guess in made.guesses:
        if guess.block == "effect" and name in guess.value.get("scope", {}):
            kept = {n: k for n, k in guess.value["scope"].items() if n != name}
            guess.value = {n: v for n, v in guess.value.items() if n != "scope"}
            guess.value |= {"scope": kept} if kept else {}
    made.questions[:] = [q for q in made.questions if f"which {name} may be used" not in q]


def _open(made: Draft, undeletable: Callable[[str], str]) -> Iterator[str]:
    """Yield the path parameters that no record of the probe's can stand for."""
    names: dict[str, None] = {}
    pinned = next((g.value for g in made.guesses if g.block == "fixed"), {})
    for operation in made.contract:
        effect = made.effect(operation)
        if not effect:
            continue
        for parameter in operation.parameters_in("path"):
            kind = effect.get("scope", {}).get(parameter.name, "")
            target = effect.get("target") == parameter.name
            known = parameter.name in operation.fixed or parameter.name in pinned
            if target or known or kind == "free":
                continue
            if not kind or undeletable(kind):
                names[parameter.name] = None
    yield from names


def _answers(subject: BackendSubject) -> Iterator[tuple[Operation, Any]]:
    """Yield what plain reads answer."""
    reads = [
        o for o in subject.contract
        if o.verb == "GET" and not o.parameters_in("path") and o.id not in subject.excluded
    ]  # fmt: skip
    likely = sorted(reads, key=lambda o: o.path.count("/"))
    for operation in likely[:LOOKED_AT]:
        exchange = _read(subject, operation, {})
        if exchange is not None and ok(exchange) and exchange.response is not None:
            yield operation, exchange.response.json_or_none()


def _values(made: Draft, answers: list[tuple[Operation, Any]], name: str) -> Iterator[Any]:
    """Yield what may stand for a path parameter, what is called a default first."""
    own = [
        p.schema.get("default")
        for o in made.contract for p in o.parameters_in("path") if p.name == name
    ]  # fmt: skip
    yield from (value for value in own if value is not None)
    seen = [v for _, body in answers for v in _under(body, name, DEEP)]
    seen += [v for o, body in answers for v in _listed(made, o, body, name)]
    yield from sorted((v for v in seen if v), key=lambda v: "default" not in str(v).lower())


def _under(value: Any, name: str, deep: int) -> Iterator[Any]:
    """Yield texts that stand under a name, or under its plural."""
    if not isinstance(value, dict) or deep < 0:
        return
    wanted = {plain(name), plain(name).removesuffix("id").removesuffix("name")}
    for key, held in value.items():
        called = plain(str(key)) in wanted or plain(singular(str(key))) in wanted
        if called and isinstance(held, str):
            yield held
        elif called and isinstance(held, list):
            yield from (each for each in held if isinstance(each, str))
        else:
            yield from _under(held, name, deep - 1)


def _listed(made: Draft, operation: Operation, body: Any, name: str) -> Iterator[Any]:
    """Yield the ids in a list of what a parameter names one of."""
    effect = made.effect(made.contract[operation.id])
    root = plain(name).removesuffix("id").removesuffix("name").removesuffix("identifier")
    if effect.get("kind") != "list" or root not in plain(str(effect.get("resource"))):
        return
    items = value_in(body, effect.get("items"))
    for item in items if isinstance(items, list) else []:
        value = value_in(item, effect.get("itemId"))
        if isinstance(value, str):
            yield value


def _leads(subject: BackendSubject, name: str, value: Any, known: dict[str, Any]) -> bool:
    """Return True if a read under a value is answered with what is there."""
    for operation in subject.contract:
        needed = {p.name for p in operation.parameters_in("path")}
        if operation.verb != "GET" or name not in needed or needed - {name, *known}:
            continue
        exchange = _read(subject, operation, {**known, name: value})
        if exchange is not None and ok(exchange):
            return True
    return False


def _read(subject: BackendSubject, operation: Operation, given: dict[str, Any]) -> Exchange | None:
    try:
        arguments = subject.world.arguments(operation, given=given)
        return subject.send(operation, arguments)
    except (Inconclusive, NotApplicable, KeyError):
        return None
