"""Paging: the right page is asked for each time, and handed out whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conformance.faults.answers import put
from conformance.faults.script import Script
from conformance.history import Request
from conformance.oracles import paging
from conformance.oracles.answers import answer_of
from conformance.oracles.paging import sent_values
from conformance.sdk.judging import CASES, MODES, once, paged, without_retries
from conformance.sdk.subject import Ask, SdkSubject
from conformance.verdict import Finding
from specs import Operation, pointer
from specs.examples import example_response

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
        start = int((sent.get(promised.offset or "") or ["0"])[0])
        size = int((sent.get(promised.limit or "") or [str(SIZE)])[0])
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
    made = []
    for number in range(PAGES):
        changes: Mapping[str, Any] = {
            **({promised.limit: SIZE} if promised.limit else {}),
            **({promised.offset: number * SIZE} if promised.offset else {}),
        }
        made.append(Ask(operation, {**base, **changes}))
    return made


@CASES.case("paging.walk", "PG18", "PG19", each=paged, modes=MODES)
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


@CASES.case("paging.failure", "PG19", each=paged, modes=MODES)
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
