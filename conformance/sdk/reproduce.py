"""Stand-alone reproductions: a short script that shows a finding with the SDK and nothing else.

The script starts a plain socket server that gives the answers of the fault script, calls the SDK
once, and prints what was sent, waited and raised. It is meant to be pasted into an issue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import groupby
from typing import Any

from conformance import claims
from conformance.claims import Base
from conformance.drivers.hosting.table import Built, Table, Way
from conformance.faults.answers import AnswerBook, fill
from conformance.faults.script import Effect, Instruction, Playback, Script, Stage
from conformance.history import Request
from conformance.report.results import FindingEntry
from conformance.sdk import telling
from specs import Contract, Operation
from specs.sources import spelt

LONGEST = 40
"""Lines of a script."""
MOST_ANSWERS = 16
"""Answers of a script; what comes after them is the last one again."""
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
    before: tuple[str | None, ...] = ()
    """Operations of the requests that had come before the call began."""
    claim: Base | None = None
    """The finding's, and what it says was expected."""
    expected: str = ""
    sent: int = 0
    """Requests that the call sent."""
    raised: str | None = None
    """Class of the exception that it ended with."""


class Unwritable(ValueError):
    """The finding cannot be shown by a short script; the text says why."""


KEY = "sk_test_0123456789abcdef0123"
_TEMPLATE = '''"""{title}"""
import {imports}  # noqa: E401

KEY, requests, waits, result, error = "{key}", [], [], None, None
server = socket.create_server(("127.0.0.1", 0))
url = "http://127.0.0.1:%d" % server.getsockname()[1]
{serve}
{sleep}
import {module}  # noqa: E402
{start}
client = {module}.{client}({keywords})
{began}try:
    {call}
except BaseException as caught:
    error = caught
{took}names = [c.__name__ for c in type(error).__mro__]
raised = f"raised {{type(error).__module__}}.{{names[0]}}: {{str(error).partition(chr(10))[0]}}"
outcome = raised if error else f"returned {{result!r:.300}}"
{before}print({expected}, {seen})
sys.exit(1 if {shows} else 0)
'''
_ANSWERS = """ANSWERS = [  # one for each request, the last one again
{answers}
]
"""
_SERVE = """def serve():
    while True:
        connection, _ = server.accept()
        with connection.makefile("rb") as stream:
            head = list(iter(lambda: stream.readline().strip().decode("latin-1"), ""))
            lengths = [int(h[15:]) for h in head if h.lower().startswith("content-length:")]
            requests.append((head, stream.read(*lengths or [0]), connection))
"""
_NEXT = "        answer = ANSWERS[min(len(requests), len(ANSWERS)) - 1]\n"
_SEND = "connection.sendall(answer)\n"
_RESET = 'connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))\n'
_CLOSE = "        connection.close()\n"
_TRICKLE = """        for piece in answer:
            connection.sendall(piece)
            threading.Event().wait({seconds})
"""
_SLEEP = {
    "sync": """# what the SDK waits is noted and cut short
time.sleep = lambda s, real=time.sleep: (waits.append(s), real(min(s, 0.01) if s < 9e9 else s))""",
    "async": """# what the SDK waits is noted and cut short
asyncio.sleep = lambda s, *_, w=asyncio.sleep: waits.extend([s] if s else []) or w(min(s, 0.01))""",
}
_SERVES = "threading.Thread(target=serve, daemon=True).start()"
_REFUSES = "server.close()  # nobody listens there any more"


