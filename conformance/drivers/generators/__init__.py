"""What generators leave in the packages that they write: which HTTP call each method makes.

Each module here reads the sources of one generator's clients; nothing is imported or run. `read`
finds the generator by its marks. What a generator's clients do in general is no business of this
folder: `specs/generators/` holds that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from conformance.drivers.generators import fern, openapi_generator, speakeasy, stainless
from conformance.drivers.generators.calls import Made

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
