"""Driver tables of published SDKs, one file per distribution.

Each file exports `TABLES`, one per API that the package serves. A file is read twice: here, to
know which packages there are, and by the host inside the SDK's environment; so it imports
nothing but `conformance.drivers.hosting.table` and the standard library. This module itself is
read here only.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import specs
from conformance.drivers.hosting.table import Table
from specs import Contract

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One table and the file that holds it."""

    table: Table
    path: Path


def normalise(name: str) -> str:
    """Return a distribution name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read(path: Path) -> tuple[Entry, ...]:
    """Return the tables of a file. Raises ValueError where it holds none."""
    spec = importlib.util.spec_from_file_location(f"memconform_table_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file")
    module: ModuleType = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{path} cannot be read: {error}. A table is read outside its SDK's environment too: "
            "import what an `adapt` needs inside that function"
        ) from error
    except Exception as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
    tables = getattr(module, "TABLES", ())
    if (
        not isinstance(tables, tuple)
        or not tables
        or not all(isinstance(table, Table) for table in tables)
    ):
        raise ValueError(f"{path} must define TABLES, a tuple of Table")
    return tuple(Entry(table, path) for table in tables)


def with_contracts(
    entries: Sequence[Entry], api: str | None = None
) -> tuple[tuple[Entry, Contract], ...]:
    """Return tables with the contracts that their SDK is held to.

    `api` is a name or the path of a spec; without it each table names its own. A table serves a
    spec by its file or by the API that it is for. Raises ValueError where no table serves `api`
    or a table names an API that nobody knows, specs.SpecError where a spec is wrong.
    """
    if api is not None:
        contract = specs.load(api)
        fitting = [e for e in entries if e.table.api in (api, contract.api)]
        if not fitting:
            named = ", ".join(repr(e.table.api) for e in entries)
            raise ValueError(
                f"--api {api} is the contract of {contract.api!r}; the tables are for {named}: "
                f"write `api={contract.api!r}` into the table that is meant"
            )
        return tuple((entry, contract) for entry in fitting)
    for entry in entries:
        name = entry.table.api
        if name not in specs.names() and not Path(name).is_file():
            raise ValueError(
                f"{entry.path} is a table for {name!r}, which is no API that ships: give its spec "
                "with --api FILE"
            )
    return tuple((entry, specs.load(entry.table.api)) for entry in entries)


@cache
def shipped() -> tuple[Entry, ...]:
    """Return the tables that come with this project."""
    return tuple(_shipped())


def _shipped() -> Iterator[Entry]:
    for path in sorted(HERE.glob("*.py")):
        if path.name != "__init__.py":
            yield from read(path)


def for_package(name: str) -> tuple[Entry, ...]:
    """Return the tables of a distribution; none where it is not known."""
    return tuple(e for e in shipped() if normalise(e.table.package) == normalise(name))


def packages() -> tuple[str, ...]:
    """Return the distribution names that have a table."""
    return tuple(dict.fromkeys(entry.table.package for entry in shipped()))
