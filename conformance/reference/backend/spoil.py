"""What the switched-on defects do to documents on their way into the store.

Each changes values and nothing else, so that only reading back shows it. What defects do to
answers is in `damage.py`.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable
from typing import Any

from conformance.reference.backend.calls import Body
from conformance.reference.defects import Defects

SHORT = 255
"""Characters that a column of the usual length holds."""

Spoil = Callable[[Any], Any]


def _texts(change: Callable[[str], str]) -> Spoil:
    """Return what changes every text of a document."""
    return lambda value: change(value) if isinstance(value, str) else value


def _numbers_as_text(value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if number else value


def _whole_numbers(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: inner for name, inner in value.items() if inner is not None}
    return value


def _names_split(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, inner in value.items():
        first, dot, rest = name.partition(".")
        made[first] = {rest: inner} if dot else inner
    return made


SPOILS: dict[str, Spoil] = {
    "text.normalised": _texts(lambda text: unicodedata.normalize("NFKC", text)),
    "text.escaped": _texts(html.escape),
    "text.ascii-only": _texts(lambda text: text.encode("ascii", "replace").decode()),
    "text.cut": _texts(lambda text: text[:SHORT]),
    "text.trimmed": _texts(str.strip),
    "values.numbers-as-text": _numbers_as_text,
    "values.nulls-lost": _without_nulls,
    "values.names-split": _names_split,
    "values.fractions-lost": _whole_numbers,
}


def spoilt(defects: Defects, body: Body) -> Body:
    """Return a document as the switched-on defects would keep it."""
    for name, change in SPOILS.items():
        if name in defects.active:
            changed = _deep(change, body)
            if changed != body:
                assert name in defects
            body = changed
    return body


def _deep(change: Spoil, value: Any) -> Any:
    """Return a value with every text, number and inner object changed; the document stays one."""
    if isinstance(value, dict):
        return {name: _inside(change, inner) for name, inner in value.items()}
    return _inside(change, value)


def _inside(change: Spoil, value: Any) -> Any:
    if isinstance(value, dict):
        return change(_deep(change, value))
    if isinstance(value, list):
        return [_inside(change, inner) for inner in value]
    return change(value)
