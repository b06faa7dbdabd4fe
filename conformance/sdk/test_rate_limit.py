"""Rate-limit and usage headers: handed to the caller, and harmless whatever they hold."""

from __future__ import annotations

import contextlib

from conformance.faults.classes import FaultClass
from conformance.faults.script import Instruction, Script, Stage, respond
from conformance.oracles import surfaced
from conformance.oracles.answers import answer_of
from conformance.sdk.judging import (
    CASES,
    MODES,
    chosen,
    judge_error,
    judge_leak,
    leaders,
    once,
    play,
    without_retries,
)
from conformance.sdk.subject import SdkSubject
from conformance.verdict import Finding, NotApplicable
from specs import Basis, Contract, Operation, quotas


def surfacing(contract: Contract) -> list[Operation]:
    """Return the operations whose header figures callers are promised."""
    return [o for o in contract if list(surfaced.blocks(o)) and o.success.content]


def metered(contract: Contract) -> list[Operation]:
    """Return the operations whose answers carry such headers, handed out or not."""
    return [
        o for o in contract
        if quotas.told(o.rate_limit) or o.usage is not None
    ]  # fmt: skip


@CASES.case("headers.surfaced", "HD3", "HD4", each=surfacing, modes=MODES)
def test_surfaced(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Usage and rate-limit headers are at their documented attributes, with their values."""
    found: list[Finding] = []
    right: list[FaultClass] = []
    with contextlib.suppress(NotApplicable):  # the figures below are judged on every operation
        right.extend(chosen(subject, operation, mode, _is_right))
    headers = _figures(operation)
    for shift in (0, 1000):
        pairs = " ".join(
            f"header:{n}={v + shift if isinstance(v, int) else v}" for n, v in headers.items()
        )
        status = operation.success.status if operation.success.status.isdigit() else "200"
        script = Script.parse(f"{operation.id}#1 after-commit {status} {pairs}")
        made = play(subject, operation, mode, script)
        if made.attempts and made.call.outcome.kind == "value":
            answer = answer_of(made.attempts[-1])
            found += made.witnessed(surfaced.judge_figures(operation, made.call, answer))
    for fault in right:
        made = play(subject, operation, mode, fault)
        if made.attempts and made.call.outcome.kind == "value":
            answer = answer_of(made.attempts[-1])
            found += made.witnessed(surfaced.judge_figures(operation, made.call, answer))
    return once(found)


def _figures(operation: Operation) -> dict[str, int | str]:
    """Return a different figure for each header, so that two cannot be taken for each other."""
    made: dict[str, int | str] = {}
    plan = operation.usage.plan if operation.usage else None
    for _, block, part in surfaced.blocks(operation):
        for _, name, _, _ in surfaced.promised(block, part):
            made[name] = "pro" if plan and name.lower() == plan.lower() else 101 + 7 * len(made)
    return made


@CASES.case("headers.absent", "HD5", "RL7", "HD3", "HD4", each=metered, modes=MODES)
def test_absent(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Without the headers the call works, and no figures are made up."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, lambda f: _is_figure(f, absent=True)):
        made = play(subject, operation, mode, fault)
        harm = _harm(operation, fault)
        found += judge_leak(operation, made, "answers without these headers", harm, must=True)
        if made.attempts:
            answer = answer_of(made.attempts[-1])
            found += made.witnessed(surfaced.invented(operation, made.call, answer))
    return once(found)


@CASES.case("headers.garbage", "HD5", "RL7", each=metered, modes=MODES)
def test_garbage(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Words, 400 digits or negative numbers in these headers do no harm."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, lambda f: _is_figure(f, absent=False)):
        made = play(subject, operation, mode, fault)
        found += judge_leak(
            operation,
            made,
            "answers with odd values in these headers",
            _harm(operation, fault),
            must=True,
        )
    return once(found)


@CASES.case("headers.garbage-on-errors", "HD5", "ER1", each=metered, modes=MODES)
def test_garbage_on_errors(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Odd values in these headers of a 429 do not change the exception that it becomes."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, _is_limited):
        made = play(subject, operation, mode, fault, None, without_retries(subject))
        found += judge_error(subject, operation, made)
    return once(found)


def _harm(operation: Operation, fault: FaultClass) -> str:
    """Return the requirement that odd headers break: the draft has one for its own fields."""
    limit = operation.rate_limit
    return "RL7" if quotas.standard(limit) and fault.group == "rate-limit" else "HD5"


def _is_right(fault: FaultClass) -> bool:
    return fault.id in ("rate-limit-right-success", "usage-right-success")


def _is_figure(fault: FaultClass, absent: bool) -> bool:
    shown = fault.group in ("rate-limit", "usage") and fault.id.endswith("-success")
    return shown and not _is_right(fault) and ("-absent-" in fault.id) == absent


def _is_limited(fault: FaultClass) -> bool:
    return fault.group in ("rate-limit", "usage") and fault.id.endswith("-429")


def promised_quotas(contract: Contract) -> list[Operation]:
    """Return one operation of each kind that tells of its quota in the fields of the draft."""
    return [o for o in leaders(contract) if quotas.standard(o.rate_limit)]


@CASES.case("headers.quota-kept", "RL8", "RL10", each=promised_quotas, modes=MODES)
def test_quota_kept(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A used-up quota is waited for before the next call, one that a cache kept is not."""
    found: list[Finding] = []
    assert operation.rate_limit is not None
    used_up = quotas.write(operation.rate_limit, quotas.Figures(100, 0, 40), quotas.ahead)
    for requirement, more in (("RL8", ()), ("RL10", (("age", "60"),))):
        headers = (*used_up, *more)
        status = operation.success.status if operation.success.status.isdigit() else "200"
        effect = respond(int(status), headers=headers)
        script = Script.of(Instruction.of(effect, operation.id, stage=Stage.AFTER_COMMIT))
        made = subject.play(
            script, *[subject.ask(operation)] * 2, mode=subject.needs(operation, mode), alone=True
        )
        second = made.history.calls[1]
        sent = made.history.during(second)
        waited = sum(s.seconds for s in second.sleeps if not sent or s.at <= sent[0].sent)
        kept = waited >= 39 or not sent
        if kept != (requirement == "RL8"):
            found += made.witnessed([_quota(requirement, waited)], second)
    return once(found)


def _quota(requirement: str, waited: float) -> Finding:
    cached = requirement == "RL10"
    return Finding(
        requirement,
        "keeps to quota fields of an answer that a cache kept" if cached
        else "sends more than its quota allows before the window ends",
        expected="a call that is sent at once" if cached else "a wait of 40 s, or an error",
        actual=f"a wait of {waited:g} s before the next call", basis=Basis.ASSUMED,
        cause="quota:cached" if cached else "quota:not-kept",
    )  # fmt: skip
