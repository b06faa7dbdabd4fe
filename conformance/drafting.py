"""`memconform spec draft`: a draft for an OpenAPI file, confirmed by a probe, written to a file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from conformance.backend.reach import withheld
from conformance.options import Given
from specs.draft import Draft, draft, render
from specs.reading import SpecError, is_url


def main(given: Given) -> int:
    """Write the draft that options ask for; return the exit code."""
    source, to = given["openapi"], given["to"]
    try:
        made = draft(source)
    except SpecError as error:
        sys.stderr.write(f"memconform: {error}\n")
        return 2
    text = render(made, extends=_extended(source, to))
    if to is None:
        sys.stdout.write(text)
    else:
        Path(to).write_text(text, encoding="utf-8")
    sys.stderr.write("".join(f"{line}\n" for line in told(made, source, to)))
    return 0


def _extended(source: str, to: Path | None) -> str | None:
    """Return how the overlay names its description, None where it stands nowhere."""
    if is_url(source):
        return source
    folder = Path(to).parent if to is not None else Path()
    return os.path.relpath(source, folder)


def told(made: Draft, source: str, to: Path | None) -> list[str]:
    """Return what a person reads after a draft: what was found, what is open, what to type next."""
    effects = sum(guess.block == "effect" for guess in made.guesses)
    lines = [
        f"{effects} of {len(made.contract.operations)} operations: what they do was guessed; "
        f"{len(made.questions)} questions stand in the overlay"
    ]
    lines += withheld(made.contract)
    lines += [f"left out: {e}" for e in made.contract.left_out if not e.withheld][:5]
    if to is not None:
        lines.append(f"Next: memconform backend --base-url URL --api {source} --overlay {to}")
    return lines
