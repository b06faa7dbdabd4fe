"""The protocol's side of the host: one request in, one reply out, until told to stop.

A request that cannot be understood is answered with a problem; nothing that an SDK does ends
the loop, except the process's own death.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.drivers.hosting import calls
from conformance.drivers.hosting.calls import Client
from conformance.drivers.hosting.capture import Capture
from conformance.drivers.hosting.table import Operation, Table, Unsupported

PROTOCOL = 1
MAX_LINE = 15 * 1024 * 1024
DRIVER = "memconform-host/1"
NOBODY = "http://127.0.0.1:9"
"""An address where nobody listens."""

Json = dict[str, Any]


@dataclass
class Server:
    """Answers requests about one SDK."""

    runner: calls.Runner
    capture: Capture
    version: str
    clients: dict[str, Client] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """The table it works by."""
        return self.runner.table

    def answer(self, request: Mapping[str, Any]) -> Json:
        """Return the reply to one request; never raises."""
        handlers: dict[str, Callable[[Mapping[str, Any]], Json]] = {
            "hello": self.hello,
            "open": self.open,
            "call": self.call,
            "calls": self.calls,
            "cancel": self.cancel,
            "close": self.close,
            "stop": lambda _: {"reply": "stop"},
        }
        id = request.get("id")
        if not isinstance(id, int):
            return {"id": 0, "reply": "problem", "problem": "the request has no `id`"}
        handler = handlers.get(str(request.get("do")))
        if handler is None:
            return {
                "id": id,
                "reply": "problem",
                "problem": f"no such request: {request.get('do')}",
            }
        try:
            return {"id": id, **handler(request)}
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:2000]
            return {"id": id, "reply": "problem", "problem": said}

    # --- hello

    def hello(self, request: Mapping[str, Any]) -> Json:
        """Say what this driver is and can do."""
        if request.get("protocol") != PROTOCOL:
            return {"reply": "problem", "problem": f"this driver speaks protocol {PROTOCOL}"}
        probes, unopened, why_not = self._probes(request.get("base_url") or NOBODY)
        wanted = dict.fromkeys((*self.table.exceptions, *request.get("exceptions", ())))
        return {
            "reply": "hello",
            "protocol": PROTOCOL,
            "driver": DRIVER,
            "api": self.table.api,
            "sdk": {"name": self.table.package, "version": self.version},
            "language": "python",
            "module": self.table.module,
            "clients": {mode: self.table.clients[mode] for mode in probes},
            "unopened": unopened,
            "context_manager": [m for m, p in probes.items() if _is_context(m, p.instance)],
            "operations": {
                id: self._operation(operation, probes, why_not)
                for id, operation in self.table.operations.items()
            },
            "options": {role: self._option(role) for role in self.table.options},
            "exceptions": {name: self._exception(name) for name in wanted},
            "clock": "virtual" if self.runner.virtual else "real",
            "time_scale": 1.0,
            "records_sleeps": True,
            "cancels": "async" in probes,
        }

    def _probes(self, base_url: str) -> tuple[dict[str, Client], dict[str, str], str]:
        """Return a client of each mode that has one, to be looked at.

        Beside them: of each client that is there and cannot be constructed, why; and why the
        first mode has none.
        """
        probes: dict[str, Client] = {}
        unopened: dict[str, str] = {}
        why_not = ""
        for mode in self.table.clients:
            try:
                key = "sk_test_0123456789abcdef0123456789abcdef"
                probes[mode] = self.runner.open(mode, base_url, key, {}, False)
                continue
            except Unsupported as why:
                said = f"no {mode} client: {why}"
            except BaseException as error:
                said = f"{self.table.clients[mode]}: {type(error).__name__}: {error}"[:500]
                unopened[mode] = said
                said = f"no {mode} client: {said}"[:500]
            why_not = why_not or said
        return probes, unopened, why_not

    def _operation(self, operation: Operation, probes: Mapping[str, Client], why_not: str) -> Json:
        modes: list[str] = []
        via: str | None = None
        missing: str | None = None if probes else why_not or "the package has no client"
        for mode, probe in probes.items():
            try:
                way, lacks = self.runner.choose(probe, operation)
            except Unsupported as why:
                missing = missing or str(why)
                continue
            modes.append(mode)
            if lacks:
                via, missing = way.expression, missing or lacks
        name = operation.documented.expression if operation.documented else None
        return {"modes": modes, "name": name, "via": via, "missing": missing}

    def _option(self, role: str) -> Json:
        option = self.table.options[role]
        modes: list[str] = []
        missing, via, default = None, None, None
        for mode in self.table.clients:
            try:
                factory = self.runner.factory(mode)
            except Unsupported as why:
                missing = missing or str(why)
                continue
            name, why_not = calls.parameter(self.table, factory, role)
            if name is None:
                missing = missing or why_not
                continue
            modes.append(mode)
            via = name if name != option.documented else via
            default = _default(factory, name)
        return {
            "name": option.documented, "modes": modes, "via": via, "missing": missing,
            "default": default,
        }  # fmt: skip

    def _exception(self, name: str) -> Json:
        home = self.table.exceptions_module or self.table.module
        for place in (home, *_submodules(self.table.root)):
            try:
                found = getattr(importlib.import_module(place), name, None)
            except BaseException:  # noqa: S112 - what cannot be imported has no class for us
                continue
            if not (isinstance(found, type) and issubclass(found, BaseException)):
                continue
            own = str(found.__module__).split(".")[0] == self.table.root
            if place == home or own:
                bases = [b.__name__ for b in found.__mro__[1:] if b is not object]
                where = home if place == home else found.__module__
                return {"found": f"{where}.{name}", "exported": place == home, "bases": bases}
        return {"found": None, "exported": False, "bases": []}

    # --- clients and calls

    def open(self, request: Mapping[str, Any]) -> Json:
        """Construct a client and keep it under its name."""
        try:
            client = self.runner.open(
                str(request.get("mode", "sync")), request["base_url"], request["api_key"],
                request.get("options", {}), bool(request.get("context", False)),
            )  # fmt: skip
        except Unsupported as why:
            return self._outcome({"kind": "unsupported", "detail": str(why)})
        except BaseException as error:
            rendered = self.runner.renderer().error(error)
            return self._outcome({"kind": "error", "error": rendered})
        self.clients[request["client"]] = client
        return self._outcome({"kind": "value"}, client.said)

    def close(self, request: Mapping[str, Any]) -> Json:
        """Close a client and forget it."""
        client = self._client(request)
        del self.clients[request["client"]]
        try:
            self.runner.close(client)
        except Unsupported as why:
            return self._outcome({"kind": "unsupported", "detail": str(why)})
        except BaseException as error:
            rendered = self.runner.renderer().error(error)
            return self._outcome({"kind": "error", "error": rendered})
        return self._outcome({"kind": "value"})

    def call(self, request: Mapping[str, Any]) -> Json:
        """Call one operation."""
        done = self.runner.call(
            self._client(request), request["operation"], request.get("arguments", {})
        )
        return {"reply": "call", **self._heard(done)}

    def cancel(self, request: Mapping[str, Any]) -> Json:
        """Call one operation and cancel it in its n-th wait."""
        done = self.runner.call(
            self._client(request), request["operation"], request.get("arguments", {}),
            cancel_at=int(request.get("at_sleep", 1)),
        )  # fmt: skip
        return {"reply": "call", **self._heard(done)}

    def calls(self, request: Mapping[str, Any]) -> Json:
        """Call several operations at once."""
        wanted = [(one["operation"], one.get("arguments", {})) for one in request["calls"]]
        done = self.runner.calls(self._client(request), wanted, int(request.get("concurrency", 1)))
        if done:
            self._heard(done[-1])
        return {"reply": "calls", "calls": done}

    def _client(self, request: Mapping[str, Any]) -> Client:
        name = request.get("client")
        if name not in self.clients:
            raise LookupError(f"no client named {name!r} is open")
        return self.clients[str(name)]

    def _outcome(self, outcome: Json, said: str = "") -> Json:
        whole = {"value": None, "error": None, "detail": "", **outcome}
        printed = self.capture.take()
        return {"reply": "outcome", "outcome": whole, "printed": printed, "said": said}

    def _heard(self, done: Json) -> Json:
        done["printed"] = self.capture.take()
        done["warnings"] = self.capture.take_warnings()
        return done


def _is_context(mode: str, instance: Any) -> bool:
    return hasattr(type(instance), "__enter__" if mode == "sync" else "__aenter__")


def _default(factory: Any, name: str) -> Any:
    import inspect

    try:
        default = inspect.signature(factory).parameters[name].default
    except (TypeError, ValueError, KeyError):
        return None
    return default if isinstance(default, (bool, int, float, str)) else None


def _submodules(name: str) -> list[str]:
    """Names of a package's modules, shallow ones first, at most 200."""
    package = importlib.import_module(name)
    paths = getattr(package, "__path__", None)
    if paths is None:
        return []
    found = [m.name for m in pkgutil.iter_modules(paths, name + ".")]
    deeper = [
        m.name
        for sub in found
        if (at := os.path.join(next(iter(paths)), sub.rsplit(".", 1)[1])) and os.path.isdir(at)
        for m in pkgutil.iter_modules([at], sub + ".")
    ]
    return (found + deeper)[:200]


def write(fd: int, reply: Json) -> None:
    """Write one reply as a line; one that is too long is replaced by a problem."""
    line = json.dumps(reply, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    if len(line) > MAX_LINE:
        problem = f"the reply has {len(line)} bytes"
        line = json.dumps({"id": reply["id"], "reply": "problem", "problem": problem}).encode()
        line += b"\n"
    while line:
        line = line[os.write(fd, line) :]


def loop(server: Server, source: Any, target: int) -> None:
    """Answer each line of `source` on the descriptor `target`, until stop or end."""
    for line in source:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            write(target, {"id": 0, "reply": "problem", "problem": f"not JSON: {error}"})
            continue
        if not isinstance(request, dict):
            write(target, {"id": 0, "reply": "problem", "problem": "a request is an object"})
            continue
        write(target, server.answer(request))
        if request.get("do") == "stop":
            return
