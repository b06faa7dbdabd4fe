"""Requests as other clients write them: each is lawful HTTP, and means what the plain one means.

No document says how its server reads them, so that what goes wrong is told as assumed; each way of
writing is one finding that names it. Hostile requests are in `test_robustness.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from conformance.backend.judging import authenticated, with_body
from conformance.backend.registry import CASES
from conformance.backend.requests import credentials
from conformance.backend.subject import BackendSubject, Prepared
from conformance.history import Exchange, Request
from conformance.oracles.found import found, ok, told
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Basis, Contract, Operation

MAY_WANT_A_LENGTH = frozenset({411, 501})
"""Statuses with which a server may refuse a body in chunks (RFC 9112 sections 6.1 and 6.3)."""
OVERLOADED = frozenset({408, 429, 503})


def _strange(
    operation: Operation, usual: Exchange, exchange: Exchange, what: str, requirement: str,
    name: str,
) -> Iterator[Finding]:  # fmt: skip
    """Yield a finding where a request is answered otherwise than its plain twin, which was well."""
    if not ok(usual) or ok(exchange) or exchange.status in OVERLOADED:
        return
    yield found(
        requirement, f"a request {what} is answered {told(exchange)}", usual, exchange,
        cause=f"lawful {name}", operation=operation, basis=Basis.ASSUMED,
        expected=usual.status, actual=told(exchange),
    )  # fmt: skip


def _plain(contract: Contract) -> list[Operation]:
    """Return one plain operation that wants a key: safe, with few parameters."""
    ranked = sorted(authenticated(contract), key=lambda o: (not o.safe, len(o.parameters), o.id))
    return ranked[:1]


def _prefixed(contract: Contract) -> list[Operation]:
    return _plain(contract) if any(a.prefix.strip() for a in contract.auth) else []


@CASES.case("auth.scheme", "AU9", each=_prefixed)
def test_scheme(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """The scheme of a credential is the same in every case: `bearer` is `Bearer`."""
    if "a" not in subject.keys:
        raise NotApplicable("no key was given")
    arguments = subject.world.arguments(operation)
    rule = next(a for a in subject.contract.auth if a.prefix.strip())
    way = subject.contract.auth.index(rule)
    shown = credentials(subject.contract, subject.keys["a"], way=way)
    usual = subject.send(operation, arguments, auth=shown)
    for scheme in (rule.prefix.lower(), rule.prefix.upper()):
        if scheme == rule.prefix:
            continue
        other = tuple((n, scheme + v.removeprefix(rule.prefix)) for n, v in shown)
        exchange = subject.send(operation, arguments, auth=other)
        yield from _strange(
            operation, usual, exchange, f"with the scheme `{scheme.strip()}`", "AU9", "scheme"
        )


def _writer(contract: Contract) -> list[Operation]:
    """Return one operation with a JSON body: reading bodies is the same for all."""
    ranked = sorted(with_body(contract), key=lambda o: (bool(o.parameters_in("path")), o.safe))
    return ranked[:1]


def _chunks(body: bytes) -> bytes:
    """Return a body in chunks: two of them, one with an extension (RFC 9112 section 7.1)."""
    half = len(body) // 2
    parts = (b"%x;note=1\r\n%b\r\n" % (half, body[:half])) if half else b""
    return parts + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body) - half, body[half:])


@CASES.case("lawful.bodies", "CT5", each=_writer)
def test_bodies(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A body is read however its media type is spelt, and in chunks as well as by length."""
    assert operation.body is not None
    plain = operation.body.media_type
    usual = _sent(subject, operation)
    if not ok(usual):
        raise Inconclusive(f"the plain request was answered {told(usual)}")
    for name, media_type in (
        ("charset", f"{plain}; charset=utf-8"),
        ("charset-quoted", f'{plain.upper()};charset="UTF-8"'),
    ):
        exchange = _sent(subject, operation, media_type=media_type)
        what = f"whose media type is {media_type}"
        yield from _strange(operation, usual, exchange, what, "CT5", name)
    exchange = _sent(subject, operation, chunked=True)
    if exchange.status not in MAY_WANT_A_LENGTH:
        yield from _strange(
            operation, usual, exchange, "whose body comes in chunks", "CT5", "chunked"
        )


def _sent(
    subject: BackendSubject, operation: Operation, *, chunked: bool = False, **shape: Any
) -> Exchange:
    arguments = subject.world.arguments(operation)
    if chunked:
        body = subject.request(operation, arguments).request.body
        shape = {"headers": (("transfer-encoding", "chunked"),), "body": _chunks(body)}
    exchange = subject.send(operation, arguments, **shape)
    subject.world.note(operation, arguments, exchange, "a")
    return exchange


def _readers(contract: Contract) -> list[Operation]:
    """Return one operation by GET that wants a key, with few parameters."""
    ranked = sorted(authenticated(contract), key=lambda o: (len(o.parameters), o.id))
    return [o for o in ranked if o.verb == "GET" and o.safe][:1]


