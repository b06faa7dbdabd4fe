"""A draft as an Overlay: for the reader with reasons as comments, and applied for the checker."""

from __future__ import annotations

import copy
import json
import textwrap
from collections.abc import Iterator
from typing import Any

import yaml

from specs import bare
from specs.contract import Operation
from specs.draft.guesses import Draft, Guess
from specs.vocabulary import Basis

WIDTH = 96
UNSTATED = frozenset({"fixed"})
"""Blocks that are values and no promise, so that they have no basis."""


def actions(made: Draft) -> Iterator[tuple[Operation | None, dict[str, Any], list[str]]]:
    """Yield each action: the operation (None: the root), its block, its reasons in words."""
    root = copy.deepcopy(dict(made.contract.document.get("x-conformance") or {}))
    if not root:
        root = bare.root(made.contract.document, made.source)
    shared = [g for g in made.guesses if g.operation is None]
    for guess in shared:
        stated = {} if guess.block in UNSTATED else _stated(made, guess)
        root[guess.block] = {**root.get(guess.block, {}), **stated, **guess.value}
    yield None, root, [f"{g.block}: {g.why}{_seen(g)}" for g in shared]
    for operation in made.contract:
        own = [g for g in made.guesses if g.operation is operation]
        if not own:
            continue
        block: dict[str, Any] = {
            "basis": "documented", "source": f"{made.source} § {operation.id}",
            "wireBasis": "documented", "acceptsBasis": "assumed",
            "acceptsSource": "a description seldom says all that is asked of a value",
        }  # fmt: skip
        for guess in own:
            block[guess.block] = {**_stated(made, guess), **guess.value}
        yield operation, block, [f"{g.block}: {g.why}{_seen(g)}" for g in own]


def _stated(made: Draft, guess: Guess) -> dict[str, Any]:
    """Return basis and source of a guess."""
    if guess.basis is Basis.OBSERVED:
        info = made.contract
        return {"basis": "observed", "source": f"{info.api} {_release(info.version)}: {guess.seen}"}
    return {"basis": "assumed", "source": f"guessed from {made.source}"}


def _release(version: str) -> str:
    return version if version[:1].isdigit() and "." in version else "0.0"


def _seen(guess: Guess) -> str:
    return f" (seen: {guess.seen})" if guess.seen else ""


def applied(made: Draft) -> dict[str, Any]:
    """Return the description with the draft applied."""
    document = {**made.contract.document}
    paths = dict(document["paths"])
    for operation, block, _ in actions(made):
        if operation is None:
            document["x-conformance"] = block
            continue
        item = dict(paths[operation.path])
        verb = operation.verb.lower()
        item[verb] = {**item.get(verb, {}), "x-conformance": block}
        paths[operation.path] = item
    document["paths"] = paths
    return document


def target(operation: Operation) -> str:
    """Return the JSONPath (RFC 9535) of an operation."""
    path = operation.path.replace("\\", "\\\\").replace("'", "\\'")
    return f"$.paths['{path}'].{operation.verb.lower()}"


def render(made: Draft, extends: str | None = None) -> str:
    """Return a draft as the text of an Overlay 1.0."""
    lines = [
        "# Drafted by `memconform spec draft`: what the description lets one guess of behaviour.",
        "# Read it, answer the questions, mend it; the description itself stays as it is.",
    ]
    if made.questions:
        lines += ["#", "# Questions:"]
        for question in made.questions:
            lines += _comment(question, "# - ", "#   ")
    lines += ["overlay: 1.0.0"]
    title = json.dumps(f"Behaviour of {made.contract.title}", ensure_ascii=False)
    lines += [f'info: {{"title": {title}, "version": "1"}}']
    if extends:
        lines += [f"extends: {json.dumps(extends)}"]
    lines += ["actions:"]
    for operation, block, reasons in actions(made):
        for reason in reasons:
            lines += _comment(reason, "  # ", "  #   ")
        where = "$" if operation is None else target(operation)
        lines += [f"  - target: {json.dumps(where)}", "    update:"]
        text = yaml.safe_dump(
            {"x-conformance": block}, sort_keys=False, allow_unicode=True, width=WIDTH
        )
        lines += [f"      {line}" for line in text.splitlines()]
    return "\n".join(lines) + "\n"


def _comment(text: str, first: str, rest: str) -> list[str]:
    clean = " ".join(text.split())
    return textwrap.wrap(clean, WIDTH, initial_indent=first, subsequent_indent=rest) or [first]
