"""The retry oracle as a pure function: contract and answers in, findings out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import specs
from conformance.history import Call, Exchange, Outcome, Raised, Request, Response, Sleep
from conformance.oracles.answers import Answer, answer_of, date_forms, retry_after
from conformance.oracles.retry import (
    Context,
    Duty,
    Options,
    judge,
    judge_last,
    predict,
    rule_for,
    wait_after,
    waits_of,
)
from specs import Basis
from specs.dates import http_date
from specs.vocabulary import Backoff, RetryAfter

CLAIV, OCTAMEM, MEMSY = specs.load("claiv"), specs.load("octamem"), specs.load("memsy")
INGEST, ADD, SEARCH = CLAIV["ingest"], OCTAMEM["add"], MEMSY["search"]
OPERATIONS = {"ingest": INGEST, "add": ADD, "search": SEARCH}
ERRORS = {"ingest": "ClaivApiError", "add": "InternalServerError", "search": "RateLimitExceeded"}
BODY = b'{"content":"x"}'


def recorded(
    operation: specs.Operation,
    answers: Sequence[Answer],
    waits: Sequence[float] = (),
    *,
    bodies: Sequence[bytes] = (),
    error: str | None = None,
) -> tuple[Call, list[Exchange]]:
    """Return a call that was answered so and waited so; it raises where the last answer failed."""
    exchanges, sleeps, at = [], [], 100.0
    for number, answer in enumerate(answers, start=1):
        body = bodies[number - 1] if bodies else BODY
        request = Request(
            operation.verb, operation.path, (("content-type", "application/json"),), body
        )
        response = None
        if answer.status is not None:
            response = Response(answer.status, answer.headers, answer.body)
        failure = (
            None
            if response
            else {"connect": "refused", "timeout": "timeout"}.get(answer.network or "", "reset")
        )
        exchanges.append(Exchange(number, request, response, at, at + 0.01, failure=failure))
        if number <= len(waits):
            sleeps.append(Sleep(at + 0.02, waits[number - 1]))
        at += 1
    name = error or (None if answers[-1].ok else ERRORS[operation.id])
    base = operation.errors.base if operation.errors else "Exception"
    outcome = (
        Outcome("value", {})
        if name is None
        else Outcome("error", error=Raised(name, "sdk", (base, "Exception"), "failed"))
    )
    numbers = tuple(e.number for e in exchanges)
    return Call(1, operation.id, {}, "sync", 99.0, at, outcome, tuple(sleeps), numbers), exchanges


def causes(
    operation: specs.Operation,
    planned: Sequence[Answer],
    answers: Sequence[Answer],
    waits: Sequence[float],
    options: Options = Options(),
    **more: object,
) -> set[str]:
    """Return the causes found when these answers came of those planned, after these waits."""
    call, exchanges = recorded(operation, answers, waits, **more)  # type: ignore[arg-type]
    prediction = predict(operation, planned, options)
    return {f.cause for f in judge(operation, prediction, call, exchanges)}


A = Answer
FAILING = [A(503)] * 9
LIMITED = [A(429)] * 9

RULES = [
    ("ingest", A(429), Duty.RETRY, "429"),
    ("ingest", A(501), Duty.RETRY, "5XX"),
    ("ingest", A(404), Duty.STOP, "404"),
    ("ingest", A(418), Duty.EITHER, "418"),
    ("ingest", A(network="reset"), Duty.EITHER, "reset"),
    ("add", A(network="reset"), Duty.RETRY, "reset"),
    ("add", A(network="truncated"), Duty.EITHER, "truncated"),
    ("search", A(503), Duty.EITHER, "503"),
    ("search", A(429), Duty.RETRY, "429"),
]


@pytest.mark.parametrize(("operation", "answer", "duty", "pattern"), RULES)
def test_rules(operation: str, answer: Answer, duty: Duty, pattern: str) -> None:
    """Listed statuses must be retried, forbidden ones not, and silence allows both."""
    rule = rule_for(OPERATIONS[operation].retries, answer)
    assert (rule.duty, rule.pattern) == (duty, pattern)


def test_the_more_specific_pattern_wins() -> None:
    """A status named in `never` is not retried although its range is listed, and the reverse."""
    assert INGEST.retries is not None
    retries = INGEST.retries.model_copy(update={"never": ("501", "4XX")})
    duties = [rule_for(retries, A(s)).duty for s in (501, 502, 429, 404)]
    assert duties == [Duty.STOP, Duty.RETRY, Duty.RETRY, Duty.STOP]


ATTEMPTS = [
    # operation, planned answers, options, allowed numbers of attempts
    ("ingest", FAILING, Options(), {3}),
    ("ingest", FAILING, Options(max_retries=0), {1}),
    ("ingest", FAILING, Options(max_retries=5), {6}),
    ("ingest", [A(503)], Options(), {2}),
    ("ingest", [A(503), A(429)], Options(), {3}),
    ("ingest", [A(400)] * 9, Options(), {1}),
    ("ingest", [A(503), A(404)], Options(), {2}),
    ("ingest", [A(418)] * 9, Options(), {1, 2, 3}),
    ("ingest", [A(418)], Options(), {1, 2}),
    ("ingest", [], Options(), {1}),
    ("add", [A(network="timeout")] * 9, Options(), {4}),
    ("search", [A(503)] * 9, Options(), {1, 2, 3, 4}),
]


@pytest.mark.parametrize(("operation", "planned", "options", "allowed"), ATTEMPTS)
def test_predicted_attempts(
    operation: str, planned: list[Answer], options: Options, allowed: set[int]
) -> None:
    """The contract and the script say how many attempts there may be."""
    assert set(predict(OPERATIONS[operation], planned, options).ends) == allowed


def test_a_long_wish_may_be_answered_by_giving_up() -> None:
    """A server that asks for an hour may get an error at once; one that asks for 2 s may not."""
    hour = A(429, (("retry-after", "3600"),))
    soon = A(429, (("retry-after", "2"),))
    assert set(predict(SEARCH, [hour]).ends) == {1, 2}
    assert set(predict(SEARCH, [soon]).ends) == {2}


JUDGED = [
    # id, operation, planned, answers that came, waits, causes
    ("as promised", "ingest", FAILING, FAILING[:3], [0.6, 1.2], set()),
    ("recovers", "ingest", [A(503)], [A(503), A(200)], [0.6], set()),
    ("never retries", "ingest", FAILING, FAILING[:1], [], {"not-retried:5XX"}),
    ("one short", "ingest", FAILING, FAILING[:2], [0.6], {"attempts:too-few"}),
    ("one too many", "ingest", FAILING, FAILING[:4], [0.6, 1.2, 2.4], {"attempts:too-many"}),
    ("client error", "ingest", [A(400)] * 9, [A(400)] * 3, [0.6, 1.2], {"retried:400"}),
    ("success", "ingest", [], [A(200), A(200)], [0.6], {"retried:2XX"}),
    ("silence: retried", "ingest", [A(418)] * 9, [A(418)] * 3, [0.6, 1.2], set()),
    ("silence: not retried", "ingest", [A(418)] * 9, [A(418)], [], set()),
    ("no wait", "add", FAILING, FAILING[:4], [0.0, 0.0, 0.0], {"backoff:none"}),
    ("too short", "ingest", FAILING, FAILING[:3], [0.1, 1.2], {"backoff:too-short"}),
    ("too long", "ingest", FAILING, FAILING[:3], [0.6, 90.0], {"backoff:too-long"}),
]


@pytest.mark.parametrize(
    ("operation", "planned", "answers", "waits", "expected"),
    [row[1:] for row in JUDGED],
    ids=[row[0] for row in JUDGED],
)
def test_judged_attempts_and_waits(
    operation: str,
    planned: list[Answer],
    answers: list[Answer],
    waits: list[float],
    expected: set[str],
) -> None:
    """Too few, too many, too soon and too late are told apart; what is allowed is not told."""
    assert causes(OPERATIONS[operation], planned, answers, waits) == expected


RETRY_AFTER = [
    ("2", 2.0, set()),
    ("2", 1.9, {"early:retry-after:429"}),
    ("2", 30.0, set()),
    ("0", 0.0, set()),
    ("soon", 1.0, set()),
    ("-5", 1.0, set()),
    ("1.5", 1.0, set()),
]


@pytest.mark.parametrize(("value", "waited", "expected"), RETRY_AFTER)
def test_retry_after(value: str, waited: float, expected: set[str]) -> None:
    """A valid wish is a lower bound; an invalid one is no wish at all."""
    limited = A(429, (("retry-after", value),))
    assert causes(SEARCH, [limited], [limited, A(200)], [waited]) == expected


def test_retry_after_weighs_less_beyond_429() -> None:
    """The document speaks of rate limits; with other statuses the wish is the field's custom."""
    wish = (("retry-after", "7"),)
    assert SEARCH.retries is not None
    bases = [wait_after(SEARCH.retries, A(s, wish), 0, Options(), 0.0).basis for s in (429, 503)]
    assert bases == [Basis.DOCUMENTED, Basis.ASSUMED]


