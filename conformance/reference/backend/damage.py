"""Defects of whole answers: what goes wrong between a right result and the wire.

Each is one function on (job, plan, reply) in a table; the machinery asks once for each answer.
Defects of behaviour are in the code that behaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.reference.backend.calls import Reply
from conformance.reference.backend.job import Job
from conformance.reference.backend.plan import Plan
from conformance.reference.defects import Defects

Harm = Callable[[Job, Plan | None, Reply], bool]
"""Changes a reply in place and says whether it had anything to change."""


class Damage:
    """The damage that the switched-on defects do to every answer."""

    def __init__(self, defects: Defects) -> None:
        self._defects = defects
        self._harms = [(name, HARMS[name]) for name in HARMS if name in defects.active]

    def __call__(self, job: Job, plan: Plan | None, reply: Reply) -> None:
        """Do what is switched on; what found nothing to change was not exercised."""
        for name, harm in self._harms:
            if harm(job, plan, reply):
                assert name in self._defects


def _ok(reply: Reply) -> bool:
    return reply.status is not None and reply.status < 300


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return every object inside a body, outermost first."""
    if isinstance(value, dict):
        return [value, *(o for v in value.values() for o in _objects(v))]
    if isinstance(value, list):
        return [o for v in value for o in _objects(v)]
    return []


def _required(plan: Plan | None) -> list[str]:
    schema = plan.operation.success.schema if plan else None
    return list(schema.get("required", ())) if schema else []


