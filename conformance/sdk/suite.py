"""Running the SDK suite: on one subject, on a release in its own environment, on any driver.

`run` runs cases on a subject that is already there. `run_release` makes environment, driver and
testbench, runs every contract that the release serves, and returns its one entry.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import specs
from conformance.cases import Case, CaseResult, Interrupted, execute, instances
from conformance.clock import monotonic
from conformance.drivers import tables
from conformance.drivers.environment import EnvironmentUnavailable, prepare
from conformance.drivers.hosting.table import Table
from conformance.drivers.process import DriverError, DriverProcess, host_command
from conformance.faults.classes import classes_for
from conformance.faults.testbench import Testbench
from conformance.progress import Progress
from conformance.report.results import SubjectEntry, finding_id, summarise
from conformance.sdk import parallel
from conformance.sdk.judging import CASES
from conformance.sdk.reproduce import Unwritable, lacking, script
from conformance.sdk.subject import KEY, SdkSubject
from conformance.verdict import Verdict
from specs import Contract, Operation
from specs.catalogue import requirements

MODULES = (
    "test_surface", "test_wire", "test_values", "test_responses", "test_spellings", "test_errors",
    "test_problems", "test_retries", "test_attempts", "test_async", "test_retry_after",
    "test_rate_limit", "test_pagination", "test_following", "test_robustness", "test_composed",
)  # fmt: skip
Clock = Literal["virtual", "real"]
LATE = "composed."
"""Cases that leave out what the others found."""


def cases() -> tuple[Case, ...]:
    """Return the cases of this suite in the order in which they should run, whoever asks first."""
    for name in MODULES:
        importlib.import_module(f"conformance.sdk.{name}")
    places = {name: number for number, name in enumerate(MODULES)}

    def place(case: Case) -> int:
        return places.get(case.function.__module__.rpartition(".")[2], len(places))

    return tuple(sorted(CASES, key=place))


def selected(select: Sequence[str] | None) -> list[Case]:
    """Return the cases whose id starts with one of `select`; all where nothing is selected.

    Raises ValueError where a selector fits nothing: a typo must not look like a pass.
    """
    every = cases()
    for start in select or ():
        if not any(case.id.startswith(start) for case in every):
            groups = dict.fromkeys(f"{case.id.split('.')[0]}." for case in every)
            raise ValueError(f"no case starts with {start!r}; there are: {', '.join(groups)}")
    return [c for c in every if not select or any(c.id.startswith(s) for s in select)]


def run(
    subject: SdkSubject,
    select: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    operations: Callable[[Case, Contract], Sequence[Operation]] | None = None,
) -> list[CaseResult]:
    """Run the suite, or the cases whose id starts with one of `select`, on one subject.

    `operations` says of each case on which of its operations it runs; by default on all.
    """
    subject.seed = seed
    return _in_turn(subject, _todo(subject, select, operations), progress)


def run_copies(
    subject: SdkSubject,
    another: parallel.Another,
    copies: int,
    select: Sequence[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[CaseResult]:
    """Run the suite on a subject and on copies of it at once.

    Cases that build on what all others found come after them, on the subject itself. Raises
    Interrupted, with all that was finished.
    """
    subject.seed = seed
    todo = _todo(subject, select)
    late = [t for t in todo if t[0].id.startswith(LATE)]
    early = [t for t in todo if not t[0].id.startswith(LATE)]
    results = parallel.run(subject, early, execute, another, copies, progress)
    try:
        return results + _in_turn(subject, late, progress)
    except Interrupted as stopped:
        raise Interrupted([*results, *stopped.finished]) from None


def _todo(
    subject: SdkSubject,
    select: Sequence[str] | None,
    operations: Callable[[Case, Contract], Sequence[Operation]] | None = None,
) -> list[parallel.Instance]:
    return [
        (case, operation, mode)
        for case in selected(select)
        for operation, mode in instances(case, subject.contract)
        if operations is None
        or operation is None
        or operation in operations(case, subject.contract)
    ]


def _in_turn(
    subject: SdkSubject, todo: Sequence[parallel.Instance], progress: Progress | None
) -> list[CaseResult]:
    results: list[CaseResult] = []
    try:
        for number, (case, operation, mode) in enumerate(todo):
            if progress is not None:
                what = f"{case.id} {operation.id if operation else ''}".strip()
                progress(number, len(todo), what)
            results.append(execute(case, subject, operation, mode))
    except KeyboardInterrupt:
        raise Interrupted(results) from None
    if progress is not None:
        progress(len(todo), len(todo), "done")
    return results


# --- releases and drivers -------------------------------------------------------------------------


class Cut(KeyboardInterrupt):
    """A release's run was ended from outside; `entry` holds what is known of it until then."""

    def __init__(self, entry: SubjectEntry) -> None:
        super().__init__()
        self.entry = entry


