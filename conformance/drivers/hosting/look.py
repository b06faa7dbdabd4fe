"""What is in a package: its clients, their methods, its exceptions. Run in its environment.

    python -I look.py MODULE... [-- METHOD...]

A METHOD is an expression that a document names, `documents.get`: it is looked up on each client
too, for what an object answers only when it is asked (`__getattr__`) is seen in no list.

Prints one JSON object. Classes are listed with their constructor and methods; where one can be
constructed without a connection, the objects that it carries (`client.memories`) are listed with
it. Only what is there is told; what it is good for is somebody else's question.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

MOST_CLASSES = 400
MOST_METHODS = 1500
DEEPEST = 4
"""Objects inside objects that are looked at: `client.beta.threads.runs.steps` has four."""
_WRAPPERS = ("with_raw_response", "with_streaming_response", "qs", "timeout", "base_url")
_URL = ("url", "endpoint", "host", "server")


def look(names: list[str], documented: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the modules hold, and which could not be imported."""
    classes: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name in names:
        for module in _modules(name, failed):
            for key, item in _public(module):
                if len(classes) > MOST_CLASSES:
                    break
                try:
                    own = str(getattr(item, "__module__", "") or "")
                    home = f"{own}.{item.__qualname__}"
                    if own.split(".")[0] != name.split(".")[0] or home in classes:
                        continue
                    known = getattr(module, item.__name__, None) is item  # not by an alias
                    called = item.__name__ if known else key
                    classes[home] = _class(item, module.__name__, called, documented)
                except BaseException as error:  # what one class does is told of that class
                    failed[f"{module.__name__}.{key}"] = _said(error)
    return {"classes": list(classes.values()), "failed": failed}


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _public(module: ModuleType) -> list[tuple[str, type]]:
    """Return a module's public classes by name, those too that it imports when they are asked for.

    What a module exports (`__all__`) comes first: it is the name that its users import.
    """
    exported = getattr(module, "__all__", ())
    lazy = list(exported) if isinstance(exported, (list, tuple)) else []
    if not lazy and hasattr(module, "__getattr__"):
        try:
            lazy = [name for name in dir(module) if name not in vars(module)]
        except BaseException:
            lazy = []
    found = []
    for key in dict.fromkeys((*lazy, *list(vars(module)))):
        if not isinstance(key, str) or key.startswith("_"):
            continue
        try:
            item = vars(module)[key] if key in vars(module) else getattr(module, key)
            if inspect.isclass(item):
                found.append((key, item))
        except BaseException:  # noqa: S112 - a name that cannot be had is no class for us
            continue
    return found


def _modules(name: str, failed: dict[str, str]) -> list[ModuleType]:
    """Import a package and what is in it, the package first; private modules are left out."""
    found: list[ModuleType] = []
    waiting = [name]
    while waiting and len(found) < 200:
        at = waiting.pop(0)
        try:
            module = importlib.import_module(at)
        except BaseException as error:
            failed[at] = _said(error)
            continue
        found.append(module)
        paths = getattr(module, "__path__", None)
        if paths is not None:
            inside = [m.name for m in pkgutil.iter_modules(paths) if m.name != "__main__"]
            waiting += [f"{at}.{inner}" for inner in inside if not inner.startswith("test")]
    return found


def _class(item: type, module: str, name: str, documented: Sequence[str]) -> dict[str, Any]:
    exception = issubclass(item, BaseException)
    told: dict[str, Any] = {
        "name": name,
        "module": module,
        "exception": exception,
        "bases": [b.__name__ for b in item.__mro__[1:] if b is not object],
    }
    if exception:
        return told
    told["constructor"] = _parameters(item)
    told["methods"] = _methods(item, item, "")
    instance = _instance(item)
    if instance is not None:
        told["methods"] += _groups(instance, str(item.__module__).split(".")[0], "", 0)
        known = {m["path"] for m in told["methods"]}
        told["methods"] += _named(instance, [path for path in documented if path not in known])
    return told


def _named(instance: Any, paths: list[str]) -> list[dict[str, Any]]:
    """Return the methods that an object has by a documented name, seen in a list or not."""
    told = []
    for path in paths:
        at = instance
        try:
            for part in path.split("."):
                at = getattr(at, part)
        except BaseException:  # noqa: S112 - it is not there
            continue
        if callable(at) and not isinstance(at, type):
            told.append(_method(path, at, at, inspect.unwrap(at)))
    return told


