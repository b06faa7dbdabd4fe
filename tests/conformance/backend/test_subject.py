"""What the backend subject lets out, waits for, remembers and never says."""

from __future__ import annotations

from typing import Any

import pytest

import specs
from conformance.backend import listing, words
from conformance.backend.generated import Homes
from conformance.backend.quota import BLIND, spender
from conformance.backend.requests import build, encode, redact
from conformance.backend.subject import FAST_LEAVES, BackendSubject
from conformance.backend.suite import cases, probe, run, selected
from conformance.backend.transport import Answer
from conformance.backend.world import properties, required
from conformance.clock import VirtualClock
from conformance.history import Request, Response
from conformance.options import OptionError, find
from conformance.oracles.limits import Quota
from conformance.verdict import Inconclusive, NotApplicable, Verdict
from tests.scripted import ScriptedTransport, contract, response

THINGS = contract()
KEY = "key-that-nobody-may-see"


def made(handler: Any = None, **options: Any) -> tuple[BackendSubject, ScriptedTransport]:
    """Return a subject whose wire is a function, on a virtual clock."""
    clock = VirtualClock()
    wire = ScriptedTransport(
        handler or (lambda data: response(200, {"id": "1", "name": "x"})), clock
    )
    subject = BackendSubject(
        THINGS, "http://things.test/base", [KEY, "second-key"], clock=clock, transport=wire,
        run_id="run1", **options,
    )  # fmt: skip
    return subject, wire


@pytest.mark.parametrize(
    ("arguments", "shape", "target", "body"),
    [
        ({"id": "a/b c?"}, {}, "/base/things/a%2Fb%20c%3F", b""),
        ({"id": "1", "q": [1, "x"]}, {}, "/base/things/1?q=1&q=x", b""),
        ({"id": "1", "flag": True}, {}, "/base/things/1?flag=true", b""),
    ],
)
def test_arguments_find_their_place(
    arguments: dict[str, Any], shape: dict[str, Any], target: str, body: bytes
) -> None:
    """Paths are percent-encoded, lists repeat their name, unknown names go into the query."""
    request = build(THINGS["things.get"], arguments, base_path="/base", **shape)
    assert (target, body) == (request.target, request.body)


def test_body_properties_become_json() -> None:
    """What is no parameter stands in the body, non-ASCII as it is, with its media type."""
    request = build(THINGS["things.create"], {"name": "Zoë"})
    assert '{"name": "Zoë"}'.encode() == request.body
    assert "application/json" == request.media_type


def test_a_missing_path_argument_is_our_own_error() -> None:
    """A template is never sent."""
    with pytest.raises(KeyError, match="no value for the path"):
        build(THINGS["things.get"], {})


def test_lengths_and_host_are_added_once() -> None:
    """What a case sets by itself is left as it is."""
    plain = encode(Request("POST", "/x", (), b"abc"), "h")
    assert b"content-length: 3" in plain
    own = encode(Request("POST", "/x", (("Content-Length", "9"), ("Host", "z")), b"abc"), "h")
    assert 1 == own.lower().count(b"content-length")
    assert 1 == own.lower().count(b"host:")


def test_keys_are_not_remembered() -> None:
    """Histories hold the request without its credentials; answers that echo one are redacted."""
    subject, wire = made()
    exchange = subject.send("things.get", {"id": "1"})
    assert KEY.encode() in wire.sent[0]
    assert KEY not in repr(exchange)
    assert (("authorization", "<key>"), ("x", "1")) == redact(
        (("authorization", f"Bearer {KEY}"), ("x", "1")), THINGS
    )
    assert "seen <key a>" == subject.redacted(f"seen {KEY}")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["k1", "k2"], {"a": "k1", "b": "k2"}),
        (["k1", "member=m", "k2"], {"a": "k1", "member": "m", "b": "k2"}),
        (["abc=="], {"a": "abc=="}),
        (["odd=key"], {"a": "odd=key"}),
    ],
)
def test_keys_are_principals(given: list[str], expected: dict[str, str]) -> None:
    """Keys in order are a, b, c; only known parts are named; a key may hold an equals sign."""
    assert expected == words.principals(given)


