"""Lanes: one client and one session, kept for many plays whose faults leave no trace in them.

Opening a client costs more than most plays. A fault that is a whole, well-framed answer leaves
client and connection as they were, so the next script can be played at the same ones; every other
fault gets a client of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance.faults.answers import Default
from conformance.faults.script import Instruction, Playback, Script, Stage
from conformance.faults.session import Session
from conformance.history import Exchange, Request
from specs import Operation

MOST = 40
"""Plays after which a lane is renewed: its session remembers everything."""
_HARMLESS_HEADERS = frozenset({"content-type", "retry-after", "x-request-id"})


def harmless(script: Script) -> bool:
    """True where a script leaves client and connections as they were."""
    return all(_whole(i) for i in script)


def _whole(instruction: Instruction) -> bool:
    effect = instruction.effect
    status = effect.status or 0
    return (
        effect.kind == "respond"
        and instruction.stage in (Stage.BEFORE_HANDLER, Stage.AFTER_COMMIT)
        and (200 <= status < 300 or 400 <= status < 600)
        and status not in (204, 205)
        and effect.framing == "length"
        and effect.after is None
        and effect.size is None
        and all(
            n.lower() in _HARMLESS_HEADERS or n.lower().startswith("x-") for n, _ in effect.headers
        )
    )


@dataclass
class Lane:
    """One client that is open on one session; scripts are exchanged between plays."""

    client: str = ""
    session: Session | None = None
    playback: Playback = field(default_factory=lambda: Playback(Script()))
    plays: int = 0
    _exchanges: int = 0
    _commits: Mapping[str, int] = field(default_factory=dict)

    def choose(self, operation: Operation | None, request: Request) -> Instruction | None:
        """Pick the instruction that a request meets; the testbench calls this."""
        playback = self.playback
        index = playback.next(operation.id if operation else None)
        return None if index is None else playback.script.instructions[index]

    def begin(self, script: Script, default: Default | None) -> Session:
        """Set the next script; what happens from now on belongs to it."""
        assert self.session is not None
        self.plays += 1
        self.playback = Playback(script)
        self.session.default = default
        self._exchanges = len(self.session.exchanges())
        self._commits = {name: len(stored) for name, stored in self.session.commits.items()}
        return self.session

    def exchanges(self) -> tuple[Exchange, ...]:
        """Return the exchanges of the present play."""
        assert self.session is not None
        return self.session.exchanges()[self._exchanges :]

    def commits(self) -> dict[str, list[Any]]:
        """Return what took effect in the present play."""
        assert self.session is not None
        found = {
            name: stored[self._commits.get(name, 0) :]
            for name, stored in self.session.commits.items()
        }
        return {name: stored for name, stored in found.items() if stored}
