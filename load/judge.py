"""Judging every answer of a load run at full speed, by the oracles that judge everything else.

Two passes. `Judge.quick` is compiled once per operation and passes what is plainly right: status,
media type, schema, required headers, rate-limit arithmetic. Whatever it does not pass goes to
`Judge.explain`, which builds an `Exchange` and asks `conformance.oracles`; only they can condemn.
So quick may be too strict (it costs time) but never too lax: tests hold it to that. Where a request
is sent again as it was, with nothing written in between, a body that equals the last good one is
good for the same reasons, and is compared instead of parsed; heads are read every time. Nothing
here sends, waits, counts or reads a clock, and no finding carries a value from a payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson

from conformance.history import Exchange, Headers, Request, Response
from conformance.oracles import contract as shapes
from conformance.oracles import envelope, headers
from conformance.verdict import Finding
from load.heads import Heads
from specs import Basis, Operation, pointer

Agree = Callable[[bytes, float], bool]
BAD: Any = type("Bad", (), {"__repr__": lambda self: "BAD"})()
"""What `quick` returns where an answer must be explained."""
EMPTY: Any = type("Empty", (), {"__repr__": lambda self: "EMPTY"})()
"""What `quick` returns for a good answer without a JSON body."""


@dataclass(slots=True, eq=False)
class Asked:
    """What the judge must know of a request beyond its operation."""

    id: Any = None
    """The id that was asked for, where one was."""
    mark: bytes | None = None
    """Text that the answer must carry: what was last written and acknowledged."""
    foreign: tuple[bytes, ...] = ()
    """Texts that only other keys' data carry."""
    last: tuple[Any, bytes, Any] | None = None
    """The last good answer to this very request: what checked its body, the body, its value."""


PLAIN = Asked()


class Judge:
    """Everything promised of one operation's answers, compiled."""

    __slots__ = ("_deep", "_good", "_id", "_key", "operation")

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self._good: dict[int, tuple[Agree, Callable[[Any], bool] | None]] = {}
        """Declared success -> the check of its head, and that of its body if it has one."""
        for status in range(200, 300):
            response = operation.response(status)
            if response is None or response.status == "default":
                continue
            valid = _validator(response.schema) if response.schema is not None else None
            self._good[status] = Heads(operation, response).agree, valid
        effect = operation.effect
        shown = effect is not None and effect.kind in ("read", "update", "replace")
        self._id = effect.id if effect is not None and shown and effect.target else None
        # Ids that lie deeper than one step are left to the oracles' slower look.
        self._key = self._id[1:] if self._id is not None and self._id.count("/") == 1 else None
        self._deep = self._id is not None and self._key is None

    def quick(self, status: int, head: bytes, body: bytes, asked: Asked, now: float) -> Any:
        """Return the decoded body of a plainly good answer, EMPTY, or BAD. Raises nothing.

        `head` is the status line and the fields as received, each line ended. `now` is seconds
        since the epoch when the answer came.
        """
        good = self._good.get(status)
        if good is None:
            return BAD
        agree, valid = good
        if not agree(head, now):
            return BAD
        if valid is None:
            return BAD if body and status == 204 else EMPTY
        last = asked.last
        if last is not None and last[1] == body and last[0] is valid:
            return last[2]
        try:
            value = orjson.loads(body)
        except ValueError:
            return BAD
        if not valid(value):
            return BAD
        if asked is PLAIN:
            return value
        mark, key, wanted = asked.mark, self._key, asked.id
        if mark is not None and mark not in body:
            return BAD
        if key is not None and wanted is not None:
            if value.__class__ is not dict or value.get(key) != wanted:
                return BAD
        elif self._deep:
            return BAD
        for foreign in asked.foreign:
            if foreign in body:
                return BAD
        if wanted is not None:
            asked.last = valid, body, value
        return value

    def explain(self, exchange: Exchange, asked: Asked, now: float) -> list[Finding]:
        """Return what is wrong with an answer; empty where it is a well-formed error answer.

        5xx and 429 are answers like others here: how many there may be is the gates' affair.
        """
        found = [
            *(f for f in shapes.judge(self.operation, exchange) if f.requirement != "CT6"),
            *envelope.judge(self.operation, exchange),
            *headers.judge(self.operation, exchange, now),
        ]
        made = [_as_load(self.operation, finding) for finding in found]
        if exchange.response is not None and 200 <= exchange.response.status < 300:
            made += self._about_asked(exchange.response, asked)
        return made

    def _about_asked(self, response: Response, asked: Asked) -> Iterator[Finding]:
        value = response.json_or_none()
        about = asked.id is not None and self._id is not None and value is not None
        if about and not _says(value, self._id or "", asked.id):
            yield self._own("LD5", "wrong-id", "the answer is about another id than was asked for")
        if value is not None and asked.mark is not None and asked.mark not in response.body:
            yield self._own(
                "LD12", "altered", "the answer does not show what was last acknowledged as written"
            )
        if any(foreign in response.body for foreign in asked.foreign):
            yield self._own("LD5", "foreign-data", "the answer carries another API key's data")

    def replayed(self, first: Any, second: Any) -> Iterator[Finding]:
        """Yield where a repeated request took effect again (IK: same key, same answer)."""
        promised = self.operation.idempotency
        if promised is None or second in (BAD, EMPTY):
            return
        for path in promised.stable:
            if _at(first, path) != _at(second, path):
                yield Finding(
                    "LD7",
                    f"{self.operation.id}: a request repeated with its idempotency key is "
                    f"answered with another {path}",
                    operation=self.operation.id,
                    basis=promised.basis,
                    cause=f"replayed-anew {self.operation.id} {path}",
                )
        if promised.replayed is not None and _at(second, promised.replayed) is not True:
            yield Finding(
                "LD7",
                f"{self.operation.id}: a request repeated with its idempotency key is not "
                f"marked as repeated at {promised.replayed}",
                operation=self.operation.id,
                basis=promised.basis,
                cause=f"replay-unmarked {self.operation.id}",
            )

    def _own(self, requirement: str, cause: str, message: str) -> Finding:
        return Finding(
            requirement,
            f"{self.operation.id}: {message}",
            operation=self.operation.id,
            basis=self.operation.effect.basis if self.operation.effect else Basis.DOCUMENTED,
            cause=f"{cause} {self.operation.id}",
        )


