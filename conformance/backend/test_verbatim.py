"""What is there is as it was: values as written, within dates, beside deletions (ST1, ST3, ST7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conformance.backend.effects import found_ids, read_arguments, text_of, unwrapped
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.views import (
    look,
    tellable,
    viewers,
    wait_for,
    write,
    writer_of,
)
from conformance.backend.world import Made, creators, operations_on, properties
from conformance.oracles.found import found, ok, told, value_in, weaker
from conformance.oracles.state import same
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Basis, Contract, Operation
from specs.contract import Schema

TEXTS: tuple[tuple[str, str], ...] = (
    ("letters of many scripts", "Zo\u00eb \u0416\u0443\u043a \u0639\u0631\u0628 \u6f22\u5b57"),
    ("signs of several code points", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
    ("letters with marks apart", "cafe\u0301 A\u030a \ufb01 \u2460"),
    ("markup and quotes", "<b>a & b</b> &amp; \"c\" 'd' `e` ${f} {{g}} %s \\n"),
    ("statements", "Robert'); DROP TABLE notes;-- \" OR 1=1"),
    ("lines and tabs", "one\ntwo\r\nthree\tfour"),
    ("many characters", "long " * 400 + "end"),
    ("blanks at both ends", "  \t between \n "),
    ("line ends of Unicode", "one\u2028two\u2029three\u0085four"),
    ("more characters than a page holds", "longer " * 600 + "end"),
    ("more characters than two bytes count", "longest " * 8_300 + "end"),
)  # fmt: skip
"""Texts that careless servers change: what is in them, and how they go."""
VALUES: Mapping[str, Any] = {
    "whole": 42, "fraction": 0.125, "below": -7, "large": 2**53 - 1, "true": True, "false": False,
    "text": "42", "empty": "", "list": [1, "1", {"in": [0.5]}], "deep": {"a": {"b": {"c": "d"}}},
    "N\u00e4me with blanks": "kept",
}  # fmt: skip
"""Members of an object whose shape is the caller's business."""
ODD: tuple[tuple[str, Mapping[str, Any], Basis], ...] = (
    ("names that query languages read", {
        "a.b": 1, "a.c.d": "deep", "$x": "dollar", "__proto__": {"admin": True}, "x[0]": "index",
    }, Basis.DOCUMENTED),
    ("nothing in its members", {"none": [], "inside": {}, "text": "", "zero": 0}, Basis.DOCUMENTED),
    ("null in its members", {"null": None, "kept": 1, "deep": {"null": None}}, Basis.ASSUMED),
    ("numbers at the edges", {"above": 2**53, "small": 5e-324, "large": 1e308}, Basis.ASSUMED),
    ("no members at all", {}, Basis.DOCUMENTED),
)  # fmt: skip
"""Objects that careless servers change or fail on: what is in them, and how sure it is that they
are kept. Many stores have no null, and their numbers have an end of their own."""


def _readable(contract: Contract) -> list[Operation]:
    """Return the creations whose record is read back by the id that they tell."""
    return [
        o for o in contract
        if o.effect and o.effect.kind == "create" and o.effect.id
        and any(r.effect and r.effect.kind == "read" and r.effect.target
                and r.effect.resource == o.effect.resource for r in contract)
    ]  # fmt: skip


