"""Paging: the right page is asked for each time, and handed out whole.

A list that is paged by number or offset is walked by the caller. One with cursors, tokens or
links may be walked by the client itself, which then returns an iterator: that is seen, not
declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from conformance.faults.answers import put, without
from conformance.faults.script import Instruction, Script, Stage, respond
from conformance.history import Request
from conformance.oracles import paging
from conformance.oracles.answers import answer_of
from conformance.oracles.paging import sent_values
from conformance.sdk.judging import CASES, MODES, once, paged, without_retries
from conformance.sdk.subject import KEY, Ask, Play, SdkSubject
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Basis, Contract, Operation, pointer
from specs.examples import example_response
from specs.paging import at, by, counted, named, parameter
from specs.paging import linked as linked_style

PAGES = 3
SIZE = 2


def pages(operation: Operation) -> Callable[[Operation | None, Request], Any]:
    """Return a server's answers to a walk: PAGES pages of SIZE items, told apart by their keys."""
    status, headers, body = example_response(operation)
    promised = operation.pagination
    assert promised is not None
    entries = pointer(body, promised.items)
    pattern = entries[0] if entries else {}

    def answer(_: Operation | None, request: Request) -> Any:
        sent = sent_values(request)
        size = int((sent.get(promised.limit or "") or [str(SIZE)])[0])
        place = int((sent.get(parameter(promised)) or ["-1"])[0])
        start = max(0, place if by(promised) == "offset" else (place - 1) * size)
        numbers = range(start, min(start + size, PAGES * SIZE))
        items = [
            put(pattern, promised.item_key, _key(pattern, promised.item_key, n)) for n in numbers
        ]
        made = put(body, promised.items, items)
        if promised.total:
            made = put(made, promised.total, PAGES * SIZE)
        if promised.has_more:
            made = put(made, promised.has_more, start + size < PAGES * SIZE)
        return status, headers, made

    return answer


def _key(pattern: Any, place: str, number: int) -> Any:
    try:
        old = pointer(pattern, place)
    except LookupError:
        old = ""
    if isinstance(old, int):
        return 7_000_000 + number
    if isinstance(old, str) and len(old) == 36 and old.count("-") == 4:
        return f"7a6e0000-0000-4000-8000-{number:012d}"
    return f"item-7a6e-{number}"


def walk(subject: SdkSubject, operation: Operation) -> list[Ask]:
    """Return the calls that ask for one page after another, with everything else the same."""
    promised = operation.pagination
    assert promised is not None
    base = subject.arguments(operation)
    return [Ask(operation, {**base, **at(promised, n, SIZE)}) for n in range(PAGES)]


def numbered(contract: Contract) -> list[Operation]:
    """Return the operations whose pages the caller asks for by number or offset."""
    return [o for o in paged(contract) if counted(o.pagination)]


