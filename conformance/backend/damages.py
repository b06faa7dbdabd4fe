"""Kinds of damage that a backend's answers can have, applied to a recording one at a time.

Each is a function of the recorded answers of one case and a place in them; it returns the
answers with the damage done there, or None where that kind of damage does not apply. Pure; what
is made of it is in `sensitivity.py`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.backend.recording import Kept
from conformance.history import Headers, Response, header
from conformance.oracles.found import MISSING, value_in
from specs import Contract, Operation, quotas

Change = Callable[["Scene"], "list[Kept] | None"]


@dataclass(frozen=True)
class Scene:
    """The answers of one case, and the place where something is damaged."""

    contract: Contract
    kept: Sequence[Kept]
    index: int

    @property
    def here(self) -> Kept:
        """The answer at the place."""
        return self.kept[self.index]

    @property
    def response(self) -> Response | None:
        """The response at the place."""
        return self.here.answer.response

    @property
    def status(self) -> int:
        """Its status, 0 where there is none."""
        return self.response.status if self.response else 0

    @property
    def operation(self) -> Operation | None:
        """The operation that it answers."""
        exchange = self.here.exchange
        return self.contract[exchange.operation] if exchange and exchange.operation else None

    @property
    def body(self) -> Any:
        """A copy of the JSON body, MISSING where it is none."""
        if self.response is None:
            return MISSING
        try:
            return copy.deepcopy(self.response.json())
        except ValueError:
            return MISSING

    def with_response(self, response: Response) -> list[Kept]:
        """Return the answers with another response at the place."""
        changed = list(self.kept)
        answer = replace(self.here.answer, response=response)
        changed[self.index] = replace(self.here, answer=answer)
        return changed

    def with_body(self, body: Any) -> list[Kept] | None:
        """Return the answers with another JSON body at the place."""
        if self.response is None:
            return None
        data = json.dumps(body).encode()
        return self.with_response(replace(self.response, body=data))

    def with_header(self, name: str, value: str | None) -> list[Kept] | None:
        """Return the answers with a header changed, or gone where `value` is None."""
        if self.response is None or header(self.response.headers, name) is None:
            return None
        kept: Headers = tuple((n, v) for n, v in self.response.headers if n.lower() != name.lower())
        more = ((name, value),) if value is not None else ()
        return self.with_response(replace(self.response, headers=kept + more))

    def earlier(self, wanted: Callable[[Kept], bool]) -> Kept | None:
        """Return the last answer before the place that is wanted."""
        return next((k for k in reversed(self.kept[: self.index]) if wanted(k)), None)


def _status(wanted: Callable[[int], bool], status: int) -> Change:
    def change(scene: Scene) -> list[Kept] | None:
        if scene.response is None or scene.operation is None or not wanted(scene.status):
            return None
        return scene.with_response(replace(scene.response, status=status))

    return change


def _ok(status: int) -> bool:
    return 200 <= status < 300


def _refused(status: int) -> bool:
    return 400 <= status < 500 and status != 429


def _headers(part: Callable[[Operation], str | None], value: Callable[[str], str | None]) -> Change:
    """Change the header whose name an operation declares, by a function of its value."""

    def change(scene: Scene) -> list[Kept] | None:
        operation, response = scene.operation, scene.response
        name = part(operation) if operation else None
        if name is None or response is None or response.status == 401:
            return None
        given = header(response.headers, name)
        return scene.with_header(name, value(given)) if given is not None else None

    return change


def _limit(which: quotas.Part) -> Callable[[Operation], str | None]:
    def part(operation: Operation) -> str | None:
        limit = operation.rate_limit
        return quotas.parts(limit).get(which) if limit is not None else None

    return part


def _used(operation: Operation) -> str | None:
    figures = operation.usage.figures if operation.usage else ()
    return figures[0].used if figures else None


def _plan(operation: Operation) -> str | None:
    return operation.usage.plan if operation.usage else None


def _named(name: str) -> Callable[[Operation], str | None]:
    return lambda operation: name


def _ahead(offset: float, factor: float = 1.0) -> Callable[[str], str | None]:
    return lambda text: str(int(float(text) * factor + offset)) if _is_number(text) else None


def _is_number(text: str) -> bool:
    return text.strip().lstrip("-").replace(".", "", 1).isdigit()


def _only(status: Callable[[int], bool], change: Change) -> Change:
    """Apply a change to answers of some statuses only."""
    return lambda scene: change(scene) if status(scene.status) else None


def _body(edit: Callable[[Scene, Any], Any], status: Callable[[int], bool] = _ok) -> Change:
    """Change the JSON body of answers of some statuses; `edit` returns MISSING where it cannot."""

    def change(scene: Scene) -> list[Kept] | None:
        if scene.operation is None or not status(scene.status):
            return None
        body = scene.body
        if body is MISSING:
            return None
        edited = edit(scene, body)
        return None if edited is MISSING else scene.with_body(edited)

    return change


def _required(scene: Scene, body: Any) -> str | None:
    operation = scene.operation
    declared = operation.response(scene.status) if operation else None
    schema = declared.schema if declared else None
    names = schema.get("required", ()) if schema else ()
    return next((n for n in names if isinstance(body, dict) and n in body), None)


def _drop_field(scene: Scene, body: Any) -> Any:
    name = _required(scene, body)
    return MISSING if name is None else {n: v for n, v in body.items() if n != name}


def _set_field(value: Any) -> Callable[[Scene, Any], Any]:
    def edit(scene: Scene, body: Any) -> Any:
        name = _required(scene, body)
        return MISSING if name is None else {**body, name: value}

    return edit


def _at(path: str | None, body: Any, value: Callable[[Any], Any]) -> Any:
    """Return the body with the value at a pointer changed; MISSING where there is none."""
    if path is None or value_in(body, path) is MISSING:
        return MISSING
    changed = value(value_in(body, path))
    if changed is MISSING or path == "":
        return changed
    parent, _, name = path.rpartition("/")
    holder = value_in(body, parent)
    if isinstance(holder, dict):
        holder[name] = changed
    return body


def _envelope(which: str, value: Callable[[Any], Any]) -> Callable[[Scene, Any], Any]:
    def edit(scene: Scene, body: Any) -> Any:
        errors = scene.operation.errors if scene.operation else None
        return _at(getattr(errors.envelope, which), body, value) if errors else MISSING

    return edit


def _another_code(scene: Scene, body: Any) -> Any:
    """Give another code where the contract states one for the status; of others none is wrong."""
    errors = scene.operation.errors if scene.operation else None
    answers = errors.answers.values() if errors else ()
    if not any(a.code is not None and a.status == scene.status for a in answers):
        return MISSING
    return _envelope("code", lambda v: "something_else")(scene, body)


def _moved_envelope(scene: Scene, body: Any) -> Any:
    return {"failure": body} if isinstance(body, dict) else MISSING


def _message(text: str) -> Callable[[Scene, Any], Any]:
    return _envelope("message", lambda old: f"{old} {text}" if isinstance(old, str) else MISSING)


def _items(edit: Callable[[list[Any]], Any]) -> Callable[[Scene, Any], Any]:
    """Edit the items of a page, list or search."""

    def change(scene: Scene, body: Any) -> Any:
        operation = scene.operation
        if operation is None:
            return MISSING
        paging, effect = operation.pagination, operation.effect
        path = paging.items if paging else (effect.items if effect else None)
        return _at(path, body, lambda items: edit(items) if isinstance(items, list) else MISSING)

    return change


def _with(size: int, edit: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    return lambda items: edit(items) if len(items) >= size else MISSING


def _told_apart(edit: Callable[[Scene, Any], Any]) -> Callable[[Scene, Any], Any]:
    """Edit items that have ids only: of others nobody can say that two are one."""

    def change(scene: Scene, body: Any) -> Any:
        effect = scene.operation.effect if scene.operation else None
        return edit(scene, body) if effect and effect.item_id else MISSING

    return change


def _ordered(edit: Callable[[Scene, Any], Any]) -> Callable[[Scene, Any], Any]:
    """Edit items whose order is promised only: by paging, or by a relation that sorts them."""

    def change(scene: Scene, body: Any) -> Any:
        operation = scene.operation
        sorts = operation is not None and any("sorted" in r.op for r in operation.relations)
        promised = operation is not None and (operation.pagination is not None or sorts)
        return edit(scene, body) if promised else MISSING

    return change


def _paged(which: str, value: Callable[[Any], Any]) -> Callable[[Scene, Any], Any]:
    def edit(scene: Scene, body: Any) -> Any:
        paging = scene.operation.pagination if scene.operation else None
        return _at(getattr(paging, which), body, value) if paging else MISSING

    return edit


def _written(scene: Scene, body: Any) -> Any:
    """Change the longest text of a record that a read shows."""
    effect = scene.operation.effect if scene.operation else None
    if effect is None or effect.kind != "read" or not isinstance(body, dict):
        return MISSING
    texts = {n: v for n, v in body.items() if isinstance(v, str) and " " in v}
    if not texts:
        return MISSING
    name = max(texts, key=lambda n: len(texts[n]))
    return {**body, name: body[name] + " changed"}


def _stale(scene: Scene) -> list[Kept] | None:
    """Answer a read as it was answered before the last write."""
    operation, mine = scene.operation, scene.here.exchange
    if operation is None or mine is None or not operation.safe or not _ok(scene.status):
        return None

    def before(kept: Kept) -> bool:
        other = kept.exchange
        return (
            other is not None and other.request.target == mine.request.target
            and other.request.method == mine.request.method
            and other.principal == mine.principal and _ok(other.status or 0)
            and kept.answer.response is not None
            and kept.answer.response.body != mine.response.body  # type: ignore[union-attr]
        )  # fmt: skip

    old = scene.earlier(before)
    return scene.with_response(old.answer.response) if old and old.answer.response else None


def _undead(scene: Scene) -> list[Kept] | None:
    """Answer a read of what is gone as when it was there."""
    mine = scene.here.exchange
    if mine is None or scene.status not in (404, 410) or mine.request.method != "GET":
        return None
    old = scene.earlier(
        lambda k: k.exchange is not None and k.exchange.request.target == mine.request.target
        and k.exchange.request.method == "GET" and _ok(k.exchange.status or 0)
    )  # fmt: skip
    return scene.with_response(old.answer.response) if old and old.answer.response else None


def _swapped(scene: Scene) -> list[Kept] | None:
    """Give one tenant the answer that another got to the same request."""
    mine = scene.here.exchange
    if mine is None or mine.principal in ("", "a"):
        return None
    old = scene.earlier(
        lambda k: k.exchange is not None and k.exchange.principal == "a"
        and k.exchange.request.target == mine.request.target
        and k.exchange.request.method == mine.request.method and _ok(k.exchange.status or 0)
        and k.answer.response != scene.response
    )  # fmt: skip
    return scene.with_response(old.answer.response) if old and old.answer.response else None


def _repeated_request_id(scene: Scene) -> list[Kept] | None:
    errors = scene.operation.errors if scene.operation else None
    path = errors.envelope.request_id if errors else None
    old = scene.earlier(lambda k: k.answer.response is not None and k.answer.response.status >= 400)
    if path is None or old is None or old.answer.response is None or scene.status < 400:
        return None
    given = value_in(old.answer.response.json_or_none(), path)
    body = scene.body
    if not isinstance(given, str) or body is MISSING:
        return None
    edited = _at(path, body, lambda _: given)
    return None if edited is MISSING else scene.with_body(edited)


def _frozen(name_of: Callable[[Operation], str | None], by: int = 0) -> Change:
    """Repeat a header's earlier value, moved by `by`."""

    def change(scene: Scene) -> list[Kept] | None:
        operation = scene.operation
        name = name_of(operation) if operation else None
        if name is None or scene.response is None:
            return None
        mine = scene.here.exchange
        old = scene.earlier(
            lambda k: k.exchange is not None and mine is not None
            and k.exchange.principal == mine.principal and k.answer.response is not None
            and header(k.answer.response.headers, name) is not None
        )  # fmt: skip
        if old is None or old.answer.response is None:
            return None
        value = header(old.answer.response.headers, name) or ""
        if not value.isdigit() or str(int(value) + by) == header(scene.response.headers, name):
            return None
        return scene.with_header(name, str(int(value) + by))

    return change


