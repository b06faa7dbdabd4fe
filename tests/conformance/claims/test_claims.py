"""Claims: every kind says what it has to say, and survives being written down."""

from __future__ import annotations

import json
import re
import string
from dataclasses import fields, replace
from typing import Any

import pytest

from conformance import claims
from conformance.claims import Base, Leaked, NotRetried, TooMany, WrongClass
from conformance.sdk import telling
from conformance.verdict import Finding
from specs import Basis

VALUES: dict[str, Any] = {
    "str": "text", "int": 7, "float": 1.5, "bool": True, "float | None": 1.5, "Any": [1, "two"],
    "tuple[str, ...]": ("one", "two"), "tuple[int, ...]": (501, 505),
}  # fmt: skip


def made(kind: type[Base]) -> Base:
    """A claim with a value of the right type in each field."""
    return kind(**{f.name: VALUES[str(f.type)] for f in fields(kind)})


KINDS = sorted(claims.CLAIMS.values(), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_a_claim_says_all_that_a_reader_needs(kind: type[Base]) -> None:
    """Cause, message, expectation and observation are there, and no name is left unfilled."""
    claim = made(kind)
    for text in (claim.cause, claim.message, claim.expected, claim.actual):
        assert text
        assert not re.search(r"\{\w+[}:!]", text), text
    assert claim.message[0] in string.ascii_lowercase + "`"


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_a_claim_is_read_back_as_it_was_written(kind: type[Base]) -> None:
    """`results.json` holds the value itself, from which reports of other runs decide."""
    claim, plain = made(kind), claims.written(made(kind))  # type: ignore[arg-type]
    back = claims.read(json.loads(json.dumps(plain)))
    assert json.dumps(claims.written(back)) == json.dumps(plain)  # type: ignore[arg-type]
    assert type(back) is type(claim)


@pytest.mark.parametrize(
    "plain", [{}, {"claim": "Unheard"}, {"claim": "TooMany"}, {"claim": "TooMany", "other": 1}]
)
def test_what_is_no_claim_is_none(plain: dict[str, Any]) -> None:
    """Results of an older or newer release hold claims that are not known here."""
    assert claims.read(plain) is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_what_a_script_looks_at_is_python(kind: type[Base]) -> None:
    """The look at each claim compiles, whatever its fields hold."""
    told = telling.told(telling.About(made(kind), "Base", 1, "Odd"))
    compile("\n".join(told.before) or "pass", "before", "exec")
    compile(told.seen, "seen", "eval")
    compile(told.shows, "shows", "eval")


def leak(requirement: str, exception: str = "json.JSONDecodeError") -> Finding:
    """A leaked decoding error, filed under a requirement."""
    claim = Leaked("E", exception, "decoding", "status 200 with HTML", "E")
    return Finding.of(requirement, claim, Basis.OBSERVED, "observed: the package")


def test_one_mistake_has_one_identity() -> None:
    """A leak of one family is one mistake under every requirement of odd answers, and no other."""
    homes = {leak(r).identity for r in ("ER9", "ER3", "CT13")}
    assert homes == {("ER9", "leak:decoding")}
    assert leak("HD5").identity == ("HD5", "leak:decoding")


def test_an_odd_body_that_hides_a_status_is_one_mistake() -> None:
    """Status and documented class tell witnesses apart, not causes, where the body is odd."""
    page = WrongClass("NotFound", "E", "404", "status 404 with HTML", "text")
    other = replace(page, exception="Conflict", place="409", condition="status 409 with HTML")
    assert page.cause == other.cause
    assert replace(page, odd="").cause != replace(other, odd="").cause


def test_a_finding_may_claim_something_else() -> None:
    """Its words follow the new claim, and where the promise stands is kept."""
    told = leak("ER9").claiming(TooMany(3, 4))
    assert (told.message, told.cause) == (TooMany(3, 4).message, "attempts:too-many")
    assert told.expected == "at most 3 attempts (observed: the package)"


def test_some_of_a_range_are_named() -> None:
    """Statuses of a range that are given up on are listed where others of it are retried."""
    whole = NotRetried("5XX", "status 5XX", "3", "status 501", "raised E")
    some = replace(whole, missed=(501, 505))
    assert whole.message.endswith("after status 5XX")
    assert some.message.endswith("after some of the 5XX: 501, 505")
    assert whole.cause == some.cause