def lose_required(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Leave out the first required member."""
    names = _required(plan)
    if not (_ok(reply) and isinstance(reply.body, dict) and names):
        return False
    return reply.body.pop(names[-1], None) is not None


def retype(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Send the first required member as an array of itself."""
    names = _required(plan)
    if not (_ok(reply) and isinstance(reply.body, dict) and names and names[0] in reply.body):
        return False
    reply.body = {**reply.body, names[0]: [reply.body[names[0]], {"was": "wrapped"}]}
    return True


def null_required(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Send the first required member as null."""
    names = _required(plan)
    if not (_ok(reply) and isinstance(reply.body, dict) and names and names[0] in reply.body):
        return False
    reply.body = {**reply.body, names[0]: None}
    return True


def undeclared_success(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Answer successes with 206."""
    if not _ok(reply) or reply.events is not None:
        return False
    reply.status = 206
    return True


def success_for_errors(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Answer client errors with 200."""
    if reply.status not in (400, 404, 422):
        return False
    reply.status = 200
    return True


def fail_instead(status: int, instead: int) -> Harm:
    """Return damage that answers one status where another is right."""

    def harm(job: Job, plan: Plan | None, reply: Reply) -> bool:
        if reply.status != status:
            return False
        reply.status = instead
        return True

    return harm


def html_type(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Call JSON text/html."""
    if not _ok(reply) or reply.events is not None:
        return False
    reply.headers.append(("content-type", "text/html; charset=utf-8"))
    return True


def html_errors(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Send errors as a page."""
    if reply.status is None or reply.status < 400:
        return False
    reply.headers.append(("content-type", "text/html"))
    reply.encoded = b"<!doctype html><title>Error</title><h1>Error</h1>"
    return True


def flat_errors(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Send errors in another envelope than declared."""
    if reply.status is None or reply.status < 400:
        return False
    reply.body = {"fault": {"reason": "failed", "number": reply.status}}
    return True


def bare_errors(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Send errors without a body."""
    if reply.status is None or reply.status < 400:
        return False
    reply.encoded = b""
    return True


def other_code(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Send every error with the same code."""
    errors = job.service.contract.root.errors
    code = errors.envelope.code if errors else None
    if reply.status is None or reply.status < 400 or code is None:
        return False
    *inside, last = code.split("/")[1:]
    node = reply.body
    for name in inside:
        node = node.get(name, {}) if isinstance(node, dict) else {}
    if not isinstance(node, dict) or last not in node:
        return False
    node[last] = "error"
    return True


def _drop_header(prefix: str, only: Callable[[Reply], bool] = lambda reply: True) -> Harm:
    """Return damage that drops the headers with a prefix, from the replies that `only` picks."""

    def harm(job: Job, plan: Plan | None, reply: Reply) -> bool:
        kept = [pair for pair in reply.headers if not pair[0].startswith(prefix)]
        changed = len(kept) != len(reply.headers) and only(reply)
        if changed:
            reply.headers = kept
        return changed

    return harm


def lose_rate_headers(on: Callable[[Reply], bool]) -> Harm:
    """Return damage that drops the declared rate-limit headers from some replies."""

    def harm(job: Job, plan: Plan | None, reply: Reply) -> bool:
        declared = job.service.contract.root.rate_limit
        if declared is None or not on(reply):
            return False
        names = {n.lower() for n in (declared.limit, declared.remaining, declared.reset) if n}
        kept = [pair for pair in reply.headers if pair[0] not in names]
        changed = len(kept) != len(reply.headers)
        reply.headers = kept
        return changed

    return harm


def lose_rate_headers_of_one(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Drop the rate-limit headers where a request names a record in its path."""
    inside = plan is not None and "{" in plan.operation.path
    return inside and lose_rate_headers(_ok)(job, plan, reply)


def unknown_path_served(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Answer a path that there is not with 200, as a server does that sends one page for all."""
    if plan is not None or job.allowed or reply.status != 404:
        return False
    reply.status, reply.body = 200, {"status": "ok"}
    return True


def _usage_names(job: Job) -> list[tuple[str, str | None]]:
    declared = job.service.contract.root.usage
    pairs = declared.figures if declared else ()
    return [(f.used.lower(), f.limit.lower() if f.limit else None) for f in pairs]


def usage_damage(change: Callable[[str, Job, int], str | None], limits: bool = False) -> Harm:
    """Return damage that changes the usage figures (or their limits); None drops one."""

    def harm(job: Job, plan: Plan | None, reply: Reply) -> bool:
        names = {limit if limits else used for used, limit in _usage_names(job)}
        found, changed = [], False
        for number, (name, value) in enumerate(reply.headers):
            new = change(value, job, number) if name in names else value
            changed |= new != value
            if new is not None:
                found.append((name, new))
        reply.headers = found
        return changed

    return harm


def plan_changes(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Name another plan on every other answer."""
    declared = job.service.contract.root.usage
    name = declared.plan.lower() if declared and declared.plan else None
    job.service.answered += 1
    if name is None or job.service.answered % 2:
        return False
    reply.headers = [(k, "other" if k == name else v) for k, v in reply.headers]
    return True


def silent_refusal(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Send a 429 without a body."""
    if reply.status != 429:
        return False
    reply.encoded = b""
    return True


def stream_without_end(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Leave out the last event of a stream."""
    if not reply.events:
        return False
    reply.events = reply.events[:-1]
    return True


def stream_untyped(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Send stream events without a type."""
    if not reply.events or plan is None or plan.operation.stream is None:
        return False
    name = plan.operation.stream.type.rpartition("/")[2]
    reply.events = [{k: v for k, v in event.items() if k != name} for event in reply.events]
    return True


def stream_as_json(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Answer a request for a stream with one JSON array."""
    if reply.events is None:
        return False
    reply.body, reply.events = list(reply.events), None
    return True


def stream_reordered(job: Job, plan: Plan | None, reply: Reply) -> bool:
    """Send the end of a stream first."""
    if not reply.events or len(reply.events) < 2:
        return False
    reply.events = [reply.events[-1], *reply.events[:-1]]
    return True


def _limited(reply: Reply) -> bool:
    return reply.status == 429


HARMS: dict[str, Harm] = {
    "answer.required-missing": lose_required,
    "answer.wrong-type": retype,
    "answer.null": null_required,
    "answer.undeclared-status": undeclared_success,
    "answer.html-type": html_type,
    "error.answered-200": success_for_errors,
    "error.html": html_errors,
    "error.other-envelope": flat_errors,
    "error.no-body": bare_errors,
    "error.one-code-for-all": other_code,
    "error.unknown-id-is-400": fail_instead(404, 400),
    "error.unknown-id-is-500": fail_instead(404, 500),
    "error.invalid-is-500": fail_instead(400, 500),
    "error.invalid-is-409": fail_instead(400, 409),
    "auth.missing-key-is-400": fail_instead(401, 400),
    "auth.missing-key-is-403": fail_instead(401, 403),
    "auth.role-refused-with-404": fail_instead(403, 404),
    "method.wrong-is-500": fail_instead(405, 500),
    "limit.body-empty": silent_refusal,
    "limit.exceeded-is-503": fail_instead(429, 503),
    "limit.headers-missing-on-errors": lose_rate_headers(lambda r: (r.status or 0) >= 400),
    "limit.headers-missing-on-429": lose_rate_headers(_limited),
    "limit.headers-missing-on-one": lose_rate_headers_of_one,
    "path.unknown-is-200": unknown_path_served,
    "usage.header-missing": usage_damage(lambda value, job, n: None),
    "usage.shrinks": usage_damage(lambda value, job, n: str(max(0, 1000 - int(value)))),
    "usage.stuck": usage_damage(lambda value, job, n: "7"),
    "usage.above-limit": usage_damage(lambda value, job, n: str(10**9 + int(value))),
    "usage.words": usage_damage(lambda value, job, n: "many"),
    "usage.limit-missing": usage_damage(lambda value, job, n: None, limits=True),
    "usage.plan-changes": plan_changes,
    "stream.no-end": stream_without_end,
    "stream.untyped": stream_untyped,
    "stream.as-json": stream_as_json,
    "stream.end-first": stream_reordered,
}
