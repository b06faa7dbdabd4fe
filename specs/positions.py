"""Where in a YAML or JSON file something stands, so that a complaint can name line and column.

Reading and locating only: what is wrong with what was read is said in `check.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from specs.reading import Loader, SpecError, parsed

Path = tuple[str, ...]
"""Keys and indexes from the document's root, as strings."""


class Place(NamedTuple):
    """Line and column, both counted from 1."""

    line: int
    column: int


class Unreadable(ValueError):
    """The text is no YAML; `place` says where reading stopped."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.place = place


@dataclass(frozen=True)
class Located:
    """A document, the place of everything in it, and keys that are given twice."""

    document: Any
    places: dict[Path, Place]
    repeated: tuple[Path, ...]

    def place(self, path: Sequence[str | int]) -> Place:
        """Return where `path` stands; where nothing does, its nearest ancestor."""
        wanted = tuple(map(str, path))
        while wanted and wanted not in self.places:
            wanted = wanted[:-1]
        return self.places.get(wanted, Place(1, 1))


_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_HALF = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def as_yaml(text: str) -> str:
    """Return JSON as a reader of YAML takes it, line for line: no tabs, no UTF-16 halves."""

    def whole(found: re.Match[str]) -> str:
        high, low = int(found[1], 16), int(found[2], 16)
        return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"

    return _HALF.sub(r"\\ufffd", _PAIR.sub(whole, text.replace("\t", " ")))


def read(text: str) -> Located:
    """Return what a text holds and where. Raises Unreadable."""
    try:
        document = parsed(text, "it")
        node = yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        raise Unreadable(" ".join(filter(None, (error.context, error.problem))), place) from error
    except SpecError as error:
        raise _unreadable(error) from error
    except (yaml.YAMLError, ValueError) as error:
        raise Unreadable(str(error), Place(1, 1)) from error
    places: dict[Path, Place] = {}
    repeated: list[Path] = []
    try:
        for path, place in _walk(node, ()):
            if path in places:
                repeated.append(path)
            places[path] = place
    except RecursionError as error:
        raise Unreadable("an anchor stands inside itself", Place(1, 1)) from error
    return Located(document, places, tuple(repeated))


def _unreadable(error: SpecError) -> Unreadable:
    """Return what is told of a text that could not be read, with its place where YAML says it."""
    cause = error.__cause__
    if isinstance(cause, yaml.MarkedYAMLError):
        mark = cause.problem_mark or cause.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        return Unreadable(" ".join(filter(None, (cause.context, cause.problem))), place)
    return Unreadable(str(error), Place(1, 1))


def _walk(node: yaml.Node | None, path: Path) -> Iterator[tuple[Path, Place]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            inner = (*path, str(key.value))
            yield inner, Place(key.start_mark.line + 1, key.start_mark.column + 1)
            yield from _walk(value, inner)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            inner = (*path, str(index))
            yield inner, Place(value.start_mark.line + 1, value.start_mark.column + 1)
            yield from _walk(value, inner)
