"""Gates: each breaks for its own reason, says it in words, and says nothing without evidence."""

from collections.abc import Callable

import pytest

from conformance.verdict import Finding, Verdict
from load.gates import CASES, Figures, judge
from load.record import Histogram
from load.result import entry, exit_code, sentences
from specs.catalogue import requirements
from tests.load_figures import figures, verdicts


@pytest.mark.parametrize(("late", "verdict"), [(0, Verdict.FAIL), (900_000, Verdict.INCONCLUSIVE)])
def test_one_stop_of_the_generator_is_not_the_servers(late: int, verdict: Verdict) -> None:
    """What the generator was late at a percentile itself may explain what is slow there."""

    def stopped(made: Figures) -> None:
        latency = made.profile.gates.latency.model_copy(update={"max": 0.5})
        gates = made.profile.gates.model_copy(update={"latency": latency})
        made.profile = made.profile.model_copy(update={"gates": gates})
        made.tally.lag.add([1_000] * 1_000 + [late])
        made.tally.of("search").response.add([5_000] * 1_000 + [950_000])

    assert verdicts(figures(stopped))["load.latency"] is verdict
    assert verdicts(figures(stopped))["load.generator"] is Verdict.PASS


def test_a_good_run_passes_every_gate() -> None:
    """With nothing wrong, nothing fails and nothing is left open."""
    other_kinds = {"load.against", "load.breakpoint", "load.admission", "load.pages", "load.storm"}
    found = verdicts(figures())
    assert {c for c, v in found.items() if v is Verdict.NOT_APPLICABLE} == other_kinds
    assert {v for c, v in found.items() if c not in other_kinds} == {Verdict.PASS}
    assert exit_code(entry(figures(), base_url="", wall_seconds=1)) == 0


def _slow_search(f: Figures) -> None:
    f.tally.of("search").service.counts.clear()
    f.tally.of("search").service.total = 0
    f.tally.of("search").service.add([300_000] * 40)


def _later(f: Figures, micros: int, *seconds: int) -> None:
    """Let the answers of some seconds take so long."""
    for second in seconds:
        f.tally.series.at(second).times.clear()
        f.tally.series.at(second).times.update({micros: 30})


BREAKS: list[tuple[str, Callable[[Figures], object]]] = [
    ("load.latency", lambda f: f.tally.of("add").response.add([900_000] * 5)),
    ("load.latency", _slow_search),
    ("load.drift", lambda f: _later(f, 50_000, 7, 8, 9, 10, 11, 12, 13)),
    ("load.errors", lambda f: f.tally.of("add").errors.update({"reset": 1})),
    ("load.errors", lambda f: f.tally.numbers.update({"unannounced": 60})),
    ("load.throughput", lambda f: f.tally.numbers.update({"planned": 400})),
    ("load.answers", lambda f: f.tally.saw(Finding("LD5", "wrong", cause="x"))),
    ("load.lost", lambda f: f.tally.numbers.update({"lost": 1})),
    ("load.lost", lambda f: f.tally.saw(Finding("LD6", "gone", cause="x"))),
    ("load.duplicated", lambda f: f.tally.numbers.update({"duplicated": 1})),
    ("load.duplicated", lambda f: f.tally.saw(Finding("LD7", "twice", cause="x"))),
    ("load.altered", lambda f: f.tally.numbers.update({"altered": 1})),
    (
        "load.altered",
        lambda f: f.tally.numbers.update({"resurrected": 1, "checked-resurrected": 1}),
    ),
    ("load.in-flight", lambda f: f.tally.numbers.update({"in-flight": 1})),
]


@pytest.mark.parametrize(("case", "change"), BREAKS)
def test_each_gate_breaks_for_its_own_reason(
    case: str, change: Callable[[Figures], object]
) -> None:
    """One thing wrong fails the one gate that is about it, and the exit code is 1."""
    broken = {c for c, v in verdicts(figures(change)).items() if v is Verdict.FAIL}
    assert broken == {case}
    assert exit_code(entry(figures(change), base_url="", wall_seconds=1)) == 1


