"""Kinds of damage that a backend's answers can have, applied to a recording one at a time.

Each is a function of the recorded answers of one case and a place in them; it returns the
answers with the damage done there, or None where that kind of damage does not apply. Pure. What
is wrong with an answer by itself is in `reference.wrong_answers`; what is made of it all is in
`sensitivity.py`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.backend.recording import Kept
from conformance.history import Response, header
from conformance.oracles.found import MISSING, value_in
from conformance.reference import wrong_answers
from conformance.reference.wrong_answers import Names, Wrong, ok, quota, used
from specs import Contract, Operation

Change = Callable[["Scene"], "list[Kept] | None"]


@dataclass(frozen=True)
class Scene:
    """The answers of one case, and the place where something is damaged."""

    contract: Contract
    kept: Sequence[Kept]
    index: int

    @property
    def here(self) -> Kept:
        """The answer at the place."""
        return self.kept[self.index]

    @property
    def response(self) -> Response | None:
        """The response at the place."""
        return self.here.answer.response

    @property
    def status(self) -> int:
        """Its status, 0 where there is none."""
        return self.response.status if self.response else 0

    @property
    def operation(self) -> Operation | None:
        """The operation that it answers."""
        exchange = self.here.exchange
        return self.contract[exchange.operation] if exchange and exchange.operation else None

    @property
    def body(self) -> Any:
        """A copy of the JSON body, MISSING where it is none."""
        if self.response is None:
            return MISSING
        try:
            return copy.deepcopy(self.response.json())
        except ValueError:
            return MISSING

    def with_response(self, response: Response) -> list[Kept]:
        """Return the answers with another response at the place."""
        changed = list(self.kept)
        answer = replace(self.here.answer, response=response)
        changed[self.index] = replace(self.here, answer=answer)
        return changed

    def with_body(self, body: Any) -> list[Kept] | None:
        """Return the answers with another JSON body at the place."""
        if self.response is None:
            return None
        data = json.dumps(body).encode()
        return self.with_response(replace(self.response, body=data))

    def earlier(self, wanted: Callable[[Kept], bool]) -> Kept | None:
        """Return the last answer before the place that is wanted."""
        return next((k for k in reversed(self.kept[: self.index]) if wanted(k)), None)


def _stale(scene: Scene) -> list[Kept] | None:
    """Answer a read as it was answered before the last write."""
    operation, mine = scene.operation, scene.here.exchange
    if operation is None or mine is None or not operation.safe or not ok(scene.status):
        return None

    def before(kept: Kept) -> bool:
        other = kept.exchange
        return (
            other is not None and other.request.target == mine.request.target
            and other.request.method == mine.request.method
            and other.principal == mine.principal and ok(other.status or 0)
            and kept.answer.response is not None
            and kept.answer.response.body != mine.response.body  # type: ignore[union-attr]
        )  # fmt: skip

    old = scene.earlier(before)
    return scene.with_response(old.answer.response) if old and old.answer.response else None


def _undead(scene: Scene) -> list[Kept] | None:
    """Answer a read of what is gone as when it was there."""
    mine = scene.here.exchange
    if mine is None or scene.status not in (404, 410) or mine.request.method != "GET":
        return None
    old = scene.earlier(
        lambda k: k.exchange is not None and k.exchange.request.target == mine.request.target
        and k.exchange.request.method == "GET" and ok(k.exchange.status or 0)
    )  # fmt: skip
    return scene.with_response(old.answer.response) if old and old.answer.response else None


def _swapped(scene: Scene) -> list[Kept] | None:
    """Give one tenant the answer that another got to the same request."""
    mine = scene.here.exchange
    if mine is None or mine.principal in ("", "a"):
        return None
    old = scene.earlier(
        lambda k: k.exchange is not None and k.exchange.principal == "a"
        and k.exchange.request.target == mine.request.target
        and k.exchange.request.method == mine.request.method and ok(k.exchange.status or 0)
        and k.answer.response != scene.response
    )  # fmt: skip
    return scene.with_response(old.answer.response) if old and old.answer.response else None


def _repeated_request_id(scene: Scene) -> list[Kept] | None:
    errors = scene.operation.errors if scene.operation else None
    path = errors.envelope.request_id if errors else None
    old = scene.earlier(lambda k: k.answer.response is not None and k.answer.response.status >= 400)
    if path is None or old is None or old.answer.response is None or scene.status < 400:
        return None
    given = value_in(old.answer.response.json_or_none(), path)
    body = scene.body
    if not isinstance(given, str) or body is MISSING:
        return None
    edited = wrong_answers.at(path, body, lambda _: given)
    return None if edited is MISSING else scene.with_body(edited)


def _frozen(names: Names, by: int = 0) -> Change:
    """Repeat a header's earlier value, moved by `by`."""

    def change(scene: Scene) -> list[Kept] | None:
        operation = scene.operation
        name = next(iter(names(operation)), None) if operation else None
        if name is None or scene.response is None:
            return None
        mine = scene.here.exchange
        old = scene.earlier(
            lambda k: k.exchange is not None and mine is not None
            and k.exchange.principal == mine.principal and k.answer.response is not None
            and header(k.answer.response.headers, name) is not None
        )  # fmt: skip
        if old is None or old.answer.response is None:
            return None
        value = header(old.answer.response.headers, name) or ""
        if not value.isdigit() or str(int(value) + by) == header(scene.response.headers, name):
            return None
        made = wrong_answers.with_field(scene.response, name, str(int(value) + by))
        return scene.with_response(made) if made else None

    return change


def _alone(wrong: Wrong) -> Change:
    """Return the damage that makes one answer wrong by itself."""

    def change(scene: Scene) -> list[Kept] | None:
        if scene.response is None or scene.operation is None:
            return None
        made = wrong(scene.operation, scene.response)
        return scene.with_response(made) if made is not None else None

    return change


KINDS: Mapping[str, Change] = {
    **{kind: _alone(wrong) for kind, wrong in wrong_answers.ANSWERS.items()},
    "remaining frozen": _frozen(quota("remaining")),
    "remaining counts two": _frozen(quota("remaining"), -2),
    "usage figure shrinks": _frozen(used, -1),
    "request id repeated": _repeated_request_id,
    "a stale read": _stale,
    "a deleted record readable": _undead,
    "another tenant's answer": _swapped,
}
"""Every kind of damage, by what is then wrong."""
