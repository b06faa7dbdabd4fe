"""The documented exception classes, made from a contract, and the exception for an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from types import ModuleType
from typing import Any

from conformance.oracles.answers import Answer, envelope_value, error_code
from conformance.reference.defects import Defects
from specs import Operation, error_rule
from specs.vocabulary import ErrorRule, Errors


class Described(Exception):
    """An exception with attributes given by name; survives pickle and copy."""

    names: tuple[str, ...] = ()

    def __init__(self, message: str, /, **attributes: Any) -> None:
        super().__init__(message)
        for name in self.names:
            setattr(self, name, attributes.get(name))
        for name, value in attributes.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), str(self.args[0]), dict(vars(self)))


def _again(kind: type[Described], message: str, attributes: Mapping[str, Any]) -> Described:
    return kind(message, **attributes)


class Fragile(Described):
    """One that pickle cannot make again: its arguments are not what it was made from."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], 1, 2, 3)


@dataclass
class Problem:
    """A problem document with no member but those of RFC 9457; for a defect only."""

    type: Any = None
    status: Any = None
    title: Any = None
    detail: Any = None
    instance: Any = None
    request_id: Any = None
    retry_in: Any = None
    balance: Any = None


def classes(tables: list[Errors], module: ModuleType, defects: Defects) -> dict[str, type]:
    """Make the exception classes of all error tables, and put them into `module`."""
    made: dict[str, type] = {}
    root: type = Fragile if "error.not-picklable" in defects else Described
    for errors in tables:
        _make(made, errors.base, (), root, module)
        for rule in errors.map:
            bases = rule.bases or ((errors.base,) if rule.exception != errors.base else ())
            if "error.bases" in defects and bases:
                bases = (errors.base,)
            _make(made, rule.exception, bases, root, module)
    for errors in tables:
        for rule in errors.map:
            kind = made[rule.exception]
            own = (name.split(".")[0] for name in rule.attributes)
            known = tuple(dict.fromkeys((*getattr(kind, "names", ()), *own)))
            if "error.attribute-missing" in defects:
                known = ()
            kind.names = known  # type: ignore[attr-defined]
    if "error.class-missing" in defects:
        last = next(r.exception for e in tables for r in reversed(e.map) if r.exception != e.base)
        delattr(module, last)
    return made


def _make(
    made: dict[str, type], name: str, bases: tuple[str, ...], root: type, module: ModuleType
) -> None:
    if name in made:
        return
    for index in range(len(bases) - 1, -1, -1):
        _make(made, bases[index], bases[index + 1 :], root, module)
    parent = made[bases[0]] if bases else root
    made[name] = type(name, (parent,), {"__module__": module.__name__, "names": ()})
    setattr(module, name, made[name])


def rule_for(errors: Errors, answer: Answer, defects: Defects) -> ErrorRule | None:
    """Return the row of the error table that an answer falls under."""
    if answer.network == "timeout" and "error.timeout-as-network" in defects:
        return error_rule(errors, network="reset")
    code = error_code(errors, answer)
    if "error.code-ignored" in defects:
        code = None
    if "problem.detail-decides" in defects and "rate limit" in answer.body.decode(
        "utf-8", "replace"
    ):
        return error_rule(errors, status=429)
    if "error.words-decide" in defects and answer.status == 429 and b"quota" in answer.body:
        code = errors.answers["quota"].code
    return error_rule(
        errors, status=None if answer.network else answer.status, code=code,
        network=answer.network,
    )  # fmt: skip


