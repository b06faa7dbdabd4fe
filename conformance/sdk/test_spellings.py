"""Right answers in every lawful spelling: header names, media types, codings, texts, event lines.

Each spelling is played on some operation in the default run, on all in a deep one. A finding is
what a client makes of a spelling and does not make of the plain answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from conformance.faults.answers import Answer, AnswerBook, as_answer
from conformance.faults.script import Instruction, Script, respond
from conformance.faults.spellings import EVENTS, FOREIGN, JSON, Spelling
from conformance.history import Request
from conformance.oracles import answers, surfaced
from conformance.oracles.found import weaker
from conformance.sdk.judging import CASES, MODES, judge_retries, once, play, streaming
from conformance.sdk.subject import Play, SdkSubject
from conformance.sdk.test_retries import promising
from conformance.sdk.test_wire import takes_text
from conformance.verdict import Finding, NotApplicable
from specs import Contract, Operation
from specs.contract import Schema
from specs.examples import example_response

Row = TypeVar("Row")
ELSEWHERE = "its spellings are played on other operations; --deep plays them here"
_OPAQUE = re.compile(
    r"(^|_)(ids?|at|date|time|status|state|type|kind|role|plan|version|cursor|token|ur[il]|email"
    r"|keys?|scopes?|format|level|currency|period|region|op|event|model)$"
)
"""Names of texts that are words of the API rather than somebody's prose."""


def in_turn(
    subject: SdkSubject, operation: Operation, able: Sequence[Operation], rows: Sequence[Row]
) -> list[Row]:
    """Return the rows that fall to one of the operations that are able; in a deep run all."""
    if operation not in able:
        return []
    place = able.index(operation)
    return [r for n, r in enumerate(rows) if subject.deep or n % len(able) == place]


def answering(contract: Contract) -> list[Operation]:
    """Return the operations whose success is declared as JSON."""
    return [o for o in contract if o.success.schema is not None and "json" in _media_type(o)]


def _media_type(operation: Operation) -> str:
    return next(iter(operation.success.content), "")


def prose(schema: Schema, value: Any, text: str = FOREIGN) -> Any:
    """Return a value whose free texts are another one; words of the API stay as they are."""
    if isinstance(value, str):
        return text if takes_text(schema, text) else value
    if isinstance(value, list):
        return [prose(schema.get("items") or {}, entry, text) for entry in value]
    if isinstance(value, Mapping):
        known = schema.get("properties", {})
        return {
            n: v if _OPAQUE.search(_snake(n)) else prose(known.get(n, {}), v, text)
            for n, v in value.items()
        }
    return value


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _texts(operation: Operation) -> Answer | None:
    """Return the declared answer with texts beyond ASCII; None where it has no free text."""
    status, headers, body = example_response(operation)
    changed = prose(operation.success.schema or {}, body)
    return None if changed == body else as_answer((status, headers, changed))


