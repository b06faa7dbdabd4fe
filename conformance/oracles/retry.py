"""Retries: what a contract lets an SDK do with a sequence of answers, and whether it did.

`predict` comes first: from the contract, the answers that a script will give and the options of
the client it derives how many attempts are allowed, how long each wait may be and how the call
may end. `judge` compares a recorded call with that. Both are pure. What the final exception must
look like is the errors oracle's business (`exceptions.py`); here only whether there is one, and
whether it speaks of the last attempt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import pairwise

from conformance.claims import (
    Early,
    FailsAfterSuccess,
    Hangs,
    NoBackoff,
    NotRetried,
    Retried,
    TooFew,
    TooLong,
    TooMany,
    TooShort,
    Unbounded,
    ValueInstead,
    WrongLastClass,
)
from conformance.history import Call, Exchange, Request, header
from conformance.oracles.answers import Answer, answer_of, error_code
from conformance.oracles.answers import retry_after as read_retry_after
from conformance.verdict import Finding
from specs import Basis, Contract, Operation, error_rule, pointer
from specs.vocabulary import Idempotency, Retries

TOLERANCE = 0.005
"""Seconds by which a wait may be shorter than asked for: rounding, not impatience."""
FOREVER = 7 * 86_400.0
"""A wait longer than this (seconds) is one without bound."""
PATIENCE = 60.0
"""A server's wish to wait longer than this may be answered by giving up (seconds)."""


class Duty(Enum):
    """What the contract makes of one failed attempt."""

    RETRY = "retry"
    STOP = "stop"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Rule:
    """The duty after one answer, and what it rests on."""

    duty: Duty
    basis: Basis
    source: str
    pattern: str
    """The row of the contract that says so, `5XX`; the answer's own name where none does."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The allowed wait before an attempt, in seconds, and what it rests on."""

    low: float = 0.0
    high: float = math.inf
    requirement: str = "RT2"
    basis: Basis = Basis.ASSUMED
    source: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is allowed to happen to one call."""

    maximum: int
    """Most attempts that may be sent."""
    ends: Mapping[int, Answer]
    """Allowed numbers of attempts, each with the answer that the call then ends on."""
    waits: tuple[Wait, ...]
    """Before attempt 2, 3, …: one for each attempt that could follow another."""
    rules: tuple[Rule, ...]
    """After attempt 1, 2, …"""
    answers: tuple[Answer, ...]
    basis: Basis
    source: str

    @property
    def least(self) -> int:
        """Fewest attempts that are allowed."""
        return min(self.ends)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the client that bear on retries; None: the SDK's default."""

    max_retries: int | None = None
    backoff_base: float | None = None


SUCCESS = Answer(200)


@dataclass(frozen=True, slots=True)
class Context:
    """What the oracle must be told of the run that no contract knows."""

    now: float = 0.0
    """Seconds since the epoch on the SDK's clock when the call began: HTTP dates refer to it."""
    virtual: bool = True
    """True: waits are the recorded sleeps; False: the gaps between the exchanges."""
    scale: float = 1.0
    """Real seconds that one second of the SDK's waits takes, where time is real."""
    ignore: frozenset[str] = field(default_factory=frozenset)
    """Request headers that may differ between attempts, lower case."""


def rule_for(retries: Retries | None, answer: Answer) -> Rule:
    """Return the duty after one failed answer.

    The more specific pattern wins; of equal ones `never`. What the contract is silent on may be
    retried or not.
    """
    if retries is None:
        return Rule(Duty.EITHER, Basis.ASSUMED, "", answer.name)
    if answer.network is not None:
        basis = retries.network_basis or retries.basis
        if answer.network in retries.network:
            return Rule(Duty.RETRY, basis, retries.source, answer.network)
        return Rule(Duty.EITHER, basis, retries.source, answer.network)
    told = (answer.header(retries.told_by) or "").strip().lower() if retries.told_by else ""
    if told in ("true", "false"):
        duty = Duty.RETRY if told == "true" else Duty.STOP
        return Rule(duty, retries.basis, retries.source, f"{retries.told_by}={told}")
    exact, range_ = str(answer.status), f"{(answer.status or 0) // 100}XX"
    listed = {s.status: s for s in retries.statuses}
    for pattern in (exact, range_):
        if pattern in retries.never:
            return Rule(Duty.STOP, retries.basis, retries.source, pattern)
        if pattern in listed:
            row = listed[pattern]
            return Rule(
                Duty.RETRY, row.basis or retries.basis, row.source or retries.source, pattern
            )
    return Rule(Duty.EITHER, Basis.ASSUMED, "", exact)


