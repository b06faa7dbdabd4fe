"""What an Arazzo 1.0 description tells a draft: which answer feeds which call.

A workflow that passes `$response.body#/data/id` of one step on as a parameter of the next says
where a new record's id is, and what its reader is asked for. Read as data; nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specs.contract import Operation
from specs.draft import shapes
from specs.draft.effects import ONE
from specs.draft.guesses import Draft, Guess
from specs.reading import SpecError

Source = tuple[Operation, str]
"""An operation and a pointer into its answer."""


def read(draft: Draft, document: Any, name: str) -> None:
    """Add what the workflows of an Arazzo document show. Raises SpecError if it is none."""
    version = document.get("arazzo") if isinstance(document, dict) else None
    if not str(version).startswith("1."):
        raise SpecError(f"{name}: is no Arazzo description: it has no `arazzo: 1.x`")
    for workflow in _dicts(document.get("workflows")):
        outputs: dict[str, Source] = {}
        before: Operation | None = None
        for step in _dicts(workflow.get("steps")):
            operation = _operation(draft, step)
            if operation is None:
                continue
            for parameter in _dicts(step.get("parameters")):
                _passed(draft, operation, parameter, outputs, before, name)
            for word, value in _pairs(step.get("outputs")):
                pointer = str(value).removeprefix("$response.body#")
                if str(value).startswith("$response.body#/"):
                    outputs[f"$steps.{step.get('stepId')}.outputs.{word}"] = (operation, pointer)
            before = operation


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    yield from (v for v in value if isinstance(v, dict)) if isinstance(value, list) else ()


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    yield from value.items() if isinstance(value, dict) else ()


def _operation(draft: Draft, step: dict[str, Any]) -> Operation | None:
    """Return the operation of a step: by its id, with or without a source's name before it."""
    wanted = str(step.get("operationId", ""))
    found = draft.contract.operations.get(wanted.rpartition(".")[2])
    if found is not None or "operationPath" not in step:
        return found
    pointer = str(step["operationPath"]).partition("#/paths/")[2]
    path, _, verb = pointer.rpartition("/")
    path = path.replace("~1", "/").replace("~0", "~")
    return next((o for o in draft.contract if (o.path, o.verb) == (path, verb.upper())), None)


def _passed(
    draft: Draft,
    operation: Operation,
    parameter: dict[str, Any],
    outputs: dict[str, Source],
    before: Operation | None,
    name: str,
) -> None:
    """Take note of a parameter: of a value that an earlier answer gave, or of one that is fixed."""
    called, value = str(parameter.get("name")), parameter.get("value")
    if called not in {p.name for p in operation.parameters}:
        return
    source = outputs.get(str(value))
    if source is None and before is not None and str(value).startswith("$response.body#/"):
        source = (before, str(value).removeprefix("$response.body#"))
    if source is not None:
        _linked(draft, source, operation, called, name)
    elif parameter.get("in") == "path" and isinstance(value, str) and not value.startswith("$"):
        _fix(draft, called, value, name)


def _linked(draft: Draft, source: Source, operation: Operation, called: str, name: str) -> None:
    """A creation's answer names the record that a later step works on."""
    maker, pointer = source
    if maker.verb != "POST" or maker.body is None:
        return
    why = f"{name} passes {pointer} of {maker.id} on to {operation.id} as `{called}`"
    known = draft.of(operation, "effect")
    made = draft.of(maker, "effect")
    guess = known or made
    resource = guess.value["resource"] if guess else _called(maker)
    if made is None:
        value = {"kind": "create", "resource": resource, "id": pointer}
        draft.guesses.append(Guess(maker, "effect", value, why))
    elif made.value.get("kind") == "create":
        made.value = {n: v for n, v in made.value.items() if n != "target"} | {"id": pointer}
        made.why += f"; {why}"
    kind = ONE.get(operation.verb)
    if known is None and kind is not None:
        value = {"kind": kind, "resource": resource, "target": called}
        draft.guesses.append(Guess(operation, "effect", value, why))
    elif known is not None and known.value.get("kind") in ("read", "update", "replace", "delete"):
        known.value["target"] = called
        known.why += f"; {why}"


def _called(maker: Operation) -> str:
    """Return what a creation creates, by the last fixed part of its path."""
    words = [w for w in maker.path.split("/") if w and "{" not in w]
    return shapes.singular(words[-1]) if words else "record"


def _fix(draft: Draft, called: str, value: str, name: str) -> None:
    """A path parameter with a value of its own leads to a place that is there."""
    fixed = next((g for g in draft.guesses if g.block == "fixed"), None)
    if fixed is None:
        fixed = Guess(None, "fixed", {}, f"{name} gives it as a value")
        draft.guesses.insert(0, fixed)
    fixed.value.setdefault(called, value)
    draft.questions[:] = [q for q in draft.questions if f"which {called} may be used" not in q]
