"""Retry-After: waits that the server asks for, in seconds, as dates, and in no form at all."""

from __future__ import annotations

from conformance.claims import Leaked, LeakedOnRetryAfter, Unbounded
from conformance.faults.answers import error_body, put
from conformance.faults.classes import FaultClass
from conformance.faults.script import Instruction, Script, respond
from conformance.oracles.retry import FOREVER
from conformance.sdk.judging import (
    CASES,
    MODES,
    chosen,
    judge_leak,
    judge_retries,
    leaders,
    once,
    play,
    remembered,
    server,
)
from conformance.sdk.subject import SdkSubject
from conformance.sdk.test_retries import promising
from conformance.verdict import Finding, Inconclusive
from specs import Basis, Contract, Operation

_PLAIN = ("seconds", "minute", "zero", "absent", "day")
_DATES = ("imf-date", "rfc850-date", "asctime-date", "past-date", "far-date")


@CASES.case("retry-after.seconds", "RA4", each=promising, modes=MODES)
def test_retry_after_seconds(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A wait that the server asks for in seconds is kept: never shorter."""
    return _retry_after(subject, operation, mode, _PLAIN, "RA4")


@CASES.case("retry-after.dates", "RA3", "RA4", each=promising, modes=MODES)
def test_retry_after_dates(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A wait that the server asks for as a date, in any of its three forms, is kept."""
    return _retry_after(subject, operation, mode, _DATES, "RA3")


@CASES.case("retry-after.odd", "RA5", "RT2", each=promising, modes=MODES)
def test_retry_after_odd(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """What is no wait at all (words, negative, ten years) neither crashes nor blocks the call."""
    return _retry_after(subject, operation, mode, None, "RA5")


def _retry_after(
    subject: SdkSubject, operation: Operation, mode: str, forms: tuple[str, ...] | None,
    requirement: str,
) -> list[Finding]:  # fmt: skip
    def wanted(fault: FaultClass) -> bool:
        name = fault.id.removeprefix("retry-after-").rpartition("-")[0]
        inside = name not in (*_PLAIN, *_DATES) if forms is None else name in forms
        return fault.group == "retry-after" and inside

    found: list[Finding] = []
    unheard = False
    faults = list(chosen(subject, operation, mode, wanted))
    deaf = _deaf(subject, operation, mode) if requirement == "RA3" else frozenset()
    judged = ("RA5",) if requirement == "RA5" else ("RA4", "RA5")
    for fault in faults:
        if (mode, fault.id) in subject.hung:
            subject.covered(operation, mode, fault.id, "not run: it hung before")
            continue
        made = play(subject, operation, mode, fault, timeout=1.5)
        if made.call.outcome.kind == "hang":
            subject.hung.add((mode, fault.id))
            found += made.witnessed([_never(requirement)])
            continue
        leaks = judge_leak(operation, made, server(fault), requirement)
        for leak in leaks:
            claim = leak.claim
            if requirement in ("RA3", "RA5") and isinstance(claim, Leaked):
                unread = LeakedOnRetryAfter(
                    claim.base, claim.exception, claim.condition, claim.wanted
                )
                leak = made.refiled(leak.claiming(unread))
            found.append(leak)
        for finding in judge_retries(subject, operation, made):
            if finding.requirement in judged:
                dated = requirement == "RA3" and finding.requirement == "RA4"
                if dated and int(fault.id.rpartition("-")[2]) in deaf:
                    unheard = True
                else:
                    found.append(made.refiled(finding, requirement="RA3") if dated else finding)
        if requirement == "RA5":
            found += _at_once(subject, operation, mode, fault)
    if unheard and not found:
        raise Inconclusive(
            "whether it reads dates cannot be told: it does not keep a wait in seconds either, "
            "which retry-after.seconds says"
        )
    return once(found)


AT_ONCE = 0.02
"""Seconds of waits of a whole call that count as none, where its own back-off takes longer."""
NO_WAIT = ("garbage", "nan")
"""Forms of Retry-After that say nothing of time."""
AGAIN = 3
"""How often none must be seen: jitter may draw almost nothing once."""


def _at_once(
    subject: SdkSubject, operation: Operation, mode: str, fault: FaultClass
) -> list[Finding]:
    """Return whether a Retry-After that is no wait makes an SDK send again without any back-off."""
    name = fault.id.removeprefix("retry-after-").rpartition("-")[0]
    if name not in NO_WAIT or not subject.hello.records_sleeps:
        return []
    ready = subject.needs(operation, mode)
    script = subject.script(fault, operation, 1)
    own = remembered(
        subject, operation, ready,
        Script.parse(f"{operation.id}#1 {fault.id.rpartition('-')[2]}"), {},
    )  # fmt: skip
    plain = sum(s.seconds for s in own.call.sleeps)
    if plain <= 10 * AT_ONCE or len(own.attempts) < 2:
        return []
    for _ in range(AGAIN):
        made = subject.play(script, subject.ask(operation), mode=ready)
        waited = sum(s.seconds for s in made.call.sleeps)
        if waited > AT_ONCE or len(made.attempts) < 2:
            return []
    return made.witnessed([
        Finding(
            "RT2", "sends again at once where Retry-After is no wait",
            expected=f"its own back-off, as without the header: it took {plain:.2g} s",
            actual=f"{waited:.3g} s, {AGAIN} times of {AGAIN}", basis=Basis.ASSUMED,
            cause="retry-after:garbage-at-once",
        )
    ])  # fmt: skip


def _deaf(subject: SdkSubject, operation: Operation, mode: str) -> frozenset[int]:
    """Return the statuses with which not even a wait in seconds is kept: RA4 says so already."""
    found = set()
    for status in (429, 503, 500, 413):
        script = Script.parse(f"{operation.id}#1 {status} retry-after=60")
        made = remembered(subject, operation, subject.needs(operation, mode), script, {})
        if any(f.requirement == "RA4" for f in judge_retries(subject, operation, made)):
            found.add(status)
    return frozenset(found)


def _never(requirement: str) -> Finding:
    return Finding.of(requirement, Unbounded(FOREVER, None), Basis.ASSUMED)


def exact(contract: Contract) -> list[Operation]:
    """Return the operations that may be asked to wait in milliseconds."""
    return [
        o for o in contract
        if o.retries is not None and o.retries.retry_after is not None
        and o.retries.retry_after.milliseconds is not None
    ]  # fmt: skip


@CASES.case("retry-after.milliseconds", "RA4", each=exact, modes=MODES)
def test_milliseconds(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A wait that the server asks for in milliseconds is kept, and decides over one in seconds."""
    assert operation.retries is not None
    said = operation.retries.retry_after
    assert said is not None
    found: list[Finding] = []
    for fields in ({said.milliseconds: "30500"}, {said.milliseconds: "30500", said.header: "1"}):
        words = " ".join(f"{name}={value}" for name, value in fields.items())
        made = play(subject, operation, mode, Script.parse(f"{operation.id}#1 429 {words}"))
        found += [f for f in judge_retries(subject, operation, made) if f.requirement == "RA4"]
    return once(found)


def repeated(contract: Contract) -> list[Operation]:
    """Return the operations whose error bodies may repeat the server's wish to wait."""
    return [
        o for o in leaders(contract)
        if o.retries is not None and o.retries.retry_after is not None
        and o.retries.retry_after.pointer is not None
    ]  # fmt: skip


@CASES.case("retry-after.body", "RA4", each=repeated, modes=MODES)
def test_retry_after_body(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A wait that the error's body asks for is kept where that is promised."""
    assert operation.retries is not None
    assert operation.retries.retry_after is not None
    place = operation.retries.retry_after.pointer or ""
    body = put(error_body(operation, 429), place, 9)
    script = Script.of(Instruction.of(respond(429, body), operation.id))
    made = play(subject, operation, mode, script)
    return [f for f in judge_retries(subject, operation, made) if f.requirement == "RA4"]
