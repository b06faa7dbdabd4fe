"""The generic handlers: what an `effect` means, done on the store.

One function per kind of effect, made for one operation by `generic`. They know resources (from
the adapter) and the contract's words, and no API.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace as replace_field
from typing import Any

from conformance.reference.backend import pagination
from conformance.reference.backend.adapters.base import Adapter, Resource, as_it_is
from conformance.reference.backend.calls import Body, Call, Handler, Problem, Reply, parent, put
from conformance.reference.backend.spoil import spoilt
from conformance.reference.backend.store import NOT_GONE, Document, Where, after
from specs import Operation, paging
from specs.vocabulary import Effect

UNKNOWN = "there is nothing with this id"


def generic(adapter: Adapter, operation: Operation) -> Handler:
    """Return the handler of an operation by its effect.

    Raises ValueError where neither the effect nor the adapter says what to do.
    """
    effect = operation.effect
    name = (effect.resource if effect else None) or ""
    maker = _MAKERS.get(effect.kind) if effect else None
    if effect is None or maker is None or name not in adapter.resources:
        raise ValueError(
            f"{operation.id}: nothing answers it; give it an effect with a resource of the "
            "adapter, or a handler in the adapter"
        )
    return maker(Things(adapter.resources[name], name, effect, operation))


class Things:
    """The documents of one resource, as one operation sees them."""

    def __init__(
        self, resource: Resource, collection: str, effect: Effect, operation: Operation
    ) -> None:
        self.resource, self.collection = resource, collection
        self.effect, self.operation = effect, operation
        self.schema = operation.success.schema or {}
        self.totals: dict[int, int] = {}
        """How long each list was when last looked at; only a defect asks."""
        self.most: dict[str, int] = {}
        """How long each list ever was; only a defect asks."""

    def space(self, call: Call, reads: str = "") -> int:
        """Return the caller's space; a defect named by `reads` looks into a stranger's."""
        if reads and len(call.tenants) > 1 and reads in call.defects:
            return call.space(self.collection, call.tenants[0])
        return call.space(self.collection)

    def find(self, call: Call, defect: str) -> tuple[int, Document]:
        """Return the space and the document that the request names.

        Raises Problem(`unknown-id`) where it is not there, or not within the request's scope.
        """
        target = self.effect.target
        id = str(call.argument(target)) if target else ""
        space = self.space(call)
        document = call.store.get(space, id, call.now)
        if document is None and "delete.still-readable" in call.defects:
            document = call.store.get(_trash(call), id, call.now)
        if document is None and defect in call.defects:
            for tenant in call.tenants:
                space = call.space(self.collection, tenant)
                document = call.store.get(space, id, call.now)
                if document is not None:
                    break
        if document is None or not self._in_scope(call, document):
            if document is None and self._exists_elsewhere(call, id):
                raise Problem("forbidden", "this belongs to another tenant")
            raise Problem("unknown-id", UNKNOWN)
        return space, document

    def _exists_elsewhere(self, call: Call, id: str) -> bool:
        if "isolation.existence-revealed" not in call.defects:
            return False
        return any(
            call.store.get(call.space(self.collection, tenant), id, call.now)
            for tenant in call.tenants
        )

    def _in_scope(self, call: Call, document: Document) -> bool:
        return all(
            document.body.get(name) == call.argument(name)
            for name in self.effect.scope
            if name in call.arguments
        )

    def check_parents(self, call: Call) -> None:
        """Raise Problem(`unknown-id`) where the request names a parent that is not there."""
        if self.operation.response(404) is None or "404" not in self.operation.responses:
            return
        for name, kind in self.effect.scope.items():
            value = call.argument(name)
            if kind == "free" or value is None or "state.parent-not-checked" in call.defects:
                continue
            if call.store.get(call.space(kind), str(value), call.now) is None:
                raise Problem("unknown-id", UNKNOWN)

    def conditions(self, call: Call) -> list[Where]:
        """Return the conditions that the request's filters mean."""
        found = []
        for name, value in filters(call).items():
            if self._ignored(call, name, value) or (
                _later(call) and "page.filter-forgotten" in call.defects
            ):
                continue
            known = self.effect.renamed.get(name, name)
            found.append(self.resource.condition(known, value))
        return found

    def _ignored(self, call: Call, name: str, value: Any) -> bool:
        """Return whether a defect makes a filter mean nothing."""
        defects, effect = call.defects, self.effect
        return (
            "filter.ignored" in defects
            or (effect.kind == "search" and "search.filter-ignored" in defects)
            or (name in (effect.since, effect.until) and "search.dates-ignored" in defects)
            or (isinstance(value, bool) and "filter.flags-ignored" in defects)
        )

    def wrap(self, document: Body, path: str | None) -> Any:
        """Return a representation where the answer has it: beside the pointer to its id."""
        shown = self.resource.show(document)
        return put({}, parent(path or ""), shown)

    def visible(self, call: Call, body: Body) -> float:
        """Return from when on a new document can be seen."""
        return self.resource.visible(call, body) if self.resource.visible else call.now


