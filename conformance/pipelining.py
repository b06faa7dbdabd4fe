"""Commands for pipelines: the trend over many runs, what a pipeline tells, the files it needs."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from conformance.commanding import command
from conformance.options import Given

if TYPE_CHECKING:
    from conformance.pipelines.told import Told
    from conformance.report.results import Results

WIDTH = 120
"""Columns of a table where the output is no terminal."""


def trend(given: Given) -> None:
    """Show many runs of the same subjects, oldest to newest, as a table and as one page."""
    from conformance.report import trend as trends
    from conformance.report import write

    paths, commits = given["results"], given["commit"]
    if commits and len(commits) != len(paths):
        raise _usage(
            f"--commit is given {len(commits)} times for {len(paths)} RESULTS: "
            "give one for each, in the same order, or none"
        )
    runs = [_read(path) for path in paths]
    made = trends.of(list(zip(commits or [""] * len(runs), runs, strict=True)))
    page = given["out"] / "trend.html"
    write.file(page, trends.render(made), "--out")
    width = None if sys.stdout and sys.stdout.isatty() else WIDTH
    console = Console(highlight=False, width=width)
    console.print(trends.table(made))
    console.print(f"Open {page}", markup=False, soft_wrap=True)


def publish(given: Given) -> None:
    """Tell the pipeline that this runs in, GitHub's or GitLab's, what a run came to.

    Always exit 0: the command that judged has the verdict.
    """
    from conformance.pipelines import github, gitlab
    from conformance.pipelines.told import annotated

    path = given["results"]
    told = _told(given)
    found = list(annotated(told, given["baseline"], Path.cwd()))
    if os.environ.get("GITLAB_CI"):
        gitlab.leave(told, found, path.parent)
        gitlab.tell(told, given["name"], os.environ, _say)
    elif os.environ.get("GITHUB_ACTIONS"):
        github.annotate(found, _say)
        github.summarise(told, os.environ)
        github.tell(told, given["name"], given["badge-branch"] or "", os.environ, _say)
    else:
        raise _usage(
            "neither GITHUB_ACTIONS nor GITLAB_CI is set: this command runs inside a pipeline; "
            "`memconform ci github` and `memconform ci gitlab` print the files that call it"
        )


def _told(given: Given) -> Told:
    from conformance.pipelines.told import Told
    from conformance.report import baseline as known
    from conformance.report.exit import decide

    results = _read(given["results"])
    try:
        accepted = known.read(given["baseline"]) if given["baseline"] else results.baseline
    except known.BaselineError as error:
        raise _usage(error) from None
    comparison = known.compare(results, accepted) if accepted is not None else None
    if given["against"] is not None and any(s.kind != "load" for s in results.subjects):
        comparison = known.beside(results, _read(given["against"]))
    return Told(results, decide(results, comparison), comparison)


FILES = {
    "github": {
        ".github/actions/memconform/action.yml": "action.yml",
        ".github/workflows/conformance.yml": "workflow.yml",
    },
    "gitlab": {
        "templates/memconform.yml": "gitlab.yml",
        ".gitlab-ci.yml": "gitlab-ci.yml",
    },
}
"""Platform -> path in a repository -> file of ours."""


def github(given: Given) -> None:
    """Print the GitHub action, and a workflow that uses it; or write them into a repository."""
    _copy("github", given["to"])


def gitlab(given: Given) -> None:
    """Print the GitLab component, and a pipeline that uses it; or write them into a repository."""
    _copy("gitlab", given["to"])


def _copy(platform: str, to: Path | None) -> None:
    """Print files under their paths, or write those that are not there yet."""
    from conformance.report import write

    texts = {
        name: files("conformance.pipelines").joinpath("files", source).read_text("utf-8")
        for name, source in FILES[platform].items()
    }
    if to is None:
        for name, text in texts.items():
            typer.echo(f"# {name}\n{text}")
        return
    there = [name for name in texts if (to / name).exists()]
    if there:
        raise _usage(f"--to {to}: {there[0]} is there already; move it away, or copy by hand")
    for name, text in texts.items():
        write.file(to / name, text, "--to")
        _say(f"written: {to / name}")


def attach(app: typer.Typer, ci: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    command(app, "trend", short_help="Show many runs, oldest to newest.")(trend)
    command(ci, "github", "ci github", "Print the files for GitHub.")(github)
    command(ci, "gitlab", "ci gitlab", "Print the files for GitLab.")(gitlab)
    command(ci, "publish", "ci publish", "Tell the pipeline what a run came to.")(publish)


def _say(line: str) -> None:
    typer.echo(line)


def _read(path: Path) -> Results:
    from conformance.report import write

    try:
        return write.read(path)
    except ValueError as error:
        raise _usage(error) from None


def _usage(error: object) -> typer.Exit:
    Console(stderr=True, highlight=False).print(f"memconform: {error}", markup=False)
    return typer.Exit(2)
