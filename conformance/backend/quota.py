"""Spending a quota: find one within reach, wait until it is whole, use it up, wait it out.

The cases about limits share this driving; the judgement is in `conformance.oracles.limits`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from conformance.history import Exchange
from conformance.oracles import limits
from conformance.oracles.found import told
from conformance.oracles.limits import Ask, Quota, ask_of
from conformance.verdict import Inconclusive, Need, NotApplicable
from specs import Contract, Operation, quotas
from specs.vocabulary import RateLimit

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

REACH = 1500
"""Largest quota that is spent where the person gave no budget of requests."""
BLIND = 400
"""Requests sent to find a limit that no header tells of and that nobody named."""
WAIT_MAX = 65.0
"""Longest wait, in seconds, for a quota to become whole: a minute's window and some."""
TRIES = 4
"""How often a quota that nobody tells is measured until asking was quick enough."""
OVER = 3
"""Requests sent beyond the quota."""
FLOWS = 3
"""Quotas that may come back while one is being used up, where asking is slow."""


NAMED = Need("a rate limit that is known", "--quota REQUESTS/SECONDS")


@dataclass
class Spender:
    """One principal who uses up a quota with one operation."""

    subject: BackendSubject
    operation: Operation
    limit: RateLimit
    principal: str
    arguments: dict[str, Any]
    asks: list[Ask] = field(default_factory=list)

    def ask(self, operation: Operation | None = None) -> Ask:
        """Send one limited request and return what became of it."""
        arguments = self.arguments
        if operation is not None and operation is not self.operation:
            arguments = self.subject.world.arguments(operation, self.principal)
        exchange = self.subject.send(
            operation or self.operation, arguments, key=self.principal, patient=False
        )
        return self._noted(exchange)

    def together(self, count: int) -> list[Ask]:
        """Release several requests at once and return what became of each."""
        prepared = self.subject.request(self.operation, self.arguments, key=self.principal)
        return [self._noted(e) for e in self.subject.together([prepared] * count)]

    def _noted(self, exchange: Exchange) -> Ask:
        ask = ask_of(self.limit, exchange, self.subject.at[exchange.number])
        self.asks.append(ask)
        return ask

    def quota(self) -> Quota | None:
        """Return the quota that the person named, the document states, or the headers tell."""
        if self.subject.quota is not None:
            return self.subject.quota
        if self.limit.policies:
            policy = self.limit.policies[0]
            return Quota(policy.q, policy.w)
        told_by = next((a.reading for a in self.asks if a.reading and a.reading.limit), None)
        if told_by is None or told_by.limit is None:
            return None
        window = max((a.reading.reset or 0.0 for a in self.asks if a.reading), default=0.0)
        return Quota(int(told_by.limit), max(window, 1.0))

    def in_reach(self, quota: Quota, factor: int = 1) -> None:
        """Raise Inconclusive, saying what it would take, where a quota cannot be used up."""
        wanted = quota.q * factor + OVER + 2
        left = self.subject.requests_left
        most = REACH if left is None else left
        if wanted > most:
            raise Inconclusive(
                f"the limit is {quota.q} requests and using it up takes {wanted}: give "
                f"--max-requests {self.subject.exchanged + wanted} or more, or a third --api-key "
                "whose limit is lower",
                Need(
                    "a rate limit within reach",
                    "--max-requests {amount} or a key with a lower limit (--api-key limited=KEY)",
                    self.subject.exchanged + wanted,
                ),
            )

    def make_whole(self) -> bool:
        """Wait until nothing of the quota is used; return False where that cannot be known.

        One request is spent on looking.
        """
        for _ in range(3):
            ask = self.ask()
            if not ask.admitted:
                self._wait(self._told(ask), "waiting out a refusal")
                if not quotas.told(self.limit):
                    return True
                continue
            reading = ask.reading
            if reading is None or reading.limit is None or reading.remaining is None:
                return False
            if reading.remaining >= reading.limit - 1:
                return True
            self._wait(max(reading.reset or 1.0, 0.0) + 0.1, "waiting for a whole quota")
        return False

    def spend(self, quota: Quota | None) -> list[Ask]:
        """Send requests one after another until some are refused; return what became of each.

        Of a quota that comes back while one asks as much more is sent, within `FLOWS` of it.
        Raises Inconclusive where a quota that nobody tells was not met, now or by an earlier case.
        """
        if quota is None and self.principal in self.subject.unmet:
            raise Inconclusive(self.subject.unmet[self.principal], NAMED)
        asks: list[Ask] = []
        most = quota.q + OVER if quota else min(BLIND, self.subject.requests_left or BLIND)
        began = self.subject.clock.monotonic()
        while len(asks) < most:
            asks.append(self.ask())
            if quota is not None:
                passed = (self.subject.clock.monotonic() - began) / quota.w
                most = quota.q + OVER + int(quota.q * min(passed, FLOWS))
            if sum(not a.admitted for a in asks) >= OVER:
                return asks
        if quota is not None and all(a.admitted for a in asks):
            return [*asks, *self.together(quota.q * 2)]  # one after another was too slow for it
        if quota is None and all(a.admitted for a in asks):
            why = self.subject.unmet[self.principal] = (
                f"{len(asks)} requests met no limit and no header tells of one; name it with "
                "--quota REQUESTS/SECONDS"
            )
            raise Inconclusive(why, NAMED)
        return asks

    def measure(self) -> Quota:
        """Find the quota by using up a whole one; how long it lasts is what the refusal says.

        Asking that took as long as that may have met the next window, or what a bucket refilled
        meanwhile: then it is done again. Raises Inconclusive where asking stays too slow.
        """
        self.spend(None)
        for _ in range(TRIES):
            self.make_whole()
            asks = [self.asks[-1], *self.spend(None)]
            turned = next(a for a in asks if not a.admitted)
            first = next((a for a in asks if a.admitted), turned)
            if turned.received - first.sent < self._told(turned):
                return Quota(sum(a.admitted for a in asks), max(self._told(turned), 1.0))
        raise Inconclusive(
            "using the quota up took longer than it lasts, so how much it is cannot be told; name "
            "it with --quota REQUESTS/SECONDS",
            NAMED,
        )

    def _told(self, ask: Ask) -> float:
        seconds = limits.wait_told(ask.exchange, self.subject.at[ask.exchange.number])
        if seconds is None:
            seconds = ask.reading.reset if ask.reading and ask.reading.reset else None
        if seconds is None:
            raise Inconclusive(
                f"refused with {told(ask.exchange)} without saying for how long; "
                "nothing could be waited for"
            )
        return max(seconds, 0.0)

    def _wait(self, seconds: float, why: str) -> None:
        if seconds > WAIT_MAX:
            raise Inconclusive(f"{why} takes {seconds:.0f} s, more than {WAIT_MAX:.0f}")
        self.subject.wait(seconds, why)


def limited(contract: Contract) -> list[Operation]:
    """Return one plain limited operation, safe and cheap; none where nothing is limited."""
    ranked = sorted(
        (o for o in contract if o.rate_limit is not None and o.authenticated),
        key=lambda o: (
            not o.safe, len(o.parameters_in("path")), o.body is not None, o.pagination is not None,
            len(o.parameters),
        ),
    )  # fmt: skip
    return ranked[:1]


def spender(subject: BackendSubject, operation: Operation) -> Spender:
    """Return somebody to use up a quota: the `limited` key, else the third, else the first."""
    limit = operation.rate_limit
    if limit is None:
        raise NotApplicable("the contract declares no rate limit")
    who = next(p for p in ("limited", "c", "a") if p in subject.keys or p == "a")
    return Spender(subject, operation, limit, who, subject.world.arguments(operation))
