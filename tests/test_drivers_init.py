"""`driver init`: a table for a package that none of ours knows, honest about what is missing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import specs
from conformance.drivers import check, init, matching, tables
from conformance.drivers.matching import Method

POCKETMEM = str(Path(__file__).parent / "packages" / "pocketmem")
CLAIV = specs.load("claiv")


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
    notes = Path(__file__).parent / "miniatures" / "notes.yaml"
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
