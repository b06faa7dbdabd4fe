"""Locust's own table has every request, and every wrong answer is a failure in it."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import json
from types import SimpleNamespace as Some
from locust.stats import RequestStats
from load.engine import Fresh
from load.record import OperationTally
from load.users import Feed

tally = OperationTally(good=3, wrong=2, limited=1)
tally.errors["timeout"] = 2000
engine = Some(tally=Some(operations={"get": tally}))
task = Some(name="get", operation=Some(verb="GET"))
stats = RequestStats()
session = Some(engine=engine, plan=Some(tasks=[task]))
feed = Feed(Some(stats=stats, memconform=session))
feed({"get": Fresh(3, {1000: 3}, 30)})
feed({})
row = stats.get("get", "GET")
print(json.dumps({"requests": row.num_requests, "failures": row.num_failures,
                  "total": stats.total.num_requests, "average": row.avg_response_time,
                  "errors": {e.error: e.occurrences for e in stats.errors.values()}}))
"""


def test_every_request_is_counted_and_wrong_answers_are_failures() -> None:
    """Good, wrong, refused and failed requests are all there, once, and times stay the good's."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "requests": 2006, "failures": 2002, "total": 2006, "average": 1.0,
        "errors": {"timeout": 2000, "answer against the contract": 2},
    }  # fmt: skip
