"""Arguments at the edges: emptiness and null, long texts, odd names, ids that URLs normalise.

Everything here is lawful under the declared schemas. What a call sends is judged by the same
oracle as any request's; the plain ones are in `test_wire.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from conformance.faults.script import Script
from conformance.oracles import wire
from conformance.oracles.contract import shape
from conformance.sdk.judging import CASES, MODES, first, once
from conformance.sdk.subject import Ask, Mode, Play, SdkSubject
from conformance.sdk.test_spellings import ELSEWHERE, in_turn
from conformance.sdk.test_wire import addressed, judged, takes_text
from conformance.verdict import Finding, NotApplicable
from specs import Basis, Contract, Operation
from specs.contract import Schema

LENGTHS = (255, 256, 1_000, 4_096, 65_536)
"""Characters of texts around every usual limit."""
PADDED = " \t padded: both ends \n"
WHOLE = (2**53, 2**31, -(2**31))
FRACTIONS = (1e308, 5e-324, -0.0, 0.1)
MOMENT = "2024-02-29T23:59:59.120+05:45"
OPEN: Mapping[str, Any] = {
    "null": None, "empty": {}, "none": [], "a.b": 1, "$x": "dollar", "__proto__": {"a": 1},
    "deep": {"null": None, "zero": 0, "no": False, "text": ""}, "large": 2**53,
}  # fmt: skip
"""Members of an object whose shape is the caller's business."""
KINDS = ("null", "empty", "padded", "long", "open", "number", "moment")
ALWAYS = ("null", "empty")
"""Kinds of values that a default run plays on every operation; the others go by turns."""
TURNS = 3


def _candidates(schema: Schema, kind: str) -> Iterator[Any]:
    """Yield values of one kind that might be valid under a schema, the hardest first."""
    said = schema.get("type")
    types = {said} if isinstance(said, str) else set(said or ())
    if kind == "null":
        yield None
    elif kind == "empty":
        yield from ([], {}, "")
    elif kind == "padded" and takes_text(schema, PADDED):
        yield PADDED
    elif kind == "long" and takes_text(schema, schema.get("minLength", 0) * "x"):
        yield from ("x" * (n - 1) + "e" for n in reversed(LENGTHS))
    elif kind == "open" and "object" in types:
        yield dict(OPEN)
    elif kind == "number" and "number" in types:
        yield from FRACTIONS
    elif kind == "number" and "integer" in types:
        yield from WHOLE
    elif kind == "moment" and schema.get("format") == "date-time":
        yield MOMENT


