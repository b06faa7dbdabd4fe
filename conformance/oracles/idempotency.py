"""Answers under one idempotency key against each other (IK2–IK7).

The draft's rules yield to what a contract declares; where it declares nothing, only what every
reading shares is judged: one effect, and no second answer that contradicts the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.history import Exchange
from conformance.oracles.found import MISSING, found, ok, told, value_at
from conformance.verdict import Finding
from specs import Basis, Operation
from specs.vocabulary import Idempotency


def _promise(operation: Operation) -> Idempotency:
    assert operation.idempotency is not None
    return operation.idempotency


def first_is_new(operation: Operation, first: Exchange) -> Iterator[Finding]:
    """IK4: the first answer under a key does not call itself a replay."""
    promise = _promise(operation)
    if promise.replayed and value_at(first, promise.replayed) is True:
        yield found(
            "IK4", "the first answer under a key calls itself a replay", first,
            cause="first-is-replay", operation=operation, basis=promise.basis,
            expected=False, actual=True,
        )  # fmt: skip


def replays(operation: Operation, first: Exchange, again: Sequence[Exchange]) -> Iterator[Finding]:
    """IK4: later answers under a key repeat the first one's stable values and say so."""
    promise = _promise(operation)
    for exchange in again:
        if not ok(exchange):
            yield found(
                "IK4", f"a repeated request is answered {told(exchange)}", first, exchange,
                cause=f"replay-refused {told(exchange)}", operation=operation,
                basis=promise.basis, expected="2xx", actual=exchange.status,
            )  # fmt: skip
            continue
        for path in promise.stable:
            if value_at(exchange, path) != value_at(first, path):
                yield found(
                    "IK4", f"a repeated request is answered with another {path}", first, exchange,
                    cause=f"replay-differs {path}", operation=operation, basis=promise.basis,
                )  # fmt: skip
        if promise.replayed and value_at(exchange, promise.replayed) is not True:
            yield found(
                "IK4", "a repeated request's answer does not say that it is one", first, exchange,
                cause="replay-not-said", operation=operation, basis=promise.basis,
                expected=True,
            )  # fmt: skip


def concurrent(operation: Operation, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """IK3, IK5: simultaneous copies agree; those refused are refused as conflicts."""
    promise = _promise(operation)
    good = [e for e in exchanges if ok(e)]
    for path in promise.stable:
        seen = {repr(value_at(e, path)): e for e in good}
        if len(seen) > 1:
            yield found(
                "IK5", f"simultaneous copies of one request are answered with {len(seen)} "
                f"different values of {path}", *list(seen.values())[:4],
                cause=f"concurrent-differs {path}", operation=operation, basis=promise.basis,
                expected=1, actual=len(seen),
            )  # fmt: skip
    if promise.replayed:
        new = [e for e in good if value_at(e, promise.replayed) is False]
        if len(new) != 1 and good:
            yield found(
                "IK5", f"{len(new)} of {len(good)} simultaneous copies say that they were the "
                "first", *(new or good)[:4], cause="concurrent-firsts", operation=operation,
                basis=promise.basis, expected=1, actual=len(new),
            )  # fmt: skip
    for exchange in exchanges:
        status = exchange.status or 0
        if 400 <= status < 500 and status not in (409, 425, 429):
            yield found(
                "IK3", f"a simultaneous copy is refused with {status}", exchange,
                cause=f"concurrent-refused {status}", operation=operation,
                basis=promise.basis, expected="2xx or 409", actual=status,
            )  # fmt: skip


def one_effect(
    operation: Operation, exchanges: Sequence[Exchange], effects: int | None, how: str
) -> Iterator[Finding]:
    """IK5: one request, however often it arrived, did one thing.

    `effects` is how many were counted on the backend, None where nothing counts them; then the
    ids that the answers name are what is counted.
    """
    promise = _promise(operation)
    path = operation.effect.id if operation.effect else None
    ids = {str(v) for e in exchanges if (v := value_at(e, path)) is not MISSING}
    counted = effects if effects is not None else len(ids)
    if counted != 1 and (effects is not None or ids):
        yield found(
            "IK5", f"one request {how} had {counted} effects", *exchanges[:4],
            cause=f"effects-{'none' if counted == 0 else 'several'} {how}", operation=operation,
            basis=promise.basis, expected=1, actual=counted,
        )  # fmt: skip
    elif len(ids) > 1:
        yield found(
            "IK5", f"one request {how} was given {len(ids)} ids", *exchanges[:4],
            cause=f"several-ids {how}", operation=operation, basis=promise.basis,
            expected=1, actual=len(ids),
        )  # fmt: skip


def mismatch(operation: Operation, first: Exchange, other: Exchange) -> Iterator[Finding]:
    """IK2: another payload under a used key is answered as declared."""
    promise = _promise(operation)
    wanted = promise.on_mismatch
    if wanted is None:
        if other.status is not None and other.status >= 500:
            yield found(
                "IK2", "another payload under a used key makes the server fail", first, other,
                cause="mismatch-fails", operation=operation, basis=promise.basis,
            )  # fmt: skip
        elif ok(other) and promise.replayed and value_at(other, promise.replayed) is not True:
            yield found(
                "IK2", "another payload under a used key is stored as if the key were new", first,
                other, cause="mismatch-stored", operation=operation, basis=Basis.ASSUMED,
            )  # fmt: skip
        return
    if wanted == "replay":
        for finding in replays(operation, first, [other]):
            yield finding.at(requirement="IK2", cause=f"mismatch {finding.cause}")
        return
    status = {"conflict": 409, "unprocessable": 422}[wanted]
    if other.status != status:
        yield found(
            "IK2", f"another payload under a used key is answered {told(other)}", first, other,
            cause=f"mismatch-status {told(other)}", operation=operation, basis=promise.basis,
            expected=status, actual=other.status,
        )  # fmt: skip


def separate(
    operation: Operation, first: Exchange, second: Exchange, what: str, requirement: str = "IK4"
) -> Iterator[Finding]:
    """Two requests that differ in their key, or whose it is, are both new."""
    promise = _promise(operation)
    if not ok(second):
        if second.status is not None and second.status < 500:
            yield found(
                requirement, f"a request under {what} is refused", first, second,
                cause=f"separate-refused {what}", operation=operation, basis=promise.basis,
                expected="2xx", actual=second.status,
            )  # fmt: skip
        return
    told_replay = promise.replayed and value_at(second, promise.replayed) is True
    path = operation.effect.id if operation.effect else None
    same = value_at(first, path) == value_at(second, path) is not MISSING
    if told_replay or same:
        yield found(
            requirement, f"a request under {what} is taken for a repetition", first, second,
            cause=f"separate-merged {what}", operation=operation, basis=promise.basis,
        )  # fmt: skip