def _groups(owner: Any, root: str, prefix: str, depth: int) -> list[dict[str, Any]]:
    """Methods of the objects that an object carries: `client.memories`, set or as properties."""
    names = dict.fromkeys(getattr(owner, "__dict__", {}))
    for base in type(owner).__mro__:
        if str(base.__module__).split(".")[0] == root:
            shown = (n for n, v in vars(base).items() if _is_property(v))
            names.update(dict.fromkeys(shown))
    told: list[dict[str, Any]] = []
    for name in names:
        if name.startswith("_") or name in _WRAPPERS or len(told) > MOST_METHODS:
            continue
        try:
            value = getattr(owner, name)
        except BaseException:  # noqa: S112 - a property that raises carries nothing
            continue
        if isinstance(value, type) or str(type(value).__module__).split(".")[0] != root:
            continue
        told += _methods(type(value), value, f"{prefix}{name}.")
        if depth < DEEPEST:
            told += _groups(value, root, f"{prefix}{name}.", depth + 1)
    return told


def _is_property(item: Any) -> bool:
    return isinstance(item, property) or type(item).__name__ == "cached_property"


def _instance(item: type) -> Any:
    """Return an object of a class, made with an address where nobody listens; None if it cannot.

    A class without methods is made where it takes a key or an address: its objects may carry all.
    """
    taken = _parameters(item)
    signs = (*_URL, "key", "token")
    addressed = any(sign in p["name"].lower() for p in taken for sign in signs)
    if not addressed and not _methods(item, item, ""):
        return None
    given: dict[str, Any] = {}
    for p in taken:
        lower = p["name"].lower()
        if any(sign in lower for sign in _URL):
            given[p["name"]] = "http://127.0.0.1:9"
        elif "key" in lower or "token" in lower:
            given[p["name"]] = "sk_test_0123456789abcdef0123456789abcdef"
        elif p["required"]:
            given[p["name"]] = "x"
    try:
        return item(**given)
    except BaseException:
        return _inside_a_loop(item, given)


def _inside_a_loop(item: type, given: dict[str, Any]) -> Any:
    """Return an object that can only be made where an event loop runs; None if it cannot."""

    async def make() -> Any:
        return item(**given)

    try:
        return asyncio.new_event_loop().run_until_complete(make())
    except BaseException:
        return None


def _methods(kind: type, target: Any, prefix: str) -> list[dict[str, Any]]:
    told = []
    for name, raw in (
        inspect.getmembers_static(kind)
        if hasattr(inspect, "getmembers_static")
        else inspect.getmembers(kind)
    ):
        function = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        told.append(
            _method(prefix + name, getattr(target, name), function, function, target is kind)
        )
    return told[:MOST_METHODS]


def _method(
    path: str, bound: Any, documented: Any, function: Any, skip_self: bool = False
) -> dict[str, Any]:
    return {
        "path": path,
        "parameters": _parameters(bound, skip_self),
        "asynchronous": inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function),
        "summary": (inspect.getdoc(documented) or "").split("\n")[0][:200],
    }


def _parameters(callable_: Any, skip_self: bool = False) -> list[dict[str, Any]]:
    try:
        parameters = list(inspect.signature(callable_).parameters.values())
    except (TypeError, ValueError):
        return []
    if skip_self and parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    return [
        {
            "name": p.name,
            "kind": p.kind.name,
            "required": p.default is p.empty
            and p.kind.name not in ("VAR_KEYWORD", "VAR_POSITIONAL"),
            "type": "" if p.annotation is p.empty else _annotation(p.annotation),
        }
        for p in parameters
    ]


def _annotation(annotation: Any) -> str:
    if not isinstance(annotation, type) or annotation.__module__ == "builtins":
        return str(getattr(annotation, "__name__", "") if isinstance(annotation, type)
                   else annotation)[:200]  # fmt: skip
    return f"{annotation.__module__}.{annotation.__name__}"[:200]


if __name__ == "__main__":
    replies = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(replies, "wb") as told:
        given, _, paths = "\n".join(sys.argv[1:]).partition("\n--\n")
        told.write(json.dumps(look(given.split("\n"), paths.split())).encode("ascii"))
    os._exit(0)  # not waiting for threads that the package may have started
