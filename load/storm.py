"""A retry storm: SDKs as clients of a backend that fails for a while.

Run as a process of its own (`python -m load.storm`), without Locust: drivers are threads and
pipes, which Locust's patched process is no place for. Three kinds of clients take part, each
through a relay of its own that fails for the outage: the reference SDK, which keeps the contract;
the published SDK, where there is one; and a naive client that retries at once and without end, to
show that the storm was real. Counted is what reached the relay; judged is how many sends came of
one call, and how soon all was well again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import specs
from conformance.clock import monotonic
from conformance.drivers import tables
from conformance.drivers.environment import EnvironmentUnavailable, prepare, resolve
from conformance.drivers.pipe import DriverError
from conformance.drivers.process import DriverProcess, host_command
from conformance.history import Outcome
from conformance.oracles.answers import Answer
from conformance.oracles.retry import Duty, rule_for
from conformance.verdict import Finding
from load.profile import Profile, load_profile, within
from load.record import Tally, pack
from load.relay import Ask, Forward, Relay, Reply
from specs import Basis, Contract, Operation, effects
from specs.examples import arguments, example_response

NAIVE = "naive client"
NAIVE_SENDS = 200
"""Sends after which even the naive client gives up on a call."""
SLACK = 1.25
"""Sends over calls may exceed the declared attempts by this: calls that straddle an edge."""


FAILURES = (503, 500, 502, 504, 429)
"""What a backend that fails may answer, the likeliest first."""
Called = tuple[float, float, str]
"""(started, ended, what was raised or '') of one call."""


@dataclass
class Group:
    """What one kind of client did. Times are seconds from the start."""

    name: str
    calls: list[Called] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    problem: str = ""
    operation: Operation | None = None
    """What it calls, where that is not what all call."""
    troubles: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(operation, name of what was wrong) -> the backend's answers that were not whole or right."""
    waiting: int = 0
    """Requests that the backend had not answered when all was over."""
    unannounced: int = 0
    """Times the backend closed right after an answer without saying so."""


def failing(operation: Operation) -> int:
    """Return the status of an outage: the first that clients must retry, or a storm shows nothing.

    Where the contract has none retried, a plain 503.
    """
    must = (s for s in FAILURES if rule_for(operation.retries, Answer(s)).duty is Duty.RETRY)
    return next(must, FAILURES[0])


class Outage:
    """The behaviour of a relay: failing between two moments, right otherwise and before."""

    def __init__(self, group: Group, profile: Profile) -> None:
        self.group = group
        self.began: float | None = None
        self.start = profile.storm.outage_after
        self.end = self.start + profile.storm.outage

    def begin(self, operation: Operation, began: float) -> None:
        """Let the time run: arrivals count from here."""
        self.began = began
        status = failing(operation)
        try:
            status, headers, body = example_response(operation, status)
        except LookupError:
            headers, body = {"content-type": "application/json"}, {}
        headers.pop("retry-after", None)
        self.reply = status, list(headers.items()), json.dumps(body).encode()

    async def __call__(self, relay: Relay, ask: Ask, forward: Forward) -> Reply:
        """Fail or pass on, and note the arrival."""
        if self.began is None:
            return await forward()
        now = monotonic() - self.began
        self.group.arrivals.append(now)
        if self.start <= now < self.end:
            status, headers, body = self.reply
            return Reply(status, list(headers), body)
        return await forward()


HARMLESS = ("create", "search", "list", "read", "action", "none")
"""Effects that change nothing which somebody else made."""


def candidates(contract: Contract, leave: Collection[str] = ()) -> list[Operation]:
    """Return the operations that clients may call, best first: without ids, retried, safe.

    What `leave` names is not called, nor what could change somebody's records.
    """
    ready = [
        o for o in contract
        if (o.effect is None or not o.effect.target) and o.authenticated and o.method
        and not o.parameters_in("path") and o.id not in leave
        and (o.safe or effects.kind(o) in HARMLESS)
    ]  # fmt: skip
    return sorted(ready, key=lambda o: (o.retries is None, not o.safe))


def choose(contract: Contract) -> Operation:
    """Return the operation that clients call unless it fails them on a healthy backend."""
    return candidates(contract)[0]


