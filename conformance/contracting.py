"""`memconform spec draft --package NAME==VERSION`: a first contract, read from a released package.

Everything in it is observed: the package shows it, no document promises it. Sentences of the
README that promise something stand as comments beside the field that they would make documented.
Nothing of the package is imported or run.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from conformance.drivers import generators
from conformance.drivers.environment import Environment, prepare
from conformance.drivers.generators.calls import Argument, Call, Made, Raised
from specs.bare import slug
from specs.generators import profile

WIDTH = 96
SENTENCES = 3
"""Sentences of the README that are shown beside one field."""
PROMISES: Mapping[str, str] = {
    "retries": r"\b(retr(y|ies|ied)|back-?off|attempts?)\b",
    "errors": r"\b(error|exception|raise[sd]?|status code)s?\b",
    "timeout": r"\btime-?outs?\b",
    "pagination": r"\b(paginat\w*|pages?|cursor)\b",
    "idempotency": r"\bidempoten\w*\b",
}
"""Field of a contract -> words of a sentence that promises something for it."""


class NothingRead(Exception):
    """No call could be read from a package; the text says why and what to do."""


@dataclass(frozen=True)
class Package:
    """A released package, as it was read."""

    environment: Environment
    module: str
    made: Made
    readme: str


def contract(subject: str) -> str:
    """Return a first contract of a package, as YAML.

    Raises EnvironmentUnavailable if it cannot be installed, NothingRead if no call can be read.
    """
    return render(read(prepare(subject)))


def read(environment: Environment) -> Package:
    """Return what an installed package calls, and its README. Raises NothingRead."""
    found = generators.installed(environment)
    if found is None:
        known = ", ".join(generators.READERS)
        raise NothingRead(
            f"{environment.name} {environment.version}: none of {known} made it, so no HTTP call "
            "can be read from it; write the contract by hand, or give its OpenAPI file to "
            "`spec draft`"
        )
    return Package(environment, found.module, found.made, found.readme)


def render(package: Package) -> str:
    """Return a contract of a package as OpenAPI 3.1 in YAML, with the README's words beside it."""
    release = f"{package.environment.name} {package.environment.version}"
    head = [
        f"# What {release} does, drafted by `memconform spec draft --package`. Everything here is",
        "# observed: the package shows it. A promise of its document makes a block `documented`.",
        "# Questions: what does a result hold (schemas of answers are open); what creates, lists",
        "# and deletes a resource (`effect`); which lists are paged (`pagination`)?",
        *_noted(package),
    ]
    return "\n".join(head) + "\n" + _dump(_document(package, release))


def _document(package: Package, release: str) -> dict[str, Any]:
    environment, made = package.environment, package.made
    paths: dict[str, dict[str, Any]] = {}
    for call in made.calls:
        paths.setdefault(call.path, {}).setdefault(call.verb.lower(), _operation(call, release))
    options = _options(made, release)
    return {
        "openapi": "3.1.0",
        "info": {"title": environment.name, "version": environment.version},
        "security": [{"key": []}],
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "x-conformance": {
            "api": slug(environment.name) or "api",
            "document": f"{slug(environment.name)}-package",
            "documentVersion": environment.version,
            "client": {
                "basis": "observed", "source": release, "package": environment.name,
                "module": package.module, "documented": environment.version,
                "latest": environment.version, **made.clients, "generator": made.generator,
                **({"options": options} if options else {}),
            },
            "auth": [{"header": "authorization", "prefix": made.prefix, "basis": "observed",
                      "source": release}],
            **_behaviour(made, release),
        },
        "paths": paths,
    }  # fmt: skip


def _options(made: Made, release: str) -> list[dict[str, Any]]:
    """Return the constructor's options whose names or defaults the package has of its own."""
    found: list[dict[str, Any]] = []
    if made.key:
        found.append({"role": "api-key", "name": made.key, "basis": "observed", "source": release})
    own = {"timeout": made.figures.get("timeout")}
    if "attempts" in made.figures:
        own["max-retries"] = int(made.figures["attempts"]) - 1
    for option in _cited(profile(made.generator), release).get("client", {}).get("options", []):
        default = own.get(option["role"])
        if default is not None:
            found.append({**option, "default": default})
    return found


