"""Descriptions as frameworks write them, broken at random, and a server that answers anything.

Used by a short test and by a long bench (`python -m tests.bench.fuzz`). The one rule: whatever a
foreign description says, no command ends with an error of memconform's own.
"""

from __future__ import annotations

import copy
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml

import specs
from conformance.backend import suite
from conformance.backend.probing import confirm, described
from conformance.backend.subject import BackendSubject, SubjectError
from conformance.clock import VirtualClock
from conformance.history import Response
from conformance.verdict import Verdict
from load.plan import make_plan
from load.profile import load_profile
from specs import SpecError, check
from specs.draft import draft, render
from specs.reading import joined
from tests.scripted import ScriptedTransport

CORPUS = sorted((Path(__file__).parent / "specs" / "corpus").iterdir())
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e300, "", "x", "\ud83d\ude00", [], [[]], [None], {}, {"": {}},
    {"type": "object"}, {"type": ["string", "null"]}, {"$ref": "#/components/schemas/None"},
    {"$ref": "#"}, {"$ref": "other.yaml#/x"}, {"enum": []}, {"type": "file"}, {"const": None},
    {"oneOf": []}, {"type": "array", "items": {"type": "array"}}, {"pattern": "("},
    {"minimum": 9, "maximum": 1}, {"type": "string", "format": "binary"}, {"allOf": [False]},
)  # fmt: skip
"""What a value is replaced by."""
WORDS = (
    "type", "required", "in", "name", "schema", "content", "responses", "parameters", "properties",
    "items", "security", "operationId", "requestBody", "components", "openapi", "info", "default",
)  # fmt: skip
STATUSES = (200, 200, 200, 201, 204, 400, 401, 404, 409, 422, 429, 500, 503, 301, 206)


def corpus(path: Path) -> dict[str, Any]:
    """Return a description of the corpus."""
    made: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return made


def mutated(document: dict[str, Any], random: Random, times: int) -> dict[str, Any]:
    """Return a description that is changed in some places: dropped, replaced, renamed, swapped."""
    made = copy.deepcopy(document)
    for _ in range(times):
        holders = list(_holders(made))
        holder, key = random.choice(holders)
        other, place = random.choice(holders)
        act = random.randrange(6)
        if act == 0:
            del holder[key]
        elif act in (1, 2):
            holder[key] = copy.deepcopy(random.choice(ODD))
        elif act == 3 and isinstance(holder, dict):
            holder[str(key)[:-1] or "x"] = holder.pop(key)  # as a person mistypes it
        elif act == 4:
            holder[key] = copy.deepcopy(other[place])
        elif isinstance(holder, dict):
            holder[random.choice(WORDS)] = copy.deepcopy(random.choice(ODD))
    return made


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, inner in list(pairs):
            yield node, key
            if isinstance(inner, dict | list) and inner:
                waiting.append(inner)


class Anything:
    """A server that answers whatever comes to mind, some of it what was sent."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def __call__(self, data: bytes) -> Response | None:
        """Answer one request."""
        random = self._random
        if random.random() < 0.02:
            return None
        status = random.choice(STATUSES)
        headers = [("content-type", random.choice(("application/json", "text/plain", "")))]
        if random.random() < 0.1:
            headers.append(("retry-after", random.choice(("0", "1", "soon"))))
        _, _, sent = data.partition(b"\r\n\r\n")
        body = random.choice((sent, self._made(), self._made(), b"", b"\xff{", b"null"))
        return Response(status, tuple(headers), b"" if status == 204 else body)

    def _made(self) -> bytes:
        random = self._random
        record = {
            "id": random.choice(("abcdefgh-12345678", 7, None, "x")),
            "name": "n",
            "title": "t",
        }
        wrap = random.choice(("items", "data", "book", "detail"))
        return json.dumps(random.choice((record, [record], {wrap: [record], "total": 1},
                                         {wrap: record}, [], {}, 3))).encode()  # fmt: skip


def trouble(
    document: Any, folder: Path, random: Random, run: bool, generated: bool = False
) -> list[str]:
    """Return every error of memconform's own on one description, in words.

    It is checked, drafted, checked with the draft, and planned under load; if `run`, the server
    that answers anything is probed and judged too, with generated requests if `generated`.
    """
    path, overlay = folder / "api.json", folder / "overlay.yaml"
    path.write_text(json.dumps(document, default=str), encoding="utf-8")
    try:
        check.check(path)
        contract = specs.load(path)
    except SpecError:
        return []  # refused at the door, in one sentence: that is an answer
    except Exception:  # the rule is that there is none
        return [f"spec check: {traceback.format_exc(limit=-3)}"]
    found: list[str] = []
    try:
        made = draft(str(path))
        overlay.write_text(render(made, extends=path.name), encoding="utf-8")
        wrong = [p for p in check.check(joined(path, [overlay])) if not p.note]
        found += [f"the draft does not pass: {each}" for each in wrong[:1]]
        make_plan(contract, load_profile("smoke"))
        make_plan(specs.load(overlay), load_profile("smoke"))
        if run:
            confirm(made, _subject(described(made), random))
            found += _judged(contract, random) + _judged(described(made), random)
        if generated:
            found += _judged(contract, random, ["contract."])
    except SubjectError:
        return found
    except Exception:  # the rule is that there is none
        return [*found, traceback.format_exc(limit=-4)]
    return found


def _subject(contract: specs.Contract, random: Random, fast: bool = True) -> BackendSubject:
    clock = VirtualClock()
    return BackendSubject(
        contract, "http://anything.test", ["a-key-of-nobody"], fast=fast, clock=clock,
        max_requests=400, transport=ScriptedTransport(Anything(random), clock),
    )  # fmt: skip


def _judged(contract: specs.Contract, random: Random, select: list[str] | None = None) -> list[str]:
    """Return the cases of the backend suite that end in an error of memconform's own."""
    subject = _subject(contract, random, fast=select is None)
    try:
        results = suite.run(subject, select=select)
        return [f"{r.name}: {r.reason}" for r in results if r.verdict is Verdict.ERROR]
    except SubjectError:
        return []
    finally:
        subject.close()
