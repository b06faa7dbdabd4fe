"""The evidence of a backend finding: its exchanges in full, and a way to see the fault again.

A fault that one request shows becomes a `curl` line; one that needs a record first becomes a
program, which makes the record anew. Whatever leaves here has no key in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from conformance.evidence import (
    BODY_MAX,
    NOT_SENT,
    Given,
    Shown,
    Step,
    bounded,
    curl,
    script,
    text_of,
)
from conformance.history import Exchange
from conformance.oracles.found import ok, told
from conformance.verdict import Finding

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

SHOWN_MAX = 6
"""Exchanges shown of one finding: the first ones, and the last, where the fault is."""
STEPS_MAX = 4
LOOKED_BACK = 400
"""Exchanges before a finding among which the makers of what it is about are sought."""
SHORTEST = 6
"""Characters that an id has at least; shorter texts are found everywhere."""
OTHER_KEYS = ("AU4", "AU5")
"""Requirements about credentials that are no tenant's key, and so nowhere in the evidence."""

Path = tuple[str | int, ...]


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


def reproduction(subject: BackendSubject, finding: Finding, words: str) -> str:
    """Return a `curl` line or a program that shows a finding again; '' where neither can."""
    if not finding.shows or not finding.witness or finding.requirement in OTHER_KEYS:
        return ""
    last = subject.exchanges[finding.witness[-1]]
    needed, given = _needed(subject, last)
    steps = [_step(subject, each) for each in (*needed, last)]
    if None in steps or len(steps) > STEPS_MAX:
        return ""
    ready = [step for step in steps if step is not None]
    if len(ready) == 1 and subject.mark not in str(ready[0].target) and _plain(ready[0].body):
        return curl(subject.base_url, ready[0])
    return script(subject.base_url, ready, given, subject.run_id, finding.shows, words)


def _plain(body: bytes) -> bool:
    try:
        return body.decode("utf-8").isprintable()
    except ValueError:
        return False


def _step(subject: BackendSubject, exchange: Exchange) -> Step | None:
    """Return an exchange's request as a step, None where it cannot be written down."""
    request = exchange.request
    if not request.headers or len(request.body) > BODY_MAX or len(request.target) > BODY_MAX:
        return None
    if subject.redacted(request.target) != request.target:
        return None
    ways = {a.header.lower(): a for a in subject.contract.auth}
    sent = [n.lower() for n, _ in request.headers]
    way = next((ways[n] for n in sent if n in ways), None)
    left_out = NOT_SENT | set(ways) | {"authorization", "cookie", "x-api-key"}
    plain = tuple((n, v) for n, v in request.headers if n.lower() not in left_out)
    credential = None
    if way is not None:
        who = exchange.principal
        if who not in subject.keys or len([n for n in sent if n in ways]) > 1:
            return None
        variable = "KEY" if who == "a" else f"KEY_{who.upper()}"
        credential = (way.header, way.prefix, variable)
    target = request.target.removeprefix(subject.origin.path)
    return Step(
        method=request.method, target=target, headers=plain, credential=credential,
        body=request.body,
    )  # fmt: skip


def _needed(
    subject: BackendSubject, last: Exchange
) -> tuple[tuple[Exchange, ...], tuple[Given, ...]]:
    """Return the exchanges that made what a request is about, oldest first, and their ids."""
    makers: dict[int, Exchange] = {}
    taken: dict[tuple[int, Path], str] = {}
    open_ends = [last]
    while open_ends and len(makers) < STEPS_MAX:
        asked = open_ends.pop()
        text = asked.request.target + asked.request.body.decode("utf-8", "replace")
        for maker in reversed(subject.exchanges[max(0, asked.number - LOOKED_BACK) : asked.number]):
            if maker.number in makers or not _makes(subject, maker):
                continue
            own = maker.request.target + maker.request.body.decode("utf-8", "replace")
            body = maker.response.json_or_none() if maker.response else None
            ids = [(path, v) for path, v in _texts(body) if v in text and v not in own]
            if not ids and not any(value in own for value in _named(subject, asked)):
                continue
            makers[maker.number] = maker
            taken.update({(maker.number, path): value for path, value in ids})
            open_ends.append(maker)
    order = sorted(makers)
    given = tuple(
        Given(step=order.index(number), path=path, value=value)
        for (number, path), value in taken.items()
    )
    return tuple(makers[n] for n in order), given


def _named(subject: BackendSubject, asked: Exchange) -> set[str]:
    """Return the ids of this run's own making that a request refers to: path, parents, target."""
    operation = subject.contract.operations.get(asked.operation or "")
    effect = operation.effect if operation else None
    names = {n for n, kind in (effect.scope.items() if effect else ()) if kind != "free"}
    body = asked.request.json_or_none()
    values = [*asked.request.path.split("/"), *(v for _, v in asked.request.query)]
    values += [v for n, v in body.items() if n in names] if isinstance(body, dict) else []
    return {v for v in values if isinstance(v, str) and subject.mark in v}


def _makes(subject: BackendSubject, exchange: Exchange) -> bool:
    operation = subject.contract.operations.get(exchange.operation or "")
    effect = operation.effect if operation else None
    return effect is not None and effect.kind == "create" and ok(exchange)


def _texts(
    value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield (place, text) of the texts in a body that are long enough to be ids."""
    if isinstance(value, str):
        if len(value) >= SHORTEST:
            yield path, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:10]):
            yield from _texts(inner, (*path, number))
