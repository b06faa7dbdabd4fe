"""Walks under load: every style of paging is walked from its first page to its last."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from conformance.reference.backend.server import Embedded
from load.call import origin
from load.ledger import walk
from load.pages import Told, Walked, judge
from load.transport_fast import Connection
from tests.paged_notes import STYLES, notes


@pytest.mark.parametrize("style", STYLES)
def test_a_walk_sees_all_that_is_there(style: str) -> None:
    """Pages that a Link header names are followed like those that are counted, to the last."""
    declared: dict[str, Any] = {"items": "/items", "itemKey": "/id", **STYLES[style]}
    contract = notes(declared)
    with Embedded(contracts=[contract]) as served:
        url, key = served.url_for("notes"), served.keys[0]
        with httpx.Client(headers={"x-key": key}) as client:
            made = [
                client.post(f"{url}/notes", json={"text": str(n)}).json()["id"] for n in range(7)
            ]
        where = origin(url)
        lane: Any = SimpleNamespace(where=where, credentials=[("x-key", key)])
        wire: Any = Connection((where.host, where.port))
        try:
            items = list(itertools.islice(walk(lane, wire, contract["notes.list"], {}, 2), 50))
        finally:
            wire.close()
    ids = [item["id"] for item in items]
    assert (7, Told(missed=0, repeated=0)) == (len(ids), judge(Walked(ids), set(made)))
