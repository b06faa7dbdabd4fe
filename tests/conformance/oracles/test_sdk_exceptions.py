"""The exceptions oracle as a pure function: which exception an answer must become."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import specs
from conformance.history import Call, Outcome, Raised
from conformance.oracles.answers import Answer
from conformance.oracles.exceptions import (
    Known,
    family,
    full_name,
    judge,
    judge_owned,
    promise,
    same_value,
)
from specs import Basis

CLAIV, OCTAMEM, MEMSY = specs.load("claiv"), specs.load("octamem"), specs.load("memsy")
OPERATIONS = {"ingest": CLAIV["ingest"], "add": OCTAMEM["add"], "search": MEMSY["search"]}
KEY = "sk_test_never_to_be_shown"
REFUSED = b'{"error":{"code":"invalid_request","message":"no","request_id":"r1","details":{"a":1}}}'
GOOD = {"status": 400, "code": "invalid_request", "request_id": "r1", "details": {"a": 1}}


def raising(name: str = "ClaivApiError", **changes: Any) -> Raised:
    """Return an exception of claiv's, perfect but for the changes."""
    made: dict[str, Any] = {
        "module": "claiv.errors", "bases": ("ClaivError", "Exception", "BaseException"),
        "message": "no", "text": "no", "representation": f"{name}('no')", "attributes": GOOD,
        "cause": None, "picklable": True, "copyable": True,
    }  # fmt: skip
    return Raised(name=name, **{**made, **changes})


def judged(
    raised: Raised | None,
    answer: Answer = Answer(400, (), REFUSED),
    odd: str = "",
    known: Known = Known(key=KEY),
    operation: str = "ingest",
) -> set[tuple[str, str]]:
    """Return requirement and cause of each finding about one call that ended so."""
    outcome = Outcome("value") if raised is None else Outcome("error", error=raised)
    call = Call(1, operation, {}, "sync", 0, 1, outcome)
    found = judge(OPERATIONS[operation], call, answer, known, odd=odd)
    return {(f.requirement, f.cause) for f in found}


PROMISES = [
    ("ingest", Answer(400), "ClaivApiError"),
    ("ingest", Answer(503), "ClaivApiError"),
    ("ingest", Answer(network="timeout"), "ClaivTimeoutError"),
    ("ingest", Answer(network="truncated"), "ClaivNetworkError"),
    ("ingest", Answer(301), "ClaivError"),
    ("add", Answer(400), "ValidationError"),
    ("add", Answer(418), "APIError"),
    ("add", Answer(599), "InternalServerError"),
    ("search", Answer(403, (), b'{"detail":{"error":"seat_required"}}'), "SeatRequiredError"),
    ("search", Answer(403, (), b"<html>"), "AuthorizationError"),
    ("search", Answer(429, (), b'{"detail":{"error":"usage_limit_exceeded"}}'),
     "UsageLimitExceeded"),
    ("search", Answer(429), "RateLimitExceeded"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "answer", "expected"), PROMISES)
def test_promised_class(operation: str, answer: Answer, expected: str) -> None:
    """Status, code and network fault lead to the documented class, in the table's order."""
    errors = OPERATIONS[operation].errors
    assert errors is not None
    assert promise(errors, answer).exception == expected


CASES = [
    ("perfect", raising(), set()),
    ("a value", None, {("ER1", "value-for:4XX")}),
    ("another class", raising("ClaivNetworkError"), {("ER1", "class:ClaivApiError:4XX")}),
    ("a subclass of it", raising("Narrow", bases=("ClaivApiError", "ClaivError")), set()),
    ("foreign", raising("KeyError", module="builtins", bases=("LookupError",)),
     {("ER9", "leak:shape")}),
    ("no base", raising(bases=("Exception",)), {("ER9", "leak:claiv.ClaivApiError")}),
    ("attribute missing", raising(attributes={k: v for k, v in GOOD.items() if k != "code"}),
     {("ER11", "attribute-missing:ClaivApiError.code")}),
    ("attribute wrong", raising(attributes={**GOOD, "status": 500}),
     {("ER11", "attribute-value:ClaivApiError.status")}),
    ("no message", raising(message="", text="  "), {("ER12", "message-empty:status")}),
    ("key in the message", raising(message=f"bad {KEY}"), {("AU7", "key-in:message")}),
    ("key in an attribute", raising(attributes={**GOOD, "sent": {"authorization": KEY}}),
     {("AU7", "key-in:attributes")}),
    ("unpicklable", raising(picklable=False), {("ER13", "pickle")}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
def test_judged(raised: Raised | None, expected: set[tuple[str, str]]) -> None:
    """Each way of being wrong is one finding with its requirement; a right exception is none."""
    assert judged(raised) == expected


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (
            raising("KeyError", module="builtins", bases=()),
            "lets a foreign exception out: KeyError",
        ),
        (raising("ReadError", module="httpx", bases=()), "lets a foreign exception out: httpx."),
        (raising(bases=("Exception",)), "raises an exception that is no ClaivError: claiv.Claiv"),
    ],
)
def test_only_what_is_foreign_is_called_so(raised: Raised, told: str) -> None:
    """A class that is not derived from the documented base may yet be the SDK's own."""
    call = Call(1, "ingest", {}, "sync", 0, 1, Outcome("error", error=raised))
    (found, *_) = judge(OPERATIONS["ingest"], call, Answer(400, (), REFUSED))
    assert found.message.startswith(told)


