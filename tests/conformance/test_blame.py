"""Blame: whose mistake an error is, how a run keeps it, and what its exit code says of it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import specs
from conformance.cases import Case, CaseResult, execute
from conformance.drivers.environment import EnvironmentUnavailable
from conformance.drivers.pipe import DriverError, DriverHang
from conformance.report import junit
from conformance.report.exit import Exit, decide
from conformance.report.results import Results, summarise
from conformance.report.run import make
from conformance.sdk.subject import DriverFailed
from conformance.subjects import Usage
from conformance.verdict import Blame, EnvironmentTrouble, UsageTrouble, Verdict, blame_of
from specs.catalogue import requirements


class Idle:
    """A subject that nobody drives."""

    contract = specs.load(specs.names()[0])
    exchanged = 0
    virtual_seconds = 0.0


def ended(error: BaseException) -> CaseResult:
    """The result of a case that raises."""

    def raising(subject: object) -> Iterator[object]:
        raise error
        yield

    return execute(Case("a.b", "sdk", ("RT1",), "It raises.", raising), Idle())


def judged(*found: CaseResult) -> Results:
    """A run that came to these results."""
    entry = summarise("sdk", "demo", "some-sdk", found, requirements())
    return make([entry], started="", seconds=0, seed=0, command=[])


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (ValueError("a bug"), Blame.HARNESS),
        (OSError(errno.ECONNRESET, "by a peer"), Blame.HARNESS),
        (OSError(errno.EMFILE, "too many open files"), Blame.ENVIRONMENT),
        (OSError(errno.ENOSPC, "no space left"), Blame.ENVIRONMENT),
        (MemoryError(), Blame.ENVIRONMENT),
        (EnvironmentTrouble("no port is free"), Blame.ENVIRONMENT),
        (DriverError("it ended"), Blame.ENVIRONMENT),
        (DriverHang("it is silent"), Blame.ENVIRONMENT),
        (DriverFailed("it ended"), Blame.ENVIRONMENT),
        (EnvironmentUnavailable("no network"), Blame.ENVIRONMENT),
        (Usage("no such API"), Blame.USAGE),
        (UsageTrouble("no such key"), Blame.USAGE),
    ],
    ids=repr,
)
def test_every_error_says_whose_it_is(error: Exception, blame: Blame) -> None:
    """Blame is a property of an error's type or number, and never of its words."""
    assert blame_of(error) is blame
    result = ended(error)
    assert (result.verdict, result.blame) == (Verdict.ERROR, blame)


def test_a_crash_of_ours_keeps_its_traceback() -> None:
    """The result names file, line and function, and holds the whole traceback; JUnit has it too."""
    result = ended(KeyError("gone"))
    name = Path(__file__).name
    assert f"KeyError: 'gone' ({name}:" in result.reason
    assert name in result.trace
    assert "raise error" in result.trace
    run = judged(result)
    assert run.subjects[0].cases[0].trace == result.trace
    errors = ET.fromstring(junit.render(run, decide(run))).findall(".//error")
    assert any("raise error" in (each.text or "") for each in errors)


def test_what_surrounds_us_leaves_no_traceback() -> None:
    """An error that is not ours is told by its own sentence alone."""
    result = ended(DriverFailed("it opened no client"))
    assert (result.reason, result.trace) == ("the driver failed: it opened no client", "")


def test_the_exit_code_says_whose_error_ended_the_run() -> None:
    """Our own crash is named first, wherever it stands; else what surrounds us is named."""
    driver, crash = ended(DriverFailed("it ended")), ended(ValueError("a bug"))
    alone = decide(judged(driver))
    both = decide(judged(driver, crash))
    assert (alone.code, both.code) == (Exit.ERROR, Exit.ERROR)
    assert "an error of what surrounds it" in alone.reason
    assert "2 cases ended" in both.reason
    assert "memconform's own, the first being a.b on some-sdk: ValueError" in both.reason
