"""The subject of the SDK suite: one SDK, one contract, and the means to play scripts at it.

`play` opens a fresh client on a fresh session of the testbench, makes calls, and returns what
happened as one value. Nothing here judges; what a case finds in a play is given its witness
(`Play.witnessed`): script, timeline and replay command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal
from urllib.parse import urlsplit

from conformance.drivers.process import CallReply, DriverProcess
from conformance.drivers.protocol import ReplyHello
from conformance.faults.answers import Default
from conformance.faults.classes import FaultClass, classes_for
from conformance.faults.fault import Applies
from conformance.faults.script import Script
from conformance.faults.session import BUDGET, Session
from conformance.faults.testbench import Testbench
from conformance.history import Call, Exchange, History, Outcome
from conformance.oracles.answers import answer_of
from conformance.oracles.exceptions import Known
from conformance.oracles.retry import Context
from conformance.report.results import finding_id
from conformance.sdk.lanes import MOST as LANE_PLAYS
from conformance.sdk.lanes import Lane, harmless
from conformance.sdk.reproduce import Witness
from conformance.sdk.timeline import timeline
from conformance.verdict import Blame, Blamed, Finding, Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.examples import arguments as example_arguments

Mode = Literal["sync", "async"]
KEY = "sk_test_memconform_4f9a02c7d1e85b36"
"""The API key that SDKs are given; looks like one, and opens nothing."""
SETTLE = 2.0
"""Longest wait (seconds) for the testbench to take note of how an exchange ended."""
HANG = 8.0
"""Real seconds after which a call counts as hung, where the case names no other time."""
WAITS = 24
"""Waits of one call that are allowed for, where each takes real time but no more than it says."""
WAITING = 600.0
"""Seconds of an SDK's own waits in one call that are allowed for, where they take real time."""
LONGEST = 30.0
"""Real seconds that are allowed for them at most."""


DAY = 86_400.0
"""Seconds that one wait counts for at most: one of ten years would drown all the others."""


class DriverFailed(Blamed):
    """The driver did not do its part; the text says what it did instead."""

    blame = Blame.ENVIRONMENT
    what = "the driver"


class Unconstructed(Inconclusive):
    """The SDK refused to make a client with the options that it was given."""


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
    port: int = 0
    """The testbench's port that the client was pointed to."""
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
        shown = call or self.call
        lines: tuple[str, ...] | None = None
        brief = ""
        met: tuple[str, ...] = ()
        made = []
        for finding in findings:
            if lines is None:
                lines = timeline(self.history, shown, self.script)
                brief = self.script.brief(2000)
                met = tuple(answer_of(e).name for e in self.history.during(shown))
            filled = finding.at(
                fault=finding.fault or brief, timeline=lines, answers=met,
                operation=finding.operation or shown.operation, mode=self.mode,
            )  # fmt: skip
            made.append(self.refiled(filled, call=shown))
        return made

    def refiled(self, finding: Finding, call: Call | None = None, **changes: Any) -> Finding:
        """Return a finding with fields changed, its replay command renewed, and remember the call.

        A finding is named by its requirement and cause; what changes one of them files it anew.
        """
        changed = finding.at(**changes)
        subject = self.subject
        if subject is None:
            return changed
        shown = call or self.call
        reply = next((r for c, r in zip(self.history.calls, self.replies, strict=False)
                      if c.number == shown.number), None)  # fmt: skip
        first = min(shown.exchanges, default=0)
        subject.witnesses.setdefault(
            changed.identity,
            Witness(
                operation=subject.contract[shown.operation], mode=self.mode,
                arguments=shown.arguments, options=self.options, script=self.script,
                via=shown.via, dropped=reply.dropped if reply else (),
                before=tuple(e.operation for e in self.history if e.number < first),
                claim=changed.claim, expected=str(changed.expected), sent=len(shown.exchanges),
                raised=shown.outcome.error.name if shown.outcome.error else None,
            ),
        )  # fmt: skip
        return changed.at(replay=replay_command(subject, changed))


