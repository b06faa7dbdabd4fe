"""Heads of good answers, judged at full speed: required fields, media type, limits, usage.

The plain way looks every field up by its name. Servers write all their heads alike, so a head
that was found good is kept as a pattern (`_layout`): the same fields in the same order, what must
be said held fast, figures free to change. A head that fits a pattern therefore passes what the
plain way would pass, and its rate-limit figures are weighed anew, every time. Only what is
plainly right passes here; whatever does not is `judge.py`'s to explain through the oracles.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from conformance.oracles import headers
from specs import Operation, Response, quotas

LAYOUTS = 4
"""Patterns kept per operation and status; other heads are looked up field by field."""
_UNITS = {"epoch-seconds": 1, "epoch-ms": 1000, "delta-seconds": 0}
_FIGURE = rb"(\d{1,18})"
_NUMBER = re.compile(rb"\d{1,18}(\.\d*)?")

Place = tuple[int, ...]
"""Groups of a pattern that hold limit, remaining and reset; empty where nothing is limited."""
Fits = Callable[[bytes], re.Match[bytes] | None]


class Heads:
    """What the heads of one operation's good answers of one status must say."""

    __slots__ = ("_figures", "_known", "_limit", "_media", "_names", "_unit", "_unsure", "_window")

    def __init__(self, operation: Operation, response: Response) -> None:
        self._media = _json_of(response)
        limit = operation.rate_limit if operation.authenticated else None
        three = tuple(quotas.parts(limit).values()) if limit is not None else ()
        unit = _UNITS.get(quotas.unit(limit) or "") if limit is not None else 0
        self._unsure = quotas.told(limit) and (len(three) != 3 or unit is None)
        """True for limits that are not three simple numbers: the oracles read those."""
        self._limit = tuple(_line(name) for name in three)
        self._unit = unit or 0
        """Reset counts so many to a second since the epoch; 0: seconds from the answer on."""
        policies = limit.policies if limit is not None else ()
        self._window = max((p.w for p in policies), default=headers.FAR)
        self._names = tuple(_line(n) for n in response.required_headers if n not in three)
        usage = operation.usage if operation.authenticated else None
        given = [n for f in usage.figures for n in (f.used, f.limit) if n] if usage else []
        self._figures = tuple(_line(name) for name in given)
        self._known: tuple[tuple[Fits, Place], ...] = ()

    def agree(self, head: bytes, now: float) -> bool:
        """Return True where a head says all that it must, and its figures can be true together.

        `head` is the status line and the fields as received, each line ended. `now` is seconds
        since the epoch when the answer came.
        """
        for fits, place in self._known:
            found = fits(head)
            if found is not None:
                if not place:
                    return True
                limit, remaining, reset = found.group(*place)
                return self._weigh(int(limit), int(remaining), int(reset), now)
        return self._look(head, now)

    def _weigh(self, limit: int, remaining: int, reset: float, now: float) -> bool:
        """Return True where three figures, none of them negative, can be true together."""
        unit = self._unit
        away = reset / unit - now if unit else reset
        return remaining <= limit and -1.0 <= away <= self._window

    def _look(self, head: bytes, now: float) -> bool:
        """Look every field up; keep what a good head looks like."""
        folded = head.lower()
        if self._unsure or not all(name in folded for name in self._names):
            return False
        if not all(_value(folded, name).isdigit() for name in self._figures):
            return False
        given = _value(folded, b"\r\ncontent-type:")
        if self._media and given.partition(b";")[0] != self._media:
            return False
        if self._limit:
            limit, remaining, reset = (_value(folded, name) for name in self._limit)
            if not (limit.isdigit() and remaining.isdigit() and _NUMBER.fullmatch(reset)):
                return False
            if not self._weigh(int(limit), int(remaining), float(reset), now):
                return False
        self._learn(head)
        return True

    def _learn(self, head: bytes) -> None:
        if len(self._known) >= LAYOUTS:
            return
        made = self._layout(head)
        if made is not None:
            self._known += (made,)

    def _layout(self, head: bytes) -> tuple[Fits, Place] | None:
        """Return the pattern of heads that say the same as this good one; None for an odd one.

        Spaces around a figure are held fast too: a server always writes them alike.
        """
        status, *fields, end = head.split(b"\r\n")
        lines = [re.escape(status)]
        order: list[bytes] = []
        for field in fields:
            name, colon, value = field.partition(b":")
            line = b"\r\n" + name.lower() + b":"
            if not colon or b"\n" in field or b"\r" in field:
                return None
            if line in self._limit and line not in order:  # of several, the first is read
                order.append(line)
                lines.append(_around(name, value, _FIGURE))
            elif line in self._figures:
                lines.append(_around(name, value, _FIGURE.replace(b"(", b"(?:")))
            elif line == b"\r\ncontent-type:":
                lines.append(re.escape(field))
            else:
                lines.append(re.escape(name) + b":.*")  # to the end of its line
        pattern = re.compile(rb"\r\n".join([*lines, b""]))
        if end or pattern.fullmatch(head) is None:
            return None
        return pattern.fullmatch, tuple(order.index(line) + 1 for line in self._limit)


def _around(name: bytes, value: bytes, figure: bytes) -> bytes:
    """Return the pattern of a field whose figure may change, and nothing else."""
    before, after = value.split(value.strip(), 1)
    return re.escape(name + b":" + before) + figure + re.escape(after)


def _json_of(response: Response) -> bytes:
    """Return the JSON media type that a response declares; empty where it has none."""
    declared = (m.split(";")[0].strip().lower() for m in response.content if "json" in m)
    return next(declared, "").encode() if response.schema is not None else b""


def _line(name: str) -> bytes:
    return b"\r\n" + name.lower().encode() + b":"


def _value(folded: bytes, line: bytes) -> bytes:
    start = folded.find(line)
    if start < 0:
        return b""
    start += len(line)
    return folded[start : folded.find(b"\r", start)].strip()
