"""What generators leave in the packages that they write: which HTTP call each method makes.

Each module here reads the sources of one generator's clients; nothing is imported or run. `read`
finds the generator by its marks. What a generator's clients do in general is no business of this
folder: `specs/generators/` holds that.
"""

from __future__ import annotations

import email.parser
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from conformance.drivers.environment import Environment
from conformance.drivers.generators import fern, openapi_generator, speakeasy, stainless
from conformance.drivers.generators.calls import Made
from specs import Contract

READERS: Mapping[str, Callable[[Path], Made]] = {
    "stainless": stainless.read,
    "fern": fern.read,
    "speakeasy": speakeasy.read,
    "openapi-generator": openapi_generator.read,
}
MARKS: Mapping[str, tuple[str, str]] = {
    "stainless": ("_constants.py", "Stainless"),
    "fern": ("core/http_client.py", "Fern"),
    "speakeasy": ("utils/retries.py", "Speakeasy"),
    "openapi-generator": ("api_client.py", "OpenAPI Generator"),
}
"""Generator -> a file that it writes into each package, and a word in that file's first lines."""
HEAD = 4_000
"""Characters in which the mark stands."""


def read(package: Path) -> Made | None:
    """Return what a generated package calls; None if no known generator made it.

    `package`: the folder of the import package, `site-packages/letta_client`.
    """
    name = generator(package)
    return None if name is None else READERS[name](package)


def generator(package: Path) -> str | None:
    """Return the name of the generator that wrote a package, None if none is known."""
    for name, (file, word) in MARKS.items():
        path = package / file
        if path.is_file() and word in path.read_text("utf-8", "replace")[:HEAD]:
            return name
    return None


@dataclass(frozen=True)
class Installed:
    """An installed package that a generator made: its import name, its calls, its README."""

    module: str
    made: Made
    readme: str


def installed(environment: Environment) -> Installed | None:
    """Return what a generator wrote into an installed distribution; None if none is known."""
    for site in Path(environment.python).parents[1].glob("lib/python*/site-packages"):
        for info in site.glob("*.dist-info"):
            said = _metadata(info)
            if said.get("Name", "").lower() != environment.name.lower():
                continue
            for module in _modules(info):
                made = read(site / module)
                if made is not None and made.calls:
                    return Installed(module, made, str(said.get_payload()))
    return None


def _metadata(info: Path) -> Message:
    return email.parser.Parser().parsestr(_text(info / "METADATA"))


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""


def _modules(info: Path) -> list[str]:
    """Return the import packages of a distribution."""
    first = (line.partition("/")[0] for line in _text(info / "RECORD").splitlines() if "/" in line)
    return [n for n in dict.fromkeys(first) if n.isidentifier() and not n.startswith("_")]


def senders(made: Made, contract: Contract) -> dict[str, str]:
    """Return operation id -> the method whose request is that operation's, by verb and path.

    A base path may stand before one of the two; an operation that two methods send has none.
    """
    found: dict[str, str] = {}
    for operation in contract:
        wanted = _shape(operation.path)
        same = [c for c in made.calls if c.verb.upper() == operation.verb]
        exact = [c.method for c in same if _shape(c.path) == wanted]
        near = [
            c.method for c in same
            if _shape(c.path).endswith(wanted) or wanted.endswith(_shape(c.path))
        ]  # fmt: skip
        names = exact or near
        if len(set(names)) == 1:
            found[operation.id] = names[0]
    return found


def _shape(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip("/")
