"""The pytest plugin: options, collection of cases, and the result of a run.

Only options and collection belong here; a case runs through `cases.execute` exactly as it does
from the command line. Heavy imports stay inside functions: pytest loads this module at every
start, for suites that have nothing to do with memconform too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conformance.clock import monotonic, timestamp
from conformance.options import Given, Option, OptionError, at, checked

if TYPE_CHECKING:
    from conformance.cases import Case, CaseResult
    from conformance.report.results import SubjectEntry
    from conformance.subjects import Session
    from specs import Operation


@dataclass
class State:
    """One session's subject and what its cases came to."""

    session: Session
    given: Given
    results: list[CaseResult] = field(default_factory=list)
    started: float = field(default_factory=monotonic)
    began: str = field(default_factory=lambda: timestamp())


_STATE = pytest.StashKey[State]()
_MISUSE = pytest.StashKey[tuple[int, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add memconform's options; one that another plugin has already is shared with it."""
    group = parser.getgroup("memconform", "conformance of memory APIs and their SDKs")
    for row in at("pytest"):
        settings: dict[str, Any] = {"help": row.help_at("pytest").replace("%", "%%")}
        if row.flag:
            settings["action"] = "store_true"
        else:
            settings["metavar"] = row.metavar
        if row.repeatable:
            settings |= {"action": "append", "default": []}
        try:
            group.addoption(row.name_at("pytest"), dest=_dest(row), **settings)
        except ValueError:
            continue


def _dest(row: Option) -> str:
    return f"memconform_{row.identifier}"


def typed(config: pytest.Config, row: Option) -> Any:
    """Return what was typed for an option of ours, also where another plugin owns its name."""
    value = config.getoption(_dest(row), None) or config.getoption(row.name_at("pytest"), None)
    if not value and "pytest" in row.env:
        return os.environ.get(row.env["pytest"], "").split()
    return value


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
    for lane, each in enumerate(state.session.lanes):
        contract = each.subject.contract
        for operation, mode in instances(case, contract):
            about = operation.id if operation else ""
            if lane:
                about = f"{contract.api}:{about}" if about else contract.api
            inside = "-".join(part for part in (about, mode) if part)
            made.append(
                CaseItem.from_parent(
                    collector,
                    name=f"{name}[{inside}]" if inside else name,
                    case=case,
                    operation=operation,
                    mode=mode,
                    lane=lane,
                )
            )
    return made


class CaseItem(pytest.Item):
    """One instance of a case."""

    def __init__(
        self, *, case: Case, operation: Operation | None, mode: str, lane: int, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.case, self.operation, self.mode, self.lane = case, operation, mode, lane

    def runtest(self) -> None:
        """Run it, keep what it came to, and tell pytest in pytest's words."""
        from conformance.verdict import Verdict

        state = self.config.stash[_STATE]
        result = state.session.lanes[self.lane].take(self.case, self.operation, self.mode)
        state.results.append(result)
        if result.verdict is Verdict.ERROR or fails(result):
            raise CaseFailed(result)
        if result.verdict is Verdict.FAIL:
            # Below the bar: as memconform's exit code, so pytest's own verdict.
            told = _shown(state, "\n".join(CaseFailed(result).lines()))
            self.add_report_section("call", "memconform", told)
        elif result.verdict is not Verdict.PASS:
            pytest.skip(f"{result.verdict}: {result.reason}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """Return the findings in words; only a crash of ours shows a traceback."""
        if isinstance(excinfo.value, CaseFailed):
            return "\n".join(excinfo.value.lines())
        return str(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the case stands and what it is called."""
        return self.path, self.case.function.__code__.co_firstlineno, self.name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take keys out of what pytest shows of a case, JUnit included, and make it safe to show."""
    report = yield
    if isinstance(item, CaseItem):
        state = item.config.stash[_STATE]
        report.sections = [(name, _shown(state, text)) for name, text in report.sections]
        if isinstance(report.longrepr, tuple):
            path, line, reason = report.longrepr
            report.longrepr = (path, line, _shown(state, reason))
        elif report.longrepr is not None:
            report.longrepr = _shown(state, str(report.longrepr))
    return report


def _shown(state: State, text: str) -> str:
    """Return a text without keys, whose lines no terminal and no XML reader trips over."""
    from conformance.foreign import lines
    from conformance.redaction import redactor

    return lines(redactor(state.session.secrets).hide(text))


def fails(result: CaseResult) -> bool:
    """Return True if a case found what fails a run: a promise that a document states is broken."""
    from conformance.report.waiver import FailOn
    from conformance.verdict import binding
    from specs.catalogue import requirements

    levels = (binding(requirements()[f.requirement].level, f.basis) for f in result.findings)
    return any(map(FailOn.MUST.fails, levels))


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
            for shown in finding.evidence[-1:]:
                yield from (f"    {line}" for line in shown.short())
            if finding.curl:
                yield f"  shown by: {finding.curl}"
            if finding.replay:
                yield f"  again:    {finding.replay}"


def _state(config: pytest.Config, suite: str) -> State:
    if _STATE not in config.stash:
        from conformance import subjects

        try:
            given = checked("pytest", lambda row: typed(config, row))
            session = subjects.for_pytest(suite, given)
        except OptionError as error:
            config.stash[_MISUSE] = (2, f"memconform: {error}")
            raise subjects.Usage(str(error)) from error
        except subjects.Usage as error:
            config.stash[_MISUSE] = (error.code, f"memconform: {error}")
            raise
        config.stash[_STATE] = State(session, given)
    return config.stash[_STATE]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run cases in their suite's own order; stop here where options do not allow to run them."""
    if _MISUSE in config.stash:
        code, why = config.stash[_MISUSE]
        pytest.exit(why, returncode=code)
    if _STATE not in config.stash:
        return
    from conformance import subjects

    order = {case: n for n, case in enumerate(subjects.order(config.stash[_STATE].session.suite))}

    def place(item: pytest.Item) -> tuple[int, int]:
        if not isinstance(item, CaseItem):
            return -1, -1
        return item.lane, order.get(item.case.id, len(order))

    items.sort(key=place)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the result and set memconform's exit code."""
    state = session.config.stash.get(_STATE, None)
    if state is None:
        return
    entry = _close(state)
    if session.config.option.collectonly:
        return
    from conformance.docs import site
    from conformance.report import html
    from conformance.report.exit import Exit, decide
    from conformance.report.run import write_run

    results = write_run(
        (entry,),
        started=state.began,
        seconds=monotonic() - state.started,
        seed=state.given["seed"],
        command=["pytest", *sys.argv[1:]],
        secrets=state.session.secrets,
        complete=exitstatus != pytest.ExitCode.INTERRUPTED,
        out=state.given["out"],
    )
    if state.given["out"] is not None:
        site.beside(state.given["out"], html.explained(results))
    decision = decide(results)
    told = f"memconform: exit {int(decision.code)}: {decision.reason}"
    session.config.stash[_LAST] = _shown(state, told)
    session.exitstatus = Exit(decision.code)


_LAST = pytest.StashKey[str]()


def _close(state: State) -> SubjectEntry:
    made: SubjectEntry = state.session.close(state.results, monotonic() - state.started)
    return made


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say in one line what the exit code means."""
    line = config.stash.get(_LAST, None)
    if line:
        terminalreporter.write_line(line)
