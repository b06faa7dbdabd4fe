"""Known deviations: findings that a person has seen and that must neither grow nor vanish silently.

A baseline names findings by their stable ids, subject by subject. Comparing is strict both ways:
a finding that it does not list is new, and one that it lists and the run lacks has vanished.
What could not be judged (a subject that is absent from the run, or inconclusive) is not compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import specs
from conformance.report.results import FindingEntry, Results, SubjectEntry
from conformance.verdict import Verdict

SHIPPED = Path(specs.__file__).parent / "known-deviations.json"


class BaselineError(ValueError):
    """A baseline cannot be read; the message says which file and why."""


class Known(BaseModel):
    """One accepted finding; `id` decides, the rest is for the reader."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    requirement: str
    message: str


class Baseline(BaseModel):
    """Accepted findings by subject, `sdk claiv-memory==0.2.1`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: str = Field(default="memconform.baseline/1", alias="schema")
    subjects: dict[str, tuple[Known, ...]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """How a run differs from a baseline; each list holds (subject, finding)."""

    known: tuple[tuple[str, FindingEntry], ...] = ()
    new: tuple[tuple[str, FindingEntry], ...] = ()
    vanished: tuple[tuple[str, Known], ...] = ()


def label(subject: SubjectEntry) -> str:
    """Return the name that a subject has in a baseline and in reports.

    An SDK is its release; a backend is the API that it serves, since its address may change.
    """
    if subject.kind == "backend":
        return f"backend {subject.api}"
    if subject.kind == "sdk" and subject.version:
        return f"sdk {subject.name}=={subject.version}"
    return f"{subject.kind} {subject.name}"


def of(results: Results) -> Baseline:
    """Return the baseline that accepts exactly the findings of a run."""
    return Baseline(
        subjects={
            label(subject): tuple(
                Known(id=f.id, requirement=f.requirement, message=f.message)
                for f in sorted(subject.findings, key=lambda f: (f.requirement, f.id))
            )
            for subject in results.subjects
            if subject.findings
        }
    )


def dump(baseline: Baseline) -> str:
    """Return the baseline as text that diffs well: one finding a line group, sorted."""
    return (
        json.dumps(baseline.model_dump(by_alias=True, mode="json"), indent=1, sort_keys=True) + "\n"
    )


def read(path: Path) -> Baseline:
    """Return the baseline in a file. Raises BaselineError where it is none."""
    try:
        return Baseline.model_validate_json(path.read_text("utf-8"))
    except OSError as error:
        raise BaselineError(
            f"baseline {path} cannot be read: {error.strerror}; "
            "`memconform baseline write RESULTS --to FILE` makes one"
        ) from error
    except ValidationError as error:
        raise BaselineError(f"baseline {path} is not one: {error.errors()[0]['msg']}") from error


def compare(results: Results, baseline: Baseline) -> Comparison:
    """Return what is known, new and vanished in a run."""
    known: list[tuple[str, FindingEntry]] = []
    new: list[tuple[str, FindingEntry]] = []
    vanished: list[tuple[str, Known]] = []
    for subject in results.subjects:
        name = label(subject)
        accepted = {k.id: k for k in baseline.subjects.get(name, ())}
        for finding in subject.findings:
            (known if finding.id in accepted else new).append((name, finding))
        if _comparable(subject):
            seen = {f.id for f in subject.findings}
            vanished += [(name, k) for k in accepted.values() if k.id not in seen]
    return Comparison(tuple(known), tuple(new), tuple(vanished))


def _comparable(subject: SubjectEntry) -> bool:
    """A subject of which nothing was judged says nothing about findings being gone."""
    return any(c.verdict in (Verdict.PASS, Verdict.FAIL) for c in subject.cases)


def merge(baselines: Iterable[Baseline]) -> Baseline:
    """Return one baseline that accepts what any of several accepts; later ones win by subject."""
    subjects: dict[str, tuple[Known, ...]] = {}
    for baseline in baselines:
        subjects.update(baseline.subjects)
    return Baseline(subjects=subjects)
