"""Kinds of runs beside the plain schedule: storms, walks, searches and limits."""

from pathlib import Path

import pytest

import specs
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from conformance.verdict import Verdict
from load.defects import Wrong
from load.gates import Figures
from load.gates import judge as judge_gates
from load.pages import Told, Walked, judge
from load.plan import make_plan
from load.profile import Profile, StormPlan
from load.result import exit_code, sentences
from load.runner import run
from load.schedule import from_profile
from load.storm import NAIVE, Called, Group, choose, failing, figures, tell

STORM = Profile(name="storm", kind="retry-storm", storm=StormPlan(outage_after=10, outage=10))


def group(name: str, sends: int, recovered: float = 20.5) -> Group:
    """Return a group of one call a second that sends so many times while the backend fails."""
    calls: list[Called] = [(float(t), t + 0.1, "") for t in range(10)]
    calls += [(float(t), t + 0.9, "ServerError") for t in range(10, 20)]
    calls += [(t + 0.4, t + 0.5, "" if t + 0.5 >= recovered else "E") for t in range(20, 40)]
    arrivals = [float(t) for t in range(10)]
    arrivals += [t + n / (sends + 1) for t in range(10, 20) for n in range(sends)]
    return Group(name, calls, arrivals)


def test_amplification_counts_sends_over_calls_of_the_outage() -> None:
    """Three sends of each call while the backend failed are a factor of three."""
    made = figures(group("sdk", 3), STORM)
    assert (made["amplification"], made["calls_during"], made["sends_during"]) == (3.0, 10, 30)
    assert (made["goodput_before"], made["goodput_during"]) == (1.0, 0.0)


def test_one_success_among_failures_is_no_recovery() -> None:
    """All is well when no call fails any more, not when the first one ends well."""
    made = group("sdk", 3)
    made.calls.append((27.0, 28.0, "ServerError"))
    assert figures(made, STORM)["recovery"] == 8.5
    made.calls.append((39.0, 41.0, "ServerError"))
    assert figures(made, STORM)["recovery"] is None


@pytest.mark.parametrize(
    ("sends", "recovered", "causes"),
    [
        (3, 20.5, set()),
        (6, 20.5, {"amplification sdk"}),
        (3, 37.5, {"recovery sdk"}),
        (3, 99.0, {"recovery sdk"}),
    ],
)
def test_a_client_is_held_to_its_contract(sends: int, recovered: float, causes: set[str]) -> None:
    """More sends than the declared attempts, or a late recovery, are findings; others are not."""
    profile = STORM.model_copy(update={"gates": STORM.gates.model_copy(update={"recovery": 5.0})})
    operation = choose(specs.load("claiv"))
    made = tell([group("sdk", sends, recovered), group(NAIVE, 100)], operation, profile)
    assert {cause for _, cause in made.findings} == causes


def test_wrong_framing_that_sdks_met_is_the_backends_failure() -> None:
    """No outage excuses bytes after a body: the error gate breaks, by name, for each operation."""
    contract = specs.load("claiv")
    met = group("sdk", 3)
    met.troubles.update({("recall", "bytes-after-body"): 2})
    met.waiting = 1
    tally = tell([group("reference", 3), met, group(NAIVE, 100)], choose(contract), STORM)
    plan = make_plan(contract, STORM)
    made = Figures(contract, STORM, plan, from_profile(STORM), tally)
    found = {r.case: [f.cause for f in r.findings] for r in judge_gates(made) if r.findings}
    assert found["load.errors"][-1:] == ["bytes-after-body recall"]
    assert found["load.in-flight"] == ["in-flight"]
    assert tally.findings["LD2", "bytes-after-body recall"].count == 2


@pytest.mark.parametrize(("api", "status"), [("claiv", 503), ("memsy", 429), ("octamem", 503)])
def test_an_outage_fails_in_a_way_that_clients_retry(api: str, status: int) -> None:
    """Where a contract has only one status retried, the backend fails with that one."""
    assert failing(choose(specs.load(api))) == status


def test_the_naive_client_is_a_control_and_never_judged() -> None:
    """What nobody should write is there to make the storm, not to be found wanting."""
    made = tell([group(NAIVE, 100)], choose(specs.load("claiv")), STORM)
    assert made.findings == {}


def test_a_walk_is_held_against_what_stays() -> None:
    """Items that stay are missed or repeated; what others write does not matter."""
    assert judge(Walked([1, 2, 3, 9]), {1, 2, 3}) == Told(0, 0)
    assert judge(Walked([1, 1, 9, 9]), {1, 2, 3}) == Told(missed=2, repeated=1)


