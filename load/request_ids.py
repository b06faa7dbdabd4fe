"""Request ids under load: no two answers may give the same one (ER6), whoever asked.

A run gives millions of ids, so a worker keeps a table of fixed size with 64 bits of each: an id
has one place in it and takes that of what was there. What is called repeated was given before; an
id that returns after very many others may be missed. Between workers the first ids of each are
compared. Pure; the engine brings the answers.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from conformance.history import Exchange, header
from conformance.oracles import envelope
from conformance.verdict import Finding
from load.record import Tally
from specs import Contract, Operation

PLACES = 1 << 17
"""Ids that a worker remembers, in eight bytes each."""
FIRST = 4096
"""Ids of a worker that are compared with other workers' at the end."""
DIGEST = 8
"""Bytes that stand for an id in the message to the master."""


class RequestIds:
    """The request ids of one worker's answers."""

    __slots__ = ("_first", "_line", "_marks", "_name", "repeated")

    def __init__(self, contract: Contract) -> None:
        named = (o.errors.request_id_header for o in contract if o.errors is not None)
        name = next((name for name in named if name), None)
        self._name = self._line = b"\r\n%b:" % name.lower().encode() if name else b""
        self._marks = array("q", bytes(8 * PLACES))
        self._first: set[bytes] = set()
        self.repeated = 0
        """Answers that gave an id of an answer before."""

    @property
    def in_heads(self) -> bool:
        """True where every answer's head may give one."""
        return bool(self._name)

    def head(self, head: bytes) -> bool:
        """Take note of a raw head's id; True where the answer must be looked at for it."""
        given = head.partition(self._line)[2].partition(b"\r")[0]
        if not given or len(self._first) < FIRST:
            given = self._find(head)
            if not given:
                return False
        # `note`, without a call for each answer
        mark, marks = hash(given), self._marks
        place = mark & (PLACES - 1)
        if marks[place] == mark:
            return True
        marks[place] = mark
        return False

    def _find(self, head: bytes) -> bytes:
        """Return the id however its name is spelt, keep the spelling and the first ids."""
        start = head.lower().find(self._name)
        if start < 0:
            return b""
        line = head[start : head.find(b"\r", start + 2)]
        given = line[len(self._name) :].strip()
        if given:
            self._line = line[: line.rfind(given)]
            self._keep(given)
        return given

    def _keep(self, given: bytes) -> None:
        if len(self._first) < FIRST:
            self._first.add(given)

    def note(self, given: bytes) -> bool:
        """Take note of an id; True where an answer before gave the same."""
        mark = hash(given)
        place = mark & (PLACES - 1)
        if self._marks[place] == mark:
            return True
        self._marks[place] = mark
        self._keep(given)
        return False

    def answer(self, operation: Operation, exchange: Exchange) -> bool:
        """Take note of an answer that the oracles look at; count and tell a repeated id."""
        errors, response = operation.errors, exchange.response
        if errors is None or response is None:
            return False
        if response.status >= 400:
            given = envelope.request_id(errors, exchange)
        else:
            given = header(response.headers, errors.request_id_header or "")
        if not given or not self.note(given.encode("latin-1", "replace")):
            return False
        self.repeated += 1
        return True

    def pack(self) -> dict[str, Any]:
        """Return the counts and the first ids as plain values, for the message to the master."""
        digests = [blake2b(given, digest_size=DIGEST).digest() for given in self._first]
        kept = PLACES - self._marks.count(0)
        return {"kept": kept, "repeated": self.repeated, "first": b"".join(digests)}


def compare(contract: Contract, tally: Tally, parts: Iterable[Tally]) -> None:
    """Put into a merged tally what its parts' ids are together; pure but for that."""
    packed = [p.facts["request-ids"] for p in parts if "request-ids" in p.facts]
    told = together(packed)
    tally.facts["request-ids"] = told
    if told["between-workers"]:
        named = next(o for o in contract if o.errors is not None)
        tally.saw(repeated(named, " to two workers"))


def together(parts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return all workers' counts added up, and how many ids more than one worker was given."""
    told = {"kept": 0, "repeated": 0, "between-workers": 0}
    known: set[bytes] = set()
    for part in parts:
        first = part["first"]
        mine = {first[i : i + DIGEST] for i in range(0, len(first), DIGEST)}
        told["kept"] += part["kept"]
        told["repeated"] += part["repeated"]
        told["between-workers"] += len(mine & known)
        known |= mine
    return told


def repeated(operation: Operation, where: str = "") -> Finding:
    """Return the finding that an operation's answer gave an id that was there before."""
    errors = operation.errors
    assert errors is not None
    return Finding(
        "LD5",
        f"the same request id is given twice{where} (ER6)",
        operation=None if where else operation.id,
        basis=errors.envelope_basis or errors.basis,
        cause=f"ER6 request-id-repeated{where}",
    )
