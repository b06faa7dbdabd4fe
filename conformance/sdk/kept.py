"""Results of releases, kept: the same release, contract, seed and memconform give the same again.

Virtual time makes a run of the SDK suite a function of what goes into it. `judged` looks up the
result of everything that goes in: the installed environment, contracts, driver tables, the chosen
cases, the seed, memconform's own code and the libraries that it draws values with. What was cut,
could not be judged, or takes real time is judged again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from pydantic import ValidationError

from conformance.clock import timestamp
from conformance.contained import cache_folder
from conformance.drivers.environment import RECORD, EnvironmentUnavailable
from conformance.progress import Progress
from conformance.report.results import SubjectEntry
from conformance.sdk.suite import Target, run_release, served
from conformance.verdict import Verdict

FORMAT = "1"
"""Changes when what is kept is kept in another way."""
MOST = 64
"""Results that are kept; the ones that nobody asked for longest go."""


def judged(
    subject: str,
    *,
    api: str | None = None,
    seed: int = 0,
    select: Sequence[str] | None = None,
    deep: bool = False,
    progress: Progress | None = None,
    table: Path | None = None,
) -> list[SubjectEntry]:
    """Return what `run_release` says of a release in virtual time, from the cache if it is there.

    The entry of an earlier run says so: `details.kept` is the time (RFC 3339) of that run.
    Raises Cut, as `run_release` does.
    """
    name = ""
    with contextlib.suppress(EnvironmentUnavailable, ValueError):  # run_release says why
        _, _, found = served(subject, None, api, "virtual", table)
        name = key(found, [subject, seed, list(select or ()), deep])
    entry = _read(name) if name else None
    if entry is not None:
        if progress is not None:
            progress(1, 1, "kept from an earlier run")
        return [entry]
    made = run_release(
        subject, None, api, seed=seed, select=select, deep=deep, progress=progress, table=table
    )
    if name and all(map(_whole, made)):
        _write(name, made[0])
    return made


def key(found: Sequence[Target], chosen: Sequence[Any]) -> str:
    """Return the name of a result: a hash over all that decides it. `chosen` must be JSON."""
    total = hashlib.sha256(json.dumps([FORMAT, _own(), _libraries(), chosen]).encode())
    for target in found:
        words = target.command
        record = Path(words[0]).parents[1] / RECORD
        total.update(record.read_bytes())
        total.update(Path(words[words.index("--table") + 1]).read_bytes())
        document = json.dumps(target.contract.document, sort_keys=True, default=str)
        total.update(document.encode("utf-8", "surrogatepass"))
    return total.hexdigest()[:32]


@cache
def _own() -> str:
    """Return a hash over memconform's own code and specs."""
    total = hashlib.sha256()
    for package in ("specs", "conformance"):
        for path in _files(package):
            total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _files(package: str) -> Iterator[Path]:
    found = find_spec(package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        for at, folders, names in os.walk(folder):
            folders[:] = sorted(f for f in folders if f != "__pycache__")
            yield from (Path(at, n) for n in sorted(names))


def _libraries() -> list[str]:
    """Return `name==version` of each library that memconform itself needs."""
    made = []
    for line in requires("memconform") or ():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            with contextlib.suppress(PackageNotFoundError):
                made.append(f"{wanted.name}=={version(wanted.name)}")
    return sorted(made)


def _whole(entry: SubjectEntry) -> bool:
    """True if a later run would say the same: it was judged, to its end, without an error."""
    errors = any(case.verdict is Verdict.ERROR for case in entry.cases)
    return bool(entry.cases) and not errors and not entry.details.get("undecided")


def _folder() -> Path:
    return cache_folder() / "results"


def _read(name: str) -> SubjectEntry | None:
    path = _folder() / f"{name}.json"
    try:
        entry = SubjectEntry.model_validate_json(path.read_text("utf-8"))
        path.touch()
    except (OSError, ValidationError):
        return None
    return entry


def _write(name: str, entry: SubjectEntry) -> None:
    """Keep an entry. A folder that cannot be written costs the next run its time, no more."""
    told = entry.model_copy(update={"details": {**entry.details, "kept": timestamp()}})
    with contextlib.suppress(OSError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{name}.{os.getpid()}"
        draft.write_text(told.model_dump_json(by_alias=True), "utf-8")
        draft.replace(folder / f"{name}.json")
        old = sorted(folder.glob("*.json"), key=lambda p: p.stat().st_mtime, reverse=True)
        for path in old[MOST:]:
            path.unlink(missing_ok=True)