UNSAFE = [("things.create", {"name": "x"}), ("things.update", {"id": "1", "name": "x"}),
          ("things.delete", {"id": "1"})]  # fmt: skip


@pytest.mark.parametrize(("operation", "arguments"), UNSAFE)
def test_read_only_keeps_what_is_unsafe_off_the_wire(
    operation: str, arguments: dict[str, Any]
) -> None:
    """With --read-only nothing that could change data is sent at all."""
    subject, wire = made(read_only=True)
    with pytest.raises(NotApplicable, match="read-only"):
        subject.send(operation, arguments)
    with pytest.raises(NotApplicable, match="read-only"):
        subject.together([subject.request(operation, arguments)] * 2)
    assert [] == wire.sent


def test_a_whole_read_only_run_sends_only_safe_methods() -> None:
    """Proven at the wire: every request line of a run is GET, HEAD or OPTIONS."""
    subject, wire = made(lambda data: response(200, {"items": []}), read_only=True)
    run(subject)
    assert wire.sent
    assert {b"GET"} >= {data.split(b" ", 1)[0] for data in wire.sent} - {b"HEAD", b"OPTIONS"}


def test_a_wrong_method_on_a_safe_operation_is_not_safe() -> None:
    """An operation's promise speaks for its own method only."""
    subject, wire = made(read_only=True)
    with pytest.raises(NotApplicable):
        subject.send("things.get", {"id": "1"}, method="DELETE")
    assert [] == wire.sent


def test_the_budget_of_requests_is_kept() -> None:
    """No request more than allowed is sent, and the reason says how to get more."""
    subject, wire = made(max_requests=2)
    subject.send("things.get", {"id": "1"})
    with pytest.raises(Inconclusive, match="--max-requests"):
        subject.together([subject.request("things.get", {"id": "1"})] * 2)
    subject.send("things.get", {"id": "1"})
    with pytest.raises(Inconclusive, match="budget of 2 requests"):
        subject.send("things.get", {"id": "1"})
    assert 2 == len(wire.sent)


def test_the_budget_of_seconds_is_kept() -> None:
    """When the time is over nothing more is sent; a wait that does not fit is not begun."""
    subject, wire = made(max_seconds=5)
    with pytest.raises(Inconclusive, match="--max-seconds"):
        subject.wait(6, "waiting for nothing")
    subject.clock.sleep(6)
    with pytest.raises(Inconclusive, match="budget of 5 s"):
        subject.send("things.get", {"id": "1"})
    assert [] == wire.sent


def test_the_pace_is_kept() -> None:
    """Ten requests at four a second take two and a quarter seconds."""
    subject, _ = made(rate=4)
    for _ in range(10):
        subject.send("things.get", {"id": "1"})
    assert pytest.approx(2.25) == subject.clock.monotonic()


def limited(times: int, retry_after: str | None = "3") -> Any:
    """Return a handler that refuses so many times for a quota, then answers."""
    left = [times]

    def handler(data: bytes) -> Response:
        if left[0]:
            left[0] -= 1
            head = (("retry-after", retry_after),) if retry_after else ()
            return response(429, {"error": {"code": "slow", "message": "m"}}, head)
        return response(200, {"id": "1", "name": "x"})

    return handler


def test_a_429_is_waited_out() -> None:
    """A case that is not about limits waits as told and goes on."""
    subject, wire = made(limited(1))
    assert 200 == subject.send("things.get", {"id": "1"}).status
    assert (2, 3.0) == (len(wire.sent), subject.clock.monotonic())


@pytest.mark.parametrize(("retry_after", "words_"), [(None, "without a readable"), ("999", "999")])
def test_a_429_that_cannot_be_waited_out_is_inconclusive(
    retry_after: str | None, words_: str
) -> None:
    """No time, or too long a one, ends the case without blaming the backend."""
    subject, _ = made(limited(9, retry_after))
    with pytest.raises(Inconclusive, match=words_):
        subject.send("things.get", {"id": "1"})


def test_the_impatient_see_the_429() -> None:
    """Cases about limits get the refusal itself."""
    subject, _ = made(limited(1))
    assert 429 == subject.send("things.get", {"id": "1"}, patient=False).status


