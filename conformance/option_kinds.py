"""The kinds of values that options take: how each is read, and why a value is refused.

A kind reads what was typed and returns the value, or says in words what is wrong and what to
type instead. Which option is of which kind stands in `options.py`.
"""

from __future__ import annotations

import errno
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 section 5.6.2."""
LONGEST = 100_000
"""Characters of one value."""


class WrongValue(ValueError):
    """A value that a kind does not take; the message says why and what to type."""


class Kind(Protocol):
    """How a value is read."""

    def read(self, value: Any) -> Any:
        """Return the value of what was typed. Raises WrongValue."""

    def secrets(self, value: Any) -> list[str]:
        """Return what no output may show of a value that was read."""


class _Open:
    """A kind whose values hold no secret."""

    def secrets(self, value: Any) -> list[str]:
        """Return nothing."""
        return []


@dataclass(frozen=True)
class Flag(_Open):
    """On or off."""

    def read(self, value: Any) -> bool:
        """Return whether it was given."""
        return bool(value)


@dataclass(frozen=True)
class Text(_Open):
    """Words that are not empty."""

    def read(self, value: Any) -> str:
        """Return the words."""
        text = str(value)
        if not text.strip():
            raise WrongValue("it is empty; give a value or leave the option out")
        if "\0" in text:
            raise WrongValue("it holds a NUL character; leave that out")
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise WrongValue("it is not UTF-8; type it in UTF-8")
        if len(text) > LONGEST:
            raise WrongValue(f"it is longer than {LONGEST:,} characters; shorten it")
        return text


@dataclass(frozen=True)
class Number(_Open):
    """A finite number within bounds."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    whole: bool = False

    def read(self, value: Any) -> int | float:
        """Return the number."""
        try:
            number: int | float = int(value) if self.whole else float(value)
        except (ValueError, OverflowError):
            raise WrongValue(f"it is not a {self._what()}; {self._type()}") from None
        inside = (
            math.isfinite(number)
            and (self.low is None or number >= self.low)
            and (self.above is None or number > self.above)
            and (self.high is None or number <= self.high)
        )
        if not inside:
            raise WrongValue(f"it is out of range; {self._type()}")
        return number

    def _what(self) -> str:
        return "whole number" if self.whole else "number"

    def _type(self) -> str:
        least = f"above {self.above:g}" if self.above is not None else ""
        least = f"from {self._said(self.low)}" if self.low is not None else least
        most = f" to {self._said(self.high)}" if self.high is not None else ""
        return f"type a {self._what()} {least}{most}".rstrip()

    def _said(self, bound: float) -> str:
        return f"{bound}" if self.whole else f"{bound:g}"


def Counted(low: int, high: int = 10**9) -> Number:
    """Return the kind of whole numbers between two bounds."""
    return Number(low=low, high=high, whole=True)


def Port() -> Number:
    """Return the kind of TCP ports; 0 asks for a free one."""
    return Number(low=0, high=65_535, whole=True)


@dataclass(frozen=True, init=False)
class Choice(_Open):
    """One of a few words."""

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    def read(self, value: Any) -> str:
        """Return the word."""
        if value not in self.words:
            raise WrongValue(f"it takes {', '.join(self.words[:-1])} or {self.words[-1]}")
        return str(value)


@dataclass(frozen=True)
class File(_Open):
    """The path of a file or a folder."""

    exists: bool = False

    def read(self, value: Any) -> Path:
        """Return the path."""
        path = Path(Text().read(value))
        try:
            os.lstat(path)
        except OSError as why:
            if why.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                raise WrongValue(f"it is no usable path ({why.strerror}); shorten it") from None
        if self.exists and not path.exists():
            raise WrongValue("there is no such file; check the path")
        return path

    @staticmethod
    def path(text: str) -> Path:
        """Return a path for a default."""
        return Path(text)


@dataclass(frozen=True)
class Quota(_Open):
    """Requests in seconds, `100/60`."""

    def read(self, value: Any) -> str:
        """Return the text."""
        quota_of(str(value))
        return str(value)


def quota_of(text: str) -> tuple[int, float]:
    """Return (requests, seconds) of `100/60`. Raises WrongValue."""
    requests, slash, seconds = text.partition("/")
    try:
        made = int(requests), float(seconds)
    except ValueError:
        made = (0, 0.0)
    if not slash or not 1 <= made[0] <= 10**9 or not 0 < made[1] <= 10**9:
        raise WrongValue("it is no quota; write REQUESTS/SECONDS, as in 100/60")
    return made


@dataclass(frozen=True)
class Header:
    """A header field, `NAME=VALUE`."""

    def read(self, value: Any) -> str:
        """Return the text."""
        text = Text().read(value)
        name, sign, rest = text.partition("=")
        if not sign or not _TOKEN.fullmatch(name):
            raise WrongValue("it is no header; write NAME=VALUE, as in X-Tenant=acme")
        if any((ord(c) < 0x20 and c != "\t") or ord(c) == 0x7F or ord(c) > 0xFF for c in rest):
            raise WrongValue("its value holds a character that no header can carry; leave that out")
        if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
            raise WrongValue("this header frames the request, so it cannot be set; leave it out")
        return text

    def secrets(self, value: Any) -> list[str]:
        """Return the value; the name is no secret."""
        return [str(value).partition("=")[2]]


@dataclass(frozen=True)
class Address:
    """A URL of a backend; it may hold credentials."""

    def read(self, value: Any) -> str:
        """Return the URL without a slash at its end."""
        text = Text().read(value)
        try:
            parts = urlsplit(text)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or any(c.isspace() or not c.isprintable() for c in text):
            raise WrongValue("it is no URL of a backend; it looks like http://HOST:PORT/PATH")
        try:
            (parts.hostname or "").encode("idna")
        except UnicodeError:
            raise WrongValue("its host is no name; it looks like http://HOST:PORT/PATH") from None
        if parts.fragment:
            raise WrongValue("it has a fragment (#…), which no server sees; leave that out")
        return text if parts.query else text.rstrip("/")

    def secrets(self, value: Any) -> list[str]:
        """Return user information and query of the URL."""
        return Credentials.of(str(value)).secrets


@dataclass(frozen=True)
class Named:
    """`NAME=VALUE`, with a value of another kind."""

    inner: Kind

    def read(self, value: Any) -> str:
        """Return the text."""
        name, sign, rest = Text().read(value).partition("=")
        if not sign or not name:
            raise WrongValue("write NAME=URL, as in memory=http://HOST:PORT/PATH")
        return f"{name}={self.inner.read(rest)}"

    def secrets(self, value: Any) -> list[str]:
        """Return the secrets of the value."""
        return self.inner.secrets(str(value).partition("=")[2])


@dataclass(frozen=True)
class Credentials:
    """What a base URL holds beside the place: user information and a query."""

    url: str
    """The URL without them."""
    user: str = ""
    password: str = ""
    query: str = ""
    """As it stands in the URL."""

    @classmethod
    def of(cls, text: str) -> Credentials:
        """Return the parts of a URL that `Address` accepts."""
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
        clean = SplitResult(parts.scheme, host, parts.path, "", "").geturl()
        return cls(
            clean.rstrip("/"), unquote(parts.username or ""), unquote(parts.password or ""),
            parts.query,
        )  # fmt: skip

    @property
    def secrets(self) -> list[str]:
        """What no output may show."""
        values = [v for _, v in parse_qsl(self.query)]
        found = [self.password, *values, *([self.user] if not self.password else [])]
        return [word for word in found if word]