def test_unbounded_sleep() -> None:
    """A sleep of a year is reported whatever the server asked for."""
    year = A(429, (("retry-after", "31536000"),))
    assert causes(SEARCH, [year], [year, A(200)], [31_536_000.0]) == {"retry-after:unbounded"}


def test_wish_in_the_body() -> None:
    """A wait that the error's body asks for counts where the contract points at it."""
    body = b'{"error":{"details":{"retry_after":9}}}'
    limited = A(429, (), body)
    found = causes(INGEST, [limited], [limited, A(200)], [0.6])
    assert found == {"early:retry-after:429"}


BACKOFFS = [
    ({"jitter": False}, (2.0, 2.0)),
    ({"jitter": "full"}, (0.0, 2.0)),
    ({"jitter": "equal"}, (1.0, 2.0)),
    ({"jitter": "additive", "jitter_factor": 0.5}, (2.0, 3.0)),
    ({"jitter": "decorrelated"}, (1.0, 6.0)),
    ({"jitter": True}, (0.0, 4.0)),
    ({"kind": "constant", "jitter": False}, (1.0, 1.0)),
    ({"kind": "linear", "jitter": False}, (2.0, 2.0)),
    ({"jitter": False, "cap": 1.5}, (1.5, 1.5)),
    ({"base": None, "jitter": True}, (0.0, math.inf)),
]


