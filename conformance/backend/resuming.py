"""A recorded run that was cut off, gone on with: `--record FILE --resume`.

A case that the recording holds whole gets its recorded answers and sends nothing; the case in
which the run was cut off, and every one after it, is sent to the server under the same mark and
seed and written down after the rest. A case stands alone (it makes what it needs and removes it),
which is why some can be answered from a file and others from the server.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from conformance.backend.ownership import path_values
from conformance.backend.recording import (
    Head,
    Kept,
    RecordedClock,
    RecordingError,
    ReplayTransport,
    by_case,
    head_of,
    lines_of,
    read,
)
from conformance.backend.subject import BackendSubject
from conformance.backend.world import Made, created
from conformance.oracles.found import ok

OURS = ("probe", "clean-up")
"""What a run asks outside its cases: always asked anew."""


class Resumed:
    """Gives a subject, case by case, its recording or its server."""

    def __init__(self, subject: BackendSubject, kept: Sequence[Kept], suffix: str = "") -> None:
        self._subject = subject
        self.whole = frozenset(whole(kept))
        self._recorded = False
        self._live = (subject.wire, subject.clock)
        shift = subject.clock.monotonic() - max((k.answer.received for k in kept), default=0.0)
        answers = by_case([_shifted(k, shift) for k in kept])
        clock = RecordedClock(subject.clock.monotonic(), subject.clock.time())
        self._play = (ReplayTransport(answers, clock, suffix=suffix), clock)
        restart = subject.restart
        if restart is not None:
            subject.restart = lambda: None if self._recorded else restart()
        subject.entered = self

    def __call__(self, case: str) -> None:
        """Begin a case: from the recording where that holds it whole, else at the server."""
        subject = self._subject
        if not self._recorded:
            self._live = (subject.wire, subject.clock)  # a restart may have moved it
        self._recorded = case in self.whole
        subject.wire, subject.clock = self._play if self._recorded else self._live


def whole(kept: Sequence[Kept]) -> list[str]:
    """Return the case instances that a recording holds whole: all but the one it ends in."""
    cases = dict.fromkeys(k.case.partition("@")[0] for k in kept)
    return [case for case in cases if case not in OURS][:-1]


def resume(path: Path, subject: BackendSubject) -> list[str]:
    """Let a subject go on with a recording; return the lines of it that stay.

    Raises RecordingError where the file is no recording, or one of another run than the
    subject's: another API, seed, number of keys, or another way to run.
    """
    head, kept = read(path)
    mine = head_of(subject)
    for name in Head.__dataclass_fields__:
        if name in ("run_id", "base_url"):  # a server may listen elsewhere by now
            continue
        was, now = getattr(head, name), getattr(mine, name)
        if was != now:
            raise RecordingError(
                f"{path}: cannot be gone on with: it was recorded with {name} {_said(was)}, this "
                f"run has {_said(now)}; give the same again, or leave --resume out to begin anew"
            )
    subject.run_id = head.run_id
    cases = Resumed(subject, kept).whole
    subject.fresh_salt = secrets.token_hex(4)
    subject.salts = {c: next((k.salt for k in kept if k.case == c), "") for c in cases}
    for sibling in subject.siblings:
        sibling.run_id = head.run_id
        sibling.fresh_salt, sibling.salts = subject.fresh_salt, subject.salts
        Resumed(sibling, kept, f"@{sibling.api_name}")
    _inherit(subject, kept, cases)
    lines = lines_of(path)[1 : len(kept) + 1]
    return [line for line in lines if json.loads(line)["case"].partition("@")[0] in cases]


def _inherit(subject: BackendSubject, kept: Sequence[Kept], cases: frozenset[str]) -> None:
    """Take over what the part that was cut off created: some is deleted, the rest must be."""
    made: list[Made] = []
    for each in kept:
        exchange = each.exchange
        operation = subject.contract.operations.get((exchange and exchange.operation) or "")
        if exchange is None or operation is None or "@" in each.case or not ok(exchange):
            continue
        effect = operation.effect
        if effect is not None and effect.kind == "delete":
            path = urlsplit(exchange.request.target).path
            for value in path_values(operation, path):
                subject.mine.buried.add((effect.resource or "", value))
        elif each.case not in cases:
            made += created(operation, {}, exchange, exchange.principal or "a")
    for one in made:
        if (one.resource, one.id) not in subject.mine.buried:
            subject.world.adopt(one)


def _shifted(kept: Kept, seconds: float) -> Kept:
    """Move an answer to the present clock, which may have begun anew since."""
    answer = kept.answer
    moved = replace(answer, sent=answer.sent + seconds, received=answer.received + seconds)
    return replace(kept, answer=moved)


def _said(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