@CASES.case("paging.walk", "PG18", "PG19", each=numbered, modes=MODES)
def test_walk(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A walk asks for each page as told, repeats all filters, and hands out every item once."""
    made = subject.play(
        Script(), *walk(subject, operation), mode=subject.needs(operation, mode),
        default=pages(operation),
    )  # fmt: skip
    asked = []
    found: list[Finding] = []
    for call in made.history.calls:
        sent = made.history.during(call)
        if sent:
            asked.append((call.arguments, sent[0].request))
            items = paging.judge_items(operation, call, answer_of(sent[-1]))
            found += made.witnessed(items, call)
    return once(found + made.witnessed(paging.judge_walk(operation, asked)))


@CASES.case("paging.failure", "PG19", each=numbered, modes=MODES)
def test_failure(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A page that fails raises an error, and can be asked for again."""
    one, two, three = walk(subject, operation)
    script = Script.parse(f"{operation.id}#2 400")
    made = subject.play(
        script, one, two, two, three, mode=subject.needs(operation, mode),
        default=pages(operation), options=without_retries(subject),
    )  # fmt: skip
    _, failed, again, _ = made.history.calls
    found: list[Finding] = []
    promised = operation.pagination
    assert promised is not None
    if failed.outcome.kind == "value":
        found += made.witnessed([
            Finding(
                "PG19", "hides that a page could not be had",
                expected="an error for the page that failed", actual="a value",
                basis=promised.basis, cause=f"page-error-hidden:{operation.id}",
            )
        ], failed)  # fmt: skip
    sent = made.history.during(again)
    if sent:
        items = paging.judge_items(operation, again, answer_of(sent[-1]))
        found += made.witnessed(items, again)
    return once(found)


# --- lists that the client walks ------------------------------------------------------------------

NEXT = "page-7a6e-"
Page = tuple[int, Any]
"""How many items a page has, and what stands where its next token should: DROP for nothing."""
DROP = object()
ENDS: tuple[Any, ...] = (None, DROP, "")


def walked(contract: Contract) -> list[Operation]:
    """Return the operations whose next page is named by the one before."""
    return [
        o for o in paged(contract)
        if named(o.pagination) and not linked_style(o.pagination)
        and o.pagination is not None and o.pagination.next is not None
    ]  # fmt: skip


def linked(contract: Contract) -> list[Operation]:
    """Return the operations whose next page stands in a Link header."""
    return [o for o in paged(contract) if linked_style(o.pagination)]


def filled(operation: Operation, size: int, start: int) -> Any:
    """Return status, headers and body of a page of `size` items, numbered from `start`."""
    status, headers, body = example_response(operation)
    promised = operation.pagination
    assert promised is not None
    entries = pointer(body, promised.items)
    pattern = entries[0] if entries else {}
    items = [
        put(pattern, promised.item_key, _key(pattern, promised.item_key, start + n))
        for n in range(size)
    ]
    return status, headers, put(body, promised.items, items)


def server(
    operation: Operation, pages_: Sequence[Page]
) -> Callable[[Operation | None, Request], Any]:
    """Return a server's answers to one request after the other: one page each."""
    promised = operation.pagination
    assert promised is not None
    place = promised.next or ""
    served: list[int] = []

    def answer(_: Operation | None, request: Request) -> Any:
        number = min(len(served), len(pages_) - 1)
        served.append(number)
        size, token = pages_[number]
        status, headers, body = filled(operation, size, sum(n for n, _ in pages_[:number]))
        shown = without(body, place) if token is DROP else put(body, place, token)
        return status, headers, shown

    return answer


def _walk(
    subject: SdkSubject, operation: Operation, mode: str, script: Script, default: Any
) -> tuple[Play, Mapping[str, Any]]:
    """Let the client walk, and return the play and its iterator. Raises NotApplicable."""
    ask = Ask(operation, subject.arguments(operation, optional=False))
    made = subject.play(
        script, ask, mode=subject.needs(operation, mode), default=default, alone=True
    )
    value = made.call.outcome.value
    if not isinstance(value, Mapping) or "$stream" not in value:
        raise NotApplicable("the client hands out one page at a time")
    return made, value


@CASES.case("paging.end", "PG15", each=walked, modes=MODES)
def test_end(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A walk ends where no next page is named; an empty page that names one is not the end."""
    found: list[Finding] = []
    for last in ENDS:
        plan: list[Page] = [(2, NEXT + "1"), (0, NEXT + "2"), (2, last)]
        made, value = _walk(subject, operation, mode, Script(), server(operation, plan))
        asked, items = len(made.attempts), len(value["$stream"])
        if (asked, items) != (len(plan), 4):
            found += made.witnessed([
                Finding(
                    "PG15", "ends a walk at the wrong page",
                    expected="3 requests and 4 items: the second page is empty, the third the last",
                    actual=f"{asked} requests and {items} items",
                    cause="walk:too-long" if asked > len(plan) else "walk:too-short",
                )
            ])  # fmt: skip
    return once(found)


@CASES.case("paging.trap", "PG16", each=walked, modes=MODES)
def test_trap(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A server that names the same next page again and again does not hold the client for ever."""
    plan: list[Page] = [(1, NEXT + "same")] * 20 + [(1, None)]
    made, _ = _walk(subject, operation, mode, Script(), server(operation, plan))
    if len(made.attempts) < len(plan) - 1:
        return []
    return made.witnessed([
        Finding(
            "PG16", "asks for the same next page again and again",
            expected="an end or an error once a token comes again",
            actual=f"{len(made.attempts)} requests with one token", basis=Basis.ASSUMED,
            cause="walk:trapped",
        )
    ])  # fmt: skip


@CASES.case("paging.lazy", "PG17", each=walked, modes=MODES)
def test_lazy(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """The second page is asked for when the first one's items have been handed out."""
    plan: list[Page] = [(2, NEXT + "1"), (2, NEXT + "2"), (2, None)]
    made, value = _walk(subject, operation, mode, Script(), server(operation, plan))
    times, sent = value.get("$times", []), [e.sent for e in made.attempts]
    if len(sent) < 2 or len(times) < 2 or made.call.sleeps:
        raise Inconclusive("there was no second page, or no time of its items")
    early = sum(1 for at in sent[1:] if at < times[0])
    if not early:
        return []
    return made.witnessed([
        Finding(
            "PG17", "fetches pages before they are needed",
            expected="one request before the first item is handed out",
            actual=f"{1 + early} requests before it", basis=Basis.ASSUMED, cause="walk:eager",
        )
    ])  # fmt: skip


# --- links ----------------------------------------------------------------------------------------

LINKS: tuple[tuple[str, str, str], ...] = (
    ("LK1", "<?cursor=two>; rel=next", "two"),
    ("LK1", "<{path}?cursor=two>; rel=next", "two"),
    ("LK2", "<{base}{path}?cursor=two>; rel=NEXT", "two"),
    ("LK2", '<{base}{path}?cursor=two>; REL="last Next"', "two"),
    ("LK3", '<{base}{path}?cursor=a,b;c>; rel="next"', "a,b;c"),
    ("LK3", '<{base}{path}?cursor=two>; title="x, y; rel=prev"; rel="next"', "two"),
    ("LK3", '<{base}{path}?cursor=one>; rel="prev", <{base}{path}?cursor=two>; rel="next"', "two"),
)
"""Requirement, the first page's Link header, and the cursor that must be asked for next."""


def _linked(
    subject: SdkSubject, operation: Operation, mode: str, link: str
) -> tuple[Play, Mapping[str, Any]]:
    below = operation.path.rpartition("/")[2]
    whole = link.replace("<{path}", f"<{below}").replace("{path}", operation.path)
    status = int(operation.success.status)
    effect = respond(status, headers=(("link", whole),))
    script = Script.of(Instruction.of(effect, operation.id, stage=Stage.AFTER_COMMIT))
    return _walk(subject, operation, mode, script, lambda o, r: filled(operation, 2, 0))


@CASES.case("paging.links", "LK1", "LK2", "LK3", "LK4", each=linked, modes=MODES)
def test_links(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """The next page is where the Link header says, however it is written, and keys stay home."""
    found: list[Finding] = []
    for requirement, link, wanted in LINKS:
        made, _ = _linked(subject, operation, mode, link)
        asked = [dict(e.request.query).get("cursor") for e in made.attempts[1:]]
        if asked != [wanted]:
            found += made.witnessed([
                Finding(
                    requirement, "does not follow a Link header to the next page",
                    expected=f"one more request, with cursor={wanted}, after {link}",
                    actual=f"further requests: {asked or 'none'}", cause=f"link:{link[:50]}",
                )
            ])  # fmt: skip
    made, _ = _linked(subject, operation, mode, "<{other}{path}?cursor=two>; rel=next")
    abroad = [e for e in made.history.exchanges if e.principal == "other"]
    if any(KEY in v for e in abroad for _, v in e.request.headers):
        found += made.witnessed([
            Finding(
                "LK4", "sends its credentials to a next page at another origin",
                expected="no credentials beyond the origin that they were given for",
                actual="the key was sent there", cause="link:credentials-to-other-origin",
            )
        ])  # fmt: skip
    return once(found)
