"""Which method of an SDK does which operation of a contract: a guess, with its strength.

Pure: it compares names and parameters, and never calls anything. A guess is for a person to
check; what is not clear stays unmatched rather than wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specs import Contract, Operation

CLEAR = 0.75
"""From this score on, a match is called clear."""
LEAST = 0.45
"""Below this score, a method is not taken for an operation."""

_SYNONYMS = {
    "create": "create add store save insert post new write make upsert remember",
    "read": "get retrieve fetch read show find describe load details",
    "list": "list all browse index enumerate",
    "delete": "delete remove destroy drop revoke erase",
    "update": "update patch edit modify change rename",
    "search": "search query lookup recall",
    "health": "health ping alive healthz",
    "clear": "clear reset purge",
    "ingest": "ingest event",
    "key": "key apikey token",
    "usage": "usage quota consumption",
    "message": "message chat",
}
_CANON = {word: canon for canon, words in _SYNONYMS.items() for word in words.split()}
_WEAK = {"v1", "v2", "api", "client", "the", "a", "by", "for", "id", "memory"}
_RAW = {"path", "url", "endpoint", "route", "cast_to"}
_VERBS = {"create", "read", "list", "delete", "update", "search", "clear"}
_DICT_NAMES = {"params", "data", "body", "request", "payload", "options", "input", "args"}
_PLAIN = re.compile(r"'?(str|int|float|bool)'?")
_DICT_TYPES = re.compile(r"(?i)\b(dict|mapping|typeddict|any)\b")

ROLES = {
    role: tuple(names.split())
    for role, names in {
        "api-key": "api_key apikey key token api_token access_token secret",
        "base-url": "base_url endpoint api_url url host server server_url api_base",
        "timeout": "timeout request_timeout timeout_seconds",
        "max-retries": "max_retries retries num_retries max_retry max_attempts",
        "backoff-base": "retry_delay retry_backoff backoff backoff_factor initial_backoff",
        "debug": "debug verbose",
        "http-client": "http_client client session transport",
    }.items()
}
"""Role of a constructor's parameter -> names that it goes by."""


@dataclass(frozen=True)
class Method:
    """One method of a client, as `look` tells it."""

    path: str
    parameters: tuple[Mapping[str, Any], ...]
    asynchronous: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names, without `*args` and `**kwargs`."""
        return tuple(p["name"] for p in self.parameters if not p["kind"].startswith("VAR_"))

    @property
    def takes_anything(self) -> bool:
        """True where it has `**kwargs`."""
        return any(p["kind"] == "VAR_KEYWORD" for p in self.parameters)


@dataclass(frozen=True)
class Match:
    """An operation and the method taken for it; `nearest` are the next best, and their scores."""

    operation: Operation
    method: Method | None
    score: float = 0.0
    nearest: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Shaped:
    """How a method takes flat wire arguments; the fields are those of a table's `Shape`."""

    first: tuple[str, ...] = ()
    rest: str = "keywords"
    model: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    whole: str = ""
    """The parameter that takes the rest as one dict, where its name does not say so."""
    left_over: tuple[str, ...] = ()
    """Wire names that the method seems to have no place for."""
    asked: tuple[str, ...] = ()
    """What the method needs and no wire name gives."""


def words(text: str) -> list[str]:
    """Return the words of a name in any style, lower case, singular, synonyms made one."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", re.sub(r"[._\-/{}]", " ", text))
    found = []
    for part in parts:
        word = part.lower()
        if len(word) > 4 and word.endswith("ies"):
            word = word[:-3] + "y"
        elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
            word = word[:-1]
        found.append(_CANON.get(word, word))
    return found


def snake(name: str) -> str:
    """Return a name in snake case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def wire_names(operation: Operation) -> tuple[str, ...]:
    """Return the flat argument names of an operation: path, query, then body."""
    located = [*operation.parameters_in("path"), *operation.parameters_in("query")]
    body = operation.body.schema.get("properties", {}) if operation.body else {}
    return tuple(dict.fromkeys([*(p.name for p in located), *body]))


def needed_names(operation: Operation) -> tuple[str, ...]:
    """Return the arguments without which an operation cannot be called."""
    located = [*operation.parameters_in("path"), *operation.parameters_in("query")]
    body = operation.body.schema.get("required", ()) if operation.body else ()
    return tuple(dict.fromkeys([*(p.name for p in located if p.required), *body]))


def score(operation: Operation, method: Method) -> float:
    """Return how well a method fits an operation, 0 to 1: names three parts, parameters one.

    The documented name decides alone, unless the method of that name asks for something else.
    """
    if operation.method and method.path == operation.method and not _asks_else(operation, method):
        return 1.0
    wanted = [words(operation.id), words(operation.method or ""), _route(operation)]
    here = set(words(method.path))
    named = max((_alike(set(w), here) for w in wanted if w), default=0.0)
    if snake(method.path) == snake(operation.id).replace(".", "_"):
        named = 1.0
    things = {*words(operation.id), *words(operation.method or "")} - _VERBS - _WEAK
    if things and not things & here:
        named = min(named, 0.2)  # the same verb done to something else is nothing alike
    return round(0.75 * named + 0.25 * _parameters_alike(operation, method), 3)


def _asks_else(operation: Operation, method: Method) -> bool:
    """True where a method needs a plain value that the operation does not have."""
    plain = [p["name"] for p in method.parameters if p["required"] and _PLAIN.fullmatch(p["type"])]
    return bool(_plain(plain) - _plain(wire_names(operation)))


