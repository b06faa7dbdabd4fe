"""Attempts beside their number and timing: what they carry, and whose wish to wait was obeyed.

`retry.py` predicts how often and when a call may be sent. Here is what the attempts of one call,
or the waits of several, show of themselves. All functions are pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from conformance.claims import NoSpread, WrongOrder
from conformance.history import Exchange, header
from conformance.verdict import Finding
from specs import Basis
from specs.vocabulary import RetryAfter

REQUEST_ID = re.compile(r"^(x-)?((client|ms-client|sdk)-)?(request|correlation)-id$")
COUNT = re.compile(r"(^|-)(retry|attempt)(-count|-number)?$")
SLACK = 1.0
"""Seconds by which a wait may miss what an answer asked for."""


def judge_marks(exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """Yield what is wrong with request ids and attempt counters, where an SDK sends them.

    A request id is the same in every attempt (RT16); a counter starts at 0 and grows by one
    (RT15). What nobody declared weighs little: the basis is `assumed`.
    """
    if len(exchanges) < 2:
        return
    witness = tuple(e.number for e in exchanges)
    for name in sorted({n.lower() for e in exchanges for n, _ in e.request.headers}):
        values = [header(e.request.headers, name) for e in exchanges]
        if REQUEST_ID.match(name) and len(set(values)) > 1:
            yield Finding(
                "RT16", f"changes its {name} from one attempt to the next",
                expected="the same id in every attempt of a call", actual=_listed(values),
                basis=Basis.ASSUMED, witness=witness, cause=f"request-id-changed:{name}",
            )  # fmt: skip
        counts = COUNT.search(name) and all(v is None or v.isdecimal() for v in values)
        if counts and values != [str(n) for n in range(len(values))]:
            yield Finding(
                "RT15", f"miscounts its attempts in {name}",
                expected=", ".join(str(n) for n in range(len(values))), actual=_listed(values),
                basis=Basis.ASSUMED, witness=witness, cause=f"attempt-count:{name}",
            )  # fmt: skip


def _listed(values: Sequence[str | None]) -> str:
    return ", ".join("none" if v is None else v for v in values)


def judge_whole(exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """Yield a finding where a later attempt sends only a part of the first one's body (RT9)."""
    if not exchanges or not exchanges[0].request.body:
        return
    whole = exchanges[0].request.body
    for again in exchanges[1:]:
        sent = again.request.body
        if len(sent) < len(whole) and sent in whole:
            yield Finding(
                "RT9", "sends a part of the body when it sends again",
                expected=f"{len(whole)} bytes, as at first", actual=f"{len(sent)} of them",
                witness=(exchanges[0].number, again.number), cause="body:part",
            )  # fmt: skip
            return


def judge_multiplied(allowed: int, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    """Yield a finding where a call is sent a multiple of the allowed times (RT22).

    Two loops of retries, one inside the other, multiply: the client's and its transport's.
    """
    sent = len(exchanges)
    if allowed > 1 and sent > allowed and sent % allowed == 0:
        yield Finding(
            "RT22", "multiplies its retries by those of the transport below it",
            expected=f"at most {allowed} attempts",
            actual=f"{sent} attempts: {sent // allowed} times {allowed}",
            witness=tuple(e.number for e in exchanges), cause="attempts:multiplied",
        )  # fmt: skip


def judge_maximum(
    said: RetryAfter, wish: float, waits: Sequence[float], raised: bool
) -> Iterator[Finding]:
    """Yield a finding where a wish above the declared maximum is not handled as declared (RA6)."""
    assert said.max is not None
    waited = waits[0] if waits else None
    good = {
        "fail": waited is None and raised,
        "clamp": waited is not None and abs(waited - said.max) <= max(SLACK, 0.1 * said.max),
        "wait": waited is not None and waited >= wish - SLACK,
        "ignore": waited is not None and waited < min(wish, said.max) / 2,
        None: waited is None or waited >= said.max - SLACK,
    }[said.on_exceed]
    if not good:
        yield Finding(
            "RA6", "does not treat a wish to wait too long as declared",
            expected=f"{said.on_exceed or 'wait or fail'} above {said.max:g} s "
            f"({said.basis}: {said.source})",
            actual="no further attempt" if waited is None else f"a wait of {waited:.1f} s",
            basis=said.basis, cause=f"maximum:{said.on_exceed}",
        )  # fmt: skip


def judge_order(
    requirement: str, first: str, second: str, asked: tuple[float, float], waited: float
) -> Iterator[Finding]:
    """Yield a finding where a wait follows the second of two wishes, and not the first.

    `asked` are the seconds that the first and the second ask for, far apart. What keeps to
    neither is another requirement's business.
    """
    wanted, other = asked
    followed = other - SLACK <= waited
    if wanted > other:
        followed = followed and waited < wanted - SLACK
    if followed:
        claim = WrongOrder(first, second, wanted, other, waited)
        yield Finding.of(requirement, claim, Basis.ASSUMED)


def judge_spread(wish: float, waits: Sequence[float]) -> Iterator[Finding]:
    """Yield a finding where clients that were told the same come back together (RA10)."""
    obeyed = [w for w in waits if w >= wish - SLACK]
    if len(obeyed) >= 8 and len({round(w, 4) for w in obeyed}) == 1:
        claim = NoSpread(wish, len(obeyed), obeyed[0])
        yield Finding.of("RA10", claim, Basis.ASSUMED)
