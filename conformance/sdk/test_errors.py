"""Errors: which exception each failure becomes, with which attributes, and what leaks."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from conformance.claims import WrongClass
from conformance.faults.answers import error_body, put
from conformance.faults.classes import FaultClass
from conformance.faults.script import Script
from conformance.oracles import exceptions
from conformance.oracles.answers import Answer, answer_of, error_code
from conformance.sdk.judging import (
    CASES,
    MODES,
    SHORT,
    chosen,
    every,
    is_wild,
    judge_error,
    judge_leak,
    judge_odd,
    leaders,
    needs_option,
    once,
    play,
    server,
    without_retries,
)
from conformance.sdk.subject import SdkSubject
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Basis, Contract, Operation
from specs.vocabulary import Errors

MAPPING = ("ER1", "ER9", "ER10", "ER11", "ER12", "ER13", "AU7")


@CASES.case("errors.documented", *MAPPING, each=every, modes=MODES)
def test_documented(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Each documented status and code raises its documented exception, attributes filled."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, lambda f: f.group == "documented"):
        options = without_retries(subject, operation, _status(fault))
        made = play(subject, operation, mode, fault, None, options)
        found += judge_error(subject, operation, made)
    return once(found)


def _status(fault: FaultClass) -> int:
    return int(fault.id.split("-")[1])


@CASES.case("errors.said", "ER2", each=leaders, modes=MODES)
def test_said(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """An exception tells status, code and request id of its answer, wherever it does."""
    found: list[Finding] = []
    statuses = [int(s) for s in operation.responses if s.isdigit() and s[0] in "45"]
    for status in statuses:
        options = without_retries(subject, operation, status)
        script = Script.parse(f"{operation.id}#1+ {status}")
        made = play(subject, operation, mode, script, options=options)
        if made.attempts:
            answer = answer_of(made.attempts[-1])
            found += made.witnessed(exceptions.judge_said(operation, made.call, answer))
    return once(found)


def announcing(contract: Contract) -> list[Operation]:
    """Return the operations one of whose exceptions carries a response header."""
    return [
        o for o in contract
        if o.errors is not None
        and any(s.startswith("header:") for r in o.errors.map for s in r.attributes.values())
    ]  # fmt: skip


@CASES.case("errors.retry-after", "ER11", each=announcing, modes=MODES)
def test_retry_after(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """The wait that a rate-limited answer asks for is on its exception, as a number."""
    found: list[Finding] = []
    options = without_retries(subject)
    for seconds in (7, 90):
        script = Script.parse(f"{operation.id} 429 retry-after={seconds}")
        made = play(subject, operation, mode, script, options=options)
        found += [f for f in judge_error(subject, operation, made) if f.requirement == "ER11"]
    return once(found)


@CASES.case("errors.statuses", "ER1", "ER9", "CT13", each=every, modes=MODES)
def test_statuses(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Any other error status raises the exception of its range, never a foreign one."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, lambda f: f.group == "status"):
        options = without_retries(subject, operation, _status(fault))
        made = play(subject, operation, mode, fault, None, options)
        if is_wild(fault):
            requirement = "CT13" if _status(fault) // 100 == 2 else "ER9"
            words = f"status {_status(fault)} without a body"
            found += judge_leak(operation, made, words, requirement)
        else:
            found += judge_error(subject, operation, made)
    return once(found)


@CASES.case("errors.bodies", "ER3", "ER9", "ER11", each=every, modes=MODES)
def test_bodies(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """An error whose body is empty, HTML, cut, not JSON or not an object is still that error."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, _is_error_body):
        made = play(subject, operation, mode, fault, None, without_retries(subject))
        odd, status = fault.id.split("-", 2)[2], _status(fault)
        words = fault.summary.partition(" with ")[2].removesuffix(".")
        garbled = "gzip" in odd or odd == "unknown-encoding"
        if garbled or odd == "deep":
            found += judge_leak(operation, made, f"status {status} with {words}", "ER3")
        else:
            found += judge_odd(subject, operation, made, odd, status, words)
    return once(found)


def _is_error_body(fault: FaultClass) -> bool:
    big = fault.id.rpartition("-")[2] in ("1MB", "50MB")
    return fault.group == "body" and fault.id.split("-")[1] in ("400", "500") and not big


