"""Clients of an SDK: how they are made, called, cancelled and closed.

The one place that runs the SDK's code. Whatever it raises becomes an `error` outcome; what is
the table's or the caller's mistake becomes `driver_error`; neither is confused with the other.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

from conformance.drivers.hosting import clock
from conformance.drivers.hosting.render import MAX_WALKED, Renderer, pages
from conformance.drivers.hosting.table import (
    Arguments,
    Built,
    Operation,
    Table,
    Unfit,
    Unsupported,
    Way,
    choose,
    fit,
)

Json = dict[str, Any]


@dataclass
class Client:
    """One constructed client; `inside` is what entering it as a context manager gave."""

    mode: str
    instance: Any
    inside: Any = None
    entered: bool = False
    said: str = ""
    """The expression that constructed it."""

    @property
    def target(self) -> Any:
        """What operations are looked up on."""
        return self.inside if self.entered else self.instance


@dataclass
class Prepared:
    """A call that is ready to be made."""

    run: Callable[[], Any]
    via: str | None
    dropped: tuple[str, ...] = ()
    said: str = ""


@dataclass
class Runner:
    """Makes and uses clients of one SDK by one table."""

    table: Table
    module: ModuleType
    virtual: bool
    loop: asyncio.AbstractEventLoop

    def renderer(self) -> Renderer:
        """Return a renderer for one reply."""
        return Renderer(self.table.root)

    # --- clients

    def open(
        self, mode: str, base_url: str, api_key: str | None, options: Mapping[str, Any],
        context: bool,
    ) -> Client:  # fmt: skip
        """Construct a client. Raises Unsupported, or whatever the SDK raises."""
        factory = self.factory(mode)
        keywords = self._keywords(factory, mode, base_url, api_key, options)

        said = self._constructor(mode, keywords)

        def make() -> Client:
            instance = factory(**keywords)
            if not context:
                return Client(mode, instance, said=said)
            if mode == "sync":
                _need(instance, "__enter__")
                return Client(mode, instance, instance.__enter__(), entered=True, said=said)
            _need(instance, "__aenter__")
            return Client(mode, instance, None, entered=True, said=said)

        if mode == "sync":
            return make()

        async def make_inside() -> Client:
            client = make()
            if client.entered:
                client.inside = await client.instance.__aenter__()
            return client

        return self.loop.run_until_complete(make_inside())

    def factory(self, mode: str) -> Any:
        """Return the class of clients of a mode. Raises Unsupported."""
        name = self.table.clients.get(mode)
        if name is None:
            raise Unsupported(f"the document knows no {mode} client")
        factory = getattr(self.module, name, None)
        if factory is None:
            raise Unsupported(f"`{self.module.__name__}` has no `{name}`")
        return factory

    def _keywords(
        self, factory: Any, mode: str, base_url: str, api_key: str | None,
        options: Mapping[str, Any],
    ) -> Json:  # fmt: skip
        given = dict(options)
        given["base-url"] = self.table.base_url(base_url)
        if api_key is not None:
            given["api-key"] = api_key
        keywords: Json = dict(self.table.fixed)
        for role, value in given.items():
            name, why = parameter(self.table, factory, role)
            if name is None:
                raise Unsupported(why or f"no option for {role}")
            option = self.table.options[role]
            if value is True and mode in option.new:
                module, _, kind = option.new[mode].partition(":")
                value = getattr(import_module(module), kind)()
            keywords[name] = option.wrap(value) if option.wrap else value
        return keywords

    def _constructor(self, mode: str, keywords: Mapping[str, Any]) -> str:
        """Return the expression that constructs a client, without its key and address."""
        marks = {"api-key": "API_KEY", "base-url": "BASE_URL"}
        named = {n: mark for r, mark in marks.items() for n in _names(self.table, r)}
        shown = (f"{n}={named.get(n) or _literal(v)}" for n, v in keywords.items())
        return f"{self.table.clients[mode]}({', '.join(shown)})"

    def close(self, client: Client) -> None:
        """Close a client as documented. Raises Unsupported, or whatever the SDK raises."""
        if client.mode == "sync":
            if client.entered:
                client.instance.__exit__(None, None, None)
            else:
                self._closer(client)()
            return

        async def leave() -> None:
            if client.entered:
                await client.instance.__aexit__(None, None, None)
            else:
                result = self._closer(client)()
                if inspect.isawaitable(result):
                    await result

        self.loop.run_until_complete(leave())

    def _closer(self, client: Client) -> Any:
        for name in self.table.close:
            if callable(getattr(client.instance, name, None)):
                return getattr(client.instance, name)
        raise Unsupported(f"`{type(client.instance).__name__}` has none of {self.table.close}")

    def choose(self, client: Client, operation: Operation) -> tuple[Way, str | None]:
        """Return the way that an operation is done on a client, and why not the documented one.

        An async client is looked at in the event loop, as it is used. Raises Unsupported.
        """
        if client.mode == "sync":
            way, _, lacks = choose(client.instance, operation, client.mode)
            return way, lacks

        async def inside() -> tuple[Way, str | None]:
            way, _, lacks = choose(client.instance, operation, client.mode)
            return way, lacks

        return self.loop.run_until_complete(inside())

    # --- calls

    def call(
        self, client: Client, operation: str, arguments: Arguments, cancel_at: int = 0
    ) -> Json:
        """Make one call and say how it ended."""
        if client.mode == "sync":
            if cancel_at:
                return ended(_plain("unsupported", "a blocking call cannot be cancelled"))
            return self._sync(client, operation, arguments)
        return self.loop.run_until_complete(self._async(client, operation, arguments, cancel_at))

    def calls(
        self, client: Client, wanted: Sequence[tuple[str, Arguments]], concurrency: int
    ) -> list[Json]:
        """Make several calls, `concurrency` at once; return how each ended, in order."""
        if client.mode == "sync":
            with ThreadPoolExecutor(max_workers=concurrency) as pool:
                return list(pool.map(lambda one: self._sync(client, *one), wanted))

        async def together() -> list[Json]:
            room = asyncio.Semaphore(concurrency)

            async def one(operation: str, arguments: Arguments) -> Json:
                async with room:
                    return await self._async(client, operation, arguments, 0)

            return list(await asyncio.gather(*(one(*each) for each in wanted)))

        return self.loop.run_until_complete(together())

    def _sync(self, client: Client, operation: str, arguments: Arguments) -> Json:
        prepared, refused = self._prepare(client, operation, arguments)
        if prepared is None:
            return ended(refused)
        renderer = self.renderer()
        with clock.recording(self.virtual) as recorder:
            started, over = clock.monotonic(), 0.0
            try:
                result = prepared.run()
            except BaseException as error:
                over = clock.monotonic()
                outcome = _error(renderer, error)
            else:
                outcome = _value(renderer, result)
            return ended(outcome, started, recorder, prepared, over)

    async def _async(
        self, client: Client, operation: str, arguments: Arguments, cancel_at: int
    ) -> Json:
        prepared, refused = self._prepare(client, operation, arguments)
        if prepared is None:
            return ended(refused)
        renderer = self.renderer()
        with clock.recording(self.virtual, cancel_at) as recorder:
            recorder.task = asyncio.current_task()
            started, over = clock.monotonic(), 0.0
            try:
                result = prepared.run()
                if inspect.isawaitable(result):
                    result = await result
            except BaseException as error:
                over = clock.monotonic()
                outcome = _error(renderer, error)
            else:
                outcome = await _async_value(renderer, result)
            if recorder.endless:
                outcome = _plain("hang", "a wait began that never ends")
            done = ended(outcome, started, recorder, prepared, over)
            done["cancelled"] = recorder.cancelled if cancel_at else None
            return done

    def _prepare(
        self, client: Client, operation: str, arguments: Arguments
    ) -> tuple[Prepared | None, Json]:
        """Return the call, or the outcome that says why there is none."""
        known: Operation | None = self.table.operations.get(operation)
        if known is None:
            return None, _plain("unsupported", f"the table has no operation {operation!r}")
        try:
            way, method, missing = choose(client.target, known, client.mode)
        except Unsupported as why:
            return None, _plain("unsupported", str(why))
        via = way.expression if missing else None
        try:
            built: Built = fit(method, way.build(self.module, arguments))
        except Unfit as why:  # the SDK was not called: nothing is known of it, and nothing broke
            advice = "`fixed` in the driver table can give what the method asks for besides"
            return None, _plain(
                "unsupported", f"{way.expression} cannot be called: {why}; {advice}"
            )
        except Exception as why:
            detail = f"{way.expression}: {type(why).__name__}: {why}"[:2000]
            return None, _plain("driver_error", detail)
        run = _bound(method, built)
        said = _spoken(way.expression, built, client.mode)
        return Prepared(run, via, built.dropped, said), {}


@functools.lru_cache(maxsize=64)
def _parameters(factory: Any) -> Mapping[str, inspect.Parameter]:
    """Return what a constructor takes; asked for every option of every client."""
    return inspect.signature(factory).parameters


def parameter(table: Table, factory: Any, role: str) -> tuple[str | None, str | None]:
    """Return the constructor's parameter for a role, or None and why there is none."""
    option = table.options.get(role)
    if option is None:
        return None, f"the document knows no option for {role}"
    try:
        known = _parameters(factory)
    except (TypeError, ValueError):
        return option.documented, None
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
    for name in (option.documented, *option.also):
        if name in known or (anything and name == option.documented):
            return name, None
    return (
        None,
        f"`{getattr(factory, '__name__', factory)}()` has no parameter `{option.documented}`",
    )


