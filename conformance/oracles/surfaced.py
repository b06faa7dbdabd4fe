"""What an SDK hands to its caller: response fields, usage and rate-limit figures.

Judges the value that a call returned against the answer it was made from. Values are those of
the driver protocol: JSON, with typed objects as `{"$type": "SearchResponse", …}` and streams as
`{"$stream": [...]}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conformance.claims import (
    InventedValue,
    NotHandedOut,
    NotRead,
    WrongFigure,
)
from conformance.history import Call
from conformance.oracles.answers import Answer
from conformance.oracles.exceptions import said, same_value
from conformance.oracles.found import weaker
from conformance.oracles.typed import alike, own_name
from conformance.verdict import Finding
from specs import Basis, Operation, pointer
from specs.vocabulary import RateLimit, Surfaced, Usage

Block = RateLimit | Usage


# --- reading values ---------------------------------------------------------------------------


def at(value: Any, path: str) -> list[Any]:
    """Return everything that an attribute path leads to: `usage.plan`, `results[].title`.

    The empty path is the value itself; `[]` stands for every entry. Raises LookupError where a
    name is not there.
    """
    found = [value]
    for step in path.replace("[]", ".[]").split("."):
        if not step:
            continue
        if step == "[]":
            found = [entry for each in found for entry in _entries(each)]
        else:
            found = [_get(each, step) for each in found]
    return found


def _entries(value: Any) -> list[Any]:
    if isinstance(value, Mapping) and "$stream" in value:
        value = value["$stream"]
    if not isinstance(value, list):
        raise LookupError("not a list")
    return value


def _get(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping) or name not in value:
        raise LookupError(name)
    return value[name]


def pointed(body: Any, path: str) -> list[Any]:
    """Return everything that a pointer with `*` leads to; what is not there is left out."""
    head, star, rest = path.partition("/*")
    try:
        value = pointer(body, head)
    except LookupError:
        return []
    if not star:
        return [value]
    entries = value if isinstance(value, list) else []
    return [found for entry in entries for found in pointed(entry, rest)]


def cut(value: Any) -> bool:
    """True where the driver left something out of a value, so that absence proves nothing."""
    if isinstance(value, Mapping):
        return "$cut" in value or any(cut(v) for v in value.values())
    return isinstance(value, list) and any(cut(v) for v in value)


# --- response fields --------------------------------------------------------------------------


def judge_fields(operation: Operation, call: Call, answer: Answer) -> list[Finding]:
    """Return which documented fields of an answer the caller cannot reach, or with other values.

    `returns.fields` says where each is; without it the result carries the answer's own names.
    """
    if call.outcome.kind != "value" or not answer.ok:
        return []
    body, value = answer.json(), call.outcome.value
    if body is None or cut(value) or (isinstance(value, Mapping) and "$stream" in value):
        return []
    if operation.returns is not None and operation.returns.fields:
        return list(_mapped(operation, value, body))
    return list(_plain(operation, value, body))


def _mapped(operation: Operation, value: Any, body: Any) -> Iterator[Finding]:
    returns = operation.returns
    assert returns is not None
    for path, place in returns.fields.items():
        wanted = pointed(body, place)
        if not wanted and "*" not in place:
            continue
        try:
            got = at(value, path)
        except LookupError:
            yield _unreachable(operation, path, returns.basis, returns.source)
            continue
        if len(got) != len(wanted) or not all(map(alike, got, wanted)):
            yield _different(operation, path, got, wanted, returns.basis, returns.source)


def _plain(operation: Operation, value: Any, body: Any) -> Iterator[Finding]:
    if not isinstance(body, Mapping):
        if not alike(value, body):
            yield _different(operation, "", [value], [body], operation.basis, operation.source)
        return
    declared = (operation.success.schema or {}).get("properties", {})
    for name in declared:
        if name not in body:
            continue
        own = own_name(value, name) if isinstance(value, Mapping) else None
        if own is None:
            yield _unreachable(operation, name, operation.basis, operation.source)
        elif not alike(value[own], body[name]):
            yield _different(
                operation, name, [value[own]], [body[name]], operation.basis, operation.source
            )


def judge_invented(operation: Operation, call: Call, answer: Answer) -> list[Finding]:
    """Return which values a caller is handed that no answer gave.

    For successes whose body is no JSON object although one is declared: a field that says yes, a
    text or a number was made up; nothing, no, zero and emptiness were not.
    """
    properties = (operation.success.schema or {}).get("properties", {})
    body, value = answer.json(), call.outcome.value
    if call.outcome.kind != "value" or not answer.ok or not properties or isinstance(body, dict):
        return []
    text = answer.body.decode("utf-8", "replace").strip()
    if body is None and text and isinstance(value, str) and value.strip() == text:
        return [_invented(operation, "", value)]
    fields = operation.returns.fields if operation.returns else {}
    found = []
    for path in fields or dict.fromkeys(properties):
        try:
            got = at(value, path) if path and "[]" not in path else []
        except LookupError:
            continue
        if got and got[0] and isinstance(got[0], str | int | float):
            found.append(_invented(operation, path, got[0]))
    return found


def _invented(operation: Operation, path: str, got: Any) -> Finding:
    claim = InventedValue(operation.id, path, str(got)[:60])
    said_ = said(operation.basis, operation.source)
    return Finding.of("CT8", claim, Basis.ASSUMED, said_, operation=operation.id)


def _unreachable(operation: Operation, path: str, basis: Basis, source: str) -> Finding:
    return Finding(
        "CT8", "a documented field of the answer cannot be reached",
        operation=operation.id,
        expected=f"`{path or 'the result'}` on the result of {operation.id} "
        f"({said(basis, source)})",
        actual="there is none", basis=basis, cause=f"field-missing:{operation.id}.{path}",
    )  # fmt: skip


def _different(
    operation: Operation, path: str, got: list[Any], wanted: list[Any], basis: Basis, source: str
) -> Finding:
    return Finding(
        "CT8", "a documented field of the answer has another value than was sent",
        operation=operation.id,
        expected=f"`{path or 'the result'}` = {_brief(wanted)} ({said(basis, source)})",
        actual=_brief(got), basis=basis, cause=f"field-value:{operation.id}.{path}",
    )  # fmt: skip


# --- figures from headers ---------------------------------------------------------------------


def blocks(operation: Operation) -> Iterator[tuple[str, Block, Surfaced]]:
    """Yield the requirement, block and surfaced part of each figure that callers are promised."""
    for requirement, block in (("HD4", operation.rate_limit), ("HD3", operation.usage)):
        if block is not None and block.surfaced is not None and block.surfaced.attributes:
            yield requirement, block, block.surfaced


def judge_figures(operation: Operation, call: Call, answer: Answer) -> list[Finding]:
    """Return which header figures are not where the document says, or not with their values."""
    return [
        finding
        for requirement, block, surfaced in blocks(operation)
        for finding in _figures(requirement, block, surfaced, operation, call, answer)
    ]


def _figures(
    requirement: str, block: Block, surfaced: Surfaced, operation: Operation,
    call: Call, answer: Answer,
) -> Iterator[Finding]:  # fmt: skip
    place = _holder(operation, surfaced, call)
    if place is None:
        return
    lost: set[str] = set()
    unread: dict[tuple[str, Basis], list[tuple[str, str, str, str]]] = {}
    for path, name, stated, source in promised(block, surfaced):
        sent = answer.header(name)
        spelt = operation.success.headers.get(name.lower(), {}).get("x-basis")
        basis = weaker(stated, Basis(spelt)) if spelt else stated
        holder = path.split(".")[0]
        if sent is None or holder in lost:
            continue
        if not isinstance(place, Mapping) or place.get(holder) is None:
            lost.add(holder)
            absent = NotHandedOut(holder, path, name, sent)
            yield Finding.of(
                requirement, absent, basis, said(basis, source), operation=operation.id
            )  # fmt: skip
            continue
        try:
            got = at(place, path)[0]
        except (LookupError, IndexError):
            yield Finding(
                requirement, f"does not hand out the {name} header",
                operation=operation.id,
                expected=f"`{path}` = {sent!r} ({said(basis, source)})",
                actual="no such attribute", basis=basis, cause=f"header-missing:{name}:{path}",
            )  # fmt: skip
            continue
        if got is None:
            unread.setdefault((holder, basis), []).append((path, name, sent, source))
        elif not same_value(got, sent):
            wrong = WrongFigure(path, name, sent, repr(got))
            yield Finding.of(
                requirement, wrong, basis, said(basis, source), operation=operation.id
            )  # fmt: skip
    for (holder, basis), figures in unread.items():
        yield _unread(requirement, operation, holder, basis, figures)


def _unread(
    requirement: str, operation: Operation, holder: str, basis: Basis,
    figures: Sequence[tuple[str, str, str, str]],
) -> Finding:  # fmt: skip
    """Return the one finding of all the headers of a block that were sent and not read.

    `figures`: attribute path, header, value sent and source of each. Who reads other names misses
    several at once.
    """
    path, _, sent, source = figures[0]
    claim = NotRead(
        holder, str(basis), path, sent, tuple(name for _, name, _, _ in figures),
        tuple(path for path, _, _, _ in figures),
    )  # fmt: skip
    return Finding.of(requirement, claim, basis, said(basis, source), operation=operation.id)


def promised(block: Block, surfaced: Surfaced) -> Iterator[tuple[str, str, Basis, str]]:
    """Yield attribute path, header, basis and source of each figure that is handed out."""
    source = surfaced.source or block.source
    for path, name in surfaced.attributes.items():
        yield path, name, surfaced.basis or block.basis, source
    for path, name in surfaced.observed.items():
        yield path, name, Basis.OBSERVED, source


def _holder(operation: Operation, surfaced: Surfaced, call: Call) -> Any:
    """Return what carries the figures: the result or the exception's attributes."""
    if surfaced.on == "exception":
        raised = call.outcome.error
        return dict(raised.attributes) if raised else None
    returns = operation.returns
    if returns is not None and "" in returns.fields:
        return None  # the document shows a bare value, which has no attributes
    if surfaced.on == "result" and call.outcome.kind == "value":
        return call.outcome.value if call.outcome.value is not None else {}
    return None


def invented(operation: Operation, call: Call, answer: Answer) -> list[Finding]:
    """Return figures that were handed out although their header was absent."""
    found = []
    for requirement, block, surfaced in blocks(operation):
        place = _holder(operation, surfaced, call)
        for path, name, basis, _ in promised(block, surfaced):
            try:
                got = at(place, path)[0] if place is not None else None
            except (LookupError, IndexError):
                continue
            if answer.header(name) is None and got is not None:
                found.append(
                    Finding(
                        requirement, f"hands out a figure although no {name} header was sent",
                        operation=operation.id, expected=f"`{path}` is None", actual=repr(got),
                        basis=basis, cause=f"header-invented:{name}",
                    )
                )  # fmt: skip
    return found


def _brief(values: list[Any]) -> str:
    text = ", ".join(map(repr, values))
    return text if len(text) <= 100 else text[:99] + "…"
