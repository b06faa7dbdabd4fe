"""Values that a server may never have met: told from plain ones before they leave. Pure.

A run that may not write sends plain values only: a search for half a character has broken a
server's list for good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from conformance.history import Request

LONGEST = 8000
"""Characters of a target or a header (RFC 9110 section 4.1), beyond which it is no plain one."""
BIGGEST = 1024 * 1024
"""Bytes of a body, beyond which it is no plain one."""
HUGE = 2**53
"""Numbers beyond this are not read alike by everybody (RFC 8259 section 6)."""
DEEPEST = 50
"""Levels of nesting in a plain body."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def hostile(request: Request) -> str:
    """Return what about a request is not plain, in words; '' where it is."""
    if len(request.target) > LONGEST or any(len(v) > LONGEST for _, v in request.headers):
        return "a target or a header of more than 8000 characters"
    if len(request.body) > BIGGEST:
        return "a body of more than a megabyte"
    try:
        texts = [unquote_to_bytes(request.target).decode(), *(v for _, v in request.headers)]
        body = request.body.decode()
    except ValueError:
        return "bytes that are not UTF-8"
    found = [word for text in texts for word in _odd_text(text)]
    found += [
        "a number beyond 2^53" for digits in re.findall(r"[=,/](-?\d+)", request.target)
        if abs(int(digits[:400])) > HUGE
    ]  # fmt: skip
    return next(iter([*found, *_odd_body(body, request.media_type)]), "")


def _odd_text(text: str) -> Iterator[str]:
    if _CONTROL.search(text):
        yield "NUL, another control character, or half a character"


def _odd_body(body: str, media_type: str) -> Iterator[str]:
    if not body:
        return
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        if "json" in media_type or not media_type:
            yield "a body that is not JSON"
        yield from _odd_text(body)
        return
    yield from _odd_value(value, 0)


def _odd_value(value: Any, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        yield "deep nesting"
    elif isinstance(value, str):
        yield from _odd_text(value)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield from _odd_text(name)
            yield from _odd_value(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _odd_value(each, depth + 1)
    elif isinstance(value, (int, float)) and not -HUGE <= value <= HUGE:
        yield "a number beyond 2^53"
