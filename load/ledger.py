"""The ledger: every acknowledged write is read back through the API after the load.

Lost: acknowledged and not found. Altered: found with another text than was last acknowledged.
Resurrected: deleted with an acknowledgement and there again. Duplicated: one write's mark under
two ids. What the contract gives no way to read is not judged; what could not be read is counted
as unread, and so inconclusive. Writes whose answer never came are unsure: either outcome is right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent.pool

from conformance.clock import perf_counter
from load.call import Slot, compile_template
from load.engine import Engine, Wire
from load.framing import Timeout, Trouble
from load.judge import parse_head
from load.lane import Lane, Resource
from load.plan import marked_property, showing
from specs import Operation, effects, paging
from specs.examples import arguments

READERS = 8
"""Connections that read back at once."""
PAGES_MAX = 4000
TRIES = 3
GIVE_UP = 40
"""Requests in a row that come to nothing, after which the rest is not tried."""
FIRST_PAUSE = 0.2
"""Seconds after which what did not show yet is looked for again; the pauses grow."""
PATIENCE = 5.0
"""Seconds that one answer may take here."""


@dataclass
class _Patience:
    """What is left of it with a server that answers no more."""

    row: int = 0
    """Requests in a row that came to nothing."""

    @property
    def over(self) -> bool:
        """True where nothing more is tried."""
        return self.row >= GIVE_UP

    def told(self, well: bool) -> None:
        """Take note of what became of a request."""
        self.row = 0 if well else self.row + 1


@dataclass(frozen=True)
class _Reader:
    """How one resource is read by its id."""

    operation: Operation
    target: str


def check(engine: Engine, connect: Callable[[], Wire]) -> None:
    """Read every acknowledged write back and count what became of it.

    The profile's `settle` is waited out first. Without one, a write that is not there is looked
    for again until it shows or the time is over that the contract gives it (`effect.delay`).
    """
    settle = engine.profile.settle
    gevent.sleep(settle or 0)
    now, patience = perf_counter(), _Patience()
    for lane in engine.lanes:
        kinds: dict[str, list[Resource]] = {}
        for resource in lane.written:
            kinds.setdefault(resource.kind, []).append(resource)
        for kind, written in kinds.items():
            end = now if settle is not None else now + showing(lane.plan, kind)
            _check_kind(engine, lane, connect, kind, written, end, patience)


def _check_kind(
    engine: Engine, lane: Lane, connect: Callable[[], Wire], kind: str, written: list[Resource],
    end: float, patience: _Patience,
) -> None:  # fmt: skip
    """Read back what was written of one kind; until `end` it may still turn up."""
    numbers = engine.tally.numbers
    numbers["unsure"] += sum(not r.known for r in written)
    reader, searcher = _reader(lane, kind), _searcher(lane, kind)
    if reader is not None:
        numbers["written"] += len(written)
        _until_shown(connect, written, partial(_read, engine, lane, reader, patience), end)
    elif searcher is not None:
        marked = [r for r in written if r.mark is not None]
        numbers["written"] += len(marked)
        look = partial(_search, engine, lane, searcher, patience)
        _until_shown(connect, marked, look, end)
    lister = _lister(lane, kind)
    if lister is not None:
        gevent.sleep(max(end - perf_counter(), 0))  # what is there twice may show late, too
        _duplicates(engine, lane, connect(), lister, written)


def _until_shown(
    connect: Callable[[], Wire], items: list[Resource],
    look: Callable[[Wire, Resource, bool], bool], end: float,
) -> None:  # fmt: skip
    """Look for all items, and again for those that are not there, the last time at `end`.

    `look` is told whether it is the last time, and returns whether the item is done with.
    """
    pause = FIRST_PAUSE
    while items:
        last = perf_counter() >= end
        missing: list[Resource] = []

        def one(wire: Wire, item: Resource, last: bool = last, out: Any = missing) -> None:
            if not look(wire, item, last):
                out.append(item)

        _in_parallel(connect, items, one)
        items = missing
        if items:
            gevent.sleep(min(pause, max(end - perf_counter(), 0)))
            pause *= 1.5


def tidy(engine: Engine, connect: Callable[[], Wire]) -> None:
    """Delete what the run created, where the contract has a way."""
    numbers, patience = engine.tally.numbers, _Patience()
    for lane in engine.lanes:
        todo = [r for r in lane.written if not r.deleted]
        numbers.update(f"left {r.kind}" for r in todo)
        removers = {r.kind: _by_target(lane, r.kind, "delete") for r in todo}
        with_way = [r for r in todo if removers[r.kind] is not None]

        def remove(wire: Wire, resource: Resource, lane: Lane = lane, ways: Any = removers) -> None:
            if patience.over:
                return
            try:
                status, _, _ = _exchange(wire, _request(lane, ways[resource.kind], resource))
            except Trouble:
                patience.told(False)
                return
            patience.told(True)
            gone = status < 300 or (status in (404, 410) and _absent(lane, wire, resource))
            numbers["cleaned"] += status < 300
            numbers[f"left {resource.kind}"] -= gone

        _in_parallel(connect, with_way, remove)


def _absent(lane: Lane, wire: Wire, resource: Resource) -> bool:
    """Return True where a read agrees that a record is gone; Trouble says nothing."""
    reader = _reader(lane, resource.kind)
    if reader is None:
        return False
    try:
        status, _, _ = _exchange(wire, _request(lane, reader, resource))
    except Trouble:
        return False
    return status in (404, 410)


def _in_parallel(
    connect: Callable[[], Wire], items: Iterable[Resource], do: Callable[[Wire, Resource], None]
) -> None:
    todo = iter(list(items))

    def work() -> None:
        wire = connect()
        for item in todo:
            try:
                do(wire, item)
            except Trouble:
                continue
        wire.close()

    pool = gevent.pool.Pool(READERS)
    for _ in range(READERS):
        pool.spawn(work)
    pool.join(raise_error=True)


def _read(
    engine: Engine, lane: Lane, reader: _Reader, patience: _Patience, wire: Wire,
    resource: Resource, last: bool,
) -> bool:  # fmt: skip
    """Read one write back by its id; False where it may still turn up."""
    numbers = engine.tally.numbers
    status, body = _persist(wire, _request(lane, reader, resource), patience)
    there = 200 <= status < 300
    if not (there or last or resource.deleted):
        return False
    if not status:
        numbers["unread"] += 1
        return True
    numbers["read-back"] += 1
    if not resource.known:
        return True
    if resource.deleted:
        numbers["deleted"] += 1
        numbers["checked-resurrected"] += 1
        numbers["resurrected"] += there
        return True
    numbers["checked-lost"] += 1
    numbers["lost"] += not there
    if there and resource.mark is not None:
        numbers["checked-altered"] += 1
        numbers["altered"] += resource.mark.encode() not in body
    return True


def _search(
    engine: Engine, lane: Lane, searcher: Operation, patience: _Patience, wire: Wire,
    resource: Resource, last: bool,
) -> bool:  # fmt: skip
    """Look for a write by its own mark, where no id reads it; False where it may still turn up."""
    numbers, effect = engine.tally.numbers, searcher.effect
    assert effect is not None
    assert resource.mark is not None
    names = {n for n, meaning in effect.scope.items() if meaning == "free"}
    given = {n: v for n, v in arguments(searcher, optional=False).items() if n not in names}
    given |= {n: v for n, v in resource.scope.items() if n in names}
    given[effect.query or ""] = resource.mark
    status, body = _persist(wire, _render(lane, searcher, given), patience)
    read = 200 <= status < 300
    found = read and resource.mark.encode() in body
    if not (found or last):
        return False
    numbers["read-back" if read else "unread"] += 1
    numbers["checked-lost"] += read
    numbers["unfound"] += read and not found
    return True


def _exchange(wire: Wire, request: bytes) -> tuple[int, bytes, bytes]:
    """Send one request with a time limit of our own: no engine watches over the ledger."""
    with gevent.Timeout(PATIENCE, Timeout()):
        return wire.exchange(request)


def _persist(wire: Wire, request: bytes, patience: _Patience) -> tuple[int, bytes]:
    """Send until something else than trouble or a refusal comes; (0, b"") where nothing does."""
    for attempt in range(TRIES):
        if patience.over:
            break
        try:
            status, _, body = _exchange(wire, request)
        except Trouble:
            patience.told(False)
            continue
        patience.told(True)
        if status < 500 and status not in (401, 403, 429):
            return status, body
        gevent.sleep(0.05 * attempt)
    return 0, b""


def _duplicates(
    engine: Engine, lane: Lane, wire: Wire, lister: Operation, written: list[Resource]
) -> None:
    """Walk a list and count marks that stand under more than one id."""
    effect, numbers = lister.effect, engine.tally.numbers
    assert effect is not None
    mark = re.compile(re.escape(lane.name) + r"n\d{8}z")
    name = _shown(lane, lister)
    if name is None:
        return
    ids_of: dict[str, set[Any]] = {}
    try:
        for within in _places(lister, written):
            for item in walk(lane, wire, lister, within):
                numbers["listed"] += 1
                text = str(item.get(name)) if isinstance(item, dict) else ""
                identity = effects.at(item, effect.item_id)
                for each in set(mark.findall(text)):
                    ids_of.setdefault(each, set()).add(identity)
    except (Trouble, Unwalkable) as why:
        engine.tally.notes.append(f"{lister.id} could not be walked to its end: {why}")
        numbers["unwalked"] += 1
        return
    if not ids_of:
        return
    numbers["checked-duplicated"] += len(ids_of)
    twice = [m for m, ids in ids_of.items() if len(ids) > 1]
    numbers["duplicated"] += len(twice)


class Unwalkable(Exception):
    """A list cannot be walked to its end."""


def _shown(lane: Lane, lister: Operation) -> str | None:
    """Return the property of a listed item that shows the text by which writes are marked."""
    effect = lister.effect
    contract = lane.plan.contract
    for operation in effects.on(contract, effect.resource, "create") if effect else ():
        marked = marked_property(contract, operation)
        if operation.effect is not None and marked is not None:
            return operation.effect.renamed.get(marked, marked)
    return None


def _places(lister: Operation, written: list[Resource]) -> list[dict[str, Any]]:
    """Return the arguments of each walk: one per parent where a list is one parent's."""
    required = [p.name for p in lister.parameters if p.required]
    if not required:
        return [{}]
    found = {
        tuple((name, each.parents[name].id) for name in required)
        for each in written
        if not each.deleted and all(name in each.parents for name in required)
    }
    return [dict(place) for place in sorted(found, key=str)]


