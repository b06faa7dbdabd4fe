"""Which operation creates, reads, lists, finds, changes and deletes what: guessed from the paths.

`POST /notes` with `GET /notes/{id}` is the whole idea; the rest is where real descriptions depart
from it: wrapped answers, ids under other names, lists by POST, records inside of records.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from specs.contract import Operation, Schema
from specs.draft import shapes
from specs.draft.guesses import Draft, Guess

IDS = ("id", "uuid", "uid", "guid", "key", "slug", "name", "hash")
LISTING = ("filter", "list", "paginate")
SEARCHING = ("search", "query", "recall", "find", "retrieve")
QUERIES = ("query", "q", "search", "text", "prompt", "query_text", "input", "search_query")
TEXTS = ("content", "text", "memory", "body", "message", "note", "description")
MAKING = ("", "create", "add", "new", "store")


@dataclass
class Collection:
    """Records of one kind: where several are, and where one is."""

    path: str
    resource: str
    id: str | None = None
    """Path parameter that names one."""
    one: list[Operation] = field(default_factory=list)
    many: list[Operation] = field(default_factory=list)
    key: str | None = None
    """Property that holds the id."""


def collections(draft: Draft) -> list[Collection]:
    """Return the collections of a description: `/notes` beside `/notes/{id}`."""
    found: dict[str, Collection] = {}
    for operation in draft.contract:
        match = re.fullmatch(r"(.*/[^/{}]+)/\{([^/{}]+)\}/?", operation.path)
        if match:
            made = found.setdefault(match[1], Collection(match[1], "", match[2]))
            made.one.append(operation)
    for operation in draft.contract:
        path = operation.path.rstrip("/")
        if path in found:
            found[path].many.append(operation)
            continue
        parent, _, last = path.rpartition("/")
        if parent in found and last in (*MAKING[1:], *LISTING) and operation.verb == "POST":
            found[parent].many.append(operation)
        elif re.fullmatch(r".*/[^/{}]+", path) and _lone(draft, operation, path):
            found.setdefault(path, Collection(path, "")).many.append(operation)
    _name(found)
    return sorted(found.values(), key=lambda c: c.path.count("/"))


def _lone(draft: Draft, operation: Operation, path: str) -> bool:
    """Return True for what creates and lists records that cannot be read one by one."""
    if operation.verb not in ("GET", "POST"):
        return False
    verbs = {o.verb for o in draft.contract if o.path.rstrip("/") == path}
    lister = next(
        (o for o in draft.contract if o.path.rstrip("/") == path and o.verb == "GET"), None
    )
    return {"GET", "POST"} <= verbs and lister is not None and bool(_listed(lister, None))


def _name(found: dict[str, Collection]) -> None:
    """Give each kind of record a name of its own, with its parent's where two are called alike."""
    taken: dict[str, str] = {}
    for path, each in found.items():
        words = [w for w in path.split("/") if w and "{" not in w]
        name = shapes.singular(words[-1]) or "record"
        if name in taken and len(words) > 1:
            name = f"{shapes.singular(words[-2])}_{name}"
        while name in taken:
            name += "_"
        taken[name] = path
        each.resource = name


def guess(draft: Draft, found: list[Collection]) -> None:
    """Add the effects of every collection to a draft."""
    for each in found:
        each.key = _key(each)
    for each in found:
        for operation in each.many:
            _of_many(draft, each, operation)
        for operation in each.one:
            _of_one(draft, each, operation)
    for operation in draft.contract:
        if not draft.effect(operation) and operation.bare:
            _search(draft, found, operation)
            _listing_of_ids(draft, found, operation)


def _key(each: Collection) -> str | None:
    """Return the property that holds the id, from any answer that shows one record."""
    for operation in (*each.one, *each.many):
        for schema in _records(operation):
            name = shapes.named(schema, _names(each), ("string", "integer"))
            if name is not None:
                return name
    return None


def _records(operation: Operation) -> Iterator[Schema]:
    """Yield the schemas that may be that of a record in an answer."""
    answer = shapes.success(operation)
    for _, schema in shapes.inside(answer):
        yield schema
    for _, entry in shapes.arrays(answer):
        yield entry


def _names(each: Collection) -> list[str]:
    """Return what the id may be called, the likeliest first."""
    own = [each.id] if each.id else []
    bare = re.sub(r"[_-]?(identifier|id|name|key)$", "", each.id or "", flags=re.I)
    ends = ["name"] if (each.id or "").lower().endswith("name") else []
    return [*own, *([each.key] if each.key else []), *ends, "id", f"{each.resource}_id",
            *([f"{bare}_id"] if bare else []), *IDS]  # fmt: skip


def _pointer(each: Collection, operation: Operation) -> str | None:
    """Return where an answer shows the id of one record."""
    answer = shapes.success(operation)
    for place, schema in shapes.inside(answer):
        name = shapes.named(schema, _names(each), ("string", "integer"))
        if name is not None and "array" not in shapes.kinds(schema):
            return f"{place}/{shapes.escaped(name)}"
    return None


def _linked(operation: Operation) -> str | None:
    """Return where a declared link takes the id of a new record from."""
    for link in operation.links.values():
        given = link.get("parameters") if isinstance(link, dict) else None
        for value in given.values() if isinstance(given, dict) else ():
            if str(value).startswith("$response.body#/"):
                return str(value).removeprefix("$response.body#")
    return None