def script(contract: Contract, table: Table, witness: Witness, title: str) -> str:
    """Return the source of a script of at most LONGEST lines. Raises Unwritable.

    Its last lines say what was expected and what was seen; it ends with 1 where the deviation
    shows and with 0 where it does not.
    """
    way = _way(table, witness)
    arguments = {n: v for n, v in witness.arguments.items() if n not in witness.dropped}
    called = f"client.{way.expression}({_written(table, way, arguments)})"
    if witness.mode == "async":
        called = f"async def main(): return await {called}\n    result = asyncio.run(main())"
    else:
        called = f"result = {called}"
    name = table.clients.get(witness.mode)
    if name is None:
        raise Unwritable(f"there is no {witness.mode} client")
    about = telling.About(witness.claim, _base(contract, witness), witness.sent, witness.raised)
    told = telling.told(about)
    answers = _answers(contract, witness)
    made = _TEMPLATE.format(
        title=_plain(title), module=table.module, client=name, call=called, key=KEY,
        imports="IMPORTS",
        keywords=_keywords(table, {**witness.options, **_HERE_URL}, witness.mode),
        serve="" if _refused(witness) else _served(witness, answers),
        sleep=_SLEEP[witness.mode], start=_REFUSES if _refused(witness) else _SERVES,
        before="".join(f"{line}\n" for line in told.before),
        began="began = time.monotonic()\n" if "took" in told.shows else "",
        took="took = time.monotonic() - began\n" if "took" in told.shows else "",
        expected=_expected(witness.expected), seen=told.seen, shows=told.shows,
    )  # fmt: skip
    needed = [m for m in _MODULES if re.search(rf"\b{m}\.", made)]
    made = made.replace("import IMPORTS", f"import {', '.join(needed)}", 1)
    lines = made.count("\n")
    if lines > LONGEST:
        raise Unwritable(f"it would take {lines} lines")
    _compiled(made)
    return made


def _compiled(source: str) -> None:
    """Raise Unwritable where a script is no Python: an argument may be named as a keyword is."""
    try:
        compile(source, "reproduction", "exec")
    except (SyntaxError, ValueError) as why:
        raise Unwritable(f"its call cannot be written down: {why}") from why


_MODULES = ("asyncio", "json", "pickle", "re", "socket", "struct", "sys", "threading", "time")


def _base(contract: Contract, witness: Witness) -> str:
    errors = witness.operation.errors
    return errors.base if errors is not None else "Exception"


def _given(witness: Witness, answers: Sequence[str]) -> str:
    """Return the lines of the script's server that answer a request."""
    deep = " " * 8
    kinds = {next((w for w in _BARE.values() if w in line), "bytes") for line in answers}
    reset, silence = _BARE["reset"], _BARE["stall"]
    if kinds == {reset}:
        return deep + _RESET + _CLOSE
    if kinds == {silence}:
        return f"{deep}# nothing is answered, and the connection stays open\n"
    slow = [i.effect.seconds for i in witness.script if i.effect.kind == "trickle"]
    if slow:
        return _NEXT + _TRICKLE.format(seconds=slow[0] or 0.01) + _CLOSE
    if kinds == {"bytes"}:
        broken = all(i is not None and _breaks(i) for i in _met(witness))
        return _NEXT + deep + _SEND + (deep + _RESET if broken else "") + _CLOSE
    lines = _NEXT
    if reset in kinds:
        lines += f"{deep}if answer == {reset}:\n{deep}    {_RESET}"
    branch = "elif" if reset in kinds else "if"
    if silence not in kinds:
        return lines + f"{deep}else:\n{deep}    {_SEND}{_CLOSE}"
    if "bytes" in kinds:
        lines += f"{deep}{branch} answer != {silence}:\n{deep}    {_SEND}"
    return lines + f"{deep}if answer != {silence}:\n    {_CLOSE}"


def _breaks(instruction: Instruction) -> bool:
    return instruction.effect.kind == "reset" and instruction.stage is Stage.MID_RESPONSE


def _served(witness: Witness, answers: Sequence[str]) -> str:
    server = _SERVE + _given(witness, answers)
    listed = "\n".join(f"    {line}," for line in answers)
    return (_ANSWERS.format(answers=listed) if "ANSWERS" in server else "") + server


def _expected(text: str) -> str:
    plain = " ".join(spelt(text).split())
    return repr(f"expected: {plain if len(plain) <= 200 else plain[:199] + '…'}; seen:")


def _plain(title: str) -> str:
    return title.replace("\\", "/").replace('"""', "'''").rstrip('"')


def _way(table: Table, witness: Witness) -> Way:
    row = table.operations.get(witness.operation.id)
    if row is None or not row.ways:
        raise Unwritable("the table names no way to call it")
    ways = [w for w in row.ways if w.mode in ("", witness.mode)] or list(row.ways)
    for way in ways:
        if witness.via is not None and way.expression == witness.via:
            return way
    return ways[0]


