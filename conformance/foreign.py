"""What others said: texts of servers, SDKs, drivers, packages, builds, workers and files.

Such a text comes in through `admit`, which makes a `Said` of it: bounded, writable as UTF-8 and
JSON, and otherwise as it was. It goes out through the rule of whoever shows it: `terminal`,
`markdown`, `xml`, `page`. `through` applies a rule to a whole value, so that no renderer can
forget one field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel

LONGEST = 20_000
"""Characters of one text that are kept."""
NAME = 200
"""Characters of one name in an object that are kept."""
DEEPEST = 64
"""Levels of a nested value that are kept."""
WIDEST = 10_000
"""Entries of one list or object that are kept."""
FAR = 10**40
"""Whole numbers beyond this are told by their size."""

Rule = Callable[[str], str]
"""How one renderer writes a text."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSEEN = f"{_BIDI}\u200b-\u200d\u2028\u2029\u2060\ufeff\ufff9-\ufffb\ufffe\uffff"
_CONTROLS = re.compile(f"[\x00-\x1f\x7f-\x9f{_UNSEEN}]")
_INLINE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_UNSEEN}]")
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|@~])")
# XML 1.0 section 2.2 has no way to write these, escaped or not.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Said(str):
    """A text that somebody else said, as far as it is kept. Show it by a renderer's rule only."""

    __slots__ = ()


def admit_text(text: str, most: int = LONGEST) -> Said:
    """Return a text as it is kept: lone surrogates spelt out, what is beyond `most` counted."""
    if type(text) is Said and len(text) <= most:
        return text
    if len(text) > most:
        text = f"{text[:most]}… ({len(text):,} characters)"
    return Said(_SURROGATE.sub(lambda m: f"\\u{ord(m[0]):04x}", text))


def admit(value: Any, level: int = 0) -> Any:
    """Return a value as it is kept: every text admitted, depth, width and numbers bounded."""
    if isinstance(value, Enum) or value is None or isinstance(value, bool | BaseModel):
        return value
    if isinstance(value, str):
        return admit_text(value)
    if isinstance(value, int):
        return value if -FAR < value < FAR else f"a whole number of {value.bit_length()} bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return admit_text(bytes(value).decode("utf-8", "backslashreplace"))
    if level >= DEEPEST:
        return Said("… (nested deeper)")
    if isinstance(value, Mapping):
        kept = list(value.items())[:WIDEST]
        return {_name(k): admit(v, level + 1) for k, v in kept}
    if isinstance(value, list | tuple | set | frozenset):
        return [admit(each, level + 1) for each in list(value)[:WIDEST]]
    return admit_text(str(value))


def _name(name: Any) -> Any:
    return name if isinstance(name, Enum) else admit_text(str(name), NAME)


def terminal(text: str) -> str:
    """Return a text for a terminal: on one line, without control, OSC or bidirectional signs."""
    return _CONTROLS.sub(_spelt, _SURROGATE.sub(_spelt, text))


def lines(text: str) -> str:
    """Return a text for a terminal that keeps its lines."""
    return _INLINE.sub(_spelt, _SURROGATE.sub(_spelt, text))


def markdown(text: str) -> str:
    """Return a text for Markdown: on one line, as text and never as markup, table or mention."""
    return _MARKUP.sub(r"\\\1", terminal(text)).replace("\\@", "@\N{ZERO WIDTH NON-JOINER}")


def xml(text: str) -> str:
    """Return a text that XML 1.0 can hold; who writes the document escapes its markup."""
    return _UNWRITABLE.sub("\N{REPLACEMENT CHARACTER}", _INLINE.sub(_spelt, text))


def page(text: str) -> str:
    """Return a text for an HTML page, whose template escapes its markup."""
    return lines(text)


def through(value: Any, rule: Rule) -> Any:
    """Return a value in which every text is written by a rule; models stay what they are."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return rule(value) if not value.isalnum() else value
    if isinstance(value, BaseModel):
        changed = {}
        for name in type(value).model_fields:
            before = getattr(value, name)
            after = through(before, rule)
            if after is not before and after != before:
                changed[name] = after
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, Mapping):
        return {through(k, rule): through(v, rule) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([through(each, rule) for each in value])
    return value


def _spelt(found: re.Match[str]) -> str:
    number = ord(found[0])
    short = {9: "\\t", 10: "\\n", 13: "\\r"}.get(number)
    return short or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")
