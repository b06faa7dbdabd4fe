"""How a stand-alone script tells whether a finding shows: what it looks at, for each claim.

A script knows `requests` (heads and bodies that arrived), `waits` (seconds, as the SDK asked for
them), `took` (seconds of the call), `result`, `error`, `names` (the error's class and its bases)
and `outcome` (how the call ended, in words). What is seen and whether that is the deviation are
expressions over these. Nothing here runs a script, and nothing reads a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance import claims as c


@dataclass(frozen=True)
class Told:
    """What a script looks at. Expressions of Python; `before` are lines that come first."""

    seen: str
    """A value that says what was seen."""
    shows: str
    """True where the deviation shows."""
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class About:
    """What is known of a finding and of the call that showed it."""

    claim: c.Base | None
    base: str
    """Name of the SDK's base error."""
    sent: int = 0
    """Requests that the call sent."""
    raised: str | None = None
    """Class of the exception that it ended with; None: it returned."""


Rule = Callable[[Any], Told | None]
"""Of a claim of its own type; None where it cannot be looked at."""

_HEAD = "requests[0][0][0]"
_BODY = "json.loads(requests[0][1])"
_SENT = 'f"requests: {len(requests)}, waits: {[round(w, 2) for w in waits]}, {outcome}"'


def told(about: About) -> Told:
    """Return what to look at for a finding; how the call ends, where its claim has no rule."""
    rule = _RULES.get(type(about.claim))
    found = rule(about.claim) if rule is not None else None
    if found is not None:
        return found
    ended = about.raised or "NoneType"
    return Told(
        f'f"{{outcome}}, after {{{_HEAD}}} {{requests[0][1]}}"',
        f"len(requests) == {about.sent} and names[0] == {ended!r}",
    )


def _sent(shows: str) -> Told:
    return Told(_SENT, shows)


def _ends(shows: str) -> Told:
    return Told("outcome", shows)


# --- what the exception says ----------------------------------------------------------------------


def _attribute_value(claim: c.WrongAttribute) -> Told:
    alike = [claim.wanted]
    if isinstance(claim.wanted, str) and re.fullmatch(r"\d+(\.\d+)?", claim.wanted):
        alike.append(float(claim.wanted))
    got = _read(claim.name)
    shows = f"{got} is None" if claim.place == "any" else f"{got} not in {alike!r}"
    return Told(f'f"{claim.name} {{{got}!r}}"', shows)


def _read(path: str) -> str:
    """Return the expression that reads an exception's attribute, or one inside it by a path."""
    first, *rest = path.split(".")
    got = f"getattr(error, {first!r}, None)"
    for step in rest:
        inside = f"v.get({step!r}) if isinstance(v, dict) else getattr(v, {step!r}, None)"
        got = f"(lambda v: {inside})({got})"
    return got


def _attribute_invented(claim: c.InventedAttribute) -> Told:
    value = f"getattr(error, {claim.name!r}, None)"
    return Told(f'f"{claim.name} {{{value}!r}}"', f"bool({value})")


def _pickle(_: c.Unpicklable) -> Told:
    lines = (
        "try:",
        "    again = repr(str(pickle.loads(pickle.dumps(error))))",
        "except Exception as lost:",
        '    again = f"{type(lost).__name__}: {lost}"',
    )
    seen = 'f"{names[0]}({str(error)!r}) comes back as {again}"'
    return Told(seen, "again != repr(str(error))", lines)


def _unsaid(claim: c.Unsaid) -> Told:
    seen = "f\"{outcome} {getattr(error, '__dict__', {})}\""
    return Told(seen, f"{str(claim.wanted)!r} not in {seen}")


def _no_cause(_: c.NoCause) -> Told:
    shows = "error is not None and not (error.__cause__ or error.__context__)"
    return Told("f\"{outcome}, caused by {getattr(error, '__cause__', None)!r}\"", shows)


# --- how often and when ---------------------------------------------------------------------------


def _once(claim: c.NotRetried) -> Told:
    return _sent("not waits" if claim.pattern == "connect" else "len(requests) == 1")


def _before(attempt: int) -> str:
    return f"sum(waits[{attempt - 2}:{attempt - 1}])"


def _early(claim: c.Early | c.TooShort) -> Told:
    return _sent(f"{_before(claim.attempt)} < {claim.least - 0.01:g}")


# --- what was sent --------------------------------------------------------------------------------


def _credentials(claim: c.NoCredentials) -> Told:
    return Told(
        '[line for line in requests[0][0] if KEY in line] or "no header with the key"',
        f'not any(line.lower().startswith("{claim.header.lower()}:") for line in requests[0][0])',
    )


def _path(claim: c.NotEncoded) -> Told:
    shows = f"{_HEAD}.partition('?')[0].removesuffix(' HTTP/1.1') != {claim.wanted!r}"
    return Told(_HEAD, shows)


def _target(claim: c.WrongTarget) -> Told:
    escaped = re.escape(claim.wanted).replace("\\ ", " ")
    pattern = re.sub(r"\\\{\w+\\\}", "[^/ ]+", escaped) + "[ ?]"
    return Told(_HEAD, f"not re.match({pattern!r}, {_HEAD})")


