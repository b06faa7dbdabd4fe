"""From subjects to a written run: what every command that judges does at its end."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from conformance.option_kinds import Credentials
from conformance.options import TABLE
from conformance.redaction import Redactor, redactor
from conformance.report import write
from conformance.report.baseline import Comparison
from conformance.report.exit import decide
from conformance.report.results import Budget, Results, Run, SubjectEntry

REDACTED = "***"
WORDS = frozenset(
    ("schema_", "kind", "api", "id", "requirement", "level", "basis", "case", "mode", "modes",
     "concern", "verdict", "blame", "tool", "started")
)  # fmt: skip
"""Fields that hold words of memconform's own, in which no subject can say anything."""
_M = TypeVar("_M", bound=BaseModel)


def version() -> str:
    """Return memconform's own version."""
    return importlib.metadata.version("memconform")


def redact(words: Iterable[str], secrets: Iterable[str]) -> tuple[str, ...]:
    """Return a command line without keys: known ones, and what follows an option for secrets.

    A secret may be written `ROLE=KEY`; the key alone is looked for.
    """
    hidden = redactor(secrets, REDACTED)
    names = {option.name for option in TABLE if option.secret}
    made: list[str] = []
    follows = False
    for word in words:
        name, sign, _ = word.partition("=")
        if follows or (sign and name in names):
            word = REDACTED if follows else f"{name}={REDACTED}"
        elif word.startswith(("http://", "https://")):
            word = Credentials.of(word).url
        follows = word in names
        made.append(hidden.hide(word))
    return tuple(made)


def spent_at_most(given: Mapping[str, Any]) -> Budget:
    """Return the limits that a command was given."""
    return Budget(max_requests=given.get("max-requests"), max_seconds=given.get("max-seconds"))


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
    return without(made, secrets)


def without(made: _M, secrets: Iterable[str]) -> _M:
    """Return a result, or one subject's entry, in which no secret of a run stands."""
    hidden = redactor(secrets, REDACTED)
    return cast(_M, _unseen(made, hidden))


def _unseen(value: Any, hidden: Redactor) -> Any:
    """Hide secrets in every text of our models, except where they hold words of their own."""
    if not isinstance(value, BaseModel):
        if isinstance(value, tuple | list) and any(isinstance(v, BaseModel) for v in value):
            return tuple(_unseen(v, hidden) for v in value)
        return hidden.hide_all(value)
    changed = {}
    for name in type(value).model_fields:
        before = getattr(value, name)
        if name not in WORDS and (after := _unseen(before, hidden)) != before:
            changed[name] = after
    return value.model_copy(update=changed) if changed else value


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
