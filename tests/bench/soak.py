"""Statistics of very many requests in one process: does the generator's memory stay flat?

The engine's real path (lane, judge, buffers, histograms, series, findings, Locust's time line) is
fed with answers made beforehand instead of a socket. What has to grow is the ledger: one entry
for each acknowledged write. It is measured apart, in bytes per write.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import specs
from load.call import origin
from load.engine import Engine
from load.plan import make_plan
from load.profile import Profile
from load.schedule import from_profile
from load.session import make_lanes
from tests.bench.server import Memories

FLUSH_EVERY = 20_000
WRONG_EVERY = 1_000
"""Every so many answers one is wrong, so that findings are fed too."""


class Canned:
    """A wire that answers from memory, as the benchmark's server does."""

    def __init__(self) -> None:
        self.greenlet: Any = None
        self.shot: Any = None
        self.busy_since = 0.0
        self.opened = self.unannounced = 0
        self.memories = Memories()
        self._count = itertools.count(1)

    def exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Return the answer to one prepared request."""
        verb, path, _ = data.split(b" ", 2)
        if verb == b"GET":
            raw = self.memories.whole(self.memories.answers[path])
            if not next(self._count) % WRONG_EVERY:
                raw = raw.replace(b'"journal"', b'"nothing"')
        else:
            raw = self.memories.create(json.loads(data.partition(b"\r\n\r\n")[2])["content"])
        head, _, body = raw.partition(b"\r\n\r\n")
        return int(raw[9:12]), head + b"\r\n", body

    def close(self) -> None:
        """Nothing to close."""


def engine() -> Engine:
    """Return an engine on a canned wire, ready to be fed."""
    profile = Profile.model_validate(
        {
            "name": "soak", "kind": "closed", "users": 1, "prepare": 64,
            "only": ["memory.create", "memory.get"],
            "weights": {"memory.create": 1, "memory.get": 500},
            "stages": [{"seconds": 1, "rate": 1}],
        }
    )  # fmt: skip
    plan = make_plan(specs.load("sovant"), profile)
    lanes = make_lanes(plan, origin("http://127.0.0.1:9"), ["k"], "soak", 0)
    wire = Canned()
    made = Engine(profile, from_profile(profile), lanes, lambda: wire)
    made.t0 = time.perf_counter()
    made.prepare()
    return made


def feed(fed: Engine, requests: int, kind: str = "memory.get") -> None:
    """Send so many requests of one kind, flushing as the engine does; a week passes meanwhile."""
    lane, wire = fed.lanes[0], fed.wire()
    task = lane.plan.task(kind)
    for number in range(requests):
        fed.send(wire, lane, lane.shoot(task), time.perf_counter())
        if number % FLUSH_EVERY == FLUSH_EVERY - 1:
            fed.t0 -= 600  # the series must not grow with time either
            fed.flush(time.perf_counter())
    fed.flush(time.perf_counter())
    fed._wires.pop()


def growth(requests: int, memory: Callable[[], int]) -> Iterator[tuple[int, int]]:
    """Yield (requests so far, bytes held) at each of ten equal parts of a soak of reads."""
    fed = engine()
    part = requests // 10
    for number in range(1, 11):
        feed(fed, part)
        yield number * part, memory()
    assert fed.tally.total().sent == part * 10
    assert len(fed.tally.findings) == 1


def per_write(writes: int, memory: Callable[[], int]) -> float:
    """Return the bytes that the ledger keeps of one acknowledged write."""
    fed = engine()
    memories = fed.connect().memories  # type: ignore[attr-defined]
    feed(fed, writes, "memory.create")
    memories.answers = dict(list(memories.answers.items())[:64])
    before = memory()
    fed.lanes[0].written.clear()
    fed.lanes[0].pools.clear()
    return (before - memory()) / writes
