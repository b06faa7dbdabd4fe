"""A load run on the page: its figures as tables, each kind of run with its own, nothing made up."""

from typing import Any

import pytest

from conformance.report.charts import of_load
from conformance.report.load import Table, tables

TIMES = {"mean": 0.002, "p50": 0.001, "p99": 1.5, "max": 2.0}
RUN: dict[str, Any] = {
    "curve": [[50, 0.001]],
    "sent": 2000,
    "errors": {"timeout": 3},
    "stages": [{"name": "up", "start": 0.0, "end": 30.0, "rate": 5.0, "to": 20.0,
                "planned": 375, "taken": 370}],
    "response": TIMES,
    "lag": {},
    "ledger": {"written": 12, "lost": 1},
    "operations": {"get": {"sent": 1990, "judged": 1987, "wrong": 0, "errors": {"timeout": 3},
                           "response": TIMES}},
    "excluded": {"export": "weight 0"},
}  # fmt: skip
OWN: list[tuple[str, Any, str, tuple[str, ...]]] = [
    (
        "breakpoint",
        {"held": 40.0, "why": "at 80/s it broke", "steps": [
            {"rate": 40.0, "held": True, "why": ""}, {"rate": 80.0, "held": None, "why": "late"}]},
        "rates tried", ("80", "cannot be told", "late"),
    ),
    (
        "storm",
        {"groups": [{"name": "sdk", "amplification": 3.0, "recovery": None, "problem": ""}]},
        "clients of the outage", ("sdk", "3"),
    ),
    ("pages", {"lists": {"list": {"style": "offset", "walks": 4}}}, "lists walked",
     ("list", "offset", "4")),
    ("rate-limit", {"quota": 60, "admitted": 60}, "rate limit", ("60", "60")),
]  # fmt: skip


def by_title(**change: Any) -> dict[str, Table]:
    """Return the tables of a run by their titles."""
    return {table.title: table for table in tables({**RUN, **change})}


def test_figures_stand_in_rows_with_their_units() -> None:
    """Errors have shares, stages their rates, times milliseconds, operations their failures."""
    made = by_title()
    assert made["errors by kind"].rows == (("timeout", "3", "0.150%"),)
    assert made["stages"].rows == (("up", "0 s", "30 s", "5 → 20", "375", "370"),)
    assert [r[0] for r in made["times, in ms"].rows] == ["response"]
    assert made["times, in ms"].rows[0][1:3] == ("2.0", "1.0")
    assert made["ledger"].rows == (("12", "1"),)
    assert made["operations"].rows == (
        ("get", "1,990", "1,987", "0", "3", "1.0", "1,500.0", "2,000.0"),
    )
    assert made["left out"].rows == (("export", "weight 0"),)


def test_a_run_without_errors_says_so() -> None:
    """The table of errors is there in either case."""
    assert by_title(errors={})["errors by kind"].rows == (("none", "0", "0%"),)


@pytest.mark.parametrize(("key", "value", "title", "row"), OWN)
def test_what_only_one_kind_of_run_has_is_shown(
    key: str, value: Any, title: str, row: tuple[str, ...]
) -> None:
    """Steps of a search, clients of a storm, walks and limits have tables where they are there."""
    made = by_title(**{key: value})
    assert row in made[title].rows
    assert title not in by_title()


def test_every_row_has_a_cell_for_each_column() -> None:
    """No table is ragged, whatever kind of run it shows."""
    for key, value, _, _ in OWN:
        for table in by_title(**{key: value}).values():
            assert {len(row) for row in table.rows} == {len(table.head)}


def test_other_subjects_have_none() -> None:
    """A backend's or an SDK's details make no tables of load."""
    assert tables({"reproductions": {}}) == []


def test_a_line_of_what_was_not_is_left_out() -> None:
    """A run without a plan, limits or service times has no lines of them on its charts."""
    point = {"t": 0, "planned": 0.0, "answered": 2.0, "failed": 0.0, "limited": 0.0, "p50": 0.1}
    made = of_load({**RUN, "series": [point], "service-curve": []})
    assert [s["name"] for s in made["throughput"]["series"]] == ["answered", "failed"]
    assert [s["name"] for s in made["latency by percentile"]["series"]] == ["response"]
    planned = of_load({**RUN, "series": [{**point, "planned": 2.0}]})
    assert "planned" in [s["name"] for s in planned["throughput"]["series"]]
