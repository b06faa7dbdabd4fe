"""Calls that put an answer's relations to the test: tight budgets, small limits, filters.

A relation that any answer keeps by chance proves nothing; here data is made and arguments are
chosen so that one that is ignored shows. Nothing here judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from conformance.backend.filling import made_elsewhere
from conformance.backend.views import View, look, tellable, write, writer_of
from conformance.backend.world import Made, properties, required
from conformance.verdict import Inconclusive, NotApplicable
from specs import Operation
from specs import examples as spec_examples

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

COUNT = 5
WORDS = "amber basil cedar delta ember fjord grove heron ivory juniper kestrel lagoon"
LONG = 120
"""How often the words are repeated where an answer has a budget to exceed."""


def provocations(subject: BackendSubject, operation: Operation) -> Iterator[dict[str, Any]]:
    """Yield arguments for one operation, after data was made that makes them bite."""
    scope = _prepared(subject, operation)
    plain = {**subject.world.arguments(operation), **scope}
    yield plain
    named = {r.right for r in operation.relations if r.right}
    named.update(name for r in operation.relations for name in r.when)
    rights = named & set(properties(operation))
    for name in sorted(rights):
        for value in _values(operation, name):
            if name in scope and not isinstance(value, (int, float)):
                continue
            yield {**plain, name: value}
    numbers = {
        n: v for n in sorted(rights)
        for v in _values(operation, n)[:1] if isinstance(v, (int, float)) and n not in scope
    }  # fmt: skip
    if len(numbers) > 1:
        yield {**plain, **numbers}


def _values(operation: Operation, name: str) -> list[Any]:
    """Return telling values of an argument: every word of a set, small and middling numbers."""
    schema = properties(operation)[name]
    if "enum" in schema:
        return list(schema["enum"])
    kind = schema.get("type")
    if kind == "integer":
        low = int(schema.get("minimum", 0))
        return sorted({max(low, 1), max(low, 2), max(low, 3)})
    if kind == "number":
        least, most = float(schema.get("minimum", 0)), float(schema.get("maximum", 1))
        return [least + (most - least) * part for part in (0.35, 0.6, 0.9)]
    if kind == "boolean":
        return [True, False]
    return [spec_examples.example(schema, seed=n) for n in range(2)]


def _prepared(subject: BackendSubject, operation: Operation) -> dict[str, Any]:
    """Make several records of different worth in one scope; return what names that scope."""
    effect = operation.effect
    if effect is None or effect.kind not in ("search", "list"):
        return {}
    maker = writer_of(subject.contract, effect.resource)
    if maker is None or maker.effect is None:
        made_elsewhere(subject, effect.resource or "", {}, COUNT)
        return {}
    query = {effect.query: WORDS} if effect.query else {}
    scope = {
        n: subject.name(n) for n, kind in effect.scope.items()
        if kind == "free" and n in required(operation)
    }  # fmt: skip
    made: list[Made] = []
    for number in range(COUNT):
        try:
            made += _one(subject, maker, scope, number)
        except (Inconclusive, NotApplicable):
            return {**scope, **query}
    _settle(subject, operation, made)
    return {**scope, **query}


def _one(
    subject: BackendSubject, maker: Operation, scope: dict[str, Any], number: int
) -> list[Made]:
    """Write a text that shares fewer words with the query the higher its number is."""
    from conformance.backend.effects import text_of

    words = WORDS.split()[: max(1, 12 - 3 * number)]
    text = " ".join(words * (LONG if number < 2 else 1)) + f" {subject.name('r')}"
    effect = maker.effect
    assert effect is not None
    if effect.each:
        arguments = subject.world.arguments(maker)
        entries = arguments.get(effect.each[1:], [])
        for entry in entries:
            entry.update(scope)
            pair = text_of(maker, entry)
            if pair:
                entry[pair[0]] = text
        return write(subject, maker, given=arguments)
    arguments = subject.world.arguments(maker)
    pair = text_of(maker, arguments)
    given = {n: v for n, v in scope.items() if n in properties(maker)}
    if pair:
        given[pair[0]] = text
    return write(subject, maker, given=given)


def _settle(subject: BackendSubject, operation: Operation, made: list[Made]) -> None:
    """Wait until the last record shows, where it can be told and takes time."""
    from conformance.backend.effects import delay_of, readable, until

    if not made or not tellable(operation, made[-1]):
        return

    def seen() -> View | None:
        try:
            return look(subject, operation, made[-1])
        except (Inconclusive, NotApplicable):
            return None

    def settled(view: View | None) -> bool:
        return view is None or view.count > 0 or not readable(operation, view.exchange)

    until(subject, delay_of(made[-1].operation), seen, settled, operation)
