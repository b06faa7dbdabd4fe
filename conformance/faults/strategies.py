"""Hypothesis strategies: fault scripts composed for a contract.

`scripts(contract)` draws scripts of one to six instructions over all operations and all effects.
They shrink towards one plain `503` on the first request of the first operation. `drawn(...)` gives
the same scripts without Hypothesis' own runner: same seed, same scripts, in every process; and
`reduced(...)` shortens one that fails for as long as it still does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import HypothesisProvider

from conformance.faults.answer_faults import STATUSES
from conformance.faults.classes import FaultClass, classes_for
from conformance.faults.line_faults import RETRY_AFTER
from conformance.faults.script import (
    Effect,
    Instruction,
    Script,
    ScriptError,
    Stage,
    garbage,
    reset,
    respond,
    stall,
    truncate,
)
from specs import Contract, Operation

LONGEST = 6
"""Most instructions in one script."""
_BODIES: tuple[bytes | None, ...] = (
    None, b"", b"null", b"[]", b"{}", b"42", b'"x"', b"<html></html>", b'{"a":', b"\xff\xfe",
)  # fmt: skip
_PLAIN = (respond(503), reset(), Effect("close"), truncate(), garbage(), stall())
"""The plainest effects, which failing scripts shrink to where they can."""
_STAGES = tuple(Stage)


def retry_after() -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    """Return a strategy of Retry-After headers: none, one, or several, in every form."""
    forms = [tuple(("retry-after", value) for value in values) for _, _, values in RETRY_AFTER]
    numbers = st.one_of(
        st.integers(-10, 100_000).map(str),
        st.floats(-1, 1e6).map(repr),
        st.integers(-10_000, 10_000).map(lambda n: f"{{imf{n:+}}}"),
    ).map(lambda value: (("retry-after", value),))
    return st.one_of(st.just(()), st.sampled_from(forms), numbers)


def answers() -> st.SearchStrategy[Effect]:
    """Return a strategy of whole answers: any status, odd bodies, any Retry-After."""
    statuses = st.sampled_from((503, 429, 500, *STATUSES)) | st.integers(200, 599)
    return st.builds(
        lambda status, body, wait: respond(status, body, wait),
        statuses,
        st.sampled_from(_BODIES),
        retry_after(),
    )


def effects(silent: bool = True) -> st.SearchStrategy[Effect]:
    """Return a strategy of effects; without `silent` none that a client must time out on."""
    plain = [effect for effect in _PLAIN if silent or effect.kind != "stall"]
    return st.sampled_from(plain) | answers()


def instructions(
    operations: Sequence[Operation], silent: bool = True
) -> st.SearchStrategy[Instruction]:
    """Return a strategy of instructions for some operations, each a playable one."""
    return st.builds(
        _playable,
        st.sampled_from([*(operation.id for operation in operations), None]),
        st.integers(1, LONGEST),
        st.sampled_from((1, 1, 2, 3, None)),
        st.sampled_from((Stage.BEFORE_HANDLER, Stage.AFTER_COMMIT, *_STAGES)),
        effects(silent),
    )


def scripts(
    contract: Contract,
    operations: Sequence[Operation] | None = None,
    *,
    longest: int = LONGEST,
    silent: bool = True,
) -> st.SearchStrategy[Script]:
    """Return a strategy of scripts of 1 to `longest` instructions for some operations, or all."""
    chosen = list(contract) if operations is None else list(operations)
    made = st.lists(instructions(chosen, silent), min_size=1, max_size=longest)
    return made.map(lambda found: Script(tuple(found)))


def classes(contract: Contract, operation: Operation) -> st.SearchStrategy[FaultClass]:
    """Return a strategy of the fault classes that apply to an operation."""
    return st.sampled_from(classes_for(contract, operation))


def drawn(strategy: st.SearchStrategy[Script], count: int, random_seed: int) -> tuple[Script, ...]:
    """Return `count` scripts of a strategy, the same for the same seed.

    Hypothesis sprinkles in constants that it reads from the source files near it, so that an
    installed package and a checkout would draw differently; here it may not.
    """
    found: list[Script] = []

    @seed(random_seed)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(strategy)
    def collect(script: Script) -> None:
        found.append(script)

    with _DRAWING, mock.patch.object(HypothesisProvider, "_maybe_draw_constant", _no_constant):
        collect()
    return tuple(dict.fromkeys(found))


_DRAWING = threading.Lock()


def _no_constant(*_: object, **__: object) -> None:
    return None


def reduced(script: Script, fails: Callable[[Script], bool], budget: int = 200) -> Script:
    """Return the plainest script found that still `fails`, by at most `budget` tries.

    Whole instructions are dropped first; then what is left is made plainer, part by part, until
    nothing more can go. `script` itself is taken to fail.
    """
    best, tried = script, {script}
    while True:
        for candidate in _plainer(best):
            if candidate in tried:
                continue
            if len(tried) > budget:
                return best
            tried.add(candidate)
            if fails(candidate):
                best = candidate
                break
        else:
            return best


def _plainer(script: Script) -> Iterator[Script]:
    """Yield scripts that are a step plainer than this one, the biggest steps first."""
    parts = script.instructions
    ordered = tuple(sorted(parts, key=lambda part: part.attempt or 0))
    if ordered != parts:
        yield Script(ordered)
    if len(parts) > 2:
        yield Script(parts[: len(parts) // 2])
        yield Script(parts[len(parts) // 2 :])
    if len(parts) > 1:
        for part in parts:
            with suppress(ScriptError):
                yield Script((replace(part, attempt=1),))
                yield Script((replace(part, attempt=1, times=None),))
        for index in range(len(parts)):
            yield Script(parts[:index] + parts[index + 1 :])
    for index, part in enumerate(parts):
        for plain in _plainer_instructions(part):
            yield Script((*parts[:index], plain, *parts[index + 1 :]))


def _plainer_instructions(i: Instruction) -> Iterator[Instruction]:
    effect = i.effect
    changes: list[dict[str, Any]] = []
    if effect != respond(503):
        changes.append({"effect": respond(503), "stage": Stage.BEFORE_HANDLER})
        changes.append({"effect": respond(503)})
    if i.stage is not Stage.BEFORE_HANDLER:
        changes.append({"stage": Stage.BEFORE_HANDLER})
    changes += [{"times": 1}] if i.times != 1 else []
    changes += [{"attempt": n} for n in (1, (i.attempt or 1) - 1) if n and n != i.attempt]
    if effect.headers:
        changes.append({"effect": replace(effect, headers=())})
        changes.append({"effect": replace(effect, headers=effect.headers[1:])})
    changes += [{"effect": replace(effect, body=None)}] if effect.body is not None else []
    changes += [{"effect": replace(effect, after=None)}] if effect.after is not None else []
    changes += [{"effect": replace(effect, size=None)}] if effect.size is not None else []
    if effect.status not in (None, 503):
        changes.append({"effect": replace(effect, status=503)})
    for change in changes:
        with suppress(ScriptError):
            yield replace(i, **change)


def _playable(
    operation: str | None, attempt: int, times: int | None, stage: Stage, effect: Effect
) -> Instruction:
    """Return the instruction, or the nearest one that makes sense: shrinking must not go dead."""
    try:
        return Instruction(operation, attempt, times, stage, effect)
    except ScriptError:
        return Instruction(operation, attempt, times, Stage.BEFORE_HANDLER, effect)
