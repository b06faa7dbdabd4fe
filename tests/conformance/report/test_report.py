"""Results, baseline, exit codes and the reports derived from them."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import jsonschema_rs
import pytest
from rich.console import Console

from conformance.cases import CaseResult
from conformance.report import baseline as known
from conformance.report import html, markdown, text, write
from conformance.report.baseline import BaselineError, compare
from conformance.report.exit import Exit, decide
from conformance.report.results import summarise
from conformance.report.run import redact
from conformance.verdict import Verdict
from specs import Basis
from specs.catalogue import requirements
from specs.sources import spelt
from tests.judged_results import case, finding, results, subject


def test_findings_of_one_cause_are_one_entry() -> None:
    """Findings with the same requirement and cause are counted, not repeated."""
    made = subject(case("a.b", finding(), finding()), case("c.d", finding(), finding("two")))
    assert {"one": 3, "two": 1} == {f.cause: f.count for f in made.findings}


def test_finding_ids_survive_another_version() -> None:
    """A finding keeps its id when the subject's version changes."""
    before = summarise("sdk", "demo", "s", [case("a.b", finding())], requirements(), version="1")
    after = summarise("sdk", "demo", "s", [case("a.b", finding())], requirements(), version="2")
    assert before.findings[0].id == after.findings[0].id


def test_requirement_without_finding_passes_in_a_failed_case() -> None:
    """A case that fails one of its requirements does not fail the others."""
    result = CaseResult("a.b", ("RT1", "RT5"), Verdict.FAIL, findings=(finding(),))
    made = subject(result)
    assert {"RT1": Verdict.FAIL, "RT5": Verdict.PASS} == {
        r.id: r.verdict for r in made.requirements
    }


@pytest.mark.parametrize(
    ("basis", "code"),
    [
        (Basis.DOCUMENTED, Exit.DEVIATES),
        (Basis.OBSERVED, Exit.CONFORMS),
        (Basis.ASSUMED, Exit.CONFORMS),
    ],
)
def test_only_documented_promises_fail_a_run(basis: Basis, code: Exit) -> None:
    """A broken MUST fails a run; observed and assumed behaviour is reported and does not."""
    made = results(subject(case("a.b", finding(basis=basis))))
    assert code == decide(made).code


def test_no_subject_is_too_little_evidence() -> None:
    """An empty run is never green."""
    assert Exit.TOO_LITTLE_EVIDENCE == decide(results()).code


def test_inconclusive_cases_are_too_little_evidence() -> None:
    """A subject of which less than half could be judged is not called conforming."""
    vague = case("a.b", verdict=Verdict.INCONCLUSIVE, reason="answers 401 to everything")
    decision = decide(results(subject(vague, vague, case())))
    assert Exit.TOO_LITTLE_EVIDENCE == decision.code
    assert "answers 401 to everything" in decision.reason


def test_crash_of_ours_is_an_error() -> None:
    """A crash of a case is our error even where the subject broke promises too."""
    crash = case("c.d", verdict=Verdict.ERROR, reason="KeyError: 'x'")
    assert Exit.ERROR == decide(results(subject(case("a.b", finding()), crash))).code


def test_interrupted_run_is_an_error() -> None:
    """A partial result is marked and never green."""
    assert Exit.ERROR == decide(results(subject(case()), complete=False)).code


def test_baseline_accepts_what_it_lists() -> None:
    """The same findings as in the baseline are known, and the run is green."""
    made = results(subject(case("a.b", finding())))
    comparison = compare(made, known.of(made))
    assert Exit.CONFORMS == decide(made, comparison).code
    assert 1 == len(comparison.known)


def test_new_finding_fails_against_a_baseline() -> None:
    """A finding that the baseline does not list exits 1, whatever its level."""
    accepted = known.of(results(subject(case("a.b", finding()))))
    made = results(subject(case("a.b", finding(), finding("two", basis=Basis.ASSUMED))))
    assert Exit.DEVIATES == decide(made, compare(made, accepted)).code


def test_vanished_finding_makes_the_baseline_stale() -> None:
    """A finding that is gone exits 4: a baseline must stay honest."""
    accepted = known.of(results(subject(case("a.b", finding()), case("c.d", finding("two")))))
    made = results(subject(case("a.b", finding()), case("c.d")))
    assert Exit.STALE_BASELINE == decide(made, compare(made, accepted)).code


