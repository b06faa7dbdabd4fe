"""Writing a run's files: results first, whole or not at all, then what is derived from them."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from pydantic import ValidationError

from conformance.report import badge, ctrf, html, junit, markdown, sarif
from conformance.report.baseline import Comparison
from conformance.report.exit import Decision
from conformance.report.results import FindingEntry, Results

REPLAYED = Path("memconform-out")
"""The folder whose results `memconform replay` reads where none is named."""


_PROBE = ".memconform-writable"


class OutputError(OSError):
    """The output folder cannot be written; the message says which file and why."""


def results(out: Path, made: Results) -> Path:
    """Write `results.json` into a folder and return its path. Raises OutputError."""
    return _write(out, "results.json", made.model_dump_json(by_alias=True, indent=1) + "\n")


def reports(
    out: Path, made: Results, decision: Decision, comparison: Comparison | None = None
) -> None:
    """Write every report of a run into a folder, results first. Raises OutputError."""
    results(out, made)
    shown = replayable(made, out)
    _write(out, "junit.xml", junit.render(shown, decision, comparison))
    _write(out, "ctrf.json", ctrf.render(shown, decision, comparison))
    _write(out, "results.sarif", sarif.render(shown, decision, comparison))
    _write(out, "badge.json", badge.render(decision, comparison))
    _write(out, "summary.md", markdown.render(shown, decision, comparison))
    _write(out, "report.html", html.render(shown, decision, comparison))


def replayable(made: Results, out: Path) -> Results:
    """Return results whose replay commands name the folder that the results stand in.

    `results.json` itself does not: it may be moved. What stands where `replay` looks by itself
    needs no naming.
    """
    if out == REPLAYED:
        return made
    named = f" --results {shlex.quote(str(out / 'results.json'))}"
    subjects = []
    for subject in made.subjects:
        findings = tuple(
            f.model_copy(update={"replay": f.replay + named})
            if by_id(f) else f
            for f in subject.findings
        )  # fmt: skip
        subjects.append(subject.model_copy(update={"findings": findings}))
    return made.model_copy(update={"subjects": tuple(subjects)})


def by_id(finding: FindingEntry) -> bool:
    """True where `memconform replay` shows a finding again, out of the results that hold it."""
    return finding.replay.startswith("memconform replay ")


def schema() -> str:
    """Return the JSON Schema of `results.json`."""
    return json.dumps(Results.model_json_schema(by_alias=True), indent=1) + "\n"


def read(path: Path) -> Results:
    """Return the results in a file. Raises ValueError, which names the file and what is wrong."""
    try:
        return Results.model_validate_json(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{path} is not a results.json: {where}: {first['msg']}") from None


def probe(out: Path) -> None:
    """Raise OutputError now rather than after a long run, where a folder cannot be written."""
    try:
        _write(out, _PROBE, "")
    except OutputError as error:
        why = getattr(error.__cause__, "strerror", None) or error.__cause__
        raise OutputError(
            f"cannot write into the folder {out}: {why}; give another place with --out"
        ) from error
    (out / _PROBE).unlink(missing_ok=True)


def file(path: Path, text: str, option: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never half.

    A device or a pipe is written into, not replaced. Raises OutputError, which names the file and
    the `option` that names another.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            path.write_text(text, "utf-8")
            return
        place = path.resolve()
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            beside.write_text(text, "utf-8")
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; give another place with {option}"
        ) from error


def _write(out: Path, name: str, text: str) -> Path:
    file(out / name, text, "--out")
    return out / name