def replay_command(subject: SdkSubject, finding: Finding) -> str:
    """Return the command line that shows a finding again."""
    made = finding_id(subject.reported_as, subject.name, *finding.identity)
    return f"memconform replay {made}"


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
    plays: dict[tuple[str, Mode, Script, str], Play] = field(default_factory=dict, repr=False)
    """Plays that several cases look at."""
    witnesses: dict[tuple[str, str], Witness] = field(default_factory=dict, repr=False)
    """A finding's identity -> the first call that showed it."""
    case: str = ""
    """The case that is running; '' where nobody said."""
    mode: str = ""
    """The mode that it runs in; '' where it has none, or nobody said."""
    busy: dict[str, float] = field(default_factory=dict, repr=False)
    """Case -> real seconds between the beginning and the end of its SDK calls that waited."""
    hung: set[tuple[str, str]] = field(default_factory=set)
    """(mode, fault class) that the SDK never came back from: not played again."""
    deep: bool = False
    """Whether every fault is played on every operation, where otherwise it is spread over them."""
    bundled: bool = True
    """Whether plays that leave no trace may share a client."""
    takers: dict[Applies, Sequence[Operation]] = field(default_factory=dict, repr=False)
    """What a fault class asks of an operation -> one of each kind that it applies to."""
    ran: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """(operation, mode, fault class) -> `run`, or why not: the coverage table."""

    def __post_init__(self) -> None:
        self.reported_as = self.reported_as or self.contract.api
        self._hello: ReplyHello | None = None
        self._looked: Session | None = None
        self._arguments: dict[tuple[str, int, bool], dict[str, Any]] = {}
        self._faults: dict[str, tuple[FaultClass, ...]] = {}
        self._scripts: dict[tuple[str, str, int | None], Script] = {}
        self._lanes: dict[tuple[str, tuple[tuple[str, Any], ...]], Lane] = {}

    # --- what the driver can do

    @property
    def hello(self) -> ReplyHello:
        """What the driver said of itself. Raises DriverError.

        The clients that it looks at may ask a server while they are made: one that answers as the
        contract declares is there.
        """
        if self._hello is None:
            if self._looked is None:
                self._looked = self.bench.session(self.contract)
                self.driver.base_url = self._looked.base_url
            self._hello = self.driver.hello()
        return self._hello

    def unmade(self, mode: str) -> str | None:
        """Return why a client that is there cannot be made, and what to do; None where it can."""
        why = self.hello.unopened.get(mode)  # type: ignore[call-overload]
        if why is None:
            return None
        assert self._looked is not None
        return f"the {mode} client cannot be constructed: {why}{_advice(self._looked.exchanges())}"

    @property
    def known(self) -> Known:
        """What the errors oracle needs of this SDK."""
        missing = frozenset(n for n, e in self.hello.exceptions.items() if e.found is None)
        return Known(missing=missing, key=KEY)

    @property
    def context(self) -> Context:
        """What the retry oracle needs of this run."""
        return Context(virtual=self.hello.records_sleeps, scale=self.hello.time_scale)

    @property
    def allowance(self) -> float:
        """Real seconds that the waits of one call may take; 0 on a virtual clock."""
        hello = self.hello
        if hello.clock == "virtual":
            return 0.0
        if hello.longest_wait is not None:
            return WAITS * hello.longest_wait
        return min(LONGEST, WAITING * hello.time_scale)

    def modes(self, operation: Operation) -> tuple[Mode, ...]:
        """Return the modes in which an operation can be called at all."""
        return tuple(m for m in ("sync", "async") if self.hello.can(operation.id, m))

    def speaks(self, mode: str) -> bool:
        """False for a way of calling that the SDK's language does not have at all."""
        return self.hello.language == "python" or mode in self.hello.clients

    def needs(self, operation: Operation, mode: str) -> Mode:
        """Return the mode as one to call in.

        Raises NotApplicable where the contract promises no such client, and where the SDK lacks
        the operation: that it does is a finding of its own, said once (WR6), and no reason to
        call anything vague that was judged on the other operations.
        """
        assert mode in ("sync", "async")
        if not self.speaks(mode):
            raise NotApplicable(f"SDKs in {self.hello.language} have no {mode} client")
        promised = self.contract.client
        if promised is not None and mode == "async" and promised.asynchronous is None:
            raise NotApplicable("the document promises no async client")
        if not self.hello.can(operation.id, mode):  # type: ignore[arg-type]
            unmade = self.unmade(mode)
            if unmade is not None:
                raise Inconclusive(unmade)
            missing = self.hello.operations.get(operation.id)
            why = (missing.missing if missing else None) or f"no {mode} way to call it"
            raise NotApplicable(f"{operation.id} cannot be called: {why}")
        return mode  # type: ignore[return-value]

    def option(self, role: str) -> bool:
        """True where the constructor takes an option for a role, in the mode of the running case.

        Where a case runs in no mode, or in one that the SDK has no client for: in each mode that
        there is.
        """
        found = self.hello.options.get(role)
        if found is None:
            return False
        if self.mode and self.speaks(self.mode):
            return self.mode in found.modes
        return bool(found.modes) and not found.missing

    def arguments(
        self, operation: Operation, seed: int = 0, optional: bool = True
    ) -> dict[str, Any]:
        """Return the example arguments of a call; a stream is asked for only where it is meant."""
        key = (operation.id, self.seed + seed, optional)
        if key not in self._arguments:
            made = example_arguments(operation, seed=self.seed + seed, optional=optional)
            if operation.stream is not None:
                made[operation.stream.parameter] = False
            self._arguments[key] = made
        return dict(self._arguments[key])

    def faults(self, operation: Operation) -> tuple[FaultClass, ...]:
        """Return the fault classes that apply to an operation."""
        if operation.id not in self._faults:
            self._faults[operation.id] = classes_for(self.contract, operation)
        return self._faults[operation.id]

    def script(self, fault: FaultClass, operation: Operation, times: int | None) -> Script:
        """Return the script of a fault class on an operation; it is made once."""
        key = (fault.id, operation.id, times)
        if key not in self._scripts:
            self._scripts[key] = fault.build(self.contract, operation, times)
        return self._scripts[key]

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
        alone: bool = False,
        key: str | None = KEY,
        address: str = "{}",
    ) -> Play:
        """Play a script at one fresh client that makes the calls, and return what happened.

        `concurrency`: all calls at once, that many threads or tasks; 0: one after the other.
        `cancel_at`: cancel the (only) call in its n-th wait. `context`: use the client as a
        context manager. `closing`: seconds to wait for
        connections to close. `alone`: never share the client. `timeout`: real seconds per call.
        `key`: None constructs the client without one. `address`: how a client that is `alone`
        is given its base URL, `{}/`. Raises Unconstructed where that fails.
        """
        settings = dict(options or {})
        plain = not (alone or concurrency or cancel_at or context or closing or key is None)
        if plain and self.bundled and harmless(script):
            return self._play_in_lane(script, asks, mode, settings, default, timeout)
        session = self.bench.session(self.contract, script, default=default)
        try:
            client = self._open(session, key, mode, settings, context, address)
            asked_before = session.connections.opened
            session.one_page = not (alone and default is not None)
            if concurrency:
                wanted = [(a.operation.id, a.arguments) for a in asks]
                limit = timeout * 2 + self.allowance
                replies = self.driver.calls(client, wanted, concurrency, limit)
            else:
                replies = []
                for ask in asks:
                    replies.append(self._one(session, client, ask, cancel_at, timeout))
                    self.bench.catch_up()  # a client may give a request up that was not yet read
            _settle(session)
            closed = self.driver.close(client)
            _recorded(session)
            if closing:
                session.wait_for(lambda s: s.connections.open == 0, closing)
            connections = session.connections
            made = Play(
                History(unconsumed=session.unconsumed()), script, mode, settings,
                session.commits, connections.opened - asked_before, connections.open,
                closed=closed,
                port=urlsplit(session.base_url).port or 0, subject=self,
            )  # fmt: skip
            return self._told(made, asks, replies, session.exchanges(), at_once=concurrency > 0)
        finally:
            session.close()

    def _play_in_lane(
        self, script: Script, asks: Sequence[Ask], mode: Mode, settings: Mapping[str, Any],
        default: Default | None, timeout: float,
    ) -> Play:  # fmt: skip
        """Play a script that leaves no trace at a client that is kept for many.

        Where a kept client fails without sending anything it was spoiled by an earlier play; the
        script is then played anew at a fresh one.
        """
        lane = self._lane(mode, settings)
        session = lane.begin(script, default)
        replies = [self._one(session, lane.client, ask, 0, timeout) for ask in asks]
        _settle(session)
        made = Play(
            History(unconsumed=lane.playback.unconsumed()), script, mode, settings,
            lane.commits(), session.connections.opened, 0, subject=self,
        )  # fmt: skip
        if session.overflowed or any(r.outcome.kind == "hang" for r in replies):
            self._end_lane(mode, settings)
        _recorded(session)
        spoiled = not lane.exchanges() and any(r.outcome.kind == "error" for r in replies)
        if spoiled and lane.plays > 1:
            self._end_lane(mode, settings)
            return self._play_in_lane(script, asks, mode, settings, default, timeout)
        return self._told(made, asks, replies, lane.exchanges())

    def _lane(self, mode: Mode, settings: Mapping[str, Any]) -> Lane:
        key = (mode, tuple(sorted(settings.items())))
        found = self._lanes.get(key)
        if found is not None and found.plays < LANE_PLAYS:
            return found
        self._end_lane(mode, settings)
        lane = Lane()
        lane.session = self.bench.session(self.contract, lane.choose)
        try:
            lane.client = self._open(lane.session, KEY, mode, settings)
            lane.session.one_page = True
        except Exception:
            lane.session.close()
            raise
        self._lanes[key] = lane
        return lane

    def _end_lane(self, mode: Mode, settings: Mapping[str, Any]) -> None:
        lane = self._lanes.pop((mode, tuple(sorted(settings.items()))), None)
        if lane is not None and lane.session is not None:
            self.driver.close(lane.client)
            lane.session.close()

    def _one(
        self, session: Session, client: str, ask: Ask, cancel_at: int, timeout: float
    ) -> CallReply:
        if not session.at_rest:  # what spoils a kept connection must have come before it is used
            session.wait_for(lambda s: s.at_rest, SETTLE)
        session.expect(ask.operation.id)
        limit = timeout + self.allowance
        if cancel_at:
            return self.driver.cancel(client, ask.operation.id, ask.arguments, cancel_at, limit)
        return self.driver.call(client, ask.operation.id, ask.arguments, limit)

    def _open(
        self, session: Session, key: str | None, mode: Mode, options: Mapping[str, Any],
        context: bool = False, address: str = "{}",
    ) -> str:  # fmt: skip
        """Return the name of a new client; what it asks while it is made meets no script.

        Raises DriverFailed, Inconclusive where the SDK has no such option, Unconstructed.
        """
        session.held = True
        try:
            base_url = address.format(session.base_url)
            client = self.driver.open(base_url, key, mode, options, context=context)
        finally:
            session.held = False
        if isinstance(client, Outcome):
            raise self._unopened(options, client, _advice(session.apart()))
        return client

    def _unopened(
        self, options: Mapping[str, Any], outcome: Outcome, advice: str
    ) -> DriverFailed | Inconclusive:
        if outcome.kind == "driver_error":
            return DriverFailed(f"it opened no client: {outcome.detail}")
        if outcome.kind == "unsupported":
            return Inconclusive(f"no client can be constructed: {outcome.detail}")
        raised = outcome.error
        said = f"{raised.name}: {raised.message}" if raised else outcome.kind
        return Unconstructed(f"constructing the client with {dict(options)} fails: {said}{advice}")

    def _told(
        self, made: Play, asks: Sequence[Ask], replies: Sequence[CallReply],
        exchanges: tuple[Exchange, ...], at_once: bool = False,
    ) -> Play:  # fmt: skip
        """Return a play with its calls, each linked to the exchanges that it made.

        Of calls one after the other each has what came before the next one began: a request may
        be read after its call has given it up. Of calls at once each has what came while it ran.
        """
        ends = [r.ended for r in replies]
        if not at_once:
            ends = [*(r.started for r in replies[1:]), inf]
        calls = []
        for number, (ask, reply) in enumerate(zip(asks, replies, strict=True), start=1):
            if reply.outcome.kind == "driver_error":
                raise DriverFailed(f"{ask.operation.id}: {reply.outcome.detail}")
            if reply.outcome.kind == "unsupported":
                raise Inconclusive(f"{ask.operation.id}: {reply.outcome.detail}")
            if reply.outcome.kind == "hang":
                self._may_wait(made.script, reply)
            mine = [e.number for e in exchanges if reply.started <= e.sent <= ends[number - 1]]
            calls.append(
                Call(
                    number=number, operation=ask.operation.id, arguments=ask.arguments,
                    mode=made.mode, started=reply.started, ended=reply.ended,
                    outcome=reply.outcome, sleeps=reply.sleeps, exchanges=tuple(mine),
                    via=reply.via,
                )
            )  # fmt: skip
        self.exchanged += len(exchanges)
        self.virtual_seconds += sum(
            min(s.seconds, DAY) for c in calls for s in c.sleeps if s.seconds > 0
        )
        passed = sum(c.ended - c.started for c in calls if any(s.seconds > 0 for s in c.sleeps))
        self.busy[self.case] = self.busy.get(self.case, 0.0) + passed
        history = replace(made.history, exchanges=exchanges, calls=tuple(calls))
        return replace(
            made, history=history, printed="".join(r.printed for r in replies),
            replies=tuple(replies),
        )  # fmt: skip

    def _may_wait(self, script: Script, reply: CallReply) -> None:
        """Raise Inconclusive where a call that did not end may yet be waiting as it was told."""
        hello = self.hello
        answered = any(i.effect.kind == "respond" for i in script)
        if answered and hello.clock == "real" and hello.longest_wait is None:
            raise Inconclusive(
                f"no end of the call after {reply.ended - reply.started:.0f} s: this driver's "
                "waits take real time, and it does not say (`longest_wait`) how much at most"
            )

    def covered(self, operation: Operation, mode: str, fault: str, note: str = "run") -> None:
        """Enter one cell of the coverage table."""
        key = (operation.id, mode, fault)
        if self.ran.get(key) != "run":
            self.ran[key] = note

    def close(self) -> None:
        """End the driver; the testbench belongs to whoever made it."""
        for lane in self._lanes.values():
            if lane.session is not None:
                lane.session.close()
        self.driver.stop()
        if self._looked is not None:
            self._looked.close()


def _advice(asked: Iterable[Exchange]) -> str:
    """Return what to add where a constructor asked a server what the contract does not declare."""
    unknown = [f"{e.request.method} {e.request.path}" for e in asked if e.operation is None]
    if not unknown:
        return ""
    return (
        f"; it asked {', '.join(dict.fromkeys(unknown))}, which the contract does not declare: "
        "add that operation, with an example of its answer, to the spec"
    )


def _settle(session: Session) -> None:
    """Wait until the testbench has taken note of how each exchange ended."""

    def ended(made: Session) -> bool:
        return all(
            e.received is not None or e.failure is not None or e.response is not None
            for e in made.exchanges()
        )

    if not ended(session):
        session.wait_for(ended, SETTLE)


def _recorded(session: Session) -> None:
    """Raise Inconclusive where the testbench could not record all that went to and fro."""
    if session.overflowed:
        raise Inconclusive(
            f"more went to and fro than the testbench records ({BUDGET >> 20} MiB): "
            "what bodies held after that is not known"
        )
