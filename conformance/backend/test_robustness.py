"""Hostile requests: whatever arrives, the server answers, and never with a failure (RB*)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from conformance.backend.judging import with_body
from conformance.backend.registry import CASES
from conformance.backend.requests import credentials, encode
from conformance.backend.subject import BackendSubject
from conformance.backend.world import is_free_text, properties
from conformance.history import Exchange, Request
from conformance.oracles import envelope
from conformance.oracles.found import found, ok, told
from conformance.verdict import Finding, NotApplicable
from specs import Contract, Operation
from specs.vocabulary import Provocation

WIDE = "a body without its scope could be taken for everything, and harm what is not the run's"
BIG = 10 * 1024 * 1024
DEEP = 20_000


def _survived(
    operation: Operation,
    exchange: Exchange,
    what: str,
    requirement: str,
    provocation: Provocation | None,
    cause: str,
) -> Iterable[Finding]:
    """Judge the answer to something hostile: a 4xx as declared, or whatever is no failure."""
    status = exchange.status
    if status is None:
        if exchange.failure in ("closed", "reset") and provocation == "too-large":
            return  # a server may hang up on a body that is too long (RFC 9110 §15.5.14)
        yield found(
            requirement, f"{what} gets no answer ({exchange.failure})", exchange,
            cause=f"no-answer {cause}", operation=operation,
        )  # fmt: skip
        return
    if status >= 500:
        yield found(
            requirement, f"{what} makes the server fail with {status}", exchange,
            cause=f"fails {cause}", operation=operation, expected="4xx", actual=status,
        )  # fmt: skip
        return
    if status >= 400:
        yield from envelope.leaks(operation, exchange)
    if provocation is not None:
        yield from envelope.provoked(
            operation, exchange, provocation, what, requirement=requirement, cause=cause
        )


def _body_with(subject: BackendSubject, operation: Operation, text: str) -> bytes | None:
    """Return a valid body whose free text is `text`, None where it has no free text."""
    arguments = subject.world.arguments(operation)
    names = {p.name for p in operation.parameters}
    effect = operation.effect
    whose = {*effect.scope, effect.target} if effect else set()  # hostile text is nobody's name
    body = {n: v for n, v in arguments.items() if n not in names}
    for name, schema in properties(operation).items():
        if name in body and name not in names | whose and is_free_text(schema):
            body[name] = text
            return json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return None


def _one_writer(contract: Contract) -> list[Operation]:
    """Return one or two operations with a JSON body: reading bodies is the same for all."""
    ranked = sorted(with_body(contract), key=lambda o: (bool(o.parameters_in("path")), o.safe))
    return ranked[:2]


@CASES.case("robustness.oversized", "RB1", "ER5", each=lambda c: _one_writer(c)[:1])
def test_oversized(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A body of ten megabytes is refused, not swallowed, and does not bring the server down."""
    body = _body_with(subject, operation, "x" * BIG)
    if body is None:
        body = json.dumps({"memconform": "x" * BIG}).encode()
    arguments = subject.world.arguments(operation)
    exchange = subject.send(operation, arguments, body=body, fresh=True)
    subject.world.note(operation, arguments, exchange, "a")
    declared = operation.response(413) is not None
    if ok(exchange) and not declared:
        raise NotApplicable("no limit on bodies is declared, and ten megabytes are accepted")
    yield from _survived(
        operation, exchange, "a body of ten megabytes", "RB1", "too-large", "oversized"
    )
    yield from _alive(subject, operation)


