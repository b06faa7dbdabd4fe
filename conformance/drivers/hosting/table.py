"""Driver tables: how the operations of one API are said in one SDK.

A table is data. It names, for each operation of the contract, the expression that the SDK's
document gives (`memory.create`) and how flat wire arguments become that call's arguments; other
expressions that do the same follow it, so that one missing method hides nothing else. What a
table cannot say as data is a small function. Nothing here calls an SDK.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

Arguments = Mapping[str, Any]
Positional = tuple[Any, ...]


class Unsupported(Exception):
    """The SDK has no way to do what was asked; the text says why."""


class Unfit(Exception):
    """The arguments do not fit the method; the text says which and why."""


@dataclass(frozen=True)
class Shape:
    """How flat arguments are handed over.

    `first` are passed by position, in that order; an absent one ends them. The others are
    passed as keywords (`rest="keywords"`), as one dict (`"dict"`), as one object of the SDK's
    class `model` (`"model"`), or not at all (`"nothing"`). `rename` maps wire names to the
    SDK's. `convert` maps a wire name to a function of (SDK module, value). `beside` are passed
    as keywords even where the rest is a dict. `always`: the dict is passed even when empty.
    `fixed` are keywords that are always passed.
    """

    first: tuple[str, ...] = ()
    rest: str = "keywords"
    model: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    convert: Mapping[str, Callable[[ModuleType, Any], Any]] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    always: bool = True
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def build(self, module: ModuleType, arguments: Arguments) -> Built:
        """Return the call's arguments. Raises Unfit where they cannot be made."""
        left = {
            name: self.convert[name](module, value) if name in self.convert else value
            for name, value in arguments.items()
        }
        positional = []
        for name in self.first:
            if name not in left:
                break
            positional.append(left.pop(name))
        keywords = {self.rename.get(n, n): left.pop(n) for n in self.beside if n in left}
        keywords.update(self.fixed)
        renamed = {self.rename.get(name, name): value for name, value in left.items()}
        dropped: tuple[str, ...] = ()
        if self.rest == "keywords":
            keywords.update(renamed)
        elif self.rest == "nothing":
            dropped = tuple(renamed)
        elif self.rest == "dict":
            if renamed or self.always:
                positional.append(renamed)
        else:
            made, dropped = construct(getattr(module, self.model), renamed)
            positional.append(made)
        return Built(tuple(positional), keywords, dropped)


@dataclass(frozen=True)
class Built:
    """The arguments of one call; `dropped` are those that it has no place for."""

    positional: Positional
    keywords: Mapping[str, Any]
    dropped: tuple[str, ...] = ()


def fit(method: Callable[..., Any], built: Built) -> Built:
    """Leave out the keywords that a method does not know. Raises Unfit where one it needs lacks."""
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):
        return built
    kinds = [p.kind for p in signature.parameters.values()]
    keywords = dict(built.keywords)
    dropped = list(built.dropped)
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for name in [n for n in keywords if n not in signature.parameters]:
            del keywords[name]
            dropped.append(name)
    try:
        signature.bind(*built.positional, **keywords)
    except TypeError as why:
        raise Unfit(str(why)) from None
    return Built(built.positional, keywords, tuple(dropped))


def construct(model: Callable[..., Any], values: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Return an object of a class made from keywords, and the names it has no place for."""
    known = getattr(model, "model_fields", None) or getattr(model, "__dataclass_fields__", None)
    if known is None:
        return model(**values), ()
    fitting = {name: value for name, value in values.items() if name in known}
    return model(**fitting), tuple(name for name in values if name not in known)


@dataclass(frozen=True)
class Way:
    """One expression on a client that does an operation."""

    expression: str
    shape: Shape = Shape()
    adapt: Callable[[ModuleType, Arguments], Built] | None = None
    """Makes the call's arguments where `shape` cannot say how."""
    mode: str = ""
    """`sync` or `async` where only that client has it, as `arecall` beside `recall`; '': both."""

    def build(self, module: ModuleType, arguments: Arguments) -> Built:
        """Return the call's arguments. Raises Unfit where they cannot be made."""
        return (self.adapt or self.shape.build)(module, arguments)


@dataclass(frozen=True)
class Operation:
    """One operation: the documented way, then others. No documented one: the first is used."""

    documented: Way | None
    also: tuple[Way, ...] = ()

    @property
    def ways(self) -> tuple[Way, ...]:
        """All ways, the documented one first."""
        return ((self.documented,) if self.documented else ()) + self.also


@dataclass(frozen=True)
class Option:
    """One constructor parameter: its documented name, then others."""

    documented: str
    also: tuple[str, ...] = ()
    wrap: Callable[[Any], Any] | None = None
    """Turns the protocol's value (seconds, counts) into the parameter's."""
    new: Mapping[str, str] = field(default_factory=dict)
    """By mode, `module:Class` of which the protocol's value `true` asks for a new instance."""


@dataclass(frozen=True)
class Table:
    """One SDK as a client of one API."""

    api: str
    package: str
    """Distribution name, as on PyPI."""
    module: str
    """Import name."""
    clients: Mapping[str, str]
    """Mode (`sync`, `async`) -> class in the module."""
    operations: Mapping[str, Operation]
    options: Mapping[str, Option] = field(default_factory=dict)
    """Role -> parameter; `api-key` and `base-url` among them."""
    exceptions: tuple[str, ...] = ()
    """Documented exception names."""
    exceptions_module: str = ""
    """Where the document imports them from, if not from `module`."""
    close: tuple[str, ...] = ("close", "aclose")
    base_url: Callable[[str], str] = str
    """Turns the contract's base URL into what the SDK wants."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Keywords that the constructor is always given."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables that are set before the SDK is imported."""

    @property
    def root(self) -> str:
        """The top-level package: what is in it is the SDK's own."""
        return self.module.split(".")[0]


def way(expression: str, *first: str, rest: str = "keywords", **more: Any) -> Way:
    """Return a way whose first arguments go by position: `way("get", "id")`.

    `mode` and the other fields of `Way` and `Shape` may be given by name.
    """
    mode = more.pop("mode", "")
    return Way(expression, Shape(first=first, rest=rest, **more), mode=mode)


def attempts(retries: int) -> int:
    """Return how many attempts a number of retries is: for options that count the first one."""
    return retries + 1


def find(client: Any, expression: str) -> Any:
    """Return what `a.b.c` means on a client. Raises Unsupported, naming the missing part."""
    at, so_far = client, type(client).__name__
    for part in expression.split("."):
        try:
            at = getattr(at, part)
        except AttributeError:
            raise Unsupported(f"`{so_far}` has no attribute `{part}`") from None
        except Exception as why:  # a property that raises is told, and ends nothing
            said = f"{type(why).__name__}: {why}"[:300]
            raise Unsupported(f"`{so_far}.{part}` cannot be read: {said}") from why
        so_far = f"{so_far}.{part}"
    if not callable(at):
        raise Unsupported(f"`{so_far}` cannot be called")
    return at


def choose(client: Any, operation: Operation, mode: str = "") -> tuple[Way, Any, str | None]:
    """Return the first way of a mode that exists, its method, and why the documented one does not.

    Raises Unsupported where none exists.
    """
    why = None
    ways = [w for w in operation.ways if not mode or w.mode in ("", mode)]
    for candidate in ways:
        try:
            method = find(client, candidate.expression)
        except Unsupported as missing:
            why = why or str(missing)
            continue
        documented = operation.documented is not None and candidate is ways[0]
        return candidate, method, None if documented else why
    raise Unsupported(why or "the table names no way to do it")
