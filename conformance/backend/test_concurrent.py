"""Several clients at once, and restarts: nothing acknowledged is lost (ST11, ST12)."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.backend.effects import read_arguments
from conformance.backend.registry import CASES
from conformance.backend.subject import BackendSubject, Prepared
from conformance.backend.test_state import changeable
from conformance.backend.views import body_of, look, tellable, viewers, write
from conformance.backend.world import Made, creators, properties
from conformance.history import Exchange
from conformance.oracles import linear
from conformance.oracles import state as oracle
from conformance.oracles.found import found, ok
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation

ROUNDS = 4
PATIENCE = 20.0
"""Seconds that a restarted server may take until it answers again."""


def _updates(contract: Contract) -> list[Operation]:
    """Return the partial updates of records that can be made and read back."""
    return [
        o for o in contract
        if o.effect and o.effect.kind in ("update", "replace") and o.effect.target
        and creators(contract, o.effect.resource or "")
        and any(r.effect and r.effect.kind == "read" and r.effect.resource == o.effect.resource
                and r.effect.target for r in contract)
    ]  # fmt: skip


def _scope(operation: Operation, made: Made) -> dict[str, object]:
    places = {p.name for p in operation.parameters}
    scope = operation.effect.scope if operation.effect else {}
    known = properties(operation)
    return {n: made.whole[n] for n in {*places, *scope} if n in made.whole and n in known}


@CASES.case("state.concurrent", "ST12", each=_updates)
def test_concurrent(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """Writes and reads of one record at the same time have some order that explains them all."""
    effect = operation.effect
    assert effect is not None
    maker = creators(subject.contract, effect.resource or "")[0]
    made = write(subject, maker, seed=1, optional=True)[0]
    reader = viewers(subject.contract, made, "read")[0]
    rounds = ROUNDS * (5 if subject.deep else 1)
    for number in range(rounds):
        yield from _round(subject, operation, reader, made, number)


def _round(
    subject: BackendSubject, operation: Operation, reader: Operation, made: Made, number: int
) -> Iterable[Finding]:
    """Release updates of different properties, and reads, at once; judge what can be read."""
    effect = operation.effect
    assert effect is not None
    target = effect.target or "id"
    values = changeable(operation, made, subject.seed + 31 * (number + 1))
    if effect.kind == "replace":
        other = changeable(operation, made, subject.seed + 31 * (number + 1) + 13)
        changes = [values, other]
    else:
        changes = [{n: v} for n, v in list(values.items())[:3]]
    if len(changes) < 2:
        raise NotApplicable("fewer than two properties can be changed")
    base = {**_scope(operation, made), target: made.id}
    before = subject.send(reader, read_arguments(subject, reader, made))
    prepared: list[Prepared] = [subject.request(operation, {**base, **c}) for c in changes]
    prepared.insert(1, subject.request(reader, read_arguments(subject, reader, made)))
    exchanges = subject.together(prepared)
    after = subject.send(reader, read_arguments(subject, reader, made))
    reads = [exchanges.pop(1)]
    if not ok(before) or not ok(after):
        raise Inconclusive("the record cannot be read back")
    yield from linear.judge(
        operation, before, list(zip(exchanges, changes, strict=True)), reads, after
    )


def _creators(contract: Contract) -> list[Operation]:
    return [
        o for o in contract if o.effect and o.effect.kind == "create"
        and (o.effect.id or o.effect.ids)
    ]  # fmt: skip


@CASES.case("state.restart", "ST11", each=_creators)
def test_restart(subject: BackendSubject, operation: Operation) -> Iterable[Finding]:
    """What was acknowledged before a restart is there after it."""
    if subject.restart is None:
        raise NotApplicable("no way to restart the server was given (--restart-command)")
    made = write(subject, operation, seed=1, optional=True)
    places = [v for v in viewers(subject.contract, made[0], "read", "list", "search")
              if tellable(v, made[0])]  # fmt: skip
    if not places:
        raise NotApplicable("nothing shows what was written")
    subject.restarted()
    _answering(subject, places[0], made[0])
    for viewer in places:
        for each in made:
            view = look(subject, viewer, each)
            kind = viewer.effect.kind if viewer.effect else ""
            if view.count == 0:
                yield found(
                    "ST11", f"an acknowledged write is lost by a restart ({kind})", each.exchange,
                    view.exchange, cause=f"restart-loses {operation.id} {kind}",
                    operation=operation, basis=operation.basis,
                )  # fmt: skip
            elif kind == "read" and view.exchange.response is not None:
                wrong = oracle.differences(body_of(each), view.exchange.response.json_or_none())
                if wrong:
                    yield found(
                        "ST11", f"a restart changes a record's {wrong[0]}", each.exchange,
                        view.exchange, cause=f"restart-changes {operation.id}",
                        operation=operation, basis=operation.basis,
                    )  # fmt: skip


def _answering(subject: BackendSubject, operation: Operation, made: Made) -> Exchange:
    """Wait until the server answers again. Raises Inconclusive where it does not."""
    arguments = read_arguments(subject, operation, made)
    deadline = subject.clock.monotonic() + PATIENCE
    while subject.clock.monotonic() < deadline:
        exchange = subject.send(operation, arguments, fresh=True)
        if exchange.status is not None and exchange.status not in (502, 503, 504):
            return exchange
        subject.wait(0.1, "waiting for the restarted server")
    raise Inconclusive(f"the server did not come back within {PATIENCE:g} s")
