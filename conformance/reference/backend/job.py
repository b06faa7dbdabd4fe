"""One request of the embedded backend, from its bytes to its answer.

The order of judging is fixed: path, verb, key, quota, role, size, media type, syntax, schema,
then the handler. Nothing here awaits (but for defects that need two requests to meet) and
nothing knows an API by name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from conformance.reference.backend import conditional, idempotency, limits
from conformance.reference.backend.calls import Call, Problem, Reply
from conformance.reference.backend.damage import Damage, Rendered
from conformance.reference.backend.keys import Principal
from conformance.reference.backend.meter import Traffic
from conformance.reference.backend.plan import Plan, envelope
from conformance.reference.backend.service import PROBLEM, Service
from conformance.reference.backend.store import Document, encode
from conformance.reference.backend.validate import check, parameters, parse
from specs import Contract
from specs.vocabulary import Effect, Policy, Refusal

Headers = list[tuple[str, str]]

ANONYMOUS = "anonymous"
_LOG = logging.getLogger(__name__)


class Job:
    """One request on its way to its answer."""

    def __init__(
        self,
        service: Service,
        damage: Damage,
        scope: MutableMapping[str, Any],
        raw: bytes,
        oversized: bool,
    ) -> None:
        self.service, self.scope, self.raw, self.oversized = service, scope, raw, oversized
        self.damage = damage
        self.defects = service.defects
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.now = service.clock.time()
        self.started = service.clock.monotonic()
        self.verb: str = scope["method"]
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        path = path.partition(b"?")[0]
        if path.startswith(service.prefix):
            path = path[len(service.prefix) :]
        if b"%" in path and "accept.encoded-letter-unknown" in self.defects:
            path += b"-"
        wanted = "GET" if self.verb == "HEAD" else self.verb
        self.plan, self.path, self.allowed = service.routes.find(path, wanted)
        if self.plan is None and self.allowed and "method.wrong-is-served" in self.defects:
            self.plan, self.path, _ = service.routes.find(path, min(self.allowed))
        alone = len(self.headers) == len(scope["headers"]) or not self._shows_two_keys()
        self.who = service.principal(self.headers) if alone else None
        self.request_id = self._request_id()
        self.decision: limits.Decision | None = None
        self.stale: dict[str, Any] | None = None
        self.raced = False
        self.refused: Any = None
        """The body that was refused, kept for defects that use it all the same."""

    def _shows_two_keys(self) -> bool:
        """True where a header that carries a key stands there twice (RFC 9110 section 5.3)."""
        shown = {rule.header.lower().encode() for rule in self.service.contract.auth}
        carried = [name for name, _ in self.scope["headers"] if name in shown]
        return len(carried) > len(set(carried))

    def _request_id(self) -> str:
        if "error.request-id-repeated" in self.defects:
            return "req_000000000000"
        given = self.headers.get((self.service.id_header or "x-request-id").encode())
        if given and len(given) <= 128 and given.isascii() and given.decode().isprintable():
            return given.decode().strip() or self.service.request_id()
        return self.service.request_id()

    # -- quota ------------------------------------------------------------------------------

    def _partition(self) -> str:
        declared = self._limit_declared()
        scope = (declared and declared.category) or "all"
        who = self.who.partition if self.who and not self.who.expired else ANONYMOUS
        if who != ANONYMOUS and "limit.shared-by-keys" in self.defects:
            who = "everyone"
        if self.plan and "limit.per-operation" in self.defects:
            scope = self.plan.operation.id
        return f"{self.service.contract.api}:{scope}:{who}"

    def _limit_declared(self) -> Any:
        return (
            self.plan.operation.rate_limit if self.plan else self.service.contract.root.rate_limit
        )

    def _granted(self) -> tuple[limits.Algorithm, Policy]:
        """Return how the request's key is limited, and to what."""
        service, own = self.service, self.who.quota if self.who else None
        if "limit.shared-by-keys" in self.defects:
            given = [p.quota for p in service.keys.values() if p.quota]
            own = min(given, key=lambda quota: quota.policy.q, default=None)
        if own is None:
            return self._miscounted(service.algorithm, service.policy)
        chosen = limits.ALGORITHMS[own.algorithm] if own.algorithm else service.algorithm
        return self._miscounted(chosen, own.policy)

    def _miscounted(
        self, algorithm: limits.Algorithm, policy: Policy
    ) -> tuple[limits.Algorithm, Policy]:
        """Return algorithm and policy as a defect would have them."""
        if algorithm is limits.sliding_window and "limit.window-fixed" in self.defects:
            return limits.fixed_window, policy
        if algorithm is limits.token_bucket and "limit.refill-doubled" in self.defects:
            return algorithm, policy.model_copy(update={"w": policy.w / 2})
        return algorithm, policy

    def _take(self) -> limits.Decision:
        service, name = self.service, self._partition()
        algorithm, granted = self._granted()
        policy = granted
        if "limit.under-admits" in self.defects:
            policy = policy.model_copy(update={"q": max(1, policy.q - 1)})
        if self._over_admits(algorithm):
            policy = policy.model_copy(update={"q": policy.q + 1})
        if name.endswith(ANONYMOUS):
            return service.book.peek(name, policy, algorithm, self.now)
        taken = service.book.take(name, policy, algorithm, self.now)
        if "limit.refusals-extend-wait" in self.defects:
            taken = self._penalised(name, taken)
        if policy.q != granted.q:
            gap = granted.q - policy.q
            taken = limits.Decision(
                taken.admitted, granted.q, max(0, taken.remaining + gap), taken.reset,
                taken.wait, taken.window,
            )  # fmt: skip
        return taken

    def _over_admits(self, algorithm: limits.Algorithm) -> bool:
        return (
            "limit.over-admits" in self.defects
            or (algorithm is limits.sliding_window and "limit.log-too-long" in self.defects)
            or (algorithm is limits.token_bucket and "limit.bucket-too-deep" in self.defects)
        )

    def _penalised(self, name: str, taken: limits.Decision) -> limits.Decision:
        """Refuse for two windows after each refusal, but tell the usual wait."""
        until = self.service.penalties.get(name, 0.0)
        if not taken.admitted or self.now < until:
            self.service.penalties[name] = self.now + 2 * taken.window
            wait = taken.wait or max(0.0, taken.reset - self.now)
            return limits.Decision(False, taken.limit, 0, taken.reset, wait, taken.window)
        return taken

    async def interleave(self) -> None:
        """Where a defect needs two requests to meet, let them: wait between look and act."""
        if self.plan is None or self.who is None:
            return
        if "limit.race" in self.defects:
            await self._race()
        if (
            self.plan.operation.idempotency is not None
            and {"idempotency.race", "idempotency.race-is-400"} & self.defects.active
        ):
            self.raced = self.raw not in self.service.arrivals
            if "idempotency.race-is-400" in self.defects:
                self.raced = self.raw in self.service.under_way
                self.service.under_way.add(self.raw)
                await asyncio.sleep(0.05)
                self.service.under_way.discard(self.raw)
                return
            assert "idempotency.race" in self.defects
            await asyncio.sleep(0.02)
            self.service.arrivals.add(self.raw)
        await self._beside_writes(self.plan, self.who)
        effect = self.plan.operation.effect
        if effect is not None and effect.kind == "update" and "update.lost" in self.defects:
            space = self.service.store.space(
                self.service.realm, self.who.tenant, effect.resource or ""
            )
            id = self.path.get(effect.target or "", "")
            document = self.service.store.get(space, id, self.now)
            self.stale = document.body if document else None
            await asyncio.sleep(0.02)

    async def _beside_writes(self, plan: Plan, who: Principal) -> None:
        """Where a defect wants it, notice that something is written while a page is read."""
        kind = plan.operation.effect.kind if plan.operation.effect else ""
        under_way = self.service.under_way
        if kind == "create" and "page.torn-by-writes" in self.defects:
            under_way.add(self.raw)
            await asyncio.sleep(0.05)
            under_way.discard(self.raw)
        if kind == "list" and "page.torn-by-writes" in self.defects:
            self.raced = bool(under_way)
        if kind == "list" and "page.cursor-overtaken" in self.defects:
            before = self._newest(plan, who)
            await asyncio.sleep(0.05)
            self.raced = before != self._newest(plan, who)

    def _newest(self, plan: Plan, who: Principal) -> list[Document]:
        """Return the newest document of the kind that an operation lists."""
        kind, store = plan.operation.effect, self.service.store
        space = store.space(self.service.realm, who.tenant, (kind and kind.resource) or "")
        return store.find(space, self.service.clock.time(), order="seq DESC", limit=1)

    async def _race(self) -> None:
        """Look at the quota, wait, and then let in whoever saw something remain."""
        book, name, (algorithm, policy) = self.service.book, self._partition(), self._granted()
        seen = book.peek(name, policy, algorithm, self.now)
        if seen.remaining > 0:
            await asyncio.sleep(0.05)
            taken = book.take(name, policy, algorithm, self.now)
            self.decision = limits.Decision(
                True, seen.limit, taken.remaining, taken.reset, 0.0, seen.window
            )

    # -- the answer -------------------------------------------------------------------------

    def answer(self) -> Rendered:
        """Return status, headers, body and, where it is streamed, the encoded events."""
        call: Call | None = None
        try:
            if len(self.headers) > 100 and "robust.many-headers-fail" in self.defects:
                raise RuntimeError("too many headers")
            self.decision = self.decision or self._take()
            plan = self._admitted()
            call = self._call(plan)
            reply = self._handled(plan, call)
            reply.status = reply.status or plan.success
        except Problem as problem:
            if self.defects.active:
                self._do_all_the_same(problem)
            reply = self._refusal(problem)
        except Exception:
            if not self.defects.active:
                _LOG.exception("request failed")
            reply = self._crash()
        return self._rendered(reply, call)

    def _admitted(self) -> Plan:
        plan, defects = self.plan, self.defects
        if plan is None:
            if not self.allowed:
                raise Problem("unknown-path", "there is nothing at this path")
            allow = sorted({*self.allowed, *(["HEAD"] if "GET" in self.allowed else [])})
            raise Problem(
                "method",
                "the path does not allow this method",
                headers=[("allow", ", ".join(allow))],
            )
        operation = plan.operation
        if self.raw in self.service.refusals and "idempotency.spent-by-refusal" in defects:
            raise Problem("unauthenticated", "the API key is missing or not valid")
        if operation.authenticated or "auth.health-needs-key" in defects:
            self._check_key()
        assert self.decision is not None
        if not self.decision.admitted:
            raise Problem("rate-limited", "too many requests; wait as long as Retry-After says")
        roles = operation.roles
        if roles is not None and self.who is not None:
            held = self.who.admin if roles.needs == "admin" else self.who.seat
            if not held and f"auth.{roles.needs}-not-checked" not in defects:
                raise Problem("forbidden", f"this needs {_ARTICLE[roles.needs]}")
        return plan

    def _check_key(self) -> None:
        who, defects = self.who, self.defects
        if who is None and "auth.not-checked" in defects:
            self.who = who = next(iter(self.service.keys.values()))
        if who is None:
            raise Problem("unauthenticated", "the API key is missing or not valid")
        if who.expired and "auth.expired-accepted" not in defects:
            raise Problem("unauthenticated", "the API key has expired")

    def _call(self, plan: Plan) -> Call:
        service, defects, operation = self.service, self.defects, plan.operation
        if self.oversized:
            if "robust.oversized-fails" in defects:
                raise RuntimeError("body too large")
            raise Problem("too-large", f"a body may have {service.settings.max_body} bytes at most")
        body = None
        if operation.body is not None:
            body = self._body(plan)
        arguments = parameters(
            plan.compiled.readers, self.path, self.scope["query_string"], self.headers, defects
        )
        who = self.who or Principal(ANONYMOUS, ANONYMOUS, admin=False, seat=False, scopes=())
        return Call(
            service.realm, operation, who, arguments, body, self.request_id, self.now,
            service.store, defects, service.settings, service.tenants, self.headers,
            service.meter, self.stale, self.raced, str(self.scope.get("client")),
        )  # fmt: skip

    def _body(self, plan: Plan) -> Any:
        declared, validator = plan.operation.body, plan.compiled.body
        assert declared is not None
        assert validator is not None
        if not self.raw:
            if declared.required:
                raise Problem("invalid", "a body is required")
            return None
        media = self.headers.get(b"content-type", b"").decode("latin-1").lower()
        kind, _, rest = media.partition(";")
        if rest and "accept.charset-refused" in self.defects:
            raise Problem("media-type", f"the body must be {declared.media_type}")
        utf8 = "charset=" not in rest or rest.replace('"', "").strip() == "charset=utf-8"
        readable = kind.strip() == declared.media_type and utf8
        if not readable:
            if "accept.media-type" in self.defects:
                return {}
            raise Problem("media-type", f"the body must be {declared.media_type} in UTF-8")
        value = self.refused = parse(self.raw, self.defects)
        check(validator, value, self.defects)
        extra = set(value) - set(declared.schema.get("required", ()))
        if extra and "answer.refuses-valid" in self.defects:
            raise Problem("invalid", "the body has more than it needs")
        return value

    def _handled(self, plan: Plan, call: Call) -> Reply:
        service = self.service
        if service.adapter.check is not None:
            service.adapter.check(call)
        for refusal in plan.operation.refuses:
            self._check_refusal(call, refusal)
        if not plan.writes:
            return conditional.handled(plan.handler, call)
        declared = plan.operation.idempotency
        with service.store.writing():
            service.meter.flush()
            if declared is None:
                return conditional.handled(plan.handler, call)
            return idempotency.once(call, declared, lambda: self._settled(plan, call))

    def _check_refusal(self, call: Call, refusal: Refusal) -> None:
        """Raise Problem where the contract refuses a request for its plan or its number."""
        plan, defects = call.principal.plan, self.defects
        if refusal.plan is not None and (refusal.plan != plan or "plan.not-checked" in defects):
            return
        named = [call.values, *(e for e in call.values.get("events", ()) if isinstance(e, dict))]
        if refusal.property is not None and not any(refusal.property in each for each in named):
            return
        extra: dict[str, Any] = {}
        if refusal.cap is not None:
            most = self.service.adapter.caps.get(plan, {}).get(refusal.cap)
            held = call.store.count(call.space(refusal.cap), call.now)
            if most is None or held < most or "plan.cap-not-kept" in defects:
                return
            extra = {"current": held, "limit": most}
        raise Problem(
            "forbidden", "the plan does not allow this", status=refusal.status,
            code="forbidden" if "plan.other-code" in defects else refusal.code, members=extra,
        )  # fmt: skip

    def _settled(self, plan: Plan, call: Call) -> Reply:
        reply = conditional.handled(plan.handler, call)
        reply.status = reply.status or plan.success
        return reply

    def _refusal(self, problem: Problem) -> Reply:
        service, plan = self.service, self.plan
        table = plan.answers if plan else service.root_answers
        status, code = table[problem.kind]
        status, code = problem.status or status, problem.code or code
        headers = list(problem.headers)
        if status == 429 and self.decision is not None and problem.kind == "rate-limited":
            wait = limits.retry_after(self.decision, self.now, self.defects)
            declared = self._limit_declared()
            if wait is not None and (declared is None or declared.retry_after):
                headers.append(("retry-after", wait))
        errors = plan.operation.errors if plan else service.contract.root.errors
        if status == 401:
            headers += _challenge(service.contract)
        problem.members = {**service.adapter.members.get(code, {}), **problem.members}
        if errors is None:
            return Reply({"error": code, "message": problem.message}, status, headers)
        body = envelope(errors.envelope, problem, code, self.request_id, self.defects)
        if service.problem_documents:
            told = status + 1 if "error.problem-status-differs" in self.defects else status
            title = code.replace("_", " ").capitalize()
            kind = "about:blank"
            if "error.problem-title-changes" in self.defects:
                kind, title = "/problems/any", f"{title} ({self.request_id})"
            body.update(type=kind, title=title, status=told)
            headers.append(("content-type", PROBLEM))
        return Reply(body, status, headers)

    def _do_all_the_same(self, problem: Problem) -> None:
        """Where a defect says so, do what is being refused."""
        plan, effect = self.plan, self.plan.operation.effect if self.plan else None
        if problem.kind == "unauthenticated" and plan and plan.operation.idempotency:
            self.service.refusals.add(self.raw)
        kind = effect.kind if effect else ""
        wanted = (
            problem.kind == "rate-limited" and "limit.refused-yet-stored" in self.defects,
            problem.kind == "invalid" and kind == "create"
            and "error.rejected-yet-stored" in self.defects,
            problem.kind == "invalid" and kind == "update"
            and "error.rejected-yet-changed" in self.defects,
            problem.kind == "media-type" and kind == "create"
            and "error.media-type-yet-stored" in self.defects,
            problem.kind == "duplicate" and "create.duplicate-overwrites" in self.defects,
        )  # fmt: skip
        if plan is None or self.who is None or not any(wanted):
            return
        with suppress(Problem, LookupError, TypeError, AttributeError, ValueError):
            if problem.kind in ("media-type", "duplicate"):
                self.refused = parse(self.raw, self.defects)
            if problem.kind == "duplicate" and effect:
                self._overwrite(effect)
                return
            if problem.kind == "rate-limited":
                call = self._call(plan)
            else:
                call = Call(
                    self.service.realm, plan.operation, self.who, dict(self.path), self.refused,
                    self.request_id, self.now, self.service.store, self.defects,
                    self.service.settings, meter=self.service.meter,
                )  # fmt: skip
            self._handled(plan, call)

    def _overwrite(self, effect: Effect) -> None:
        """Give the record that has an id what another one was to be created with under it."""
        assert self.who is not None
        store, collection = self.service.store, effect.resource or ""
        space = store.space(self.service.realm, self.who.tenant, collection)
        document = store.get(space, str(self.refused[effect.target or ""]), self.now)
        if document is not None:
            store.replace(space, document, {**document.body, **self.refused})

    def _crash(self) -> Reply:
        errors = self.service.contract.root.errors
        problem = Problem("internal", "something went wrong here")
        if errors is None:
            return Reply({"error": "internal_error"}, 500)
        return Reply(
            envelope(errors.envelope, problem, "internal_error", self.request_id, self.defects), 500
        )

    # -- the wire ---------------------------------------------------------------------------

    def _rendered(self, reply: Reply, call: Call | None) -> Rendered:
        reply.headers.extend(self._about())
        status, headers = reply.status or 500, reply.headers
        body = b""
        events: list[bytes] | None = None
        if reply.events is not None:
            events = [f"data: {encode(event)}\n\n".encode() for event in reply.events]
            headers = [("content-type", "text/event-stream; charset=utf-8"), *headers]
            headers.append(("cache-control", "no-store"))
        elif status not in (204, 304):
            body = encode(reply.body).encode() if reply.encoded is None else reply.encoded
            if not any(name == "content-type" for name, _ in headers):
                headers.append(("content-type", "application/json"))
        if self.defects.active:
            operation = self.plan.operation if self.plan else None
            status, headers, body, events = self.damage(operation, (status, headers, body, events))
        if events is None and status not in (204, 304):
            headers.append(("content-length", str(len(body))))
        self._count(status, len(body) + sum(map(len, events or ())))
        return status, headers, body, events

    def _about(self) -> Headers:
        """Return the headers that every answer carries: request id, quota, usage."""
        service, found = self.service, []
        if service.id_header:
            found.append((service.id_header, self.request_id))
        declared = self._limit_declared()
        if declared is not None and self.decision is not None:
            found += limits.headers(declared, self.decision, self.now, self.defects)
        usage = self.plan.operation.usage if self.plan else service.contract.root.usage
        if usage is not None and service.adapter.usage is not None and self.who is not None:
            figures = service.adapter.usage(service.meter, self._billed(self.who))
            found += [(name.lower(), str(value)) for name, value in figures.items()]
        return found

    def _count(self, status: int, sent: int) -> None:
        if self.who is None:
            return
        operation = self.plan.operation.id if self.plan else "unknown"
        seconds = self.service.clock.monotonic() - self.started
        traffic = Traffic(1, int(status >= 400), len(self.raw), sent, seconds)
        self.service.meter.count(self._billed(self.who).tenant, operation, self.now, traffic)

    def _billed(self, who: Principal) -> Principal:
        """Return to whom a request is counted."""
        if "usage.tenants-mixed" in self.defects:
            return replace(who, tenant=self.service.tenants[0])
        return who


_ARTICLE = {"admin": "an administrator's key", "seat": "an assigned seat"}


def _challenge(contract: Contract) -> Headers:
    """Return the challenge that a 401 must carry (RFC 9110 section 15.5.2)."""
    bearer = any(rule.prefix.strip().lower() == "bearer" for rule in contract.auth)
    return [("www-authenticate", "Bearer" if bearer else "ApiKey")]