def test_odd_bodies_are_told_in_words() -> None:
    """A reader learns what was odd about an answer, not what we call it."""
    raised = raising("KeyError", module="builtins", bases=())
    call = Call(1, "ingest", {}, "sync", 0, 1, Outcome("error", error=raised))
    (found, *_) = judge(
        OPERATIONS["ingest"], call, Answer(400, (), b"[]"), odd="array", words="an empty array"
    )
    assert found.actual == "KeyError for status 400 with an empty array"


def test_network_errors_chain_their_cause() -> None:
    """An exception for a broken connection names what it was raised from."""
    broken = Answer(network="reset")
    alone = raising("ClaivNetworkError", attributes={})
    chained = raising("ClaivNetworkError", attributes={}, cause="ConnectionResetError")
    assert (judged(alone, broken), judged(chained, broken)) == ({("ER14", "no-cause")}, set())


def test_network_errors_of_the_wrong_kind() -> None:
    """A network error in place of the timeout's is a finding about network exceptions."""
    wrong = raising("ClaivNetworkError", attributes={}, cause="ReadTimeout")
    found = judged(wrong, Answer(network="timeout"))
    assert found == {("ER15", "class:ClaivTimeoutError:network")}


def test_odd_bodies_are_their_own_requirement() -> None:
    """Where the body is odd, the class still counts (ER3), and its missing values do not."""
    html = Answer(400, (), b"<html>")
    bare = raising(attributes={"status": 400, "code": "unknown", "request_id": "", "details": None})
    wrong = raising("ClaivNetworkError")
    assert (judged(bare, html, "html"), judged(wrong, html, "html")) == (
        set(), {("ER3", "class:odd-text")},
    )  # fmt: skip


def test_missing_classes_are_told_once() -> None:
    """Nobody can raise a class that the package lacks: that is reported where it is missing."""
    known = Known(missing=frozenset({"ClaivApiError"}), key=KEY)
    assert judged(raising("ClaivError", bases=("Exception",)), known=known) == set()


def test_documented_bases() -> None:
    """`except MemsyAPIError` must catch what the document derives from it."""
    answer = Answer(401, (), b'{"detail":{"error":"x","message":"no"}}')
    raised = raising(
        "AuthenticationError", bases=("MemsyError",),
        attributes={"status_code": 401, "detail": "no"},
    )  # fmt: skip
    assert judged(raised, answer, operation="search") == {("ER10", "bases:AuthenticationError")}


FAMILIES = [
    ("JSONDecodeError", "json.decoder", "decoding"),
    ("UnicodeDecodeError", "builtins", "decoding"),
    ("RecursionError", "builtins", "decoding"),
    ("AttributeError", "builtins", "shape"),
    ("ValidationError", "pydantic_core._pydantic_core", "shape"),
    ("ReadError", "httpx", "transport"),
    ("ValueError", "builtins", "ValueError"),
    ("Oops", "vendor.errors", "vendor.Oops"),
]


@pytest.mark.parametrize(("name", "module", "expected"), FAMILIES)
def test_families_of_leaks(name: str, module: str, expected: str) -> None:
    """Exceptions that one mistake lets out have one name as a cause."""
    assert family(Raised(name, module, (), "text")) == expected


def test_full_names() -> None:
    """Builtins stand alone, others with their package."""
    named = [full_name(Raised(n, m, (), "")) for n, m in (("OSError", "builtins"), ("A", "x.y"))]
    assert named == ["OSError", "x.A"]


VALUES = [
    (30.0, "30", True), (30, "30", True), ("30", 30, True), (True, 1, False), (None, "30", False),
    ({"$type": "D", "a": 1}, {"a": "1"}, True), ([1, "2"], ["1", 2], True), ([1], [1, 2], False),
    ("x", "y", False),
]  # fmt: skip


@pytest.mark.parametrize(("value", "wanted", "expected"), VALUES)
def test_same_value(value: Any, wanted: Any, expected: bool) -> None:
    """Numbers may be in another type than on the wire; truth is no number."""
    assert same_value(value, wanted) is expected


def test_any_end_but_a_leak_is_fine_for_odd_successes() -> None:
    """A value and the SDK's own error are both fine where nothing is promised."""
    operation = OPERATIONS["ingest"]
    ends = [
        Outcome("value"),
        Outcome("error", error=raising()),
        Outcome("error", error=Raised("KeyError", "builtins", ("LookupError",), "'id'")),
    ]
    found = [
        len(judge_owned(operation, Call(1, "ingest", {}, "sync", 0, 1, end), "an empty body"))
        for end in ends
    ]
    assert found == [0, 0, 1]


@pytest.mark.parametrize("basis", list(Basis))
def test_a_leak_weighs_the_same_whatever_the_answer(basis: Basis) -> None:
    """For a status of the table and for an odd success alike, a leak rests on the base class."""
    plain = OPERATIONS["ingest"]
    assert plain.errors is not None
    operation = replace(plain, errors=plain.errors.model_copy(update={"basis": basis}))
    end = Outcome("error", error=Raised("KeyError", "builtins", ("LookupError",), "'id'"))
    call = Call(1, "ingest", {}, "sync", 0, 1, end)
    [odd] = judge_owned(operation, call, "an empty body")
    [told] = [f for f in judge(operation, call, Answer(400, (), b"{}")) if f.requirement == "ER9"]
    assert (odd.basis, told.basis) == (basis, basis)
    assert odd.identity == told.identity
