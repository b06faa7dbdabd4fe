"""What is seen of a package: public names first, objects at any depth, documented names always."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import specs
from conformance.drivers import init, matching, tables
from conformance.drivers.hosting.look import look
from conformance.drivers.hosting.table import Operation, attempts, choose, way

SOURCE = """
from __future__ import annotations
import asyncio

class Steps:
    def retrieve(self, step_id: str) -> str: ...

class Runs:
    def __init__(self): self.steps = Steps()

class Threads:
    def __init__(self): self.runs = Runs()

class Beta:
    def __init__(self): self.threads = Threads()

class Proxy:
    def __getattr__(self, name):
        if name != "open": raise AttributeError(name)
        return lambda door: door

class Client:
    def __init__(self, api_key: str, http_client: httpx.Client | None = None):
        self.beta, self.vault = Beta(), Proxy()

    @property
    def stats(self): raise RuntimeError("not now")

    def recall(self, query: str): ...
    async def arecall(self, query: str): ...

class LoopClient:
    def __init__(self, api_key: str):
        asyncio.get_running_loop()
        self.beta = Beta()

class NeedyError(Exception): ...

OpenThing = Client
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """The classes of a module, by name."""
    (tmp_path / "looked_at.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    told = look(["looked_at"], ["vault.open", "vault.close", "recall", "beta.nothing"])
    assert told["failed"] == {}
    return {c["name"]: c for c in told["classes"]}


def paths(told: dict[str, Any]) -> set[str]:
    """The methods of a class by path."""
    return {m["path"] for m in told["methods"]}


def test_objects_inside_objects_are_looked_at(seen: dict[str, dict[str, Any]]) -> None:
    """Four objects deep, in a client too that only an event loop can make."""
    assert "beta.threads.runs.steps.retrieve" in paths(seen["Client"])
    assert "beta.threads.runs.steps.retrieve" in paths(seen["LoopClient"])


def test_documented_names_are_looked_up(seen: dict[str, dict[str, Any]]) -> None:
    """What an object answers only when it is asked is there; what it does not answer is not."""
    found = paths(seen["Client"])
    assert ("vault.open" in found, "vault.close" in found) == (True, False)
    assert [m["path"] for m in seen["Client"]["methods"]].count("recall") == 1


def test_a_class_goes_by_its_own_name(seen: dict[str, dict[str, Any]]) -> None:
    """An alias beside it does not take its place."""
    assert "Client" in seen
    assert "OpenThing" not in seen


def test_an_http_client_is_made_of_the_kind_that_is_taken(seen: dict[str, dict[str, Any]]) -> None:
    """The parameter's type says which library's client a caller brings; unknown is left out."""
    clients = {"sync": seen["Client"], "async": seen["Client"]}
    wanted = {"sync": "httpx:Client", "async": "httpx:AsyncClient"}
    assert init._new(seen["Client"], clients, "http_client") == wanted
    assert init._new(seen["Client"], clients, "api_key") == {}


def test_async_twins_of_one_class_are_found(seen: dict[str, dict[str, Any]]) -> None:
    """`arecall` beside `recall` is the same operation for those who wait otherwise."""
    methods = [init._method(m) for m in seen["Client"]["methods"]]
    assert matching.twins(methods) == {"recall": "arecall"}


def test_a_way_of_one_mode_is_taken_in_that_mode() -> None:
    """Neither mode falls back on the other's method, and both count as documented."""

    class Both:
        def recall(self) -> None: ...
        async def arecall(self) -> None: ...

    row = Operation(way("recall", mode="sync"), also=(way("arecall", mode="async"),))
    for mode, name in (("sync", "recall"), ("async", "arecall")):
        chosen, _, lacks = choose(Both(), row, mode)
        assert (chosen.expression, lacks) == (name, None)


def test_tables_are_read_for_their_own_spec(tmp_path: Path) -> None:
    """A table that names no API that ships is served by the spec of that name only."""
    entries = tables.for_package("claiv-memory")
    assert [c.api for _, c in tables.with_contracts(entries, "claiv")] == ["claiv"]
    with pytest.raises(ValueError, match="is the contract of 'octamem'"):
        tables.with_contracts(entries, "octamem")


def test_an_option_that_counts_attempts_is_given_one_more() -> None:
    """`max_attempts` counts the first attempt; the role counts what comes after it."""
    assert "wrap=attempts" in init._option("max-retries", "max_attempts", {})
    assert "wrap" not in init._option("max-retries", "max_retries", {})
    assert [attempts(n) for n in (0, 2)] == [1, 3]


def test_a_body_that_goes_whole_into_an_argument_of_another_name_is_doubted() -> None:
    """`retain(content: str | dict)` may want a text where the contract has a body."""
    octamem = specs.load("octamem")
    told = [{"name": "event", "kind": "KEYWORD_ONLY", "required": True, "type": "str | dict"}]
    method = matching.Method("add", tuple(told))
    found = init.doubts(matching.Match(octamem["add"], method, 1.0), {})
    assert any("the whole body goes into `event`" in each for each in found)
