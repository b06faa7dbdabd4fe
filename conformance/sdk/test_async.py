"""Async clients: what holds up the event loop, in each branch that waits or sends.

That a client does the same in both modes is judged in `test_retries.py` (parity).
"""

from __future__ import annotations

from itertools import pairwise

from conformance.faults.script import Script
from conformance.sdk.judging import CASES
from conformance.sdk.subject import SdkSubject
from conformance.sdk.test_retries import promising_leaders, retried
from conformance.verdict import Finding, Inconclusive
from specs import Basis, Contract, Operation

TOGETHER = 3
"""Calls at once."""
SLOW = 0.3
"""Seconds that a server takes for each of them."""


@CASES.case("async.waits", "RT12", each=promising_leaders)
def test_waits(subject: SdkSubject, operation: Operation) -> list[Finding]:
    """An async client never waits in a way that holds up its event loop, whatever it waits for."""
    mode = subject.needs(operation, "async")
    held: list[str] = []
    shown = None
    for trigger, fault in (
        (f"status {retried(operation)}", str(retried(operation))),
        ("Retry-After", "429 retry-after=7"),
        ("a broken connection", "before-handler reset"),
    ):
        script = Script.parse(f"{operation.id}#1x2 {fault}")
        made = subject.play(script, subject.ask(operation), mode=mode)
        if any(s.blocking for s in made.call.sleeps):
            held.append(trigger)
            shown = shown or made
    if shown is None:
        return []
    return shown.witnessed([
        Finding(
            "RT12", "holds up the event loop while it waits to send again",
            expected="waits that other calls can use and a cancellation can end",
            actual=f"a blocking wait after {', '.join(held)}", cause="async:blocking-wait",
        )
    ])  # fmt: skip


def alone(contract: Contract) -> list[Operation]:
    """Return one operation whose calls can be slow at the same time."""
    plain = [o for o in contract if o.stream is None and o.pagination is None]
    return (plain or list(contract))[:1]


@CASES.case("async.overlap", "RB9", each=alone)
def test_overlap(subject: SdkSubject, operation: Operation) -> list[Finding]:
    """Slow calls of one async client run at the same time: none waits for another's answer."""
    mode = subject.needs(operation, "async")
    script = Script.parse(f"* before-handler stall seconds={SLOW}")
    asks = [subject.ask(operation, seed=n) for n in range(TOGETHER)]
    made = subject.play(script, *asks, mode=mode, concurrency=TOGETHER)
    answered = sorted(
        (e for e in made.history if e.received is not None and e.received - e.sent > SLOW / 2),
        key=lambda e: e.sent,
    )
    if len(answered) < TOGETHER:
        raise Inconclusive(
            f"{len(answered)} of {TOGETHER} calls were answered late, as they were to"
        )
    turns = [
        one for one, two in pairwise(answered)
        if one.received is not None and two.sent >= one.received
    ]  # fmt: skip
    if len(turns) < len(answered) - 1:
        return []
    return made.witnessed([
        Finding(
            "RB9", "holds up the event loop while it sends: its async calls come one by one",
            expected=f"{TOGETHER} requests under way at the same time",
            actual="each was sent after the answer to the one before", basis=Basis.DOCUMENTED,
            cause="async:blocking-send",
        )
    ])  # fmt: skip
