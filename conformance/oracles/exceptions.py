"""Exceptions: which one an SDK must raise for an answer, and whether what it raised is that.

Judges one recorded call against the error table of its operation: class, bases, attributes and
their values, message, cause, and that nothing foreign leaks. Which attempts came before, and
whether there should have been more, is `retry.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.claims import (
    InventedAttribute,
    KeyShown,
    Leaked,
    MissingBases,
    NoAttribute,
    NoCause,
    NoMessage,
    Unpicklable,
    Unsaid,
    ValueInstead,
    WrongAttribute,
    WrongClass,
)
from conformance.history import Call, Raised
from conformance.oracles.answers import Answer, envelope_value, error_code
from conformance.verdict import Finding
from specs import Basis, Operation, error_rule
from specs.vocabulary import ErrorRule, Errors

BUILTIN = frozenset({"builtins", "exceptions"})


@dataclass(frozen=True, slots=True)
class Known:
    """What was learned of the SDK before: so that one cause is told once."""

    missing: frozenset[str] = frozenset()
    """Documented exception classes that the package lacks."""
    key: str = ""
    """The API key in use, which nothing may show."""


@dataclass(frozen=True, slots=True)
class Promise:
    """The exception that an answer must become, and what that rests on."""

    rule: ErrorRule | None
    """None: no row fits; any of the SDK's own errors will do."""
    base: str
    basis: Basis
    source: str

    @property
    def exception(self) -> str:
        """Name of the documented class."""
        return self.rule.exception if self.rule else self.base


def promise(errors: Errors, answer: Answer) -> Promise:
    """Return what the error table makes of a failed answer."""
    rule = error_rule(
        errors, status=None if answer.network else answer.status,
        code=error_code(errors, answer), network=answer.network,
    )  # fmt: skip
    if rule is None:
        return Promise(None, errors.base, errors.basis, errors.source)
    return Promise(rule, errors.base, rule.basis or errors.basis, rule.source or errors.source)


def lineage(raised: Raised) -> tuple[str, ...]:
    """Return the names of an exception's class and all its bases, nearest first."""
    return (raised.name, *raised.bases)


def owned(raised: Raised, errors: Errors) -> bool:
    """True where an exception is one of the SDK's documented kind."""
    return errors.base in lineage(raised)


def excused(raised: Raised, errors: Errors) -> bool:
    """True for an error of the HTTP library or the network that no promise covers."""
    if "network" in errors.covers or owned(raised, errors):
        return False
    return family(raised) == "transport" or "OSError" in lineage(raised)


def judge(
    operation: Operation, call: Call, answer: Answer, known: Known = Known(), *, odd: str = "",
    words: str = "",
) -> list[Finding]:  # fmt: skip
    """Return what a call made of the failed answer that it ended on.

    `odd` names what is unusual about the answer's body (`html`, `empty`): the finding is then
    about that (ER3), not about the plain mapping (ER1). `words` say it to a reader.
    """
    errors = operation.errors
    if errors is None or call.outcome.kind in ("unsupported", "driver_error"):
        return []
    told = promise(errors, answer)
    about = what(answer) + (f" with {words or f'an odd body ({odd})'}" if odd else "")
    if call.outcome.kind == "value":
        return [_value_instead(told, answer, odd, about).at(conditions=(about,))]
    if call.outcome.kind == "hang" or call.outcome.error is None:
        return []  # the retry oracle says so
    if told.rule is None and excused(call.outcome.error, errors):
        return list(_key(call.outcome.error, known))
    found = _raised(errors, told, call.outcome.error, answer, known, odd, about)
    came = (full_name(call.outcome.error),)
    return [f.at(conditions=(about,), exceptions=came) for f in found]


def _raised(
    errors: Errors, told: Promise, raised: Raised, answer: Answer, known: Known, odd: str,
    about: str,
) -> list[Finding]:  # fmt: skip
    if not owned(raised, errors):
        return [_leak(errors, told, raised, about), *_key(raised, known)]
    return [
        *_class(told, raised, answer, known, odd, about),
        *_bases(told, raised, known),
        *_attributes(errors, told, raised, answer, odd),
        *_message(raised, answer),
        *_key(raised, known),
        *_cause(raised, answer),
        *_handling(raised),
    ]


def said(basis: Basis, source: str) -> str:
    """Return basis and source as findings quote them."""
    return f"{basis}: {source}" if source else str(basis)


def what(answer: Answer) -> str:
    """Return an answer in words: `status 503`, `a timeout`."""
    names = {
        "connect": "a refused connection", "reset": "a broken connection",
        "timeout": "a timeout", "truncated": "a truncated answer",
    }  # fmt: skip
    return names.get(answer.network or "", f"status {answer.status}")


def _requirement(answer: Answer, odd: str) -> str:
    if answer.network is not None:
        return "ER15"
    return "ER3" if odd else "ER1"


