"""The reference SDK: clean when it is perfect, and caught whenever it is not."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import specs
from conformance.oracles.answers import Answer
from conformance.reference.defects import Defect, Defects
from conformance.reference.sdk import errors, policy
from conformance.reference.sdk.defects import DEFECTS
from conformance.sdk import cases, reference, run
from conformance.sdk.teeth import kill, kill_together
from conformance.verdict import Verdict
from specs.catalogue import requirements

PACKAGE = Path(errors.__file__).parent
BY_ID = {d.id: d for d in DEFECTS}
QUICK = ("surface", "wire.request", "answers.fields", "errors.documented", "retry.statuses",
         "retry-after", "headers", "paging", "robust.concurrency")  # fmt: skip


@pytest.mark.parametrize("api", ["octamem", "claiv"])
def test_perfect_is_clean(api: str) -> None:
    """The perfect reference breaks no promise, in either mode, whatever the seed."""
    with reference(api) as subject:
        results = run(subject, select=QUICK, seed=7)
    bad = [r.name for r in results if r.verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE)]
    assert bad == []


SAMPLE = ["retry.never", "error.html-crash", "wire.unicode-lost", "answer.field-lost",
          "client.method-missing"]  # fmt: skip


@pytest.mark.parametrize("identity", SAMPLE)
def test_defects_die(identity: str) -> None:
    """A defect is killed by the case that it names; the whole matrix is `memconform teeth`."""
    killed = kill(BY_ID[identity])
    assert (killed.verdict, killed.detail) == ("killed", "")


def test_two_at_once() -> None:
    """Of two defects at once neither hides the other."""
    pair = [BY_ID["error.request-id-lost"], BY_ID["error.no-cause"]]
    assert [k.verdict for k in kill_together(pair)] == ["killed", "killed"]


def test_a_place_that_is_never_reached_is_no_kill() -> None:
    """A defect of streams shown on an API without streams was not exercised: invalid."""
    moved = Defect(
        "stream.buffered", "sdk", "octamem", "CT14", "stream.events", "It cannot be shown here."
    )
    assert kill(moved).verdict == "invalid"


def test_the_table_is_sound() -> None:
    """Each defect names a case and a requirement that exist, once, and lives in the code."""
    known = {c.id: c for c in cases()}
    source = "".join(p.read_text() for p in PACKAGE.glob("*.py") if p.name != "defects.py")
    twice = [i for i, n in Counter(d.id for d in DEFECTS).items() if n > 1]
    wrong = [d.id for d in DEFECTS if d.case not in known or d.requirement not in requirements()]
    homeless = [d.id for d in DEFECTS if f'"{d.id}"' not in source]
    assert (twice, wrong, homeless) == ([], [], [])


def test_every_case_kills() -> None:
    """Each requirement that a case of the suite can report has a defect that breaks it."""
    reported = {r for c in cases() for r in c.requirements}
    assert reported - {d.requirement for d in DEFECTS} == UNSEEDED


UNSEEDED: set[str] = set()
"""Requirements of the suite that no defect breaks yet."""


def test_there_are_enough() -> None:
    """There are at least sixty defects, shown on every kind of contract."""
    assert len(DEFECTS) >= 60
    assert {d.api for d in DEFECTS} >= {"claiv", "memsy", "octamem", "sovant"}


# --- pieces ---------------------------------------------------------------------------------------


def made(api: str, *defects: str) -> tuple[ModuleType, dict[str, type]]:
    """Return a module with the exception classes of a contract, findable by name."""
    import sys

    module = ModuleType("memconform_reference_test")
    sys.modules[module.__name__] = module
    tables = [o.errors for o in specs.load(api) if o.errors is not None]
    return module, errors.classes(tables, module, Defects.of(defects))


def test_exceptions_have_their_documented_bases() -> None:
    """Classes are made from the table, subclasses below what the document derives them from."""
    _, classes = made("memsy")
    names = [b.__name__ for b in classes["RateLimitExceeded"].__mro__[:3]]
    assert names == ["RateLimitExceeded", "MemsyAPIError", "MemsyError"]


def test_exceptions_survive_pickle_and_copy() -> None:
    """Exceptions come back the same from pickle and copy, attributes and all."""
    _, classes = made("claiv")
    raised: Any = classes["ClaivApiError"]("no", status=503, code="busy")
    for again in (pickle.loads(pickle.dumps(raised)), copy.copy(raised)):
        assert (type(again), str(again), vars(again)) == (type(raised), "no", vars(raised))


def test_policy_keeps_to_the_contract() -> None:
    """Attempts, retried answers and waits are the contract's; a defect changes just its own."""
    operation = specs.load("octamem")["add"]
    perfect, settings = Defects(), policy.Settings()
    assert policy.attempts(operation, settings, perfect) == 4
    retried = [policy.retriable(operation, Answer(s), perfect) for s in (400, 429, 503)]
    assert retried == [False, True, True]
    wish = Answer(429, (("retry-after", "9"),))
    waited = policy.wait(operation, wish, 0, settings, 0.0, perfect)
    assert waited is not None
    assert 9.0 <= waited <= 9.9
    assert policy.wait(operation, wish, 0, settings, 0.0, Defects.of(["retry-after.halved"])) == 4.5


def test_policy_fails_rather_than_sleep_for_years() -> None:
    """A wish beyond a day is answered with the error, at once."""
    operation = specs.load("memsy")["search"]
    wish = Answer(429, (("retry-after", "9" * 400),))
    assert policy.wait(operation, wish, 0, policy.Settings(), 0.0, Defects()) is None


def test_every_requirement_of_sdks_is_tested_and_seeded() -> None:
    """What the catalogue asks of SDKs has a case and a defect, or a reason why nothing can."""
    tested = {r for c in cases() for r in c.requirements} & {d.requirement for d in DEFECTS}
    asked = [r for r in requirements().values() if "sdk" in r.subject and not r.retired]
    assert [r.id for r in asked if (r.id in tested) == bool(r.untestable)] == []