def _idempotent(path: Callable[[Any], str | None], value: Callable[[Any], Any]) -> Change:
    def edit(scene: Scene, body: Any) -> Any:
        promise = scene.operation.idempotency if scene.operation else None
        return _at(path(promise), body, value) if promise else MISSING

    return _body(edit)


def _effect(which: str, value: Callable[[Any], Any], *kinds: str) -> Change:
    def edit(scene: Scene, body: Any) -> Any:
        effect = scene.operation.effect if scene.operation else None
        if effect is None or (kinds and effect.kind not in kinds):
            return MISSING
        return _at(getattr(effect, which), body, value)

    return _body(edit)


def _batch(edit: Callable[[list[Any]], Any]) -> Change:
    return _effect("items", lambda items: edit(items) if len(items) > 1 else MISSING, "batch")


def _flip_success(items: list[Any]) -> Any:
    for item in items:
        if isinstance(item, dict) and isinstance(item.get("success"), bool):
            item["success"] = not item["success"]
            return items
    return MISSING


def _summary(scene: Scene, body: Any) -> Any:
    summary = body.get("summary") if isinstance(body, dict) else None
    if not isinstance(summary, dict) or not isinstance(summary.get("failed"), int):
        return MISSING
    return {**body, "summary": {**summary, "failed": summary["failed"] + 1}}