def test_unjudged_subject_does_not_make_the_baseline_stale() -> None:
    """A subject that could not be judged says nothing about its findings being gone."""
    accepted = known.of(results(subject(case("a.b", finding()))))
    made = results(subject(case("a.b", verdict=Verdict.INCONCLUSIVE, reason="no network")))
    assert () == compare(made, accepted).gone


def test_baseline_reads_what_it_dumps(tmp_path: Path) -> None:
    """A written baseline is read back the same."""
    baseline = known.of(results(subject(case("a.b", finding()))))
    path = tmp_path / "baseline.json"
    path.write_text(known.dump(baseline), "utf-8")
    assert baseline == known.read(path)


@pytest.mark.parametrize("content", [None, "{", '{"schema": 1}'])
def test_bad_baseline_is_named(tmp_path: Path, content: str | None) -> None:
    """A baseline that is missing or broken is an error that names the file."""
    path = tmp_path / "baseline.json"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(BaselineError, match=r"baseline\.json"):
        known.read(path)


def test_results_validate_against_their_schema() -> None:
    """results.json is valid under the JSON Schema that the package publishes."""
    made = results(subject(case("a.b", finding(expected={"x": [1]}, timeline=("+0.0 GET /",)))))
    validator = jsonschema_rs.validator_for(json.loads(write.schema()))
    assert [] == list(validator.iter_errors(json.loads(made.model_dump_json(by_alias=True))))


def test_published_schema_is_current() -> None:
    """The schema file in the package is the one that the models generate."""
    path = Path(write.__file__).parent / "results.schema.json"
    assert write.schema() == path.read_text("utf-8")


def test_unwritable_output_is_said(tmp_path: Path) -> None:
    """An output folder that cannot be written is an error that names it and what to do."""
    blocked = tmp_path / "file"
    blocked.write_text("", "utf-8")
    with pytest.raises(write.OutputError, match="--out"):
        write.probe(blocked)


def test_a_full_disk_is_said_by_name() -> None:
    """A file that the disk has no room for is named, and a device is written into, not replaced."""
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(write.OutputError, match=r"/dev/full: No space left.* --to"):
        write.file(full, "text", "--to")
    assert full.is_char_device()


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the new text cannot be put in place, the old file is whole and nothing lies beside."""
    kept = tmp_path / "known.json"
    write.file(kept, "old", "--to")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(write.OutputError, match=r"known\.json"):
        write.file(kept, "new", "--to")
    assert ["old"] == [p.read_text("utf-8") for p in tmp_path.iterdir()]


def test_page_escapes_what_a_subject_said() -> None:
    """Markup in what a subject said arrives as text."""
    evil = "<script>alert(1)</script>"
    made = results(
        subject(case("a.b", finding(message=evil, actual=evil, timeline=(evil,))), name=evil)
    )
    page = html.render(made, decide(made))
    assert evil not in page
    assert "&lt;script&gt;" in page


def test_page_names_a_document_as_its_maintainers_do() -> None:
    """Where a promise stands is said by package and version, not by our own number for it."""
    place = "002_d3cf2a5acba3ba5a § Retries"
    said = finding(expected=f"3 attempts (documented: {place})", source=place)
    page = html.render(made := results(subject(case("a.b", said))), decide(made))
    assert page.count("claiv-memory 0.2.1 § Retries") == 2
    assert "002_d3cf" not in page
    assert spelt("009_0123456789abcdef § X") == "009_0123456789abcdef § X"


def test_page_loads_nothing_from_elsewhere() -> None:
    """The page is self-contained: one script of its own, and nothing that a browser would fetch."""
    page = html.render(made := results(subject(case("a.b", finding()))), decide(made))
    assert page.count("<script") == 1
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "src=" not in page


def test_markdown_escapes_what_a_subject_said() -> None:
    """A subject's text cannot break out of the Markdown table or become a link."""
    made = results(subject(case("a.b", finding(message="a | b [x](y) <b>"))))
    shown = markdown.render(made, decide(made))
    assert r"a \| b \[x\](y) \<b\>" in shown


