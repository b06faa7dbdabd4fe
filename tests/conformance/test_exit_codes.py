"""Exit codes, each made to happen: a pipeline believes the number, so the number must be true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defects
from conformance.report import write
from conformance.report.results import Results
from conformance.report.run import make


def memconform(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "conformance", *words],
        capture_output=True, text=True, timeout=240, check=False, cwd=cwd, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def backend() -> Iterator[Embedded]:
    """The perfect reference backend."""
    with Embedded() as served:
        yield served


def judge(backend: Embedded, *more: str, key: str | None = None) -> list[str]:
    """The words of a quick backend run."""
    return [
        "backend", "--base-url", backend.url_for("octamem"), "--api", "octamem",
        "--api-key", key or backend.keys[0], *more,
    ]  # fmt: skip


def test_conforming_backend_exits_0(backend: Embedded, tmp_path: Path) -> None:
    """A backend that keeps its promises exits 0 and leaves a valid result."""
    done = memconform(*judge(backend, "--case", "auth", "--out", str(tmp_path)))
    assert (0, True) == (done.returncode, (tmp_path / "results.json").exists()), done.stderr
    assert Results.model_validate_json((tmp_path / "results.json").read_text("utf-8")).run.complete


def test_broken_promise_exits_1(tmp_path: Path) -> None:
    """A backend with a seeded defect exits 1 and names the requirement."""
    with Embedded(defects=Defects.of(["auth.missing-key-is-403"])) as broken:
        done = memconform(*judge(broken, "--case", "auth"))
    assert 1 == done.returncode, done.stdout + done.stderr
    assert "AU3" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backend", "--base-url", "http://127.0.0.1:1", "--api", "nosuch"], "nosuch"),
        (["backend", "--base-url", "nonsense", "--api", "octamem"], "nonsense"),
        (["sdk"], "name an SDK"),
        (["sdk", "--driver", "x"], "--api"),
        (["run", "--only", "everything"], "everything"),
        (["teeth", "--suite", "gums"], "gums"),
        (["baseline", "write", "nowhere.json"], "nowhere.json"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_usage_exits_2(words: list[str], said: str) -> None:
    """A mistake in what was asked exits 2 and repeats the offending value."""
    done = memconform(*words)
    assert 2 == done.returncode, done.stdout + done.stderr
    assert said in done.stderr


def test_crashing_driver_is_never_green() -> None:
    """A driver that dies at once leaves nothing judged, and that is not a pass."""
    done = memconform(
        "sdk", "--driver", f"{sys.executable} -c 'raise SystemExit(9)'", "--api", "octamem"
    )
    assert done.returncode in (3, 5), done.stdout + done.stderr


def test_unwritable_output_exits_3(backend: Embedded, tmp_path: Path) -> None:
    """An output folder that cannot be made exits 3 before anything is sent."""
    (tmp_path / "file").write_text("", "utf-8")
    done = memconform(*judge(backend, "--out", str(tmp_path / "file" / "x")))
    assert 3 == done.returncode, done.stdout + done.stderr
    assert "--out" in done.stderr


def test_full_disk_exits_3(tmp_path: Path) -> None:
    """A baseline that finds no room on the disk exits 3 and names the file."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("this system has no /dev/full")
    results = write.results(tmp_path, make((), started="", seconds=0, seed=0, command=()))
    done = memconform("baseline", "write", str(results), "--to", "/dev/full")
    assert 3 == done.returncode, done.stdout + done.stderr
    assert "cannot write /dev/full: No space left on device" in done.stderr


def test_dead_base_url_is_too_little_evidence() -> None:
    """Where nobody answers, nothing was judged: exit 5, and it says what did not answer."""
    done = memconform(
        "backend", "--base-url", "http://127.0.0.1:9/x", "--api", "octamem", "--api-key", "k"
    )
    assert 5 == done.returncode, done.stdout + done.stderr
    assert "127.0.0.1:9" in done.stdout + done.stderr


def test_refused_key_is_too_little_evidence(backend: Embedded) -> None:
    """Where the key is refused everything answers 401, and that is not conformance."""
    done = memconform(*judge(backend, key="not-a-key-of-yours"))
    assert 5 == done.returncode, done.stdout + done.stderr


def test_selection_of_nothing_is_a_usage_error(backend: Embedded) -> None:
    """A selection that matches no case is a mistake, said with what there is."""
    done = memconform(*judge(backend, "--case", "no-such-case"))
    assert 2 == done.returncode, done.stdout + done.stderr
    assert "no-such-case" in done.stderr


def test_stale_baseline_exits_4(backend: Embedded, tmp_path: Path) -> None:
    """A baseline that lists a finding which is gone exits 4."""
    first = memconform(*judge(backend, "--case", "auth", "--out", str(tmp_path)))
    assert 0 == first.returncode, first.stdout + first.stderr
    made = json.loads((tmp_path / "results.json").read_text("utf-8"))
    subject = made["subjects"][0]
    stale = {
        "schema": "memconform.baseline/1",
        "subjects": {
            f"backend {subject['api']}": [{"id": "0" * 10, "requirement": "AU3", "message": "gone"}]
        },
    }
    (tmp_path / "known.json").write_text(json.dumps(stale), "utf-8")
    done = memconform(*judge(backend, "--case", "auth", "--baseline", str(tmp_path / "known.json")))
    assert 4 == done.returncode, done.stdout + done.stderr


def test_half_a_report_is_refused(tmp_path: Path) -> None:
    """A results.json that breaks off is refused by what reads it, with exit 2."""
    (tmp_path / "results.json").write_text('{"schema": "memconform.results/1", "run"', "utf-8")
    done = memconform("report", str(tmp_path / "results.json"), "--out", str(tmp_path / "out"))
    assert 2 == done.returncode
    assert "results.json" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_no_encoding_of_the_terminal_ends_a_run(encoding: str, tmp_path: Path) -> None:
    """A terminal that cannot show a sign gets a plain one, and the verdict's own exit code."""
    made = write.results(tmp_path, make((), started="", seconds=0, seed=0, command=()))
    done = subprocess.run(
        [sys.executable, "-m", "conformance", "report", str(made), "--out", str(tmp_path / "o")],
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True, check=False,
    )  # fmt: skip
    assert 5 == done.returncode, done.stderr
    assert b"+ pass" in done.stdout
