"""Where a contract says what a requirement demands: the document's section, for the reader.

Every statement of a spec names its source. A requirement is about one kind of statement; the
table below says which. Nothing here judges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from pydantic import BaseModel

from specs.check import documents
from specs.contract import Contract, Operation
from specs.vocabulary import Basis, Option, Surfaced

Statement = BaseModel | tuple[Basis, str] | None
"""A block of a spec, or the basis and source of what has no block of its own."""
Place = Callable[[Contract, Operation], Statement]


def source(contract: Contract, requirement: str, operation: str | None, basis: Basis) -> str:
    """Return where it is said, `002_d3cf2a5acba3ba5a § Retries`, or which releases show it.

    '' where the contract does not say it itself. A finding that is not about one operation is
    about all of them, so the first stands for it.
    """
    promised = contract.operations.get(operation or "") or next(iter(contract), None)
    if promised is None:
        return ""
    kind = requirement.rstrip("0123456789")
    for place in (_EXACT.get(requirement), _PLACES.get(kind), _itself):
        stated = place(contract, promised) if place else None
        found = next((text for held, text in _told(stated) if held is basis and text), "")
        if found:
            return found
    return (contract.root.observed_in or "") if basis is Basis.OBSERVED else ""


def spelt(text: str) -> str:
    """Return a text whose document ids are replaced by names that its maintainers know.

    `002_d3cf2a5acba3ba5a § Retries` becomes `claiv-memory 0.2.1 § Retries`.
    """

    def name(found: re.Match[str]) -> str:
        known = documents().get(found[0])
        return f"{known.package} {known.version}" if known else found[0]

    return re.sub(r"\b\d{3}_[0-9a-f]{16}\b", name, text)


def _told(stated: Statement) -> Iterator[tuple[Basis, str]]:
    """Yield every (basis, source) of a block, its own first, then what it says otherwise."""
    if isinstance(stated, tuple):
        yield stated
        return
    if stated is None:
        return
    names = [n for n in type(stated).model_fields if n == "basis" or n.endswith("_basis")]
    for name in sorted(names, key=lambda n: n != "basis"):
        held, text = getattr(stated, name), getattr(stated, name.removesuffix("basis") + "source")
        if held is not None:
            yield held, text or ""
    if isinstance(stated, Surfaced):
        yield Basis.OBSERVED, stated.observed_source or ""
    for name in type(stated).model_fields:
        inner = getattr(stated, name)
        if isinstance(inner, BaseModel):
            yield from _told(inner)


def _itself(_: Contract, operation: Operation) -> Statement:
    return operation.basis, operation.source


def _wire(_: Contract, operation: Operation) -> Statement:
    return operation.wire_basis, operation.wire_source


def _auth(contract: Contract, _: Operation) -> Statement:
    return contract.auth[0] if contract.auth else None


def _retry_after(_: Contract, operation: Operation) -> Statement:
    return operation.retries.retry_after if operation.retries else None


def _option(role: str) -> Place:
    def place(contract: Contract, _: Operation) -> Option | None:
        options = contract.client.options if contract.client else ()
        return next((o for o in options if o.role == role), None)

    return place


_PLACES: Mapping[str, Place] = {
    "RT": lambda _, o: o.retries,
    "RA": lambda _, o: o.retries,
    "ER": lambda _, o: o.errors,
    "PD": lambda _, o: o.errors,
    "RL": lambda _, o: o.rate_limit,
    "HD": lambda _, o: o.usage,
    "IK": lambda _, o: o.idempotency,
    "PG": lambda _, o: o.pagination,
    "LK": lambda _, o: o.pagination,
    "AU": _auth,
    "ST": lambda _, o: o.effect,
    "WR": _wire,
}
"""Kind of requirement -> the statement that it is about."""

_EXACT: Mapping[str, Place] = {
    "RA4": _retry_after,
    "RA6": _retry_after,
    "HD4": lambda _, o: o.rate_limit,
    "HD6": lambda _, o: o.rate_limit,
    "AU8": lambda _, o: o.roles,
    "CT8": lambda _, o: o.returns,
    "CT13": lambda _, o: o.errors,
    "CT14": lambda _, o: o.stream,
    "CT15": lambda _, o: o.stream,
    "RB8": _option("timeout"),
    "RT13": _option("max-retries"),
    "WR7": lambda c, _: c.client,
}
"""Requirements that are about another statement than the rest of their kind."""