def run(
    base_url: str, contract: Contract, key: str, profile: Profile, leave: Collection[str] = ()
) -> Tally:
    """Let all groups loose on the backend at once; return what came of it.

    Raises LookupError where no operation is left that clients may call.
    """
    operations = candidates(contract, leave)
    if not operations:
        raise LookupError("no operation is left that every client may call and that needs no id")
    kinds = _clients(contract, profile)
    groups = [Group(name) for name, _ in kinds]
    outages = [Outage(group, profile) for group in groups]
    longest = profile.storm.outage_after + profile.storm.outage + 2 * profile.timeout + 120
    with ExitStack() as stack:
        relays = [
            stack.enter_context(Relay(base_url, contract, each, profile.timeout))
            for each in outages
        ]
        opened: dict[str, Opened] = {}

        def open_one(group: Group, open_: Opener, url: str) -> None:
            try:
                opened[group.name] = open_(url, key, operations)
            except (DriverError, EnvironmentUnavailable, LookupError) as why:
                group.problem = str(why) or "no driver table for this API"

        _together(
            [
                partial(open_one, group, open_, relay.url)
                for group, (_, open_), relay in zip(groups, kinds, relays, strict=True)
            ],
            longest,
        )
        began, players = monotonic(), []
        for group, outage in zip(groups, outages, strict=True):
            if group.name in opened:
                call, close, group.operation = opened[group.name]
                outage.begin(group.operation, began)
                players.append(_player(call, close, group, began, profile))
        _together(players, longest)
        for group, relay in zip(groups, relays, strict=True):
            group.troubles.update(relay.troubles)
            group.waiting, group.unannounced = relay.waiting, relay.unannounced
    return tell(groups, operations[0], profile)


