"""Paging as an SDK sees it: the arguments of each page's request, and what each page gives.

Judges a walk that a caller makes page by page. That a server's pages add up is judged elsewhere;
here only that the SDK asks for the right page each time and hands out what came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from conformance.history import Call, Request
from conformance.oracles.answers import Answer
from conformance.oracles.exceptions import said
from conformance.oracles.surfaced import pointed
from conformance.verdict import Finding
from specs import Operation
from specs.paging import moving

Values = Mapping[str, Sequence[str]]


def sent_values(request: Request) -> dict[str, list[str]]:
    """Return the query and body properties of a request by name, as text."""
    found: dict[str, list[str]] = {}
    for name, value in request.query:
        found.setdefault(name, []).append(value)
    body = request.json_or_none()
    if isinstance(body, dict):
        for name, value in body.items():
            found.setdefault(name, []).append(str(value))
    return found


def judge_walk(
    operation: Operation, pages: Sequence[tuple[Mapping[str, Any], Request]]
) -> list[Finding]:
    """Return what is wrong with the requests of a walk: (arguments, request) of each page."""
    paging = operation.pagination
    if paging is None:
        return []
    names = moving(paging)
    return [*_moved(operation, pages, names), *_kept(operation, pages, names)]


def _moved(
    operation: Operation, pages: Sequence[tuple[Mapping[str, Any], Request]], moving: frozenset[str]
) -> Iterator[Finding]:
    paging = operation.pagination
    assert paging is not None
    for number, (arguments, request) in enumerate(pages, start=1):
        sent = sent_values(request)
        for name in sorted(moving & set(arguments)):
            if sent.get(name) != [str(arguments[name])]:
                yield Finding(
                    "PG18", f"does not ask for the page it was told to: `{name}`",
                    operation=operation.id,
                    expected=f"{name}={arguments[name]} for page {number} "
                    f"({said(paging.basis, paging.source)})",
                    actual=f"{name}={', '.join(sent.get(name, [])) or 'nothing'}",
                    basis=paging.basis, cause=f"page-argument:{operation.id}.{name}",
                )  # fmt: skip


def _kept(
    operation: Operation, pages: Sequence[tuple[Mapping[str, Any], Request]], moving: frozenset[str]
) -> Iterator[Finding]:
    paging = operation.pagination
    assert paging is not None
    if not pages:
        return
    first = {k: v for k, v in sent_values(pages[0][1]).items() if k not in moving}
    for number, (_, request) in enumerate(pages[1:], start=2):
        later = {k: v for k, v in sent_values(request).items() if k not in moving}
        for name in sorted(n for n in first.keys() | later.keys() if first.get(n) != later.get(n)):
            yield Finding(
                "PG18", f"does not resend `{name}` unchanged with every page",
                operation=operation.id,
                expected=f"{name}={', '.join(first.get(name, [])) or 'nothing'} as in page 1",
                actual=f"{name}={', '.join(later.get(name, [])) or 'nothing'} in page {number}",
                basis=paging.basis, cause=f"page-filter:{operation.id}.{name}",
            )  # fmt: skip


def judge_items(operation: Operation, call: Call, answer: Answer) -> list[Finding]:
    """Return whether a page came with all of its items, in order."""
    paging = operation.pagination
    if paging is None or call.outcome.kind != "value" or not answer.ok:
        return []
    wanted = pointed(answer.json(), f"{paging.items}/*{paging.item_key}")
    got = list(_identities(call.outcome.value, set(map(str, wanted))))
    if got == list(map(str, wanted)):
        return []
    return [
        Finding(
            "PG19", "does not hand out the items of a page, each once and in order",
            operation=operation.id,
            expected=f"{len(wanted)} items ({said(paging.basis, paging.source)})",
            actual=f"{len(got)} of them", basis=paging.basis, cause=f"page-items:{operation.id}",
        )
    ]  # fmt: skip


def _identities(value: Any, wanted: set[str]) -> Iterator[str]:
    """Yield the item keys that occur in a result, in its order, wherever they stand."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _identities(inner, wanted)
    elif isinstance(value, list):
        for inner in value:
            yield from _identities(inner, wanted)
    elif not isinstance(value, bool) and str(value) in wanted:
        yield str(value)
