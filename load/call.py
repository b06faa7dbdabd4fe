"""Precompiled calls: the bytes of a request, prepared once, with gaps for what is learned.

A `Template` is one request of one operation for one API key. Its gaps (`Slot`) are an id that
an earlier answer gave, a number that marks a write, or a fresh idempotency key; everything else
is bytes from the start. Which request is sent when is `plan.py`'s; sending is the transport's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from conformance.backend.requests import NOTHING, Always
from conformance.history import Headers
from conformance.option_kinds import Address, Credentials, WrongValue
from conformance.options import shortened
from specs import Operation

SlotKind = Literal["id", "mark", "key", "new"]
_GAP = re.compile(rb"(\"?)@@mc(\d+)@@(\"?)")


@dataclass(frozen=True, slots=True)
class Slot:
    """One gap: an id, the mark of a write, an idempotency key, a new name.

    `name` is the resource of an id, and '' elsewhere.
    """

    kind: SlotKind
    name: str = ""
    argument: str = ""
    """The request name that carries it."""

    def sentinel(self, index: int) -> str:
        """Return the text that stands for the gap until the request is cut at it."""
        return f"@@mc{index}@@"


Encoding = Literal["path", "query", "json", "json-inside", "header"]
Values = Mapping[Slot, Any]


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a slot's value goes, and how it is written there."""

    slot: Slot
    encoding: Encoding

    def write(self, value: Any) -> bytes:
        """Return the value's bytes in this place."""
        if self.encoding == "json":
            return json.dumps(value).encode()
        if self.encoding == "json-inside":
            return json.dumps(str(value))[1:-1].encode()
        if self.encoding == "header":
            return str(value).encode("latin-1", "replace").translate(None, b"\r\n")
        return in_path(value)


@dataclass(frozen=True, slots=True)
class Template:
    """One prepared request. `fixed` is the whole request where it has no gaps."""

    operation: str
    fixed: bytes | None
    head: tuple[bytes | Gap, ...]
    """Up to the value of Content-Length, which follows it where there is a body."""
    body: tuple[bytes | Gap, ...]
    slots: tuple[Slot, ...]
    around: tuple[bytes, bytes] | None = None
    """What stands before and after the one id in the path that is its only gap."""

    def render(self, values: Values) -> bytes:
        """Return the request with its gaps filled."""
        if self.fixed is not None:
            return self.fixed
        head = b"".join(
            [p if p.__class__ is bytes else p.write(values[p.slot]) for p in self.head]  # type: ignore[union-attr]
        )
        if not self.body:
            return head + b"\r\n\r\n"
        body = b"".join(
            [p if p.__class__ is bytes else p.write(values[p.slot]) for p in self.body]  # type: ignore[union-attr]
        )
        return b"%b%d\r\n\r\n%b" % (head, len(body), body)


@dataclass(frozen=True)
class Origin:
    """Where requests go: parsed from a base URL."""

    scheme: str
    host: str
    port: int
    base: str
    """Path before every operation's path, without a slash at its end."""
    always: Always = NOTHING
    """What goes out with every request: `--header`, and the credentials of the base URL."""

    @property
    def authority(self) -> str:
        """Host and port as they stand in a Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.scheme == "https" else 80
        return name if self.port == usual else f"{name}:{self.port}"


def in_path(value: Any) -> bytes:
    """Return an id as it stands in a path; half characters, which a server may give, too."""
    return quote(str(value), safe="", errors="surrogatepass").encode()


def origin(base_url: str, headers: Headers = ()) -> Origin:
    """Return the parts of a base URL; `headers` go out with every request.

    Raises ValueError with words where it is no base URL.
    """
    try:
        there = Credentials.of(Address().read(base_url))
    except WrongValue as why:
        raise ValueError(f"not a base URL: {shortened(base_url)}: {why}") from None
    parts = urlsplit(there.url)
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    path, always = parts.path.rstrip("/"), Always.of(headers, there)
    return Origin(parts.scheme, parts.hostname, port, path, always)


def compile_template(
    operation: Operation,
    where: Origin,
    arguments: Mapping[str, Any],
    headers: Sequence[tuple[str, str | Slot]] = (),
) -> Template:
    """Return the prepared request of one call.

    `arguments` is flat by wire name, as `specs.examples.arguments` gives it; a value may be a
    Slot, or a text with a slot's sentinel inside (see `inside`).
    """
    slots: list[Slot] = []
    mark = _Marker(slots)
    path, query, body = _split(operation, arguments)
    target = where.base + re.sub(
        r"\{([^}]+)\}", lambda m: _path_value(mark(path[m.group(1)])), operation.path
    )
    if query:
        target += "?" + "&".join(_pairs(operation, query, mark))
    if where.always.query:
        target += ("&" if query else "?") + where.always.query
    own = {name.lower() for name, _ in headers}
    headers = [*headers, *((n, v) for n, v in where.always.headers if n.lower() not in own)]
    lines = [f"{operation.verb} {target} HTTP/1.1", f"Host: {where.authority}"]
    lines += [f"{name}: {mark(value)}" for name, value in headers]
    lines += ["Accept: application/json, */*;q=0.5", "User-Agent: memconform-load"]
    if operation.body is None or not (body or operation.body.required):
        if operation.verb in ("POST", "PUT", "PATCH"):
            lines.append("Content-Length: 0")
        return _cut(operation.id, "\r\n".join(lines).encode("utf-8", "surrogatepass"), b"", slots)
    lines += [f"Content-Type: {operation.body.media_type}", "Content-Length: "]
    raw = json.dumps(_marked(body, mark), ensure_ascii=False).encode("utf-8", "surrogatepass")
    return _cut(operation.id, "\r\n".join(lines).encode("utf-8", "surrogatepass"), raw, slots)


class Inside:
    """A text with a slot in it: `before`, the slot's value, nothing after."""

    def __init__(self, before: str, slot: Slot) -> None:
        self.before = before
        self.slot = slot


