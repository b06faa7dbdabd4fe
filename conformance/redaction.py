"""How a key may stand in a text, and how to take it out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

SHORTEST = 6
"""Keys shorter than this many characters are not searched for in free text: they would be found
everywhere, and what is that short keeps no secret."""

TAIL = 3
"""Characters at the end of a key in which a made-up wrong one may differ."""
LONG = 16
"""Keys of fewer characters are looked for as they are only: their beginnings may be words."""


def forms(key: str) -> Iterator[str]:
    """Yield the ways in which a text may show a key: as it is, in JSON, in a URL."""
    escaped = quote(key, safe=""), quote(key)
    yield from dict.fromkeys((json.dumps(key)[1:-1], key, *escaped))


def hide(text: str, keys: Mapping[str, str]) -> str:
    """Return `text` with every form of each key (key -> what to show for it) replaced.

    A wrong key that a case made of a right one goes too: what differs from it in case, or in its
    last characters, tells nearly all of it. Short keys stay.
    """
    whole = [(form, shown) for key, shown in keys.items() for form in forms(key)]
    long = [(key[:-TAIL], shown) for key, shown in keys.items() if len(key) >= LONG]
    stems = [(form, shown) for stem, shown in long for form in forms(stem)]
    shown_for = {form.lower(): shown for form, shown in (*stems, *whole) if len(form) >= SHORTEST}
    if not shown_for:
        return text
    any_form = "|".join(map(re.escape, sorted(shown_for, key=len, reverse=True)))
    return re.sub(any_form, lambda found: shown_for[found[0].lower()], text, flags=re.IGNORECASE)
