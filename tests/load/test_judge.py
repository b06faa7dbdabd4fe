"""Judging at full speed: the quick pass is never laxer than the oracles."""

import contextlib
import json
from typing import Any

import pytest

from load.judge import BAD, PLAIN, Asked, exchange_of
from tests.load_judged import EVERY, NOW, good, told


@pytest.mark.parametrize(("api", "operation"), EVERY)
def test_an_answer_as_declared_passes_both_passes(api: str, operation: str) -> None:
    """The contract's own example answer is good in the quick pass and to the oracles."""
    judge, status, head, body = good(api, operation)
    assert judge.quick(status, head, body, PLAIN, NOW) is not BAD
    assert told(judge, status, head, body) == []


def _mutations(value: Any) -> list[Any]:
    made: list[Any] = [[], None, 7, "text", {"surprise": True}]
    if isinstance(value, dict):
        made += [{k: v for k, v in value.items() if k != name} for name in value]
        made += [{**value, name: {"wrong": ["type"]}} for name in value]
        made += [{**value, name: None} for name in value]
    return made


@pytest.mark.parametrize(("api", "operation"), EVERY)
def test_what_the_quick_pass_lets_through_no_oracle_condemns(api: str, operation: str) -> None:
    """Over many damaged answers, an oracle's finding implies that the quick pass said BAD."""
    judge, status, head, body = good(api, operation)
    bodies = [body, b"", b"{", b"<html>", b'{"a": NaN}', b"\xff"]
    if body:
        with contextlib.suppress(ValueError):
            bodies += [json.dumps(v).encode() for v in _mutations(json.loads(body))]
    heads = [head, head.split(b"\r\n")[0] + b"\r\n", head.replace(b"json", b"xml")]
    heads += [head.replace(line + b"\r\n", b"") for line in head.split(b"\r\n")[1:-1]]
    heads += [head.replace(b": 42", b": " + v) for v in (b"-1", b"101", b"x", b"4.5", b"")]
    reset = str(int(NOW) + 30).encode()
    heads += [head.replace(reset, v) for v in (b"0", b"9" * 14, b"soon")]
    for each in heads:
        for raw in bodies if each is head else bodies[:1]:
            for code in (status, 200, 206, 299):
                quick = judge.quick(code, each, raw, PLAIN, NOW)
                if told(judge, code, each, raw):
                    assert quick is BAD


def test_a_head_that_looks_like_a_good_one_is_weighed_anew() -> None:
    """Once a good head is known, others of its layout still need figures that can be true."""
    judge, status, head, body = good("sovant", "memory.get")
    again = head.replace(b": 42", b": 41").replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 200 Fine")
    wrong = [
        head.replace(b": 42", b": 101"),
        head.replace(b": 42", b": 4_2"),
        head.replace(b": 42", b": +42"),
        head.replace(b"json", b"html").replace(b"\r\n", b"\r\nX-Was: application/json\r\n", 1),
        head.replace(str(int(NOW) + 30).encode(), b"1"),
    ]
    for _ in range(2):
        assert judge.quick(status, head, body, PLAIN, NOW) is not BAD
        assert judge.quick(status, again, body, PLAIN, NOW) is not BAD
        assert all(judge.quick(status, each, body, PLAIN, NOW) is BAD for each in wrong)


def test_another_resource_than_asked_for_is_told() -> None:
    """A read that answers about another id is found, without naming either."""
    judge, status, head, body = good("sovant", "memory.get")
    asked = Asked(id="mem_other")
    assert judge.quick(status, head, body, asked, NOW) is BAD
    assert told(judge, status, head, body, asked) == ["wrong-id memory.get"]


def test_only_the_very_same_answer_is_good_without_a_second_look() -> None:
    """A body that was good for a request is taken as read; another body, or its head, is not."""
    judge, status, head, body = good("sovant", "memory.get")
    value = json.loads(body)
    asked = Asked(id=value["id"])
    first = judge.quick(status, head, body, asked, NOW)
    assert first is not BAD
    assert judge.quick(status, head, bytes(bytearray(body)), asked, NOW) is first
    assert judge.quick(status, head.replace(b": 42", b": 101"), body, asked, NOW) is BAD
    assert judge.quick(404, head, body, asked, NOW) is BAD
    wrong = json.dumps({**value, "type": "nothing"}).encode()
    other = json.dumps({**value, "id": "mem_other"}).encode()
    for _ in range(2):
        assert judge.quick(status, head, wrong, asked, NOW) is BAD
        assert judge.quick(status, head, other, asked, NOW) is BAD
    assert judge.quick(status, head, body, Asked(id="mem_other"), NOW) is BAD
    elsewhere, _, other_head, _ = good("sovant", "memory.update")
    assert elsewhere.quick(status, other_head, body, asked, NOW) is not first
    judge.quick(status, head, body, PLAIN, NOW)
    assert PLAIN.last is None


def test_what_was_acknowledged_must_be_shown() -> None:
    """A read without the last acknowledged text is an altered write."""
    judge, status, head, body = good("sovant", "memory.get")
    asked = Asked(mark=b"mc1w0l0n00000001z")
    assert judge.quick(status, head, body, asked, NOW) is BAD
    assert told(judge, status, head, body, asked) == ["altered memory.get"]


def test_other_keys_data_is_told() -> None:
    """A text that only another key's data carries is a leak between tenants."""
    judge, status, head, body = good("sovant", "memory.list")
    value = json.loads(body)
    value["memories"][0]["content"] = "x mc1w0l1n00000001z"
    raw, asked = json.dumps(value).encode(), Asked(foreign=(b"mc1w0l1n",))
    assert judge.quick(status, head, raw, asked, NOW) is BAD
    assert told(judge, status, head, raw, asked) == ["foreign-data memory.list"]


def test_no_finding_carries_a_value_from_the_payload() -> None:
    """Messages name places and rules, never what stood there."""
    judge, status, head, body = good("sovant", "memory.get")
    value = {**json.loads(body), "tags": "s3cret-value", "id": 17}
    data = b"GET /x HTTP/1.1\r\n\r\n"
    exchange = exchange_of(1, "memory.get", data, status, head, json.dumps(value).encode(), 0, 1)
    found = judge.explain(exchange, PLAIN, NOW)
    assert found
    assert "s3cret-value" not in repr([(f.message, f.expected, f.actual, f.cause) for f in found])


def test_a_replay_must_repeat_what_is_stable() -> None:
    """The same key answered with another id, or not marked as repeated, is a second effect."""
    judge, *_ = good("claiv", "ingest")
    first = {"event_id": "e1", "deduped": False}
    assert list(judge.replayed(first, {"event_id": "e1", "deduped": True})) == []
    causes = [f.cause for f in judge.replayed(first, {"event_id": "e2", "deduped": False})]
    assert causes == ["replayed-anew ingest /event_id", "replay-unmarked ingest"]
