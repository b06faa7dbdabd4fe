"""Oracles of one answer, made by hand: schema, media type, envelope, leaks, problems, streams."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from conformance.history import Exchange, Request, Response
from conformance.oracles import (
    contract as contract_oracle,
)
from conformance.oracles import (
    envelope,
    streams,
)
from specs import Basis, Contract
from specs.vocabulary import Stream
from tests.scripted import causes, contract, exchange, required

THINGS: Contract = contract()
GET = THINGS["things.get"]
THING = {"id": "t1", "name": "one"}
ERROR = {"error": {"code": "not_found", "message": "no such thing", "request_id": "r1"}}


@pytest.mark.parametrize(
    ("status", "body", "head", "expected"),
    [
        (200, THING, (), []),
        (200, {"id": "t1"}, (), ["CT1"]),
        (200, {"id": "t1", "name": 7}, (), ["CT1"]),
        (200, {"id": "t1", "name": "one", "more": 1}, (), []),
        (404, ERROR, (), []),
        (418, ERROR, (), ["CT2"]),
        (500, ERROR, (), ["CT6"]),
        (503, None, (), ["CT6"]),
    ],
)
def test_one_answer_is_judged_by_its_declaration(
    status: int, body: Any, head: Any, expected: list[str]
) -> None:
    """Status, shape and failure of one answer are told by their own requirement, and once."""
    assert expected == required(contract_oracle.judge(GET, exchange(status, body, head)))


def test_a_schema_violation_names_the_place_and_never_the_value() -> None:
    """What is wrong in a body is told by place and keyword; payloads stay out of messages."""
    finding = next(iter(contract_oracle.judge(GET, exchange(200, {"id": "secret", "name": 7}))))
    assert "/name" in finding.message
    assert "secret" not in finding.message + finding.cause


def test_a_violation_weighs_what_that_part_of_the_schema_rests_on() -> None:
    """Where a property says that it is assumed, breaking it is no broken document."""
    body = {**THING, "size": 99}
    assert [Basis.ASSUMED] == [f.basis for f in contract_oracle.judge(GET, exchange(200, body))]


def test_an_answer_that_is_assumed_breaks_no_document_by_its_details() -> None:
    """Where only we say that there is such a status, its media type and shape rest on no more."""
    assumed = replace(GET.responses["404"], basis=Basis.ASSUMED)
    operation = replace(GET, responses={**GET.responses, "404": assumed})
    for declared, basis in ((GET, Basis.DOCUMENTED), (operation, Basis.ASSUMED)):
        findings = contract_oracle.judge(declared, exchange(404, {"error": "a text"}))
        assert {basis} == {f.basis for f in findings}


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [("application/json", []), ("application/json; charset=utf-8", []), ("text/html", ["CT3"])],
)
def test_the_media_type_is_the_declared_one(media_type: str, expected: list[str]) -> None:
    """Parameters do not matter, another type does."""
    made = replace(
        exchange(200, THING),
        response=Response(200, (("content-type", media_type),), json.dumps(THING).encode()),
    )
    assert expected == required(contract_oracle.judge(GET, made))


def test_a_broken_off_answer_is_no_answer() -> None:
    """A body that ends early is told as such, whatever its half says."""
    made = replace(exchange(200, THING), response=Response(200, (), b'{"id"', complete=False))
    assert [("CT6", "no-answer-truncated")] == causes(contract_oracle.judge(GET, made))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ERROR, []),
        ({"error": {"message": "m", "request_id": "r"}}, ["ER4"]),
        ({"error": {"code": "x", "message": "", "request_id": "r"}}, ["ER4"]),
        ({"error": {"code": "x", "message": "m"}}, ["ER6"]),
        ("nothing", ["ER4", "ER6"]),
    ],
)
def test_an_error_says_what_the_envelope_declares(body: Any, expected: list[str]) -> None:
    """Code, message and request id stand where the contract says."""
    assert expected == required(envelope.judge(GET, exchange(404, body)))


LEAKING = {
    "python-traceback": "Traceback (most recent call last): ...",
    "python-frame": 'File "/app/x.py", line 3',
    "java-stack": "at com.acme.Store.get(Store.java:12)",
    "node-stack": "at Object.<anonymous> (/srv/app/index.js:3:9)",
    "go-stack": "goroutine 7 [running]:",
    "sql-text": "SELECT id FROM things WHERE x",
    "sql-error": "sqlite3.OperationalError: near",
    "file-path": "cannot open /srv/app/config/db.yml",
    "rust-panic": "thread 'main' panicked at src/main.rs:2",
}


@pytest.mark.parametrize("name", LEAKING)
def test_the_servers_inside_is_a_leak(name: str) -> None:
    """Stacks, statements and paths are told by their kind."""
    body = {"error": {**ERROR["error"], "message": LEAKING[name]}}
    found = [f.cause for f in envelope.judge(GET, exchange(500, body))]
    assert f"leak-{name}" in found


@pytest.mark.parametrize(
    "text",
    [
        "select a plan from the list",
        "POST /v1/things/12 not found",
        "see https://docs.example.com/home/errors/404",
        "update your key at the console",
    ],
)
def test_plain_words_are_no_leak(text: str) -> None:
    """Sentences that only look like SQL or a path are left alone."""
    body = {"error": {**ERROR["error"], "message": text}}
    assert [] == required(envelope.judge(GET, exchange(404, body)))


def test_what_the_request_said_is_no_leak() -> None:
    """An error may quote what it was sent."""
    body = {"error": {**ERROR["error"], "message": "bad: SELECT a FROM b"}}
    asked = Request("POST", "/things", (), b'{"name": "SELECT a FROM b"}')
    assert [] == required(envelope.judge(GET, exchange(400, body, request=asked)))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, ERROR, []),
        (200, THING, [("ER5", "accepted x")]),
        (400, ERROR, [("ER5", "status x 400")]),
        (404, {"error": {"code": "other", "message": "m"}}, [("ER5", "code x")]),
    ],
)
def test_a_provoked_error_is_the_declared_one(status: int, body: Any, expected: Any) -> None:
    """Acceptance, another status and another code are three different findings."""
    made = envelope.provoked(GET, exchange(status, body), "unknown-id", "an unknown id", cause="x")
    assert expected == causes(made)


def test_request_ids_are_unique() -> None:
    """The same request id twice is told; different ones are not."""
    assert GET.errors is not None
    twice = [exchange(404, ERROR, number=n) for n in (1, 2)]
    assert [("ER6", "request-id-repeated")] == causes(
        envelope.unique_request_ids(GET.errors, twice)
    )
    assert [] == causes(envelope.unique_request_ids(GET.errors, twice[:1]))


STREAM = Stream(
    basis=Basis.DOCUMENTED, parameter="stream", type="/type", delta="delta", done="done",
    data="/data",
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('data: {"type":"delta","data":"a"}\n\ndata: {"type":"done"}\n\n', []),
        ('event: x\r\ndata: {"type":"delta",\r\ndata: "data":"a"}\r\n\r\n'
         'data: {"type":"done"}\r\n\r\n', []),
        ('data: {"type":"delta","data":"a"}\n\n', ["stream-no-done"]),
        ('data: {"data":"a"}\n\ndata: {"type":"done"}\n\n',
         ["stream-event-without-type", "stream-no-delta"]),
        ("data: half\n\n", ["stream-event-not-json"]),
        ("", ["stream-empty"]),
    ],
)  # fmt: skip
def test_a_stream_is_made_of_its_declared_events(body: str, expected: list[str]) -> None:
    """Types, pieces and the last event are as declared; line ends may be any."""
    operation = replace(GET, stream=STREAM)
    made = replace(
        exchange(), response=Response(200, (("content-type", "text/event-stream"),), body.encode())
    )
    assert expected == [f.cause for f in streams.judge_stream(operation, made)]


def test_a_kind_of_problem_has_one_title() -> None:
    """Two titles of one type are told; titles of different types may differ (RFC 9457 3.1.3)."""
    head = (("content-type", "application/problem+json"),)

    def problem(kind: str, title: str) -> Exchange:
        body = json.dumps({"type": kind, "title": title}).encode()
        return replace(exchange(400), response=Response(400, head, body))

    assert [] == causes(envelope.same_titles([problem("/a", "A"), problem("/b", "B")]))
    twice = [problem("/a", "A"), problem("/a", "Another")]
    assert [("PD6", "problem-title-changes")] == causes(envelope.same_titles(twice))
