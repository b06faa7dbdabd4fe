"""Clients made by openapi-generator: `_x_serialize` with `resource_path='/v1/banks/{bank_id}'`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from conformance.drivers.generators import calls as c


def read(package: Path) -> c.Made:
    """Return the calls of a client's `api/` classes, which all share one `ApiClient`."""
    return c.Made(
        "openapi-generator", tuple(_calls(package)), {"sync": "ApiClient"},
        raised=tuple(_errors(package)), base="ApiException",
    )  # fmt: skip


def _errors(package: Path) -> Iterator[c.Raised]:
    """Yield a row for each status that `from_response` compares with one number."""
    for _, module in c.modules(package, "exceptions.py"):
        for node in ast.walk(module):
            if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare):
                continue
            value, body = node.test.comparators[0], node.body[0]
            known = isinstance(value, ast.Constant) and value.value in range(400, 600)
            if known and isinstance(body, ast.Raise) and isinstance(body.exc, ast.Call):
                name = c.last(body.exc.func)
                yield c.Raised(str(ast.literal_eval(value)), name, ("ApiException",))


def _calls(package: Path) -> Iterator[c.Call]:
    for path, module in c.modules(package, "api/*_api.py"):
        for made in c.classes(module):
            every = {f.name: f for f in _every(made)}
            for name, function in every.items():
                public = every.get(name.removeprefix("_").removesuffix("_serialize"))
                for call in c.called(function, "param_serialize"):
                    where = c.text(c.keyword(call, "resource_path"))
                    if where and public is not None:
                        yield c.Call(
                            f"{path.stem}.{public.name}", c.text(c.keyword(call, "method")), where,
                            _arguments(public, function, where), c.source(package, path, call),
                            _statuses(public), c.first_line(public),
                        )  # fmt: skip


def _every(made: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Yield the methods of a class, those for an event loop among them."""
    for node in made.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.AsyncFunctionDef):
            fields = {name: getattr(node, name) for name in ast.FunctionDef._fields}
            yield ast.copy_location(ast.FunctionDef(**fields), node)


def _arguments(
    public: ast.FunctionDef, serialize: ast.FunctionDef, where: str
) -> tuple[c.Argument, ...]:
    query: dict[str, ast.expr] = {}
    headers: dict[str, ast.expr] = {}
    body: dict[str, ast.expr] = {}
    for node in ast.walk(serialize):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "_query_params.append":
            pair = node.args[0]
            if isinstance(pair, ast.Tuple) and c.text(pair.elts[0]):
                query[c.text(pair.elts[0])] = pair.elts[1]
        elif isinstance(node, ast.Assign):
            target = ast.unparse(node.targets[0])
            if target.startswith("_header_params[") and isinstance(node.value, ast.Name):
                headers[target[15:-1].strip("'\"")] = node.value
            elif target == "_body_params" and isinstance(node.value, ast.Name):
                body[node.value.id] = node.value
    return c.argued(public, where, query, body, headers)


def _statuses(function: ast.FunctionDef) -> tuple[str, ...]:
    for node in ast.walk(function):
        if isinstance(node, ast.AnnAssign) and c.last(node.target) == "_response_types_map":
            return tuple(sorted(c.keys(node.value)))
    return ()
