"""Rate-limit and usage headers: handed to the caller, and harmless whatever they hold."""

from __future__ import annotations

from conformance.faults.classes import FaultClass
from conformance.faults.script import Script
from conformance.oracles import surfaced
from conformance.oracles.answers import answer_of
from conformance.sdk.judging import (
    CASES,
    MODES,
    chosen,
    judge_error,
    judge_leak,
    once,
    play,
    without_retries,
)
from conformance.sdk.subject import SdkSubject
from conformance.verdict import Finding
from specs import Contract, Operation


def surfacing(contract: Contract) -> list[Operation]:
    """Return the operations whose header figures callers are promised."""
    return [o for o in contract if list(surfaced.blocks(o)) and o.success.content]


def metered(contract: Contract) -> list[Operation]:
    """Return the operations whose answers carry such headers, handed out or not."""
    return [
        o for o in contract
        if (o.rate_limit and o.rate_limit.limit) or o.usage is not None
    ]  # fmt: skip


@CASES.case("headers.surfaced", "HD3", "HD4", each=surfacing, modes=MODES)
def test_surfaced(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Usage and rate-limit headers are at their documented attributes, with their values."""
    found: list[Finding] = []
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
    return once(found)


def _figures(operation: Operation) -> dict[str, int | str]:
    """Return a different figure for each header, so that two cannot be taken for each other."""
    made: dict[str, int | str] = {}
    plan = operation.usage.plan if operation.usage else None
    for _, block, part in surfaced.blocks(operation):
        for _, name, _, _ in surfaced.promised(block, part):
            made[name] = "pro" if plan and name.lower() == plan.lower() else 101 + 7 * len(made)
    return made


@CASES.case("headers.absent", "HD5", "HD3", "HD4", each=metered, modes=MODES)
def test_absent(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Without the headers the call works, and no figures are made up."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, lambda f: _is_figure(f, absent=True)):
        made = play(subject, operation, mode, fault)
        found += judge_leak(operation, made, "answers without these headers", "HD5", must=True)
        if made.attempts:
            answer = answer_of(made.attempts[-1])
            found += made.witnessed(surfaced.invented(operation, made.call, answer))
    return once(found)


@CASES.case("headers.garbage", "HD5", each=metered, modes=MODES)
def test_garbage(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Words, 400 digits or negative numbers in these headers do no harm."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, lambda f: _is_figure(f, absent=False)):
        made = play(subject, operation, mode, fault)
        found += judge_leak(
            operation, made, "answers with odd values in these headers", "HD5", must=True
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


def _is_figure(fault: FaultClass, absent: bool) -> bool:
    shown = fault.group in ("rate-limit", "usage") and fault.id.endswith("-success")
    return shown and ("-absent-" in fault.id) == absent


def _is_limited(fault: FaultClass) -> bool:
    return fault.group in ("rate-limit", "usage") and fault.id.endswith("-429")
