"""Contracts of our own, for promises that none of the shipped APIs makes.

Cursors and Link headers, the IETF's RateLimit fields, required idempotency keys, problem
documents: cases for these are proven on backends made from the contracts in this folder, by the
adapter that needs nothing but a contract.
"""

from __future__ import annotations

from pathlib import Path

import specs
from specs import Contract

HERE = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the ids of the contracts here."""
    return tuple(sorted(path.stem for path in HERE.glob("*.yaml")))


def load(api: str) -> Contract:
    """Return a contract by id: one of these, else a shipped one. Raises SpecError for neither."""
    return specs.load(HERE / f"{api}.yaml") if api in names() else specs.load(api)
