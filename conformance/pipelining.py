"""Commands for pipelines: the trend over many runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from conformance.commanding import command
from conformance.options import Given

if TYPE_CHECKING:
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


def attach(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    command(app, "trend", short_help="Show many runs, oldest to newest.")(trend)


def _read(path: Path) -> Results:
    from conformance.report import write

    try:
        return write.read(path)
    except ValueError as error:
        raise _usage(error) from None


def _usage(error: object) -> typer.Exit:
    Console(stderr=True, highlight=False).print(f"memconform: {error}", markup=False)
    return typer.Exit(2)
