"""One worker's run: tickets in, requests out, every answer judged and counted.

The engine is driven by as many greenlets as the profile has users (`users.py` makes them Locust
users); each takes the next ticket, waits for its intended start, sends, and hands the answer to
judge, lane and tally. Response time counts from the intended start, service time from the send;
`lag` is how late a waiting user was woken: the generator's own delay, never the server's.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import gevent
from gevent import get_hub
from gevent.event import Event

from conformance.clock import epoch_seconds, perf_counter
from conformance.verdict import Finding
from load.framing import Timeout, Trouble
from load.judge import BAD, EMPTY, Asked, Judge, exchange_of
from load.lane import Lane, Shot
from load.plan import Task
from load.profile import Profile
from load.record import Tally, coarse
from load.request_ids import RequestIds, repeated
from load.schedule import Schedule


class Wire(Protocol):
    """What the engine needs of a transport: one connection, one request at a time."""

    greenlet: Any
    """The greenlet that waits for an answer; None where nothing is asked."""
    busy_since: float
    shot: Any
    """What is being asked, as whoever asks notes it."""
    opened: int
    unannounced: int

    def exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Send prepared bytes; return (status, head, body). Raises Trouble."""

    def close(self) -> None:
        """Close the connection."""


@dataclass(eq=False, slots=True)
class Buffer:
    """What one operation did since the last flush: plain lists, appended to at full speed."""

    response: list[int] = field(default_factory=list)
    service: list[int] = field(default_factory=list)
    """Empty where nothing is planned ahead: each request is then meant when it is sent."""
    received: int = 0


@dataclass(frozen=True, slots=True)
class Fresh:
    """What one operation did between two flushes, counted."""

    count: int
    response: Mapping[int, int]
    """Response time in microseconds -> how many."""
    received: int


OnFlush = Callable[[Mapping[str, Fresh]], None]


