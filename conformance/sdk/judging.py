"""What the cases share: which faults are played on which operations, and who judges a play.

The registry of cases is here too. A case picks fault classes and plays them; the functions below
hand each play to the oracles that can say something about it, and add the witness.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.cases import Function, Registry, Select
from conformance.claims import Fails, Hangs
from conformance.clock import epoch_seconds
from conformance.faults.classes import FaultClass
from conformance.faults.script import Instruction, Playback, Script, Stage
from conformance.history import Exchange
from conformance.oracles import exceptions, retry
from conformance.oracles.answers import Answer, answer_of
from conformance.oracles.retry import Options
from conformance.sdk.subject import Ask, Mode, Play, SdkSubject
from conformance.verdict import Finding, Inconclusive, NotApplicable
from specs import Contract, Operation


class SdkRegistry(Registry):
    """Cases of this suite: while one runs, its subject knows which, and in which mode."""

    def case(
        self,
        id: str,
        *requirements: str,
        each: Select | None = None,
        modes: tuple[str, ...] = ("",),
    ) -> Callable[[Function], Function]:
        """Register a case; see `Registry.case`."""
        register = super().case(id, *requirements, each=each, modes=modes)
        return lambda function: register(_around(id, function))


def _around(id: str, function: Function) -> Function:
    @functools.wraps(function)
    def run(subject: SdkSubject, *given: Any, **arguments: Any) -> list[Finding]:
        subject.case, subject.mode = id, arguments.get("mode", "")
        try:
            return list(function(subject, *given, **arguments))
        finally:
            subject.case = subject.mode = ""

    return run


CASES = SdkRegistry("sdk")
MODES = ("sync", "async")
SHORT = 0.15
"""Timeout (seconds, real) that clients are given where the server falls silent."""
AHEAD = 24
"""How many further attempts a prediction looks ahead."""
_WILD = frozenset({199, 299, 399, 600, 999})
"""Statuses that no table of errors speaks of: only what leaks is judged."""

Selection = Callable[[FaultClass], bool]


# --- which operations and faults ----------------------------------------------------------------


def every(contract: Contract) -> Iterable[Operation]:
    """Return all operations."""
    return contract


def first(contract: Contract) -> list[Operation]:
    """Return one operation: the first that needs a key and has a body; else the first."""
    for operation in contract:
        if operation.authenticated and operation.body is not None:
            return [operation]
    return list(contract)[:1]


SHARE = 3
"""Of operations that share their kind, one in so many meets a common fault."""


def leaders(contract: Contract) -> list[Operation]:
    """Return one operation for each kind: method, body or none, paged, streamed.

    Rare faults are played on these; operations of one kind share their code in every SDK that we
    know, and the coverage table says so.
    """
    found: dict[tuple[Any, ...], Operation] = {}
    for operation in contract:
        kind = (
            operation.verb, operation.body is not None, operation.pagination is not None,
            operation.stream is not None, operation.idempotency is not None,
        )  # fmt: skip
        found.setdefault(kind, operation)
    return list(found.values())


def streaming(contract: Contract) -> list[Operation]:
    """Return the operations that can stream their answer."""
    return [o for o in contract if o.stream is not None]


def paged(contract: Contract) -> list[Operation]:
    """Return the operations that are walked page by page."""
    return [o for o in contract if o.pagination is not None]


def chosen(
    subject: SdkSubject, operation: Operation, mode: str, want: Selection
) -> Iterator[FaultClass]:
    """Yield the fault classes to play on an operation; enter the others into the coverage.

    In a deep run there are no others. Raises NotApplicable at the end where all that was wanted
    is left to other operations: nothing was played, so nothing was passed.
    """
    wanted = played = 0
    for place, fault in enumerate(subject.faults(operation)):
        if not want(fault):
            continue
        wanted += 1
        why = "" if subject.deep else _spread(subject, operation, fault, place)
        subject.covered(operation, mode, fault.id, *([why] if why else []))
        if not why:
            played += 1
            yield fault
    if wanted and not played:
        raise NotApplicable("its faults are played on other operations; --deep plays them here")


def _spread(subject: SdkSubject, operation: Operation, fault: FaultClass, place: int) -> str:
    """Return why a fault class is left to other operations; '' where it is played here.

    Documented answers are played everywhere. Of the operations that a fault applies to the first
    takes it always, and alone where it takes real time. A rare one goes to one other kind of
    operation as well, by turns; a common one to every kind, and to every third of the operations
    that share their kind with another.
    """
    contract, kinds = subject.contract, takers(subject, fault)
    if fault.timeout or fault.bulky:
        what = "silence" if fault.timeout else "bulk"
        reason = f"not run: {what} takes real time, so it is played on one operation"
        alone = next((o for o in first(contract) if o in kinds), kinds[0])
        return "" if operation == alone else reason
    if fault.group == "documented" or operation == kinds[0]:
        return ""
    if not fault.core:
        others = kinds[1:]
        if operation in others and others[place % len(others)] == operation:
            return ""
        return "not run: a rare fault, played on two operations of different kinds"
    if operation in kinds or (place + list(contract).index(operation)) % SHARE == 0:
        return ""
    return f"not run: played on one in {SHARE} of the operations of one kind, by turns"


def takers(subject: SdkSubject, fault: FaultClass) -> Sequence[Operation]:
    """Return one operation of each kind that a fault applies to."""
    found = subject.takers.get(fault.applies)
    if found is None:
        contract = subject.contract
        able = [o for o in contract if fault.applies(contract, o)]
        found = subject.takers[fault.applies] = [o for o in leaders(contract) if o in able] or able
    return found


# --- playing ------------------------------------------------------------------------------------


def play(
    subject: SdkSubject,
    operation: Operation,
    mode: str,
    fault: FaultClass | Script | None = None,
    times: int | None = 1,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> Play:
    """Play a fault on the first `times` attempts (None: all) of one call with example arguments."""
    ready = subject.needs(operation, mode)
    if isinstance(fault, FaultClass):
        script = subject.script(fault, operation, times)
        shared = fault.group in ("status", "documented", "network") and not fault.timeout
        if shared and fault.calls == 1 and not more:
            return remembered(subject, operation, ready, script, dict(options or {}))
        settings = dict(options or {})
        if fault.timeout and subject.option("timeout"):
            settings.setdefault("timeout", SHORT)
        asks = [subject.ask(operation) for _ in range(fault.calls)]
        return visible(subject.play(script, *asks, mode=ready, options=settings, **more))
    return visible(
        subject.play(fault or Script(), subject.ask(operation), mode=ready, options=options, **more)
    )


def remembered(
    subject: SdkSubject, operation: Operation, mode: Mode, script: Script, options: dict[str, Any]
) -> Play:
    """Play a script once, however many cases look at it: statuses are judged in several ways."""
    key = (operation.id, mode, script, repr(sorted(options.items())))
    if key not in subject.plays:
        made = subject.play(script, subject.ask(operation), mode=mode, options=options)
        subject.plays[key] = visible(made)
    return subject.plays[key]


def visible(made: Play) -> Play:
    """Return a play that also shows attempts which the testbench cannot see: refused ones.

    The driver tells of each connection that was asked for, where it can see them. Else there was
    one before each wait and one after the last.
    """
    refused = any(i.effect.kind == "refuse" for i in made.script)
    if not refused or made.history.exchanges or not made.history.calls:
        return made
    calls = []
    exchanges: list[Exchange] = []
    for place, call in enumerate(made.history.calls):
        told = made.replies[place].connects if place < len(made.replies) else None
        times = [at for at, port in told or () if port == made.port]
        if not times:
            times = [s.at - 1e-6 for s in call.sleeps] + [call.ended]
        numbers = []
        for at in times:
            numbers.append(len(exchanges) + 1)
            exchanges.append(_refused(len(exchanges) + 1, at, call.operation))
        calls.append(replace(call, exchanges=tuple(numbers)))
    history = replace(made.history, exchanges=tuple(exchanges), calls=tuple(calls))
    return replace(made, history=history)


def _refused(number: int, at: float, operation: str) -> Exchange:
    from conformance.history import Request

    return Exchange(
        number, Request("", ""), None, at, at, operation=operation, failure="refused", instruction=0
    )


def planned(made: Play) -> list[Answer]:
    """Return what a script answers to attempt 1, 2, …: those seen, then those that would come."""
    seen = [answer_of(e) for e in made.attempts]
    playback = Playback(made.script)
    operation = made.call.operation
    if any(i.effect.kind == "refuse" for i in made.script):
        return [*seen, *[Answer(network="connect")] * AHEAD]
    for _ in seen:
        playback.next(operation)
    for _ in range(AHEAD):
        index = playback.next(operation)
        if index is None:
            break
        seen.append(would_be(made.script.instructions[index]))
    return seen


def would_be(instruction: Instruction) -> Answer:
    """Return the answer that an instruction would give, had there been another attempt."""
    effect = instruction.effect
    if effect.kind == "respond":
        return Answer(effect.status, effect.headers)
    if effect.kind == "stall":
        return Answer(network="timeout")
    return Answer(network="truncated" if instruction.stage is Stage.MID_RESPONSE else "reset")


# --- judging ------------------------------------------------------------------------------------


def judge_retries(
    subject: SdkSubject, operation: Operation, made: Play, options: Options = Options()
) -> list[Finding]:
    """Return what the retry oracle says of a play of one call."""
    context = replace(subject.context, now=epoch_seconds())
    prediction = retry.predict(operation, planned(made), options, context)
    found = retry.judge(operation, prediction, made.call, made.attempts, context)
    found += retry.judge_last(subject.contract, operation, made.call, made.attempts)
    return made.witnessed(found)


def judge_error(
    subject: SdkSubject, operation: Operation, made: Play, odd: str = "", words: str = ""
) -> list[Finding]:
    """Return what the errors oracle says of the answer that a play's call ended on."""
    if made.call.outcome.kind == "hang":
        return made.witnessed([hanging(made)])
    if not made.attempts:
        return []
    last = answer_of(made.attempts[-1])
    if last.ok:
        return []
    found = exceptions.judge(operation, made.call, last, subject.known, odd=odd, words=words)
    return made.witnessed(found)


