"""What is about to leave for a backend, and what a run may send at all. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.backend.trust import TIMEOUT
from conformance.history import Exchange, Request, header
from conformance.oracles.answers import retry_after
from specs import Operation, quotas


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


def asked_wait(prepared: Prepared, exchange: Exchange, now: float) -> float | None:
    """Return the seconds that a refusal asks to wait: by Retry-After, else by the quota's fields.

    None where neither says it.
    """
    assert exchange.response is not None
    headers = exchange.response.headers
    given = header(headers, "retry-after")
    seconds = retry_after(given, now) if given else None
    limit = prepared.operation.rate_limit if prepared.operation else None
    if seconds is None and limit is not None:
        said = quotas.read(limit, headers, now)
        seconds = said.reset if said is not None else None
    return seconds