def _later(call: Call) -> bool:
    """Return whether a page after the first one is asked for; only a defect asks."""
    declared = call.operation.pagination
    place = declared and (declared.offset or declared.page or declared.cursor)
    return bool(place and call.defects.active and call.argument(place))


def filters(call: Call) -> Body:
    """Return the arguments of a list or search that narrow it, by wire name."""
    declared, effect = call.operation.pagination, call.operation.effect
    moving = {"sort", "order", "limit", effect.query if effect else None, *call.operation.fixed}
    if declared is not None:
        moving |= paging.moving(declared)
    given = {**call.values, **call.arguments}
    return {
        name: value for name, value in given.items() if name not in moving and value is not None
    }


def insert(call: Call, resource: Resource, collection: str, body: Body, visible: float) -> None:
    """Store a new document. Raises Problem(`conflict`) where its id is taken."""
    if call.defects.active:
        body = spoilt(call.defects, body)
    text = resource.text(body)
    if "search.new-not-found" in call.defects:
        text = ""
    try:
        call.store.insert(call.space(collection), str(body[resource.id]), body, visible, text)
    except sqlite3.IntegrityError as why:
        if "create.duplicate-fails" in call.defects:
            raise
        raise Problem("duplicate", "this id is taken") from why


def remove(call: Call, resource: Resource, space: int, document: Document) -> None:
    """Delete a document and what hangs on it."""
    call.store.delete(space, document, resource.text(document.body))
    if resource.removed is not None:
        resource.removed(call, document.body)


def create(things: Things) -> Handler:
    """Return a handler that makes one document."""
    effect, resource = things.effect, things.resource

    def handle(call: Call) -> Reply:
        things.check_parents(call)
        body = resource.make(call, {**call.values, **_scope(call)})
        if "state.create-not-stored" not in call.defects:
            insert(call, resource, things.collection, body, things.visible(call, body))
        if "state.created-twice" in call.defects:
            twin = resource.make(call, {**call.values, **_scope(call)})
            insert(call, resource, things.collection, twin, things.visible(call, twin))
        if "answer.id-of-nothing" in call.defects:
            body = {**body, resource.id: f"{body[resource.id]}0"}
        return Reply(things.wrap(body, effect.id))

    return handle


def _scope(call: Call) -> Body:
    effect = call.operation.effect
    names = effect.scope if effect else {}
    return {name: call.arguments[name] for name in names if name in call.arguments}


def read(things: Things) -> Handler:
    """Return a handler that shows one document."""
    effect = things.effect
    as_kept = things.resource.show is as_it_is and not parent(effect.id or "") and not effect.scope

    def handle(call: Call) -> Reply:
        if as_kept and not call.defects.active:
            id = str(call.arguments[effect.target or ""])
            kept = call.store.raw(things.space(call), id, call.now)
            if kept is None:
                raise Problem("unknown-id", UNKNOWN)
            return Reply(encoded=kept.encode())
        _, document = things.find(call, "isolation.read")
        return Reply(things.wrap(document.body, things.effect.id))

    return handle


def update(things: Things) -> Handler:
    """Return a handler that changes what the request names and leaves the rest."""
    resource = things.resource

    def handle(call: Call) -> Reply:
        if call.defects.active:
            _revive(call, things)
        space, document = things.find(call, "isolation.write")
        before = call.stale or document.body
        changes = dict(call.values)
        if "update.ignores-one" in call.defects and changes:
            changes.pop(next(iter(changes)))
        body = resource.change(call, before, changes)
        if "update.drops-others" in call.defects:
            fresh = resource.make(call, changes)
            keep = (resource.id, *resource.kept)
            body = {**fresh, **changes, **{k: before[k] for k in keep if k in before}}
        if "update.lists-grow" in call.defects:
            grown = {n: [*before[n], *v] for n, v in changes.items()
                     if isinstance(v, list) and isinstance(before.get(n), list)}  # fmt: skip
            body = {**body, **grown}
        if "created_at" in body and "update.created-reset" in call.defects:
            body["created_at"] = call.time
        _store_changed(call, things, space, document, body)
        old = "update.answers-old" in call.defects
        return Reply(things.wrap(before if old else body, things.effect.id))

    return handle