def _keywords(table: Table, options: Mapping[str, Any], mode: str = "sync") -> str:
    """Return a constructor's arguments as written. Raises Unwritable."""
    given: dict[str, Any] = {"api-key": _Source("KEY", KEY), **options}
    if "base-url" not in table.options and "base-url" in given:
        raise Unwritable("the table names no option for the base URL")
    for role, value in given.items():
        new = table.options[role].new.get(mode) if role in table.options else None
        if new is not None and value is True:
            module, _, kind = new.partition(":")
            given[role] = _Source(f"__import__({module!r}).{kind}()")
    named = [
        f"{table.options[role].documented}={_wrapped(table, role, value)!r}"
        for role, value in given.items()
        if role in table.options
    ]
    named += [f"{name}={value!r}" for name, value in table.fixed.items()]
    return ", ".join(named)


def _wrapped(table: Table, role: str, value: Any) -> Any:
    """Return an option's value as the table turns it. Raises Unwritable where it is no plain one.

    A key or an address that the table turns into something else cannot be written by its name.
    """
    wrap = table.base_url if role == "base-url" else table.options[role].wrap
    if wrap is None or wrap is str:
        return value
    plain = value.stands_for if isinstance(value, _Source) else value
    try:
        made = wrap(plain)
    except Exception as why:  # it may need its SDK, which is not installed here
        raise Unwritable(f"its option {role} cannot be written down: {why}") from why
    if made == plain:
        return value
    if isinstance(value, _Source) or not isinstance(made, (bool, int, float, str)):
        raise Unwritable(f"its option {role} cannot be written down")
    return made


# --- the call -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """An object that is shown by the expression that makes it."""

    text: str
    stands_for: str = ""
    """What it is where the table turns it into something else."""

    def __repr__(self) -> str:
        return self.text


_HERE_URL = {"base-url": _Source("url", "http://127.0.0.1:9")}


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
    except Exception as why:  # a table's `adapt` may need its SDK, which is not installed here
        raise Unwritable(f"its arguments cannot be written down: {why}") from why
    parts = [repr(value) for value in built.positional]
    parts += [f"{name}={value!r}" for name, value in built.keywords.items()]
    return ", ".join(parts)


# --- the answers ----------------------------------------------------------------------------------


def _refused(witness: Witness) -> bool:
    return any(i.effect.kind == "refuse" for i in witness.script)


def _answers(contract: Contract, witness: Witness) -> Sequence[str]:
    """Return what the call's requests meet, the last for ever; equal ones in a row as a product."""
    if _refused(witness):
        return []
    book, operation = AnswerBook(contract), witness.operation
    lines = [
        _answer(book, operation, i.effect, i.stage)
        if i
        else _answer(book, operation, Effect("respond", _success(witness)), None)
        for i in _met(witness)
    ]
    grouped = [(line, len(list(same))) for line, same in groupby(lines)]
    return [f"*[{line}] * {n}" if n > 1 else line for line, n in grouped]


def _met(witness: Witness) -> Iterator[Instruction | None]:
    """Yield the instruction that each request of the call meets; None: none, it succeeds."""
    playback, mine = Playback(witness.script), (None, witness.operation.id)
    for operation in witness.before:
        playback.next(operation)
    for _ in range(MOST_ANSWERS):
        index = playback.next(witness.operation.id)
        met = None if index is None else witness.script.instructions[index]
        yield met
        left = [witness.script.instructions[i] for i in playback.unconsumed()]
        if (met is None and not any(i.operation in mine for i in left)) or (
            met is not None and met.times is None
        ):
            return


def _success(witness: Witness) -> int:
    declared = witness.operation.success.status
    return int(declared) if declared.isdigit() else 200


_BARE = {"reset": "'reset'", "stall": "'silence'"}
"""Ways not to answer at all, as the script's server knows them."""


