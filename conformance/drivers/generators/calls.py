"""The values that readers return, and what they share in reading sources. No generator's name.

Paths are relative to the API's base URL and start with `/`; `{name}` stands for an argument.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Place = Literal["path", "query", "header", "body"]
SIZE = 4_000_000
"""Bytes of a source file that are read at most; a longer one is left out."""


@dataclass(frozen=True)
class Argument:
    """One argument of a call: its name on the wire, where it goes, and its JSON type ('' any)."""

    name: str
    place: Place
    type: str = ""
    required: bool = False


@dataclass(frozen=True)
class Call:
    """The HTTP call that one method makes."""

    method: str
    """How it is called on a client, `archives.create`."""
    verb: str
    path: str
    arguments: tuple[Argument, ...]
    source: str
    """File in the package and line, `resources/archives/archives.py:77`."""
    statuses: tuple[str, ...] = ()
    """Answers that the method knows, where it lists them."""
    summary: str = ""


@dataclass(frozen=True)
class Raised:
    """One row of an error table: the class that an answer becomes, and its bases, nearest first."""

    status: str
    name: str
    bases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """All that was read of one package."""

    generator: str
    calls: tuple[Call, ...]
    clients: dict[str, str] = field(default_factory=dict)
    """`sync` and `async` -> class."""
    key: str = ""
    """Parameter of the client's constructor that takes the key, if it has a name of its own."""
    prefix: str = "Bearer "
    """What stands before the key in the Authorization header."""
    raised: tuple[Raised, ...] = ()
    """The package's own error classes, where it maps statuses to some."""
    base: str = ""
    """The class that they all inherit from."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """`attempts` (sends of one call), `base` and `cap` of back-off and `timeout` (seconds)."""


def modules(package: Path, pattern: str) -> Iterator[tuple[Path, ast.Module]]:
    """Yield the parsed files that a pattern names, in order; broken ones are left out."""
    for path in sorted(package.glob(pattern)):
        if path.is_symlink() or path.stat().st_size > SIZE:
            continue
        try:
            yield path, ast.parse(path.read_text("utf-8", "replace"))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue


def numbers(package: Path, file: str) -> dict[str, float]:
    """Return the numbers that a file gives names at its top; of a call, its first number."""
    found: dict[str, float] = {}
    for _, module in modules(package, file):
        for node in module.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                for each in ast.walk(node.value):
                    if isinstance(each, ast.Constant) and isinstance(each.value, int | float):
                        found.setdefault(node.targets[0].id, float(each.value))
    return found


def heritage(module: ast.Module) -> dict[str, tuple[str, ...]]:
    """Return class -> the classes of the same module that it inherits from, nearest first."""
    own = {made.name: [last(base) for base in made.bases] for made in classes(module)}
    chains: dict[str, tuple[str, ...]] = {}
    for name in own:
        chain: list[str] = []
        nearest = own[name]
        while nearest and nearest[0] in own and nearest[0] not in (*chain, name):
            chain.append(nearest[0])
            nearest = own[nearest[0]]
        chains[name] = tuple(chain)
    return chains


def classes(module: ast.Module) -> Iterator[ast.ClassDef]:
    """Yield the classes at the top of a module."""
    yield from (node for node in module.body if isinstance(node, ast.ClassDef))


def methods(made: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Yield the blocking methods of a class."""
    yield from (node for node in made.body if isinstance(node, ast.FunctionDef))