def ended(
    outcome: Json,
    started: float = 0.0,
    recorder: clock.Recorder | None = None,
    prepared: Prepared | None = None,
    over: float = 0.0,
) -> Json:
    """Return the protocol's account of one call; `over` says when it ended, 0: just now."""
    now = clock.monotonic()
    return {
        "outcome": outcome,
        "started": started or now,
        "ended": over or now,
        "sleeps": [
            {"at": at, "seconds": seconds, "blocking": blocking}
            for at, seconds, blocking in (recorder.sleeps if recorder else ())
        ],
        "connects": [{"at": at, "port": p} for at, p in (recorder.connects if recorder else ())],
        "via": prepared.via if prepared else None,
        "said": prepared.said if prepared else "",
        "dropped": list(prepared.dropped) if prepared else [],
    }


def _names(table: Table, role: str) -> tuple[str, ...]:
    option = table.options.get(role)
    return (option.documented, *option.also) if option else ()


def _spoken(expression: str, built: Built, mode: str) -> str:
    """Return a call as its caller would write it; long ones are cut."""
    parts = [_literal(value) for value in built.positional]
    parts += [f"{name}={_literal(value)}" for name, value in built.keywords.items()]
    return f"{'await ' if mode == 'async' else ''}client.{expression}({', '.join(parts)})"[:8000]


