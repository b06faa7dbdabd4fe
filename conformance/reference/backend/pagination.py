"""How a list is cut into pages, in the five usual styles, and how a page says what follows.

Cursors are signed and carry the space and the filters they were made for, and their end where
one is declared, so a forged one, a stranger's, one used with other filters and one that is out of
date are refused. Which style and names apply is declared.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from conformance.reference.backend.calls import Call, Problem, put
from specs import paging
from specs.vocabulary import Pagination

DEFAULT_LIMIT = 50
MAX_LIMIT = 1000
"""Page sizes where the contract is silent."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted."""

    limit: int
    offset: int = 0
    page: int = 1
    after: int | None = None
    """Place of the last document of the page before; cursors only."""
    space: int | None = None
    """The space that a cursor was made for; it is the list's own, but for a defect."""


def window(call: Call, declared: Pagination, space: int) -> Window:
    """Return the part of the list that a request asks for.

    Raises Problem for a cursor that is forged, out of date, of another list or of other filters,
    and for a page size above the maximum where the contract calls that an error.
    """
    limit = _limit(call, declared)
    raw = call.argument(paging.parameter(declared))
    if paging.by(declared) == "cursor":
        if not raw:
            return Window(limit)
        last, where = _unseal(call, declared, raw, space)
        return Window(limit, after=last, space=where)
    if paging.by(declared) == "page":
        page = max(1, int(raw or 1))
        return Window(limit, offset=(page - 1) * limit, page=page)
    offset = int(raw or 0)
    if "page.offset-aligned" in call.defects:
        offset -= offset % limit
    if offset > 0 and "page.offset-off-by-one" in call.defects:
        offset -= 1
    if offset > 0 and "page.gap" in call.defects:
        offset += 1
    if "page.offset-ignored" in call.defects:
        offset = 0
    return Window(limit, offset=offset)


def _limit(call: Call, declared: Pagination) -> int:
    default = declared.default_limit or DEFAULT_LIMIT
    highest = declared.max_limit or max(MAX_LIMIT, default)
    raw = call.argument(declared.limit) if declared.limit else None
    if raw is None or "page.limit-ignored" in call.defects:
        return default
    limit = int(raw)
    if limit <= 0:
        return default
    if limit > highest:
        if "page.over-max-accepted" in call.defects:
            return limit
        if declared.over_max == "error":
            raise Problem("invalid", f"{declared.limit} is at most {highest}")
        return highest
    if "page.limit-plus-one" in call.defects:
        return limit + 1
    return limit


def render(
    call: Call,
    declared: Pagination,
    cut: Window,
    items: list[Any],
    *,
    total: int,
    more: bool,
    last: int | None,
    space: int,
) -> tuple[Any, list[tuple[str, str]]]:
    """Return the body of a page and the headers that go with it.

    `more` says whether items follow, `last` is the place of the last one on this page.
    """
    total, more = _lies(call, cut, total, more)
    body: Any = put({}, declared.items, items)
    if declared.total:
        put(body, declared.total, total)
    if declared.has_more:
        put(body, declared.has_more, more)
    onward = _onward(call, declared, cut, last, space) if more else {}
    link = f"?{urlencode(_query(call, onward), doseq=True)}" if onward else None
    if declared.next:
        mark = next(iter(onward.values()), None)
        put(body, declared.next, link if paging.linked(declared) else mark)
    elif paging.linked(declared) and link:
        return body, [("link", f'<{quote(_path(call))}{link}>; rel="next"')]
    return body, []


def _lies(call: Call, cut: Window, total: int, more: bool) -> tuple[int, bool]:
    defects = call.defects
    if "page.total-off-by-one" in defects:
        total += 1
    if "page.total-is-page-size" in defects:
        total = min(total, cut.limit)
    if "page.has-more-always" in defects:
        more = True
    if "page.has-more-never" in defects:
        more = False
    if not more and cut.offset + cut.limit == total and "page.has-more-at-exact-end" in defects:
        more = True
    return total, more


def _onward(
    call: Call, declared: Pagination, cut: Window, last: int | None, space: int
) -> dict[str, Any]:
    mark = _seal(call, declared, last or 0, space) if paging.by(declared) == "cursor" else None
    return paging.onward(declared, offset=cut.offset + cut.limit, number=cut.page + 1, mark=mark)


def _query(call: Call, onward: Mapping[str, Any]) -> dict[str, Any]:
    own = {p.name for p in call.operation.parameters_in("query")}
    kept = {name: value for name, value in call.arguments.items() if name in own}
    return {**kept, **onward}


def _path(call: Call) -> str:
    path = call.operation.path
    for name, value in call.arguments.items():
        path = path.replace("{" + name + "}", str(value))
    return path


def _filters(call: Call, declared: Pagination) -> str:
    moving = paging.moving(declared)
    kept = {name: value for name, value in call.arguments.items() if name not in moving}
    text = json.dumps(kept, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _seal(call: Call, declared: Pagination, last: int, space: int) -> str:
    ends = call.now + declared.cursor_ttl if declared.cursor_ttl else None
    claim = json.dumps([last, space, _filters(call, declared), ends]).encode()
    return base64.urlsafe_b64encode(_sign(call, claim) + claim).decode().rstrip("=")


def _unseal(call: Call, declared: Pagination, raw: str, space: int) -> tuple[int, int]:
    try:
        sealed = base64.urlsafe_b64decode(str(raw) + "=" * (-len(str(raw)) % 4))
        signature, claim = sealed[:16], sealed[16:]
        if not hmac.compare_digest(signature, _sign(call, claim)):
            if "page.forged-cursor-fails" in call.defects:
                raise RuntimeError("signature")
            raise ValueError("signature")
        last, where, filters, ends = json.loads(claim)
    except (ValueError, binascii.Error) as why:
        raise Problem("invalid", "the cursor was not made here") from why
    if where != space and "page.cursor-of-anybody" not in call.defects:
        raise Problem("invalid", "the cursor belongs to another list")
    if filters != _filters(call, declared) and "page.cursor-for-any-filter" not in call.defects:
        raise Problem("invalid", "the cursor was made for other filters")
    if ends is not None and ends < call.now and "page.cursor-for-ever" not in call.defects:
        raise Problem("invalid", "the cursor is out of date")
    return int(last), int(where)


def _sign(call: Call, claim: bytes) -> bytes:
    return hmac.digest(call.store.secret, claim, "sha256")[:16]
