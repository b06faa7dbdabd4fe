"""Generator profiles: what the clients of one SDK generator promise in general.

A contract names one in a line, `client: {generator: stainless}`. Each profile is a file here, a
part of `x-conformance`: every block is observed and cites the file of the generated runtime that
shows it. No promise of one API belongs here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from specs.reading import Loader

HERE = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Return the names of the generators that have a profile."""
    return tuple(sorted(path.stem for path in HERE.glob("*.yaml")))


@cache
def profile(name: str) -> Mapping[str, Any]:
    """Return what the clients of a generator do, as a part of `x-conformance`.

    Raises KeyError if there is no such profile.
    """
    if name not in names():
        raise KeyError(name)
    text = (HERE / f"{name}.yaml").read_text("utf-8")
    made: Mapping[str, Any] = yaml.load(text, Loader=Loader)  # noqa: S506 - a safe loader of ours
    return made


def applied(root: Any) -> Any:
    """Return a root block with the profile beneath it that its client names.

    The contract's own words win. Of a block that it states itself, only parts are filled in that
    carry a basis of their own (`backoff`, `retryAfter`, `map`): nothing observed of a generator
    becomes documented by standing in a documented block.
    """
    client = root.get("client") if isinstance(root, Mapping) else None
    if not isinstance(client, Mapping) or client.get("generator") not in names():
        return root
    name = client["generator"]
    below = profile(str(name))
    made = dict(root)
    for key in ("retries", "errors"):
        own = made.get(key)
        if own is None:
            made[key] = below[key]
        elif isinstance(own, Mapping):
            made[key] = {**{k: v for k, v in below[key].items() if _stands_alone(v)}, **own}
    made["client"] = {**client, "options": _options(client, below)}
    return made


def _stands_alone(part: Any) -> bool:
    entries = part if isinstance(part, list) else [part]
    return all(isinstance(entry, Mapping) and "basis" in entry for entry in entries)


def _options(client: Mapping[str, Any], below: Mapping[str, Any]) -> list[Any]:
    own = list(client.get("options") or [])
    roles = {each.get("role") for each in own if isinstance(each, Mapping)}
    general = below.get("client", {}).get("options", [])
    return [*own, *(each for each in general if each["role"] not in roles)]
