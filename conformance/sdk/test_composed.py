"""Scripts that nobody thought of: composed by Hypothesis, judged by prediction, then shortened.

What a composed script shows that no other case has shown is a finding, with the shortest script
that still shows it; what is known already is counted there, once for each script that shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from conformance.clock import epoch_seconds
from conformance.faults.script import Instruction, Playback, Script, Stage, reset, respond
from conformance.faults.strategies import LONGEST, drawn, effects, reduced, scripts
from conformance.history import Call
from conformance.oracles import exceptions, retry
from conformance.oracles.answers import Answer, answer_of
from conformance.sdk.judging import AHEAD, CASES, MODES, once, would_be
from conformance.sdk.subject import Ask, Mode, Play, SdkSubject
from conformance.sdk.test_retries import promising_leaders
from conformance.verdict import Finding, NotApplicable
from specs import Operation

DENSE, WIDE = 24, 10
"""How many scripts are composed for one operation, and for several."""
TOGETHER = 3
"""How many operations one script is spread over."""
TRIES = 40
"""How many shorter scripts are tried for each new finding."""
Key = tuple[str, str]


def playable(script: Script) -> bool:
    """True where a script's effects can be told apart by whoever predicts what follows.

    Junk after a good head may be read in two ways, a fault after an answer bites the next request,
    and a date means another wait each time it is read.
    """
    return all(_clear(i, len(script)) for i in script)


def _clear(instruction: Instruction, parts: int) -> bool:
    effect = instruction.effect
    dated = any("{" in value for _, value in effect.headers)
    return not (
        instruction.stage is Stage.AFTER_RESPONSE
        or (effect.kind == "garbage" and instruction.stage is Stage.MID_RESPONSE)
        or (dated and (parts > 1 or instruction.times != 1 or instruction.attempt != 1))
        or effect.status in (204, 205, 304)
    )


@CASES.case(
    "composed.scripts", "RT1", "RT2", "RT5", "RT10", "RT21", "ER1", "ER3", "ER9", modes=MODES
)
def test_scripts(subject: SdkSubject, mode: str) -> list[Finding]:
    """Scripts of one to six faults over several operations end as the contract predicts."""
    operations = _together(subject, mode)
    ready = subject.needs(operations[0], mode)
    found: list[Finding] = []
    known = set(subject.witnesses)
    for script in _composed(subject, operations):
        for finding in once(judged(subject, operations, ready, script)):
            key = finding.identity
            new = key not in known
            known.add(key)
            shown = _shortest(subject, operations, ready, script, key) if new else None
            found.append((shown or finding).at(search=True))
    return found


def again(subject: SdkSubject, mode: str, script: Script) -> list[Finding]:
    """Play and judge one script as the case does: for whoever wants to see a finding again."""
    operations = _together(subject, mode)
    return once(judged(subject, operations, subject.needs(operations[0], mode), script))


def _composed(subject: SdkSubject, operations: Sequence[Operation]) -> tuple[Script, ...]:
    """Return scripts that pile faults on one operation, then scripts that spread them."""
    dense = rows(operations[0]).filter(playable)
    wide = scripts(subject.contract, operations, silent=False).filter(playable)
    return drawn(dense, DENSE, subject.seed) + drawn(wide, WIDE, subject.seed)


def rows(operation: Operation) -> st.SearchStrategy[Script]:
    """Return a strategy of scripts that harm one attempt after the other, each in its own way."""
    kinds = st.sampled_from((respond(503), respond(429), respond(500), reset())) | effects(False)
    made = st.lists(kinds, min_size=1, max_size=LONGEST)
    return made.map(
        lambda found: Script(
            tuple(
                Instruction(operation.id, number, 1, Stage.BEFORE_HANDLER, effect)
                for number, effect in enumerate(found, start=1)
            )
        )
    )


def _together(subject: SdkSubject, mode: str) -> list[Operation]:
    able = [o for o in promising_leaders(subject.contract) if mode in subject.modes(o)]
    if not able:
        raise NotApplicable("no operation whose retries are promised can be called so")
    return able[:TOGETHER]


def _shortest(
    subject: SdkSubject, operations: Sequence[Operation], mode: Mode, script: Script, key: Key
) -> Finding | None:
    """Return the finding as the shortest script shows it that was found in a few tries."""

    def shown(candidate: Script) -> Finding | None:
        subject.witnesses.pop(key, None)
        if not playable(candidate):
            return None
        found = judged(subject, operations, mode, candidate)
        return next((f for f in found if f.identity == key), None)

    best = reduced(script, lambda candidate: shown(candidate) is not None, TRIES)
    return shown(best)


def judged(
    subject: SdkSubject, operations: Sequence[Operation], mode: Mode, script: Script
) -> list[Finding]:
    """Play a script at one call of each operation and one more of the first; judge each call."""
    asks = [subject.ask(o) for o in (*operations, operations[0])]
    made = subject.play(script, *asks, mode=mode, alone=True)
    found: list[Finding] = []
    for ask, call in zip(asks, made.history.calls, strict=True):
        found += made.witnessed(_judge(subject, ask, made, call), call)
    return found


def _judge(subject: SdkSubject, ask: Ask, made: Play, call: Call) -> list[Finding]:
    attempts = made.history.during(call)
    if not attempts:
        return []
    context = replace(subject.context, now=epoch_seconds())
    last = answer_of(attempts[-1])
    prediction = retry.predict(ask.operation, planned(made, call), context=context)
    found = retry.judge(ask.operation, prediction, call, attempts, context)
    if _odd(made, call) or str(last.status) != ask.operation.success.status:
        found = [f for f in found if f.cause not in ("raises-after-success",)]
    if last.ok or 300 <= (last.status or 0) < 400:
        words = "a success whose body is odd" if last.ok else "a redirect"
        leaks = exceptions.judge_owned(ask.operation, call, words)
        return found + [f.at(requirement="CT13") if last.ok else f for f in leaks]
    if _explained(subject, ask.operation, call, last):
        found = [f for f in found if not f.cause.startswith(("attempts:too-few", "not-retried:"))]
    odd = "composed" if _odd(made, call) and last.network is None else ""
    mapped = exceptions.judge(ask.operation, call, last, subject.known, odd=odd)
    return found + mapped


def _explained(subject: SdkSubject, operation: Operation, call: Call, last: Answer) -> bool:
    """True where a call that gave up early did so for a reason that is told already.

    Either that answer is never retried, by itself neither, or a foreign exception ended the call.
    """
    pattern = retry.rule_for(operation.retries, last).pattern
    alone = {("RT5", f"not-retried:{pattern}"), ("RT19", f"not-retried:{pattern}")}
    raised = call.outcome.error
    foreign = operation.errors is not None and raised is not None
    return bool(alone & set(subject.witnesses)) or (
        foreign and not exceptions.owned(raised, operation.errors)  # type: ignore[arg-type]
    )


def _odd(made: Play, call: Call) -> bool:
    """True where the call's last answer had a body that is not the declared one."""
    last = made.history.during(call)[-1]
    if last.instruction is None:
        return False
    return made.script.instructions[last.instruction].effect.body is not None


def planned(made: Play, call: Call) -> list[Answer]:
    """Return the answers to a call's attempts: those that came, then those that would have."""
    mine = made.history.during(call)
    playback = Playback(made.script)
    for exchange in made.history:
        if exchange.number <= mine[-1].number:
            playback.next(exchange.operation)
    answers = [answer_of(e) for e in mine]
    for _ in range(AHEAD):
        index = playback.next(call.operation)
        answers.append(Answer(200) if index is None else would_be(made.script.instructions[index]))
    return answers