def predict(
    operation: Operation,
    answers: Sequence[Answer],
    options: Options = Options(),
    context: Context = Context(),
) -> Prediction:
    """Return what one call may do when its attempts are answered with `answers`, then success."""
    retries = operation.retries
    planned = [*answers, SUCCESS]
    if retries is None:
        maximum = len(planned)
    elif options.max_retries is not None:
        maximum = options.max_retries + 1
    else:
        maximum = retries.max_attempts
    ends: dict[int, Answer] = {}
    waits: list[Wait] = []
    rules: list[Rule] = []
    now = context.now
    for number, answer in enumerate(planned, start=1):
        rule = (
            Rule(Duty.STOP, Basis.DOCUMENTED, "", "2XX") if answer.ok else rule_for(retries, answer)
        )
        wait = wait_after(retries, answer, number - 1, options, now)
        rules.append(rule)
        if rule.duty is Duty.STOP or number == maximum:
            ends[number] = answer
            break
        if rule.duty is Duty.EITHER or _may_give_up(retries, answer, now):
            ends[number] = answer
        waits.append(wait)
        now += wait.low
    return Prediction(
        maximum=maximum,
        ends=ends,
        waits=tuple(waits),
        rules=tuple(rules),
        answers=tuple(planned),
        basis=retries.basis if retries else Basis.ASSUMED,
        source=retries.source if retries else "",
    )


def _may_give_up(retries: Retries | None, answer: Answer, now: float) -> bool:
    """True where the server's wish to wait is long enough to fail instead (RA4: wait or fail)."""
    wish, _ = server_wish(retries, answer, now)
    if _ignored(retries, wish):
        return False
    limit = PATIENCE
    if retries and retries.retry_after and retries.retry_after.max is not None:
        limit = min(limit, retries.retry_after.max)
    return wish is not None and wish > limit


def wait_after(
    retries: Retries | None, answer: Answer, retry: int, options: Options, now: float
) -> Wait:
    """Return the allowed wait after the `retry`-th failed attempt (from 0)."""
    if retries is None:
        return Wait(high=FOREVER)
    low, high, basis, source = _backoff(retries, retry, options)
    wish, weight = server_wish(retries, answer, now)
    if wish is None or answer.network is not None or _ignored(retries, wish):
        return Wait(low, high, "RT2", basis, source, f"back-off {_span(low, high)}")
    obeyed = retries.retry_after
    if obeyed is None:
        return Wait(0.0, max(high, 2 * wish + high), "RT2", basis, source, "back-off")
    weight = weight if answer.status == 429 else Basis.ASSUMED
    if wish <= 0:
        return Wait(0.0, math.inf, "RA4", weight, obeyed.source, "Retry-After in the past")
    floor = wish
    if obeyed.max is not None and wish > obeyed.max:
        floor = obeyed.max if obeyed.on_exceed == "clamp" else wish
    dated = answer.header(obeyed.header) or ""
    slack = 1.0 if not dated.strip().isdigit() else 0.0
    floor = math.floor(floor - slack) if slack else floor
    return Wait(
        max(0.0, floor), math.inf, "RA4", weight, obeyed.source,
        f"Retry-After asks for {round(wish, 0):g} s",
    )  # fmt: skip


def _ignored(retries: Retries | None, wish: float | None) -> bool:
    """True where a wish to wait is longer than is obeyed, and such a wish counts as none."""
    said = retries.retry_after if retries else None
    if said is None or said.max is None or wish is None:
        return False
    return said.on_exceed == "ignore" and wish > said.max


def server_wish(retries: Retries | None, answer: Answer, now: float) -> tuple[float | None, Basis]:
    """Return the seconds that an answer asks to wait, None where it does not; and the basis.

    The header comes first; a pointer into the error body is read where the header is absent.
    """
    block = retries.retry_after if retries else None
    if block is None:
        return read_retry_after(answer.header("retry-after"), now), Basis.ASSUMED
    exact = answer.header(block.milliseconds) if block.milliseconds else None
    if exact is not None and exact.strip().isdigit() and len(exact) < 300:
        return float(exact) / 1000, block.basis
    value = answer.header(block.header)
    if value is not None or block.pointer is None:
        return read_retry_after(value, now), block.basis
    try:
        said = pointer(answer.json(), block.pointer)
    except LookupError:
        return None, block.basis
    valid = isinstance(said, int | float) and not isinstance(said, bool) and said >= 0
    return (float(said) if valid else None), block.pointer_basis or block.basis