def called(function: ast.AST, *names: str) -> Iterator[ast.Call]:
    """Yield the calls inside a function whose last name is one of `names`, in source order."""
    found = [
        node for node in ast.walk(function)
        if isinstance(node, ast.Call) and last(node.func) in names
    ]  # fmt: skip
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def last(node: ast.AST) -> str:
    """Return the last name of `a.b.c` or `c[T]`; '' where it has none."""
    if isinstance(node, ast.Subscript):
        return last(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return what a call passes by a keyword."""
    return next((k.value for k in call.keywords if k.arg == name), None)


def text(node: ast.AST | None) -> str:
    """Return a string literal's value, '' for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def template(node: ast.AST | None) -> str:
    """Return the path template of a literal, an f-string, or of the first argument of a call."""
    if isinstance(node, ast.Call) and node.args:
        return template(node.args[0])
    if isinstance(node, ast.JoinedStr):
        return "".join(
            text(part) or "{" + _name_in(part) + "}"
            for part in node.values
            if text(part) or isinstance(part, ast.FormattedValue)
        )
    return text(node)


def _name_in(part: ast.AST) -> str:
    """Return the argument that an f-string's hole shows: the last plain name in it."""
    names = [node.id for node in ast.walk(part) if isinstance(node, ast.Name)]
    return names[-1] if names else "value"


def keys(node: ast.AST | None) -> dict[str, ast.expr]:
    """Return name -> value of the first dict literal in an expression."""
    for found in ast.walk(node) if node is not None else ():
        if isinstance(found, ast.Dict):
            pairs = zip(found.keys, found.values, strict=True)
            return {text(k): v for k, v in pairs if text(k)}
    return {}


_TYPES = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "StrictStr": "string",
    "StrictInt": "integer", "StrictBool": "boolean", "StrictFloat": "number",
    "datetime": "string", "List": "array", "list": "array", "Sequence": "array",
    "SequenceNotStr": "array", "Iterable": "array", "Dict": "object", "dict": "object",
    "Mapping": "object",
}  # fmt: skip
_WRAPPERS = {"Optional", "Union", "Annotated", "Required", "OptionalNullable"}


def signature(function: ast.FunctionDef) -> dict[str, tuple[str, bool]]:
    """Return argument -> JSON type ('' any) and whether it must be given; `self` is none."""
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    optional = (
        {a.arg for a in plain[len(plain) - len(given.defaults) :]} if given.defaults else set()
    )
    optional |= {
        a.arg for a, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
        if default is not None
    }  # fmt: skip
    return {
        a.arg: (json_type(a.annotation), a.arg not in optional)
        for a in (*plain, *given.kwonlyargs)
        if a.arg != "self"
    }


def json_type(node: Any) -> str:
    """Return the JSON type that an annotation means; '' for several, or none that is known."""
    if isinstance(node, ast.BinOp):
        sides = {json_type(node.left), json_type(node.right)} - {""}
        return sides.pop() if len(sides) == 1 else ""
    if isinstance(node, ast.Subscript) and last(node.value) in _WRAPPERS:
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        inner = inner[:1] if last(node.value) == "Annotated" else inner
        sides = {json_type(each) for each in inner} - {""}
        return sides.pop() if len(sides) == 1 else ""
    return _TYPES.get(last(node), "") if node is not None else ""


def argued(
    function: ast.FunctionDef,
    path: str,
    query: dict[str, ast.expr],
    body: dict[str, ast.expr],
    headers: dict[str, ast.expr] | None = None,
) -> tuple[Argument, ...]:
    """Return the arguments of a call: those of its path, then query, headers and body.

    Values are the expressions that the method passes; the first of its own arguments in each says
    the type and whether it must be given.
    """  # fmt: skip
    known = signature(function)
    made = []
    for piece in path.split("{")[1:]:
        name = piece.partition("}")[0]
        made.append(Argument(name, "path", known.get(name, ("", True))[0] or "string", True))
    places: tuple[tuple[Place, dict[str, ast.expr]], ...] = (
        ("query", query), ("header", headers or {}), ("body", body),
    )  # fmt: skip
    for place, names in places:
        for name, value in names.items():
            inside = [n.id for n in ast.walk(value) if isinstance(n, ast.Name) and n.id in known]
            if inside:
                kind, required = known[inside[0]]
                made.append(Argument(name, place, kind, required))
    return tuple(made)


def source(package: Path, path: Path, node: ast.AST) -> str:
    """Return where a node stands, for a person: file in the package and line."""
    return f"{path.relative_to(package).as_posix()}:{getattr(node, 'lineno', 0)}"


def first_line(function: ast.FunctionDef) -> str:
    """Return the first line of a docstring, '' without one."""
    return (ast.get_docstring(function) or "").strip().partition("\n")[0][:120]
