"""Streamed answers: server-sent events as declared (CT15).

Only the event stream's form and the declared types of its events belong here (WHATWG HTML
§9.2, Server-sent events).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from conformance.history import Exchange
from conformance.oracles.found import MISSING, found, ok, value_in
from conformance.verdict import Finding
from specs import Operation


def events(body: bytes) -> list[str]:
    """Return the data of each dispatched event; lines of one event are joined by newlines."""
    text = body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    found_events = []
    for block in text.split("\n\n"):
        data = [
            line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")
        ]
        if data:
            found_events.append("\n".join(data))
    return found_events


def judge_stream(operation: Operation, exchange: Exchange) -> Iterator[Finding]:
    """Yield where a streamed answer is not what the operation's `stream` declares."""
    stream, response = operation.stream, exchange.response
    assert stream is not None

    def wrong(message: str, cause: str) -> Finding:
        return found(
            "CT15", message, exchange, cause=f"stream-{cause}", operation=operation,
            basis=stream.basis,
        )  # fmt: skip

    if response is None or not response.complete:
        yield wrong("the stream broke off before its end", "broke-off")
        return
    if response.media_type != "text/event-stream":
        yield wrong("the streamed answer is not text/event-stream", "media-type")
        return
    read = events(response.body)
    if not read:
        yield wrong("the stream has no event", "empty")
        return
    decoded: list[Any] = []
    for data in read:
        try:
            decoded.append(json.loads(data))
        except ValueError:
            yield wrong("an event's data is not JSON", "event-not-json")
            return
    kinds = [value_in(event, stream.type) for event in decoded]
    if any(kind is MISSING for kind in kinds):
        yield wrong("an event has no type", "event-without-type")
    if kinds[-1] != stream.done:
        yield wrong("the last event is not the declared last one", "no-done")
    if stream.done in kinds[:-1]:
        yield wrong("events come after the last one", "events-after-done")
    if stream.delta not in kinds:
        yield wrong("no event carries a piece of the answer", "no-delta")
    for event, kind in zip(decoded, kinds, strict=True):
        if kind == stream.delta and not isinstance(value_in(event, stream.data), str):
            yield wrong("a piece has no text where it is declared", "delta-without-data")
            return


def kept_whole(
    operation: Operation, exchange: Exchange, listed: Exchange, texts: list[str]
) -> Iterator[Finding]:
    """Yield where the joined pieces of a stream are none of the texts that were kept."""
    stream, response = operation.stream, exchange.response
    if stream is None or response is None or not ok(listed):
        return
    try:
        decoded = [json.loads(data) for data in events(response.body)]
    except ValueError:
        return
    pieces = [value_in(e, stream.data) for e in decoded if value_in(e, stream.type) == stream.delta]
    joined = "".join(piece for piece in pieces if isinstance(piece, str))
    if joined.strip() not in [text.strip() for text in texts]:
        yield found(
            "CT15", "the pieces of a stream together are not the answer that is kept", exchange,
            listed, cause="stream-not-kept", operation=operation,
            basis=stream.kept_basis or stream.basis,
        )  # fmt: skip
