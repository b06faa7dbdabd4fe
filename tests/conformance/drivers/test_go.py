"""The worked driver in Go: it keeps the protocol, and its SDK, whose calls block, is judged."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import conformance.drivers
from conformance.drivers import check
from conformance.sdk.suite import run_release
from conformance.verdict import Verdict

GO = shutil.which("go")
FOLDER = Path(conformance.drivers.__file__).parent / "examples" / "go"
pytestmark = [
    pytest.mark.skipif(GO is None, reason="go is not installed"),
    pytest.mark.xdist_group("go"),
]


def built(folder: Path, to: Path) -> str:
    """Build a driver, and return its path."""
    subprocess.run([str(GO), "build", "-o", str(to), "."], cwd=folder, check=True, timeout=240)
    return str(to)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The driver as it ships."""
    return built(FOLDER, tmp_path_factory.mktemp("go") / "driver")


def test_a_driver_is_at_most_120_lines() -> None:
    """What an author in Go must write is as little as in any other language."""
    assert len((FOLDER / "driver.go").read_text("utf-8").splitlines()) <= 120


def test_the_driver_check_finds_nothing(driver: str) -> None:
    """`memconform driver check` has no remark about it."""
    assert check.main(driver, "claiv") == 0


def test_an_sdk_whose_calls_block_can_conform(driver: str) -> None:
    """The example keeps all that its contract promises; no promise is left open."""
    (entry,) = run_release(None, [driver], "claiv")
    verdicts = {r.id: r.verdict for r in entry.requirements}
    assert list(entry.findings) == []
    assert set(verdicts.values()) <= {Verdict.PASS, Verdict.NOT_APPLICABLE}
    assert sum(v is Verdict.PASS for v in verdicts.values()) >= 40


BROKEN = [
    # what is changed in the SDK, the case that must notice, the requirement
    ("again := got.status == 429 \\|\\| ", "again := ", "retry.statuses", "RT5"),
    ("url.PathEscape\\(id\\)", "id", "wire.encoding", "WR8"),
]


@pytest.mark.parametrize(("old", "new", "case", "requirement"), BROKEN)
def test_a_broken_sdk_is_noticed(
    tmp_path: Path, old: str, new: str, case: str, requirement: str
) -> None:
    """Each way of breaking the example is a finding against the promise that it breaks."""
    folder = shutil.copytree(FOLDER, tmp_path / "sdk")
    source = folder / "claiv.go"
    changed, count = re.subn(old, lambda _: new, source.read_text("utf-8"))
    assert count == 1
    source.write_text(changed, "utf-8")
    (entry,) = run_release(None, [built(folder, tmp_path / "driver")], "claiv", select=[case])
    assert requirement in {finding.requirement for finding in entry.findings}
