"""Whether a value in an SDK's own types and names is the one that was sent.

SDKs hand answers out as their language writes them: dates as `datetime`, names in snake or camel
case, a name that the language reserves with an underscore or a prefix (`uuid_`, `var_async`).
None of that loses anything. What a document says of a name is judged by that name elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from conformance.oracles.exceptions import same_value

_PREFIXES = ("var", "field", "param", "model", "x", "r")
"""What generators put before a name that their language does not allow."""


def alike(got: Any, wanted: Any) -> bool:
    """True where a value that a driver tells is the one on the wire, in whatever type and names."""
    if isinstance(wanted, Mapping):
        return isinstance(got, Mapping) and all(
            (name := own_name(got, key)) is not None and alike(got[name], value)
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return _alike_lists(got, wanted)
    if isinstance(got, Mapping) and "$str" in got:
        return _told_as_text(str(got["$str"]), wanted)
    if isinstance(got, str) and isinstance(wanted, str) and got != wanted:
        return _same_instant(got, wanted)
    return same_value(got, wanted)


def own_name(value: Mapping[str, Any], name: str) -> str | None:
    """Return the name by which an object of an SDK carries a name of the wire; None: by none."""
    if name in value:
        return name
    plain = _plain(name)
    spelt = {plain, *(prefix + plain for prefix in _PREFIXES)}
    return next((n for n in value if not n.startswith("$") and _plain(n) in spelt), None)


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _alike_lists(got: Any, wanted: list[Any]) -> bool:
    """True for a list with the same entries, bare or as the one list of a page object."""
    if isinstance(got, Mapping) and "$stream" in got:
        got = got["$stream"]
    if isinstance(got, Mapping) and "$type" in got:
        return any(_alike_lists(v, wanted) for v in got.values() if isinstance(v, list))
    if not isinstance(got, list) or len(got) != len(wanted):
        return False
    return all(alike(g, w) for g, w in zip(got, wanted, strict=True))


def _told_as_text(text: str, wanted: Any) -> bool:
    """True where the text of an object of another type says what was sent."""
    return same_value(text, wanted) or (isinstance(wanted, str) and _same_instant(text, wanted))


def _same_instant(text: str, wanted: str) -> bool:
    """True where two texts mean the same time; without a zone it is UTC, as servers write it."""
    one, other = _instant(text), _instant(wanted)
    return one is not None and one == other


def _instant(text: str) -> datetime | date | None:
    if len(text) < 8 or not text[:4].isdigit():
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
