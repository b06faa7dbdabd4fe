"""From options to judged subjects: the one way in for the command line and for pytest.

Options arrive as words; what leaves are `SubjectEntry`s. A mistake in an option is `Usage`, said
before anything is sent.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

import specs
from conformance.cases import Case, CaseResult, Interrupted, Subject, execute
from conformance.progress import Reporter
from conformance.report.notes import notes
from conformance.report.results import SubjectEntry, summarise
from conformance.verdict import Blame, Verdict
from specs.catalogue import requirements

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

Get = Callable[[str], Any]
Close = Callable[[Sequence[CaseResult], float], SubjectEntry]
Take = Callable[[Case, "specs.Operation | None", str], CaseResult]
"""Runs one instance of a case."""


@dataclass(frozen=True)
class Session:
    """A subject as pytest takes it through a suite, case by case."""

    subject: Subject
    suite: str
    take: Take
    close: Close
    """Closes the subject and makes its entry of the results and the seconds that they took."""


class Stopped(KeyboardInterrupt):
    """Judging was ended from outside; `subjects` holds what is known of each until then."""

    def __init__(self, subjects: Sequence[SubjectEntry]) -> None:
        super().__init__()
        self.subjects = tuple(subjects)


class Usage(ValueError):
    """What was asked for cannot be done; the message says why and what to type instead."""

    blame = Blame.USAGE


def for_pytest(suite: str, option: Get) -> Session:
    """Return a subject, ready to be taken through a suite.

    Raises Usage where options are missing or wrong.
    """
    if suite == "backend":
        return _backend_for_pytest(option)
    if suite == "sdk":
        return _sdk_for_pytest(option)
    raise Usage(f"there is no suite {suite!r}")


def order(suite: str) -> Sequence[str]:
    """Return the ids of a suite's cases in the order in which they should run."""
    return [case.id for case in import_module(f"conformance.{suite}").cases()]


def contract(source: str) -> specs.Contract:
    """Return a contract. Raises Usage where there is no such spec."""
    try:
        return specs.load(source)
    except specs.SpecError as error:
        raise Usage(str(error)) from error


def _url(text: str | None) -> str:
    if not text:
        raise Usage("no backend to judge: give --base-url http://HOST:PORT/PATH")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Usage(
            f"--base-url {text!r} is no URL of a backend; it looks like http://HOST:PORT/PATH"
        )
    return text.rstrip("/")


def backend(options: Mapping[str, Any]) -> BackendSubject:
    """Return the backend that options describe; asks it for nothing yet."""
    from conformance.backend import words
    from conformance.backend.subject import BackendSubject

    if not options.get("api"):
        raise Usage(
            "no contract and no backend: give --api NAME "
            f"({', '.join(specs.names())}, or a spec's path) and --base-url URL"
        )
    if options.get("fast") and options.get("deep"):
        raise Usage("--fast and --deep ask for opposite things: give one of them")
    keys = [k for k in options.get("api-key") or [] if k]
    ca = options.get("ca")
    if ca and not Path(ca).exists():
        raise Usage(f"--ca {ca!r}: no such file")
    try:
        quota = words.quota(options.get("quota"))
        also = words.also(options.get("also") or [])
        restart = words.restart(options.get("restart-command"))
    except ValueError as error:
        raise Usage(str(error)) from error
    for name in also:
        contract(name)
    return BackendSubject(
        contract(options["api"]),
        _url(options.get("base-url")),
        keys,
        seed=options.get("seed") or 0,
        read_only=bool(options.get("read-only")),
        max_requests=options.get("max-requests"),
        max_seconds=options.get("max-seconds"),
        rate=options.get("rate"),
        ca=ca,
        deep=bool(options.get("deep")),
        fast=bool(options.get("fast")),
        quota=quota,
        also=also,
        restart=restart,
    )


def _backend_for_pytest(option: Get) -> Session:
    from conformance.backend.suite import Taker

    names = ("base-url", "api", "api-key", "read-only", "max-requests", "max-seconds", "rate",
             "ca", "deep", "fast", "seed", "quota", "also", "restart-command", "record",
             "resume", "sensitivity")  # fmt: skip
    options = {name: option(f"--{name}") for name in names}
    subject = backend(options)
    end = _recorded(subject, options)

    def close(results: Sequence[CaseResult], seconds: float) -> SubjectEntry:
        end()
        entry = _backend_entry(subject, results, seconds, _sensitivity(subject, options))
        sys.stderr.writelines(f"{entry.api}: {note}\n" for note in notes(entry))
        return entry

    return Session(cast(Subject, subject), "backend", Taker(subject, probes=True), close)


