"""Results of releases that are kept: taken if nothing that decides them changed, else not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.drivers import init
from conformance.report.notes import notes
from conformance.report.results import SubjectEntry
from conformance.sdk import kept

POCKETMEM = str(Path(__file__).parents[2] / "packages" / "pocketmem")
SELECT = ("wire.encoding",)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of this module's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMCONFORM_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def table(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A driver table for the package."""
    file = tmp_path_factory.mktemp("table") / "table.py"
    assert init.main(POCKETMEM, "claiv", file, write=lambda _: None) == 0
    return file


@pytest.fixture(scope="module")
def first(table: Path) -> SubjectEntry:
    """The entry of the run that fills the cache."""
    return once(table)


def once(table: Path, seed: int = 0) -> SubjectEntry:
    """The entry of the package, from the cache if it is there."""
    [entry] = kept.judged(POCKETMEM, api="claiv", seed=seed, select=SELECT, table=table)
    return entry


def test_the_same_again_comes_from_the_cache(first: SubjectEntry, table: Path) -> None:
    """A second run of the same says so, with its time, and has the same cases and findings."""
    again = once(table)
    assert not first.details.get("kept")
    assert again.details["kept"]
    assert again.cases == first.cases
    assert again.findings == first.findings
    assert any("--no-cache" in note for note in notes(again))


def test_another_seed_is_judged(first: SubjectEntry, table: Path) -> None:
    """A seed decides what is drawn, so that a result of another seed does not serve."""
    assert not once(table, seed=5).details.get("kept")


def test_another_table_is_judged(first: SubjectEntry, table: Path, tmp_path: Path) -> None:
    """A changed driver table may call other methods, so that its result is not known."""
    other = tmp_path / "table.py"
    other.write_text(table.read_text("utf-8") + "\n# changed\n", "utf-8")
    assert not once(other).details.get("kept")


def test_a_broken_file_is_judged_again(first: SubjectEntry, table: Path, cache: Path) -> None:
    """A cache file that is no result counts for nothing, and is replaced."""
    for path in (cache / "results").glob("*.json"):
        path.write_text("{", "utf-8")
    assert not once(table).details.get("kept")
    assert once(table).details["kept"]


def test_a_cache_that_cannot_be_written_costs_time_alone(table: Path, cache: Path) -> None:
    """Without a folder for results the release is judged, each time."""
    shutil.rmtree(cache / "results", ignore_errors=True)
    (cache / "results").write_text("a file", "utf-8")
    try:
        assert once(table, seed=9).cases
        assert not once(table, seed=9).details.get("kept")
    finally:
        (cache / "results").unlink()
