"""`memconform baseline`: write, update, prune, check and show the waivers of a team."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from conformance.clock import utc_now
from conformance.commanding import command
from conformance.options import Given
from conformance.plural import many

if TYPE_CHECKING:
    from conformance.report.results import Results
    from conformance.report.waiver import Baseline


def baseline_write(given: Given) -> None:
    """Accept the findings of a run as known deviations, in a new baseline."""
    from conformance.report import baseline as known

    accepted, to = known.of(_whole(given["results"])), given["to"]
    if to is None:
        Console(highlight=False).out(known.dump(accepted), end="")
    else:
        _save(to, accepted)
        _say(
            f"{many(len(accepted.waivers), 'finding')} accepted in {to}; "
            "add owner, reason and expires"
        )


def baseline_update(given: Given) -> None:
    """Add the new findings of a run to a baseline; owners, reasons and days stay."""
    from conformance.report import baseline as known

    file = given["file"]
    old = _read(file)
    fresh = known.updated(old, _whole(given["results"]))
    _save(file, fresh)
    _say(
        f"{file}: {len(fresh.waivers) - len(old.waivers)} added, "
        f"{many(len(fresh.waivers), 'waiver')}"
    )


def baseline_prune(given: Given) -> None:
    """Remove the waivers whose case ran and passed in a run; list each."""
    from conformance.report import baseline as known

    file = given["file"]
    kept, gone = known.pruned(_read(file), _whole(given["results"]))
    _save(file, kept)
    for waiver in gone:
        _say(f"removed: {waiver.names()}")
    _say(f"{file}: {len(gone)} removed, {len(kept.waivers)} kept")


def baseline_check(given: Given) -> None:
    """Say which waivers have expired, expire within 14 days, or stand twice (exit 4 if any)."""
    from conformance.report import baseline as known

    lines = known.problems(_read(given["file"]), utc_now().date())
    for line in lines:
        _say(line)
    if lines:
        raise typer.Exit(4)
    _say(f"{given['file']}: all waivers hold")


def baseline_show(given: Given) -> None:
    """List the waivers of a baseline, a line each."""
    accepted = _read(given["file"])
    for waiver in accepted.waivers:
        parts = [waiver.id or "by its words", waiver.names()]
        if waiver.versions:
            parts.append(f"in {', '.join(waiver.versions)}")
        if waiver.expires:
            parts.append(f"until {waiver.expires}")
        parts += [p for p in (waiver.owner, waiver.reason, waiver.ticket) if p]
        _say("; ".join(parts))
    _say(many(len(accepted.waivers), "waiver"))


COMMANDS = {
    "write": baseline_write,
    "update": baseline_update,
    "prune": baseline_prune,
    "check": baseline_check,
    "show": baseline_show,
}


def attach(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    for name, function in COMMANDS.items():
        command(app, name, place=f"baseline {name}")(function)


def _say(line: str) -> None:
    Console(highlight=False).print(line, markup=False, soft_wrap=True)


def _read(file: Path) -> Baseline:
    from conformance.report.baseline import BaselineError, read

    try:
        return read(file)
    except BaselineError as error:
        raise _usage(error) from None


def _whole(path: Path) -> Results:
    from conformance.report import write

    try:
        made = write.read(path)
    except ValueError as error:
        raise _usage(error) from None
    if not made.run.complete:
        raise _usage(f"{path} is not complete ({made.run.reason}): nothing may be accepted from it")
    return made


def _save(file: Path, baseline: Baseline) -> None:
    from conformance.report import baseline as known
    from conformance.report import write

    write.file(file, known.dump(baseline, file.suffix), "--to")


def _usage(error: object) -> typer.Exit:
    Console(stderr=True, highlight=False).print(f"memconform: {error}", markup=False)
    return typer.Exit(2)
