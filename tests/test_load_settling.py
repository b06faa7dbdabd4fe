"""Reading back: one loss among ten thousand is counted, what may show late is waited for."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import specs
from load import ledger
from load.call import origin
from load.lane import Lane, Resource
from load.plan import make_plan, settling, showing
from load.profile import Profile, Stage
from load.record import Tally
from load.session import keys_of

PROFILE = Profile(name="t", stages=(Stage(seconds=1, rate=1),))


class Store:
    """Answers a read with what is stored under the number in its path, from a certain look on."""

    def __init__(self, missing: set[int], late: int = 0) -> None:
        self.missing, self.late = missing, late
        self.looks: dict[int, int] = {}

    def exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Answer one prepared request."""
        found = re.search(rb"/memories/(\d+)|q(\d+)z", data)
        if found is None:
            return 500, b"", b""
        number = int(found.group(1) or found.group(2))
        self.looks[number] = self.looks.get(number, 0) + 1
        if number in self.missing or self.looks[number] <= self.late:
            return (404, b"", b"") if found.group(1) else (200, b"", b"{}")
        return 200, b"", b'{"text": "q%dz"}' % number

    def close(self) -> None:
        """Nothing is open."""


def reading(api: str, kind: str, count: int, store: Store, profile: Profile = PROFILE) -> Any:
    """Read back so many writes of a kind from a store; return the numbers."""
    plan = make_plan(specs.load(api), profile)
    lane = Lane(plan, origin("http://127.0.0.1:1"), "k", "mc", 0)
    lane.written = [Resource(kind, n, f"q{n}z") for n in range(count)]
    engine: Any = SimpleNamespace(profile=profile, lanes=[lane], tally=Tally())
    ledger.check(engine, lambda: store)  # type: ignore[arg-type, return-value]
    return engine.tally.numbers


def test_one_lost_write_in_ten_thousand_is_counted() -> None:
    """Of ten thousand acknowledged writes one is gone: exactly one is lost, none altered."""
    numbers = reading("sovant", "memory", 10_000, Store({7_777}))
    assert (numbers["written"], numbers["lost"], numbers["altered"]) == (10_000, 1, 0)


def test_a_write_that_may_show_late_is_looked_for_again() -> None:
    """Where the contract gives a write time, not to find it at once is no loss."""
    store = Store(set(), late=1)
    numbers = reading("claiv", "event", 3, store)
    assert (numbers["written"], numbers["unfound"], numbers["read-back"]) == (3, 0, 3)
    assert set(store.looks.values()) == {2}


def test_a_profile_that_sets_no_wait_looks_once() -> None:
    """`settle = 0` is an order: what does not show at once is not found."""
    store = Store(set(), late=1)
    numbers = reading("claiv", "event", 3, store, PROFILE.model_copy(update={"settle": 0}))
    assert (numbers["unfound"], set(store.looks.values())) == (3, {1})


@pytest.mark.parametrize(("api", "seconds"), [("claiv", 5), ("memsy", 10), ("sovant", 0)])
def test_the_end_of_a_run_waits_as_long_as_the_contract_says(api: str, seconds: float) -> None:
    """Without a wait of the profile's own, the longest declared delay bounds the end."""
    plan = make_plan(specs.load(api), PROFILE)
    assert settling(plan) == showing(plan) == seconds


def test_key_words_mean_what_they_mean_to_the_backend_suite() -> None:
    """Tenants share the load, `limited` is driven, the rest is only kept secret."""
    made = keys_of(["one", "limited=two", "member=three", "b=four", "abc="])
    assert made["keys"] == ("one", "four", "abc=")
    assert made["limited"] == "two"
    assert set(made["secrets"]) == {"one", "two", "three", "four", "abc="}


def test_the_examples_for_many_machines_are_yaml_that_starts_what_is_there() -> None:
    """Compose file and chart values parse, and name options that the locustfile has."""
    text = (Path(ledger.__file__).parent / "DISTRIBUTED.md").read_text("utf-8")
    compose, values = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    assert set(compose["services"]) == {"master", "worker"}
    assert "--master" in compose["services"]["master"]["command"].split()
    assert "--worker" in compose["services"]["worker"]["command"].split()
    assert {"loadtest", "master", "worker"} <= set(values)
    assert values["loadtest"]["environment"]["MEMCONFORM_API"] in specs.names()
