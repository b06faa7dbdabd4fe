"""What answers show of a draft's guesses: where an id is, which array holds it, what errors share.

Pure: values in, pointers out. Nothing here sends, and nothing here knows a draft.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from specs.draft.shapes import escaped, plain
from specs.effects import at, is_id

DEEP = 2
"""Levels of objects in which an id is sought."""
LIKELY = ("id", "uuid", "name", "key", "slug", "hash")
MESSAGES = ("message", "detail", "error_description", "title", "error", "msg")
CODES = ("code", "error_code", "error", "type")
REQUESTS = ("request_id", "trace_id")


def ids(body: Any, first: str | None = None) -> list[tuple[str, str | int]]:
    """Return what may be the id of a record: pointer and value, `first` and likely names first."""
    found = dict(_scalars(body, "", DEEP))
    told = found.pop(first, None) if first is not None else None
    kept = {p: v for p, v in found.items() if _may_be(p)}
    ranked = sorted(kept.items(), key=lambda each: (_rank(each[0]), each[0].count("/")))
    return ([(first, told)] if first is not None and told is not None else []) + ranked


def _scalars(value: Any, place: str, deep: int) -> Iterator[tuple[str, str | int]]:
    if is_id(value):
        yield place, value
    elif isinstance(value, dict) and deep >= 0:
        for name, each in value.items():
            yield from _scalars(each, f"{place}/{escaped(str(name))}", deep - 1)


def _rank(pointer: str) -> int:
    name = plain(pointer.rpartition("/")[2])
    return next((n for n, word in enumerate(LIKELY) if name.endswith(word)), len(LIKELY))


def _may_be(pointer: str) -> bool:
    return _rank(pointer) < len(LIKELY)


def holding(body: Any, pointer: str | None, id: str | int) -> str | None:
    """Return where an answer shows an id: at `pointer` if it is there, else where it is found."""
    if pointer is not None and str(at(body, pointer)) == str(id):
        return pointer
    return next((p for p, v in ids(body) if str(v) == str(id)), None)


def listed(
    body: Any, items: str | None, item_id: str | None, id: str | int
) -> tuple[str, str] | None:
    """Return which array of an answer holds a record and where its entries show ids.

    What is guessed wins if it is so; None if no array holds it.
    """
    every = dict(arrays(body))
    for place in sorted(every, key=lambda p: p != items):
        for entry in every[place]:
            shown = holding(entry, item_id, id) if isinstance(entry, dict) else ""
            if shown is not None and (shown or str(entry) == str(id)):
                return place, shown
    return None


def arrays(body: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the arrays of an answer: the root, its members, and those of its object members."""
    if isinstance(body, list):
        yield "", body
    if not isinstance(body, dict):
        return
    for name, value in body.items():
        place = f"/{escaped(str(name))}"
        if isinstance(value, list):
            yield place, value
        elif isinstance(value, dict):
            yield from (
                (f"{place}/{escaped(str(n))}", v) for n, v in value.items() if isinstance(v, list)
            )


def envelope(bodies: Sequence[Any]) -> dict[str, str]:
    """Return the members that every error body shows as text: word -> pointer."""
    made: dict[str, str] = {}
    if not bodies or not all(isinstance(each, dict) for each in bodies):
        return made
    for word, names in (("message", MESSAGES), ("code", CODES), ("requestId", REQUESTS)):
        for pointer in _named(bodies[0], names):
            shared = all(isinstance(at(each, pointer), str) for each in bodies)
            if shared and pointer not in made.values():
                made.setdefault(word, pointer)
    return made


def _named(body: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    for place, held in (("", body), *((f"/{escaped(n)}", v) for n, v in body.items())):
        if isinstance(held, dict):
            yield from (
                f"{place}/{escaped(name)}"
                for wanted in names for name in held if plain(str(name)) == plain(wanted)
            )  # fmt: skip


def otherwise(written: Mapping[str, Any], shown: Any) -> list[str]:
    """Return the properties that a representation shows with another value than was written."""
    if not isinstance(shown, dict):
        return []
    return sorted(n for n, v in written.items() if n in shown and shown[n] != v)
