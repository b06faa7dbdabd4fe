"""Every oracle that looks at a single exchange, in one call: what cases share.

`judge` composes; the rules are in `conformance.oracles`. Requests that a case broke on purpose
below HTTP's own level have no operation and are judged by that case alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from conformance.history import Exchange
from conformance.oracles import contract as contract_oracle
from conformance.oracles import envelope, headers, lifecycle
from conformance.oracles.found import found
from conformance.verdict import Finding, Inconclusive
from specs import Basis, Contract, Operation

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject


BODY_USUAL = 200_000
"""Bytes of a body that every server on the way takes; nginx stops at 1 MiB unless told."""
TARGET_USUAL = 2000
"""Characters of a request target that everybody takes (RFC 9110 §4.1 asks for 8000)."""


def judge(
    contract: Contract, exchange: Exchange, at: float, also: frozenset[int] = frozenset()
) -> Iterator[Finding]:
    """Yield all that is wrong with one answer by itself; `at` is its time since the epoch."""
    if exchange.operation is None:
        return
    operation = contract[exchange.operation]
    hung_up = exchange.response is None and exchange.failure in ("closed", "reset")
    if hung_up and len(exchange.request.body) > BODY_USUAL:
        return  # a server may close on a body that is too long (RFC 9110 §15.5.14)
    if on_the_way(operation, exchange):
        yield from envelope.leaks(operation, exchange)
        yield found(
            "CT3", "an answer given on the way to the API is not of the declared media type",
            exchange, cause=f"on-the-way-{exchange.status}", operation=operation,
            basis=Basis.ASSUMED,
        )  # fmt: skip
        return
    yield from contract_oracle.judge(operation, exchange, also=also)
    yield from envelope.judge(operation, exchange)
    yield from headers.judge(operation, exchange, at)
    yield from lifecycle.judge(operation, exchange)


def on_the_way(operation: Operation, exchange: Exchange) -> bool:
    """Return True where a proxy answered a request that is too much for HTTP servers in general.

    Such a request (a huge body or target, a NUL in the path, a doubled header) never reaches the
    operation behind a proxy, so the proxy's own page breaks no promise of the API. Every other
    request's errors are the API's to answer, whoever sends them.
    """
    request, response = exchange.request, exchange.response
    if response is None or response.status not in contract_oracle.INFRASTRUCTURE:
        return False
    if response.media_type.endswith("json"):
        return False
    return (
        len(request.body) > BODY_USUAL
        or len(request.target) > TARGET_USUAL
        or "%00" in request.target
        or len({name.lower() for name, _ in request.headers}) < len(request.headers)
    )


def judge_all(
    subject: BackendSubject, exchanges: Iterable[Exchange], also: frozenset[int] = frozenset()
) -> Iterator[Finding]:
    """Yield all that is wrong with each of several answers of a subject."""
    for exchange in exchanges:
        yield from judge(subject.contract, exchange, subject.at[exchange.number], also)


def sweep(subject: BackendSubject, seen: Sequence[Exchange]) -> Iterator[Finding]:
    """Yield what answers say only together: request ids that repeat, figures that shrink."""
    for errors in (o.errors for o in subject.contract if o.errors):
        failed = [e for e in seen if e.status is not None and e.status >= 400]
        yield from envelope.unique_request_ids(errors, failed)
        break
    usage = next((o.usage for o in subject.contract if o.usage), None)
    if usage is None:
        return
    for principal in dict.fromkeys(e.principal for e in seen if e.principal):
        mine = [e for e in seen if e.principal == principal and e.status != 401]
        # nobody promises that figures outlive the process, so each of its lives is one series
        for start, end in pairwise((0, *subject.restarts, subject.exchanged)):
            series = [e for e in mine if start <= e.number < end]
            yield from headers.usage_over_time(usage, series)


def accepted(exchange: Exchange, what: str) -> Exchange:
    """Return a 2xx exchange. Raises Inconclusive where a needed step was refused."""
    from conformance.oracles.found import ok, told

    if not ok(exchange):
        raise Inconclusive(f"{what}: {exchange.operation} was answered {told(exchange)}")
    return exchange


def with_body(contract: Contract) -> list[Operation]:
    """Return the operations that take a JSON body."""
    return [o for o in contract if o.body is not None and "json" in o.body.media_type]


def with_input(contract: Contract) -> list[Operation]:
    """Return the operations that take any argument."""
    return [o for o in contract if o.body is not None or o.parameters]


def authenticated(contract: Contract) -> list[Operation]:
    """Return the operations that want a key."""
    return [o for o in contract if o.authenticated]
