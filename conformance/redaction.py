"""How a key may stand in a text, and how to take it out.

One `Redactor` knows the secrets of a run in every form in which a subject may repeat them: in
any case, JSON- and percent-encoded, as HTML entities, spaced, in base64 and hex, backwards, and
cut off. What leaves the process (results, reports, recordings, terminals, pytest, Locust) passes
it before anything is shortened.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

SHORTEST = 6
"""Keys shorter than this many characters are not searched for in free text: they would be found
everywhere, and what is that short keeps no secret."""
LONG = 16
"""Keys of fewer characters are looked for as they are only: their parts may be words."""
FEWEST = 6
"""Characters of a key that are taken out where an ellipsis shows that the rest was cut off."""
PARTS = 96
"""Characters of one key of which parts are searched for."""
MOST = 4096
"""Characters of one key that are searched for; the beginning of a longer one tells it."""

_ESCAPED = re.compile(r"\\{1,4}u([0-9a-f]{4})")
"""An escape of JSON, also in JSON that stands in JSON, as results hold what a server sent."""
_SIGNS = (
    " ", "\t", "\n", "\r", "\f", "\v", "-", "\xa0", "\xad", "\u200b", "\u200c", "\u200d",
    "\u200e", "\u200f", "\u2028", "\u2029", "\u2060", "\ufeff",
)  # fmt: skip
_BETWEEN = (
    r"(?:[\s\u00ad\u200b-\u200f\u2060\ufeff]|\\{1,4}u(?:200[b-f]|2060|feff|00ad)"
    r"|%20|%E2%80%8[B-F])?"
)
"""What may be put between two characters so that nobody finds them: space, zero-width signs."""


class Redactor:
    """Takes the secrets of a run out of texts; `secrets` maps each to what is shown for it."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        known = {k[:MOST]: shown for k, shown in secrets.items() if len(k) >= SHORTEST}
        self._known = sorted(known.items(), key=lambda item: len(item[0]), reverse=True)
        forms = [f"(?P<k{n}>{_any_form(key)})" for n, (key, _) in enumerate(self._known)]
        self._any = re.compile("|".join(forms), re.IGNORECASE) if forms else None
        self._seeds = tuple({seed for key, _ in self._known for seed in _seeds(key)})

    def hide(self, text: str) -> str:
        """Return a text without any secret."""
        if self._any is None or len(text) < FEWEST or not self._suspect(text):
            return text
        return self._any.sub(self._shown, text)

    def _suspect(self, text: str) -> bool:
        """Return False where a text holds nothing of a key: cheap, and never wrongly False."""
        folded = _folded(text)
        return any(seed in folded for seed in self._seeds)

    def hide_all(self, value: Any) -> Any:
        """Return a JSON value with every text in it, names too, without any secret."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {self.hide_all(k): self.hide_all(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self.hide_all(v) for v in value])
        return value

    def _shown(self, found: re.Match[str]) -> str:
        assert found.lastgroup is not None
        return self._known[int(found.lastgroup[1:])][1]


def _folded(text: str) -> str:
    """Return a text in one case, without what may stand between characters, and decoded."""
    folded = text.lower()
    if "\\" in folded:
        folded = _ESCAPED.sub(lambda m: chr(int(m[1], 16)).lower(), folded).replace("\\", "")
    if "&" in folded:
        folded = html.unescape(folded)
    if "%" in folded:
        folded = unquote(folded.replace("%25", "%"), errors="replace").lower()
    for sign in _SIGNS:
        folded = folded.replace(sign, "")
    return folded


def _seeds(key: str) -> Iterator[str]:
    """Yield short texts of which each form of a key holds one, folded."""
    size = max(8, len(key) // 2) // 2
    parts = [key[at : at + size] for at in range(0, len(key) - size + 1, size)]
    parts += [key[:FEWEST], key[::-1][:FEWEST]]
    raw = key.encode("utf-8", "surrogatepass")
    parts += [raw.hex()[:8], *(text[:8] for text in _base64(raw))]
    parts += [":".join(f"{byte:02x}" for byte in raw[:3])]
    yield from (folded for part in parts if (folded := _folded(part)))


@lru_cache(maxsize=32)
def _redactor(keys: tuple[tuple[str, str], ...]) -> Redactor:
    return Redactor(dict(keys))


def hide(text: str, keys: Mapping[str, str]) -> str:
    """Return `text` with every form of each key (key -> what to show for it) replaced."""
    return _redactor(tuple(keys.items())).hide(text)


def forms(key: str) -> Iterator[str]:
    """Yield the ways in which a text may show a key as a whole, as patterns."""
    yield _spelt(key)
    yield _spelt(key[::-1])
    raw = key.encode("utf-8", "surrogatepass")
    yield re.escape(raw.hex())
    yield r"[:\s-]".join(f"{byte:02x}" for byte in raw)
    for text in _base64(raw):
        yield re.escape(text)


def _any_form(key: str) -> str:
    """Return the pattern of a key: whole in any form, else a part that tells much of it."""
    return "|".join((*forms(key), *_parts(key)))


def _spelt(text: str) -> str:
    """Return a pattern of a text whose characters may each be written in any usual way."""
    return _BETWEEN.join(map(_character, text))


@lru_cache(maxsize=512)
def _character(c: str) -> str:
    """Return a pattern of one character: itself, or escaped for JSON, URLs or HTML."""
    number = ord(c)
    ways = [re.escape(c), rf"\\{{1,4}}u{number:04x}", rf"&#0*{number};", rf"&#x0*{number:x};"]
    percent = quote(c.encode("utf-8", "surrogatepass"), safe="")
    if percent == c:
        percent = f"%{number:02X}"
    ways += [re.escape(percent), re.escape(percent.replace("%", "%25"))]
    if c in '"\\/':
        ways.append(re.escape("\\" + c))
    named = html.escape(c)
    ways += [re.escape(named)] if named != c else []
    return f"(?:{'|'.join(ways)})"


def _base64(raw: bytes) -> Iterator[str]:
    """Yield what stands in base64 for bytes wherever they begin, in both alphabets."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw)
        start = (0, 2, 3)[before]
        whole = (before + len(raw)) * 8 // 6
        text = coded[start:whole].decode()
        yield text
        if "+" in text or "/" in text:
            yield text.replace("+", "-").replace("/", "_")


def _parts(key: str) -> Iterator[str]:
    """Yield patterns of what remains of a key that was cut off, or whose end was changed."""
    if len(key) < LONG:
        return
    key = key[:PARTS]
    half = max(8, len(key) // 2)
    for start in range(0, len(key) - half + 1, 1 if len(key) <= 48 else 4):
        rest = key[start + half :]
        opened = "".join(f"(?:{re.escape(c)}" for c in rest)
        yield re.escape(key[start : start + half]) + opened + ")?" * len(rest)
    begun = "|".join(re.escape(key[:n]) for n in range(min(half, 64) - 1, FEWEST - 1, -1))
    yield rf"(?:{begun})(?=…|\.\.\.)"
    long = "|".join(re.escape(key[:n]) for n in range(min(half, 64) - 1, 9, -1))
    if long:
        yield rf"(?:{long})(?=['\"]?$)"


def redactor(secrets: Iterable[str], shown: str = "***") -> Redactor:
    """Return what hides secrets; each may be written `ROLE=KEY`, and then the key goes too."""
    words = [k for w in secrets for k in (w, w.partition("=")[2]) if k]
    return _redactor(tuple(dict.fromkeys(words, shown).items()))
