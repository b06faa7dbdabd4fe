"""`memconform`: the commands, their options, and nothing else.

Each command turns words into values, calls one function, and ends through `finish`, so that all
of them write the same files and use the same exit codes. Imports of a command stay inside it:
`memconform --help` must not wait for engines that it does not start.
"""

from __future__ import annotations

import codecs
import importlib.metadata
import io
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from conformance import outlets
from conformance.clock import monotonic, timestamp
from conformance.commanding import command, root
from conformance.contained import sweep
from conformance.options import Given, secrets
from conformance.progress import INTERRUPTED

if TYPE_CHECKING:
    from conformance.report.results import Results, SubjectEntry
    from conformance.report.waiver import Baseline

app = typer.Typer(
    name="memconform",
    help="Conformance and load tests for memory-as-a-service APIs and the SDKs that call them.\n\n"
    "Exit codes: 0 conforms, 1 does not, 2 usage, 3 an error of memconform's own, "
    "4 the baseline is out of date, 5 too little evidence.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
spec_app = typer.Typer(help="Check specs and what is generated from them.", no_args_is_help=True)
baseline_app = typer.Typer(help="Keep the list of known deviations.", no_args_is_help=True)
driver_app = typer.Typer(help="Drive an SDK that has no driver yet.", no_args_is_help=True)
app.add_typer(spec_app, name="spec")
app.add_typer(baseline_app, name="baseline")
app.add_typer(driver_app, name="driver")
ci_app = typer.Typer(help="Set memconform up in a pipeline.", no_args_is_help=True)
app.add_typer(ci_app, name="ci")

# A file or a pipe has no width of its own; tables need more than the 80 columns assumed then.
console = Console(highlight=False, width=None if sys.stdout and sys.stdout.isatty() else 160)
errors = Console(stderr=True, highlight=False)


def main() -> None:
    """Run the command line; the only place that ends the process."""
    _plain_signs()
    outlets.install()
    sweep()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as a job in the background has it
        signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except KeyboardInterrupt:
        errors.print("memconform: interrupted")
        raise SystemExit(3) from None
    except SystemExit as leaving:
        # The command-line library leaves with 130 after Ctrl-C; an interrupted run is 3 here.
        raise SystemExit(3 if leaving.code == 130 else leaving.code) from None
    except OSError as error:
        errors.print(f"memconform: {error}", markup=False, soft_wrap=True)
        raise SystemExit(3) from None
    except Exception as error:
        # Python would exit 1 here, and 1 means that a subject does not conform.
        traceback.print_exc()
        errors.print(
            f"memconform: an error of its own: {type(error).__name__}: {error}", markup=False
        )
        raise SystemExit(3) from None


_PLAIN = {"✓": "+", "✗": "x", "·": ".", "–": "-", "—": "-", "…": "...", "→": "->", "×": "x",
          "’": "'", "§": "section"}  # fmt: skip
"""Signs of ours -> what a stream writes that cannot encode them."""


def _plain_signs() -> None:
    """Let no stream end a run because it cannot encode a sign: ASCII and Latin-1 get plain ones."""

    def plain(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        text = error.object[error.start : error.end]
        return "".join(_PLAIN.get(c, "?") for c in text), error.end

    codecs.register_error("memconform", plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="memconform")


def _interrupt(*_: object) -> None:
    INTERRUPTED.set()
    raise KeyboardInterrupt


def _usage(message: object) -> typer.Exit:
    errors.print(f"memconform: {message}", markup=False, soft_wrap=True)
    return typer.Exit(2)


@contextmanager
def _usage_errors() -> Iterator[None]:
    """Turn mistakes in what was asked for into exit 2 and one sentence."""
    from conformance.report.baseline import BaselineError
    from conformance.subjects import Usage
    from specs import SpecError

    try:
        yield
    except (Usage, SpecError, BaselineError) as error:
        raise _usage(error) from None


def finish(results: Results, given: Given, baseline: Baseline | None = None) -> None:
    """Write a run's files, print its report, and leave with its exit code."""
    from conformance.docs import site
    from conformance.report import html, text, write
    from conformance.report.baseline import beside, compare
    from conformance.report.exit import decide
    from conformance.report.waiver import FailOn

    accepted = baseline or results.baseline
    bar = FailOn(given["fail-on"]) if given["fail-on"] else results.fail_on
    results = results.model_copy(update={"baseline": accepted, "fail_on": bar})
    comparison = compare(results, accepted) if accepted is not None else None
    if given["against"] is not None and any(s.kind != "load" for s in results.subjects):
        comparison = beside(results, _read(given["against"]))
    decision = decide(results, comparison)
    out = given["out"]
    if out is not None:
        write.reports(out, results, decision, comparison)
        site.beside(out, html.explained(results))
    text.show(console, results, decision, comparison, out)
    raise typer.Exit(int(decision.code))


def _judged(make: Callable[[], Sequence[SubjectEntry]], given: Given) -> None:
    """Run one suite and finish; what every judging command but `run` does.

    Ended from outside it leaves what is known until then, marked as not complete.
    """
    from conformance.report import baseline as known
    from conformance.report import run as report_run
    from conformance.report import write
    from conformance.subjects import Stopped

    out = given["out"]
    with _usage_errors():
        accepted = known.read(given["baseline"]) if given["baseline"] else None
        if out is not None:
            write.probe(out)
        began, started = timestamp(), monotonic()
        complete = True
        try:
            subjects = make()
        except Stopped as stopped:
            subjects, complete = stopped.subjects, False
    cut = next((str(s.details["cut"]) for s in subjects if s.details.get("cut")), "")
    results = report_run.make(
        _located(subjects, given),
        started=began,
        seconds=monotonic() - started,
        seed=given.get("seed", 0),
        command=["memconform", *sys.argv[1:]],
        secrets=secrets(given),
        budget=report_run.spent_at_most(given),
        complete=complete and not cut,
        reason=cut if complete else "",
    )
    finish(results, given, accepted)


def _located(subjects: Sequence[SubjectEntry], given: Given) -> Sequence[SubjectEntry]:
    """Note the file of an API of the user's own: reports point at its lines."""
    spec = str(given.get("api") or "")
    if not spec.endswith((".yaml", ".yml", ".json")) or "://" in spec:
        return subjects
    return [s.model_copy(update={"details": {**s.details, "spec": spec}}) for s in subjects]


@command(app, "run", short_help="Judge all that ships: backend, SDK releases, load.")
def run(given: Given) -> None:
    """Judge the embedded backend, the published SDKs and load runs, and write one report."""
    from conformance import run as runs
    from conformance.live import watching
    from conformance.report import baseline as known
    from conformance.report import write
    from conformance.rerun import NothingFailed

    with _usage_errors():
        accepted = None
        if not given["no-baseline"]:
            accepted = known.read(given["baseline"] or known.SHIPPED)
    write.probe(given["out"])
    kinds = [kind for kind in runs.KINDS if not given["only"] or kind in given["only"]]
    earlier = _read(given["failed"]) if given["failed"] is not None else None
    try:
        with watching(console) as watch:
            results = runs.run(
                kinds,
                seed=given["seed"],
                jobs=given["jobs"],
                command=["memconform", *sys.argv[1:]],
                watch=watch,
                fast=given["fast"],
                earlier=earlier,
                cached=not given["no-cache"],
            )
    except NothingFailed:
        raise _nothing(given) from None
    finish(results, given, accepted)


def _narrowed(given: Given) -> Given:
    """Return the options of one suite; with --failed, those that judge again what failed."""
    from conformance import subjects
    from conformance.rerun import NothingFailed

    if given["failed"] is None:
        return given
    if given["case"]:
        raise _usage("--failed and --case both choose cases: give one of them")
    try:
        with _usage_errors():
            return subjects.narrowed(given, _read(given["failed"]))
    except NothingFailed:
        raise _nothing(given) from None


def _nothing(given: Given) -> typer.Exit:
    errors.print(f"memconform: nothing failed in {given['failed']}: nothing to judge again",
                 markup=False, soft_wrap=True)  # fmt: skip
    return typer.Exit(0)


@command(app, "backend", short_help="Judge a backend: does it keep its document?")
def backend(given: Given) -> None:
    """Judge a backend at a base URL: does it keep what its document promises?"""
    from conformance import subjects

    given = _narrowed(given)
    _judged(lambda: [subjects.judge_backend(given)], given)


@command(app, "judge")
def judge(given: Given) -> None:
    """Judge a recorded run again, without a server."""
    from conformance import subjects

    _judged(lambda: [subjects.judge_recording(given["recording"], given["sensitivity"])], given)


@command(app, "sdk", short_help="Judge SDKs: do they do what they promise?")
def sdk(given: Given) -> None:
    """Judge SDKs: do they retry, map errors, read headers and page as their documents promise?"""
    from conformance import subjects

    if not given["sdk"] and not given["driver"]:
        raise _usage("name an SDK (`memconform sdk NAME==VERSION`) or give --driver and --api")
    given = _narrowed(given)
    _judged(lambda: subjects.judge_sdks(given), given)


@command(app, "load")
def load(given: Given) -> None:
    """Put load on a backend and judge every answer while it lasts."""
    from conformance import subjects

    _judged(lambda: [subjects.judge_load(given)], given)


@command(app, "report")
def report(given: Given) -> None:
    """Make the reports of a results.json again."""
    from conformance.report import baseline as known

    with _usage_errors():
        accepted = known.read(given["baseline"]) if given["baseline"] else None
        finish(_read(given["results"]), given, accepted)


def _read(path: Path) -> Results:
    from conformance.report import write

    try:
        return write.read(path)
    except ValueError as error:
        raise _usage(error) from None


@command(app, "teeth", short_help="Prove on seeded defects that the suites can fail.")
def teeth(given: Given) -> None:
    """Prove that the suites can fail: run them on seeded defects and on perfect references."""
    from conformance import teeth as matrix
    from conformance.report import write

    pairs, defect = given["pairs"], given["defect"]
    if given["references-only"] and (pairs or defect):
        raise _usage("--references-only runs no defect: leave out --pairs and --defect")
    able = [s for s in matrix.SUITES if not pairs or matrix.judges_pairs(s)]
    alone = set(given["suite"]) - set(able)
    if alone:
        raise _usage(f"--pairs: {', '.join(sorted(alone))} judges one defect at a time")
    unknown = [
        start for start in defect
        if not any(matrix.Plan([start]).defects(suite) for suite in given["suite"] or able)
    ]  # fmt: skip
    if unknown:
        raise _usage(f"--defect {unknown[0]!r}: no defect starts so; `--json FILE` lists them all")
    plan = matrix.Plan(defect, given["seed"], given["seeds"], given["references-only"], pairs)
    made = matrix.bite(given["suite"] or able, plan, jobs=given["jobs"], console=console)
    if given["json"] is not None:
        write.file(given["json"], matrix.dump(made), "--json")
    raise typer.Exit(matrix.show(console, made))


def _late_commands() -> None:
    """Attach the commands that live beside what they command."""
    from conformance import commands, pipelining, waiving

    commands.attach(app, spec_app, driver_app)
    waiving.attach(baseline_app)
    pipelining.attach(app, ci_app)
    root(app, lambda: importlib.metadata.version("memconform"))


_late_commands()
