"""What is about to leave for a backend, and what a run may send at all. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.backend.trust import TIMEOUT
from conformance.history import Request
from specs import Operation


@dataclass(frozen=True)
class Limits:
    """What a run may spend, and what it may do to the data."""

    max_requests: int | None = None
    max_seconds: float | None = None
    rate: float | None = None
    """Requests per second at most."""
    read_only: bool = False
    """Only safe methods leave (RFC 9110 section 9.2.1)."""
    hostile: bool = True
    """False: only plain values leave, see `plain.py`."""
    timeout: float = TIMEOUT
    """Seconds that one answer may take; fewer where some never came, see `patience`."""


@dataclass(frozen=True)
class Prepared:
    """A request that is ready to go, and whose it is."""

    operation: Operation | None
    request: Request
    principal: str = "a"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What it was built from: tells what it names, and what came of it."""