def _behaviour(made: Made, release: str) -> dict[str, Any]:
    """Return the blocks that the package itself shows, over what its generator's clients do."""
    below = _cited(profile(made.generator), release)
    blocks: dict[str, Any] = {}
    if made.figures:
        figures = dict(made.figures)
        attempts = int(figures.pop("attempts", below["retries"]["maxAttempts"]))
        growth = {k: v for k, v in figures.items() if k in ("base", "cap")}
        backoff = {**below["retries"]["backoff"], **growth}
        blocks["retries"] = {**below["retries"], "maxAttempts": attempts, "backoff": backoff}
    if made.raised:
        general = below["errors"]["map"]
        known = {row["status"]: row for row in general if "status" in row}
        rows = [_row(raised, known) for raised in made.raised]
        named = {row["status"] for row in rows}
        rows += [row for row in general if row.get("status") in {None, "4XX", "5XX"} - named]
        classes = {made.base, *(row["exception"] for row in rows)}
        rows = [{**r, "bases": [b for b in r.get("bases", ()) if b in classes]} for r in rows]
        blocks["errors"] = {**below["errors"], "base": made.base, "map": rows}
    return blocks


def _row(raised: Raised, known: Mapping[str, Any]) -> dict[str, Any]:
    general = known.get(raised.status) or known.get(f"{raised.status[0]}XX") or {}
    return {
        **general, "status": raised.status, "exception": raised.name, "bases": list(raised.bases)
    }  # fmt: skip


def _cited(part: Any, release: str) -> Any:
    """Return a part of a profile whose sources cite the release: it shows the same."""
    if isinstance(part, Mapping):
        cited = {key: _cited(value, release) for key, value in part.items()}
        where = str(part.get("source", "")).partition(" § ")[2]
        return {**cited, "source": f"{release} § {where}"} if where else cited
    return [_cited(each, release) for each in part] if isinstance(part, list) else part


def _operation(call: Call, release: str) -> dict[str, Any]:
    outside = [a for a in call.arguments if a.place != "body"]
    inside = [a for a in call.arguments if a.place == "body"]
    good = [s for s in call.statuses if s.startswith("2")] or ["200"]
    bad = [s for s in call.statuses if s[:1] in "45"]
    made: dict[str, Any] = {
        "operationId": call.method,
        "summary": call.summary or call.method,
        "x-conformance": {
            "basis": "observed", "source": f"{release} § {call.source}", "wireBasis": "observed",
            "wireSource": f"{release} § {call.source}", "method": call.method,
        },
    }  # fmt: skip
    if outside:
        made["parameters"] = [_parameter(a) for a in outside]
    if inside:
        schema: dict[str, Any] = {
            "type": "object", "additionalProperties": True,
            "properties": {a.name: _schema(a) for a in inside},
        }  # fmt: skip
        required = [a.name for a in inside if a.required]
        schema |= {"required": required} if required else {}
        made["requestBody"] = {
            "required": bool(required), "content": {"application/json": {"schema": schema}},
        }  # fmt: skip
    answer = {"application/json": {"schema": {"type": "object", "additionalProperties": True}}}
    made["responses"] = {
        **{status: {"description": "success", "content": answer} for status in good},
        **{status: {"description": "an error"} for status in bad},
    }
    return made


def _parameter(argument: Argument) -> dict[str, Any]:
    made: dict[str, Any] = {"name": argument.name, "in": argument.place}
    made |= {"required": True} if argument.required or argument.place == "path" else {}
    return {**made, "schema": _schema(argument)}


def _schema(argument: Argument) -> dict[str, Any]:
    return {"type": argument.type} if argument.type else {}


def _noted(package: Package) -> Iterator[str]:
    """Yield the README's sentences as comments, by the field that they would make documented."""
    for field, words in PROMISES.items():
        found = _sentences(package.readme, words)
        if found:
            yield "#"
            yield f"# `{field}` would be documented by (README):"
            for each in found:
                yield from textwrap.wrap(
                    each, WIDTH, initial_indent="#   - ", subsequent_indent="#     "
                )


def _sentences(readme: str, words: str) -> Sequence[str]:
    """Return the first sentences of prose with one of some words in it."""
    prose = re.sub(r"```.*?```|<[^>]*>|^[#|>][^\n]*$", "", readme, flags=re.S | re.M)
    pieces = re.split(r"(?<=[.:!])\s+|\n\s*\n|\n[-*] ", prose)
    clean = (" ".join(piece.split()) for piece in pieces)
    found = (
        "".join(c if c.isprintable() else "?" for c in piece)
        for piece in clean
        if 20 <= len(piece) <= 300 and re.search(words, piece, re.I)
    )
    return list(dict.fromkeys(found))[:SENTENCES]


class _Plain(yaml.SafeDumper):
    """Writes each value where it stands, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return True: nothing is written as a reference to something earlier."""
        return True


def _dump(document: Mapping[str, Any]) -> str:
    made: str = yaml.dump(
        dict(document), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=WIDTH
    )
    return made
