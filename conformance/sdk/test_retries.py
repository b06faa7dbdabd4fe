"""Retries: what is sent again, how often, after which wait, and what is left unchanged."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from conformance.claims import NoJitterAtCap, NotRetried, WrittenTwice
from conformance.faults.classes import FaultClass
from conformance.faults.script import Script
from conformance.oracles import retry
from conformance.oracles.answers import answer_of
from conformance.oracles.retry import Duty, Options, rule_for
from conformance.sdk.judging import (
    CASES,
    MODES,
    SHORT,
    asks,
    chosen,
    first,
    is_wild,
    judge_retries,
    leaders,
    needs_option,
    once,
    options_of,
    play,
    remembered,
    the_mode,
)
from conformance.sdk.subject import Ask, Play, SdkSubject
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Basis, Contract, Operation
from specs.vocabulary import Retries

SAMPLES = 200
"""Delays that the jitter of a back-off is judged by."""
RETRIED_QUIETLY = frozenset({408, 409, 421, 423, 425, 429})
"""Client errors that many clients retry; doing so without saying so is no deviation."""


def promising(contract: Contract) -> list[Operation]:
    """Return the operations whose retries the contract speaks of."""
    return [o for o in contract if o.retries is not None]


def promising_leaders(contract: Contract) -> list[Operation]:
    """Return one operation of each kind whose retries the contract speaks of."""
    return [o for o in leaders(contract) if o.retries is not None]


def promising_first(contract: Contract) -> list[Operation]:
    """Return one operation whose retries the contract speaks of."""
    return [o for o in first(contract) if o.retries is not None]


def retried(operation: Operation) -> int:
    """Return a status that the contract promises to retry. Raises NotApplicable."""
    if operation.retries is not None:
        for entry in operation.retries.statuses:
            status = entry.status.replace("XX", "03")
            if status not in operation.retries.never:
                return int(status)
    raise NotApplicable("the contract promises no status to be retried")


def failing(operation: Operation, status: int | None = None, times: str = "+") -> Script:
    """Return a script that answers a retried status, on every attempt or on `#1x2`."""
    return Script.parse(f"{operation.id}#1{times} {status or retried(operation)}")


# --- which answers are retried --------------------------------------------------------------------


@CASES.case("retry.statuses", "RT5", "RT1", "RT2", "RT10", "RT21", each=promising, modes=MODES)
def test_statuses(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Every status that is promised to be retried is, as often as promised, and no other."""
    found: list[Finding] = []
    met: dict[str, set[int]] = {}
    for fault in chosen(subject, operation, mode, _is_status):
        made = play(subject, operation, mode, fault, None)
        judged = judge_retries(subject, operation, made)
        for pattern in {f.claim.pattern for f in judged if isinstance(f.claim, NotRetried)} or {""}:
            met.setdefault(pattern, set()).add(int(fault.id.partition("-")[2]))
        found += judged + _unlisted(operation, made)
    return [_naming(f, met) for f in once(found)]


def _naming(finding: Finding, met: Mapping[str, set[int]]) -> Finding:
    """Return a finding that says which statuses are not retried, where not all of a range are.

    `met`: row of the contract that was broken, '' for none -> the statuses that showed it.
    """
    claim = finding.claim
    if not isinstance(claim, NotRetried):
        return finding
    inside = {s for each in met.values() for s in each if f"{s // 100}XX" == claim.pattern}
    missed = met.get(claim.pattern, set())
    if not inside - missed:
        return finding
    return finding.claiming(replace(claim, missed=tuple(sorted(missed))))


def _is_status(fault: FaultClass) -> bool:
    return fault.group == "status" and not is_wild(fault)


