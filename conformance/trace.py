"""Which cases test what the documents promise: the suites' cases brought to `specs.trace`.

Only the joining is here. A case counts for a promise where it runs on that API, and, where the
promise is about single operations, where it runs on one of them or on none in particular.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import specs
from conformance import backend, sdk
from conformance.cases import Case, instances
from specs import trace


def table() -> str:
    """Return specs/traceability.md as it should be today."""
    return trace.render(trace.promises(), cases)


def cases(api: str, requirement: str, operations: Sequence[str] = ()) -> Sequence[str]:
    """Return the ids of the cases that test a requirement on an API's operations."""
    return [
        case
        for case, tested, runs in _applicable(api)
        if requirement in tested and (not operations or None in runs or runs & set(operations))
    ]


@cache
def _applicable(api: str) -> tuple[tuple[str, tuple[str, ...], frozenset[str | None]], ...]:
    """Return each case that has an instance on an API: id, requirements, operations."""
    contract = specs.load(api)
    every: Iterable[Case] = (*backend.cases(), *sdk.cases())
    found = []
    for case in every:
        runs = frozenset(o.id if o else None for o, _ in instances(case, contract))
        if runs:
            found.append((f"{case.suite}:{case.id}", case.requirements, runs))
    return tuple(found)
