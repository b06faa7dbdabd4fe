"""What was on a server before a run, and what is there after it: the proof that it did no harm.

Lists that need no arguments are read before anything is created and once more at the end. What
was there is compared by id and content; what is new and the run's is named, so that a person can
remove it. Nothing here deletes or judges.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from conformance.backend.listing import max_size, walk
from conformance.backend.world import operations_on, required
from conformance.history import Exchange
from conformance.oracles.found import ok, value_at, value_in
from conformance.verdict import Inconclusive, NotApplicable
from specs import Operation

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

PAGES = 10
"""Pages of each list that are read before and after a run."""
SHARE = 20
"""Part of a budget of requests that is spent on looking: a twentieth before, the same after."""


@dataclass(frozen=True)
class Shelf:
    """What one list shows one tenant: id -> digest of the item."""

    items: Mapping[str, str] = field(default_factory=dict)
    marked: frozenset[str] = frozenset()
    """Ids of items that carry the run's mark."""
    whole: bool = False
    """True where the list was read to its end."""


@dataclass
class Proof:
    """What became of the records that were there before the run."""

    before: int = 0
    same: int = 0
    changed: list[str] = field(default_factory=list)
    """Records that show something else than before."""
    gone: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    """What could not be looked at, and why."""
    reused: list[str] = field(default_factory=list)
    """Records whose id the server gave to a creation of the run as well."""
    left: list[str] = field(default_factory=list)
    """New records that are the run's, or carry its mark."""

    def details(self) -> dict[str, Any]:
        """Return it as it stands in a result, without what is empty."""
        shown = {
            "changed": self.changed, "gone": self.gone, "unsure": self.unsure,
            "reused": self.reused,
        }  # fmt: skip
        return {
            "before": self.before, "same": self.same, **{n: v for n, v in shown.items() if v}
        }  # fmt: skip


class Standing:
    """What stood on a server when a run began."""

    def __init__(self, subject: BackendSubject) -> None:
        self.subject = subject
        self._before: dict[tuple[str, str], tuple[list[Exchange], bool]] = {}
        """(tenant, list) -> its pages, and whether that was all: read by what is known at the end,
        since a probe learns meanwhile where a list shows what."""
        self._unsure: list[str] = []

    def look(self) -> None:
        """Read every list that needs no arguments, before anything is created."""
        for who, lister in self._places():
            pages = self._pages(lister, who)
            if isinstance(pages, str):
                self._unsure.append(f"{lister.id}: {pages}")
                continue
            self._before[who, lister.id] = pages
            shelf = self._shelf(lister, *pages)
            resource = lister.effect.resource if lister.effect else None
            self.subject.mine.shown(who, resource, shelf.items, -math.inf)
            if shelf.whole and lister.effect is not None:
                self.subject.mine.whole.add((who, lister.effect.resource or ""))

    def proof(self) -> Proof:
        """Read the same lists again and compare."""
        made = Proof(unsure=list(self._unsure))
        mine = self.subject.mine
        made.reused = [f"{resource} {id}" for resource, id in sorted(mine.reused)]
        for (who, name), seen in self._before.items():
            lister = self.subject.contract[name]
            resource = (lister.effect.resource if lister.effect else None) or ""
            before = self._shelf(lister, *seen)
            made.before += len(before.items)
            pages = self._pages(lister, who)
            if isinstance(pages, str):
                made.unsure.append(f"{name}: {pages}")
                continue
            after = self._shelf(lister, *pages)
            self._compare(made, lister, who, before, after)
            made.left += self._left(resource, before, after)
        made.left = list(dict.fromkeys(made.left))
        return made

    def _places(self) -> Iterator[tuple[str, Operation]]:
        subject = self.subject
        for lister in subject.contract:
            effect = lister.effect
            if effect is None or effect.kind != "list" or required(lister) - set(lister.fixed):
                continue
            if effect.items is None or effect.item_id is None or effect.progress:
                continue
            for who in [p for p in ("a", "b") if p in subject.keys] or ["a"]:
                yield who, lister

    def _pages(self, lister: Operation, who: str) -> tuple[list[Exchange], bool] | str:
        """Return a list's pages and whether that was all, or in words why it could not be read."""
        left = self.subject.requests_left
        most = PAGES
        if left is not None:
            most = min(PAGES, left // (SHARE * max(1, len(list(self._places())))))
            if most < 1:
                return "the budget of requests is too small to look at it"
        try:
            seen = walk(self.subject, lister, {}, max_size(lister), who, most=most)
        except (Inconclusive, NotApplicable, OSError) as why:
            return str(why)
        return [page.exchange for page in seen.pages], seen.ended

    def _shelf(self, lister: Operation, pages: list[Exchange], whole: bool) -> Shelf:
        """Return what pages of a list show."""
        effect = lister.effect
        if effect is None:
            return Shelf(whole=whole)
        items: dict[str, str] = {}
        marked: set[str] = set()
        volatile = self._volatile(effect.resource)
        for page in pages:
            shown = value_at(page, effect.items)
            for item in shown if isinstance(shown, list) else []:
                id = value_in(item, effect.item_id)
                if isinstance(id, (str, int)) and not isinstance(id, bool):
                    items[str(id)] = _digest(item, volatile)
                    if self.subject.mark in json.dumps(item, default=str):
                        marked.add(str(id))
        return Shelf(items, frozenset(marked), whole)

    def _volatile(self, resource: str | None) -> frozenset[str]:
        effects = [o.effect for o in self.subject.contract if o.effect]
        return frozenset(n for e in effects if e.resource == resource for n in e.volatile)

    def _compare(
        self, made: Proof, lister: Operation, who: str, before: Shelf, after: Shelf
    ) -> None:
        resource = lister.effect.resource if lister.effect else ""
        for id, digest in before.items.items():
            if id in after.items:
                same = after.items[id] == digest
                made.same += same
                if not same:
                    made.changed.append(f"{resource} {id}")
                continue
            there = False if after.whole else self._readable(resource, id, who)
            if there:
                made.same += 1
            elif there is None:
                made.unsure.append(f"{resource} {id}: the list is too long to find it again")
            else:
                made.gone.append(f"{resource} {id}")

    def _readable(self, resource: str | None, id: str, who: str) -> bool | None:
        """Return whether a record can be read; None where nothing tells."""
        for reader in operations_on(self.subject.contract, resource, "read"):
            target = reader.effect.target if reader.effect else None
            if target is None or required(reader) != {target}:
                continue
            try:
                exchange = self.subject.send(reader, {target: id}, key=who)
            except (Inconclusive, NotApplicable, OSError):
                return None
            if ok(exchange):
                return True
            return False if exchange.status in (404, 410) else None
        return None

    def _left(self, resource: str, before: Shelf, after: Shelf) -> Iterator[str]:
        mine = self.subject.mine
        for id in after.items:
            if id in before.items:
                continue
            if (resource, id) in mine.ids:
                yield f"{resource} {id}"
            elif (resource, id) in mine.deleted:
                yield f"{resource} {id}: it was deleted and is still listed"
            elif id in after.marked and not operations_on(
                self.subject.contract, resource, "delete"
            ):
                yield f"{resource} {id}: no operation deletes it"
            elif id in after.marked:
                yield (
                    f"{resource} {id}: it carries the mark of this run, and no answer to a "
                    "creation gave its id, so it was not deleted"
                )


def _digest(item: Any, volatile: frozenset[str]) -> str:
    if isinstance(item, dict):
        item = {n: v for n, v in item.items() if n not in volatile}
    text = json.dumps(item, sort_keys=True, default=str)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
