"""Oracles of meaning, made by hand: replays, updates, orders of events, tenants, batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conformance.history import Exchange
from conformance.oracles import (
    idempotency,
    isolation,
    linear,
    relations,
    state,
)
from specs import Basis, Contract
from specs.vocabulary import Effect, Idempotency, Relation
from tests.scripted import causes, contract, exchange, required

THINGS: Contract = contract()
GET = THINGS["things.get"]
ERROR = {"error": {"code": "not_found", "message": "no such thing", "request_id": "r1"}}


PROMISE = Idempotency(
    basis=Basis.DOCUMENTED, location="body", name="key", replayed="/again", stable=("/id",)
)
CREATE = replace(THINGS["things.create"], idempotency=PROMISE)


def done(id: str, again: bool, status: int = 200) -> Exchange:
    """Return the answer to a creation under a key."""
    return exchange(status, {"id": id, "name": "x", "again": again})


def test_a_replay_repeats_the_first_answer() -> None:
    """Another id, no flag and a refusal are told; an honest replay is not."""
    first = done("1", False)
    assert [] == causes(idempotency.replays(CREATE, first, [done("1", True)]))
    assert [("IK4", "replay-differs /id")] == causes(
        idempotency.replays(CREATE, first, [done("2", True)])
    )
    assert [("IK4", "replay-not-said")] == causes(
        idempotency.replays(CREATE, first, [done("1", False)])
    )
    assert [("IK4", "replay-refused 404")] == causes(
        idempotency.replays(CREATE, first, [exchange(404, ERROR)])
    )
    assert ["IK4"] == required(idempotency.first_is_new(CREATE, done("1", True)))


def test_simultaneous_copies_have_one_first() -> None:
    """One says that it was first, the rest that they were not; ids agree; 409 is allowed."""
    honest = [done("1", False), done("1", True), exchange(409, ERROR)]
    assert [] == causes(idempotency.concurrent(CREATE, honest))
    two = [done("1", False), done("2", False)]
    assert ["IK5"] == required(idempotency.concurrent(CREATE, two))
    assert [("IK3", "concurrent-refused 400")] == causes(
        idempotency.concurrent(CREATE, [done("1", False), exchange(400, ERROR)])
    )


@pytest.mark.parametrize(("effects", "expected"), [(1, []), (None, []), (0, ["IK5"]), (2, ["IK5"])])
def test_one_request_has_one_effect(effects: int | None, expected: list[str]) -> None:
    """None and several are both wrong; where nothing counts, the ids in the answers do."""
    made = idempotency.one_effect(CREATE, [done("1", False)], effects, "repeated")
    assert expected == required(made)


def test_separate_requests_are_not_merged() -> None:
    """A second key, or a second tenant, is a new request."""
    first = done("1", False)
    assert [] == causes(idempotency.separate(CREATE, first, done("2", False), "another key"))
    assert ["IK6"] == required(
        idempotency.separate(CREATE, first, done("1", True), "another tenant", "IK6")
    )


UPDATE = THINGS["things.update"]


def test_an_update_changes_what_it_names_and_no_more() -> None:
    """A lost change and a change of something else are two findings; bookkeeping may move."""
    before = exchange(200, {"id": "1", "name": "a", "size": 2, "updated_at": "x"})
    change = exchange(200, {})
    good = exchange(200, {"id": "1", "name": "b", "size": 2, "updated_at": "y"})
    assert [] == causes(state.updated(UPDATE, before, change, good, {"name": "b"}))
    assert [("ST4", "update-lost things.update")] == causes(
        state.updated(UPDATE, before, change, before, {"name": "b"})
    )
    other = exchange(200, {"id": "1", "name": "b", "size": 3, "updated_at": "y"})
    assert [("ST4", "update-changes-others things.update")] == causes(
        state.updated(UPDATE, before, change, other, {"name": "b"})
    )


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 1.0, True), ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00+00:00", True),
        ("2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00Z", True), ("a", "A", False),
        ([1, 2], [2, 1], False),
    ],
)  # fmt: skip
def test_values_mean_the_same_when_instants_and_numbers_do(
    left: Any, right: Any, expected: bool
) -> None:
    """Two spellings of one instant are one value; nothing else is bent."""
    assert expected is state.same(left, right)


def test_a_replacement_keeps_nothing_that_it_leaves_out() -> None:
    """What was there and is not named is gone afterwards."""
    kept = exchange(200, {"id": "1", "name": "b", "size": 5})
    found = state.replaced(UPDATE, exchange(), kept, {"name": "a", "size": 5}, {"name": "b"})
    assert [("ST5", "replace-keeps things.update")] == causes(found)
    clean = exchange(200, {"id": "1", "name": "b", "size": None})
    assert [] == causes(
        state.replaced(UPDATE, exchange(), clean, {"name": "a", "size": 5}, {"name": "b"})
    )


@pytest.mark.parametrize(
    ("saw", "explained"),
    [
        ({"x": 0, "y": 0}, True), ({"x": 1, "y": 0}, True), ({"x": 0, "y": 1}, True),
        ({"x": 1, "y": 1}, True), ({"x": 2, "y": 0}, False),
    ],
)  # fmt: skip
def test_a_read_beside_two_writes_sees_some_order_of_them(
    saw: dict[str, int], explained: bool
) -> None:
    """Concurrent writes may be seen in any order, but not values that nobody wrote."""
    events = [
        linear.Event(0, 10, writes={"x": 1}), linear.Event(0, 10, writes={"y": 1}),
        linear.Event(0, 10, saw=saw), linear.Event(11, 12, saw={"x": 1, "y": 1}),
    ]  # fmt: skip
    assert explained is linear.explains({"x": 0, "y": 0}, events)


def test_a_lost_update_has_no_order() -> None:
    """Two acknowledged writes of which one is gone afterwards are explained by no order."""
    events = [
        linear.Event(0, 10, writes={"x": 1}), linear.Event(0, 10, writes={"y": 1}),
        linear.Event(11, 12, saw={"x": 1, "y": 0}),
    ]  # fmt: skip
    assert not linear.explains({"x": 0, "y": 0}, events)
    unsure = [*events[:1], replace(events[1], sure=False), events[2]]
    assert linear.explains({"x": 0, "y": 0}, unsure)


def test_real_time_is_respected() -> None:
    """A read that began after a write ended must see it."""
    events = [linear.Event(0, 1, writes={"x": 1}), linear.Event(2, 3, saw={"x": 0})]
    assert not linear.explains({"x": 0}, events)


def test_another_tenants_id_looks_unknown() -> None:
    """Another status or other words tell that it exists; the id itself and request ids do not."""

    def refused(status: int, message: str, request: str) -> Exchange:
        error = {"code": "not_found", "message": message, "request_id": request}
        return exchange(status, {"error": error})

    unknown = refused(404, "no thing u9", "r2")
    assert [] == causes(
        isolation.alike(GET, refused(404, "no thing t1", "r1"), unknown, "t1", "u9")
    )
    assert ["IS4"] == required(
        isolation.alike(GET, refused(403, "no thing t1", "r1"), unknown, "t1", "u9")
    )
    assert ["IS4"] == required(
        isolation.alike(GET, refused(404, "t1 belongs to someone", "r1"), unknown, "t1", "u9")
    )


def test_a_foreign_read_is_told_by_what_it_shows() -> None:
    """Somebody else's record is a finding, a refusal is none, and so is one's own empty answer."""
    mine = exchange(200, {"id": "t1", "name": "one", "tags": ["x"]})
    assert ["IS1"] == required(isolation.hidden(GET, mine, "t1", "one", mine))
    assert [] == required(isolation.hidden(GET, exchange(404, ERROR), "t1", "one", mine))
    empty = exchange(200, {"id": None, "name": "", "tags": []})
    assert [] == required(isolation.hidden(GET, empty, "t1", "one", mine))


@pytest.mark.parametrize(
    ("relation", "arguments", "body", "expected"),
    [
        ({"left": "/n", "op": "<=", "right": "budget"}, {"budget": 5}, {"n": 5}, True),
        ({"left": "/n", "op": "<=", "right": "budget"}, {"budget": 5}, {"n": 6}, False),
        ({"left": "/n", "op": "<=", "right": "budget"}, {}, {"n": 6}, True),
        ({"left": "/i", "op": "max-items", "right": "k"}, {"k": 1}, {"i": [1, 2]}, False),
        ({"left": "/i/*/s", "op": "sorted-desc"}, {}, {"i": [{"s": 2}, {"s": 1}]}, True),
        ({"left": "/i/*/s", "op": "sorted-desc"}, {}, {"i": [{"s": 1}, {"s": 2}]}, False),
        ({"left": "/i/*/u", "op": "==", "right": "u"}, {"u": "a"}, {"i": [{"u": "b"}]}, False),
        ({"left": "/a", "op": "<=", "right": "/b"}, {}, {"a": 3, "b": 2}, False),
    ],
)
def test_relations_compare_answer_and_request(
    relation: dict[str, str], arguments: Any, body: Any, expected: bool
) -> None:
    """Each relation holds or not; where there is nothing to compare it holds."""
    word = Relation(basis=Basis.DOCUMENTED, **relation)  # type: ignore[arg-type]
    assert expected is relations.holds(GET, word, arguments, body)


def test_batch_results_stand_for_their_entries() -> None:
    """A hidden failure, a missing result and a wrong sum are told."""
    effect = Effect(basis=Basis.DOCUMENTED, kind="batch", resource="thing", items="/results")
    operation = replace(GET, effect=effect)
    wanted = [("create", True), ("delete", False)]

    def answer(*done: bool, failed: int = 1) -> Exchange:
        words = ("create", "delete")
        results = [{"op": w, "success": d} for w, d in zip(words, done, strict=False)]
        summary = {"total": 2, "succeeded": 2 - failed, "failed": failed}
        return exchange(200, {"results": results, "summary": summary})

    assert [] == causes(state.batch_answer(operation, answer(True, False), wanted))
    assert ["batch-failure-hidden"] == [
        f.cause for f in state.batch_answer(operation, answer(True, True), wanted)
    ]
    assert ["batch-count"] == [f.cause for f in state.batch_answer(operation, answer(True), wanted)]
    wrong_sum = state.batch_answer(operation, answer(True, False, failed=0), wanted)
    assert {"batch-summary-failed", "batch-summary-succeeded"} == {f.cause for f in wrong_sum}


STAMPED = {"id": "1", "name": "x", "created_at": "2026-01-01T00:00:00Z", "updated_at": "a"}


def test_when_a_record_began_never_moves() -> None:
    """Servers keep times themselves, but an update is no creation; the form may differ."""
    later = {**STAMPED, "updated_at": "b"}
    assert [] == state.moved(STAMPED, later, ())
    assert ["created_at"] == state.moved(
        STAMPED, {**later, "created_at": "2026-01-01T00:00:01Z"}, ()
    )
    assert [] == state.moved(STAMPED, {**later, "created_at": "2026-01-01T00:00:00.000+00:00"}, ())


def test_an_action_changes_what_it_is_declared_to_change() -> None:
    """What is volatile may move; anything else is told, and so is a record that vanishes."""
    effect = Effect(basis=Basis.DOCUMENTED, kind="action", resource="thing", volatile=("size",))
    action = replace(THINGS["things.update"], effect=effect)
    before = exchange(200, {"id": "1", "name": "x", "size": 1})
    done = exchange(200, {})
    resized = exchange(200, {"id": "1", "name": "x", "size": 2})
    assert [] == causes(state.acted(action, before, done, resized))
    renamed = exchange(200, {"id": "1", "name": "y", "size": 2})
    assert [("ST7", "acted-on-others things.update")] == causes(
        state.acted(action, before, done, renamed)
    )
    assert [("ST7", "acted-gone things.update")] == causes(
        state.acted(action, before, done, exchange(404, ERROR))
    )


@pytest.mark.parametrize(
    ("entry", "whole", "expected"),
    [
        (STAMPED, True, []),
        ({"id": "1", "name": "y"}, False, ["listed-otherwise things.list"]),
        ({"id": "1", "name": "x"}, False, []),
        ({"id": "1", "name": "x"}, True, ["listed-without things.list"]),
        ({**STAMPED, "updated_at": "elsewhen"}, True, []),
    ],
)
def test_a_list_shows_what_reading_shows(entry: Any, whole: bool, expected: list[str]) -> None:
    """Other values are told always, missing ones where both have one schema, moving ones never."""
    reads = exchange(200, STAMPED), exchange(200, {**STAMPED, "updated_at": "b"})
    made = state.alike(
        THINGS["things.list"], reads, exchange(200, {"items": [entry]}), entry, whole=whole
    )
    assert expected == [cause for _, cause in causes(made)]


@pytest.mark.parametrize(
    ("grown", "expected"),
    [
        ([{"calls": 1.0}, {"calls": 1.0}], []),
        ([{"calls": 7.0}, {"calls": 1.0}], []),
        ([{"calls": 7.0}, {"calls": 10.0}], [("IS2", "foreign-figure things.get calls")]),
    ],
)
def test_a_figure_that_grows_with_a_strangers_calls_is_told(
    grown: list[dict[str, float]], expected: Any
) -> None:
    """One round proves nothing, as somebody else may have the key; every round does."""
    seen = [exchange(200, {}), exchange(200, {}, number=1)]
    assert expected == causes(isolation.counted_apart(GET, seen, grown, (6, 9)))


def test_the_witness_of_a_lost_update_can_be_read() -> None:
    """The finding tells from what, who wrote and read what, and from when to when."""
    change = replace(THINGS["things.update"], effect=Effect(
        basis=Basis.DOCUMENTED, kind="update", resource="thing", target="id"))  # fmt: skip
    before = exchange(200, {"name": "x", "size": 1})
    writes: list[tuple[Exchange, dict[str, Any]]] = [
        (exchange(200, {}, number=1, sent=1.0), {"name": "y"}),
        (exchange(200, {}, number=2, sent=1.0, took=0.002), {"size": 2}),
    ]
    after = exchange(200, {"name": "x", "size": 2}, number=3, sent=2.0)
    (told,) = linear.judge(change, before, writes, [], after)
    assert "from name='x', size=1" in told.message
    assert "1 (0.0–1.0 ms) writes name='y'" in told.message
    assert "3 (1000.0–1001.0 ms) reads name='x', size=2" in told.message
    assert (0, 1, 2, 3) == told.witness
