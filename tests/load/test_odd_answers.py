"""What a server says under load stops nobody: odd ids, texts and sizes are its own affair."""

from __future__ import annotations

import json
from typing import Any

import pytest

import specs
from load import framing
from load.call import in_path, origin
from load.framing import Reading, Trouble
from load.judge import BAD, Asked, exchange_of
from load.lane import Lane
from load.ledger import _by_target, _request
from load.plan import make_plan
from load.profile import load_profile

ODD = (
    "\ud800", "a\0b", "\x1b[2J\x1b]0;x\x07", "\u202e", "@everyone", "n" * 100_000, "\r\nX-A: b",
    "../..", "%00", "", 10**400, -1,
)  # fmt: skip
"""Ids that a server may give."""
PLAN = make_plan(specs.load("sovant"), load_profile("smoke"))


@pytest.mark.parametrize("odd", ODD, ids=lambda o: ascii(o)[:16])
def test_an_odd_id_is_asked_for_as_it_was_given(odd: Any) -> None:
    """Requests that carry it are made, in one line, by the run and by its ledger."""
    lane = Lane(PLAN, origin("http://127.0.0.1:1/x"), "key", "mcrunl0", 1)
    create = PLAN.task("memory.create")
    lane.learn(lane.shoot(create), {"id": odd, "content": odd})
    for name in ("memory.get", "memory.update", "memory.delete"):
        shot = lane.shoot(PLAN.task(name))
        head, _, _ = shot.data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0].startswith(PLAN.task(name).operation.verb.encode() + b" /x/")
        assert 3 == len(lines[0].split(b" "))
        assert not any(line.startswith(b"X-A") for line in lines)
        for each in shot.held:
            lane.release(each)
    reader = _by_target(lane, "memory", "read")
    for resource in lane.written:
        assert reader is not None
        assert in_path(resource.id) in _request(lane, reader, resource)


@pytest.mark.parametrize("odd", [*ODD[:6], "deep"], ids=lambda o: ascii(o)[:16])
def test_an_odd_answer_is_judged(odd: str) -> None:
    """In values, in names, and nested beyond reading: found wrong or right, and nothing raised."""
    task = PLAN.task("memory.get")
    said = json.dumps({"id": "1", "content": odd, odd: odd})
    body = (b"[" * 50_000 + b"]" * 50_000) if odd == "deep" else said.encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    asked = Asked("1", None, ())
    value = task.judge.quick(200, head, body, asked, 0.0)
    assert value is BAD or isinstance(value, dict)
    exchange = exchange_of(1, task.name, b"GET /x HTTP/1.1\r\n\r\n", 200, head, body, 0.0, 0.1)
    found = task.judge.explain(exchange, asked, 0.0)
    assert found, "it lacks required properties"
    assert not any(ch in finding.message for finding in found for ch in "\x1b\0\ud800")


def test_answers_are_held_up_to_a_budget_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many large answers at once are given up, small ones are not; what is read is let go."""
    monkeypatch.setattr(framing, "AT_ONCE", 50_000)
    monkeypatch.setattr(framing, "SMALL", 4_000)
    before = Reading.held
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n"
    readings = [Reading() for _ in range(3)]
    assert not any(reading.feed(head + b"x" * 16_000) for reading in readings)
    with pytest.raises(Trouble, match="in all answers at once"):
        readings[0].feed(b"x" * 4_000)
    small = Reading()
    assert small.feed(head.replace(b"20000", b"2") + b"{}")
    del readings, small
    assert before == Reading.held
