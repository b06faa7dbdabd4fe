"""What a draft is made of: guesses with their reasons, and questions. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from specs.contract import Contract, Operation
from specs.vocabulary import Basis


@dataclass
class Guess:
    """One block of one operation, or of the root (`operation` None), with the reason for it."""

    operation: Operation | None
    block: str
    """`effect`, `pagination`, `idempotency`, `errors`, `rateLimit`."""
    value: dict[str, Any]
    why: str
    basis: Basis = Basis.ASSUMED
    seen: str = ""
    """What a probe saw of it."""


@dataclass
class Draft:
    """Everything that was guessed of one description."""

    contract: Contract
    source: str
    guesses: list[Guess] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    def of(self, operation: Operation, block: str) -> Guess | None:
        """Return what was guessed of one operation, None if nothing was."""
        found = (g for g in self.guesses if g.operation is operation and g.block == block)
        return next(found, None)

    def effect(self, operation: Operation) -> Mapping[str, Any]:
        """Return the effect that was guessed of an operation; empty if none was."""
        guess = self.of(operation, "effect")
        return guess.value if guess else {}

    def drop(self, guess: Guess) -> None:
        """Take a guess back."""
        self.guesses.remove(guess)
