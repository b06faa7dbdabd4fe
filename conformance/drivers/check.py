"""Tell a driver's author what their driver does wrong, in words, with what to do about it.

A driver is asked everything that the protocol has, against a testbench that answers as the
contract declares. What it does wrong is a `Remark`; a driver without remarks can be judged by.
This is about the driver, never about the SDK: an SDK that breaks its promises is told of truly
by a driver that is right.
"""

from __future__ import annotations

import json
import secrets
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import specs
from conformance.clock import monotonic
from conformance.drivers import protocol as p
from conformance.drivers.pipe import DriverError, DriverHang, Pipe, redact
from conformance.drivers.process import clean_environment
from conformance.faults.script import Script
from conformance.faults.session import Session
from conformance.faults.testbench import Testbench
from specs import Contract, Operation
from specs.examples import arguments as example_arguments

KEY = "sk_test_memconform_driver_check_7d1e"
TIMEOUT = 15.0
"""Seconds for each answer; `hello` has twice that."""
SETTLE = 0.3
"""Seconds that a driver is listened to after its first reply: nothing more may come."""
CLOCK_SLACK = 0.25
"""Seconds by which a driver's times may lie outside ours."""
_R = TypeVar("_R", bound=p.Reply)


@dataclass(frozen=True)
class Remark:
    """One thing that a driver does wrong."""

    check: str
    """Stable name of what was checked, `hello.operations`."""
    text: str
    """What it did."""
    advice: str
    """What to do."""


class _Broken(Exception):
    """Ends one step, and says why."""

    def __init__(self, text: str, advice: str) -> None:
        super().__init__(text)
        self.advice = advice


class _Hopeless(Exception):
    """Ends the examination: what comes next could not be told from what came before."""


