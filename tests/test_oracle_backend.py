"""The backend's oracles on answers made by hand: what each must say, and must not say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from conformance.history import Exchange, Request, Response
from conformance.oracles import (
    contract as contract_oracle,
)
from conformance.oracles import (
    envelope,
    headers,
    idempotency,
    isolation,
    limits,
    linear,
    pages,
    relations,
    state,
    streams,
)
from conformance.oracles.limits import Quota, ask_of
from conformance.verdict import Finding
from specs import Basis, Contract
from specs.vocabulary import Effect, Idempotency, Pagination, Relation, Stream, UsageHeader
from specs.vocabulary import Usage as UsageWords
from tests.scripted import contract, exchange

NOW = 1_700_000_000.0
THINGS: Contract = contract()
GET = THINGS["things.get"]
THING = {"id": "t1", "name": "one"}
ERROR = {"error": {"code": "not_found", "message": "no such thing", "request_id": "r1"}}
LIMITS = (("x-ratelimit-limit", "10"), ("x-ratelimit-remaining", "9"),
          ("x-ratelimit-reset", str(int(NOW) + 30)))  # fmt: skip


def causes(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Return what was found, without the words."""
    return [(f.requirement, f.cause) for f in findings]


def required(findings: Iterable[Finding]) -> list[str]:
    """Return the requirements that were broken, each once."""
    return list(dict.fromkeys(f.requirement for f in findings))


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


def limit_headers(**changed: str | None) -> tuple[tuple[str, str], ...]:
    """Return the rate-limit headers with some of them changed or gone."""
    given = {n: changed.get(n.removeprefix("x-ratelimit-"), v) for n, v in LIMITS}
    return tuple((n, v) for n, v in given.items() if v is not None)


@pytest.mark.parametrize(
    ("status", "changed", "expected"),
    [
        (200, {}, []),
        (200, {"remaining": None}, ["HD6"]),
        (200, {"remaining": "11"}, ["RL11"]),
        (200, {"remaining": "-1"}, ["RL4"]),
        (200, {"remaining": "many"}, ["RL11"]),
        (200, {"reset": str(int(NOW) - 60)}, ["RL20"]),
        (200, {"reset": str((int(NOW) + 30) * 1000)}, ["RL20"]),
        (200, {"reset": "30"}, ["RL20"]),
        (429, {"remaining": "0"}, []),
        (429, {"remaining": "2"}, ["RL12"]),
    ],
)
def test_rate_limit_headers_are_judged_one_answer_at_a_time(
    status: int, changed: dict[str, str | None], expected: list[str]
) -> None:
    """Presence, form, bounds and unit of the reset are told by their requirement."""
    assert GET.rate_limit is not None
    made = exchange(status, ERROR if status > 400 else THING, limit_headers(**changed))
    assert expected == required(headers.limit_rules(GET, GET.rate_limit, made, NOW))


@pytest.mark.parametrize(
    ("generation", "fields", "expected"),
    [
        ("draft-6", (("ratelimit-limit", "10"), ("ratelimit-remaining", "4"),
                     ("ratelimit-reset", "7")), (10, 4, 7)),
        ("draft-7", (("ratelimit", "limit=10, remaining=4, reset=7"),), (10, 4, 7)),
        ("draft-8", (("ratelimit", '"default";r=4;t=7'),
                     ("ratelimit-policy", '"default";q=10;w=60')), (10, 4, 7)),
    ],
)  # fmt: skip
def test_every_generation_of_quota_headers_reads_alike(
    generation: Any, fields: Any, expected: tuple[int, int, int]
) -> None:
    """The three drafts and the older triple become one reading."""
    assert GET.rate_limit is not None
    bare = {"limit": None, "remaining": None, "reset": None, "reset_unit": None}
    limit = GET.rate_limit.model_copy(update={**bare, "headers": generation})
    read = headers.read_limit(limit, fields, NOW)
    assert read is not None
    assert expected == (read.limit, read.remaining, read.reset)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", []), ("0", []), ("Fri, 31 Dec 2027 23:59:59 GMT", []),
        ("-1", ["RA1"]), ("1.5", ["RA1"]), ("soon", ["RA1"]), ("2027-12-31T00:00:00Z", ["RA1"]),
        ("Friday, 31-Dec-27 23:59:59 GMT", []), ("Fri Dec 31 23:59:59 2027", ["RA2"]),
    ],
)  # fmt: skip
def test_retry_after_has_one_of_its_forms(value: str, expected: list[str]) -> None:
    """Whole seconds or an HTTP date (RFC 9110 10.2.3), generated as IMF-fixdate."""
    made = exchange(429, ERROR, (("retry-after", value),))
    assert expected == required(headers.retry_after_rules(GET, made, NOW))