def judge_odd(
    subject: SdkSubject, operation: Operation, made: Play, odd: str, status: int, words: str
) -> list[Finding]:
    """Return what the errors oracle says of an odd body that it does not say of a plain one.

    `words` say to a reader what is odd, `an empty array`. A status that becomes the wrong exception
    whatever its body is told by the plain mapping.
    """
    options = without_retries(subject, operation, status)
    plain = Script.parse(f"{operation.id}#1+ {status}")
    usual = remembered(subject, operation, the_mode(made.mode), plain, options)
    told = {exceptions.plain(f) for f in judge_error(subject, operation, usual)}
    return [
        f for f in judge_error(subject, operation, made, odd, words)
        if exceptions.plain(f) not in told
    ]  # fmt: skip


def judge_leak(
    operation: Operation,
    made: Play,
    condition: str,
    requirement: str = "ER9",
    *,
    must: bool = False,
) -> list[Finding]:
    """Return whether a call let a foreign exception out; with `must`, whether it gave a value.

    Findings about odd answers are filed under `requirement`.
    """
    if made.call.outcome.kind == "hang":
        return made.witnessed([hanging(made)])
    found = [
        f.at(requirement=requirement)
        for f in exceptions.judge_owned(operation, made.call, condition)
    ]
    if must and not found and made.call.outcome.kind == "error":
        raised = made.call.outcome.error
        assert raised is not None
        claim = Fails(condition, raised.name)
        found = [Finding.of(requirement, claim).at(conditions=(condition,))]
    return made.witnessed(found)


