"""Attempts beside their number: what they carry, who multiplies them, whose wish decides."""

from __future__ import annotations

from conformance.faults.answers import error_body, put
from conformance.faults.script import Instruction, Script, respond
from conformance.history import Headers
from conformance.oracles import attempts, retry
from conformance.sdk.judging import (
    CASES,
    MODES,
    asks,
    leaders,
    once,
    planned,
    play,
    visible,
)
from conformance.sdk.subject import Ask, SdkSubject
from conformance.sdk.test_retries import failing, promising_first, promising_leaders
from conformance.sdk.test_wire import takes_text
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation, quotas

LONG = "memory " * 3000
"""A text of 21 kB."""
CLIENTS = 12


@CASES.case("attempts.marks", "RT15", "RT16", each=promising_leaders, modes=MODES)
def test_marks(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A request id that the client sends stays the same in every attempt, a counter counts them."""
    made = play(subject, operation, mode, failing(operation))
    if len(made.attempts) < 2:
        raise Inconclusive("nothing was sent again")
    return made.witnessed(attempts.judge_marks(made.attempts))


@CASES.case("attempts.whole-body", "RT9", each=promising_leaders, modes=MODES)
def test_whole_body(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A long body is sent whole, from its start, in every attempt."""
    body = operation.body.schema.get("properties", {}) if operation.body else {}
    name = next((n for n, schema in body.items() if takes_text(schema, LONG)), None)
    if name is None:
        raise NotApplicable("no argument takes a long text")
    arguments = {**subject.arguments(operation), name: LONG}
    ready = subject.needs(operation, mode)
    made = subject.play(failing(operation), Ask(operation, arguments), mode=ready)
    if len(made.attempts) < 2:
        raise Inconclusive("nothing was sent again")
    return made.witnessed(attempts.judge_whole(made.attempts))


@CASES.case("attempts.multiplied", "RT22", each=promising_leaders, modes=MODES)
def test_multiplied(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Retries of the client are not multiplied by those of its transport."""
    ready = subject.needs(operation, mode)
    found: list[Finding] = []
    every = f"{operation.id}#1+"
    for text in (
        f"{every} 503", f"{every} before-accept close", f"{every} before-handler reset",
        f"{every} before-handler close", "* before-accept refuse",
    ):  # fmt: skip
        script = Script.parse(text)
        made = visible(subject.play(script, subject.ask(operation), mode=ready))
        told = retry.predict(operation, planned(made))
        found += made.witnessed(attempts.judge_multiplied(told.maximum, made.attempts))
    return once(found)


# --- whose wish to wait ---------------------------------------------------------------------------


def bounded(contract: Contract) -> list[Operation]:
    """Return the operations whose longest obeyed wait is declared."""
    return [
        o for o in contract
        if o.retries is not None and o.retries.retry_after is not None
        and o.retries.retry_after.max is not None
    ]  # fmt: skip


@CASES.case("retry-after.maximum", "RA6", each=bounded, modes=MODES)
def test_maximum(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A wish to wait longer than the declared maximum is refused, cut or obeyed, as declared."""
    assert operation.retries is not None
    said = operation.retries.retry_after
    assert said is not None
    assert said.max is not None
    wish = round(said.max * 3)
    script = Script.parse(f"{operation.id}#1 429 {said.header}={wish}")
    made = play(subject, operation, mode, script)
    waits = retry.waits_of(made.call, made.attempts, subject.context)
    raised = made.call.outcome.kind == "error"
    return made.witnessed(attempts.judge_maximum(said, wish, waits, raised))


def ordered(contract: Contract) -> list[Operation]:
    """Return the operations that may ask for a wait in their header and elsewhere."""
    return [
        o for o in leaders(contract)
        if o.retries is not None and o.retries.retry_after is not None
        and (o.retries.retry_after.pointer is not None or _reset(o, 1))
    ]  # fmt: skip


@CASES.case("retry-after.order", "RA7", "RL9", each=ordered, modes=MODES)
def test_order(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Retry-After decides over the body's wish and over the end of the quota's window."""
    assert operation.retries is not None
    said = operation.retries.retry_after
    assert said is not None
    found: list[Finding] = []
    for wanted, other in ((20, 50), (50, 20)):
        wish = ((said.header, str(wanted)),)
        if said.pointer is not None:
            body = put(error_body(operation, 429), said.pointer, other)
            script = Script.of(Instruction.of(respond(429, body, wish), operation.id))
            found += _followed(subject, operation, mode, script, "RA7", (wanted, other))
        fields = _reset(operation, other)
        if fields:
            script = Script.of(Instruction.of(respond(429, None, (*wish, *fields)), operation.id))
            found += _followed(subject, operation, mode, script, "RL9", (wanted, other))
    return once(found)


def _followed(
    subject: SdkSubject, operation: Operation, mode: str, script: Script, requirement: str,
    asked: tuple[int, int],
) -> list[Finding]:  # fmt: skip
    made = play(subject, operation, mode, script)
    waits = retry.waits_of(made.call, made.attempts, subject.context)
    if not waits:
        return []
    second = "the body" if requirement == "RA7" else "the quota fields"
    return made.witnessed(attempts.judge_order(requirement, "Retry-After", second, asked, waits[0]))


def _reset(operation: Operation, seconds: int) -> Headers:
    """Return the quota fields that say when their window ends; () where none are declared."""
    limit = operation.rate_limit
    if limit is None:
        return ()
    return tuple(quotas.write(limit, quotas.Figures(100, 0, seconds), quotas.ahead))


@CASES.case("retry-after.spread", "RA10", each=promising_first, modes=MODES)
def test_spread(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Clients that are told the same Retry-After do not come back at the same moment."""
    assert operation.retries is not None
    if operation.retries.retry_after is None:
        raise NotApplicable("the contract does not say that Retry-After is obeyed")
    script = Script.parse(f"{operation.id}#1+ 429 retry-after=30")
    made = subject.play(
        script, *asks(subject, operation, CLIENTS), mode=subject.needs(operation, mode)
    )
    waits: list[float] = []
    for call in made.history.calls:
        waits += retry.waits_of(call, made.history.during(call), subject.context)[:1]
    if not waits:
        raise Inconclusive("nothing was sent again")
    return made.witnessed(attempts.judge_spread(30, waits))