def _answer(book: AnswerBook, operation: Operation, effect: Effect, stage: Stage | None) -> str:
    inside = stage is Stage.MID_RESPONSE
    if effect.kind in _BARE and not inside:
        return _BARE[effect.kind]
    if effect.kind == "close" and not inside:
        return "b''"
    trickled = effect.kind == "trickle" and inside
    odd = (effect.size is not None and not trickled) or effect.framing != "length"
    if not (effect.kind in ("respond", "truncate", "reset") or trickled) or odd:
        raise Unwritable(f"a plain socket server does not {effect.kind} so")
    answer = book.answer(operation, Request("", ""), effect.status or 200)
    body = effect.body if effect.body is not None else answer.body
    headers = [(n, v) for n, v in answer.headers if n.lower() == "content-type"]
    headers += list(effect.headers)
    headers = [(n, _dated(value)) for n, value in headers]
    status = effect.status or answer.status
    if trickled:
        body = body.ljust(effect.size or 0)
        return f"[{_head(status, headers, len(body))!r}, *(b'%c' % c for c in {_bytes(body)})]"
    sent = body if effect.kind == "respond" else body[: len(body) // 2]
    written = _bytes(_head(status, headers, len(body)) + sent)
    if len(written) > MOST_BYTES:
        raise Unwritable("its answer is long")
    return written


_HERE = "\0url\0"
"""Stands in a header for the URL of the script's server."""


def _bytes(raw: bytes) -> str:
    """Return an expression that gives these bytes; long runs of one byte are multiplied."""
    return " + url.encode() + ".join(map(_runs, raw.split(_HERE.encode())))


def _runs(raw: bytes) -> str:
    parts, start = [], 0
    for run in re.finditer(rb"(.)\1{199,}", raw, re.DOTALL):
        parts.append(repr(raw[start : run.start()]))
        parts.append(f"{run[1]!r} * {len(run[0])}")
        start = run.end()
    parts.append(repr(raw[start:]))
    return " + ".join(p for p in parts if p != "b''") or "b''"


def _dated(value: str) -> str:
    """Return a header value with points in time filled in: as far ahead as the script will last."""
    ahead = datetime(2040, 1, 1, tzinfo=UTC).timestamp()
    filled = fill(value.replace("{base}", _HERE).replace("{target}", "/moved"), {}, ahead)
    if "{" in filled:
        raise Unwritable("it points to another server")
    return filled


def _head(status: int, headers: Sequence[tuple[str, str]], length: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{n}: {v}" for n, v in headers)]
    if not any(n.lower() == "content-length" for n, _ in headers):
        lines.append(f"Content-Length: {length}")
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


# --- what is missing ------------------------------------------------------------------------------

_LACKING = '''"""{title}"""
import sys
import {module}

{look}
print({expected}, {seen})
sys.exit(1 if found is None else 0)
'''
_LOOKS = {
    "ER16": (
        'found = getattr({module}, "{name}", None)',
        '"there is no {name} in {module}" if found is None else found',
    ),
    "WR6": (
        'found, why = None, ""\n'
        "try:\n"
        "    found = {module}.{client}({keywords}).{name}\n"
        "except AttributeError as error:\n"
        "    why = error",
        "why if found is None else found",
    ),
    "WR7": (
        'found, why = "taken", "taken"\n'
        "try:\n"
        "    {module}.{client}({keywords}, {name}=None)\n"
        "except TypeError as error:\n"
        "    found, why = (None if '{name}' in str(error) else found), error",
        "why",
    ),
}
"""Requirement -> how to look for what the document names, and what was seen."""


def lacking(tables: Sequence[Table], finding: FindingEntry, release: str) -> str | None:
    """Return a script that looks for a name which the SDK lacks; None for other findings."""
    claim = claims.read(finding.claim)
    api, _, _ = (finding.operation or "").rpartition(":")
    table = next((t for t in tables if api in ("", t.api)), None)
    if table is None or not isinstance(claim, claims.Lacks):
        return None
    kind, client = claim.kind, table.clients.get("sync")
    if finding.requirement not in _LOOKS or client is None:
        return None
    module = table.exceptions_module or table.module if kind == "exception" else table.module
    try:
        keywords = _keywords(table, {"api-key": KEY, "base-url": "http://127.0.0.1:9"})
    except Unwritable:
        return None
    words = {"module": module, "client": client, "name": claim.sought, "keywords": keywords}
    look, seen = (text.format(**words) for text in _LOOKS[finding.requirement])
    title = f"{release}: {finding.requirement} {finding.cause} ({finding.id})"
    made = _LACKING.format(
        title=_plain(title), module=module, look=look, seen=seen,
        expected=_expected(str(finding.expected)),
    )  # fmt: skip
    try:
        _compiled(made)
    except Unwritable:
        return None
    return made
