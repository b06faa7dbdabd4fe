"""Values come back as they were written, whatever is in them (ST1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from conformance.backend.effects import read_arguments, text_of
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.views import viewers, write
from conformance.backend.world import properties
from conformance.oracles.found import found, ok, told, value_in
from conformance.oracles.state import same
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.contract import Schema

TEXTS: tuple[tuple[str, str], ...] = (
    ("letters of many scripts", "Zo\u00eb \u0416\u0443\u043a \u0639\u0631\u0628 \u6f22\u5b57"),
    ("signs of several code points", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea"),
    ("letters with marks apart", "cafe\u0301 A\u030a \ufb01 \u2460"),
    ("markup and quotes", "<b>a & b</b> &amp; \"c\" 'd' `e` ${f} {{g}} %s \\n"),
    ("statements", "Robert'); DROP TABLE notes;-- \" OR 1=1"),
    ("lines and tabs", "one\ntwo\r\nthree\tfour"),
    ("many characters", "long " * 400 + "end"),
)  # fmt: skip
"""Texts that careless servers change: what is in them, and how they go."""
VALUES: Mapping[str, Any] = {
    "whole": 42, "fraction": 0.125, "below": -7, "large": 2**53 - 1, "true": True, "false": False,
    "text": "42", "empty": "", "list": [1, "1", {"in": [0.5]}], "deep": {"a": {"b": {"c": "d"}}},
    "N\u00e4me with blanks": "kept",
}  # fmt: skip
"""Members of an object whose shape is the caller's business."""


def _readable(contract: Contract) -> list[Operation]:
    """Return the creations whose record is read back by the id that they tell."""
    return [
        o for o in contract
        if o.effect and o.effect.kind == "create" and o.effect.id
        and any(r.effect and r.effect.kind == "read" and r.effect.target
                and r.effect.resource == o.effect.resource for r in contract)
    ]  # fmt: skip


@CASES.case("state.verbatim", "ST1", each=_readable)
def test_verbatim(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Texts of every script, markup and nested values are read back as they were written."""
    pair = text_of(operation, subject.world.arguments(operation, optional=True))
    tried = 0
    for what, text in TEXTS:
        if pair is None or len(text) > properties(operation)[pair[0]].get("maxLength", 100_000):
            continue
        tried += 1
        yield from _kept(subject, operation, pair[0], f"{subject.name('v')} {text}", what)
    for name, schema in properties(operation).items():
        if _open(schema):
            tried += 1
            yield from _kept(subject, operation, name, dict(VALUES), "values of every type")
    if not tried:
        raise NotApplicable("it takes neither free text nor an open object")


def _open(schema: Schema) -> bool:
    """Return True where an object takes any members."""
    return (
        schema.get("type") == "object"
        and schema.get("additionalProperties", True) is True
        and not {"properties", "maxProperties", "propertyNames"} & set(schema)
    )


def _kept(
    subject: BackendSubject, operation: Operation, name: str, value: Any, what: str
) -> Iterable[Finding]:
    """Create a record with one value, read it, and compare."""
    effect = operation.effect
    assert effect is not None
    made = write(subject, operation, given={name: value})[0]
    reader = viewers(subject.contract, made, "read")[0]
    read = subject.send(reader, read_arguments(subject, reader, made))
    if not ok(read):
        raise Inconclusive(f"{reader.id} was answered {told(read)}")
    assert read.response is not None
    shown = value_in(read.response.json_or_none(), f"/{effect.renamed.get(name, name)}")
    if not same(value, shown):
        yield found(
            "ST1", f"{name} with {what} is read back otherwise than it was written", made.exchange,
            read, cause=f"not-verbatim {operation.id} {name}", operation=operation,
            basis=effect.basis,
        )  # fmt: skip