def _alive(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A plain valid call still works."""
    arguments = subject.world.arguments(operation)
    exchange = subject.send(operation, arguments, fresh=True)
    subject.world.note(operation, arguments, exchange, "a")
    if exchange.status is None or exchange.status >= 500:
        yield found(
            "CT6", f"afterwards a plain call is answered {told(exchange)}", exchange,
            cause="not-alive-afterwards", operation=operation,
        )  # fmt: skip


MALFORMED: tuple[tuple[str, bytes], ...] = (
    ("cut-short", b'{"a": 1'),
    ("trailing-comma", b'{"a": 1,}'),
    ("single-quotes", b"{'a': 1}"),
    ("bare-words", b"not json at all"),
    ("two-values", b"{} {}"),
    ("comment", b'{"a": 1 /* why */}'),
    ("nul-between", b'{"a"\x00: 1}'),
)


@CASES.case("robustness.malformed", "RB2", "ER5", each=with_body)
def test_malformed(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A body that is not JSON is refused with the declared error."""
    assert operation.body is not None
    table = MALFORMED if operation in _one_writer(subject.contract) else MALFORMED[:1]
    for name, body in table:
        exchange = subject.attempt(operation, subject.world.arguments(operation), body=body)
        if exchange is None:
            raise NotApplicable(WIDE)
        yield from _survived(
            operation, exchange, f"a body that is no JSON ({name})", "RB2", "malformed",
            f"malformed-{name}",
        )  # fmt: skip
    # Where nothing is required, `null` may stand for a body that is left out.
    nothing = (b"null",) if operation.body.schema.get("required") else ()
    for body in (b"[]", b'"text"', b"12", *nothing):
        exchange = subject.attempt(operation, subject.world.arguments(operation), body=body)
        if exchange is None:
            raise NotApplicable(WIDE)
        yield from _survived(
            operation, exchange, "a body that is JSON and no object", "RB2", "invalid",
            f"not-an-object {operation.id}",
        )  # fmt: skip


@CASES.case("robustness.nesting", "RB3", each=_one_writer)
def test_nesting(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Arrays and objects nested twenty thousand deep are answered with a 4xx, not a crash."""
    shapes = (
        ("arrays", b"[" * DEEP + b"]" * DEEP),
        ("objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP),
        ("inside", b'{"metadata":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    )
    for name, body in shapes:
        exchange = subject.send(operation, subject.world.arguments(operation), body=body)
        yield from _survived(
            operation, exchange, f"deep nesting ({name})", "RB3", None, f"nesting-{name}"
        )
        if ok(exchange):
            yield found(
                "RB3", "a body nested twenty thousand deep is accepted", exchange,
                cause="nesting-accepted", operation=operation, expected="4xx",
            )  # fmt: skip
    yield from _alive(subject, operation)


@CASES.case("robustness.bad-utf8", "RB4", each=_one_writer)
def test_bad_utf8(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Bytes that are not UTF-8, and escapes of half a character, are no reason to fail."""
    marker = "MEMCONFORMTEXT"
    body = _body_with(subject, operation, marker)
    if body is None:
        raise NotApplicable("it takes no free text")
    for name, raw, broken in (
        ("invalid-byte", b"caf\xff", True),
        ("overlong", b"\xc0\xaf", True),
        ("cut", b"\xe2\x82", True),
        ("surrogate-bytes", b"\xed\xa0\x80", True),
        ("surrogate-escape", b"\\ud800", False),
        ("noncharacter", "\uffff".encode(), False),
    ):
        arguments = subject.world.arguments(operation)
        sent = body.replace(marker.encode(), raw)
        exchange = subject.send(operation, arguments, body=sent)
        subject.world.note(operation, json.loads(body), exchange, "a")
        yield from _survived(
            operation, exchange, f"text that is not Unicode ({name})", "RB4",
            "malformed" if broken else None, f"utf8-{name}",
        )  # fmt: skip


@CASES.case("robustness.nul", "RB5", each=_one_writer)
def test_nul(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A NUL character in text is refused or kept, and never a failure."""
    for text, cause in (("before\x00after", "inside"), ("\x00", "alone")):
        body = _body_with(subject, operation, text)
        if body is None:
            raise NotApplicable("it takes no free text")
        exchange = subject.send(operation, subject.world.arguments(operation), body=body)
        subject.world.note(operation, json.loads(body), exchange, "a")
        yield from _survived(
            operation, exchange, "a NUL character in text", "RB5", None, f"nul-{cause}"
        )
    path = next((o for o in subject.contract if o.parameters_in("path") and o.safe), None)
    if path is not None:
        name = path.parameters_in("path")[-1].name
        arguments = subject.world.arguments(path)
        exchange = subject.send(path, {**arguments, name: "a\x00b"})
        yield from _survived(path, exchange, "a NUL in a path", "RB5", None, "nul-path")


@CASES.case("robustness.odd-json", "RB6", each=_one_writer)
def test_odd_json(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Doubled names, numbers beyond any type and NaN are answered without a failure."""
    plain = _body_with(subject, operation, "plain") or b'{"a": 1}'
    inner = plain.strip()[1:-1]
    first = inner.split(b":", 1)[0] if inner else b'"a"'
    for name, body in (
        ("duplicate-names", b"{" + inner + b", " + first + b": 7}"),
        ("nan", b'{"memconform": NaN, ' + inner + b"}"),
        ("infinity", b'{"memconform": Infinity, ' + inner + b"}"),
        ("huge-number", b'{"memconform": 1e400, ' + inner + b"}"),
        ("huge-integer", b'{"memconform": ' + b"9" * 5000 + b", " + inner + b"}"),
        ("proto", b'{"__proto__": {"admin": true}, ' + inner + b"}"),
        ("bom", b"\xef\xbb\xbf" + plain),
    ):
        exchange = subject.send(operation, subject.world.arguments(operation), body=body)
        subject.world.note(operation, json.loads(plain), exchange, "a")
        yield from _survived(
            operation, exchange, f"odd JSON ({name})", "RB6", None, f"odd-json-{name}"
        )


@CASES.case("robustness.headers", "RB11", each=lambda c: _one_writer(c)[:1])
def test_headers(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Doubled, hostile and endless headers and garbage lines are harmless."""
    prepared = subject.request(operation, subject.world.arguments(operation))
    plain = prepared.request
    host = subject.origin.authority
    table: tuple[tuple[str, bytes], ...] = (
        ("two-lengths", _with(plain, host, b"content-length: 3\r\n")),
        ("long-header", _with(plain, host, b"x-long: " + b"a" * 100_000 + b"\r\n")),
        ("many-headers", _with(plain, host, b"".join(b"x-%d: 1\r\n" % i for i in range(500)))),
        ("no-colon", _with(plain, host, b"this is no header\r\n")),
        ("not-ascii", _with(plain, host, "x-name: Zo\u00eb \u2603\r\n".encode())),
        ("latin-1", _with(plain, host, b"x-name: caf\xe9\r\n")),
        ("control", _with(plain, host, b"x-bad: a\x01b\r\n")),
        ("traversal", encode(Request("GET", plain.target + "/../../../etc/passwd"), host)),
        ("garbage-line", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"),
        ("old-version", b"GET / HTTP/0.9\r\n\r\n"),
        ("bad-chunk", b"POST " + plain.target.encode() + b" HTTP/1.1\r\nhost: " + host.encode()
         + b"\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n"),
    )  # fmt: skip
    for name, data in table:
        exchange = subject.raw(data, like=prepared)
        if exchange.status is not None and exchange.status >= 500 and exchange.status != 505:
            if exchange.status == 501 and name == "bad-chunk":
                continue
            yield found(
                "RB11", f"a hostile request ({name}) makes the server fail", exchange,
                cause=f"hostile-{name}", operation=operation, actual=exchange.status,
            )  # fmt: skip
        elif exchange.failure == "timeout" and name not in ("two-lengths", "bad-chunk"):
            yield found(
                "RB11", f"a hostile request ({name}) is never answered", exchange,
                cause=f"hostile-hangs-{name}", operation=operation,
            )  # fmt: skip
    doubled = (*credentials(subject.contract, "memconform-no-key"), *plain.headers)
    exchange = subject.send(operation, subject.world.arguments(operation), headers=doubled[:1])
    if exchange.status is None or exchange.status >= 500:
        yield found(
            "RB11", "a doubled credential header makes the server fail", exchange,
            cause="hostile-doubled-auth", operation=operation,
        )  # fmt: skip
    yield from _alive(subject, operation)


def _with(request: Request, host: str, line: bytes) -> bytes:
    data = encode(request, host)
    head, rest = data.split(b"\r\n", 1)
    return head + b"\r\n" + line + rest