@CASES.case("lawful.targets", "CT5", "CT6", each=_readers)
def test_targets(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A letter in the path may be percent-encoded; a query key sent twice is no reason to fail."""
    prepared = subject.request(operation, subject.world.arguments(operation))
    usual = subject.play(prepared)
    target = prepared.request.target
    path, mark, query = target.partition("?")
    place = next((n for n in range(len(path) - 1, 0, -1) if path[n].isalpha()), 0)
    if place:
        encoded = f"{path[:place]}%{ord(path[place]):02X}{path[place + 1 :]}{mark}{query}"
        exchange = subject.play(_retargeted(prepared, encoded))
        what = "whose path has a letter percent-encoded (RFC 3986 section 6.2.2.2)"
        yield from _strange(operation, usual, exchange, what, "CT5", "percent-encoded")
    twice = query or "limit=1"
    exchange = subject.play(_retargeted(prepared, f"{path}?{twice}&{twice}"))
    if exchange.status is None or exchange.status >= 500:
        yield from _strange(
            operation, usual, exchange, "with a query key sent twice", "CT6", "twice"
        )


def _retargeted(prepared: Prepared, target: str) -> Prepared:
    request = prepared.request
    return Prepared(None, Request(request.method, target, request.headers), prepared.principal)


@CASES.case("lawful.methods", "RB11", "CT6", each=_readers)
def test_methods(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """HEAD is answered without a body, so that its connection lives on; OPTIONS never fails."""
    prepared = subject.request(operation, subject.world.arguments(operation))
    usual = subject.play(prepared)
    if not ok(usual):
        raise Inconclusive(f"the plain request was answered {told(usual)}")
    request = prepared.request
    asked = Prepared(None, Request("HEAD", request.target, request.headers), prepared.principal)
    head, after = subject.then(asked, prepared)
    if head.status is None or head.status >= 500:
        yield from _strange(operation, usual, head, "by HEAD", "CT6", "head")
    if after is not None and after.failure == "garbage":
        yield found(
            "RB11", "an answer to HEAD has a body, which spoils the next answer on its connection",
            head, after, cause="lawful head-body", operation=operation, basis=Basis.ASSUMED,
            expected="no body (RFC 9110 section 9.3.2)",
        )  # fmt: skip
    asked = Prepared(None, Request("OPTIONS", request.target, request.headers), prepared.principal)
    options = subject.play(asked)
    if options.status is None or (options.status >= 500 and options.status != 501):
        yield from _strange(operation, usual, options, "by OPTIONS", "CT6", "options")


def _numbers(contract: Contract) -> list[Operation]:
    return [o for o in with_body(contract) if o.body is not None and _hostile(o)]


HOSTILE = ("NaN", "-Infinity", "1e400", "9" * 101)
"""Numbers that some readers of JSON take and that no number type holds."""


def _hostile(operation: Operation) -> dict[str, tuple[str, ...]]:
    """Return the members of a body that are declared as numbers, and what each is to be.

    Where whole numbers are declared, one with an exponent is another mistake.
    """
    assert operation.body is not None
    numbers: dict[str, tuple[str, ...]] = {}
    for name, schema in operation.body.schema.get("properties", {}).items():
        said = schema.get("type")
        types = {said} if isinstance(said, str) else set(said or ())
        if "number" in types:
            numbers[name] = HOSTILE
        elif "integer" in types:
            numbers[name] = tuple(n for n in HOSTILE if "e" not in n)
    return numbers


@CASES.case("robustness.numbers", "RB6", each=_numbers)
def test_numbers(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Numbers that no type holds make no failure, alone and beside another mistake."""
    for name, hostile in _hostile(operation).items():
        for number, lacking in (*((n, False) for n in hostile), (hostile[0], True)):
            exchange = _with_number(subject, operation, name, number, lacking)
            if exchange.status is None or exchange.status >= 500:
                words = " in a request that lacks a member" if lacking else ""
                yield found(
                    "RB6", f"the number {number[:9]} for {name}{words} makes the server fail",
                    exchange, cause=f"odd-number {operation.id}", operation=operation,
                    expected="4xx, or a success", actual=told(exchange),
                )  # fmt: skip
                return


def _with_number(
    subject: BackendSubject, operation: Operation, name: str, number: str, lacking: bool
) -> Exchange:
    """Send a valid body, or one that lacks its first member, with a number as it is written."""
    arguments = subject.world.arguments(operation)
    places = {p.name for p in operation.parameters}
    content = {n: v for n, v in arguments.items() if n not in places}
    content = dict(list(content.items())[int(lacking) :])
    body = json.dumps({**content, name: "NUMBER"}).replace('"NUMBER"', number)
    exchange = subject.send(operation, arguments, body=body.encode())
    subject.world.note(operation, arguments, exchange, "a")
    return exchange
