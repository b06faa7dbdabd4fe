"""A spec, read and frozen: what one API promises, operation by operation.

`load()` is the only way in. It takes a document from `reading.py`, follows its references, merges
the root's `x-conformance` under each operation's, and returns a `Contract`. An operation that
cannot be judged is left out and said; the rest is judged. Nothing here judges, sends or generates;
a contract is a value that the rest of the project reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema_rs
from pydantic import ValidationError

from specs import bare, generators, reading
from specs.mending import Mended
from specs.model import Body, Operation, Parameter, Response, Schema, succeeds
from specs.reading import HERE, SpecError
from specs.references import Dangling, Graph, validator
from specs.vocabulary import (
    AuthHeader,
    Basis,
    Client,
    ErrorRule,
    Errors,
    OperationBehaviour,
    RootBehaviour,
)

__all__ = [
    "METHODS", "Contract", "LeftOut", "Operation", "Parameter", "Response", "Schema",
    "error_rule", "from_document", "load", "names", "pointer",
]  # fmt: skip
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


@dataclass(frozen=True)
class LeftOut:
    """An operation that cannot be judged, with the line that it stands on and the reason."""

    verb: str
    path: str
    line: int
    reason: str
    withheld: bool = False
    """True if it could be judged, and had better not be called."""

    def __str__(self) -> str:
        return f"{self.verb} {self.path} (line {self.line}): {self.reason}"


@dataclass(frozen=True)
class Contract:
    """Everything one API promises."""

    title: str
    version: str
    root: RootBehaviour
    operations: Mapping[str, Operation]
    document: Mapping[str, Any]
    """The OpenAPI document as read, references unresolved."""
    path: Path
    source: str = ""
    """What `load` takes to read it again: a path or a URL, overlays behind it."""
    left_out: tuple[LeftOut, ...] = ()
    idle: tuple[str, ...] = ()
    """Actions of overlays that found nothing to act on."""
    mended: tuple[Mended, ...] = ()
    """What was taken out of its schemas, for nobody could judge by it."""

    @property
    def api(self) -> str:
        """The API id, `claiv`."""
        return self.root.api

    @property
    def client(self) -> Client | None:
        """The documented SDK, or None where the document describes none."""
        return self.root.client

    @property
    def auth(self) -> tuple[AuthHeader, ...]:
        """Ways to show a key; the first wins where several are sent."""
        return self.root.auth

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations.values())

    def __getitem__(self, operation_id: str) -> Operation:
        try:
            return self.operations[operation_id]
        except KeyError:
            known = ", ".join(self.operations)
            raise KeyError(
                f"{self.api} has no operation {operation_id!r}; it has: {known}"
            ) from None

    def match(self, verb: str, path: str) -> Operation | None:
        """Return the operation that a request means; literal paths win over templates."""
        found = [o for o in self if o.matches(verb, path)]
        return min(found, key=lambda o: o.path.count("{"), default=None)


def error_rule(
    errors: Errors,
    *,
    status: int | None = None,
    code: str | None = None,
    network: str | None = None,
) -> ErrorRule | None:
    """Return the first row of the error table that fits an answer or a network fault."""
    for rule in errors.map:
        if network is not None:
            if network in rule.network:
                return rule
            continue
        if rule.status is None or status is None or rule.network:
            continue
        if rule.status not in (str(status), f"{status // 100}XX"):
            continue
        if rule.code is None or rule.code == code:
            return rule
    return None


def names() -> tuple[str, ...]:
    """Return the ids of the specs that ship with the package."""
    return tuple(sorted(p.stem for p in HERE.glob("*.yaml") if _is_spec(p)))


def load(source: str | Path) -> Contract:
    """Return the contract of a shipped spec (by id), of a file (by path) or of a URL.

    Overlays may stand behind it, see `reading.joined`. Raises SpecError where there is no such
    spec or it cannot be used.
    """
    first, overlays = reading.split(source)
    if reading.is_url(first):
        return _load(str(source), tuple(map(_changed, overlays)))
    path = Path(first)
    if path.suffix not in (".yaml", ".yml", ".json"):
        path = HERE / f"{first}.yaml"
        if not path.exists():
            raise SpecError(
                f"unknown API {first!r}: it is neither one of {', '.join(names())} "
                "nor a path ending in .yaml, .yml or .json, nor a URL"
            )
    if not path.exists():
        raise SpecError(f"no such spec: {path}")
    overlays = [each if reading.is_url(each) else str(Path(each).resolve()) for each in overlays]
    whole = reading.joined(path.resolve(), overlays)
    return _load(whole, tuple(_changed(each) for each in (path, *overlays)))


def _changed(file: object) -> int:
    try:
        return Path(str(file)).stat().st_mtime_ns
    except OSError:
        return 0  # a URL, or reading it will say what is wrong


@cache
def _load(source: str, _changed: tuple[int, ...]) -> Contract:
    found = reading.read(source)
    first = reading.split(source)[0]
    path = Path(first)
    return replace(
        _made(found.document, path, source=source, text=found.text),
        idle=found.idle,
        mended=found.mended,
    )


def from_document(document: Any, path: Path = Path("<memory>")) -> Contract:
    """Return the contract of an OpenAPI 3.1 document that is already in memory."""
    return _made(document, path, source=str(path), text="")


def _made(document: Any, path: Path, **known: Any) -> Contract:
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise SpecError(f"{path}: not an OpenAPI document: it has no `paths`")
    try:
        return _contract(document, path, **known)
    except SpecError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise SpecError(
            f"{path}: not a whole OpenAPI document ({type(error).__name__}: {error}); "
            "`memconform spec check` says where"
        ) from error


def _contract(document: dict[str, Any], path: Path, *, source: str, text: str) -> Contract:
    if "x-conformance" not in document:
        document = {**document, "x-conformance": bare.root(document, source)}
    stated = generators.applied(document["x-conformance"])
    root = _parse(RootBehaviour, stated, f"{path}: x-conformance")
    graph = Graph(document)
    operations: dict[str, Operation] = {}
    left_out = []
    for template, item in document["paths"].items():
        for verb, raw in _verbs(graph, item):
            try:
                operation = _operation(document, root, template, verb, raw, graph)
            except SpecError:
                raise
            except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
                line = reading.line_of(text, template, verb)
                withheld = isinstance(error, Withheld)
                left_out.append(LeftOut(verb.upper(), template, line, _reason(error), withheld))
                continue
            if operation.id in operations:
                operation = replace(operation, id=_derived_id(verb, template))
            operations[operation.id] = operation
    if not operations:
        told = "; ".join(map(str, left_out[:3])) or "its `paths` are empty"
        raise SpecError(f"{path}: no operation of it can be judged: {told}")
    info = document.get("info")
    info = info if isinstance(info, dict) else {}
    return Contract(
        title=str(info.get("title", root.api)),
        version=str(info.get("version", "")),
        root=root,
        operations=MappingProxyType(operations),
        document=document,
        path=path,
        source=source,
        left_out=tuple(left_out),
    )


def _verbs(graph: Graph, item: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each method of a path with its operation, the path's own parameters first in it."""
    if isinstance(item, dict) and isinstance(item.get("$ref"), str):
        with suppress(Dangling):
            item = graph.follow(item)
    if not isinstance(item, dict):
        return
    more = item.get("additionalOperations")  # OpenAPI 3.2
    more = more if isinstance(more, dict) else {}
    every = {**item, **more}
    for verb in (*METHODS, "query", *(m for m in more if m not in METHODS)):
        raw = every.get(verb)
        if isinstance(raw, dict):
            shared = item.get("parameters") or []
            yield verb, {**raw, "parameters": [*shared, *(raw.get("parameters") or [])]}


