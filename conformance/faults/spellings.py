"""Right answers in every lawful spelling: the same meaning, written as HTTP, JSON and SSE allow.

A spelling takes an answer and the request that it answers, and gives the answer as another server
would write it; None where it does not apply. Nothing here is a fault: a client that fails on one
fails on a right answer. Sources: RFC 9110 § 5.1, § 8.3 and § 8.4, RFC 8259, RFC 1950, RFC 8878,
and the event stream of the HTML standard.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import brotli

from conformance.faults.answers import Answer, dump
from conformance.history import Headers, Request, header
from specs import Basis

Write = Callable[[Answer, Request], Answer | None]
FOREIGN = "Zo\u00eb \u0416\u0443\u043a \u6f22\u5b57 a\u2028b\u2029c\u0085d \U0001f642"
"""A text beyond ASCII, with the line ends that only Unicode knows."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way to write a right answer; `words` end `a right answer …`."""

    id: str
    words: str
    write: Write
    foreign: bool = False
    """True where the texts of the answer must be beyond ASCII to show anything."""
    basis: Basis = Basis.DOCUMENTED
    """What the spelling itself can carry; the weaker of this and the promise's counts."""


def _typed(media_type: str) -> Write:
    def write(answer: Answer, _: Request) -> Answer | None:
        given = header(answer.headers, "content-type")
        if given is None or given.split(";")[0].strip().lower() != "application/json":
            return None
        return replace(answer, headers=_with(answer.headers, "content-type", media_type))

    return write


def _with(headers: Headers, name: str, value: str) -> Headers:
    kept = [(n, v) for n, v in headers if n.lower() != name]
    return (*kept, (name, value))


def _named(how: Callable[[str], str]) -> Write:
    return lambda answer, _: replace(answer, headers=tuple((how(n), v) for n, v in answer.headers))


def _body(how: Callable[[bytes], bytes]) -> Write:
    return lambda answer, _: replace(answer, body=how(answer.body)) if answer.body else None


def _raw(body: bytes) -> bytes:
    return dump(json.loads(body))


def _escaped(body: bytes) -> bytes:
    return json.dumps(json.loads(body)).encode("ascii")


def _wide(body: bytes) -> bytes:
    return b"\r\n\t" + json.dumps(json.loads(body), indent=4).encode() + b"\r\n"


def _coded(coding: str, code: Callable[[bytes], bytes]) -> Write:
    def write(answer: Answer, request: Request) -> Answer | None:
        wanted = (request.header("accept-encoding") or "").lower().split(",")
        asked = {w.split(";")[0].strip() for w in wanted if not w.replace(" ", "").endswith("q=0")}
        if coding not in asked or not answer.body:
            return None
        headers = _with(answer.headers, "content-encoding", coding)
        return replace(answer, headers=headers, body=code(answer.body))

    return write


def zstd(data: bytes) -> bytes:
    """Return data as a zstd frame of raw blocks (RFC 8878 § 3.1.1): any reader takes it."""
    size = struct.pack("<I", len(data))
    pieces = [data[n : n + 65536] for n in range(0, len(data), 65536)] or [b""]
    made = b"\x28\xb5\x2f\xfd" + b"\xa0" + size
    for number, piece in enumerate(pieces, start=1):
        last = number == len(pieces)
        made += struct.pack("<I", int(last) | len(piece) << 3)[:3] + piece
    return made


_UTF_8 = "application/json; charset=utf-8"

JSON: tuple[Spelling, ...] = (
    Spelling("charset", "whose media type names its charset", _typed(_UTF_8)),
    Spelling("charset-quoted", "whose media type is in capitals, with its charset in quotes",
             _typed('Application/JSON;Charset="UTF-8"')),
    Spelling("parameter", "whose media type has a parameter",
             _typed('application/json; profile="v1"')),
    Spelling("names-upper", "whose header names are in capitals", _named(str.upper)),
    Spelling("names-title", "whose header names begin with capitals", _named(str.title)),
    Spelling("utf-8", "in UTF-8, beyond ASCII", _body(_raw), foreign=True),
    Spelling("utf-8-charset", "in UTF-8 beyond ASCII, with its charset named", _typed(_UTF_8),
             foreign=True),
    Spelling("escapes", "with escapes for what is not ASCII", _body(_escaped), foreign=True),
    Spelling("white-space", "with white space around its JSON", _body(_wide)),
    Spelling("newline", "with a line end after its JSON", _body(lambda body: body + b"\n")),
    Spelling("gzip", "in gzip, as the client asked",
             _coded("gzip", lambda body: gzip.compress(body, mtime=0))),
    Spelling("deflate", "in deflate, as the client asked", _coded("deflate", zlib.compress)),
    Spelling("br", "in brotli, as the client asked", _coded("br", brotli.compress)),
    Spelling("zstd", "in zstd, as the client asked", _coded("zstd", zstd)),
)  # fmt: skip
"""Spellings of an answer in JSON."""


def _lines(end: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(b"\n", end)


def _commented(body: bytes) -> bytes:
    return b": welcome\n\n" + body.replace(b"\n\n", b"\n: still here\n\n")


def _fields(body: bytes) -> bytes:
    return b"retry: 3000\n\n" + body.replace(b"data: ", b"id: 7\ndata:")


def _several(body: bytes) -> bytes:
    """Break each event's JSON at its first comma: its data stand in two lines."""
    events = body.split(b"\n\n")
    return b"\n\n".join(event.replace(b",", b",\ndata: ", 1) for event in events)


def _strange(body: bytes) -> bytes:
    return body.replace(b"First ", FOREIGN.encode())


EVENTS: tuple[Spelling, ...] = (
    Spelling("foreign", "with texts beyond ASCII", _body(_strange)),
    Spelling("crlf", "whose lines end with CR LF", _body(_lines(b"\r\n"))),
    Spelling("comments", "with comments between its lines", _body(_commented)),
    Spelling("fields", "with fields beside its data, and no blank before them", _body(_fields)),
    Spelling("cr", "whose lines end with CR alone", _body(_lines(b"\r")), basis=Basis.ASSUMED),
    Spelling("several-lines", "with events whose data stand in two lines", _body(_several),
             basis=Basis.ASSUMED),
)  # fmt: skip
"""Spellings of a stream of events. CR alone, and data in several lines, no server of these APIs is
said to send, so they are judged as assumed."""
