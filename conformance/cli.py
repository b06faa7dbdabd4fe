"""`memconform`: the commands, their options, and nothing else.

Each command turns words into values, calls one function, and ends through `finish`, so that all
of them write the same files and use the same exit codes. Imports of a command stay inside it:
`memconform --help` must not wait for engines that it does not start.
"""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from conformance.progress import INTERRUPTED

if TYPE_CHECKING:
    from conformance.report.baseline import Baseline
    from conformance.report.results import Results, SubjectEntry

app = typer.Typer(
    name="memconform",
    help="Conformance and load tests for memory-as-a-service APIs and the SDKs that call them.\n\n"
    "Exit codes: 0 conforms, 1 does not, 2 usage, 3 an error of memconform's own, "
    "4 the baseline is out of date, 5 too little evidence.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
spec_app = typer.Typer(help="Check specs and what is generated from them.", no_args_is_help=True)
baseline_app = typer.Typer(help="Keep the list of known deviations.", no_args_is_help=True)
driver_app = typer.Typer(help="Drive an SDK that has no driver yet.", no_args_is_help=True)
app.add_typer(spec_app, name="spec")
app.add_typer(baseline_app, name="baseline")
app.add_typer(driver_app, name="driver")

# A file or a pipe has no width of its own; tables need more than the 80 columns assumed then.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
errors = Console(stderr=True, highlight=False)

Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="folder for results.json and reports")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="seed of every random choice")]
Api = Annotated[
    str,
    typer.Option(
        "--api",
        metavar="NAME",
        help="an API's name (`memconform spec check` lists them) or a spec's path",
    ),
]
BaseUrl = Annotated[
    str, typer.Option("--base-url", metavar="URL", help="the API's base URL, its path included")
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        envvar="MEMCONFORM_API_KEY",
        help="key to call with; a second one, of another tenant, shows isolation; member=KEY, "
        "limited=KEY, free=KEY and expired=KEY name one without rights, one to use up, one of a "
        "plan without features, one that is past "
        "(can be given more than once)",
    ),
]
Quota = Annotated[
    str | None,
    typer.Option(
        "--quota", metavar="Q/W", help="its rate limit, requests/seconds, where no header tells"
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option(
        "--also",
        metavar="NAME=URL",
        help="another API of the same product, where what this one shows is made",
    ),
]
RestartCommand = Annotated[
    str | None,
    typer.Option("--restart-command", metavar="COMMAND", help="restarts it and keeps its data"),
]
Fast = Annotated[
    bool,
    typer.Option("--fast", help="backends: seconds, with nothing generated and few waits"),
]
RecordFile = Annotated[
    Path | None,
    typer.Option("--record", metavar="FILE", help="write the run down, for `memconform judge`"),
]
Sensitivity = Annotated[
    bool, typer.Option("--sensitivity", help="say which damage this run would have noticed")
]
BaselineFile = Annotated[
    Path | None, typer.Option("--baseline", metavar="FILE", help="known deviations to compare with")
]
Subjects = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SDK", help="NAME, NAME==VERSION, a wheel or a source folder; several at once"
    ),
]
Driver = Annotated[
    str | None,
    typer.Option(
        "--driver",
        metavar="COMMAND",
        help="command that starts a driver of an SDK in any language",
    ),
]
DriverTable = Annotated[
    Path | None,
    typer.Option("--table", metavar="FILE", help="driver table that `driver init` wrote"),
]
SdkJobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        help="subjects at once (one more than cores); of a driver in real time, copies (8)",
    ),
]
Cases = Annotated[
    list[str] | None,
    typer.Option("--case", metavar="START", help="only cases whose id starts so, more than once"),
]
DeepSdk = Annotated[
    bool,
    typer.Option(
        "--deep", help="every fault on every operation; else rare ones on two kinds of them"
    ),
]


def main() -> None:
    """Run the command line; the only place that ends the process."""
    signal.signal(signal.SIGTERM, _interrupt)
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


def finish(results: Results, out: Path | None, baseline: Baseline | None = None) -> None:
    """Write a run's files, print its report, and leave with its exit code."""
    from conformance.report import text, write
    from conformance.report.baseline import compare
    from conformance.report.exit import decide

    comparison = compare(results, baseline) if baseline is not None else None
    decision = decide(results, comparison)
    if out is not None:
        write.reports(out, results, decision, comparison)
    text.show(console, results, decision, comparison, out)
    raise typer.Exit(int(decision.code))


