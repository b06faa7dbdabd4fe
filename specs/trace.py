"""From each sentence of a document to what tests it: `promises.yaml` read, checked and shown.

Which cases test a requirement is known to the suites alone, and the suites read specs, not the
other way round; so whoever renders the table brings the cases along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import yaml
from pydantic import BaseModel, ConfigDict, Field

from specs.catalogue import requirements
from specs.check import documents
from specs.contract import load, names
from specs.reading import HERE

FILE = HERE / "traceability.md"
Cases = Callable[[str, str, Sequence[str]], Sequence[str]]
"""(api, requirement, operations) -> ids of the cases that test it there."""


class Promise(BaseModel):
    """One promise of a document, and what became of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    section: str
    promise: str
    api: str | None = Field(default=None, description="where one document became several specs")
    operations: tuple[str, ...] = ()
    behaviour: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    untestable: str | None = None


class Traced(BaseModel):
    """One document: its promises, and the sections that make none, each with the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    silent: Mapping[str, str]
    promises: tuple[Promise, ...]


@cache
def promises() -> Mapping[str, Traced]:
    """Return everything that is traced, by document id."""
    raw = yaml.safe_load((HERE / "promises.yaml").read_text("utf-8"))
    return MappingProxyType({key: Traced(**value) for key, value in raw.items()})


def apis(document: str) -> tuple[str, ...]:
    """Return the ids of the specs that were written from a document."""
    return tuple(name for name in names() if load(name).root.document == document)


def faults(traced: Mapping[str, Traced] | None = None) -> Iterator[str]:
    """Yield everything that `promises.yaml` gets wrong, one sentence each."""
    for id, one in (promises() if traced is None else traced).items():
        known = documents().get(id)
        if known is None:
            yield f"{id} is no known document"
            continue
        told = {promise.section for promise in one.promises}
        for section in known.sections:
            if section not in told and section not in one.silent:
                yield f"{id} § {section}: neither promises nor silent"
            if section in told and section in one.silent:
                yield f"{id} § {section}: silent, and yet it promises something"
        for section in sorted((told | set(one.silent)) - set(known.sections)):
            yield f"{id} has no section {section!r}"
        for promise in one.promises:
            yield from _promise_faults(id, promise)


def _promise_faults(id: str, promise: Promise) -> Iterator[str]:
    where = f"{id} § {promise.section}: {promise.promise!r}"
    if bool(promise.requirements) == bool(promise.untestable):
        yield f"{where} needs either requirements or a reason why nothing can test it"
    if promise.requirements and not promise.behaviour:
        yield f"{where} does not say which behaviour holds it"
    for requirement in promise.requirements:
        if requirement not in requirements() or requirements()[requirement].retired:
            yield f"{where}: there is no requirement {requirement}"
    possible = apis(id)
    if promise.api is not None and promise.api not in possible:
        yield f"{where}: {promise.api} was not written from this document"
        return
    if promise.api is None and len(possible) > 1 and promise.operations:
        yield f"{where} names operations and not whose; add one of: {', '.join(possible)}"
        return
    for operation in promise.operations:
        if operation not in load(promise.api or possible[0]).operations:
            yield f"{where}: {promise.api or possible[0]} has no operation {operation!r}"


def untested(cases: Cases) -> Iterator[str]:
    """Yield every promise whose requirements no case tests."""
    for id, one in promises().items():
        for promise in one.promises:
            if promise.requirements and not any(_found(id, promise, cases).values()):
                yield f"{id} § {promise.section}: {promise.promise}"


def _found(id: str, promise: Promise, cases: Cases) -> dict[str, list[str]]:
    """Return the cases of each requirement of a promise, over the specs that it stands in."""
    wanted = [promise.api] if promise.api is not None else apis(id)
    return {
        requirement: sorted(
            {case for api in wanted for case in cases(api, requirement, promise.operations)}
        )
        for requirement in promise.requirements
    }


def render(traced: Mapping[str, Traced], cases: Cases) -> str:
    """Return the table of all promises as Markdown, one document after the other."""
    lines = [
        "# From each promise to its tests",
        "",
        "Made by `memconform spec trace`; do not edit. Promises are told in our own words and in",
        "the order of the document. A requirement's sentence is in `requirements.yaml`.",
    ]
    for id, one in traced.items():
        known = documents()[id]
        tested = sum(1 for promise in one.promises if promise.requirements)
        lines += [
            "",
            f"## {known.package} {known.version} (`{id}`)",
            "",
            f"{len(one.promises)} promises, {tested} of them tested.",
            "",
            "| section | promise | spec | requirement: cases |",
            "|---|---|---|---|",
        ]
        lines += [_row(id, promise, cases) for promise in one.promises]
        for section, reason in one.silent.items():
            lines.append(f"| {_cell(section)} | | | promises nothing: {_cell(reason)} |")
    return "\n".join(lines) + "\n"


def _row(id: str, promise: Promise, cases: Cases) -> str:
    if promise.untestable is not None:
        proof = f"not tested: {promise.untestable}"
    else:
        proof = "<br>".join(
            f"**{requirement}**: {', '.join(f'`{c}`' for c in found) or 'no case yet'}"
            for requirement, found in _found(id, promise, cases).items()
        )
    where = ", ".join(promise.operations) or ("all operations" if promise.requirements else "")
    if promise.api is not None:
        where = f"{promise.api}: {where}"
    if promise.behaviour:
        where += f" ({', '.join(promise.behaviour)})"
    return f"| {_cell(promise.section)} | {_cell(promise.promise)} | {_cell(where)} | {proof} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
