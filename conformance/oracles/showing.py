"""When a fault shows, as an expression that a reproduction can evaluate by itself.

The names in it are those of `Finding.shows`. An expression that fails with a lookup or a type
error is false: what it is about is not there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def at(number: int) -> str:
    """Return the answer to a witness in an expression, by the number of its exchange."""
    return f"answers[#{number}]"


def figure(name: str, number: int | None = None) -> str:
    """Return the number in a header field, of the last answer or of a witness'."""
    where = "header" if number is None else f"{at(number)}.header"
    return f"float({where}[{name.lower()!r}])"


def reached(pointer: str, data: str = "data") -> str:
    """Return the list of what a pointer with `*` for any entry reaches in a body."""
    steps = pointer.split("/")[1:]
    parts, here, letters = [], data, _letters()
    for number, step in enumerate(steps):
        if step == "*":
            each = next(letters)
            parts.append(f"for {each} in {here}")
            here = each
        elif number == len(steps) - 1:
            parts.append(f"if isinstance({here}, dict) and {step!r} in {here}" if parts else "")
            here = f"{here}[{step!r}]"
        else:
            here = f"{here}[{step!r}]"
    return f"[{here} {' '.join(parts)}]" if any(parts) else f"[{here}]"


_TYPES = {
    "string": "str", "integer": "int", "number": "int, float", "boolean": "bool",
    "array": "list", "object": "dict", "null": "type(None)",
}  # fmt: skip


def broken(status: int, schema: Any, steps: Sequence[str], place: str, null: bool) -> str:
    """Return when a body breaks a rule of its schema again; '' where that cannot be said shortly.

    `place` is as an oracle tells it, `/items/*/id`, with ` lacks NAME` for what is required.
    """
    path, _, lacking = place.partition(" lacks ")
    parts = [] if path == "the whole body" else path.strip("/").split("/")
    if steps[-1] == "required":
        leaf = f"{lacking!r} not in {{}}" if lacking else ""
    else:
        leaf = _leaf(_led(schema, steps), steps[-1], null)
    if not leaf:
        return ""
    return f"status == {status} and " + _at("data", [p for p in parts if p], leaf, _letters())


def _leaf(word: Any, keyword: str, null: bool) -> str:
    if null:
        return "{} is None"
    if keyword == "type":
        kinds = [word] if isinstance(word, str) else list(word or ())
        return f"not isinstance({{}}, ({', '.join(_TYPES[k] for k in kinds)},))" if kinds else ""
    return f"{{}} not in {list(word)!r}" if keyword == "enum" else ""


def _led(schema: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if isinstance(schema, Mapping):
            schema = schema.get(step)
        elif isinstance(schema, Sequence) and step.isdigit():
            schema = schema[int(step)]
    return schema


def _letters() -> Iterator[str]:
    return (f"x{n}" for n in itertools.count())


def _at(here: str, parts: list[str], leaf: str, letters: Iterator[str]) -> str:
    for number, part in enumerate(parts):
        if part == "*":
            each = next(letters)
            return f"any({_at(each, parts[number + 1 :], leaf, letters)} for {each} in {here})"
        here = f"{here}[{part!r}]"
    return leaf.format(here)


def value(pointer: str) -> str:
    """Return what stands at a pointer into the body, None where nothing does."""
    here = "data"
    for part in pointer.strip("/").split("/"):
        here = f"({here} if isinstance({here}, dict) else {{}}).get({part!r})"
    return here


def no_text(status: int | None, pointer: str | None, header: str | None = None) -> str:
    """Return when no text stands at a pointer, nor in a header where one is named."""
    parts = [f"status == {status}"]
    if pointer:
        parts.append(f"not isinstance({value(pointer)} or None, str)")
    if header:
        parts.append(f"not header.get({header.lower()!r})")
    return " and ".join(parts)
