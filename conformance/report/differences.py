"""How a run differs from its baseline, in words: the same words for every report. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.report.baseline import Comparison
from conformance.report.exit import Decision, Exit
from conformance.report.waiver import Waiver

SHOWN = 20
"""Waivers that are listed under one head; the rest are counted."""


def differences(comparison: Comparison) -> str:
    """Return the counts of a comparison, `3 known, 1 new, 1 expired`; what is nil is left out."""
    counts = (
        ("known", len(comparison.known), True),
        ("new", len(comparison.new), True),
        ("wider", len(comparison.wider), False),
        ("found by search", len(comparison.searched), False),
        ("expired", len(comparison.expired), False),
        ("gone", len(comparison.gone), False),
        ("not observed", len(comparison.unobserved), False),
    )
    return ", ".join(f"{count} {word}" for word, count, always in counts if count or always)


def next_step(decision: Decision, comparison: Comparison | None) -> str:
    """Return what a person does next, as one sentence; empty if there is nothing to do."""
    if decision.code is Exit.DEVIATES and comparison is None:
        return (
            "mend the first finding; or accept what you know with "
            "`memconform baseline write RESULTS --to known.toml` and pass --baseline known.toml"
        )
    if decision.code is Exit.DEVIATES:
        return (
            "mend what is new; or accept it with `memconform baseline update RESULTS FILE`, "
            "with an owner, a reason and a last day"
        )
    steps = {
        Exit.STALE_BASELINE: "remove what is gone with `memconform baseline prune RESULTS FILE`",
        Exit.TOO_LITTLE_EVIDENCE: "give what the reasons above ask for, and run again",
        Exit.ERROR: "read the first error above; memconform accuses no subject in this run",
    }
    return steps.get(decision.code, "")  # fmt: skip


def to_act_on(comparison: Comparison | None) -> dict[tuple[str, str], str]:
    """Return (subject, finding id) -> `new`, `wider`, `expired` or `found by search`."""
    if comparison is None:
        return {}
    return {
        **{(name, f.id): "new" for name, f in comparison.new},
        **{(name, f.id): "wider" for name, f, _ in comparison.wider},
        **{(name, f.id): "found by search" for name, f in comparison.searched},
        **{(name, f.id): "expired" for name, f, _ in comparison.expired},
    }


def waiver_lines(comparison: Comparison) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each head with its lines: what is gone, wider, expired, or expires soon."""
    kinds: tuple[tuple[str, list[str]], ...] = (
        ("gone: the case ran and passed; `memconform baseline prune` removes the waiver",
         [_on(name, w) for name, w in comparison.gone]),
        ("wider than waived", [f"{f.requirement} on {name}: {f.message}: now also {added}"
                               for name, f, added in comparison.wider]),
        ("found by a random search alone: another seed may not show it, and no gate rests on it",
         [f"{f.requirement} on {name}: {f.message}" for name, f in comparison.searched]),
        ("waivers that expired", [f"{_on(name, w)} (until {w.expires}, owner {w.owner or 'nobody'})"
                                  for name, _, w in comparison.expired]),
        ("waivers that expire within 14 days",
         [f"{w.names()} (until {w.expires}, owner {w.owner or 'nobody'})"
          for w in comparison.expiring]),
    )  # fmt: skip
    for head, lines in kinds:
        if lines:
            more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
            yield head, [*lines[:SHOWN], *more]
    if comparison.unmatched:
        names = sorted({w.subject for w in comparison.unmatched})
        yield (
            "waivers that match no subject of this run",
            [f"{name}: {sum(w.subject == name for w in comparison.unmatched)}" for name in names],
        )


def _on(name: str, waiver: Waiver) -> str:
    where = f" {waiver.operation}" if waiver.operation else ""
    return f"{waiver.requirement} on {name}{where}: {waiver.message}"