def twins(methods: Iterable[Method]) -> dict[str, str]:
    """Return the methods of one class that have an async one beside them: `recall` -> `arecall`."""
    known = {m.path: m.asynchronous for m in methods}
    found = {}
    for path, waits in known.items():
        head, dot, name = path.rpartition(".")
        for spelt in (f"a{name}", f"a_{name}", f"{name}_async"):
            twin = f"{head}{dot}{spelt}"
            if not waits and known.get(twin):
                found[path] = twin
                break
    return found


def raw(method: Method) -> bool:
    """True for a method that sends any request at all (`client.post(path, …)`)."""
    return bool(method.names) and snake(method.names[0]) in _RAW


def match(
    contract: Contract, methods: Sequence[Method], sure: Mapping[str, str] | None = None
) -> list[Match]:
    """Return one match for each operation; the strongest pairs are made first.

    `sure`: operation id -> path of the method that is known to send it, whatever its name.
    """
    known = {id: path for id, path in (sure or {}).items() if path in {m.path for m in methods}}
    scores = {
        (operation.id, index): float(known[operation.id] == method.path)
        if operation.id in known
        else score(operation, method)
        for operation in contract
        for index, method in enumerate(methods)
    }
    taken: dict[str, tuple[int, float]] = {}
    used: set[int] = set()
    order = sorted(
        scores.items(), key=lambda each: (-each[1], len(methods[each[0][1]].path), each[0])
    )
    for (id, index), strength in order:
        if strength >= LEAST and id not in taken and index not in used:
            taken[id] = (index, strength)
            used.add(index)
    made = []
    for operation in contract:
        index, strength = taken.get(operation.id, (-1, 0.0))
        near = sorted(((methods[i].path, s) for (id, i), s in scores.items()
                       if id == operation.id and i != index), key=lambda n: -n[1])  # fmt: skip
        found = methods[index] if index >= 0 else None
        made.append(Match(operation, found, strength, tuple(near[:3])))
    return made


def shape(operation: Operation, method: Method, models: Iterable[str] = ()) -> Shaped:
    """Return how a method takes an operation's flat arguments."""
    names = list(wire_names(operation))
    free = list(method.names)
    path = [p.name for p in operation.parameters_in("path")]
    first: list[str] = []
    rename: dict[str, str] = {}
    for wire in names:
        same = next((n for n in free if snake(n) == snake(wire)), None)
        if same is not None:
            free.remove(same)
            if same != wire:
                rename[wire] = same
        elif wire in path and free:
            first.append(wire)
            free.pop(0)
    placed = {*first, *rename, *(n for n in names if n in method.names)}
    left = [n for n in names if n not in placed]
    needs = [p["name"] for p in method.parameters if p["required"] and p["name"] in free]
    if not left or method.takes_anything:
        return Shaped(tuple(first), "keywords", "", rename, asked=tuple(needs))
    alone = not (placed - {*path})
    whole = next((p for p in method.parameters
                  if p["name"] in free and (p["required"] or alone)), None)  # fmt: skip
    if whole is not None:
        more = tuple(n for n in needs if n != whole["name"])
        kind = str(whole["type"]).strip("'\" ")
        model = next((m for m in models if re.search(rf"\b{re.escape(m)}\b", kind)), "")
        ahead = tuple(first) or tuple(n for n in path if n in placed)
        if model and not _DICT_TYPES.search(kind):
            return Shaped(ahead, "model", model, asked=more)
        if _DICT_TYPES.search(kind) or whole["name"] in _DICT_NAMES or not kind:
            named = "" if whole["name"] in _DICT_NAMES or not kind else whole["name"]
            return Shaped(ahead, "dict", whole=named, asked=more)
        if len(left) == 1:
            renamed = {**rename, left[0]: whole["name"]}
            return Shaped(tuple(first), "keywords", "", renamed, asked=more)
    return Shaped(tuple(first), "keywords", "", rename, "", tuple(left), tuple(needs))


def option(role: str, documented: str, names: Sequence[str]) -> str | None:
    """Return the constructor's parameter for a role, or None."""
    for candidate in (documented, *ROLES.get(role, ())):
        if candidate in names:
            return candidate
    return None


def _route(operation: Operation) -> list[str]:
    verb = {"GET": "read", "POST": "create", "PUT": "update", "PATCH": "update"}.get(operation.verb)
    literal = re.sub(r"\{[^}]*\}", " ", operation.path)
    return [verb or "delete", *words(literal)]


def _alike(one: set[str], other: set[str]) -> float:
    """Return a weighted overlap of two sets of words; words that say little weigh little."""
    if not one or not other:
        return 0.0

    def weight(some: set[str]) -> float:
        return sum(0.3 if word in _WEAK else 1.0 for word in some)

    return weight(one & other) / weight(one | other)


def _parameters_alike(operation: Operation, method: Method) -> float:
    wanted = _plain(wire_names(operation))
    here = _plain(method.names)
    if not wanted:
        return 1.0 if not here else 0.5
    if method.takes_anything or (len(here) == 1 and here <= _DICT_NAMES):
        return 0.7
    required = _plain(p["name"] for p in method.parameters if p["required"])
    strangers = len(required - wanted) / max(1, len(required))
    return max(0.0, len(wanted & here) / len(wanted) - 0.5 * strangers)


def _plain(names: Iterable[str]) -> set[str]:
    """Return names in snake case; the only id among them is `id`, whatever it is the id of."""
    plain = {snake(n) for n in names}
    ids = {n for n in plain if n.rpartition("_")[2] == "id"}
    return plain - ids | {"id"} if len(ids) == 1 else plain