@dataclass
class Examination:
    """One driver being asked everything. `remarks` grow in the order found."""

    command: Sequence[str]
    contract: Contract
    bench: Testbench
    timeout: float = TIMEOUT
    remarks: list[Remark] = field(default_factory=list)
    asked: int = 0
    _pipe: Pipe | None = None
    _number: int = 100
    _hello: p.ReplyHello | None = None
    _starts: int = 0

    # --- asking

    def remark(self, check: str, text: str, advice: str) -> None:
        """Take note of something; the same about many operations is said three times."""
        made = Remark(check, redact(text, KEY), advice)
        alike = [r for r in self.remarks if (r.check, r.advice) == (check, advice)]
        if made not in alike and len(alike) < 3:
            self.remarks.append(made)

    @contextmanager
    def step(self, check: str) -> Iterator[None]:
        """Run one step; what breaks it is a remark, and the driver is started anew after it."""
        try:
            yield
        except _Broken as why:
            self.remark(check, str(why), why.advice)
            self._end()
            if "nobody asked for" in str(why):
                raise _Hopeless from None

    def line(self, raw: bytes, what: str, factor: float = 1) -> p.AnyReply:
        """Send one line and return its reply. Raises _Broken."""
        self._ready()
        assert self._pipe is not None
        self.asked += 1
        limit = self.timeout * factor
        try:
            answer = self._pipe.exchange(raw, limit)
        except DriverHang as why:
            raise _Broken(
                f"asked `{what}`, it gave {why}",
                "answer each request with one line, and flush standard output after it",
            ) from None
        except DriverError as why:
            advice = _advice(str(why), begun=self._hello is not None)
            raise _Broken(f"asked `{what}`: {_shortened(str(why))}", advice) from None
        try:
            return p.decode_reply(answer)
        except ValueError as why:
            raise _Broken(_not_a_reply(what, answer, why), _advice_on_line(answer)) from None

    def ask(self, message: p.Ask, expected: type[_R], factor: float = 1) -> _R:
        """Send one request and return its reply. Raises _Broken."""
        self._ready()
        self._number += 1
        numbered = message.model_copy(update={"id": self._number})
        what = str(getattr(message, "do", "?"))
        reply = self.line(p.encode(numbered), what, factor)
        if reply.id != self._number:
            raise _Broken(
                f"asked `{what}` with id {self._number}, it answered with id {reply.id}",
                "repeat the request's `id` in its reply",
            )
        if isinstance(reply, p.ReplyProblem):
            raise _Broken(
                f"asked `{what}`, it has a problem: {reply.problem[:300]}",
                "`problem` is for requests that cannot be understood; what the SDK does is an "
                "`outcome`",
            )
        if not isinstance(reply, expected):
            raise _Broken(
                f"asked `{what}`, it answered with a reply `{reply.reply}`",
                f"answer it with a reply `{p.EXPECTED[what]}`",
            )
        return reply

    def _ready(self) -> None:
        """Start the driver where it does not run, and say hello once it has been met."""
        if self._pipe is not None and not self._pipe.ended:
            return
        self._starts += 1
        if self._starts > 12:
            raise _Broken("it broke too often to go on", "mend what is said above, then try again")
        try:
            self._pipe = Pipe(tuple(self.command), clean_environment(), None)
        except DriverError as why:
            raise _Broken(
                str(why),
                "give a command that starts the driver: a script needs its interpreter "
                "(`node my-driver.mjs`), or a line `#!` and the right to be run",
            ) from None
        if self._hello is not None:
            self.ask(p.AskHello(id=0), p.ReplyHello, 2)

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.end(0)
            self._pipe = None

    # --- the steps

    def run(self) -> list[Remark]:
        """Ask everything; return what is wrong."""
        try:
            with self.step("hello"):
                self._hello = self.ask(p.AskHello(id=0, exceptions=_documented(self.contract)),
                                       p.ReplyHello, 2)  # fmt: skip
            if self._hello is None:
                return self.remarks
            self._judge_hello(self._hello)
            with self.step("quiet"):
                self._quiet()
            for name, step in (
                ("unknown-request", self._unknown_request),
                ("not-json", self._not_json),
                ("unknown-client", self._unknown_client),
            ):
                with self.step(name):
                    step()
            for mode in self._hello.clients:
                self._calls_in(mode)
            with self.step("stop"):
                self._stop()
            with self.step("end-of-input"):
                self._end_of_input()
        except _Hopeless:
            return self.remarks
        finally:
            self._end()
        return self.remarks

    def _judge_hello(self, hello: p.ReplyHello) -> None:
        say = self.remark
        if hello.protocol != p.PROTOCOL:
            say("hello.protocol", f"it speaks protocol {hello.protocol}",
                f"speak protocol {p.PROTOCOL}")  # fmt: skip
        if hello.api != self.contract.api:
            say("hello.api", f"it names the API {hello.api!r}, not {self.contract.api!r}",
                "say which contract it is for; start it with the option that chooses")  # fmt: skip
        if not hello.clients:
            say("hello.clients", "it has no client of any mode",
                "name the class of the sync or async client, or of both")  # fmt: skip
        unknown = sorted(set(hello.operations) - set(self.contract.operations))
        if unknown:
            say("hello.operations", "it claims operations that the contract lacks: "
                f"{_list(unknown)}", "name operations by the contract's operationId")  # fmt: skip
        forgotten = sorted(set(self.contract.operations) - set(hello.operations))
        if forgotten:
            say("hello.operations", f"it does not mention operations: {_list(forgotten)}",
                "list every operation; say in `missing` why one cannot be called")  # fmt: skip
        for id, operation in hello.operations.items():
            homeless = set(operation.modes) - set(hello.clients)
            if homeless:
                say("hello.operations", f"{id} is claimed in modes without a client: "
                    f"{_list(sorted(homeless))}", "list modes only where there is one")  # fmt: skip
            if not operation.modes and not operation.missing:
                say("hello.operations", f"{id} can be called in no mode, and no reason is given",
                    "say in `missing` why")  # fmt: skip
            if operation.via and not operation.missing:
                say("hello.operations", f"{id} is called by another name ({operation.via}), and "
                    "nothing says that the documented one lacks",
                    "`via` is for operations whose documented name is `missing`")  # fmt: skip
        if hello.clock == "virtual" and not hello.records_sleeps:
            say("hello.clock", "its clock is virtual, and it records no waits: nothing could be "
                "judged of them", "record each wait in `sleeps`, or run in real time")  # fmt: skip
        if hello.longest_wait is not None and not hello.records_sleeps:
            say("hello.longest_wait", f"it cuts waits to {hello.longest_wait:g} s and records "
                "none: a gap between requests would not tell how long the SDK meant to wait",
                "record each wait in `sleeps`, or scale all waits alike")  # fmt: skip

    def _quiet(self) -> None:
        """Wait a moment for what comes after the reply, so that it is told from the next one."""
        assert self._pipe is not None
        try:
            self._pipe.quiet(min(self.timeout, SETTLE))
        except DriverError as why:
            raise _Broken(f"after `hello`: {why}", _advice(str(why))) from None

    def _unknown_request(self) -> None:
        self._problem(b'{"id": 7, "do": "dance"}\n', "a request `dance`, which does not exist", 7)

    def _not_json(self) -> None:
        self._problem(b"{not json}\n", "a line that is not JSON", None)

    def _problem(self, raw: bytes, what: str, id: int | None) -> None:
        reply = self.line(raw, what)
        if not isinstance(reply, p.ReplyProblem):
            raise _Broken(f"sent {what}, it answered with a reply `{reply.reply}`",
                          "answer it with a `problem`, and go on")  # fmt: skip
        if id is not None and reply.id != id:
            raise _Broken(f"sent {what} with id {id}, it answered with id {reply.id}",
                          "repeat the request's `id`")  # fmt: skip

    def _unknown_client(self) -> None:
        self._number += 1
        ask = p.AskCall(id=self._number, client="nobody", operation=next(iter(self.contract)).id)
        reply = self.line(p.encode(ask), "call on a client that was never opened")
        fine = isinstance(reply, p.ReplyProblem) or (
            isinstance(reply, p.ReplyCall) and reply.outcome.kind in ("driver_error", "unsupported")
        )
        if not fine:
            raise _Broken("asked to call on a client that was never opened, it did something",
                          "answer with a `problem`, and go on")  # fmt: skip

    # --- clients and calls

    def _calls_in(self, mode: p.Mode) -> None:
        with self.bench.session(self.contract) as session:
            opened = False
            with self.step(f"open[{mode}]"):
                self._open(mode, session)
                opened = True
            if not opened:
                return
            assert self._hello is not None
            with self.step(f"unknown-operation[{mode}]"):
                self._unknown_operation()
            works: list[Operation] = []
            for operation in self.contract:
                if self._hello.can(operation.id, mode):
                    with self.step(f"call[{mode}]"):
                        self._again(mode, session)
                        if self._call(operation, session):
                            works.append(operation)
            if not works:
                return
            with self.step(f"calls[{mode}]"):
                self._again(mode, session)
                self._several(works[0])
            with self.step(f"close[{mode}]"):
                self._again(mode, session)
                self._close(works[0])
        self._refusals(mode, works)

    def _refusals(self, mode: p.Mode, works: Sequence[Operation]) -> None:
        """Every operation answers 404: at least one must raise, or errors are swallowed."""
        script = Script.parse("* 404")
        with self.bench.session(self.contract, script) as session:
            kinds = {}
            with self.step(f"errors[{mode}]"):
                self._open(mode, session)
                for operation in works:
                    asked = self._ask_call(operation)
                    kinds[operation.id] = asked.outcome.kind
                    self._judge_error(operation, asked.outcome)
                if self._hello and self._hello.cancels and mode == "async" and works:
                    self._cancelled(works[0])
                if kinds and set(kinds.values()) == {"value"}:
                    raise _Broken("a server that refuses everything (404) raises nothing: each "
                                  "outcome is a value",
                                  "tell what the SDK raised as an outcome `error`")  # fmt: skip

    def _cancelled(self, operation: Operation) -> None:
        ask = p.AskCancel(
            id=0, client="check", operation=operation.id, arguments=example_arguments(operation)
        )
        reply = self.ask(ask, p.ReplyCall)
        if reply.cancelled is None:
            raise _Broken("asked to cancel a call, it does not say whether it came to that",
                          "say in `cancelled` whether it was cancelled in that wait")  # fmt: skip

    def _open(self, mode: p.Mode, session: Session, client: str = "check") -> None:
        ask = p.AskOpen(id=0, client=client, base_url=session.base_url, api_key=KEY, mode=mode)
        outcome = self.ask(ask, p.ReplyOutcome).outcome
        if outcome.kind != "value":
            said = outcome.detail or (outcome.error.text if outcome.error else "")
            raise _Broken(f"no {mode} client can be opened: {outcome.kind} {said}"[:400],
                          "construct the client with `base_url` and `api_key`")  # fmt: skip

    def _again(self, mode: p.Mode, session: Session) -> None:
        """Open the client once more, where the last step ended the driver."""
        if self._pipe is None or self._pipe.ended:
            self._open(mode, session)

    def _unknown_operation(self) -> None:
        name = f"no.such_{secrets.token_hex(4)}"
        reply = self.ask(p.AskCall(id=0, client="check", operation=name), p.ReplyCall)
        if reply.outcome.kind != "unsupported":
            raise _Broken(f"asked to call `{name}`, which does not exist, its outcome is "
                          f"`{reply.outcome.kind}`",
                          "answer `unsupported`, with why in `detail`")  # fmt: skip

    def _ask_call(self, operation: Operation) -> p.ReplyCall:
        arguments = example_arguments(operation)
        ask = p.AskCall(id=0, client="check", operation=operation.id, arguments=arguments)
        return self.ask(ask, p.ReplyCall)

    def _call(self, operation: Operation, session: Session) -> bool:
        before = len(session.exchanges())
        started = monotonic()
        reply = self._ask_call(operation)
        ended = monotonic()
        outcome = reply.outcome
        if outcome.kind == "unsupported":
            raise _Broken(f"{operation.id} is claimed in `hello` and then unsupported: "
                          f"{outcome.detail}"[:400], "claim only what can be called")  # fmt: skip
        if outcome.kind == "driver_error":
            raise _Broken(f"{operation.id} with the contract's own example arguments is a driver "
                          f"error: {outcome.detail}"[:400],
                          "map the flat arguments to the SDK's call")  # fmt: skip
        session.wait_for(lambda s: len(s.exchanges()) > before, 0.5)
        sent = len(session.exchanges()) > before
        if not sent and outcome.kind == "value":
            strayed = [f"{verb} {target}" for verb, target in list(self.bench.strays)[-1:]]
            if strayed:
                raise _Broken(f"{operation.id} sends its request beside the base URL: {strayed[0]}",
                              "keep the path of `base_url`, or say so: the harness can give it a "
                              "port of its own")  # fmt: skip
            raise _Broken(f"{operation.id} has a value, and no request was sent for it",
                          "call the SDK, and give it the base URL of `open`")  # fmt: skip
        self._judge_error(operation, outcome)
        self._judge_times(operation, reply, started, ended)
        return sent

    def _judge_error(self, operation: Operation, outcome: p.OutcomeInfo) -> None:
        if (outcome.kind == "error") != (outcome.error is not None):
            raise _Broken(f"{operation.id}: an outcome `{outcome.kind}` "
                          f"{'with' if outcome.error else 'without'} an error",
                          "`error` stands in outcomes of kind `error`, and only there")  # fmt: skip

    def _judge_times(
        self, operation: Operation, reply: p.ReplyCall, started: float, ended: float
    ) -> None:
        early, late = started - CLOCK_SLACK, ended + CLOCK_SLACK
        times = [reply.started, *(s.at for s in reply.sleeps), reply.ended]
        if times != sorted(times):
            raise _Broken(f"{operation.id}: `started`, the waits and `ended` are not in order",
                          "take all times from one clock that never goes back")  # fmt: skip
        if not (early <= times[0] and times[-1] <= late):
            raise _Broken(
                f"{operation.id}: `started` {reply.started:.3f} and `ended` {reply.ended:.3f} lie "
                f"outside the call, which was from {started:.3f} to {ended:.3f}",
                "give seconds of the machine's monotonic clock (CLOCK_MONOTONIC)",
            )

    def _several(self, operation: Operation) -> None:
        one = p.OneCall(operation=operation.id, arguments=example_arguments(operation))
        ask = p.AskCalls(id=0, client="check", calls=(one,) * 4, concurrency=4)
        reply = self.ask(ask, p.ReplyCalls, 2)
        if len(reply.calls) != 4:
            raise _Broken(f"asked for 4 calls at once, it told of {len(reply.calls)}",
                          "tell how each call ended, in the order asked")  # fmt: skip

    def _close(self, operation: Operation) -> None:
        self.ask(p.AskClose(id=0, client="check"), p.ReplyOutcome)
        self._number += 1
        ask = p.AskCall(id=self._number, client="check", operation=operation.id)
        reply = self.line(p.encode(ask), "call on a closed client")
        if isinstance(reply, p.ReplyCall) and reply.outcome.kind == "value":
            raise _Broken("a client that was closed still answers calls",
                          "forget a client when it is closed")  # fmt: skip

    # --- the end

    def _stop(self) -> None:
        self.ask(p.AskStop(id=0), p.ReplyStop)
        self._must_end("after `stop`", "end the process after the reply to `stop`")

    def _end_of_input(self) -> None:
        self.ask(p.AskHello(id=0), p.ReplyHello, 2)
        assert self._pipe is not None
        assert self._pipe.process.stdin is not None
        self._pipe.process.stdin.close()
        self._must_end("when its input ended", "end the process at the end of standard input")

    def _must_end(self, when: str, advice: str) -> None:
        assert self._pipe is not None
        limit = min(self.timeout, 10.0)
        try:
            code = self._pipe.process.wait(limit)
        except Exception:
            raise _Broken(f"it still ran {limit:g} s {when}", advice) from None
        self._end()
        if code != 0:
            raise _Broken(f"it ended with exit code {code} {when}", "end with exit code 0")


