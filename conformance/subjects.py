"""From options to judged subjects: the one way in for the command line and for pytest.

Options arrive as words; what leaves are `SubjectEntry`s. A mistake in an option is `Usage`, said
before anything is sent.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import specs
from conformance.backend.trust import TIMEOUT, Trust, TrustError
from conformance.cases import Case, CaseResult, Interrupted, Subject
from conformance.clock import monotonic
from conformance.foreign import terminal
from conformance.options import Given, at, secrets
from conformance.progress import Reporter
from conformance.redaction import redactor
from conformance.report.notes import notes
from conformance.report.results import SubjectEntry, summarise, vocabulary
from conformance.verdict import Blame, Verdict
from specs.catalogue import requirements
from specs.exclusions import chosen
from specs.proxies import ProxyTrouble
from specs.reading import joined

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject
    from conformance.report.results import Results

Close = Callable[[Sequence[CaseResult], float], SubjectEntry]
Take = Callable[[Case, "specs.Operation | None", str], CaseResult]
"""Runs one instance of a case."""


@dataclass(frozen=True)
class Lane:
    """One contract of what is judged, and what runs its cases."""

    subject: Subject
    take: Take


@dataclass(frozen=True)
class Session:
    """What pytest takes through a suite, case by case: a release may hold several contracts."""

    lanes: tuple[Lane, ...]
    suite: str
    close: Close
    """Closes the subjects and makes their entry of the results and the seconds that they took."""
    secrets: tuple[str, ...] = ()
    """What no output may show."""


class Stopped(KeyboardInterrupt):
    """Judging was ended from outside; `subjects` holds what is known of each until then."""

    def __init__(self, subjects: Sequence[SubjectEntry]) -> None:
        super().__init__()
        self.subjects = tuple(subjects)


class Usage(ValueError):
    """What was asked for cannot be done; the message says why and what to type instead."""

    blame = Blame.USAGE
    code = 2
    """The exit code that it means."""


class Unjudged(Usage):
    """Nothing can be judged here and now, though nothing wrong was asked for."""

    blame = Blame.ENVIRONMENT
    code = 5


def for_pytest(suite: str, given: Given) -> Session:
    """Return what pytest takes through a suite; `given` are pytest's checked options.

    Raises Usage.
    """
    if suite == "backend":
        return _backend_for_pytest(given)
    if suite == "sdk":
        return _sdk_for_pytest(given)
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


def overlaid(given: Given) -> Given:
    """Return options whose `api` names its overlays too, as `specs.load` takes it."""
    if not given.get("overlay") or not given.get("api"):
        return given
    return {**given, "api": joined(given["api"], given["overlay"]), "overlay": []}


def backend(given: Given) -> BackendSubject:
    """Return the backend that options describe; asks it for nothing yet. Raises Usage."""
    from conformance.backend import words
    from conformance.backend.subject import BackendSubject

    given = overlaid(given)
    if not given.get("api"):
        raise Usage(
            "no contract and no backend: give --api NAME "
            f"({', '.join(specs.names())}, or a spec's path) and --base-url URL"
        )
    if not given.get("base-url"):
        raise Usage("no backend to judge: give --base-url http://HOST:PORT/PATH")
    if given.get("fast") and given.get("deep"):
        raise Usage("--fast and --deep ask for opposite things: give one of them")
    _no_words(given)
    try:
        restart = words.restart(given.get("restart-command"))
    except ValueError as error:
        raise Usage(f"--restart-command is no command line: {error}") from error
    also = words.also(given.get("also") or [])
    for name in also:
        contract(name)
    judged = contract(given["api"])
    try:
        return BackendSubject(
            judged,
            given["base-url"],
            given.get("api-key") or [],
            seed=given.get("seed") or 0,
            read_only=bool(given.get("read-only")),
            hostile=bool(given.get("allow-hostile")) or None,
            exclude=_left_out(judged, given),
            max_requests=given.get("max-requests"),
            max_seconds=given.get("max-seconds"),
            rate=given.get("rate"),
            timeout=given.get("timeout") or TIMEOUT,
            trust=Trust(given.get("ca"), bool(given.get("insecure"))),
            extra=tuple(words.header(each) for each in given.get("header") or []),
            deep=bool(given.get("deep")),
            fast=bool(given.get("fast")),
            quota=words.quota(given.get("quota")),
            also=also,
            restart=restart,
        )
    except TrustError as why:
        raise Usage(f"--ca {given.get('ca')}: {why}") from why
    except ProxyTrouble as why:
        raise Usage(str(why)) from why


def _no_words(given: Given) -> None:
    """Raise Usage if a key names no kind, or is a word that results hold anyway."""
    from conformance.backend import words

    for key in given.get("api-key") or []:
        if wrong := words.mistaken(str(key)):
            raise Usage(f"--api-key: {wrong}")
    held = vocabulary()
    for word in secrets(given):
        if {word.lower(), word.partition("=")[2].lower()} & held:
            raise Usage(
                "--api-key: this key is an ordinary word of results.json, so that no report could "
                "be kept free of it; give a key that nobody guesses"
            )


def _left_out(judged: specs.Contract, given: Given) -> dict[str, str]:
    """Return operation -> why it is not sent: by its contract, its name, or an option.

    Raises Usage where an option names an operation that there is not.
    """
    try:
        return chosen(judged, given.get("only") or [], given.get("exclude") or [])
    except ValueError as why:
        raise Usage(str(why)) from why


def _backend_for_pytest(given: Given) -> Session:
    from conformance.backend.suite import Taker, cases
    from conformance.cases import instances

    subject = backend(given)
    end = _recorded(subject, given)

    def close(results: Sequence[CaseResult], seconds: float) -> SubjectEntry:
        every = sum(1 for case in cases() for _ in instances(case, subject.contract))
        told = end(len(results) >= every)
        entry = _backend_entry(subject, results, seconds, {**_sensitivity(subject, given), **told})
        hidden = redactor(secrets(given))
        said = (terminal(hidden.hide(f"{entry.api}: {note}")) for note in notes(entry))
        sys.stderr.writelines(f"{line}\n" for line in said)
        return entry

    lane = Lane(cast(Subject, subject), Taker(subject, probes=True))
    return Session((lane,), "backend", close, secrets(given))


def _recorded(
    subject: BackendSubject, options: Mapping[str, Any]
) -> Callable[[bool], dict[str, str]]:
    """Write the run down where that is wanted; return what ends the recording.

    It is told whether the run came to its end, and gives details where it could not be written.

    Raises Usage where a recording that should be gone on with is none, or of another run.
    """
    from conformance.backend.recording import Recorder, RecordingError
    from conformance.backend.resuming import resume

    path, again = options.get("record"), options.get("resume")
    if not path:
        if again:
            raise Usage("--resume goes on with a recording: give its file with --record FILE")
        return lambda whole: {}
    try:
        kept = resume(Path(path), subject) if again else []
    except (RecordingError, FileNotFoundError) as error:
        raise Usage(f"--resume: {error}") from error
    if not again and Path(path).is_file() and Path(path).stat().st_size:
        raise Usage(
            f"--record: {path} is there already; give another file, or continue it with --resume"
        )
    recorder = Recorder(Path(path), subject, kept)

    def end(whole: bool) -> dict[str, str]:
        recorder.close(whole)
        return {"recording": recorder.trouble} if recorder.trouble else {}

    return end


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
    from conformance.backend.recording import RecordingError, lacking
    from conformance.backend.recording import judge as play
    from conformance.backend.subject import SubjectError

    started = monotonic()
    try:
        subject = play(path)
    except (RecordingError, OSError, specs.SpecError) as error:
        raise Usage(f"{path}: {error}") from error
    try:
        results = run(subject, progress=Reporter(f"recording {subject.contract.api}"))
    except SubjectError as error:
        results = [CaseResult("backend.reachable", (), Verdict.INCONCLUSIVE, str(error))]
    details = _sensitivity(subject, {"sensitivity": sensitivity})
    if why := lacking(path):
        told = f"the recording is not whole: {why}"
        details |= {"cut": told, "undecided": told}
    return _backend_entry(subject, results, monotonic() - started, details)


def _backend_entry(
    subject: BackendSubject,
    results: Sequence[CaseResult],
    seconds: float,
    details: Mapping[str, Any],
) -> SubjectEntry:
    from conformance.backend.grouping import grouped
    from conformance.backend.reach import unjudged

    results = grouped(subject.contract, subject.exchanges, results)
    leftovers = subject.close()
    shown: dict[str, Any] = {"foreign": subject.proof.details()} if subject.proof else {}
    shown |= {"let_go": subject.let_go} if subject.let_go else {}
    shown |= {"excluded": dict(subject.excluded)} if subject.excluded else {}
    shown |= {"leftovers": list(leftovers)} if leftovers else {}
    told = list(unjudged(subject.contract))
    shown |= {"unjudged": told} if told else {}
    return summarise(
        "backend",
        subject.contract.api,
        urlsplit(subject.base_url).netloc,
        results,
        requirements(),
        base_url=subject.base_url,
        wall_seconds=seconds,
        details={**details, **shown},
    )


def judge_backend(options: Given) -> SubjectEntry:
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
    started = monotonic()
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
        seconds, told = monotonic() - started, end(False)
        raise Stopped([_backend_entry(subject, stopped.finished, seconds, told)]) from None
    except BaseException:
        end(False)
        subject.close()
        raise
    seconds, told = monotonic() - started, end(True)
    return _backend_entry(subject, results, seconds, {**_sensitivity(subject, options), **told})


def judge_sdks(given: Given) -> list[SubjectEntry]:
    """Run the SDK suite on each subject, several at once, and return what was found of each."""
    given = overlaid(given)
    from conformance.sdk.suite import Cut, run_release, selected

    command = _driven(given)
    subjects, select = given["sdk"], given["case"]
    _warn_of_code(subjects)
    try:
        selected(select)
    except ValueError as error:
        raise Usage(f"--case: {error}") from error
    if len(subjects) > 1:
        return _apart(subjects, _again(given), given["jobs"])
    subject = subjects[0] if subjects else None
    try:
        if subject and not command and given["clock"] == "virtual" and not given.get("no-cache"):
            from conformance.sdk import kept

            return kept.judged(
                subject, api=given["api"], seed=given["seed"], select=select, deep=given["deep"],
                progress=Reporter(f"sdk {subject}"), table=given["table"],
            )  # fmt: skip
        return run_release(
            subject,
            command,
            given["api"],
            seed=given["seed"],
            clock=given["clock"],
            select=select or None,
            deep=given["deep"],
            progress=Reporter(f"sdk {subject or given['driver']}"),
            copies=given["jobs"],
            table=given["table"],
        )
    except Cut as cut:
        raise Stopped([cut.entry]) from None


def narrowed(given: Given, results: Results) -> Given:
    """Return options that judge again only what failed in an earlier run.

    Raises NothingFailed, and Usage where that run judged something else.
    """
    from conformance.rerun import NothingFailed, NotJudged, failed

    sdk = "sdk" in given
    wanted = given["sdk"] if sdk else [contract(overlaid(given)["api"]).api]
    try:
        found = {name: failed(results, "sdk" if sdk else "backend", name) for name in wanted}
    except NotJudged as why:
        raise Usage(f"--failed {given['failed']}: {why}") from why
    cases = list(dict.fromkeys(case for each in found.values() for case in each))
    if not cases:
        raise NothingFailed
    left = {"sdk": [name for name in wanted if found[name]]} if sdk else {}
    return {**given, **left, "case": cases, "failed": None}


def _warn_of_code(subjects: Sequence[str]) -> None:
    """Say once that what stands in a folder or an archive is built and run on this machine."""
    local = [each for each in subjects if Path(each).expanduser().exists()]
    if local:
        sys.stderr.write(
            f"memconform: the build and the code of {', '.join(map(terminal, local))} run on this "
            "machine, as you: judge only what you would install\n"
        )


def _again(given: Given) -> list[str]:
    """Return the command-line words of what was given, for a child that judges one of several."""
    made: list[str] = []
    for option in at("sdk"):
        value = given.get(option.key)
        if option.positional or option.key in ("out", "baseline", "jobs") or not value:
            continue
        for each in value if option.repeatable else [value]:
            made += [option.name] if option.flag else [option.name, str(each)]
    return made


def _driven(given: Given) -> list[str] | None:
    """Return the words of the driver's command line; None where a table drives. Raises Usage."""
    driver, api, table = given["driver"], given["api"], given["table"]
    if driver and not api:
        raise Usage("--driver needs --api: which contract is the SDK held to?")
    if api is not None:
        contract(api)
    command = _command(driver)
    if table is not None:
        _tables(table, driver, api)
    return command


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
    order = sorted(parts, key=run.size, reverse=True)
    judged, complete = run.apart(parts, order, jobs or cores + 1, watch)
    if not complete:
        raise Stopped(judged)
    return judged


