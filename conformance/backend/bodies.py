"""How the members of a body are written as a form: one text, or several parts.

Pure: members in, bytes and the whole media type out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode


def form(media_type: str, content: Any) -> tuple[bytes, str] | None:
    """Return the bytes of a form and its whole media type, None if its type is not a form's."""
    kind = media_type.split(";")[0].strip().lower()
    if not isinstance(content, Mapping):
        return None
    if kind == "application/x-www-form-urlencoded":
        pairs = [(name, _text(v)) for name, value in content.items() for v in _many(value)]
        return urlencode(pairs, errors="surrogatepass").encode(), media_type
    return _parts(content) if kind == "multipart/form-data" else None


def _parts(content: Mapping[str, Any]) -> tuple[bytes, str]:
    """Write each member as a part of its own (RFC 7578); the boundary is in none of them."""
    fields = [
        (name, _text(v).encode("utf-8", "surrogatepass"))
        for name, value in content.items()
        for v in _many(value)
    ]
    boundary = f"memconform-{sha256(repr(fields).encode()).hexdigest()[:24]}"
    written = b""
    for name, value in fields:
        quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'--{boundary}\r\ncontent-disposition: form-data; name="{quoted}"\r\n\r\n'
        written += head.encode("utf-8", "surrogatepass") + value + b"\r\n"
    return written + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
