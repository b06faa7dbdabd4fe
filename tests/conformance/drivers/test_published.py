"""The shipped tables against the published releases: what each has, lacks, or calls otherwise.

Needs the package index once; without it these tests are skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import specs
from conformance.drivers import tables
from conformance.drivers.environment import EnvironmentUnavailable, prepare
from conformance.drivers.process import DriverProcess, host_command
from conformance.drivers.protocol import Mode
from conformance.faults.script import Script
from conformance.faults.testbench import Testbench
from specs.examples import arguments

KEY = "sk_test_0123456789abcdef"
BOTH: tuple[Mode, ...] = ("sync", "async")
GROUPED = {
    "memory.create": "memory_create", "memory.get": "memory_get",
    "memory.update": "memory_update", "memory.delete": "memory_delete",
    "memory.search": "memory_search",
}  # fmt: skip
LATER = {
    **GROUPED, "memory.list": "memory_list", "memory.batch": "memory_create_batch",
    "threads.create": "threads_create", "threads.list": "threads_list",
    "threads.get": "threads_get", "threads.update": "threads_update",
    "threads.delete": "threads_delete",
}  # fmt: skip

Facts = tuple[tuple[Mode, ...], set[str] | None, dict[str, str], set[str]]
"""Modes, documented names that lack (None: all), other names, options that lack."""

RELEASES: dict[tuple[str, str], Facts] = {
    ("sovant==1.0.6", "sovant"): (("sync",), None, GROUPED, {"max-retries", "debug"}),
    ("sovant==1.3.3", "sovant"): (("sync",), None, LATER, {"debug"}),
    ("claiv-memory==0.2.1", "claiv"): (BOTH, set(), {}, set()),
    ("claiv-memory==0.6.4", "claiv"): (BOTH, set(), {}, set()),
    ("memsy==0.3.1", "memsy"): (BOTH, set(), {}, set()),
    ("memsy==0.3.1", "memsy-control"): (BOTH, set(), {}, set()),
    ("memsy==0.3.5", "memsy"): (BOTH, {"clear"}, {}, set()),
    ("memsy==0.3.5", "memsy-control"): (BOTH, set(), {}, set()),
    ("octamem==1.0.1", "octamem"): (BOTH, set(), {}, set()),
    ("octamem==1.1.2", "octamem"): (BOTH, set(), {}, set()),
}  # fmt: skip


@pytest.fixture(scope="module")
def bench() -> Iterator[Testbench]:
    """A testbench for all releases."""
    with Testbench() as made:
        yield made


def _driver(release: str, api: str) -> DriverProcess:
    try:
        environment = prepare(release)
    except EnvironmentUnavailable as why:
        pytest.skip(str(why))
    entry = next(e for e in tables.for_package(environment.name) if e.table.api == api)
    return DriverProcess(host_command(environment.python, entry.path, api))


@pytest.mark.parametrize(("release", "api"), RELEASES, ids="-".join)
def test_what_a_release_has_and_lacks(release: str, api: str) -> None:
    """Missing names, other names and missing options are exactly the known ones."""
    modes, missing, via, no_options = RELEASES[release, api]
    contract = specs.load(api)
    with _driver(release, api) as driver:
        hello = driver.hello()
    assert f"{hello.sdk.name}=={hello.sdk.version}" == release
    assert tuple(hello.clients) == modes
    expected = set(contract.operations) if missing is None else missing
    assert set(hello.missing_operations) == expected
    assert {id: o.via for id, o in hello.operations.items() if o.via} == via
    assert set(hello.missing_options) == no_options
    reachable = {id for id in contract.operations if id not in expected or id in via}
    assert {id for id, o in hello.operations.items() if o.modes == modes} == reachable


@pytest.mark.parametrize(("release", "api"), RELEASES, ids="-".join)
def test_every_operation_sends_a_request(release: str, api: str, bench: Testbench) -> None:
    """With the contract's example arguments every reachable operation sends one, in each mode."""
    contract = specs.load(api)
    with _driver(release, api) as driver:
        for mode in driver.hello().clients:
            with bench.session(contract) as session:
                client = driver.open(session.base_url, KEY, mode)
                assert isinstance(client, str)
                for operation in contract:
                    if not driver.hello().can(operation.id, mode):
                        continue
                    before = len(session.exchanges())
                    reply = driver.call(client, operation.id, arguments(operation))
                    assert reply.outcome.kind in ("value", "error"), (operation.id, reply.outcome)
                    lacks = {d for d in reply.dropped if not d.startswith("operations[")}
                    assert (operation.id, lacks) == (operation.id, set())
                    after = len(session.exchanges())
                    assert after > before, operation.id


def test_a_real_stall_is_timed_out_on_a_virtual_clock(bench: Testbench) -> None:
    """Hours of back-off take no time, and a server that stalls still costs its real timeout."""
    contract = specs.load("claiv")
    with _driver("claiv-memory==0.2.1", "claiv") as driver:
        for mode in BOTH:
            script = Script.parse("recall#1x2 503 ; recall#3 stall")
            with bench.session(contract, script) as session:
                client = driver.open(session.base_url, KEY, mode, {"timeout": 0.2})
                assert isinstance(client, str)
                reply = driver.call(client, "recall", arguments(contract["recall"]))
                assert len(reply.sleeps) == 2
                assert reply.outcome.error is not None
                assert reply.outcome.error.name == "ClaivTimeoutError"
                assert 0.2 <= reply.ended - reply.started < 5
                received = [e.received for e in session.exchanges()]
                assert received[0] is not None
                assert received[0] <= reply.sleeps[0].at + 0.05
                assert session.unconsumed() == ()


def test_cancelling_during_back_off_stops_at_once(bench: Testbench) -> None:
    """An async call that is cancelled in its back-off sends nothing more."""
    contract = specs.load("octamem")
    script = Script.parse("* 503")
    with (
        _driver("octamem==1.1.2", "octamem") as driver,
        bench.session(contract, script) as session,
    ):
        client = driver.open(session.base_url, KEY, "async")
        assert isinstance(client, str)
        reply = driver.cancel(client, "details", {}, at_sleep=2)
        assert reply.cancelled is True
        assert reply.outcome.error is not None
        assert reply.outcome.error.name == "CancelledError"
        assert len(session.exchanges()) == 2