def _value_instead(told: Promise, answer: Answer, odd: str, about: str) -> Finding:
    kind = f"odd-{_odd(answer)}" if odd and answer.network is None else answer.range
    claim = ValueInstead(told.exception, about, kind, answer.range)
    return Finding.of(
        _requirement(answer, odd), claim, told.basis, said(told.basis, told.source)
    )  # fmt: skip


def _odd(answer: Answer) -> str:
    """Return how a body is odd: `text` where it is no JSON, else `shape`."""
    try:
        json.loads(answer.body)
    except (ValueError, RecursionError):
        return "text"
    return "shape"


def plain(finding: Finding) -> tuple[str, ...]:
    """Return what a finding about an odd body would be of, had the body been the declared one."""
    claim = finding.claim
    if isinstance(claim, WrongClass):
        return "class", claim.exception, claim.place
    if isinstance(claim, ValueInstead):
        return "value", claim.status
    return finding.cause, ""


def _leak(errors: Errors, told: Promise, raised: Raised, about: str) -> Finding:
    wanted = _or_base(told.exception, errors.base)
    claim = Leaked(errors.base, full_name(raised), family(raised), about, wanted)
    return Finding.of("ER9", claim, errors.basis, said(told.basis, told.source))


def _or_base(exception: str, base: str) -> str:
    return f"{base} or a subclass" if exception == base else f"{exception}, or at least {base}"


def family(raised: Raised) -> str:
    """Return the kind of mistake that lets an exception out, so that one mistake is told once.

    `decoding`: a body was taken for text or JSON that it is not; `shape`: JSON was taken for an
    object, or for one with certain members; `coding`: the HTTP library could not undo a content
    coding; `transport`: another error of that library was let through; else the exception's name.
    """
    if raised.name in _DECODING or "UnicodeError" in raised.bases:
        return "decoding"
    if raised.name == "ValueError" and "integer string" in raised.message:
        return "decoding"
    if raised.name in _SHAPE or raised.module.split(".")[0].startswith("pydantic"):
        return "shape"
    if raised.module.split(".")[0] in _TRANSPORTS:
        return "coding" if raised.name in _CODING else "transport"
    return full_name(raised)


_TRANSPORTS = frozenset(
    {"httpx", "httpcore", "h11", "anyio", "requests", "urllib3", "aiohttp", "ssl", "socket"}
)
_DECODING = frozenset({"JSONDecodeError", "UnicodeDecodeError", "RecursionError"})
_CODING = frozenset(
    {"DecodingError", "ContentDecodingError", "DecodeError", "ContentEncodingError"}
)
_SHAPE = frozenset({"KeyError", "TypeError", "AttributeError", "IndexError"})


def full_name(raised: Raised) -> str:
    """Return `json.JSONDecodeError`-like: the package that an exception is from, and its name."""
    package = raised.module.split(".")[0]
    return raised.name if package in BUILTIN else f"{package}.{raised.name}"


def _class(
    told: Promise, raised: Raised, answer: Answer, known: Known, odd: str, about: str
) -> Iterator[Finding]:
    if told.exception in lineage(raised):
        return
    if told.exception in known.missing:
        return  # ER16 says so; nobody can raise a class that is not there
    place = answer.name
    if told.rule is not None:
        place = told.rule.status or "network"
    claim = WrongClass(
        told.exception, raised.name, place, about,
        _odd(answer) if odd and answer.network is None else "",
    )  # fmt: skip
    yield Finding.of(
        _requirement(answer, odd), claim, told.basis, said(told.basis, told.source)
    )  # fmt: skip


def _bases(told: Promise, raised: Raised, known: Known) -> Iterator[Finding]:
    if told.rule is None or raised.name != told.rule.exception:
        return
    lacking = [b for b in told.rule.bases if b not in raised.bases and b not in known.missing]
    if lacking:
        claim = MissingBases(raised.name, tuple(told.rule.bases), tuple(raised.bases))
        yield Finding.of("ER10", claim, told.basis, said(told.basis, told.source))


def _attributes(
    errors: Errors, told: Promise, raised: Raised, answer: Answer, odd: str
) -> Iterator[Finding]:
    if told.rule is None or told.rule.exception not in lineage(raised):
        return
    for name, source in told.rule.attributes.items():
        there, value = _attribute(raised.attributes, name)
        if not there:
            lacks = NoAttribute(told.exception, name, tuple(sorted(raised.attributes)))
            yield Finding.of("ER11", lacks, told.basis, said(told.basis, told.source))
            continue
        wanted = envelope_value(errors, source, answer)
        if source == "any" and value is None and not odd:
            nothing = WrongAttribute(told.exception, name, "", "any value", source, "None")
            yield Finding.of("ER11", nothing, told.basis, said(told.basis, told.source))
        if source == "requestId" and wanted is None and value and not _stands_in(answer, value):
            invented = InventedAttribute(told.exception, name, _brief(value))
            yield Finding.of("ER11", invented, Basis.ASSUMED)
        if odd and source != "status":
            continue  # an odd body says nothing; only that the error is raised was promised
        if wanted is not None and not same_value(value, wanted):
            claim = WrongAttribute(
                told.exception, name, wanted, _brief(wanted), source, _brief(value)
            )
            yield Finding.of("ER11", claim, told.basis, said(told.basis, told.source))


