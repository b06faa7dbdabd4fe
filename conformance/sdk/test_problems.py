"""Problem documents (RFC 9457): what an SDK reads from them, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.faults.answers import error_body
from conformance.faults.script import Instruction, Script, respond
from conformance.oracles import exceptions
from conformance.oracles.answers import answer_of
from conformance.sdk.judging import CASES, MODES, leaders, once, play, without_retries
from conformance.sdk.subject import Play, SdkSubject
from conformance.verdict import Finding
from specs import Contract, Operation, error_rule

BLANK = "about:blank"
DROP = object()
"""Stands for a member that is left out."""
CHANGES: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("PD2", "status-text", {"status": "a word"}),
    ("PD2", "status-object", {"status": {"code": 1}}),
    ("PD2", "status-other", {"status": [418]}),
    ("PD2", "title-number", {"title": 7}),
    ("PD2", "detail-object", {"detail": {"a": [1]}}),
    ("PD2", "type-number", {"type": 7}),
    ("PD2", "instance-array", {"instance": [None]}),
    ("PD3", "no-type", {"type": DROP}),
    ("PD3", "blank-type", {"type": BLANK}),
    ("PD4", "extensions", {"x_later": {"a": 1}, "errors": [{"pointer": "#/to"}], "code": 9}),
    ("PD5", "detail-wording", {"detail": "rate limit exceeded: not found, try again later"}),
    ("PD5", "detail-gone", {"detail": DROP}),
)
"""Requirement, name, and the members of a problem document that are changed."""


def troubled(contract: Contract) -> list[Operation]:
    """Return one operation of each kind that answers with problem documents."""
    return [
        o for o in leaders(contract)
        if o.errors is not None
        and any("application/problem+json" in r.content for r in o.responses.values())
    ]  # fmt: skip


def documented(operation: Operation) -> list[int]:
    """Return the statuses that an operation answers with a problem document."""
    return [
        int(status) for status, response in operation.responses.items()
        if status.isdigit() and "application/problem+json" in response.content
    ]  # fmt: skip


@CASES.case("errors.problems", "PD2", "PD3", "PD4", "PD5", each=troubled, modes=MODES)
def test_problems(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A problem is known by status and type; wrong, unknown and wordy members change nothing."""
    found: list[Finding] = []
    for status in documented(operation):
        whole = error_body(operation, status)
        usual = _play(subject, operation, mode, status, whole)
        for requirement, name, members in CHANGES:
            body = {k: v for k, v in {**whole, **members}.items() if v is not DROP}
            made = _play(subject, operation, mode, status, body)
            found += [
                f.at(requirement=requirement, cause=f"problem:{name}", claim=None)
                for f in _told(subject, operation, made, name)
            ]
            if requirement in ("PD4", "PD5") and _ended(made) != _ended(usual):
                found += made.witnessed([_other(requirement, name, usual, made)])
            if requirement == "PD3":
                found += made.witnessed(_blank(operation, made, status))
    return once(found)


def _play(subject: SdkSubject, operation: Operation, mode: str, status: int, body: Any) -> Play:
    headers = {"content-type": "application/problem+json"}
    script = Script.of(Instruction.of(respond(status, body, headers), operation.id))
    return play(subject, operation, mode, script, options=without_retries(subject))


def _told(subject: SdkSubject, operation: Operation, made: Play, name: str) -> list[Finding]:
    last = answer_of(made.attempts[-1])
    found = exceptions.judge(operation, made.call, last, subject.known, odd=name)
    return made.witnessed(f for f in found if f.requirement in ("ER1", "ER3", "ER9"))


def _ended(made: Play) -> tuple[str, int]:
    raised = made.call.outcome.error
    return (raised.name if raised else made.call.outcome.kind), len(made.attempts)


def _other(requirement: str, name: str, usual: Play, made: Play) -> Finding:
    return Finding(
        requirement, "treats a problem otherwise for members that decide nothing",
        expected=str(_ended(usual)), actual=str(_ended(made)), cause=f"problem:{name}",
    )  # fmt: skip


def _blank(operation: Operation, made: Play, status: int) -> list[Finding]:
    """Return whether a problem without a type has the type about:blank where types are shown."""
    errors, raised = operation.errors, made.call.outcome.error
    rule = error_rule(errors, status=status) if errors else None
    if rule is None or raised is None:
        return []
    return [
        Finding(
            "PD3", "does not call a problem without a type about:blank",
            expected=f"{rule.exception}.{name} = {BLANK!r}", actual=repr(raised.attributes[name]),
            cause="problem:type",
        )
        for name, place in rule.attributes.items()
        if place == "/type" and name in raised.attributes and raised.attributes[name] != BLANK
    ]  # fmt: skip
