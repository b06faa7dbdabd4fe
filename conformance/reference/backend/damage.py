"""Defects of whole answers: what goes wrong between a right answer and the wire.

A table: defect -> what is then wrong with each answer that it applies to. The changes themselves
are those of `reference.wrong_answers`; defects of behaviour are in the code that behaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from conformance.history import Response
from conformance.oracles.found import MISSING
from conformance.reference import wrong_answers as wrong
from conformance.reference.defects import Defects
from conformance.reference.wrong_answers import ANSWERS, Wrong, failed, ok, only
from specs import Operation

Rendered = tuple[int, list[tuple[str, str]], bytes, list[bytes] | None]
"""Status, header fields, body, and the events where the answer is a stream."""


class Damage:
    """The damage that the switched-on defects do to every answer."""

    def __init__(self, defects: Defects) -> None:
        self._defects = defects
        self._wrong = [(name, HARMS[name]) for name in HARMS if name in defects.active]
        self._seen: Counter[str] = Counter()

    def __call__(self, operation: Operation | None, rendered: Rendered) -> Rendered:
        """Return the answer with all that is switched on; what changed nothing does not count."""
        status, headers, body, events = rendered
        answer = Response(status, tuple(headers), b"".join(events) if events else body)
        for name, change in self._wrong:
            made = change(operation, answer)
            self._seen[name] += made is not None
            if made is not None and self._seen[name] % EVERY.get(name, 1) == 0:
                answer, _ = made, name in self._defects
        if events is None:
            return answer.status, list(answer.headers), answer.body, None
        if answer.media_type == "text/event-stream":
            events = [block + b"\n\n" for block in wrong.blocks(answer.body)]
            return answer.status, list(answer.headers), b"", events
        return answer.status, list(answer.headers), answer.body, None


def _of_one(change: Wrong) -> Wrong:
    """Apply a change where a request names a record in its path."""

    def harm(operation: Operation | None, answer: Response) -> Response | None:
        inside = operation is not None and "{" in operation.path
        return change(operation, answer) if inside else None

    return harm


def _unknown_path_served(operation: Operation | None, answer: Response) -> Response | None:
    """Answer a path that there is not with 200, as a server does that sends one page for all."""
    if operation is not None or answer.status != 404:
        return None
    return Response(200, answer.headers, b'{"status":"ok"}')


HARMS: Mapping[str, Wrong] = {
    "answer.required-missing": wrong.body(wrong.required_member(lambda v: MISSING, -1)),
    "answer.wrong-type": wrong.body(wrong.required_member(lambda v: [v, {"was": "wrapped"}])),
    "answer.null": ANSWERS["a field null"],
    "answer.undeclared-status": wrong.plain(wrong.status(ok, 206)),
    "answer.html-type": wrong.plain(
        wrong.fields(wrong.named("content-type"), lambda v: "text/html; charset=utf-8", ok)
    ),
    "error.answered-200": wrong.status(only(400, 404, 422), 200),
    "error.html": wrong.raw(wrong.PAGE, "text/html", failed),
    "error.other-envelope": wrong.raw(b'{"fault":{"reason":"failed"}}', None, failed),
    "error.no-body": wrong.raw(b"", None, failed),
    "error.one-code-for-all": wrong.body(wrong.envelope("code", lambda v: "error"), failed),
    "error.unknown-id-is-400": wrong.status(only(404), 400),
    "error.unknown-id-is-500": wrong.status(only(404), 500),
    "error.invalid-is-500": wrong.status(only(400), 500),
    "error.invalid-is-409": wrong.status(only(400), 409),
    "auth.missing-key-is-400": wrong.status(only(401), 400),
    "auth.missing-key-is-403": ANSWERS["401 becomes 403"],
    "auth.role-refused-with-404": wrong.status(only(403), 404),
    "method.wrong-is-500": wrong.status(only(405), 500),
    "limit.body-empty": wrong.raw(b"", None, only(429)),
    "limit.exceeded-is-503": ANSWERS["429 becomes 503"],
    "limit.headers-missing-on-errors": wrong.fields(wrong.quota(), lambda v: None, failed),
    "limit.headers-missing-on-429": wrong.fields(wrong.quota(), lambda v: None, only(429)),
    "limit.headers-missing-on-one": _of_one(wrong.fields(wrong.quota(), lambda v: None, ok)),
    "path.unknown-is-200": _unknown_path_served,
    "usage.header-missing": wrong.fields(wrong.used, lambda v: None),
    "usage.shrinks": wrong.fields(wrong.used, lambda v: str(max(0, 1000 - int(v)))),
    "usage.stuck": wrong.fields(wrong.used, lambda v: "7"),
    "usage.above-limit": wrong.fields(wrong.used, wrong.ahead(10**9)),
    "usage.words": wrong.fields(wrong.used, lambda v: "many"),
    "usage.limit-missing": wrong.fields(wrong.usage_limits, lambda v: None),
    "usage.plan-changes": wrong.fields(wrong.plan, lambda v: "other"),
    "stream.no-end": ANSWERS["no last event"],
    "stream.untyped": ANSWERS["events without a type"],
    "stream.as-json": wrong.as_array,
    "stream.end-first": wrong.stream(lambda events: [*events[-1:], *events[:-1]]),
}
EVERY = {"usage.plan-changes": 2}
"""Defect -> of how many answers that it applies to it changes one; of all others every one."""