@pytest.mark.parametrize(("said", "expected"), BACKOFFS)
def test_backoff_support(said: dict[str, object], expected: tuple[float, float]) -> None:
    """Each kind of jitter has its interval: here before the second retry of a base of 1 s."""
    assert INGEST.retries is not None
    backoff = Backoff.model_validate({"base": 1.0, "multiplier": 2.0, **said})
    retries = INGEST.retries.model_copy(update={"backoff": backoff})
    allowed = wait_after(retries, A(503), 1, Options(), 0.0)
    assert (allowed.low, allowed.high) == expected


def test_exceeding_the_longest_wish() -> None:
    """Above `max` a clamped wait is as short as `max`, and an obeyed one as long as asked."""
    assert INGEST.retries is not None
    wish = A(429, (("retry-after", "100"),))
    lows = {}
    for on_exceed in ("clamp", "wait", "fail"):
        block = RetryAfter(basis=Basis.DOCUMENTED, max=10, on_exceed=on_exceed)
        retries = INGEST.retries.model_copy(update={"retry_after": block})
        lows[on_exceed] = wait_after(retries, wish, 0, Options(), 0.0).low
    assert lows == {"clamp": 10.0, "wait": 100.0, "fail": 100.0}


def test_changed_requests() -> None:
    """A body that differs between attempts is reported; other spacing of the same JSON is not."""
    planned = [A(503)]
    came = [A(503), A(200)]
    same = causes(INGEST, planned, came, [0.6], bodies=[b'{"a": 1}', b'{"a":1}'])
    other = causes(INGEST, planned, came, [0.6], bodies=[b'{"a": 1}', b'{"a":2}'])
    assert (same, other) == (set(), {"changed:body"})