def test_a_refusal_without_retry_after_is_told_where_it_is_promised() -> None:
    """A 429 says how long to wait."""
    assert ["RA9"] == required(headers.retry_after_rules(GET, exchange(429, ERROR), NOW))


USAGE = UsageWords(
    basis=Basis.DOCUMENTED, plan="x-plan", figures=(UsageHeader(used="x-used", limit="x-max"),)
)


def used(value: int, number: int, plan: str = "pro") -> Exchange:
    """Return an answer with usage headers."""
    return exchange(
        200, THING, (("x-plan", plan), ("x-used", str(value)), ("x-max", "9")), number=number,
        sent=float(number),
    )  # fmt: skip


def test_usage_grows_and_holds_its_plan() -> None:
    """Figures never shrink, never pass their limit, and plan and limit stay what they are."""
    assert [] == required(headers.usage_over_time(USAGE, [used(1, 0), used(2, 1), used(2, 2)]))
    shrinks = headers.usage_over_time(USAGE, [used(3, 0), used(2, 1)])
    assert [("HD2", "usage-shrinks x-used")] == causes(shrinks)
    above = headers.usage_over_time(USAGE, [used(12, 0)])
    assert [("HD2", "usage-above-limit x-used")] == causes(above)
    moved = headers.usage_over_time(USAGE, [used(1, 0), used(2, 1, "free")])
    assert [("HD2", "usage-not-constant x-plan")] == causes(moved)
    assert [("HD2", "usage-frozen")] == causes(
        headers.usage_counts(USAGE, [used(2, 0), used(2, 1)])
    )


def asks(admitted: str, *, reset: str = "1700000030", step: float = 0.001) -> list[limits.Ask]:
    """Return asks from a string: `.` admitted, `x` refused; remaining counts down from ten."""
    assert GET.rate_limit is not None
    made = []
    left = 10
    for number, letter in enumerate(admitted):
        left = max(0, left - (letter == "."))
        fields = limit_headers(remaining=str(left), reset=reset)
        status = 200 if letter == "." else 429
        one = exchange(status, THING, fields, number=number, sent=number * step)
        made.append(ask_of(GET.rate_limit, one, NOW))
    return made


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("." * 10 + "xxx", []),
        ("." * 11 + "xx", [("RL13", "over-admission")]),
        ("." * 8 + "xxx", [("RL17", "under-admission")]),
    ],
)
def test_a_quota_lets_in_exactly_so_many(what: str, expected: Any) -> None:
    """One more and one less than the quota are both told."""
    assert GET.rate_limit is not None
    made = limits.admissions(GET, GET.rate_limit, Quota(10, 30.0), asks(what), whole=True)
    assert expected == causes(made)


@pytest.mark.parametrize(
    ("algorithm", "seconds", "admitted", "expected"),
    [
        ("token-bucket", 3.0, 11, []),
        ("token-bucket", 3.0, 12, ["RL15"]),
        ("sliding-window", 3.0, 10, []),
        ("sliding-window", 3.0, 11, ["RL14"]),
        ("gcra", 6.0, 12, []),
        ("gcra", 6.0, 13, ["RL15"]),
    ],
)
def test_each_algorithm_is_held_to_its_own_bound(
    algorithm: Any, seconds: float, admitted: int, expected: list[str]
) -> None:
    """A bucket refills while one asks; a log lets in no more in any interval of its window."""
    assert GET.rate_limit is not None
    limit = GET.rate_limit.model_copy(update={"algorithm": algorithm})
    made = asks("." * admitted, step=seconds / (admitted - 1))
    assert expected == required(limits.admissions(GET, limit, Quota(10, 30.0), made, whole=False))


def test_two_windows_are_not_added_up() -> None:
    """A fixed window that turns while one asks is no over-admission: its reset tells."""
    assert GET.rate_limit is not None
    made = asks("." * 10) + asks("." * 10, reset="1700000060")
    assert [] == causes(limits.admissions(GET, GET.rate_limit, Quota(10, 30.0), made, whole=True))


