"""A session: one base URL, one contract, one script, one history.

Everything that is decided about a request is decided here: which operation it means, which
instruction it meets, whether it takes effect, what it is answered with. Bytes are made in
`wire.py`, sockets are served in `http.py`. Methods are called from the thread that owns the
sockets, except those that say that any thread may.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from conformance.clock import SystemClock
from conformance.faults import answers, lists, wire
from conformance.faults.answers import Answer, AnswerBook, Default
from conformance.faults.script import Effect, Instruction, Playback, Script, Stage
from conformance.history import Exchange, Failure, Headers, Request, Response, header
from specs import Contract, Operation

if TYPE_CHECKING:
    from conformance.faults.upstream import Upstream

KEPT = 8 << 20
"""How much of one request's body is kept, bytes."""
BUDGET = 256 << 20
"""How much one session records of bodies altogether, bytes."""
_CLOCK = SystemClock()

Chooser = Callable[[Operation | None, Request], Instruction | None]
"""Picks the instruction of each request; in place of a script where requests decide."""


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections a session has seen."""

    opened: int
    closed: int

    @property
    def open(self) -> int:
        """How many are open now."""
        return self.opened - self.closed


@dataclass(slots=True, eq=False)
class Record:
    """One exchange while it happens; `exchange` is always a whole value."""

    exchange: Exchange
    instruction: Instruction | None = None
    target: str = ""
    """The target as it came, with the session's prefix."""
    held: bool = False
    """True where it came while the script was held back: it is no part of the history."""
    beyond: bool = False
    """True where a call asks for a further page of a list by itself: none either."""


class Port(Protocol):
    """What a session needs of the port it has to itself."""

    def refuse(self) -> None:
        """Close the port for good."""


