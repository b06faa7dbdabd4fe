"""Fault classes about what is answered: statuses, interim answers, redirects, bodies."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from conformance.faults.answers import put
from conformance.faults.fault import (
    Build,
    FaultClass,
    always,
    first,
    has_body,
    has_object,
    plays,
    success,
    success_status,
)
from conformance.faults.script import Instruction, Stage, respond
from specs import Contract, Operation
from specs.examples import NoExample, example

STATUSES = (
    400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418,
    421, 422, 423, 424, 425, 426, 428, 429, 431, 444, 451, 499,
    500, 501, 502, 503, 504, 505, 506, 507, 508, 509, 510, 511, 520, 521, 522, 523, 524, 525, 526,
    529, 530, 598, 599,
)  # fmt: skip
"""Registered error statuses, and those that gateways and clouds made up."""
_CORE_STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 451, 500, 502, 503, 504)


def _statuses() -> Iterator[FaultClass]:
    for status in STATUSES:
        yield FaultClass(
            f"status-{status}", "status", f"Answers {status}.", plays(respond(status)),
            always, core=status in _CORE_STATUSES,
        )  # fmt: skip
    for status in (199, 299, 399, 499, 600, 999):
        if status != 499:
            yield FaultClass(
                f"status-{status}", "status", f"Answers {status}, which nobody registered.",
                plays(respond(status)), always, once=status == 199,
            )  # fmt: skip


def _interims() -> Iterator[FaultClass]:
    for status, words in ((100, "go on"), (102, "be patient"), (103, "early hints")):
        yield FaultClass(
            f"interim-{status}", "interim", f"Sends an interim {status} ({words}), then answers.",
            plays(respond(status)), always, core=status == 103,
        )  # fmt: skip
    yield FaultClass(
        "interim-101", "interim", "Claims to switch protocols, then answers in the old one.",
        plays(respond(101, headers={"upgrade": "memory/2", "connection": "upgrade"})), always,
    )  # fmt: skip


def _redirects() -> Iterator[FaultClass]:
    for status in (301, 302, 303, 307, 308):
        for place, words in (("base", "the same place"), ("other", "another origin")):
            yield FaultClass(
                f"redirect-{status}-{'same' if place == 'base' else 'cross'}-origin", "redirect",
                f"Answers {status} and points to {words}.",
                plays(respond(status, b"", {"location": f"{{{place}}}{{target}}"})),
                always, core=status == 307, once=True,
            )  # fmt: skip
    for name, location, words in (
        ("loop", "{base}{target}", "to the same place, again and again"),
        ("garbage", "http://[::bad", "to no place at all"),
        ("file", "file:///etc/hostname", "to a file"),
        ("relative", "{target}", "to a path without an origin"),
        ("empty", "", "nowhere"),
    ):
        yield FaultClass(
            f"redirect-{name}", "redirect", f"Answers 307 and points {words}.",
            plays(respond(307, b"", {"location": location})), always, every=name == "loop",
        )  # fmt: skip
    yield FaultClass(
        "redirect-with-body", "redirect", "Answers 302 with the body of a success.",
        _moved, has_object, once=True,
    )  # fmt: skip
    yield FaultClass(
        "redirect-without-location", "redirect", "Answers 302 without saying where to.",
        plays(respond(302, b"")), always,
    )  # fmt: skip


def _moved(contract: Contract, operation: Operation) -> Instruction:
    schema = operation.success.schema
    assert schema is not None
    try:
        body = example(schema)
    except NoExample:
        body = {}
    return first(operation, respond(302, body, {"location": "{base}{target}"}))


# --- bodies ---------------------------------------------------------------------------------------

HTML = b"<!doctype html><html><body><h1>It works</h1></body></html>"
_BODIES: tuple[tuple[str, str, bytes, dict[str, str]], ...] = (
    ("empty", "no body at all", b"", {}),
    ("html", "a page of HTML", HTML, {"content-type": "text/html"}),
    ("html-as-json", "HTML that claims to be JSON", HTML, {}),
    ("text", "plain text", b"all good", {"content-type": "text/plain"}),
    ("array", "an empty array", b"[]", {}),
    ("array-of-nulls", "an array of nulls", b"[null,null]", {}),
    ("number", "a number", b"42", {}),
    ("string", "a string", b'"ok"', {}),
    ("true", "the word true", b"true", {}),
    ("null", "the word null", b"null", {}),
    ("object", "an empty object", b"{}", {}),
    ("cut-json", "half an object", b'{"id":"a","conte', {}),
    ("two-values", "two JSON values in a row", b"{}{}", {}),
    ("nan", "NaN and Infinity", b'{"score":NaN,"total":Infinity}', {}),
    ("big-number", "a number of 5,000 digits", b'{"total":' + b"9" * 5000 + b"}", {}),
    ("deep", "arrays nested 100,000 deep", b"[" * 100_000 + b"]" * 100_000, {}),
    ("surrogate", "half of a surrogate pair", b'{"id":"\\ud800"}', {}),
    ("latin-1", "bytes that are not UTF-8", '{"message":"caf\xe9"}'.encode("latin-1"), {}),
    ("utf-16", "UTF-16 that claims nothing", '{"id":"a"}'.encode("utf-16"), {}),
    ("bom", "a byte order mark before the JSON", b"\xef\xbb\xbf{}", {}),
    (
        "charset", "an unknown charset", b"{}",
        {"content-type": "application/json; charset=klingon-8"},
    ),
    ("binary", "binary junk", bytes(range(256)), {"content-type": "application/octet-stream"}),
    ("broken-gzip", "gzip that breaks off", gzip.compress(b"{}" * 500, mtime=0)[:20],
     {"content-encoding": "gzip"}),
    ("not-gzip", "plain bytes that claim gzip", b"{}", {"content-encoding": "gzip"}),
    ("unknown-encoding", "an encoding nobody knows", b"{}", {"content-encoding": "zip-drive"}),
)  # fmt: skip
_CORE_BODIES = ("empty", "html", "array", "null", "cut-json", "latin-1", "broken-gzip")


def _bodies() -> Iterator[FaultClass]:
    for name, words, body, headers in _BODIES:
        core = name in _CORE_BODIES
        yield FaultClass(
            f"body-success-{name}", "body", f"Answers as if all were well, with {words}.",
            success(body, headers), has_body, core=core,
        )  # fmt: skip
        for status in (400, 500):
            yield FaultClass(
                f"body-{status}-{name}", "body", f"Answers {status} with {words}.",
                plays(respond(status, body, headers)), always,
                core=core and name in ("empty", "html"),
            )  # fmt: skip
    for status in (400, 500):
        for name, words, value in _ENVELOPES:
            yield FaultClass(
                f"body-{status}-{name}", "body", f"Answers {status} with {words}.",
                _envelope(status, value), _has_envelope,
            )  # fmt: skip
    yield FaultClass(
        "body-success-204", "body", "Answers 204 where a body is declared.",
        plays(respond(204, b""), Stage.AFTER_COMMIT), has_body, core=True,
    )  # fmt: skip
    for name, words, size in (("1MB", "1 MB", 10**6), ("50MB", "50 MB", 50 * 10**6)):
        yield FaultClass(
            f"body-success-{name}", "body", f"Answers with the declared body, padded to {words}.",
            _sized(None, size), has_body, bulky=True,
        )  # fmt: skip
        yield FaultClass(
            f"body-500-{name}", "body", f"Answers 500 with a body of {words}.",
            _sized(500, size), always, bulky=True,
        )  # fmt: skip
    yield FaultClass(
        "body-success-bomb", "body", "Answers with 50 MB that are 50 kB on the wire (gzip).",
        lambda c, o: success(_bomb(), {"content-encoding": "gzip"})(c, o), has_body, bulky=True,
    )  # fmt: skip
    yield from _shapes()


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * 50_000_000 + b"{}", mtime=0)


_ENVELOPES: tuple[tuple[str, str, Any], ...] = (
    ("null-envelope", "nulls where the envelope has its words", None),
    ("number-envelope", "numbers where the envelope has its words", 7),
    ("object-envelope", "objects where the envelope has its words", {"a": [1]}),
    ("long-envelope", "words of 100,000 characters", "long " * 20_000),
)


def _shapes() -> Iterator[FaultClass]:
    yield FaultClass(
        "body-success-extra-fields", "body", "Adds fields that nobody declared to the answer.",
        _shaped(_with_extras), has_object, core=True,
    )  # fmt: skip
    yield FaultClass(
        "body-success-required-only", "body", "Leaves out all that may be left out.",
        _shaped(None), has_object, core=True,
    )  # fmt: skip
    yield FaultClass(
        "body-success-wrong-types", "body", "Gives each declared field a value of another type.",
        _shaped(_with_wrong_types), has_object, core=True,
    )  # fmt: skip
    yield FaultClass(
        "body-success-nulls", "body", "Gives each declared field the value null.",
        _shaped(lambda value: dict.fromkeys(value)), has_object,
    )  # fmt: skip


def _sized(status: int | None, size: int) -> Build:
    def build(contract: Contract, operation: Operation) -> Instruction:
        if status is not None:
            return first(operation, respond(status, size=size))
        effect = respond(success_status(operation), size=size)
        return first(operation, effect, Stage.AFTER_COMMIT)

    return build


def _shaped(change: Callable[[dict[str, Any]], Any] | None) -> Build:
    def build(contract: Contract, operation: Operation) -> Instruction:
        schema = operation.success.schema
        assert schema is not None
        try:
            value = example(schema, optional=change is not None)
        except NoExample:
            value = {}
        body = change(value) if change is not None else value
        return first(operation, respond(success_status(operation), body), Stage.AFTER_COMMIT)

    return build


def _with_extras(value: Any) -> Any:
    """Add an unknown field to every object, at any depth."""
    if isinstance(value, list):
        return [_with_extras(entry) for entry in value]
    if isinstance(value, dict):
        inside = {key: _with_extras(entry) for key, entry in value.items()}
        return {**inside, "x_added_later": {"a": [1, None]}}
    return value


def _with_wrong_types(value: dict[str, Any]) -> Any:
    return {key: {"a": 1} if isinstance(entry, str | int) else "x" for key, entry in value.items()}


def _has_envelope(contract: Contract, operation: Operation) -> bool:
    return operation.errors is not None and operation.errors.envelope.code is not None


def _envelope(status: int, entry: Any) -> Build:
    def build(contract: Contract, operation: Operation) -> Instruction:
        assert operation.errors is not None
        envelope = operation.errors.envelope
        body: Any = {}
        for path in (envelope.code, envelope.message, envelope.request_id):
            body = put(body, path, entry) if path else body
        return first(operation, respond(status, body))

    return build


def table() -> Iterator[FaultClass]:
    """Yield every class of this module, in a fixed order."""
    yield from _statuses()
    yield from _interims()
    yield from _redirects()
    yield from _bodies()
