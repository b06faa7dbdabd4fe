"""Walks that the client takes by itself, judged by their requests and not by counting pages.

Each follow-up carries the cursor exactly as it was given, and everything else that the caller
asked for; a later page that fails is an error of the walk. What a page holds, and where a walk
ends, is judged in `test_pagination.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from conformance.faults.script import Script
from conformance.history import Exchange, Request
from conformance.oracles import paging
from conformance.sdk.judging import CASES, MODES, once, paged, without_retries
from conformance.sdk.subject import Ask, Play, SdkSubject
from conformance.sdk.test_pagination import filled, linked, server, walked
from conformance.sdk.test_wire import takes_text
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.paging import linked as linked_style

TOKENS = ("a+b/c==", "100%25 of &x=1#y?z;w", "na\u00efve-\u65e5\u672c", "two words, {quoted}'")
"""Places of next pages that mean something to URLs: a client must not look into them."""
PLAIN = ("page-7a6e-1", "page-7a6e-2")
"""Places for contracts that allow no others."""
FAILURES = ("400", "404", "500")
"""Statuses of a later page, on every attempt."""


def _tokens(operation: Operation) -> Sequence[str]:
    """Return the places that a walk is led through: hard ones where the contract allows them."""
    name = operation.pagination.cursor if operation.pagination else None
    schema = next((p.schema for p in operation.parameters if p.name == name), None)
    if schema is None and operation.body is not None:
        schema = operation.body.schema.get("properties", {}).get(name)
    return [t for t in TOKENS if schema is None or takes_text(schema, t)] or PLAIN


def _first(subject: SdkSubject, operation: Operation) -> dict[str, Any]:
    """Return the arguments of a walk's first page: a size, every filter, and no cursor."""
    promised = operation.pagination
    assert promised is not None
    return {n: v for n, v in subject.arguments(operation).items() if n != promised.cursor}


def _streams(made: Play) -> Mapping[str, Any] | None:
    """Return the iterator that a call gave; None where it gave one page."""
    value = made.call.outcome.value
    return value if isinstance(value, Mapping) and "$stream" in value else None


@CASES.case("paging.followed", "PG18", each=walked, modes=MODES)
def test_followed(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Every further page is asked for by the cursor as it was given, with size and filters."""
    promised = operation.pagination
    assert promised is not None
    if promised.cursor is None:
        raise NotApplicable("its pages have no cursor")
    tokens, base = _tokens(operation), _first(subject, operation)
    plan: list[tuple[int, Any]] = [*[(2, t) for t in tokens], (2, None)]
    ready = subject.needs(operation, mode)
    made = subject.play(
        Script(), Ask(operation, base), mode=ready, default=server(operation, plan), alone=True
    )
    wanted = [base, *[{**base, promised.cursor: t} for t in tokens]]
    if _streams(made) is None:  # the caller asks for each page
        made = subject.play(
            Script(), *[Ask(operation, each) for each in wanted], mode=ready,
            default=server(operation, plan), alone=True,
        )  # fmt: skip
    asked = made.history.exchanges
    if not asked:
        raise Inconclusive("nothing was sent")
    pairs = [(told, e.request) for told, e in zip(wanted, asked, strict=False)]
    return once(made.witnessed(paging.judge_walk(operation, pairs)))


def _links(operation: Operation, queries: Sequence[str]) -> Any:
    """Return a server's answers to a walk by Link headers: one for each query, then the last."""
    served: list[int] = []

    def answer(_: Operation | None, request: Request) -> Any:
        number = len(served)
        served.append(number)
        status, headers, body = filled(operation, 2, 2 * number)
        if number < len(queries):
            headers = {**dict(headers), "link": f'<?{queries[number]}>; rel="next"'}
        return status, headers, body

    return answer


@CASES.case("paging.links-followed", "PG18", each=linked, modes=MODES)
def test_links_followed(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """The query of a link to the next page is asked for as it stands there."""
    promised = operation.pagination
    assert promised is not None
    queries = [f"cursor={quote(token, safe='')}&size=2" for token in TOKENS]
    ask = Ask(operation, subject.arguments(operation, optional=False))
    made = subject.play(
        Script(), ask, mode=subject.needs(operation, mode), default=_links(operation, queries),
        alone=True,
    )  # fmt: skip
    if _streams(made) is None:
        raise NotApplicable("the client hands out one page at a time")
    wanted = [(("cursor", token), ("size", "2")) for token in TOKENS]
    asked = [e.request.query for e in made.attempts[1:]]
    if asked == wanted:
        return []
    place = next((n for n, a in enumerate(asked) if a != wanted[n]), len(asked))
    return made.witnessed([
        Finding(
            "PG18", "does not ask for the page that a link names",
            expected=f"?{queries[min(place, len(queries) - 1)]}",
            actual=_target(made.attempts, place + 1), basis=promised.basis,
            cause=f"page-link:{operation.id}",
        )
    ])  # fmt: skip


def _target(attempts: Sequence[Exchange], place: int) -> str:
    return attempts[place].request.target if place < len(attempts) else "no further request"


def followed(contract: Contract) -> list[Operation]:
    """Return the operations whose pages may be walked by the client itself."""
    return [o for o in paged(contract) if o in (*walked(contract), *linked(contract))]


@CASES.case("paging.page-fails", "PG19", each=followed, modes=MODES)
def test_page_fails(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A later page that fails is an error of the walk, after the items that came."""
    promised = operation.pagination
    assert promised is not None
    plan: list[tuple[int, Any]] = [(2, PLAIN[0]), (2, PLAIN[1]), (2, None)]
    ready = subject.needs(operation, mode)
    found: list[Finding] = []
    for status in FAILURES:
        by_link = linked_style(promised)
        default = (
            _links(operation, [f"cursor={t}" for t in PLAIN]) if by_link
            else server(operation, plan)
        )  # fmt: skip
        made = subject.play(
            Script.parse(f"{operation.id}#2+ {status}"),
            Ask(operation, subject.arguments(operation, optional=False)), mode=ready,
            options=without_retries(subject), default=default, alone=True,
        )  # fmt: skip
        value = _streams(made)
        if value is None:
            raise NotApplicable("the client hands out one page at a time")
        if len(made.attempts) > 1 and value.get("$error") is None:
            found += made.witnessed([
                Finding(
                    "PG19", "takes a page that fails for the end of a walk",
                    expected=f"an error once the second page is answered {status}",
                    actual=f"the end of the walk after {len(value['$stream'])} items",
                    basis=promised.basis, cause=f"walk:error-hidden:{operation.id}",
                )
            ])  # fmt: skip
    return once(found)
