"""Quota dialects: which header fields tell of a quota, how to read them and how to write them.

The only place that knows what `rateLimit.headers` means. A new dialect is one row of `DIALECTS`
and one name in the vocabulary. Oracles, faults, references and load ask; none branches on a name.
Sources: draft-ietf-httpapi-ratelimit-headers-06, -07 and -08; the older `X-RateLimit-*` triple,
whose names and unit each server chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Literal

import http_sf

from specs.dates import http_date
from specs.vocabulary import RateLimit

Headers = Sequence[tuple[str, str]]
Unit = Literal["epoch-seconds", "epoch-ms", "delta-seconds", "http-date"]
Part = Literal["limit", "remaining", "reset"]
PARTS: tuple[Part, ...] = ("limit", "remaining", "reset")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one answer says of a quota. `reset` is seconds from the answer on, None if unsaid."""

    limit: float | None
    remaining: float | None
    reset: float | None
    raw_reset: str | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What an answer is to say of a quota. `reset` is a time on the speller's clock, seconds."""

    limit: float
    remaining: float
    reset: float
    window: float = 60.0


Spell = Callable[[Unit, float], str]
"""(unit, reset) -> how the reset is spelt. `at` spells for a clock, `ahead` for a fault script."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to tell of a quota in header fields."""

    read: Callable[[RateLimit, Headers, float], Reading | None]
    """(declared, headers, now) -> reading, None if absent; ValueError, KeyError, TypeError if
    broken."""
    write: Callable[[RateLimit, Figures, Spell], list[tuple[str, str]]]
    names: Callable[[RateLimit], tuple[str, ...]]
    """The fields that a limited answer must carry, lower case."""
    standard: bool = False
    """True for the IETF draft's generations."""
    structured: bool = False
    """True if the fields are structured fields (RFC 9651) instead of one number each."""


# --- one number in each field ---------------------------------------------------------------------


def parts(limit: RateLimit) -> dict[Part, str]:
    """Return the field of each figure, lower case; empty if no figure has a field of its own.

    A contract that spells some of the names has no others; one that spells none has the usual.
    """
    prefix = _PREFIXES.get(limit.headers)
    if prefix is None:
        return {}
    given: dict[Part, str | None] = {
        "limit": limit.limit, "remaining": limit.remaining, "reset": limit.reset,
    }  # fmt: skip
    if not any(given.values()):
        return {part: f"{prefix}-{part}" for part in PARTS}
    return {part: name.lower() for part, name in given.items() if name}


USUAL: Literal["x-ratelimit"] = "x-ratelimit"
"""The dialect of the older triple, whose fields start with its name."""
_PREFIXES = {"x-ratelimit": "x-ratelimit", "draft-6": "ratelimit"}


def unit(limit: RateLimit) -> Unit | None:
    """Return the unit of the reset; None if nobody states one, so that its size must tell."""
    if limit.reset_unit is not None:
        return limit.reset_unit
    return None if limit.headers == "x-ratelimit" else "delta-seconds"


def _read_parts(limit: RateLimit, headers: Headers, now: float) -> Reading | None:
    named = parts(limit)
    quota, remaining, reset = (next(_all(headers, named.get(part)), None) for part in PARTS)
    if quota is None and remaining is None and reset is None:
        return None
    return Reading(_number(quota), _number(remaining), _reset(unit(limit), reset, now), reset)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _reset(given: Unit | None, text: str | None, now: float) -> float | None:
    if text is None:
        return None
    if given == "http-date":
        when = http_date(text)
        return None if when is None else when - now
    value = float(text)
    if given is None:
        given = "delta-seconds" if value < 1e8 else "epoch-seconds" if value < 1e11 else "epoch-ms"
    if given == "delta-seconds":
        return value
    return value / 1000 - now if given == "epoch-ms" else value - now


def _write_parts(limit: RateLimit, said: Figures, spell: Spell) -> list[tuple[str, str]]:
    values = {
        "limit": _plain(said.limit),
        "remaining": _plain(said.remaining),
        "reset": spell(unit(limit) or "epoch-seconds", said.reset),
    }
    return [(name, values[part]) for part, name in parts(limit).items()]


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


# --- structured fields ----------------------------------------------------------------------------


def policies(headers: Headers) -> list[tuple[int, int | None]]:
    """Return (quota, window) of each RateLimit-Policy member. Raises ValueError if broken."""
    joined = ", ".join(_all(headers, "ratelimit-policy"))
    if not joined:
        return []
    members: Any = http_sf.parse(joined.encode(), tltype="list")
    return [(parameters["q"], parameters.get("w")) for _, parameters in members]