def walk(
    lane: Lane, wire: Wire, lister: Operation, within: dict[str, Any], most: int = 100
) -> Iterable[Any]:
    """Yield the items of a list from its first page to its last, at most `most` on a page.

    `within` are arguments that stay the same. Raises Trouble and Unwalkable.
    """
    promise = lister.pagination
    assert promise is not None
    size = min(promise.max_limit or 100, most)
    asked: dict[str, Any] | None = paging.first(promise, size)
    seen = 0
    for _ in range(PAGES_MAX):
        if asked is None:
            return
        status, head, body = _exchange(wire, _render(lane, lister, {**within, **asked}))
        if status != 200:
            raise Unwalkable(f"answered {status}")
        try:
            page = paging.read(promise, json.loads(body), parse_head(head))
        except (ValueError, RecursionError):
            raise Unwalkable("a page is not JSON") from None
        if page is None:
            raise Unwalkable("a page has no items")
        yield from page.items
        seen += len(page.items)
        asked = paging.after(promise, page, asked, size, seen)
    raise Unwalkable(f"more than {PAGES_MAX} pages")


def _reader(lane: Lane, kind: str) -> _Reader | None:
    return _by_target(lane, kind, "read")


def _by_target(lane: Lane, kind: str, what: str) -> _Reader | None:
    for operation in effects.on(lane.plan.contract, kind, what):
        effect = operation.effect
        if effect is None or not effect.target:
            continue
        known = {effect.target, *effect.scope}
        if all(p.name in known or not p.required for p in operation.parameters):
            return _Reader(operation, effect.target)
    return None


def _searcher(lane: Lane, kind: str) -> Operation | None:
    """Return the search that shows a write's text."""
    for operation in effects.on(lane.plan.contract, kind, "search"):
        effect = operation.effect
        if effect and effect.query is not None and effect.content is not None:
            return operation
    return None


def _lister(lane: Lane, kind: str) -> Operation | None:
    for operation in effects.on(lane.plan.contract, kind, "list"):
        effect = operation.effect
        if effect is None or effect.items is None or operation.pagination is None:
            continue
        if all(not p.required or p.name in effect.scope for p in operation.parameters):
            return operation
    return None


def _request(lane: Lane, reader: _Reader, resource: Resource) -> bytes:
    names = {p.name for p in reader.operation.parameters}
    parents = {n: p.id for n, p in resource.parents.items() if n in names}
    return _render(lane, reader.operation, {**parents, reader.target: resource.id})


def _render(lane: Lane, operation: Operation, arguments: dict[str, Any]) -> bytes:
    headers: list[tuple[str, str | Slot]] = lane.credentials if operation.authenticated else []
    template = compile_template(operation, lane.where, arguments, headers)
    assert template.fixed is not None
    return template.fixed
