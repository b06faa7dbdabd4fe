"""Claims about an SDK: what an oracle states of it, as values, and the words for each.

A claim holds what was wanted and what was seen. Its cause (which names the mistake, and so the
finding), message, expectation and observation are rendered from it here, and nowhere else; a
reproduction script and what hides what are decided by a claim's type and fields. So nobody has to
read a sentence. The set is closed: `CLAIMS` lists all. No I/O, and no knowledge of verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_args

from conformance.claims.attempts import (
    Early,
    NoBackoff,
    NoJitterAtCap,
    NoSpread,
    NotRetried,
    Retried,
    SlowBody,
    TooFew,
    TooLong,
    TooMany,
    TooShort,
    Unbounded,
    WrittenTwice,
    WrongOrder,
)
from conformance.claims.base import Base
from conformance.claims.endings import (
    Fails,
    FailsAfterSuccess,
    FailsOnDeclared,
    FailsOnSuccess,
    Hangs,
    InventedAttribute,
    KeyShown,
    Leaked,
    LeakedOnRetryAfter,
    MissingBases,
    NoAttribute,
    NoCause,
    NoMessage,
    UnfollowedRedirect,
    Unpicklable,
    Unsaid,
    ValueInstead,
    WrongAttribute,
    WrongClass,
    WrongLastClass,
)
from conformance.claims.traffic import (
    InventedValue,
    Lacks,
    NoBody,
    NoCredentials,
    NotEncoded,
    NotHandedOut,
    NotRead,
    OwnClient,
    WrongBody,
    WrongDefault,
    WrongFigure,
    WrongTarget,
    WrongType,
)

__all__ = [
    "CLAIMS",
    "Base",
    "Claim",
    "Early",
    "Fails",
    "FailsAfterSuccess",
    "FailsOnDeclared",
    "FailsOnSuccess",
    "Hangs",
    "InventedAttribute",
    "InventedValue",
    "KeyShown",
    "Lacks",
    "Leaked",
    "LeakedOnRetryAfter",
    "MissingBases",
    "NoAttribute",
    "NoBackoff",
    "NoBody",
    "NoCause",
    "NoCredentials",
    "NoJitterAtCap",
    "NoMessage",
    "NoSpread",
    "NotEncoded",
    "NotHandedOut",
    "NotRead",
    "NotRetried",
    "OwnClient",
    "Retried",
    "SlowBody",
    "TooFew",
    "TooLong",
    "TooMany",
    "TooShort",
    "Unbounded",
    "UnfollowedRedirect",
    "Unpicklable",
    "Unsaid",
    "ValueInstead",
    "WrittenTwice",
    "WrongAttribute",
    "WrongBody",
    "WrongClass",
    "WrongDefault",
    "WrongFigure",
    "WrongLastClass",
    "WrongOrder",
    "WrongTarget",
    "WrongType",
    "read",
    "written",
]

Claim = (
    Leaked | LeakedOnRetryAfter | ValueInstead | UnfollowedRedirect | WrongClass | WrongLastClass
    | MissingBases | Fails | FailsOnSuccess | FailsOnDeclared | FailsAfterSuccess | Hangs
    | NoAttribute | InventedAttribute | WrongAttribute | NoMessage | Unsaid | KeyShown | NoCause
    | Unpicklable
    | NotRetried | TooFew | TooMany | Retried | WrittenTwice | Early | TooShort | TooLong
    | NoBackoff | Unbounded | WrongOrder | NoJitterAtCap | NoSpread | SlowBody
    | NoCredentials | NotEncoded | WrongTarget | WrongBody | NoBody | WrongDefault
    | NotHandedOut | WrongFigure | NotRead | WrongType | InventedValue
    | Lacks | OwnClient
)  # fmt: skip
CLAIMS: Mapping[str, type[Base]] = {kind.__name__: kind for kind in get_args(Claim)}
"""All claims by name, as `results.json` names them."""


def written(claim: Claim | None) -> dict[str, Any]:
    """Return a claim as JSON, `{"claim": "TooMany", "most": 3, "sent": 4}`; {} for none."""
    return {"claim": type(claim).__name__, **asdict(claim)} if claim is not None else {}


def read(plain: Mapping[str, Any]) -> Base | None:
    """Return the claim that `written` wrote; None where there is none, or one of another time."""
    kind = CLAIMS.get(str(plain.get("claim", "")))
    if kind is None or {f.name for f in fields(kind)} != set(plain) - {"claim"}:
        return None
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()
                   if k != "claim"})  # fmt: skip