def _together(work: list[Callable[[], None]], longest: float) -> None:
    """Do everything at once and wait until it is done, at most so many seconds for each."""
    threads = [threading.Thread(target=each, daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(longest)


Caller = Callable[[int], list[Called]]
Opened = tuple[Caller, Callable[[], None], Operation]
"""What calls, what closes, and which operation is called."""
Opener = Callable[[str, str, list[Operation]], Opened]


def _clients(contract: Contract, profile: Profile) -> list[tuple[str, Opener]]:
    """Return the kinds of client: name, and what opens one on (url, key, operations)."""
    found: list[tuple[str, Opener]] = [
        ("reference SDK", _driven([sys.executable, "-m", "conformance.reference.sdk", "--api",
                                   str(contract.path), "--clock", "real"])),
        (NAIVE, _naive(contract)),
    ]  # fmt: skip
    if contract.client is not None:
        found.append((contract.client.package, _published(contract)))
    found += [(command, _driven(shlex.split(command))) for command in profile.storm.drivers]
    return found


def _published(contract: Contract) -> Opener:
    def open_(url: str, key: str, operations: list[Operation]) -> Opened:
        assert contract.client is not None
        environment = prepare(resolve(contract.client.package))
        every = tables.for_package(environment.name)
        entry = next((e for e in every if e.table.api == contract.api), None)
        if entry is None:
            raise LookupError(f"{environment.name} has no driver table for {contract.api}")
        command = host_command(environment.python, entry.path, entry.table.api, "real")
        return _driven(command)(url, key, operations)

    return open_


def _driven(command: list[str]) -> Opener:
    def open_(url: str, key: str, operations: list[Operation]) -> Opened:
        driver = DriverProcess(command)
        try:
            hello = driver.hello()
            known = [o for o in operations if hello.can(o.id, "sync") or hello.can(o.id, "async")]
            mode = "sync" if any(hello.can(o.id, "sync") for o in known) else "async"
            client = driver.open(url, key, mode)  # type: ignore[arg-type]
            if not isinstance(client, str):
                raise DriverError(f"its client cannot be made: {_why(client, key)}")
            operation = _working(driver, client, [o for o in known if hello.can(o.id, mode)])  # type: ignore[arg-type]
        except BaseException:
            driver.stop()
            raise
        given = arguments(operation, optional=False)

        def call(at_once: int) -> list[Called]:
            wanted = [(operation.id, given)] * at_once
            made = driver.calls(client, wanted, at_once, timeout=120)
            return [(c.started, c.ended, _well(c.outcome)) for c in made]

        return call, driver.stop, operation

    return open_


def _working(driver: DriverProcess, client: str, operations: list[Operation]) -> Operation:
    """Return the first operation that ends well on the healthy backend.

    A release may send an operation where the document declares none. Raises DriverError, which
    says what each ended with, where none ends well.
    """
    ended = []
    for operation in operations:
        wanted = [(operation.id, arguments(operation, optional=False))]
        raised = _well(driver.calls(client, wanted, 1, timeout=60)[0].outcome)
        if not raised:
            return operation
        ended.append(f"{operation.id}: {raised}")
    raise DriverError(
        "no operation succeeds on the healthy backend, so its outage shows nothing "
        f"({'; '.join(ended) or 'it has none of the contract that needs no id'})"
    )


def _why(outcome: Outcome, key: str) -> str:
    """Return in words what a client ended with; a key that it repeats stays out of it."""
    if outcome.error is None:
        return outcome.detail or outcome.kind
    told = outcome.error.message.replace(key, "…") if key else outcome.error.message
    return f"{outcome.error.name}: {told}"


def _well(outcome: Outcome) -> str:
    """Return '' for a call that ended well, else the name of what was raised."""
    if outcome.kind == "value":
        return ""
    return outcome.error.name if outcome.error is not None else outcome.kind


def _naive(contract: Contract) -> Opener:
    """A client that sends again at once until it is answered well: what nobody should write."""

    def open_(url: str, key: str, operations: list[Operation]) -> Opened:
        operation = operations[0]
        auth = {h.header: f"{h.prefix}{key}" for h in contract.auth[:1]}
        body = None
        if operation.body is not None:
            body = json.dumps(arguments(operation, optional=False)).encode()
            auth["Content-Type"] = "application/json"
        request = urllib.request.Request(  # noqa: S310 - our own relay
            url + operation.path, body, auth, method=operation.verb
        )

        def one() -> Called:
            started, raised = monotonic(), "gave up"
            for _attempt in range(NAIVE_SENDS):
                try:
                    with urllib.request.urlopen(request, timeout=10):  # noqa: S310
                        raised = ""
                        break
                except OSError:
                    time.sleep(0.02)
            return started, monotonic(), raised

        def call(at_once: int) -> list[Called]:
            return [one()]

        return call, lambda: None, operation

    return open_


def _player(
    call: Caller, close: Callable[[], None], group: Group, began: float, profile: Profile
) -> Callable[[], None]:
    storm = profile.storm
    end = began + storm.outage_after + storm.outage + storm.recovery

    def play() -> None:
        try:
            while (now := monotonic()) < end:
                made = call(storm.clients)
                group.calls += [(s - began, e - began, raised) for s, e, raised in made]
                rest = now + 1 / storm.pace - monotonic()
                time.sleep(max(rest, 0))
        except DriverError as why:
            group.problem = str(why)
        finally:
            close()

    return play


def tell(groups: list[Group], operation: Operation, profile: Profile) -> Tally:
    """Return the counts and findings of all groups, which call `operation` or their own. Pure."""
    tally = Tally()
    rows = [figures(group, profile) for group in groups]
    for group, row in zip(groups, rows, strict=True):
        called = group.operation or operation
        retries = called.retries
        allowed = float(retries.max_attempts) if retries is not None else 1.0
        basis = retries.basis if retries is not None else Basis.ASSUMED
        limit = profile.gates.amplification or allowed * SLACK
        total = tally.of(called.id)
        row |= {"operation": called.id, "allowed": allowed, "status": failing(called)}
        well = sum(not raised for _, _, raised in group.calls)
        total.sent += len(group.calls)
        total.good += well
        total.errors["failed-call"] += len(group.calls) - well
        total.response.add([int((e - s) * 1e6) for s, e, _ in group.calls])
        for started, ended, raised in group.calls:
            point = tally.series.at(ended)
            point.sent += 1
            point.answered += not raised
            point.failed += bool(raised)
            point.times[int((ended - started) * 1e6)] += 1
        if group.name != NAIVE:
            _judge(tally, group.name, called, row, limit, basis, profile)
        tally.numbers["in-flight"] += group.waiting
        tally.numbers["unannounced"] += group.unannounced
    _framing(tally, groups)
    tally.facts["storm"] = {"operation": operation.id, "groups": rows}
    tally.numbers["planned"] = tally.total().sent
    return tally


def _framing(tally: Tally, groups: list[Group]) -> None:
    """Tell what was wrong with the backend's own answers: no outage is an excuse for that."""
    counted: Counter[tuple[str, str]] = Counter()
    for group in groups:
        counted.update(group.troubles)
    for (operation, kind), count in sorted(counted.items()):
        met = [group.name for group in groups if group.troubles[operation, kind]]
        finding = Finding(
            "LD2", f"{operation or 'a request'} failed as {kind}, as {' and '.join(met)} met it",
            operation=operation or None, expected="whole answers, framed as HTTP says",
            actual=kind, basis=Basis.DOCUMENTED, cause=f"{kind} {operation}".strip(),
        )  # fmt: skip
        for _ in range(count):
            tally.saw(finding)


def _judge(
    tally: Tally, name: str, operation: Operation, row: dict[str, Any], limit: float, basis: Basis,
    profile: Profile,
) -> None:  # fmt: skip
    if row["problem"]:
        return
    factor, recovery = row["amplification"], row["recovery"]
    if factor is not None and factor > limit:
        tally.saw(
            Finding("LD11", f"{name}: one call to {operation.id} became {factor:.2f} sends while "
                    f"the backend failed; the contract allows {row['allowed']:g}",
                    operation=operation.id, expected=f"at most {row['allowed']:g}",
                    actual=factor, basis=basis, cause=f"amplification {name}")
        )  # fmt: skip
    allowed = profile.gates.recovery
    if allowed is not None and row["calls_after"] and (recovery is None or recovery > allowed):
        told = "did not recover" if recovery is None else f"took {recovery:.1f} s to recover"
        tally.saw(
            Finding("LD11", f"{name}: {told} after the backend was well again",
                    operation=operation.id, expected=f"at most {allowed:g} s", basis=basis,
                    cause=f"recovery {name}")
        )  # fmt: skip


def figures(group: Group, profile: Profile) -> dict[str, Any]:
    """Return one group's figures: amplification, recovery, goodput. Pure.

    Recovered is who succeeds and has no call fail any more; the seconds count from the outage's
    end.
    """
    start = profile.storm.outage_after
    end = start + profile.storm.outage
    during = [c for c in group.calls if c[1] > start and c[0] < end]
    sends = sum(start <= a < end for a in group.arrivals)
    after = [c for c in group.calls if c[0] >= end]
    last_bad = max((e for _, e, raised in group.calls if raised and e >= end), default=end)
    all_well = min((e for _, e, r in group.calls if not r and e >= last_bad), default=None)
    seconds_after = max((e for _, e, _ in group.calls), default=end) - end

    def goodput(calls: list[Called], seconds: float) -> float:
        return round(sum(not r for _, _, r in calls) / seconds, 3) if seconds > 0 else 0.0

    before = [c for c in group.calls if c[1] <= start]
    kinds: Counter[str] = Counter()
    for (_, kind), count in group.troubles.items():
        kinds[kind] += count
    problem = group.problem
    if before and all(raised for _, _, raised in before):
        problem = f"no call succeeded before the outage ({before[0][2]})"
    return {
        "name": group.name,
        "problem": problem,
        "troubles": dict(kinds),
        "calls": len(group.calls),
        "sends": len(group.arrivals),
        "calls_during": len(during),
        "sends_during": sends,
        "amplification": round(sends / len(during), 3) if during else None,
        "recovery": None if all_well is None else round(all_well - end, 3),
        "calls_after": len(after),
        "goodput_before": goodput(before, start),
        "goodput_during": goodput(during, end - start),
        "goodput_after": goodput(after, seconds_after),
    }


def main() -> int:
    """Run a storm and print its tally as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m load.storm")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--api", required=True)
    parser.add_argument("--load-profile", default="retry-storm")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--leave", action="append", default=[])
    given = parser.parse_args()
    key = os.environ.get("MEMCONFORM_API_KEYS", "").split(",")[0]
    profile = load_profile(given.load_profile)
    if given.seconds is not None:
        profile = within(profile, given.seconds)
    made = run(given.base_url, specs.load(given.api), key, profile, given.leave)
    print(json.dumps(pack(made)), flush=True)  # noqa: T201 - this is its result
    return 0


if __name__ == "__main__":
    sys.exit(main())
