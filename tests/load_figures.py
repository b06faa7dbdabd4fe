"""Figures of a load run that keep or break each gate."""

from collections.abc import Callable

import specs
from conformance.verdict import Verdict
from load.gates import Figures, judge
from load.plan import make_plan
from load.profile import Gates, Profile, Stage
from load.record import Tally
from load.schedule import from_profile

PROFILE = Profile(
    name="t",
    stages=(Stage(seconds=10, rate=10),),
    gates=Gates.model_validate(
        {"latency": {"p50": 0.1, "p99": 0.5}, "drift": 3, "evidence": 2, "slowest-over-median": 5}
    ),
)


def figures(change: Callable[[Figures], object] | None = None) -> Figures:
    """Return the figures of a run in which everything went well, changed."""
    contract = specs.load("octamem")
    plan = make_plan(contract, PROFILE)
    made = Figures(contract, PROFILE, plan, from_profile(PROFILE), Tally(), seconds=10)
    for task in plan.tasks:
        tally = made.tally.of(task.name)
        tally.sent = tally.good = 40
        tally.response.add([5_000] * 40)
        tally.service.add([4_000] * 40)
    for second in range(12):
        made.tally.series.at(second).times.update({5_000: 10})
    made.tally.lag.add([1_000] * 100)
    made.tally.numbers.update({"planned": 120, "taken": 120, "written": 40, "checked-lost": 40,
                               "checked-altered": 40, "checked-duplicated": 40})  # fmt: skip
    made.tally.stages["steady"] = 120
    if change is not None:
        change(made)
    return made


def verdicts(made: Figures) -> dict[str, Verdict]:
    """Return what each case came to."""
    return {r.case: r.verdict for r in judge(made)}
