"""Answers that are well: what the caller is handed, and how much oddity an SDK stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from conformance.claims import FailsOnDeclared, FailsOnSuccess, WrongType
from conformance.faults.classes import FaultClass
from conformance.faults.lists import ended
from conformance.faults.script import Instruction, Script, Stage, respond
from conformance.history import Request
from conformance.oracles import surfaced
from conformance.oracles.answers import answer_of
from conformance.sdk.judging import (
    CASES,
    MODES,
    SHORT,
    chosen,
    every,
    hanging,
    judge_leak,
    leaders,
    needs_option,
    once,
    play,
    server,
    streaming,
    without_retries,
)
from conformance.sdk.subject import HANG, Play, SdkSubject
from conformance.verdict import Finding
from specs import Basis, Contract, Operation
from specs.examples import example_response


@CASES.case("answers.fields", "CT8", each=every, modes=MODES)
def test_fields(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Every documented field of an answer is reachable where the document says, unchanged."""
    found: list[Finding] = []
    for seed in range(3):
        status, headers, body = example_response(operation, seed=subject.seed + seed)
        body = ended(operation, body)

        def default(
            _: Operation | None, request: Request, answer: Any = (status, headers, body)
        ) -> Any:
            return answer

        made = play(subject, operation, mode, Script(), default=default)
        if made.attempts:
            answer = answer_of(made.attempts[-1])
            found += made.witnessed(surfaced.judge_fields(operation, made.call, answer))
            found += made.witnessed(_type(operation, made))
            found += made.witnessed(_raises(operation, made))
    return once(found)


def _type(operation: Operation, made: Play) -> Iterator[Finding]:
    returns, value = operation.returns, made.call.outcome.value
    if returns is None or returns.type is None or made.call.outcome.kind != "value":
        return
    kind = value.get("$type") if isinstance(value, dict) else type(value).__name__
    if kind != returns.type:
        claim = WrongType(operation.id, returns.type, str(kind))
        yield Finding.of("CT8", claim, returns.basis, f"{returns.basis}: {returns.source}")


def _raises(operation: Operation, made: Play) -> Iterator[Finding]:
    raised = made.call.outcome.error
    if raised is not None:
        claim = FailsOnDeclared(operation.id, f"{raised.name}: {raised.message[:80]}")
        yield Finding.of("CT8", claim, operation.basis, f"{operation.basis}: {operation.source}")


def _shape(name: str) -> Any:
    return lambda fault: fault.id == f"body-success-{name}"


