"""`--failed RESULTS`: only what failed an earlier run is judged again."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance import rerun
from conformance.report import baseline, write
from conformance.run import Part, again
from conformance.subjects import Usage, narrowed
from conformance.verdict import Verdict
from tests.judged_results import case, finding, results, subject


def test_cases_with_findings_and_errors_run_again() -> None:
    """A failed case and one that ended in an error are chosen; one that passed is not."""
    judged = subject(
        case("a.fails", finding()), case("b.passes"), case("c.breaks", verdict=Verdict.ERROR)
    )
    assert rerun.failed(results(judged), "sdk", "some-sdk") == ["c.breaks", "a.fails"]
    assert rerun.failed(results(judged), "sdk", "some-sdk==1.0") == ["c.breaks", "a.fails"]


def test_known_deviations_did_not_fail() -> None:
    """With the waivers of its run, only what is new counts as failed."""
    known = results(subject(case("a.known", finding("one"))))
    both = results(subject(case("a.known", finding("one")), case("b.new", finding("two"))))
    held = both.model_copy(update={"baseline": baseline.of(known)})
    assert rerun.failed(held, "sdk", "some-sdk") == ["b.new"]


def test_what_was_not_judged_is_said() -> None:
    """A subject that the earlier run did not judge is a mistake, told with what it did judge."""
    with pytest.raises(rerun.NotJudged, match=r"no backend 'demo'; it judged sdk some-sdk==1\.0"):
        rerun.failed(results(subject(case())), "backend", "demo")


def test_options_are_narrowed_to_subjects_and_cases() -> None:
    """Of several SDKs, those without a failed case are left out."""
    earlier = results(
        subject(case("a.fails", finding())), subject(case("b.passes"), name="other-sdk")
    )
    given = {"sdk": ["some-sdk==1.0", "other-sdk"], "case": [], "failed": Path("results.json")}
    made = narrowed(given, earlier)
    assert (made["sdk"], made["case"]) == (["some-sdk==1.0"], ["a.fails"])
    with pytest.raises(rerun.NothingFailed):
        narrowed({**given, "sdk": ["other-sdk"]}, earlier)
    with pytest.raises(Usage, match=r"--failed results\.json: it judged no sdk 'third'"):
        narrowed({**given, "sdk": ["third"]}, earlier)


def test_parts_of_a_whole_run_are_narrowed() -> None:
    """`run --failed` keeps the parts that failed, with their cases."""
    earlier = results(subject(case("a.fails", finding())))
    parts = [
        Part("sdk", "demo", "some-sdk", ("sdk", "some-sdk==1.0"), "1.0"),
        Part("backend", "demo", "embedded", ("backend",)),
    ]
    [left] = again(parts, earlier)
    assert left.arguments == ("sdk", "some-sdk==1.0", "--case", "a.fails")


def test_nothing_failed_is_exit_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says that there is nothing to judge again, and asks no server."""
    from typer.testing import CliRunner

    from conformance.cli import app

    write.results(tmp_path, results(subject(case("b.passes"))))
    file = str(tmp_path / "results.json")
    done = CliRunner().invoke(app, ["sdk", "some-sdk", "--failed", file])
    assert done.exit_code == 0, done.output
    assert "nothing failed" in done.output + capsys.readouterr().err
    both = CliRunner().invoke(app, ["sdk", "some-sdk", "--failed", file, "--case", "a"])
    assert both.exit_code == 2
