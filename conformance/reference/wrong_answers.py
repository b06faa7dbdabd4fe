"""What can be wrong with one answer: named changes from a right answer to a wrong one.

Each is a pure function of (operation, answer) and returns the wrong answer, or None where it does
not apply. One table serves all who need wrong answers on purpose: the sensitivity of a recorded
run, the reference backend's defects, and the load targets' defects. What is wrong only beside
other answers is in `conformance.backend.damages`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.history import Headers, Response, header
from conformance.oracles.found import MISSING, value_in
from specs import Operation, quotas

Wrong = Callable[[Operation | None, Response], Response | None]
Edit = Callable[[Operation, int, Any], Any]
"""(operation, status, a copy of the JSON body) -> the wrong body; MISSING where it cannot be."""
Names = Callable[[Operation], Sequence[str]]
"""The header fields that a change is about, as an operation declares them."""
On = Callable[[int], bool]
"""Which statuses a change applies to."""


# --- which answers --------------------------------------------------------------------------------


def ok(status: int) -> bool:
    """Successes."""
    return 200 <= status < 300


def refused(status: int) -> bool:
    """Refusals, but for the quota."""
    return 400 <= status < 500 and status != 429


def failed(status: int) -> bool:
    """Refusals and failures."""
    return status >= 400


def every(status: int) -> bool:
    """All answers."""
    return True


def only(*statuses: int) -> On:
    """Answers of some statuses."""
    return lambda status: status in statuses


# --- statuses and header fields -------------------------------------------------------------------


def status(on: On, instead: int) -> Wrong:
    """Answer another status."""
    return lambda _, answer: replace(answer, status=instead) if on(answer.status) else None


def fields(names: Names, value: Callable[[str], str | None], on: On = every) -> Wrong:
    """Change header fields by a function of their value; None drops one. A 401 has no figures."""

    def wrong(operation: Operation | None, answer: Response) -> Response | None:
        if operation is None or answer.status == 401 or not on(answer.status):
            return None
        wanted = {name.lower() for name in names(operation)}
        changed = [
            (name, value(given) if name.lower() in wanted else given)
            for name, given in answer.headers
        ]
        made: Headers = tuple((name, given) for name, given in changed if given is not None)
        return replace(answer, headers=made) if made != answer.headers else None

    return wrong


def with_field(answer: Response, name: str, value: str | None) -> Response | None:
    """Return an answer with one field changed, gone if `value` is None; None if it has none."""
    if header(answer.headers, name) is None:
        return None
    kept = tuple((n, v) for n, v in answer.headers if n.lower() != name.lower())
    return replace(answer, headers=kept + (((name, value),) if value is not None else ()))


def quota(*parts: quotas.Part) -> Names:
    """The fields of a quota's figures; all of them if no figure is named."""

    def names(operation: Operation) -> Sequence[str]:
        limit = operation.rate_limit
        if limit is None:
            return ()
        own = quotas.parts(limit)
        return [own[p] for p in parts if p in own] if parts else quotas.names(limit)

    return names


def used(operation: Operation) -> Sequence[str]:
    """The usage figures."""
    return [f.used for f in operation.usage.figures] if operation.usage else ()


def usage_limits(operation: Operation) -> Sequence[str]:
    """The limits of the usage figures."""
    return [f.limit for f in operation.usage.figures if f.limit] if operation.usage else ()


def plan(operation: Operation) -> Sequence[str]:
    """The field that names the plan."""
    return [operation.usage.plan] if operation.usage and operation.usage.plan else ()


def first(names: Names) -> Names:
    """The first of several fields: one wrong figure is harder to notice than many."""
    return lambda operation: names(operation)[:1]


def named(name: str) -> Names:
    """One field, whatever is declared."""
    return lambda operation: (name,)


def ahead(offset: float, factor: float = 1.0) -> Callable[[str], str | None]:
    """A number moved and stretched; what is no number stays."""
    return lambda text: str(int(float(text) * factor + offset)) if _is_number(text) else text


def _is_number(text: str) -> bool:
    return text.strip().lstrip("-").replace(".", "", 1).isdigit()


# --- bodies ---------------------------------------------------------------------------------------


def body(edit: Edit, on: On = ok) -> Wrong:
    """Change the JSON body."""

    def wrong(operation: Operation | None, answer: Response) -> Response | None:
        if operation is None or not on(answer.status):
            return None
        try:
            given = copy.deepcopy(answer.json())
        except ValueError:
            return None
        edited = edit(operation, answer.status, given)
        if edited is MISSING:
            return None
        return replace(answer, body=json.dumps(edited).encode())

    return wrong


