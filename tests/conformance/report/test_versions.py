"""What got better and worse between releases of one SDK, as a value and in every report."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from conformance.cases import CaseResult
from conformance.claims import Early, Leaked, NotRetried, WrongClass
from conformance.report import html, markdown, text
from conformance.report.exit import decide
from conformance.report.results import Results, SubjectEntry, summarise
from conformance.report.run import make
from conformance.report.versions import Change, History, histories
from conformance.verdict import Finding, Verdict
from specs.catalogue import requirements


def release(version: str, *causes: str, verdict: Verdict | None = None) -> SubjectEntry:
    """A judged release: each case `a.CAUSE` of the four fails for the causes that it shows."""
    results = []
    for name in ("one", "two", "three", "four"):
        shown = name in causes
        found = Finding("RT1", f"sends {name} too many", operation="add", cause=name)
        made = Verdict.FAIL if shown else (verdict or Verdict.PASS)
        findings = (found.at(case=f"a.{name}"),) if shown else ()
        results.append(CaseResult(f"a.{name}", ("RT1",), made, operation="add", findings=findings))
    return summarise("sdk", "demo", "some-sdk", results, requirements(), version=version)


def run(*subjects: SubjectEntry) -> Results:
    """A complete run of some subjects."""
    return make(subjects, started="", seconds=1, seed=0, command=())


def only(*subjects: SubjectEntry) -> History:
    """The one package of a run."""
    (found,) = histories(subjects)
    return found


def causes(history: History, at: int, change: Change) -> set[str]:
    """The causes that one step changed so."""
    return {row.finding.cause for row in history.steps[at].rows[change]}


def test_releases_are_compared_in_version_order() -> None:
    """0.10 comes after 0.9, whatever the order of the command line."""
    found = only(release("0.10", "two"), release("0.2", "one", "three"), release("0.9", "one"))
    assert ("0.2", "0.9", "0.10") == found.releases
    assert [("0.2", "0.9"), ("0.9", "0.10")] == [(s.older, s.newer) for s in found.steps]


def test_gone_new_and_unchanged_are_told_apart() -> None:
    """A finding of one release only is gone or new; one of both is unchanged."""
    found = only(release("1", "one", "two"), release("2", "two", "three"))
    assert {"one"} == causes(found, 0, Change.GONE)
    assert {"three"} == causes(found, 0, Change.NEW)
    assert {"two"} == causes(found, 0, Change.SAME)
    assert "1 gone, 1 new, 1 unchanged" == found.steps[0].summary()


def test_what_was_not_judged_is_not_called_mended() -> None:
    """A finding is gone only where the case that shows it was judged on the newer release."""
    for verdict in (Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE, Verdict.ERROR):
        found = only(release("1", "one"), release("2", verdict=verdict))
        assert {"one"} == causes(found, 0, Change.UNCLEAR)
        assert not causes(found, 0, Change.GONE)


def test_one_release_has_no_history() -> None:
    """One release, or a package that could not be judged, is compared with nothing."""
    bare = release("2").model_copy(update={"cases": ()})
    assert () == histories([release("1", "one"), bare])


def test_equal_versions_are_named_by_where_they_came_from() -> None:
    """A checkout beside the release of the same version is told apart by what was asked for."""
    checkout = release("1").model_copy(update={"details": {"subject": "./mine"}})
    assert "1 (./mine)" == only(release("1", "one"), checkout).releases[1]


def test_every_report_shows_what_changed() -> None:
    """Console, Markdown and page each say what is gone and what is new, and link to the proof."""
    made = run(release("1", "one", "two"), release("2", "two", "three"))
    out = io.StringIO()
    text.show(Console(file=out, width=160), made, decide(made))
    page = html.render(made, decide(made))
    for shown in (out.getvalue(), markdown.render(made, decide(made)), page):
        assert "1 → 2: 1 gone, 1 new, 1 unchanged" in shown
    assert "- gone MUST RT1 sends one too many" in out.getvalue()
    for subject in made.subjects:
        for finding in subject.findings:
            target = f"sdk-some-sdk--{subject.version}-demo-{finding.id}"
            assert 1 == page.count(f'id="{target}"')


def test_reports_of_one_release_have_no_such_part() -> None:
    """Where there is nothing to compare, nothing is said about it."""
    made = run(release("1", "one"))
    assert "Between releases" not in markdown.render(made, decide(made))
    assert "Between releases" not in html.render(made, decide(made))


LEAK = Finding.of("ER9", Leaked("E", "httpx.ReadError", "transport", "a reset", "E"))
CLASS = Finding.of("ER15", WrongClass("NetworkError", "E", "network", "a reset"))
ONCE = Finding.of("RT5", NotRetried("429", "status 429", "3", "status 429", "raised E"))
RANGE = ONCE.claiming(NotRetried("5XX", "status 5XX", "3", "status 503", "raised E"))
HASTY = Finding.of("RA4", Early(2, 2.0, "", 1.0, True)).at(answers=("429", "200"))
LEAK, CLASS, ONCE, RANGE, HASTY = (f.at(operation="add") for f in (LEAK, CLASS, ONCE, RANGE, HASTY))


def found_in(version: str, finding: Finding) -> SubjectEntry:
    """A release whose one case shows one finding."""
    made = CaseResult(
        "a.case", ("RA4", "RT5", "ER9", "ER15"), Verdict.FAIL, operation="add",
        findings=(finding.at(case="a.case"),),
    )  # fmt: skip
    return summarise("sdk", "demo", "some-sdk", [made], requirements(), version=version)


@pytest.mark.parametrize(
    ("older", "newer", "change"),
    [
        (LEAK, CLASS, Change.UNCLEAR),
        (ONCE, HASTY, Change.UNCLEAR),
        (RANGE, HASTY, Change.NEW),
        (RANGE, HASTY.at(answers=("503", "200")), Change.UNCLEAR),
        (LEAK, HASTY, Change.NEW),
        (LEAK.at(operation="get"), CLASS, Change.NEW),
        (LEAK.claiming(replace(LEAK.claim, family="shape")), CLASS, Change.NEW),
    ],
)
def test_what_another_finding_hides_is_not_new(
    older: Finding, newer: Finding, change: Change
) -> None:
    """A release that leaked, or sent once, shows nothing of what would have come otherwise."""
    history = only(found_in("1", older), found_in("2", newer))
    assert newer.cause in causes(history, 0, change)


def test_a_requirement_behind_a_leak_is_not_passed() -> None:
    """Which class a broken connection raises is open while a foreign exception comes out."""
    verdicts = {r.id: r.verdict for r in found_in("1", LEAK).requirements}
    assert verdicts["ER15"] is Verdict.INCONCLUSIVE
    assert verdicts["RA4"] is Verdict.PASS