@dataclass(frozen=True)
class Target:
    """One contract that a release serves, and how its driver is started."""

    contract: Contract
    command: tuple[str, ...]
    table: Table | None = None
    """The driver table, where a Python package is judged."""


def run_release(
    subject: str | None,
    driver_command: Sequence[str] | None = None,
    api: str | None = None,
    *,
    seed: int = 0,
    clock: Clock = "virtual",
    select: Sequence[str] | None = None,
    deep: bool = False,
    progress: Progress | None = None,
    copies: int | None = None,
    table: str | Path | None = None,
) -> list[SubjectEntry]:
    """Judge a release that `uv` can install, or any driver by its command; return its entry.

    `deep` plays every fault on every operation. `copies`: of a driver whose waits take real time,
    so many run at once (None: `parallel.COPIES`). `table`: a file of driver tables, where none
    that ships serves. A release that serves several contracts is one entry: its first contract's
    name, and the others' operations under theirs (`memsy-control:me`). What cannot be installed
    or started is inconclusive, with the reason. Raises Cut where it is ended from outside.
    """
    started = monotonic()
    try:
        name, version, targets = served(subject, driver_command, api, clock, table)
    except EnvironmentUnavailable as why:
        return [unavailable(subject or "", api or "", str(why), monotonic() - started)]
    results: list[CaseResult] = []
    covered: list[dict[str, Any]] = []
    scripts: dict[str, str] = {}
    busy: dict[str, float] = {}
    cut = False
    with Testbench() as bench:
        for target in targets:
            try:
                made = _one(target, bench, name, version, targets[0].contract.api, clock)
            except DriverError as why:
                return [unavailable(name, target.contract.api, str(why),
                                    monotonic() - started, version)]  # fmt: skip
            with contextlib.closing(made):
                name = name or made.hello.sdk.name
                version = version or made.hello.sdk.version
                made.deep = deep
                try:
                    found = _found(target, made, copies, select, seed, progress)
                except Interrupted as stopped:
                    found, cut = list(stopped.finished), True
                first = target is targets[0]
                results += found if first else [_prefixed(r, target.contract.api) for r in found]
                covered.append(coverage(made))
                busy = {c: busy.get(c, 0.0) + made.busy.get(c, 0.0) for c in {*busy, *made.busy}}
                scripts = {**reproductions(made, target.table), **scripts}
            if cut:
                break
    wall = monotonic() - started
    entry = _entry(targets, name, version, results, covered, wall, subject, busy)
    entry.details.update(_origin(driver_command, table, api))
    entry = with_reproductions(entry, scripts, targets)
    if cut:
        raise Cut(entry)
    return [entry]


def _found(
    target: Target, made: SdkSubject, copies: int | None, select: Sequence[str] | None, seed: int,
    progress: Progress | None,
) -> list[CaseResult]:  # fmt: skip
    """Return what the cases came to on one contract of a release. Raises Interrupted."""
    if made.hello.clock == "virtual" or copies == 1:
        return run(made, select, seed, progress)
    another = functools.partial(_another, target, made)
    return run_copies(made, another, copies or parallel.COPIES, select, seed, progress)