def _backoff(retries: Retries, retry: int, options: Options) -> tuple[float, float, Basis, str]:
    """Return the support of the back-off before retry `retry` (from 0), and what it rests on."""
    said = retries.backoff
    basis = said.figures_basis or said.basis or retries.basis
    source = said.source or retries.source
    base = options.backoff_base if options.backoff_base is not None else said.base
    if base is None:
        return 0.0, math.inf, basis, source
    growth = {
        "exponential": (said.multiplier or 2.0) ** retry,
        "linear": float(retry + 1),
        "constant": 1.0,
    }[said.kind]
    centre = min(said.cap or math.inf, base * growth)
    if said.jitter_range is not None:
        least, most = said.jitter_range
        return centre * least, centre * most, basis, source
    if said.jitter in (False, "none"):
        return centre, centre, basis, source
    if said.jitter == "full":
        return 0.0, centre, basis, source
    if said.jitter == "equal":
        return centre / 2, centre, basis, source
    if said.jitter == "decorrelated":
        return min(base, centre), min(said.cap or math.inf, 3 * centre), basis, source
    if said.jitter == "additive":
        longest = centre * (1 + (said.jitter_factor or 1.0))
        return centre, min(said.cap or math.inf, longest), basis, source
    return 0.0, 2 * centre, basis, source


def _brief(value: object) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _span(low: float, high: float) -> str:
    if math.isinf(high):
        return f"of at least {low:g} s" if low else "of any length"
    return f"of {low:g} s" if low == high else f"between {low:g} and {high:g} s"


# --- judging ----------------------------------------------------------------------------------


def waits_of(call: Call, exchanges: Sequence[Exchange], context: Context) -> tuple[float, ...]:
    """Return the seconds waited between each exchange of a call and the next.

    On a virtual clock these are the recorded sleeps that began in the gap; otherwise the gap
    itself, in the SDK's own seconds.
    """
    found = []
    for before, after in pairwise(exchanges):
        if context.virtual:
            slept = [s.seconds for s in call.sleeps if before.sent <= s.at <= after.sent]
            found.append(sum(slept))
        else:
            began = before.received if before.received is not None else before.sent
            found.append(max(0.0, after.sent - began) / context.scale)
    return tuple(found)


def judge(
    operation: Operation,
    prediction: Prediction,
    call: Call,
    exchanges: Sequence[Exchange],
    context: Context = Context(),
) -> list[Finding]:
    """Return what one call did against its prediction. `exchanges` are its attempts, in order."""
    if call.outcome.kind in ("unsupported", "driver_error"):
        return []
    return [
        *_attempts(operation, prediction, call, exchanges),
        *_waits(prediction, waits_of(call, exchanges, context)),
        *_bounded(call),
        *_same(operation, exchanges, context),
        *_ending(prediction, call, exchanges),
    ]


def _attempts(
    operation: Operation, prediction: Prediction, call: Call, exchanges: Sequence[Exchange]
) -> Iterator[Finding]:
    sent, told = len(exchanges), prediction
    if sent in told.ends or sent == 0:
        return
    names = [_kind(a.name) for a in told.answers[:sent]]
    witness = tuple(e.number for e in exchanges)
    if sent > told.maximum or sent > len(told.rules):
        stop = told.rules[-1]
        if sent > told.maximum and stop.duty is not Duty.STOP:
            yield Finding.of(
                "RT1", TooMany(told.maximum, sent), told.basis, _said(told.basis, told.source),
                witness=witness,
            )  # fmt: skip
        else:
            yield _retried(operation, stop, told, sent, witness)
        return
    rule = told.rules[sent - 1]
    last = told.answers[sent - 1]
    met = ", ".join(dict.fromkeys(names))
    said = _said(rule.basis, rule.source)
    if sent == 1:
        requirement = "RT19" if last.network is not None else "RT5"
        once = NotRetried(rule.pattern, _kind(rule.pattern), _ways(told), met, ending(call))
        found = Finding.of(requirement, once, rule.basis, said, witness=witness)
        yield found.at(conditions=(_kind(last.name),))
        return
    few = TooFew(told.least, _ways(told), met, sent, ending(call))
    yield Finding.of("RT1", few, rule.basis, said, witness=witness)


