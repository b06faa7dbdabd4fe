"""A contract made ready to serve: routes, answers to provocations, error envelopes.

Computed once per contract; serving is then a matter of looking up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from conformance.reference.backend.calls import Handler, Problem, parent, put
from conformance.reference.backend.validate import Compiled
from conformance.reference.defects import Defects
from specs import Contract, Operation
from specs.vocabulary import Envelope

FALLBACKS: Mapping[str, tuple[int, str, str | None]] = {
    "unauthenticated": (401, "unauthorized", None),
    "forbidden": (403, "forbidden", None),
    "unknown-id": (404, "not_found", None),
    "unknown-path": (404, "not_found", None),
    "method": (405, "method_not_allowed", None),
    "media-type": (415, "unsupported_media_type", "malformed"),
    "too-large": (413, "payload_too_large", "invalid"),
    "malformed": (400, "invalid_request", "invalid"),
    "invalid": (400, "invalid_request", None),
    "duplicate": (409, "already_exists", "invalid"),
    "rate-limited": (429, "rate_limited", None),
    "quota": (429, "quota_exceeded", None),
}
"""provocation -> (usual status, usual code, what it is answered as where that is not declared)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One operation, ready to serve."""

    operation: Operation
    compiled: Compiled
    handler: Handler
    success: int
    writes: bool
    media_type: str
    answers: Mapping[str, tuple[int, str]]


def answers(contract: Contract, operation: Operation | None) -> dict[str, tuple[int, str]]:
    """Return provocation -> (status, code) for an operation; None: for requests that mean none."""
    errors = operation.errors if operation else contract.root.errors
    declared = {str(k): v for k, v in (errors.answers if errors else {}).items()}
    found: dict[str, tuple[int, str]] = {}
    for kind in FALLBACKS:
        found[kind] = _answer(kind, declared, operation)
    limit = operation.rate_limit if operation else contract.root.rate_limit
    if limit is not None:
        code = limit.exceeded_code or found["rate-limited"][1]
        found["rate-limited"] = (limit.exceeded_status, code)
    roles = operation.roles if operation else None
    if roles is not None:
        found["forbidden"] = (roles.status, roles.code)
    return found


def _answer(kind: str, declared: Mapping[str, Any], operation: Operation | None) -> tuple[int, str]:
    status, code, otherwise = FALLBACKS[kind]
    if kind in declared:
        status, code = declared[kind].status, declared[kind].code or code
    stated = kind in declared or operation is None or operation.response(status) is not None
    return (
        (status, code) if stated or otherwise is None else _answer(otherwise, declared, operation)
    )


def envelope(
    declared: Envelope, problem: Problem, code: str, request_id: str, defects: Defects
) -> dict[str, Any]:
    """Return the error body of a problem: each member at its declared pointer."""
    body: dict[str, Any] = {}
    message = problem.message
    if "error.sql-leaked" in defects:
        message += ": SELECT seq, id, body FROM documents WHERE space=1"
    if "error.path-leaked" in defects:
        message += " (/srv/app/backend/handlers.py, line 214)"
    if "error.stack-trace-leaked" in defects:
        message += '\nTraceback (most recent call last):\n  File "handlers.py", line 214, in serve'
    members = (
        (declared.code, code, "error.code-missing"),
        (declared.message, message, "error.message-missing"),
        (declared.request_id, request_id, "error.request-id-missing"),
    )
    for pointer, value, defect in members:
        if pointer is not None and defect not in defects:
            put(body, pointer, value)
    if declared.details is not None and problem.details is not None:
        whole = declared.code is not None and declared.code.startswith(f"{declared.details}/")
        put(body, f"{declared.details}/errors" if whole else declared.details, problem.details)
    beside = parent(declared.code or declared.message or "")
    for name, value in problem.members.items():
        put(body, f"{beside}/{name}", value)
    return body


class Routes:
    """Which operation a request means."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._literal: dict[bytes, dict[str, Plan]] = {}
        self._templates: dict[int, list[tuple[tuple[bytes, ...], dict[str, Plan]]]] = {}
        by_path: dict[str, dict[str, Plan]] = {}
        for plan in plans:
            by_path.setdefault(plan.operation.path, {})[plan.operation.verb] = plan
        for path, verbs in by_path.items():
            raw = path.encode()
            if "{" not in path:
                self._literal[raw] = verbs
                continue
            parts = tuple(raw.split(b"/"))
            self._templates.setdefault(len(parts), []).append((parts, verbs))
        for each in self._templates.values():
            each.sort(key=lambda entry: entry[0].count(b"{"))

    def find(self, path: bytes, verb: str) -> tuple[Plan | None, dict[str, str], set[str]]:
        """Return the plan, the decoded path arguments, and the verbs that the path allows.

        `path` is as it stood on the wire, so an encoded slash stays inside its argument. Literal
        paths win over templates; no verbs at all means an unknown path.
        """
        path = _ESCAPE.sub(_unreserved, path) if b"%" in path else path
        allowed: set[str] = set()
        verbs = self._literal.get(path)
        if verbs is not None:
            if verb in verbs:
                return verbs[verb], {}, allowed
            allowed.update(verbs)
        given = path.split(b"/")
        for parts, verbs in self._templates.get(len(given), ()):
            arguments = _fit(parts, given)
            if arguments is None:
                continue
            if verb in verbs:
                return verbs[verb], arguments, allowed
            allowed.update(verbs)
        return None, {}, allowed


_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


def _unreserved(escape: re.Match[bytes]) -> bytes:
    """Return what an escape stands for where that needs none (RFC 3986 section 6.2.2.2)."""
    byte = bytes.fromhex(escape[1].decode())
    return byte if byte.isalnum() or byte in b"-._~" else escape[0]


def _fit(parts: tuple[bytes, ...], given: list[bytes]) -> dict[str, str] | None:
    arguments = {}
    for part, raw in zip(parts, given, strict=True):
        if part.startswith(b"{"):
            if not raw:
                return None
            decoded = unquote_to_bytes(raw) if b"%" in raw else raw
            arguments[part[1:-1].decode()] = decoded.decode("utf-8", "replace")
        elif part != raw:
            return None
    return arguments
