"""How a stand-alone script tells whether a finding shows: what it looks at, for each kind of cause.

A script knows `requests` (heads and bodies that arrived), `waits` (seconds, as the SDK asked for
them), `took` (seconds of the call), `result`, `error`, `names` (the error's class and its bases)
and `outcome` (how the call ended, in words). What is seen and whether that is the deviation are
expressions over these. Nothing here runs a script.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass


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

    cause: str
    expected: str
    base: str
    """Name of the SDK's base error."""
    sent: int = 0
    """Requests that the call sent."""
    raised: str | None = None
    """Class of the exception that it ended with; None: it returned."""

    @property
    def rest(self) -> str:
        """The cause without its first word."""
        return self.cause.partition(":")[2]


Rule = Callable[[About], Told]
"""Raises LookupError or ValueError where the finding does not say enough."""

_HEAD = "requests[0][0][0]"
_BODY = "json.loads(requests[0][1])"
_SENT = 'f"requests: {len(requests)}, waits: {[round(w, 2) for w in waits]}, {outcome}"'
_LONG = "7 * 86400"
"""Seconds: a wait beyond is one without bound."""


def told(about: About) -> Told:
    """Return what to look at for a finding."""
    for name, rule in _RULES.items():
        if about.cause == name or about.cause.startswith(f"{name}:"):
            try:
                return rule(about)
            except (LookupError, ValueError):
                break
    ended = about.raised or "NoneType"
    return Told(
        f'f"{{outcome}}, after {{{_HEAD}}} {{requests[0][1]}}"',
        f"len(requests) == {about.sent} and names[0] == {ended!r}",
    )


# --- how it ended ---------------------------------------------------------------------------------


def _leak(about: About) -> Told:
    return Told("outcome", f"error is not None and {about.base!r} not in names")


def _class(about: About) -> Told:
    return Told("outcome", f"{about.rest.split(':')[0]!r} not in names")


def _last_class(about: About) -> Told:
    return Told("outcome", f"{about.expected.split()[0]!r} not in names")


def _value(about: About) -> Told:
    return Told("outcome", "error is None")


def _fails(about: About) -> Told:
    return Told("outcome", "error is not None")


def _bases(about: About) -> Told:
    wanted = set(_find(r"bases ([\w, ]+?) \(", about)[0].split(", "))
    return Told("names", f"not {wanted!r} <= set(names)")


# --- what the exception says ----------------------------------------------------------------------


def _attribute_invented(about: About) -> Told:
    value = f"getattr(error, {about.rest!r}, None)"
    return Told(f'f"{about.rest} {{{value}!r}}"', f"bool({value})")


def _attribute_missing(about: About) -> Told:
    name = about.rest.rpartition(".")[2]
    return Told(
        'f"{outcome}, with " + ", ".join(vars(error))', f"not hasattr(error, {name!r})"
    )  # fmt: skip


def _attribute_value(about: About) -> Told:
    name = about.rest.rpartition(".")[2]
    text = about.expected.rpartition(", from ")[0]
    if text.endswith("…"):
        raise LookupError(text)
    wanted = json.loads(text)
    alike = [wanted]
    if isinstance(wanted, str) and re.fullmatch(r"\d+(\.\d+)?", wanted):
        alike.append(float(wanted))
    return Told(
        f'f"{name} {{getattr(error, {name!r}, None)!r}}"',
        f"getattr(error, {name!r}, None) not in {alike!r}",
    )


def _message(about: About) -> Told:
    return Told('f"{names[0]}, whose text is {str(error)!r}"', "not str(error).strip()")


def _pickle(about: About) -> Told:
    lines = (
        "try:",
        "    again = repr(str(pickle.loads(pickle.dumps(error))))",
        "except Exception as lost:",
        '    again = f"{type(lost).__name__}: {lost}"',
    )
    seen = 'f"{names[0]}({str(error)!r}) comes back as {again}"'
    return Told(seen, "again != repr(str(error))", lines)


