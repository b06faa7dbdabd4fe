"""Robustness: strange but lawful traffic, and one client used by many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from conformance.claims import SlowBody, UnfollowedRedirect
from conformance.faults.answers import put
from conformance.faults.classes import FaultClass
from conformance.faults.script import Script
from conformance.history import Call, Request
from conformance.oracles.answers import answer_of
from conformance.sdk.judging import (
    CASES,
    MODES,
    SHORT,
    chosen,
    every,
    first,
    judge_error,
    judge_leak,
    needs_option,
    once,
    play,
    server,
    without_retries,
)
from conformance.sdk.subject import Play, SdkSubject
from conformance.sdk.test_wire import takes_text
from conformance.verdict import Finding, NotApplicable
from specs import Contract, Operation
from specs.examples import example_response

WORKERS = {"sync": 16, "async": 64}


@CASES.case("robust.interim", "ER9", each=every, modes=MODES)
def test_interim(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Interim answers (1xx) before the real one leak nothing."""
    return _harmless(subject, operation, mode, lambda f: f.group == "interim")


@CASES.case("robust.redirects", "ER9", "ER1", each=every, modes=MODES)
def test_redirects(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Redirects, also circular and senseless ones, end in a value or a documented error."""
    return _harmless(subject, operation, mode, lambda f: f.group == "redirect")


@CASES.case("robust.framing", "ER9", each=every, modes=MODES)
def test_framing(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Wrong, doubled and missing lengths, odd headers and trickles leak no foreign exception."""

    def wanted(fault: FaultClass) -> bool:
        trickled = fault.id.startswith("network-trickle")
        return (trickled or fault.group in ("framing", "headers")) and not fault.timeout

    return _harmless(subject, operation, mode, wanted)


@CASES.case("robust.kept-connections", "ER9", "ER15", each=every, modes=MODES)
def test_kept_connections(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A kept connection that the server closed or spoiled ends in no foreign exception."""
    return _harmless(
        subject, operation, mode,
        lambda f: (f.once and f.group == "network") or f.id == "network-garbage-mid-response",
    )  # fmt: skip


def _harmless(subject: SdkSubject, operation: Operation, mode: str, want: Any) -> list[Finding]:
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, want):
        made = play(subject, operation, mode, fault, 1)
        for call in made.history.calls:
            outcome = call.outcome
            if outcome.kind in ("error", "hang"):
                one = _only(made, call.number)
                found += judge_leak(operation, one, server(fault))
            elif fault.group == "redirect":
                found += made.witnessed(_unfollowed(made, call), call)
    return once(found)


def _unfollowed(made: Play, call: Call) -> Iterator[Finding]:
    """Yield a finding where a redirect that was not followed was taken for a success."""
    sent = made.history.during(call)
    status = (sent[-1].status or 0) if sent else 0
    if 300 <= status < 400:
        yield Finding.of("ER1", UnfollowedRedirect(status), _assumed()).at(
            conditions=(f"status {status}",)
        )


def _only(made: Play, number: int) -> Play:
    """Return a play whose first call is the given one."""
    from dataclasses import replace

    calls = tuple(c for c in made.history.calls if c.number == number)
    return replace(made, history=replace(made.history, calls=calls))


@CASES.case("robust.slow-body", "RB8", each=first, modes=MODES)
def test_slow_body(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A body that comes byte by byte does not hold a call much longer than its timeout."""
    needs_option(subject, operation, mode, "timeout")
    script = Script.parse(f"{operation.id}#1+ mid-response trickle seconds=0.01 size=150")
    options = {**without_retries(subject), "timeout": SHORT}
    made = play(subject, operation, mode, script, options=options, timeout=6.0)
    if made.call.ended - made.call.started < 4 * SHORT:
        return []
    return made.witnessed([Finding.of("RB8", SlowBody(SHORT), _assumed())])


@CASES.case("robust.slow-connect", "RB8", "ER9", each=every, modes=MODES)
def test_slow_connect(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A connection that is taken late serves its call; one that is never taken ends in time."""
    faults = list(chosen(subject, operation, mode, lambda f: f.group == "connect"))
    found: list[Finding] = []
    for fault in faults:
        options: dict[str, Any] = {}
        if fault.timeout:
            needs_option(subject, operation, mode, "timeout")
            options = {**without_retries(subject), "timeout": SHORT}
        made = play(subject, operation, mode, fault, options=options, timeout=6.0)
        words = "a connection that is never taken" if fault.timeout else "one that is taken late"
        found += judge_leak(operation, made, words)
        raised = made.call.outcome.error
        if not fault.timeout and raised is not None:
            found += made.witnessed([
                Finding(
                    "RB8", "fails where the server takes a second to take the connection",
                    expected="the answer's value", actual=f"raised {raised.name}",
                    basis=_assumed(), cause="connect:late",
                )
            ])  # fmt: skip
    return once(found)


def _assumed() -> Any:
    from specs import Basis

    return Basis.ASSUMED


# --- many at once ---------------------------------------------------------------------------------


def echoing(contract: Contract) -> list[Operation]:
    """Return one operation that takes a free text and whose answer has room for one.

    No list of pages: what it is asked for and answers with is the place of the next page.
    """
    for operation in contract:
        plain = operation.stream is None and operation.pagination is None
        if plain and _free(operation) and _room(operation):
            return [operation]
    return []


def _free(operation: Operation) -> str | None:
    """Return the name of an argument that takes any text."""
    for parameter in operation.parameters:
        if parameter.location in ("path", "query") and takes_text(parameter.schema, "mark-00"):
            return parameter.name
    body = operation.body.schema.get("properties", {}) if operation.body else {}
    return next((n for n, s in body.items() if takes_text(s, "mark-00")), None)


def _room(operation: Operation) -> str | None:
    """Return a pointer to a text in the answer that the caller is promised to reach."""
    schema = operation.success.schema or {}
    names = [n for n, s in schema.get("properties", {}).items() if takes_text(s, "mark-00")]
    fields = operation.returns.fields if operation.returns else {}
    if fields:
        places = {p.strip("/") for p in fields.values()}
        names = [n for n in names if n in places]
    return f"/{names[0]}" if names else None


@CASES.case("robust.concurrency", "RB9", "RB10", each=echoing, modes=MODES)
def test_concurrency(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """One client used by many threads or tasks at once gives each call its own answer."""
    name, place = _free(operation), _room(operation)
    if name is None or place is None:
        raise NotApplicable("no operation takes a free text and answers with one")
    status, headers, body = example_response(operation)

    def echo(_: Operation | None, request: Request) -> Any:
        whole = request.target + request.body.decode("utf-8", "replace")
        mark = next((f"mark-{n:02}" for n in range(100) if f"mark-{n:02}" in whole), "none")
        return status, headers, put(body, place, mark)

    count = WORKERS[mode]
    asks = [subject.ask(operation, {name: f"mark-{n:02}"}) for n in range(count)]
    made = subject.play(
        Script(), *asks, mode=subject.needs(operation, mode), default=echo, concurrency=count,
        closing=5.0,
    )  # fmt: skip
    wrong = [
        c.number for n, c in enumerate(made.history.calls)
        if f"mark-{n:02}" not in repr(c.outcome.value)
    ]  # fmt: skip
    left = made.left_open if made.closed is None or made.closed.kind != "unsupported" else 0
    if not wrong:
        return made.witnessed(_left_open(left, "closing a client that many used at once"))
    return _not_its_own(made, wrong, count)


def _not_its_own(made: Play, wrong: Sequence[int], count: int) -> list[Finding]:
    """Return the finding of calls at once that have not their own answers: failed, or mixed up."""
    calls = [made.history.calls[n - 1] for n in wrong]
    mixed = next((c for c in calls if c.outcome.kind == "value"), None)
    shown = mixed or calls[0]
    raised = shown.outcome.error
    said = f"{raised.name}: {raised.message}"[:200] if raised else shown.outcome.kind
    found = Finding(
        "RB9", "mixes up the answers of calls that one client makes at the same time" if mixed
        else "fails where one client makes several calls at the same time",
        expected=f"{count} calls, each with its own answer",
        actual=f"{len(wrong)} of {count} calls with another's answer or none" if mixed
        else f"{len(wrong)} of {count} calls failed: {said}",
        cause="answers-mixed" if mixed else "concurrent-calls-fail",
    )  # fmt: skip
    return made.witnessed([found], shown)


@CASES.case("robust.closing", "RB10", each=first, modes=MODES)
def test_closing(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A client that is left or closed leaves no connection open."""
    client = subject.contract.client
    ready = subject.needs(operation, mode)
    found: list[Finding] = []
    ways = [False]
    if client is not None and client.context_manager and ready in subject.hello.context_manager:
        ways.append(True)
    for context in ways:
        made = subject.play(
            Script(), subject.ask(operation), mode=ready, context=context, closing=1.0
        )
        if made.closed is not None and made.closed.kind == "unsupported":
            continue  # no documented way to close it
        if made.left_open:
            how = "leaving the `with` block" if context else "closing the client"
            found += made.witnessed(_left_open(made.left_open, how))
    return once(found)


def _left_open(number: int, how: str) -> Iterator[Finding]:
    if number:
        yield Finding(
            "RB10", f"leaves connections open after {how}",
            expected="no open connection", actual=f"{number} open", cause="connections-open",
        )  # fmt: skip


def odd_only(fault: FaultClass) -> bool:
    """True for faults that no other case of this module plays."""
    return fault.group in ("interim", "redirect", "framing", "headers")


@CASES.case("robust.reuse", "RT21", each=first, modes=MODES)
def test_reuse(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """After an error the same client goes on working, and its connections are given back."""
    ready = subject.needs(operation, mode)
    script = Script.parse(f"{operation.id}#1x6 400")
    made = subject.play(script, *[subject.ask(operation)] * 7, mode=ready, alone=True)
    found: list[Finding] = []
    last = made.history.calls[-1]
    if last.outcome.kind != "value":
        found += made.witnessed([
            Finding(
                "RT21", "does not work any more after an error", expected="a value",
                actual=last.outcome.kind, cause="client:spoiled",
            )
        ], last)  # fmt: skip
    if made.opened > 3:
        found += made.witnessed([
            Finding(
                "RT21", "does not give connections back after errors",
                expected="one connection, kept", actual=f"{made.opened} opened for 7 calls",
                basis=_assumed(), cause="connections:not-reused",
            )
        ])  # fmt: skip
    sent = made.history.during(made.history.calls[0])
    if sent and not answer_of(sent[-1]).ok:
        found += judge_error(subject, operation, made)
    return once(found)