def _body(claim: c.WrongBody) -> Told | None:
    shown, listed = "requests[0][1].decode()", set(claim.names)
    if claim.null:
        return Told(shown, f"None in {_BODY}.values()")
    looks = {
        "additionalProperties": f"bool({listed!r} & set({_BODY}))",
        "required": f"not {listed!r} <= set({_BODY})",
        "type": f"not isinstance({_BODY}, dict)",
    }
    look = looks.get(claim.keyword) if claim.place == "/" else None
    return Told(shown, look) if look else None


def _default(claim: c.WrongDefault) -> Told:
    name, wanted = claim.name, claim.wanted
    sent = f"re.findall('[?&]{name}=([^& ]*)', {_HEAD})"
    inside = f"json.loads(requests[0][1] or '{{}}').get({name!r}, {wanted!r})"
    lines = (f"given = ({sent} + [{inside}])[0]",)
    return Told(f'f"{name} {{given!r}}"', f"str(given) != {str(wanted)!r}", lines)


# --- what came out --------------------------------------------------------------------------------


def _not_handed_out(claim: c.NotHandedOut) -> Told:
    got = f"getattr(result, {claim.holder!r}, None)"
    return Told(f'f"{claim.holder} {{{got}!r}}"', f"error is None and {got} is None")


def _figure(claim: c.WrongFigure | c.NotRead) -> Told:
    got = _reached(claim.path)
    return Told(f'f"{claim.path} = {{{got}!r}}"', f"str({got}) != {claim.sent!r}")


def _reached(path: str) -> str:
    got = "result"
    for name in path.split("."):
        got = f"getattr({got}, {name!r}, None)"
    return got


def _invented(claim: c.InventedValue) -> Told:
    if not claim.path:
        return _ends("isinstance(result, str)")
    return _ends(f"error is None and bool({_reached(claim.path)})")


_KEY = "KEY in f\"{error} {error!r} {getattr(error, '__dict__', {})}\""
_FAILS = "error is not None"
_AGAIN = "len(requests) > 1"
_RULES: Mapping[type, Rule] = {
    c.Leaked: lambda x: _ends(f"error is not None and {x.base!r} not in names"),
    c.LeakedOnRetryAfter: lambda x: _ends(f"error is not None and {x.base!r} not in names"),
    c.WrongClass: lambda x: _ends(f"{x.exception!r} not in names"),
    c.WrongLastClass: lambda x: _ends(f"{x.exception!r} not in names"),
    c.ValueInstead: lambda x: _ends("error is None"),
    c.UnfollowedRedirect: lambda x: _ends("error is None"),
    c.Fails: lambda x: _ends(_FAILS),
    c.FailsOnSuccess: lambda x: _ends(_FAILS),
    c.FailsOnDeclared: lambda x: _ends(_FAILS),
    c.FailsAfterSuccess: lambda x: _ends(_FAILS),
    c.MissingBases: lambda x: Told("names", f"not {set(x.bases)!r} <= set(names)"),
    c.NoAttribute: lambda x: Told(
        'f"{outcome}, with " + ", ".join(vars(error))', f"not hasattr(error, {x.name!r})"
    ),
    c.InventedAttribute: _attribute_invented,
    c.WrongAttribute: _attribute_value,
    c.NoMessage: lambda x: Told(
        'f"{names[0]}, whose text is {str(error)!r}"', "not str(error).strip()"
    ),
    c.Unpicklable: _pickle,
    c.NoCause: _no_cause,
    c.Unsaid: _unsaid,
    c.KeyShown: lambda x: _ends(_KEY),
    c.OwnClient: lambda x: Told('f"{outcome}, {len(requests)} requests"', "not requests"),
    c.NotRetried: _once,
    c.TooFew: lambda x: _sent(f"len(requests) < {x.least}"),
    c.TooMany: lambda x: _sent(f"len(requests) > {x.most}"),
    c.Retried: lambda x: _sent(_AGAIN),
    c.WrittenTwice: lambda x: _sent(_AGAIN),
    c.Early: _early,
    c.TooShort: _early,
    c.TooLong: lambda x: _sent(f"{_before(x.attempt)} > {1.05 * x.most:g}"),
    c.NoBackoff: lambda x: _sent("len(requests) > 1 and not any(waits)"),
    c.WrongOrder: lambda x: _sent(f"sum(waits[:1]) < {x.wanted - 0.01:g}"),
    c.NoJitterAtCap: lambda x: Told(
        'f"the last waits {waits[-3:]}"', "len(waits) > 2 and len(set(waits[-3:])) == 1"
    ),
    c.NoSpread: lambda x: _sent(f"set(waits) == {{{x.seconds:g}}}"),
    c.Unbounded: lambda x: _sent(f"max(waits, default=0) > {x.most:.0f}"),
    c.SlowBody: lambda x: Told('f"{outcome}, after {took:.1f} s"', f"took > 4 * {x.timeout:g}"),
    c.NoCredentials: _credentials,
    c.NotEncoded: _path,
    c.WrongTarget: _target,
    c.WrongBody: _body,
    c.NoBody: lambda x: Told("requests[0][1].decode() or 'no body'", "not requests[0][1]"),
    c.WrongDefault: _default,
    c.NotHandedOut: _not_handed_out,
    c.WrongFigure: _figure,
    c.NotRead: _figure,
    c.WrongType: lambda x: _ends(f"type(result).__name__ != {x.wanted!r}"),
    c.InventedValue: _invented,
}
"""Claim -> what to look at. The others: whether the call ends the same way."""
