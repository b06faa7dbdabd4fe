"""How a server says no: an unknown id, a call that lacks something, the same record twice, no key.

Statuses become the declared answers; members that every error body shares, the envelope.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from conformance.backend.probing import noticing
from conformance.backend.world import operations_on, required
from conformance.history import Exchange, header
from conformance.oracles.found import MISSING
from conformance.verdict import Inconclusive, NotApplicable
from specs import Basis, Operation
from specs.draft import Draft, Guess
from specs.effects import creators
from specs.quotas import USUAL

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

LIMITS = ("limit", "remaining", "reset")


class Refusals:
    """What was refused, and how, until it is written into the draft."""

    def __init__(self, made: Draft, subject: BackendSubject) -> None:
        self.made, self.subject = made, subject
        self._statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self._of: dict[tuple[str, str], int] = {}
        """(operation, mistake) -> the status that it was answered with."""
        self._bodies: dict[int, list[Any]] = defaultdict(list)

    def saw(self, operation: Operation, exchange: Exchange, mistake: str) -> None:
        """Take note of an answer to a mistake; server errors and acceptance tell nothing."""
        status = exchange.status or 0
        if not 400 <= status < 500 or status in (401, 403, 429):
            return
        self._statuses[mistake][status] += 1
        self._of[operation.id, mistake] = status
        if exchange.response is not None:
            self._bodies[status].append(exchange.response.json_or_none())

    def of(self, resource: str) -> None:
        """Provoke a kind's refusals: an unknown id, and a creation that lacks something."""
        contract = self.subject.contract
        for reader in operations_on(contract, resource, "read"):
            target = reader.effect.target if reader.effect else None
            if target:
                unknown = self.subject.world.unknown_id(reader, target)
                self._try(reader, {target: unknown}, "unknown-id")
        for maker in creators(contract, resource)[:1]:
            body = maker.body.schema if maker.body else {}
            lacking = sorted(required(maker) & set(body.get("properties", {})))
            if lacking:
                self._try(maker, {lacking[0]: MISSING}, "invalid")

    def _try(self, operation: Operation, given: dict[str, Any], mistake: str) -> None:
        try:
            arguments = self.subject.world.arguments(operation, given=given)
            self.saw(operation, self.subject.send(operation, arguments), mistake)
        except (Inconclusive, NotApplicable, KeyError):
            return

    @property
    def _shared(self) -> list[Guess]:
        return [g for g in self.made.guesses if g.operation is None]

    def finish(self) -> None:
        """Write into the draft what was seen."""
        self._without_key()
        guess = next(
            (g for g in self.made.guesses if g.block == "errors" and not g.operation), None
        )
        if guess is None or not self._statuses:
            return
        answers = guess.value.setdefault("answers", {})
        for mistake, counted in self._statuses.items():
            status = counted.most_common(1)[0][0]
            answers[mistake] = {"status": status}
            for (id, kind), own in sorted(self._of.items()):
                if kind == mistake and own != status:
                    self._apart(id, mistake, own)
        bodies = [each for held in self._bodies.values() for each in held]
        envelope = noticing.envelope(bodies)
        if envelope:
            guess.value["envelope"] = envelope
            self.made.questions[:] = [q for q in self.made.questions if "errors: envelope" not in q]
        elif bodies:
            guess.value.pop("envelope", None)
        guess.basis = Basis.OBSERVED
        seen = ", ".join(f"{m} {c.most_common(1)[0][0]}" for m, c in self._statuses.items())
        guess.seen = f"answered {seen}"
        self._rate_limit()

    def _apart(self, id: str, mistake: str, status: int) -> None:
        """Say what one operation answers otherwise than most."""
        operation = self.made.contract[id]
        shared = next(g for g in self._shared if g.block == "errors")
        known = self.made.of(operation, "errors")
        if known is None:
            known = Guess(operation, "errors", {"answers": dict(shared.value["answers"])},
                          "it answers otherwise than most", Basis.OBSERVED, "")  # fmt: skip
            self.made.guesses.append(known)
        known.value["answers"][mistake] = {"status": status}
        known.seen = ", ".join(filter(None, [known.seen, f"{mistake} {status}"]))

    def _without_key(self) -> None:
        """Ask for a list without a key: whether one is needed is seen on reads alone."""
        contract = self.subject.contract
        plain = [
            o for o in contract
            if o.verb == "GET" and o.authenticated and not o.parameters_in("path")
            and o.id not in self.subject.excluded
        ]  # fmt: skip
        for operation in plain[:1]:
            try:
                arguments = self.subject.world.arguments(operation)
                status = self.subject.send(operation, arguments, key=None).status or 0
            except (Inconclusive, NotApplicable):
                return
            if 400 <= status < 500:
                self._statuses["unauthenticated"][status] += 1
            else:
                self.made.questions.append(
                    f"{operation.id} was answered {status} without a key: is none needed? The "
                    "description says that one is (security)"
                )

    def _rate_limit(self) -> None:
        """Draft the quota headers that answers carry: names as seen, the reset's unit by size."""
        for exchange in self.subject.exchanges:
            given = exchange.response.headers if exchange.response else ()
            names = {w: header(given, f"{USUAL}-{w}") for w in LIMITS}
            reset = names["reset"]
            if reset is None or not all(v is not None and v.isdigit() for v in names.values()):
                continue
            value: dict[str, Any] = {"headers": USUAL}
            value |= {w: f"{USUAL}-{w}" for w in LIMITS}
            value |= {"resetUnit": _unit(int(reset)), "on": "limited-operations"}
            why, seen = f"answers carry {USUAL} headers", f"reset {reset}"
            guess = Guess(None, "rateLimit", value | {"retryAfter": False}, why)
            guess.basis, guess.seen = Basis.OBSERVED, seen
            self.made.guesses.insert(1, guess)
            return


def _unit(reset: int) -> str:
    """Return what a reset counts in, by its size: seconds until, or seconds since 1970."""
    if reset > 10**11:
        return "epoch-ms"
    return "epoch-seconds" if reset > 10**8 else "delta-seconds"
