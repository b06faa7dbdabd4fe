"""`memconform run`: the embedded backend, the published SDKs and load runs, in one result.

Each part is a child process that writes its own `results.json`; this module starts them (as many
at once as there are cores; load runs alone, so that nothing else moves its figures), shows how
far they are, and puts their subjects together. A part that dies becomes a subject with an error,
never a gap.
"""

from __future__ import annotations

import json
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

import specs
from conformance.children import Child, python
from conformance.clock import Clock, SystemClock, timestamp
from conformance.contained import folder as temporary_folder
from conformance.drivers import tables
from conformance.report.results import CaseEntry, Results, SubjectEntry
from conformance.report.run import make
from conformance.rerun import NothingFailed, NotJudged, failed
from conformance.verdict import Verdict

Kind = Literal["backend", "sdk", "load"]
KINDS: tuple[Kind, ...] = ("backend", "sdk", "load")
START_SECONDS = 60.0
"""How long the embedded backend may take until it is ready, on a machine with cold caches."""
FAREWELL = 30.0
"""How long a part that is interrupted may take to write down what it knows, on a busy machine."""
PART_SECONDS = 600.0
"""How long one part may run before it is ended and counted as an error."""


@dataclass
class Part:
    """One child's share of the run."""

    kind: Kind
    api: str
    name: str
    arguments: tuple[str, ...]
    version: str = ""
    done: int = 0
    of: int = 0
    what: str = ""
    state: Literal["waiting", "running", "finished"] = "waiting"
    started: float = 0.0
    seconds: float = 0.0
    child: Child | None = field(default=None, repr=False)

    def hear(self, event: dict[str, Any]) -> None:
        """Take a progress event from the child."""
        if event.get("event") == "progress":
            self.done, self.of = int(event.get("done", 0)), int(event.get("of", 0))
            self.what = str(event.get("what", ""))[:80]


Watch = Callable[[Sequence[Part]], None]


@dataclass(frozen=True)
class Backend:
    """A served reference backend: base URL of each API, and the keys that it takes.

    `roles` maps a principal's part in the backend suite (`member`, `free`, …) to a key.
    """

    urls: dict[str, str]
    keys: tuple[str, ...]
    roles: dict[str, str] = field(default_factory=dict)


class BackendFailed(RuntimeError):
    """The embedded backend did not start; the message says what it said."""


@contextmanager
def embedded(*extra: str) -> Iterator[Backend]:
    """Serve the reference backend in a child for as long as the block runs."""
    with temporary_folder("serve") as folder:
        child = Child(python("serve", "--port", "0", "--db", str(Path(folder) / "data.db"), *extra))
        try:
            line = child.first_line(START_SECONDS)
            try:
                ready = json.loads(line or "")
            except ValueError:
                child.stop()
                said = "; ".join(list(child.tail)[-3:]) or "nothing"
                raise BackendFailed(
                    f"the embedded backend did not start; it said: {said}"
                ) from None
            parts = ("member", "limited", "expired", "free")
            roles = {role: ready[f"{role}_keys"][0] for role in parts}
            yield Backend(dict(ready["apis"]), tuple(ready["keys"]), roles)
        finally:
            child.stop()


def releases() -> Iterator[tuple[str, str]]:
    """Yield (package, version) of each published SDK: the documented version, then the latest."""
    seen = set()
    for api in specs.names():
        client = specs.load(api).client
        for version in (client.documented, client.latest) if client else ():
            release = (client.package, version) if client else ("", "")
            if release not in seen:
                seen.add(release)
                yield release


def _document(api: str) -> str:
    """Return the document that an API is described in: one product, where it is the same."""
    return specs.load(api).root.document