def _raw(body: bytes, media_type: str | None = None) -> Change:
    def change(scene: Scene) -> list[Kept] | None:
        if scene.response is None or scene.operation is None or not scene.response.body:
            return None
        made = scene.with_response(replace(scene.response, body=body))
        if media_type is None:
            return made
        return replace(scene, kept=made).with_header("content-type", media_type)

    return change


def _cut(scene: Scene) -> list[Kept] | None:
    response = scene.response
    if response is None or scene.operation is None or len(response.body) < 4:
        return None
    return scene.with_response(
        replace(response, body=response.body[: len(response.body) // 2], complete=False)
    )


def _stream(edit: Callable[[bytes], bytes]) -> Change:
    def change(scene: Scene) -> list[Kept] | None:
        response = scene.response
        if response is None or response.media_type != "text/event-stream":
            return None
        return scene.with_response(replace(response, body=edit(response.body)))

    return change


def _last_event_gone(body: bytes) -> bytes:
    blocks = [b for b in body.split(b"\n\n") if b.strip()]
    return b"\n\n".join(blocks[:-1]) + b"\n\n"


def _relation(op: str, value: Callable[[Any], Any]) -> Change:
    """Break a declared relation of one kind."""

    def edit(scene: Scene, body: Any) -> Any:
        for relation in scene.operation.relations if scene.operation else ():
            if relation.op == op and "*" not in relation.left:
                return _at(relation.left, body, value)
        return MISSING

    return _body(edit)


def _scores(scene: Scene, body: Any) -> Any:
    for relation in scene.operation.relations if scene.operation else ():
        if relation.op.startswith("sorted"):
            path = relation.left.split("/*")[0]
            items = value_in(body, path)
            if isinstance(items, list) and len(items) > 1 and items != items[::-1]:
                return _at(path, body, lambda items: items[::-1])
    return MISSING


KINDS: Mapping[str, Change] = {
    # statuses
    "accepted becomes 500": _status(_ok, 500),
    "accepted becomes 202 undeclared": _status(_ok, 299),
    "accepted becomes 400": _status(_ok, 400),
    "refused becomes 200": _status(_refused, 200),
    "refused becomes 500": _status(_refused, 500),
    "refused becomes an undeclared status": _status(_refused, 418),
    "401 becomes 403": _status(lambda s: s == 401, 403),
    "404 becomes 403": _status(lambda s: s == 404, 403),
    "404 becomes 400": _status(lambda s: s == 404, 400),
    "429 becomes 503": _status(lambda s: s == 429, 503),
    "405 becomes 200": _status(lambda s: s == 405, 200),
    # header fields
    "no Content-Type": lambda s: s.with_header("content-type", None) if s.operation else None,
    "JSON called text/html": lambda s: s.with_header("content-type", "text/html")
    if s.operation and s.response and s.response.media_type.endswith("json") else None,
    "no quota header": _headers(_limit("limit"), lambda v: None),
    "no remaining header": _headers(_limit("remaining"), lambda v: None),
    "no reset header": _headers(_limit("reset"), lambda v: None),
    "remaining negative": _headers(_limit("remaining"), lambda v: "-1"),
    "remaining above the quota": _headers(_limit("remaining"), lambda v: "99999999"),
    "remaining in words": _headers(_limit("remaining"), lambda v: "plenty"),
    "remaining frozen": _frozen(_limit("remaining")),
    "remaining counts two": _frozen(_limit("remaining"), -2),
    "remaining left at a refusal":
        _only(lambda s: s == 429, _headers(_limit("remaining"), lambda v: "3")),
    "quota changes": _headers(_limit("limit"), _ahead(1)),
    "reset in milliseconds": _headers(_limit("reset"), _ahead(0, 1000)),
    "reset in the past": _headers(_limit("reset"), _ahead(-90_000)),
    "reset relative": _headers(_limit("reset"), lambda v: "30" if len(v) > 8 else "1999999999"),
    "no Retry-After": _headers(_named("retry-after"), lambda v: None),
    "Retry-After in words": _headers(_named("retry-after"), lambda v: "soon"),
    "Retry-After negative": _headers(_named("retry-after"), lambda v: "-5"),
    "Retry-After too short": _headers(_named("retry-after"), lambda v: "0"),
    "no usage figure": _headers(_used, lambda v: None),
    "usage figure in words": _headers(_used, lambda v: "many"),
    "usage figure shrinks": _frozen(_used, -1),
    "another plan": _headers(_plan, lambda v: v + "-other"),
    "no plan": _headers(_plan, lambda v: None),
    "no Allow with 405": _only(lambda s: s == 405, _headers(_named("allow"), lambda v: None)),
    # bodies
    "a required field gone": _body(_drop_field),
    "a field of another type": _body(_set_field([{"odd": True}])),
    "a field null": _body(_set_field(None)),
    "body cut short": _cut,
    "body not JSON": _raw(b'{"half":'),
    "body empty": _raw(b""),
    "an HTML page": _raw(b"<html><h1>Bad Gateway</h1></html>", "text/html"),
    # errors
    "error code gone": _body(_envelope("code", lambda v: None), _refused),
    "another error code": _body(_another_code, _refused),
    "error message empty": _body(_envelope("message", lambda v: ""), _refused),
    "request id gone": _body(_envelope("request_id", lambda v: None), _refused),
    "request id repeated": _repeated_request_id,
    "envelope moved": _body(_moved_envelope, _refused),
    "a stack trace": _body(
        _message('Traceback (most recent call last): File "app.py", line 3, in f'), _refused),
    "an SQL statement": _body(_message("SELECT * FROM memories WHERE id=?"), _refused),
    "a path of the server": _body(_message("at /srv/app/releases/12/main.py"), _refused),
    # pages
    "an item twice on a page": _body(_told_apart(_items(_with(1, lambda i: [i[0], *i])))),
    "an item missing from a page": _body(_items(_with(2, lambda i: i[1:]))),
    "a page turned round": _body(
        _ordered(_items(_with(2, lambda i: i[::-1] if i != i[::-1] else MISSING)))),
    "a page or result empty": _body(_items(_with(1, lambda i: []))),
    "total one too high": _body(_paged("total", lambda v: v + 1)),
    "total stale": _body(_paged("total", lambda v: max(0, v - 1) if v else MISSING)),
    "has-more turned round": _body(_paged("has_more", lambda v: not v)),
    "next cursor gone": _body(_paged("next", lambda v: None if v else MISSING)),
    # records
    "a stale read": _stale,
    "a deleted record readable": _undead,
    "a written value changed": _body(_written),
    "another tenant's answer": _swapped,
    "created id changed": _effect("id", lambda v: f"{v}x" if isinstance(v, str) else MISSING,
                                  "create"),
    "a batch id gone": _effect("ids", lambda v: v[1:] if v else MISSING, "create"),
    # repeated requests, batches, forgetting
    "replay flag turned round": _idempotent(lambda p: p.replayed, lambda v: not v),
    "replay with another id": _idempotent(
        lambda p: p.stable[0] if p.stable else None, lambda v: f"{v}x"),
    "a batch entry's outcome turned round": _batch(_flip_success),
    "batch results in another order": _batch(lambda items: items[::-1]),
    "a batch result gone": _batch(lambda items: items[1:]),
    "batch summary wrong": _body(_summary),
    "forgotten count wrong": _effect("count", lambda v: v + 1 if isinstance(v, int) else MISSING,
                                     "forget"),
    "receipt id changed": _effect("receipt", lambda v: f"{v}x", "forget"),
    # relations and streams
    "a bound of the request exceeded": _relation("<=", lambda v: 10**9),
    "an echo of the request wrong": _relation("==", lambda v: "something else"),
    "more items than asked for": _relation(
        "max-items", lambda v: [*v, *v, *v, *v, *v] if v else MISSING),
    "scores in another order": _body(_scores),
    "no last event": _stream(_last_event_gone),
    "events without a type": _stream(lambda b: b.replace(b'"type"', b'"kind"')),
}  # fmt: skip
"""Every kind of damage, by what is then wrong."""
