"""Driver tables of published SDKs, one file per distribution.

Each file exports `TABLES`, one per API that the package serves. A file is read twice: here, to
know which packages there are, and by the host inside the SDK's environment; so it imports
nothing but `conformance.drivers.hosting.table` and the standard library.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from conformance.drivers.hosting.table import Table

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
