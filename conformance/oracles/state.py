"""What a record shows against what was written to it, and what else moved (ST1–ST8, ST13).

Records are JSON values as read back; nothing here sends. A representation shares its property
names with the request that wrote it, except where the contract says `renamed`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from conformance.history import Exchange
from conformance.oracles.found import MISSING, found, ok, told, value_at, value_in
from conformance.verdict import Finding
from specs import Basis, Operation

BOOKKEEPING = re.compile(
    r"^(updated|modified|changed|touched|last_|accessed)|(_at|_on|At)$|^(etag|version|revision)$"
)
"""Names of properties that servers keep themselves: they may move without being named."""
BEGINNING = re.compile(r"^(date_?)?(created|creation|inserted)", re.I)
"""Names of properties that say when a record began: that never moves."""


def differences(
    written: Mapping[str, Any], shown: Any, renamed: Mapping[str, str] | None = None
) -> list[str]:
    """Return the names of what was written and is shown with another value.

    A property that the representation does not have at all is not told here: the contract's
    schema says whether it must.
    """
    if not isinstance(shown, Mapping):
        return []
    wrong = []
    for name, value in written.items():
        there = shown.get((renamed or {}).get(name, name), MISSING)
        if there is not MISSING and not same(value, there):
            wrong.append(name)
    return wrong


def same(left: Any, right: Any) -> bool:
    """Return True where two values mean the same: instants and numbers by what they mean."""
    if left == right:
        return True
    if isinstance(left, str) and isinstance(right, str):
        one, two = _instant(left), _instant(right)
        return one is not None and one == two
    return False


def _instant(text: str) -> float | None:
    if not re.match(r"^\d{4}-\d\d-\d\dT", text):
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def moved(before: Any, after: Any, named: Iterable[str], volatile: Iterable[str] = ()) -> list[str]:
    """Return the properties that changed though nobody named them."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return [] if before == after else ["the whole record"]
    allowed = {*named, *volatile}
    return sorted(
        name for name in {*before, *after} - allowed
        if not same(before.get(name), after.get(name))
        and (BEGINNING.search(str(name)) or not BOOKKEEPING.search(str(name)))
    )  # fmt: skip


def readable(
    operation: Operation, made: Exchange, read: Exchange, written: Mapping[str, Any]
) -> Iterator[Finding]:
    """ST1: what was created can be read, with the values it was created with."""
    effect = operation.effect
    assert effect is not None
    if not ok(read):
        yield found(
            "ST1", f"what was just created is answered {told(read)} when it is read", made, read,
            cause=f"created-unreadable {operation.id}", operation=operation, basis=effect.basis,
            expected="2xx", actual=told(read),
        )  # fmt: skip
        return
    assert read.response is not None
    wrong = differences(written, read.response.json_or_none(), effect.renamed)
    if wrong:
        yield found(
            "ST1", f"what was created is read back with another {', '.join(wrong[:4])}", made, read,
            cause=f"created-differs {operation.id} {wrong[0]}", operation=operation,
            basis=effect.basis,
        )  # fmt: skip


def answered(
    operation: Operation, exchange: Exchange, written: Mapping[str, Any], requirement: str
) -> Iterator[Finding]:
    """The answer to a write shows the values that were written."""
    effect = operation.effect
    if effect is None or not ok(exchange) or exchange.response is None:
        return
    wrong = differences(written, exchange.response.json_or_none(), effect.renamed)
    if wrong:
        yield found(
            requirement, f"the answer to {effect.kind} shows another {', '.join(wrong[:4])} than "
            "was written", exchange, cause=f"answer-differs {operation.id} {wrong[0]}",
            operation=operation, basis=effect.basis,
        )  # fmt: skip


def updated(
    operation: Operation,
    before: Exchange,
    change: Exchange,
    after: Exchange,
    named: Mapping[str, Any],
) -> Iterator[Finding]:
    """ST4: an update changes what it names, to what it says, and nothing else."""
    effect = operation.effect
    assert effect is not None
    if not ok(after) or after.response is None or before.response is None:
        yield found(
            "ST4", f"after an update the record is answered {told(after)}", change, after,
            cause=f"updated-gone {operation.id}", operation=operation, basis=effect.basis,
        )  # fmt: skip
        return
    old, new = before.response.json_or_none(), after.response.json_or_none()
    wrong = differences(named, new, effect.renamed)
    if wrong:
        yield found(
            "ST4", f"after an update the record does not show its {', '.join(wrong[:4])}", before,
            change, after, cause=f"update-lost {operation.id}", operation=operation,
            basis=effect.basis,
        )  # fmt: skip
    names = {effect.renamed.get(n, n) for n in named}
    others = moved(old, new, names, effect.volatile)
    if others:
        yield found(
            "ST4", f"an update changes {', '.join(others[:4])}, which it does not name", before,
            change, after, cause=f"update-changes-others {operation.id}", operation=operation,
            basis=effect.basis,
        )  # fmt: skip


