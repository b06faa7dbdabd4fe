"""Commands that live beside what they command: specs, drivers, replays and recordings.

Kept apart from `cli.py` so that each stays short; the same rules hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def attach(app: typer.Typer, spec: typer.Typer, driver: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    spec.command("check")(spec_check)
    spec.command("schema")(spec_schema)
    spec.command("trace")(spec_trace)
    driver.command("check")(driver_check)
    driver.command("init")(driver_init)
    driver.command("protocol")(driver_protocol)
    app.command("replay")(replay)


def spec_check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="specs to check (all that ship with memconform)")
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option("--documents", help="folder of the source documents, to verify sections in"),
    ] = None,
) -> None:
    """Check specs: validity, pointers, sources; say file, line, what, why, what to do."""
    from specs import check

    raise typer.Exit(check.run(files or [], documents))


def spec_schema() -> None:
    """Print the JSON Schema of x-conformance."""
    from specs import schema

    typer.echo(schema.render(), nl=False)


def spec_trace() -> None:
    """Print the table that traces every documented promise to its requirement and cases."""
    from conformance.trace import table

    typer.echo(table(), nl=False)


def driver_check(
    command: Annotated[str, typer.Argument(help="the driver's command line")],
    api: Annotated[str, typer.Option("--api", help="an API's name or a spec's path")],
) -> None:
    """Tell a driver's author what the driver does wrong."""
    from conformance.drivers import check

    raise typer.Exit(check.main(command, api))


def driver_init(
    package: Annotated[str, typer.Argument(help="whatever uv can install")],
    api: Annotated[str, typer.Option("--api", help="an API's name or a spec's path")],
    to: Annotated[Path | None, typer.Option("--to", help="file to write (standard output)")] = None,
) -> None:
    """Write a first driver table for an SDK, and list what could not be matched."""
    from conformance.drivers import init

    raise typer.Exit(init.main(package, api, to))


def driver_protocol(
    schema: Annotated[
        bool, typer.Option("--schema", help="the JSON Schema of every message instead")
    ] = False,
) -> None:
    """Print the protocol that a driver in any language speaks."""
    from importlib.resources import files

    name = "protocol.schema.json" if schema else "PROTOCOL.md"
    typer.echo(files("conformance.drivers").joinpath(name).read_text("utf-8"), nl=False)


def replay(
    finding: Annotated[str, typer.Argument(help="id of a finding")],
    results: Annotated[
        Path, typer.Option("--results", help="the results.json that the finding stands in")
    ] = Path("memconform-out/results.json"),
) -> None:
    """Show one finding again: run its fault script and print the timeline."""
    from conformance.sdk import replay as again

    raise typer.Exit(again.main(finding, results))