def _retried(
    operation: Operation, rule: Rule, told: Prediction, sent: int, witness: tuple[int, ...]
) -> Finding:
    unsafe = not operation.idempotent_method and rule.pattern != "2XX"
    claim = Retried(rule.pattern, _kind(rule.pattern), sent, operation.verb if unsafe else "")
    said = _said(rule.basis, rule.source)
    return Finding.of("RT5", claim, rule.basis, said, witness=witness)


def _ways(told: Prediction) -> str:
    return " or ".join(str(n) for n in sorted(told.ends))


def _kind(pattern: str) -> str:
    words = {
        "connect": "a refused connection", "reset": "a broken connection",
        "timeout": "a timeout", "truncated": "a truncated answer", "2XX": "a success",
    }  # fmt: skip
    return words.get(pattern, f"status {pattern}")


def _said(basis: Basis, source: str) -> str:
    return f"{basis}: {source}" if source else str(basis)


def ending(call: Call) -> str:
    """Return in words how a call ended."""
    if call.outcome.kind == "error" and call.outcome.error is not None:
        return f"raised {call.outcome.error.name}"
    return {"value": "returned", "hang": "never returned"}.get(call.outcome.kind, call.outcome.kind)


def _waits(prediction: Prediction, waits: Sequence[float]) -> Iterator[Finding]:
    for number, (allowed, waited) in enumerate(zip(prediction.waits, waits, strict=False), start=1):
        answer = prediction.answers[number - 1]
        said = _said(allowed.basis, allowed.source)
        if waited < allowed.low - TOLERANCE:
            least, before = allowed.low, number + 1
            claim = (
                Early(before, least, allowed.why, waited, answer.status == 429)
                if allowed.requirement == "RA4"
                else TooShort(before, least, allowed.why, waited)
            )
            yield Finding.of(allowed.requirement, claim, allowed.basis, said)
        elif waited > allowed.high + max(TOLERANCE, 0.05 * allowed.high):
            long = TooLong(number + 1, allowed.high, allowed.why, waited)
            yield Finding.of("RT2", long, allowed.basis, said)
        elif waited <= 0 and allowed.requirement == "RT2" and allowed.basis is not Basis.ASSUMED:
            yield Finding.of("RT2", NoBackoff(number + 1), allowed.basis, said)


def _bounded(call: Call) -> Iterator[Finding]:
    longest = max((s.seconds for s in call.sleeps), default=0.0)
    if longest > FOREVER:
        yield Finding.of("RA5", Unbounded(FOREVER, longest), Basis.ASSUMED)


def _same(
    operation: Operation, exchanges: Sequence[Exchange], context: Context
) -> Iterator[Finding]:
    if len(exchanges) < 2:
        return
    first = _unbound(exchanges[0].request)
    promised = operation.retries.basis if operation.retries is not None else Basis.DOCUMENTED
    for again in exchanges[1:]:
        other = _unbound(again.request)
        parts = (
            ("method", first.method, other.method),
            ("target", first.target, other.target),
            ("body", first.body, other.body),
        )
        for part, before, after in parts:
            if before != after and not _same_json(part, first.json_or_none(), other.json_or_none()):
                yield Finding(
                    "RT10", f"changes the {part} of a request from one attempt to the next",
                    expected=f"the same {part} in every attempt",
                    actual=f"{_brief(before)} then {_brief(after)}", basis=promised,
                    witness=(exchanges[0].number, again.number), cause=f"changed:{part}",
                )  # fmt: skip
        names = {n.lower() for n, _ in (*first.headers, *other.headers)} - context.ignore
        for name in sorted(n for n in names if n in _STABLE or not _OF_ATTEMPT.search(n)):
            if header(first.headers, name) != header(other.headers, name):
                yield Finding(
                    "RT10", "changes a header of a request from one attempt to the next",
                    expected=f"the same {name} in every attempt", actual=f"{name} differs",
                    basis=promised if name in _STABLE else Basis.ASSUMED,
                    witness=(exchanges[0].number, again.number), cause=f"changed:header:{name}",
                )  # fmt: skip
        yield from _same_key(operation.idempotency, exchanges[0], again)


_STABLE = frozenset({"content-type", "authorization", "accept", "x-api-key", "user-agent"})
_OF_ATTEMPT = re.compile(
    r"retry|attempt|request-?id|correlation|trace|span|idempotency|signature|nonce"
    r"|^(date|timestamp|connection|keep-alive|content-length|transfer-encoding|x-amz-date)$"
)
"""Headers that each attempt may have of its own: counts, ids, traces, times, framing."""


