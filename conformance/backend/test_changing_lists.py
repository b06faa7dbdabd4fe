"""Lists that change while they are read, by another client of the same tenant (PG3).

What a traversal can promise then depends on what its pages hang on. A cursor names a place in
the list: what is there throughout is shown exactly once, whatever comes and goes. An offset or a
page number counts from the list's beginning: what comes in front of the reader is shown twice at
worst, what goes there makes items be missed, and neither is the server's fault. Cases change
only what the style at hand must bear.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.backend.filling import COUNT, Filled, filled
from conformance.backend.listing import (
    Page,
    Walk,
    max_size,
    page_of,
    read_page,
    walk,
)  # fmt: skip
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject, Prepared
from conformance.backend.world import creators, operations_on, properties
from conformance.oracles import pages
from conformance.oracles.found import found, ok, told
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.paging import after, first, steady

SIZE = 2
"""Items of a page: small, so that much happens between the first and the last."""
PAGES_MOST = 60
TOO_LONG = f"the list is too long to be walked in pages of {SIZE}"
CHANGES = 3
"""Pages after which something comes or goes, where it does so between pages."""
BUSY, DEEP_BUSY = 6, 12
"""Pages during which a second client writes; a list that grew with every page would not end."""


def _lists(contract: Contract) -> list[Operation]:
    return [o for o in contract if o.pagination is not None]


def _filled(subject: BackendSubject, operation: Operation, count: int = COUNT) -> Filled:
    """Fill a list that this API can fill itself, and that has pages to ask for.

    Raises NotApplicable for others.
    """
    effect = operation.effect
    if effect is None or not creators(subject.contract, effect.resource or ""):
        raise NotApplicable(f"no operation creates a {effect and effect.resource} directly")
    have = filled(subject, operation, count)
    if have.paging.limit is None:
        raise NotApplicable("no page size can be asked for")
    return have


def _resource(operation: Operation) -> str:
    return (operation.effect.resource if operation.effect else None) or ""


def _listed(
    subject: BackendSubject, operation: Operation, have: Filled, among: Iterable[str]
) -> tuple[str, ...]:
    """Return those of some items that the list shows, in its order, when nobody writes."""
    wanted = set(among)
    shown = walk(subject, operation, have.scope, max_size(operation)).keys
    return tuple(key for key in shown if key in wanted)


@CASES.case("pagination.inserts", "PG3", each=_lists)
def test_inserts(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What was there throughout is not missed while new items come in during a traversal."""
    have = _filled(subject, operation)
    new: list[str] = []

    def insert() -> None:
        made = subject.world.make_all(_resource(operation), given=have.scope)
        new.extend(each.id for each in made)

    read = _walk_while(subject, operation, have, insert)
    listed = _listed(subject, operation, have, (*have.ids, *new))
    if steady(have.paging) or listed == (*have.order, *new):
        for finding in pages.repeats(operation, read):
            yield finding.at(requirement="PG3", cause="repeats-under-come")
    yield from pages.stable(operation, read, have.ids, "come")


