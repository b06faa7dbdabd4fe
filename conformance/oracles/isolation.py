"""One tenant's answers against another's records (IS1–IS4).

Ids and texts that a case made are looked for in what somebody else was answered; nothing here
repeats them in a message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from conformance.history import Exchange
from conformance.oracles.found import found, ok, told
from conformance.verdict import Finding
from specs import Operation

DENIED = (401, 403, 404, 410)


def shows(exchange: Exchange, id: str, text: str, ids: Collection[str] | None) -> bool:
    """Return True where an answer shows a record, by its id or else by its text."""
    if exchange.response is None or not ok(exchange):
        return False
    if ids is not None and id in ids:
        return True
    return bool(text) and text.encode() in exchange.response.body


def hidden(
    operation: Operation, exchange: Exchange, id: str, text: str | None, mine: Exchange
) -> Iterator[Finding]:
    """IS1: reading another tenant's record shows nothing of it."""
    body = exchange.response.body if exchange.response else b""
    if ok(exchange) and (id.encode() in body and body == (mine.response or exchange.response).body):  # type: ignore[union-attr]
        leaked = True
    else:
        leaked = ok(exchange) and _same_record(exchange, mine)
    if leaked or (text and text.encode() in body):
        yield found(
            "IS1", "another tenant's record can be read", mine, exchange,
            cause=f"foreign-read {operation.id}", operation=operation,
            expected="404", actual=told(exchange),
        )  # fmt: skip


def _same_record(exchange: Exchange, mine: Exchange) -> bool:
    """Return True where two answers show one record: same names, and mostly the same values."""
    one = exchange.response.json_or_none() if exchange.response else None
    two = mine.response.json_or_none() if mine.response else None
    if not isinstance(one, dict) or not isinstance(two, dict) or not two:
        return False
    shared = [k for k, v in two.items() if v not in (None, [], {}, "", 0, False)]
    same = [k for k in shared if one.get(k) == two[k]]
    return bool(shared) and len(same) > len(shared) / 2


def alike(
    operation: Operation, foreign: Exchange, unknown: Exchange, id: str, other: str
) -> Iterator[Finding]:
    """IS4: another tenant's id is answered like one that nobody has."""
    if foreign.status != unknown.status:
        yield found(
            "IS4", "another tenant's id is answered differently from an unknown one", foreign,
            unknown, cause=f"foreign-id-told {operation.id}", operation=operation,
            expected=told(unknown), actual=told(foreign),
        )  # fmt: skip
        return
    if foreign.response is None or unknown.response is None or ok(foreign):
        return
    one, two = foreign.response.json_or_none(), unknown.response.json_or_none()
    if _without(one, id) != _without(two, other) and _words(one, id) != _words(two, other):
        yield found(
            "IS4", "the error for another tenant's id says more than that for an unknown one",
            foreign, unknown, cause=f"foreign-id-error-differs {operation.id}",
            operation=operation,
        )  # fmt: skip


def _words(value: Any, id: str) -> list[str]:
    """Return the texts of an error that people or programs act on, request ids left out."""
    if isinstance(value, dict):
        return [
            w for k, v in sorted(value.items()) for w in _words(v, id)
            if "request" not in k and "time" not in k and "trace" not in k and k != "instance"
        ]  # fmt: skip
    if isinstance(value, list):
        return [w for v in value for w in _words(v, id)]
    return [str(value).replace(id, "<id>")]


def _without(value: Any, id: str) -> str:
    return repr(value).replace(id, "<id>")


def untouched(
    operation: Operation,
    exchange: Exchange,
    before: tuple[Exchange, Any] | None,
    after: tuple[Exchange, Any] | None,
    volatile: Sequence[str],
) -> Iterator[Finding]:
    """IS3: what another tenant tried left the record as it was, and was refused."""
    if ok(exchange) and operation.effect and operation.effect.kind != "action":
        yield from crossed(operation, exchange, "is accepted")
    if before is None or after is None or not ok(before[0]):
        return
    if not ok(after[0]):
        yield from crossed(operation, exchange, "makes the record vanish")
        return
    one, two = before[1], after[1]
    if isinstance(one, dict) and isinstance(two, dict):
        one = {k: v for k, v in one.items() if k not in volatile}
        two = {k: v for k, v in two.items() if k not in volatile}
    if one != two:
        yield from crossed(operation, exchange, "changes the record")


def crossed(operation: Operation, exchange: Exchange, what: str) -> Iterator[Finding]:
    """IS3: one tenant's write reached another's record."""
    yield found(
        "IS3", f"a write to another tenant's record {what}", exchange,
        cause=f"foreign-write {operation.id} {what}", operation=operation,
        expected="404", actual=told(exchange),
    )  # fmt: skip


def not_shown(operation: Operation, exchange: Exchange, count: int) -> Iterator[Finding]:
    """IS2: a list or search shows no other tenant's record; `count` is how often it does."""
    if count:
        yield found(
            "IS2", "a list or search shows another tenant's record", exchange,
            cause=f"foreign-shown {operation.id}", operation=operation,
        )  # fmt: skip


def counted_apart(
    operation: Operation,
    witness: Sequence[Exchange],
    grown: Sequence[Mapping[str, float]],
    calls: Sequence[int],
) -> Iterator[Finding]:
    """IS2: what one tenant does is not in the figures that another is shown.

    `grown` holds by how much each figure of the one grew in several rounds, `calls` how often
    the other called meanwhile. A figure that grew by that much in every round counts both.
    """
    shared = set.intersection(*(set(each) for each in grown)) if grown else set()
    mixed = sorted(
        name for name in shared
        if all(each[name] >= n for each, n in zip(grown, calls, strict=True))
    )  # fmt: skip
    if mixed:
        yield found(
            "IS2", f"one tenant's calls show in another's figure {mixed[0]}", *witness,
            cause=f"foreign-figure {operation.id} {mixed[0]}", operation=operation,
            expected=f"less than {calls[-1]}", actual=grown[-1][mixed[0]],
        )  # fmt: skip
