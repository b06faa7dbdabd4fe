"""What cases of this suite lack, and the option or key that settles each."""

from __future__ import annotations

from conformance.verdict import Need

WHOLE_RUN = Need("a run that is not fast", "the same command without --fast")
SHORTER_WAITS = Need(
    "shorter waits after a 429", "--rate REQUESTS, or a key with a higher limit"
)  # fmt: skip


def tenants(count: int) -> Need:
    """Return the need of keys of so many tenants."""
    return Need("API keys of {amount} tenants", "--api-key once for each, {amount} in all", count)


def seconds(least: float) -> Need:
    """Return the need of a run that may take so many seconds."""
    return Need("more time", "--max-seconds {amount} or more", least)


def requests(spent: int) -> Need:
    """Return the need of a run that may send more than it has spent."""
    return Need("a larger budget of requests", "--max-requests above {amount}", spent)