UNTOLD: list[tuple[str, Callable[[Figures], object]]] = [
    ("load.generator", lambda f: f.tally.lag.add([2_000_000] * 50)),
    ("load.evidence", lambda f: setattr(f.tally.of("details"), "good", 1)),
    ("load.evidence", lambda f: setattr(f.tally.of("add"), "limited", 100)),
    ("load.complete", lambda f: setattr(f, "workers_planned", 2)),
    ("load.complete", lambda f: setattr(f, "interrupted", "stopped")),
    ("load.complete", lambda f: f.tally.stages.clear()),
]


def _few(f: Figures, slow: int) -> None:
    """Leave 60 answers, of which some are slow."""
    for tally in f.tally.operations.values():
        tally.response = Histogram()
    f.tally.of("add").response.add([5_000] * (60 - slow) + [900_000] * slow)


TOO_SHORT: list[tuple[str, str, Callable[[Figures], object]]] = [
    ("load.latency", "at least 100 are wanted", lambda f: _few(f, 2)),
    ("load.drift", "from a hiccup", lambda f: [f.tally.series.points.pop(n) for n in range(3)]),
    ("load.drift", "not steadily", lambda f: _later(f, 50_000, 8, 9, 11)),
]


@pytest.mark.parametrize(("case", "words", "change"), TOO_SHORT)
def test_a_gate_that_too_little_was_seen_for_says_so(
    case: str, words: str, change: Callable[[Figures], object]
) -> None:
    """Two slow answers of sixty are no p99, one hiccup no drift: neither broken nor held."""
    result = next(r for r in judge(figures(change)) if r.case == case)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert words in result.reason


def test_few_answers_that_are_all_fast_hold_every_percentile() -> None:
    """Where even the slowest keeps the limit, there is nothing to doubt."""
    assert verdicts(figures(lambda f: _few(f, 0)))["load.latency"] is Verdict.PASS


def test_many_slow_answers_of_few_are_no_noise() -> None:
    """The median of sixty answers is one, and held to its limit."""
    assert verdicts(figures(lambda f: _few(f, 40)))["load.latency"] is Verdict.FAIL


@pytest.mark.parametrize(("case", "change"), UNTOLD)
def test_what_could_not_be_tested_is_never_a_pass(
    case: str, change: Callable[[Figures], object]
) -> None:
    """Too little evidence is inconclusive, says why, and exits with 5."""
    assert verdicts(figures(change))[case] is Verdict.INCONCLUSIVE
    made = entry(figures(change), base_url="", wall_seconds=1)
    assert exit_code(made) == 5
    assert any(case in line for line in sentences(made))


def test_a_slow_generator_takes_the_blame_from_the_server() -> None:
    """Where the generator lagged, slow answers are no finding against the server."""

    def change(f: Figures) -> None:
        f.tally.lag.add([2_000_000] * 50)
        f.tally.of("add").response.add([900_000] * 50)

    assert verdicts(figures(change))["load.latency"] is Verdict.INCONCLUSIVE


def test_no_request_at_all_is_too_little_evidence() -> None:
    """An empty run passes nothing and exits with 5."""
    made = entry(figures(lambda f: f.tally.operations.clear()), base_url="", wall_seconds=1)
    assert exit_code(made) == 5


def test_an_error_of_ours_is_never_the_subjects_failure() -> None:
    """A crash in a worker is told as an error of ours, with exit code 3."""
    made = entry(figures(lambda f: f.problems.append("KeyError: 'x'")), base_url="", wall_seconds=1)
    assert exit_code(made) == 3


def test_every_case_names_a_requirement_of_the_catalogue() -> None:
    """Each gate stands for a known LD requirement and says its rule in a sentence."""
    for case in CASES:
        assert set(case.requirements) <= set(requirements())
        assert case.summary.endswith(".")
