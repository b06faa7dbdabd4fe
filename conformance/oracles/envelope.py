"""One error answer: envelope, code, request id, and what must not leak (ER4–ER7, PD1, RL2).

`judge` looks at any answer of 400 and above; `provoked` compares it with what the contract
declares for the mistake that was made on purpose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from conformance.history import Exchange, header
from conformance.oracles import showing
from conformance.oracles.found import MISSING, found, told, value_at
from conformance.verdict import Finding
from specs import Basis, Operation
from specs.constraints import weaker
from specs.vocabulary import Answer, Errors, Provocation

LEAKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("python-traceback", re.compile(r"Traceback \(most recent call last\)")),
    ("python-frame", re.compile(r'File "[^"\n]{1,300}", line \d+')),
    ("java-stack", re.compile(r"\bat [\w$.]+\([\w$]+\.(java|kt|scala):\d+\)")),
    ("node-stack", re.compile(r"\bat [^\n(]{0,80}\(?(/|node:)[^\s)]+:\d+:\d+\)?")),
    ("go-stack", re.compile(r"goroutine \d+ \[|panic: runtime error")),
    ("ruby-stack", re.compile(r"\.rb:\d+:in [`']")),
    ("php-stack", re.compile(r"\.php(:| on line )\d+")),
    ("dotnet-stack", re.compile(r"\bat [\w.<>]+\([^)]*\) in [^\n]+:line \d+")),
    ("rust-panic", re.compile(r"thread '[^']+' panicked at ")),
    (
        "sql-text",
        re.compile(
            r"\b(SELECT\s.{1,200}?\sFROM|INSERT\s+INTO\s+\w|UPDATE\s+\w+\s+SET|DELETE\s+FROM\s+\w)",
            re.S,
        ),
    ),
    (
        "sql-error",
        re.compile(
            r"sqlite3?\.\w*Error|SQLSTATE|psycopg|UNIQUE constraint failed|syntax error at or near"
            r"|ORA-\d{5}|near \"[^\"]*\": syntax error|no such (table|column): "
        ),
    ),
    (
        "file-path",
        re.compile(r"(?<![\w/:])/(usr|home|var|opt|root|srv|app|tmp)/[\w.\-]+/[\w.\-/]+"),
    ),
    ("windows-path", re.compile(r"\b[A-Z]:\\(Users|Windows|inetpub|Program)")),
)
"""What a stranger learns nothing from and an attacker does: frames, statements, paths."""


def judge(operation: Operation, exchange: Exchange) -> Iterator[Finding]:
    """Yield what is wrong with one error answer by itself."""
    response = exchange.response
    if response is None or response.status < 400:
        return
    yield from leaks(operation, exchange)
    errors = operation.errors
    declared = operation.response(response.status)
    if errors is None or declared is None or declared.schema is None:
        return
    basis = errors.envelope_basis or errors.basis
    yield from _members(operation, errors, exchange, basis)
    yield from _request_id(operation, errors, exchange, basis)
    yield from _problem(operation, exchange)
    if response.status == 429 and not response.body.strip():
        yield found(
            "RL2", "the 429 says nothing about the condition in its body", exchange,
            cause="empty-429", operation=operation,
        )  # fmt: skip


def _members(
    operation: Operation, errors: Errors, exchange: Exchange, basis: Basis
) -> Iterator[Finding]:
    """ER4: code and message stand where the envelope says, as text that is not empty."""
    envelope = errors.envelope
    for name, path in (("code", envelope.code), ("message", envelope.message)):
        if path is None:
            continue
        value = value_at(exchange, path)
        if not isinstance(value, str) or not value:
            yield found(
                "ER4",
                f"a {told(exchange)} answer has no {name} at {path}",
                exchange,
                cause=f"envelope-{name}-{told(exchange)}",
                operation=operation,
                basis=basis,
                expected=f"text at {path}",
                actual=_kind(value),
                shows=showing.no_text(exchange.status, path),
            )


def _request_id(
    operation: Operation, errors: Errors, exchange: Exchange, basis: Basis
) -> Iterator[Finding]:
    """ER6: an error names its request where the contract says so."""
    if errors.envelope.request_id is None and errors.request_id_header is None:
        return
    if request_id(errors, exchange) is None:
        yield found(
            "ER6", f"a {told(exchange)} answer names no request id", exchange,
            cause=f"request-id-missing-{told(exchange)}", operation=operation, basis=basis,
            expected=errors.envelope.request_id or errors.request_id_header,
            shows=showing.no_text(
                exchange.status, errors.envelope.request_id, errors.request_id_header
            ),
        )  # fmt: skip


def request_id(errors: Errors, exchange: Exchange) -> str | None:
    """Return the request id that an answer gives, in its body or its header."""
    value = value_at(exchange, errors.envelope.request_id)
    if isinstance(value, str) and value:
        return value
    if errors.request_id_header and exchange.response:
        return header(exchange.response.headers, errors.request_id_header) or None
    return None


def unique_request_ids(errors: Errors, exchanges: Iterable[Exchange]) -> Iterator[Finding]:
    """ER6: no two answers of one server give the same request id."""
    seen: dict[str, Exchange] = {}
    for exchange in exchanges:
        given = request_id(errors, exchange)
        if given is None:
            continue
        if given in seen:
            yield found(
                "ER6", "two answers give the same request id", seen[given], exchange,
                cause="request-id-repeated", basis=errors.envelope_basis or errors.basis,
            )  # fmt: skip
        seen[given] = exchange


def _problem(operation: Operation, exchange: Exchange) -> Iterator[Finding]:
    """PD1: a problem document's status is the answer's."""
    assert exchange.response is not None
    if exchange.response.media_type != "application/problem+json":
        return
    status = value_at(exchange, "/status")
    if status is not MISSING and status != exchange.response.status:
        yield found(
            "PD1", "the problem document's status is not the answer's", exchange,
            cause="problem-status", operation=operation,
            expected=exchange.response.status, actual=_kind(status),
        )  # fmt: skip


def same_titles(exchanges: Iterable[Exchange]) -> Iterator[Finding]:
    """PD6: a problem's title does not change from one occurrence of its type to the next."""
    titles: dict[str, tuple[Exchange, str]] = {}
    for exchange in exchanges:
        if exchange.response is None or exchange.response.media_type != "application/problem+json":
            continue
        kind, title = value_at(exchange, "/type"), value_at(exchange, "/title")
        if not isinstance(kind, str) or not isinstance(title, str) or kind == "about:blank":
            continue
        first, known = titles.setdefault(kind, (exchange, title))
        if known != title:
            yield found(
                "PD6", "one type of problem has two titles", first, exchange,
                cause="problem-title-changes",
            )  # fmt: skip
            return