def _entry(
    targets: Sequence[Target], name: str, version: str, results: Sequence[CaseResult],
    covered: Sequence[Mapping[str, Any]], wall: float, subject: str | None,
    busy: Mapping[str, float],
) -> SubjectEntry:  # fmt: skip
    return summarise(
        "sdk", targets[0].contract.api, name, results, requirements(), version=version,
        wall_seconds=wall,
        details={
            "subject": subject or "",
            "apis": [t.contract.api for t in targets],
            "coverage": list(covered),
            "speed": speed(results, busy),
        },
    )  # fmt: skip


def speed(results: Sequence[CaseResult], busy: Mapping[str, float]) -> dict[str, Any]:
    """Return what the virtual clock saved in the retry cases.

    Virtual seconds are what the SDK asked to wait; call seconds are the real ones from the
    beginning to the end of the calls that waited (`busy`: case -> seconds), with all that the SDK
    and the testbench did in them, as the driver measured them; wall seconds are the cases' own,
    with clients that are opened and judging.
    `ratio` is virtual to call seconds; None, with a note, where the SDK never waits.
    """
    waiting = [r for r in results if _waits(r.case)]
    virtual = sum(r.virtual_seconds for r in waiting)
    calls = sum(seconds for case, seconds in busy.items() if _waits(case))
    told = {
        "retry_virtual_seconds": round(virtual, 1),
        "retry_call_seconds": round(calls, 3),
        "retry_wall_seconds": round(sum(r.seconds for r in waiting), 3),
        "ratio": round(virtual / calls, 1) if virtual and calls else None,
    }
    return told if virtual else {**told, "note": "never waits"}


def _waits(case: str) -> bool:
    return case.startswith(("retry.", "retry-after."))


def served(
    subject: str | None, command: Sequence[str] | None, api: str | None, clock: Clock,
    table: str | Path | None = None,
) -> tuple[str, str, list[Target]]:  # fmt: skip
    """Return name, version and contracts of what is to be judged.

    Raises EnvironmentUnavailable, and ValueError where `table` is no file of tables or has none
    for the API that is asked for.
    """
    if command:
        contract = specs.load(api or "")
        return subject or "", "", [Target(contract, tuple(command))]
    environment = prepare(subject or "")
    entries = tables.read(Path(table)) if table else tables.for_package(environment.name)
    if not entries:
        raise EnvironmentUnavailable(
            f"no driver table for {environment.name!r}: nothing says which of its methods does "
            f"which operation. `memconform driver init {subject} --api NAME --to FILE` writes a "
            "first one, and `--table FILE` judges by it"
        )
    return environment.name, environment.version, [
        Target(
            contract,
            tuple(host_command(environment.python, e.path.resolve(), e.table.api, clock)),
            e.table,
        )
        for e, contract in tables.with_contracts(entries, api)
    ]  # fmt: skip


def _one(
    target: Target, bench: Testbench, name: str, version: str, reported_as: str, clock: Clock
) -> SdkSubject:
    made = SdkSubject(
        target.contract, _driver(target), bench, name, version, clock=clock,
        reported_as=reported_as,
    )  # fmt: skip
    try:
        hello = made.hello
    except DriverError:
        made.driver.stop()
        raise
    made.name, made.version = name or hello.sdk.name, version or hello.sdk.version
    return made


def _driver(target: Target) -> DriverProcess:
    client = target.contract.client
    keys = {o.env: KEY for o in (client.options if client else ()) if o.env}
    return DriverProcess(
        target.command, env=keys, exceptions=documented_exceptions(target.contract),
        apart=target.table is not None,
    )  # fmt: skip


@contextlib.contextmanager
def _another(target: Target, like: SdkSubject) -> Iterator[SdkSubject]:
    """Yield a subject like another one, with driver and testbench of its own, not yet started."""
    with Testbench() as bench:
        made = SdkSubject(
            like.contract, _driver(target), bench, like.name, like.version, clock=like.clock,
            reported_as=like.reported_as, deep=like.deep,
        )  # fmt: skip
        with contextlib.closing(made):
            yield made