def _no_cause(about: About) -> Told:
    shows = "error is not None and not (error.__cause__ or error.__context__)"
    return Told("f\"{outcome}, caused by {getattr(error, '__cause__', None)!r}\"", shows)


def _unsaid(about: About) -> Told:
    wanted = json.loads(about.expected.rpartition(" in an attribute")[0])
    seen = "f\"{outcome} {getattr(error, '__dict__', {})}\""
    return Told(seen, f"{str(wanted)!r} not in {seen}")


def _key(about: About) -> Told:
    return Told("outcome", "KEY in f\"{error} {error!r} {getattr(error, '__dict__', {})}\"")


# --- how often and when ---------------------------------------------------------------------------


def _once(about: About) -> Told:
    return Told(_SENT, "not waits" if about.rest == "connect" else "len(requests) == 1")


def _too_few(about: About) -> Told:
    least = _find(r"^(\d+)", about)[0]
    return Told(_SENT, f"len(requests) < {least}")


def _too_many(about: About) -> Told:
    most = _find(r"at most (\d+) attempts", about)[0]
    return Told(_SENT, f"len(requests) > {most}")


def _again(about: About) -> Told:
    return Told(_SENT, "len(requests) > 1")


def _early(about: About) -> Told:
    seconds, attempt = _find(r"at least ([\d.e+]+) s before attempt (\d+)", about)
    place = int(attempt) - 2
    return Told(_SENT, f"sum(waits[{place}:{place + 1}]) < {float(seconds) - 0.01:g}")


def _late(about: About) -> Told:
    seconds, attempt = _find(r"at most ([\d.e+]+) s before attempt (\d+)", about)
    place = int(attempt) - 2
    return Told(_SENT, f"sum(waits[{place}:{place + 1}]) > {1.05 * float(seconds):g}")


def _at_once(about: About) -> Told:
    return Told(_SENT, "len(requests) > 1 and not any(waits)")


def _order(about: About) -> Told:
    seconds = _find(r"a wait of ([\d.]+) s", about)[0]
    return Told(_SENT, f"sum(waits[:1]) < {float(seconds) - 0.01:g}")


def _flat(about: About) -> Told:
    return Told('f"the last waits {waits[-3:]}"', "len(waits) > 2 and len(set(waits[-3:])) == 1")


def _no_spread(about: About) -> Told:
    seconds = _find(r"waits of ([\d.]+) s", about)[0]
    return Told(_SENT, f"set(waits) == {{{float(seconds):g}}}")


def _unbounded(about: About) -> Told:
    return Told(_SENT, f"max(waits, default=0) > {_LONG}")


def _not_overall(about: About) -> Told:
    seconds = _find(r"soon after ([\d.]+) s", about)[0]
    return Told('f"{outcome}, after {took:.1f} s"', f"took > 4 * {seconds}")


# --- what was sent --------------------------------------------------------------------------------


def _credentials(about: About) -> Told:
    return Told(
        '[line for line in requests[0][0] if KEY in line] or "no header with the key"',
        f'not any(line.lower().startswith("{about.rest.lower()}:") for line in requests[0][0])',
    )


def _path(about: About) -> Told:
    wanted = about.expected
    return Told(_HEAD, f"{_HEAD}.partition('?')[0].removesuffix(' HTTP/1.1') != {wanted!r}")


def _target(about: About) -> Told:
    wanted = " ".join(about.expected.split()[:2])
    pattern = re.sub(r"\\\{\w+\\\}", "[^/ ]+", re.escape(wanted).replace("\\ ", " ")) + "[ ?]"
    return Told(_HEAD, f"not re.match({pattern!r}, {_HEAD})")


