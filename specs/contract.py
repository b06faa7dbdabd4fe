"""A spec, read and frozen: what one API promises, operation by operation.

`load()` is the only way in. It reads OpenAPI 3.1, resolves local references, merges the root's
`x-conformance` under each operation's, and returns a `Contract`. Nothing here judges, sends or
generates; a contract is a value that the rest of the project reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import yaml
from pydantic import ValidationError

from specs.vocabulary import (
    AuthHeader,
    Basis,
    Client,
    Effect,
    ErrorRule,
    Errors,
    Idempotency,
    Load,
    OperationBehaviour,
    Pagination,
    RateLimit,
    Refusal,
    Relation,
    Retries,
    Returns,
    Roles,
    RootBehaviour,
    Stream,
    Tally,
    Usage,
)

Schema = Mapping[str, Any]
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
HERE = Path(__file__).parent


class Loader(yaml.CSafeLoader):
    """YAML 1.2's core schema, as OpenAPI wants: `on` is a word, and a date is a string."""


Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp"
        and (tag != "tag:yaml.org,2002:bool" or first in "tTfF")
    ]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class SpecError(ValueError):
    """A spec cannot be used. The message says where, what, why, and what to do."""


@dataclass(frozen=True)
class Parameter:
    """One path, query, header or cookie parameter, its schema with references resolved."""

    name: str
    location: Literal["path", "query", "header", "cookie"]
    required: bool
    schema: Schema
    explode: bool = True
    """How a query carries an array: `a=1&a=2` where true, `a=1,2` where false."""


@dataclass(frozen=True)
class Body:
    """A request body: media type and schema."""

    media_type: str
    required: bool
    schema: Schema


@dataclass(frozen=True)
class Response:
    """A declared answer. `status` is `200`, `4XX` or `default`; `content` maps media types."""

    status: str
    description: str
    headers: Mapping[str, Schema]
    """Every declared header, by lower-case name."""
    required_headers: tuple[str, ...]
    """Those that no such answer may lack, lower case."""
    content: Mapping[str, Schema]
    basis: Basis | None = None
    """Where the status itself rests on less than its operation (`x-basis`)."""

    @property
    def schema(self) -> Schema | None:
        """Schema of the JSON answer, or None where there is none."""
        return next((s for m, s in self.content.items() if m.split(";")[0].endswith("json")), None)


@dataclass(frozen=True)
class Operation:
    """One operation with everything promised of it, root defaults merged in."""

    id: str
    verb: str
    """HTTP method, upper case."""
    path: str
    """Path template below the base URL, `/memories/{id}`."""
    summary: str
    authenticated: bool
    parameters: tuple[Parameter, ...]
    body: Body | None
    responses: Mapping[str, Response]
    basis: Basis
    source: str
    wire_basis: Basis
    """Of HTTP method, path and where arguments go; observed at best where nothing is stated."""
    wire_source: str
    sdk_only: bool
    """True where the document describes an SDK, so the wire is shown by that SDK alone."""
    method: str | None
    retries: Retries | None
    errors: Errors | None
    rate_limit: RateLimit | None
    usage: Usage | None
    pagination: Pagination | None
    idempotency: Idempotency | None
    effect: Effect | None
    roles: Roles | None
    refuses: tuple[Refusal, ...]
    relations: tuple[Relation, ...]
    tallies: tuple[Tally, ...]
    stream: Stream | None
    returns: Returns | None
    load: Load
    links: Mapping[str, Any] = field(default_factory=dict)

    @property
    def safe(self) -> bool:
        """True where the operation promises to change nothing (RFC 9110 §9.2.1, or its effect).

        A list that is asked for page by page is read, by whatever method.
        """
        if self.effect is not None:
            return self.effect.kind in ("read", "list", "search", "none")
        return self.verb in ("GET", "HEAD", "OPTIONS") or self.pagination is not None

    @property
    def idempotent_method(self) -> bool:
        """True where HTTP itself calls the method idempotent (RFC 9110 §9.2.2)."""
        return self.verb in ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")

    @property
    def success(self) -> Response:
        """The declared 2xx answer; the lowest where there are several."""
        return self.responses[min(s for s in self.responses if s.startswith("2"))]

    def response(self, status: int) -> Response | None:
        """Return the declaration that covers `status`: exact, then range, then default."""
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in self.responses:
                return self.responses[key]
        return None

    def parameters_in(self, location: str) -> tuple[Parameter, ...]:
        """Return the parameters of one location, in declared order."""
        return tuple(p for p in self.parameters if p.location == location)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = re.split(r"(\{[^}]+\})", self.path)
        return re.compile(
            "^"
            + "".join(
                f"(?P<p{i}>[^/]+)" if part.startswith("{") else re.escape(part)
                for i, part in enumerate(parts)
            )
            + "$"
        )

    def matches(self, verb: str, path: str) -> bool:
        """True where `verb` and a concrete `path` (no query, base path cut off) mean this one."""
        return verb.upper() == self.verb and self._pattern.match(path) is not None

    def path_arguments(self, path: str) -> dict[str, str]:
        """Return the raw (still percent-encoded) path arguments of a concrete path."""
        match = self._pattern.match(path)
        names = re.findall(r"\{([^}]+)\}", self.path)
        return dict(zip(names, match.groups(), strict=True)) if match else {}


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
    """Return the contract of a shipped spec (by id) or of a file (by path).

    Raises SpecError where there is no such spec or it cannot be used.
    """
    path = Path(source)
    if path.suffix not in (".yaml", ".yml", ".json"):
        path = HERE / f"{source}.yaml"
        if not path.exists():
            raise SpecError(
                f"unknown API {str(source)!r}: it is neither one of {', '.join(names())} "
                "nor a path ending in .yaml, .yml or .json"
            )
    if not path.exists():
        raise SpecError(f"no such spec: {path}")
    return _load(path.resolve(), path.stat().st_mtime_ns)


