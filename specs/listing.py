"""Every constraint of a contract in a list: what it is, on what it rests, and who says so.

For reviewers: `memconform spec check` counts them, `--constraints` prints them one a line. The
rules are in `constraints.py`; here they are only asked, place by place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from specs.constraints import (
    TABLE,
    Kind,
    kind_of,
    objects,
    of_answer,
    of_body,
    of_header,
    of_media_type,
    resting,
    stated,
    weaker,
)
from specs.contract import Contract, Operation, Response
from specs.vocabulary import Basis

DEEPEST = 12
"""Schemas that nest deeper than this are not listed further."""


@dataclass(frozen=True)
class Constraint:
    """One thing that a case can break or use."""

    operation: str
    place: str
    """`request body.user_id`, `200 body.items.*.id`, `429 header retry-after`."""
    kind: Kind
    basis: Basis
    inherited: Basis
    """Of what it is about, before its kind's rule: what the place itself rests on."""
    source: str

    @property
    def moved(self) -> bool:
        """True where what it is about is documented and the constraint by itself is not."""
        return self.inherited is Basis.DOCUMENTED and self.basis is not Basis.DOCUMENTED

    def __str__(self) -> str:
        why = f"[{TABLE[self.kind].why}]" if self.moved else self.source
        return f"{self.basis:<10}  {self.operation}  {self.place}  {self.kind}  {why}".rstrip()


def constraints(contract: Contract) -> Iterator[Constraint]:
    """Yield every constraint of a contract, operation by operation, each place and kind once."""
    for operation in contract:
        seen: set[tuple[str, Kind]] = set()
        for each in _operation(operation):
            if (each.place, each.kind) not in seen:
                seen.add((each.place, each.kind))
                yield each


def _operation(operation: Operation) -> Iterator[Constraint]:
    method = f"{operation.verb} {operation.path}"
    yield Constraint(
        operation.id, method, Kind.PATH, operation.wire_basis, operation.basis,
        operation.wire_source,
    )  # fmt: skip
    for parameter in operation.parameters:
        place = f"request {parameter.location} {parameter.name}"
        own = _basis(parameter.schema, operation.basis)
        if parameter.required:
            yield _made(operation, place, Kind.REQUIRED, operation.basis, parameter.schema)
        yield from _schema(operation, parameter.schema, own, place, not parameter.required)
    if operation.body is not None:
        if operation.body.required:
            yield Constraint(
                operation.id, "request body", Kind.BODY, of_body(operation), operation.basis,
                operation.source,
            )  # fmt: skip
        yield from _schema(operation, operation.body.schema, operation.basis, "request body", False)
    for response in operation.responses.values():
        yield from _response(operation, response)


def _response(operation: Operation, response: Response) -> Iterator[Constraint]:
    status = response.status
    kind = Kind.SUCCESS if status.startswith("2") else Kind.STATUS
    basis = of_answer(operation, response)
    yield Constraint(operation.id, status, kind, basis, operation.basis, operation.source)
    top = weaker(operation.basis, response.basis) if response.basis else operation.basis
    for media_type, schema in response.content.items():
        yield Constraint(
            operation.id, f"{status} {media_type}", Kind.MEDIA_TYPE,
            of_media_type(operation, response), top, operation.source,
        )  # fmt: skip
        yield from _schema(operation, schema, top, f"{status} body", False, response.basis)
    for name in response.headers:
        yield Constraint(
            operation.id, f"{status} header {name}", Kind.HEADER,
            of_header(operation, response, name), top, operation.source,
        )  # fmt: skip


def _schema(
    operation: Operation, schema: Any, basis: Basis, place: str, optional: bool,
    most: Basis | None = None, depth: int = 0,
) -> Iterator[Constraint]:  # fmt: skip
    """Yield the constraints of a schema and of all inside; `most` is what its answer rests on."""
    if depth > DEEPEST:
        return
    for part in objects(schema):
        own = _basis(part, basis)
        if optional and part.get("type") and "null" not in part["type"]:
            yield _made(operation, place, Kind.NULL, own, part, most)
        for word in part:
            kind = kind_of(word)
            if (kind is Kind.TYPE and word != "type") or kind is Kind.REQUIRED:
                continue
            if kind is not Kind.EXTRA or part[word] is False:
                yield _made(operation, place, kind, own, part, most)
        for name, inner in part.get("properties", {}).items():
            there = f"{place}.{name}"
            needed = name in part.get("required", ())
            if needed:
                yield _made(operation, there, Kind.REQUIRED, own, part, most)
            yield from _schema(operation, inner, own, there, not needed, most, depth + 1)
        if isinstance(part.get("items"), Mapping):
            yield from _schema(operation, part["items"], own, f"{place}.*", False, most, depth + 1)


def _made(
    operation: Operation, place: str, kind: Kind, inherited: Basis, schema: Any,
    most: Basis | None = None,
) -> Constraint:  # fmt: skip
    basis = resting(operation, kind, inherited, stated(schema, kind))
    if most is not None:
        basis, inherited = weaker(basis, most), weaker(inherited, most)
    source = operation.source if basis is operation.basis else ""
    return Constraint(operation.id, place, kind, basis, inherited, source)


def _basis(schema: Any, inherited: Basis) -> Basis:
    own = schema.get("x-basis") if isinstance(schema, Mapping) else None
    return Basis(own) if own else inherited


def summary(contract: Contract) -> str:
    """Return how many constraints of a contract rest on what, in one line."""
    listed = list(constraints(contract))
    counts = Counter(each.basis for each in listed)
    told = ", ".join(f"{counts[basis]} {basis}" for basis in Basis)
    moved = sum(each.moved for each in listed)
    return (
        f"{contract.api}: {len(listed)} constraints: {told}; "
        f"{moved} are about something documented and are not documented themselves"
    )


CHOICES = (*Basis, "moved", "all")
"""What `lines` lists: by basis, what its kind's rule weakened, or everything."""


def lines(contract: Contract, which: str) -> Iterator[str]:
    """Yield the constraints of one of `CHOICES`, one a line, in declared order."""
    for each in constraints(contract):
        if which == "all" or which == each.basis or (which == "moved" and each.moved):
            yield str(each)
