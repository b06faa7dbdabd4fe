"""How a program shows a key: credentials as expressions over the environment, never in clear.

What a case sends for a key may be the key itself, a wrong one that is made of it, or a secret that
an answer handed out. Nothing that is kept here holds one.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import TYPE_CHECKING

from conformance.backend.repeating import LOOKED_BACK, texts
from conformance.history import Headers

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

MADE = "memconform"
"""What stands in every key that the harness makes up."""
ALIKE = 4
"""Characters that a wrong key shares with the right one, at least."""


def variable(who: str) -> str:
    """Return the environment variable of a principal's key, `KEY` for the first tenant's."""
    return "KEY" if who == "a" else f"KEY_{who.upper()}"


def spelt(value: str, keys: Mapping[str, str], prefix: str) -> str:
    """Return a credential as an expression over `key`, the environment; '' if nobody can say it.

    `prefix` is what the declared header has before its key.
    """
    for who, secret in keys.items():
        for text, change in ((secret, ""), (secret.swapcase(), ".swapcase()")):
            before, there, after = value.partition(text)
            if there and secret:
                return _sum(before, f'key["{variable(who)}"]{change}', after)
    for before in (prefix, ""):
        rest = value.removeprefix(before)
        for who, secret in keys.items():
            pairs = zip(rest, secret, strict=False)
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            if same >= ALIKE and value.startswith(before):
                return _sum(before, f'key["{variable(who)}"][:{same}]', rest[same:])
    known = MADE in value or value.strip() in ("", prefix.strip())
    return repr(value) if known else ""


def note(subject: BackendSubject, number: int, headers: Headers) -> None:
    """Remember how the credentials of an exchange are spelt, and which answer handed them out."""
    prefixes = {a.header.lower(): a.prefix for a in subject.contract.auth}
    made = []
    for name, value in headers:
        prefix = prefixes.get(name.lower())
        if prefix is None:
            continue
        source = spelt(value, subject.keys, prefix)
        secret = value.removeprefix(prefix)
        if not source and (giver := _giver(subject, secret)) is not None:
            stand_in = f"<key that request {giver} made>"
            body = subject.exchanges[giver].response
            places = {text: path for path, text in texts(body.json_or_none() if body else None)}
            subject.memory.handed[number] = (giver, stand_in, places[secret])
            source = repr(prefix + stand_in)
        made.append((name, source))
    if made:
        subject.memory.spelt[number] = tuple(made)


def _giver(subject: BackendSubject, secret: str) -> int | None:
    """Return the number of the exchange whose answer handed a secret out, None for no answer."""
    found = secret.encode()
    for each in reversed(subject.exchanges[-LOOKED_BACK:]):
        if found and each.response is not None and found in each.response.body:
            listed = {text for _, text in texts(each.response.json_or_none())}
            if secret in listed:
                return each.number
    return None


def _sum(*parts: str) -> str:
    before, middle, after = parts
    return " + ".join(
        [*([repr(before)] if before else []), middle, *([repr(after)] if after else [])]
    )
