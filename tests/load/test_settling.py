"""Reading back: one loss among ten thousand is counted, what may show late is waited for."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import specs
from load import ledger, runner
from load.call import origin
from load.framing import Trouble
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


class Gone(Store):
    """Answers so many requests, and then no more."""

    def __init__(self, answers: int) -> None:
        super().__init__(set())
        self.answers = answers
        self.asked = 0

    def exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Answer, or fail."""
        self.asked += 1
        if self.asked > self.answers:
            raise Trouble("refused")
        return super().exchange(data)


def test_a_server_that_answers_no_more_is_not_asked_for_every_write() -> None:
    """What could not be read is unread and no loss, and is not tried ten thousand times."""
    gone = Gone(100)
    numbers = reading("sovant", "memory", 10_000, gone)
    assert (numbers["written"], numbers["read-back"], numbers["unread"]) == (10_000, 100, 9_900)
    assert numbers["lost"] == 0
    assert gone.asked < 100 + 2 * ledger.GIVE_UP


def test_what_could_not_be_deleted_is_counted() -> None:
    """Left on the server is what no operation deletes, and what was asked for in vain."""
    plan = make_plan(specs.load("sovant"), PROFILE)
    lane = Lane(plan, origin("http://127.0.0.1:1"), "k", "mc", 0)
    lane.written = [Resource("memory", n, f"q{n}z") for n in range(1000)]
    lane.written += [Resource("nothing", 1, "q")]
    engine: Any = SimpleNamespace(profile=PROFILE, lanes=[lane], tally=Tally())
    ledger.tidy(engine, lambda: Gone(300))  # type: ignore[arg-type, return-value]
    numbers = engine.tally.numbers
    assert numbers["cleaned"] + numbers["left memory"] == 1000
    assert numbers["left memory"]
    assert numbers["left nothing"] == 1


class Child:
    """A child whose every wait lasts ten seconds; it speaks for so many of them."""

    def __init__(self, log: Path, speaks: int, waits: int) -> None:
        self.log, self.speaks, self.waits = log, speaks, waits
        self.now = 0.0

    def wait(self, timeout: float) -> int:
        """Wait in vain, until it ends."""
        self.now += 10
        if self.now > 10 * self.waits:
            return 0
        if self.now <= 10 * self.speaks:
            with self.log.open("a") as sink:
                sink.write("so many writes read back\n")
        raise subprocess.TimeoutExpired("locust", timeout)


@pytest.mark.parametrize(("speaks", "code"), [(100, 0), (1, -1)])
def test_who_gets_on_with_the_ledger_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speaks: int, code: int
) -> None:
    """A generator that is late and says how far it is may go on; one that says nothing may not."""
    log = tmp_path / "locust.log"
    log.touch()
    child: Any = Child(log, speaks, 100)
    monkeypatch.setattr(runner, "monotonic", lambda: child.now)
    assert runner._wait(child, 60.0, 10, None, log) == code


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
    """Tenants share the load, `limited` is driven, the rest sends nothing."""
    made = keys_of(["one", "limited=two", "member=three", "b=four", "abc="])
    assert made["keys"] == ("one", "four", "abc=")
    assert made["limited"] == "two"
