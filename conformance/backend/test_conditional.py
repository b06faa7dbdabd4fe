"""Entity tags, conditions on writes, required headers, ends of life (CN1–CN5, CT4, DP1, DP2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from conformance.backend.effects import read_arguments
from conformance.backend.judging import judge_all
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.views import viewers
from conformance.backend.world import Made, creators
from conformance.history import Exchange
from conformance.oracles.found import found, ok, told
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation

_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"\Z')
"""An entity tag, strong or weak (RFC 9110 section 8.8.3)."""
OUTDATED = '"memconform-no-such-tag"'


def _of_one(contract: Contract, *kinds: str) -> list[Operation]:
    """Return the conditional operations of some kinds on a record that can be made."""
    return [
        o for o in contract
        if o.conditional and o.effect and o.effect.kind in kinds and o.effect.target
        and creators(contract, o.effect.resource or "")
    ]  # fmt: skip


def _reads(contract: Contract) -> list[Operation]:
    return _of_one(contract, "read")


def _writes(contract: Contract) -> list[Operation]:
    return _of_one(contract, "update", "replace")


def _tag(exchange: Exchange) -> str | None:
    return exchange.response.header("etag") if exchange.response else None


def _made(subject: BackendSubject, operation: Operation) -> Made:
    assert operation.effect is not None
    return subject.world.make(operation.effect.resource or "")


def _writing(subject: BackendSubject, operation: Operation, made: Made) -> dict[str, Any]:
    """Return a change of a record's values, which the record does not have yet."""
    effect = operation.effect
    assert effect is not None
    given = {n: v for n, v in made.arguments.items() if n in effect.scope}
    return subject.world.arguments(
        operation, given={**given, effect.target or "": made.id}, seed=9, optional=True
    )