def _reason(error: Exception) -> str:
    if isinstance(error, Unjudgeable | Dangling):
        return str(error.args[0])
    if isinstance(error, jsonschema_rs.ValidationError):
        return f"a schema of it is none: {error.message}"
    return f"it is not as OpenAPI has it ({type(error).__name__}: {error})"


class Unjudgeable(ValueError):
    """Why one operation is left out."""


class Withheld(Unjudgeable):
    """Why one operation is not called."""


def _secured(document: dict[str, Any], raw: dict[str, Any]) -> bool:
    """Return True if an operation must be called with a key."""
    security = raw.get("security", document.get("security", []))
    return bool(security) and {} not in security


def _derived_id(verb: str, template: str) -> str:
    """Return a name for an operation that has none, or one that another has: `get_items_id`."""
    return "_".join(filter(None, (verb, *re.split(r"[^A-Za-z0-9]+", template))))


def _operation(
    document: dict[str, Any],
    root: RootBehaviour,
    template: str,
    verb: str,
    raw: dict[str, Any],
    graph: Graph,
) -> Operation:
    if verb not in METHODS:
        raise Unjudgeable(f"the method {verb.upper()} is not judged")
    raw = graph.follow(raw)
    id = str(raw.get("operationId") or _derived_id(verb, template))
    own = raw.get("x-conformance")
    name = bare.file_name(root.document)
    stated = {"basis": Basis.DOCUMENTED, "source": f"{name} § {id}", "wireBasis": "documented"}
    merged = _merge_shared(root, own if own is not None else stated)
    x = _parse(OperationBehaviour, merged, f"{verb.upper()} {template}: x-conformance")
    if own is None and bare.acts_on_everything(verb, template, id):
        raise Withheld(
            "not called: its name says that it may reach beyond what a run creates, and nobody "
            "says what it does; an `x-conformance` of its own has it judged"
        )
    auth = NO_PARAMETERS | {each.header.lower() for each in root.auth}
    return Operation(
        id=id,
        verb=verb.upper(),
        path=template,
        summary=str(raw.get("summary") or ""),
        authenticated=_secured(document, raw) or _asks_for_key(raw, auth),
        parameters=tuple(p for p in _parameters(raw, template) if not _carries_key(p, auth)),
        body=_body(raw.get("requestBody")),
        responses=MappingProxyType(_responses(raw)),
        basis=x.basis,
        source=x.source,
        wire_basis=x.wire_basis or max(x.basis, Basis.OBSERVED, key=list(Basis).index),
        wire_source=x.wire_source or x.source,
        sdk_only=root.client is not None,
        method=x.method,
        retries=x.retries or None,
        errors=x.errors,
        rate_limit=x.rate_limit or None,
        usage=x.usage or None,
        pagination=x.pagination,
        idempotency=x.idempotency,
        effect=x.effect,
        roles=x.roles,
        skip=x.skip,
        refuses=x.refuses,
        relations=x.relations,
        tallies=x.tallies,
        stream=x.stream,
        conditional=x.conditional,
        deprecation=x.deprecation,
        returns=x.returns,
        load=x.load,
        links=_links(raw),
        accepts_basis=Basis.ASSUMED if own is None else x.accepts_basis,
        fixed=root.fixed,
        bare=own is None,
    )


