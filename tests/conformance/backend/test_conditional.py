"""Words for what HTTP's standards add: their defects die, and lawful spellings are left alone."""

from __future__ import annotations

import pytest

from conformance.backend import teeth
from conformance.backend.subject import BackendSubject
from conformance.history import Exchange, Request, Response
from conformance.oracles import lifecycle
from conformance.reference.backend import demo
from conformance.reference.defects import Defect
from load.lane import _pinned
from specs.http_words import MATCH_ANY, standing_headers

OPERATIONS = demo.load("depot")
OWN = [d for d in teeth.DEFECTS if d.api == "depot"]


def answer(**fields: str) -> Exchange:
    """Return a list of the deprecated operation whose answer has some header fields."""
    headers = tuple((name, value) for name, value in fields.items())
    return Exchange(
        1, Request("GET", "/"), Response(200, headers, b"{}"), 0.0, 0.1, operation="crates.list"
    )


@pytest.mark.parametrize(
    ("deprecation", "sunset", "broken"),
    [
        ("@1688169599", "Sun, 30 Jun 2030 23:59:59 GMT", []),
        ("@1688169599;note=1", "Sunday, 30-Jun-30 23:59:59 GMT", []),
        ("@1688169599", "Fri, 30 Jun 2023 23:59:59 GMT", []),
        ("true", "Sun, 30 Jun 2030 23:59:59 GMT", ["DP1"]),
        ("@1688169599", "Fri, 30 Jun 2023 23:59:58 GMT", ["DP2"]),
        ("@1688169599", "2030-06-30", ["DP2"]),
    ],
)
def test_ends_of_life_are_read_in_every_lawful_form(
    deprecation: str, sunset: str, broken: list[str]
) -> None:
    """Deprecation is a date of structured fields, and Sunset an HTTP date that is not earlier."""
    told = answer(deprecation=deprecation, sunset=sunset)
    found = lifecycle.judge(OPERATIONS["crates.list"], told)
    assert broken == [finding.requirement for finding in found]


def test_nothing_is_asked_of_operations_that_stay() -> None:
    """An operation that nobody calls deprecated needs neither field."""
    assert [] == list(lifecycle.judge(OPERATIONS["crates.get"], answer()))


def test_a_required_condition_goes_out_with_every_write_that_brings_none() -> None:
    """Suites and load can write where If-Match is required, and a case can send its own."""
    assert (MATCH_ANY,) == standing_headers(OPERATIONS["crates.update"], ())
    assert () == standing_headers(OPERATIONS["crates.update"], [("If-Match", "x")])
    assert () == standing_headers(OPERATIONS["crates.get"], ())


def test_load_names_what_every_call_names() -> None:
    """Fixed values are sent by load as well, where an operation has a place for them."""
    assert {"site": "north", "x-region": "eu"} == _pinned(OPERATIONS["crates.list"])


@pytest.mark.parametrize("defect", OWN[::3], ids=lambda d: d.id)
def test_a_defect_dies_by_the_case_that_it_names(defect: Defect) -> None:
    """Some of them here; all of them by `memconform teeth --suite backend`."""
    killed = teeth.kill(defect)
    assert killed.exercised
    assert defect.case in killed.killed_by, killed.detail


def test_the_perfect_backend_passes_these_cases() -> None:
    """Nothing is found where every word is kept."""
    from conformance.backend import suite

    with teeth.judged("depot") as subject:
        assert isinstance(subject, BackendSubject)
        own = ["conditional.", "deprecation.", "required."]
        results = suite.run(subject, select=own)
    assert {"pass"} == {str(result.verdict) for result in results}
