"""Conditional requests and ends of life, as RFC 9110, 6585, 9745 and 8594 have them.

Wraps any handler of an operation whose contract declares them; what the handler does is its own.
"""

from __future__ import annotations

from hashlib import sha256

from conformance.reference.backend.calls import Call, Handler, Problem, Reply
from conformance.reference.backend.store import Document, encode

DEPRECATED = 1_688_169_599
"""When the operations that are deprecated became so, seconds since the epoch."""
SUNSET = "Sun, 30 Jun 2030 23:59:59 GMT"
STALE = "the record is no longer what If-Match names"
UNCONDITIONAL = "this needs If-Match with the record's current tag"


def handled(handler: Handler, call: Call) -> Reply:
    """Return a handler's reply to a call whose conditions hold; else 304, 412 or 428 (Problem)."""
    declared = call.operation.conditional
    if declared is not None and not call.operation.safe:
        _check(call, required=declared.required)
    reply = handler(call)
    if declared is not None and call.operation.safe:
        reply = _tagged(call, reply)
    if call.operation.deprecation is not None:
        reply.headers += _ends(call, sunset=call.operation.deprecation.sunset)
    return reply


def _check(call: Call, *, required: bool) -> None:
    given = call.headers.get(b"if-match")
    if given is None:
        if required and "condition.not-required" not in call.defects:
            raise Problem("invalid", UNCONDITIONAL, status=428, code="precondition_required")
        return
    document = _document(call)
    if document is None or "condition.stale-accepted" in call.defects:
        return
    if given.strip() != b"*" and _tag(call, document) not in _tags(given):
        if "condition.stale-is-400" in call.defects:
            raise Problem("invalid", STALE)
        raise Problem("invalid", STALE, status=412, code="precondition_failed")


def _tagged(call: Call, reply: Reply) -> Reply:
    document = _document(call)
    if document is None or "condition.no-tag" in call.defects:
        return reply
    tag = _tag(call, document)
    field = ("etag", tag.strip('"') if "condition.tag-unquoted" in call.defects else tag)
    asked = call.headers.get(b"if-none-match", b"")
    known = asked.strip() == b"*" or tag in _tags(asked)
    if known and "condition.whole-again" not in call.defects:
        return Reply(None, 304, [*reply.headers, field])
    reply.headers.append(field)
    return reply


def _tags(field: bytes) -> set[str]:
    """Return the tags of a condition; the weak ones without their mark.

    Tags made here hold no comma. A weak tag in `If-Match` matches nothing (section 13.1.1); none
    is ever given out, so that nobody has one.
    """
    return {part.strip().removeprefix("W/") for part in field.decode("latin-1").split(",")}


def _document(call: Call) -> Document | None:
    effect = call.operation.effect
    if effect is None or effect.target is None or effect.resource is None:
        return None
    return call.store.get(call.space(effect.resource), str(call.argument(effect.target)), call.now)


def _tag(call: Call, document: Document) -> str:
    """Return the strong tag of a record as it is now (RFC 9110 section 8.8.1)."""
    of = document.id if "condition.tag-never-changes" in call.defects else encode(document.body)
    return f'"{sha256(of.encode("utf-8", "surrogatepass")).hexdigest()[:20]}"'


def _ends(call: Call, *, sunset: bool) -> list[tuple[str, str]]:
    defects, found = call.defects, []
    if "deprecation.untold" not in defects:
        told = "true" if "deprecation.no-date" in defects else f"@{DEPRECATED}"
        found.append(("deprecation", told))
    if sunset:
        early = "sunset.before-deprecation" in defects
        found.append(("sunset", "Sat, 01 Jan 2022 00:00:00 GMT" if early else SUNSET))
    return found
