"""Random programs against a model: what reading the rules one by one does not find (ST*, IS*)."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.backend.machine import Machine, Tools, program
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.verdict import Finding, NotApplicable
from specs import Contract, Operation

LENGTH, PROGRAMS = 18, 2
DEEP_LENGTH, DEEP_PROGRAMS = 80, 12


def _creating(contract: Contract) -> list[Operation]:
    """Return the operations whose records can be read or listed by the id they are given."""
    return [
        o for o in contract
        if o.effect and o.effect.kind == "create" and o.effect.id and o.effect.resource
        and len(Tools.of(contract, o).kinds(1)) > 1
    ]  # fmt: skip


@CASES.case("state.machine", "ST1", "ST2", "ST4", "ST6", "ST7", "IS1", "IS2", "IS3",
            each=_creating)  # fmt: skip
def test_machine(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Whatever order records are made, changed, read, listed and deleted in, the model holds."""
    principals = [p for p in ("a", "b") if p in subject.keys]
    tools = Tools.of(subject.contract, operation)
    if not principals:
        raise NotApplicable("no key was given")
    machine = Machine(subject, tools, principals)
    length, programs = (DEEP_LENGTH, DEEP_PROGRAMS) if subject.deep else (LENGTH, PROGRAMS)
    for number in range(programs):
        steps = program(subject.random(f"program {number}"), tools, length, len(principals))
        if machine.run(steps):
            shortest, findings = machine.shortest(steps)
            told = "; ".join(step.words() for step in shortest)
            for finding in findings:
                yield finding.at(fault=told)
            return
