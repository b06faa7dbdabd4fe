"""HTTP dates (RFC 9110 §5.6.7), read. What a header that carries one means belongs elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")


@lru_cache(maxsize=256)
def http_date(text: str) -> float | None:
    """Return seconds since the epoch of an HTTP date in any of its three forms, UTC.

    IMF-fixdate, RFC 850 and asctime. None if it has none of these forms.
    """
    for form in _FORMS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    return None
