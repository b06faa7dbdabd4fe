"""`driver init`: a table for a package that none of ours knows, honest about what is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import specs
from conformance.drivers import check, init, matching, tables
from conformance.drivers.matching import Method
from conformance.sdk import run_release
from conformance.verdict import Verdict

POCKETMEM = str(Path(__file__).parents[2] / "packages" / "pocketmem")
CLAIV = specs.load("claiv")
OCTAMEM = specs.load("octamem")


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache folder of this module's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMCONFORM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def draft() -> init.Draft:
    """The draft of a package that no table knows."""
    assert tables.for_package("pocketmem") == ()
    return init.draft(POCKETMEM, CLAIV)


def test_methods_are_matched_to_operations(draft: init.Draft) -> None:
    """What is there is found under whatever name; what is not there is not made up."""
    found = {m.operation.id: m.method.path for m in draft.matches if m.method}
    assert found == {
        "ingest": "ingest_event",
        "recall": "recall",
        "forget": "forget",
        "usage.summary": "usage.get_summary",
        "usage.limits": "usage.limits",
        "receipts.get": "get_deletion_receipt",
        "health": "health",
    }
    assert {m.operation.id for m in draft.unmatched} == {
        "recall_v2", "forget_v2", "receipts.list", "usage.breakdown",
    }  # fmt: skip


def test_clients_and_options_are_found(draft: init.Draft) -> None:
    """Both clients, and the constructor's parameters by what they are for."""
    assert dict(draft.clients) == {"sync": "Pocket", "async": "AsyncPocket"}
    assert dict(draft.options) == {
        "api-key": "token", "base-url": "endpoint", "timeout": "timeout", "max-retries": "retries",
    }  # fmt: skip
    assert (draft.exceptions, "ClaivError" in draft.no_exceptions) == ((), True)


def test_the_written_table_runs_and_is_a_good_driver(tmp_path: Path) -> None:
    """A drafted table drives the package at once, and its driver passes `driver check`."""
    file = tmp_path / "pocket_table.py"
    said: list[str] = []
    assert init.main(POCKETMEM, "claiv", file, write=said.append) == 0
    text = "".join(said)
    assert "7 operations matched clearly, 0 to check, 4 not found" in text
    assert "not found usage.breakdown (nearest: usage.get_summary" in text
    assert "the table runs: 7 of 11 operations can be called" in text
    (entry,) = tables.read(file)
    assert set(entry.table.operations) == set(CLAIV.operations)
    command = [sys.executable, "-m", "conformance.drivers", POCKETMEM, "--table", str(file)]
    assert check.check(command, CLAIV) == []


def test_a_package_without_a_client_is_said(tmp_path: Path) -> None:
    """A contract that the package has nothing of gives no table but the classes that are there."""
    said: list[str] = []
    notes = Path(__file__).parents[2] / "miniatures" / "notes.yaml"
    assert init.main(POCKETMEM, str(notes), tmp_path / "t.py", write=said.append) == 1
    assert "has no class whose methods look like notes's operations" in said[0]
    assert not (tmp_path / "t.py").exists()


@pytest.mark.parametrize(
    ("package", "api", "code"), [("/no/such/folder", "claiv", 1), (POCKETMEM, "no-such-api", 2)]
)
def test_what_cannot_be_drafted_has_a_code(package: str, api: str, code: int) -> None:
    """No package is 1, no such API is 2, and each says why."""
    said: list[str] = []
    assert init.main(package, api, write=said.append) == code
    assert said


def _method(path: str, *names: str, **types: str) -> Method:
    told = [{"name": n, "kind": "KEYWORD_ONLY", "required": False, "type": ""} for n in names]
    told += [{"name": n, "kind": "KEYWORD_ONLY", "required": True, "type": t}
             for n, t in types.items()]  # fmt: skip
    return Method(path, tuple(told))


@pytest.mark.parametrize(
    ("operation", "method", "wanted"),
    [
        ("receipts.get", _method("m", "receipt_id"), {"rest": "keywords"}),
        ("receipts.get", _method("m", "id"), {"first": ("receipt_id",)}),
        ("receipts.get", _method("m", "receiptId"), {"rename": {"receipt_id": "receiptId"}}),
        ("forget", _method("m", params="dict[str, Any]"), {"rest": "dict"}),
        ("forget", _method("m", body="'ForgetRequest'"), {"rest": "model"}),
        ("usage.summary", _method("m", period="Literal['7d']"), {"rename": {"range": "period"}}),
    ],
)
def test_arguments_find_their_place(operation: str, method: Method, wanted: dict[str, Any]) -> None:
    """Flat arguments become positions, keywords, a dict or a model, as the method takes them."""
    shaped = matching.shape(CLAIV[operation], method, ["ForgetRequest"])
    plain: dict[str, Any] = {"first": (), "rest": "keywords", "rename": {}}
    assert {k: getattr(shaped, k) for k in plain} == {**plain, **wanted}
    assert shaped.left_over == ()


def test_what_may_be_left_out_is_no_place_for_another_argument() -> None:
    """An optional parameter of another name is not taken for an argument that is left over."""
    told = ("content", True, "str"), ("limit", False, "int"), ("data", False, "dict")
    method = Method("store", tuple(
        {"name": n, "kind": "KEYWORD_ONLY", "required": r, "type": t} for n, r, t in told
    ))  # fmt: skip
    shaped = matching.shape(OCTAMEM["add"], method)
    assert (shaped.rest, shaped.rename, shaped.left_over) == ("keywords", {}, ("previousContext",))


