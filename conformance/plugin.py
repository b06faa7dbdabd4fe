"""The pytest plugin: options, collection of cases, and the result of a run.

Only options and collection belong here; a case runs through `cases.execute` exactly as it does
from the command line. Heavy imports stay inside functions: pytest loads this module at every
start, for suites that have nothing to do with memconform too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conformance.cases import Case, CaseResult
    from conformance.report.results import SubjectEntry
    from conformance.subjects import Session
    from specs import Operation

_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--base-url", {"metavar": "URL", "help": "backend to judge, its API's base path included"}),
    ("--api", {"metavar": "NAME", "help": "contract to judge by: an API's name or a spec's path"}),
    ("--api-key", {"metavar": "KEY", "action": "append", "default": [],
                   "help": "key to call with; a second one, of another tenant, shows isolation; "
                   "member=KEY, limited=KEY, free=KEY and expired=KEY name one without rights, "
                   "one to use up, one of a plan without features, one that is past (can be "
                   "given more than once)"}),
    ("--read-only", {"action": "store_true", "help": "send nothing that could change data"}),
    ("--max-requests", {"metavar": "N", "type": int, "help": "stop after N requests"}),
    ("--max-seconds", {"metavar": "S", "type": float, "help": "stop after S seconds"}),
    ("--rate", {"metavar": "R", "type": float, "help": "send at most R requests a second"}),
    ("--ca", {"metavar": "FILE", "help": "certificate authority of a TLS backend, PEM"}),
    ("--deep", {"action": "store_true", "help": "fuzz and search for minutes, not seconds"}),
    ("--fast", {"action": "store_true", "help": "seconds: nothing generated, few waits"}),
    ("--quota", {"metavar": "Q/W", "help": "limit that the backend has, where no header tells it"}),
    ("--also", {"metavar": "NAME=URL", "action": "append", "default": [],
                "help": "another API of the same product, which makes what this one shows"}),
    ("--restart-command", {"metavar": "COMMAND", "help": "restarts the backend, keeping its data"}),
    ("--record", {"metavar": "FILE", "help": "write the run down, for `memconform judge FILE`"}),
    ("--resume", {"action": "store_true", "help": "go on with the run that --record names"}),
    ("--sensitivity", {"action": "store_true", "help": "say what the run would have noticed"}),
    ("--sdk", {"metavar": "SUBJECT", "help": "NAME, NAME==VERSION, a wheel or a folder"}),
    ("--driver", {"metavar": "COMMAND", "help": "driver of an SDK in another language"}),
    ("--out", {"metavar": "DIR", "help": "write results.json and the reports there"}),
    ("--seed", {"metavar": "N", "type": int, "default": 0, "help": "seed of all choices (0)"}),
)  # fmt: skip


@dataclass
class State:
    """One session's subject and what its cases came to."""

    session: Session
    results: list[CaseResult] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


_STATE = pytest.StashKey[State]()
_MISUSE = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add memconform's options; one that another plugin has already is shared with it."""
    group = parser.getgroup("memconform", "conformance of memory APIs and their SDKs")
    for name, settings in _OPTIONS:
        try:
            group.addoption(name, dest=_dest(name), **settings)
        except ValueError:
            continue


def _dest(name: str) -> str:
    return "memconform_" + name.lstrip("-").replace("-", "_")


def option(config: pytest.Config, name: str) -> Any:
    """Return an option of ours, also where another plugin owns the name."""
    return config.getoption(_dest(name), None) or config.getoption(name, None)


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> list[pytest.Item] | None:
    """Collect a function that is registered as a case: one item for each of its instances."""
    case = getattr(obj, "case", None)
    if case is None or type(case).__module__ != "conformance.cases":
        return None
    from conformance.cases import instances
    from conformance.subjects import Usage

    if _MISUSE in collector.config.stash:
        return []
    try:
        state = _state(collector.config, case.suite)
    except Usage:
        return []
    made: list[pytest.Item] = []
    for operation, mode in instances(case, state.session.subject.contract):
        inside = "-".join(part for part in (operation.id if operation else "", mode) if part)
        made.append(
            CaseItem.from_parent(
                collector,
                name=f"{name}[{inside}]" if inside else name,
                case=case,
                operation=operation,
                mode=mode,
            )
        )
    return made


