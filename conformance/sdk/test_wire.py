"""Requests on the wire: method, path, query, body, arguments, credentials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from conformance.faults.script import Script
from conformance.oracles import wire
from conformance.sdk.judging import CASES, MODES, every, leaders, once, play
from conformance.sdk.subject import KEY, Ask, Play, SdkSubject
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.contract import Schema

HARD = "naïve — 日本語 🙂 'quoted' \"double\" back\\slash 100% a+b&c=d;e/f?g#h <tag> tab\there"
"""A text of characters that mean something to URLs, JSON, HTML and shells."""


def judged(subject: SdkSubject, operation: Operation, made: Play) -> list[Finding]:
    """Return what is wrong with the first request of each call of a play."""
    found: list[Finding] = []
    for call in made.history.calls:
        sent = made.history.during(call)
        if not sent:
            continue
        request = sent[0].request
        found += made.witnessed(
            wire.judge(subject.contract, operation, call.arguments, request, KEY, request.path),
            call,
        )
    return found


@CASES.case(
    "wire.request", "WR1", "WR2", "WR3", "WR4", "WR5", "AU1", "AU7", each=every, modes=MODES
)
def test_request(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A call sends the declared method, path, query, body and credentials."""
    ready = subject.needs(operation, mode)
    asks = [
        subject.ask(operation),
        subject.ask(operation, seed=1),
        Ask(operation, subject.arguments(operation, optional=False)),
    ]
    found: list[Finding] = []
    for ask in asks:
        made = subject.play(Script(), ask, mode=ready)
        subject.covered(operation, mode, "none")
        found += judged(subject, operation, made)
    return once(found)


@CASES.case("wire.arguments", "WR5", each=every, modes=MODES)
def test_arguments(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Texts in any script, empty texts, zeros and false arrive as they were given."""
    ready = subject.needs(operation, mode)
    variants = list(unusual(operation, subject.arguments(operation)))
    if not variants:
        raise NotApplicable("no argument takes free values")
    found: list[Finding] = []
    for arguments in variants:
        made = subject.play(Script(), Ask(operation, arguments), mode=ready)
        found += [f for f in judged(subject, operation, made) if f.requirement == "WR5"]
    return once(found)


def unusual(operation: Operation, arguments: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield arguments with hard texts, then with values that are false in many languages."""
    schemas = dict(_schemas(operation))
    hard = {n: HARD for n in arguments if n in schemas and takes_text(schemas[n], HARD)}
    if hard:
        yield {**arguments, **hard}
    falsy: dict[str, Any] = {}
    for name in arguments:
        schema = schemas.get(name, {})
        if takes_text(schema, ""):
            falsy[name] = ""
        elif schema.get("type") in ("integer", "number") and _allows(schema, 0):
            falsy[name] = 0
        elif schema.get("type") == "boolean":
            falsy[name] = False
    if falsy:
        yield {**arguments, **falsy}


def _schemas(operation: Operation) -> Iterator[tuple[str, Schema]]:
    for parameter in operation.parameters_in("query"):
        yield parameter.name, parameter.schema
    if operation.body is not None:
        yield from operation.body.schema.get("properties", {}).items()


def takes_text(schema: Schema, text: str) -> bool:
    """True where a schema takes any text of this length: no pattern, format or enum."""
    kinds = schema.get("type")
    if "string" not in ([kinds] if isinstance(kinds, str) else kinds or ()) or {
        "pattern",
        "format",
        "enum",
        "const",
    } & set(schema):
        return False
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(text))
    return bool(least <= len(text) <= most)


def _allows(schema: Schema, value: float) -> bool:
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    return bool(low <= value <= high) and "exclusiveMinimum" not in schema


def defaulted(contract: Contract) -> list[Operation]:
    """Return the operations with an argument that may be left out and has a declared default."""
    return [o for o in contract if any("default" in schema for _, schema in _schemas(o))]


@CASES.case("wire.defaults", "WR5", each=defaulted, modes=MODES)
def test_defaults(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """What the caller leaves out is left to the server, or sent with its declared default."""
    ask = Ask(operation, subject.arguments(operation, optional=False))
    made = subject.play(Script(), ask, mode=subject.needs(operation, mode))
    if not made.attempts:
        raise Inconclusive("nothing was sent")
    request = made.attempts[0].request
    return made.witnessed(wire.judge_defaults(operation, ask.arguments, request))


def addressed(contract: Contract) -> list[Operation]:
    """Return the operations with a path argument that takes free text."""
    return [
        o for o in contract
        if o.parameters_in("path") and all(
            takes_text(p.schema, "a b") for p in o.parameters_in("path")
        )
    ]  # fmt: skip


@CASES.case("wire.encoding", "WR8", each=addressed, modes=MODES)
def test_encoding(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Path arguments are percent-encoded, so that an id cannot leave its place in the path."""
    ready = subject.needs(operation, mode)
    found: list[Finding] = []
    for text in ("a b", "up/../over", "q?x=1", "frag#ment", "100%", "ä"):
        named = {p.name: text for p in operation.parameters_in("path")}
        made = subject.play(Script(), subject.ask(operation, named), mode=ready)
        if made.attempts:
            request = made.attempts[0].request
            found += made.witnessed(wire.judge_encoded(operation, named, request, request.path))
    return once(found)


@CASES.case("auth.redirects", "AU2", each=leaders, modes=MODES)
def test_redirects(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Credentials are not sent to another origin that an answer redirects to."""
    found: list[Finding] = []
    for status in (301, 302, 303, 307, 308):
        script = Script.parse(f'{operation.id}#1 {status} location="{{other}}{{target}}" body=""')
        made = play(subject, operation, mode, script)
        subject.covered(operation, mode, f"redirect-{status}-cross-origin")
        for exchange in made.history.exchanges:
            shown = [n for n, v in exchange.request.headers if KEY in v]
            if exchange.principal == "other" and (shown or KEY in exchange.request.target):
                found += made.witnessed([
                    Finding(
                        "AU2", "sends its credentials to another origin after a redirect",
                        expected="no credentials beyond the origin that they were given for",
                        actual=f"{', '.join(shown) or 'the URL'} holds the key, status {status}",
                        witness=(exchange.number,), cause="credentials-to-other-origin",
                    )
                ])  # fmt: skip
    return once(found)


@CASES.case("auth.quiet", "AU7", each=leaders, modes=MODES)
def test_quiet(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Nothing that the SDK prints or logs shows the key, with its debug option or without."""
    found: list[Finding] = []
    settings: list[dict[str, Any]] = [{}]
    if subject.option("debug"):
        settings.append({"debug": True})
    for options in settings:
        for script in (Script(), Script.parse(f"{operation.id}#1 401")):
            made = play(subject, operation, mode, script, options=options)
            if KEY in made.printed:
                found += made.witnessed([
                    Finding(
                        "AU7", "shows the API key in what it prints or logs",
                        expected="no credentials in any output",
                        actual="the key stands in the output"
                        + (" of the debug option" if options else ""),
                        cause="key-in:output",
                    )
                ])  # fmt: skip
    return once(found)
