"""Run an installed SDK as a driver: `python -m conformance.drivers SUBJECT --table FILE`.

This is how an SDK is judged by a table of one's own, before the table ships:
`memconform sdk --api NAME --driver 'python -m conformance.drivers SUBJECT --table FILE'`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from conformance.drivers import tables
from conformance.drivers.environment import EnvironmentUnavailable, prepare
from conformance.drivers.process import clean_environment, host_command


def main() -> None:
    """Prepare the environment, then become the host."""
    parser = argparse.ArgumentParser(prog="python -m conformance.drivers", description=__doc__)
    parser.add_argument("subject", help="whatever uv can install")
    parser.add_argument("--table", type=Path, help="a driver table; left out: the shipped one")
    parser.add_argument("--api", default="", help="which of the tables")
    parser.add_argument("--clock", choices=("virtual", "real"), default="virtual")
    arguments = parser.parse_args()
    try:
        environment = prepare(arguments.subject)
        found = tables.read(arguments.table) if arguments.table else ()
        entries = found or tables.for_package(environment.name)
    except (EnvironmentUnavailable, ValueError) as why:
        sys.exit(str(why))
    fitting = [e for e in entries if arguments.api in ("", e.table.api)]
    if not fitting:
        sys.exit(f"no table for {environment.name} as a client of {arguments.api or 'anything'}")
    entry = fitting[0]
    command = host_command(
        environment.python, entry.path.resolve(), entry.table.api, arguments.clock
    )
    os.execve(command[0], command, clean_environment())  # noqa: S606 - we become the driver


if __name__ == "__main__":
    main()