def _sdk_for_pytest(given: Given) -> Session:
    from conformance.drivers.environment import EnvironmentUnavailable
    from conformance.drivers.process import DriverError
    from conformance.sdk import open_release

    if not given["sdk"] and not given["driver"]:
        raise Usage("no SDK to judge: give --sdk NAME==VERSION, or --driver COMMAND and --api NAME")
    command = _driven(given)
    try:
        release = open_release(
            given["sdk"], command, given["api"], seed=given["seed"], deep=given["deep"],
            table=given["table"],
        )  # fmt: skip
    except (EnvironmentUnavailable, DriverError) as why:
        raise Unjudged(str(why)) from why
    lanes = tuple(Lane(opened.subject, opened.take) for opened in release.opened)
    return Session(lanes, "sdk", release.close, secrets(given))


def _unreachable(given: Given) -> str:
    """Return why a backend cannot be tested at all, as `backend` would say it; '' where it can."""
    from conformance.backend.subject import SubjectError
    from conformance.backend.suite import probe
    from conformance.verdict import Inconclusive

    subject = backend({**given, "also": []})
    try:
        probe(subject)
    except SubjectError as why:
        return str(why)
    except Inconclusive:
        return ""
    finally:
        subject.wire.close()
    return ""


def judge_load(given: Given) -> SubjectEntry:
    """Run a load profile and return what it found.

    The load package stands above this one, so it is found by its entry point, not imported.
    """
    given = overlaid(given)
    api = given["api"]
    _left_out(contract(api), given)
    _no_words(given)
    found = next(iter(entry_points(group="memconform.suites", name="load")), None)
    if found is None:
        raise Usage("the load package is not installed; reinstall memconform")
    runner: Any = import_module(found.value + ".runner")
    try:
        runner.load_profile(given["load-profile"])
    except runner.ProfileError as why:
        raise Usage(str(why)) from why
    if gone := _unreachable(given):
        return summarise(
            "load", contract(api).api, f"{contract(api).api} under {given['load-profile']}",
            [CaseResult("load.reachable", (), Verdict.INCONCLUSIVE, gone)], requirements(),
            base_url=given["base-url"],
        )  # fmt: skip
    try:
        made: SubjectEntry = runner.run(
            given["base-url"], api, given["api-key"], given["load-profile"], given["out"],
            given["seed"], given["processes"], Reporter(f"load {api}"), given["against"],
            given["quota"], given["seconds"],
            runner.Reach(
                given["ca"], given["insecure"], tuple(given["header"]), given["timeout"],
                tuple(given["only"]), tuple(given["exclude"]),
            ),
        )  # fmt: skip
    except runner.LoadError as why:
        if why.code == 2:
            raise Usage(str(why)) from why
        raise
    return made
