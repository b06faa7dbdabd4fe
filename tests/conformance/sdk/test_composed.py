"""Composed scripts: a failure is told once, by the shortest script, and is shown again by it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from rich.console import Console

from conformance.faults.script import Script
from conformance.report.results import Results, Run
from conformance.sdk import reference, replay, run_release
from conformance.sdk.test_composed import again

COMMAND = (sys.executable, "-m", "conformance.reference.sdk", "--api", "octamem")
SHOWN = {
    "retry.other-failure-ends": ("attempts:too-few", 2),
    "error.list-crash": ("leak:shape", 1),
}
"""Defect -> the cause that composed scripts find, and how many faults it takes to show it."""


@pytest.mark.parametrize("defect", SHOWN)
def test_a_failing_script_is_shortened_counted_and_shown_again(defect: str, tmp_path: Path) -> None:
    """Of many failing scripts one finding is left: with their number, and none of its faults idle.

    It is replayed by its id from its own script: exit 1 while the defect is there, 0 without it.
    """
    cause, faults = SHOWN[defect]
    command = [*COMMAND, "--defect", defect]
    [entry] = run_release(None, command, "octamem", select=["composed.scripts"])
    [finding] = [f for f in entry.findings if f.cause == cause]
    shortest = Script.parse(finding.fault)
    assert (len(shortest), finding.count > 2) == (faults, True)
    with reference("octamem", [defect]) as subject:
        assert cause in {f.cause for f in again(subject, "sync", shortest)}
        for left_out in range(faults):
            rest = tuple(i for n, i in enumerate(shortest) if n != left_out)
            assert cause not in {f.cause for f in again(subject, "sync", Script(rest))}
    console = Console(record=True, width=500, file=(tmp_path / "out").open("w"))
    made = Run(tool="0", started="2024-01-01T00:00:00Z", seconds=1.0, seed=0, command=("x",))
    for driver, code in ((command, 1), (COMMAND, 0)):
        details = {**entry.details, "driver": list(driver)}
        told = Results(run=made, subjects=(entry.model_copy(update={"details": details}),))
        path = tmp_path / "results.json"
        path.write_text(told.model_dump_json(by_alias=True))
        assert replay.main(finding.id, path, console, trust=True) == code
    assert f"fault:    {finding.fault}" in console.export_text()
