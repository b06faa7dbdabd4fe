"""What the testbench answers when nothing is harmed: the contract's own examples, as bytes.

An `AnswerBook` knows one contract and remembers the answers it made. Here is what is *declared*;
what is done to an answer is in `wire.py`, who asks for it is in `session.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from conformance.history import Headers, Request, header
from specs import Contract, Operation
from specs.contract import error_rule, pointer
from specs.examples import NoExample, example_response
from specs.vocabulary import Stream

PIECES = ("First ", "second ", "third.")
"""Text of the pieces of an example stream."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer. `parts` are the body's pieces where they must be sent one by one."""

    status: int
    headers: Headers = ()
    body: bytes = b""
    parts: tuple[bytes, ...] = ()


Default = Callable[[Operation | None, Request], Any]
"""Answers in place of the example: an `Answer`, `(status, headers, body)`, or None for it."""


def as_answer(value: Any) -> Answer:
    """Return an `Answer` made of one, or of `(status, headers, body)` with a JSON-able body."""
    if isinstance(value, Answer):
        return value
    status, headers, body = value
    items = headers.items() if isinstance(headers, Mapping) else headers
    pairs = tuple((str(k), str(v)) for k, v in items)
    if isinstance(body, bytes):
        return Answer(status, pairs, body)
    if body is None:
        return Answer(status, pairs)
    media_type = header(pairs, "content-type")
    if isinstance(body, str) and media_type is not None and "json" not in media_type:
        return Answer(status, pairs, body.encode())
    if media_type is None:
        pairs = (*pairs, ("content-type", "application/json"))
    return Answer(status, pairs, dump(body))


def dump(value: Any) -> bytes:
    """Return a value as JSON in UTF-8 without needless spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass
class AnswerBook:
    """The declared answers of one contract, made once each. None: a server without a contract."""

    contract: Contract | None
    _made: dict[tuple[str, int | None], Answer] = field(default_factory=dict)

    def answer(self, operation: Operation | None, request: Request, status: int | None) -> Answer:
        """Return the declared answer to a request; with `status`, the one declared for that."""
        if operation is None:
            return self.plain(status or 404)
        if (status is None or status < 300) and wants_stream(operation, request):
            assert operation.stream is not None
            return self._stream(operation, operation.stream, status)
        key = operation.id, status
        if key not in self._made:
            self._made[key] = self._example(operation, status)
        return self._made[key]

    def plain(self, status: int) -> Answer:
        """Return an answer that belongs to no operation; from 400 on in the declared envelope."""
        if status < 400 or self.contract is None:
            return Answer(status)
        shape = next((o for o in self.contract if o.errors is not None), None)
        return Answer(status, _JSON, dump(_envelope(shape, status)))

    def replayed(self, operation: Operation, request: Request) -> Answer:
        """Return the answer to a repeated idempotency key: the same, with its flag raised."""
        answer = self.answer(operation, request, None)
        flag = operation.idempotency.replayed if operation.idempotency else None
        if flag is None or answer.parts:
            return answer
        body = json.loads(answer.body)
        return replace(answer, body=dump(put(body, flag, True)))

    def _example(self, operation: Operation, status: int | None) -> Answer:
        if status is not None and status >= 400:
            return _error(operation, status)
        try:
            made = as_answer(example_response(operation, status))
        except LookupError:
            made = Answer(status or 200)
        return replace(made, headers=_without_retry_after(made.headers))

    def _stream(self, operation: Operation, stream: Stream, status: int | None) -> Answer:
        base = self._made.setdefault((operation.id, status), self._example(operation, status))
        kept = [(n, v) for n, v in base.headers if n.lower() != "content-type"]
        events: list[Any] = [
            put(put({}, stream.type, stream.delta), stream.data, piece) for piece in PIECES
        ]
        events.append(put({}, stream.type, stream.done))
        parts = tuple(b"data: " + dump(event) + b"\n\n" for event in events)
        headers = (*kept, ("content-type", "text/event-stream"))
        return Answer(base.status, headers, b"".join(parts), parts)


_JSON: Headers = (("content-type", "application/json"),)


def _without_retry_after(headers: Headers) -> Headers:
    return tuple((n, v) for n, v in headers if n.lower() != "retry-after")


def _error(operation: Operation, status: int) -> Answer:
    try:
        made = as_answer(example_response(operation, status))
    except (LookupError, NoExample):
        made = Answer(status)
    kept = tuple((n, v) for n, v in made.headers if n.lower() != "content-type")
    body = dump(error_body(operation, status))
    return Answer(status, (*_without_retry_after(kept), *_JSON), body)


def error_body(operation: Operation, status: int, code: str | None = None) -> Any:
    """Return the decoded error body that is declared for a status, with a code in its place.

    No wait is repeated in it, even where one is declared: waits are the script's business.
    Where no example can be made it has just what the envelope's pointers ask for.
    """
    code = code or _code(operation, status)
    try:
        body = example_response(operation, status, code=code)[2]
    except (LookupError, NoExample):
        body = None
    if body is None:
        return _envelope(operation, status, code)
    wish = operation.retries.retry_after if operation.retries else None
    return without(body, wish.pointer) if wish is not None and wish.pointer else body


def wants_stream(operation: Operation, request: Request) -> bool:
    """True where the request asks for a stream that the contract offers."""
    if operation.stream is None:
        return False
    name = operation.stream.parameter
    body = request.json_or_none()
    given = body.get(name) if isinstance(body, dict) else dict(request.query).get(name)
    return given is True or given in ("true", "1")


def put(value: Any, path: str, entry: Any) -> Any:
    """Return a copy of a JSON value with `entry` at a JSON Pointer; objects are made on the way."""
    if path in ("", "/"):
        return entry
    first, *rest = [t.replace("~1", "/").replace("~0", "~") for t in path.split("/")[1:]]
    below = "".join(f"/{t.replace('~', '~0').replace('/', '~1')}" for t in rest)
    if isinstance(value, list) and first.isdigit() and int(first) < len(value):
        return [put(v, below, entry) if i == int(first) else v for i, v in enumerate(value)]
    inside = dict(value) if isinstance(value, dict) else {}
    inside[first] = put(inside.get(first), below, entry)
    return inside


def without(value: Any, path: str) -> Any:
    """Return a copy of a JSON value without what a JSON Pointer points to, if anything."""
    parent, _, name = path.rpartition("/")
    try:
        inside = pointer(value, parent)
    except LookupError:
        return value
    if not isinstance(inside, Mapping) or name not in inside:
        return value
    return put(value, parent, {k: v for k, v in inside.items() if k != name})


def _envelope(operation: Operation | None, status: int, code: str | None = None) -> dict[str, Any]:
    """Return an error body with what the envelope's pointers ask for."""
    if operation is None or operation.errors is None:
        return {"error": {"code": "error", "message": f"status {status}"}}
    envelope = operation.errors.envelope
    code = code or _code(operation, status) or f"status_{status}"
    made: dict[str, Any] = {}
    for path, entry in (
        (envelope.code, code),
        (envelope.message, f"status {status} was asked for"),
        (envelope.request_id, "req_testbench"),
    ):
        if path:
            made = put(made, path, entry)
    return made


