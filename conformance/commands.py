"""Commands that live beside what they command: specs, drivers, replays, the reference backend.

Kept apart from `cli.py` so that each stays short; the same rules hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TenantKey = Annotated[
    list[str] | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="key of a tenant of its own (can be given more than once)",
    ),
]
MemberKey = Annotated[
    list[str] | None,
    typer.Option(
        "--member-key",
        metavar="KEY",
        help="key of the first tenant without admin rights or seat",
    ),
]
LimitedKey = Annotated[
    list[str] | None,
    typer.Option(
        "--limited-key",
        metavar="KEY",
        help="key of the first tenant with a low quota of its own",
    ),
]
ExpiredKey = Annotated[
    list[str] | None,
    typer.Option("--expired-key", metavar="KEY", help="key that is no longer valid"),
]
RateLimit = Annotated[
    str | None,
    typer.Option(
        "--rate-limit",
        metavar="N/S[/KIND]",
        help="limit of each key: requests/seconds, like 100/60; KIND is fixed-window or "
        "token-bucket (left out: what the contract says)",
    ),
]
Defect = Annotated[
    list[str] | None,
    typer.Option(
        "--defect", metavar="ID", help="be wrong in this way (can be given more than once)"
    ),
]


def attach(app: typer.Typer, spec: typer.Typer, driver: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    spec.command("check", short_help="Check specs and the sources that they cite.")(spec_check)
    spec.command("schema")(spec_schema)
    spec.command("trace", short_help="Print which cases test each promise.")(spec_trace)
    driver.command("check")(driver_check)
    driver.command("init", short_help="Write a first driver table for a Python SDK.")(driver_init)
    driver.command("protocol")(driver_protocol)
    app.command("serve", short_help="Serve the reference backend, perfect or wrong.")(serve)
    app.command("replay", short_help="Show one finding again.")(replay)


def spec_check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="SPEC", help="specs to check (all that ship with memconform)"),
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option(
            "--documents",
            metavar="DIR",
            help="folder of the source documents, to verify sections in",
        ),
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
    command: Annotated[
        str, typer.Argument(metavar="COMMAND", help="the driver's command line, quoted")
    ],
    api: Annotated[
        str, typer.Option("--api", metavar="NAME", help="an API's name or a spec's path")
    ],
) -> None:
    """Tell a driver's author what the driver does wrong."""
    from conformance.drivers import check

    raise typer.Exit(check.main(command, api))


def driver_init(
    package: Annotated[
        str, typer.Argument(metavar="PACKAGE", help="NAME, NAME==VERSION, wheel or source folder")
    ],
    api: Annotated[
        str, typer.Option("--api", metavar="NAME", help="an API's name or a spec's path")
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="where to write it (standard output)"),
    ] = None,
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


def serve(
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="port to listen on; 0 takes a free one")
    ] = 0,
    host: Annotated[
        str, typer.Option("--host", metavar="NAME", help="address to listen on")
    ] = "127.0.0.1",
    api_key: TenantKey = None,
    member_key: MemberKey = None,
    limited_key: LimitedKey = None,
    expired_key: ExpiredKey = None,
    rate_limit: RateLimit = None,
    defect: Defect = None,
    list_defects: Annotated[
        bool, typer.Option("--list-defects", help="name the seeded defects and leave")
    ] = False,
    db: Annotated[
        Path | None,
        typer.Option("--db", metavar="FILE", help="keep data in this file (a temporary one)"),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", metavar="N", help="processes on the one port")
    ] = 1,
    delay: Annotated[
        float, typer.Option("--delay", metavar="S", help="seconds before each answer")
    ] = 0.0,
    processing_delay: Annotated[
        float,
        typer.Option(
            "--processing-delay", metavar="S", help="seconds until asynchronous work is done"
        ),
    ] = 0.0,
) -> None:
    """Serve the reference backend, perfect or with seeded defects; says when ready, in JSON.

    Without keys it makes some up and shows them in the ready line.
    """
    from conformance.reference.backend import serve as server

    raise typer.Exit(
        server.main(
            port=port, host=host, api_keys=api_key or (), member_keys=member_key or (),
            limited_keys=limited_key or (), expired_keys=expired_key or (),
            rate_limit=rate_limit, defects=defect or (),
            list_defects=list_defects, db=str(db) if db else None, workers=workers, delay=delay,
            processing_delay=processing_delay,
        )
    )  # fmt: skip


def replay(
    finding: Annotated[
        str, typer.Argument(metavar="ID", help="a finding's id, as reports show it")
    ],
    results: Annotated[
        Path,
        typer.Option(
            "--results", metavar="FILE", help="the results.json that the finding stands in"
        ),
    ] = Path("memconform-out/results.json"),
) -> None:
    """Show one finding again: run its fault script and print the timeline."""
    from conformance.sdk import replay as again

    raise typer.Exit(again.main(finding, results))