def test_console_report_ends_with_what_to_open(tmp_path: Path) -> None:
    """The last line says the verdict, why, and which file to open."""
    console = Console(record=True, width=200)
    made = results(subject(case("a.b", finding(message="[bold]not markup[/bold]"))))
    text.show(console, made, decide(made), out=tmp_path)
    lines = console.export_text().strip().splitlines()
    assert "exit 1" in lines[-1]
    assert "report.html" in lines[-1]
    assert any("[bold]not markup[/bold]" in line for line in lines)


def test_keys_are_redacted() -> None:
    """Keys stand neither in the command nor anywhere a subject echoed them."""
    made = results(
        subject(case("a.b", finding(message="refused sk_secret_1"))),
        command=["memconform", "--api-key", "sk_secret_1", "--api-key=sk_secret_1"],
        secrets=["sk_secret_1"],
    )
    assert "sk_secret_1" not in made.model_dump_json()


def test_a_key_that_ends_in_an_equals_sign_is_hidden_and_nothing_else() -> None:
    """Base64 keys end in `=`: what is hidden is the key, not the nothing that follows it."""
    assert ("load", "***", "x") == redact(["load", "c2VjcmV0a2V5=", "x"], ["c2VjcmV0a2V5="])


def test_redaction_knows_the_option() -> None:
    """What follows --api-key is hidden even where the key is not known."""
    assert ("--api-key", "***", "x") == redact(["--api-key", "k", "x"], [])


def test_what_a_run_left_and_would_have_noticed_is_told_everywhere(tmp_path: Path) -> None:
    """Leftovers and sensitivity stand in the words, the page and the summary; many are counted."""
    details = {"leftovers": [f"thing <{n}>" for n in range(30)],
               "sensitivity": {"line": "would have noticed 40 of 41 kinds"}}  # fmt: skip
    made = results(subject(case("a.b")).model_copy(update={"details": details}))
    console = Console(record=True, width=200)
    text.show(console, made, decide(made), out=tmp_path)
    told = console.export_text()
    page, summary = html.render(made, decide(made)), markdown.render(made, decide(made))
    for said, escaped in ((told, "thing <0>"), (page, "thing &lt;0&gt;"), (summary, "thing \\<0")):
        assert escaped in said
        assert "and 10 more" in said
        assert "would have noticed 40 of 41 kinds" in said


@pytest.mark.parametrize("width", [40, 80, 120, 160])
def test_no_terminal_hides_a_failure(width: int) -> None:
    """Every count of every concern is shown, whatever the width: in a table or in a list."""
    judged = [case("a.b", finding())]
    for number, requirement in enumerate(("ER1", "RL1", "PG1", "IK1", "WR1", "CT1", "ST1", "RB1")):
        broken = finding(f"c{number}", requirement=requirement)
        judged.append(dataclasses.replace(case("c.d", broken), requirements=(requirement,)))
    made = results(subject(*judged, name="a-package-with-a-long-name"))
    console = Console(record=True, width=width)
    text.show(console, made, decide(made))
    told = console.export_text()
    assert 9 == told.partition("requirements:")[0].count("1✗")
    assert "a-package-with-a-long-name==1.0" in told


@pytest.mark.parametrize("accepted", [False, True])
def test_every_report_says_what_comes_next(accepted: bool) -> None:
    """A red run names the command that accepts or mends; a green one asks for nothing."""
    made = results(subject(case("a.b", finding())))
    comparison = compare(made, known.of(made)) if accepted else None
    decision = decide(made, comparison)
    console = Console(record=True, width=200)
    text.show(console, made, decision, comparison)
    for said in (
        console.export_text(),
        html.render(made, decision, comparison),
        markdown.render(made, decision, comparison),
    ):
        assert ("baseline write" in said) is not accepted


def test_a_cell_of_the_page_leads_to_its_first_finding() -> None:
    """A red count of the page is a link to the gravest finding of its concern."""
    made = results(subject(case("a.b", finding())))
    page = html.render(made, decide(made))
    target = f"some-sdk--1-0-demo-{made.subjects[0].findings[0].id}"
    assert f'href="#sdk-{target}"' in page
    assert f'id="sdk-{target}"' in page
