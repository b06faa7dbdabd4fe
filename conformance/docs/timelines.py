"""What a requirement looks like on the wire: kept and broken, as the references show it.

`python -m conformance.docs.timelines [RA4 …]` runs the perfect reference and the defect that proves
each requirement, and renews `timelines.json` beside this module. Pages read only that file.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from conformance.cases import Case, CaseResult, execute, instances
from conformance.evidence import NOT_SENT, Shown
from conformance.history import Exchange
from conformance.reference.defects import Defect, Defects
from conformance.report.write import file
from conformance.teeth import SUITES, material
from conformance.verdict import Finding, Verdict
from specs import Operation
from specs.catalogue import requirements

FILE = Path(__file__).with_name("timelines.json")
WIDTH = 160
"""Characters of a line that are kept."""
LINES = 40
"""Lines of one timeline that are kept."""
DULL = NOT_SENT | {"accept", "user-agent", "server", "date", "keep-alive"}
"""Header fields that tell a reader nothing here."""
STRUCTURED = frozenset({"RA2", "RL20"})
"""Requirements that are about one of these fields."""


class Shows(BaseModel):
    """One requirement, kept by the reference and broken by one defect of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    defect: str
    what: str = Field(description="what the defect does, in words")
    api: str
    case: str
    operation: str = ""
    mode: str = ""
    fault: str = Field(default="", description="the fault script, where one was played")
    message: str = Field(description="what the case says of the defect")
    passing: tuple[str, ...]
    failing: tuple[str, ...]


@cache
def shows() -> Mapping[str, Shows]:
    """Return requirement id -> what it looks like, as the file has it."""
    raw = json.loads(FILE.read_text("utf-8")) if FILE.is_file() else {}
    return {id: Shows.model_validate(each) for id, each in raw.items()}


def make(requirement: str) -> Shows | None:
    """Run reference and defect; return what was seen, None if no defect shows it."""
    for suite in SUITES:
        for defect in material(suite).DEFECTS:
            if defect.requirement == requirement:
                made = _MAKERS[suite](defect)
                if made is not None:
                    return made
    return None


def _shows(
    defect: Defect, finding: Finding, failing: Sequence[str], passing: Sequence[str]
) -> Shows:
    return Shows(
        defect=defect.id, what=defect.summary, api=defect.api, case=defect.case,
        operation=finding.operation or "", mode=finding.mode, fault=finding.fault,
        message=finding.message, passing=_bounded(passing), failing=_bounded(failing),
    )  # fmt: skip