def check(command: Sequence[str], contract: Contract, timeout: float = TIMEOUT) -> list[Remark]:
    """Return everything that a driver does wrong; nothing for a driver that can be judged by."""
    with Testbench() as bench:
        return Examination(command, contract, bench, timeout).run()


def main(command: str, api: str, *, write: Callable[[str], Any] | None = None) -> int:
    """Check a driver and say what is wrong; return 0 where nothing is, 1 or 2 otherwise."""
    write = write or sys.stdout.write
    try:
        contract = specs.load(api)
    except specs.SpecError as why:
        write(f"{why}\n")
        return 2
    try:
        words = shlex.split(command)
    except ValueError as why:
        write(f"{command!r} is no command line: {why}\n")
        return 2
    if not words:
        write("no command: give the driver's command line\n")
        return 2
    remarks = check(words, contract)
    for number, remark in enumerate(remarks, 1):
        write(f"{number}. {remark.check}: {remark.text}\n   → {remark.advice}\n")
    if remarks:
        things = "1 thing" if len(remarks) == 1 else f"{len(remarks)} things"
        write(
            f"{things} to mend before an SDK can be judged by this driver. The protocol in words: "
            "`memconform driver protocol`; as JSON Schema: with `--schema`.\n"
        )
        return 1
    write(
        f"Nothing wrong: an SDK can be judged by this driver ({len(contract.operations)} "
        f"operations). Next: memconform sdk --driver {shlex.quote(command)} --api {api}\n"
    )
    return 0


