"""Words of the command line that say whose keys and which limits a backend has, as values."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Sequence

from conformance.contained import Contained, folder
from conformance.option_kinds import WrongValue, quota_of
from conformance.oracles.limits import Quota

RESTART_SECONDS = 120.0
"""How long a restart command may run."""

MISTAKEN = frozenset({
    "admin", "owner", "user", "users", "key", "keys", "tenant", "root", "guest", "members",
    "readonly", "read-only", "limit", "expire", "plan", "pro", "second", "other", "seat",
})  # fmt: skip
"""Words before `=` that are meant as a kind of key, and are none: a typo must not pass as a key."""
PRINCIPALS = "abcdefgh"
ROLES = ("member", "limited", "expired", "free")
"""Principals with a part: no role and no seat; to be exhausted; no longer valid; a small plan."""


def role(word: str) -> tuple[str | None, str]:
    """Return (principal, key) of `NAME=KEY`, and (None, word) of a key that names nobody."""
    name, sign, rest = word.partition("=")
    if sign and rest and (name in tuple(PRINCIPALS) or name in ROLES):
        return name, rest
    return None, word


def mistaken(key: str) -> str:
    """Return what is wrong with a key as it was typed; '' if nothing is."""
    name, sign, rest = key.partition("=")
    if not (sign and rest and name in MISTAKEN):
        return ""
    return (
        f"{name!r} is no kind of key: there are {', '.join(ROLES)}; a key with all rights has "
        f"no name before it; a key that begins so is given as a={name}=…"
    )


def principals(keys: Sequence[str]) -> dict[str, str]:
    """Return principal -> key: `NAME=KEY` names its principal, others are a, b, c… in order."""
    free = iter(PRINCIPALS)
    return {name or next(free): key for name, key in map(role, keys)}


def quota(text: str | None) -> Quota | None:
    """Return the quota that `100/60` means: requests in seconds. Raises ValueError."""
    if not text:
        return None
    try:
        return Quota(*quota_of(text))
    except WrongValue as why:
        raise ValueError(f"--quota {text!r}: {why}") from None


def also(texts: Sequence[str]) -> dict[str, str]:
    """Return API -> base URL of `NAME=URL` words, which the option table has checked."""
    return {name: url.rstrip("/") for name, _, url in (text.partition("=") for text in texts)}


def header(text: str) -> tuple[str, str]:
    """Return (name, value) of a `NAME=VALUE` word, which the option table has checked."""
    name, _, value = text.partition("=")
    return name.lower(), value


def restart(command: str | None) -> Callable[[], str | None] | None:
    """Return what runs a restart command and waits until it ends; it listens where it did.

    The command ends with us; the server that it leaves behind stays.
    """
    if not command:
        return None
    words = shlex.split(command)

    def run() -> str | None:
        with folder("restart") as place, (place / "said").open("w+b") as said:
            # Not a pipe: the server that it leaves behind may keep it open.
            child = Contained(
                words, lasting=True, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
            try:
                code = child.wait(RESTART_SECONDS)
            except subprocess.TimeoutExpired:
                raise RuntimeError(
                    f"the restart command did not end within {RESTART_SECONDS:g} s"
                ) from None
            finally:
                child.finish()
            said.seek(max(0, said.seek(0, os.SEEK_END) - 1200))
            last = said.read().decode("utf-8", "replace")[-300:]
        if code:
            raise RuntimeError(f"the restart command ended with {code}: {last}")
        return None

    return run
