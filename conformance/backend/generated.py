"""Requests from Schemathesis: its coverage phase, and its fuzzing where a run is deep.

Schemathesis only generates. What it makes is brought home here: names and ids that belong to
somebody are replaced by this run's own, the contract's own validators say whether a request is
valid (a generator's word is not enough to blame a server), and the request goes out through the
subject like any other. Same seed, same requests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

from conformance.backend.requests import UNSET
from conformance.backend.world import is_free_text, properties, required
from conformance.oracles.contract import shape
from conformance.verdict import Inconclusive
from specs import Basis, Contract, Operation
from specs.constraints import Kind, broken, kind_of, of_body, resting, stated
from specs.contract import Parameter

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

FAST_MAX = 40
"""Requests taken of one operation and mode in a fast run; evenly spread over what there is."""
DEEP_EXAMPLES = 60
"""Fuzzed requests of one operation and mode in a deep run, beside the whole coverage phase."""


@dataclass(frozen=True)
class Generated:
    """One request: flat path and query arguments, and the body as a value."""

    arguments: Mapping[str, Any]
    body: Any
    valid: bool
    """As the contract's own schemas say."""
    about: str
    """What Schemathesis calls it, `Minimum value`."""


_SCHEMAS: dict[int, Any] = {}
_LOADED: dict[int, Mapping[tuple[str, str], Any]] = {}


def schema_of(contract: Contract) -> Any:
    """Return Schemathesis' view of a contract, made once."""
    known = id(contract.document)
    if known not in _SCHEMAS:
        import schemathesis

        _SCHEMAS[known] = schemathesis.openapi.from_dict(_plain(contract.document))
    return _SCHEMAS[known]


def _operations(contract: Contract) -> Mapping[tuple[str, str], Any]:
    """Return Schemathesis' operations by verb and path, made once for each contract."""
    known = id(contract.document)
    if known not in _LOADED:
        every = schema_of(contract).get_all_operations()
        made: list[Any] = [r.ok() for r in every if type(r).__name__ == "Ok"]
        _LOADED[known] = {(each.method.upper(), each.path): each for each in made}
    return _LOADED[known]


def from_case(operation: Operation, case: Any) -> Generated | None:
    """Return a case of Schemathesis' as a request; None where its body is no value but bytes."""
    arguments = {**_mapping(case.path_parameters), **_mapping(case.query)}
    body = UNSET if type(case.body).__name__ == "NotSet" else _read(case.body)
    if isinstance(body, bytes):
        return None
    valid = conforms(operation, arguments, body)
    return Generated(arguments, _whole(body) if valid else body, valid, _about(case))


def _read(value: Any) -> Any:
    """Return a body as plain values: files, which Schemathesis wraps, as text of their bytes."""
    if type(value).__name__ == "Binary":
        return bytes(value.data).decode("latin-1")
    if isinstance(value, dict):
        return {name: _read(each) for name, each in value.items()}
    return [_read(each) for each in value] if isinstance(value, list) else value


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn what Schemathesis cannot make of somebody's description into Inconclusive."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("schemathesis", "jsonschema", "hypothesis")):
            raise
        said = str(error).splitlines()
        raise Inconclusive(
            f"Schemathesis cannot read {what} ({type(error).__name__}: {said[0] if said else ''})"
        ) from error


