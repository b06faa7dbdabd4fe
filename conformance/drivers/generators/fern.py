"""Clients made by Fern: `httpx_client.request("users", method="POST", …)` in `raw_client.py`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from conformance.drivers.generators import calls as c


def read(package: Path) -> c.Made:
    """Return the calls of a client's raw clients."""
    clients: dict[str, str] = {}
    for pattern in ("client.py", "base_client.py"):
        for _, module in c.modules(package, pattern):
            for made in c.classes(module):
                if any(f.name == "__init__" for f in c.methods(made)):
                    mode = "async" if made.name.startswith("Async") else "sync"
                    clients.setdefault(mode, made.name)
    return c.Made(
        "fern", tuple(_calls(package)), clients, prefix=_prefix(package),
        raised=tuple(_errors(package)), base="ApiError", figures=_figures(package),
    )  # fmt: skip


def _figures(package: Path) -> dict[str, float]:
    known = c.numbers(package, "core/http_client.py")
    names = {"base": "INITIAL_RETRY_DELAY_SECONDS", "cap": "MAX_RETRY_DELAY_SECONDS"}
    return {key: known[name] for key, name in names.items() if name in known}


def _errors(package: Path) -> Iterator[c.Raised]:
    """Yield a row for each class in `errors/` that says its status to its base."""
    for _, module in c.modules(package, "errors/*.py"):
        for made in c.classes(module):
            for call in c.called(made, "__init__"):
                status = c.keyword(call, "status_code")
                if isinstance(status, ast.Constant) and status.value in range(400, 600):
                    yield c.Raised(str(status.value), made.name, ("ApiError",))


def _prefix(package: Path) -> str:
    for _, module in c.modules(package, "core/client_wrapper.py"):
        found = re.search(
            r"""\[["']Authorization["']\] = f["']([A-Za-z-]+ )\{""", ast.unparse(module)
        )
        if found:
            return found[1]
    return "Bearer "


def _calls(package: Path) -> Iterator[c.Call]:
    for path, module in c.modules(package, "**/raw_client.py"):
        names = path.relative_to(package).parts[:-1]
        for made in c.classes(module):
            if made.name.startswith("Async"):
                continue
            for function in c.methods(made):
                yield from _of_method(package, path, names, function)


def _of_method(
    package: Path, path: Path, names: tuple[str, ...], function: ast.FunctionDef
) -> Iterator[c.Call]:
    for call in c.called(function, "request", "stream"):
        verb = c.text(c.keyword(call, "method"))
        where = c.template(call.args[0] if call.args else None)
        if not verb:
            continue
        where = f"/{where.lstrip('/')}"
        headers = {
            name: value for name, value in c.keys(c.keyword(call, "headers")).items()
            if name.lower() not in ("content-type", "accept")
        }  # fmt: skip
        yield c.Call(
            ".".join((*names, function.name)), verb, where,
            c.argued(function, where, c.keys(c.keyword(call, "params")),
                     c.keys(c.keyword(call, "json")), headers),
            c.source(package, path, call), _statuses(function), c.first_line(function),
        )  # fmt: skip
        return


def _statuses(function: ast.FunctionDef) -> tuple[str, ...]:
    """Return the statuses that a method compares the answer's with."""
    found = [
        str(right.value)
        for node in ast.walk(function)
        if isinstance(node, ast.Compare) and c.last(node.left) == "status_code"
        for right in node.comparators
        if isinstance(right, ast.Constant) and isinstance(right.value, int) and right.value >= 400
    ]
    return tuple(sorted(set(found)))
