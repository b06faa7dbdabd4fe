"""Every value of a recording may be wrong: such a file is refused with words, or judged."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from conformance.backend import recording, suite
from specs import SpecError

HEAD: dict[str, Any] = {
    "format": "memconform.recording/1", "api": "claiv", "base_url": "http://127.0.0.1:1/claiv",
    "seed": 5, "run_id": "98577e2b", "principals": ["a", "b"], "deep": False, "fast": False,
    "read_only": False, "quota": [20, 1.0], "restart": True, "also": [], "hostile": True,
    "excluded": {},
}  # fmt: skip
LINE: dict[str, Any] = {
    "case": "auth.missing[recall]", "principal": "", "operation": "recall", "method": "POST",
    "target": "/claiv/v1/recall", "sent": 1.5, "received": 1.6, "at": 1.8e9, "connection": 1,
    "failure": None, "request": {"headers": [["accept", "*/*"]], "text": "{}"},
    "response": {"status": 200, "headers": [["content-type", "application/json"]],
                 "complete": True, "text": "{}"},
}  # fmt: skip
WRONG: tuple[Any, ...] = (
    None, True, 3, -1, 1e400, "x", [], {}, [1], {"a": 1}, "\ud800", "x" * 50_000, 10**30,
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside another."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inside in parts:
        found.append((*at, key))
        if isinstance(inside, dict | list):
            found += places(inside, (*at, key))
    return found


def changed(value: Any, at: tuple[Any, ...], to: Any) -> Any:
    """Return a copy with one value changed; removed where `to` is `...`."""
    made = inner = copy.deepcopy(value)
    for key in at[:-1]:
        inner = inner[key]
    if to is ...:
        del inner[at[-1]]
    else:
        inner[at[-1]] = to
    return made


def judged(path: Path, *lines: Any) -> str:
    """Write a recording and judge it; return why it is refused, '' where it is judged."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    try:
        subject = recording.judge(path)
    except (recording.RecordingError, SpecError) as why:
        return str(why)
    wrong = [r for r in suite.run(subject, select=["auth.missing"]) if r.verdict.name == "ERROR"]
    assert [] == [(r.name, r.reason) for r in wrong], lines
    return ""


@pytest.mark.parametrize("seed", range(2))
def test_wrong_values_are_refused_with_words_or_judged(tmp_path: Path, seed: int) -> None:
    """Wrong types, endless numbers, half characters and missing fields are no crash of ours."""
    drawn = random.Random(seed)
    assert "" == judged(tmp_path / "good", HEAD, LINE, LINE)
    told = []
    for whole in (HEAD, LINE):
        for at in places(whole):
            for to in drawn.sample((*WRONG, ...), 3):
                made = changed(whole, at, to)
                lines = (made, LINE, LINE) if whole is HEAD else (HEAD, made, LINE)
                told.append(judged(tmp_path / "x", *lines))
    assert sum(bool(why) for why in told) > len(told) / 3
    assert all("x:1: " in why or "x:2: " in why or "spec" in why.lower() for why in told if why)