def plan(
    kinds: Sequence[Kind], backend: Backend, seed: int, fast: bool = False, cached: bool = True
) -> list[Part]:
    """Return the parts of a run in the order in which results list them."""
    parts = []
    tail = ("--seed", str(seed))
    quick = ("--fast",) if fast else ()
    forced = () if cached else ("--no-cache",)
    shown = (*backend.keys, *(f"{role}={key}" for role, key in backend.roles.items()))
    keys = tuple(word for key in shown for word in ("--api-key", key))
    if "backend" in kinds:
        for api in specs.names():
            same = [n for n in specs.names() if n != api and _document(n) == _document(api)]
            also = [word for n in same for word in ("--also", f"{n}={backend.urls[n]}")]
            where = ("--base-url", backend.urls[api], "--api", api, *keys, *also)
            parts.append(Part("backend", api, "embedded", ("backend", *where, *tail, *quick)))
    if "sdk" in kinds:
        for package, version in releases():
            wanted = f"{package}=={version}"
            parts.append(Part("sdk", package, package, ("sdk", wanted, *tail, *forced), version))
    if "load" in kinds:
        for api in specs.names():
            where = ("--base-url", backend.urls[api], "--api", api, "--api-key", backend.keys[0])
            parts.append(
                Part("load", api, "embedded", ("load", *where, "--load-profile", "smoke", *tail))
            )
    return parts


def again(parts: Sequence[Part], earlier: Results) -> list[Part]:
    """Return the parts that failed in an earlier run, each with the cases that failed.

    A load run has no cases to choose from: it runs again as a whole. Raises NothingFailed.
    """
    left = []
    for part in parts:
        named = f"{part.name}=={part.version}" if part.kind == "sdk" else part.api
        try:
            cases = failed(earlier, part.kind, named)
        except NotJudged:
            continue
        if cases:
            words = [w for case in cases for w in ("--case", case)] if part.kind != "load" else []
            left.append(replace(part, arguments=(*part.arguments, *words)))
    if not left:
        raise NothingFailed
    return left


def size(part: Part) -> int:
    """Return how long a part takes beside others: those that take longest begin first."""
    if part.kind != "sdk":
        return 0
    entries = tables.for_package(part.name)
    return sum(len(e.table.operations) * len(e.table.clients) for e in entries)


def run(
    kinds: Sequence[Kind],
    *,
    seed: int = 0,
    jobs: int | None = None,
    command: Sequence[str] = (),
    watch: Watch = lambda parts: None,
    clock: Clock | None = None,
    serve_options: Sequence[str] = (),
    fast: bool = False,
    earlier: Results | None = None,
    cached: bool = True,
) -> Results:
    """Run the parts of `kinds` and return their merged result; Ctrl-C returns what is finished.

    `earlier`: a result, of which only what failed is judged again. `cached`: take the
    result of a release from the cache. Raises NothingFailed.
    """
    clock = clock or SystemClock()
    started, began = clock.monotonic(), timestamp()
    parts: list[Part] = []
    complete = True
    secrets: tuple[str, ...] = ()
    with temporary_folder("run") as folder:
        try:
            with embedded(*serve_options) as backend:
                secrets = (*backend.keys, *backend.roles.values())
                parts = plan(kinds, backend, seed, fast, cached)
                parts = parts if earlier is None else again(parts, earlier)
                together = sorted((p for p in parts if p.kind != "load"), key=size, reverse=True)
                alone = [p for p in parts if p.kind == "load"]
                try:
                    _work(together, Path(folder), jobs or os.cpu_count() or 1, parts, watch, clock)
                    _work(alone, Path(folder), 1, parts, watch, clock)
                finally:
                    # Before the backend goes: its end must not look like a finding.
                    _stop(parts)
        except KeyboardInterrupt:
            complete = False
        subjects = tuple(_subjects(parts, Path(folder), complete))
    return make(
        subjects,
        started=began,
        seconds=clock.monotonic() - started,
        seed=seed,
        command=command,
        secrets=secrets,
        complete=complete,
        reason="" if complete else _interrupted(parts),
        parts=_seconds(parts),
    )


