"""This suite's oracles as checks of Schemathesis, for people who run `st run` themselves.

    SCHEMATHESIS_HOOKS=conformance.backend.checks MEMCONFORM_API=claiv \\
        st run specs/claiv.yaml --url http://127.0.0.1:8000/claiv

`MEMCONFORM_API` names the contract (an API or a path to a spec); without it the document that
Schemathesis reads is taken, which then needs `x-conformance`. Each check judges one answer by
the same oracle as the suite does; what needs several answers is the suite's own business.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import Any

import schemathesis

import specs
from conformance.clock import epoch_seconds
from conformance.history import Exchange, Request, Response
from conformance.oracles import contract as contract_oracle
from conformance.oracles import envelope, headers
from conformance.verdict import Finding
from specs import Contract, Operation

VARIABLE = "MEMCONFORM_API"


@cache
def _named() -> Contract | None:
    name = os.environ.get(VARIABLE)
    return specs.load(name) if name else None


@cache
def _read(identity: int) -> Contract:
    return specs.from_document(_DOCUMENTS[identity])


_DOCUMENTS: dict[int, Any] = {}


def _contract(case: Any) -> Contract:
    named = _named()
    if named is not None:
        return named
    document = case.operation.schema.raw_schema
    _DOCUMENTS.setdefault(id(document), document)
    return _read(id(document))


def exchange_of(response: Any, case: Any) -> tuple[Operation, Exchange]:
    """Return the operation and the exchange that a Schemathesis case and answer were."""
    contract = _contract(case)
    operation = contract.match(case.operation.method, case.operation.path)
    if operation is None:
        raise LookupError(f"{case.operation.label} is not in the contract of {contract.api}")
    asked = response.request
    body = asked.body.encode() if isinstance(asked.body, str) else asked.body or b""
    sent_key = any(a.header.lower() in map(str.lower, asked.headers) for a in contract.auth)
    exchange = Exchange(
        number=0,
        request=Request(asked.method, asked.path_url, (), body if isinstance(body, bytes) else b""),
        response=Response(
            response.status_code,
            tuple((n, v) for n, values in response.headers.items() for v in values),
            response.content,
        ),
        sent=0.0,
        received=float(response.elapsed),
        operation=operation.id,
        principal="a" if sent_key else "",
    )
    return operation, exchange


def _fail_with(findings: Iterable[Finding]) -> None:
    told = [f"{f.requirement}: {f.message}" for f in findings]
    if told:
        raise AssertionError("; ".join(dict.fromkeys(told)))


@schemathesis.check
def memconform_contract(ctx: Any, response: Any, case: Any) -> None:
    """Status, media type, headers and body are as declared (CT1, CT2, CT3, CT6, CT7)."""
    operation, exchange = exchange_of(response, case)
    also = frozenset({400, 404, 405, 408, 411, 413, 414, 415, 417, 431})
    _fail_with(contract_oracle.judge(operation, exchange, also=also))


@schemathesis.check
def memconform_error(ctx: Any, response: Any, case: Any) -> None:
    """An error has its envelope and request id, and shows nothing of the inside (ER4, ER6, ER7)."""
    operation, exchange = exchange_of(response, case)
    _fail_with(envelope.judge(operation, exchange))


@schemathesis.check
def memconform_headers(ctx: Any, response: Any, case: Any) -> None:
    """Rate-limit, Retry-After and usage headers are there and make sense (RL*, RA*, HD1, HD6)."""
    operation, exchange = exchange_of(response, case)
    _fail_with(headers.judge(operation, exchange, epoch_seconds()))