@dataclass(eq=False)
class Engine:
    """One worker of a run. `begin` starts the time line; `play` is one user's whole life."""

    profile: Profile
    schedule: Schedule
    lanes: Sequence[Lane]
    connect: Callable[[], Wire]
    index: int = 0
    workers: int = 1
    tally: Tally = field(default_factory=Tally)
    on_flush: OnFlush | None = None
    """Called with what each operation did since the last time: feeds Locust's own table."""

    def __post_init__(self) -> None:
        self.started = Event()
        self.finished = Event()
        self.rest = Event()
        self.t0 = 0.0
        self._wires: list[Wire] = []
        self._lag: list[int] = []
        self._buffers: list[Buffer] = [Buffer() for _ in self.lanes[0].plan.tasks]
        self._closed = self.profile.kind == "closed"
        self._tickets: Iterator[tuple[int, float]] = iter(())
        self._taken = 0
        self.playing = 0
        """Users that have a ticket, or are waiting for an answer."""
        """Users that hold a ticket, or are about to take one."""
        self._judged: Callable[..., Any] = Judge.quick if self.profile.judged else _unjudged
        self._cpu = 0.0
        self._over = False
        self._last_flush = 0.0
        self._epoch = epoch_seconds() - perf_counter()
        self.ids = RequestIds(self.lanes[0].plan.contract)
        self._note = self.ids.head if self.ids.in_heads and self.profile.judged else None

    def _all_tickets(self) -> Iterator[float]:
        if self._closed:
            end = self.schedule.seconds
            while (now := perf_counter() - self.t0) < end:
                yield now
            return
        names = [(s.end, s.stage.name) for s in self.schedule.spans]
        end, name = names.pop(0) if names else (0.0, "")
        for offset in self.schedule.tickets(self.index, self.workers):
            while offset >= end and names:
                end, name = names.pop(0)
            self.tally.stages[name] += 1
            yield offset

    def begin(self) -> None:
        """Prepare what the journeys need, run the schedule, watch over it. Blocks until over."""
        with self.watched():
            self.prepare()
            self.round(self.schedule)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch over time limits within; count and close everything at the end."""
        watcher = gevent.spawn(self._watch)
        _calm_collector()
        self._cpu = time.process_time()
        try:
            yield
        finally:
            watcher.kill()
            self._close(perf_counter())

    def round(self, schedule: Schedule) -> None:
        """Let the users play one schedule to its end, stragglers included."""
        self.schedule, self._over = schedule, False
        self._tickets = enumerate(self._all_tickets(), self._taken + 1)
        self.rest.clear()
        self.t0 = self._last_flush = perf_counter() + 0.02
        self.started.set()
        try:
            self._await_end()
            self._count_untaken()
        finally:
            self._settle(perf_counter())
            self.started.clear()
            self.rest.set()

    def interrupt(self) -> None:
        """Count what is there now: the run is ended from outside."""
        if not self.finished.is_set() and self.started.is_set():
            self._settle(perf_counter())
            self._close(perf_counter())

    def prepare(self) -> None:
        """Make resources of each kind, so that reads have something to read from the start."""
        wire = self.wire()
        tasks = list(dict.fromkeys(self.lanes[0].plan.makers.values()))
        for lane in self.lanes:
            for task in sorted(tasks, key=lambda t: len(t.needs)):
                for _ in range(self.profile.prepare):
                    self.send(wire, lane, lane.shoot(task), None)

    def _await_end(self) -> None:
        """Return when the schedule is over and every answer is in, or the drain has passed."""
        end = self.t0 + self.schedule.seconds
        while perf_counter() < end or not self._over:
            if perf_counter() > end + self.profile.drain:
                break
            gevent.sleep(min(0.05, max(end - perf_counter(), 0.005)))
        while self.playing and perf_counter() < end + self.profile.drain:
            gevent.sleep(0.005)

    def _count_untaken(self) -> None:
        """Count the tickets that came to nobody's turn: planned as well, and never sent."""
        stages = self.tally.stages.copy()
        self.tally.numbers["untaken"] += sum(1 for _ in self._tickets)
        self.tally.stages = stages

    def play(self) -> None:
        """Be one user: take tickets in every round. Never returns."""
        self.started.wait()
        wire = self.wire()
        while True:
            self.started.wait()
            self._take(wire)
            self.rest.wait()

    def _take(self, wire: Wire) -> None:
        """Take tickets until there are none."""
        lanes, count = self.lanes, len(self.lanes)
        t0, closed, lag = self.t0, self._closed, self._lag.append
        sleep: Any = gevent.sleep
        self.playing += 1
        try:
            for number, offset in self._tickets:
                self._taken = number
                intended = t0 + offset
                if not closed and (wait := intended - perf_counter()) > 0:
                    sleep(wait)
                    lag(int((perf_counter() - intended) * 1e6))
                lane = lanes[number % count]
                self.send(wire, lane, lane.shoot(), intended)
                if self._over:
                    return
            self._over = True
        finally:
            self.playing -= 1

    def send(self, wire: Wire, lane: Lane, shot: Shot, intended: float | None) -> Any:
        """Send one request, judge and count it; return the decoded good answer, else BAD.

        With `intended` None it is no part of the schedule: judged, but not timed.
        """
        task, note = shot.task, self._note
        wire.shot = shot
        sent = wire.busy_since = perf_counter()
        try:
            status, head, body = wire.exchange(shot.data)
            done = perf_counter()
            value = self._judged(task.judge, status, head, body, shot.asked, self._epoch + done)
            if value is BAD or shot.replay_of is not None or (note is not None and note(head)):
                return self.look(lane, shot, (status, head, body), sent, done, intended)
            if task.teaches:
                lane.learn(shot, value)
            if intended is not None:
                buffer = self._buffers[task.index]
                buffer.response.append(int((done - intended) * 1e6))
                if not self._closed:
                    buffer.service.append(int((done - sent) * 1e6))
                buffer.received += len(body)
            return value
        except Trouble as trouble:
            self._failed(lane, shot, trouble.kind, sent, perf_counter(), intended)
            return BAD
        finally:
            for resource in shot.held:  # lane.release, without a call for each request
                resource.users -= 1
                if not resource.users:
                    resource.exclusive = False

    def look(
        self, lane: Lane, shot: Shot, answer: tuple[int, bytes, bytes], sent: float, done: float,
        intended: float | None,
    ) -> Any:  # fmt: skip
        """The slow path: let the oracles explain an answer that was not plainly good."""
        status, head, body = answer
        task = shot.task
        exchange = exchange_of(
            self._taken, task.name, shot.data, status, head, body, sent - self.t0, done - self.t0
        )
        found = task.judge.explain(exchange, shot.asked, self._epoch + done)
        tally = self.tally.of(task.name)
        error = self._error_of(task, status)
        if shot.replay_of is None and self.ids.answer(task.operation, exchange):
            found.append(repeated(task.operation))
        if status == 404 and shot.held and all(r.known and r.ours for r in shot.held):
            found.append(_lost(task))
        if error == "limited":
            tally.limited += 1
        elif error == "forbidden":
            tally.refused += 1
        elif error is not None:
            tally.errors[error] += 1
            if status >= 500:
                lane.unsure(shot)
        value = BAD
        if error is None:
            value = exchange.response.json_or_none() if exchange.response else None
            value = EMPTY if value is None else value
            if shot.replay_of is not None:
                found += task.judge.replayed(shot.replay_of, value)
            lane.learn(shot, value)
            if found:
                tally.wrong += 1
            elif intended is not None:
                tally.good += 1
        for finding in found:
            self.tally.saw(
                finding.at(timeline=(_line(task, status, len(body), done - sent),), witness=())
            )
        self._time(task, sent, done, intended, error, len(body))
        return value

    def _error_of(self, task: Task, status: int) -> str | None:
        """Return the kind of failure that a status is; None for success."""
        operation = task.operation
        limit = operation.rate_limit
        if status == (limit.exceeded_status if limit else 429):
            return "limited"
        if operation.roles is not None and status == operation.roles.status:
            return "forbidden"
        if 200 <= status < 300:
            return None
        return f"http-{status}"

    def _failed(
        self, lane: Lane, shot: Shot, kind: str, sent: float, done: float, intended: float | None
    ) -> None:
        self.tally.of(shot.task.name).errors[kind] += 1
        lane.unsure(shot)
        self._time(shot.task, sent, done, intended, kind, 0)

    def _time(
        self, task: Task, sent: float, done: float, intended: float | None, error: str | None,
        size: int,
    ) -> None:  # fmt: skip
        """Count an exchange off the fast path, and its times where it was answered or given up."""
        tally = self.tally.of(task.name)
        if intended is None:
            tally.sent += error is not None  # a failure is one of something
            return
        tally.sent += 1
        tally.received += size
        point = self.tally.series.at(done - self.t0)
        point.sent += 1
        if error in ("limited", "forbidden"):
            point.limited += error == "limited"
            return
        answered = error is None or error.startswith("http-")
        point.answered += answered
        point.failed += error is not None
        if not answered and error != "timeout":
            return  # what broke at once would flatter the answers
        response = int((done - intended) * 1e6)
        tally.response.add([response])
        tally.service.add([int((done - sent) * 1e6)])
        point.times[coarse(response)] += 1

    def wire(self) -> Wire:
        """Return a new connection that is counted and watched."""
        wire = self.connect()
        self._wires.append(wire)
        return wire

    def _waiting(self) -> list[Wire]:
        """Return the connections on which an answer to a shot is waited for."""
        return [w for w in self._wires if w.greenlet is not None and w.shot is not None]

    def _watch(self) -> None:
        """Once in a while: end what takes too long, flush the buffers, feel the own pulse."""
        pulse = 0.05
        while True:
            before = perf_counter()
            gevent.sleep(pulse)
            now = perf_counter()
            if self.started.is_set() and not self._over:
                self._lag.append(int(max(now - before - pulse, 0) * 1e6))
            for wire in self._waiting():
                if now - wire.busy_since > self.profile.timeout:
                    get_hub().loop.run_callback(_give_up, wire, wire.busy_since)
            if self.started.is_set() and now - self._last_flush >= 1.0:
                self.flush(now)

    def flush(self, now: float) -> None:
        """Move what the buffers hold into the tally. Times on the series are the flush's."""
        point = self.tally.series.at(max(self._last_flush - self.t0, 0.0))
        fed = {}
        for task, buffer in zip(self.lanes[0].plan.tasks, self._buffers, strict=True):
            count = len(buffer.response)
            if not count:
                continue
            tally = self.tally.of(task.name)
            tally.sent += count
            tally.good += count
            tally.received += buffer.received
            fresh = tally.response.add(buffer.response)
            if self._closed:
                tally.service.merge_counts(fresh)
            else:
                tally.service.add(buffer.service)
            for value, times in fresh.items():
                point.times[coarse(value)] += times
            point.sent += count
            point.answered += count
            fed[task.name] = Fresh(count, fresh, buffer.received)
            buffer.response.clear()
            buffer.service.clear()
            buffer.received = 0
        self.tally.lag.add(self._lag)
        self._lag.clear()
        self._last_flush = now
        if self.on_flush is not None:
            self.on_flush(fed)

    def _settle(self, now: float) -> None:
        """Flush, and count what is still in flight as failures of its age."""
        self._over = True
        self.flush(now)
        for wire in self._waiting():
            self.tally.numbers["in-flight"] += 1
            tally = self.tally.of(wire.shot.task.name)
            tally.sent += 1
            tally.errors["in-flight"] += 1
            age = int((now - wire.busy_since) * 1e6)
            tally.response.add([age])
            tally.service.add([age])

    def _close(self, now: float) -> None:
        """Count what the whole run took: tickets, connections, processor time."""
        if self.finished.is_set():
            return
        numbers = self.tally.numbers
        numbers["taken"] += self._taken
        numbers["cpu-micros"] += int((time.process_time() - self._cpu) * 1e6)
        for wire in self._wires:
            numbers["opened"] += wire.opened
            numbers["unannounced"] += wire.unannounced
        self.finished.set()


def _unjudged(judge: Judge, status: int, head: bytes, body: bytes, asked: Asked, now: float) -> Any:
    """Stand in for `Judge.quick` where only the generator is measured; ids are still learned."""
    if judge.operation.verb != "GET":
        return judge.quick(status, head, body, asked, now)
    return EMPTY if 200 <= status < 300 else BAD


def _calm_collector() -> None:
    """Keep the garbage collector from walking all that Locust imported, again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _give_up(wire: Wire, since: float) -> None:
    """Throw into the greenlet that waits, unless its answer came in the meantime.

    Runs in the hub: thrown from another greenlet, that one would never be resumed.
    """
    if wire.greenlet is not None and wire.busy_since == since:
        wire.greenlet.throw(Timeout())


def _line(task: Task, status: int, size: int, seconds: float) -> str:
    operation = task.operation
    return f"{operation.verb} {operation.path} → {status}, {size} bytes, {seconds * 1000:.1f} ms"


def _lost(task: Task) -> Finding:
    effect = task.operation.effect
    return Finding(
        "LD6",
        f"{task.name}: what was acknowledged as written, and never deleted, is not found",
        operation=task.name,
        basis=effect.basis if effect else task.operation.basis,
        cause=f"lost-under-load {task.name}",
    )
