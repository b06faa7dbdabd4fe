"""Traffic counted per tenant: what usage headers and usage reports are made of.

With one process the figures gather in memory and reach the store with the next write, before
a report, and at the end; with several they reach it at once, so that all processes agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

from conformance.reference.backend.store import Store


@dataclass(slots=True)
class Traffic:
    """Sums over requests."""

    requests: int = 0
    errors: int = 0
    received: int = 0
    """Bytes of request bodies."""
    sent: int = 0
    """Bytes of response bodies."""
    seconds: float = 0.0
    """Time spent answering."""

    def add(self, other: Traffic) -> None:
        """Add another sum to this one."""
        self.requests += other.requests
        self.errors += other.errors
        self.received += other.received
        self.sent += other.sent
        self.seconds += other.seconds


class Meter:
    """The traffic of one API."""

    def __init__(self, store: Store, api: str, shared: bool) -> None:
        self._store, self._api, self._shared = store, api, shared
        self._pending: dict[tuple[str, int, str], Traffic] = {}
        self._totals: dict[str, int] = {}
        self._counters: dict[str, dict[str, int]] = {}

    def total(self, tenant: str) -> int:
        """Return how many requests a tenant has sent so far."""
        if self._shared:
            return self._store.requests(self._store.space(self._api, tenant, "traffic"))
        known = self._totals.get(tenant)
        if known is None:
            known = self._store.requests(self._store.space(self._api, tenant, "traffic"))
            self._totals[tenant] = known
        return known

    def count(self, tenant: str, operation: str, now: float, traffic: Traffic) -> None:
        """Count an answered request."""
        key = (tenant, int(now // 86_400), operation)
        held = self._pending.get(key)
        if held is None:
            self._pending[key] = traffic
        else:
            held.add(traffic)
        if self._shared:
            self.flush()
        else:
            self._totals[tenant] = self.total(tenant) + traffic.requests

    def counters(self, tenant: str) -> dict[str, int]:
        """Return the other figures of a tenant, by name."""
        if self._shared:
            return self._store.counters(self._figures(tenant))
        known = self._counters.get(tenant)
        if known is None:
            known = self._store.counters(self._figures(tenant))
            self._counters[tenant] = known
        return known

    def add(self, tenant: str, **amounts: int) -> None:
        """Add to figures of a tenant; inside a transaction they are kept with it."""
        space, known = self._figures(tenant), self.counters(tenant)
        for name, amount in amounts.items():
            known[name] = self._store.add(space, name, amount)

    def _figures(self, tenant: str) -> int:
        return self._store.space(self._api, tenant, "figures")

    def flush(self) -> None:
        """Write what has gathered; inside a transaction or on its own."""
        pending, self._pending = self._pending, {}
        for (tenant, day, operation), each in pending.items():
            self._store.count_traffic(
                self._store.space(self._api, tenant, "traffic"),
                (day, operation),
                (each.requests, each.errors, each.received, each.sent, each.seconds),
            )

    def report(self, tenant: str, first: date, last: date) -> dict[tuple[str, str], Traffic]:
        """Return (day as ISO date, operation) -> traffic of a tenant, both ends included."""
        self.flush()
        space = self._store.space(self._api, tenant, "traffic")
        return {
            (_iso(day), operation): Traffic(*sums)
            for day, operation, *sums in self._store.traffic(space, _day(first), _day(last))
        }


_EPOCH = date(1970, 1, 1).toordinal()


def _day(when: date) -> int:
    return when.toordinal() - _EPOCH


def _iso(day: int) -> str:
    return date.fromordinal(day + _EPOCH).isoformat()


def today(now: float) -> date:
    """Return the day of a moment, UTC."""
    return datetime.fromtimestamp(now, UTC).date()