def documented_exceptions(contract: Contract) -> tuple[str, ...]:
    """Return the names of all exception classes that a contract's error tables speak of."""
    tables_ = [o.errors for o in contract if o.errors is not None]
    names = [n for e in tables_ for n in (e.base, *(r.exception for r in e.map))]
    names += [b for e in tables_ for r in e.map for b in r.bases]
    return tuple(dict.fromkeys(names))


def _prefixed(result: CaseResult, api: str) -> CaseResult:
    def named(operation: str | None) -> str | None:
        return f"{api}:{operation}" if operation else operation

    findings = tuple(f.at(operation=named(f.operation), api=api) for f in result.findings)
    return replace(result, operation=named(result.operation) or api, findings=findings)


def unavailable(subject: str, api: str, why: str, wall: float, version: str = "") -> SubjectEntry:
    """Return the entry of a subject that could not be judged at all."""
    name, _, wanted = subject.partition("==")
    found = tables.for_package(name)
    api = api or (found[0].table.api if found else "unknown")
    return SubjectEntry(
        kind="sdk", api=api, name=name or "driver", version=version or wanted,
        verdict=Verdict.INCONCLUSIVE, wall_seconds=round(wall, 3),
        details={"subject": subject, "reason": why, "undecided": why},
    )  # fmt: skip


# --- reproductions --------------------------------------------------------------------------------


def reproductions(subject: SdkSubject, table: Table | None) -> dict[str, str]:
    """Return finding id -> stand-alone script, for all that a short script can show."""
    found = {}
    for (requirement, cause), witness in subject.witnesses.items():
        if table is None:
            break
        identity = finding_id(subject.reported_as, subject.name, requirement, cause)
        title = f"{subject.name} {subject.version}: {requirement} {cause} ({identity})"
        with contextlib.suppress(Unwritable):
            found[identity] = script(subject.contract, table, witness, title)
    return found


def with_reproductions(
    entry: SubjectEntry, scripts: Mapping[str, str], targets: Sequence[Target] = ()
) -> SubjectEntry:
    """Return an entry whose details hold the scripts of its findings."""
    named = [t.table for t in targets if t.table is not None]
    made = {f.id: lacking(named, f, f"{entry.name} {entry.version}") for f in entry.findings}
    kept = {name: text for name in made if (text := scripts.get(name) or made[name])}
    return entry.model_copy(update={"details": {**entry.details, "reproductions": kept}})


# --- coverage -------------------------------------------------------------------------------------


UNPLAYED = "not run: no case that was run plays it"


def coverage(subject: SdkSubject) -> dict[str, Any]:
    """Return the coverage table of one contract: operation × mode × fault class.

    Cells are counted; what was not run is listed by its reason, so that nothing is missing
    without one.
    """
    missing = {
        (o.id, m): _why(subject, o, m)
        for o in subject.contract
        for m in ("sync", "async")
        if m not in subject.modes(o)
    }
    rows: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    for operation in subject.contract:
        classes = classes_for(subject.contract, operation)
        for mode in ("sync", "async"):
            if (operation.id, mode) in missing:
                reasons[missing[operation.id, mode]] += len(classes)
                continue
            cells = [subject.ran.get((operation.id, mode, f.id), UNPLAYED) for f in classes]
            ran = sum(c == "run" for c in cells)
            reasons.update(c for c in cells if c != "run")
            rows.append(
                {"operation": operation.id, "mode": mode, "classes": len(classes), "run": ran}
            )
    return {
        "api": subject.contract.api,
        "run": sum(r["run"] for r in rows),
        "not_run": dict(sorted(reasons.items())),
        "operations": rows,
    }


def _why(subject: SdkSubject, operation: Operation, mode: str) -> str:
    client = subject.contract.client
    if mode == "async" and client is not None and client.asynchronous is None:
        return "the document promises no async client"
    if not subject.speaks(mode):
        return f"SDKs in {subject.hello.language} have no {mode} client"
    found = subject.hello.operations.get(operation.id)
    return f"cannot be called: {found.missing if found else 'unknown to the driver'}"


