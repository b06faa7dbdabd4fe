"""Load targets that are wrong in one named way each, and which gate must notice.

A load defect shows only under load, over time, or on the wire, so it is not seeded inside the
reference backend but in front of it: `Wrong` is a relay that misbehaves as its defect says.
Nothing here judges; `teeth.py` does.
"""

from __future__ import annotations

import asyncio
import json
import re

from conformance.history import Response
from conformance.reference import wrong_answers
from conformance.reference.defects import Defect, Defects
from conformance.reference.wrong_answers import ANSWERS
from load.relay import Ask, Behaviour, Forward, Relay, Reply
from specs import Contract, effects, pointer
from specs.examples import example_response


class Wrong(Relay):
    """A relay in front of a backend that has one defect; a context manager."""

    def __init__(self, upstream: str, contract: Contract, defect: str, defects: Defects) -> None:
        super().__init__(upstream, contract, BEHAVIOURS[defect])
        self.defect = defect
        self._defects = defects

    def exercise(self) -> None:
        """Note that the defect's place was reached and it did wrong."""
        if self.defect not in self._defects:
            raise RuntimeError(f"{self.defect} is not switched on")


def _kind(ask: Ask) -> str:
    return effects.kind(ask.operation)


def _set(reply: Reply, name: str, value: str | None) -> None:
    reply.headers = [(n, v) for n, v in reply.headers if n.lower() != name]
    if value is not None:
        reply.headers.append((name, value))


def _every(wrong: Wrong, n: int, what: str = "") -> bool:
    """True for each n-th time that the same thing is reached."""
    wrong.memory.seen[what] += 1
    if wrong.memory.seen[what] % n:
        return False
    wrong.exercise()
    return True


# --- answers that are wrong by themselves -------------------------------------------------------