def _documented(contract: Contract) -> tuple[str, ...]:
    errors = contract.root.errors
    if errors is None:
        return ()
    return tuple(dict.fromkeys([errors.base, *(rule.exception for rule in errors.map)]))


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _shortened(why: str) -> str:
    before, mark, words = why.partition("its last words: ")
    return before + mark + " ".join(words.split())[-200:] if mark else why


def _advice(why: str, begun: bool = True) -> str:
    if "nobody asked for" in why and '"reply"' in why:
        return "answer each request once; write nothing else to standard output"
    if "nobody asked for" in why:
        return "write nothing but replies to standard output; logs belong on standard error"
    if "longer than" in why:
        return "cut what is too long, and mark it as cut"
    if "the driver ended" in why and not begun:
        return "give a command that starts the driver; it serves until `stop` or the end of input"
    if "the driver ended" in why:
        return "catch what the SDK does; end only after `stop` or at the end of input"
    return "see the protocol: one line of JSON for each request"


def _not_a_reply(what: str, line: bytes, why: ValueError) -> str:
    shown = redact(repr(line[:100].decode("utf-8", "replace")), KEY)
    return (
        f"asked `{what}`, its answer is no reply of the protocol: {_why(line, why)}; it is {shown}"
    )


def _why(line: bytes, why: ValueError) -> str:
    if _json_of(line) is None:
        return "it is no JSON object"
    errors = getattr(why, "errors", None)
    if errors is None:
        return str(why)[:200]
    return "; ".join(
        f"{'.'.join(map(str, e['loc']))}: {e['msg']}"
        for e in errors(include_url=False, include_input=False)[:3]
    )[:300]


def _advice_on_line(line: bytes) -> str:
    if _json_of(line) is None:
        return "write nothing but replies to standard output, each as one line of JSON; logs " \
               "belong on standard error"  # fmt: skip
    return "see the protocol's JSON Schema: `memconform driver protocol --schema`"


def _json_of(line: bytes) -> Any:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
