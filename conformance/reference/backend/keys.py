"""API keys of the embedded backend: who is behind one, and what they may do.

Keys given at the start live in memory; keys made through an API live in the store, as hashes.
How a key travels in a request is the contract's business (`authenticate`); nothing here answers
requests or knows an API by name.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.reference.backend.limits import Quota, parse
from specs.vocabulary import AuthHeader

LIMITED = "20/1"
"""The quota of the key that is made to be used up: seconds, not minutes."""


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One API key and what stands behind it."""

    key: str = field(repr=False)
    tenant: str
    admin: bool = True
    seat: bool = True
    scopes: tuple[str, ...] = ("read", "write")
    expired: bool = False
    plan: str = "pro"
    rate_limit: str | None = None
    """`REQUESTS/SECONDS[/ALGORITHM]` of this key alone; None: the backend's."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sends a request: the tenant it belongs to and the key it came with."""

    tenant: str
    partition: str
    """What quotas are counted by: a hash of the key, so that no key is kept or logged."""
    admin: bool = True
    seat: bool = True
    scopes: tuple[str, ...] = ("read", "write")
    expired: bool = False
    plan: str = "pro"
    quota: Quota | None = None
    """The key's own quota; None: the backend's."""
    ends: float | None = None
    """From when on the key is no longer valid, seconds since the epoch; None: never."""

    def rights(self, **changes: Any) -> dict[str, Any]:
        """Return what a key made by this one may do, as the store keeps it."""
        own = {"admin": self.admin, "seat": self.seat, "scopes": self.scopes, "plan": self.plan}
        return {**own, **changes}


def fingerprint(key: str) -> str:
    """Return what is stored in place of a key: the SHA-256 of its UTF-8 bytes, in hex."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def principals(keys: Mapping[str, KeySpec] | Sequence[str]) -> dict[str, Principal]:
    """Return key -> principal; of a plain sequence of keys, each is an administrator of its own.

    Raises ValueError where a key is empty or given twice.
    """
    if isinstance(keys, Mapping):
        specs = list(keys.values())
    else:
        specs = [KeySpec(key, f"tenant-{number}") for number, key in enumerate(keys, 1)]
    found: dict[str, Principal] = {}
    for spec in specs:
        if not spec.key:
            raise ValueError("an API key is empty; give it at least one character")
        if spec.key in found:
            raise ValueError("an API key is given twice; every key must be its own")
        found[spec.key] = Principal(
            tenant=spec.tenant,
            partition=fingerprint(spec.key)[:16],
            admin=spec.admin,
            seat=spec.seat,
            scopes=spec.scopes,
            expired=spec.expired,
            plan=spec.plan,
            quota=parse(spec.rate_limit) if spec.rate_limit else None,
        )
    return found


def generate(prefix: str = "mc_") -> str:
    """Return a fresh key that nobody can guess."""
    return prefix + secrets.token_urlsafe(24)


def standard_keys() -> dict[str, KeySpec]:
    """Return a fresh set for a test run.

    Two tenants, one member without rights, one key that is soon used up, one expired, and a
    third tenant of the free plan.
    """
    return {
        "first": KeySpec(generate(), "tenant-1"),
        "second": KeySpec(generate(), "tenant-2"),
        "member": KeySpec(generate(), "tenant-1", admin=False, seat=False),
        "limited": KeySpec(generate(), "tenant-1", rate_limit=LIMITED),
        "expired": KeySpec(generate(), "tenant-1", expired=True),
        "free": KeySpec(generate(), "tenant-3", plan="free"),
    }


def presented(
    auth: Sequence[AuthHeader],
    headers: Mapping[bytes, bytes],
    *,
    last_wins: bool = False,
    exact: bool = False,
) -> str | None:
    """Return the key that a request shows, by the contract's precedence; None where it shows none.

    `headers` maps lower-case names to values. A header whose prefix does not fit counts as a
    malformed key, not as an absent one, so a lower-ranked header never rescues it. `last_wins`
    is a defect: the order of precedence turned round; so is `exact`: the scheme's case counts.
    """
    ranked = tuple(reversed(auth)) if last_wins else tuple(auth)
    for rule in ranked:
        raw = headers.get(rule.header.lower().encode("ascii"))
        if raw is None:
            continue
        value = raw.decode("latin-1")
        prefix = rule.prefix
        given = value[: len(prefix)]
        if given.lower() != prefix.lower() or (exact and given != prefix):
            return ""
        return value[len(prefix) :].strip()
    return None
