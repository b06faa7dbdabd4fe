"""One operation of a contract as a value: what it takes, what it answers, what is promised of it.

Frozen; made by `contract.py` from a document, read by everybody else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from specs.http_words import Conditional, Deprecation
from specs.vocabulary import (
    Basis,
    Effect,
    Errors,
    Idempotency,
    Load,
    Pagination,
    RateLimit,
    Refusal,
    Relation,
    Retries,
    Returns,
    Roles,
    Stream,
    Tally,
    Usage,
)

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """One path, query, header or cookie parameter, its schema with references resolved."""

    name: str
    location: Literal["path", "query", "header", "cookie"]
    required: bool
    schema: Schema
    explode: bool = True
    """How a query carries an array: `a=1&a=2` where true, `a=1,2` where false."""


@dataclass(frozen=True)
class Body:
    """A request body: media type and schema."""

    media_type: str
    required: bool
    schema: Schema


@dataclass(frozen=True)
class Response:
    """A declared answer. `status` is `200`, `4XX` or `default`; `content` maps media types."""

    status: str
    description: str
    headers: Mapping[str, Schema]
    """Every declared header, by lower-case name."""
    required_headers: tuple[str, ...]
    """Those that no such answer may lack, lower case."""
    content: Mapping[str, Schema]
    basis: Basis | None = None
    """Where the status itself rests on less than its operation (`x-basis`)."""

    @property
    def schema(self) -> Schema | None:
        """Schema of the JSON answer, or None where there is none."""
        return next((s for m, s in self.content.items() if m.split(";")[0].endswith("json")), None)


@dataclass(frozen=True)
class Operation:
    """One operation with everything promised of it, root defaults merged in."""

    id: str
    verb: str
    """HTTP method, upper case."""
    path: str
    """Path template below the base URL, `/memories/{id}`."""
    summary: str
    authenticated: bool
    parameters: tuple[Parameter, ...]
    body: Body | None
    responses: Mapping[str, Response]
    basis: Basis
    source: str
    wire_basis: Basis
    """Of HTTP method, path and where arguments go; observed at best where nothing is stated."""
    wire_source: str
    sdk_only: bool
    """True where the document describes an SDK, so the wire is shown by that SDK alone."""
    method: str | None
    retries: Retries | None
    errors: Errors | None
    rate_limit: RateLimit | None
    usage: Usage | None
    pagination: Pagination | None
    idempotency: Idempotency | None
    effect: Effect | None
    roles: Roles | None
    refuses: tuple[Refusal, ...]
    relations: tuple[Relation, ...]
    tallies: tuple[Tally, ...]
    stream: Stream | None
    returns: Returns | None
    load: Load
    links: Mapping[str, Any] = field(default_factory=dict)
    skip: str | None = None
    """Why it is not called unless somebody asks for it."""
    accepts_basis: Basis | None = None
    """Of that what its schemas allow is accepted, where it is less than `basis`."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Arguments that every call names with the same value."""
    conditional: Conditional | None = None
    deprecation: Deprecation | None = None
    bare: bool = False
    """True if nobody wrote an `x-conformance` for it: only its shapes are promised."""

    @property
    def made_up(self) -> bool:
        """True if a path of it leads to something that nobody can name: no effect says to what."""
        known = {self.effect.target, *self.effect.scope} if self.effect else set()
        known |= set(self.fixed)
        return any(p.name not in known for p in self.parameters_in("path"))

    @property
    def safe(self) -> bool:
        """True where the operation promises to change nothing (RFC 9110 §9.2.1, or its effect).

        A list that is asked for page by page is read, by whatever method.
        """
        if self.effect is not None:
            return self.effect.kind in ("read", "list", "search", "none")
        return self.verb in ("GET", "HEAD", "OPTIONS") or self.pagination is not None

    @property
    def idempotent_method(self) -> bool:
        """True where HTTP itself calls the method idempotent (RFC 9110 §9.2.2)."""
        return self.verb in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")

    @property
    def success(self) -> Response:
        """The declared 2xx answer; the lowest where there are several, `default` without any."""
        return self.responses[min(filter(succeeds, self.responses), default="default")]

    def response(self, status: int) -> Response | None:
        """Return the declaration that covers `status`: exact, then range, then default."""
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in self.responses:
                return self.responses[key]
        return None

    def parameters_in(self, location: str) -> tuple[Parameter, ...]:
        """Return the parameters of one location, in declared order."""
        return tuple(p for p in self.parameters if p.location == location)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = re.split(r"(\{[^}]+\})", self.path)
        return re.compile(
            "^"
            + "".join(
                f"(?P<p{i}>[^/]+)" if part.startswith("{") else re.escape(part)
                for i, part in enumerate(parts)
            )
            + "$"
        )

    def matches(self, verb: str, path: str) -> bool:
        """True where `verb` and a concrete `path` (no query, base path cut off) mean this one."""
        return verb.upper() == self.verb and self._pattern.match(path) is not None

    def path_arguments(self, path: str) -> dict[str, str]:
        """Return the raw (still percent-encoded) path arguments of a concrete path."""
        match = self._pattern.match(path)
        names = re.findall(r"\{([^}]+)\}", self.path)
        return dict(zip(names, match.groups(), strict=True)) if match else {}


def succeeds(status: str) -> bool:
    """Return True for a declared status of success."""
    return status.startswith("2")
