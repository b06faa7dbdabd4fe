"""Request ids under load: a repeated one is found in a head, an error and between workers."""

from __future__ import annotations

import json

import pytest

import specs
from conformance.history import Exchange, Request, Response
from load.record import Tally
from load.request_ids import FIRST, PLACES, RequestIds, compare, together

HEAD = "HTTP/1.1 200 OK\r\ndate: now\r\n{name}:{given}\r\ncontent-length: 2\r\n"


def head(given: object, name: str = "x-request-id", space: str = " ") -> bytes:
    """Return the head of an answer that gives an id."""
    return HEAD.format(name=name, given=f"{space}{given}").encode()


def refused(operation: str, body: object, *headers: tuple[str, str]) -> Exchange:
    """Return an exchange that was answered 400."""
    return Exchange(
        number=1,
        operation=operation,
        request=Request("GET", "/", (), b""),
        response=Response(400, headers, json.dumps(body).encode()),
        sent=0.0,
        received=0.1,
    )


@pytest.mark.parametrize(("name", "space"), [("x-request-id", " "), ("X-Request-ID", "")])
@pytest.mark.parametrize("before", [0, FIRST + 10])
def test_a_repeated_id_is_told_however_its_header_is_spelt(
    name: str, space: str, before: int
) -> None:
    """Among different ids none is told, the one that comes back is; at the start and later."""
    ids = RequestIds(specs.load("sovant"))
    assert not any(ids.head(head(n, name, space)) for n in range(before))
    assert not ids.head(head("abc", name, space))
    assert not ids.head(head("abd", name, space))
    assert ids.head(head("abc", name, space))


def test_an_answer_without_an_id_is_no_repetition() -> None:
    """Heads that give none, or an empty one, are never told."""
    ids = RequestIds(specs.load("sovant"))
    for each in (b"HTTP/1.1 200 OK\r\n", head("", space="")) * 2:
        assert not ids.head(each)
    assert ids.pack()["kept"] == 0


def test_what_heads_gave_is_known_when_an_error_gives_it() -> None:
    """The same id in a head and in an error's body is repeated, in either order."""
    contract = specs.load("sovant")
    ids, operation = RequestIds(contract), contract["memory.get"]
    assert not ids.head(head("r1"))
    assert ids.answer(operation, refused("memory.get", {"request_id": "r1"}))
    assert not ids.answer(operation, refused("memory.get", {}, ("X-Request-Id", "r2")))
    assert ids.head(head("r2"))
    assert ids.pack()["repeated"] == 1  # the last is counted when the oracles look at it


def test_an_api_whose_errors_alone_name_requests_is_judged_by_them() -> None:
    """Where no header is declared, heads are let alone and bodies of errors are compared."""
    contract = specs.load("claiv")
    ids, operation = RequestIds(contract), contract["ingest"]
    exchange = refused("ingest", {"error": {"request_id": "r1"}})
    assert not ids.in_heads
    assert [ids.answer(operation, exchange) for _ in range(2)] == [False, True]


def test_many_ids_take_no_more_room_than_few() -> None:
    """The table has one size; ids that differ are never taken for one another."""
    ids = RequestIds(specs.load("sovant"))
    assert not any(ids.head(head(f"req_{n}")) for n in range(PLACES // 2))
    assert ids.pack()["kept"] <= PLACES // 2
    assert len(ids.pack()["first"]) == FIRST * 8


def test_ids_of_two_workers_are_compared_by_the_master() -> None:
    """An id that two workers were given is one finding of the merged run, and counted."""
    contract = specs.load("sovant")
    parts = []
    for given in (["a", "b", "c"], ["c", "d", "b"]):
        ids = RequestIds(contract)
        assert not any(ids.head(head(each)) for each in given)
        parts.append(Tally(facts={"request-ids": ids.pack()}))
    merged = Tally()
    compare(contract, merged, parts)
    assert merged.facts["request-ids"] == {"kept": 6, "repeated": 0, "between-workers": 2}
    assert [s.finding.message for s in merged.findings.values()] == [
        "the same request id is given twice to two workers (ER6)"
    ]
    assert together([]) == {"kept": 0, "repeated": 0, "between-workers": 0}