def _answers(change: wrong_answers.Wrong, n: int = 1) -> Behaviour:
    """Return the behaviour that makes one answer in `n` wrong, of those that can be."""

    async def behaviour(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
        reply = await forward()
        answer = Response(reply.status, tuple(reply.headers), reply.body)
        made = change(ask.operation, answer) if ask.operation else None
        if made is not None and _every(wrong, n):
            reply.status, reply.headers, reply.body = made.status, list(made.headers), made.body
        return reply

    return behaviour


_WAIT = wrong_answers.named("retry-after")
_LIMITED = wrong_answers.only(429)
wrong_body = _answers(ANSWERS["a required field gone"], 1000)
wrong_reset = _answers(ANSWERS["reset in the past"], 50)
remaining_over_limit = _answers(ANSWERS["remaining above the quota"], 50)
missing_limit_header = _answers(ANSWERS["no remaining header"], 50)
fails_now_and_then = _answers(ANSWERS["accepted becomes 500"], 40)
overload_page = _answers(
    wrong_answers.raw(b"<html>Please wait</html>", "text/html", wrong_answers.only(200)), 40
)
bare_refusals = _answers(
    wrong_answers.raw(b"<html>Too many requests</html>", "text/html", _LIMITED)
)
early_retry_after = _answers(wrong_answers.fields(_WAIT, lambda v: "1", _LIMITED))
no_retry_after = _answers(wrong_answers.fields(_WAIT, lambda v: None, _LIMITED))


# --- what goes wrong, one function for each other defect ----------------------------------------


async def leak(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Each request makes every later one slower."""
    wrong.exercise()
    await asyncio.sleep(ask.number * 0.0004)
    return await forward()


async def lost_write(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One write in 20 is acknowledged and gone."""
    made = wrong.memory.ids
    for identity in made:
        if f"/{identity}" in ask.target:
            return Reply(404, made[identity][0], made[identity][1])
    reply = await forward()
    if _kind(ask) == "read" and reply.status == 404:
        wrong.memory.bodies["404"] = reply.body
    effect = ask.operation.effect if ask.operation else None
    if effect and effect.kind == "create" and effect.id and reply.status < 300:
        if not await _not_found(wrong, ask) or not _every(wrong, 20):
            return reply
        body = json.dumps({"error": {"code": "not_found", "message": "not found"}}).encode()
        headers = [h for h in reply.headers if h[0].lower() != "content-type"]
        identity = str(pointer(reply.json(), effect.id))
        made[identity] = ([*headers, ("content-type", "application/json")], body)
    return reply


async def _not_found(wrong: Wrong, ask: Ask) -> bool:
    effect = ask.operation.effect if ask.operation else None
    return effect is not None and bool(effects.on(wrong.contract, effect.resource, "read"))


async def altered_write(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Long after the write, what is read has lost its last characters."""
    reply = await forward()
    if _kind(ask) == "read" and reply.status == 200 and _every(wrong, 12):
        reply.body = re.sub(rb"n(\d{8})z", rb"n00000000z", reply.body)
    return reply


async def forgotten_delete(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One delete in three is acknowledged and not done."""
    if _kind(ask) == "delete" and _every(wrong, 3):
        before = wrong.memory.by_key.get("delete")
        if before is not None:
            return Reply(before.status, list(before.headers), before.body)
    reply = await forward()
    if _kind(ask) == "delete" and reply.status < 300:
        wrong.memory.by_key["delete"] = reply
    return reply


async def written_twice(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One creation in ten is carried out twice and acknowledged once."""
    if _kind(ask) == "create" and _every(wrong, 10):
        await forward()
    return await forward()


async def duplicate_on_retry(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """The idempotency key is not looked at: a retried write takes effect again."""
    idempotency = ask.operation.idempotency if ask.operation else None
    if idempotency is None or idempotency.location != "body":
        return await forward()
    body = json.loads(ask.body)
    key = body.get(idempotency.name, "")
    wrong.memory.seen[key] += 1
    if wrong.memory.seen[key] == 1:
        return await forward()
    wrong.exercise()
    body[idempotency.name] = f"{key}-{wrong.memory.seen[key]}"
    raw = json.dumps(body).encode()
    head = re.sub(
        rb"(?i)content-length:\s*\d+", b"content-length: %d" % len(raw),
        ask.raw[: len(ask.raw) - len(ask.body)],
    )  # fmt: skip
    return await forward(head + raw)  # type: ignore[call-arg]


async def stall(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Once, for a second, nothing is answered."""
    if 1.0 <= wrong.now() < 2.0:
        wrong.exercise()
        await asyncio.sleep(2.0 - wrong.now())
    return await forward()


async def closes_connections(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Every third answer is followed by a close that was not announced."""
    reply = await forward()
    reply.close = _every(wrong, 3)
    return reply


async def slow_operation(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Searches take a third of a second longer than everything else."""
    if _kind(ask) == "search":
        wrong.exercise()
        await asyncio.sleep(0.3)
    return await forward()


async def repeated_request_id(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Under load one answer in 30 gives the request id of the answer before."""
    reply = await forward()
    name = _id_header(ask)
    given = reply.header(name)
    before = wrong.memory.ids.get("request-id")
    if given is not None:
        wrong.memory.ids["request-id"] = given
        if before is not None and _every(wrong, 30):
            _set(reply, name, before)
    return reply


def _id_header(ask: Ask) -> str:
    errors = ask.operation.errors if ask.operation else None
    return ((errors.request_id_header if errors is not None else None) or "").lower()


async def foreign_answer(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """While others are being served, a read is answered with another key's data."""
    reply = await forward()
    if _kind(ask) in ("read", "list", "search") and reply.status == 200:
        operation = ask.operation.id if ask.operation else ""
        others = [b for k, b in wrong.memory.bodies.items() if k.startswith(f"{operation} ")
                  and not k.endswith(ask.key)]  # fmt: skip
        if re.search(rb"n\d{8}z", reply.body):
            wrong.memory.bodies[f"{operation} {ask.key}"] = reply.body
        if others and _every(wrong, 5):
            reply.body = others[0]
    return reply


async def swapped_answers(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """A read is answered with what another read asked for."""
    reply = await forward()
    if _kind(ask) == "read" and reply.status == 200 and ask.operation is not None:
        before = wrong.memory.bodies.get(ask.operation.id)
        wrong.memory.bodies[ask.operation.id] = reply.body
        if before is not None and before != reply.body and _every(wrong, 4):
            reply.body = before
    return reply


async def stale_read(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """After an update, the first version goes on being read."""
    reply = await forward()
    if _kind(ask) == "read" and reply.status == 200:
        first = wrong.memory.bodies.setdefault(ask.target, reply.body)
        if first != reply.body:
            wrong.exercise()
            reply.body = first
    return reply


async def hangs(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One request in 40 is never answered."""
    if _every(wrong, 40):
        await asyncio.sleep(3600)
    return await forward()


async def resets(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One connection in 40 requests is reset."""
    reply = await forward()
    reply.reset = _every(wrong, 40)
    return reply


async def truncates(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One body in 40 breaks off in the middle."""
    reply = await forward()
    if reply.body and _every(wrong, 40):
        reply.cut = len(reply.body) // 2
    return reply


async def bytes_after_body(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One answer in 40 is longer than it says."""
    reply = await forward()
    if reply.body and _every(wrong, 40):
        reply.after = b"\n\n{}"
    return reply


async def longer_than_said(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One answer in ten is longer than it says, and SDKs do not tell."""
    reply = await forward()
    if reply.body and _every(wrong, 10):
        reply.after = b" {}"
    return reply


async def garbage(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One answer in 40 is not HTTP."""
    reply = await forward()
    if _every(wrong, 40):
        reply.headers = [("bad header line\r\n\r\n\x00", "\x00"), ("content length", "-1")]
        reply.cut = 0
    return reply


async def one_at_a_time(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Requests are served one after the other, 100 ms each: the planned rate is out of reach."""
    async with wrong.memory.lock:
        wrong.exercise()
        await asyncio.sleep(0.1)
        return await forward()


async def breaks_early(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Requests are served one after the other, 25 ms each: beyond 40 a second they queue up."""
    async with wrong.memory.lock:
        wrong.exercise()
        await asyncio.sleep(0.025)
        return await forward()


async def slows_with_data(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Requests are served one after the other, the slower the more there have been."""
    async with wrong.memory.lock:
        wrong.exercise()
        await asyncio.sleep(min(ask.number * 0.00004, 0.025))
        return await forward()


async def recovers_late(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """After an outage, when all come back, it goes on failing for half a minute."""
    memory = wrong.memory
    now = wrong.now()
    paused, memory.ids["last"] = now - memory.ids.get("last", now), now
    if ask.number > 30 and paused > 2.0:
        memory.ids.setdefault("until", now + 30.0)
    if now < memory.ids.get("until", 0.0):
        wrong.exercise()
        body = json.dumps({"error": {"code": "internal_error", "message": "cold"}}).encode()
        return Reply(503, [("content-type", "application/json")], body)
    return await forward()


async def slow_tail(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """One request in 30 takes 700 ms."""
    if _every(wrong, 30):
        await asyncio.sleep(0.7)
    return await forward()


async def turns_valid_away(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Under load valid requests are called invalid."""
    reply = await forward()
    if _kind(ask) in ("create", "search") and _every(wrong, 20):
        body = json.dumps({"error": {"code": "invalid_request", "message": "invalid"}}).encode()
        return Reply(400, [("content-type", "application/json")], body)
    return reply


async def turns_many_away(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Under load every other request is turned away, in good form, far below the quota."""
    reply = await forward()
    if ask.operation is not None and reply.status == 200 and _every(wrong, 2):
        try:
            status, headers, body = example_response(ask.operation, 429)
        except LookupError:
            return reply
        kept = [h for h in reply.headers if h[0].lower() not in headers]
        return Reply(status, [*kept, *headers.items()], json.dumps(body).encode())
    return reply


async def slower_than_before(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Every answer takes a tenth of a second longer than in the run before."""
    wrong.exercise()
    await asyncio.sleep(0.1)
    return await forward()


async def drops_page_ends(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Every page but the first has lost its first item."""
    reply = await forward()
    paging = ask.operation.pagination if ask.operation else None
    effect = ask.operation.effect if ask.operation else None
    if paging is None or effect is None or not re.search(r"(offset|page)=[1-9]", ask.target):
        return reply
    value = reply.json()
    items = pointer(value, effect.items or paging.items) if value is not None else []
    if isinstance(items, list) and len(items) > 1:
        wrong.exercise()
        del items[0]
        reply.body = json.dumps(value).encode()
    return reply


async def repeats_items(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """Each page but the first begins with what the page before ended with."""
    reply = await forward()
    paging = ask.operation.pagination if ask.operation else None
    effect = ask.operation.effect if ask.operation else None
    value = reply.json()
    if paging is None or effect is None or value is None or reply.status != 200:
        return reply
    items = pointer(value, effect.items or paging.items)
    place = f"last {ask.operation.id if ask.operation else ''}"
    if isinstance(items, list) and items:
        before = wrong.memory.ids.get(place)
        wrong.memory.ids[place] = items[-1]
        if before is not None and re.search(r"(offset|page)=[1-9]", ask.target):
            wrong.exercise()
            items[0] = before
            reply.body = json.dumps(value).encode()
    return reply


async def over_admits(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """When many come at once, one in four that should be turned away is let in."""
    reply = await forward()
    operation = ask.operation.id if ask.operation else ""
    if reply.status == 200:
        wrong.memory.by_key[operation] = reply
    before = wrong.memory.by_key.get(operation)
    if reply.status == 429 and before is not None and _every(wrong, 4):
        headers = [h for h in reply.headers if h[0].lower() != "content-type"]
        return Reply(200, [*headers, ("content-type", "application/json")], before.body)
    return reply


async def turns_away_early(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """The last quarter of the quota is never given out."""
    reply = await forward()
    limit = ask.operation.rate_limit if ask.operation else None
    left = reply.header((limit.remaining or "").lower()) if limit is not None else None
    quota = reply.header((limit.limit or "").lower()) if limit is not None else None
    if reply.status == 200 and left is not None and int(left) * 4 < int(quota or 0):
        wrong.exercise()
        body = json.dumps({"error": {"code": "rate_limited", "message": "slow down"}}).encode()
        return Reply(429, [*reply.headers, ("retry-after", "1")], body)
    return reply


async def nothing(wrong: Wrong, ask: Ask, forward: Forward) -> Reply:
    """The relay itself does right; what goes wrong is elsewhere."""
    return await forward()


def _defect(
    identity: str, api: str, requirement: str, case: str, behaviour: Behaviour, summary: str = ""
) -> tuple[Defect, Behaviour]:
    summary = summary or (behaviour.__doc__ or "").strip().splitlines()[0]
    return Defect(identity, "load", api, requirement, f"load.{case}", summary), behaviour


_TABLE: tuple[tuple[Defect, Behaviour], ...] = (
    _defect("load.leak-that-slows", "octamem", "LD1", "drift", leak),
    _defect(
        "load.wrong-body-in-1000",
        "sovant",
        "LD5",
        "answers",
        wrong_body,
        "One body in 1,000 lacks a required property.",
    ),
    _defect("load.lost-write", "sovant", "LD6", "lost", lost_write),
    _defect("load.altered-write", "sovant", "LD12", "altered", altered_write),
    _defect("load.forgotten-delete", "sovant", "LD12", "altered", forgotten_delete),
    _defect("load.written-twice", "sovant", "LD7", "duplicated", written_twice),
    _defect("load.duplicate-on-retry", "claiv", "LD7", "duplicated", duplicate_on_retry),
    _defect("load.stall-1s", "octamem", "LD1", "latency", stall),
    _defect("load.closes-connections", "octamem", "LD2", "errors", closes_connections),
    _defect("load.slow-operation", "sovant", "LD1", "latency", slow_operation),
    _defect(
        "load.wrong-reset",
        "sovant",
        "LD5",
        "answers",
        wrong_reset,
        "One answer in 50 carries a reset that lies in the past.",
    ),
    _defect(
        "load.remaining-over-limit",
        "memsy",
        "LD5",
        "answers",
        remaining_over_limit,
        "One answer in 50 promises more than the whole quota.",
    ),
    _defect(
        "load.missing-limit-header",
        "memsy-control",
        "LD5",
        "answers",
        missing_limit_header,
        "One answer in 50 comes without a rate-limit header.",
    ),
    _defect("load.repeated-request-id", "sovant", "LD5", "answers", repeated_request_id),
    _defect("load.foreign-answer", "sovant", "LD5", "answers", foreign_answer),
    _defect("load.swapped-answers", "sovant", "LD5", "answers", swapped_answers),
    _defect("load.stale-read", "sovant", "LD12", "answers", stale_read),
    _defect("load.hangs", "octamem", "LD8", "in-flight", hangs),
    _defect("load.resets", "octamem", "LD2", "errors", resets),
    _defect("load.truncates", "claiv", "LD2", "errors", truncates),
    _defect("load.bytes-after-body", "octamem", "LD2", "errors", bytes_after_body),
    _defect("load.garbage", "octamem", "LD2", "errors", garbage),
    _defect(
        "load.fails-now-and-then",
        "claiv",
        "LD2",
        "errors",
        fails_now_and_then,
        "One request in 40 is answered 500.",
    ),
    _defect(
        "load.overload-page",
        "octamem",
        "LD5",
        "answers",
        overload_page,
        "Under load a proxy's HTML page comes with status 200.",
    ),
    _defect("load.one-at-a-time", "octamem", "LD3", "throughput", one_at_a_time),
    _defect("load.slow-tail", "claiv", "LD1", "latency", slow_tail),
    _defect("load.turns-valid-away", "claiv", "LD2", "errors", turns_valid_away),
    _defect("load.turns-many-away", "octamem", "LD10", "evidence", turns_many_away),
    _defect(
        "load.bare-refusals",
        "sovant",
        "LD5",
        "answers",
        bare_refusals,
        "Who is turned away gets a proxy's page instead of the declared envelope.",
    ),
    _defect("load.slower-than-before", "octamem", "LD1", "against", slower_than_before),
    _defect("load.drops-page-ends", "sovant", "LD5", "pages", drops_page_ends),
    _defect("load.repeats-items", "sovant", "LD5", "pages", repeats_items),
    _defect("load.over-admits", "sovant", "LD9", "admission", over_admits),
    _defect("load.turns-away-early", "memsy", "LD9", "admission", turns_away_early),
    _defect(
        "load.early-retry-after",
        "memsy-control",
        "LD9",
        "admission",
        early_retry_after,
        "Retry-After says one second however long the window still is.",
    ),
    _defect(
        "load.no-retry-after",
        "sovant",
        "LD5",
        "answers",
        no_retry_after,
        "Whoever is turned away is not told how long to wait.",
    ),
    _defect("load.breaks-early", "octamem", "LD3", "breakpoint", breaks_early),
    _defect("load.slows-with-data", "octamem", "LD3", "breakpoint", slows_with_data),
    _defect("load.bytes-after-body-to-sdks", "claiv", "LD2", "errors", longer_than_said),
    _defect("load.recovers-late", "claiv", "LD11", "storm", recovers_late),
    _defect(
        "load.client-storms",
        "claiv",
        "LD11",
        "storm",
        nothing,
        "A client sends once more than the contract allows, and at once.",
    ),
    _defect(
        "load.worker-dies",
        "octamem",
        "LD13",
        "complete",
        nothing,
        "A worker process of the generator is killed under way.",
    ),
    _defect(
        "load.generator-starves",
        "octamem",
        "LD4",
        "generator",
        nothing,
        "The generator is stopped now and then, as on a machine that others use.",
    ),
)
DEFECTS: tuple[Defect, ...] = tuple(defect for defect, _ in _TABLE)
BEHAVIOURS: dict[str, Behaviour] = {defect.id: behaviour for defect, behaviour in _TABLE}