def _links(raw: dict[str, Any]) -> Mapping[str, Any]:
    """Return the links of all answers that are whole; what else stands there is passed over."""
    answers = [r.get("links") for r in raw["responses"].values() if isinstance(r, dict)]
    every = [pair for links in answers if isinstance(links, dict) for pair in links.items()]
    return MappingProxyType({
        k: v for k, v in every
        if isinstance(v, dict) and isinstance(v.get("parameters", {}), dict)
    })  # fmt: skip


def _responses(raw: dict[str, Any]) -> dict[str, Response]:
    found = {
        str(status): _response(str(status), response)
        for status, response in (raw.get("responses") or {}).items()
        if not str(status).startswith("x-")
    }
    if not any(map(succeeds, found)) and "default" not in found:
        raise Unjudgeable("it declares no 2xx answer")
    return found


def _merge_shared(root: RootBehaviour, own: dict[str, Any]) -> dict[str, Any]:
    """Merge the root's blocks under the operation's, field by field; `false` switches one off."""
    merged = dict(own)
    for name in ("retries", "errors", "rateLimit", "usage"):
        default = root.model_dump(by_alias=True, exclude_unset=True).get(name)
        if default is None or own.get(name) is False:
            continue
        merged[name] = {**default, **(own.get(name) or {})}
    return merged


