"""What a backend finding carries: its own exchanges in full, and what shows it again by itself."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest

import specs
from conformance import evidence
from conformance.backend.judging import judge
from conformance.backend.spelling import spelt
from conformance.backend.suite import run
from conformance.backend.teeth import judged
from conformance.history import Exchange
from conformance.programs import LINES_MAX, Looks, Moment, Step, curl, program
from conformance.reference.backend.defects import DEFECTS
from conformance.reference.defects import Defects
from conformance.verdict import Finding
from tests.bench.evidence import findings_of, problem_of

SHOWN = (
    "accept.missing-parameter", "accept.missing-field", "answer.null",
    "answer.html-type", "error.one-code-for-all", "error.request-id-missing",
    "error.unknown-id-is-400", "auth.not-checked",
)  # fmt: skip
PROGRAMS = (
    "accept.missing-field", "auth.prefix-compared", "keys.revoked-works", "page.gap",
    "error.rejected-yet-changed",
)  # fmt: skip
"""Defects that one request, a made key, a walk and a refused change show."""
ALONE = ("CT1", "CT2", "CT3", "CT6", "CT7", "ER4", "ER6", "ER7")
"""Requirements that one answer can break by itself."""


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


@pytest.mark.parametrize("defect", PROGRAMS)
def test_a_program_ends_with_one_there_and_with_zero_on_the_reference(defect: str) -> None:
    """What a reader runs shows the fault where it is, and nothing where it is not."""
    named = next(d for d in DEFECTS if d.id == defect)
    with judged(named.api, defects=Defects.of([defect])) as bad, judged(named.api) as good:
        found_ = findings_of(named, bad)
        assert found_
        assert [(f.cause, problem) for f in found_ if (problem := problem_of(f, bad, good))] == []
        assert bad.keys["a"] not in repr(found_)


@pytest.mark.parametrize(
    ("value", "source"),
    [
        ("Bearer secret-of-a", "'Bearer ' + key[\"KEY\"]"),
        ("Basic secret-of-a", "'Basic ' + key[\"KEY\"]"),
        ("secret-of-b", 'key["KEY_B"]'),
        ("Bearer secret-of-x", "'Bearer ' + key[\"KEY\"][:10] + 'x'"),
        ("Bearer SECRET-OF-A", "'Bearer ' + key[\"KEY\"].swapcase()"),
        ("Bearer ", "'Bearer '"),
        ("Bearer memconform-no-key", "'Bearer memconform-no-key'"),
        ("Bearer something-else", ""),
    ],
)
def test_a_key_is_spelt_from_the_environment_or_not_at_all(value: str, source: str) -> None:
    """No program holds a key, and one that nobody can derive is nowhere written down."""
    keys = {"a": "secret-of-a", "b": "secret-of-b"}
    assert spelt(value, keys, "Bearer ") == source


def test_a_step_is_a_line_for_a_shell_where_a_shell_can_say_it() -> None:
    """The key comes from the environment; what only a program can spell is no line."""
    plain = (("authorization", "'Bearer ' + key[\"KEY\"]"),)
    step = Step(method="POST", target="/v1/x?a=b c", keys=plain, body='{"a": "it\'s"}')
    assert curl("http://h/api/", step) == (
        "curl -sS -i -X POST 'http://h/api/v1/x?a=b c' -H \"authorization: Bearer $KEY\" "
        '--data-binary \'{"a": "it\'"\'"\'s"}\''
    )
    assert curl("http://h", step.model_copy(update={"keys": (("x", 'key["KEY"][:3]'),)})) == ""


@pytest.mark.parametrize("shows", ["status == 200", "looks(0) == ['x']"])
def test_a_program_has_at_most_forty_lines_however_much_it_sends(shows: str) -> None:
    """Requests share lines where there are many, and what is sent often stands there once."""
    moments = [Moment(steps=(Step(method="GET", target=f"/v1/{n}"),)) for n in range(60)]
    made = program("http://h", "abcd1234", [*moments, *moments[:1] * 99], shows, "CT1: m", 3, 1.5)
    compile(made, "program", "exec")
    assert made.count("\n") <= LINES_MAX
    assert "* 99" in made


def test_answers_look_alike_where_only_ids_names_and_times_differ() -> None:
    """Equal places stay equal and different ones different, whatever the texts are."""

    def seen(first: str, second: str, at: str) -> list[str]:
        look = Looks()
        look.asked(f"POST /v1 {first}")
        return [look(201, f'{{"id": "{i}", "at": "{at}"}}') for i in (first, second)]

    assert seen("id-000001", "id-000002", "2026-01-01T00:00:00Z") == seen(
        "id-77777", "id-88888", "2027-01-01T00:00:00.5+01:00"
    )
    assert seen("id-000001", "id-000001", "x") != seen("id-000001", "id-000002", "x")


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
        if finding.shows and "answers" not in finding.shows:
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
