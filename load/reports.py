"""A worker's report, read as a file of a stranger is read: every figure in range, sizes bounded.

`record.unpack` makes the values; here is what they may be. A report that is none is refused
whole, with what is wrong in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MOST = 10**15
"""Largest count."""
ENTRIES = 200_000
"""Entries of one table."""
TEXT = 200_000
"""Characters of one text."""
BYTES = 64 * 1024 * 1024
"""Bytes of one field."""
DEEPEST = 24
WIDEST_POINT = 2**24
"""Seconds of the widest stretch of a time series."""


class NoReport(ValueError):
    """A worker's report cannot be used; the message says where and why."""


def count(value: Any, where: str, most: int = MOST) -> int:
    """Return a count. Raises NoReport."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise NoReport(f"{where} is no count: {value!r:.40}")
    return value


def number(value: Any, where: str) -> int:
    """Return a whole number, which may be negative. Raises NoReport."""
    if isinstance(value, bool) or not isinstance(value, int) or not -MOST <= value <= MOST:
        raise NoReport(f"{where} is no whole number: {value!r:.40}")
    return value


def table(value: Any, where: str, most: int = ENTRIES) -> Mapping[Any, Any]:
    """Return a table. Raises NoReport."""
    if not isinstance(value, Mapping) or len(value) > most:
        raise NoReport(f"{where} is no table of at most {most:,} entries")
    return value


def index(value: Any, where: str, most: int) -> int:
    """Return a table's key as a number; JSON has made text of it. Raises NoReport."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 20:
        value = int(value)
    return count(value, where, most)


def texts(value: Any, where: str, most: int = 1000) -> list[str]:
    """Return a list of texts. Raises NoReport."""
    if not isinstance(value, list | tuple) or len(value) > most:
        raise NoReport(f"{where} is no list of at most {most:,} texts")
    return [str(plain(each, where)) for each in value]


def plain(value: Any, where: str, level: int = 0) -> Any:
    """Return a value of any shape that holds nothing odd. Raises NoReport."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return number(value, where)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NoReport(f"{where} is no finite number: {value!r}")
        return value
    if isinstance(value, str | bytes):
        if len(value) > (TEXT if isinstance(value, str) else BYTES):
            raise NoReport(f"{where} is too long: {len(value):,}")
        return value
    if level > DEEPEST:
        raise NoReport(f"{where} is nested too deeply")
    if isinstance(value, Mapping):
        known = table(value, where)
        return {plain(k, where, level + 1): plain(v, where, level + 1) for k, v in known.items()}
    if isinstance(value, list | tuple):
        if len(value) > ENTRIES:
            raise NoReport(f"{where} is too long: {len(value):,}")
        return [plain(each, where, level + 1) for each in value]
    raise NoReport(f"{where} is of no known kind: {type(value).__name__}")