def replace(things: Things) -> Handler:
    """Return a handler that gives a document a whole new content."""
    resource = things.resource

    def handle(call: Call) -> Reply:
        space, document = things.find(call, "isolation.write")
        keep = (resource.id, *resource.kept)
        body = {
            **resource.make(call, {**call.values, **_scope(call)}),
            **{name: document.body[name] for name in keep if name in document.body},
        }
        if "replace.merges" in call.defects:
            body = {**document.body, **call.values}
        _store_changed(call, things, space, document, body)
        return Reply(things.wrap(body, things.effect.id))

    return handle


def _store_changed(call: Call, things: Things, space: int, document: Document, body: Body) -> None:
    if "update.not-stored" in call.defects:
        return
    resource = things.resource
    new = resource.text(body)
    if "search.stale-after-update" in call.defects:
        new = resource.text(document.body)
    call.store.replace(space, document, body, resource.text(document.body), new)
    if "update.touches-another" in call.defects:
        for other in call.store.find(space, call.now, limit=2):
            if other.id != document.id:
                touched = {**body, resource.id: other.id}
                call.store.replace(space, other, touched)


def delete(things: Things) -> Handler:
    """Return a handler that removes one document."""

    def handle(call: Call) -> Reply:
        defects = call.defects
        if "delete.again-fails" in defects:
            gone = call.store.get(
                _trash(call), str(call.argument(things.effect.target or "")), call.now
            )
            if gone is not None:
                raise RuntimeError("deleted twice")
        space, document = things.find(call, "isolation.delete")
        if "delete.still-listed" in defects:
            call.store.hide(space, document, things.resource.text(document.body))
        elif "delete.still-found" in defects:
            call.store.hide(space, document)
        elif "delete.still-readable" in defects:
            remove(call, things.resource, space, document)
            call.store.insert(_trash(call), document.id, document.body, call.now)
        elif "delete.does-nothing" not in defects:
            remove(call, things.resource, space, document)
        if "update.revives-deleted" in defects or "delete.again-fails" in defects:
            call.store.insert(_trash(call), document.id, document.body, call.now)
        if "delete.takes-another" in defects:
            for other in call.store.find(space, call.now, limit=1):
                remove(call, things.resource, space, other)
        return Reply(_confirmation(things, document))

    return handle


def _trash(call: Call) -> int:
    return call.space("trash")


def _revive(call: Call, things: Things) -> None:
    """Where a defect says so, bring back a deleted document that an update names."""
    kept = call.store.get(_trash(call), str(call.argument(things.effect.target or "")), call.now)
    if kept is not None and "update.revives-deleted" in call.defects:
        call.store.delete(_trash(call), kept)
        call.store.insert(things.space(call), kept.id, kept.body, call.now)


def _confirmation(things: Things, document: Document) -> Any:
    """Return the answer to a deletion: what its schema asks for, of the usual members."""
    usual = {"success": True, "deleted": True, "ok": True, things.resource.id: document.id,
             "id": document.id, "status": "deleted", "message": "deleted"}  # fmt: skip
    properties = things.schema.get("properties", {})
    return {name: value for name, value in usual.items() if name in properties}


def page(things: Things) -> Handler:
    """Return a handler that lists documents, by page where the contract declares pages."""

    def handle(call: Call) -> Reply:
        things.check_parents(call)
        space = things.space(call, "isolation.list")
        where = things.conditions(call)
        order = things.resource.sorts.get(call.argument("sort"), things.resource.order)
        if "page.sort-ignored" in call.defects:
            order = things.resource.order
        if _later(call) and "page.sort-forgotten" in call.defects:
            order = "seq"
        with call.store.reading():
            return _page(things, call, space, where, order)

    return handle