@dataclass(eq=False)
class Session:
    """One base URL with its script and its history. Made by `Testbench.session`."""

    base_url: str
    other_url: str
    contract: Contract | None
    script: Script | Chooser
    book: AnswerBook
    default: Default | None = None
    upstream: Upstream | None = None
    kept: int = KEPT
    skew: float = 0.0
    """Seconds that the client's clock is ahead of ours; dates that are sent follow it."""
    overflowed: bool = False
    """True where bodies were no longer recorded, because there were too many."""
    one_page: bool = False
    """True where a call that walks on to a list's next page finds it empty, and kept apart."""
    held: bool = False
    """True while the script is held back: what comes is answered as declared, and kept apart."""
    _close: Callable[[], None] = lambda: None
    _port: Port | None = None
    _expected: str | None = None
    _position: lists.Position = field(default_factory=lists.Position)
    _records: list[Record] = field(default_factory=list)
    _apart: list[Record] = field(default_factory=list)
    _commits: dict[str, list[Any]] = field(default_factory=dict)
    _keys: set[tuple[str, str]] = field(default_factory=set)
    _bytes: int = 0
    _opened: int = 0
    _closed: int = 0
    _owed: int = 0
    _problem: BaseException | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        script = self.script if isinstance(self.script, Script) else Script()
        self._playback = Playback(script)
        self._choose = None if isinstance(self.script, Script) else self.script

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- for any thread -----------------------------------------------------------------------

    def exchanges(self) -> tuple[Exchange, ...]:
        """Return what happened so far, in the order of arrival.

        Targets are those below the base URL; `principal` is `other` for requests that came to the
        other origin. An exchange that goes on has neither `received` nor `failure`; one that was
        left without an answer has the failure `timeout`. Raises RuntimeError where the default
        answer of this session raised.
        """
        if self._problem is not None:
            raise RuntimeError("the session's default answer raised") from self._problem
        return tuple(record.exchange for record in list(self._records))

    def apart(self) -> tuple[Exchange, ...]:
        """Return what happened while the script was held back, in the order of arrival."""
        return tuple(record.exchange for record in list(self._apart))

    def unconsumed(self) -> tuple[int, ...]:
        """Return the indexes of instructions that were not played as often as they ask for.

        A refusal counts as played once the port is closed: who is refused is seen by nobody.
        """
        return self._playback.unconsumed()

    @property
    def commits(self) -> Mapping[str, list[Any]]:
        """What took effect: operation -> decoded bodies (path and query where there is none)."""
        return {operation: list(stored) for operation, stored in list(self._commits.items())}

    @property
    def connections(self) -> Connections:
        """How many connections were opened and closed so far."""
        return Connections(self._opened, self._closed)

    @property
    def at_rest(self) -> bool:
        """True where all was sent that answers consist of, and what ends with them has ended."""
        return self._owed == 0

    def expect(self, operation: str | None) -> None:
        """Say what is being called: requests to undeclared paths count as that operation."""
        if operation is not None and self.contract is not None:
            self.contract[operation]
        self._expected = operation
        self._position.restart()

    def wait_for(self, condition: Callable[[Session], bool], timeout: float = 10.0) -> bool:
        """Wait until `condition(self)` holds; False where it does not within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout)

    def close(self) -> None:
        """Close the session's connections and its port; its history stays readable."""
        self._close()

    # --- for the thread that owns the sockets ---------------------------------------------------

    def begin(self, method: str, target: str, headers: Headers, seen: Seen) -> Record:
        """Take note of a request whose head has arrived, and settle what will be done to it."""
        below = self._below(target)
        request = Request(method, below, headers)
        operation = self._operation(request)
        beyond = self._walks_on(operation, request)
        held = self.held or beyond
        records = self._apart if held else self._records
        index, instruction = (None, None) if held else self._instruction(operation, request)
        exchange = Exchange(
            number=len(records) + 1,
            request=request,
            response=None,
            sent=seen.at,
            received=None,
            operation=operation.id if operation else None,
            principal=seen.principal,
            connection=seen.connection,
            instruction=index,
        )
        record = Record(exchange, instruction, target, held, beyond)
        records.append(record)
        return record

    def _walks_on(self, operation: Operation | None, request: Request) -> bool:
        """True for a request of the present call for another page, after one that it was given."""
        if not self.one_page or operation is None or operation.id != self._expected:
            return False
        given = any(200 <= (r.exchange.status or 0) < 300 for r in self._records[-2:])
        return self._position.beyond(operation, request) and given

    def complete(self, record: Record, body: bytes) -> None:
        """Take note of the request's body, which may say that it is for another page."""
        kept = body[: self._room(len(body))]
        request = replace(record.exchange.request, body=kept)
        record.exchange = replace(record.exchange, request=request)
        operation = self._operation_of(record)
        in_body = operation is not None and operation.pagination is not None and bool(body)
        if in_body and not record.held and self._walks_on(operation, request):
            record.held, record.beyond, record.instruction = True, True, None
            self._records.remove(record)
            self._apart.append(record)

    def connect(self, seen: Seen) -> Record | None:
        """Return the record of a connection that is harmed before anything is read of it."""
        index = None if self.held else self._playback.peek(self._expected)
        if index is None:
            return None
        instruction = self._playback.script.instructions[index]
        if instruction.stage is not Stage.BEFORE_ACCEPT or instruction.effect.kind == "stall":
            return None
        return self.begin("", "", (), seen)

    async def decide(self, record: Record, body: bytes, closing: bool) -> wire.Plan:
        """Return how a request is answered, asking the upstream where there is one."""
        assert self.upstream is not None
        instruction, exchange = record.instruction, record.exchange
        if instruction is None or instruction.commits:
            request = replace(exchange.request, body=body)
            answer = await self.upstream.forward(request, self.base_url)
            self._commit(record, body)
        else:
            answer = self._declared(record)
        return self._plan(record, answer, closing)

    def decide_now(self, record: Record, body: bytes, closing: bool) -> wire.Plan:
        """Return how a request is answered, without waiting for anything."""
        instruction = record.instruction
        handled = instruction is None or instruction.commits
        answer = self._handle(record, body) if handled else self._declared(record)
        return self._plan(record, answer, closing)

    def finish(
        self,
        record: Record,
        response: Response | None,
        failure: Failure | None = None,
        received: float | None = None,
    ) -> None:
        """Take note of how an exchange ended."""
        if response is not None:
            room = self._room(len(response.body))
            response = replace(response, body=response.body[:room])
        record.exchange = replace(
            record.exchange, response=response, failure=failure, received=received
        )
        self._notify()

    def count(self, *, opened: int = 0, closed: int = 0, owed: int = 0) -> None:
        """Take note of connections, and of answers that are on their way."""
        self._opened += opened
        self._closed += closed
        self._owed += owed
        self._notify()

    @property
    def closes_next(self) -> bool:
        """True where the port must be closed before the next connection; closes it."""
        if self._port is None:
            return False
        for index, instruction in enumerate(self._playback.script):
            due = (instruction.attempt or 1) <= self._playback.total + 1
            if instruction.effect.kind == "refuse" and due:
                self._playback.played[index] = max(1, self._playback.played[index])
                self._port.refuse()
                return True
        return False

    @property
    def late(self) -> Effect | None:
        """The effect that keeps the port from taking connections; None where there is none."""
        for index, instruction in enumerate(self._playback.script):
            if instruction.effect.kind == "late":
                self._playback.played[index] = 1
                return instruction.effect
        return None

    def _below(self, target: str) -> str:
        """Return a target as it stands below the base URL."""
        if target.startswith(("http://", "https://")):
            target = "/" + target.split("/", 3)[3] if target.count("/") > 2 else "/"
        prefix = "/c/" + self.other_url.rpartition("/")[2]
        if target == prefix or target.startswith((prefix + "/", prefix + "?")):
            target = target[len(prefix) :]
        return target if target.startswith("/") else "/" + target if target else target

    def _operation(self, request: Request) -> Operation | None:
        if self.contract is None:
            return None
        found = self.contract.match(request.method, request.path)
        if found is None and self._expected is not None:
            return self.contract[self._expected]
        return found

    def _instruction(
        self, operation: Operation | None, request: Request
    ) -> tuple[int | None, Instruction | None]:
        if self._choose is not None:
            return None, self._choose(operation, request)
        index = self._playback.next(operation.id if operation else None)
        return index, None if index is None else self._playback.script.instructions[index]

    def _operation_of(self, record: Record) -> Operation | None:
        name = record.exchange.operation
        return None if name is None or self.contract is None else self.contract[name]

    def _handle(self, record: Record, body: bytes) -> Answer:
        """Do what the request asks for, and return what it is answered with."""
        operation = self._operation_of(record)
        request = replace(record.exchange.request, body=body)
        repeated = not self._commit(record, body)
        if self.default is not None and not record.held:
            try:
                made = self.default(operation, request)
                if made is not None:
                    return answers.as_answer(made)
            except Exception as error:
                self._problem = error
                return Answer(500)
        if repeated and operation is not None:
            return self.book.replayed(operation, request)
        answer = self.book.answer(operation, request, None)
        if operation is None or operation.pagination is None:
            return answer
        return (lists.empty if record.beyond else lists.last)(operation, answer)

    def _declared(self, record: Record) -> Answer:
        assert record.instruction is not None
        status = record.instruction.effect.status
        return self.book.answer(self._operation_of(record), record.exchange.request, status)

    def _commit(self, record: Record, body: bytes) -> bool:
        """Store the effect of a request; False where its idempotency key was stored before."""
        operation = self._operation_of(record)
        if record.held or operation is None or operation.safe:
            return True
        request = replace(record.exchange.request, body=body)
        key = answers.idempotency_key(operation, request)
        if key is not None:
            if (operation.id, key) in self._keys:
                return False
            self._keys.add((operation.id, key))
        self._commits.setdefault(operation.id, []).append(answers.decoded(operation, request))
        record.exchange = replace(record.exchange, committed=True)
        return True

    def _plan(self, record: Record, answer: Answer, closing: bool) -> wire.Plan:
        instruction, method = record.instruction, record.exchange.request.method
        now = _CLOCK.time() + self.skew
        date = formatdate(now, usegmt=True)
        if instruction is None:
            made = wire.compose(answer, method=method, date=date, closing=closing)
            return wire.whole(made, closing)
        effect = instruction.effect
        headers = tuple((n, self._filled(v, record, now)) for n, v in effect.headers)
        if effect.kind == "respond" and effect.status is not None and effect.status < 200:
            made = wire.compose(answer, method=method, date=date, closing=closing)
            plan = wire.whole(made, closing)
            first = wire.interim(effect.status, headers)
            return replace(plan, steps=chain((first,), plan.steps))
        if effect.status is not None and answer.status != effect.status:
            answer = self._declared(record)
        if effect.body is not None and effect.kind != "garbage":
            answer = _with_body(answer, effect.body)
        made = wire.compose(
            answer,
            framing=effect.framing,
            size=effect.size,
            headers=headers,
            method=method,
            date=date,
            closing=closing,
        )
        return wire.plan(made, effect, instruction.stage, closing)

    def _filled(self, value: str, record: Record, now: float) -> str:
        places = {
            "base": self.base_url,
            "other": self.other_url,
            "target": record.exchange.request.target,
        }
        return answers.fill(value, places, now)

    def _room(self, wanted: int) -> int:
        """Return how many of `wanted` bytes may still be recorded, and count them."""
        granted = min(wanted, self.kept)
        if self._bytes + granted > BUDGET:
            self.overflowed = True
            return 0
        self._bytes += granted
        return granted

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Seen:
    """When and where a request was first seen."""

    at: float
    connection: int
    principal: str = "a"


def _with_body(answer: Answer, body: bytes) -> Answer:
    """Return an answer with another body; a body of no bytes has no type."""
    kept = tuple((n, v) for n, v in answer.headers if body or n.lower() != "content-type")
    if body and header(kept, "content-type") is None:
        kept = (*kept, ("content-type", "application/json"))
    return Answer(answer.status, kept, body)


async def gone_or(seconds: float | None, gone: asyncio.Event) -> bool:
    """Wait for `seconds` (None: without bound); True where `gone` was set meanwhile."""
    if seconds == 0:
        await asyncio.sleep(0)
        return gone.is_set()
    try:
        await asyncio.wait_for(gone.wait(), seconds)
    except TimeoutError:
        return False
    return True
