"""Stand-alone reproductions: a short script that shows a finding with the SDK and nothing else.

The script starts a plain socket server that gives the answers of the fault script, calls the SDK
once, and prints what was sent, waited and raised. It is meant to be pasted into an issue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from conformance.drivers.hosting.table import Built, Table, Unfit, Way
from conformance.faults.answers import AnswerBook, fill
from conformance.faults.script import Effect, Script, Stage
from conformance.history import Request
from specs import Contract, Operation

LONGEST = 40
"""Lines of a script."""
MOST_BYTES = 1500
"""Longest answer that is written out; a longer one would hide what matters."""


@dataclass(frozen=True)
class Witness:
    """The one call that shows a finding."""

    operation: Operation
    mode: str
    arguments: Mapping[str, Any]
    options: Mapping[str, Any]
    script: Script
    via: str | None
    dropped: tuple[str, ...]


class Unwritable(ValueError):
    """The finding cannot be shown by a short script; the text says why."""


_TEMPLATE = '''"""{title}"""
import asyncio, socket, struct, threading, time  # noqa: E401
import {module}

ANSWERS = [  # one for each request, the last one again; None: reset, b"": silence
{answers}
]
server = socket.create_server(("127.0.0.1", 0))

def serve():
    for number in range(100):
        connection, _ = server.accept()
        data = connection.recv(65536)
        while b"\\r\\n\\r\\n" not in data and data:
            data += connection.recv(65536)
        print(time.strftime("%X"), "got", data.split(b"\\r\\n")[0].decode())
        answer = ANSWERS[min(number, len(ANSWERS) - 1)]
        if answer is None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif answer == b"":
            time.sleep(3600)
        else:
            connection.sendall(answer)
        connection.close()

threading.Thread(target=serve, daemon=True).start()
client = {module}.{client}({keywords}, base_url="http://127.0.0.1:%d" % server.getsockname()[1])
try:
    {call}
    print("returned", repr(result)[:500])
except BaseException as error:
    print("raised", type(error).__mro__, error, getattr(error, "__dict__", {{}}))
'''


def script(contract: Contract, table: Table, witness: Witness, title: str) -> str:
    """Return the source of a script of at most LONGEST lines. Raises Unwritable."""
    way = _way(table, witness)
    arguments = {n: v for n, v in witness.arguments.items() if n not in witness.dropped}
    called = f"client.{way.expression}({_written(table, way, arguments)})"
    if witness.mode == "async":
        called = (
            f"async def main():\n        return await {called}\n    result = asyncio.run(main())"
        )
    else:
        called = f"result = {called}"
    name = table.clients.get(witness.mode)
    if name is None:
        raise Unwritable(f"there is no {witness.mode} client")
    made = _TEMPLATE.format(
        title=_plain(title), module=table.module, client=name, call=called,
        keywords=_keywords(table, witness.options),
        answers="\n".join(f"    {line}," for line in _answers(contract, witness)),
    )  # fmt: skip
    lines = made.count("\n")
    if lines > LONGEST:
        raise Unwritable(f"it would take {lines} lines")
    compile(made, "reproduction", "exec")
    return made


def _plain(title: str) -> str:
    return title.replace("\\", "/").replace('"""', "'''").rstrip('"')


def _way(table: Table, witness: Witness) -> Way:
    row = table.operations.get(witness.operation.id)
    if row is None or not row.ways:
        raise Unwritable("the table names no way to call it")
    for way in row.ways:
        if witness.via is not None and way.expression == witness.via:
            return way
    return row.ways[0]


def _keywords(table: Table, options: Mapping[str, Any]) -> str:
    given: dict[str, Any] = {"api-key": "sk_test_0123456789abcdef0123", **options}
    named = [
        f"{table.options[role].documented}={value!r}"
        for role, value in given.items()
        if role in table.options
    ]
    return ", ".join(named)


# --- the call -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """An object that is shown by the expression that makes it."""

    text: str

    def __repr__(self) -> str:
        return self.text


class _Module:
    """Stands for the SDK's module: what is made of its classes is written down, not made."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def made(**values: Any) -> _Source:
            inside = ", ".join(f"{k}={v!r}" for k, v in values.items())
            return _Source(f"{self._name}.{name}({inside})")

        return made


def _written(table: Table, way: Way, arguments: Mapping[str, Any]) -> str:
    module: Any = _Module(table.module)
    try:
        built: Built = (
            way.adapt(module, arguments) if way.adapt else way.shape.build(module, arguments)
        )
    except (Unfit, TypeError, AttributeError) as why:
        raise Unwritable(f"its arguments cannot be written down: {why}") from why
    parts = [repr(value) for value in built.positional]
    parts += [f"{name}={value!r}" for name, value in built.keywords.items()]
    return ", ".join(parts)


# --- the answers ----------------------------------------------------------------------------------


def _answers(contract: Contract, witness: Witness) -> Sequence[str]:
    book = AnswerBook(contract)
    instructions = list(witness.script)
    if any(i.effect.kind == "refuse" for i in instructions):
        raise Unwritable("nobody listens: point the SDK at a closed port")
    lines = [_answer(book, witness.operation, i.effect, i.stage) for i in instructions]
    if not instructions or instructions[-1].times is not None:
        lines.append(_answer(book, witness.operation, Effect("respond", _success(witness)), None))
    return lines


def _success(witness: Witness) -> int:
    declared = witness.operation.success.status
    return int(declared) if declared.isdigit() else 200


def _answer(book: AnswerBook, operation: Operation, effect: Effect, stage: Stage | None) -> str:
    if effect.kind in ("reset", "close") and stage is not Stage.MID_RESPONSE:
        return "None"
    if effect.kind == "stall" and stage is not Stage.MID_RESPONSE:
        return 'b""'
    odd = effect.size is not None or effect.framing != "length"
    if effect.kind not in ("respond", "truncate", "reset") or odd:
        raise Unwritable(f"a plain socket server does not {effect.kind} so")
    answer = book.answer(operation, Request("", ""), effect.status or 200)
    body = effect.body if effect.body is not None else answer.body
    headers = [(n, v) for n, v in answer.headers if n.lower() == "content-type"]
    headers += list(effect.headers)
    headers = [(n, _dated(value)) for n, value in headers]
    status = effect.status or answer.status
    sent = body if effect.kind == "respond" else body[: len(body) // 2]
    written = _bytes(_head(status, headers, len(body)) + sent)
    if len(written) > MOST_BYTES:
        raise Unwritable("its answer is long")
    return written


def _bytes(raw: bytes) -> str:
    """Return an expression that gives these bytes; long runs of one byte are multiplied."""
    parts, start = [], 0
    for run in re.finditer(rb"(.)\1{199,}", raw, re.DOTALL):
        parts.append(repr(raw[start : run.start()]))
        parts.append(f"{run[1]!r} * {len(run[0])}")
        start = run.end()
    parts.append(repr(raw[start:]))
    return " + ".join(p for p in parts if p != "b''")


def _dated(value: str) -> str:
    """Return a header value with points in time filled in: as far ahead as the script will last."""
    ahead = datetime(2040, 1, 1, tzinfo=UTC).timestamp()
    filled = fill(value, {}, ahead)
    if "{" in filled:
        raise Unwritable("it points to the server's own URL")
    return filled


def _head(status: int, headers: Sequence[tuple[str, str]], length: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{n}: {v}" for n, v in headers)]
    lines += [f"Content-Length: {length}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")