def _recorded(subject: BackendSubject, options: Mapping[str, Any]) -> Callable[[], None]:
    """Write the run down where that is wanted; return what ends the recording.

    Raises Usage where a recording that should be gone on with is none, or of another run.
    """
    from conformance.backend.recording import Recorder, RecordingError
    from conformance.backend.resuming import resume

    path, again = options.get("record"), options.get("resume")
    if not path:
        if again:
            raise Usage("--resume goes on with a recording: give its file with --record FILE")
        return lambda: None
    try:
        kept = resume(Path(path), subject) if again else []
    except (RecordingError, FileNotFoundError) as error:
        raise Usage(f"--resume: {error}") from error
    return Recorder(Path(path), subject, kept).close


def _sensitivity(subject: BackendSubject, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run would have noticed, where that is asked for."""
    if not options.get("sensitivity"):
        return {}
    from conformance.backend.sensitivity import measure

    made = measure(subject)
    return {
        "sensitivity": {
            "line": made.line(),
            "noticed": dict(made.noticed),
            "missed": list(made.missed),
            "absent": list(made.absent),
            "places": {kind: list(counted) for kind, counted in made.places.items()},
        }
    }


def judge_recording(path: Path, sensitivity: bool = False) -> SubjectEntry:
    """Judge a recording without a server. Raises Usage where it is none."""
    from conformance.backend import run
    from conformance.backend.recording import RecordingError
    from conformance.backend.recording import judge as play
    from conformance.backend.subject import SubjectError

    started = time.monotonic()
    try:
        subject = play(path)
    except (RecordingError, OSError, specs.SpecError) as error:
        raise Usage(f"{path}: {error}") from error
    try:
        results = run(subject, progress=Reporter(f"recording {subject.contract.api}"))
    except SubjectError as error:
        results = [CaseResult("backend.reachable", (), Verdict.INCONCLUSIVE, str(error))]
    details = _sensitivity(subject, {"sensitivity": sensitivity})
    return _backend_entry(subject, results, time.monotonic() - started, details)


def _backend_entry(
    subject: BackendSubject,
    results: Sequence[CaseResult],
    seconds: float,
    details: Mapping[str, Any],
) -> SubjectEntry:
    leftovers = subject.close()
    return summarise(
        "backend",
        subject.contract.api,
        urlsplit(subject.base_url).netloc,
        results,
        requirements(),
        base_url=subject.base_url,
        wall_seconds=seconds,
        details={**details, **({"leftovers": list(leftovers)} if leftovers else {})},
    )


def judge_backend(options: Mapping[str, Any]) -> SubjectEntry:
    """Run the backend suite and return what it found.

    A backend that is not there, or refuses the key, is one inconclusive case that says so.
    """
    from conformance.backend import run
    from conformance.backend.subject import SubjectError
    from conformance.backend.suite import selected

    try:
        selected(options.get("case") or None)
    except ValueError as error:
        raise Usage(f"--case: {error}") from error
    started = time.monotonic()
    subject = backend(options)
    progress = Reporter(f"backend {subject.contract.api}")
    end = _recorded(subject, options)
    try:
        results = run(
            subject, select=options.get("case") or None, seed=subject.seed, progress=progress
        )
    except SubjectError as error:
        results = [CaseResult("backend.reachable", (), Verdict.INCONCLUSIVE, str(error))]
    except Interrupted as stopped:
        seconds = time.monotonic() - started
        raise Stopped([_backend_entry(subject, stopped.finished, seconds, {})]) from None
    except BaseException:
        subject.close()
        raise
    finally:
        end()
    seconds = time.monotonic() - started
    return _backend_entry(subject, results, seconds, _sensitivity(subject, options))


def judge_sdks(
    subjects: Sequence[str],
    *,
    driver: str | None,
    api: str | None,
    seed: int,
    clock: str,
    select: Sequence[str],
    jobs: int | None,
    deep: bool = False,
    table: Path | None = None,
) -> list[SubjectEntry]:
    """Run the SDK suite on each subject, several at once, and return what was found of each."""
    from conformance.sdk.suite import Cut, run_release, selected

    if clock not in ("virtual", "real"):
        raise Usage(f"--clock {clock!r}: it takes virtual or real")
    if api is not None:
        contract(api)
    command = _command(driver)
    try:
        selected(select)
    except ValueError as error:
        raise Usage(f"--case: {error}") from error
    if table is not None:
        _tables(table, driver, api)
    if len(subjects) > 1:
        words = ["--seed", str(seed), "--clock", clock]
        given = (("--driver", driver), ("--api", api), ("--table", str(table) if table else ""))
        words += [w for o, v in given if v for w in (o, v)]
        words += [w for case in select for w in ("--case", case)]
        return _apart(subjects, [*words, *(["--deep"] if deep else [])], jobs)
    subject = subjects[0] if subjects else None
    try:
        return run_release(
            subject,
            command,
            api,
            seed=seed,
            clock=cast(Literal["virtual", "real"], clock),
            select=select or None,
            deep=deep,
            progress=Reporter(f"sdk {subject or driver}"),
            copies=jobs,
            table=table,
        )
    except Cut as cut:
        raise Stopped([cut.entry]) from None


def _command(driver: str | None) -> list[str] | None:
    """Return the words of a driver's command line. Raises Usage where it is none."""
    if driver is None:
        return None
    try:
        words = shlex.split(driver)
    except ValueError as why:
        raise Usage(f"--driver {driver!r} is no command line: {why}") from why
    if not words:
        raise Usage("--driver is empty: give the command that starts the driver")
    return words


def _tables(table: Path, driver: str | None, api: str | None) -> None:
    """Raise Usage where a file holds no table that can be judged by."""
    from conformance.drivers import tables

    if driver:
        raise Usage("--table and --driver are two ways of driving one SDK: give one of them")
    try:
        entries = tables.read(table)
    except ValueError as why:
        raise Usage(f"--table {why}; `memconform driver init` writes one") from why
    try:
        tables.with_contracts(entries, api)
    except (ValueError, specs.SpecError) as why:
        raise Usage(str(why)) from why


def _apart(subjects: Sequence[str], words: Sequence[str], jobs: int | None) -> list[SubjectEntry]:
    """Judge each subject in a process of its own, those that take longest first.

    One more at once than there are cores: a subject also waits, for what a fault holds back.
    """
    from conformance import run
    from conformance.drivers import tables

    def size(part: run.Part) -> int:
        entries = tables.for_package(part.name)
        return sum(len(e.table.operations) * len(e.table.clients) for e in entries)

    parts, reporters = [], {}
    for subject in subjects:
        name, _, version = subject.partition("==")
        entries = tables.for_package(name)
        api = entries[0].table.api if entries else "unknown"
        parts.append(run.Part("sdk", api, name, ("sdk", subject, *words), version))
        reporters[id(parts[-1])] = Reporter(f"sdk {subject}")

    def watch(everything: Sequence[run.Part]) -> None:
        for part in everything:
            if part.of and part.state == "running":
                reporters[id(part)](part.done, part.of, part.what)

    cores = cpu_count() or 1
    order = sorted(parts, key=size, reverse=True)
    judged, complete = run.apart(parts, order, jobs or cores + 1, watch)
    if not complete:
        raise Stopped(judged)
    return judged


def _sdk_for_pytest(option: Get) -> Session:
    from conformance.sdk import open_subject

    wanted, driver, api = option("--sdk"), option("--driver"), option("--api")
    if not wanted and not driver:
        raise Usage("no SDK to judge: give --sdk NAME==VERSION, or --driver COMMAND and --api NAME")
    if driver and not api:
        raise Usage("--driver needs --api: which contract is the SDK held to?")
    if api:
        contract(api)
    command = _command(driver)
    subject, close = open_subject(
        wanted, command, api, seed=option("--seed") or 0, deep=bool(option("--deep"))
    )
    return Session(subject, "sdk", partial(_take, subject), close)


def _take(subject: Subject, case: Case, operation: specs.Operation | None, mode: str) -> CaseResult:
    return execute(case, subject, operation, mode)


def judge_load(
    base_url: str,
    api: str,
    keys: Sequence[str],
    profile: str,
    *,
    seed: int,
    processes: int | None,
    out: Path | None,
    against: Path | None = None,
    quota: str | None = None,
    seconds: float | None = None,
) -> SubjectEntry:
    """Run a load profile and return what it found; options are as `load.runner.run` has them.

    The load package stands above this one, so it is found by its entry point, not imported.
    """
    contract(api)
    found = next(iter(entry_points(group="memconform.suites", name="load")), None)
    if found is None:
        raise Usage("the load package is not installed; reinstall memconform")
    runner: Any = import_module(found.value + ".runner")
    try:
        made: SubjectEntry = runner.run(
            base_url=_url(base_url),
            api=api,
            keys=keys,
            profile=profile,
            out=out,
            seed=seed,
            processes=processes,
            progress=Reporter(f"load {api}"),
            against=against,
            quota=quota,
            seconds=seconds,
        )
    except runner.ProfileError as why:
        raise Usage(str(why)) from why
    except runner.LoadError as why:
        if why.code == 2:
            raise Usage(str(why)) from why
        raise
    return made