def _unlisted(operation: Operation, made: Play) -> list[Finding]:
    """Return a remark where a client error that nobody promised to retry was sent again."""
    answer = answer_of(made.attempts[0]) if made.attempts else None
    if answer is None or answer.status is None or not 400 <= answer.status < 500:
        return []
    rule = rule_for(operation.retries, answer)
    if rule.duty is not Duty.EITHER or answer.status in RETRIED_QUIETLY or len(made.attempts) < 2:
        return []
    return made.witnessed([
        Finding(
            "RT5", "sends again after a client error that the contract does not list",
            expected=f"one attempt after status {answer.status}",
            actual=f"{len(made.attempts)} attempts", basis=Basis.ASSUMED,
            cause="retried-unlisted:4XX",
        )
    ])  # fmt: skip


@CASES.case("retry.recovery", "RT21", "RT1", "RT10", each=promising, modes=MODES)
def test_recovery(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """When a later attempt succeeds, its value is returned and nothing is sent after it."""
    made = play(subject, operation, mode, failing(operation, times=""))
    found = judge_retries(subject, operation, made)
    healthy = play(subject, operation, mode, Script())
    return once(found + judge_retries(subject, operation, healthy))


@CASES.case("retry.last-error", "RT21", each=promising, modes=MODES)
def test_last_error(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """When attempts fail in different ways, the error is the last attempt's."""
    assert operation.retries is not None
    first_status = retried(operation)
    found: list[Finding] = []
    for last in (400, 404):
        if rule_for(operation.retries, _status(last)).duty is Duty.RETRY:
            continue
        script = Script.parse(f"{operation.id}#1 {first_status}; {operation.id}#2+ {last}")
        made = play(subject, operation, mode, script)
        plain = Script.parse(f"{operation.id}#1+ {last}")
        usual = remembered(subject, operation, the_mode(mode), plain, {})
        if _raised(usual) != _raised(made):  # else it is wrong without any retry too
            found += judge_retries(subject, operation, made)
    return once(found)


def _raised(made: Play) -> tuple[str, Any]:
    error = made.call.outcome.error
    if error is None:
        return made.call.outcome.kind, None
    return error.name, error.attributes.get("status", error.attributes.get("status_code"))


def _status(status: int) -> Any:
    from conformance.oracles.answers import Answer

    return Answer(status)


# --- options --------------------------------------------------------------------------------------


@CASES.case("retry.max-retries", "RT13", "WR7", each=promising_leaders, modes=MODES)
def test_max_retries(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """The option for the number of retries is obeyed: 0 switches them off, 1 and 5 are kept."""
    needs_option(subject, operation, mode, "max-retries")
    found: list[Finding] = []
    for wanted in (0, 1, 5):
        settings = {"max-retries": wanted}
        made = play(subject, operation, mode, failing(operation), options=settings)
        for finding in judge_retries(subject, operation, made, options_of(settings)):
            if finding.requirement in ("RT1", "RT5"):
                found.append(
                    made.refiled(
                        finding,
                        requirement="WR7" if wanted else "RT13",
                        message=f"does not obey `max-retries` {wanted}",
                        cause="max-retries:ignored" if wanted else "max-retries:not-disabled",
                    )
                )
    return once(found)


@CASES.case("retry.backoff-base", "WR7", each=promising_first, modes=MODES)
def test_backoff_base(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """The option for the base of the back-off is obeyed."""
    client = subject.contract.client
    if client is None or not any(o.role == "backoff-base" for o in client.options):
        raise NotApplicable("the document names no such option")
    needs_option(subject, operation, mode, "backoff-base")
    means = []
    for base in (0.5, 8.0):
        made = subject.play(
            failing(operation), *asks(subject, operation, 10),
            mode=subject.needs(operation, mode), options={"backoff-base": base},
        )  # fmt: skip
        waits = _first_waits(subject, made)
        if not waits:
            raise Inconclusive("nothing was retried, so nothing was waited")
        means.append(statistics.mean(waits))
    if means[1] > 4 * means[0]:
        return []
    return made.witnessed([
        Finding(
            "WR7", "does not obey the option for the base of its back-off",
            expected="waits that grow with the base: 0.5 s, then 8 s",
            actual=f"mean waits of {means[0]:.2f} s and {means[1]:.2f} s",
            cause="backoff-base:ignored",
        )
    ])  # fmt: skip


# --- back-off -------------------------------------------------------------------------------------


@CASES.case("retry.backoff", "RT2", each=promising_leaders, modes=MODES)
def test_backoff(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Waits stay inside the promised back-off and grow as promised."""
    assert operation.retries is not None
    settings = {"max-retries": 5} if subject.option("max-retries") else {}
    firsts, lasts = [], []
    found: list[Finding] = []
    for _ in range(6):
        made = play(subject, operation, mode, failing(operation), options=settings)
        found += [
            f for f in judge_retries(subject, operation, made, options_of(settings))
            if f.requirement == "RT2"
        ]  # fmt: skip
        waits = retry.waits_of(made.call, made.attempts, subject.context)
        if len(waits) >= 2:
            firsts.append(waits[0])
            lasts.append(waits[-1])
    if not firsts:
        raise Inconclusive("there were not two retries in a row, so no back-off to judge")
    found += made.witnessed(_growth(operation.retries, firsts, lasts))
    return once(found)


def _growth(retries: Retries, firsts: list[float], lasts: list[float]) -> Iterator[Finding]:
    said = retries.backoff
    if said.kind == "constant" or statistics.mean(lasts) > 1.5 * statistics.mean(firsts):
        return
    basis = said.basis or retries.basis
    yield Finding(
        "RT2", "does not wait longer with each attempt",
        expected=f"{said.kind} back-off ({basis}: {said.source or retries.source})",
        actual=f"{statistics.mean(firsts):.2f} s before the first retry, "
        f"{statistics.mean(lasts):.2f} s before the last, on average",
        basis=basis, cause="backoff:no-growth",
    )  # fmt: skip


@CASES.case("retry.jitter", "RT3", each=promising_first, modes=MODES)
def test_jitter(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Promised jitter is there, and spread as promised over many calls."""
    retries = operation.retries
    assert retries is not None
    if retries.backoff.jitter in (None, False, "none"):
        raise NotApplicable("the contract promises no jitter")
    made = subject.play(
        failing(operation), *asks(subject, operation, SAMPLES),
        mode=subject.needs(operation, mode),
    )  # fmt: skip
    waits = _first_waits(subject, made)
    if len(waits) < SAMPLES // 2:
        raise Inconclusive("too few retries to judge the spread of waits")
    return made.witnessed(_spread(retries, waits))


def _first_waits(subject: SdkSubject, made: Play) -> list[float]:
    found = []
    for call in made.history.calls:
        waits = retry.waits_of(call, made.history.during(call), subject.context)
        found += list(waits[:1])
    return found


def _spread(retries: Retries, waits: list[float]) -> Iterator[Finding]:
    said = retries.backoff
    basis, source = said.basis or retries.basis, said.source or retries.source
    if len({round(w, 6) for w in waits}) < len(waits) // 4:
        yield Finding(
            "RT3", "waits the same every time: there is no jitter",
            expected=f"waits that differ ({basis}: {source})",
            actual=f"{len({round(w, 6) for w in waits})} different waits in {len(waits)} calls",
            basis=basis, cause="jitter:none",
        )  # fmt: skip
        return
    low, high = min(waits), max(waits)
    distance = _ks_uniform(waits, low, high)
    if said.jitter is not True and distance > 1.95 / len(waits) ** 0.5:
        yield Finding(
            "RT3", "spreads its waits in another way than promised",
            expected=f"{said.jitter} jitter, uniform ({basis}: {source})",
            actual=f"Kolmogorov-Smirnov distance {distance:.3f} over {len(waits)} waits",
            basis=said.figures_basis or basis, cause="jitter:distribution",
        )  # fmt: skip


def _ks_uniform(samples: list[float], low: float, high: float) -> float:
    """Return the Kolmogorov-Smirnov distance of samples from U(low, high)."""
    ordered, width = sorted(samples), max(high - low, 1e-9)
    size = len(ordered)
    return max(
        max((n + 1) / size - (x - low) / width, (x - low) / width - n / size)
        for n, x in enumerate(ordered)
    )


@CASES.case("retry.cap", "RT4", each=promising_first, modes=MODES)
def test_cap(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """The longest wait is not passed, and waits still differ there."""
    retries = operation.retries
    assert retries is not None
    said = retries.backoff
    if said.cap is None or said.base is None:
        raise NotApplicable("the contract names no longest wait")
    needs_option(subject, operation, mode, "max-retries")
    settings = {"max-retries": 12}
    made = subject.play(
        failing(operation), *asks(subject, operation, 4),
        mode=subject.needs(operation, mode), options=settings,
    )  # fmt: skip
    late: list[float] = []
    for call in made.history.calls:
        late += retry.waits_of(call, made.history.during(call), subject.context)[9:]
    if len(late) < 6:
        raise Inconclusive("too few retries to reach the longest wait")
    return made.witnessed(_at_cap(retries, said.cap, late, len(made.history.calls)))


def _at_cap(retries: Retries, cap: float, late: list[float], calls: int) -> Iterator[Finding]:
    said = retries.backoff
    basis = said.figures_basis or said.basis or retries.basis
    if max(late) > cap * max(1.0, said.jitter_range[1] if said.jitter_range else 1.0) * 1.01:
        yield Finding(
            "RT4", "waits longer than its longest wait",
            expected=f"at most {cap:g} s ({basis}: {said.source or retries.source})",
            actual=f"{max(late):.2f} s", basis=basis, cause="cap:passed",
        )  # fmt: skip
    elif said.jitter not in (None, False, "none") and len({round(w, 6) for w in late}) == 1:
        basis = said.basis or retries.basis
        claim = NoJitterAtCap(cap, len(late), late[0], calls)
        yield Finding.of("RT4", claim, basis, f"{basis}: {said.source or retries.source}")


def told(contract: Contract) -> list[Operation]:
    """Return the operations whose server may say by a header whether to send again."""
    return [o for o in contract if o.retries is not None and o.retries.told_by is not None]


@CASES.case("retry.told", "RT5", each=told, modes=MODES)
def test_told(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A server that forbids or wants another attempt by a header is obeyed, whatever the status."""
    assert operation.retries is not None
    found: list[Finding] = []
    for status, word in ((503, "false"), (400, "true")):
        script = Script.parse(f"{operation.id}#1 {status} {operation.retries.told_by}={word}")
        made = play(subject, operation, mode, script)
        found += [f for f in judge_retries(subject, operation, made) if f.requirement == "RT5"]
    return once(found)


# --- the network ----------------------------------------------------------------------------------


@CASES.case("retry.network", "RT19", "RT1", "RT10", each=promising, modes=MODES)
def test_network(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Connections that are refused, broken or cut are retried where that is promised."""
    found: list[Finding] = []
    for fault in chosen(subject, operation, mode, _is_rough):
        made = play(subject, operation, mode, fault, None)
        found += judge_retries(subject, operation, made)
    return once(found)


def _is_rough(fault: FaultClass) -> bool:
    odd = fault.id in ("network-garbage-mid-response", "network-garbage-after-response")
    slow = fault.timeout or "trickle" in fault.id
    return fault.group == "network" and not slow and not odd and not fault.once


@CASES.case("retry.timeouts", "RT19", "RT1", each=promising_first, modes=MODES)
def test_timeouts(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A server that falls silent is timed out and retried where that is promised."""
    needs_option(subject, operation, mode, "timeout")
    settings = {"timeout": SHORT}
    script = Script.parse(f"{operation.id}#1+ stall")
    made = play(subject, operation, mode, script, options=settings)
    return once(judge_retries(subject, operation, made))


def unsafe(contract: Contract) -> list[Operation]:
    """Return one operation of each kind that changes something and is not idempotent."""
    return [o for o in leaders(contract) if not o.safe and not o.idempotent_method]


LOST = ("after-commit reset", "after-commit close", "mid-response truncate", "after-commit 503")
"""Ways of losing the answer to a write that was done."""


@CASES.case("retry.duplicates", "RT6", each=unsafe, modes=MODES)
def test_duplicates(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A write whose answer was lost is not done twice, unless the contract says so."""
    key = operation.idempotency.name if operation.idempotency else None
    bare = {n: v for n, v in subject.arguments(operation).items() if n != key}
    ready = subject.needs(operation, mode)
    found: list[Finding] = []
    promised: list[str] = []
    for fault in LOST:
        script = Script.parse(f"{operation.id}#1 {fault}")
        made = subject.play(script, Ask(operation, bare), mode=ready)
        stored = len(made.commits.get(operation.id, []))
        lost = answer_of(made.attempts[0]) if made.attempts else _status(400)
        if rule_for(operation.retries, lost).duty is Duty.RETRY:
            promised.append(f"{fault}: {stored} effects stored")
        elif stored > 1:
            found += made.witnessed([Finding.of("RT6", WrittenTwice(stored), Basis.ASSUMED)])
    if not found and len(promised) == len(LOST):
        raise NotApplicable(
            "the contract wants a write sent again whose answer was lost, so only a key could keep "
            f"it from being done twice ({'; '.join(promised)})"
        )
    return once(found)


# --- cancelling, keys, parity ---------------------------------------------------------------------


@CASES.case("retry.cancel", "RT12", "RT7", each=promising_leaders)
def test_cancel(subject: SdkSubject, operation: Operation) -> list[Finding]:
    """A call that is cancelled while it waits stops at once and sends nothing more."""
    if not subject.hello.cancels:
        raise NotApplicable("there is no async client, or the driver cannot cancel")
    mode = subject.needs(operation, "async")
    made = subject.play(failing(operation), subject.ask(operation), mode=mode, cancel_at=1)
    if any(s.blocking for s in made.call.sleeps):
        raise NotApplicable("its waits hold up the event loop: a finding of its own (async.waits)")
    if not made.replies or not made.replies[0].cancelled:
        raise Inconclusive("the call never waited, so there was nothing to cancel in")
    raised = made.call.outcome.error
    found = []
    if raised is None or raised.name != "CancelledError":
        found.append(
            Finding(
                "RT12", "does not let a cancellation through", expected="CancelledError",
                actual=raised.name if raised else "a value", cause="cancel:swallowed",
            )
        )  # fmt: skip
    if len(made.call.sleeps) > 1:
        found.append(
            Finding(
                "RT12", "waits on after its call was cancelled", expected="an end at once",
                actual=f"a further wait of {made.call.sleeps[-1].seconds:g} s",
                cause="cancel:waits-on",
            )
        )  # fmt: skip
    if len(made.attempts) > 1:
        found.append(
            Finding(
                "RT7", "sends again after its call was cancelled", expected="one attempt",
                actual=f"{len(made.attempts)} attempts", cause="cancel:sent-again",
            )
        )  # fmt: skip
    return made.witnessed(found)


def keyed(contract: Contract) -> list[Operation]:
    """Return the operations that take an idempotency key."""
    return [o for o in contract if o.idempotency is not None]


@CASES.case("retry.idempotency-key", "IK9", "IK8", each=keyed, modes=MODES)
def test_idempotency_key(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """The key is the caller's, the same in every attempt, and another for every call."""
    key = operation.idempotency
    assert key is not None
    ready = subject.needs(operation, mode)
    given = {key.name: "caller-key-1"} if key.location == "body" else {}
    made = subject.play(failing(operation), subject.ask(operation, given), mode=ready)
    found = [f for f in judge_retries(subject, operation, made) if f.requirement == "IK9"]
    sent = [retry.idempotency_key(key, e) for e in made.attempts]
    if given and sent and sent[0] != "caller-key-1":
        found += made.witnessed([
            Finding(
                "IK9", "does not send the caller's idempotency key", expected="caller-key-1",
                actual=str(sent[0]), basis=key.basis, cause="idempotency-key:not-callers",
            )
        ])  # fmt: skip
    bare = {n: v for n, v in subject.arguments(operation).items() if n != key.name}
    twice = subject.play(Script(), Ask(operation, bare), Ask(operation, bare), mode=ready)
    own = [retry.idempotency_key(key, e) for e in twice.history.exchanges]
    if len(own) == 2 and own[0] is not None and own[0] == own[1]:
        found += twice.witnessed([
            Finding(
                "IK8", "gives two calls the same idempotency key of its own making",
                expected="a new key for every call", actual="the same key twice",
                basis=key.basis, cause="idempotency-key:reused",
            )
        ])  # fmt: skip
    return once(found)


def spelt(contract: Contract) -> list[Operation]:
    """Return the operations whose key stands in a header with a declared syntax."""
    return [
        o for o in keyed(contract)
        if o.idempotency is not None and o.idempotency.location == "header"
        and any(
            p.name.lower() == o.idempotency.name.lower() and "pattern" in p.schema
            for p in o.parameters_in("header")
        )
    ]  # fmt: skip


@CASES.case("retry.key-syntax", "IK10", each=spelt, modes=MODES)
def test_key_syntax(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """A key in a header has the syntax that is declared for it."""
    key = operation.idempotency
    assert key is not None
    made = play(subject, operation, mode, Script())
    declared = next(
        p for p in operation.parameters_in("header") if p.name.lower() == key.name.lower()
    )
    sent = retry.idempotency_key(key, made.attempts[0]) if made.attempts else None
    if sent is not None and re.search(declared.schema["pattern"], sent):
        return []
    return made.witnessed([
        Finding(
            "IK10", "sends an idempotency key that has not the declared syntax",
            expected=f"{key.name} as {declared.schema['pattern']} ({key.basis}: {key.source})",
            actual=repr(sent), basis=key.basis, cause="idempotency-key:syntax",
        )
    ])  # fmt: skip


@CASES.case("retry.parity", "RT20", each=promising)
def test_parity(subject: SdkSubject, operation: Operation) -> list[Finding]:
    """The blocking and the async client do the same in the same situation."""
    if len(subject.modes(operation)) < 2:
        raise NotApplicable("it can be called in one mode only")
    found: list[Finding] = []
    for text in (
        "#1+ 429", "#1+ 503", "#1 503", "#1+ 400", "#1+ before-handler reset",
        '#1+ 500 body="<html>" content-type=text/html', "#1 429 retry-after=7",
        "#1 429 retry-after=soon",
    ):  # fmt: skip
        script = Script.parse(operation.id + text)
        traces = {m: _trace(remembered(subject, operation, the_mode(m), script, {})) for m in MODES}
        if traces["sync"] != traces["async"]:
            made = play(subject, operation, "async", script)
            found += made.witnessed([
                Finding(
                    "RT20", "behaves differently in its blocking and its async client",
                    expected=f"sync: {traces['sync']}", actual=f"async: {traces['async']}",
                    cause="parity",
                )
            ])  # fmt: skip
    return once(found)


def _trace(made: Play) -> str:
    call = made.call
    how = call.outcome.error.name if call.outcome.error else call.outcome.kind
    waits = "with waits" if any(s.seconds > 0 for s in call.sleeps) else "without waits"
    return f"{len(made.attempts)} attempts {waits}, then {how}"


@CASES.case("retry.default", "RT1", each=promising_first, modes=MODES)
def test_default(subject: SdkSubject, operation: Operation, mode: str) -> list[Finding]:
    """Without any option the documented number of attempts is made."""
    made = play(subject, operation, mode, failing(operation))
    return [f for f in judge_retries(subject, operation, made, Options()) if f.requirement == "RT1"]
