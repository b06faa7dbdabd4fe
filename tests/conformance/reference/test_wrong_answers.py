"""The table of wrong answers: each row makes a right answer wrong, and only what it may."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import specs
from conformance.history import Response
from conformance.reference import wrong_answers
from conformance.reference.backend import demo
from conformance.reference.wrong_answers import ANSWERS
from specs import Operation, quotas
from specs.examples import example_response

NOW = 1_900_000_000.0


def _fields(operation: Operation) -> Iterator[tuple[str, str]]:
    """Yield what a good answer says of quota, usage and methods, beside its example."""
    limit, usage = operation.rate_limit, operation.usage
    if limit is not None:
        yield from quotas.write(limit, quotas.Figures(10, 4, NOW + 30), quotas.at(NOW))
    yield from ((f.used, "3") for f in usage.figures) if usage else ()
    if usage and usage.plan:
        yield usage.plan, "pro"
    yield from (("retry-after", "7"), ("allow", "GET"))


def right() -> list[tuple[Operation, Response]]:
    """Return right answers of every declared status of every operation, shipped and demo."""
    found = []
    contracts = [*map(specs.load, specs.names()), *map(demo.load, demo.names())]
    for operation in (o for contract in contracts for o in contract):
        for status in {s for s in operation.responses if s.isdigit()} | {"405"}:
            try:
                told, headers, body = example_response(operation, int(status))
            except LookupError:
                told, headers, body = int(status), {"content-type": "application/json"}, {}
            given = {n.lower(): v for n, v in headers.items()} | dict(_fields(operation))
            given.setdefault("content-type", "application/json")
            found.append(
                (operation, Response(told, tuple(given.items()), json.dumps(body).encode()))
            )
    stream = next(o for o in specs.load("sovant") if o.stream is not None)
    events = b'data: {"type":"delta"}\n\ndata: {"type":"done"}\n\n'
    found.append((stream, Response(200, (("content-type", "text/event-stream"),), events)))
    return found


RIGHT = right()


@pytest.mark.parametrize("kind", ANSWERS)
def test_each_row_makes_some_answer_wrong(kind: str) -> None:
    """A row that applies nowhere, or changes nothing, would prove nothing."""
    made = [(answer, ANSWERS[kind](operation, answer)) for operation, answer in RIGHT]
    wrong = [(answer, changed) for answer, changed in made if changed is not None]
    assert bool(wrong) is (kind not in UNEXAMPLED)
    assert [] == [answer for answer, changed in wrong if answer == changed]


UNEXAMPLED = frozenset({"a batch entry's outcome turned round", "a batch result gone",
                        "batch results in another order", "an item missing from a page",
                        "a page turned round", "scores in another order"})  # fmt: skip
"""Rows about several items of a page or a batch: examples show one."""


def test_what_is_no_json_keeps_its_body() -> None:
    """A change of members leaves bodies alone that have none."""
    operation, _ = RIGHT[0]
    page = Response(200, (("content-type", "text/html"),), b"<html>")
    assert ANSWERS["a field null"](operation, page) is None


def test_a_stream_becomes_one_array() -> None:
    """The events keep their order inside the array, and the media type says what it is."""
    operation, stream = RIGHT[-1]
    made = wrong_answers.as_array(operation, stream)
    assert made is not None
    assert ["delta", "done"] == [event["type"] for event in made.json()]
    assert "application/json" == made.media_type