def _judged(
    make: Callable[[], Sequence[SubjectEntry]],
    *,
    seed: int,
    out: Path | None,
    secrets: Sequence[str] = (),
    baseline: Path | None = None,
) -> None:
    """Run one suite and finish; what every judging command but `run` does.

    Ended from outside it leaves what is known until then, marked as not complete.
    """
    from conformance.report import baseline as known
    from conformance.report import run as report_run
    from conformance.report import write
    from conformance.subjects import Stopped

    with _usage_errors():
        accepted = known.read(baseline) if baseline else None
        if out is not None:
            write.probe(out)
        began, started = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
        complete = True
        try:
            subjects = make()
        except Stopped as stopped:
            subjects, complete = stopped.subjects, False
    results = report_run.make(
        subjects,
        started=began,
        seconds=time.monotonic() - started,
        seed=seed,
        command=["memconform", *sys.argv[1:]],
        secrets=secrets,
        complete=complete,
    )
    finish(results, out, accepted)


@app.command(short_help="Judge all that ships: backend, SDK releases, load.")
def run(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="folder for results.json and reports")
    ] = Path("memconform-out"),
    seed: Seed = 0,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="KIND", help="backend, sdk or load, more than once (all)"),
    ] = None,
    baseline: BaselineFile = None,
    no_baseline: Annotated[
        bool, typer.Option("--no-baseline", help="judge by the promises alone, nothing is known")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", help="parts at once (one a core)")
    ] = None,
    fast: Fast = False,
) -> None:
    """Judge the embedded backend, the published SDKs and load runs, and write one report."""
    from conformance import run as runs
    from conformance.live import watching
    from conformance.report import baseline as known
    from conformance.report import write

    unknown = set(only or ()) - set(runs.KINDS)
    if unknown:
        raise _usage(f"--only {', '.join(sorted(unknown))}: it takes {', '.join(runs.KINDS)}")
    with _usage_errors():
        accepted = None if no_baseline else known.read(baseline or known.SHIPPED)
    write.probe(out)
    kinds = [kind for kind in runs.KINDS if not only or kind in only]
    with watching(console) as watch:
        results = runs.run(
            kinds,
            seed=seed,
            jobs=jobs,
            command=["memconform", *sys.argv[1:]],
            watch=watch,
            fast=fast,
        )
    finish(results, out, accepted)


@app.command(short_help="Judge a backend: does it keep its document?")
def backend(
    base_url: BaseUrl,
    api: Api,
    api_key: Keys = None,
    out: Out = None,
    seed: Seed = 0,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="send nothing that could change data")
    ] = False,
    max_requests: Annotated[
        int | None,
        typer.Option("--max-requests", metavar="N", help="stop after this many requests"),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option("--max-seconds", metavar="S", help="stop after this many seconds"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="N", help="at most this many requests a second"),
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="PEM", help="certificate authority")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="fuzz and search for minutes, not seconds")
    ] = False,
    fast: Fast = False,
    case: Cases = None,
    quota: Quota = None,
    also: Also = None,
    restart_command: RestartCommand = None,
    record: RecordFile = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with the run that --record wrote down")
    ] = False,
    sensitivity: Sensitivity = False,
    baseline: BaselineFile = None,
) -> None:
    """Judge a backend at a base URL: does it keep what its document promises?"""
    from conformance import subjects

    options: dict[str, Any] = {
        "base-url": base_url, "api": api, "api-key": api_key or [], "seed": seed,
        "read-only": read_only, "max-requests": max_requests, "max-seconds": max_seconds,
        "rate": rate, "ca": str(ca) if ca else None, "deep": deep, "fast": fast,
        "case": case or [],
        "quota": quota, "also": also or [], "restart-command": restart_command,
        "record": str(record) if record else None, "resume": resume, "sensitivity": sensitivity,
    }  # fmt: skip
    _judged(
        lambda: [subjects.judge_backend(options)],
        seed=seed,
        out=out,
        secrets=api_key or [],
        baseline=baseline,
    )


@app.command()
def judge(
    recording: Annotated[
        Path, typer.Argument(metavar="RECORDING", help="a file that --record wrote")
    ],
    out: Out = None,
    sensitivity: Sensitivity = False,
    baseline: BaselineFile = None,
) -> None:
    """Judge a recorded run again, without a server."""
    from conformance import subjects

    _judged(
        lambda: [subjects.judge_recording(recording, sensitivity)],
        seed=0,
        out=out,
        baseline=baseline,
    )


@app.command(short_help="Judge SDKs: do they do what they promise?")
def sdk(
    subject: Subjects = None,
    driver: Driver = None,
    api: Annotated[
        str | None,
        typer.Option("--api", metavar="NAME", help="which contract: needed with --driver"),
    ] = None,
    table: DriverTable = None,
    out: Out = None,
    seed: Seed = 0,
    clock: Annotated[
        str,
        typer.Option(
            "--clock", metavar="CLOCK", help="virtual (hours of back-off cost nothing) or real"
        ),
    ] = "virtual",
    case: Cases = None,
    deep: DeepSdk = False,
    jobs: SdkJobs = None,
    baseline: BaselineFile = None,
) -> None:
    """Judge SDKs: do they retry, map errors, read headers and page as their documents promise?"""
    from conformance import subjects

    if not subject and not driver:
        raise _usage("name an SDK (`memconform sdk NAME==VERSION`) or give --driver and --api")
    if driver and not api:
        raise _usage("--driver needs --api: which contract is the SDK held to?")
    _judged(
        lambda: subjects.judge_sdks(
            subject or [],
            driver=driver,
            api=api,
            seed=seed,
            clock=clock,
            select=case or [],
            jobs=jobs,
            deep=deep,
            table=table,
        ),
        seed=seed,
        out=out,
        baseline=baseline,
    )


