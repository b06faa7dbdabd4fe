"""Clients made by Speakeasy: `self._build_request(method="POST", path="/connection", …)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from conformance.drivers.generators import calls as c

OWN = {"retries", "server_url", "timeout_ms", "http_headers", "request"}
"""Arguments of each method that configure the call."""


def read(package: Path) -> c.Made:
    """Return the calls of a client's sub-clients."""
    clients: dict[str, str] = {}
    key = ""
    for _, module in c.modules(package, "sdk.py"):
        for made in c.classes(module):
            if "BaseSDK" in {c.last(base) for base in made.bases}:
                clients.setdefault("sync", made.name)
                key = key or _key(made)
    return c.Made("speakeasy", tuple(_calls(package)), clients, key)


def _key(made: ast.ClassDef) -> str:
    """Return the first parameter of a constructor: a client's security comes first."""
    for function in c.methods(made):
        if function.name == "__init__":
            return next(iter(c.signature(function)), "")
    return ""


def _calls(package: Path) -> Iterator[c.Call]:
    for path, module in c.modules(package, "*.py"):
        names = () if path.stem == "sdk" else (path.stem,)
        for made in c.classes(module):
            for function in c.methods(made):
                for call in c.called(function, "_build_request"):
                    where = c.text(c.keyword(call, "path"))
                    if where:
                        yield c.Call(
                            ".".join((*names, function.name)), c.text(c.keyword(call, "method")),
                            where, _arguments(function, where), c.source(package, path, call),
                            _statuses(function), c.first_line(function),
                        )  # fmt: skip
                    break


def _arguments(function: ast.FunctionDef, where: str) -> tuple[c.Argument, ...]:
    """Return a method's arguments; where those in a request model go, the method does not say."""
    plain: dict[str, ast.expr] = {
        name.rstrip("_"): ast.Name(name)
        for name in c.signature(function)
        if name not in OWN and f"{{{name}}}" not in where
    }
    with_body = any(
        c.keyword(call, "get_serialized_body") is not None
        for call in c.called(function, "_build_request")
    )
    return c.argued(function, where, {} if with_body else plain, plain if with_body else {})


def _statuses(function: ast.FunctionDef) -> tuple[str, ...]:
    """Return the statuses that a method matches the answer with."""
    found: set[str] = set()
    for call in c.called(function, "match_response"):
        given = call.args[1] if len(call.args) > 1 else None
        entries = given.elts if isinstance(given, ast.List) else [given]
        found |= {c.text(each) for each in entries if c.text(each)}
    return tuple(sorted(found))
