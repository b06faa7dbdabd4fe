"""The suites as plain pytest: options, collection, results, and manners towards other suites."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.cases import CaseResult
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from conformance.report.results import Results
from conformance.verdict import Finding, Verdict
from specs import Basis
from tests.foreign import servers

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def backend() -> Iterator[Embedded]:
    """The perfect reference backend."""
    with Embedded() as served:
        yield served


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run pytest as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:locust", "-p", "no:cacheprovider", *words],
        capture_output=True, text=True, timeout=240, check=False, cwd=cwd,
    )  # fmt: skip


def options(backend: Embedded, out: Path) -> list[str]:
    """Where the backend is and where the result goes."""
    keys = [word for key in backend.keys[:2] for word in ("--api-key", key)]
    return ["--base-url", backend.url_for("octamem"), "--api", "octamem", *keys, "--out", str(out)]


def test_installed_suite_runs_as_pytest(backend: Embedded, tmp_path: Path) -> None:
    """`pytest --pyargs conformance.backend` judges a base URL and writes results.json."""
    done = run("--pyargs", "conformance.backend", *options(backend, tmp_path / "out"), cwd=tmp_path)
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr
    made = Results.model_validate_json((tmp_path / "out" / "results.json").read_text("utf-8"))
    assert "octamem" == made.subjects[0].api
    assert Verdict.FAIL not in {c.verdict for c in made.subjects[0].cases}
    assert backend.keys[0] not in (tmp_path / "out" / "results.json").read_text("utf-8")


def test_failing_case_says_expected_and_actual(tmp_path: Path) -> None:
    """A failed case is shown as requirement, expected and actual, not as a traceback of ours."""
    with Embedded(defects=Defects.of(["auth.missing-key-is-403"])) as broken:
        done = run(
            "--pyargs", "conformance.backend", *options(broken, tmp_path / "out"),
            "-k", "auth or missing", cwd=tmp_path,
        )  # fmt: skip
    assert 1 == done.returncode, done.stdout[-3000:]
    assert "AU3" in done.stdout
    assert "expected:" in done.stdout
    assert "Traceback" not in done.stdout


def test_suite_without_a_subject_is_a_usage_error(tmp_path: Path) -> None:
    """Without --base-url nothing is collected: exit 2, and a sentence that says what to type."""
    done = run("--pyargs", "conformance.backend", cwd=tmp_path)
    assert 2 == done.returncode
    assert "--base-url" in done.stdout + done.stderr


def test_other_suites_are_left_alone(tmp_path: Path) -> None:
    """The plugin changes neither collection nor exit code of a suite that is not ours."""
    (tmp_path / "test_theirs.py").write_text("def test_it():\n    assert True\n", "utf-8")
    done = run("-q", str(tmp_path), cwd=tmp_path)
    assert 0 == done.returncode, done.stdout
    assert "1 passed" in done.stdout
    assert "memconform" not in done.stdout


def test_a_server_that_goes_away_is_told_once(tmp_path: Path) -> None:
    """As from the command line: one finding says that it went, the rest was not tested."""
    with servers.dying(300) as served:
        done = run(
            "--pyargs", "conformance.backend", "--base-url", served.url, "--api", "claiv",
            "--api-key", served.keys[0], "--out", str(tmp_path), cwd=tmp_path,
        )  # fmt: skip
    made = Results.model_validate_json((tmp_path / "results.json").read_text("utf-8"))
    causes = [f.cause for f in made.subjects[0].findings]
    assert "server-gone" in causes
    assert not [c for c in causes if "refused" in c or "not-alive" in c]
    assert done.returncode == 1
    assert "nothing listens" in "".join(c.reason for c in made.subjects[0].cases)


def test_a_server_that_is_not_there_is_no_verdict(tmp_path: Path) -> None:
    """Nothing was tested: exit 5, whatever pytest makes of skipped tests."""
    done = run(
        "--pyargs", "conformance.backend", "--base-url", "http://127.0.0.1:9", "--api", "octamem",
        "--api-key", "k", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 5, done.stdout[-2000:]
    assert "nothing answers there" in done.stdout


@pytest.mark.parametrize(
    ("basis", "code"), [(Basis.DOCUMENTED, 1), (Basis.OBSERVED, 0), (Basis.ASSUMED, 0)]
)
def test_only_what_fails_the_run_is_failed(
    basis: Basis, code: int, backend: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test is FAILED exactly if what it found fails the run; else it passes and says what."""
    found = Finding("AU3", "a key is not asked for", basis=basis, cause="c", case="auth.missing")
    result = CaseResult("auth.missing", ("AU3",), Verdict.FAIL, findings=(found,))
    monkeypatch.setattr("conformance.backend.suite.Taker.__call__", lambda *_: result)
    watch = _Watch()
    words = ["-q", "-rP", "--pyargs", "conformance.backend.test_auth", "-k", "missing",
             "-p", "no:cacheprovider", *options(backend, tmp_path)]  # fmt: skip
    assert code == pytest.main(words, plugins=[watch])
    assert {"failed" if code else "passed"} == watch.outcomes
    assert "a key is not asked for" in watch.told


class _Watch:
    """What pytest reports of each test."""

    def __init__(self) -> None:
        self.outcomes: set[str] = set()
        self.told = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the outcome of a test, and all that it says."""
        if report.when == "call":
            self.outcomes.add(report.outcome)
            self.told += str(report.longrepr) + "".join(text for _, text in report.sections)
