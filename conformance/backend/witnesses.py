"""The evidence of a backend finding: its exchanges in full. Whatever leaves has no key in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from conformance.evidence import BODY_MAX, Shown, bounded, text_of
from conformance.history import Exchange
from conformance.oracles.found import told
from conformance.verdict import Finding

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

SHOWN_MAX = 6
"""Exchanges shown of one finding: the first ones, and the last, where the fault is."""


def shown(subject: BackendSubject, finding: Finding) -> tuple[Exchange, ...]:
    """Return the exchanges that a finding names, those in the middle left out."""
    numbers = [n for n in finding.witness if n < subject.exchanged]
    if len(numbers) > SHOWN_MAX:
        numbers = [*numbers[: SHOWN_MAX - 1], numbers[-1]]
    return tuple(subject.exchanges[n] for n in numbers)


def told_in_full(subject: BackendSubject, exchanges: Sequence[Exchange]) -> tuple[Shown, ...]:
    """Return exchanges as a reader sees them, bounded and without keys."""
    start = exchanges[0].sent if exchanges else 0.0
    return tuple(_shown(subject, each, start) for each in exchanges)


def _shown(subject: BackendSubject, exchange: Exchange, start: float) -> Shown:
    request, response = exchange.request, exchange.response

    def headers(fields: Any) -> tuple[tuple[str, str], ...]:
        return tuple((n, subject.redacted(v)) for n, v in bounded(fields))

    return Shown(
        at=round(exchange.sent - start, 6),
        who=exchange.principal,
        method=request.method,
        target=subject.redacted(request.target)[:BODY_MAX],
        headers=headers(request.headers),
        body=subject.redacted(text_of(request.body)),
        status=exchange.status,
        failure="" if response else told(exchange),
        answer_headers=headers(response.headers if response else ()),
        answer_body=subject.redacted(text_of(response.body)) if response else "",
        seconds=round((exchange.received or exchange.sent) - exchange.sent, 6),
    )