def _body(about: About) -> Told:
    _, _, what = about.rest.partition(":")
    place, _, kind = what.partition(":")
    kind, _, names = kind.partition(":")
    listed = set(names.split(","))
    shown = "requests[0][1].decode()"
    if about.rest.startswith("none:"):
        return Told(shown + " or 'no body'", "not requests[0][1]")
    if what == "nulls":
        return Told(shown, f"None in {_BODY}.values()")
    if place == "/" and kind == "additionalProperties":
        return Told(shown, f"bool({listed!r} & set({_BODY}))")
    if place == "/" and kind == "required":
        return Told(shown, f"not {listed!r} <= set({_BODY})")
    if place == "/" and kind == "type":
        return Told(shown, f"not isinstance({_BODY}, dict)")
    raise LookupError(about.rest)


def _unaddressed(about: About) -> Told:
    return Told('f"{outcome}, {len(requests)} requests"', "not requests")


def _default(about: About) -> Told:
    name = about.rest.rpartition(".")[2]
    wanted = ast.literal_eval(about.expected.partition(", or nothing")[0])
    sent = f"re.findall('[?&]{name}=([^& ]*)', {_HEAD})"
    told = f"json.loads(requests[0][1] or '{{}}').get({name!r}, {wanted!r})"
    lines = (f"given = ({sent} + [{told}])[0]",)
    return Told(f'f"{name} {{given!r}}"', f"str(given) != {str(wanted)!r}", lines)


# --- what came out --------------------------------------------------------------------------------


def _not_handed_out(about: About) -> Told:
    return Told(
        f'f"{about.rest} {{getattr(result, {about.rest!r}, None)!r}}"',
        f"error is None and getattr(result, {about.rest!r}, None) is None",
    )


def _header_value(about: About) -> Told:
    path, wanted = _find(r"`([\w.]+)` = '([^']*)'", about)
    got = _reached(path)
    return Told(f'f"{path} = {{{got}!r}}"', f"str({got}) != {wanted!r}")


def _reached(path: str) -> str:
    got = "result"
    for name in path.split("."):
        got = f"getattr({got}, {name!r}, None)"
    return got


def _invented(about: About) -> Told:
    if about.rest == "text":
        return Told("outcome", "isinstance(result, str)")
    return Told("outcome", f"error is None and bool({_reached(about.rest.rpartition('.')[2])})")


def _type(about: About) -> Told:
    wanted = about.expected.split()[0]
    return Told("outcome", f"type(result).__name__ != {wanted!r}")


def _find(pattern: str, about: About) -> tuple[str, ...]:
    found = re.search(pattern, about.expected)
    if found is None:
        raise LookupError(pattern)
    return found.groups()


_RULES: dict[str, Rule] = {
    "leak": _leak,
    "retry-after:leak": _leak,
    "class": _class,
    "last-error:class": _last_class,
    "value-for": _value,
    "bases": _bases,
    "fails": _fails,
    "raises": _fails,
    "raises-after-success": _fails,
    "attribute-missing": _attribute_missing,
    "attribute-invented": _attribute_invented,
    "own-client": _unaddressed,
    "attribute-value": _attribute_value,
    "message-empty": _message,
    "pickle": _pickle,
    "no-cause": _no_cause,
    "unsaid": _unsaid,
    "key-in:message": _key,
    "key-in:str()": _key,
    "key-in:repr()": _key,
    "key-in:attributes": _key,
    "not-retried": _once,
    "attempts:too-few": _too_few,
    "attempts:too-many": _too_many,
    "retried": _again,
    "duplicate-write": _again,
    "early": _early,
    "backoff:too-short": _early,
    "backoff:too-long": _late,
    "backoff:none": _at_once,
    "order": _order,
    "cap:no-jitter": _flat,
    "retry-after:no-spread": _no_spread,
    "retry-after:unbounded": _unbounded,
    "timeout:not-overall": _not_overall,
    "credentials": _credentials,
    "path-not-encoded": _path,
    "target": _target,
    "body": _body,
    "default": _default,
    "not-handed-out": _not_handed_out,
    "header-value": _header_value,
    "not-read": _header_value,
    "type": _type,
    "invented": _invented,
}
"""Cause, or how it begins -> what to look at. The others: whether the call ends the same way."""