def test_everything_created_is_marked_and_removed() -> None:
    """What a run makes carries its mark and is deleted at the end; what resists is listed."""

    def handler(data: bytes) -> Response:
        if data.startswith(b"DELETE") and b"keep" in data:
            return response(500, {})
        return response(200, {"id": "keep" if b"second" in data else "one", "name": "x"})

    subject, wire = made(handler)
    subject.world.make("thing")
    subject.world.make("thing", given={"name": "second"})
    assert b"memconform-run1" in wire.sent[0]
    assert ["thing keep: its deletion was answered 500"] == subject.close()
    assert 2 == sum(data.startswith(b"DELETE") for data in wire.sent)
    assert wire.closed


def test_names_are_fresh_and_the_same_in_the_same_run() -> None:
    """No two names of a run are one; a case played again makes the same names."""
    subject, _ = made()
    subject.enter("one")
    names = [subject.name() for _ in range(3)]
    assert 3 == len(set(names))
    subject.enter("one")
    assert names == [subject.name() for _ in range(3)]
    subject.enter("two")
    assert subject.name() not in names


def test_arguments_of_a_call_are_told_from_options_of_ours() -> None:
    """Required names are known from parameters and body alike."""
    assert {"id", "name"} == set(required(THINGS["things.update"]))
    assert {"id", "name", "size"} == set(properties(THINGS["things.update"]))


def test_a_dead_base_url_is_no_verdict() -> None:
    """Where nothing answers, the run ends with what was tried."""
    subject, _ = made(lambda data: None)
    with pytest.raises(ValueError, match="without an answer"):
        probe(subject)


def test_a_refused_key_is_no_verdict() -> None:
    """Where everything answers 401, nothing was tested, and the run says so."""
    subject, _ = made(lambda data: response(401, {"error": {"code": "x", "message": "m"}}))
    with pytest.raises(ValueError, match="the key was refused"):
        probe(subject)


def test_a_selection_of_nothing_is_a_mistake() -> None:
    """A prefix that fits no case is told, with what there is."""
    with pytest.raises(ValueError, match="no case starts with 'nonsense'"):
        selected(["nonsense"])
    assert all(case.id.startswith("auth.") for case in selected(["auth."]))


def test_words_of_the_command_line_become_values() -> None:
    """Quotas, other APIs and restart commands are read, or refused in one sentence."""
    assert Quota(100, 60.0) == words.quota("100/60")
    assert {"m": "http://h/m"} == words.also(["m=http://h/m/"])
    assert words.quota(None) is None
    assert words.restart(None) is None
    for wrong in ("100", "a/b", "0/1", "5/0"):
        with pytest.raises(ValueError, match="REQUESTS/SECONDS"):
            words.quota(wrong)
    with pytest.raises(OptionError, match="NAME=URL"):
        find("backend", "also").read("http://h/m")


def test_a_fast_run_says_what_it_left_out() -> None:
    """What a fast run leaves out sends nothing, passes for nothing, and names the option."""
    subject, _ = made(fast=True)
    results = run(subject, select=["contract.generated-valid", "contract.examples"])
    left = [r for r in results if r.case == "contract.generated-valid"]
    assert left
    assert {(r.verdict, r.exchanges) for r in left} == {(Verdict.INCONCLUSIVE, 0)}
    assert {"without --fast" in r.reason for r in left} == {True}
    assert any(r.exchanges for r in results if r.case == "contract.examples")
    assert all(any(c.id.startswith(start) for c in cases()) for start in FAST_LEAVES)


def test_nobody_waits_long_again_and_again() -> None:
    """Three requests without an answer, and the next one may take ten times the slowest answer."""
    subject, wire = made()
    given: list[float] = []
    took, failure = 0.5, None

    def exchange(data: bytes, timeout: float, *, fresh: bool = False) -> Answer:
        given.append(timeout)
        answer = None if failure else response(200, {"id": "1", "name": "x"})
        return Answer(answer, failure, 0.0, timeout if failure else took)

    wire.exchange = exchange  # type: ignore[method-assign]
    subject.send("things.get", {"id": "1"})
    failure = "timeout"
    for _ in range(4):
        subject.send("things.get", {"id": "1"})
    failure, took = None, 0.01
    subject.send("things.get", {"id": "1"})
    assert given == [15.0, 15.0, 15.0, 15.0, 5.0, 5.0]