class CaseItem(pytest.Item):
    """One instance of a case."""

    def __init__(
        self, *, case: Case, operation: Operation | None, mode: str, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.case, self.operation, self.mode = case, operation, mode

    def runtest(self) -> None:
        """Run it, keep what it came to, and tell pytest in pytest's words."""
        from conformance.verdict import Verdict

        state = self.config.stash[_STATE]
        result = state.session.take(self.case, self.operation, self.mode)
        state.results.append(result)
        if result.verdict in (Verdict.FAIL, Verdict.ERROR):
            raise CaseFailed(result)
        if result.verdict is not Verdict.PASS:
            pytest.skip(f"{result.verdict}: {result.reason}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """Return the findings in words; only a crash of ours shows a traceback."""
        if isinstance(excinfo.value, CaseFailed):
            return "\n".join(excinfo.value.lines())
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the case stands and what it is called."""
        return self.path, self.case.function.__code__.co_firstlineno, self.name


class CaseFailed(Exception):
    """Carries a failed case to pytest's report."""

    def __init__(self, result: CaseResult) -> None:
        super().__init__(result.name)
        self.result = result

    def lines(self) -> Iterator[str]:
        """Yield level, requirement, expected, actual, timeline and replay of each finding."""
        from conformance.verdict import binding
        from specs.catalogue import requirements

        if not self.result.findings:
            yield f"{self.result.verdict}: {self.result.reason}"
            yield from self.result.trace.splitlines()
        for finding in self.result.findings:
            level = binding(requirements()[finding.requirement].level, finding.basis)
            yield f"{level} {finding.requirement} ({finding.basis}): {finding.message}"
            if finding.expected is not None or finding.actual is not None:
                yield f"  expected: {finding.expected}"
                yield f"  actual:   {finding.actual}"
            yield from (f"  {line}" for line in finding.timeline)
            if finding.replay:
                yield f"  again:    {finding.replay}"


def _state(config: pytest.Config, suite: str) -> State:
    if _STATE not in config.stash:
        from conformance import subjects

        try:
            session = subjects.for_pytest(suite, lambda name: option(config, name))
        except subjects.Usage as error:
            config.stash[_MISUSE] = f"memconform: {error}"
            raise
        config.stash[_STATE] = State(session)
    return config.stash[_STATE]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run cases in their suite's own order; stop here where options do not allow to run them."""
    if _MISUSE in config.stash:
        pytest.exit(config.stash[_MISUSE], returncode=2)
    if _STATE not in config.stash:
        return
    from conformance import subjects

    order = {case: n for n, case in enumerate(subjects.order(config.stash[_STATE].session.suite))}
    items.sort(key=lambda i: order.get(i.case.id, len(order)) if isinstance(i, CaseItem) else -1)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the result and set memconform's exit code."""
    state = session.config.stash.get(_STATE, None)
    if state is None:
        return
    entry = _close(state)
    if session.config.option.collectonly:
        return
    from conformance.report.exit import Exit, decide
    from conformance.report.run import write_run

    results = write_run(
        (entry,),
        started=state.began,
        seconds=time.monotonic() - state.started,
        seed=option(session.config, "--seed") or 0,
        command=["pytest", *sys.argv[1:]],
        secrets=option(session.config, "--api-key") or [],
        complete=exitstatus != pytest.ExitCode.INTERRUPTED,
        out=option(session.config, "--out"),
    )
    decision = decide(results)
    session.config.stash[_LAST] = f"memconform: exit {int(decision.code)}: {decision.reason}"
    session.exitstatus = Exit(decision.code)


_LAST = pytest.StashKey[str]()


def _close(state: State) -> SubjectEntry:
    made: SubjectEntry = state.session.close(state.results, time.monotonic() - state.started)
    return made


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say in one line what the exit code means."""
    line = config.stash.get(_LAST, None)
    if line:
        terminalreporter.write_line(line)