def apart(
    parts: Sequence[Part],
    order: Sequence[Part],
    jobs: int,
    watch: Watch = lambda parts: None,
    clock: Clock | None = None,
) -> tuple[list[SubjectEntry], bool]:
    """Run parts in processes of their own, begun in `order`; return their subjects as in `parts`.

    However long they take. One that dies is a subject with an error, and the others go on. When
    this is interrupted, all of them are, and what they know until then is returned with False.
    """
    complete = True
    with temporary_folder("apart") as folder:
        try:
            _work(order, Path(folder), jobs, parts, watch, clock or SystemClock(), inf)
        except KeyboardInterrupt:
            complete = False
        finally:
            _stop(parts, FAREWELL)
        return list(_subjects(parts, Path(folder), complete)), complete


def _work(
    parts: Sequence[Part],
    folder: Path,
    jobs: int,
    everything: Sequence[Part],
    watch: Watch,
    clock: Clock,
    longest: float = PART_SECONDS,
) -> None:
    waiting, running = deque(parts), list[Part]()
    while waiting or running:
        while waiting and len(running) < jobs:
            part = waiting.popleft()
            out = _folder(folder, everything, part)
            part.child = Child(python(*part.arguments, "--out", str(out)), listener=part.hear)
            part.state, part.started = "running", clock.monotonic()
            running.append(part)
        for part in list(running):
            assert part.child is not None
            part.seconds = clock.monotonic() - part.started
            if part.seconds > longest:
                part.child.tail.append(f"ended after {longest:.0f} s")
                part.child.stop()
            if part.child.wait(0.1) is not None:
                part.state = "finished"
                running.remove(part)
        watch(everything)


def _stop(parts: Sequence[Part], patience: float = 5.0) -> None:
    """End every part that still runs, all at once, deaf to a second Ctrl-C meanwhile."""
    running = [p.child for p in parts if p.child is not None and p.child.poll() is None]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ThreadPoolExecutor(max(1, len(running))) as pool:
            list(pool.map(lambda child: child.stop(patience), running))
    finally:
        signal.signal(signal.SIGINT, before)


def _folder(folder: Path, parts: Sequence[Part], part: Part) -> Path:
    return folder / f"{list(parts).index(part):02d}"


def _subjects(parts: Sequence[Part], folder: Path, complete: bool) -> Iterator[SubjectEntry]:
    for part in parts:
        path = _folder(folder, parts, part) / "results.json"
        try:
            yield from Results.model_validate_json(path.read_text("utf-8")).subjects
        except (OSError, ValidationError) as error:
            if complete or part.state == "finished":
                yield _lost(part, error)


def _lost(part: Part, error: Exception) -> SubjectEntry:
    said = "; ".join(list(part.child.tail)[-3:]) if part.child else ""
    code = part.child.poll() if part.child else None
    reason = f"the part ended with exit code {code} and left no result"
    if isinstance(error, ValidationError):
        reason = f"the part left a result that is not one: {error.errors()[0]['msg']}"
    reason += f"; it said: {said}" if said else ""
    return SubjectEntry(
        kind=part.kind,
        api=part.api,
        name=part.name,
        version=part.version,
        verdict=Verdict.ERROR,
        cases=(CaseEntry(case="run.part", verdict=Verdict.ERROR, reason=reason),),
        wall_seconds=round(part.seconds, 3),
    )


def _interrupted(parts: Sequence[Part]) -> str:
    finished = sum(p.state == "finished" for p in parts)
    return f"interrupted when {finished} of {len(parts)} parts were finished"


def _seconds(parts: Sequence[Part]) -> dict[str, float]:
    """Wall seconds of each kind: from its first start to its last end."""
    made: dict[str, float] = {}
    for kind in KINDS:
        spans = [(p.started, p.started + p.seconds) for p in parts if p.kind == kind and p.started]
        if spans:
            made[kind] = max(end for _, end in spans) - min(start for start, _ in spans)
    return made