@CASES.case("conditional.reads", "CN1", "CN2", each=_reads)
def test_reads(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A record has one tag as long as it stays as it is; whoever holds the tag gets 304."""
    assert operation.conditional is not None
    basis = operation.conditional.basis
    asked = read_arguments(subject, operation, _made(subject, operation))
    first = subject.send(operation, asked)
    if not ok(first):
        raise Inconclusive(f"{operation.id} was answered {told(first)}")
    tag = _tag(first)
    if tag is None or not _TAG.match(tag):
        yield found(
            "CN1", "a read shows no entity tag in quotes", first, cause="no-tag",
            operation=operation, basis=basis, expected='ETag: "…"', actual=tag,
        )  # fmt: skip
        return
    again = subject.send(operation, asked, headers=(("if-none-match", tag),))
    yield from judge_all(subject, [first])
    if again.status == 304:
        return
    if ok(again) and _tag(again) != tag:
        yield found(
            "CN1", "a record that nobody changed has another entity tag", first, again,
            cause="tag-changes", operation=operation, basis=basis, expected=tag, actual=_tag(again),
        )  # fmt: skip
        return
    yield found(
        "CN2", f"a read that names the current tag in If-None-Match is answered {told(again)}",
        first, again, cause="not-304", operation=operation, basis=basis, expected=304,
        actual=told(again),
    )  # fmt: skip


def _reader(subject: BackendSubject, made: Made) -> Operation:
    reader = next((o for o in viewers(subject.contract, made, "read") if o.conditional), None)
    if reader is None:
        raise NotApplicable("no read shows the tag of what this changes")
    return reader


def _body(exchange: Exchange) -> Any:
    return exchange.response.json_or_none() if exchange.response else None


@CASES.case("conditional.writes", "CN1", "CN3", "CN4", each=_writes)
def test_writes(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A write under the current tag is done and gives a new tag; under another, nothing happens."""
    assert operation.conditional is not None
    basis, made = operation.conditional.basis, _made(subject, operation)
    reader = _reader(subject, made)
    asked = read_arguments(subject, reader, made)
    before = subject.send(reader, asked)
    changes, tag = _writing(subject, operation, made), _tag(before)
    if not ok(before) or tag is None:
        raise Inconclusive("no read shows a tag")
    if not tag.startswith('"'):
        raise Inconclusive("If-Match takes strong tags, and the read shows another")
    refused = subject.send(operation, changes, headers=(("if-match", OUTDATED),))
    after = subject.send(reader, asked)
    if ok(refused) or (ok(after) and _body(after) != _body(before)):
        yield found(
            "CN3", "a write is done although If-Match names another tag than the current one",
            before, refused, after, cause="stale-write", operation=operation, basis=basis,
            expected="412, and nothing changed", actual=told(refused),
        )  # fmt: skip
        return
    if refused.status != 412:
        yield found(
            "CN4", f"a write under an outdated tag is answered {told(refused)}", refused,
            cause="not-412", operation=operation, basis=basis, expected=412, actual=told(refused),
        )  # fmt: skip
    done = subject.send(operation, changes, headers=(("if-match", tag),))
    if not ok(done):
        yield found(
            "CN3", "a write under the current tag is refused", before, done,
            cause="current-refused", operation=operation, basis=basis, expected="2xx",
            actual=told(done),
        )  # fmt: skip
        return
    changed = subject.send(reader, asked)
    if ok(changed) and _body(changed) != _body(before) and _tag(changed) == tag:
        yield found(
            "CN1", "a record that was changed keeps its entity tag", before, done, changed,
            cause="tag-stays", operation=operation, basis=basis, expected="another tag", actual=tag,
        )  # fmt: skip


def _conditions_only(contract: Contract) -> list[Operation]:
    return [o for o in _writes(contract) if o.conditional and o.conditional.required]


@CASES.case("conditional.required", "CN5", each=_conditions_only)
def test_required(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Where conditions are required, a write without one is answered 428 and not done."""
    assert operation.conditional is not None
    changes = _writing(subject, operation, _made(subject, operation))
    exchange = subject.send(operation, changes, keyed=False)
    if exchange.status != 428:
        yield found(
            "CN5", f"a write without If-Match is answered {told(exchange)}", exchange,
            cause="not-428", operation=operation, basis=operation.conditional.basis, expected=428,
            actual=told(exchange),
        )  # fmt: skip


@CASES.case("deprecation.headers", "DP1", "DP2", each=lambda c: [o for o in c if o.deprecation])
def test_deprecation(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Answers of a deprecated operation say since when, and until when it is there."""
    arguments = subject.world.arguments(operation)
    exchange = subject.send(operation, arguments)
    subject.world.note(operation, arguments, exchange, "a")
    yield from judge_all(subject, [exchange])
    if not ok(exchange):
        raise Inconclusive(f"{operation.id} was answered {told(exchange)}")


def _headers(contract: Contract, operation: Operation) -> list[str]:
    """Return the headers that a call must have by its parameters, beside its key."""
    keys = {rule.header.lower() for rule in contract.auth}
    return [
        p.name.lower() for p in operation.parameters_in("header")
        if p.required and p.name.lower() not in keys
    ]  # fmt: skip


@CASES.case("required.headers", "CT4", each=lambda c: [o for o in c if _headers(c, o)])
def test_headers(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A call that lacks a header which it must have is refused."""
    arguments: Mapping[str, Any] = subject.world.arguments(operation)
    usual = subject.send(operation, arguments)
    subject.world.note(operation, arguments, usual, "a")
    if not ok(usual):
        raise Inconclusive(f"the whole call was answered {told(usual)}")
    for name in _headers(subject.contract, operation):
        prepared = subject.request(operation, subject.world.arguments(operation))
        kept = tuple(pair for pair in prepared.request.headers if pair[0].lower() != name)
        exchange = subject.play(replace(prepared, request=replace(prepared.request, headers=kept)))
        subject.world.note(operation, prepared.arguments, exchange, "a")
        if ok(exchange):
            yield found(
                "CT4", f"a call without its required header {name} is accepted", exchange,
                cause=f"missing-header {name}", operation=operation, basis=operation.basis,
                expected="4xx", actual=told(exchange),
            )  # fmt: skip
