"""Commands that live beside what they command: specs, drivers, replays, the reference backend.

Kept apart from `cli.py` so that each stays short; the same rules hold.
"""

from __future__ import annotations

import typer

from conformance.commanding import command
from conformance.options import Given


def attach(app: typer.Typer, spec: typer.Typer, driver: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    command(spec, "check", "spec check", "Check specs and the sources that they cite.")(spec_check)
    command(spec, "draft", "spec draft", "Draft a behaviour overlay for an OpenAPI file.")(
        spec_draft
    )
    command(spec, "schema", "spec schema")(spec_schema)
    command(spec, "show", "spec show", "Show what an API promises.")(spec_show)
    command(spec, "trace", "spec trace", "Print which cases test each promise.")(spec_trace)
    command(driver, "check", "driver check")(driver_check)
    short = "Write a first driver table for a Python SDK."
    command(driver, "init", "driver init", short)(driver_init)
    command(driver, "protocol", "driver protocol")(driver_protocol)
    command(app, "serve", short_help="Serve the reference backend, perfect or wrong.")(serve)
    command(app, "replay", short_help="Show one finding again.")(replay)
    command(app, "explain", short_help="Explain any id that a report shows.")(explain)
    command(app, "docs", short_help="Write the documentation as a static site.")(docs)


def spec_check(given: Given) -> None:
    """Check specs: validity, pointers, sources; say file, line, what, why, what to do."""
    from specs import check
    from specs.reading import joined

    files = [joined(each, given["overlay"]) for each in given["spec"]]
    raise typer.Exit(check.run(files, given["documents"], given["constraints"]))


def spec_draft(given: Given) -> None:
    """Guess from an OpenAPI file what its operations do, and write it as an Overlay."""
    from conformance.drafting import main

    raise typer.Exit(main(given))


def spec_schema(_: Given) -> None:
    """Print the JSON Schema of x-conformance."""
    from specs import schema

    typer.echo(schema.render(), nl=False)


def spec_show(given: Given) -> None:
    """Show the operations, methods, exceptions and headers that a spec promises."""
    import specs
    from conformance.showing import show

    try:
        typer.echo(show(specs.load(given["api"])), nl=False)
    except specs.SpecError as error:
        typer.echo(f"memconform: {error}", err=True)
        raise typer.Exit(2) from None


def explain(given: Given) -> None:
    """Explain a requirement, case, defect, exit code, option, word or finding."""
    from conformance import explain as told
    from conformance.report import write

    file = given["results"]
    try:
        made = write.read(file) if file.is_file() else None
        typer.echo(told.explain(given["id"], made), nl=False)
    except ValueError as error:
        typer.echo(f"memconform: {error}", err=True)
        raise typer.Exit(2) from None


def docs(given: Given) -> None:
    """Write the documentation as one static site: guides, requirements, cases, reference."""
    from conformance.docs import site

    count = site.write(given["to"], site.whole())
    typer.echo(f"{count} pages; open {given['to'] / 'index.html'}")


def spec_trace(_: Given) -> None:
    """Print the table that traces every documented promise to its requirement and cases."""
    from conformance.trace import table

    typer.echo(table(), nl=False)


def driver_check(given: Given) -> None:
    """Tell a driver's author what the driver does wrong."""
    from conformance.drivers import check

    raise typer.Exit(check.main(given["command"], _overlaid(given)))


def driver_init(given: Given) -> None:
    """Write a first driver table for an SDK, and list what could not be matched."""
    from conformance.drivers import init

    raise typer.Exit(init.main(given["package"], _overlaid(given), given["to"]))


def _overlaid(given: Given) -> str:
    """Return an API with its overlays, as `specs.load` takes it."""
    from specs.reading import joined

    return joined(given["api"], given["overlay"])


def driver_protocol(given: Given) -> None:
    """Print the protocol that a driver in any language speaks."""
    from importlib.resources import files

    name = "protocol.schema.json" if given["schema"] else "PROTOCOL.md"
    typer.echo(files("conformance.drivers").joinpath(name).read_text("utf-8"), nl=False)


def serve(given: Given) -> None:
    """Serve the reference backend, perfect or with seeded defects; says when ready, in JSON.

    Without keys it makes some up and shows them in the ready line.
    """
    from conformance.reference.backend import serve as server

    db = given["db"]
    raise typer.Exit(
        server.main(
            port=given["port"], host=given["host"], api_keys=given["api-key"],
            member_keys=given["member-key"], limited_keys=given["limited-key"],
            expired_keys=given["expired-key"], rate_limit=given["rate-limit"],
            defects=given["defect"], list_defects=given["list-defects"],
            db=str(db) if db else None, workers=given["workers"], delay=given["delay"],
            processing_delay=given["processing-delay"],
        )
    )  # fmt: skip


def replay(given: Given) -> None:
    """Show one finding again: run its fault script and print the timeline."""
    from conformance.sdk import replay as again

    raise typer.Exit(again.main(given["id"], given["results"], trust=given["trust"]))
