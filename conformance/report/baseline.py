"""Baselines: files of waivers, and how a run compares with one.

Comparing is strict both ways, and honest. A finding that no waiver covers is new. A waiver's
finding is gone only if a case that shows it ran and passed. A case that did not run, or that was
inconclusive, did not observe it. What is not in the run at all matches nothing, and is told.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import specs
from conformance.report.extent import union, words
from conformance.report.extent import wider as wider_than
from conformance.report.results import FindingEntry, Results, SubjectEntry
from conformance.report.waiver import Baseline, Waiver
from conformance.verdict import Verdict

SHIPPED = Path(specs.__file__).parent / "known-deviations.json"

Seen = tuple[str, FindingEntry]
"""A subject's label and one of its findings."""


class BaselineError(ValueError):
    """A baseline cannot be read; the message says which file and why."""


@dataclass(frozen=True)
class Comparison:
    """How a run differs from a baseline."""

    known: tuple[Seen, ...] = ()
    new: tuple[Seen, ...] = ()
    wider: tuple[tuple[str, FindingEntry, str], ...] = ()
    """Known findings that reach further than their waiver says, with what was added."""
    searched: tuple[Seen, ...] = ()
    """Findings that no waiver covers and that only a random search shows: no gate rests on them."""
    expired: tuple[tuple[str, FindingEntry, Waiver], ...] = ()
    """Findings whose waiver's last day has passed."""
    expiring: tuple[Waiver, ...] = ()
    gone: tuple[tuple[str, Waiver], ...] = ()
    """Waivers whose case ran and passed."""
    unobserved: tuple[tuple[str, Waiver], ...] = ()
    """Waivers whose case did not run, or was inconclusive."""
    unmatched: tuple[Waiver, ...] = ()
    """Waivers for subjects or versions that are not in the run."""
    strict: bool = True
    """False if what is gone is good news: a branch beside another, not a list to keep."""
    waived: dict[tuple[str, str], Waiver] | None = None
    """(subject, finding id) -> the waiver that covers it."""

    def waiver(self, name: str, finding: FindingEntry) -> Waiver | None:
        """Return the waiver that covers a finding and has not expired."""
        return (self.waived or {}).get((name, finding.id))


def label(subject: SubjectEntry) -> str:
    """Return the name that a subject has in reports: an SDK with its version, a backend's API."""
    if subject.kind == "sdk" and subject.version:
        return f"{accepted_as(subject)}=={subject.version}"
    return accepted_as(subject)


def accepted_as(subject: SubjectEntry) -> str:
    """Return the name that waivers give a subject: what is judged, not where or which version."""
    return f"{subject.kind} {subject.api if subject.kind == 'backend' else subject.name}"


def of(results: Results) -> Baseline:
    """Return the baseline that accepts exactly the findings of a run."""
    return updated(Baseline(), results)


def updated(baseline: Baseline, results: Results) -> Baseline:
    """Return a baseline that also accepts a run's findings; what people wrote in it stays."""
    day = _day(results)
    judged = _versions(results.subjects)
    found: dict[tuple[str, str], list[tuple[SubjectEntry, FindingEntry]]] = {}
    for subject in results.subjects:
        for finding in (f for f in subject.findings if not f.search):
            found.setdefault((accepted_as(subject), finding.id), []).append((subject, finding))
    kept = {(w.subject, w.id): w for w in _named(baseline, results).waivers}
    for (name, id), seen in found.items():
        versions = {s.version for s, _ in seen}
        old = kept.get((name, id))
        if old is not None and old.versions:
            versions |= set(old.versions)
        everywhere = judged[name] <= versions and not (old and old.versions)
        everywhere = everywhere or bool(old and not old.versions)
        kept[(name, id)] = _waiver(
            [f for _, f in seen], name, () if everywhere else tuple(sorted(versions)), day, old
        )
    return Baseline(waivers=tuple(sorted(kept.values(), key=_order)))


def _waiver(
    seen: Sequence[FindingEntry], name: str, versions: tuple[str, ...], day: date,
    old: Waiver | None,
) -> Waiver:  # fmt: skip
    """Return the waiver of one finding as its versions show it, the last one in words."""
    finding = seen[-1]
    fresh = Waiver(
        id=finding.id,
        requirement=finding.requirement,
        subject=name,
        versions=versions,
        operation=finding.operation or "",
        message=finding.message,
        since=day,
        first_seen=day,
        last_seen=day,
        cases=finding.cases or (finding.case,),
        extent=union(f.extent for f in seen),
    )
    if old is None:
        return fresh
    people = {k: getattr(old, k) for k in ("owner", "reason", "ticket", "since", "expires")}
    reach = union((old.extent, fresh.extent))
    return fresh.model_copy(update={**people, "first_seen": old.first_seen or day, "extent": reach})