class _Marker:
    def __init__(self, slots: list[Slot]) -> None:
        self._slots = slots

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Inside):
            return value.before + str(self(value.slot))
        if not isinstance(value, Slot):
            return value
        if value not in self._slots:
            self._slots.append(value)
        return value.sentinel(self._slots.index(value))


def _marked(value: Any, mark: _Marker) -> Any:
    if isinstance(value, Mapping):
        return {key: _marked(inner, mark) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(inner, mark) for inner in value]
    return mark(value)


def _split(
    operation: Operation, arguments: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    places = {p.name: p.location for p in operation.parameters}
    found: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "body": {}}
    for name, value in arguments.items():
        found[places.get(name, "body") if places.get(name) != "header" else "body"][name] = value
    properties = (operation.body.schema if operation.body else {}).get("properties", {})
    for name in found["path"]:
        if name in properties and name not in found["body"] and name in arguments:
            required = operation.body.schema.get("required", ()) if operation.body else ()
            if name in required:
                found["body"][name] = arguments[name]
    return found["path"], found["query"], found["body"]


def _path_value(value: Any) -> str:
    text = str(value)
    return text if text.startswith("@@mc") else in_path(text).decode()


def _pairs(operation: Operation, query: Mapping[str, Any], mark: _Marker) -> list[str]:
    exploded = {p.name: p.explode for p in operation.parameters_in("query")}
    pairs = []
    for name, value in query.items():
        values = value if isinstance(value, list) else [value]
        if not exploded.get(name, True):
            values = [",".join(str(v) for v in values)]
        for each in values:
            text = mark(each)
            text = (
                {True: "true", False: "false"}.get(text, text) if isinstance(text, bool) else text
            )
            pairs.append(f"{in_path(name).decode()}={_path_value(text)}")
    return pairs


def _cut(operation: str, head: bytes, body: bytes, slots: list[Slot]) -> Template:
    if not slots:
        length = b"%d" % len(body) if body else b""
        return Template(operation, head + length + b"\r\n\r\n" + body, (), (), ())
    line_end = head.find(b"\r\n")
    first = _pieces(head[:line_end], slots, "path")
    rest = _pieces(head[line_end:], slots, "header")
    around = None
    if len(first) == 3 and len(rest) == 1 and len(slots) == 1 and slots[0].kind == "id":
        start, _, end = first
        if isinstance(start, bytes) and isinstance(end, bytes) and isinstance(rest[0], bytes):
            tail = b"%d\r\n\r\n" % len(body) if body else b"\r\n\r\n"
            around = None if _GAP.search(body) else (start, end + rest[0] + tail + body)
    pieces = _pieces(body, slots, "json")
    return Template(operation, None, first + rest, pieces, tuple(slots), around)


def _pieces(raw: bytes, slots: list[Slot], encoding: Encoding) -> tuple[bytes | Gap, ...]:
    pieces: list[bytes | Gap] = []
    end = 0
    for match in _GAP.finditer(raw):
        slot = slots[int(match.group(2))]
        whole = bool(match.group(1) and match.group(3))
        start, stop = match.span()
        if encoding == "json" and not whole:
            start += len(match.group(1))
            stop -= len(match.group(3))
            pieces += [raw[end:start], Gap(slot, "json-inside")]
        else:
            pieces += [raw[end:start], Gap(slot, encoding)]
        end = stop
    pieces.append(raw[end:])
    return tuple(p for p in pieces if p != b"")


Fill = Callable[[Slot], Any]
