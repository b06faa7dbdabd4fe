"""What is inconclusive: grouped by what was missing, with the option or key that settles it."""

from __future__ import annotations

import io

from rich.console import Console

import specs
from conformance.cases import Case, CaseResult, execute
from conformance.report import markdown, text
from conformance.report.exit import decide
from conformance.report.notes import notes
from conformance.report.results import SubjectEntry, summarise
from conformance.report.run import make
from conformance.verdict import Finding, Inconclusive, Need, Verdict
from specs.catalogue import requirements

REACH = "--max-requests {amount} or a key with a lower limit"


def reach(amount: float) -> Need:
    """The need of a limit that takes so many requests."""
    return Need("a rate limit within reach", REACH, amount)


def result(*about: str, need: Need | None = None, why: str = "no reason") -> CaseResult:
    """An inconclusive case of some requirements."""
    return CaseResult("a.b", about, Verdict.INCONCLUSIVE, why, need=need)


def judged(*results: CaseResult) -> SubjectEntry:
    """A backend whose cases came to these results."""
    return summarise("backend", "demo", "127.0.0.1", results, requirements())


def test_one_line_says_what_settles_all_requirements_of_a_cause() -> None:
    """Requirements are counted once over all cases, and the largest amount is told."""
    made = judged(
        result("RL1", "RL2", need=reach(900)), result("RL2", "RL3", need=reach(6051)),
        result("IS1", need=Need("API keys of {amount} tenants", "--api-key {amount} times", 2)),
    )  # fmt: skip
    assert list(notes(made)) == [
        "3 requirements (RL1, RL2, RL3) need a rate limit within reach: "
        "give --max-requests 6051 or a key with a lower limit",
        "1 requirement (IS1) needs API keys of 2 tenants: give --api-key 2 times",
    ]


def test_what_another_case_decided_is_not_open() -> None:
    """A requirement that is broken needs nothing more, whatever one of its cases lacked."""
    broken = CaseResult("c.d", ("RL1",), Verdict.FAIL, findings=(Finding("RL1", "is wrong"),))
    made = judged(result("RL1", need=reach(900)), broken)
    assert made.needs == ()


def test_a_reason_without_a_remedy_is_told_as_it_is() -> None:
    """Reasons are grouped, the most frequent first, after what a person can settle."""
    many = [result(f"RL{n}", why=f"reason {n}") for n in range(1, 9)]
    lines = list(notes(judged(*many, result("ST1", "ST2", why="nobody reads it"))))
    assert lines[0] == "2 requirements (ST1, ST2) are open: nobody reads it"
    assert lines[1] == "1 requirement (RL1) is open: reason 1"
    assert lines[-1] == "4 more reasons for open requirements are in results.json"


def test_what_a_case_lacks_is_kept_with_its_result() -> None:
    """The need that a case raises is in its result; a plain reason has none."""

    class Idle:
        contract = specs.load(specs.names()[0])
        exchanged = 0
        virtual_seconds = 0.0

    def lacking(subject: object) -> list[Finding]:
        raise Inconclusive("too much", reach(7))

    made = execute(Case("a.b", "backend", ("RL1",), "It lacks.", lacking), Idle())
    assert (made.verdict, made.reason, made.need) == (Verdict.INCONCLUSIVE, "too much", reach(7))


def test_every_report_teaches() -> None:
    """The terminal and the summary for a pull request tell the same line."""
    run = make(
        [judged(result("RL1", need=reach(6051)))], started="2026-01-01T00:00:00+00:00", seconds=1,
        seed=0, command=[],
    )  # fmt: skip
    wanted = "--max-requests 6051 or a key with a lower limit"
    console = Console(file=io.StringIO(), width=300, record=True)
    text.show(console, run, decide(run))
    assert wanted in console.export_text()
    assert wanted in markdown.render(run, decide(run))
