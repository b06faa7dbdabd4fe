"""Values and exceptions as JSON, whatever an SDK returns or raises.

Objects are strangers: they may be endless, cyclic, huge, or raise when looked at. Everything is
capped in depth, number and length, and what is left out leaves a mark that says so. Only objects
of the SDK itself and plain records (dataclasses, models, named tuples) are looked into; others
are shown by their text. The marks are described in the protocol.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import enum
import math
import pickle
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from conformance.drivers.hosting import clock

MAX_DEPTH = 40
MAX_NODES = 100_000
MAX_TEXT = 256 * 1024
MAX_TOTAL = 4 * 1024 * 1024
MAX_EVENTS = 10_000
MAX_WALKED = 100
"""Items of an object that asks for page after page: a server may name pages for ever."""
MAX_ATTRIBUTES = 200
_PAGING = re.compile(r"(?i)page|paginat|(^|_)next|has_more|cursor")
"""What the names of a page, or of what it offers, have in them."""


@dataclass
class Renderer:
    """Renders the values of one reply; `package` is the import name of the SDK."""

    package: str
    nodes: int = 0
    size: int = 0
    path: list[int] = field(default_factory=list)

    def value(self, item: Any, depth: int = 0) -> Any:
        """Return `item` as JSON."""
        self.nodes += 1
        if isinstance(item, str) and not isinstance(item, enum.Enum):
            return self.text(str.__str__(item))
        if item is None or isinstance(item, (bool, int, float)):
            return item.value if isinstance(item, enum.Enum) else _number(item)
        if isinstance(item, enum.Enum):
            return self.value(item.value, depth + 1)
        if isinstance(item, _Raised):
            return {"$raised": item.raised}
        if self.nodes > MAX_NODES or self.size > MAX_TOTAL:
            return {"$cut": "size", "$of": type(item).__name__}
        if depth > MAX_DEPTH:
            return {"$cut": "depth", "$of": type(item).__name__}
        if id(item) in self.path:
            return {"$cut": "cycle", "$of": type(item).__name__}
        self.path.append(id(item))
        try:
            return self._compound(item, depth)
        except Exception as error:
            return {"$type": type(item).__name__, "$raised": _brief(error)}
        finally:
            self.path.pop()

    def text(self, item: str) -> Any:
        """Return a string, shortened where it is long, with half surrogate pairs escaped."""
        self.size += len(item)
        whole = item.encode("utf-8", "backslashreplace").decode("utf-8")
        if len(whole) <= MAX_TEXT:
            return whole
        return {"$text": whole[:MAX_TEXT], "$length": len(item)}

    def _compound(self, item: Any, depth: int) -> Any:
        if isinstance(item, (bytes, bytearray, memoryview)):
            raw = bytes(item)
            self.size += len(raw)
            shown = base64.b64encode(raw[:MAX_TEXT]).decode("ascii")
            return {"$bytes": shown, "$length": len(raw)}
        if isinstance(item, tuple) and hasattr(item, "_fields"):
            return self._record(item, {n: getattr(item, n) for n in item._fields}, depth)
        if isinstance(item, Mapping):
            return self._mapping(item, depth)
        if isinstance(item, (list, tuple, Set)):
            return self._sequence(item, depth)
        if isinstance(item, BaseException):
            return self.error(item, depth + 1)
        if hasattr(item, "__next__"):
            return self.stream(item, depth)
        if pages(item, self.package, "__iter__"):
            return {"$type": type(item).__name__, **self.stream(iter(item), depth, MAX_WALKED)}
        if not isinstance(item, type) and _is_record(item, self.package):
            return self._record(item, self.attributes(item), depth)
        return {"$type": type(item).__name__, "$str": self.text(_text(item)[:2000])}

    def _mapping(self, item: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key in item:
            if self.nodes > MAX_NODES or self.size > MAX_TOTAL:
                shown["$cut"] = "size"
                break
            name = key if isinstance(key, str) else str(key)
            name = name.encode("utf-8", "backslashreplace").decode("utf-8")[:2000]
            self.size += len(name)
            shown[name] = self.value(item[key], depth + 1)
        return shown

    def _sequence(self, item: Any, depth: int) -> list[Any]:
        shown: list[Any] = []
        for entry in item:
            if self.nodes > MAX_NODES or self.size > MAX_TOTAL:
                shown.append({"$cut": "size", "$of": type(item).__name__})
                break
            shown.append(self.value(entry, depth + 1))
        return shown

    def _record(self, item: Any, attributes: Mapping[str, Any], depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {"$type": type(item).__name__}
        for name, value in attributes.items():
            shown[name] = self.value(value, depth + 1)
        return shown

    def stream(self, iterator: Any, depth: int = 0, most: int = MAX_EVENTS) -> dict[str, Any]:
        """Consume an iterator; say what it gave, when, and how it broke."""
        events: list[Any] = []
        times: list[float] = []
        shown: dict[str, Any] = {"$stream": events, "$times": times, "$error": None}
        try:
            for event in iterator:
                times.append(clock.monotonic())
                events.append(self.value(event, depth + 1))
                if len(events) >= most or self.size > MAX_TOTAL:
                    shown["$cut"] = "size"
                    break
        except Exception as error:
            shown["$error"] = self.error(error)
        _close(iterator)
        return shown

    async def async_stream(self, iterator: Any, most: int = MAX_EVENTS) -> dict[str, Any]:
        """Consume an async iterator; the same as `stream`."""
        events: list[Any] = []
        times: list[float] = []
        shown: dict[str, Any] = {"$stream": events, "$times": times, "$error": None}
        try:
            async for event in iterator:
                times.append(clock.monotonic())
                events.append(self.value(event, 1))
                if len(events) >= most or self.size > MAX_TOTAL:
                    shown["$cut"] = "size"
                    break
        except Exception as error:
            shown["$error"] = self.error(error)
        return shown

    def attributes(self, item: Any) -> dict[str, Any]:
        """Return the public attributes and properties of an object; raising ones say so."""
        found: dict[str, Any] = {}
        for name in _attribute_names(item, self.package)[:MAX_ATTRIBUTES]:
            try:
                found[name] = getattr(item, name)
            except Exception as error:
                found[name] = _Raised(_brief(error))
        return {
            n: v for n, v in found.items() if not callable(v) or _is_record(v, self.package)
        } | dict(_extras(item))

    def error(self, error: BaseException, depth: int = 0) -> dict[str, Any]:
        """Return an exception as the protocol's `error`."""
        picklable, copyable, fault = _trips(error)
        message = getattr(error, "message", None)
        causes = _causes(error)
        return {
            "name": type(error).__name__,
            "module": str(type(error).__module__),
            "bases": [b.__name__ for b in type(error).__mro__[1:] if b is not object],
            "message": _short(message if isinstance(message, str) else _text(error)),
            "text": _short(_text(error)),
            "representation": _short(_text(error, repr)),
            "attributes": {
                name: self.value(value, depth + 1)
                for name, value in self.attributes(error).items()
                if name not in ("args", "with_traceback", "add_note")
            },
            "cause": causes[0] if causes else None,
            "causes": causes,
            "picklable": picklable,
            "copyable": copyable,
            "fault": fault[:500],
            "where": _where(error, self.package),
        }


