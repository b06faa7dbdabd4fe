"""Gates and findings on Locust's page: what broke comes first, and nothing is said twice."""

from types import SimpleNamespace
from typing import Any

import specs
from conformance.verdict import Finding
from load.gates import Figures
from load.plan import make_plan
from load.profile import Profile, Stage
from load.record import Tally
from load.result import entry
from load.schedule import from_profile
from load.session import Options, Session
from load.web import TABLES, Page

PROFILE = Profile(name="t", stages=(Stage(seconds=10, rate=10),))


def rows(running: bool) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of both tabs for a run in which two operations answered wrong."""
    contract = specs.load("octamem")
    plan = make_plan(contract, PROFILE)
    figures = Figures(contract, PROFILE, plan, from_profile(PROFILE), Tally(), running=running)
    for task in plan.tasks:
        tally = figures.tally.of(task.name)
        tally.sent = tally.good = 40
    for name in ("add", "search"):
        odd = Finding("LD5", f"{name}: odd", operation=name, cause=name, timeline=("GET / → 200",))
        figures.tally.saw(odd)
    made = entry(figures, base_url="", wall_seconds=1)
    session = SimpleNamespace(entry=None if running else made, look=lambda: made)
    tables = Page(SimpleNamespace(memconform=session)).tables()
    return {table["key"]: table["data"] for table in tables}


def test_what_broke_comes_first_and_what_does_not_apply_last() -> None:
    """Rows are in the order of their verdicts; a gate of many findings shows one and counts."""
    gates = rows(running=False)["gates"]
    assert (gates[0]["gate"], gates[0]["verdict"]) == ("answers (LD5)", "fail")
    assert gates[0]["words"] in ("add: odd, and 1 more", "search: odd, and 1 more")
    assert gates[-1]["verdict"] == "n/a"


def test_what_only_the_end_can_tell_is_open_while_the_run_goes_on() -> None:
    """A running run calls nothing inconclusive for not being over; the end does not say open."""
    during, after = (
        {r["gate"]: r["verdict"] for r in rows(running)["gates"]} for running in (True, False)
    )
    assert during["complete (LD13)"] == during["evidence (LD10)"] == "open"
    assert "open" not in after.values()


def test_a_finding_names_its_operation_once() -> None:
    """The operation stands in its own column and not in the words again."""
    found = rows(running=True)["findings"]
    assert {(r["operation"], r["words"]) for r in found} == {("add", "odd"), ("search", "odd")}
    assert found[0]["witness"] == "GET / → 200"


def test_every_column_of_a_table_is_in_its_rows() -> None:
    """Locust's page shows columns by their keys: each row has each of them."""
    made = rows(running=False)
    for table in TABLES:
        keys = {column["key"] for column in table["structure"]}
        assert all(row.keys() == keys for row in made[table["key"]])


def test_what_workers_said_so_far_is_shown_and_never_judged_at_the_end() -> None:
    """Live counts are on the page while the run goes on; at its end only last reports count."""
    session = Session(
        Options(api="octamem", base_url="http://127.0.0.1:1", keys=("k",), profile="smoke")
    )
    session.workers = 2
    live = Tally()
    live.of("all").sent = live.of("all").good = 7
    session.live["worker"] = live
    assert session.look().details["sent"] == 7
    over = session.judge()
    assert over.details["sent"] == 0
    assert any("2 of 2 workers never sent" in c.reason for c in over.cases)
