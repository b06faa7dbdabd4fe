"""The reference SDK's clients: one conversation, spoken by a blocking and an async engine.

`conversation` holds all behaviour and does no I/O: it yields what it wants done (`Send`,
`Pause`) and is told what came of it. Both engines run the same conversation, so that sync and
async cannot differ but by the defects that make them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from conformance.oracles.answers import Answer, Network
from conformance.reference.defects import Defects
from conformance.reference.sdk import messages, policy, walking
from conformance.reference.sdk.errors import exception_for
from conformance.reference.sdk.messages import Malformed, Outgoing, Unsendable
from conformance.reference.sdk.transport import (
    Arrived,
    AsyncTransport,
    Failed,
    SyncTransport,
    TooLong,
    kind_of,
)
from specs import Contract, Operation, pointer

logger = logging.getLogger("memconform_reference")


@dataclass(frozen=True, slots=True)
class Send:
    """Send this."""

    request: Outgoing


@dataclass(frozen=True, slots=True)
class Pause:
    """Let seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Kit:
    """What every client made from one contract shares."""

    contract: Contract
    exceptions: Mapping[str, type]
    kinds: Mapping[str, type]
    defects: Defects


@dataclass
class State:
    """What one client was given."""

    kit: Kit
    base_url: str
    key: str | None
    settings: policy.Settings
    debug: bool = False
    own: Any = None
    """An HTTP client that the caller brought."""
    closed_until: float = 0.0
    """Monotonic time until which the quota that the server told of is used up."""
    last: list[Any] = field(default_factory=list)
    spoiled: bool = False
    """True once a call failed, where a defect makes that matter."""


Step = Send | Pause
Conversation = Generator[Step, Arrived | Failed | TooLong | None, Any]


def conversation(
    state: State, operation: Operation, arguments: Mapping[str, Any], url: str | None = None
) -> Conversation:
    """Yield what one call wants done; return its value or raise its error.

    `url`: where the next page of a walk is, in place of what the arguments would say.
    """
    kit, defects = state.kit, state.kit.defects
    try:
        request = messages.request(
            kit.contract, operation, arguments, state.base_url, state.key, defects
        )
    except Unsendable as why:
        raise _own(state, operation, str(why)) from why
    request = replace(request, url=url) if url is not None else request
    if state.closed_until > time.monotonic():
        yield Pause(state.closed_until - time.monotonic())
    if state.spoiled:
        raise _own(state, operation, "the client is closed")
    most = policy.attempts(operation, state.settings, defects)
    first: Answer | None = None
    number = 0
    while True:
        number += 1
        came = yield Send(_again(request, number, operation, defects))
        if state.debug:
            shown = state.key if "auth.key-logged" in defects else "***"
            logger.warning("%s %s as %s", request.method, operation.path, shown)
        if isinstance(came, TooLong):
            raise _own(state, operation, str(came)) from came
        answer, cause = _answer(came)
        ends = policy.used_up(operation, answer, time.time(), defects)
        if ends is not None:
            state.closed_until = time.monotonic() + ends
        if isinstance(came, Arrived) and _well(answer, defects):
            if number < most and "retry.after-success" in defects and number == 1:
                continue
            value = _finish(state, operation, came)
            if walking.walks(operation) and answer.status == 200:
                return walking.page(operation, arguments, request.url, answer, value, defects)
            return value
        first = first or answer
        retry = number < most and policy.retriable(operation, answer, defects)
        if answer.name != first.name and "retry.other-failure-ends" in defects:
            retry = False
        if retry:
            seconds = policy.wait(
                operation, answer, number - 1, state.settings, time.time(), defects
            )
            if seconds is not None:
                yield Pause(seconds)
                continue
        return _fail(state, operation, first, answer, cause, number)


def _answer(came: Arrived | Failed | TooLong | None) -> tuple[Answer, Exception | None]:
    if isinstance(came, Failed):
        return Answer(network=came.network), came.cause
    assert isinstance(came, Arrived)
    return came.answer, None