@dataclass(frozen=True)
class _Raised:
    """Stands for an attribute that raised when it was read."""

    raised: str


def _number(item: Any) -> Any:
    if isinstance(item, bool):
        return bool(item)
    if isinstance(item, float):
        return float(item) if math.isfinite(item) else {"$number": repr(float(item))}
    if isinstance(item, int):
        if item.bit_length() > 4096:
            return {"$number": f"an integer of {item.bit_length()} bits"}
        return int(item)
    return None


def _text(item: Any, how: Any = str) -> str:
    try:
        return str(how(item))
    except Exception as error:
        return f"<{how.__name__}() raised {_brief(error)}>"


def _short(text: str) -> str:
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return clean if len(clean) <= MAX_TEXT else f"{clean[:MAX_TEXT]}… ({len(text)} characters)"


def _brief(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except Exception:
        return type(error).__name__


def _is_record(item: Any, package: str) -> bool:
    """True for what may be looked into: plain records, and objects of the SDK's own classes."""
    if isinstance(item, _Raised) or (dataclasses.is_dataclass(item) and not isinstance(item, type)):
        return True
    kind = type(item)
    if hasattr(kind, "model_fields") or hasattr(kind, "__attrs_attrs__"):
        return True
    if callable(item) and not isinstance(item, BaseException):
        return False
    return str(kind.__module__).split(".")[0] == package


def _attribute_names(item: Any, package: str) -> list[str]:
    """Names of public attributes: set on the object, slots, and the SDK's own properties."""
    names: dict[str, None] = {}
    kind = type(item)
    fields = getattr(kind, "model_fields", None)
    if isinstance(fields, Mapping):
        names.update(dict.fromkeys(fields))
    names.update(dict.fromkeys(getattr(item, "__dict__", {})))
    for base in reversed(kind.__mro__):
        slots = base.__dict__.get("__slots__", ())
        names.update(dict.fromkeys([slots] if isinstance(slots, str) else slots))
        if str(base.__module__).split(".")[0] == package:
            found = (n for n, v in base.__dict__.items() if _is_property(v))
            names.update(dict.fromkeys(found))
    return [name for name in names if isinstance(name, str) and not name.startswith("_")]


def _is_property(item: Any) -> bool:
    return isinstance(item, property) or type(item).__name__ == "cached_property"


def pages(item: Any, package: str, method: str) -> bool:
    """True for an object of the SDK's that hands out items when it is iterated, page after page.

    It says so by its name or by what it offers (`Page`, `iter_pages`, `next_cursor`): a result that
    only lets its entries be iterated is a result. A model's own `__iter__`, which gives its fields,
    is not the SDK's.
    """
    home = next((b for b in type(item).__mro__ if method in b.__dict__), None)
    if home is None or str(home.__module__).split(".")[0] != package:
        return False
    names = (*(b.__name__ for b in type(item).__mro__), *dir(type(item)), *_own(item))
    return any(_PAGING.search(name) for name in names if not name.startswith("_"))


def _own(item: Any) -> list[str]:
    return [name for name in getattr(item, "__dict__", {}) if isinstance(name, str)]


def _extras(item: Any) -> Iterator[tuple[str, Any]]:
    """What a model keeps beside its declared fields, and lets its caller read as attributes."""
    extra = getattr(item, "__pydantic_extra__", None)
    if isinstance(extra, dict):
        yield from ((str(k), v) for k, v in extra.items())


def _close(iterator: Any) -> None:
    close = getattr(iterator, "close", None)
    if callable(close):
        try:
            close()
        except Exception:
            return


def _trips(error: BaseException) -> tuple[bool | None, bool | None, str]:
    """Return whether an exception survives pickling and copying, and what went wrong."""
    faults = []
    results = []
    for name, trip in (("pickle", _pickled), ("copy", copy.copy)):
        try:
            with clock.real_datetime():
                again = trip(error)
            same = type(again) is type(error) and _text(again) == _text(error)
            same = same and set(vars(again)) == set(vars(error))
            results.append(same)
            if not same:
                faults.append(f"{name}: it came back as something else")
        except Exception as why:
            results.append(False)
            faults.append(f"{name}: {_brief(why)}")
    return results[0], results[1], "; ".join(faults)


def _pickled(error: BaseException) -> Any:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes, in the SDK's process


def _causes(error: BaseException) -> list[str]:
    """Names of the exceptions that led to this one, nearest first."""
    names: list[str] = []
    seen = {id(error)}
    at = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while at is not None and id(at) not in seen and len(names) < 20:
        names.append(type(at).__name__)
        seen.add(id(at))
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
    return names


def _where(error: BaseException, package: str) -> str:
    """Module and line of the SDK's innermost frame that the exception passed through."""
    found = ""
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.split(".")[0] == package:
            found = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