def test_changed_idempotency_key() -> None:
    """Another key in the second attempt is reported as that, beside the changed body."""
    bodies = [b'{"idempotency_key":"a"}', b'{"idempotency_key":"b"}']
    found = causes(INGEST, [A(503)], [A(503), A(200)], [0.6], bodies=bodies)
    assert found == {"changed:body", "idempotency-key:changed"}


def test_the_last_error_counts() -> None:
    """After retries the exception must be the one of the last answer."""
    answers = [A(429)] * 4
    wrong, exchanges = recorded(SEARCH, answers, [1, 2, 4], error="MemsyAPIError")
    right, _ = recorded(SEARCH, answers, [1, 2, 4], error="RateLimitExceeded")
    found = [judge_last(MEMSY, SEARCH, call, exchanges) for call in (wrong, right)]
    assert [[f.requirement for f in each] for each in found] == [["RT21"], []]


def test_raising_after_success() -> None:
    """An error although the last attempt succeeded is reported, and so is a hang."""
    call, exchanges = recorded(INGEST, [A(503), A(200)], [0.6], error="ClaivApiError")
    prediction = predict(INGEST, [A(503)])
    raised = {f.cause for f in judge(INGEST, prediction, call, exchanges)}
    hung = replace(call, outcome=Outcome("hang"))
    hanging = {f.cause for f in judge(INGEST, prediction, hung, exchanges)}
    assert (raised, hanging) == ({"raises-after-success"}, {"hang:nothing"})


def test_what_cannot_be_called_is_not_judged() -> None:
    """A driver's failure is no finding about the SDK."""
    call, exchanges = recorded(INGEST, FAILING[:1])
    call = replace(call, outcome=Outcome("driver_error", detail="broken"))
    assert judge(INGEST, predict(INGEST, FAILING), call, exchanges) == []


def test_waits_on_real_time() -> None:
    """Without recorded sleeps the gap between two exchanges is the wait, in the SDK's seconds."""
    call, exchanges = recorded(INGEST, FAILING[:3])
    gaps = waits_of(call, exchanges, Context(virtual=False, scale=0.5))
    assert gaps == pytest.approx((1.98, 1.98))


@given(st.floats(min_value=0, max_value=1e6), st.integers(min_value=0, max_value=11))
def test_every_drawn_wait_is_allowed(draw: float, retry: int) -> None:
    """No wait inside the promised support is ever reported: no false alarm."""
    assert INGEST.retries is not None
    allowed = wait_after(INGEST.retries, A(503), retry, Options(), 0.0)
    waited = allowed.low + (draw / 1e6) * (allowed.high - allowed.low)
    planned = [A(503)] * 20
    waits = [
        w.low + (draw / 1e6) * (w.high - w.low)
        for w in predict(INGEST, planned, Options(max_retries=retry + 1)).waits[: retry + 1]
    ]
    came = planned[: retry + 2]
    found = causes(INGEST, planned, came, waits, Options(max_retries=retry + 1))
    assert (found, allowed.low <= waited <= allowed.high) == (set(), True)


# --- reading answers ------------------------------------------------------------------------------

INSTANT = 784_111_777.0
FORMS = {
    "imf-fixdate": "Sun, 06 Nov 1994 08:49:37 GMT",
    "rfc850": "Sunday, 06-Nov-94 08:49:37 GMT",
    "asctime": "Sun Nov  6 08:49:37 1994",
}


@pytest.mark.parametrize("form", FORMS)
def test_http_dates(form: str) -> None:
    """The three forms of RFC 9110 §5.6.7 mean one instant, read and written."""
    assert (http_date(FORMS[form]), date_forms(INSTANT)[form]) == (INSTANT, FORMS[form])


