"""Quota dialects: one reading of all, and one way to write each."""

from __future__ import annotations

from typing import get_args

import pytest

from conformance.backend import damages
from conformance.backend.damages import Scene
from conformance.backend.recording import Kept
from conformance.backend.transport import Answer
from conformance.faults.answers import fill
from conformance.faults.line_faults import rate_limit_headers
from conformance.reference.backend import demo
from specs import Basis, quotas
from specs.vocabulary import RateLimit
from tests.scripted import exchange

NOW = 1_900_000_000.0
UNITS = get_args(quotas.Unit)


def declared(headers: str, **more: object) -> RateLimit:
    """Return a declaration of rate-limit headers."""
    return RateLimit(basis=Basis.DOCUMENTED, headers=headers, **more)  # type: ignore[arg-type]


FORMS = [
    *(declared(name) for name in quotas.DIALECTS if name != "none"),
    *(
        declared("x-ratelimit", limit="X-Most", remaining="X-Left", reset="X-End", reset_unit=unit)
        for unit in UNITS
    ),
]


@pytest.mark.parametrize("limit", FORMS, ids=lambda f: f"{f.headers}-{f.reset_unit}")
def test_what_is_written_is_read(limit: RateLimit) -> None:
    """Each dialect's fields say the figures they were written from, under the declared names."""
    said = quotas.Figures(limit=10, remaining=4, reset=NOW + 30, window=60)
    fields = quotas.write(limit, said, quotas.at(NOW))
    assert sorted(quotas.names(limit)) == sorted(name for name, _ in fields)
    read = quotas.read(limit, [(name.upper(), value) for name, value in fields], NOW)
    assert read is not None
    assert (10, 4, 30) == (read.limit, read.remaining, read.reset)


@pytest.mark.parametrize("limit", FORMS, ids=lambda f: f"{f.headers}-{f.reset_unit}")
def test_a_fault_script_says_the_same_as_a_server(limit: RateLimit) -> None:
    """What a script writes for 30 s ahead is, once filled in, what a server writes."""
    script = quotas.write(limit, quotas.Figures(10, 4, 30, 60), quotas.ahead)
    server = quotas.write(limit, quotas.Figures(10, 4, NOW + 30, 60), quotas.at(NOW))
    assert server == [(name, fill(value, {}, NOW)) for name, value in script]


def test_every_dialect_of_the_vocabulary_has_its_row() -> None:
    """A contract cannot declare a dialect that nobody reads."""
    assert set(quotas.DIALECTS) == set(get_args(RateLimit.model_fields["headers"].annotation))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), (str(int(NOW) + 30), 30), (str(int(NOW + 30) * 1000), 30), ("0", 0)],
)
def test_a_reset_of_no_stated_unit_is_read_by_its_size(text: str, seconds: float) -> None:
    """Seconds ahead, seconds since 1970 and milliseconds lie far apart."""
    read = quotas.read(declared("x-ratelimit"), [("x-ratelimit-reset", text)], NOW)
    assert read is not None
    assert seconds == read.reset


@pytest.mark.parametrize("name", ["draft-6", "draft-7", "draft-8", "x-ratelimit"])
def test_fields_that_nobody_can_read_say_nothing(name: str) -> None:
    """Garbage is no reading, whichever the dialect."""
    limit = declared(name)
    assert quotas.read(limit, [(n, "plenty!") for n in quotas.names(limit)], NOW) is None
    assert quotas.read(limit, [], NOW) is None


def test_every_user_finds_the_fields_of_a_draft_without_declared_names() -> None:
    """Damages and faults touch the very fields that the oracle reads, for draft-6 too."""
    contract = demo.load("rota")
    operation = next(o for o in contract if quotas.told(o.rate_limit))
    limit = operation.rate_limit
    assert limit is not None
    names = rate_limit_headers(operation)
    assert names == ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
    fields = tuple(quotas.write(limit, quotas.Figures(10, 4, NOW + 30), quotas.at(NOW)))
    answered = exchange(200, {}, fields, operation=operation.id)
    kept = Kept("x", Answer(answered.response, None, 0.0, 0.1), NOW, answered)
    for name in ("no quota header", "remaining negative", "reset in the past"):
        assert damages.KINDS[name](Scene(contract, [kept], 0)), name