# --- for pytest -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """One contract of a release, ready for its cases."""

    target: Target
    subject: SdkSubject
    first: bool

    def take(self, case: Case, operation: Operation | None, mode: str) -> CaseResult:
        """Run one instance of a case, and name its operation as the release's entry does."""
        result = execute(case, self.subject, operation, mode)
        return result if self.first else _prefixed(result, self.target.contract.api)


@dataclass(frozen=True)
class Release:
    """A release with every contract that it serves, as pytest takes it through the suite."""

    opened: tuple[Opened, ...]
    bench: Testbench
    wanted: str | None
    origin: Mapping[str, Any]

    def close(self, results: Sequence[CaseResult], wall: float) -> SubjectEntry:
        """Close every contract's subject and return the release's entry of its results."""
        targets = [each.target for each in self.opened]
        covered = [coverage(each.subject) for each in self.opened]
        busy: Counter[str] = Counter()
        scripts: dict[str, str] = {}
        for each in self.opened:
            busy.update(each.subject.busy)  # adds floats too
            scripts = {**reproductions(each.subject, each.target.table), **scripts}
            each.subject.close()
        self.bench.close()
        first = self.opened[0].subject
        entry = _entry(
            targets, first.name, first.version, results, covered, wall, self.wanted, busy
        )
        entry.details.update(self.origin)
        return with_reproductions(entry, scripts, targets)


def open_release(
    subject: str | None,
    driver_command: Sequence[str] | None,
    api: str | None,
    *,
    seed: int = 0,
    deep: bool = False,
    table: str | Path | None = None,
) -> Release:
    """Return a release with every contract that it serves opened.

    Raises EnvironmentUnavailable, DriverError where a driver does not start.
    """
    name, version, targets = served(subject, driver_command, api, "virtual", table)
    bench = Testbench()
    opened: list[Opened] = []
    try:
        for target in targets:
            reported = targets[0].contract.api
            made = _one(target, bench, name, version, reported, "virtual")
            made.seed, made.deep = seed, deep
            opened.append(Opened(target, made, target is targets[0]))
    except DriverError:
        for each in opened:
            each.subject.close()
        bench.close()
        raise
    return Release(tuple(opened), bench, subject, _origin(driver_command, table, api))


def _origin(
    command: Sequence[str] | None, table: str | Path | None, api: str | None
) -> dict[str, Any]:
    """Return what `opened` needs besides name and version to have a subject again."""
    found: dict[str, Any] = {"driver": list(command)} if command else {}
    if api and api not in specs.names():
        found["spec"] = str(Path(api).resolve())
    return {**found, "table": str(Path(table).resolve())} if table else found


@contextlib.contextmanager
def opened(
    subject: str, api: str, driver: Sequence[str] | None = None, table: str | None = None
) -> Iterator[SdkSubject]:
    """Yield one contract of a release, or of what a driver drives, as a subject.

    `api`: a name, or the path of a spec. Raises EnvironmentUnavailable, DriverError where the
    driver does not start.
    """
    own = api if driver or (api not in specs.names() and Path(api).exists()) else None
    name, version, targets = served(subject, driver, own, "virtual", table)
    target = next((t for t in targets if t.contract.api == api), targets[0])
    with Testbench() as bench:
        made = _one(target, bench, name, version, targets[0].contract.api, "virtual")
        with contextlib.closing(made):
            yield made


@contextlib.contextmanager
def reference(
    contract: str, defects: Sequence[str] = (), exercised: str | None = None
) -> Iterator[SdkSubject]:
    """Yield the reference SDK of a contract as a subject, with defects switched on."""
    import sys

    command = [sys.executable, "-m", "conformance.reference.sdk", "--api", contract]
    for defect in defects:
        command += ["--defect", defect]
    if exercised:
        command += ["--exercised", exercised]
    with Testbench() as bench:
        made = _one(Target(specs.load(contract), tuple(command)), bench, "", "", "", "virtual")
        with contextlib.closing(made):
            yield made
