"""The fault classes: every way that this project knows of harming an answer, as a table.

A class turns a contract and an operation into a script. `FAULTS` holds those that are the same
everywhere; `documented()` adds one for each status and code that an operation declares;
`classes_for()` is both, without those that do not apply. Nothing here says what an SDK should
make of a fault: that is for the oracles.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from conformance.faults.answers import error_body, put
from conformance.faults.script import (
    Effect,
    Instruction,
    Script,
    Stage,
    close,
    garbage,
    refuse,
    reset,
    respond,
    stall,
    trickle,
    truncate,
)
from specs import Contract, Operation
from specs.examples import NoExample, example

Group = Literal[
    "status", "documented", "interim", "redirect", "body", "framing", "headers", "network",
    "retry-after", "rate-limit", "usage", "stream",
]  # fmt: skip
Build = Callable[[Contract, Operation], Instruction]
Applies = Callable[[Contract, Operation], bool]


@dataclass(frozen=True, slots=True)
class FaultClass:
    """One way of harming a request."""

    id: str
    """`group-what`, unique and stable."""
    group: Group
    summary: str
    """One sentence: what the server does."""
    instruction: Build
    """Makes the instruction for the first request of an operation."""
    applies: Applies
    core: bool = False
    """Worth playing on every operation, where time is short for all classes on all."""
    timeout: bool = False
    """The server falls silent: the client needs a timeout of its own, best a short one."""
    calls: int = 1
    """How many calls it takes to see the fault bite: 2 where it waits in a kept connection."""
    once: bool = False
    """It is told by what follows it, so it is never played on every attempt."""

    def build(self, contract: Contract, operation: Operation, times: int | None = 1) -> Script:
        """Return the script: the fault on the first `times` attempts, None: on every one."""
        made = self.instruction(contract, operation)
        if made.effect.kind == "refuse":
            return Script.of(made)
        if self.once:
            times = 1
        attempt = 1 if times is not None else None
        return Script.of(Instruction(made.operation, attempt, times, made.stage, made.effect))


def classes_for(contract: Contract, operation: Operation) -> tuple[FaultClass, ...]:
    """Return the classes that apply to an operation, the documented ones first."""
    general = tuple(f for f in FAULTS if f.applies(contract, operation))
    return documented(contract, operation) + general


def documented(contract: Contract, operation: Operation) -> tuple[FaultClass, ...]:
    """Return one class for each error status, and each status and code, that is declared."""
    pairs: dict[tuple[int, str | None], None] = {}
    for declared in operation.responses:
        if declared[0] in "45" and declared.isdigit():
            pairs[int(declared), None] = None
    for rule in operation.errors.map if operation.errors else ():
        if rule.status is None or rule.code is None:
            continue
        status = int(rule.status.replace("XX", "00"))
        if operation.response(status) is not None:
            pairs[status, rule.code] = None
    for answer in operation.errors.answers.values() if operation.errors else ():
        if operation.response(answer.status) is not None and answer.code is not None:
            pairs[answer.status, answer.code] = None
    return tuple(_documented(status, code) for status, code in pairs)


def _documented(status: int, code: str | None) -> FaultClass:
    def build(contract: Contract, operation: Operation) -> Instruction:
        if code is None:
            return _first(operation, respond(status))
        body = error_body(operation, status, code)
        return _first(operation, respond(status, body))

    named = f"documented-{status}" + (f"-{code}" if code else "")
    summary = f"Answers {status}" + (f" with the code {code}." if code else " as declared.")
    return FaultClass(named, "documented", summary, build, _always, core=True)


# --- building blocks ----------------------------------------------------------------------------


def _first(
    operation: Operation, effect: Effect, stage: Stage = Stage.BEFORE_HANDLER
) -> Instruction:
    return Instruction.of(effect, operation.id, stage=stage)


def _plays(effect: Effect, stage: Stage = Stage.BEFORE_HANDLER) -> Build:
    return lambda contract, operation: _first(operation, effect, stage)


def _always(contract: Contract, operation: Operation) -> bool:
    return True


def _has_body(contract: Contract, operation: Operation) -> bool:
    """True where the declared success has something to break inside of."""
    return bool(operation.success.content)


def _has_object(contract: Contract, operation: Operation) -> bool:
    schema = operation.success.schema
    return schema is not None and "properties" in schema


def _status(operation: Operation) -> int:
    declared = operation.success.status
    return int(declared) if declared.isdigit() else 200


# --- statuses -----------------------------------------------------------------------------------

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
            f"status-{status}", "status", f"Answers {status}.", _plays(respond(status)),
            _always, core=status in _CORE_STATUSES,
        )  # fmt: skip
    for status in (199, 299, 399, 499, 600, 999):
        if status != 499:
            yield FaultClass(
                f"status-{status}", "status", f"Answers {status}, which nobody registered.",
                _plays(respond(status)), _always, once=status == 199,
            )  # fmt: skip


def _interims() -> Iterator[FaultClass]:
    for status, words in ((100, "go on"), (102, "be patient"), (103, "early hints")):
        yield FaultClass(
            f"interim-{status}", "interim", f"Sends an interim {status} ({words}), then answers.",
            _plays(respond(status)), _always, core=status == 103,
        )  # fmt: skip
    yield FaultClass(
        "interim-101", "interim", "Claims to switch protocols, then answers in the old one.",
        _plays(respond(101, headers={"upgrade": "memory/2", "connection": "upgrade"})), _always,
    )  # fmt: skip


def _redirects() -> Iterator[FaultClass]:
    for status in (301, 302, 303, 307, 308):
        for place, words in (("base", "the same place"), ("other", "another origin")):
            yield FaultClass(
                f"redirect-{status}-{'same' if place == 'base' else 'cross'}-origin", "redirect",
                f"Answers {status} and points to {words}.",
                _plays(respond(status, b"", {"location": f"{{{place}}}{{target}}"})),
                _always, core=status == 307, once=True,
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
            _plays(respond(307, b"", {"location": location})), _always,
        )  # fmt: skip
    yield FaultClass(
        "redirect-without-location", "redirect", "Answers 302 without saying where to.",
        _plays(respond(302, b"")), _always,
    )  # fmt: skip


# --- bodies -------------------------------------------------------------------------------------

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
            _success(body, headers), _has_body, core=core,
        )  # fmt: skip
        for status in (400, 500):
            yield FaultClass(
                f"body-{status}-{name}", "body", f"Answers {status} with {words}.",
                _plays(respond(status, body, headers)), _always,
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
        _plays(respond(204, b""), Stage.AFTER_COMMIT), _has_body, core=True,
    )  # fmt: skip
    for name, words, size in (("1MB", "1 MB", 10**6), ("50MB", "50 MB", 50 * 10**6)):
        yield FaultClass(
            f"body-success-{name}", "body", f"Answers with the declared body, padded to {words}.",
            _sized(None, size), _has_body,
        )  # fmt: skip
        yield FaultClass(
            f"body-500-{name}", "body", f"Answers 500 with a body of {words}.",
            _sized(500, size), _always,
        )  # fmt: skip
    yield FaultClass(
        "body-success-bomb", "body", "Answers with 50 MB that are 50 kB on the wire (gzip).",
        _success(gzip.compress(b" " * 50_000_000 + b"{}", mtime=0), {"content-encoding": "gzip"}),
        _has_body,
    )  # fmt: skip
    yield from _shapes()


_ENVELOPES: tuple[tuple[str, str, Any], ...] = (
    ("null-envelope", "nulls where the envelope has its words", None),
    ("number-envelope", "numbers where the envelope has its words", 7),
    ("object-envelope", "objects where the envelope has its words", {"a": [1]}),
    ("long-envelope", "a message of a million characters", "long " * 200_000),
)


def _shapes() -> Iterator[FaultClass]:
    yield FaultClass(
        "body-success-extra-fields", "body", "Adds fields that nobody declared to the answer.",
        _shaped(_with_extras), _has_object, core=True,
    )  # fmt: skip
    yield FaultClass(
        "body-success-required-only", "body", "Leaves out all that may be left out.",
        _shaped(None), _has_object, core=True,
    )  # fmt: skip
    yield FaultClass(
        "body-success-wrong-types", "body", "Gives each declared field a value of another type.",
        _shaped(_with_wrong_types), _has_object, core=True,
    )  # fmt: skip
    yield FaultClass(
        "body-success-nulls", "body", "Gives each declared field the value null.",
        _shaped(lambda value: dict.fromkeys(value)), _has_object,
    )  # fmt: skip


def _success(body: bytes, headers: dict[str, str]) -> Build:
    def build(contract: Contract, operation: Operation) -> Instruction:
        return _first(operation, respond(_status(operation), body, headers), Stage.AFTER_COMMIT)

    return build


def _sized(status: int | None, size: int) -> Build:
    def build(contract: Contract, operation: Operation) -> Instruction:
        if status is not None:
            return _first(operation, respond(status, size=size))
        effect = respond(_status(operation), size=size)
        return _first(operation, effect, Stage.AFTER_COMMIT)

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
        return _first(operation, respond(_status(operation), body), Stage.AFTER_COMMIT)

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
        return _first(operation, respond(status, body))

    return build


# --- framing and headers ------------------------------------------------------------------------


def _framings() -> Iterator[FaultClass]:
    def harmed(name: str, words: str, effect: Effect, **more: Any) -> FaultClass:
        def build(contract: Contract, operation: Operation) -> Instruction:
            whole = replace(effect, status=_status(operation))
            return _first(operation, whole, Stage.AFTER_COMMIT)

        return FaultClass(f"framing-{name}", "framing", words, build, _has_body, **more)

    yield harmed("chunked", "Sends the answer in chunks.", respond(200, framing="chunked"))
    yield harmed("until-close", "Gives no length; the end of the connection is the end.",
                 respond(200, framing="close"), core=True)  # fmt: skip
    yield harmed("endless", "Gives no length and never ends the connection.",
                 respond(200, framing="none"), timeout=True)  # fmt: skip
    for name, words, values in (
        ("lengths-differ", "Gives two different lengths.", ("5", "7")),
        ("length-too-long", "Announces more than it sends, and keeps the connection.", ("99999",)),
        ("length-too-short", "Announces less than it sends.", ("1",)),
        ("length-negative", "Announces a negative length.", ("-1",)),
        ("length-garbage", "Announces a length that is no number.", ("many",)),
        ("length-huge", "Announces a length of 400 digits.", ("9" * 400,)),
    ):
        headers = tuple(("content-length", value) for value in values)
        waits = name in ("length-too-long", "length-huge")
        yield harmed(name, words, respond(200, headers=headers), timeout=waits)
    yield harmed("length-and-chunked", "Gives a length and chunks at once.",
                 respond(200, headers={"content-length": "3"}, framing="chunked"))  # fmt: skip

    def doubled(contract: Contract, operation: Operation) -> Instruction:
        headers = (("content-length", "2"), ("content-length", "2"))
        return _first(operation, respond(_status(operation), b"{}", headers), Stage.AFTER_COMMIT)

    yield FaultClass("framing-length-twice", "framing", "Gives the same length twice.",
                     doubled, _has_body)  # fmt: skip
    yield FaultClass(
        "framing-bad-chunk", "framing", "Sends junk where the next chunk should begin.",
        _plays(garbage(framing="chunked"), Stage.MID_RESPONSE), _has_body,
    )  # fmt: skip
    yield FaultClass(
        "framing-chunks-cut", "framing", "Ends the connection between two chunks.",
        _plays(truncate(framing="chunked"), Stage.MID_RESPONSE), _has_body,
    )  # fmt: skip


_JUNK: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("many", "2,000 headers", tuple((f"x-h{n}", "v") for n in range(2000))),
    ("long", "a header of 1 MB", (("x-long", "a" * 10**6),)),
    ("space", "a header name with a space", (("x y", "1"),)),
    ("empty-name", "a header without a name", (("", "1"),)),
    ("latin", "a header with bytes beyond ASCII", (("x-name", "caf\xe9"),)),
    ("nul", "a header with a NUL", (("x-nul", "a\x00b"),)),
    ("fold", "a header folded over two lines", (("x-fold", "a\r\n b"),)),
    ("twice-type", "two content types", (("content-type", "text/html"),
                                         ("content-type", "application/json"))),
    ("no-type", "no content type", (("content-type", "{drop}"),)),
    ("bad-date", "a date that is none", (("date", "yesterday"),)),
)  # fmt: skip


def _junk() -> Iterator[FaultClass]:
    for name, words, headers in _JUNK:

        def build(
            contract: Contract,
            operation: Operation,
            headers: tuple[tuple[str, str], ...] = headers,
        ) -> Instruction:
            effect = respond(_status(operation), headers=headers)
            return _first(operation, effect, Stage.AFTER_COMMIT)

        yield FaultClass(f"headers-{name}", "headers", f"Answers with {words}.", build, _has_body)


# --- the network --------------------------------------------------------------------------------


def _network() -> Iterator[FaultClass]:
    yield FaultClass(
        "network-refused", "network", "Has nobody listening: every connection is refused.",
        lambda contract, operation: Instruction(None, None, None, Stage.BEFORE_ACCEPT, refuse()),
        _always, core=True,
    )  # fmt: skip
    for stage, kind, words, core in _ROUGH:
        inside = stage is Stage.MID_RESPONSE
        effect = {"reset": reset(), "close": close(), "truncate": truncate(),
                  "garbage": garbage()}[kind]  # fmt: skip
        yield FaultClass(
            f"network-{kind}-{stage}", "network", words, _plays(effect, stage),
            _has_body if inside else _always, core=core,
            calls=2 if stage is Stage.AFTER_RESPONSE else 1,
            once=stage is Stage.AFTER_RESPONSE,
        )  # fmt: skip
    for stage in (
        Stage.BEFORE_ACCEPT, Stage.BEFORE_HANDLER, Stage.AFTER_COMMIT, Stage.MID_RESPONSE,
    ):  # fmt: skip
        yield FaultClass(
            f"network-stall-{stage}", "network", f"Falls silent for ever, {stage}.",
            _plays(stall(), stage), _has_body if stage is Stage.MID_RESPONSE else _always,
            core=stage is Stage.BEFORE_HANDLER, timeout=True,
        )  # fmt: skip
    yield FaultClass(
        "network-stall-in-head", "network", "Falls silent inside the status line.",
        _plays(stall(after=10)), _always, timeout=True,
    )  # fmt: skip
    for stage, words in ((Stage.AFTER_COMMIT, "the whole answer"), (Stage.MID_RESPONSE, "a body")):
        yield FaultClass(
            f"network-trickle-{stage}", "network", f"Sends {words} byte by byte.",
            _plays(trickle(0.0), stage),
            _has_body if stage is Stage.MID_RESPONSE else _always,
        )  # fmt: skip


_ROUGH = (
    (Stage.BEFORE_ACCEPT, "reset", "Resets the connection before the request is read.", False),
    (Stage.BEFORE_ACCEPT, "close", "Closes the connection before the request is read.", False),
    (Stage.BEFORE_HANDLER, "reset", "Resets the connection; nothing was changed.", True),
    (Stage.BEFORE_HANDLER, "close", "Closes the connection; nothing was changed.", True),
    (Stage.BEFORE_HANDLER, "truncate", "Ends the connection inside the head.", False),
    (Stage.BEFORE_HANDLER, "garbage", "Answers with bytes that are no HTTP.", True),
    (Stage.AFTER_COMMIT, "reset", "Does what was asked, then resets the connection.", True),
    (Stage.AFTER_COMMIT, "close", "Does what was asked, then closes the connection.", False),
    (Stage.AFTER_COMMIT, "garbage", "Does what was asked, answers with no HTTP.", False),
    (Stage.MID_RESPONSE, "reset", "Resets the connection inside the body.", True),
    (Stage.MID_RESPONSE, "truncate", "Closes the connection inside the body.", True),
    (Stage.MID_RESPONSE, "garbage", "Fills the rest of the body with junk.", False),
    (Stage.AFTER_RESPONSE, "close", "Closes a connection that it promised to keep.", True),
    (Stage.AFTER_RESPONSE, "reset", "Resets a connection that it promised to keep.", False),
    (Stage.AFTER_RESPONSE, "garbage", "Sends junk after the answer.", False),
)  # fmt: skip


# --- waits and quotas ---------------------------------------------------------------------------

RETRY_AFTER: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("seconds", "2 seconds", ("2",)),
    ("minute", "60 seconds", ("60",)),
    ("zero", "0 seconds", ("0",)),
    ("decimal", "1.5 seconds", ("1.5",)),
    ("imf-date", "a date 30 s ahead (IMF-fixdate)", ("{imf+30}",)),
    ("rfc850-date", "a date 30 s ahead (RFC 850)", ("{rfc850+30}",)),
    ("asctime-date", "a date 30 s ahead (asctime)", ("{asctime+30}",)),
    ("past-date", "a date an hour ago", ("{imf-3600}",)),
    ("far-date", "a date a year ahead", ("{imf+31536000}",)),
    ("day", "86,400 seconds", ("86400",)),
    ("negative", "less than no time", ("-5",)),
    ("garbage", "a word", ("soon",)),
    ("empty", "nothing", ("",)),
    ("infinite", "infinity", ("inf",)),
    ("nan", "not a number", ("nan",)),
    ("exponent", "a number with an exponent", ("1e3",)),
    ("hex", "a hexadecimal number", ("0x10",)),
    ("digits", "400 digits", ("9" * 400,)),
    ("twice", "two different times", ("1", "3")),
    ("list", "two times in one header", ("1, 3",)),
)
_CORE_WAITS = ("seconds", "zero", "imf-date", "past-date", "negative", "garbage", "digits")


def _waits() -> Iterator[FaultClass]:
    for status in (429, 503, 500, 413):
        for name, words, values in RETRY_AFTER:
            headers = tuple(("retry-after", value) for value in values)
            yield FaultClass(
                f"retry-after-{name}-{status}", "retry-after",
                f"Answers {status} and asks to wait for {words}.",
                _plays(respond(status, headers=headers)), _always,
                core=status in (429, 503) and name in _CORE_WAITS,
            )  # fmt: skip
        yield FaultClass(
            f"retry-after-absent-{status}", "retry-after",
            f"Answers {status} without saying how long to wait.",
            _plays(respond(status)), _always, core=status in (429, 503),
        )  # fmt: skip


_FIGURES: tuple[tuple[str, str, str], ...] = (
    ("absent", "left out", "{drop}"),
    ("empty", "empty", ""),
    ("garbage", "words", "plenty"),
    ("huge", "400 digits long", "9" * 400),
    ("negative", "negative", "-1"),
    ("decimal", "not whole", "1.5"),
    ("nan", "not a number", "nan"),
    ("list", "lists", "1, 2"),
)


def _figures() -> Iterator[FaultClass]:
    for group, named, applies in (
        ("rate-limit", _rate_limit_headers, _has_rate_limit),
        ("usage", _usage_headers, _has_usage),
    ):
        for name, words, value in _FIGURES:
            for status in (None, 429):
                yield FaultClass(
                    f"{group}-{name}-{status or 'success'}", group,  # type: ignore[arg-type]
                    f"Answers {status or 'well'}; the {group} headers are {words}.",
                    _figured(named, value, status), applies,
                    core=name in ("absent", "garbage") and status is None,
                )  # fmt: skip


def _figured(
    named: Callable[[Operation], tuple[str, ...]], value: str, status: int | None
) -> Build:
    def build(contract: Contract, operation: Operation) -> Instruction:
        headers = tuple((name, value) for name in named(operation))
        if status is not None:
            return _first(operation, respond(status, headers=headers))
        return _first(operation, respond(_status(operation), headers=headers), Stage.AFTER_COMMIT)

    return build


def _rate_limit_headers(operation: Operation) -> tuple[str, ...]:
    declared = operation.rate_limit
    if declared is None:
        return ()
    return tuple(n.lower() for n in (declared.limit, declared.remaining, declared.reset) if n)


def _usage_headers(operation: Operation) -> tuple[str, ...]:
    declared = operation.usage
    if declared is None:
        return ()
    figures = [name for f in declared.figures for name in (f.used, f.limit)]
    return tuple(n.lower() for n in (declared.plan, *figures) if n)


def _has_rate_limit(contract: Contract, operation: Operation) -> bool:
    return bool(_rate_limit_headers(operation))


def _has_usage(contract: Contract, operation: Operation) -> bool:
    return bool(_usage_headers(operation))


# --- streams ------------------------------------------------------------------------------------


def _streams(contract: Contract, operation: Operation) -> bool:
    return operation.stream is not None


def _broken_streams() -> Iterator[FaultClass]:
    for name, words, effect in (
        ("reset", "Resets the connection inside a stream.", reset()),
        ("truncate", "Ends the connection inside a stream.", truncate()),
        ("garbage", "Sends junk inside a stream.", garbage()),
        ("trickle", "Sends a stream byte by byte.", trickle(0.0)),
    ):
        yield FaultClass(
            f"stream-{name}", "stream", words, _plays(effect, Stage.MID_RESPONSE), _streams,
            core=True,
        )  # fmt: skip
    yield FaultClass(
        "stream-stall", "stream", "Falls silent inside a stream.",
        _plays(stall(), Stage.MID_RESPONSE), _streams, timeout=True,
    )  # fmt: skip
    for name, words, data in (
        ("bad-json", "an event that is not JSON", b"data: {oops\n\n"),
        ("no-data", "events without data, comments and blank lines", b": hi\n\n\nevent: x\n\n"),
        ("error-event", "an error in place of a piece", b'data: {"error":{"code":"busy"}}\n\n'),
        ("crlf", "lines that end in CR LF", b'data: {"x":1}\r\n\r\n'),
        ("done-word", "the word [DONE] as an event", b"data: [DONE]\n\n"),
    ):
        headers = {"content-type": "text/event-stream"}
        yield FaultClass(
            f"stream-{name}", "stream", f"Streams {words}.", _success(data, headers), _streams
        )


FAULTS: tuple[FaultClass, ...] = (
    *_statuses(),
    *_interims(),
    *_redirects(),
    *_bodies(),
    *_framings(),
    *_junk(),
    *_network(),
    *_waits(),
    *_figures(),
    *_broken_streams(),
)
"""Every class that is the same for every API, in a fixed order."""
