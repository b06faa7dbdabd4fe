"""Cases: what one is, how it is registered, how it is run, what it leaves behind.

A case is a plain function that drives a subject and returns findings. It may raise
`Inconclusive` or `NotApplicable`; anything else that it raises is an error of ours. The pytest
plugin and the command line run the same functions through `execute`, so they cannot differ.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from conformance.clock import Clock, SystemClock
from conformance.verdict import Blame, Finding, Inconclusive, Need, NotApplicable, Verdict, blame_of
from specs import Contract, Operation
from specs.sources import source


class Subject(Protocol):
    """What every case may ask of its subject. Suites add the means to drive it."""

    contract: Contract

    @property
    def exchanged(self) -> int:
        """How many exchanges this subject has taken part in so far."""

    @property
    def virtual_seconds(self) -> float:
        """Virtual time that has passed on the subject's clock so far; 0 on a real one."""


Select = Callable[[Contract], Iterable[Operation]]
Function = Callable[..., Iterable[Finding]]


@dataclass(frozen=True)
class Case:
    """One executable test of requirements, `errors.unknown-id`."""

    id: str
    suite: str
    requirements: tuple[str, ...]
    summary: str
    function: Function
    each: Select | None = None
    """Operations that it runs on, one by one; None: it runs once."""
    modes: tuple[str, ...] = ("",)
    """Ways of running it: `sync` and `async` for an SDK."""


@dataclass(frozen=True)
class CaseResult:
    """What one run of a case came to."""

    case: str
    requirements: tuple[str, ...]
    verdict: Verdict
    reason: str = ""
    blame: Blame | None = None
    """Whose mistake an error is; None for every other verdict."""
    trace: str = ""
    """The traceback of an error that is blamed on the harness."""
    need: Need | None = None
    """What would settle a case that is inconclusive; None where nobody knows."""
    operation: str | None = None
    mode: str = ""
    findings: tuple[Finding, ...] = ()
    exchanges: int = 0
    seconds: float = 0.0
    virtual_seconds: float = 0.0

    @property
    def name(self) -> str:
        """`case[operation-mode]`, unique in a run of one subject."""
        inside = "-".join(part for part in (self.operation, self.mode) if part)
        return f"{self.case}[{inside}]" if inside else self.case


class Interrupted(KeyboardInterrupt):
    """A run was ended from outside; `finished` holds what its cases came to until then."""

    def __init__(self, finished: Iterable[CaseResult]) -> None:
        super().__init__()
        self.finished = tuple(finished)


@dataclass
class Registry:
    """The cases of one suite, in the order defined."""

    suite: str
    cases: dict[str, Case] = field(default_factory=dict)

    def case(
        self,
        id: str,
        *requirements: str,
        each: Select | None = None,
        modes: tuple[str, ...] = ("",),
    ) -> Callable[[Function], Function]:
        """Register the decorated function; its docstring's first line is the case's sentence."""

        def register(function: Function) -> Function:
            if id in self.cases:
                raise ValueError(f"case {id!r} is registered twice")
            summary = (function.__doc__ or "").strip().splitlines()[0]
            made = Case(id, self.suite, requirements, summary, function, each, modes)
            self.cases[id] = made
            function.case = made  # type: ignore[attr-defined]
            return function

        return register

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases.values())


def instances(case: Case, contract: Contract) -> Iterator[tuple[Operation | None, str]]:
    """Yield each (operation, mode) that a case runs with on a contract; may be none."""
    operations: Iterable[Operation | None] = case.each(contract) if case.each else (None,)
    for operation in operations:
        for mode in case.modes:
            yield operation, mode


def execute(
    case: Case,
    subject: Subject,
    operation: Operation | None = None,
    mode: str = "",
    clock: Clock | None = None,
) -> CaseResult:
    """Run one instance of a case and return its result; never raises for the case's sake."""
    clock = clock or SystemClock()
    started, virtual, exchanged = clock.monotonic(), subject.virtual_seconds, subject.exchanged
    arguments: dict[str, Any] = {}
    if case.each is not None:
        arguments["operation"] = operation
    if case.modes != ("",):
        arguments["mode"] = mode
    findings: tuple[Finding, ...] = ()
    blame, trace, need = None, "", None
    try:
        findings = tuple(
            _filed(f, case, subject.contract, operation, mode)
            for f in case.function(subject, **arguments)
        )
        verdict, reason = (Verdict.FAIL if findings else Verdict.PASS), ""
    except Inconclusive as why:
        verdict, reason, need = Verdict.INCONCLUSIVE, str(why), why.need
    except NotApplicable as why:
        verdict, reason = Verdict.NOT_APPLICABLE, str(why)
    except Exception as error:
        verdict, blame, reason, trace = Verdict.ERROR, blame_of(error), *crash(error)
    return CaseResult(
        case=case.id,
        requirements=case.requirements,
        verdict=verdict,
        reason=reason,
        blame=blame,
        trace=trace,
        need=need,
        operation=operation.id if operation else None,
        mode=mode,
        findings=findings,
        exchanges=subject.exchanged - exchanged,
        seconds=clock.monotonic() - started,
        virtual_seconds=subject.virtual_seconds - virtual,
    )


LONGEST_TRACE = 12_000
"""Characters of a traceback that are kept: its end, which says most."""


def crash(error: BaseException) -> tuple[str, str]:
    """Return what an error says to a reader, and its traceback where it is a crash of ours."""
    if isinstance(getattr(error, "blame", None), Blame):
        return str(error), _trace(error) if blame_of(error) is Blame.HARNESS else ""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" ({Path(w.filename).name}:{w.lineno}, {w.name})" for w in where)
    return f"{type(error).__name__}: {error}{place}", _trace(error)


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-LONGEST_TRACE:]


def _filed(
    finding: Finding, case: Case, contract: Contract, operation: Operation | None, mode: str
) -> Finding:
    """Return a finding with what the case runner knows of it."""
    about = finding.operation or (operation.id if operation else None)
    return finding.at(
        case=case.id,
        operation=about,
        mode=finding.mode or mode,
        source=finding.source or source(contract, finding.requirement, about, finding.basis),
    )
