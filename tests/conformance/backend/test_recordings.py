"""A recording that was cut or edited is judged for what it holds, and says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance import subjects
from conformance.backend import recording, suite, teeth
from conformance.cases import CaseResult
from conformance.report.exit import Exit, decide
from conformance.report.run import make
from conformance.verdict import Verdict


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[CaseResult]]:
    """Record a quick run on the perfect backend, to its end."""
    file = tmp_path_factory.mktemp("recorded") / "run.jsonl"
    with teeth.judged("octamem", seed=3) as subject:
        subject.fast = True
        writer = recording.Recorder(file, subject)
        results = suite.run(subject)
        writer.close(whole=True)
    return file, results


def _halved(text: str) -> str:
    return text[: len(text) // 2]


def _without_a_line(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(lines[:20] + lines[21:])


def _without_its_last_cases(text: str) -> str:
    lines = text.removesuffix("\n").split("\n")
    return "\n".join([*lines[: len(lines) // 2], lines[-1], ""])


def _another_status(text: str) -> str:
    return text.replace('"status": 401', '"status": 400', 1)


DAMAGE = [
    (_halved, "breaks off"),
    (_without_a_line, "of the"),
    (_without_its_last_cases, "of the"),
    (_another_status, "edited"),
]


def test_a_whole_recording_lacks_nothing(whole: tuple[Path, list[CaseResult]]) -> None:
    """Its verdicts are those of the run, and the result is complete."""
    file, results = whole
    assert "" == recording.lacking(file)
    entry = subjects.judge_recording(file)
    assert "cut" not in entry.details
    assert Counter(r.verdict for r in results) == Counter(c.verdict for c in entry.cases)


@pytest.mark.parametrize(("damage", "words"), DAMAGE)
def test_a_cut_or_edited_recording_conforms_to_nothing(
    whole: tuple[Path, list[CaseResult]],
    tmp_path: Path,
    damage: Callable[[str], str],
    words: str,
) -> None:
    """Cases without answers are inconclusive, and the run says 5 where it would have said 0."""
    file, results = whole
    damaged = tmp_path / "run.jsonl"
    damaged.write_text(damage(file.read_text("utf-8")), "utf-8")
    assert words in recording.lacking(damaged)
    entry = subjects.judge_recording(damaged)
    passed = {r.name for r in results if r.verdict is Verdict.PASS}
    held = set(recording.cases_in(damaged))
    for case in entry.cases:
        name = f"{case.case}[{case.operation}]" if case.operation else case.case
        if name in passed - held:
            assert case.verdict is Verdict.INCONCLUSIVE, name
    made = make(
        (entry,), started="", seconds=1, seed=0, command=(), complete=False,
        reason=entry.details["cut"],
    )  # fmt: skip
    expected = Exit.DEVIATES if any(f.level == "MUST" for f in entry.findings) else (
        Exit.TOO_LITTLE_EVIDENCE)  # fmt: skip
    assert expected is decide(made).code
    assert damage is _another_status or expected is Exit.TOO_LITTLE_EVIDENCE


def test_a_disk_that_is_full_costs_the_recording_and_not_the_result(tmp_path: Path) -> None:
    """Writing fails in the middle: the run goes on, its result says what was not recorded."""
    with teeth.judged("octamem", seed=3) as subject:
        writer = recording.Recorder(tmp_path / "run.jsonl", subject)
        writer._file.close()
        writer._file = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115
        results = suite.run(subject, select=["errors.unknown-path"])
        writer.close(whole=True)
    assert [Verdict.PASS] == [r.verdict for r in results]
    assert "run.jsonl: No space left" in writer.trouble
