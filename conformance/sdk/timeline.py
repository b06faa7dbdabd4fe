"""A play as lines that a person reads: what was sent, what came, what was waited, how it ended."""

from __future__ import annotations

import re
from collections.abc import Iterator

from conformance.drivers.process import redact
from conformance.faults.script import Script
from conformance.history import Call, Exchange, History, Outcome, Raised, header

LONGEST = 160
"""Characters of a line."""
MOST = 40
"""Lines of a timeline."""
TEXT = 90
"""Characters of an exception's text."""
_PLACE = re.compile(r"http://127\.0\.0\.1:[0-9]+(/c/[0-9a-f]+)?")
"""Where the testbench is: another place in every run."""


def timeline(history: History, call: Call, script: Script = Script()) -> tuple[str, ...]:
    """Return the timeline of one call: `+0.000 POST /v1/ingest #1 → 503`, `slept 0.62 s`, …

    `script`: what was played, for what an answer does not show of itself.

    Times are the SDK's own: what it slept counts although nobody waited for it. They are rounded
    to what is the same in every run: real milliseconds and the testbench's ports are left out.
    """
    lines = list(_lines(history, call, script))
    if len(lines) > MOST:
        left = len(lines) - MOST
        lines = [*lines[: MOST // 2], f"… {left} lines left out …", *lines[-MOST // 2 :]]
    return tuple(_PLACE.sub("http://testbench", redact(line))[:LONGEST] for line in lines)


def _lines(history: History, call: Call, script: Script) -> Iterator[str]:
    arguments = ", ".join(call.arguments) or "no arguments"
    yield f"+0.000 call {call.via or call.operation}({arguments})"
    events: list[tuple[float, int, Exchange | float]] = [
        (e.sent, 0, e) for e in history.during(call)
    ]
    events += [(s.at, 1, s.seconds) for s in call.sleeps]
    slept, attempt = 0.0, 0
    for _, _, event in sorted(events, key=lambda each: each[:2]):
        if isinstance(event, Exchange):
            attempt += 1
            yield f"+{slept:.3f} {_exchange(event, attempt)}{_manner(event, script)}"
        else:
            yield f"+{slept:.3f} slept {event:.3f} s"
            slept += max(0.0, min(event, 1e9))
    yield f"+{slept:.3f} {ended(call.outcome)}"


def _exchange(event: Exchange, attempt: int) -> str:
    request = event.request
    what = f"{request.method} {request.target}" if request.method else "connect"
    sent = f"{what} #{attempt} →"
    if event.response is None:
        return f"{sent} {event.failure or 'nothing'}"
    said = [str(event.response.status)]
    for name in ("retry-after", "location", "content-type"):
        value = header(event.response.headers, name)
        if value is not None and (name != "content-type" or "json" not in value):
            said.append(f"{name}: {value}")
    if event.failure is not None or not event.response.complete:
        said.append(f"broke off ({event.failure or 'incomplete'})")
    return f"{sent} {', '.join(said)}"


def _manner(event: Exchange, script: Script) -> str:
    """Return how an answer came, where it took real time, which the SDK's own clock leaves out."""
    played = event.instruction
    if played is None or played >= len(script.instructions):
        return ""
    effect = script.instructions[played].effect
    if effect.kind != "trickle" or not effect.seconds:
        return ""
    return f", byte by byte, one every {effect.seconds:g} s of real time"


def ended(outcome: Outcome) -> str:
    """Return how a call ended, `raised ClaivApiError(status=503)`."""
    if outcome.kind == "error" and outcome.error is not None:
        return f"raised {raised(outcome.error)}"
    if outcome.kind == "value":
        return f"returned {_kind(outcome.value)}"
    if outcome.kind == "hang":
        return "never returned"
    return f"{outcome.kind}: {outcome.detail}"


def raised(error: Raised) -> str:
    """Return an exception in short: its name and what says most about it."""
    for name in ("status", "status_code"):
        if isinstance(error.attributes.get(name), int):
            return f"{error.name}({name}={error.attributes[name]})"
    text = " ".join((error.text or error.message).split())
    shown = text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"
    return f"{error.name}({shown!r})" if text else f"{error.name}()"


def _kind(value: object) -> str:
    if isinstance(value, dict):
        if "$type" in value:
            return str(value["$type"])
        if "$stream" in value:
            return f"a stream of {len(value['$stream'])} events"
        return f"a dict with {', '.join(list(value)[:5]) or 'nothing'}"
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