def variants(
    operation: Operation, arguments: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield kinds of values, and calls whose body has one wherever its schema allows it."""
    body = operation.body.schema.get("properties", {}) if operation.body else {}
    paging, stream = operation.pagination, operation.stream
    spared = {paging.cursor, paging.limit} if paging else set()
    spared |= {stream.parameter} if stream else set()
    for kind in KINDS:
        made = {}
        for name, schema in body.items():
            fit = [v for v in _candidates(schema, kind) if shape(schema).valid(v)]
            if fit and name not in spared:
                made[name] = fit[0]
        if made:
            yield kind, {**arguments, **made}


def bodied(contract: Contract) -> list[Operation]:
    """Return the operations whose calls have a body."""
    return [o for o in contract if o.body is not None]


@CASES.case("wire.edges", "WR5", each=bodied, modes=MODES)
def test_edges(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Nothing, null, blanks at both ends, long texts and odd members arrive as they were given."""
    ready = subject.needs(operation, mode)
    rows = list(variants(operation, subject.arguments(operation)))
    mine = rows if subject.deep else _mine(subject, operation, rows)
    if not rows:
        raise NotApplicable("no argument takes such values")
    if not mine:
        raise NotApplicable(ELSEWHERE)
    found: list[Finding] = []
    for kind, arguments in mine:
        made = subject.play(Script(), Ask(operation, arguments), mode=ready)
        if kind == "null":
            found += made.witnessed(_nulls(operation, made))
        elif kind == "moment":
            found += made.witnessed(_moments(operation, made))
        else:
            found += [f for f in judged(subject, operation, made) if f.requirement == "WR5"]
    return once(found)


def _mine(subject: SdkSubject, operation: Operation, rows: Sequence[Any]) -> list[Any]:
    """Return the rows that fall to an operation: of those that are able, one in `TURNS`."""
    able: dict[str, list[Operation]] = {}
    for each in bodied(subject.contract):
        for kind, _ in variants(each, {}):
            able.setdefault(kind, []).append(each)
    return [r for r in rows if r[0] in ALWAYS or able[r[0]].index(operation) % TURNS == 0]


def _nulls(operation: Operation, made: Play) -> Iterator[Finding]:
    """Yield a finding where an explicit null was left out: the server cannot tell it from nothing.

    Many languages have one word for both, so nobody's document carries this.
    """
    body = made.attempts[0].request.json_or_none() if made.attempts else None
    if not isinstance(body, dict):
        return
    lost = [n for n, v in made.call.arguments.items() if v is None and n not in body]
    if lost:
        yield Finding(
            "WR5", "leaves an explicit null out",
            expected=f"null for {', '.join(lost)}, which the schema allows",
            actual="they are not sent", basis=Basis.ASSUMED, cause="null-lost",
        )  # fmt: skip


def _moments(operation: Operation, made: Play) -> Iterator[Finding]:
    """Yield a finding where a time was sent as another moment; other words for it are as good."""
    body = made.attempts[0].request.json_or_none() if made.attempts else None
    if not isinstance(body, dict):
        return
    for name, wanted in made.call.arguments.items():
        if wanted == MOMENT and name in body and _moment(body[name]) != _moment(MOMENT):
            yield Finding(
                "WR5", f"changes the argument `{name}`", operation=operation.id, expected=MOMENT,
                actual=str(body[name]), basis=operation.basis,
                cause=f"argument:body:{operation.id}.{name}",
            )  # fmt: skip


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None


DOTS = (".", "..")
SEGMENTS = ("a/b", "%2e%2e", "%2F", "?", "#", " edge ", "a;b=c", "\u00e4", "+")
"""Ids that mean something to URLs; dots alone mean it however they are written."""


@CASES.case("wire.segments", "WR8", each=addressed, modes=MODES)
def test_segments(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """An id that a URL would normalise goes out as that id, or the client refuses it."""
    ready = subject.needs(operation, mode)
    able = addressed(subject.contract)
    dots = DOTS if subject.deep or operation in able[:2] else ()
    rows = in_turn(subject, operation, able, SEGMENTS)
    if not rows and not dots:
        raise NotApplicable(ELSEWHERE)
    found: list[Finding] = []
    for text in ("up/../over", *rows):
        found += _encoded(subject, operation, ready, text)
    if found:
        return once(found)  # dots go astray like everything else
    for text in (*dots, *([""] if dots else [])):
        named = {p.name: text for p in operation.parameters_in("path")}
        made = subject.play(Script(), subject.ask(operation, named), mode=ready, alone=True)
        found += made.witnessed(_astray(operation, text, made))
    return once(found)


def _encoded(subject: SdkSubject, operation: Operation, mode: Mode, text: str) -> list[Finding]:
    named = {p.name: text for p in operation.parameters_in("path")}
    made = subject.play(Script(), subject.ask(operation, named), mode=mode, alone=True)
    if not made.attempts:
        return []
    request = made.attempts[0].request
    return made.witnessed(wire.judge_encoded(operation, named, request, request.path))


def _astray(operation: Operation, text: str, made: Play) -> Iterator[Finding]:
    """Yield a finding where something was sent: no URL can carry such an id in its place.

    `%2E%2E` is the same as `..` to whoever normalises a URL (RFC 3986 section 6.2.2).
    """
    if not made.attempts:
        return
    request = made.attempts[0].request
    yield Finding(
        "WR8", "reaches another place than the id that it was given" if text
        else "sends a request without the id that its path needs",
        expected=f"no request: {operation.path} has no place for the id {text!r}",
        actual=f"{request.method} {request.target}",
        basis=operation.wire_basis if text else Basis.ASSUMED,
        cause="path-astray:dots" if text else "path-astray:empty",
    )  # fmt: skip


@CASES.case("wire.base-url", "WR1", each=first, modes=MODES)
def test_base_url(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A base URL with a slash at its end leads to the same requests."""
    ready = subject.needs(operation, mode)
    asked = []
    for address in ("{}", "{}/"):
        made = subject.play(
            Script(), subject.ask(operation), mode=ready, alone=True, address=address
        )
        sent = made.attempts[0].request if made.attempts else None
        asked.append(f"{sent.method} {sent.target}" if sent else "no request")
    if asked[0] == asked[1]:
        return []
    return made.witnessed([
        Finding(
            "WR1", "sends to another place where its base URL ends with a slash",
            expected=asked[0], actual=asked[1], basis=Basis.ASSUMED, cause="base-url:slash",
        )
    ])  # fmt: skip
