"""Many machines: the calculation follows from what is measured."""

import re
from pathlib import Path

from load import engine
from tests.bench.scale import Measured, merging, report, table

DOCUMENT = (Path(engine.__file__).parent / "DISTRIBUTED.md").read_text("utf-8")


def figures() -> dict[str, str]:
    """Return the lines of the document's calculation by their names."""
    found = re.search(r"--scale (\d+)\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    lines = [re.split(r"  +", line, maxsplit=1) for line in found[2].strip().splitlines()]
    return {"rate": found[1], **dict(lines)}


def number(text: str) -> float:
    """Return the first number of a text."""
    return float(re.findall(r"[\d.]+", text.replace(",", ""))[0])


def test_the_documents_calculation_follows_from_its_measured_figures() -> None:
    """Workers, machines, memory and merging are what the measured lines give, to the digit."""
    told = figures()
    one = Measured(
        worth=number(told["judged per processor second"]),
        memory=number(told["memory of a worker"]) * 1e6,
        entry=number(told["ledger"]),
        report=number(told["last report of a worker"]) * 1e6,
        merge=number(told["merging a report"]),
    )
    made = table(int(told.pop("rate")), one)
    assert told == made


def test_the_merged_report_that_is_timed_is_a_large_one() -> None:
    """Every operation of the largest API, wide latencies, a full series: a megabyte or more."""
    size, seconds = merging(1)
    made = report(0)
    assert size > 1_000_000
    assert seconds > 0
    assert len(made.series.points) == 600
    assert all(len(t.response.counts) > 3_000 for t in made.operations.values())
