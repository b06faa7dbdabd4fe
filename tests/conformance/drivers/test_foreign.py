"""A package that nobody knows, by a spec of one's own: what it does odd ends no run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import subjects
from conformance.drivers import init, tables
from conformance.report.results import SubjectEntry
from conformance.sdk import run_release
from conformance.sdk.suite import opened
from conformance.verdict import Verdict

AWKWARD = Path(__file__).parents[2] / "packages" / "awkward"
SPEC = AWKWARD / "boxes.yaml"


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache folder of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMCONFORM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The table that `driver init` writes, and what it says."""
    file = tmp_path_factory.mktemp("table") / "boxes table.py"
    said: list[str] = []
    assert init.main(str(AWKWARD), str(SPEC), file, write=said.append) == 0
    return file, "".join(said)


def judged(table: Path, api: Path = SPEC, *select: str) -> SubjectEntry:
    """The entry of the package, judged on some cases."""
    (entry,) = run_release(str(AWKWARD), select=select, table=table, api=str(api))
    return entry


def given(table: Path, api: str | None, *select: str) -> dict[str, object]:
    """The options of `memconform sdk` for the package."""
    return {
        "sdk": [str(AWKWARD)], "driver": None, "api": api, "seed": 0, "clock": "virtual",
        "case": list(select), "jobs": None, "deep": False, "table": table,
    }  # fmt: skip


def test_a_first_table_of_an_awkward_package_is_clear(drafted: tuple[Path, str]) -> None:
    """Lazy clients, properties that raise and modules that exit are told, and hide nothing else."""
    file, said = drafted
    (entry,) = tables.read(file)
    assert entry.table.api == "boxes"
    assert dict(entry.table.clients) == {"sync": "Awkward", "async": "AsyncAwkward"}
    assert entry.table.module == "awkward"
    assert "awkward.script: SystemExit: 2" in said
    assert "the table runs: 3 of 4 operations can be called" in said
    assert f"--table '{file}' --api {SPEC}" in said


def test_the_printed_next_line_judges(drafted: tuple[Path, str]) -> None:
    """What `driver init` says to type next runs to its end and judges what can be called."""
    file, _ = drafted
    [entry] = subjects.judge_sdks(given(file, str(SPEC), "wire.request", "surface.methods"))
    passed = {c.operation for c in entry.cases if c.verdict is Verdict.PASS}
    assert passed >= {"boxes.add", "boxes.get"}
    assert list(entry.findings) == []
    assert entry.details["spec"] == str(SPEC)


def test_what_a_constructor_asks_is_no_part_of_a_play(drafted: tuple[Path, str]) -> None:
    """Requests of the constructor are answered as declared, and neither counted nor faulted."""
    entry = judged(drafted[0], SPEC, "errors.statuses", "robust.framing")
    assert [c.reason for c in entry.cases if c.verdict is Verdict.ERROR] == []
    assert [c.reason for c in entry.cases if "constructing" in c.reason] == []
    assert {c.operation for c in entry.cases if c.verdict is Verdict.PASS} >= {"boxes.add"}


def test_a_constructor_that_asks_what_nobody_declared_is_inconclusive(
    drafted: tuple[Path, str], tmp_path: Path
) -> None:
    """No client, no verdict: what to add to the spec is said, and no promise counts as broken."""
    text = SPEC.read_text("utf-8")
    begin, end = text.index("  /ping:"), text.index("  /boxes:")
    spec = tmp_path / "unasked.yaml"
    spec.write_text(text[:begin] + text[end:])
    entry = judged(drafted[0], spec, "surface.methods", "surface.clients", "wire.request")
    assert list(entry.findings) == []
    assert entry.verdict is Verdict.INCONCLUSIVE
    reasons = {c.reason for c in entry.cases if c.verdict is Verdict.INCONCLUSIVE}
    assert any("it asked GET /ping, which the contract does not declare" in r for r in reasons)


def test_an_adapt_that_needs_its_sdk_loses_nothing(
    drafted: tuple[Path, str], tmp_path: Path
) -> None:
    """A table's function that imports the SDK only costs the script that would show a finding."""
    file = tmp_path / "adapted.py"
    adapt = (
        "def named(module, arguments):\n    import awkward\n    from conformance.drivers.hosting"
        ".table import Built\n    return Built((), {'name': awkward.__name__})\n\n"
    )
    text = drafted[0].read_text("utf-8").replace("OPERATIONS = {", adapt + "OPERATIONS = {", 1)
    text = text.replace('Operation(way("boxes.add"))', 'Operation(Way("boxes.add", adapt=named))')
    file.write_text(text.replace("Table, way", "Table, Way, way"))
    entry = judged(file, SPEC, "wire.request")
    assert {(f.requirement, f.operation) for f in entry.findings} == {("WR5", "boxes.add")}
    assert entry.details["reproductions"] == {}


@pytest.mark.parametrize(
    ("table", "api", "says"),
    [
        ("drafted", "claiv", "write `api='claiv'` into the table that is meant"),
        ("drafted", "nowhere.yaml", "nowhere.yaml"),
        ("drafted", None, "give its spec with --api FILE"),
        ("import nobody_has_this", str(SPEC), "import what an `adapt` needs inside that function"),
    ],
)
def test_a_table_and_a_spec_that_do_not_fit_are_told_first(
    drafted: tuple[Path, str], tmp_path: Path, table: str, api: str | None, says: str
) -> None:
    """A table for another API, a spec that is not there: said before anything is installed."""
    file = drafted[0]
    if table != "drafted":
        file = tmp_path / "table.py"
        file.write_text(table)
    with pytest.raises(subjects.Usage, match=re.escape(says)):
        subjects.judge_sdks(given(file, api))


def test_a_finding_of_a_foreign_package_can_be_replayed(drafted: tuple[Path, str]) -> None:
    """The subject is found again by what its entry keeps: its folder, spec and table."""
    entry = judged(drafted[0], SPEC, "wire.request")
    with opened(
        entry.details["subject"], entry.details["spec"], table=entry.details["table"]
    ) as made:
        assert made.contract.api == "boxes"
        assert made.hello.can("boxes.add", "async")


def test_pages_that_page_on_are_walked_and_end(drafted: tuple[Path, str]) -> None:
    """A page that only has `__iter__` or `__aiter__` is walked: to its end, and into every trap.

    A plain call of it ends too: the testbench's own page is the last one.
    """
    entry = judged(drafted[0], SPEC, "paging.", "answers.fields")
    by = {(c.case, c.mode): c.verdict for c in entry.cases if c.operation == "boxes.list"}
    for mode in ("sync", "async"):
        assert by["paging.end", mode] is Verdict.PASS
        assert by["paging.lazy", mode] is Verdict.PASS
        assert by["paging.trap", mode] is Verdict.FAIL
    assert by["answers.fields", "async"] is Verdict.PASS
    assert {f.cause for f in entry.findings} == {"walk:trapped"}