@CASES.case("state.verbatim", "ST1", "CT6", each=_readable)
def test_verbatim(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Texts of every script, markup and nested values are read back as they were written."""
    pair = text_of(operation, subject.world.arguments(operation, optional=True))
    rows: list[tuple[str, Any, str, Basis]] = []
    for what, text in TEXTS:
        schema = properties(operation)[pair[0]] if pair else {}
        if pair is not None and len(text) + 60 <= schema.get("maxLength", 100_000):
            first = text[: len(text) - len(text.lstrip())]
            marked = f"{first}{subject.name('v')} {text[len(first) :]}"
            rows.append((pair[0], marked, what, Basis.DOCUMENTED))
    for name, schema in properties(operation).items():
        if _open(schema):
            rows.append((name, dict(VALUES), "values of every type", Basis.DOCUMENTED))
            rows += [(name, dict(value), what, basis) for what, value, basis in ODD]
    if not rows:
        raise NotApplicable("it takes neither free text nor an open object")
    untold = []
    for name, value, what, basis in rows:
        try:
            yield from _kept(subject, operation, name, value, what, basis)
        except Inconclusive as why:
            untold.append(f"{what}: {why}")
    if len(untold) == len(rows):
        raise Inconclusive(untold[0])


def _open(schema: Schema) -> bool:
    """Return True where an object takes any members."""
    return (
        schema.get("type") == "object"
        and schema.get("additionalProperties", True) is True
        and not {"properties", "maxProperties", "propertyNames"} & set(schema)
    )


def _kept(
    subject: BackendSubject, operation: Operation, name: str, value: Any, what: str, basis: Basis
) -> Iterable[Finding]:
    """Create a record with one value, read it, and compare.

    Raises Inconclusive where the server refuses the value, or shows no record.
    """
    effect = operation.effect
    assert effect is not None
    arguments = subject.world.arguments(operation, given={name: value})
    exchange = subject.send(operation, arguments)
    noted = subject.world.note(operation, arguments, exchange, "a")
    if exchange.status is None or exchange.status >= 500:
        yield found(
            "CT6", f"{name} with {what} makes the server fail ({told(exchange)})", exchange,
            cause=f"value-fails {operation.id} {name} {what}", operation=operation,
            expected="2xx", actual=told(exchange),
        )  # fmt: skip
        return
    if not ok(exchange) or not noted:
        raise Inconclusive(f"{operation.id} was answered {told(exchange)} without an id to read by")
    made = noted[0]
    reader = viewers(subject.contract, made, "read")[0]
    read = unwrapped(reader, subject.send(reader, read_arguments(subject, reader, made)))
    if not ok(read):
        raise Inconclusive(f"{reader.id} was answered {told(read)}")
    assert read.response is not None
    shown = value_in(read.response.json_or_none(), f"/{effect.renamed.get(name, name)}")
    if not same(value, shown):
        yield found(
            "ST1", f"{name} with {what} is read back otherwise than it was written", made.exchange,
            read, cause=f"not-verbatim {operation.id} {name}", operation=operation,
            basis=weaker(effect.basis, basis),
        )  # fmt: skip


def _dated(contract: Contract) -> list[Operation]:
    """Return the searches and lists that dates narrow, over what can be made."""
    return [
        o for o in contract
        if o.effect and o.effect.kind in ("search", "list") and (o.effect.since or o.effect.until)
        and creators(contract, o.effect.resource or "")
    ]  # fmt: skip


PAST, FUTURE = "2001-01-01", "2999-12-31"


@CASES.case("state.dated", "ST3", each=_dated)
def test_dated(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What is made now shows between the past and the future, and not outside of that."""
    effect = operation.effect
    assert effect is not None
    made = write(subject, creators(subject.contract, effect.resource or "")[0])[0]
    if not tellable(operation, made) or wait_for(subject, operation, made).count == 0:
        raise Inconclusive("without dates it does not show either")
    for name, value, shows in (
        (effect.since, PAST, True), (effect.until, FUTURE, True),
        (effect.since, FUTURE, False), (effect.until, PAST, False),
    ):  # fmt: skip
        if name is None:
            continue
        asked = {n: v for n, v in ((effect.query, _words(made)), (name, value)) if n}
        exchange = subject.send(operation, subject.world.arguments(operation, given=asked))
        if not ok(exchange):
            raise Inconclusive(f"{operation.id} was answered {told(exchange)}")
        if (made.id in (found_ids(operation, exchange) or ())) is not shows:
            yield found(
                "ST3", f"what was made now is {'not ' if shows else ''}shown with {name} {value}",
                made.exchange, exchange, cause=f"dates-ignored {operation.id} {name} {value}",
                operation=operation, basis=effect.basis,
            )  # fmt: skip


def _words(made: Made) -> str:
    pair = text_of(made.operation, made.arguments)
    return pair[1] if pair else ""


def _sparing(contract: Contract) -> list[Operation]:
    return [
        o for o in contract
        if o.effect and o.effect.spares and creators(contract, o.effect.resource or "")
    ]  # fmt: skip


@CASES.case("state.spared", "ST7", each=_sparing)
def test_spared(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A deletion leaves the records of the kinds that it is said to leave."""
    effect = operation.effect
    assert effect is not None
    for kind in effect.spares:
        maker = writer_of(subject.contract, kind)
        listers = operations_on(subject.contract, kind, "list")
        if maker is None or not listers:
            raise NotApplicable(f"nothing makes or lists a {kind}")
        kept = write(subject, maker)[0]
        if not tellable(listers[0], kept) or wait_for(subject, listers[0], kept).count == 0:
            raise Inconclusive(f"the {kind} does not show, so its vanishing would prove nothing")
        doomed = write(subject, creators(subject.contract, effect.resource or "")[0])[0]
        known = properties(operation)
        given = {n: doomed.whole[n] for n in effect.scope if n in known and n in doomed.whole}
        exchange = subject.send(operation, {**given, effect.target or "id": doomed.id})
        if not ok(exchange):
            raise Inconclusive(f"the deletion was answered {told(exchange)}")
        view = look(subject, listers[0], kept)
        if view.count == 0:
            yield found(
                "ST7", f"a deletion takes a {kind} with it, which it is said to leave", exchange,
                view.exchange, cause=f"deletion-takes-{kind} {operation.id}", operation=operation,
                basis=effect.basis,
            )  # fmt: skip
