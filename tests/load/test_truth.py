"""Exact times: a stalled server is not flattered, and the benchmark's arithmetic is right."""

from pathlib import Path

import pytest

from load.runner import run
from tests.bench.load import LENGTH, RATE, STALL_AT, compare, proof, server, truth
from tests.bench.server import DAMAGES

STALL = f"""
name = "stall"
users = 512
prepare = 0
ledger = false
cleanup = false
only = ["memory.create"]
[[stages]]
seconds = {LENGTH}
rate = {RATE}
[gates]
lag = 5
"""


def test_a_stall_of_a_second_is_reported_within_three_percent(tmp_path: Path) -> None:
    """Where a server stops for a second, our p99 is the one that arithmetic demands."""
    file = tmp_path / "stall.toml"
    file.write_text(STALL)
    with server(STALL_AT) as url:
        details = run(url, "sovant", ["k"], file).details
    if details["lag"]["p99"] > 0.02:
        pytest.skip("this machine is too busy to measure times at all; the run says so by its lag")
    assert details["response"]["p99"] == pytest.approx(truth(), rel=0.03)
    assert details["sent"] == RATE * LENGTH


def test_the_truth_of_a_stall_is_arithmetic() -> None:
    """Of 1,800 requests 300 wait up to a second: the 18 longest lie beyond the p99."""
    assert truth() == pytest.approx(1.0 - 18 / RATE + 0.001, abs=0.005)


def test_every_answer_of_the_benchmark_is_judged() -> None:
    """A server that is wrong once in a hundred answers, in nine ways, is told of each of them."""
    given, told = proof()
    assert given == told
    assert given > len(DAMAGES)


def test_targets_are_compared_round_by_round_where_both_are_there() -> None:
    """The factor is the rounds' median; a missing peer is no target reached and none missed."""
    rows = [
        {"generator": "memconform judged", "runs": [50.0, 25.0, 44.0]},
        {"generator": "FastHttpUser", "runs": [8.0, 5.0, 8.0]},
        {"generator": "wrk", "missing": "not installed"},
    ]
    (made,) = compare(rows)
    assert (made["over"], made["factor"], made["reached"]) == ("FastHttpUser", 5.5, True)
    assert (made["lowest"], made["highest"]) == (5.0, 6.25)