def leaks(operation: Operation | None, exchange: Exchange) -> Iterator[Finding]:
    """ER7: an error shows no stack, statement or path of the server.

    What the request itself said is not the server's: text that was echoed is no leak.
    """
    assert exchange.response is not None
    text = exchange.response.body[:65536].decode("utf-8", "replace")
    text += "\n" + "\n".join(_texts(exchange.response.json_or_none()))  # quotes without escapes
    asked = exchange.request.body[:65536].decode("utf-8", "replace") + exchange.request.target
    for name, pattern in LEAKS:
        if any(match.group(0) not in asked for match in pattern.finditer(text)):
            yield found(
                "ER7", f"an error answer shows the server's inside ({name})", exchange,
                cause=f"leak-{name}", operation=operation,
                shows=f"re.search({pattern.pattern!r}, text, {int(pattern.flags & re.S)})",
            )  # fmt: skip


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, the names of objects left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def expected_answer(operation: Operation, provocation: Provocation) -> Answer | None:
    """Return what the contract declares for a provocation, None where it says nothing."""
    return operation.errors.answers.get(provocation) if operation.errors else None


def provoked(
    operation: Operation,
    exchange: Exchange,
    provocation: Provocation,
    what: str,
    *,
    requirement: str = "ER5",
    cause: str = "",
    basis: Basis | None = None,
) -> Iterator[Finding]:
    """Yield where an answer is not the one declared for what was done wrong on purpose.

    `what` names the mistake in words; `basis` is that of the rule that was broken on purpose,
    where it is weaker than the declared answer's. `requirement` is the rule that the mistake be
    refused at all; status and code beyond that are ER5's.
    """
    response = exchange.response
    if response is None or response.status >= 500:
        return  # CT6 tells
    declared = expected_answer(operation, provocation)
    cause = cause or f"{provocation} {what}"
    errors = operation.errors
    own = basis or operation.basis
    if requirement == "CT4" and operation.accepts_basis is Basis.ASSUMED:
        # types say what is valid; that a lenient reader is wrong they do not say
        own = weaker(own, Basis.OBSERVED)
    if response.status < 400:
        yield found(
            requirement, f"{what} is accepted with {response.status}", exchange,
            cause=f"accepted {cause}", operation=operation, basis=own,
            expected=declared.status if declared else "4xx", actual=response.status,
        )  # fmt: skip
        return
    if declared is None or errors is None:
        return
    stated = declared.basis or errors.basis
    if response.status != declared.status:
        yield found(
            "ER5", f"{what} is answered with {response.status}", exchange,
            cause=f"status {cause} {response.status}", operation=operation, basis=stated,
            expected=declared.status, actual=response.status,
        )  # fmt: skip
        return
    code = value_at(exchange, errors.envelope.code)
    if declared.code is not None and code is not MISSING and code != declared.code:
        yield found(
            "ER5", f"{what} is answered with another code than the declared one", exchange,
            cause=f"code {cause}", operation=operation, basis=declared.code_basis or stated,
            expected=declared.code, actual=code if isinstance(code, str) else _kind(code),
            shows=f"status == {response.status} and "
            f"{showing.value(errors.envelope.code or '')} == {code!r}",
        )  # fmt: skip


WITHOUT_BODY: tuple[Provocation, ...] = ("invalid", "malformed")


def without_body(
    operation: Operation, exchange: Exchange, what: str, *, requirement: str, cause: str,
    basis: Basis | None = None,
) -> list[Finding]:  # fmt: skip
    """Return what is wrong with the answer to a request whose required body is empty.

    HTTP does not tell an empty body from none (RFC 9110 section 8.6), so it is a required one
    that is missing; and it is no JSON text (RFC 8259 section 2). Either answer is right.
    """
    readings = [
        list(provoked(
            operation, exchange, reading, what, requirement=requirement, cause=cause, basis=basis
        ))
        for reading in WITHOUT_BODY
    ]  # fmt: skip
    return readings[0] if all(readings) else []


def _kind(value: Any) -> str:
    return "nothing" if value is MISSING else type(value).__name__
