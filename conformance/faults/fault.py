"""What a fault class is, and the few words that the tables of them are written in.

The tables are in `answer_faults.py` (statuses, redirects, bodies) and `line_faults.py` (framing,
headers, the network, waits, quotas, streams); all of them together in `classes.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from conformance.faults.script import Effect, Instruction, Script, Stage, respond
from specs import Contract, Operation

Group = Literal[
    "status", "documented", "interim", "redirect", "body", "framing", "headers", "network",
    "connect", "retry-after", "rate-limit", "usage", "stream",
]  # fmt: skip
Build = Callable[[Contract, Operation], Instruction]
Applies = Callable[[Contract, Operation], bool]


@dataclass(frozen=True, slots=True)
class FaultClass:
    """One way of harming a request."""

    id: str
    """`group-what`, unique and stable."""
    group: Group
    summary: str
    """One sentence: what the server does."""
    instruction: Build
    """Makes the instruction for the first request of an operation."""
    applies: Applies
    core: bool = False
    """Worth playing on every operation, where time is short for all classes on all."""
    timeout: bool = False
    """The server may fall silent: the client needs a timeout of its own, best a short one."""
    bulky: bool = False
    """It moves many bytes: dear to play everywhere."""
    calls: int = 1
    """How many calls it takes to see the fault bite: 2 where it waits in a kept connection."""
    once: bool = False
    """It is told by what follows it, so it is never played on every attempt."""
    every: bool = False
    """It is what it is only when played on every attempt."""

    def build(self, contract: Contract, operation: Operation, times: int | None = 1) -> Script:
        """Return the script: the fault on the first `times` attempts, None: on every one."""
        made = self.instruction(contract, operation)
        if made.effect.kind in ("refuse", "late"):
            return Script.of(made)
        if self.once or self.every:
            times = 1 if self.once else None
        attempt = 1 if times is not None else None
        return Script.of(Instruction(made.operation, attempt, times, made.stage, made.effect))


def first(operation: Operation, effect: Effect, stage: Stage = Stage.BEFORE_HANDLER) -> Instruction:
    """Return the instruction that plays an effect on the first request of an operation."""
    return Instruction.of(effect, operation.id, stage=stage)


def plays(effect: Effect, stage: Stage = Stage.BEFORE_HANDLER) -> Build:
    """Return what plays the same effect on whatever operation."""
    return lambda contract, operation: first(operation, effect, stage)


def always(contract: Contract, operation: Operation) -> bool:
    """Apply everywhere."""
    return True


def has_body(contract: Contract, operation: Operation) -> bool:
    """True where the declared success has something to break inside of."""
    return bool(operation.success.content)


def has_object(contract: Contract, operation: Operation) -> bool:
    """True where the declared success is an object with declared fields."""
    schema = operation.success.schema
    return schema is not None and "properties" in schema


def success_status(operation: Operation) -> int:
    """Return the status of the declared success."""
    declared = operation.success.status
    return int(declared) if declared.isdigit() else 200


def success(body: bytes, headers: dict[str, str]) -> Build:
    """Return what answers with the declared success status and these bytes."""

    def build(contract: Contract, operation: Operation) -> Instruction:
        return first(
            operation, respond(success_status(operation), body, headers), Stage.AFTER_COMMIT
        )

    return build