@CASES.case("pagination.deletes", "PG3", each=_lists)
def test_deletes(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Deleting what was already read makes no cursor fail, and shows nothing twice."""
    deleter = _deleter(subject, operation)
    if deleter is None:
        raise NotApplicable(f"no operation deletes a {_resource(operation)}")
    have = _filled(subject, operation)
    gone: set[str] = set()
    seen: list[str] = []

    def remove() -> None:
        victim = next((k for k in seen if k in have.ids and k not in gone), None)
        if victim is not None and len(gone) < 2:
            subject.play(_deletion(subject, deleter, have, victim))
            gone.add(victim)

    read = _walk_while(subject, operation, have, remove, seen)
    yield from pages.repeats(operation, read)
    if steady(have.paging):
        yield from pages.stable(operation, read, have.ids - gone, "go")
    rest = walk(subject, operation, have.scope, 2)
    still = gone & set(rest.keys)
    if still:
        yield found(
            "ST6", "a deleted item is still listed", *[p.exchange for p in rest.pages[:2]],
            cause="deleted-listed", operation=operation, basis=have.paging.basis,
        )  # fmt: skip
    yield from pages.stable(operation, rest, have.ids - gone, "went")
    yield from pages.totals(operation, rest)


def _deleter(subject: BackendSubject, operation: Operation) -> Operation | None:
    """Return the operation that deletes a list's items, None where there is none."""
    return next(iter(operations_on(subject.contract, _resource(operation), "delete")), None)


def _deletion(subject: BackendSubject, deleter: Operation, have: Filled, victim: str) -> Prepared:
    target = deleter.effect.target if deleter.effect else None
    scope = {n: v for n, v in have.scope.items() if n in properties(deleter)}
    return subject.request(deleter, {**scope, target or "id": victim})


def _walk_while(
    subject: BackendSubject,
    operation: Operation,
    have: Filled,
    act: Callable[[], None],
    seen: list[str] | None = None,
) -> Walk:
    """Walk in small pages and do something after each of the first ones."""
    changes = iter(range(CHANGES))

    def read(asked: dict[str, object]) -> Page:
        page = read_page(subject, operation, have.scope, asked)
        if seen is not None:
            seen.extend(page.keys)
        if next(changes, None) is not None:
            act()
        return page

    return _walked(have, read)


def _walked(have: Filled, read: Callable[[dict[str, object]], Page]) -> Walk:
    """Walk in small pages, each read by `read`. Raises Inconclusive where there are too many."""
    shown: list[Page] = []
    asked: dict[str, object] | None = first(have.paging, SIZE)
    while asked is not None and len(shown) < PAGES_MOST:
        page = read(asked)
        shown.append(page)
        asked = after(have.paging, page, asked, SIZE, sum(len(p.keys) for p in shown))
        if not page.keys and not steady(have.paging):
            asked = None
    if asked is not None:
        raise Inconclusive(TOO_LONG)
    return Walk(tuple(shown), ended=True, size=SIZE)


# -- at the same instant ---------------------------------------------------------------------------


@CASES.case("pagination.concurrent", "PG3", each=_lists)
def test_concurrent(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What is there throughout comes exactly once while a second client writes and deletes.

    Each page is asked for at the very moment at which the second client, on connections of its
    own, creates items and deletes others. Which of them the server takes first is its own affair:
    what is judged are items that nobody touches, and holds of them in every order.
    Deletions strike around the reader where pages hang on places; where they are counted off,
    only behind all that is judged.
    """
    have = _filled(subject, operation, COUNT + CHANGES)
    before = walk(subject, operation, have.scope, max_size(operation)).keys
    if len(before) > SIZE * PAGES_MOST:
        raise Inconclusive(TOO_LONG)
    listed = [key for key in before if key in have.ids]
    places = steady(have.paging)
    victims = listed[1::2] if places else listed[COUNT:]
    second = _Second(subject, operation, have, victims)
    read = _walked(have, second.read)
    if not second.created:
        raise Inconclusive("nothing that a second client creates at that moment is accepted")
    rest = walk(subject, operation, have.scope, max_size(operation)).keys
    throughout = [key for key in before if key in set(rest) - set(victims)]
    mine = {*throughout, *second.created}
    at_end = [key for key in rest if key in mine][: len(throughout)] == throughout
    findings = [
        finding.at(cause="gap-under-concurrent-writes")
        for finding in pages.stable(operation, read, frozenset(throughout), "come and go")
    ]
    if places or at_end:
        findings += [
            finding.at(requirement="PG3", cause="repeats-under-concurrent-writes")
            for finding in pages.repeats(operation, read, throughout)
        ]
    others = (set(before) ^ set(rest)) - set(victims) - set(second.created)
    if findings and others and not (places or have.narrow):
        raise Inconclusive("somebody else changes the list at the same time")
    yield from findings


@dataclass
class _Second:
    """A second client of the tenant, which writes at the moment at which a page is read."""

    subject: BackendSubject
    operation: Operation
    have: Filled
    victims: Sequence[str]
    """What it deletes, one item for each page, in this order."""
    created: list[str] = field(default_factory=list)
    pages: int = 0
    """Pages that were read so far."""

    def read(self, asked: Mapping[str, object]) -> Page:
        """Read a page while something comes and something goes; a late one undisturbed.

        A page that is refused at that moment, for a quota that is spent, is read again.
        """
        subject, number = self.subject, self.pages
        self.pages += 1
        if number >= (DEEP_BUSY if subject.deep else BUSY):
            return read_page(subject, self.operation, self.have.scope, asked)
        reading = subject.request(self.operation, {**self.have.scope, **asked})
        comings = [self._creation(2 * number), self._creation(2 * number + 1)]
        goings = self._deletions(number)
        made = [subject.request(*each) for each in comings]
        exchanges = subject.together([made[0], reading, *goings, made[1]])
        for (maker, arguments), exchange in zip(
            comings, (exchanges[0], exchanges[-1]), strict=True
        ):
            new = subject.world.note(maker, arguments, exchange, "a")
            self.created += [each.id for each in new]
        shown = exchanges[1] if ok(exchanges[1]) else subject.play(reading)
        if not ok(shown):
            raise Inconclusive(f"{self.operation.id} was answered {told(shown)}; no page to judge")
        return page_of(self.operation, shown, asked)

    def _creation(self, seed: int) -> tuple[Operation, dict[str, Any]]:
        return self.subject.world.creation(
            _resource(self.operation), given=self.have.scope, seed=seed
        )

    def _deletions(self, number: int) -> list[Prepared]:
        deleter = _deleter(self.subject, self.operation)
        return [
            _deletion(self.subject, deleter, self.have, victim)
            for victim in self.victims[number : number + 1] if deleter is not None
        ]  # fmt: skip