LIMIT = """
name = "limit"
kind = "rate-limit"
prepare = 0
ledger = false
cleanup = false
[rate-limit]
max-wait = 10
[gates]
evidence = 0
"""
WALK = """
name = "walk"
kind = "pagination"
users = 4
prepare = 1
[[stages]]
seconds = 1
rate = 20
[walk]
lists = 2
page = 5
prepared = 12
[gates]
lag = 2.0
throughput = 0.5
evidence = 0
"""
SEARCH = """
name = "search"
kind = "breakpoint"
users = 16
prepare = 1
drain = 1
[search]
start = 20
limit = 40
seconds = 1
[gates]
lag = 2.0
throughput = 0.5
evidence = 0
"""


def test_the_limit_is_driven_and_found_exact(tmp_path: Path) -> None:
    """Below the quota all are let in, beyond it none, and after the wait one is again."""
    file = tmp_path / "limit.toml"
    file.write_text(LIMIT)
    with Embedded(rate_limit="30/2") as backend:
        made = run(backend.url_for("sovant"), "sovant", backend.keys[:1], file)
    assert sentences(made) == []
    assert made.details["rate-limit"]["admitted"] == 30
    assert exit_code(made) == 0


def test_a_limit_that_no_answer_tells_of_is_judged_by_a_named_one(tmp_path: Path) -> None:
    """With `--quota` an API without limit headers is judged; without, the run says what to give."""
    file = tmp_path / "limit.toml"
    file.write_text(LIMIT)
    with Embedded(process=True, rate_limit="30/4") as backend:
        url, keys = backend.url_for("octamem"), [f"limited={backend.keys[0]}"]
        made = run(url, "octamem", keys, file, quota="30/4")
        blind = run(url, "octamem", keys, file)
    assert sentences(made) == []
    assert made.details["rate-limit"]["admitted"] == 30
    assert exit_code(blind) == 5
    assert any("--quota REQUESTS/SECONDS" in line for line in sentences(blind))


def test_of_whom_nothing_can_be_said_is_told() -> None:
    """A client that took no part leaves the storm inconclusive, with its reason."""
    contract = specs.load("claiv")
    absent = Group("sdk", problem="no operation succeeds on the healthy backend")
    tally = tell([group("reference", 3), group(NAIVE, 100), absent], choose(contract), STORM)
    plan = make_plan(contract, STORM)
    made = Figures(contract, STORM, plan, from_profile(STORM), tally)
    result = next(r for r in judge_gates(made) if r.case == "load.storm")
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "sdk: no operation succeeds" in result.reason


def test_a_limit_out_of_reach_is_inconclusive_with_the_reason(tmp_path: Path) -> None:
    """A quota that the profile's requests cannot overrun is no pass: exit 5."""
    file = tmp_path / "limit.toml"
    file.write_text(LIMIT)
    with Embedded(rate_limit="100000/60") as backend:
        made = run(backend.url_for("sovant"), "sovant", backend.keys[:1], file)
    assert exit_code(made) == 5
    assert any("cannot be overrun" in line for line in sentences(made))


def test_lists_are_walked_while_others_write(tmp_path: Path) -> None:
    """The quiet walk at the end sees each of the items that stayed, once."""
    file = tmp_path / "walk.toml"
    file.write_text(WALK)
    with Embedded() as backend:
        made = run(backend.url_for("sovant"), "sovant", backend.keys[:1], file)
    assert sentences(made) == []
    assert made.details["pages"]["lists"]["memory.list"]["stays"] == 12


BUSY = """
name = "busy"
arrival = "poisson"
users = 2
drain = 0.2
prepare = 0
ledger = false
[[stages]]
seconds = 1
rate = 200
[gates]
errors = 1.0
evidence = 0
lag = 5.0
"""


def test_what_no_user_came_to_send_was_planned_all_the_same(tmp_path: Path) -> None:
    """A server that keeps every user waiting is behind the plan, with Poisson arrivals too."""
    file, contract = tmp_path / "busy.toml", specs.load("octamem")
    file.write_text(BUSY)
    with (
        Embedded(process=True) as backend,
        Wrong(backend.url_for("octamem"), contract, "load.one-at-a-time",
              Defects.of(["load.one-at-a-time"])) as slow,
    ):  # fmt: skip
        made = run(slow.url, "octamem", backend.keys[:1], file)
    assert made.details["sent"] < 50 < 150 < made.details["planned"]
    assert "throughput" in {f.cause for f in made.findings}


@pytest.mark.parametrize("processes", [None, 2])
def test_a_search_stops_at_its_limit_on_one_process_and_on_two(
    tmp_path: Path, processes: int | None
) -> None:
    """Both workers are told the same steps; the limit that was held is named, ids are compared."""
    file = tmp_path / "search.toml"
    file.write_text(SEARCH)
    with Embedded(process=True) as backend:
        made = run(backend.url_for("sovant"), "sovant", backend.keys[:1], file, processes=processes)
    assert made.verdict is Verdict.PASS
    ids = made.details["request-ids"]
    assert ids == {"kept": ids["kept"], "repeated": 0, "between-workers": 0}
    assert ids["kept"] > 0
    assert [s["rate"] for s in made.details["breakpoint"]["steps"]] == [20, 40]
    assert made.details["breakpoint"]["held"] == 40
