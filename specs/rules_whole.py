"""Does a contract agree with itself as a whole? Rules that look at no single operation.

The error table and its codes, the client's options, credentials, and objects that leave open
what they may hold. Rules about one operation are in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from specs.contract import Contract, Schema
from specs.pointers import Fault, reach, suggest
from specs.positions import Path
from specs.references import validator
from specs.vocabulary import Errors


def faults(contract: Contract, own: bool = True) -> Iterator[Fault]:
    """Yield everything that a contract as a whole gets wrong; `own` as in `rules.faults`."""
    for rule in (_client, _security, _tags, _codes, _undecided) if own else (_client, _codes):
        yield from rule(contract)


def _codes(contract: Contract) -> Iterator[Fault]:
    """Rows of the error table can be reached, and their codes are ones that answers can carry."""
    errors = contract.root.errors
    if errors is None:
        return
    classes = {errors.base, *(rule.exception for rule in errors.map)}
    seen: list[tuple[str, str | None]] = []
    for index, rule in enumerate(errors.map):
        path = ("x-conformance", "errors", "map", str(index))
        if rule.status is None and not rule.network:
            yield Fault(
                path,
                "fits neither a status nor a network fault",
                "it is never used",
                "add `status` or `network`",
            )
        for base in rule.bases:
            if base not in classes:
                yield Fault(
                    (*path, "bases"),
                    f"{base!r} is neither `base` nor an exception of the table",
                    "no case could look for it",
                    suggest(base, sorted(classes)),
                )
        if rule.status is None:
            continue
        covering = {rule.status, f"{rule.status[0]}XX"}
        if any(status in covering and code in (None, rule.code) for status, code in seen):
            yield Fault(
                path,
                f"an earlier row takes every {rule.status}",
                "it is never used",
                "put the narrower row first",
            )
        seen.append((rule.status, rule.code))
        yield from code_faults(contract, errors, rule.status, rule.code, path)
    for name, answer in errors.answers.items():
        path = ("x-conformance", "errors", "answers", name)
        yield from code_faults(contract, errors, str(answer.status), answer.code, path)


def code_faults(
    contract: Contract, errors: Errors, status: str, code: str | None, path: Path
) -> Iterator[Fault]:
    """Yield a fault unless answers of a status may carry a code."""
    place = errors.envelope.code
    if code is None:
        return
    if place is None:
        yield Fault(
            path,
            f"tells {code!r} apart, and the envelope has no code",
            "the row could never fit",
            "add `envelope.code`",
        )
        return
    allowed = [
        _allows(reach(response.schema, place), code)
        for operation in contract
        for declared, response in operation.responses.items()
        if declared in (status, f"{status[0]}XX") and response.schema is not None
    ]
    if allowed and not any(allowed):
        yield Fault(
            path,
            f"no {status} answer may carry the code {code!r}",
            "its schema forbids it",
            "add the code to the schema, or mend it here",
        )


def _allows(found: list[Schema], code: str) -> bool:
    """Return whether a code may stand where `found` leads; what lists its values decides."""
    closed = [schema for schema in found if {"enum", "const", "pattern"} & set(schema)]
    validators = (validator(schema) for schema in closed)
    return not closed or any(validator.is_valid(code) for validator in validators)


def _undecided(contract: Contract) -> Iterator[Fault]:
    """Objects say whether they may have members that nobody announced."""
    waiting: list[tuple[Path, Any]] = [((), contract.document)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, list):
            waiting += [((*path, str(i)), inner) for i, inner in enumerate(node)]
        if not isinstance(node, dict):
            continue
        given = node.get("type")
        kinds = given if isinstance(given, list) else [given]
        closed = {"additionalProperties", "unevaluatedProperties"} & set(node)
        if isinstance(node.get("properties"), dict) and "object" in kinds and not closed:
            yield Fault(
                path,
                "an object does not say whether it may have other members",
                "whether they are tested would be chance",
                "add `additionalProperties: true` or `false`",
            )
        waiting += [
            ((*path, str(k)), v)
            for k, v in node.items()
            if k not in ("examples", "example", "default", "const", "enum", "x-conformance")
        ]


DEFAULTS: Mapping[str, tuple[type, ...]] = {
    "base-url": (str,),
    "timeout": (int, float),
    "max-retries": (int,),
    "backoff-base": (int, float),
    "debug": (bool,),
}
"""What kinds of value an option of a role has."""


def _tags(contract: Contract) -> Iterator[Fault]:
    known = {tag.get("name") for tag in contract.document.get("tags", ())}
    for operation in contract:
        path = ("paths", operation.path, operation.verb.lower())
        raw = contract.document["paths"][operation.path][operation.verb.lower()]
        for tag in raw.get("tags", ()):
            if tag not in known:
                yield Fault(
                    (*path, "tags"),
                    f"the tag {tag!r} is not among the document's tags",
                    "readers find the operation under a heading that says nothing",
                    suggest(tag, sorted(known)),
                )


def _client(contract: Contract) -> Iterator[Fault]:
    client = contract.client
    if client is None:
        return
    path = ("x-conformance", "client")
    roles = [option.role for option in client.options]
    for role in sorted({role for role in roles if roles.count(role) > 1}):
        yield Fault(
            (*path, "options"),
            f"two options have the role {role}",
            "a driver would not know which to set",
            "keep one",
        )
    for index, option in enumerate(client.options):
        kinds = DEFAULTS.get(option.role)
        if kinds and option.default is not None and type(option.default) not in kinds:
            yield Fault(
                (*path, "options", str(index), "default"),
                f"{option.name} is {option.default!r} by default",
                f"a {option.role} is {' or '.join(sorted(kind.__name__ for kind in kinds))}",
                "mend the default",
            )
    if "api-key" not in roles:
        yield Fault(
            (*path, "options"),
            "no option has the role api-key",
            "no client could be made",
            "add it",
        )
    if client.sync is None and client.asynchronous is None:
        yield Fault(
            path, "names no client class", "no client could be made", "add `sync` or `async`"
        )


def _security(contract: Contract) -> Iterator[Fault]:
    """Keys are shown in headers that the document's security schemes know."""
    schemes = contract.document.get("components", {}).get("securitySchemes", {})
    known = {
        "authorization"
        if scheme.get("type") in ("http", "oauth2", "openIdConnect")
        else str(scheme.get("name", "")).lower()
        for scheme in schemes.values()
    }
    for index, shown in enumerate(contract.auth):
        if shown.header.lower() not in known:
            yield Fault(
                ("x-conformance", "auth", str(index)),
                f"no security scheme uses the header {shown.header!r}",
                "other tools would send no key",
                "add it to components.securitySchemes",
            )
    if not contract.auth and any(operation.authenticated for operation in contract):
        yield Fault(
            ("x-conformance",),
            "operations need a key, and `auth` says not how to show it",
            "no case could send one",
            "add `auth`",
        )
