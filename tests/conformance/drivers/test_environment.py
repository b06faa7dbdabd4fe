"""Environments: keyed by content, made once, and a plain reason where there is none."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conformance.drivers import environment, tables
from conformance.drivers.environment import EnvironmentUnavailable, prepare

POCKETMEM = Path(__file__).parents[2] / "packages" / "pocketmem"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("MEMCONFORM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A source folder that may be changed."""
    return Path(shutil.copytree(POCKETMEM, tmp_path / "checkout"))


def _version(python: str) -> str:
    code = "import pocketmem; print(pocketmem.__version__)"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True,
                          check=True).stdout.strip()  # fmt: skip


def test_a_source_folder_is_installed_and_left_as_it_was(source: Path) -> None:
    """A checkout becomes an environment, and building leaves no trace in it."""
    before = sorted(str(p) for p in source.rglob("*"))
    made = prepare(str(source))
    assert (made.name, made.version, _version(made.python)) == ("pocketmem", "0.7.0", "0.7.0")
    assert made.packages == ("pocketmem==0.7.0",)
    assert sorted(str(p) for p in source.rglob("*")) == before


def test_two_checkouts_of_one_version_are_two_subjects(source: Path) -> None:
    """The key is the content: the same one is found again, a changed one is made anew."""
    first = prepare(str(source))
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "x.pyc").write_bytes(b"junk")
    assert prepare(str(source)).python == first.python
    with (source / "src" / "pocketmem" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write('__version__ = "0.7.0+mine"\n')
    second = prepare(str(source))
    assert second.digest != first.digest
    assert (_version(first.python), _version(second.python)) == ("0.7.0", "0.7.0+mine")


def test_a_wheel_is_a_subject(tmp_path: Path, source: Path) -> None:
    """A wheel is installed; its name and version come from its metadata."""
    build = "import backend; print(backend.build_wheel('.'))"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    wheel = next(source.glob("*.whl"))
    assert zipfile.is_zipfile(wheel)
    made = prepare(str(wheel))
    assert (made.name, made.version) == ("pocketmem", "0.7.0")


def test_many_at_once_make_one(source: Path, cache: Path) -> None:
    """Concurrent preparations of one subject share one environment."""
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(prepare, [str(source)] * 4))
    assert len({m.python for m in made}) == 1
    assert [p for p in (cache / "env").iterdir() if p.is_dir()] == [cache / "env" / made[0].digest]


def test_a_broken_environment_is_made_anew(source: Path) -> None:
    """An environment whose record is gone counts as unfinished."""
    made = prepare(str(source))
    record = Path(made.python).parents[1] / environment.RECORD
    record.write_text("{", encoding="utf-8")
    assert prepare(str(source)) == made


def test_a_build_that_fails_gives_its_last_words(source: Path, cache: Path) -> None:
    """A package that cannot be built is unavailable, with the reason; nothing is left over."""
    (source / "backend.py").write_text("raise SystemExit('no compiler here')", encoding="utf-8")
    with pytest.raises(EnvironmentUnavailable, match=r"cannot be built.*no compiler here"):
        prepare(str(source))
    assert [p.name for p in (cache / "env").iterdir() if p.is_dir()] == []


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        ("/no/such/folder", "no such file or folder"),
        ("{tmp}", "nothing to install"),
        ("{tmp}/notes.txt", r"no wheel \(\.whl\), no archive"),
    ],
)
def test_what_cannot_be_a_subject_is_said(tmp_path: Path, subject: str, says: str) -> None:
    """A path that holds no package is refused in words."""
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(EnvironmentUnavailable, match=says):
        prepare(subject.format(tmp=tmp_path))


@pytest.mark.parametrize("subject", ["claiv-memory", "claiv-memory==0.2.1"])
def test_without_a_network_the_reason_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, subject: str
) -> None:
    """An index that cannot be reached is a reason, in one sentence, and no crash."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(EnvironmentUnavailable, match="the package index cannot be reached"):
        prepare(subject)


@pytest.mark.parametrize(
    ("stderr", "says"),
    [
        ("error: No solution found … there is no version of x==9", "no such release"),
        ("× No solution found\n╰─▶ x was not found in the package registry", "no such release"),
        ("error: Failed to fetch: `https://u:p@h/simple/x/`", "cannot be reached"),
        ("× Failed to build `x`", "cannot be built"),
        ("error: whatever", "cannot be installed"),
    ],
)
def test_uvs_words_become_a_reason(stderr: str, says: str) -> None:
    """What uv says is sorted into reasons, without credentials."""
    reason = environment._reason("x", stderr)
    assert says in reason
    assert "u:p@" not in reason


def test_tables_are_found_by_distribution_name() -> None:
    """A package's tables are found however its name is spelled; an unknown one has none."""
    assert [e.table.api for e in tables.for_package("Claiv_Memory")] == ["claiv"]
    assert [e.table.api for e in tables.for_package("memsy")] == ["memsy", "memsy-control"]
    assert tables.for_package("pocketmem") == ()


def test_every_table_covers_its_contract() -> None:
    """Each shipped table names exactly the operations of its contract, by documented names."""
    import specs

    for entry in tables.shipped():
        contract = specs.load(entry.table.api)
        assert set(entry.table.operations) == set(contract.operations)
        documented = {
            id: o.documented.expression if o.documented else None
            for id, o in entry.table.operations.items()
        }
        promised = {
            o.id: o.method if str(o.basis) == "documented" else None for o in contract
        }  # fmt: skip
        assert {k: v for k, v in documented.items() if v} == {
            k: v for k, v in promised.items() if v
        }
        assert contract.client is not None
        options = {o.role: o.name for o in contract.client.options}
        assert {r: o.documented for r, o in entry.table.options.items()} == options


def test_a_file_without_tables_is_refused(tmp_path: Path) -> None:
    """A table file that cannot be read says why."""
    empty = tmp_path / "empty.py"
    empty.write_text("TABLES = 3", encoding="utf-8")
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_thing", encoding="utf-8")
    with pytest.raises(ValueError, match="must define TABLES"):
        tables.read(empty)
    with pytest.raises(ValueError, match="No module named 'no_such_thing'"):
        tables.read(broken)


def test_a_build_that_prints_what_it_sees_shows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout's build runs with a list of variables; its last words hold no key of ours."""
    names = ("MEMCONFORM_API_KEY", "MEMCONFORM_CLUSTER_SECRET", "AWS_SECRET_ACCESS_KEY", "MY_DSN")
    for number, name in enumerate(names):
        monkeypatch.setenv(name, f"kept-to-ourselves-{number}")
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "telltale"\nbackend-path = ["."]\n'
        '[project]\nname = "telltale"\nversion = "1"\n', "utf-8",
    )  # fmt: skip
    (tmp_path / "telltale.py").write_text(
        "import os, sys\n"
        "def build_wheel(*_):\n"
        "    kept = [v for v in os.environ.values() if v.startswith('kept')]\n"
        "    sys.exit(f'SEEN {sorted(os.environ)} {kept}')\n",
        "utf-8",
    )
    with pytest.raises(EnvironmentUnavailable, match="cannot be built") as why:
        prepare(str(tmp_path))
    assert ("'PATH'" in str(why.value), "kept-to-ourselves" in str(why.value)) == (True, False)