@CASES.case("answers.spellings", "CT8", each=answering, modes=MODES)
def test_spellings(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A right answer is read in every lawful spelling: names, media types, codings, texts."""
    every = answering(subject.contract)
    told = [o for o in every if o.pagination is None] or every  # of a walk no fields are judged
    foreign = [o for o in told if _texts(o) is not None]
    rows = in_turn(subject, operation, told, [s for s in JSON if not s.foreign])
    rows += in_turn(subject, operation, foreign, [s for s in JSON if s.foreign])
    if not rows:
        raise NotApplicable(ELSEWHERE)
    found: list[Finding] = []
    for spelling in rows:
        plain = as_answer(example_response(operation))
        usual = {f.cause for f in _judged(operation, *_played(subject, operation, mode, plain))}
        if spelling.foreign:
            plain = _texts(operation) or plain
        made, answer = _played(subject, operation, mode, plain, spelling)
        broken = [f for f in _judged(operation, made, answer) if f.cause not in usual]
        found += made.witnessed(_spelt(operation, spelling, f) for f in broken[:1])
    return once(found)


def _played(
    subject: SdkSubject, operation: Operation, mode: str, plain: Answer,
    spelling: Spelling | None = None,
) -> tuple[Play, Answer]:  # fmt: skip
    """Play an answer, spelt in one way, and return what happened and the answer in plain."""

    def default(_: Operation | None, request: Request) -> Any:
        return (spelling.write(plain, request) if spelling else None) or plain

    return play(subject, operation, mode, Script(), default=default), plain


def _judged(operation: Operation, made: Play, plain: Answer) -> list[Finding]:
    """Return what is wrong with what a call made of an answer."""
    raised = made.call.outcome.error
    if raised is not None:
        return [
            Finding(
                "CT8", "raises on the declared answer", expected="a value",
                actual=f"{raised.name}: {raised.message[:80]}", basis=operation.basis,
                cause="raises",
            )
        ]  # fmt: skip
    answer = answers.Answer(plain.status, plain.headers, plain.body)
    return [
        *surfaced.judge_fields(operation, made.call, answer),
        *surfaced.judge_figures(operation, made.call, answer),
    ]


def _spelt(operation: Operation, spelling: Spelling, finding: Finding) -> Finding:
    return finding.at(
        requirement="CT8", message=f"does not read a right answer {spelling.words}",
        operation=operation.id, basis=weaker(finding.basis, spelling.basis),
        cause=f"spelling:{spelling.id}", claim=None,
    )  # fmt: skip


NAMES = ("Retry-After", "RETRY-AFTER", "rEtRy-AfTeR")


@CASES.case("retry-after.spelling", "RA4", each=promising, modes=MODES)
def test_retry_after_spelling(
    subject: SdkSubject, operation: Operation, mode: str
) -> list[Finding]:
    """A wait that the server asks for is kept however the header's name is written."""
    rows = in_turn(subject, operation, promising(subject.contract), NAMES)
    if not rows:
        raise NotApplicable(ELSEWHERE)
    plain = {f.cause for f in _waited(subject, operation, mode, "retry-after")}
    found: list[Finding] = []
    for name in rows:
        for finding in _waited(subject, operation, mode, name):
            if finding.cause not in plain:
                found.append(finding)
    return once(found)


def _waited(subject: SdkSubject, operation: Operation, mode: str, name: str) -> list[Finding]:
    script = Script.of(Instruction.of(respond(429, headers=((name, "97"),)), operation.id))
    made = play(subject, operation, mode, script)
    return [f for f in judge_retries(subject, operation, made) if f.requirement == "RA4"]


@CASES.case("stream.spellings", "CT14", each=streaming, modes=MODES)
def test_stream_spellings(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A stream's events are read in every lawful spelling: line ends, comments, fields, texts."""
    assert operation.stream is not None
    ready = subject.needs(operation, mode)
    ask = subject.ask(operation, {operation.stream.parameter: True})
    book = AnswerBook(subject.contract)
    usual = subject.play(Script(), ask, mode=ready)
    if not _streamed(usual):
        raise NotApplicable("it does not stream: a finding of its own (CT14)")
    found: list[Finding] = []
    for spelling in EVENTS:

        def default(_: Operation | None, request: Request, write: Any = spelling.write) -> Any:
            plain = book.answer(operation, request, None)
            return replace(write(plain, request), parts=())

        made = subject.play(Script(), ask, mode=ready, default=default)
        sent = book.answer(operation, made.attempts[-1].request, None) if made.attempts else None
        if sent is None:
            continue
        wanted = _events(sent.body, spelling)
        value = made.call.outcome.value
        got = value.get("$stream") if isinstance(value, dict) else None
        if got != wanted or (isinstance(value, dict) and value.get("$error")):
            found += made.witnessed([
                Finding(
                    "CT14", f"does not read a stream {spelling.words}",
                    expected=f"{len(wanted)} events, as they were sent",
                    actual=_told(made), basis=weaker(operation.stream.basis, spelling.basis),
                    cause=f"stream:spelling:{spelling.id}",
                )
            ])  # fmt: skip
    return once(found)


def _streamed(made: Play) -> bool:
    value = made.call.outcome.value
    return isinstance(value, dict) and "$stream" in value and not value.get("$error")


def _events(body: bytes, spelling: Spelling) -> list[Any]:
    """Return the events of a plain stream, with the text that a spelling puts into them."""
    if spelling.id == "foreign":
        body = body.replace(b"First ", FOREIGN.encode())
    return [json.loads(x[6:]) for x in body.split(b"\n") if x.startswith(b"data: ")]


def _told(made: Play) -> str:
    value, raised = made.call.outcome.value, made.call.outcome.error
    if raised is not None:
        return f"raised {raised.name}"
    if not isinstance(value, dict) or "$stream" not in value:
        return "a value that is no iterator"
    broke = value.get("$error")
    told = f"{len(value['$stream'])} events"
    return f"{told}, then {broke.get('name')}" if broke else told