def exchange_of(
    number: int, operation: str, data: bytes, status: int, head: bytes, body: bytes,
    sent: float, received: float,
) -> Exchange:  # fmt: skip
    """Return the exchange that oracles read, out of raw bytes; the credentials stay out."""
    first, _, rest = data.partition(b"\r\n")
    method, _, target = first.decode("latin-1").partition(" ")
    return Exchange(
        number=number,
        operation=operation,
        request=Request(method, target.rpartition(" ")[0], (), rest.partition(b"\r\n\r\n")[2]),
        response=Response(status, parse_head(head), body),
        sent=sent,
        received=received,
    )


def parse_head(head: bytes) -> Headers:
    """Return the fields of a raw head, in the order sent."""
    fields = []
    for line in head.rstrip(b"\r\n").split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields.append((name.decode("latin-1"), value.strip().decode("latin-1")))
    return tuple(fields)


def _validator(schema: Any) -> Callable[[Any], bool]:
    """Return the oracles' own check, without the frame around it."""
    plain = shapes.shape(schema).schema
    check: Callable[[Any], bool] = jsonschema_rs.validator_for(
        plain, validate_formats=True
    ).is_valid
    return check


def _at(value: Any, path: str) -> Any:
    try:
        return pointer(value, path)
    except LookupError:
        return None


def _says(value: Any, path: str, wanted: Any) -> bool:
    try:
        return bool(str(pointer(value, path)) == str(wanted))
    except LookupError:
        return True  # an absent id is the schema's affair


def _as_load(operation: Operation, finding: Finding) -> Finding:
    """Return an oracle's finding as one of LD5; its own requirement stays in the cause."""
    return finding.at(
        requirement="LD5",
        operation=operation.id,
        message=f"{operation.id}: {finding.message} ({finding.requirement})",
        cause=f"{finding.requirement} {finding.cause}"
        if operation.id in finding.cause
        else f"{finding.requirement} {operation.id} {finding.cause}",
    )
