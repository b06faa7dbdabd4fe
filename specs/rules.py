"""Do the promises of a spec point at what is there? One rule per kind of promise.

Every pointer is held against the resolved schema that it points into, every name against the
parameters, headers and operations that are declared, every code against its schema. What a
promise means for a subject is in the oracles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from specs import paging, rules_whole
from specs.contract import Contract, Operation, Schema
from specs.pointers import Fault, inside, reach, suggest, suggest_step, types
from specs.positions import Path
from specs.references import validator
from specs.rules_whole import code_faults
from specs.vocabulary import Effect, Refusal, Roles

WORDS = ("status", "code", "message", "requestId", "details", "body", "any")
"""What an exception's attribute may be taken from, beside headers and pointers."""


def faults(contract: Contract, own: bool = True) -> Iterator[Fault]:
    """Yield everything that the promises of a contract get wrong.

    Of a description that is not ours (`own` false) only what `x-conformance` says is held
    against it: its style is its author's affair.
    """
    yield from rules_whole.faults(contract, own)
    for operation in contract:
        place = _Place(contract, operation)
        for check in RULES if own else PROMISES:
            yield from check(contract, operation, place)


class _Place:
    """Where things of one operation stand in the document, and complaints about them."""

    def __init__(self, contract: Contract, operation: Operation) -> None:
        self.operation = operation
        self.base: Path = ("paths", operation.path, operation.verb.lower())
        item = contract.document["paths"][operation.path]
        self._own = item.get(operation.verb.lower(), {}).get("x-conformance", {})

    def block(self, *path: str) -> Path:
        """Return where a block stands: at the operation, or at the root that it comes from."""
        if path[0] in self._own:
            return (*self.base, "x-conformance", *path)
        return ("x-conformance", *path)

    def pointer(
        self, path: Path, schema: Schema | None, pointer: str | None, *kinds: str
    ) -> Iterator[Fault]:
        """Yield a fault unless `pointer` reaches something of one of `kinds` in `schema`."""
        if pointer is None:
            return
        if schema is None:
            yield Fault(
                path,
                f"{pointer!r} points into an answer without a JSON schema",
                f"{self.operation.id} declares none",
                "declare one",
            )
            return
        found = reach(schema, pointer)
        if not found:
            yield Fault(
                path,
                f"{pointer!r} points to nothing in the schema of {self.operation.id}",
                "the value could never be read",
                suggest_step(schema, pointer),
            )
        elif kinds and types(found) and not types(found) & set(kinds):
            yield Fault(
                path,
                f"{pointer!r} is {' or '.join(sorted(types(found)))}",
                f"it must be {' or '.join(kinds)}",
                "point elsewhere, or mend the schema",
            )

    def name(
        self, path: Path, name: str | None, known: Mapping[str, Any], what: str
    ) -> Iterator[Fault]:
        """Yield a fault unless `name` is among the `known`."""
        if name is not None and name not in known:
            yield Fault(
                path,
                f"{name!r} is no {what} of {self.operation.id}",
                "nothing would be sent or read under that name",
                suggest(name, list(known)),
            )


def inputs(operation: Operation) -> dict[str, Schema]:
    """Return the schemas of everything a call can name: path, query and body properties.

    Where a body lists entries that are created one by one, the properties of an entry count too.
    """
    found = {p.name: p.schema for p in operation.parameters if p.location in ("path", "query")}
    if operation.body is not None:
        places = [""]
        if operation.effect is not None and operation.effect.each is not None:
            places.append(f"{operation.effect.each}/*")
        for place in places:
            for schema in reach(operation.body.schema, place):
                found.update(schema.get("properties", {}))
    return found


def _success(operation: Operation) -> Schema | None:
    """Return the schema of the success, if any of the 2xx answers has one."""
    answers = [r.schema for s, r in sorted(operation.responses.items()) if s.startswith("2")]
    return next((schema for schema in answers if schema is not None), None)


