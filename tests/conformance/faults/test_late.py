"""Connections that are not taken: refused, late, never; and who counts them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

import specs
from conformance.drivers.hosting import clock
from conformance.faults.script import Instruction, Script, Stage, late
from conformance.faults.testbench import Testbench
from conformance.sdk import reference
from conformance.sdk.judging import visible
from conformance.sdk.subject import Play

CLAIV = specs.load("claiv")
EVENT = {"user_id": "u", "type": "message", "content": "hello"}


@pytest.fixture(scope="module")
def bench() -> Iterator[Testbench]:
    """One testbench for the module."""
    with Testbench() as made:
        yield made


def test_a_late_port_serves_whoever_waits(bench: Testbench) -> None:
    """The kernel answers the client's second SYN; the request is answered as if nothing was."""
    script = Script.parse("* before-accept late seconds=0.05; ingest#1 503")
    with (
        bench.session(CLAIV, script) as session,
        httpx.Client(base_url=session.base_url, timeout=30.0, trust_env=False) as http,
    ):
        answered = [http.post("/v1/ingest", json=EVENT).status_code for _ in range(2)]
        assert answered == [503, 200]
        assert (session.unconsumed(), session.connections.opened) == ((), 1)


def test_a_port_that_takes_nobody(bench: Testbench) -> None:
    """Connecting hangs until the client's own timeout; nothing is seen of it."""
    with (
        bench.session(CLAIV, Script.parse("* before-accept late")) as session,
        httpx.Client(base_url=session.base_url, timeout=0.2, trust_env=False) as http,
    ):
        with pytest.raises(httpx.ConnectTimeout):
            http.post("/v1/ingest", json=EVENT)
        assert (session.exchanges(), session.connections.opened) == ((), 0)
        port = httpx.URL(session.base_url).port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port or 0), timeout=10).close()


def test_late_is_written_as_it_is_read() -> None:
    """The text form of a late port is parsed back to it."""
    for effect in (late(), late(1.5)):
        script = Script.of(Instruction(None, None, None, Stage.BEFORE_ACCEPT, effect))
        assert Script.parse(script.short()) == script
        assert script.needs_own_port


@pytest.mark.parametrize(("defects", "each"), [((), 1), (("transport.retries-too",), 3)])
def test_refused_connections_are_counted_where_they_are_asked_for(
    defects: tuple[str, ...], each: int
) -> None:
    """Nobody hears a refused connection but the driver: it tells each, with its time."""
    with reference("octamem", defects) as subject:
        ask = subject.ask(subject.contract["add"])
        made = visible(subject.play(Script.parse("* before-accept refuse"), ask))
    promised = subject.contract["add"].retries
    assert promised is not None
    assert len(made.attempts) == each * promised.max_attempts
    times = [e.sent for e in made.attempts]
    assert times == sorted(times)
    assert made.call.started <= times[0] <= times[-1] <= made.call.ended


def test_a_driver_that_cannot_see_connections() -> None:
    """Without its word one connection is taken for granted before each wait and after the last."""
    from dataclasses import replace

    with reference("octamem") as subject:
        ask = subject.ask(subject.contract["add"])
        made: Play = subject.play(Script.parse("* before-accept refuse"), ask)
    blind = replace(made, replies=tuple(replace(r, connects=None) for r in made.replies))
    assert len(visible(blind).attempts) == len(made.call.sleeps) + 1


def test_calls_at_once_leave_in_any_order() -> None:
    """A call that ends takes its own time away, not that of another which looks the same."""
    with clock.recording(True) as outer:
        with clock.recording(True):
            pass
        outer.connects.append((1.0, 1))