@CASES.case("answers.extra-fields", "CT9", each=every, modes=MODES)
def test_extra_fields(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Fields that a newer server adds to an answer are tolerated."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, _shape("extra-fields")):
        made = play(subject, operation, mode, fault)
        found += judge_leak(operation, made, "an answer with further fields", "CT9", must=True)
    return once(found)


@CASES.case("answers.required-only", "CT10", each=every, modes=MODES)
def test_required_only(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Fields that an answer may leave out are not needed."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, _shape("required-only")):
        made = play(subject, operation, mode, fault)
        found += judge_leak(operation, made, "an answer without optional fields", "CT10", must=True)
    return once(found)


@CASES.case("answers.odd", "CT13", "CT8", each=every, modes=MODES)
def test_odd(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A success whose body is empty, HTML, cut or of another type leaks and invents nothing."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, _is_odd_success):
        made = play(subject, operation, mode, fault)
        found += judge_leak(operation, made, server(fault), "CT13")
        if fault.id.removeprefix("body-success-") in _NO_OBJECT and made.attempts:
            answer = answer_of(made.attempts[-1])
            found += made.witnessed(surfaced.judge_invented(operation, made.call, answer))
    return once(found)


_NO_OBJECT = frozenset(
    {"empty", "html", "html-as-json", "text", "cut-json", "array", "array-of-nulls", "number",
     "string", "true", "null"}
)  # fmt: skip
"""Bodies in which no field could be found, however they are read."""


def _is_odd_success(fault: FaultClass) -> bool:
    name = fault.id.removeprefix("body-success-")
    big = name in ("1MB", "50MB", "bomb")
    fine = name in ("extra-fields", "required-only")
    return fault.id.startswith("body-success-") and not big and not fine


def bodied(contract: Contract) -> list[Operation]:
    """Return one operation of each kind whose success has a body."""
    return [o for o in leaders(contract) if o.success.content]


@CASES.case("answers.other-success", "ER1", each=bodied, modes=MODES)
def test_other_success(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A success with another status of its class than the declared one is a success too."""
    _, headers, body = example_response(operation, seed=subject.seed)
    found: list[Finding] = []
    for status in (200, 201, 202):
        effect = respond(status, body, headers)
        script = Script.of(Instruction.of(effect, operation.id, stage=Stage.AFTER_COMMIT))
        made = play(subject, operation, mode, script)
        raised = made.call.outcome.error
        if raised is not None and str(status) != operation.success.status:
            claim = FailsOnSuccess(status, raised.name)
            told = Finding.of("ER1", claim, Basis.ASSUMED)
            found += made.witnessed([told.at(conditions=(f"status {status}",))])
    return once(found)


@CASES.case("answers.huge", "RB7", "CT13", each=every, modes=MODES)
def test_huge(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Bodies of 50 MB, plain or compressed, are read or refused, in time and without a leak."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, _is_huge):
        made = play(subject, operation, mode, fault, None, without_retries(subject), timeout=20.0)
        for finding in judge_leak(operation, made, server(fault), "RB7"):
            about_size = finding.cause not in ("leak:shape", "leak:decoding")
            found.append(finding if about_size else made.refiled(finding, requirement="CT13"))
    return once(found)


def _is_huge(fault: FaultClass) -> bool:
    return fault.group == "body" and fault.id.rpartition("-")[2] in ("1MB", "50MB", "bomb")


# --- streams --------------------------------------------------------------------------------------


def _stream(
    subject: SdkSubject, operation: Operation, mode: str, script: Script,
    options: Mapping[str, Any] | None = None, timeout: float = HANG,
) -> Play:  # fmt: skip
    assert operation.stream is not None
    ask = subject.ask(operation, {operation.stream.parameter: True})
    ready = subject.needs(operation, mode)
    return subject.play(script, ask, mode=ready, options=options, timeout=timeout)


@CASES.case("stream.events", "CT14", each=streaming, modes=MODES)
def test_stream_events(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A streamed answer is handed out whole, event by event as it comes."""
    made = _stream(subject, operation, mode, Script())
    subject.covered(operation, mode, "stream-none")
    value = made.call.outcome.value
    if not isinstance(value, dict) or "$stream" not in value:
        return made.witnessed([_no_stream(operation, made)])
    sent = _sent(made)
    found = []
    if value["$stream"] != sent or value.get("$error"):
        found.append(
            Finding(
                "CT14", "does not hand out the events of a stream as they were sent",
                expected=f"{len(sent)} events", actual=f"{len(value['$stream'])} events",
                basis=operation.stream.basis if operation.stream else operation.basis,
                cause="stream:events",
            )
        )  # fmt: skip
    first_event = len(made.attempts[-1].response.body) // 2 if made.attempts[-1].response else 40
    slow = _stream(
        subject, operation, mode,
        Script.parse(f"{operation.id}#1 mid-response stall after={first_event} seconds=0.4"),
    )  # fmt: skip
    return once(made.witnessed(found) + slow.witnessed(_prompt(operation, slow)))


def _no_stream(operation: Operation, made: Play) -> Finding:
    raised = made.call.outcome.error
    return Finding(
        "CT14", "does not stream where it was asked to",
        expected="an iterator of events",
        actual=f"raised {raised.name}" if raised else "a value that is no iterator",
        basis=operation.stream.basis if operation.stream else operation.basis,
        cause="stream:none",
    )  # fmt: skip


def _sent(made: Play) -> list[Any]:
    import json

    response = made.attempts[-1].response if made.attempts else None
    lines = response.body.decode().splitlines() if response else []
    return [json.loads(x.removeprefix("data:")) for x in lines if x.startswith("data:")]


def _prompt(operation: Operation, made: Play) -> Iterator[Finding]:
    value = made.call.outcome.value
    times = value.get("$times", []) if isinstance(value, dict) else []
    if len(times) >= 2 and times[-1] - times[0] < 0.2:
        yield Finding(
            "CT14", "hands out the events of a stream only when all have come",
            expected="each event as it comes: the server paused 0.4 s between two",
            actual="all events at once", cause="stream:buffered",
            basis=operation.stream.basis if operation.stream else operation.basis,
        )  # fmt: skip


@CASES.case("stream.breaks", "CT14", "RT8", "ER9", each=streaming, modes=MODES)
def test_stream_breaks(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A stream that breaks raises a documented error after its events, and is not sent again."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, _is_break):
        script = fault.build(subject.contract, operation)
        made = _stream(subject, operation, mode, script)
        found += made.witnessed(_broken(operation, made))
    return once(found)


def _is_break(fault: FaultClass) -> bool:
    return fault.id in ("stream-reset", "stream-truncate")


def _broken(operation: Operation, made: Play) -> Iterator[Finding]:
    value, errors = made.call.outcome.value, operation.errors
    broke = value.get("$error") if isinstance(value, dict) else None
    basis = operation.stream.basis if operation.stream else operation.basis
    if made.call.outcome.kind == "value" and broke is None:
        yield Finding(
            "CT14", "takes a stream that broke for one that ended",
            expected="an error after the events that came", actual="the end of the iteration",
            basis=basis, cause="stream:break-hidden",
        )  # fmt: skip
    if broke is not None and errors is not None:
        names = [broke.get("name"), *broke.get("bases", [])]
        if errors.base not in names:
            yield Finding(
                "ER9", f"lets a foreign exception out of a stream: {broke.get('name')}",
                expected=f"an {errors.base} ({errors.basis}: {errors.source})",
                actual=str(broke.get("name")), basis=errors.basis,
                cause=f"leak:stream:{broke.get('name')}",
            )  # fmt: skip
    if len(made.attempts) > 1:
        yield Finding(
            "RT8", "sends again after events of a stream were handed out",
            expected="one attempt", actual=f"{len(made.attempts)} attempts",
            cause="stream:retried",
        )  # fmt: skip


@CASES.case("stream.stalls", "RB8", "ER9", each=streaming, modes=MODES)
def test_stream_stalls(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A stream that falls silent ends with a documented error within the client's timeout."""
    faults = list(chosen(subject, operation, mode, lambda f: f.id == "stream-stall"))
    needs_option(subject, operation, mode, "timeout")
    found: list[Finding] = []
    options = {**without_retries(subject), "timeout": SHORT}
    for fault in faults:
        script = fault.build(subject.contract, operation)
        made = _stream(subject, operation, mode, script, options, timeout=4.0)
        if made.call.outcome.kind == "hang":
            found += made.witnessed([hanging(made)])
        else:
            found += [f for f in made.witnessed(_broken(operation, made)) if f.requirement != "RT8"]
    return once(found)


@CASES.case("stream.odd", "CT14", "ER9", each=streaming, modes=MODES)
def test_stream_odd(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Events that are no JSON, comments, and foreign words leak no foreign exception."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, _is_odd_stream):
        made = _stream(subject, operation, mode, fault.build(subject.contract, operation))
        found += judge_leak(operation, made, server(fault))
        found += [f for f in made.witnessed(_broken(operation, made)) if f.requirement == "ER9"]
    return once(found)


def _is_odd_stream(fault: FaultClass) -> bool:
    return fault.group == "stream" and not fault.timeout and not _is_break(fault)