def exception_for(
    operation: Operation, answer: Answer, made: Mapping[str, type], key: str | None,
    defects: Defects,
) -> Exception:  # fmt: skip
    """Return the exception that an answer becomes."""
    errors = operation.errors
    if errors is None:
        return RuntimeError(f"{operation.id} failed with {answer.name}")
    body = answer.json()
    if isinstance(body, dict) and "problem.wrong-type-crash" in defects:
        answer = replace(answer, status=int(body.get("status", 500)))
    if isinstance(body, dict) and "problem.extension-crash" in defects:
        Problem(**body)
    rule = rule_for(errors, answer, defects)
    name = rule.exception if rule else errors.base
    if "error.base-only" in defects:
        name = errors.base
    if answer.status == 404 and "error.not-found-as-other" in defects:
        name = errors.base
    attributes = _attributes(errors, rule, answer, defects)
    if answer.network is None and not answer.body and "error.body-hides-status" in defects:
        name = errors.base
    if _unreadable(operation, answer, body, defects):
        name = errors.base
    text = _message(errors, answer, key, defects)
    return made[name](text, **attributes)  # type: ignore[no-any-return]


def _unreadable(operation: Operation, answer: Answer, body: Any, defects: Defects) -> bool:
    """True where a defect gives up on an answer that holds something odd."""
    if answer.network is not None:
        return False
    if answer.status not in (400, 500) and not isinstance(body, dict):
        return "error.bare-status" in defects
    limit = operation.rate_limit
    told = answer.header(limit.remaining) if limit and limit.remaining else None
    odd = answer.status == 429 and told is not None and not told.isdecimal()
    return odd and "error.figures-hide-limit" in defects


_LOST = {"body": "error.body-lost", "any": "error.any-lost", "value:": "error.constant-lost"}
"""Where an attribute's value comes from -> the defect that loses it."""


def _attributes(
    errors: Errors, rule: ErrorRule | None, answer: Answer, defects: Defects
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, source in (rule.attributes if rule else {}).items():
        value = envelope_value(errors, source, answer)
        if source.startswith("header:"):
            value = _figure(value)
        if source == "/type" and "problem.type-left-empty" not in defects:
            value = value if isinstance(value, str) else "about:blank"
        if source == "any":
            value = answer.status or answer.network
        if any(d in defects and source.startswith(which) for which, d in _LOST.items()):
            value = None
        found[name] = value
    found = _nested(found, defects)
    if found and "error.attribute-missing" in defects:
        found.pop(next(iter(found)))
        return found
    for name, source in (rule.attributes if rule else {}).items():
        if source == "status" and "error.status-wrong" in defects:
            found[name] = 0
        if source == "requestId" and "error.request-id-lost" in defects:
            found[name] = ""
        if source == "requestId" and not found[name] and "error.request-id-invented" in defects:
            found[name] = "00000000-0000-0000-0000-000000000000"
        if source.startswith("header:") and "error.retry-after-lost" in defects:
            found[name] = 60.0
    return found


def _nested(found: Mapping[str, Any], defects: Defects) -> dict[str, Any]:
    """Return attributes with those that are paths inside one another: `debug.type`."""
    made: dict[str, Any] = {}
    for name, value in found.items():
        first, dot, rest = name.partition(".")
        if dot and "error.path-flat" not in defects:
            made.setdefault(first, {})[rest] = value
        else:
            made[name.replace(".", "_")] = value
    return made


def _figure(value: str | None) -> float | str | None:
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return value


def _message(errors: Errors, answer: Answer, key: str | None, defects: Defects) -> str:
    if "error.message-empty" in defects:
        return ""
    said = envelope_value(errors, "message", answer)
    if answer.network is not None:
        text = {
            "connect": "could not connect",
            "timeout": "timed out",
            "truncated": "the answer broke off",
        }.get(answer.network, "the connection broke")
    elif isinstance(said, str) and said.strip():
        text = f"{answer.status}: {said[:500]}"
    else:
        text = f"{answer.status} {_phrase(answer.status or 0)}"
    for source in ("code", "requestId"):
        more = envelope_value(errors, source, answer) if answer.network is None else None
        if isinstance(more, str | int) and str(more) not in text and "error.unsaid" not in defects:
            text += f" [{str(more)[:200]}]"
    if "error.key-in-message" in defects:
        return f"{text} (key {key})"
    return text.replace(key, "***") if key else text


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "error"
