"""What was said on the wire, as a reader can act on it: exchanges in full, and how to repeat them.

Values and their words only: nothing here sends or judges. Texts are bounded, and whoever makes
them has taken the keys out; a reader's own stand in the environment, `KEY` for the first tenant.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict, Field

BODY_MAX = 2_000
"""Characters of a body that are kept; a longer one ends with how many bytes there were."""
HEADERS_MAX = 40
VALUE_MAX = 300
NOT_SENT = frozenset({"host", "content-length", "connection", "accept-encoding"})
"""Header fields that every client writes by itself."""


class Shown(BaseModel):
    """One exchange: request line, headers and body, then the answer's, or how it ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float = Field(description="seconds since the first exchange that is shown")
    who: str = Field(description="whose key was sent: `a`, `member`; '' for none")
    method: str
    target: str = Field(description="path and query as sent, below the base URL's host")
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    status: int | None = None
    failure: str = Field(default="", description="how it ended where no whole answer came")
    answer_headers: tuple[tuple[str, str], ...] = ()
    answer_body: str = ""
    seconds: float = 0.0

    def lines(self) -> Iterator[str]:
        """Yield the exchange as HTTP looks like, requests marked `>` and answers `<`."""
        yield f"> {self.method} {self.target}"
        yield from (f"> {name}: {value}" for name, value in self.headers)
        yield from (f"> {line}" for line in self.body.splitlines())
        yield f"< {self.status or self.failure or 'nothing'} after {self.seconds * 1000:.1f} ms"
        yield from (f"< {name}: {value}" for name, value in self.answer_headers)
        yield from (f"< {line}" for line in self.answer_body.splitlines())

    def short(self, width: int = 96) -> Iterator[str]:
        """Yield the exchange in two lines: what was asked, what was answered."""
        yield _cut(f"> {self.method} {self.target} {_flat(self.body)}".rstrip(), width)
        yield _cut(f"< {self.status or self.failure} {_flat(self.answer_body)}".rstrip(), width)


def text_of(body: bytes) -> str:
    """Return a body as text of bounded length; bytes that are no text are escaped."""
    text = body[: BODY_MAX * 4].decode("utf-8", "backslashreplace")
    if len(text) <= BODY_MAX and len(body) <= BODY_MAX * 4:
        return text
    return f"{text[:BODY_MAX]}… ({len(body)} bytes)"


def bounded(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return header fields of bounded number and length."""
    return tuple((name, _cut(value, VALUE_MAX)) for name, value in list(headers)[:HEADERS_MAX])


def _flat(text: str) -> str:
    return "".join(c if c.isprintable() else "·" for c in " ".join(text.split()))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


class Step(BaseModel):
    """One request of a reproduction."""

    model_config = ConfigDict(frozen=True)

    method: str
    target: str
    """Path and query below the base URL."""
    headers: tuple[tuple[str, str], ...]
    """Without credentials."""
    credential: tuple[str, str, str] | None
    """Header, prefix and environment variable of the key; None where none is sent."""
    body: bytes = b""


class Given(BaseModel):
    """A value of an answer that later requests repeat."""

    model_config = ConfigDict(frozen=True)

    step: int
    path: tuple[str | int, ...]
    value: str


def curl(base_url: str, step: Step) -> str:
    """Return one request as a line for a shell, with the key taken from the environment."""
    words = ["curl -sS -i"]
    if step.method != "GET" or step.body:
        words.append(f"-X {step.method}")
    words.append(shlex.quote(base_url.rstrip("/") + step.target))
    words += [f"-H {shlex.quote(f'{n}: {v}')}" for n, v in step.headers]
    if step.credential:
        header, prefix, variable = step.credential
        words.append(f'-H "{header}: {prefix}${variable}"')
    if step.body:
        words.append(f"--data-binary {shlex.quote(step.body.decode('utf-8'))}")
    return " ".join(words)


SCRIPT = '''\
"""{what}

Run: KEY=... python3 this.py [BASE_URL]. Ends with 1 where it shows, with 0 where it does not.
"""
import http.client, json, os, re, secrets, sys
from urllib.parse import urlsplit
BASE = urlsplit(sys.argv[1] if len(sys.argv) > 1 else {base!r})
STEPS = [  # method, target, headers, (header, prefix, variable) of the key, body
{steps}]
GIVEN = {given}  # (step, place in its answer, value that later steps repeat)
names = {{{run!r}: secrets.token_hex(4)}}
for number, (method, target, headers, key, body) in enumerate(STEPS):
    for old, new in names.items():
        target, body = target.replace(old, new), body.replace(old.encode(), new.encode())
    headers = {{**headers, **({{key[0]: key[1] + os.environ.get(key[2], "")}} if key else {{}})}}
    kind = http.client.HTTPSConnection if BASE.scheme == "https" else http.client.HTTPConnection
    link = kind(BASE.hostname, BASE.port, timeout=30)
    link.request(method, BASE.path.rstrip("/") + target, body or None, headers)
    answer = link.getresponse()
    text, status = answer.read().decode("utf-8", "replace"), answer.status
    header = {{name.lower(): value for name, value in answer.getheaders()}}
    data = None
    try:
        data = json.loads(text)
        for _, path, value in [each for each in GIVEN if each[0] == number]:
            names[value] = data
            for part in path:
                names[value] = names[value][part]
    except (ValueError, LookupError, TypeError):
        names = {{old: new for old, new in names.items() if isinstance(new, str)}}
    print(method, target, body[:200].decode("utf-8", "replace"), "->", status, text[:200])
try:
    found = bool({shows})
except (LookupError, TypeError):
    found = False
sys.exit({message!r} if found else 0)
'''
LINES_MAX = 40
"""Lines that a program may have; the rest of it is one line a step."""


def script(
    base_url: str, steps: Iterable[Step], given: Iterable[Given], run: str, shows: str,
    message: str,
) -> str:  # fmt: skip
    """Return a program of the standard library that repeats requests and says what it saw.

    `shows` is an expression over the last answer (`status`, `header`, `text`, `data`) that is true
    where the fault shows; the program then prints `message` and ends with 1.
    """
    rows = "".join(
        f"    ({s.method!r}, {s.target!r}, {dict(s.headers)!r}, {s.credential!r}, {s.body!r}),\n"
        for s in steps
    )
    values = [(g.step, list(g.path), g.value) for g in given]
    what = message.replace("\\", "/").replace('"""', "'")
    return SCRIPT.format(
        what=what, base=base_url, steps=rows, given=values, run=run, shows=shows, message=message
    )