def _code(operation: Operation, status: int) -> str | None:
    """Return the error code that is declared for a status, or None where none is."""
    if operation.errors is None:
        return None
    rule = error_rule(operation.errors, status=status)
    if rule is not None and rule.code is not None:
        return rule.code
    answers = operation.errors.answers.values()
    return next((a.code for a in answers if a.status == status and a.code), None)


# --- header values that depend on when and where they are sent ---------------------------------

_FIELD = re.compile(
    r"\{(?P<word>base|other|target|imf|rfc850|asctime|epoch|epoch-ms)(?P<shift>[+-][0-9.]+)?\}"
)


def fill(value: str, places: Mapping[str, str], now: float) -> str:
    """Return a header value with `{base}`, `{imf+30}` and their like replaced.

    `now` is seconds since the epoch; dates are in UTC, in the three forms of RFC 9110 §5.6.7.
    """

    def one(match: re.Match[str]) -> str:
        word = match["word"]
        if word in places:
            return places[word]
        at = now + float(match["shift"] or 0)
        return moment(word, at) if word not in ("base", "other", "target") else match[0]

    return _FIELD.sub(one, value) if "{" in value else value


def moment(form: str, at: float) -> str:
    """Return a point in time as `imf`, `rfc850`, `asctime`, `epoch` or `epoch-ms` text."""
    if form == "epoch":
        return str(round(at))
    if form == "epoch-ms":
        return str(round(at * 1000))
    date = datetime.fromtimestamp(at, UTC)
    if form == "imf":
        return format_datetime(date, usegmt=True)
    day, month = _DAYS[date.weekday()], _MONTHS[date.month - 1]
    clock = date.strftime("%H:%M:%S")
    if form == "rfc850":
        return f"{day}, {date.day:02}-{month}-{date.year % 100:02} {clock} GMT"
    return f"{day[:3]} {month} {date.day:2} {clock} {date.year}"


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def decoded(operation: Operation, request: Request) -> Any:
    """Return what a request asks to be stored: its JSON body, or else its path and query."""
    if request.body:
        body = request.json_or_none()
        return body if body is not None else request.body
    return {**operation.path_arguments(request.path), **dict(request.query)}


def idempotency_key(operation: Operation, request: Request) -> str | None:
    """Return the key that marks repeats of this request, or None where there is none."""
    declared = operation.idempotency
    if declared is None:
        return None
    if declared.location == "header":
        return header(request.headers, declared.name)
    try:
        value = pointer(request.json(), f"/{declared.name}")
    except (LookupError, ValueError):
        return None
    return value if isinstance(value, str) else None


def names(pairs: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the header names in `pairs`, lower case."""
    return frozenset(name.lower() for name, _ in pairs)
