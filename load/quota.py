"""Driving the rate limit: one burst below it, one beyond it at once, one request after the wait.

Every answer is judged as in any run; who was let in is judged by `admission.py`. A quota that
cannot be reached within the profile's requests is inconclusive, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import gevent.pool

from conformance.backend import words
from conformance.clock import epoch_seconds, perf_counter
from conformance.history import Headers
from conformance.oracles.answers import retry_after
from conformance.oracles.limits import Quota
from conformance.verdict import Finding
from load.admission import Admission, judge, judge_untold, most_untold
from load.engine import Engine, Wire
from load.framing import Trouble, header_of
from load.judge import parse_head
from load.lane import Lane
from load.plan import Task
from specs import Basis, quotas
from specs.vocabulary import RateLimit

FRESH = 0.3
"""Seconds waited beyond a reset, so that clocks need not agree to the millisecond."""


class Unreachable(Exception):
    """The limit cannot be driven; the text says why."""


def drive(engine: Engine) -> None:
    """Drive the first key's limit and leave what was found in the engine's tally."""
    with engine.watched():
        engine.started.set()
        engine.t0 = engine._last_flush = perf_counter()
        lane = engine.lanes[0]
        facts: dict[str, Any] = {}
        engine.tally.facts["rate-limit"] = facts
        try:
            _Driver(engine, lane, facts).run()
        except Unreachable as why:
            facts["unreached"] = str(why)
        engine.flush(perf_counter())


class _Driver:
    def __init__(self, engine: Engine, lane: Lane, facts: dict[str, Any]) -> None:
        self.engine, self.lane, self.facts = engine, lane, facts
        self.plan = engine.profile.rate_limit
        self.task = _choose(engine, self.plan.operation)
        self.limit: RateLimit = self.task.operation.rate_limit  # type: ignore[assignment]
        self.named = words.quota(self.plan.quota)
        self.events: list[Admission] = []
        self.sent = 0
        self.wait: float | None = None
        self.wires: list[Wire] = [engine.wire() for _ in range(self.plan.concurrency)]
        facts["operation"] = self.task.name

    def run(self) -> None:
        """Probe, burst below, burst beyond, wait, try again; then judge."""
        probe = self._probe()
        quota = probe.limit
        assert quota is not None
        self.facts["quota"] = quota
        if self.plan.above * quota > self.plan.max_requests:
            raise Unreachable(
                f"the quota of {quota} cannot be overrun within {self.plan.max_requests} requests; "
                "raise rate-limit.max-requests, or test where the limit is lower"
            )
        if probe.reset is None and self.named is not None:
            self._run_untold(self.named)
            return
        if probe.remaining is not None and probe.remaining < quota - 1:
            self._rest(max((probe.reset or 0) - epoch_seconds(), 0))
            self.events.clear()
        self._burst(int(self.plan.below * quota))
        early = sum(not e.admitted for e in self.events)
        self._burst(int(self.plan.above * quota) - self.sent)
        refused = sum(not e.admitted for e in self.events)
        self.facts |= {"sent": self.sent, "admitted": len(self.events) - refused,
                       "refused": refused}  # fmt: skip
        self._judge(early)
        if not refused:
            raise Unreachable(f"{self.sent} requests, {self.plan.above:g} times the quota of "
                              f"{quota}, were all let in")  # fmt: skip
        self._after_wait()

    def _run_untold(self, quota: Quota) -> None:
        """Drive a limit that no answer tells of: idle first, so that it is whole, then overrun it.

        Who waited out a refusal is at the beginning of a window: there the overrun is judged.
        """
        self._rest(quota.w)
        self.events.clear()
        self._burst(int(self.plan.below * quota.q))
        early = sum(not e.admitted for e in self.events)
        if early:
            self._saw_early(early)
        self._burst(int(self.plan.above * quota.q))
        if all(e.admitted for e in self.events):
            raise Unreachable(f"{len(self.events)} requests were all let in, where "
                              f"{quota.q} in {quota.w:g} s are named as the limit")  # fmt: skip
        self._rest(self.wait if self.wait is not None else quota.w)
        self.events.clear()
        self._burst(int(self.plan.above * quota.q))
        refused = sum(not e.admitted for e in self.events)
        self.facts |= {"sent": self.sent, "admitted": len(self.events) - refused,
                       "refused": refused}  # fmt: skip
        # one of those that went first, though its answer need not have been read first
        first = self.events[: len(self.wires)]
        if self.wait is not None and not any(e.admitted for e in first):
            self._saw_refused_after_wait()
        most = most_untold(self.events, quota)
        for wrong in judge_untold(self.events, quota):
            self._saw(wrong.slug, wrong.words, wrong.count)
        if most >= len(self.events):
            raise Unreachable(f"the burst lasted so long that {most} of {len(self.events)} may "
                              f"rightly be let in; name a longer window than {quota.w:g} s, or "
                              "use a faster machine")  # fmt: skip

    def _probe(self) -> Admission:
        self._one(self.wires[0])
        if not self.events:
            raise Unreachable("the first request got no answer")
        if self.events[0].limit is None:
            raise Unreachable("answers do not say what the limit is, and no document does; name it "
                              "with --quota REQUESTS/SECONDS")  # fmt: skip
        return self.events[0]

    def _burst(self, count: int) -> None:
        todo = iter(range(max(count, 0)))
        pool = gevent.pool.Pool(len(self.wires))
        for wire in self.wires:
            pool.spawn(self._until_none, wire, todo)
        pool.join(raise_error=True)

    def _until_none(self, wire: Wire, todo: Iterator[int]) -> None:
        for _ in todo:
            self._one(wire)

    def _one(self, wire: Wire) -> None:
        engine, shot = self.engine, self.lane.shoot(self.task)
        self.sent += 1
        wire.shot = shot
        sent = wire.busy_since = perf_counter()
        try:
            status, head, body = wire.exchange(shot.data)
        except Trouble as trouble:
            engine.tally.of(self.task.name).errors[trouble.kind] += 1
            return
        finally:
            for resource in shot.held:
                self.lane.release(resource)
        now = epoch_seconds()
        engine.look(self.lane, shot, (status, head, body), sent, perf_counter(), sent)
        self._note(status, head, parse_head(head), now)

    def _note(self, status: int, head: bytes, fields: Headers, now: float) -> None:
        reading = quotas.read(self.limit, fields, now)
        refused = status == self.limit.exceeded_status
        if refused:
            given = header_of(head, b"retry-after")
            seconds = retry_after(given.decode("latin-1") if given else None, now)
            self.wait = seconds if seconds is not None else self.wait
        if reading is None or reading.limit is None:
            named = self.named.q if self.named is not None else None
            self.events.append(Admission(now, not refused, named, None, None))
            return
        limit, reset = reading.limit, reading.reset
        left = reading.remaining
        self.events.append(
            Admission(
                now, not refused, int(limit), None if left is None else int(left),
                # Unsaid resets are taken as one window: a burst is shorter than any.
                now + reset if reset is not None else 0.0,
            )
        )  # fmt: skip

    def _rest(self, seconds: float) -> None:
        if seconds > self.plan.max_wait:
            raise Unreachable(f"the next window is {seconds:.0f} s away; "
                              f"rate-limit.max-wait is {self.plan.max_wait:g}")  # fmt: skip
        gevent.sleep(seconds + FRESH)

    def _after_wait(self) -> None:
        """What waits as long as it was told is let in."""
        if self.wait is None:
            raise Unreachable("no 429 said how long to wait")
        self._rest(self.wait)
        self.events.clear()
        self._one(self.wires[0])
        if self.events and not self.events[0].admitted:
            self._saw_refused_after_wait()

    def _saw_refused_after_wait(self) -> None:
        self._saw("refused-after-wait", "a request is turned away although it waited as long "
                  "as Retry-After said", 1)  # fmt: skip

    def _saw_early(self, early: int) -> None:
        self._saw("refused-below", f"{early} requests were turned away below the quota", early)

    def _judge(self, early: int) -> None:
        for wrong in judge(self.events, self.limit.algorithm):
            self._saw(wrong.slug, wrong.words, wrong.count)
        if early:
            self._saw_early(early)

    def _saw(self, slug: str, words: str, count: int) -> None:
        basis = Basis.DOCUMENTED if quotas.told(self.limit) else Basis.ASSUMED
        self.engine.tally.numbers[slug] += count
        self.engine.tally.saw(
            Finding("LD9", f"{self.task.name}: {words}", operation=self.task.name,
                    basis=basis, cause=slug)
        )  # fmt: skip


def _choose(engine: Engine, wanted: str | None) -> Task:
    """Return the operation to send: the profile's, else the first safe one without needs."""
    tasks = engine.lanes[0].plan.tasks
    limited = [t for t in tasks if t.operation.rate_limit is not None and not t.needs]
    if wanted is not None:
        for task in tasks:
            if task.name == wanted and task.operation.rate_limit is not None:
                return task
        raise Unreachable(f"{wanted} is not there, or has no rate limit")
    ready = [t for t in limited if t.operation.authenticated]
    safe = [t for t in ready if t.operation.safe] or ready
    if not safe:
        raise Unreachable("no operation of the contract declares a rate limit")
    return min(safe, key=lambda t: t.kind != "none")