WISHES = [
    ("120", 120.0), (" 7 ", 7.0), ("0", 0.0), ("9" * 400, math.inf),
    ("-1", None), ("1.5", None), ("soon", None), ("", None), ("nan", None), ("1e3", None),
    ("٣", None), (None, None),
    (FORMS["imf-fixdate"], 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), WISHES)
def test_reading_retry_after(value: str | None, expected: float | None) -> None:
    """Only non-negative whole seconds and HTTP dates are a wish to wait (RFC 9110 §10.2.3)."""
    assert retry_after(value, INSTANT + 60) == expected


def test_a_date_is_a_wait_from_now() -> None:
    """A date ahead asks for the seconds until then."""
    assert retry_after(FORMS["asctime"], INSTANT - 30) == 30.0


ENDS = [
    (Exchange(1, Request("GET", "/"), None, 0, None, failure="refused"), "connect"),
    (Exchange(1, Request("GET", "/"), None, 0, 1, failure="reset"), "reset"),
    (Exchange(1, Request("GET", "/"), None, 0, 1, failure="truncated"), "reset"),
    (Exchange(1, Request("GET", "/"), None, 0, 1, failure="timeout"), "timeout"),
    (Exchange(1, Request("GET", "/"), Response(200, (), b"x", False), 0, 1), "truncated"),
    (
        Exchange(1, Request("GET", "/"), Response(200, (), b"x", False), 0, 1, failure="reset"),
        "truncated",
    ),
    (Exchange(1, Request("GET", "/"), Response(200), 0, 1), None),
]


@pytest.mark.parametrize(("exchange", "network"), ENDS)
def test_network_faults_of_exchanges(exchange: Exchange, network: str | None) -> None:
    """How an exchange ended says which network fault an SDK saw."""
    assert answer_of(exchange).network == network


HEADERS = [
    ("content-type", "text/plain", Basis.DOCUMENTED),
    ("accept-encoding", "identity", Basis.ASSUMED),
    ("x-team", "other", Basis.ASSUMED),
    ("x-retry-count", "1", None),
    ("traceparent", "00-1-2-01", None),
    ("x-request-id", "b", None),
]


@pytest.mark.parametrize(("name", "value", "basis"), HEADERS)
def test_headers_stay_the_same(name: str, value: str, basis: Basis | None) -> None:
    """A header of one attempt is one of all, but for counts, ids and traces of an attempt."""
    call, exchanges = recorded(INGEST, [Answer(503), Answer(200)], [1.0])
    first, second = exchanges
    kept = tuple(h for h in second.request.headers if h[0] != name)
    changed = replace(second.request, headers=(*kept, (name, value)))
    exchanges = [first, replace(second, request=changed)]
    prediction = predict(INGEST, [Answer(503)])
    found = [f for f in judge(INGEST, prediction, call, exchanges) if f.requirement == "RT10"]
    assert [(f.cause, f.basis) for f in found] == (
        [] if basis is None else [(f"changed:header:{name}", basis)]
    )


def test_a_multipart_boundary_may_be_new() -> None:
    """Each attempt may draw its own boundary (RFC 2046); the parts between stay the same."""
    call, exchanges = recorded(INGEST, [Answer(503), Answer(200)], [1.0])

    def found(*texts: str) -> set[str]:
        sent = [
            replace(
                one,
                request=replace(
                    one.request,
                    headers=(("content-type", f"multipart/form-data; boundary=b{n}"),),
                    body=f"--b{n}\r\n\r\n{text}\r\n--b{n}--\r\n".encode(),
                ),
            )
            for n, (one, text) in enumerate(zip(exchanges, texts, strict=True))
        ]
        judged = judge(INGEST, predict(INGEST, [Answer(503)]), call, sent)
        return {f.cause for f in judged if f.requirement == "RT10"}

    assert found("same", "same") == set()
    assert found("same", "other") == {"changed:body"}
