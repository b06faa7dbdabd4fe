"""Waivers: what is new, wider, expired, gone and not observed, and the commands that keep them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conformance.cli import app
from conformance.report import baseline as known
from conformance.report.baseline import compare
from conformance.report.exit import Exit, decide
from conformance.report.results import summarise
from conformance.report.waiver import Baseline, FailOn
from conformance.verdict import Verdict
from specs import Basis
from specs.catalogue import requirements
from tests.judged_results import case, finding, results, subject


def dated(baseline: Baseline, **fields: object) -> Baseline:
    """A baseline whose waivers all have some fields."""
    return Baseline(waivers=tuple(w.model_copy(update=fields) for w in baseline.waivers))


ONE = results(subject(case("a.b", finding())))


def test_a_backend_is_known_on_any_port() -> None:
    """A waiver of a backend holds wherever the backend listens."""
    here, there = (
        results(
            summarise(
                "backend", "demo", f"127.0.0.1:{port}", [case("a.b", finding())], requirements()
            )
        )
        for port in (8751, 8752)
    )
    assert Exit.CONFORMS == decide(there, compare(there, known.of(here))).code


def test_a_new_release_keeps_its_waivers() -> None:
    """A version bump of an SDK makes no finding new."""
    bumped = results(subject(case("a.b", finding()), version="1.1"))
    assert () == compare(bumped, known.of(ONE)).new


def test_a_waiver_may_name_versions() -> None:
    """A finding of one release of two is waived for that release alone."""
    both = results(subject(case("a.b", finding()), version="1"), subject(case("a.b"), version="2"))
    accepted = known.of(both)
    assert ("1",) == accepted.waivers[0].versions
    later = results(subject(case("a.b", finding()), version="2"))
    assert 1 == len(compare(later, accepted).new)


@pytest.mark.parametrize(
    "ran",
    [
        (),
        (case("a.b", verdict=Verdict.INCONCLUSIVE, reason="no network"),),
        (case("a.b", verdict=Verdict.NOT_APPLICABLE),),
        (case("a.b"), case("a.b", verdict=Verdict.INCONCLUSIVE, reason="slow")),
    ],
)
def test_what_did_not_run_is_never_gone(ran: tuple[object, ...]) -> None:
    """A waiver whose case did not run, or was inconclusive, is not observed and stays."""
    made = results(subject(case("c.d"), *ran))
    comparison = compare(made, known.of(ONE))
    assert () == comparison.gone
    assert 1 == len(comparison.unobserved)
    assert Exit.STALE_BASELINE != decide(made, comparison).code


def test_gone_needs_a_case_that_passed() -> None:
    """A waiver whose case ran and passed is gone, exits 4, and is named."""
    made = results(subject(case("a.b")))
    decision = decide(made, compare(made, known.of(ONE)))
    assert Exit.STALE_BASELINE == decision.code
    assert "sends once more than promised" in decision.reason


def test_an_expired_waiver_fails_and_names_its_owner() -> None:
    """A waiver past its last day fails the run, and the reason names who answers for it."""
    accepted = dated(known.of(ONE), expires=date(2025, 12, 31), owner="ann")
    decision = decide(ONE, compare(ONE, accepted))
    assert Exit.DEVIATES == decision.code
    assert "ann" in decision.reason
    assert "2025-12-31" in decision.reason


@pytest.mark.parametrize(("day", "warned"), [(date(2026, 1, 14), 1), (date(2026, 2, 14), 0)])
def test_a_waiver_warns_two_weeks_before_its_end(day: date, warned: int) -> None:
    """A waiver that ends within 14 days is told, and the run stays green."""
    comparison = compare(ONE, dated(known.of(ONE), expires=day))
    assert warned == len(comparison.expiring)
    assert Exit.CONFORMS == decide(ONE, comparison).code


def test_a_waiver_that_matches_nothing_is_told() -> None:
    """A waiver for a subject that the run lacks is listed apart."""
    other = results(subject(case("a.b"), name="other"))
    assert 1 == len(compare(other, known.of(ONE)).unmatched)


@pytest.mark.parametrize(
    ("bar", "basis", "code"),
    [
        (FailOn.MUST, Basis.OBSERVED, Exit.CONFORMS),
        (FailOn.SHOULD, Basis.OBSERVED, Exit.DEVIATES),
        (FailOn.SHOULD, Basis.ASSUMED, Exit.CONFORMS),
        (FailOn.MAY, Basis.ASSUMED, Exit.DEVIATES),
        (FailOn.NEW, Basis.ASSUMED, Exit.DEVIATES),
    ],
)
@pytest.mark.parametrize("against", [False, True])
def test_the_bar_decides_which_findings_fail(
    bar: FailOn, basis: Basis, code: Exit, against: bool
) -> None:
    """`--fail-on` sets the level at which a finding without a waiver fails the run."""
    made = results(subject(case("a.b", finding(basis=basis))))
    comparison = compare(made, Baseline()) if against else None
    assert code == decide(made, comparison, bar).code


def test_updating_keeps_what_people_wrote() -> None:
    """An update adds what is new and keeps owner, reason, ticket and days."""
    old = dated(known.of(ONE), owner="ann", reason="vendor", since=date(2025, 1, 1))
    grown = results(subject(case("a.b", finding(), finding("two"))), started="2026-02-01T00:00:00Z")
    fresh = known.updated(old, grown)
    kept = next(w for w in fresh.waivers if w.id == old.waivers[0].id)
    assert ("ann", "vendor", date(2025, 1, 1)) == (kept.owner, kept.reason, kept.since)
    assert date(2026, 2, 1) == kept.last_seen
    assert 2 == len(fresh.waivers)


@pytest.mark.parametrize("name", ["known.json", "known.toml"])
def test_a_baseline_is_read_back_as_written(tmp_path: Path, name: str) -> None:
    """JSON and TOML hold the same waivers."""
    accepted = dated(known.of(ONE), owner="ann", expires=date(2027, 1, 1))
    path = tmp_path / name
    path.write_text(known.dump(accepted, path.suffix), "utf-8")
    assert accepted == known.read(path)


def test_the_first_form_is_read(tmp_path: Path) -> None:
    """A baseline of the first form still covers its findings, on any port and in any version."""
    entry = ONE.subjects[0].findings[0]
    written = {"id": entry.id, "requirement": "RT1", "message": entry.message}
    path = tmp_path / "old.json"
    path.write_text(
        json.dumps({
            "schema": "memconform.baseline/1",
            "subjects": {"sdk some-sdk==0.9": [written], "backend demo": [{**written, "id": "x"}]},
        })
    )  # fmt: skip
    accepted = known.read(path)
    backend = summarise("backend", "demo", "h:1", [case("a.b", finding())], requirements())
    comparison = compare(results(ONE.subjects[0], backend), accepted)
    assert () == comparison.new
    assert 2 == len(comparison.known)


def test_the_commands_keep_a_baseline(tmp_path: Path) -> None:
    """`write`, `update`, `prune`, `check` and `show` work on files, and say what they did."""
    run, file = tmp_path / "results.json", tmp_path / "known.toml"
    run.write_text(ONE.model_dump_json(by_alias=True))
    typed = CliRunner().invoke
    assert 0 == typed(app, ["baseline", "write", str(run), "--to", str(file)]).exit_code
    assert "sends once more" in typed(app, ["baseline", "show", str(file)]).stdout
    assert 0 == typed(app, ["baseline", "check", str(file)]).exit_code
    file.write_text(known.dump(dated(known.read(file), expires=date(2020, 1, 1)), ".toml"))
    assert 4 == typed(app, ["baseline", "check", str(file)]).exit_code
    assert "0 added" in typed(app, ["baseline", "update", str(run), str(file)]).stdout
    run.write_text(results(subject(case("a.b"))).model_dump_json(by_alias=True))
    assert "1 removed, 0 kept" in typed(app, ["baseline", "prune", str(run), str(file)]).stdout
    assert () == known.read(file).waivers


def test_a_branch_is_held_beside_another() -> None:
    """Beside an earlier run, what is new fails, and what is gone is good news."""
    better, worse = results(subject(case("a.b"))), results(subject(case("a.b", finding("two"))))
    assert Exit.CONFORMS == decide(better, known.beside(better, ONE)).code
    assert 1 == len(known.beside(better, ONE).gone)
    assert Exit.DEVIATES == decide(worse, known.beside(worse, ONE)).code


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe", b"[", b"[]", b"null", b"3", b"[" * 100_000, b'{"schema": 1}',
     b'{"schema": "memconform.baseline/2", "waivers": 3}',
     b'{"schema": "memconform.baseline/2", "waivers": [{"id": null}]}',
     b'{"schema": "memconform.baseline/2", "waivers": [{"id": "\\ud800"}]}',
     b'{"schema": "memconform.baseline/1", "subjects": {"x": "\\udfff"}}'],
    ids=range(12),
)  # fmt: skip
@pytest.mark.parametrize("name", ["x.json", "x.toml"])
def test_what_is_no_baseline_is_refused_with_its_name(
    text: bytes, name: str, tmp_path: Path
) -> None:
    """Cut, of wrong types, not UTF-8, too deep or with half characters: told, and no crash."""
    path = tmp_path / name
    path.write_bytes(text)
    if text or name == "x.json":  # an empty TOML file is a baseline that lists nothing
        with pytest.raises(known.BaselineError, match=name):
            known.read(path)