def _pagination(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    promise = operation.pagination
    if promise is None:
        return
    answer, known = _success(operation), inputs(operation)
    for word in ("limit", "offset", "page", "cursor"):
        yield from place.name(
            place.block("pagination", word), getattr(promise, word), known, "parameter"
        )
    wanted = paging.required(promise)
    if wanted and getattr(promise, wanted) is None:
        yield Fault(
            place.block("pagination"),
            f"style {promise.style} without `{wanted}`",
            "nobody could ask for the next page",
            f"add `{wanted}`",
        )
    yield from place.pointer(place.block("pagination", "items"), answer, promise.items, "array")
    yield from place.pointer(place.block("pagination", "total"), answer, promise.total, "integer")
    yield from place.pointer(
        place.block("pagination", "hasMore"), answer, promise.has_more, "boolean"
    )
    yield from place.pointer(
        place.block("pagination", "next"), answer, promise.next, "string", "integer"
    )
    for items in reach(answer or {}, promise.items):
        if "items" in items:
            yield from place.pointer(
                place.block("pagination", "itemKey"), items["items"], promise.item_key
            )
    for word, key, value in (
        ("defaultLimit", "default", promise.default_limit),
        ("maxLimit", "maximum", promise.max_limit),
    ):
        said = known.get(promise.limit or "", {}).get(key)
        if value is not None and said is not None and said != value:
            yield Fault(
                place.block("pagination", word),
                f"{word} is {value}, the schema says {said}",
                "only one of them can be right",
                "make them equal",
            )


def _idempotency(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    promise = operation.idempotency
    if promise is None:
        return
    if promise.location == "header":
        known = {p.name: p.schema for p in operation.parameters_in("header")}
    else:
        known = inputs(operation)
    yield from place.name(place.block("idempotency", "name"), promise.name, known, "parameter")
    answer = _success(operation)
    yield from place.pointer(
        place.block("idempotency", "replayed"), answer, promise.replayed, "boolean"
    )
    for index, stable in enumerate(promise.stable):
        yield from place.pointer(place.block("idempotency", "stable", str(index)), answer, stable)


NEEDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "create": (("resource",), ("id", "ids", "content", "target")),
    "read": (("resource",),),
    "list": (("resource",), ("items",)),
    "search": (("resource",), ("items",), ("query",)),
    "update": (("resource",), ("target",)),
    "replace": (("resource",), ("target",)),
    "delete": (("resource",), ("target",)),
    "batch": (("resource",), ("each",), ("items",)),
    "link": (("resource",), ("target",)),
    "forget": (("resource",),),
}
"""Words that an effect of a kind cannot do without; one of each group."""


def _effect(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    effect = operation.effect
    if effect is None:
        return
    for group in NEEDS.get(effect.kind, ()):
        if not any(getattr(effect, word) is not None for word in group):
            yield Fault(
                place.block("effect"),
                f"{effect.kind} without {' or '.join(group)}",
                "no state case could follow it",
                f"add {' or '.join(map(repr, group))}",
            )
    known, answer = inputs(operation), _success(operation)
    for word in ("target", "query", "since", "until"):
        yield from place.name(place.block("effect", word), getattr(effect, word), known, "argument")
    resources = {o.effect.resource for o in contract if o.effect is not None} | {"free"}
    for name, resource in effect.scope.items():
        if resource not in resources:
            yield Fault(
                place.block("effect", "scope", name),
                f"{resource!r} is no resource of any operation",
                "nobody could make one to give its id",
                suggest(resource, sorted(filter(None, resources))),
            )
    yield from _effect_on_others(effect, resources, known, place)
    for word in ("scope", "renamed"):
        for name in getattr(effect, word):
            yield from place.name(place.block("effect", word, name), name, known, "argument")
    for word, kinds in (
        ("id", ()),
        ("ids", ("array",)),
        ("items", ("array",)),
        ("count", ("integer",)),
        ("receipt", ()),
        ("secret", ("string",)),
    ):
        yield from place.pointer(place.block("effect", word), answer, getattr(effect, word), *kinds)
    yield from _effect_items(effect, operation, place)
    for shown in effect.sets:
        path = place.block("effect", "sets")
        yield from place.name(path, shown.operation, contract.operations, "sibling")
        if shown.operation in contract.operations:
            other = contract[shown.operation]
            there = _Place(contract, other)
            yield from there.pointer(path, _success(other), shown.pointer)
        yield from place.pointer(path, answer, shown.answer)
        for name in shown.where:
            yield from place.name(path, name, known, "argument")
    if effect.progress is not None:
        for word in ("done", "pending", "failed"):
            yield from place.pointer(
                place.block("effect", "progress", word),
                answer,
                getattr(effect.progress, word),
                "array",
            )


def _effect_on_others(
    effect: Effect, resources: set[str | None], known: Mapping[str, Any], place: _Place
) -> Iterator[Fault]:
    """Hold what an effect leaves alone, and what a made key may do, against the contract."""
    for index, resource in enumerate(effect.spares):
        if resource not in resources:
            yield Fault(
                place.block("effect", "spares", str(index)),
                f"{resource!r} is no resource of any operation",
                "nobody could see that it stays",
                suggest(resource, sorted(filter(None, resources))),
            )
    if effect.grants is not None:
        yield from place.name(
            place.block("effect", "grants"), effect.grants.property, known, "argument"
        )


def _effect_items(effect: Effect, operation: Operation, place: _Place) -> Iterator[Fault]:
    """Hold pointers inside found items, and inside entries of the request, against schemas."""
    for items in reach(_success(operation) or {}, effect.items or "-"):
        for word in ("item_id", "content"):
            if effect.items is not None and "items" in items:
                name = "itemId" if word == "item_id" else word
                yield from place.pointer(
                    place.block("effect", name), items["items"], getattr(effect, word)
                )
    request = operation.body.schema if operation.body is not None else None
    if effect.each is not None:
        yield from place.pointer(place.block("effect", "each"), request, effect.each, "array")
    if effect.time is not None:
        entry = f"{effect.each}/*" if effect.each is not None else ""
        yield from place.pointer(place.block("effect", "time"), request, f"{entry}/{effect.time}")


def _errors(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    errors = operation.errors
    if errors is None:
        return
    answers = {s: r for s, r in operation.responses.items() if s[0] in "45d" and r.content}
    for status, response in answers.items():
        for word in ("code", "message"):
            yield from place.pointer(
                (*place.base, "responses", status), response.schema, getattr(errors.envelope, word)
            )
    for word, name in (("requestId", "request_id"), ("details", "details")):
        wanted = getattr(errors.envelope, name)
        if wanted and answers and not any(reach(r.schema or {}, wanted) for r in answers.values()):
            yield Fault(
                place.block("errors", "envelope", word),
                f"{wanted!r} points to nothing in any error of {operation.id}",
                "the value could never be read",
                "declare it in the error's schema",
            )
    if operation.rate_limit is not None and operation.authenticated:
        exceeded = operation.rate_limit.exceeded_status
        if operation.response(exceeded) is None:
            yield Fault(
                (*place.base, "responses"),
                f"{operation.id} declares no {exceeded}",
                "its quota can be used up",
                f"declare the {exceeded} answer",
            )
    for index, rule in enumerate(errors.map):
        yield from _attributes(
            operation, place.block("errors", "map", str(index)), rule.attributes, rule.status
        )


def _attributes(
    operation: Operation, path: Path, attributes: Mapping[str, str], status: str | None
) -> Iterator[Fault]:
    for attribute, origin in attributes.items():
        here = (*path, "attributes", attribute)
        if origin in WORDS:
            continue
        if origin.startswith("header:"):
            response = operation.responses.get(status or "")
            wanted = origin.removeprefix("header:").lower()
            if response is not None and wanted not in response.headers:
                yield Fault(
                    here,
                    f"{operation.id} declares no header {wanted!r} on {status}",
                    "the attribute's value would come from nowhere",
                    suggest(wanted, list(response.headers)),
                )
        elif not origin.startswith(("/", "value:")):
            yield Fault(
                here,
                f"{origin!r} is nowhere to take a value from",
                "no case could compare it",
                f"use one of {', '.join(WORDS)}, `header:NAME`, `value:JSON` or a JSON Pointer",
            )


def _limits(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    limit, usage = operation.rate_limit, operation.usage
    wanted: list[tuple[Path, str | None]] = []
    if limit is not None:
        if limit.reset is not None and limit.reset_unit is None:
            yield Fault(
                place.block("rateLimit", "reset"),
                "the reset has no unit",
                "seconds from now and seconds since 1970 are both in use",
                "add `resetUnit`",
            )
        if limit.on == "every-response":
            wanted = [
                (place.block("rateLimit", w), getattr(limit, w))
                for w in ("limit", "remaining", "reset")
            ]
    if usage is not None:
        wanted.append((place.block("usage", "plan"), usage.plan))
        wanted += [(place.block("usage", "figures"), f.used) for f in usage.figures]
        wanted += [(place.block("usage", "figures"), f.limit) for f in usage.figures]
    headers = operation.success.headers
    for path, name in wanted:
        if name is not None and name.lower() not in headers:
            yield Fault(
                path,
                f"{operation.id} does not declare the header {name!r} on its success",
                "it is promised for every answer",
                suggest(name.lower(), list(headers)),
            )
    for promise, block in ((limit, "rateLimit"), (usage, "usage")):
        if promise is not None and promise.surfaced is not None:
            for attribute, name in promise.surfaced.attributes.items():
                if name.lower() not in headers:
                    yield Fault(
                        place.block(block, "surfaced", "attributes", attribute),
                        f"{operation.id} declares no header {name!r}",
                        "the attribute's value would come from nowhere",
                        suggest(name.lower(), list(headers)),
                    )


def _retries(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    promise = operation.retries
    if promise is None:
        return
    for index, entry in enumerate(promise.statuses):
        if entry.status in promise.never:
            yield Fault(
                place.block("retries", "statuses", str(index)),
                f"{entry.status} is retried and never retried",
                "only one can be right",
                "take it out of one list",
            )
    options = contract.client.options if contract.client is not None else ()
    for option in options:
        if option.role != "max-retries" or promise != contract.root.retries:
            continue
        if isinstance(option.default, int) and option.default + 1 != promise.max_attempts:
            yield Fault(
                place.block("retries", "maxAttempts"),
                f"maxAttempts is {promise.max_attempts}, {option.name} is by default "
                f"{option.default}",
                "attempts are the first send and its retries",
                f"write {option.default + 1}, or mend the default",
            )


def _stream(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    if operation.stream is None:
        return
    path = place.block("stream", "parameter")
    yield from place.name(path, operation.stream.parameter, inputs(operation), "argument")
    if "text/event-stream" not in operation.success.content:
        yield Fault(
            (*place.base, "responses"),
            f"{operation.id} declares no text/event-stream",
            "its stream would be an undeclared media type",
            "declare it beside the JSON answer",
        )
    kept = operation.stream.kept
    yield from place.name(place.block("stream", "kept"), kept, contract.operations, "sibling")


def _refusals(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    said: list[tuple[Path, Roles | Refusal]] = [
        (("refuses", str(index)), refusal) for index, refusal in enumerate(operation.refuses)
    ]
    if operation.roles is not None:
        said.append((("roles",), operation.roles))
    for path, promise in said:
        if operation.response(promise.status) is None:
            yield Fault(
                place.block(*path),
                f"{operation.id} declares no {promise.status}",
                "the refusal would be an undeclared answer",
                "declare it",
            )
        elif operation.errors is not None:
            yield from code_faults(
                contract,
                operation.errors,
                str(promise.status),
                promise.code,
                place.block(*path, "code"),
            )


def _answers(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    """Hold what answers owe their request, and what an SDK makes of them, against schemas."""
    answer = _success(operation)
    for index, relation in enumerate(operation.relations):
        path = place.block("relations", str(index))
        yield from place.pointer((*path, "left"), answer, relation.left)
        for name in relation.when:
            yield from place.name((*path, "when"), name, inputs(operation), "argument")
        if relation.op == "has":
            yield from place.pointer((*path, "right"), answer, f"{relation.left}/{relation.right}")
            continue
        if relation.right is None:
            continue
        if relation.right.startswith("/"):
            yield from place.pointer((*path, "right"), answer, relation.right)
        else:
            yield from place.name((*path, "right"), relation.right, inputs(operation), "argument")
    for attribute, pointer in (operation.returns.fields if operation.returns else {}).items():
        yield from place.pointer(place.block("returns", "fields", attribute), answer, pointer)


def _tallies(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    """Figures stand in the answer, and count what some operation makes or is."""
    resources = {o.effect.resource for o in contract if o.effect is not None}
    for index, tally in enumerate(operation.tallies):
        path = place.block("tallies", str(index))
        yield from place.pointer(
            (*path, "pointer"), _success(operation), tally.pointer, "integer", "number"
        )
        if (tally.of is None) is (not tally.calls):
            yield Fault(
                path,
                "a tally of both records and calls, or of neither",
                "it can count one thing only",
                "name either `of` or `calls`",
            )
        if tally.of is not None and tally.of not in resources:
            yield Fault(
                (*path, "of"),
                f"{tally.of!r} is no resource of any operation",
                "nothing would be counted",
                suggest(tally.of, sorted(filter(None, resources))),
            )
        for name in tally.by:
            yield from place.name((*path, "by"), name, inputs(operation), "argument")
        for name in tally.calls:
            yield from place.name((*path, "calls"), name, contract.operations, "sibling")


def _links(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    for name, link in operation.links.items():
        path = (*place.base, "responses")
        target = link.get("operationId")
        if target not in contract.operations:
            yield Fault(
                path,
                f"link {name!r} leads to {target!r}, which is no operation",
                "nobody could follow it",
                suggest(str(target), list(contract.operations)),
            )
            continue
        for parameter, expression in link.get("parameters", {}).items():
            known = {p.name: p for p in contract[target].parameters}
            yield from _Place(contract, contract[target]).name(path, parameter, known, "parameter")
            if str(expression).startswith("$response.body#"):
                wanted = str(expression).removeprefix("$response.body#")
                yield from place.pointer(path, _success(operation), wanted)
            elif str(expression).startswith("$request.body#") and operation.body is not None:
                wanted = str(expression).removeprefix("$request.body#")
                yield from place.pointer(path, operation.body.schema, wanted)


def _named_examples(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    """Examples beside a request's schema keep to it."""
    if operation.body is None:
        return
    path = ("requestBody", "content", operation.body.media_type, "examples")
    named = contract.document["paths"][operation.path][operation.verb.lower()]
    for step in path:
        named = named.get(step, {})
    check = validator(operation.body.schema)
    for name, each in named.items():
        if "value" in each and not check.is_valid(each["value"]):
            yield Fault(
                (*place.base, *path, name),
                f"example {name!r} is not valid under the request's schema",
                "it would be sent and refused",
                "mend either",
            )


def _examples(contract: Contract, operation: Operation, place: _Place) -> Iterator[Fault]:
    """Examples and defaults keep to the schema that they stand in."""
    schemas = [((*place.base, "parameters"), p.schema) for p in operation.parameters]
    if operation.body is not None:
        schemas.append(((*place.base, "requestBody"), operation.body.schema))
    for status, response in operation.responses.items():
        path = (*place.base, "responses", status)
        schemas += [(path, s) for s in (*response.content.values(), *response.headers.values())]
    for path, outer in schemas:
        for _, schema in inside(outer):
            given = [("examples", v) for v in schema.get("examples", ())]
            given += [("default", schema["default"])] if "default" in schema else []
            for word, value in given:
                if not validator(schema).is_valid(value):
                    yield Fault(
                        path,
                        f"{word}: {value!r:.60} is not valid under its own schema",
                        "it would be sent, or answered, and refused",
                        "mend either",
                    )


Rule = Callable[[Contract, Operation, _Place], Iterator[Fault]]
PROMISES: tuple[Rule, ...] = (
    _pagination,
    _idempotency,
    _effect,
    _errors,
    _limits,
    _retries,
    _stream,
    _refusals,
    _answers,
    _tallies,
)
RULES: tuple[Rule, ...] = (*PROMISES, _links, _examples, _named_examples)
