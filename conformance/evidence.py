"""What was said on the wire, as a reader can act on it: exchanges in full, and how to repeat them.

Values and their words only: nothing here sends or judges. Texts are bounded, and whoever makes
them has taken the keys out; a reader's own stand in the environment, `KEY` for the first tenant.
"""

from __future__ import annotations

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
