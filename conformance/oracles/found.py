"""What every backend oracle needs to say something: findings, and values out of answers.

Only helpers without a rule of their own belong here.
"""

from __future__ import annotations

from typing import Any

from conformance.history import Exchange
from conformance.verdict import Finding
from specs import Basis, Operation, pointer
from specs.constraints import weaker

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "nothing"})()
"""Stands for what a pointer did not find; None is a value."""


def found(
    requirement: str,
    message: str,
    *exchanges: Exchange,
    cause: str,
    operation: Operation | str | None = None,
    basis: Basis = Basis.DOCUMENTED,
    expected: Any = None,
    actual: Any = None,
    shows: str = "",
) -> Finding:
    """Return a finding that names its witnesses; the operation is the first witness' by default.

    `shows` is an expression over the last witness, see `Finding.shows`. Where `actual` is the
    last one's status it need not be given.
    """
    last = exchanges[-1].status if exchanges else None
    if not shows and type(actual) in (int, str) and str(actual) == str(last):
        shows = f"status == {actual}"
    if operation is None:
        operation = next((e.operation for e in exchanges if e.operation), None)
    return Finding(
        requirement=requirement,
        message=message,
        operation=operation.id if isinstance(operation, Operation) else operation,
        expected=expected,
        actual=actual,
        basis=basis,
        witness=tuple(e.number for e in exchanges),
        cause=cause,
        shows=shows,
    )


def value_at(exchange: Exchange, path: str | None) -> Any:
    """Return what a pointer finds in the answer's JSON body, else MISSING."""
    if path is None or exchange.response is None:
        return MISSING
    return value_in(exchange.response.json_or_none(), path)


def value_in(document: Any, path: str | None) -> Any:
    """Return what a pointer finds in a JSON value, else MISSING."""
    if path is None:
        return MISSING
    try:
        return pointer(document, path)
    except (LookupError, TypeError):
        return MISSING


def ok(exchange: Exchange) -> bool:
    """Return True for a whole 2xx answer."""
    response = exchange.response
    return (
        response is not None
        and exchange.failure is None
        and response.complete
        and 200 <= response.status < 300
    )


def told(exchange: Exchange) -> str:
    """Return how an exchange ended, in a word: `404`, or `reset`."""
    return str(exchange.status) if exchange.response else (exchange.failure or "nothing")


__all__ = ["MISSING", "found", "ok", "told", "value_at", "value_in", "weaker"]
