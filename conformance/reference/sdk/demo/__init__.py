"""Contracts of our own, for what none of the shipped documents promises of an SDK.

Walks over linked pages, problem documents, quota fields of the IETF draft, keys in headers, a
longest wait: cases for these are proven on the reference SDK made from the contracts here.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the ids of the contracts here."""
    return tuple(sorted(path.stem for path in HERE.glob("*.yaml")))


def source(api: str) -> str:
    """Return what `specs.load` takes for an id: the path of one of these, else the id itself."""
    return str(HERE / f"{api}.yaml") if api in names() else api