def _attribute(attributes: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    """Return whether an exception has an attribute, by its name or by a path, and its value."""
    if path in attributes:
        return True, attributes[path]
    at: Any = attributes
    for step in path.split("."):
        if not isinstance(at, Mapping) or step not in at:
            return False, None
        at = at[step]
    return True, at


def _stands_in(answer: Answer, value: Any) -> bool:
    """True where an answer says a value anywhere."""
    text = str(value)
    return text in answer.body.decode("utf-8", "replace") or any(
        text in v for _, v in answer.headers
    )


def same_value(value: Any, wanted: Any) -> bool:
    """True where a value in the SDK's types is the one on the wire: 30.0 is `30`."""
    if value == wanted and isinstance(value, bool) == isinstance(wanted, bool):
        return True
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        plain = {k: v for k, v in value.items() if k != "$type"}
        return all(k in plain and same_value(plain[k], v) for k, v in wanted.items())
    if isinstance(value, list) and isinstance(wanted, list):
        pairs = zip(value, wanted, strict=False)
        return len(value) == len(wanted) and all(same_value(v, w) for v, w in pairs)
    try:
        return _number(value) == _number(wanted)
    except (TypeError, ValueError):
        return False


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError("not a number")
    return float(value)


def _message(raised: Raised, answer: Answer) -> Iterator[Finding]:
    text = raised.text or raised.message
    if not str(text).strip():
        kind = "network" if answer.network else "status"
        yield Finding.of("ER12", NoMessage(raised.name, kind), Basis.ASSUMED)


def _key(raised: Raised, known: Known) -> Iterator[Finding]:
    if not known.key:
        return
    places = {
        "message": raised.message, "str()": raised.text, "repr()": raised.representation,
        "attributes": json.dumps(raised.attributes, default=str),
    }  # fmt: skip
    for place, text in places.items():
        if known.key in str(text):
            yield Finding.of("AU7", KeyShown(place, raised.name))


def _cause(raised: Raised, answer: Answer) -> Iterator[Finding]:
    if answer.network is not None and raised.cause is None:
        yield Finding.of("ER14", NoCause(), Basis.ASSUMED)


def _handling(raised: Raised) -> Iterator[Finding]:
    if raised.picklable is False or raised.copyable is False:
        how = "pickled" if raised.picklable is False else "copied"
        claim = Unpicklable(raised.name, how, raised.fault or "it fails")
        yield Finding.of("ER13", claim, Basis.ASSUMED)


def judge_owned(operation: Operation, call: Call, condition: str) -> list[Finding]:
    """Return whether a call let a foreign exception out, whatever it was answered with.

    For answers that no table covers (odd 200 bodies, odd headers): a value is fine, an error of
    the SDK's own is fine, anything else leaks. `condition` says in words what was odd. It is as
    binding as the promise that all errors have one base, as a leak for a documented status is.
    """
    errors, raised = operation.errors, call.outcome.error
    if errors is None or raised is None or owned(raised, errors) or excused(raised, errors):
        return []
    came = full_name(raised)
    wanted = f"a value, or {errors.base}"
    claim = Leaked(errors.base, came, family(raised), condition, wanted)
    found = Finding.of("ER9", claim, errors.basis, said(errors.basis, errors.source))
    return [found.at(conditions=(condition,), exceptions=(came,))]


def _brief(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


def judge_said(operation: Operation, call: Call, answer: Answer) -> list[Finding]:
    """Return which of status, code and request id an exception nowhere tells (ER2).

    What a documented attribute should hold is ER11's; here the value may stand in any attribute
    or in the text. Nobody documents that it does, so the basis is `assumed`.
    """
    errors, raised = operation.errors, call.outcome.error
    if errors is None or raised is None or not owned(raised, errors):
        return []
    rule = promise(errors, answer).rule
    shown = json.dumps([raised.message, raised.text, raised.attributes], default=str)
    found = []
    for source in ("status", "code", "requestId"):
        wanted = envelope_value(errors, source, answer)
        if wanted is None or (rule is not None and source in rule.attributes.values()):
            continue
        if json.dumps(str(wanted))[1:-1] not in shown:
            claim = Unsaid(source, wanted, _brief(wanted), raised.name, raised.text[:60])
            found.append(Finding.of("ER2", claim, Basis.ASSUMED))
    return found