def pruned(baseline: Baseline, results: Results) -> tuple[Baseline, tuple[Waiver, ...]]:
    """Return the baseline without the waivers that a run shows to be gone, and those."""
    gone = {(w.subject, w.id, w.message) for _, w in compare(results, baseline).gone}
    return (
        Baseline(waivers=tuple(w for w in baseline.waivers if _key(w) not in gone)),
        tuple(w for w in baseline.waivers if _key(w) in gone),
    )


def _key(waiver: Waiver) -> tuple[str, str, str]:
    return waiver.subject, waiver.id, waiver.message


def _order(waiver: Waiver) -> tuple[str, str, str]:
    return waiver.subject, waiver.requirement, waiver.id


def _named(baseline: Baseline, results: Results) -> Baseline:
    """Return a baseline in which waivers that go by their words have the ids of a run."""
    ids = {
        (accepted_as(s), f.requirement, f.message): f.id for s in results.subjects
        for f in s.findings
    }  # fmt: skip
    return Baseline(
        waivers=tuple(
            w if w.id else w.model_copy(
                update={"id": ids.get((w.subject, w.requirement, w.message), "")}
            )
            for w in baseline.waivers
        )
    )  # fmt: skip


def _versions(subjects: Iterable[SubjectEntry]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for subject in subjects:
        found.setdefault(accepted_as(subject), set()).add(subject.version)
    return found


def _day(results: Results) -> date:
    """Return the day on which a run started; the first of all days if it does not say."""
    return datetime.fromisoformat(results.run.started).date() if results.run.started else date.min


def compare(results: Results, baseline: Baseline, today: date | None = None) -> Comparison:
    """Return what is known, new, wider, expired, gone and not observed in a run.

    `today` decides what has expired; the day of the run if it is not given.
    """
    today = today or _day(results)
    named = _named(baseline, results)
    known: list[Seen] = []
    new: list[Seen] = []
    searched: list[Seen] = []
    wider: list[tuple[str, FindingEntry, str]] = []
    expired: list[tuple[str, FindingEntry, Waiver]] = []
    gone: dict[int, tuple[str, Waiver]] = {}
    unobserved: dict[int, tuple[str, Waiver]] = {}
    matched: set[int] = set()
    waived: dict[tuple[str, str], Waiver] = {}
    for subject in results.subjects:
        name = label(subject)
        mine = [
            (n, w) for n, w in enumerate(named.waivers)
            if w.subject == accepted_as(subject) and w.holds_for(subject.version)
        ]  # fmt: skip
        matched.update(n for n, _ in mine)
        accepted = {w.id: w for _, w in mine if w.id}
        for finding in subject.findings:
            waiver = accepted.get(finding.id)
            if waiver is None:
                (searched if finding.search else new).append((name, finding))
            elif waiver.expired(today):
                expired.append((name, finding, waiver))
            else:
                waived[(name, finding.id)] = waiver
                beyond = wider_than(waiver.extent, finding.extent)
                if beyond.spreads:
                    wider.append((name, finding, words(beyond)))
                else:
                    known.append((name, finding))
        seen = {f.id for f in subject.findings}
        for n, waiver in mine:
            if waiver.id not in seen:
                (gone if _passed(subject, waiver) else unobserved)[n] = (name, waiver)
    return Comparison(
        known=tuple(known),
        new=tuple(new),
        searched=tuple(searched),
        wider=tuple(wider),
        expired=tuple(expired),
        expiring=tuple(
            w for n, w in enumerate(named.waivers) if n in matched and w.expiring(today)
        ),
        gone=tuple(gone.values()),
        unobserved=tuple(unobserved.values()),
        unmatched=tuple(w for n, w in enumerate(named.waivers) if n not in matched),
        waived=waived,
    )


def beside(results: Results, earlier: Results) -> Comparison:
    """Return how a run differs from an earlier one: new, gone, unchanged, not observed."""
    return replace(compare(results, of(earlier)), strict=False)


def _passed(subject: SubjectEntry, waiver: Waiver) -> bool:
    """Return True if every case that shows the waived finding ran, and none breaks its promise.

    A case may fail for another promise and still clear this one.
    """
    if not waiver.cases:  # an older baseline does not say which cases show it
        return any(
            r.id == waiver.requirement and r.verdict in (Verdict.PASS, Verdict.FAIL)
            for r in subject.requirements
        )
    ran = [
        c for c in subject.cases
        if c.case in waiver.cases and c.verdict is not Verdict.NOT_APPLICABLE
        and (not waiver.operation or c.operation in (None, waiver.operation))
    ]  # fmt: skip
    broken = {
        (each, operation)
        for f in subject.findings
        if f.requirement == waiver.requirement
        for each in (f.cases or (f.case,))
        for operation in (None, *f.operations)
    }
    return bool(ran) and all(
        c.verdict is Verdict.PASS
        or (c.verdict is Verdict.FAIL and (c.case, c.operation) not in broken)
        for c in ran
    )


def dump(baseline: Baseline, suffix: str = ".json") -> str:
    """Return the baseline as text that diffs well: JSON, or TOML if the suffix says so."""
    plain = baseline.model_dump(by_alias=True, mode="json", exclude_defaults=True)
    plain = {"schema": baseline.schema_, "waivers": plain.get("waivers", [])}
    if suffix == ".toml":
        days = ("since", "expires", "first_seen", "last_seen")
        for waiver in plain["waivers"]:
            waiver.update({d: date.fromisoformat(waiver[d]) for d in days if d in waiver})
        return tomli_w.dumps(plain)
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> Baseline:
    """Return the baseline in a TOML or JSON file. Raises BaselineError if it is none."""
    try:
        text = path.read_text("utf-8")
        plain: Any = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        json.dumps(plain, ensure_ascii=False, default=str).encode()  # half characters are none
        first = isinstance(plain, dict) and plain.get("schema") == First().schema_
        return _converted(First.model_validate(plain)) if first else Baseline.model_validate(plain)
    except OSError as error:
        raise BaselineError(
            f"baseline {path} cannot be read: {error.strerror}; "
            "`memconform baseline write RESULTS --to FILE` makes one"
        ) from error
    except ValidationError as error:
        at = ".".join(map(str, error.errors()[0]["loc"])) or "the file"
        raise BaselineError(f"baseline {path}: {at}: {error.errors()[0]['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"baseline {path} is neither TOML nor JSON: {error}") from error


class FirstKnown(BaseModel):
    """One accepted finding of a first baseline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    requirement: str
    message: str


class First(BaseModel):
    """The first form, `memconform.baseline/1`: findings by subject, `sdk claiv-memory==0.2.1`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: str = Field(default="memconform.baseline/1", alias="schema")
    subjects: dict[str, tuple[FirstKnown, ...]] = Field(default_factory=dict)


def _converted(first: First) -> Baseline:
    """Return a first baseline in today's form; ids of backends held the port and are dropped."""
    releases: dict[str, list[str]] = {}
    found: dict[tuple[str, str, str], list[tuple[str, FirstKnown]]] = {}
    for written, findings in first.subjects.items():
        name, _, version = written.partition("==")
        releases.setdefault(name, []).append(version)
        for each in findings:
            id = "" if name.startswith("backend ") else each.id
            found.setdefault((name, id, "" if id else each.message), []).append((version, each))
    waivers = []
    for (name, id, _), seen in found.items():
        versions = {version for version, _ in seen if version}
        everywhere = versions >= set(releases[name]) or not versions
        waivers.append(
            Waiver(
                id=id, requirement=seen[0][1].requirement, subject=name,
                message=seen[0][1].message,
                versions=() if everywhere else tuple(sorted(versions)),
            )
        )  # fmt: skip
    return Baseline(waivers=tuple(sorted(waivers, key=_order)))


def problems(baseline: Baseline, today: date) -> Sequence[str]:
    """Return what a person should mend in a baseline, a line each; none if all is well."""
    lines = []
    for waiver in baseline.waivers:
        who = waiver.owner or "nobody"
        if waiver.expired(today):
            lines.append(f"{waiver.names()}: expired on {waiver.expires}, owner {who}")
        elif waiver.expiring(today):
            lines.append(f"{waiver.names()}: expires on {waiver.expires}, owner {who}")
    keys = [(w.subject, w.id, w.versions) for w in baseline.waivers if w.id]
    lines += [f"{s} {id}: listed more than once" for s, id, v in sorted(set(keys))
              if keys.count((s, id, v)) > 1]  # fmt: skip
    return lines