def hanging(made: Play) -> Finding:
    """Return the finding that a call never returned."""
    silent = any(i.effect.kind in ("stall", "trickle", "refuse") for i in made.script)
    stage = "silence" if silent else "nothing"
    claim = Hangs(stage, made.call.ended - made.call.started)
    return Finding.of("RB8", claim).at(conditions=(made.script.brief(80),))


def without_retries(
    subject: SdkSubject, operation: Operation | None = None, status: int | None = None
) -> dict[str, Any]:
    """Return options that switch retries off, where the SDK has one for it.

    With a status: only where that is retried at all.
    """
    if status is not None and operation is not None:
        rule = retry.rule_for(operation.retries, Answer(status))
        if rule.duty is not retry.Duty.RETRY:
            return {}
    return {"max-retries": 0} if subject.option("max-retries") else {}


def needs_option(subject: SdkSubject, operation: Operation, mode: str, role: str) -> None:
    """Raise where a call cannot be made with an option: NotApplicable, as `needs` does, where it
    cannot be made at all; Inconclusive where the constructor takes no such option.
    """
    subject.needs(operation, mode)
    if not subject.option(role):
        raise Inconclusive(f"the constructor has no option for {role}: a finding of its own (WR7)")


def options_of(settings: Mapping[str, Any]) -> Options:
    """Return client options as the retry oracle takes them."""
    return Options(settings.get("max-retries"), settings.get("backoff-base"))


def asks(subject: SdkSubject, operation: Operation, number: int) -> list[Ask]:
    """Return several calls of one operation, with arguments that differ."""
    return [subject.ask(operation, seed=n) for n in range(number)]


def server(fault: FaultClass) -> str:
    """Return in words whose answer a finding speaks of: `a server that answers 400 with HTML`."""
    return f"a server that {fault.summary[0].lower()}{fault.summary[1:].rstrip('.')}"


def is_wild(fault: FaultClass) -> bool:
    """True for statuses that no error table speaks of."""
    name, _, number = fault.id.partition("-")
    return name == "status" and int(number) in _WILD


def once(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings of one case without repeats of a (requirement, cause).

    The first is kept, with the conditions and exceptions of all.
    """
    kept: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.requirement, finding.cause)
        kept[key] = kept[key].and_(finding) if key in kept else finding
    return list(kept.values())


def the_mode(mode: str) -> Mode:
    """Return a mode's name as its type."""
    return "async" if mode == "async" else "sync"