def _read_draft_7(limit: RateLimit, headers: Headers, now: float) -> Reading | None:
    joined = ", ".join(_all(headers, "ratelimit"))
    if not joined:
        return None
    fields: Any = http_sf.parse(joined.encode(), tltype="dictionary")
    plain = {name: item[0] for name, item in fields.items()}
    return Reading(plain.get("limit"), plain.get("remaining"), plain.get("reset"))


def _write_draft_7(limit: RateLimit, said: Figures, spell: Spell) -> list[tuple[str, str]]:
    quota, left = _plain(said.limit), _plain(said.remaining)
    state = f"limit={quota}, remaining={left}, reset={spell('delta-seconds', said.reset)}"
    return [("ratelimit-policy", f"{quota};w={int(said.window)}"), ("ratelimit", state)]


def _read_draft_8(limit: RateLimit, headers: Headers, now: float) -> Reading | None:
    joined = ", ".join(_all(headers, "ratelimit"))
    if not joined:
        return None
    answer: Any = http_sf.parse(joined.encode(), tltype="list")
    _, parameters = answer[0]
    quotas = policies(headers)
    return Reading(quotas[0][0] if quotas else None, parameters["r"], parameters.get("t"))


def _write_draft_8(limit: RateLimit, said: Figures, spell: Spell) -> list[tuple[str, str]]:
    window = max(1, int(said.window))
    state = f'"default";r={_plain(said.remaining)};t={spell("delta-seconds", said.reset)}'
    return [("ratelimit-policy", f'"default";q={_plain(said.limit)};w={window}'),
            ("ratelimit", state)]  # fmt: skip


# --- the table ------------------------------------------------------------------------------------


def _own(limit: RateLimit) -> tuple[str, ...]:
    return tuple(parts(limit).values())


def _structured(limit: RateLimit) -> tuple[str, ...]:
    return ("ratelimit", "ratelimit-policy")


DIALECTS: Mapping[str, Dialect] = {
    "none": Dialect(lambda *_: None, lambda *_: [], lambda _: ()),
    "x-ratelimit": Dialect(_read_parts, _write_parts, _own),
    "draft-6": Dialect(_read_parts, _write_parts, _own, standard=True),
    "draft-7": Dialect(_read_draft_7, _write_draft_7, _structured, standard=True, structured=True),
    "draft-8": Dialect(_read_draft_8, _write_draft_8, _structured, standard=True, structured=True),
}


def told(limit: RateLimit | None) -> bool:
    """Return True if answers tell of the quota at all."""
    return limit is not None and bool(names(limit))


def names(limit: RateLimit) -> tuple[str, ...]:
    """Return the fields that a limited answer must carry, lower case; () if none are declared."""
    return DIALECTS[limit.headers].names(limit)


def standard(limit: RateLimit | None) -> bool:
    """Return True if the fields are those of the IETF draft, in any generation."""
    return limit is not None and DIALECTS[limit.headers].standard


def structured(limit: RateLimit | None) -> bool:
    """Return True if the fields are structured fields: the draft's later generations."""
    return limit is not None and DIALECTS[limit.headers].structured


def read(limit: RateLimit, headers: Headers, now: float) -> Reading | None:
    """Return what an answer says, None if it has no such fields or nobody can read them.

    `now`: seconds since the epoch when the answer came.
    """
    try:
        return DIALECTS[limit.headers].read(limit, headers, now)
    except (ValueError, KeyError, TypeError):
        return None


def write(limit: RateLimit, said: Figures, spell: Spell) -> list[tuple[str, str]]:
    """Return the fields, names lower case, that say these figures in the declared dialect."""
    return DIALECTS[limit.headers].write(limit, said, spell)


def at(now: float) -> Spell:
    """Return what spells a reset, in seconds since the epoch, as a server does at `now`.

    Whole seconds, never too early.
    """

    def spell(form: Unit, reset: float) -> str:
        if form == "delta-seconds":
            return str(max(0, math.ceil(reset - now)))
        if form == "epoch-ms":
            return str(math.ceil(reset * 1000))
        whole = math.ceil(reset)
        return formatdate(whole, usegmt=True) if form == "http-date" else str(whole)

    return spell


def ahead(form: Unit, reset: float) -> str:
    """Spell a reset so many seconds ahead for a fault script: the testbench fills in its clock."""
    place = {"epoch-seconds": "epoch", "epoch-ms": "epoch-ms", "http-date": "imf"}.get(form)
    return f"{{{place}+{reset:g}}}" if place else f"{reset:g}"


def _all(headers: Headers, name: str | None) -> Iterator[str]:
    return (value for key, value in headers if key.lower() == name)
