"""`memconform replay ID`: run the case of one finding again and print what it shows."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from conformance.cases import Case, CaseResult, execute
from conformance.drivers.environment import EnvironmentUnavailable
from conformance.drivers.process import DriverError
from conformance.drivers.tables import for_package
from conformance.faults.script import Script, ScriptError
from conformance.report.exit import Exit
from conformance.report.results import FindingEntry, Results, SubjectEntry
from conformance.sdk import test_composed
from conformance.sdk.subject import SdkSubject
from conformance.sdk.suite import cases, opened
from conformance.verdict import Finding, Verdict
from specs.sources import spelt


def main(
    finding: str, results: Path, console: Console | None = None, *, trust: bool = False
) -> int:
    """Show a finding of a `results.json` again.

    What the file names is run if somebody trusts it; releases of packages that memconform has a
    table for are run anyhow. Returns 1 where it is still there, 0 where not, 5 where it cannot be
    said, 2 for usage.
    """
    out = console or Console()
    try:
        read = Results.model_validate_json(results.read_text("utf-8"))
    except (OSError, ValidationError, ValueError) as why:
        out.print(
            f"{results} cannot be read as the results of a run: {str(why)[:300]}; name the run's "
            "results.json with --results",
            markup=False, soft_wrap=True,
        )  # fmt: skip
        return int(Exit.USAGE)
    found = [
        (s, f) for s in read.subjects if s.kind == "sdk" for f in s.findings if f.id == finding
    ]
    if not found:
        held = sorted({f.id for s in read.subjects if s.kind == "sdk" for f in s.findings})
        out.print(
            f"{results} holds no finding {finding!r} of an SDK; it has "
            f"{', '.join(held[:8]) or 'none'}{' …' if len(held) > 8 else ''}",
            markup=False, soft_wrap=True,
        )  # fmt: skip
        return int(Exit.USAGE)
    named = [] if trust else list(dict.fromkeys(w for entry, _ in found for w in _named(entry)))
    if named:
        for each in named:
            out.print(f"this would run {spelt(each)}", markup=False, soft_wrap=True)
        out.print(
            f"{results} names it, and a file may come from anywhere: give --trust to run it",
            markup=False, soft_wrap=True,
        )  # fmt: skip
        return int(Exit.USAGE)
    try:
        codes = [_again(out, entry, each, read.run.seed) for entry, each in found]
    except (EnvironmentUnavailable, DriverError, ValueError) as why:
        out.print(f"{found[0][0].name} cannot be run again: {why}", markup=False, soft_wrap=True)
        return int(Exit.TOO_LITTLE_EVIDENCE)
    return max(codes)


def _named(entry: SubjectEntry) -> Iterator[str]:
    """Yield what would be run because the file says so, in words."""
    driver, table = entry.details.get("driver"), entry.details.get("table")
    subject = str(entry.details.get("subject") or f"{entry.name}=={entry.version}")
    if driver:
        words = driver if isinstance(driver, list) else [driver]
        yield f"the driver {shlex.join(map(str, words))}"
    if table:
        yield f"the driver table {table}"
    package, equals, version = subject.partition("==")
    plain = bool(equals) and re.fullmatch(r"[0-9A-Za-z.+!]+", version) is not None
    if not driver and not (plain and for_package(package)):
        yield f"the package {subject}"


def _again(out: Console, entry: SubjectEntry, finding: FindingEntry, seed: int) -> int:
    driver, table = entry.details.get("driver"), entry.details.get("table")
    subject = entry.details.get("subject") or entry.name
    if not driver and not entry.details.get("subject"):
        subject = f"{entry.name}=={entry.version}"
    out.rule(f"{entry.name} {entry.version}: {finding.requirement} {finding.cause}")
    api, _, operation = (finding.operation or "").rpartition(":")
    api = entry.details.get("spec") or api or entry.api
    case = next((c for c in cases() if c.id == finding.case), None)
    if case is None:
        out.print(f"there is no case {finding.case!r} any more", markup=False)
        return int(Exit.USAGE)
    seen: list[Finding] = []
    decided = True
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(opened(str(subject), api, driver, table))
        made.seed = seed
        chosen = made.contract[operation] if case.each is not None and operation else None
        played = _with_script(case, finding)
        for mode in finding.modes or case.modes:
            result: CaseResult = execute(played, made, chosen, mode if mode in case.modes else "")
            seen += [
                f for f in result.findings
                if f.identity == (finding.requirement, finding.cause)
            ]  # fmt: skip
            decided = decided and result.verdict in (Verdict.PASS, Verdict.FAIL)
            if result.reason:
                out.print(f"{result.name}: {result.verdict}: {result.reason}", markup=False)
    if not seen and not decided:
        out.print("whether it still shows cannot be said", markup=False)
        return int(Exit.TOO_LITTLE_EVIDENCE)
    if not seen:
        out.print("it does not show any more", markup=False)
        return int(Exit.CONFORMS)
    _show(out, seen[0], entry.details.get("reproductions", {}).get(finding.id))
    return int(Exit.DEVIATES)


def _with_script(case: Case, finding: FindingEntry) -> Case:
    """Return a case that plays just the script of its finding, where it composed that itself."""
    if case.function is not test_composed.test_scripts:
        return case
    try:
        script = Script.parse(finding.fault)
    except ScriptError:
        return case  # too long to be kept whole: it is composed anew

    def shown(subject: SdkSubject, mode: str) -> list[Finding]:
        return test_composed.again(subject, mode, script)

    return replace(case, function=shown)


def _show(out: Console, finding: Finding, script: str | None) -> None:
    lines = [
        finding.message, f"expected: {finding.expected}", f"actual:   {finding.actual}",
        f"fault:    {finding.fault[:300] or 'none'}", *finding.timeline,
    ]  # fmt: skip
    for line in lines:
        out.print(spelt(line), markup=False, soft_wrap=True)
    if script:
        out.rule("the same as a script: it needs the SDK and the standard library only")
        out.print(script, markup=False, highlight=False, soft_wrap=True)