def replaced(
    operation: Operation,
    change: Exchange,
    after: Exchange,
    old: Mapping[str, Any],
    named: Mapping[str, Any],
) -> Iterator[Finding]:
    """ST5: a replacement shows what it names, and nothing of what was there and it leaves out."""
    effect = operation.effect
    assert effect is not None
    if not ok(after) or after.response is None:
        yield found(
            "ST5", f"after a replacement the record is answered {told(after)}", change, after,
            cause=f"replaced-gone {operation.id}", operation=operation, basis=effect.basis,
        )  # fmt: skip
        return
    new = after.response.json_or_none()
    wrong = differences(named, new, effect.renamed)
    if wrong:
        yield found(
            "ST5", f"after a replacement the record does not show its {', '.join(wrong[:4])}",
            change, after, cause=f"replace-lost {operation.id}", operation=operation,
            basis=effect.basis,
        )  # fmt: skip
    if not isinstance(new, Mapping):
        return
    kept = [n for n, v in old.items() if n not in named and v not in (None, [], {}, "", False, 0)
            and same(v, new.get(effect.renamed.get(n, n), MISSING))]  # fmt: skip
    if kept:
        yield found(
            "ST5", f"a replacement keeps {', '.join(kept[:4])}, which it leaves out", change, after,
            cause=f"replace-keeps {operation.id}", operation=operation, basis=effect.basis,
        )  # fmt: skip


def others_unmoved(
    operation: Operation,
    change: Exchange,
    pairs: Sequence[tuple[Exchange, Exchange]],
    volatile: Sequence[str] = (),
) -> Iterator[Finding]:
    """ST7: records that a write does not name are as they were. Pairs are (before, after)."""
    effect = operation.effect
    assert effect is not None
    for before, after in pairs:
        if before.response is None or after.response is None or not ok(before):
            continue
        if not ok(after):
            yield found(
                "ST7", f"{effect.kind} makes another record vanish", before, change, after,
                cause=f"other-gone {operation.id}", operation=operation, basis=effect.basis,
            )  # fmt: skip
            continue
        names = moved(before.response.json_or_none(), after.response.json_or_none(), (), volatile)
        if names:
            yield found(
                "ST7", f"{effect.kind} changes another record's {', '.join(names[:4])}", before,
                change, after, cause=f"other-changed {operation.id}", operation=operation,
                basis=effect.basis,
            )  # fmt: skip


def acted(
    operation: Operation, before: Exchange, action: Exchange, after: Exchange
) -> Iterator[Finding]:
    """ST7: an action changes of its record what it is declared to change, and no more."""
    effect = operation.effect
    assert effect is not None
    if not ok(after) or before.response is None or after.response is None:
        yield found(
            "ST7", f"after the action the record is answered {told(after)}", before, action, after,
            cause=f"acted-gone {operation.id}", operation=operation, basis=effect.basis,
        )  # fmt: skip
        return
    names = moved(
        before.response.json_or_none(), after.response.json_or_none(), (), effect.volatile
    )
    if names:
        yield found(
            "ST7", f"the action changes the record's {', '.join(names[:4])} too", before, action,
            after, cause=f"acted-on-others {operation.id}", operation=operation,
            basis=effect.basis,
        )  # fmt: skip


def alike(
    lister: Operation,
    reads: tuple[Exchange, Exchange],
    listed: Exchange,
    entry: Any,
    *,
    whole: bool,
) -> Iterator[Finding]:
    """ST2: a list shows of a record what reading it shows.

    `reads` are from before and after the list: what differs between them says nothing. With
    `whole` the contract declares the entry by the same schema as the read record, so that what
    the one shows the other shows too; else only what both show is compared.
    """
    effect = lister.effect
    assert effect is not None
    one, two = (r.response.json_or_none() if r.response else None for r in reads)
    if not (isinstance(one, Mapping) and isinstance(two, Mapping) and isinstance(entry, Mapping)):
        return
    steady = {n: v for n, v in one.items() if n in two and same(v, two[n])}
    wrong = sorted(n for n, v in steady.items() if n in entry and not same(v, entry[n]))
    lacking = sorted(n for n, v in steady.items() if n not in entry and v is not None)
    if wrong:
        yield found(
            "ST2", f"a list shows another {', '.join(wrong[:4])} of a record than reading it does",
            reads[0], listed, cause=f"listed-otherwise {lister.id}", operation=lister,
            basis=effect.basis if whole else Basis.ASSUMED,
        )  # fmt: skip
    if lacking and whole:
        yield found(
            "ST2", f"a list leaves out a record's {', '.join(lacking[:4])}, which reading it shows",
            reads[0], listed, cause=f"listed-without {lister.id}", operation=lister,
            basis=effect.basis,
        )  # fmt: skip


