"""Lists that the testbench serves by itself: one page, whoever walks on finds the end.

Some clients walk a list to its end whatever was asked of them. A plain call must end for them
too: the declared example is the last page, and what lies beyond it is empty.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from conformance.faults.answers import Answer, dump, put, without
from conformance.history import Request
from specs import Operation, pointer
from specs import paging as pagings


@dataclass
class Position:
    """Where the present call began to read a list; `restart` when another call begins."""

    operation: str | None = None
    at: tuple[tuple[str, str], ...] = ()

    def restart(self) -> None:
        """Forget where the last call began."""
        self.operation = None

    def beyond(self, operation: Operation, request: Request) -> bool:
        """True where a request of the same call asks for another place than its first one did."""
        paging = operation.pagination
        if paging is None:
            return False
        moving = pagings.moving(paging)
        body = request.json_or_none()
        values = [*request.query, *(body.items() if isinstance(body, dict) else ())]
        here = tuple(sorted((n, str(v)) for n, v in values if n in moving))
        if self.operation != operation.id:
            self.operation, self.at = operation.id, here
        return here != self.at


def empty(operation: Operation, answer: Answer) -> Answer:
    """Return an answer with no items on its page, where it is a page."""
    paging = operation.pagination
    if paging is None:
        return answer
    try:
        body = json.loads(answer.body)
        pointer(body, paging.items)
    except (ValueError, LookupError):
        return answer
    return replace(answer, body=dump(put(body, paging.items, [])))


def last(operation: Operation, answer: Answer) -> Answer:
    """Return an answer that names no next page, where its example names one."""
    paging = operation.pagination
    if paging is None or not pagings.named(paging) or not answer.body:
        return answer
    try:
        body = json.loads(answer.body)
    except ValueError:
        return answer
    return replace(answer, body=dump(ended(operation, body)))


def ended(operation: Operation, body: Any) -> Any:
    """Return a decoded page that names no next one."""
    paging = operation.pagination
    if paging is None or not pagings.named(paging):
        return body
    if paging.next is not None and _there(body, paging.next):
        declared = _declared(operation, paging.next)
        nullable = declared is None or "null" in declared
        body = put(body, paging.next, None) if nullable else without(body, paging.next)
    if paging.has_more is not None and _there(body, paging.has_more):
        body = put(body, paging.has_more, False)
    return body


def _there(body: object, place: str) -> bool:
    try:
        return pointer(body, place) not in (None, False)
    except LookupError:
        return False


def _declared(operation: Operation, place: str) -> list[str] | None:
    """Return the JSON types that a place in the answer may have; None where that is not said."""
    at = operation.success.schema or {}
    for step in place.split("/")[1:]:
        at = at.get("properties", {}).get(step, {})
    kinds = at.get("type")
    return [kinds] if isinstance(kinds, str) else kinds