@app.command()
def load(
    base_url: BaseUrl,
    api: Api,
    api_key: Keys = None,
    load_profile: Annotated[
        str,
        typer.Option(
            "--load-profile", metavar="NAME", help="a shipped profile's name or a TOML file's path"
        ),
    ] = "smoke",
    out: Out = None,
    seed: Seed = 0,
    processes: Annotated[
        int | None,
        typer.Option("--processes", metavar="N", help="worker processes of the generator"),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="S", help="shorten the profile to about so long"),
    ] = None,
    quota: Quota = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="FILE", help="an earlier results.json to compare with"),
    ] = None,
    baseline: BaselineFile = None,
) -> None:
    """Put load on a backend and judge every answer while it lasts."""
    from conformance import subjects

    _judged(
        lambda: [
            subjects.judge_load(
                base_url,
                api,
                api_key or [],
                load_profile,
                seed=seed,
                processes=processes,
                out=out,
                against=against,
                quota=quota,
                seconds=seconds,
            )
        ],
        seed=seed,
        out=out,
        secrets=api_key or [],
        baseline=baseline,
    )


@app.command()
def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="a results.json")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder for the reports")],
    baseline: BaselineFile = None,
) -> None:
    """Make the reports of a results.json again."""
    from conformance.report import baseline as known

    with _usage_errors():
        finish(_read(results), out, known.read(baseline) if baseline else None)


@baseline_app.command("write")
def baseline_write(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="the results.json whose findings are accepted")
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="where to write it (standard output)"),
    ] = None,
) -> None:
    """Accept the findings of a run as known deviations."""
    from conformance.report import baseline as known
    from conformance.report import write

    made = _read(results)
    if not made.run.complete:
        raise _usage(
            f"{results} is not complete ({made.run.reason}): nothing may be accepted from it"
        )
    text = known.dump(known.of(made))
    if to is None:
        console.out(text, end="")
    else:
        write.file(to, text, "--to")
        console.print(f"{sum(len(s.findings) for s in made.subjects)} findings accepted in {to}")


def _read(path: Path) -> Results:
    from pydantic import ValidationError

    from conformance.report.results import Results

    try:
        return Results.model_validate_json(path.read_text("utf-8"))
    except OSError as error:
        raise _usage(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _usage(f"{path} is not a results.json: {where}: {first['msg']}") from None


@app.command(short_help="Prove on seeded defects that the suites can fail.")
def teeth(
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", metavar="KIND", help="backend, sdk or load, more than once (all)"),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write the kill matrix there")
    ] = None,
    defect: Annotated[
        list[str] | None,
        typer.Option(
            "--defect", metavar="START", help="only defects whose id starts so, more than once"
        ),
    ] = None,
    references_only: Annotated[
        bool, typer.Option("--references-only", help="only the perfect references, no defect")
    ] = False,
    seeds: Annotated[
        int,
        typer.Option("--seeds", min=1, help="judge the references on so many seeds, from --seed"),
    ] = 1,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="defects two at once: each must be reported still")
    ] = False,
    seed: Seed = 0,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", help="defects at once (one a core)")
    ] = None,
) -> None:
    """Prove that the suites can fail: run them on seeded defects and on perfect references."""
    from conformance import teeth as matrix
    from conformance.report import write

    unknown = set(suite or ()) - set(matrix.SUITES)
    if unknown:
        raise _usage(f"--suite {', '.join(sorted(unknown))}: it takes {', '.join(matrix.SUITES)}")
    if references_only and (pairs or defect):
        raise _usage("--references-only runs no defect: leave out --pairs and --defect")
    able = [s for s in matrix.SUITES if not pairs or matrix.judges_pairs(s)]
    alone = set(suite or ()) - set(able)
    if alone:
        raise _usage(f"--pairs: {', '.join(sorted(alone))} judges one defect at a time")
    plan = matrix.Plan(defect or (), seed, seeds, references_only, pairs)
    made = matrix.bite(suite or able, plan, jobs=jobs, console=console)
    if json_file is not None:
        write.file(json_file, matrix.dump(made), "--json")
    raise typer.Exit(matrix.show(console, made))


def _late_commands() -> None:
    """Attach the commands that live beside what they command."""
    from conformance import commands

    commands.attach(app, spec_app, driver_app)


_late_commands()