def raw(data: bytes, media_type: str | None = None, on: On = every) -> Wrong:
    """Send other bytes, under another media type if one is given."""

    def wrong(_: Operation | None, answer: Response) -> Response | None:
        if not answer.body or not on(answer.status):
            return None
        made = replace(answer, body=data)
        return made if media_type is None else with_field(made, "content-type", media_type)

    return wrong


def cut(_: Operation | None, answer: Response) -> Response | None:
    """Break off in the middle of the body."""
    if len(answer.body) < 4:
        return None
    return replace(answer, body=answer.body[: len(answer.body) // 2], complete=False)


def stream(edit: Callable[[list[bytes]], list[bytes]]) -> Wrong:
    """Change the events of a stream."""

    def wrong(_: Operation | None, answer: Response) -> Response | None:
        if answer.media_type != "text/event-stream":
            return None
        made = b"".join(block + b"\n\n" for block in edit(blocks(answer.body)))
        return replace(answer, body=made) if made != answer.body else None

    return wrong


def plain(change: Wrong) -> Wrong:
    """Apply a change to answers that are no streams."""

    def wrong(operation: Operation | None, answer: Response) -> Response | None:
        return None if answer.media_type == "text/event-stream" else change(operation, answer)

    return wrong


def blocks(data: bytes) -> list[bytes]:
    """Return the events of a stream, each without the empty line after it."""
    return [block for block in data.split(b"\n\n") if block.strip()]


def as_array(_: Operation | None, answer: Response) -> Response | None:
    """Send the events of a stream as one JSON array."""
    if answer.media_type != "text/event-stream":
        return None
    events = [block.removeprefix(b"data: ") for block in blocks(answer.body)]
    made = replace(answer, body=b"[" + b",".join(events) + b"]")
    return with_field(made, "content-type", "application/json")


# --- what a body says -----------------------------------------------------------------------------


def at(path: str | None, given: Any, value: Callable[[Any], Any]) -> Any:
    """Return the body with the value at a pointer changed; MISSING where there is none."""
    if path is None or value_in(given, path) is MISSING:
        return MISSING
    changed = value(value_in(given, path))
    if changed is MISSING or path == "":
        return changed
    parent, _, name = path.rpartition("/")
    holder = value_in(given, parent)
    if isinstance(holder, dict):
        holder[name] = changed
    return given


def required_member(value: Callable[[Any], Any], place: int = 0) -> Edit:
    """Change a required member; MISSING as its value drops it."""

    def edit(operation: Operation, status_: int, given: Any) -> Any:
        declared = operation.response(status_)
        schema = declared.schema if declared else None
        names = (schema or {}).get("required", ()) if isinstance(given, dict) else ()
        there = [name for name in names if name in given]
        if not there:
            return MISSING
        changed = value(given.pop(there[place]))
        return given if changed is MISSING else {**given, there[place]: changed}

    return edit


def envelope(which: str, value: Callable[[Any], Any]) -> Edit:
    """Change a declared member of the error envelope."""

    def edit(operation: Operation, status_: int, given: Any) -> Any:
        errors = operation.errors
        return at(getattr(errors.envelope, which), given, value) if errors else MISSING

    return edit


def another_code(operation: Operation, status_: int, given: Any) -> Any:
    """Give another code where the contract states one for the status; of others none is wrong."""
    answers = operation.errors.answers.values() if operation.errors else ()
    if not any(a.code is not None and a.status == status_ for a in answers):
        return MISSING
    return envelope("code", lambda v: "something_else")(operation, status_, given)


def _moved(operation: Operation, status_: int, given: Any) -> Any:
    return {"failure": given} if isinstance(given, dict) else MISSING


def message(text: str) -> Edit:
    """Say more in the message than outsiders should read."""
    return envelope("message", lambda old: f"{old} {text}" if isinstance(old, str) else MISSING)


def items(change: Callable[[list[Any]], Any], least: int = 1) -> Edit:
    """Change the items of a page, list or search that has at least so many."""

    def edit(operation: Operation, status_: int, given: Any) -> Any:
        paging, effect = operation.pagination, operation.effect
        path = paging.items if paging else (effect.items if effect else None)
        return at(path, given, lambda found: change(found)
                  if isinstance(found, list) and len(found) >= least else MISSING)  # fmt: skip

    return edit


def told_apart(change: Edit) -> Edit:
    """Change items that have ids only: of others nobody can say that two are one."""

    def edit(operation: Operation, status_: int, given: Any) -> Any:
        effect = operation.effect
        return change(operation, status_, given) if effect and effect.item_id else MISSING

    return edit


def ordered(change: Edit) -> Edit:
    """Change items whose order is promised only: by paging, or by a relation that sorts them."""

    def edit(operation: Operation, status_: int, given: Any) -> Any:
        sorts = any("sorted" in r.op for r in operation.relations)
        promised = operation.pagination is not None or sorts
        return change(operation, status_, given) if promised else MISSING

    return edit


def turned_round(found: list[Any]) -> Any:
    """The items backwards, if that is another order."""
    return found[::-1] if found != found[::-1] else MISSING


def page(which: str, value: Callable[[Any], Any]) -> Edit:
    """Change what a page says of the whole list."""
    return lambda operation, _, given: (
        at(getattr(operation.pagination, which), given, value) if operation.pagination else MISSING
    )


def written(operation: Operation, status_: int, given: Any) -> Any:
    """Change the longest text of a record that a read shows."""
    effect = operation.effect
    if effect is None or effect.kind != "read" or not isinstance(given, dict):
        return MISSING
    texts = {n: v for n, v in given.items() if isinstance(v, str) and " " in v}
    if not texts:
        return MISSING
    name = max(texts, key=lambda n: len(texts[n]))
    return {**given, name: given[name] + " changed"}


def idempotent(path: Callable[[Any], str | None], value: Callable[[Any], Any]) -> Wrong:
    """Change what an answer repeats, or says of being a replay."""
    return body(lambda operation, _, given: at(path(operation.idempotency), given, value)
                if operation.idempotency else MISSING)  # fmt: skip


def effect(which: str, value: Callable[[Any], Any], *kinds: str) -> Wrong:
    """Change what an answer says of an operation's effect."""

    def edit(operation: Operation, status_: int, given: Any) -> Any:
        declared = operation.effect
        if declared is None or (kinds and declared.kind not in kinds):
            return MISSING
        return at(getattr(declared, which), given, value)

    return body(edit)


def batch(change: Callable[[list[Any]], Any]) -> Wrong:
    """Change the results of a batch of several entries."""
    return effect("items", lambda found: change(found) if len(found) > 1 else MISSING, "batch")


def _flip_success(found: list[Any]) -> Any:
    for item in found:
        if isinstance(item, dict) and isinstance(item.get("success"), bool):
            item["success"] = not item["success"]
            return found
    return MISSING


def _summary(operation: Operation, status_: int, given: Any) -> Any:
    summary = given.get("summary") if isinstance(given, dict) else None
    if not isinstance(summary, dict) or not isinstance(summary.get("failed"), int):
        return MISSING
    return {**given, "summary": {**summary, "failed": summary["failed"] + 1}}


def relation(op: str, value: Callable[[Any], Any]) -> Wrong:
    """Break a declared relation of one kind."""

    def edit(operation: Operation, status_: int, given: Any) -> Any:
        for each in operation.relations:
            if each.op == op and "*" not in each.left:
                return at(each.left, given, value)
        return MISSING

    return body(edit)


def _scores(operation: Operation, status_: int, given: Any) -> Any:
    for each in operation.relations:
        if each.op.startswith("sorted"):
            path = each.left.split("/*")[0]
            found = value_in(given, path)
            if isinstance(found, list) and len(found) > 1 and found != found[::-1]:
                return at(path, given, lambda found: found[::-1])
    return MISSING


PAGE = b"<!doctype html><title>Error</title><h1>Error</h1>"
LIMITED = only(429)

ANSWERS: Mapping[str, Wrong] = {
    # statuses
    "accepted becomes 500": status(ok, 500),
    "accepted becomes 202 undeclared": status(ok, 299),
    "accepted becomes 400": status(ok, 400),
    "refused becomes 200": status(refused, 200),
    "refused becomes 500": status(refused, 500),
    "refused becomes an undeclared status": status(refused, 418),
    "401 becomes 403": status(only(401), 403),
    "404 becomes 403": status(only(404), 403),
    "404 becomes 400": status(only(404), 400),
    "429 becomes 503": status(LIMITED, 503),
    "405 becomes 200": status(only(405), 200),
    # header fields
    "no Content-Type": fields(named("content-type"), lambda v: None),
    "JSON called text/html": fields(
        named("content-type"), lambda v: "text/html" if "json" in v else v),
    "no quota header": fields(quota("limit"), lambda v: None),
    "no remaining header": fields(quota("remaining"), lambda v: None),
    "no reset header": fields(quota("reset"), lambda v: None),
    "remaining negative": fields(quota("remaining"), lambda v: "-1"),
    "remaining above the quota": fields(quota("remaining"), lambda v: "99999999"),
    "remaining in words": fields(quota("remaining"), lambda v: "plenty"),
    "remaining left at a refusal":
        fields(quota("remaining"), lambda v: "3", LIMITED),
    "quota changes": fields(quota("limit"), ahead(1)),
    "reset in milliseconds": fields(quota("reset"), ahead(0, 1000)),
    "reset in the past": fields(quota("reset"), ahead(-90_000)),
    "reset relative": fields(quota("reset"), lambda v: "30" if len(v) > 8 else "1999999999"),
    "no Retry-After": fields(named("retry-after"), lambda v: None),
    "Retry-After in words": fields(named("retry-after"), lambda v: "soon"),
    "Retry-After negative": fields(named("retry-after"), lambda v: "-5"),
    "Retry-After too short": fields(named("retry-after"), lambda v: "0"),
    "no usage figure": fields(first(used), lambda v: None),
    "usage figure in words": fields(first(used), lambda v: "many"),
    "another plan": fields(plan, lambda v: v + "-other"),
    "no plan": fields(plan, lambda v: None),
    "no Allow with 405": fields(named("allow"), lambda v: None, only(405)),
    # bodies
    "a required field gone": body(required_member(lambda v: MISSING)),
    "a field of another type": body(required_member(lambda v: [{"odd": True}])),
    "a field null": body(required_member(lambda v: None)),
    "body cut short": cut,
    "body not JSON": raw(b'{"half":'),
    "body empty": raw(b""),
    "an HTML page": raw(b"<html><h1>Bad Gateway</h1></html>", "text/html"),
    # errors
    "error code gone": body(envelope("code", lambda v: None), refused),
    "another error code": body(another_code, refused),
    "error message empty": body(envelope("message", lambda v: ""), refused),
    "request id gone": body(envelope("request_id", lambda v: None), refused),
    "envelope moved": body(_moved, refused),
    "a stack trace": body(
        message('Traceback (most recent call last): File "app.py", line 3, in f'), refused),
    "an SQL statement": body(message("SELECT * FROM memories WHERE id=?"), refused),
    "a path of the server": body(message("at /srv/app/releases/12/main.py"), refused),
    # pages
    "an item twice on a page": body(told_apart(items(lambda i: [i[0], *i]))),
    "an item missing from a page": body(items(lambda i: i[1:], 2)),
    "a page turned round": body(ordered(items(turned_round, 2))),
    "a page or result empty": body(items(lambda i: [])),
    "total one too high": body(page("total", lambda v: v + 1)),
    "total stale": body(page("total", lambda v: max(0, v - 1) if v else MISSING)),
    "has-more turned round": body(page("has_more", lambda v: not v)),
    "next cursor gone": body(page("next", lambda v: None if v else MISSING)),
    # records
    "a written value changed": body(written),
    "created id changed": effect("id", lambda v: f"{v}x" if isinstance(v, str) else MISSING,
                                  "create"),
    "a batch id gone": effect("ids", lambda v: v[1:] if v else MISSING, "create"),
    # repeated requests, batches, forgetting
    "replay flag turned round": idempotent(lambda p: p.replayed, lambda v: not v),
    "replay with another id": idempotent(
        lambda p: p.stable[0] if p.stable else None, lambda v: f"{v}x"),
    "a batch entry's outcome turned round": batch(_flip_success),
    "batch results in another order": batch(lambda items: items[::-1]),
    "a batch result gone": batch(lambda items: items[1:]),
    "batch summary wrong": body(_summary),
    "forgotten count wrong": effect("count", lambda v: v + 1 if isinstance(v, int) else MISSING,
                                     "forget"),
    "receipt id changed": effect("receipt", lambda v: f"{v}x", "forget"),
    # relations and streams
    "a bound of the request exceeded": relation("<=", lambda v: 10**9),
    "an echo of the request wrong": relation("==", lambda v: "something else"),
    "more items than asked for": relation(
        "max-items", lambda v: [*v, *v, *v, *v, *v] if v else MISSING),
    "scores in another order": body(_scores),
    "no last event": stream(lambda events: events[:-1]),
    "events without a type": stream(
        lambda events: [e.replace(b'"type"', b'"kind"') for e in events]),
}  # fmt: skip
"""Everything that can be wrong with one answer, by what is then wrong."""
