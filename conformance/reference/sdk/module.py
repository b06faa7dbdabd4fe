"""The reference SDK in the shape of an installed package: classes in a module, and a table.

The module is made at run time from a contract and entered in `sys.modules`, so that everything
that looks a class up by name (pickle, the driver's host) finds it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from conformance.drivers.hosting.table import Operation as Row
from conformance.drivers.hosting.table import Option, Shape, Table, Way
from conformance.reference.defects import Defects
from conformance.reference.sdk import errors, messages, policy
from conformance.reference.sdk.client import AsyncEngine, Kit, State, SyncEngine
from specs import Contract, Operation

NAME = "memconform_reference"
VERSION = "1.0.0"

OWN = {"sync": "httpx:Client", "async": "httpx:AsyncClient"}
"""HTTP clients that a caller may bring, by mode."""


def expression(operation: Operation) -> str:
    """Return how an operation is called on a client, `memory.create`."""
    return operation.method or operation.id.replace(".", "_")


def install(contract: Contract, defects: Defects) -> tuple[ModuleType, Table]:
    """Make the module of one contract, enter it in `sys.modules`, and return its driver table."""
    module = ModuleType(NAME, f"A client of {contract.title}, made from its contract.")
    sys.modules[NAME] = module
    tables = list({id(o.errors): o.errors for o in contract if o.errors is not None}.values())
    kit = Kit(
        contract, errors.classes(tables, module, defects),
        messages.kinds(contract, module), defects,
    )  # fmt: skip
    clients = {"sync": _names(contract)[0]}
    setattr(module, clients["sync"], _client(clients["sync"], kit, module, SyncEngine))
    asynchronous = _names(contract)[1]
    if asynchronous is not None and "client.no-async" not in defects:
        clients["async"] = asynchronous
        setattr(module, asynchronous, _client(asynchronous, kit, module, AsyncEngine))
    return module, _table(contract, clients)


def _names(contract: Contract) -> tuple[str, str | None]:
    client = contract.client
    if client is None:
        return "Client", "AsyncClient"
    return client.sync or "Client", client.asynchronous


def _table(contract: Contract, clients: dict[str, str]) -> Table:
    return Table(
        api=contract.api,
        package=NAME.replace("_", "-"),
        module=NAME,
        clients=clients,
        operations={o.id: Row(Way(expression(o), Shape(rest="dict"))) for o in contract},
        options={
            role: Option(name, new=OWN if role == "http-client" else {})
            for role, name in option_names(contract).items()
        },
        exceptions=tuple(
            dict.fromkeys(
                name
                for o in contract
                if o.errors is not None
                for name in (o.errors.base, *(r.exception for r in o.errors.map))
            )
        ),
    )


def option_names(contract: Contract) -> dict[str, str]:
    """Return the constructor's parameters by role; api-key and base-url are always there."""
    options = contract.client.options if contract.client else ()
    declared: dict[str, str] = {o.role: o.name for o in options}
    return {"api-key": "api_key", "base-url": "base_url", **declared}


def _client(name: str, kit: Kit, module: ModuleType, engine: type) -> type:
    """Make one client class. Its constructor takes exactly the documented options."""
    names = option_names(kit.contract)
    if "client.option-missing" in kit.defects:
        names.pop("max-retries", None)
    roles = {parameter: role for role, parameter in names.items()}

    def start(self: Any, **given: Any) -> None:
        unknown = [n for n in given if n not in roles]
        if unknown:
            raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
        by_role = {roles[n]: v for n, v in given.items()}
        self._engine = engine(_state(kit, by_role))
        _equip(self, kit)

    start.__signature__ = _signature(kit, names)  # type: ignore[attr-defined]
    body: dict[str, Any] = {
        "__module__": module.__name__,
        "__doc__": f"A {'blocking' if engine is SyncEngine else 'async'} client.",
        "__init__": start,
        "__repr__": lambda self: f"<{name} of {kit.contract.title}>",
    }
    if engine is SyncEngine and "client.no-context" in kit.defects:
        body["close"] = lambda self: self._engine.close()
    elif engine is SyncEngine:
        body["close"] = lambda self: self._engine.close()
        body["__enter__"] = lambda self: self
        body["__exit__"] = lambda self, *_: self._engine.close()
    else:
        body["close"] = _aclose
        body["__aenter__"] = _aenter
        body["__aexit__"] = _aclose
    return type(name, (), body)


async def _aenter(self: Any) -> Any:
    return self


async def _aclose(self: Any, *_: Any) -> None:
    await self._engine.close()


def _signature(kit: Kit, names: dict[str, str]) -> Any:
    import inspect

    kinds = inspect.Parameter
    options = kit.contract.client.options if kit.contract.client else ()
    defaults: dict[str, Any] = {o.name: o.default for o in options}
    if "client.default-changed" in kit.defects:
        defaults[names.get("timeout", "timeout")] = 61.0
    return inspect.Signature(
        [kinds("self", kinds.POSITIONAL_ONLY)]
        + [kinds(n, kinds.KEYWORD_ONLY, default=defaults.get(n)) for n in names.values()]
    )


def _state(kit: Kit, given: dict[str, Any]) -> State:
    timeout = given.get("timeout")
    retries = given.get("max-retries")
    base_url = given["base-url"]
    if given.get("http-client") and "client.own-unaddressed" in kit.defects:
        base_url = ""
    return State(
        kit,
        base_url=base_url,
        key=given.get("api-key") or _key_of_environment(kit),
        settings=policy.Settings(
            max_retries=retries,
            backoff_base=given.get("backoff-base"),
            timeout=30.0 if timeout is None else float(timeout),
        ),
        debug=bool(given.get("debug")),
        own=given.get("http-client"),
    )


def _key_of_environment(kit: Kit) -> str | None:
    """Return the key of the documented environment variable, where there are both."""
    if "client.environment-ignored" in kit.defects:
        return None
    options = kit.contract.client.options if kit.contract.client else ()
    names = (o.env for o in options if o.role == "api-key" and o.env)
    return next((os.environ[name] for name in names if name in os.environ), None)


def _equip(client: Any, kit: Kit) -> None:
    """Give a client its methods: `memory.create` becomes `client.memory.create(arguments)`."""
    missing = next(iter(kit.contract)).id if "client.method-missing" in kit.defects else None
    for operation in kit.contract:
        if operation.id == missing:
            continue
        holder = client
        *groups, last = expression(operation).split(".")
        for group in groups:
            if not hasattr(holder, group):
                setattr(holder, group, SimpleNamespace())
            holder = getattr(holder, group)
        setattr(holder, last, _method(client, operation))


def _method(client: Any, operation: Operation) -> Callable[..., Any]:
    def method(arguments: dict[str, Any]) -> Any:
        return client._engine.call(operation, arguments)

    return method
