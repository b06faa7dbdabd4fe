"""Figures that count: what is there, and what was done (ST10).

Each `tally` of the contract is held against what the suite itself sees and does: against the
list of what it counts, or against calls that were accepted in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from conformance.backend.effects import until
from conformance.backend.listing import max_size, walk
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject
from conformance.backend.views import write, writer_of
from conformance.backend.world import creators, object_properties, operations_on, properties
from conformance.history import Exchange
from conformance.oracles import showing
from conformance.oracles.found import found, ok, told, value_at, value_in
from conformance.oracles.relations import values
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.vocabulary import Tally

LOOKS = 4
"""How often a figure and a list are compared while others may change both."""


def _tallied(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.tallies]


def total(exchange: Exchange, tally: Tally) -> float | None:
    """Return the figure that an answer shows, summed over every entry; None where it shows none."""
    body = exchange.response.json_or_none() if ok(exchange) and exchange.response else None
    if body is None:
        return None
    read = [v for v in values(body, tally.pointer) if isinstance(v, (int, float))]
    return sum(read) if read or "*" in tally.pointer else None


@CASES.case("state.counted", "ST10", each=_tallied)
def test_counted(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """A figure counts what the list shows, and grows with the calls that it counts."""
    for tally in operation.tallies:
        if tally.by:
            yield from _by_name(subject, operation, tally)
        elif tally.of:
            yield from _records(subject, operation, tally)
        else:
            yield from _calls(subject, operation, tally)


def _ask(
    subject: BackendSubject, operation: Operation, given: Mapping[str, Any] | None = None
) -> Exchange:
    exchange = subject.send(operation, subject.world.arguments(operation, given=given))
    if not ok(exchange):
        raise Inconclusive(f"{operation.id} was answered {told(exchange)}")
    return exchange


def _calls(subject: BackendSubject, operation: Operation, tally: Tally) -> Iterator[Finding]:
    """Make the calls that count and look whether the figure has grown by as many."""
    first = _ask(subject, operation)
    before = total(first, tally)
    if before is None:
        raise Inconclusive(f"no figure stands at {tally.pointer}")
    accepted = []
    for name in tally.calls:
        counted = subject.contract[name]
        arguments = subject.world.arguments(counted)
        exchange = subject.send(counted, arguments)
        subject.world.note(counted, arguments, exchange, "a")
        accepted += [exchange] if ok(exchange) else []
    if not accepted:
        raise Inconclusive("none of the calls that count was accepted")
    wanted = before + len(accepted)

    def grown(exchange: Exchange) -> bool:
        return (total(exchange, tally) or 0) >= wanted

    last = until(subject, tally.delay, lambda: _ask(subject, operation), grown, operation)
    if not grown(last):
        yield found(
            "ST10", f"{len(accepted)} accepted calls do not show in the figure at "
            f"{tally.pointer} within {tally.delay:g} s", first, *accepted[:3], last,
            cause=f"figure-stuck {operation.id} {tally.pointer}", operation=operation,
            basis=tally.basis, expected=f"{wanted:g} or more", actual=total(last, tally),
            shows=f"sum({showing.reached(tally.pointer)}) < {len(accepted)} + "
            f"sum({showing.reached(tally.pointer, showing.at(first.number) + '.data')})",
        )  # fmt: skip


def _records(subject: BackendSubject, operation: Operation, tally: Tally) -> Iterator[Finding]:
    """Compare the figure with the list, once with one more record where one can be made."""
    listers = operations_on(subject.contract, tally.of, "list")
    if not listers:
        raise NotApplicable(f"nothing lists a {tally.of}")
    maker = writer_of(subject.contract, tally.of)
    if maker is not None:
        write(subject, maker)

    def compare() -> tuple[Exchange, int, int]:
        before = _listed(subject, listers[0], tally)
        exchange = _ask(subject, operation)
        return exchange, before, _listed(subject, listers[0], tally)

    def settled(seen: tuple[Exchange, int, int]) -> bool:
        return seen[1] == seen[2] == total(seen[0], tally)

    exchange, before, after = until(subject, tally.delay, compare, settled)
    for _ in range(LOOKS):
        if before == after:
            break
        exchange, before, after = compare()
    if before != after:
        raise Inconclusive(f"the list of {tally.of} changes too fast to compare with")
    shown = total(exchange, tally)
    if shown != before:
        yield found(
            "ST10", f"the figure at {tally.pointer} is not how many are listed", exchange,
            cause=f"figure-wrong {operation.id} {tally.pointer}", operation=operation,
            basis=tally.basis, expected=before, actual=shown,
        )  # fmt: skip


def _listed(subject: BackendSubject, lister: Operation, tally: Tally) -> int:
    seen = walk(subject, lister, {}, max_size(lister))
    if not seen.ended:
        raise Inconclusive(f"{lister.id} has too many pages to count")
    count = 0
    for page in seen.pages:
        items = value_at(page.exchange, lister.effect.items if lister.effect else None)
        count += sum(
            all(value_in(item, path) == wanted for path, wanted in tally.where.items())
            for item in items
        )
    return count


def _by_name(subject: BackendSubject, operation: Operation, tally: Tally) -> Iterator[Finding]:
    """Make records under a fresh name, and ask for the figure of that name, twice where it acts."""
    name, written = next(iter(tally.by.items()))
    given = subject.name("tally")
    nothing = _ask(subject, operation, {name: subject.name("unused")})
    makers = creators(subject.contract, tally.of or "")
    if not makers:
        raise NotApplicable(f"no operation creates a {tally.of}")
    arguments = subject.world.arguments(makers[0])
    each = makers[0].effect.each if makers[0].effect else None
    entries = arguments[each[1:]] if each else [arguments]
    known = object_properties(properties(makers[0])[each[1:]]["items"]) if each else None
    for entry in entries:
        if known is None or written in known:
            entry[written] = given
    made = write(subject, makers[0], given=arguments)
    first = _ask(subject, operation, {name: given})
    looks = [(nothing, 0), (first, len(made))]
    if not operation.safe:
        looks.append((_ask(subject, operation, {name: given}), 0))
    for exchange, wanted in looks:
        shown = total(exchange, tally)
        if shown != wanted:
            yield found(
                "ST10", f"the figure at {tally.pointer} is not how many {tally.of}s there were",
                exchange, cause=f"figure-wrong {operation.id} {tally.pointer}",
                operation=operation, basis=tally.basis, expected=wanted, actual=shown,
            )  # fmt: skip
            return