@CASES.case("errors.unsure", "ER1", "ER3", "ER9", "ER11", each=leaders, modes=MODES)
def test_odd_mapped(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Statuses with exceptions of their own keep them when the body says nothing useful."""
    if operation.errors is None:
        raise Inconclusive("the contract has no error table")
    statuses = dict.fromkeys(
        int(r.status) for r in operation.errors.map if r.status and r.status.isdigit()
    )
    bodies = {
        ("empty", "no body at all"): '""',
        ("html", "a page of HTML"): '"<html>no</html>" content-type=text/html',
        ("array", "an array"): '"[1]"',
        ("null", "the word null"): '"null"',
        ("text-error", "a text where the error should be an object"):
            '"{\\"error\\":\\"text\\",\\"detail\\":[1]}"',
    }  # fmt: skip
    found: list[Finding] = []
    for status in statuses:
        options = without_retries(subject, operation, status)
        for (odd, words), body in bodies.items():
            script = Script.parse(f"{operation.id}#1+ {status} body={body}")
            made = play(subject, operation, mode, script, options=options)
            found += judge_odd(subject, operation, made, odd, status, words)
    return once(found)


def worded(contract: Contract) -> list[Operation]:
    """Return the leading operations whose table tells errors of one status apart by their code."""
    return [o for o in leaders(contract) if o.errors is not None and _shared(o.errors)]


def _shared(errors: Errors) -> list[str]:
    """Return the statuses that several rows of an error table share."""
    counts = Counter(rule.status for rule in errors.map if rule.status and rule.status.isdigit())
    coded = {rule.status for rule in errors.map if rule.code}
    return [status for status, count in counts.items() if count > 1 and status in coded]


@CASES.case("errors.words", "ER1", each=worded, modes=MODES)
def test_words(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Of errors that share a status the code decides, whatever words their message is made of."""
    errors = operation.errors
    if errors is None or not errors.envelope.message:
        raise NotApplicable("its errors have no message")
    found: list[Finding] = []
    for rule in errors.map:
        if rule.status not in _shared(errors):
            continue
        status = int(rule.status or 0)
        plain = error_body(operation, status, rule.code)
        own = error_code(errors, Answer(status, body=json.dumps(plain).encode()))
        words = _words_of_others(errors, status, own)
        options = without_retries(subject, operation, status)
        told: set[str] = set()
        for message in ("no", words):
            body = json.dumps(json.dumps(put(plain, errors.envelope.message, message)))
            script = Script.parse(f"{operation.id}#1+ {status} body={body}")
            made = play(subject, operation, mode, script, options=options)
            judged = [f for f in judge_error(subject, operation, made) if f.cause not in told]
            told |= {f.cause for f in judged}
        found += made.witnessed([_by_words(f, words) for f in judged])
    return once(found)


def _words_of_others(errors: Errors, status: int, own: str | None) -> str:
    """Return what the errors of a status that have another code are called, in words."""
    kinds = {k: a.code for k, a in errors.answers.items() if a.status == status and a.code != own}
    codes = {r.code for r in errors.map if r.status == str(status) and r.code != own}
    return " ".join(sorted({c.replace("_", " ") for c in (*codes, *kinds, *kinds.values()) if c}))


def _by_words(finding: Finding, words: str) -> Finding:
    """Return a finding that shows only where a message has certain words."""
    claim = finding.claim
    if not isinstance(claim, WrongClass):
        return finding.at(requirement="ER1", basis=Basis.ASSUMED)
    told = finding.claiming(replace(claim, words=words))
    return told.at(requirement="ER1", basis=Basis.ASSUMED)


@CASES.case("errors.network", "ER15", "ER9", "ER12", "ER13", "ER14", each=every, modes=MODES)
def test_network(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Connections that are refused, broken or cut raise the documented exceptions."""
    found: list[Finding] = []
    promised = operation.retries.network if operation.retries else ()
    options = without_retries(subject) if promised else {}
    for fault in chosen(subject, operation, mode, _is_rough):
        made = play(subject, operation, mode, fault, None, options)
        found += judge_error(subject, operation, made)
    return once(found)


def _is_rough(fault: FaultClass) -> bool:
    odd = fault.id in ("network-garbage-mid-response", "network-garbage-after-response")
    slow = fault.timeout or "trickle" in fault.id
    return fault.group == "network" and not slow and not odd and not fault.once


@CASES.case("errors.timeouts", "ER15", "ER9", "RB8", each=every, modes=MODES)
def test_timeouts(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A server that falls silent, at any stage, raises the documented timeout error in time."""
    faults = list(chosen(subject, operation, mode, lambda f: _is_silent(f) or _is_unending(f)))
    needs_option(subject, operation, mode, "timeout")
    found: list[Finding] = []
    options = {**without_retries(subject), "timeout": SHORT}
    for fault in faults:
        silent = _is_silent(fault)
        made = play(subject, operation, mode, fault, None if silent else 1, options, timeout=4.0)
        if silent:
            found += judge_error(subject, operation, made)
        odd = not silent or (bool(made.attempts) and answer_of(made.attempts[-1]).ok)
        if odd and made.call.outcome.kind in ("error", "hang"):
            found += judge_leak(operation, made, server(fault))
    return once(found)


def _is_unending(fault: FaultClass) -> bool:
    return fault.group == "framing" and fault.timeout


def _is_silent(fault: FaultClass) -> bool:
    return fault.group == "network" and fault.timeout