_BOUNDARY = re.compile(r"^(multipart/[^;]+;(?:.*;)?\s*boundary=)\"?([^\";]+)\"?", re.I)


def _unbound(request: Request) -> Request:
    """Return a request without its multipart boundary (RFC 2046 §5.1.1), new in each attempt."""
    found = _BOUNDARY.match(header(request.headers, "content-type") or "")
    if found is None:
        return request
    headers = tuple((n, found[1] if n.lower() == "content-type" else v) for n, v in request.headers)
    body = request.body.replace(found[2].encode(), b"")
    return replace(request, headers=headers, body=body)


def _same_json(part: str, before: object, after: object) -> bool:
    return part == "body" and before is not None and before == after


def _same_key(
    idempotency: Idempotency | None, first: Exchange, again: Exchange
) -> Iterator[Finding]:
    if idempotency is None:
        return
    before, after = (idempotency_key(idempotency, e) for e in (first, again))
    if before != after:
        yield Finding(
            "IK9", "sends another idempotency key when it sends again",
            expected="the key of the first attempt in every attempt",
            actual="another key" if after else "no key", basis=idempotency.basis,
            witness=(first.number, again.number), cause="idempotency-key:changed",
        )  # fmt: skip


def idempotency_key(idempotency: Idempotency, exchange: Exchange) -> str | None:
    """Return the key that a request carries, None where it has none."""
    if idempotency.location == "header":
        return header(exchange.request.headers, idempotency.name)
    body = exchange.request.json_or_none()
    return body.get(idempotency.name) if isinstance(body, dict) else None


def _ending(prediction: Prediction, call: Call, exchanges: Sequence[Exchange]) -> Iterator[Finding]:
    if not exchanges:
        return
    last = answer_of(exchanges[-1])
    witness = (exchanges[-1].number,)
    if call.outcome.kind == "hang":
        yield Finding.of("RB8", Hangs("nothing" if last.status else "silence"), witness=witness)
    elif last.ok and len(exchanges) > 1 and call.outcome.kind == "error":
        claim = FailsAfterSuccess(ending(call))
        yield Finding.of("RT21", claim, prediction.basis, witness=witness)
    elif not last.ok and (last.status or 500) >= 400 and call.outcome.kind == "value":
        kind = _kind(last.name)
        value = ValueInstead("an error", kind, last.range, last.range)
        yield Finding.of("ER1", value, witness=witness).at(conditions=(kind,))


def judge_last(
    contract: Contract, operation: Operation, call: Call, exchanges: Sequence[Exchange]
) -> list[Finding]:
    """Return whether the error of a call that sent several times is the last attempt's (RT21).

    Meant for scripts whose attempts fail in different ways or use up all retries.
    """
    errors, raised = operation.errors, call.outcome.error
    if errors is None or raised is None or len(exchanges) < 2:
        return []
    last = answer_of(exchanges[-1])
    rule = error_rule(
        errors, status=last.status if not last.network else None,
        code=error_code(errors, last), network=last.network,
    )  # fmt: skip
    if rule is None or raised.name == rule.exception or rule.exception in raised.bases:
        return _last_status(contract, rule.attributes if rule else {}, call, exchanges, last)
    if errors.base not in (raised.name, *raised.bases):
        return []  # a foreign exception: the errors oracle says so
    claim = WrongLastClass(rule.exception, raised.name, _kind(last.name))
    basis, source = rule.basis or errors.basis, rule.source or errors.source
    found = Finding.of(
        "RT21", claim, basis, _said(basis, source), witness=(exchanges[-1].number,)
    )  # fmt: skip
    return [found.at(conditions=(_kind(last.name),), exceptions=(raised.name,))]


def _last_status(
    contract: Contract, attributes: Mapping[str, str], call: Call,
    exchanges: Sequence[Exchange], last: Answer,
) -> list[Finding]:  # fmt: skip
    raised = call.outcome.error
    name = next((a for a, source in attributes.items() if source == "status"), None)
    if raised is None or name is None or last.status is None or last.network:
        return []
    value = raised.attributes.get(name)
    earlier = {e.status for e in exchanges[:-1]}
    if value == last.status or value not in earlier:
        return []  # right, or wrong in a way that has nothing to do with retries
    return [
        Finding(
            "RT21", "raises the error of an earlier attempt",
            expected=f"{name} {last.status}, the last attempt's", actual=f"{name} {value}",
            witness=(exchanges[-1].number,), cause="last-error:earlier-attempt",
        )
    ]  # fmt: skip
