"""The backend suite's cases: how one is registered, and what is done around every one of them.

A case drives the subject and yields findings. Around it: its exchanges are attributed to it,
findings that came before it had to give up are kept, and each finding gets its timeline and a
command that plays it again.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from conformance.backend import repeating, witnesses
from conformance.backend.words import ROLES
from conformance.cases import Function, Registry, Select
from conformance.history import Exchange
from conformance.oracles.found import told
from conformance.plural import many
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Operation

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

LOOKING_BACK = ("contract.every-answer",)
"""Cases that send nothing: they look back, and so come after all others."""
FINDINGS_MAX = 60
"""Findings kept of one case instance: what breaks everything needs no longer list."""


class BackendRegistry(Registry):
    """Cases of this suite; registering one again (a reloaded module) replaces it."""

    def case(
        self,
        id: str,
        *requirements: str,
        each: Select | None = None,
        modes: tuple[str, ...] = ("",),
    ) -> Callable[[Function], Function]:
        """Register a case; see `Registry.case`."""
        register = super().case

        def decorate(function: Function) -> Function:
            self.cases.pop(id, None)
            return register(id, *requirements, each=each, modes=modes)(_around(id, function))

        return decorate


CASES = BackendRegistry("backend")


def _around(id: str, function: Function) -> Function:
    @functools.wraps(function)
    def run(subject: BackendSubject, **arguments: Any) -> Iterable[Finding]:
        operation: Operation | None = arguments.get("operation")
        if id not in LOOKING_BACK:
            subject.in_time()  # else a case would prepare for minutes what it may not send
        subject.enter(f"{id}[{operation.id}]" if operation else id)
        findings: dict[tuple[str, str, str | None], Finding] = {}
        try:
            for each in function(subject, **arguments):
                findings.setdefault((each.requirement, each.cause, each.operation), each)
                if len(findings) >= FINDINGS_MAX:
                    break
        except (Inconclusive, NotApplicable):
            if not findings:
                raise
        finally:
            subject.enter("clean-up")
            subject.world.tidy()
        return [_told(subject, id, each) for each in findings.values()]

    return run


def _told(subject: BackendSubject, case: str, finding: Finding) -> Finding:
    """Return the finding with what was said on the wire, and how to see it again."""
    shown = witnesses.shown(subject, finding)
    start = shown[0].sent if shown else 0.0
    lines = tuple(line(each, start, subject.redacted) for each in shown)
    line_, program = repeating.again(subject, finding, f"{finding.requirement}: {finding.message}")
    return finding.at(
        timeline=lines,
        replay=_again(subject, case),
        evidence=witnesses.told_in_full(subject, shown),
        curl=line_,
        reproduction=program,
    )


def _again(subject: BackendSubject, case: str) -> str:
    """Return the command that runs a case again: every key by its name, every other option."""
    keys = [
        '--api-key "$KEY"' if name == "a"
        else f'--api-key {f"{name}=" if name in ROLES else ""}"$KEY_{name.upper()}"'
        for name in subject.keys
    ]  # fmt: skip
    quota = [f"--quota {subject.quota.q}/{subject.quota.w:g}"] if subject.quota else []
    also = [f"--also {each.api_name}={each.base_url}" for each in subject.siblings]
    flags = [f"--{name}" for name in ("deep", "fast") if getattr(subject, name)]
    if subject.limits.read_only:
        flags.append("--read-only")
    if subject.restart is not None:
        flags.append('--restart-command "$RESTART"')
    where = f"--base-url {shlex.quote(subject.base_url)} --api {shlex.quote(subject.api_name)}"
    words = (where, *keys, *quota, *also, *flags, f"--case {case}", f"--seed {subject.seed}")
    return f"memconform backend {' '.join(words)}"


def line(exchange: Exchange, start: float = 0.0, hidden: Callable[[str], str] = str) -> str:
    """Return one exchange as one line: when, who, what, how it ended, how long it took.

    `hidden` takes keys out before anything is cut off.
    """
    took = (exchange.received or exchange.sent) - exchange.sent
    target = hidden(exchange.request.target)
    target = target if len(target) <= 100 else target[:97] + "..."
    who = f"[{exchange.principal}] " if exchange.principal else "[no key] "
    body = f" ({many(len(exchange.request.body), 'byte')})" if exchange.request.body else ""
    return (
        f"{exchange.sent - start:+8.3f} s {who}{exchange.request.method} {target}{body} -> "
        f"{told(exchange)} after {took * 1000:.1f} ms"
    )
