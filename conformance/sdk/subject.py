"""The subject of the SDK suite: one SDK, one contract, and the means to play scripts at it.

`play` opens a fresh client on a fresh session of the testbench, makes calls, and returns what
happened as one value. Nothing here judges; what a case finds in a play is given its witness
(`Play.witnessed`): script, timeline and replay command.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from conformance.drivers.process import CallReply, DriverProcess
from conformance.drivers.protocol import ReplyHello
from conformance.faults.answers import Default
from conformance.faults.script import Script
from conformance.faults.session import Session
from conformance.faults.testbench import Testbench
from conformance.history import Call, Exchange, History, Outcome
from conformance.oracles.exceptions import Known
from conformance.oracles.retry import Context
from conformance.report.results import finding_id
from conformance.sdk.timeline import timeline
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.examples import arguments as example_arguments

Mode = Literal["sync", "async"]
KEY = "sk_test_memconform_4f9a02c7d1e85b36"
"""The API key that SDKs are given; looks like one, and opens nothing."""
SETTLE = 2.0
"""Longest wait (seconds) for the testbench to take note of how an exchange ended."""
HANG = 8.0
"""Real seconds after which a call counts as hung, where the case names no other time."""


@dataclass(frozen=True)
class Ask:
    """One call to make."""

    operation: Operation
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Play:
    """What one script made happen."""

    history: History
    script: Script
    mode: Mode
    options: Mapping[str, Any]
    commits: Mapping[str, list[Any]]
    """Operation -> what took effect, decoded."""
    opened: int
    """Connections that the SDK opened."""
    left_open: int
    """Connections that were still open after the client was closed."""
    printed: str = ""
    """What the SDK wrote to its output and logs."""
    closed: Outcome | None = None
    """How closing the client ended."""
    replies: tuple[CallReply, ...] = ()
    refused: Outcome | None = None
    """How constructing the client ended, where there is none."""
    subject: SdkSubject | None = field(default=None, repr=False)

    @property
    def call(self) -> Call:
        """The only (or first) call."""
        return self.history.calls[0]

    @property
    def attempts(self) -> tuple[Exchange, ...]:
        """The exchanges of the only (or first) call."""
        return self.history.during(self.call)

    def witnessed(self, findings: Iterable[Finding], call: Call | None = None) -> list[Finding]:
        """Return findings with script, timeline, mode and replay command filled in."""
        made = []
        for finding in findings:
            shown = timeline(self.history, call or self.call)
            subject = self.subject
            replay = ""
            if subject is not None:
                identity = finding_id(
                    subject.reported_as, subject.name, finding.requirement, finding.cause
                )
                replay = f"memconform replay {identity}"
            made.append(
                finding.at(
                    fault=finding.fault or self.script.short(), timeline=shown, replay=replay,
                    operation=finding.operation or (call or self.call).operation,
                    mode=self.mode,
                )
            )  # fmt: skip
        return made


@dataclass
class SdkSubject:
    """One SDK held to one contract.

    `driver` must be running or startable. Not to be used from several threads at once.
    """

    contract: Contract
    driver: DriverProcess
    bench: Testbench
    name: str
    version: str = ""
    seed: int = 0
    clock: Literal["virtual", "real"] = "virtual"
    reported_as: str = ""
    """The API that the result is filed under, where one release serves several."""
    exchanged: int = 0
    virtual_seconds: float = 0.0
    ran: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """(operation, mode, fault class) -> `run`, or why not: the coverage table."""

    def __post_init__(self) -> None:
        self.reported_as = self.reported_as or self.contract.api
        self._hello: ReplyHello | None = None
        self._lock = threading.Lock()

    # --- what the driver can do

    @property
    def hello(self) -> ReplyHello:
        """What the driver said of itself. Raises DriverError."""
        if self._hello is None:
            self._hello = self.driver.hello()
        return self._hello

    @property
    def known(self) -> Known:
        """What the errors oracle needs of this SDK."""
        missing = frozenset(n for n, e in self.hello.exceptions.items() if e.found is None)
        return Known(missing=missing, key=KEY)

    @property
    def context(self) -> Context:
        """What the retry oracle needs of this run."""
        return Context(virtual=self.hello.records_sleeps, scale=self.hello.time_scale)

    def modes(self, operation: Operation) -> tuple[Mode, ...]:
        """Return the modes in which an operation can be called at all."""
        return tuple(m for m in ("sync", "async") if self.hello.can(operation.id, m))

    def needs(self, operation: Operation, mode: str) -> Mode:
        """Return the mode as one to call in.

        Raises NotApplicable where the contract promises no such client, and Inconclusive where
        the SDK lacks what was promised: that is a finding of its own, said once.
        """
        assert mode in ("sync", "async")
        promised = self.contract.client
        if promised is not None and mode == "async" and promised.asynchronous is None:
            raise NotApplicable("the document promises no async client")
        if not self.hello.can(operation.id, mode):  # type: ignore[arg-type]
            missing = self.hello.operations.get(operation.id)
            why = (missing.missing if missing else None) or f"no {mode} way to call it"
            raise Inconclusive(f"{operation.id} cannot be called: {why}")
        return mode  # type: ignore[return-value]

    def option(self, role: str) -> bool:
        """True where the constructor takes an option for a role, in every mode."""
        found = self.hello.options.get(role)
        return found is not None and found.missing is None and bool(found.modes)

    def arguments(
        self, operation: Operation, seed: int = 0, optional: bool = True
    ) -> dict[str, Any]:
        """Return the example arguments of a call; a stream is asked for only where it is meant."""
        made = example_arguments(operation, seed=self.seed + seed, optional=optional)
        if operation.stream is not None:
            made[operation.stream.parameter] = False
        return made

    def ask(
        self, operation: Operation, changes: Mapping[str, Any] | None = None, seed: int = 0
    ) -> Ask:
        """Return a call with example arguments, some of them changed."""
        return Ask(operation, {**self.arguments(operation, seed), **(changes or {})})

    # --- playing

    def play(
        self,
        script: Script,
        *asks: Ask,
        mode: Mode = "sync",
        options: Mapping[str, Any] | None = None,
        default: Default | None = None,
        timeout: float = HANG,
        concurrency: int = 0,
        cancel_at: int = 0,
        context: bool = False,
        closing: float = 0.0,
    ) -> Play:
        """Play a script at one fresh client that makes the calls, and return what happened.

        `concurrency`: all calls at once, that many threads or tasks; 0: one after the other.
        `cancel_at`: cancel the (only) call in its n-th wait. `context`: use the client as a
        context manager. `timeout`: real seconds per call.
        """
        settings = dict(options or {})
        session = self.bench.session(self.contract, script, default=default)
        try:
            client = self.driver.open(
                session.base_url, KEY, mode, settings, context=context
            )
            if isinstance(client, Outcome):
                return self._unopened(session, script, mode, settings, client)
            if concurrency:
                wanted = [(a.operation.id, a.arguments) for a in asks]
                replies = self.driver.calls(client, wanted, concurrency, timeout * 2)
            else:
                replies = [
                    self._one(session, client, ask, cancel_at, timeout) for ask in asks
                ]
            _settle(session)
            closed = self.driver.close(client)
            if closing:
                session.wait_for(lambda s: s.connections.open == 0, closing)
            made = self._played(session, script, mode, settings, asks, replies)
            return replace(made, closed=closed)
        finally:
            session.close()

    def _one(
        self, session: Session, client: str, ask: Ask, cancel_at: int, timeout: float
    ) -> CallReply:
        session.expect(ask.operation.id)
        if cancel_at:
            return self.driver.cancel(
                client, ask.operation.id, ask.arguments, cancel_at, timeout
            )
        return self.driver.call(client, ask.operation.id, ask.arguments, timeout)

    def _unopened(
        self, session: Session, script: Script, mode: Mode, options: Mapping[str, Any],
        outcome: Outcome,
    ) -> Play:  # fmt: skip
        if outcome.kind == "driver_error":
            raise RuntimeError(f"the driver failed to open a client: {outcome.detail}")
        if outcome.kind == "unsupported":
            raise Inconclusive(f"no client can be constructed: {outcome.detail}")
        return Play(
            History(), script, mode, options, {}, 0, 0, refused=outcome, subject=self
        )

    def _played(
        self, session: Session, script: Script, mode: Mode, options: Mapping[str, Any],
        asks: Sequence[Ask], replies: Sequence[CallReply],
    ) -> Play:  # fmt: skip
        exchanges = session.exchanges()
        calls = []
        for number, (ask, reply) in enumerate(zip(asks, replies, strict=True), start=1):
            if reply.outcome.kind == "driver_error":
                raise RuntimeError(f"{ask.operation.id}: {reply.outcome.detail}")
            if reply.outcome.kind == "unsupported":
                raise Inconclusive(f"{ask.operation.id}: {reply.outcome.detail}")
            mine = [e.number for e in exchanges if reply.started <= e.sent <= reply.ended]
            calls.append(
                Call(
                    number=number, operation=ask.operation.id, arguments=ask.arguments,
                    mode=mode, started=reply.started, ended=reply.ended, outcome=reply.outcome,
                    sleeps=reply.sleeps, exchanges=tuple(mine), via=reply.via,
                )
            )  # fmt: skip
        with self._lock:
            self.exchanged += len(exchanges)
            self.virtual_seconds += sum(
                min(s.seconds, 1e9) for c in calls for s in c.sleeps if s.seconds > 0
            )
        connections = session.connections
        return Play(
            History(exchanges, tuple(calls), session.unconsumed()), script, mode, options,
            session.commits, connections.opened, connections.open,
            printed="".join(r.printed for r in replies), replies=tuple(replies), subject=self,
        )  # fmt: skip

    def covered(self, operation: Operation, mode: str, fault: str, note: str = "run") -> None:
        """Enter one cell of the coverage table."""
        key = (operation.id, mode, fault)
        if self.ran.get(key) != "run":
            self.ran[key] = note

    def close(self) -> None:
        """End the driver; the testbench belongs to whoever made it."""
        self.driver.stop()


def _settle(session: Session) -> None:
    """Wait until the testbench has taken note of how each exchange ended."""

    def ended(made: Session) -> bool:
        return all(
            e.received is not None or e.failure is not None or e.response is not None
            for e in made.exchanges()
        )

    if not ended(session):
        session.wait_for(ended, SETTLE)