def _listed(operation: Operation, each: Collection | None) -> dict[str, Any]:
    """Return where an answer lists records, and where an entry shows its id."""
    found = list(shapes.arrays(shapes.success(operation)))
    things = [(p, e) for p, e in found if shapes.is_object(e)] or [
        (p, e) for p, e in found if shapes.is_text(e)
    ]
    wanted = ("data", "items", "results", "entries", "records")
    plural = {shapes.singular(p.rpartition("/")[2]): (p, e) for p, e in things}
    if each is not None and each.resource in plural:
        things = [plural[each.resource]]
    elif len(things) > 1:
        things = [t for t in things if t[0].rpartition("/")[2] in wanted] or things[:0]
    if not things:
        return {}
    place, entry = things[0]
    made = {"items": place, "itemId": ""}
    if shapes.is_text(entry):
        return made
    names = _names(each) if each is not None else list(IDS)
    for wrap, schema in shapes.inside(entry):
        name = shapes.named(schema, names, ("string", "integer"))
        if name is not None:
            made["itemId"] = f"{wrap}/{shapes.escaped(name)}"
            text = shapes.named(schema, TEXTS[:6], ("string",))
            return made | ({"content": f"{wrap}/{shapes.escaped(text)}"} if text else {})
    return {}


def _of_many(draft: Draft, each: Collection, operation: Operation) -> None:
    last = operation.path.rstrip("/").rpartition("/")[2]
    if operation.verb == "POST" and (last in LISTING or _pages_by_body(operation)):
        _list(draft, each, operation, f"POST {operation.path} lists by a filter in its body")
    elif operation.verb == "POST":
        _create(draft, each, operation)
    elif operation.verb == "GET":
        _list(draft, each, operation, f"GET {operation.path} answers with an array of them")


def _pages_by_body(operation: Operation) -> bool:
    known = {shapes.plain(name) for name in shapes.inputs(operation)}
    answers_array = any("array" in shapes.kinds(s) for s in [shapes.success(operation) or {}])
    return answers_array and "limit" in known and bool({"offset", "page", "cursor"} & known)


def _create(draft: Draft, each: Collection, operation: Operation) -> None:
    if operation.body is None:
        return
    id = _linked(operation) or _pointer(each, operation)
    made: dict[str, Any] = {"kind": "create", "resource": each.resource}
    why = f"POST {operation.path} beside {{{each.id}}} creates one"
    if id is not None:
        made["id"] = id
        why += f"; its answer shows the id at {id}"
    else:
        chosen = shapes.named(operation.body.schema, [*_names(each)[:1], "name", "id"], ("string",))
        if chosen is None or each.id is None:
            draft.questions.append(
                f"{operation.id} may create a {each.resource}, and its answer shows no id that "
                f"was recognised: where is it? (effect: kind create, id)"
            )
            return
        made["target"] = chosen
        why += f"; its caller chooses the id, as `{chosen}`"
    draft.guesses.append(Guess(operation, "effect", made, why))


def _list(draft: Draft, each: Collection, operation: Operation, why: str) -> None:
    listed = _listed(operation, each)
    if not listed:
        draft.questions.append(
            f"{operation.id} may list {each.resource} records, and which array holds them, or "
            "what identifies one, was not recognised: where are they? (effect: kind list)"
        )
        return
    made = {"kind": "list", "resource": each.resource, **listed}
    draft.guesses.append(
        Guess(operation, "effect", made, f"{why}, at {listed['items'] or 'the root'}")
    )


ONE = {"GET": "read", "PATCH": "update", "DELETE": "delete"}


def _of_one(draft: Draft, each: Collection, operation: Operation) -> None:
    kind = ONE.get(operation.verb)
    if operation.verb == "PUT" and operation.body is not None:
        whole = shapes.required(operation.body.schema)
        kind = "replace" if whole else "update"
    if kind is None:
        return
    target = re.findall(r"\{([^/{}]+)\}", operation.path)[-1]  # verbs may call it differently
    made: dict[str, Any] = {"kind": kind, "resource": each.resource, "target": target}
    why = f"{operation.verb} {operation.path} works on the one that {{{target}}} names"
    if kind == "read":
        id = _pointer(each, operation)
        if id is None and shapes.success(operation) is None:
            return
        made |= {"id": id} if id else {}
    draft.guesses.append(Guess(operation, "effect", made, why))


def _search(draft: Draft, found: list[Collection], operation: Operation) -> None:
    last = operation.path.rstrip("/").rpartition("/")[2]
    if last not in SEARCHING or operation.verb not in ("GET", "POST"):
        return
    known = {shapes.plain(n): n for n in shapes.inputs(operation)}
    asked = next((known[q] for q in map(shapes.plain, QUERIES) if q in known), None)
    if asked is None or not shapes.is_text(shapes.inputs(operation)[asked]):
        return
    parent = operation.path.rstrip("/").rpartition("/")[0]
    near = sorted(found, key=lambda c: (c.path != parent, not c.path.startswith(parent)))
    for each in near:
        listed = _listed(operation, each)
        key = listed.get("itemId", "").rpartition("/")[2]
        if listed and key and (each.path == parent or key == each.key):
            made = {"kind": "search", "resource": each.resource, "query": asked, **listed}
            why = f"its path ends in /{last}, `{asked}` is a text, and its hits show {key}"
            draft.guesses.append(Guess(operation, "effect", made, why))
            return


def _listing_of_ids(draft: Draft, found: list[Collection], operation: Operation) -> None:
    """`GET /memories/hashes` lists the ids alone."""
    parent, _, last = operation.path.rstrip("/").rpartition("/")
    each = next((c for c in found if c.path == parent), None)
    if operation.verb != "GET" or each is None or not each.key or "{" in last:
        return
    listed = _listed(operation, each)
    word = shapes.plain(shapes.singular(last))
    if listed.get("itemId") == "" and word and word in shapes.plain(each.key):
        made = {"kind": "list", "resource": each.resource, **listed}
        why = f"it answers with texts, and /{last} are what {each.key} is one of"
        draft.guesses.append(Guess(operation, "effect", made, why))