def test_what_remains_counts_down_by_one() -> None:
    """Stuck, jumping and uncounted figures are three findings; an honest countdown is none."""
    assert GET.rate_limit is not None
    honest = asks("....")
    assert [] == causes(limits.arithmetic(GET, GET.rate_limit, honest))
    stuck = [honest[0], honest[0]]
    assert [("RL11", "remaining-stuck")] == causes(limits.arithmetic(GET, GET.rate_limit, stuck))
    jump = [honest[0], honest[3]]
    assert [("RL11", "remaining-jumps")] == causes(limits.arithmetic(GET, GET.rate_limit, jump))


class Page:
    """A page made by hand."""

    def __init__(
        self, keys: str, total: Any = None, has_more: Any = None, next: Any = None
    ) -> None:
        self.exchange = exchange(200, {})
        self.keys, self.total, self.has_more, self.next = tuple(keys), total, has_more, next


class Walk:
    """A traversal made by hand."""

    def __init__(self, *given: Page, size: int | None = 2, ended: bool = True) -> None:
        self.pages, self.size, self.ended = given, size, ended
        self.keys = tuple(k for p in given for k in p.keys)


PAGING = Pagination(
    basis=Basis.DOCUMENTED, style="offset", limit="limit", offset="offset", items="/items",
    total="/total", has_more="/more", item_key="/id", order="asc", order_by="/n",
)  # fmt: skip
LIST = replace(THINGS["things.list"], pagination=PAGING)
GOOD = Walk(Page("ab", 3, True), Page("c", 3, False))


def test_an_honest_traversal_breaks_no_rule() -> None:
    """Every paging rule is silent on a traversal that keeps them all."""
    rules = [pages.repeats, pages.endless, pages.sizes, pages.totals, pages.more]
    assert [] == [f for rule in rules for f in rule(LIST, GOOD)]
    assert [] == causes(pages.same(LIST, [GOOD, Walk(Page("abc", 3, False), size=3)],
                                   frozenset("abc")))  # fmt: skip
    assert [] == causes(pages.ordered(LIST, GOOD, {"a": 1, "b": 2, "c": 3}))


@pytest.mark.parametrize(
    ("rule", "walk", "expected"),
    [
        (pages.repeats, Walk(Page("ab"), Page("bc")), ("PG2", "item-twice")),
        (pages.endless, Walk(Page("ab"), Page("ab"), ended=False), ("PG5", "no-end")),
        (pages.sizes, Walk(Page("abc")), ("PG1", "page-too-long")),
        (pages.sizes, Walk(Page("a"), Page("bc")), ("PG1", "page-too-short")),
        (pages.totals, Walk(Page("ab", 4)), ("PG13", "total-wrong")),
        (pages.totals, Walk(Page("ab", "2")), ("PG13", "no-total")),
        (pages.more, Walk(Page("ab", 2, True)), ("PG5", "has-more-claimed")),
        (pages.more, Walk(Page("ab", 3, False), Page("c")), ("PG5", "has-more-denied")),
    ],
)
def test_each_broken_paging_rule_is_told(rule: Any, walk: Walk, expected: tuple[str, str]) -> None:
    """One wrong traversal for each rule."""
    assert expected in causes(rule(LIST, walk))


def test_page_sizes_show_the_same_list() -> None:
    """A gap, other items and another order are told apart."""
    gap = pages.same(LIST, [Walk(Page("ab"))], frozenset("abc"))
    assert [("PG3", "gap")] == causes(gap)
    order = pages.same(LIST, [GOOD, Walk(Page("cba"), size=3)], frozenset("abc"))
    assert [("PG1", "page-size-order")] == causes(order)


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


def test_a_kind_of_problem_has_one_title() -> None:
    """Two titles of one type are told; titles of different types may differ (RFC 9457 3.1.3)."""
    head = (("content-type", "application/problem+json"),)

    def problem(kind: str, title: str) -> Exchange:
        body = json.dumps({"type": kind, "title": title}).encode()
        return replace(exchange(400), response=Response(400, head, body))

    assert [] == causes(envelope.same_titles([problem("/a", "A"), problem("/b", "B")]))
    twice = [problem("/a", "A"), problem("/a", "Another")]
    assert [("PD6", "problem-title-changes")] == causes(envelope.same_titles(twice))