def test_a_documented_name_that_asks_for_something_else_does_not_decide() -> None:
    """`get(memory_id)` is not the documented `get(query)`, least of all beside `search(query)`."""
    methods = [_method("get", memory_id="int"), _method("search", query="str")]
    (found,) = [m for m in matching.match(OCTAMEM, methods) if m.operation.id == "search"]
    assert found.method is not None
    assert found.method.path == "search"
    same = _method("get", query="str")
    assert matching.score(OCTAMEM["search"], same) == 1.0


LIMITED = Method(
    "get", ({"name": "limit", "kind": "KEYWORD_ONLY", "required": False, "type": "int"},)
)


@pytest.mark.parametrize(
    ("operation", "method", "models", "doubt"),
    [
        ("search", LIMITED, {}, "needed, and without a place: query"),
        ("add", _method("add", event="Event"), {"Event": ("content", "userId")},
         "Event needs more: userId"),
        ("add", _method("add", event="Event"), {"Event": ("content",)}, ""),
        ("details", _method("stats"), {}, "please check"),
        ("details", _method("details", space="str"), {}, "it asks for more: space; `fixed`"),
    ],
)  # fmt: skip
def test_what_makes_a_match_one_to_check(
    operation: str, method: Method, models: dict[str, tuple[str, ...]], doubt: str
) -> None:
    """A weak name, a needed argument without a place, a model that needs more than there is."""
    strength = matching.score(OCTAMEM[operation], method)
    found = init.doubts(matching.Match(OCTAMEM[operation], method, strength), models)
    assert [doubt in each for each in found] == [True] * bool(doubt), found


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("listMemories", ["list", "memory"]),
        ("get_deletion_receipts", ["read", "deletion", "receipt"]),
        ("HTTPStatus", ["http", "status"]),
        ("memory.add", ["memory", "create"]),
    ],
)
def test_names_become_words(name: str, wanted: list[str]) -> None:
    """Names of any style are compared by their words, singular and without synonyms."""
    assert matching.words(name) == wanted


@pytest.mark.parametrize("api", ["claiv", "memsy", "memsy-control"])
def test_documented_names_win(api: str) -> None:
    """A package that has the documented names is matched by them alone, at full strength."""
    contract = specs.load(api)
    methods = [Method(o.method or o.id, ()) for o in contract]
    matched = {m.operation.id: (m.method and m.method.path, m.score)
               for m in matching.match(contract, methods)}  # fmt: skip
    assert matched == {o.id: (o.method or o.id, 1.0) for o in contract}


def test_the_written_table_judges_the_package(tmp_path: Path) -> None:
    """`sdk PACKAGE --table FILE` runs cases on what was drafted and tells of a broken promise."""
    file = tmp_path / "pocket_table.py"
    assert init.main(POCKETMEM, "claiv", file, write=lambda _: None) == 0
    (entry,) = run_release(POCKETMEM, select=["wire.request", "wire.encoding"], table=file)
    assert (entry.name, entry.version) == ("pocketmem", "0.7.0")
    assert {c.operation for c in entry.cases if c.verdict is Verdict.PASS} >= {"forget", "ingest"}
    assert {(f.requirement, f.operation) for f in entry.findings} >= {("WR8", "receipts.get")}
    assert entry.details["table"] == str(file.resolve())


KEYLESS = """
class Session:
    def __init__(self, token, endpoint="https://example.com"):
        self._token, self._endpoint = token, endpoint

    @property
    def memory(self):
        return Memory()


class Memory:
    def ingest(self, user_id, type, content): ...

    def recall(self, user_id, task, token_budget): ...

    def forget(self, user_id): ...

    def archive(self, user_id): ...
"""
GREETER = KEYLESS.replace(
    "        self._token", '        raise OSError("nobody greets back")\n        self._token'
).replace(
    "    @property\n    def memory(self):\n        return Memory()\n",
    "    def ingest(self, user_id, type, content): ...\n\n    def forget(self, user_id): ...\n",
)


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("carrier", KEYLESS, [
            "forget = memory.forget", "methods of no operation (1): memory.archive",
            "3 of 11 operations can be called",
        ]),
        ("greeter", GREETER, [
            "0 of 11 operations can be called",
            "cannot be called: none of those found: no sync client: Session: OSError: "
            "nobody greets back. Its constructor was given a key, and an address that answers as "
            "the spec declares",
        ]),
    ],
)  # fmt: skip
def test_clients_of_other_makes_are_told_truly(
    tmp_path: Path, name: str, source: str, says: list[str]
) -> None:
    """A client that only carries objects is found; one that cannot be made is said, with why."""
    (tmp_path / "src" / name).mkdir(parents=True)
    (tmp_path / "src" / name / "__init__.py").write_text(source)
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    backend = Path(POCKETMEM, "backend.py").read_text().replace("pocketmem", name)
    (tmp_path / "backend.py").write_text(backend.replace("0.7.0", "1"))
    said: list[str] = []
    assert init.main(str(tmp_path), "claiv", tmp_path / "table.py", write=said.append) == 0
    assert all(text in "".join(said) for text in says), "".join(said)