def _literal(value: Any) -> str:
    try:
        return repr(value).encode("ascii", "backslashreplace").decode("ascii")
    except Exception:
        return "..."


def _bound(method: Callable[..., Any], built: Built) -> Callable[[], Any]:
    return lambda: method(*built.positional, **built.keywords)


def _plain(kind: str, detail: str = "") -> Json:
    return {"kind": kind, "value": None, "error": None, "detail": detail}


def _error(renderer: Renderer, error: BaseException) -> Json:
    try:
        return {**_plain("error"), "error": renderer.error(error)}
    except Exception as ours:
        name = type(error).__name__
        return _plain("driver_error", f"{name} cannot be rendered: {type(ours).__name__}: {ours}")


async def _async_value(renderer: Renderer, result: Any) -> Json:
    """Return the outcome of an async call whose value may be a stream or an auto-paging page."""
    if hasattr(result, "__anext__"):
        return {**_plain("value"), "value": await renderer.async_stream(result)}
    if not pages(result, renderer.package, "__aiter__"):
        return _value(renderer, result)
    try:
        iterator = aiter(result)
    except Exception as ours:
        return _plain("driver_error", f"it cannot be iterated: {type(ours).__name__}: {ours}")
    shown = {"$type": type(result).__name__, **await renderer.async_stream(iterator, MAX_WALKED)}
    return {**_plain("value"), "value": shown}


def _value(renderer: Renderer, result: Any) -> Json:
    try:
        return {**_plain("value"), "value": renderer.value(result)}
    except Exception as ours:
        return _plain(
            "driver_error", f"the value cannot be rendered: {type(ours).__name__}: {ours}"
        )


def _need(instance: Any, method: str) -> None:
    if not hasattr(type(instance), method):
        raise Unsupported(f"`{type(instance).__name__}` is no context manager: no `{method}`")
