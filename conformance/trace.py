"""From each promise of a document to the cases that test it: what the specs cannot know.

`memconform spec trace` prints the table; `specs/traceability.md` is its checked-in form.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module

import specs
from conformance.cases import Case, instances
from specs import trace

SUITES = ("backend", "sdk")


@cache
def _cases() -> tuple[Case, ...]:
    return tuple(case for suite in SUITES for case in import_module(f"conformance.{suite}").cases())


@cache
def _runs(api: str, case: str) -> frozenset[str | None]:
    """Ids of the operations that a case runs on; None among them where it runs as a whole."""
    found = next(c for c in _cases() if c.id == case)
    return frozenset(o.id if o else None for o, _ in instances(found, specs.load(api)))


def tested(api: str, requirement: str, operations: Sequence[str]) -> list[str]:
    """Return the ids of the cases that test a requirement on an API, on these operations or all."""
    wanted = frozenset(operations)
    return [
        case.id
        for case in _cases()
        if requirement in case.requirements
        and (runs := _runs(api, case.id))
        and (not wanted or None in runs or runs & wanted)
    ]


def table() -> str:
    """Return the whole table as Markdown."""
    return trace.render(trace.promises(), tested)
