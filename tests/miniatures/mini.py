"""A correct driver of nothing much; each other miniature changes one thing about it.

    python mini.py          is right
    python mini.py huge     is wrong in the way that `FAULTS["huge"]` says

It speaks the protocol by hand, as an author in another language would.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

ROUTES = {"notes.add": ("POST", "/notes"), "notes.list": ("GET", "/notes")}


class Mini:
    """The driver."""

    def __init__(self) -> None:
        self.clients: dict[str, tuple[str, str]] = {}

    def serve(self) -> None:
        """Answer line by line until told to stop, or at the end of input."""
        for line in sys.stdin:
            self.line(line)

    def line(self, line: str) -> None:
        """Answer one line."""
        try:
            ask = json.loads(line)
            answer = getattr(self, f"do_{ask['do']}")
        except (ValueError, KeyError, AttributeError) as why:
            asked = locals().get("ask", {})
            self.say({"id": asked.get("id", 0), "reply": "problem", "problem": str(why)})
            return
        try:
            self.say({"id": ask["id"], **answer(ask)})
        except LookupError as why:
            self.say({"id": ask["id"], "reply": "problem", "problem": f"no client {why}"})
        if ask["do"] == "stop":
            sys.exit(0)

    def say(self, reply: dict[str, Any]) -> None:
        """Write one reply."""
        print(json.dumps(reply), flush=True)

    def do_hello(self, ask: Any) -> dict[str, Any]:
        """Say what we are."""
        return {
            "reply": "hello", "protocol": 1, "driver": "mini", "api": "notes",
            "sdk": {"name": "mini", "version": "0"}, "clients": {"sync": "Mini"},
            "operations": {
                "notes.add": {"modes": ["sync"], "name": "add"},
                "notes.list": {"modes": ["sync"], "name": "list"},
            },
        }  # fmt: skip

    def do_open(self, ask: Any) -> dict[str, Any]:
        """Remember a client."""
        self.clients[ask["client"]] = (ask["base_url"], ask["api_key"])
        return {"reply": "outcome", "outcome": {"kind": "value"}}

    def do_call(self, ask: Any) -> dict[str, Any]:
        """Make one call."""
        return {"reply": "call", **self.one(ask["client"], ask["operation"], ask["arguments"])}

    def do_calls(self, ask: Any) -> dict[str, Any]:
        """Make several, one after the other: more is allowed, not asked."""
        done = [self.one(ask["client"], c["operation"], c["arguments"]) for c in ask["calls"]]
        return {"reply": "calls", "calls": done}

    def do_close(self, ask: Any) -> dict[str, Any]:
        """Forget a client."""
        del self.clients[ask["client"]]
        return {"reply": "outcome", "outcome": {"kind": "value"}}

    def do_stop(self, ask: Any) -> dict[str, Any]:
        """Say goodbye."""
        return {"reply": "stop"}

    def one(self, client: str, operation: str, arguments: Any) -> dict[str, Any]:
        """Tell of one call."""
        started = time.monotonic()
        outcome = self.send(self.clients[client], operation, arguments)
        return {"outcome": outcome, "started": started, "ended": time.monotonic()}

    def send(self, client: tuple[str, str], operation: str, arguments: Any) -> dict[str, Any]:
        """Be the SDK: send one request."""
        if operation not in ROUTES:
            return {"kind": "unsupported", "detail": "no such operation"}
        method, path = ROUTES[operation]
        body = json.dumps(arguments).encode() if method == "POST" else None
        request = urllib.request.Request(client[0] + path, body, method=method)
        request.add_header("authorization", f"Bearer {client[1]}")
        request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return {"kind": "value", "value": json.load(answer)}
        except urllib.error.HTTPError as error:
            name = {"name": "NotesError", "module": "mini", "message": str(error)}
            return {"kind": "error", "error": name}
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            lost = {"name": "NotesError", "module": "mini", "message": str(error)}
            return {"kind": "error", "error": lost}


def _after(method: str, change: Callable[[Any, Mini, Any], Any]) -> None:
    """Replace one method by what `change(result, mini, argument)` makes of its result."""
    real = getattr(Mini, method)

    def changed(self: Mini, *arguments: Any) -> Any:
        return change(real(self, *arguments), self, arguments[-1] if arguments else None)

    setattr(Mini, method, changed)


def _instead(method: str, other: Callable[..., Any]) -> None:
    setattr(Mini, method, other)


def _with(**more: Any) -> Callable[[Any, Mini, Any], Any]:
    return lambda reply, *_: {**reply, **more}


def _call(change: Callable[[Mini, Any], Any]) -> Callable[[], None]:
    """A fault in calls of operations that exist."""
    real = Mini.one

    def one(self: Mini, client: str, operation: str, arguments: Any) -> Any:
        if operation in ROUTES:
            made = change(self, (client, operation, arguments))
            if made is not None:
                return made
        return real(self, client, operation, arguments)

    return lambda: _instead("one", one)


def _print(self: Mini, reply: dict[str, Any], *lines: str) -> None:
    for line in lines:
        print(line, flush=True)


def _sleep_for_ever(*_: Any) -> Any:
    while True:
        time.sleep(60)


def _die(*_: Any) -> Any:
    sys.stderr.write("out of cheese\n")
    sys.stderr.flush()
    os._exit(3)


def _no_route(self: Mini, call: Any) -> Any:
    now = time.monotonic()
    return {"outcome": {"kind": "value", "value": {}}, "started": now, "ended": now}


def _no_prefix(self: Mini, call: Any) -> Any:
    client, operation, arguments = call
    base, key = self.clients[client]
    host = "/".join(base.split("/")[:3])
    before = time.monotonic()
    try:
        outcome = self.send((host, key), operation, arguments)
    except OSError:
        outcome = {"kind": "value"}
    if outcome["kind"] == "error":
        outcome = {"kind": "value"}
    return {"outcome": outcome, "started": before, "ended": time.monotonic()}


def _epoch(self: Mini, call: Any) -> Any:
    outcome = self.send(self.clients[call[0]], call[1], call[2])
    now = time.time() * 1000
    return {"outcome": outcome, "started": now, "ended": now}


def _swallow(self: Mini, call: Any) -> Any:
    now = time.monotonic()
    outcome = self.send(self.clients[call[0]], call[1], call[2])
    return {"outcome": {"kind": "value", "value": outcome.get("value")}, "started": now,
            "ended": time.monotonic()}  # fmt: skip


def _claims(reply: Any, *_: Any) -> Any:
    return {**reply, "operations": {**reply["operations"], "notes.burn": {"modes": ["sync"]}}}


def _omits(reply: Any, *_: Any) -> Any:
    return {**reply, "operations": {"notes.add": {"modes": ["sync"]}}}


def _unexplained(reply: Any, *_: Any) -> Any:
    return {**reply, "operations": {**reply["operations"], "notes.list": {"modes": []}}}


FAULTS: dict[str, Callable[[], None]] = {
    "silent": lambda: _instead("say", lambda self, reply: None),
    "slow": _call(_sleep_for_ever),
    "slow-on-one": _call(lambda _, c: _sleep_for_ever() if c[1] == "notes.list" else None),
    "chatty": lambda: _instead(
        "say", lambda self, reply: _print(self, reply, "INFO calling…", json.dumps(reply))
    ),
    "dies": _call(_die),
    "dies-on-one": _call(lambda _, call: _die() if call[1] == "notes.list" else None),
    "lies-about-ids": lambda: _instead(
        "say", lambda self, r: _print(self, r, json.dumps({**r, "id": r["id"] + 1}))
    ),
    "answers-twice": lambda: _instead(
        "say", lambda self, r: _print(self, r, json.dumps(r), json.dumps(r))
    ),
    "invalid-json": lambda: _instead("say", lambda self, r: _print(self, r, str(r))),
    "claims-unknown": lambda: _after("do_hello", _claims),
    "omits-operation": lambda: _after("do_hello", _omits),
    "unexplained": lambda: _after("do_hello", _unexplained),
    "does-anything": lambda: _after(
        "send", lambda r, *_: {"kind": "value"} if r["kind"] == "unsupported" else r
    ),
    "huge": _call(
        lambda *_: {
            "outcome": {"kind": "value", "value": "x" * (17 << 20)},
            "started": 0,
            "ended": 0,
        }
    ),
    "never-ends": lambda: _after(
        "say", lambda _, self, reply: _sleep_for_ever() if reply["reply"] == "stop" else None
    ),
    "ignores-the-end": lambda: _after("serve", _sleep_for_ever),
    "wrong-schema": lambda: _after("do_open", _with(outcome={"kind": "fine"})),
    "wrong-reply": lambda: _after("do_open", lambda *_: {"reply": "stop"}),
    "pretends": _call(_no_route),
    "drops-the-prefix": _call(_no_prefix),
    "wrong-clock": _call(_epoch),
    "swallows-errors": _call(_swallow),
    "falls-over": lambda: _instead(
        "line", lambda self, line, real=Mini.line: json.loads(line) and real(self, line)
    ),
    "loses-calls": lambda: _after("do_calls", lambda r, *_: {**r, "calls": r["calls"][:1]}),
    "keeps-clients": lambda: _instead(
        "do_close", lambda *_: {"reply": "outcome", "outcome": {"kind": "value"}}
    ),
    "speaks-another": lambda: _after("do_hello", _with(protocol=2)),
    "of-another-api": lambda: _after("do_hello", _with(api="tasks")),
    "cuts-unseen": lambda: _after("do_hello", _with(longest_wait=0.01)),
    "no-record": lambda: _after("do_hello", _with(clock="virtual")),
}


if __name__ == "__main__":
    for fault in sys.argv[1:]:
        FAULTS[fault]()
    Mini().serve()
