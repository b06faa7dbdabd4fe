"""What stood on the API before a load run, and what stands there after it: nobody's is harmed.

The lists that need no arguments are read once before the load and once behind its clean-up, with
each tenant's key, as the backend suite does (`conformance.backend.standing`). The ids that they
show are somebody's: a creation that gives one of them again gives the run nothing to change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from conformance.backend.standing import Proof, Standing
from conformance.backend.subject import BackendSubject
from conformance.backend.trust import Trust
from conformance.history import Headers
from specs import Contract

PATIENCE = 5.0
"""Seconds that one answer may take here."""
INTERRUPTED = "the run was ended before it looked again"


class Census:
    """What stands there, by tenant; one for each process of a run."""

    def __init__(
        self, contract: Contract, base_url: str, keys: Sequence[str], *,
        left_out: Mapping[str, str], trust: Trust, headers: Headers, timeout: float,
    ) -> None:  # fmt: skip
        self._tenants = [
            Standing(
                BackendSubject(
                    contract,
                    base_url,
                    (key,) if key else (),
                    read_only=True,
                    exclude=left_out,
                    trust=trust,
                    extra=headers,
                    timeout=min(timeout, PATIENCE),
                )
            )
            for key in keys
        ]
        self._looked = False

    def look(self) -> None:
        """Read the lists, before anything is created."""
        for each in self._tenants:
            each.look()
        self._looked = True

    def foreign(self) -> list[frozenset[tuple[str, str]]]:
        """Return (resource, id) of what was there, one set for each key."""
        return [
            frozenset((resource, id) for _, resource, id in each.subject.mine.seen)
            for each in self._tenants
        ]

    def proof(self, reused: Iterable[str] = ()) -> dict[str, Any]:
        """Read the lists again, and return as a result shows it what became of what was there.

        `reused` are records whose ids creations of the run gave as well.
        """
        if not self._looked:
            return {}
        whole = Proof(reused=sorted(reused))
        for each in self._tenants:
            _add(whole, each.proof())
            each.subject.wire.close()
        return whole.details()

    def ended(self) -> dict[str, Any]:
        """Return what a result shows of a run that had no time to look again."""
        return {"before": 0, "same": 0, "unsure": [INTERRUPTED]} if self._looked else {}


def _add(whole: Proof, part: Proof) -> None:
    whole.before += part.before
    whole.same += part.same
    for name in ("changed", "gone", "unsure"):
        known = getattr(whole, name)
        known += [line for line in getattr(part, name) if line not in known]


def told(foreign: Mapping[str, Any]) -> Iterator[str]:
    """Yield what Locust's own output says of the foreign records: harm only."""
    if gone := foreign.get("gone"):
        yield f"{len(gone)} records that were there before the run are gone: {gone[0]}"
    if changed := foreign.get("changed"):
        yield f"{len(changed)} records that were there before show something else: {changed[0]}"
