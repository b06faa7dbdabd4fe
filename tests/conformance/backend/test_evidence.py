"""What a backend finding carries: its own exchanges in full, and what shows it again by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import cache

import pytest

import specs
from conformance import evidence
from conformance.backend.judging import judge
from conformance.backend.subject import BackendSubject
from conformance.backend.suite import run
from conformance.backend.teeth import judged
from conformance.history import Exchange
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.defects import Defects
from conformance.verdict import Finding

SHOWN = (
    "accept.missing-parameter", "accept.missing-field", "answer.null",
    "answer.html-type", "error.one-code-for-all", "error.request-id-missing",
    "error.unknown-id-is-400", "auth.not-checked",
)  # fmt: skip
ALONE = ("CT1", "CT2", "CT3", "CT6", "CT7", "ER4", "ER6", "ER7")
"""Requirements that one answer can break by itself."""


def keys_of(subject: BackendSubject) -> dict[str, str]:
    """Return the environment that reproductions take a subject's keys from."""
    named = {f"KEY_{name.upper()}": key for name, key in subject.keys.items()}
    return {**os.environ, **named, "KEY": subject.keys["a"]}


def ends(finding: Finding, subject: BackendSubject) -> int:
    """Return how a finding's reproduction ends on a backend: 1 where the fault shows."""
    if not finding.reproduction.startswith("curl "):
        command = [sys.executable, "-c", finding.reproduction, subject.base_url]
        done = subprocess.run(command, env=keys_of(subject), capture_output=True, text=True)
        assert done.returncode == 0 or finding.message in done.stderr
        return done.returncode
    said, _, rest = finding.reproduction.partition("http://")
    command_line = f"{said}{subject.base_url}/{rest.partition('/')[2].partition('/')[2]}"
    done = subprocess.run(
        ["sh", "-c", command_line], env=keys_of(subject), capture_output=True, text=True
    )
    return int(_shows(finding, done.stdout))


def _shows(finding: Finding, answer: str) -> bool:
    """Return whether a fault shows in an answer as curl prints it."""
    head, _, text = answer.replace("\r\n", "\n").partition("\n\n")
    first, *fields = head.splitlines()
    header = {n.lower(): v for n, _, v in (field.partition(": ") for field in fields)}
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    names = {
        "status": int(first.split()[1]),
        "header": header,
        "text": text,
        "data": data,
        "re": re,
    }
    try:
        return bool(eval(finding.shows, names))  # our own expression
    except (LookupError, TypeError):
        return False


@cache
def found(defect: str) -> tuple[str, tuple[Finding, ...], tuple[Exchange, ...], tuple[float, ...]]:
    """Return what the case that names a defect finds on the backend that has it."""
    named = next(d for d in DEFECTS if d.id == defect)
    with judged(named.api, defects=Defects.of([defect])) as subject:
        results = run(subject, select=[named.case])
        return (
            named.api, tuple(f for r in results for f in r.findings), subject.exchanges,
            tuple(subject.at),
        )  # fmt: skip


@pytest.mark.parametrize("defect", SHOWN)
def test_a_reproduction_ends_with_one_there_and_with_zero_on_the_reference(defect: str) -> None:
    """What a reader runs shows the fault where it is, and nothing where it is not."""
    named = next(d for d in DEFECTS if d.id == defect)
    with judged(named.api, defects=Defects.of([defect])) as bad, judged(named.api) as good:
        results = run(bad, select=[named.case])
        every = [f for r in results for f in r.findings]
        shown = [f for f in every if f.reproduction]
        assert shown
        assert [f.cause for f in every if f.shows and not f.reproduction] == []
        for finding in shown[:: max(1, len(shown) // 2)][:3]:
            assert (ends(finding, bad), ends(finding, good)) == (1, 0), finding.reproduction
        key = bad.keys["a"]
        assert key not in repr(every)
    programs = [f.reproduction for f in shown if not f.reproduction.startswith("curl ")]
    assert all(p.count("\n") - p.count("    ('") <= evidence.LINES_MAX for p in programs)


@pytest.mark.parametrize("defect", SHOWN)
def test_a_finding_is_found_again_on_its_own_exchanges(defect: str) -> None:
    """The evidence is that of the fault: judged alone, it gives the same finding."""
    api, findings, exchanges, at = found(defect)
    contract = specs.load(api)
    for finding in findings:
        if finding.requirement not in ALONE or finding.cause == "request-id-repeated":
            continue
        again = [
            (f.requirement, f.cause)
            for n in finding.witness
            for f in judge(contract, exchanges[n], at[n])
        ]
        assert (finding.requirement, finding.cause) in again
        assert finding.evidence[-1].status == exchanges[finding.witness[-1]].status


@pytest.mark.parametrize("defect", SHOWN)
def test_an_expression_is_true_of_its_last_exchange(defect: str) -> None:
    """`shows` speaks of the answer that the finding was told of."""
    _, findings, exchanges, _ = found(defect)
    for finding in findings:
        if finding.shows:
            response = exchanges[finding.witness[-1]].response
            assert response is not None
            fields = "\n".join(f"{n}: {v}" for n, v in response.headers)
            text = response.body.decode("utf-8", "replace")
            answer = f"HTTP/1.1 {response.status}\n{fields}\n\n{text}"
            assert _shows(finding, answer), (finding.cause, finding.shows)


def test_bodies_are_bounded_and_say_how_long_they_were() -> None:
    """A long body is cut where it would fill the report, with its whole length."""
    assert evidence.text_of(b"x" * 9000).endswith("… (9000 bytes)")
    assert evidence.text_of(b"\xff{}") == "\\xff{}"
    assert evidence.text_of(b"short") == "short"


def test_an_exchange_is_shown_as_it_went_over_the_wire() -> None:
    """Request and answer stand with line, fields and body; on a terminal in two lines."""
    shown = evidence.Shown(
        at=0, who="a", method="POST", target="/v1/x", headers=(("content-type", "a/b"),),
        body='{"a": 1}\n', status=200, answer_headers=(("x", "y"),), answer_body="\x1b[31mno",
    )  # fmt: skip
    assert list(shown.lines())[:3] == ["> POST /v1/x", "> content-type: a/b", '> {"a": 1}']
    assert list(shown.short()) == ['> POST /v1/x {"a": 1}', "< 200 ·[31mno"]
