"""Operations that nobody calls unless asked to: the contract says so, or their names are alarming.

Pure. What an operation does to records that can be made is declared as its effect, and then its
name says nothing more. Without one, a name such as `restart` is all there is to go by.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from specs.contract import Contract, Operation

ALWAYS = frozenset({
    "destroy", "drop", "erase", "purge", "reboot", "reindex", "reset", "restart", "shutdown",
    "terminate", "truncate", "wipe",
})  # fmt: skip
"""Words that are left alone whatever the method is."""
UNSAFE = ALWAYS | frozenset({
    "clear", "clean", "cleanup", "compact", "delete", "flush", "import", "migrate", "rebuild",
    "remove", "restore", "rollback", "rotate", "stop", "update", "upgrade", "vacuum",
})  # fmt: skip
"""Words that are left alone where the method may change something."""

FOR_ALL = frozenset({
    "default", "isdefault", "makedefault", "setdefault", "setasdefault", "usedefault",
    "primary", "isprimary", "makeprimary", "setprimary",
})  # fmt: skip
"""Flags of which one record has the only one, so that it is taken from another (letters only)."""


def takes_from_all(name: str) -> bool:
    """Return True for a flag that only one record has: to be the default, or the primary one."""
    return "".join(c for c in name.lower() if c.isalpha()) in FOR_ALL


def reason(operation: Operation) -> str:
    """Return why an operation is left out unless somebody asks for it; '' where it is not."""
    if operation.skip:
        return operation.skip
    effect = operation.effect
    if effect is not None and (effect.kind not in ("none", "action") or effect.target):
        return ""
    alarming = ALWAYS if operation.safe else UNSAFE
    found = [word for word in _words(operation) if word in alarming]
    if not found:
        return ""
    return f"its name says {found[0]!r}, and no effect on a record is declared for it"


def excluded(contract: Contract) -> dict[str, str]:
    """Return operation -> reason of everything that a contract leaves out by itself."""
    found = {operation.id: reason(operation) for operation in contract}
    return {id: why for id, why in found.items() if why}


def chosen(contract: Contract, only: Sequence[str], exclude: Sequence[str]) -> dict[str, str]:
    """Return operation -> why it is not sent: by its contract, its name, or a person's choice.

    Raises ValueError where a person names an operation that there is not.
    """
    for option, names in (("--only", only), ("--exclude", exclude)):
        for name in names:
            if name not in contract.operations:
                known = ", ".join(sorted(contract.operations)[:40])
                raise ValueError(
                    f"{option} {name!r}: {contract.api} has no such operation; it has {known}"
                )
    out = excluded(contract)
    if only:
        out = {o.id: "--only names others" for o in contract if o.id not in only}
    return out | dict.fromkeys(exclude, "--exclude names it")


def _words(operation: Operation) -> list[str]:
    """Return the words of an operation's id and of the fixed parts of its path, lower case."""
    fixed = re.sub(r"\{[^}]*\}", " ", operation.path)
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", f"{operation.id} {fixed}")
    return [word.lower() for word in re.split(r"[^A-Za-z]+", spaced) if word]
