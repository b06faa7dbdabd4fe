"""The fault classes: every way that this project knows of harming an answer, as a table.

A class turns a contract and an operation into a script. `FAULTS` holds those that are the same
everywhere; `documented()` adds one for each status and code that an operation declares;
`classes_for()` is both, without those that do not apply. Nothing here says what an SDK should
make of a fault: that is for the oracles.
"""

from __future__ import annotations

from conformance.faults import answer_faults, line_faults
from conformance.faults.answers import error_body
from conformance.faults.fault import FaultClass, Group, always, first
from conformance.faults.script import Instruction, respond
from specs import Contract, Operation

__all__ = ["FAULTS", "FaultClass", "Group", "classes_for", "documented"]


def classes_for(contract: Contract, operation: Operation) -> tuple[FaultClass, ...]:
    """Return the classes that apply to an operation, the documented ones first."""
    general = tuple(f for f in FAULTS if f.applies(contract, operation))
    return documented(contract, operation) + general


def documented(contract: Contract, operation: Operation) -> tuple[FaultClass, ...]:
    """Return one class for each error status, and each status and code, that is declared."""
    pairs: dict[tuple[int, str | None], None] = {}
    for declared in operation.responses:
        if declared[0] in "45" and declared.isdigit():
            pairs[int(declared), None] = None
    for rule in operation.errors.map if operation.errors else ():
        if rule.status is None or rule.code is None:
            continue
        status = int(rule.status.replace("XX", "00"))
        if operation.response(status) is not None:
            pairs[status, rule.code] = None
    for answer in operation.errors.answers.values() if operation.errors else ():
        if operation.response(answer.status) is not None and answer.code is not None:
            pairs[answer.status, answer.code] = None
    return tuple(_documented(status, code) for status, code in pairs)


def _documented(status: int, code: str | None) -> FaultClass:
    def build(contract: Contract, operation: Operation) -> Instruction:
        if code is None:
            return first(operation, respond(status))
        body = error_body(operation, status, code)
        return first(operation, respond(status, body))

    named = f"documented-{status}" + (f"-{code}" if code else "")
    summary = f"Answers {status}" + (f" with the code {code}." if code else " as declared.")
    return FaultClass(named, "documented", summary, build, always, core=True)


FAULTS: tuple[FaultClass, ...] = (*answer_faults.table(), *line_faults.table())
"""Every class that is the same for every API, in a fixed order."""