def generate(subject: BackendSubject, operation: Operation, positive: bool) -> Iterator[Generated]:
    """Yield requests of one operation that Schemathesis calls valid (or invalid).

    Raises Inconclusive if it cannot read the operation.
    """
    with readable(operation.id), _without_local_constants():
        made = _operations(subject.contract).get((operation.verb, operation.path))
        if made is None:
            raise Inconclusive(f"Schemathesis cannot read {operation.id}")
        # the coverage phase tries other methods once a schema: what is left must not depend on it
        cases = [c for c in _coverage(made, positive) if c.method.upper() == operation.verb]
        if subject.deep:
            cases += _fuzzed(made, positive, subject.seed)
    if not subject.deep:
        step = max(1, -(-len(cases) // FAST_MAX))
        cases = cases[subject.seed % step :: step]
    if positive:
        yield from _texts(subject, operation)
    yield from filter(None, (from_case(operation, case) for case in cases))


UNICODE = "naïve café — Ελλάδα, Москва, 東京, שלום, 🧠🏽‍♀️ e\u0301"


def _texts(subject: BackendSubject, operation: Operation) -> Iterator[Generated]:
    """Yield calls whose free text is of many scripts, or long: Schemathesis' is plain, short."""
    fields = properties(operation)
    places = {p.name for p in operation.parameters}
    valid = subject.world.arguments(operation, optional=True)
    outer = {n: v for n, v in valid.items() if n in places}
    inner = {n: v for n, v in valid.items() if n not in places}
    for name, schema in fields.items():
        if name not in valid or not is_free_text(schema) or "format" in schema:
            continue
        for text, about in ((UNICODE, "Text of many scripts"), ("word " * 400, "Long text")):
            if not shape(schema).valid(text):
                continue
            home = outer if name in places else inner
            changed = {**home, name: text}
            arguments = changed if name in places else outer
            body = (changed if name not in places else inner) if operation.body else UNSET
            yield Generated(arguments, body, conforms(operation, arguments, body), about)


def body_of(operation: Operation, body: Any) -> dict[str, Any]:
    """Return how a generated body is sent: as JSON, or really none where it was left out."""
    if body is UNSET and operation.body is not None:
        return {"body": b""}
    return {"json_body": body}


KEPT_KINDS = ("create", "read", "update", "replace", "list", "search")
"""Effects that leave what they are asked about where it is."""


class Homes:
    """What belongs to this run, for the generated requests of one case.

    What a request refers to (a parent, a target) is made once for each operation and tenant where
    the operation takes nothing away; names of new records are fresh for every request.
    """

    def __init__(self, subject: BackendSubject) -> None:
        self._subject = subject
        self._known: dict[tuple[str, str], Mapping[str, Any]] = {}

    def own(self, operation: Operation, key: str) -> Mapping[str, Any]:
        """Return valid arguments of an operation. Raises Inconclusive where none can be made."""
        place = (operation.id, key)
        own = self._subject.world.arguments(operation, key, self._known.get(place))
        effect = operation.effect
        if effect is not None and effect.kind in KEPT_KINDS:
            known = {n for n, kind in effect.scope.items() if kind != "free"}
            if effect.kind != "create":
                known |= {*effect.scope, effect.target or ""}
            self._known[place] = {n: v for n, v in own.items() if n in known}
        return own


def at_home(
    subject: BackendSubject, operation: Operation, made: Generated, own: Mapping[str, Any]
) -> tuple[dict[str, Any], Any]:
    """Return (arguments, body) with `own` names and ids of this run in place of made-up ones.

    What is wrong on purpose stays: only values that are valid where they stand are replaced.
    """
    effect = operation.effect
    mine = set(effect.scope) if effect else set()
    if effect and effect.target:
        mine.add(effect.target)
    mine |= {p.name for p in operation.parameters_in("path")} | set(operation.fixed)
    arguments = {n: _replaced(operation, n, v, mine, own) for n, v in made.arguments.items()}
    if operation.pagination and operation.pagination.cursor and made.valid:
        arguments.pop(operation.pagination.cursor, None)  # no schema can tell a true one
    for name in _path_names(operation):
        schema = properties(operation)[name]
        if name in own and _text_valid(schema, made.arguments.get(name, "")):
            arguments[name] = own[name]
    body = made.body
    if isinstance(body, dict):
        body = {n: _replaced(operation, n, v, mine, own) for n, v in body.items()}
        if operation.idempotency and operation.idempotency.name in body:
            name = operation.idempotency.name
            body[name] = _fresh_key(subject, operation, name, body[name])
        if effect and effect.each and isinstance(body.get(effect.each[1:]), list):
            body[effect.each[1:]] = [
                _entry(subject, operation, entry, mine) for entry in body[effect.each[1:]]
            ]
    return arguments, body


def conforms(operation: Operation, arguments: Mapping[str, Any], body: Any) -> bool:
    """Return True where a request is valid by the contract: each parameter, the body, no gap.

    A query name that nobody declared makes nothing invalid: servers ignore what they do not know.
    """
    for parameter in operation.parameters:
        if parameter.name not in arguments:
            if parameter.required and parameter.location in ("path", "query"):
                return False
            continue
        if not _text_valid(parameter.schema, arguments[parameter.name]):
            return False
    if operation.body is None:
        return body is UNSET
    if body is UNSET:
        return not operation.body.required
    return shape(operation.body.schema).valid(body)


def broken_basis(operation: Operation, arguments: Mapping[str, Any], body: Any) -> Basis:
    """Return what the surest rule rests on that an invalid request breaks."""
    found: list[Basis] = []
    for parameter in operation.parameters:
        if parameter.name not in arguments:
            found += [_required(operation, parameter)] if parameter.required else []
        elif not _text_valid(parameter.schema, arguments[parameter.name]):
            kinds = parameter.schema.get("type", "string")
            read = next(_readings(str(kinds), arguments[parameter.name]), None)
            found += _broken(operation, parameter.schema, read)
    if operation.body is not None:
        absent = body is UNSET
        found += [of_body(operation)] if absent else _broken(operation, operation.body.schema, body)
    order = list(Basis)
    return min(found, key=order.index, default=operation.basis)


def broken_rules(
    operation: Operation, arguments: Mapping[str, Any], body: Any
) -> list[tuple[Kind, str]]:
    """Return (kind, place) of each rule that an invalid request breaks."""
    found: list[tuple[Kind, str]] = []
    for parameter in operation.parameters:
        place = f"{parameter.location}.{parameter.name}"
        if parameter.name not in arguments:
            found += [(Kind.REQUIRED, place)] if parameter.required else []
        elif not _text_valid(parameter.schema, arguments[parameter.name]):
            kinds = str(parameter.schema.get("type", "string"))
            read = next(_readings(kinds, arguments[parameter.name]), None)
            broken = list(shape(parameter.schema).violations(read))
            found += [(kind_of(each.steps[-1]), place) for each in broken if each.steps]
    if operation.body is not None:
        for each in () if body is UNSET else shape(operation.body.schema).violations(body):
            kind = kind_of(each.steps[-1]) if each.steps else Kind.TYPE
            inside = each.place.replace("the whole body", "").replace("/", ".").replace(" ", "_")
            found.append((Kind.NULL if each.null and kind is Kind.TYPE else kind, f"body{inside}"))
        found += [(Kind.BODY, "body")] if body is UNSET else []
    return found


def _required(operation: Operation, parameter: Parameter) -> Basis:
    kind = Kind.REQUIRED
    return resting(operation, kind, operation.basis, stated(parameter.schema, kind))


def _broken(operation: Operation, schema: Mapping[str, Any], value: Any) -> list[Basis]:
    return [
        broken(operation, schema, each.steps, operation.basis, each.null)
        for each in shape(schema).violations(value)
    ]


def _text_valid(schema: Mapping[str, Any], value: Any) -> bool:
    """Return True where a value, once written as text, can be read as its schema wants."""
    kinds = schema.get("type", "string")
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        for read in _readings(kind, value):
            if shape(schema).valid(read):
                return True
    return False


def _readings(kind: str, value: Any) -> Iterator[Any]:
    if kind == "array":
        yield value if isinstance(value, list) else [value]
        if isinstance(value, str):
            yield value.split(",")
        return
    if isinstance(value, list):
        if len(value) != 1:
            return
        value = value[0]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "string":
        yield text
    if kind == "boolean" and text in ("true", "false"):
        yield text == "true"
    if kind in ("integer", "number"):
        try:
            yield int(text) if kind == "integer" else float(text)
        except ValueError:
            return


def _replaced(
    operation: Operation, name: str, value: Any, mine: set[str], own: Mapping[str, Any]
) -> Any:
    schema = properties(operation).get(name, {})
    if name not in mine or not isinstance(value, (str, list)):
        return value
    if not shape(schema).valid(value):
        return value
    if name in own:
        return own[name]
    optional = name not in required(operation)
    if isinstance(value, str) and schema.get("type") == "string" and optional:
        return next((v for v in own.values() if isinstance(v, str)), value)
    return value


def _entry(subject: BackendSubject, operation: Operation, entry: Any, mine: set[str]) -> Any:
    if not isinstance(entry, dict):
        return entry
    scope = operation.effect.scope if operation.effect else {}
    return {
        n: subject.name(n) if scope.get(n) == "free" and isinstance(v, str) and v else v
        for n, v in entry.items()
    }


def _fresh_key(subject: BackendSubject, operation: Operation, name: str, value: Any) -> Any:
    schema = properties(operation).get(name, {})
    fresh = subject.name("idem")
    right = isinstance(value, str) and shape(schema).valid(value) and shape(schema).valid(fresh)
    return fresh if right else value


def _path_names(operation: Operation) -> set[str]:
    return {p.name for p in operation.parameters_in("path")}


@contextlib.contextmanager
def _without_local_constants() -> Iterator[None]:
    """Keep Hypothesis from reading constants out of the source of whatever happens to be imported.

    They would make requests depend on that, and reading them takes longer than generating.
    """
    from hypothesis.internal.conjecture import providers
    from hypothesis.internal.constants_ast import Constants

    with mock.patch.object(providers, "_get_local_constants", Constants):
        yield


def _coverage(made: Any, positive: bool) -> Iterator[Any]:
    from schemathesis.generation import GenerationMode

    mode = GenerationMode.POSITIVE if positive else GenerationMode.NEGATIVE
    config = made.schema.config.generation_for(operation=made, phase="coverage")
    yield from made.schema.iter_coverage_cases(
        made, generation_modes=[mode], generation_config=config
    )


def _fuzzed(made: Any, positive: bool, seed: int) -> list[Any]:
    """Draw examples from the operation's strategy; few and repeatable."""
    import hypothesis
    from schemathesis.generation import GenerationMode

    cases: list[Any] = []
    mode = GenerationMode.POSITIVE if positive else GenerationMode.NEGATIVE

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=DEEP_EXAMPLES,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=made.as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        cases.append(case)

    with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing to get wrong
        collect()
    return cases


def _whole(value: Any) -> Any:
    """Return a value with whole numbers written as such.

    40.0 is an integer to JSON Schema and none to most typed parsers; no client sends it.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value


def _about(case: Any) -> str:
    meta = getattr(case, "meta", None)
    data = getattr(getattr(meta, "phase", None), "data", None)
    return str(getattr(data, "description", None) or "generated")


def _mapping(value: Any) -> dict[str, Any]:
    """Return a mapping whose texts are plain `str`; Schemathesis subclasses it for some."""
    if not isinstance(value, Mapping):
        return {}
    return {n: str(v) if isinstance(v, str) else v for n, v in value.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
