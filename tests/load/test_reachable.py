"""A load run on what cannot be tested says so as the backend suite does, and sends no load."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from conformance import subjects
from conformance.options import checked
from conformance.reference.backend.server import Embedded
from conformance.report.exit import Exit, decide
from conformance.report.results import SubjectEntry
from conformance.report.run import make


def judged(**given: Any) -> SubjectEntry:
    """Judge as `memconform load` does."""
    return subjects.judge_load(checked("load", lambda option: given.get(option.identifier)))


def _code(entry: SubjectEntry) -> Exit:
    return decide(make((entry,), started="", seconds=0, seed=0, command=())).code


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_a_dead_port_is_no_verdict() -> None:
    """Nothing listens there: exit 5 with the address, and no finding."""
    url = f"http://127.0.0.1:{_closed_port()}/x"
    entry = judged(base_url=url, api="octamem", api_key=["some-key-of-mine"])
    assert (Exit.TOO_LITTLE_EVIDENCE, ()) == (_code(entry), entry.findings)
    assert "nothing answers there" in entry.cases[0].reason


@pytest.mark.parametrize(("keys", "words"), [(["wrong-key-of-mine"], "the key was refused")])
def test_a_wrong_key_is_no_verdict(keys: list[str], words: str) -> None:
    """Every request is answered 401: exit 5, and what to give."""
    with Embedded() as backend:
        entry = judged(base_url=backend.url_for("octamem"), api="octamem", api_key=keys)
    assert (Exit.TOO_LITTLE_EVIDENCE, ()) == (_code(entry), entry.findings)
    assert words in entry.cases[0].reason
