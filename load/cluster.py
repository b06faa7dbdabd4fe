"""What master and workers believe of each other: signed messages, and how they are checked.

The two share a secret, MEMCONFORM_CLUSTER_SECRET; `--processes` on one machine makes one up. A
message carries its sender, its run and a code over all of it (HMAC-SHA-256). API keys are in no
message: each worker has them from its own environment. Nothing of Locust is known here.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from typing import Any

import msgpack

_MSGPACK: Any = msgpack  # it brings no types along
VARIABLE = "MEMCONFORM_CLUSTER_SECRET"
SHORTEST = 16
"""Characters that a secret has at least."""
LARGEST = 64 * 1024 * 1024
"""Bytes of one message; a worker's last report has about 2 MB."""


class Unbelievable(ValueError):
    """A message is not from who it says, or is none; the text says which."""


class NoSecret(ValueError):
    """Master and worker need a secret that they share; the text says how to give one."""


def secret(shared: bool) -> str:
    """Return the secret; where nothing is `shared` with other commands one is made up.

    Raises NoSecret.
    """
    known = os.environ.get(VARIABLE, "")
    if not known and not shared:
        known = os.environ[VARIABLE] = secrets.token_urlsafe(32)
    if len(known) < SHORTEST:
        raise NoSecret(
            f"a master and its workers share a secret: set {VARIABLE} to the same random text of "
            f"at least {SHORTEST} characters for each of them"
        )
    return known


def sealed(key: str, kind: str, sender: str, run: str, value: Any) -> dict[str, Any]:
    """Return a message: the value and a code over kind, sender, run and value."""
    body: bytes = _MSGPACK.packb(value, use_bin_type=True)
    return {"body": body, "code": _code(key, kind, sender, run, body)}


def opened(key: str, kind: str, sender: str, run: str, message: Any) -> Any:
    """Return the value of a message. Raises Unbelievable."""
    if not isinstance(message, Mapping):
        raise Unbelievable(f"a {kind} of {sender!r} is no message")
    body, code = message.get("body"), message.get("code")
    if not isinstance(body, bytes) or not isinstance(code, bytes) or len(body) > LARGEST:
        raise Unbelievable(f"a {kind} of {sender!r} is no message")
    if not hmac.compare_digest(code, _code(key, kind, sender, run, body)):
        raise Unbelievable(f"a {kind} in the name of {sender!r} is not signed with the secret")
    try:
        return _MSGPACK.unpackb(body, raw=False, strict_map_key=False)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as why:
        raise Unbelievable(f"a {kind} of {sender!r} cannot be read") from why


def _code(key: str, kind: str, sender: str, run: str, body: bytes) -> bytes:
    about = "\0".join((kind, sender, run)).encode("utf-8", "surrogatepass")
    return hmac.digest(key.encode(), about + b"\0" + body, "sha256")