def gone(
    operation: Operation, delete: Exchange, look: Exchange, where: str, shown: bool
) -> Iterator[Finding]:
    """ST6: what was deleted is nowhere to be seen."""
    if shown:
        effect = operation.effect
        yield found(
            "ST6", f"what was deleted is still there: {where}", delete, look,
            cause=f"deleted-{where} {operation.id}", operation=operation,
            basis=effect.basis if effect else operation.basis,
        )  # fmt: skip


def count_changed(
    operation: Operation, exchange: Exchange, before: int, after: int, expected: int
) -> Iterator[Finding]:
    """ST7: a write adds or takes exactly as many records as it says."""
    if after - before != expected:
        effect = operation.effect
        yield found(
            "ST7", f"one {effect.kind if effect else 'write'} changes the number of records by "
            f"{after - before}", exchange, cause=f"count-changes {operation.id}",
            operation=operation, basis=effect.basis if effect else operation.basis,
            expected=expected, actual=after - before,
        )  # fmt: skip


def secret_kept(
    operation: Operation, made: Exchange, later: Sequence[Exchange]
) -> Iterator[Finding]:
    """ST13: what is shown only once is in no later answer, nor in part but its beginning."""
    effect = operation.effect
    secret = value_at(made, effect.secret if effect else None)
    if not isinstance(secret, str) or len(secret) < 8:
        return
    tail = secret[len(secret) // 2 :]
    for exchange in later:
        if exchange.response is not None and tail.encode() in exchange.response.body:
            yield found(
                "ST13", "a secret that is shown only once is shown again", made, exchange,
                cause=f"secret-again {exchange.operation}", operation=exchange.operation,
                basis=effect.basis if effect else operation.basis,
            )  # fmt: skip


def batch_answer(
    operation: Operation,
    exchange: Exchange,
    wanted: Sequence[tuple[str, bool]],
) -> Iterator[Finding]:
    """ST8: a batch answers each entry, in order, and says truly which ones failed.

    `wanted` is (word of the entry, whether it must succeed), in the order sent.
    """
    effect = operation.effect
    assert effect is not None

    def wrong(message: str, cause: str) -> Finding:
        return found(
            "ST8", message, exchange, cause=f"batch-{cause}", operation=operation,
            basis=effect.basis,
        )  # fmt: skip

    if not ok(exchange):
        yield wrong(f"a batch with entries that work is answered {told(exchange)}", "refused")
        return
    results = value_at(exchange, effect.items)
    if not isinstance(results, list):
        return
    if len(results) != len(wanted):
        yield wrong(f"{len(wanted)} entries are answered with {len(results)} results", "count")
        return
    for number, (result, (word, good)) in enumerate(zip(results, wanted, strict=True)):
        said = result.get("op") if isinstance(result, Mapping) else None
        if isinstance(said, str) and said != word:
            yield wrong(f"result {number} is that of another entry", "order")
            return
        done = succeeded(result)
        if done is not None and done is not good:
            yield wrong(
                f"entry {number} ({word}) is called {'done' if done else 'failed'} and is not",
                f"{'failure-hidden' if done else 'success-denied'}",
            )
    yield from _summary(exchange, wanted, wrong)


def _summary(
    exchange: Exchange, wanted: Sequence[tuple[str, bool]], wrong: Any
) -> Iterator[Finding]:
    summary = value_at(exchange, "/summary")
    if not isinstance(summary, Mapping):
        return
    good = sum(ok_ for _, ok_ in wanted)
    truth = {
        "total": len(wanted), "succeeded": good, "success": good, "failed": len(wanted) - good,
        "errors": len(wanted) - good,
    }  # fmt: skip
    for name, value in truth.items():
        if isinstance(summary.get(name), int) and summary[name] != value:
            yield wrong(f"the summary's {name} is not what happened", f"summary-{name}")


def succeeded(result: Any) -> bool | None:
    """Return whether a batch's result says that its entry was done, None where it does not say."""
    if not isinstance(result, Mapping):
        return None
    for name in ("success", "ok", "succeeded"):
        if isinstance(result.get(name), bool):
            return bool(result[name])
    status = result.get("status")
    if isinstance(status, int) and 100 <= status < 600:
        return status < 400
    if result.get("error"):
        return False
    return None


def shown_value(exchange: Exchange, pointer: str, value: Any) -> bool:
    """Return True where an answer shows a value at a pointer, or among the values of an array."""
    there = value_at(exchange, pointer)
    return there == value or (isinstance(there, list) and value in there)


__all__ = [
    "acted", "alike", "answered", "batch_answer", "count_changed", "differences", "gone", "moved",
    "others_unmoved", "readable", "replaced", "same", "secret_kept", "shown_value", "succeeded",
    "updated", "value_in",
]  # fmt: skip