def _well(answer: Answer, defects: Defects) -> bool:
    """True for a success."""
    if answer.status in (301, 302) and answer.body and "answer.redirect-as-value" in defects:
        return True
    return answer.ok and not (answer.status != 200 and "answer.only-200" in defects)


def _again(request: Outgoing, number: int, operation: Operation, defects: Defects) -> Outgoing:
    """Return the request as it is sent the `number`-th time: the same, and counted."""
    count = 0 if "retry.count-stuck" in defects else number - 1
    request = replace(request, headers={**request.headers, "x-retry-count": str(count)})
    if number == 1:
        return request
    if "retry.request-id-changed" in defects:
        return replace(request, headers={**request.headers, "x-request-id": f"again-{number}"})
    if "retry.body-from-middle" in defects:
        body = request.body or b""
        return replace(request, body=body[len(body) // 2 :] or None)
    if "retry.body-dropped" in defects:
        return replace(request, body=b"{}" if request.body else None)
    if "retry.target-changed" in defects:
        mark = "&" if "?" in request.url else "?"
        return replace(request, url=f"{request.url}{mark}retry={number}")
    if "retry.header-changed" in defects:
        return replace(request, headers={**request.headers, "accept-encoding": "identity"})
    if "retry.credentials-dropped" in defects:
        return replace(request, headers={
            k: v for k, v in request.headers.items() if k.lower() != "authorization"
        })  # fmt: skip
    key = operation.idempotency
    if key is not None and key.location == "body" and "retry.key-changed" in defects:
        body = json.loads(request.body or b"{}")
        body[key.name] = f"again-{number}"
        return replace(request, body=json.dumps(body, separators=(",", ":")).encode())
    return request


def _finish(state: State, operation: Operation, came: Arrived) -> Any:
    """Return the value of a 2xx answer."""
    kit, defects = state.kit, state.kit.defects
    if came.lines is not None:
        return came
    if "answer.type-needed" in defects:
        came.answer.header("content-type").split(";")  # type: ignore[union-attr]
    try:
        body = messages.decoded(operation, came.answer, defects)
    except Malformed as error:
        raise _own(state, operation, str(error), came.answer) from error
    if "client.answers-mixed" in defects:
        state.last.append(body)
        body = state.last[-2] if len(state.last) > 1 else body
    return messages.result(operation, body, came.answer, kit.kinds, defects)


def _own(state: State, operation: Operation, text: str, answer: Answer | None = None) -> Exception:
    """Return the SDK's base exception for what no row of the error table covers."""
    errors = operation.errors
    if errors is None:
        return RuntimeError(text)
    kind = state.kit.exceptions[errors.base]
    return kind(text)  # type: ignore[no-any-return]


def _fail(
    state: State, operation: Operation, first: Answer, last: Answer, cause: Exception | None,
    number: int,
) -> Any:  # fmt: skip
    """Raise the exception that the last answer calls for."""
    kit, defects = state.kit, state.kit.defects
    state.spoiled = "client.spoiled" in defects
    if "error.swallowed" in defects and (last.status or 0) >= 500:
        return None
    if operation.pagination is not None and "paging.error-as-empty" in defects:
        return _empty_page(operation)
    answer = first if number > 1 and "retry.first-error" in defects else last
    if cause is not None and "error.leak-transport" in defects:
        raise cause
    if isinstance(cause, httpx.RemoteProtocolError) and "transport.protocol-leak" in defects:
        raise cause
    _malformed(answer, defects)
    if number > 1 and operation.errors is not None and "retry.generic-error" in defects:
        raise kit.exceptions[operation.errors.base]("retries are used up")
    made = exception_for(operation, answer, kit.exceptions, state.key, defects)
    if cause is not None and "error.no-cause" in defects:
        raise made from None
    raise made from cause


def _empty_page(operation: Operation) -> Any:
    assert operation.pagination is not None
    return {operation.pagination.items.strip("/").split("/")[0]: []}


def _malformed(answer: Answer, defects: Defects) -> None:
    """Trip over odd answers (bodies that are not JSON objects, …), where a defect says so."""
    if answer.network is not None:
        return
    if 300 <= (answer.status or 0) < 400 and "answer.place-crash" in defects:
        answer.header("location").strip()  # type: ignore[union-attr]
    if "error.html-crash" in defects:
        json.loads(answer.body.decode("utf-8"))
    value = answer.json()
    if value is not None and not isinstance(value, dict) and "error.list-crash" in defects:
        value.get("error")
    if "error.utf8-crash" in defects:
        answer.body.decode("utf-8")


# --- streams ----------------------------------------------------------------------------------


@dataclass
class Events:
    """Turns lines of `text/event-stream` into events; says where the stream broke."""

    state: State
    operation: Operation
    data: list[str] = field(default_factory=list)
    done: bool = False

    def feed(self, line: str) -> Any:
        """Return the event that a line completes, or None."""
        if line.startswith("data:"):
            self.data.append(line[5:].removeprefix(" "))
            return None
        if line or not self.data:
            return None
        text, self.data = "\n".join(self.data), []
        try:
            event = json.loads(text)
        except ValueError as error:
            if "stream.json-crash" in self.state.kit.defects:
                raise
            raise _own(self.state, self.operation, "an event is not JSON") from error
        stream = self.operation.stream
        assert stream is not None
        with contextlib.suppress(LookupError):
            self.done = self.done or pointer(event, stream.type) == stream.done
        return event

    def broken(self, network: Network, cause: Exception | None) -> Exception:
        """Return the exception for a stream that ended too early."""
        answer = Answer(network=network)
        defects = self.state.kit.defects
        made = exception_for(
            self.operation, answer, self.state.kit.exceptions, self.state.key, defects
        )
        made.__cause__ = cause or EOFError("the stream ended before it was done")
        return made


def events(state: State, operation: Operation, came: Arrived, again: Any) -> Iterator[Any]:
    """Yield the events of a stream one by one; raise where it breaks."""
    defects = state.kit.defects
    reader = Events(state, operation)
    handed = 0
    try:
        for line in came.lines:
            event = reader.feed(line)
            if event is not None:
                handed += 1
                if not (handed == 1 and "stream.first-event-lost" in defects):
                    yield event
    except httpx.HTTPError as error:
        if "stream.break-swallowed" in defects:
            return
        if "stream.retried" in defects and again is not None:
            yield from events(state, operation, again(), None)
            return
        if "stream.leak" in defects:
            raise
        raise reader.broken(kind_of(error, True), error) from error
    if not reader.done and "stream.break-swallowed" not in defects:
        raise reader.broken("truncated", None)


async def async_events(state: State, operation: Operation, came: Arrived) -> AsyncIterator[Any]:
    """Yield the events of a stream one by one; raise where it breaks."""
    reader = Events(state, operation)
    try:
        async for line in came.lines:
            event = reader.feed(line)
            if event is not None:
                yield event
    except httpx.HTTPError as error:
        raise reader.broken(kind_of(error, True), error) from error
    if not reader.done:
        raise reader.broken("truncated", None)


def _next(
    state: State, operation: Operation, step: walking.Step
) -> tuple[Mapping[str, Any], str | None]:
    """Return arguments and URL of the next page. Raises where it is at another origin."""
    defects = state.kit.defects
    if step.url is None:
        return step.arguments, None
    if not walking.same_origin(state.base_url, step.url) and "links.key-abroad" not in defects:
        raise _own(state, operation, "the next page is at another origin")
    return step.arguments, step.url


# --- engines ----------------------------------------------------------------------------------


class SyncEngine:
    """Runs conversations by blocking."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.transport = SyncTransport(state.settings.timeout, state.kit.defects, state.own)

    def call(self, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """Run one call to its end; a list that has more pages is handed out as it is walked."""
        value = self._converse(operation, arguments)
        return self._walk(operation, value) if isinstance(value, walking.Page) else value

    def _walk(self, operation: Operation, page: walking.Page) -> Iterator[Any]:
        walk = walking.Walk(page, self.state.kit.defects)
        kept = [list(p.items) for p in self._pages(operation, walk)] if walk.eager else None
        if kept is not None:
            yield from (item for items in kept for item in items)
            return
        for each in self._pages(operation, walk):
            yield from each.items

    def _pages(self, operation: Operation, walk: walking.Walk) -> Iterator[walking.Page]:
        while walk.page is not None:
            yield walk.page
            walk.turn()
            if walk.step is not None:
                arguments, url = _next(self.state, operation, walk.step)
                try:
                    walk.page = self._converse(operation, arguments, url)
                except Exception:
                    if "walk.error-ends" not in self.state.kit.defects:
                        raise
                    return

    def _converse(
        self, operation: Operation, arguments: Mapping[str, Any], url: str | None = None
    ) -> Any:
        talk = conversation(self.state, operation, arguments, url)
        came: Arrived | Failed | TooLong | None = None
        try:
            while True:
                step = talk.send(came)
                came = None
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    sent = step
                    came = self._send(step.request)
        except StopIteration as end:
            if not isinstance(end.value, Arrived):
                return end.value
            return self._stream(operation, end.value, sent)

    def _send(self, request: Outgoing) -> Arrived | Failed | TooLong:
        try:
            return self.transport.send(request)
        except (Failed, TooLong) as error:
            return error

    def _stream(self, operation: Operation, came: Arrived, sent: Send) -> Iterator[Any]:
        made = events(self.state, operation, came, lambda: self.transport.send(sent.request))
        if "stream.buffered" in self.state.kit.defects:
            return iter(list(made))
        return made

    def close(self) -> None:
        """Close all connections."""
        self.transport.close()


class AsyncEngine:
    """Runs conversations in an event loop."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.transport = AsyncTransport(state.settings.timeout, state.kit.defects, state.own)
        self.sent: Outgoing | None = None

    async def call(self, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """Run one call to its end; a list that has more pages is handed out as it is walked."""
        value = await self._converse(operation, arguments)
        return self._walk(operation, value) if isinstance(value, walking.Page) else value

    async def _walk(self, operation: Operation, page: walking.Page) -> AsyncIterator[Any]:
        walk = walking.Walk(page, self.state.kit.defects)
        kept: list[Any] = []
        while walk.page is not None:
            for item in walk.page.items:
                if walk.eager:
                    kept.append(item)
                else:
                    yield item
            walk.turn()
            if walk.step is not None:
                arguments, url = _next(self.state, operation, walk.step)
                try:
                    walk.page = await self._converse(operation, arguments, url)
                except Exception:
                    if "walk.error-ends" not in self.state.kit.defects:
                        raise
                    return
        for item in kept:
            yield item

    async def _converse(
        self, operation: Operation, arguments: Mapping[str, Any], url: str | None = None
    ) -> Any:
        state = self.state
        if "async.no-retries" in state.kit.defects:
            state = replace(state, settings=replace(state.settings, max_retries=0))
        talk = conversation(state, operation, arguments, url)
        came: Arrived | Failed | TooLong | None = None
        try:
            while True:
                step = talk.send(came)
                came = None
                if isinstance(step, Pause):
                    await self._pause(step.seconds)
                else:
                    came = await self._send(step.request)
        except StopIteration as end:
            if not isinstance(end.value, Arrived):
                return end.value
            return async_events(self.state, operation, end.value)

    async def _pause(self, seconds: float) -> None:
        if "async.blocking-wait" in self.state.kit.defects:
            time.sleep(seconds)
            return
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if "async.cancel-waits-out" in self.state.kit.defects:
                await asyncio.sleep(seconds)
            if "async.cancel-sends-on" in self.state.kit.defects and self.sent is not None:
                await self.transport.send(self.sent)
            if "async.cancel-swallowed" not in self.state.kit.defects:
                raise

    async def _send(self, request: Outgoing) -> Arrived | Failed | TooLong:
        self.sent = request
        if "async.blocking-send" in self.state.kit.defects:
            return SyncTransport(self.state.settings.timeout, self.state.kit.defects, None).send(
                request
            )
        try:
            return await self.transport.send(request)
        except (Failed, TooLong) as error:
            return error

    async def close(self) -> None:
        """Close all connections."""
        await self.transport.close()