def _page(things: Things, call: Call, space: int, where: list[Where], order: str) -> Reply:
    declared = call.operation.pagination
    resource, store = things.resource, call.store
    if declared is None:
        found = store.find(space, call.now, where, order)
        if found and "state.not-listed" in call.defects:
            found = found[:-1]
        items = put({}, things.effect.items or "", [resource.show(d.body) for d in found])
        return Reply(_echo(things, call, items, len(found), None))
    if declared.order == "desc" and order == "seq":
        order = "seq DESC"
    cut = pagination.window(call, declared, space)
    space = cut.space or space
    order = _disordered(call, order)
    if "state.not-listed" in call.defects:
        where = [*where, _NOT_NEWEST]
    if "delete.still-found" in call.defects:
        where = [*where, NOT_GONE]
    total = store.count(space, call.now, where)
    if "page.total-stale" in call.defects:
        total = things.most[str(where)] = max(total, things.most.get(str(where), 0))
    cut = _skipping(things, call, space, cut, total)
    if cut.after is not None:
        where = [*where, after(cut.after, order.endswith("DESC"))]
    if cut.offset >= total and cut.offset > 0 and "page.beyond-end-fails" in call.defects:
        raise Problem("unknown-id", "there is no such page")
    found = store.find(space, call.now, where, order, cut.limit + 1, cut.offset)
    ahead = found[cut.limit :]
    more, found = bool(ahead), found[: cut.limit]
    before = [Where("seq=?", (cut.after,))] if cut.after is not None else where
    if (cut.offset or cut.after) and found and "page.repeats-item" in call.defects:
        again = store.find(space, call.now, before, order, 1, max(0, cut.offset - 1))
        found = [*again, *found][: cut.limit]
    if "page.drops-last" in call.defects and more:
        found = found[:-1]
    if not found and "answer.fails-on-empty" in call.defects:
        raise RuntimeError("nothing to show")
    shown = [_listed(call, resource.show(d.body)) for d in found]
    last = found[-1].seq if found else None
    if ahead and call.raced and "page.cursor-overtaken" in call.defects:
        last = ahead[0].seq
    body, headers = pagination.render(
        call, declared, cut, shown, total=total, more=more, last=last, space=space
    )
    return Reply(_echo(things, call, body, total, cut), headers=headers)


_NOT_NEWEST = Where("seq < (SELECT max(d.seq) FROM documents AS d WHERE d.space=documents.space)")


def _listed(call: Call, shown: Body) -> Body:
    """Return a list's entry as a defect would show it."""
    if "list.times-lost" in call.defects:
        return {name: value for name, value in shown.items() if not name.endswith("_at")}
    if "created_at" in shown and "list.times-of-now" in call.defects:
        return {**shown, "created_at": call.time}
    return shown


def _disordered(call: Call, order: str) -> str:
    """Return the order of a list as a defect would have it."""
    if "page.order-unstable" in call.defects:
        return "random()"
    if "page.order-reversed" in call.defects:
        return ", ".join(
            part.removesuffix(" DESC") if part.endswith(" DESC") else f"{part} DESC"
            for part in order.replace(" ASC", "").split(", seq")[:1]
        )
    return order


def _skipping(
    things: Things, call: Call, space: int, cut: pagination.Window, total: int
) -> pagination.Window:
    """Return the part to show; defects take what comes in for what comes before it."""
    grown, things.totals[space] = total - things.totals.get(space, total), total
    if cut.offset and grown > 0 and "page.inserts-skip" in call.defects:
        return replace_field(cut, offset=cut.offset + grown)
    if cut.offset and call.raced and "page.torn-by-writes" in call.defects:
        return replace_field(cut, offset=cut.offset + 1)
    return cut


def _echo(things: Things, call: Call, body: Any, total: int, cut: pagination.Window | None) -> Any:
    """Fill in members that pages usually repeat, where the schema asks for them."""
    if isinstance(body, dict):
        usual: Body = {"total": total, "count": total}
        if cut is not None:
            usual.update(limit=cut.limit, offset=cut.offset, page=cut.page)
        properties = things.schema.get("properties", {})
        for name, value in usual.items():
            if name in properties:
                body.setdefault(name, value)
    return body


def search(things: Things) -> Handler:
    """Return a handler that finds documents by words, or by filters where no query is given."""
    effect = things.effect

    def handle(call: Call) -> Reply:
        found = hits(things, call, call.argument(effect.query) if effect.query else None)
        shown = [_scored(things.resource.show(d.body), score) for score, d in found]
        return Reply(_echo(things, call, put({}, effect.items or "", shown), len(shown), None))

    return handle


def hits(
    things: Things, call: Call, query: str | None, limit: int | None = None, minimum: float = 0.0
) -> list[tuple[float, Document]]:
    """Return what a search finds, best first, with scores above 0 and at most 1."""
    space = things.space(call, "isolation.search")
    where = things.conditions(call)
    wanted = int(call.argument("limit", 10)) if limit is None else limit
    if "search.limit-ignored" in call.defects:
        wanted = -1
    with call.store.reading():
        if query is None:
            found = call.store.find(space, call.now, where, "seq DESC", wanted)
            return [(1.0, document) for document in found]
        return call.store.search(space, call.now, query, where, wanted, minimum)


def _scored(shown: Body, score: float) -> Body:
    return {**shown, "score": round(score, 6)}


_MAKERS: dict[str, Callable[[Things], Handler]] = {
    "create": create,
    "read": read,
    "update": update,
    "replace": replace,
    "delete": delete,
    "list": page,
    "search": search,
}
