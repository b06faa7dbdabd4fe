"""A badge of a branch: the JSON that a shields.io endpoint badge reads (schemaVersion 1)."""

from __future__ import annotations

import json

from conformance.report.baseline import Comparison
from conformance.report.exit import Decision, Exit

_TOLD = {
    Exit.CONFORMS: ("conforms", "brightgreen"),
    Exit.DEVIATES: ("does not conform", "red"),
    Exit.USAGE: ("usage", "lightgrey"),
    Exit.ERROR: ("error", "lightgrey"),
    Exit.STALE_BASELINE: ("baseline out of date", "yellow"),
    Exit.TOO_LITTLE_EVIDENCE: ("too little evidence", "yellow"),
}


def render(decision: Decision, comparison: Comparison | None = None) -> str:
    """Return the badge of a run, as JSON: its verdict, and how many deviations are known or new."""
    message, color = _TOLD[decision.code]
    if decision.code is Exit.CONFORMS and comparison and comparison.known:
        message, color = f"{message}, {len(comparison.known)} known", "green"
    elif decision.code is Exit.DEVIATES and comparison and comparison.new:
        message = f"{message}, {len(comparison.new)} new"
    return json.dumps(
        {"schemaVersion": 1, "label": "memconform", "message": message, "color": color,
         "isError": decision.code is Exit.ERROR}
    ) + "\n"  # fmt: skip
