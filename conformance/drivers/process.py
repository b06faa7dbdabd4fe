"""Start a driver, talk to it, and survive it.

A driver is not trusted: it may be silent, chatty, slow, wrong or dead. Each request has a time
limit, each line a size limit; a driver that breaks either is killed with everything it started,
said so, and started anew on next use with the clients that were open. Every driver has its own
process group, which is ended on close, at exit and on Ctrl-C.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from conformance.clock import monotonic
from conformance.contained import allowed, folder
from conformance.drivers import protocol as p
from conformance.drivers.pipe import DriverError, DriverHang, Pipe, redact
from conformance.history import Outcome, Sleep

HOST = Path(__file__).with_name("host.py")
__all__ = ["CallReply", "DriverError", "DriverHang", "DriverProcess", "host_command", "redact"]
START_TIMEOUT = 30.0
"""Seconds for a driver to answer `hello`."""
CALL_TIMEOUT = 30.0
"""Seconds for any other answer, where the caller names none."""
STOP_TIMEOUT = 2.0

_R = TypeVar("_R", bound=p.Reply)


@dataclass(frozen=True)
class CallReply:
    """One SDK call as the driver tells it, in the words of the history."""

    outcome: Outcome
    sleeps: tuple[Sleep, ...] = ()
    started: float = 0.0
    ended: float = 0.0
    via: str | None = None
    said: str = ""
    """The call as its caller would write it, `client.search(query='x')`."""
    dropped: tuple[str, ...] = ()
    """Arguments that the SDK's method has no parameter for."""
    warnings: tuple[str, ...] = ()
    printed: str = ""
    """The end of what the SDK printed and logged meanwhile; keys are not redacted in it."""
    cancelled: bool | None = None
    connects: tuple[tuple[float, int], ...] | None = None
    """(time, port) of each connection that was asked for; None: the driver cannot see them."""


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what a driver may see of our environment, without proxies; `extra` goes on top."""
    return {**allowed(), "NO_PROXY": "*", **(extra or {})}


def host_command(
    python: str | Path,
    table: str | Path,
    api: str = "",
    clock: Literal["virtual", "real"] = "virtual",
) -> list[str]:
    """Return the command that runs a Python SDK by a table inside its own environment."""
    command = [str(python), "-I", str(HOST), "--table", str(table), "--clock", clock]
    return [*command, "--api", api] if api else command


class DriverProcess:
    """One driver. Not to be used from several threads at once.

    `command` is run as it stands, without a shell. Raises DriverError where the driver cannot
    be started or breaks the protocol in `hello`; later faults become outcomes.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        *,
        start_timeout: float = START_TIMEOUT,
        call_timeout: float = CALL_TIMEOUT,
        exceptions: Iterable[str] = (),
        base_url: str | None = None,
        apart: bool = False,
    ) -> None:
        """`apart`: run it in an empty folder of its own, which is its home too."""
        self.command = tuple(command)
        self.starts = 0
        """How often it had to be started."""
        self._env = clean_environment(env)
        self._cwd, self._apart = cwd, apart
        self._room = contextlib.ExitStack()
        self._start_timeout = start_timeout
        self._call_timeout = call_timeout
        self._exceptions = tuple(exceptions)
        self.base_url = base_url
        """Where the contract's answers are served, for the clients that `hello` looks at."""
        self._pipe: Pipe | None = None
        self._hello: p.ReplyHello | None = None
        self._opened: dict[str, p.AskOpen] = {}
        self._live: set[str] = set()
        self.said: dict[str, str] = {}
        """Client -> the expression that constructed it."""
        self._number = 0
        self._clients = 0
        self._lock = threading.RLock()
        self._abandoned = False

    def __enter__(self) -> DriverProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id of the running driver, None where none runs."""
        return self._pipe.process.pid if self._pipe else None

    def hello(self) -> p.ReplyHello:
        """Return what the driver is and can do; starts it. Raises DriverError."""
        with self._lock:
            self._start()
            assert self._hello is not None
            return self._hello

    def open(
        self,
        base_url: str,
        api_key: str | None,
        mode: p.Mode = "sync",
        options: Mapping[str, Any] | None = None,
        *,
        context: bool = False,
    ) -> str | Outcome:
        """Construct a client; return its name, or how the attempt ended."""
        with self._lock:
            self._clients += 1
            name = f"c{self._clients}"
            ask = p.AskOpen(
                id=0, client=name, base_url=base_url, api_key=api_key, mode=mode,
                options=dict(options or {}), context=context,
            )  # fmt: skip
            try:
                outcome = self._open(ask)
            except DriverError as why:
                return _failed(why)
            if outcome.kind != "value":
                return outcome
            self._opened[name] = ask
            return name

    def call(
        self,
        client: str,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> CallReply:
        """Call one operation; `timeout` in real seconds, after which it counts as hung."""
        ask = p.AskCall(id=0, client=client, operation=operation, arguments=dict(arguments or {}))
        return self._one(ask, timeout)

    def cancel(
        self,
        client: str,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        at_sleep: int = 1,
        timeout: float | None = None,
    ) -> CallReply:
        """Call one operation on an async client; cancel it when it begins its n-th wait."""
        ask = p.AskCancel(
            id=0, client=client, operation=operation, arguments=dict(arguments or {}),
            at_sleep=at_sleep,
        )  # fmt: skip
        return self._one(ask, timeout)

    def calls(
        self,
        client: str,
        wanted: Sequence[tuple[str, Mapping[str, Any]]],
        concurrency: int,
        timeout: float | None = None,
    ) -> list[CallReply]:
        """Call several operations on one client at once; return how each ended, in order."""
        each = tuple(p.OneCall(operation=o, arguments=dict(a)) for o, a in wanted)
        ask = p.AskCalls(id=0, client=client, calls=each, concurrency=concurrency)
        with self._lock:
            started = monotonic()
            try:
                self._ready(client)
                reply = self._ask(ask, p.ReplyCalls, timeout)
                if len(reply.calls) != len(wanted):
                    raise self._broken(f"it answered {len(reply.calls)} of {len(wanted)} calls")
            except DriverError as why:
                return [CallReply(_failed(why), (), started, monotonic()) for _ in wanted]
            return [_call_reply(done) for done in reply.calls]

    def close(self, client: str) -> Outcome:
        """Close a client and say how that ended."""
        with self._lock:
            self._opened.pop(client, None)
            if client not in self._live or self._pipe is None:
                return Outcome("value")
            self._live.discard(client)
            try:
                reply = self._ask(p.AskClose(id=0, client=client), p.ReplyOutcome, None)
            except DriverError as why:
                return _failed(why)
            return reply.outcome.as_outcome()

    def stop(self) -> None:
        """End the driver: politely first, then with its whole process group."""
        with self._lock:
            if self._pipe is None:
                return
            with contextlib.suppress(DriverError):
                self._ask(p.AskStop(id=0), p.ReplyStop, STOP_TIMEOUT)
            if self._pipe is not None:
                self._pipe.end(STOP_TIMEOUT)
            self._forget()

    def abandon(self) -> None:
        """End the driver at once, whoever waits for it in another thread; it stays ended."""
        self._abandoned = True
        pipe = self._pipe
        if pipe is not None:
            pipe.end(0)

    # --- inside

    def _one(self, ask: p.AskCall | p.AskCancel, timeout: float | None) -> CallReply:
        with self._lock:
            started = monotonic()
            try:
                self._ready(ask.client)
                reply = self._ask(ask, p.ReplyCall, timeout)
            except DriverError as why:
                return CallReply(_failed(why), (), started, monotonic())
            return _call_reply(reply)

    def _start(self) -> None:
        if self._pipe is not None and not self._pipe.ended:
            return
        self._forget()
        if self._apart and self._cwd is None:
            self._cwd = self._room.enter_context(folder("sdk"))
            self._env["HOME"] = str(self._cwd)
        self._pipe = Pipe(self.command, self._env, self._cwd)
        if self._abandoned:
            self._kill()
            raise DriverError("the driver is not wanted any more")
        self.starts += 1
        ask = p.AskHello(id=0, exceptions=self._exceptions, base_url=self.base_url)
        hello = self._ask(ask, p.ReplyHello, self._start_timeout)
        if hello.protocol != p.PROTOCOL:
            raise self._broken(f"it speaks protocol {hello.protocol}, not {p.PROTOCOL}")
        self._hello = hello

    def _ready(self, client: str) -> None:
        """Make sure that the driver runs and the client is open in it."""
        self._start()
        if client in self._live:
            return
        if client not in self._opened:
            raise DriverError(f"no client {client!r} was opened")
        outcome = self._open(self._opened[client])
        if outcome.kind != "value":
            raise DriverError(f"the client cannot be opened again: {outcome}")

    def _open(self, ask: p.AskOpen) -> Outcome:
        self._start()
        reply = self._ask(ask, p.ReplyOutcome, None)
        outcome = reply.outcome.as_outcome()
        if outcome.kind == "value":
            self._live.add(ask.client)
            self.said[ask.client] = reply.said
        return outcome

    def _ask(self, ask: p.Ask, expected: type[_R], timeout: float | None) -> _R:
        """Send one request and return its reply. Raises DriverError, and then it has ended."""
        assert self._pipe is not None
        self._number += 1
        message = ask.model_copy(update={"id": self._number})
        try:
            line = p.encode(message)
        except (ValueError, TypeError) as why:
            raise DriverError(f"the arguments are not JSON: {why}") from why
        limit = self._call_timeout if timeout is None else timeout
        try:
            reply = self._pipe.exchange(line, limit)
        except DriverError:
            self._kill()
            raise
        return self._check(reply, message, expected)

    def _check(self, line: bytes, ask: p.Ask, expected: type[_R]) -> _R:
        try:
            reply = p.decode_reply(line)
        except ValueError as why:
            raise self._broken(f"its answer is no reply of the protocol: {_words(why)}") from None
        if reply.id != ask.id:
            raise self._broken(f"it answered request {reply.id}; {ask.id} was asked")
        if isinstance(reply, p.ReplyProblem):
            raise DriverError(redact(reply.problem))
        if not isinstance(reply, expected):
            raise self._broken(f"it answered with `{reply.reply}`")
        return reply

    def _broken(self, why: str) -> DriverError:
        self._kill()
        return DriverError(f"the driver broke the protocol: {why}")

    def _kill(self) -> None:
        if self._pipe is not None:
            self._pipe.end(0)
        self._forget()

    def _forget(self) -> None:
        """Remember nothing of the process that ran, and remove its own folder."""
        self._pipe = None
        self._live.clear()
        if self._apart:
            self._cwd = None
            self._room.close()


def _failed(why: DriverError) -> Outcome:
    return Outcome("hang" if isinstance(why, DriverHang) else "driver_error", detail=str(why))


def _call_reply(done: p.Ended) -> CallReply:
    return CallReply(
        outcome=done.outcome.as_outcome(),
        sleeps=tuple(Sleep(s.at, s.seconds, s.blocking) for s in done.sleeps),
        started=done.started,
        ended=done.ended,
        via=done.via,
        said=done.said,
        dropped=done.dropped,
        warnings=done.warnings,
        printed=done.printed,
        cancelled=done.cancelled,
        connects=None if done.connects is None else tuple((c.at, c.port) for c in done.connects),
    )


def _words(why: ValueError) -> str:
    """Return what a validation error says, short, without the values."""
    errors = getattr(why, "errors", None)
    if errors is None:
        return str(why)[:300]
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'line'}: {e['msg']}"
        for e in errors(include_url=False, include_input=False)[:3]
    )[:500]
