"""Clients made by Stainless: `self._post("/v1/archives/", body=…, options=…)` in `resources/`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from conformance.drivers.generators import calls as c

SENDING = {f"_{verb}": verb.upper() for verb in ("get", "post", "put", "patch", "delete")} | {
    "_get_api_list": "GET"
}


def read(package: Path) -> c.Made:
    """Return the calls of a client's resources, and of the client itself."""
    clients: dict[str, str] = {}
    prefix = "Bearer "
    for _, module in c.modules(package, "_client.py"):
        for made in c.classes(module):
            bases = {c.last(base) for base in made.bases}
            for mode, base in (("sync", "SyncAPIClient"), ("async", "AsyncAPIClient")):
                if base in bases:
                    clients.setdefault(mode, made.name)
        prefix = _prefix(ast.unparse(module)) or prefix
    raised, base = _errors(package)
    return c.Made(
        "stainless", tuple(_calls(package)), clients, prefix=prefix, raised=raised, base=base,
        figures=_figures(c.numbers(package, "_constants.py")),
    )  # fmt: skip


def _figures(known: dict[str, float]) -> dict[str, float]:
    names = {"timeout": "DEFAULT_TIMEOUT", "base": "INITIAL_RETRY_DELAY", "cap": "MAX_RETRY_DELAY"}
    made = {key: known[name] for key, name in names.items() if name in known}
    retries = known.get("DEFAULT_MAX_RETRIES")
    return made if retries is None else {**made, "attempts": retries + 1}


def _errors(package: Path) -> tuple[tuple[c.Raised, ...], str]:
    """Return the rows of `_exceptions.py`, and the class that all of its classes inherit from."""
    for _, module in c.modules(package, "_exceptions.py"):
        chains = c.heritage(module)
        rows = []
        for made in c.classes(module):
            for node in made.body:
                literal = isinstance(node, ast.AnnAssign) and node.value
                if (
                    literal
                    and isinstance(literal, ast.Constant)
                    and literal.value in range(400, 600)
                ):
                    rows.append(c.Raised(str(literal.value), made.name, chains[made.name]))
        if rows and rows[0].bases:
            bases = rows[0].bases
            general = (("5XX", "InternalServerError", bases), ("4XX", bases[0], bases[1:]))
            rows += [c.Raised(s, n, b) for s, n, b in general if n in chains]
            return tuple(rows), bases[-1]
    return (), ""


def _prefix(text: str) -> str:
    found = re.search(r"""["']Authorization["']: f["']([A-Za-z-]+ )\{""", text)
    return found[1] if found else ""


def _calls(package: Path) -> Iterator[c.Call]:
    for pattern in ("_client.py", "resources/**/*.py"):
        for path, module in c.modules(package, pattern):
            for made in c.classes(module):
                if {"SyncAPIResource", "SyncAPIClient"} & {c.last(base) for base in made.bases}:
                    yield from _of_class(package, path, made)


def _of_class(package: Path, path: Path, made: ast.ClassDef) -> Iterator[c.Call]:
    inside = path.relative_to(package).with_suffix("").parts[1:]
    names = inside[:-1] if len(inside) > 1 and inside[-1] == inside[-2] else inside
    for function in c.methods(made):
        for call in c.called(function, *SENDING):
            where = c.template(call.args[0] if call.args else None)
            if not where:
                continue
            query = _options(call).get("query")
            yield c.Call(
                ".".join((*names, function.name)), SENDING[c.last(call.func)], where,
                c.argued(function, where, c.keys(query), c.keys(c.keyword(call, "body"))),
                c.source(package, path, call), summary=c.first_line(function),
            )  # fmt: skip
            break


def _options(call: ast.Call) -> dict[str, ast.expr]:
    made = c.keyword(call, "options")
    return {k.arg: k.value for k in made.keywords if k.arg} if isinstance(made, ast.Call) else {}