NO_PARAMETERS = frozenset({"accept", "content-type", "authorization"})
"""Headers that are no parameters, whatever a file says (OpenAPI 3.1, section 4.8.12.2)."""


def _carries_key(parameter: Parameter, auth: frozenset[str]) -> bool:
    """Return True for a header that is the credential: the caller's key goes there, no argument."""
    return parameter.location == "header" and parameter.name.lower() in auth


def _asks_for_key(raw: dict[str, Any], auth: frozenset[str]) -> bool:
    """Return True if an operation lists the key's header among its required parameters."""
    return any(
        p.get("in") == "header" and p.get("required") and str(p.get("name")).lower() in auth
        for p in raw.get("parameters") or []
    )


def _parameters(raw: dict[str, Any], template: str) -> tuple[Parameter, ...]:
    found = {}
    for p in raw.get("parameters") or []:
        schema = p.get("schema")
        if schema is None:  # a parameter may say its media type instead
            schema = next((c.get("schema") for c in (p.get("content") or {}).values()), None)
        found[p["name"], p["in"]] = Parameter(
            p["name"],
            p["in"],
            bool(p.get("required", False)) or p["in"] == "path",
            _with_examples(_object(schema), p),
            p.get("explode", p["in"] in ("query", "cookie")),
        )
    for name in re.findall(r"\{([^}]+)\}", template):
        if (name, "path") not in found:  # many files forget to declare them
            found[name, "path"] = Parameter(name, "path", True, {"type": "string"}, False)
    return tuple(found.values())


def _object(schema: Any) -> dict[str, Any]:
    """Return a schema as an object: the boolean ones say `anything` or `nothing`."""
    if isinstance(schema, dict):
        return schema
    return {"not": {}} if schema is False else {}


def _with_examples(schema: dict[str, Any], holder: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with the examples that stand beside it, where they are valid, before its own.

    OpenAPI lets a parameter and a media type carry `example` or named `examples`.
    """
    named = holder.get("examples")
    given = [holder["example"]] if "example" in holder else []
    for each in named.values() if isinstance(named, dict) else ():
        if isinstance(each, dict) and "value" in each:
            given.append(each["value"])
    check = validator(schema) if given else None
    right = [each for each in given if check is not None and check.is_valid(each)]
    return {**schema, "examples": [*right, *schema.get("examples", ())]} if right else schema


def _body(raw: Any) -> Body | None:
    """Return the body that is sent: JSON where it may be, else the first that is declared."""
    content = raw.get("content") if isinstance(raw, dict) else None
    if not content:
        return None
    json = next((m for m in content if m.split(";")[0].strip().endswith("json")), None)
    media_type = json or next(iter(content))
    declared = content[media_type] or {}
    return Body(media_type, bool(raw.get("required", False)), _object(declared.get("schema")))


def _response(status: str, raw: dict[str, Any]) -> Response:
    headers = raw.get("headers") or {}
    return Response(
        status=status,
        description=str(raw.get("description") or ""),
        headers=MappingProxyType({n.lower(): _object(h.get("schema")) for n, h in headers.items()}),
        required_headers=tuple(n.lower() for n, h in headers.items() if h.get("required")),
        content=MappingProxyType(
            {m: _object((c or {}).get("schema")) for m, c in (raw.get("content") or {}).items()}
        ),
        basis=Basis(raw["x-basis"]) if "x-basis" in raw else None,
    )


def pointer(value: Any, path: str) -> Any:
    """Return what a JSON Pointer (RFC 6901) points to. Raises LookupError where nothing is."""
    for token in path.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value[token]
        elif isinstance(value, list) and token.isdigit():
            value = value[int(token)]
        else:
            raise LookupError(f"{path!r} points into a {type(value).__name__}")
    return value


def _parse(model: type[Any], raw: Any, where: str) -> Any:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e.get('input')!r:.80})"
            for e in error.errors()
        )
        raise SpecError(f"{where}: {problems}") from error


def _is_spec(path: Path) -> bool:
    return "\nx-conformance:" in path.read_text(encoding="utf-8")
