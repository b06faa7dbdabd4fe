"""From subjects to a written run: what every command that judges does at its end."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from conformance.redaction import hide
from conformance.report import write
from conformance.report.baseline import Comparison
from conformance.report.exit import decide
from conformance.report.results import Budget, Results, Run, SubjectEntry

REDACTED = "***"


def version() -> str:
    """Return memconform's own version."""
    return importlib.metadata.version("memconform")


def redact(words: Iterable[str], secrets: Iterable[str]) -> tuple[str, ...]:
    """Return a command line without keys: known ones, and whatever follows --api-key.

    A secret may be written `ROLE=KEY`; the key alone is looked for.
    """
    hidden = _keys(secrets)
    made: list[str] = []
    follows = False
    for word in words:
        if follows:
            word = REDACTED
        elif word.startswith("--api-key="):
            word = f"--api-key={REDACTED}"
        follows = word == "--api-key"
        for secret in hidden:
            word = word.replace(secret, REDACTED)
        made.append(word)
    return tuple(made)


def _keys(secrets: Iterable[str]) -> list[str]:
    """Return what must not be shown: each word, and what follows its role; keys may end in `=`."""
    return [key for word in secrets for key in (word, word.partition("=")[2]) if key]


def make(
    subjects: Sequence[SubjectEntry],
    *,
    started: str,
    seconds: float,
    seed: int,
    command: Sequence[str],
    secrets: Sequence[str] = (),
    complete: bool = True,
    reason: str = "",
    parts: Mapping[str, float] | None = None,
    budget: Budget | None = None,
) -> Results:
    """Return the result of a run; `reason` says why it is not complete."""
    made = Results(
        run=Run(
            tool=version(),
            started=started,
            seconds=round(seconds, 3),
            seed=seed,
            command=redact(command, secrets),
            budget=budget or Budget(),
            complete=complete,
            reason=reason or ("" if complete else "interrupted"),
            parts={name: round(took, 3) for name, took in (parts or {}).items()},
        ),
        subjects=tuple(subjects),
    )
    return _without(made, secrets)


def _without(made: Results, secrets: Iterable[str]) -> Results:
    """Return a result in which no key stands, wherever a subject may have echoed it."""
    plain = made.model_dump_json(by_alias=True)
    text = hide(plain, dict.fromkeys(_keys(secrets), REDACTED))
    return made if text == plain else Results.model_validate_json(text)


def write_run(
    subjects: Sequence[SubjectEntry],
    *,
    started: str,
    seconds: float,
    seed: int,
    command: Sequence[str],
    secrets: Sequence[str] = (),
    complete: bool = True,
    out: str | Path | None = None,
    comparison: Comparison | None = None,
) -> Results:
    """Return the result of a run and, where `out` is given, write it and its reports there."""
    made = make(
        subjects,
        started=started,
        seconds=seconds,
        seed=seed,
        command=command,
        secrets=secrets,
        complete=complete,
    )
    if out is not None:
        write.reports(Path(out), made, decide(made, comparison), comparison)
    return made