@cache
def _load(path: Path, _changed: int) -> Contract:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not readable as YAML or JSON: {error}") from error
    return from_document(document, path)


def from_document(document: Any, path: Path = Path("<memory>")) -> Contract:
    """Return the contract of an OpenAPI document that is already in memory."""
    if not isinstance(document, dict) or "paths" not in document:
        raise SpecError(f"{path}: not an OpenAPI document: it has no `paths`")
    if "x-conformance" not in document:
        raise SpecError(
            f"{path}: no `x-conformance` at the root, so nothing but shapes could be judged; "
            "add one (see specs/x-conformance.schema.json)"
        )
    try:
        return _contract(document, path)
    except SpecError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise SpecError(
            f"{path}: not a whole OpenAPI document ({type(error).__name__}: {error}); "
            "`memconform spec check` says where"
        ) from error


def _contract(document: dict[str, Any], path: Path) -> Contract:
    root = _parse(RootBehaviour, document["x-conformance"], f"{path}: x-conformance")
    operations = {}
    for template, item in document["paths"].items():
        item = _resolve(document, item)
        for verb in METHODS:
            if verb in item:
                operation = _operation(document, root, template, verb, item, path)
                if operation.id in operations:
                    raise SpecError(f"{path}: operationId {operation.id!r} is used twice")
                operations[operation.id] = operation
    info = document.get("info", {})
    return Contract(
        title=info.get("title", root.api),
        version=str(info.get("version", "")),
        root=root,
        operations=MappingProxyType(operations),
        document=document,
        path=path,
    )


def _operation(
    document: dict[str, Any],
    root: RootBehaviour,
    template: str,
    verb: str,
    item: dict[str, Any],
    path: Path,
) -> Operation:
    raw = _resolve(document, item[verb])
    where = f"{path}: {verb.upper()} {template}"
    if "operationId" not in raw:
        raise SpecError(f"{where}: no operationId; cases and drivers name operations by it")
    own = raw.get("x-conformance")
    if own is None:
        raise SpecError(f"{where}: no x-conformance; give at least `basis` and `source`")
    merged = _merge_shared(root, own)
    x = _parse(OperationBehaviour, merged, f"{where}: x-conformance")
    responses = {
        str(status): _response(str(status), _resolve(document, response))
        for status, response in raw.get("responses", {}).items()
    }
    if not any(s.startswith("2") for s in responses):
        raise SpecError(f"{where}: declares no 2xx answer")
    security = raw.get("security", document.get("security", []))
    return Operation(
        id=raw["operationId"],
        verb=verb.upper(),
        path=template,
        summary=raw.get("summary", ""),
        authenticated=bool(security) and {} not in security,
        parameters=_parameters(document, item, raw),
        body=_body(raw.get("requestBody")),
        responses=MappingProxyType(responses),
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
        refuses=x.refuses,
        relations=x.relations,
        tallies=x.tallies,
        stream=x.stream,
        returns=x.returns,
        load=x.load,
        links=MappingProxyType(
            {k: v for r in raw.get("responses", {}).values() for k, v in r.get("links", {}).items()}
        ),
    )


def _merge_shared(root: RootBehaviour, own: dict[str, Any]) -> dict[str, Any]:
    """Merge the root's blocks under the operation's, field by field; `false` switches one off."""
    merged = dict(own)
    for name in ("retries", "errors", "rateLimit", "usage"):
        default = root.model_dump(by_alias=True, exclude_unset=True).get(name)
        if default is None or own.get(name) is False:
            continue
        merged[name] = {**default, **(own.get(name) or {})}
    return merged


def _parameters(
    document: dict[str, Any], item: dict[str, Any], raw: dict[str, Any]
) -> tuple[Parameter, ...]:
    found = {}
    for entry in [*item.get("parameters", []), *raw.get("parameters", [])]:
        p = _resolve(document, entry)
        found[p["name"], p["in"]] = Parameter(
            p["name"],
            p["in"],
            p.get("required", False),
            p.get("schema", {}),
            p.get("explode", p["in"] in ("query", "cookie")),
        )
    return tuple(found.values())


def _body(raw: dict[str, Any] | None) -> Body | None:
    if not raw or not raw.get("content"):
        return None
    media_type, content = next(iter(raw["content"].items()))
    return Body(media_type, raw.get("required", False), content.get("schema", {}))


def _response(status: str, raw: dict[str, Any]) -> Response:
    return Response(
        status=status,
        description=raw.get("description", ""),
        headers=MappingProxyType(
            {name.lower(): h.get("schema", {}) for name, h in raw.get("headers", {}).items()}
        ),
        required_headers=tuple(
            name.lower() for name, h in raw.get("headers", {}).items() if h.get("required")
        ),
        content=MappingProxyType(
            {media: c.get("schema", {}) for media, c in raw.get("content", {}).items()}
        ),
        basis=Basis(raw["x-basis"]) if "x-basis" in raw else None,
    )


def _resolve(document: dict[str, Any], node: Any, depth: int = 0) -> Any:
    """Return `node` with every local reference replaced by what it points to."""
    if depth > 60:
        raise SpecError("references nest deeper than 60: is one of them recursive?")
    if isinstance(node, list):
        return [_resolve(document, entry, depth + 1) for entry in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        target = pointer(document, node["$ref"].removeprefix("#"))
        rest = {k: v for k, v in node.items() if k != "$ref"}
        return _resolve(document, {**target, **rest}, depth + 1)
    return {key: _resolve(document, value, depth + 1) for key, value in node.items()}


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