def _bounded(lines: Sequence[str]) -> tuple[str, ...]:
    if len(lines) > LINES:
        lines = [*lines[: LINES // 2], "…", *lines[-LINES // 2 :]]
    return tuple(x if len(x) <= WIDTH else f"{x[: WIDTH - 1]}…" for x in lines)


def _found(result: CaseResult, defect: Defect, exact: bool = True) -> Finding | None:
    """Return the finding of the defect's requirement; if not `exact`, any of the case."""
    return next(
        (f for f in result.findings if f.requirement == defect.requirement or not exact), None
    )


# --- SDKs -----------------------------------------------------------------------------------------


def _sdk(defect: Defect) -> Shows | None:
    from conformance.reference.sdk.demo import source
    from conformance.sdk.suite import reference, selected

    (case,) = (c for c in selected([defect.case]) if c.id == defect.case)
    with reference(source(defect.api), [defect.id]) as subject:
        for operation, mode in instances(case, subject.contract):
            finding = _found(execute(case, subject, operation, mode), defect)
            if finding is not None:
                break
        else:
            return None
    passing = _sdk_passing(source(defect.api), case, operation, mode, finding)
    failing = finding.timeline or (finding.message,)
    if failing == passing:  # the difference is in what was sent or handed over
        failing = (*failing, *_differs(finding))
    return _shows(defect, finding, failing, passing)


def _differs(finding: Finding) -> Iterator[str]:
    """Yield what a timeline does not show: what was wanted, and what was there."""
    seen = (("wanted", finding.expected), ("was", finding.actual))
    told = [f"{word}: {value}" for word, value in seen if value is not None]
    yield from told or [f"wrong: {finding.message}"]


def _sdk_passing(
    contract: str, case: Case, operation: Operation | None, mode: str, finding: Finding
) -> tuple[str, ...]:
    """Return the timeline of the same play at the perfect reference."""
    from conformance.sdk.suite import reference
    from conformance.sdk.timeline import timeline

    with reference(contract) as subject:
        plays: list[Any] = []
        play = subject.play

        def kept(*given: Any, **more: Any) -> Any:
            plays.append(play(*given, **more))
            return plays[-1]

        subject.play = kept  # type: ignore[method-assign]
        execute(case, subject, operation, mode)
    told = [p for p in plays if p.history.calls]
    same = [p for p in told if p.script.brief(2000) == finding.fault]
    chosen = (same or told)[:1]
    return tuple(x for p in chosen for x in timeline(p.history, p.call, p.script)) or (
        f"{case.id} passes",
    )


# --- backends -------------------------------------------------------------------------------------


def _backend(defect: Defect) -> Shows | None:
    from conformance.backend import teeth
    from conformance.backend.suite import Taker, selected

    ways = ((defect.case, True), (teeth.group(defect.case), True), (defect.case, False))
    for select, exact in ways:
        with teeth.judged(defect.api, defects=Defects.of([defect.id])) as subject:
            take = Taker(subject)
            take.begin()
            for case in selected([select]):
                for operation, mode in instances(case, subject.contract):
                    first = subject.exchanged
                    finding = _found(take(case, operation, mode), defect, exact)
                    if finding is not None and case.id == defect.case:
                        places = [n - first for n in finding.witness if n >= first]
                        asked = [subject.exchanges[n].operation for n in finding.witness]
                        passing = _backend_passing(defect, select, finding, places, asked)
                        return _shows(defect, finding, list(_told(finding.evidence, defect)),
                                      passing)  # fmt: skip
    return None


def _backend_passing(
    defect: Defect,
    select: str,
    finding: Finding,
    places: Sequence[int],
    asked: Sequence[str | None],
) -> list[str]:
    """Return the same exchanges of the same case at the perfect reference."""
    from conformance.backend import teeth
    from conformance.backend.suite import Taker, selected
    from conformance.backend.witnesses import SHOWN_MAX, told_in_full

    with teeth.judged(defect.api) as subject:
        take = Taker(subject)
        take.begin()
        for case in selected([select]):
            for operation, mode in instances(case, subject.contract):
                first = subject.exchanged
                result = take(case, operation, mode)
                about = operation.id if operation else None
                if case.id != defect.case or (about and about != finding.operation):
                    continue
                during: Sequence[Exchange] = subject.exchanges[first:] or subject.exchanges
                chosen = [during[n] for n in places if n < len(during)]
                if [e.operation for e in chosen] != list(asked):
                    chosen = [e for e in during if e.operation in set(asked)][-len(asked) or None :]
                shown = told_in_full(subject, chosen[-SHOWN_MAX:])
                lines = list(_told(shown, defect))
                return lines or [f"{result.name}: {result.verdict}"]
    return [f"{defect.case}: {Verdict.PASS}"]


def _told(evidence: Sequence[Shown], defect: Defect) -> Iterator[str]:
    """Yield exchanges as HTTP looks like, without fields that say nothing here."""
    dull = NOT_SENT if defect.requirement in STRUCTURED else DULL
    for each in evidence:
        for line in each.lines():
            name, colon, _ = line[2:].partition(": ")
            if not (colon and name.lower() in dull):
                yield line


# --- load -----------------------------------------------------------------------------------------


def _load(defect: Defect) -> Shows | None:
    kill = material("load").kill(defect)
    if kill.verdict != "killed":
        return None
    lines = [line for line in kill.detail.split("; ") if line]
    named = f"{defect.requirement} "
    first = next((x.removeprefix(named) for x in lines if x.startswith(named)), lines[0])
    return Shows(
        defect=defect.id, what=defect.summary, api=defect.api, case=defect.case, message=first,
        failing=_bounded(lines), passing=_clean(defect.api),
    )  # fmt: skip


@cache
def _clean(api: str) -> tuple[str, ...]:
    """Return what a run of `smoke` on the perfect backend says of itself."""
    from conformance.options import checked
    from conformance.reference.backend.server import Embedded
    from conformance.subjects import judge_load

    with Embedded(process=True) as backend:
        wanted = {"base_url": backend.url_for(api), "api": api, "api_key": backend.keys[:1],
                  "load_profile": "smoke"}  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="memconform-docs-") as folder:
            given = {**checked("load", lambda option: wanted.get(option.identifier)),
                     "out": Path(folder)}  # fmt: skip
            made = judge_load(given)
    return _bounded([str(made.details.get("line", "")),
                     *(f"{c.case}: {c.verdict}" for c in made.cases
                       if c.verdict is not Verdict.NOT_APPLICABLE)])  # fmt: skip


_MAKERS = {"backend": _backend, "sdk": _sdk, "load": _load}


def renew(ids: Sequence[str]) -> Iterator[str]:
    """Renew the file for these requirements (all); yield a line on each as it is done."""
    known = json.loads(FILE.read_text("utf-8")) if FILE.is_file() else {}
    for id in ids or requirements():
        made = make(id)
        if made is not None:
            known[id] = made.model_dump(mode="json")
            ordered = {name: known[name] for name in requirements() if name in known}
            file(FILE, json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", "--to")
        yield f"{id}: {made.defect if made else 'no defect shows it'}"


if __name__ == "__main__":
    for line in renew(sys.argv[1:]):
        print(line, flush=True)  # noqa: T201 - a command of ours