def test_a_quota_that_was_not_met_once_is_not_looked_for_again() -> None:
    """Where nobody tells a limit and many requests met none, later cases do not send them again."""
    subject, wire = made()
    for _ in range(2):
        with pytest.raises(Inconclusive, match="400 requests met no limit"):
            spender(subject, THINGS["things.list"]).spend(None)
    assert BLIND == len(wire.sent)


def test_what_generated_requests_refer_to_is_made_once() -> None:
    """Requests that take nothing away share their target; each deletion gets one of its own."""
    subject, _ = made()
    homes = Homes(subject)
    makes = [
        [len(subject.exchanges) for _ in range(3) if homes.own(THINGS[id], "a")]
        for id in ("things.update", "things.delete")
    ]
    assert [[1, 1, 1], [2, 3, 4]] == makes


def test_old_bodies_are_let_go_before_memory_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the budget the oldest exchanges keep their status and lose body and operation."""
    monkeypatch.setattr("conformance.backend.subject.KEPT_MAX", 8000)
    subject, _ = made(lambda data: response(200, {"id": "1", "name": "x" * 1000}))
    for _ in range(10):
        subject.send("things.get", {"id": "1"})
    kept = [e for e in subject.exchanges if e.operation]
    assert 3 <= len(kept) <= 5
    assert kept == list(subject.exchanges[-len(kept) :])
    assert {200} == {e.status for e in subject.exchanges}
    assert 10 - len(kept) == subject.let_go


def test_header_fields_count_as_what_they_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many short fields are let go like long bodies."""
    monkeypatch.setattr("conformance.backend.subject.KEPT_MAX", 500_000)
    subject, _ = made(lambda data: response(200, {"id": "1"}, [("a", "")] * 1000))  # type: ignore[arg-type]
    for _ in range(6):
        subject.send("things.get", {"id": "1"})
    assert [0, 0, 0, 0] == [len(e.response.headers) for e in subject.exchanges[:4] if e.response]
    assert 4 == subject.let_go


def test_a_walk_keeps_a_bounded_part_of_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a list that never ends are not all kept in memory: the walk is cut short."""
    monkeypatch.setattr(listing, "BYTES_MAX", 50_000)
    clock = VirtualClock()
    items = [{"id": str(n), "content": "x" * 10_000} for n in range(3)]
    page = {"memories": items, "total": 10**6, "has_more": True}
    wire = ScriptedTransport(lambda data: response(200, page), clock)
    sovant = specs.load("sovant")
    subject = BackendSubject(sovant, "http://x.test", [KEY], clock=clock, transport=wire)
    seen = listing.walk(subject, sovant["memory.list"], {}, 3)
    assert (False, 2) == (seen.ended, len(seen.pages))


@pytest.mark.parametrize("most", [0, 1])
def test_a_budget_of_requests_that_ends_in_the_probe_has_its_results(most: int) -> None:
    """Every case is inconclusive and says why; nothing is raised, and no more is sent."""
    subject, wire = made(lambda data: response(200, {"items": []}), max_requests=most)
    results = run(subject, select=["errors."])
    assert most >= len(wire.sent)
    assert {Verdict.INCONCLUSIVE} == {r.verdict for r in results} - {Verdict.NOT_APPLICABLE}
    assert all("--max-requests" in r.reason for r in results if r.verdict is Verdict.INCONCLUSIVE)
    subject.close()


def test_a_budget_of_seconds_that_ends_in_the_probe_has_its_results() -> None:
    """A server that is slow from its first answer on gets no more time than was given."""
    clock = VirtualClock()

    def slow(data: bytes) -> Response:
        clock.sleep(2.0)
        return response(200, {"items": []})

    subject = BackendSubject(
        THINGS, "http://things.test/base", [KEY], clock=clock, max_seconds=3.0,
        transport=ScriptedTransport(slow, clock),
    )  # fmt: skip
    results = run(subject, select=["errors."])
    assert {Verdict.INCONCLUSIVE} == {r.verdict for r in results} - {Verdict.NOT_APPLICABLE}
    assert clock.monotonic() <= 4.0 + 2.0
