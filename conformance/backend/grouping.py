"""One cause, one finding: what a whole run found, merged over operations, fields and variants.

Cases tell what they see, place by place. Here the place moves out of the cause into the condition,
so that findings of one mistake have one cause; and what follows from another finding is told
there and nowhere else. Pure; nothing is judged again, and the suite's own results stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from conformance.backend.mutations import KINDS
from conformance.cases import CaseResult
from conformance.history import Exchange
from conformance.verdict import Finding, Verdict
from specs import Basis, Contract
from specs.constraints import Kind

NOWHERE = frozenset({404, 405, 501})
"""Statuses of a server that does not know the path or the method."""
ACCEPTS = {
    Kind.REQUIRED: "accepts requests that lack what is required",
    Kind.BODY: "accepts requests without their body",
    Kind.TYPE: "accepts values of another type",
    Kind.NULL: "accepts `null` for what is optional",
    Kind.ENUM: "accepts values outside their set",
    Kind.FORMAT: "accepts text that is not in its format",
    Kind.BOUND: "accepts numbers out of bounds",
    Kind.LENGTH: "accepts what is too short, too long or too many",
    Kind.PATTERN: "accepts text that is not of its pattern",
    Kind.EXTRA: "accepts members that nobody declared",
}
STATUS_LAST = re.compile(r"^(envelope-\w+|request-id-missing|not-json)-([^-\s]+)$")
MEDIA_TYPE = re.compile(r"^media-type-(\w+)-(.+)$")
OTHER_SUCCESS = re.compile(r"^undeclared-status-(2\d\d)$")
SCHEMA = re.compile(r"^schema (\S+) (\S+) (.+) (\S+)$")
HEADER = re.compile(
    r"^(usage-header-missing|usage-header-form|usage-not-constant|usage-above-limit|usage-shrinks|"
    r"limit-header-missing) (\S+)(?: (\S+))?$"
)
HEADERS = {
    "usage-header-missing": "answers lack headers that are declared for usage",
    "usage-header-form": "headers of usage are not whole numbers",
    "usage-not-constant": "headers of a plan and its limits change between answers to one tenant",
    "usage-above-limit": "more is used than a plan allows and yet admitted",
    "usage-shrinks": "figures of usage shrink from one answer to the next",
    "limit-header-missing": "answers lack the rate-limit headers",
}
"""Causes about one header field: which one is a place, since one mistake spoils all alike."""
LACKING = {
    "envelope-code": "error answers have no code where it is declared",
    "envelope-message": "error answers have no message where it is declared",
    "request-id-missing": "error answers name no request id",
    "not-json": "answers are not JSON",
}
WALKS = ("gap", "item-twice")
FOLLOW_A_WALK = (
    "gap", "item-twice", "page-size", "page-too", "filter-gap", "no-end", "order", "deleted-listed",
    "repeats-", "filter-forgotten", "cursor-",
)  # fmt: skip
"""Causes that a list which loses or repeats items shows besides."""


def grouped(
    contract: Contract, exchanges: Sequence[Exchange], results: Iterable[CaseResult]
) -> list[CaseResult]:
    """Return the results with one cause for one mistake, and what follows from another hidden."""
    every = _unserved(contract, exchanges, list(results))
    every = [replace(r, findings=tuple(general(f, contract) for f in r.findings)) for r in every]
    return _explained(every)


def general(finding: Finding, contract: Contract) -> Finding:
    """Return a finding whose cause names no place: operation, member and status stand beside."""
    ids = [t for t in finding.cause.split() if t in contract.operations]
    cause, place, words = _parted(finding, contract, set(ids))
    others = [each for each in ids if each != finding.operation]
    where = [finding.operation or "", *others, place]
    return finding.at(
        cause=cause,
        conditions=finding.conditions or (" ".join(part for part in where if part),),
        general=words or finding.message,
    )


def _parted(finding: Finding, contract: Contract, ids: set[str]) -> tuple[str, str, str]:
    """Return (cause without its place, the place, the message without it or '')."""
    cause = finding.cause
    if found := SCHEMA.match(cause):
        _, status, place, keyword = found.groups()
        kind = "error answers" if status[:1] in "45" else "answers"
        return f"schema {keyword} {kind}", f"{status} {place}", _breaks(kind, keyword)
    if found := STATUS_LAST.match(cause):
        return found[1], found[2], LACKING.get(found[1], "")
    if found := MEDIA_TYPE.match(cause):
        return (
            f"media-type {found[2]}",
            found[1],
            f"answers are of {found[2]}, not of what is declared",
        )
    if found := HEADER.match(cause):
        return found[1], " ".join(part for part in found.groups()[1:] if part), HEADERS[found[1]]
    tokens = [t for t in cause.split() if t not in ids]
    head, rest = tokens[0], tokens[1:]
    if other := _other_refusal(finding, head, rest):
        return other
    if head in ("accepted", "status", "code") and rest:
        broken = _kind(finding, rest[0])
        if broken is not None:
            return _mistaken(finding, head, broken, rest[1:])
        if head != "code" and rest[0] in ("unknown-id", "unknown-parent"):
            return " ".join([head, rest[0], *rest[2:]]), rest[1], ""
        if rest[0] == "page-bounds":
            return "accepted page-bounds", " ".join(rest[1:]), "accepts page sizes out of bounds"
    if head in ("unknown-id", "unknown-parent") and len(rest) > 1:
        return " ".join([head, *rest[1:]]), rest[0], ""
    if found := OTHER_SUCCESS.match(cause):
        return "undeclared-success", found[1], "answers success with another 2xx than declared"
    if head.startswith("filter-") and ids:
        return head, " ".join(rest), ""
    return " ".join(tokens), "", ""


def _other_refusal(finding: Finding, head: str, rest: list[str]) -> tuple[str, str, str] | None:
    """Return a refusal that only differs from the usual one, in one cause for all mistakes.

    None where the document or a client says what the answer is, and for unknown ids.
    """
    if finding.requirement != "ER5" or finding.basis is not Basis.ASSUMED or not rest:
        return None
    place, wanted, given = " ".join(rest), finding.expected, finding.actual
    if head == "status" and not rest[0].startswith("unknown-"):
        words = f"refuses with {given} what is usually refused with {wanted}"
        return f"status refused {wanted} {given}", place, words
    if head == "code":
        return f"code refused {wanted}", place, f"refuses with another code than `{wanted}`"
    return None


def _kind(finding: Finding, word: str) -> Kind | None:
    """Return the kind of constraint that a request broke on purpose, None for another mistake."""
    if word == "null" and finding.basis is Basis.ASSUMED:
        return Kind.NULL
    if word == "missing-body":
        return Kind.BODY
    return KINDS.get(word) or next((kind for kind in Kind if kind.value == word), None)


def _mistaken(finding: Finding, head: str, kind: Kind, rest: list[str]) -> tuple[str, str, str]:
    if head == "accepted":
        return f"accepted {kind}", " ".join(rest), ACCEPTS.get(kind, "")
    if head == "code":
        words = "answers invalid requests with another code than the declared one"
        return "code invalid", " ".join([kind, *rest]), words
    status = rest[-1] if rest else ""
    words = f"answers invalid requests with {status}"
    return f"status invalid {status}", " ".join([kind, *rest[:-1]]), words


def _breaks(kind: str, keyword: str) -> str:
    return {
        "required": f"{kind} lack members that are declared as required",
        "type": f"{kind} have members of another type than declared",
        "enum": f"{kind} have values outside their declared set",
        "format": f"{kind} have text that is not in its declared format",
    }.get(keyword, f"{kind} break their schema ({keyword})")


# --- what follows from what -----------------------------------------------------------------------


def _unserved(
    contract: Contract, exchanges: Sequence[Exchange], results: list[CaseResult]
) -> list[CaseResult]:
    """Return the results with one finding for each operation that answers nothing but 404 or so.

    Its other cases say nothing of it, and become inconclusive.
    """
    seen: dict[str, set[int | None]] = {}
    for each in exchanges:
        if each.operation is not None:
            seen.setdefault(each.operation, set()).add(each.status)
    for name, statuses in seen.items():
        first = _refused(results, name) if statuses <= NOWHERE else None
        if first is None:
            continue
        others = sum(_is_of(r, name) and r.case != first.case for r in results)
        status = first.actual
        told = first.at(
            cause=f"not-served {status}",
            message=f"operation `{name}` is not served at its path: every request was answered "
            f"{status}; its {others} other cases were not judged",
            general=f"operations are not served at their paths, answered {status} throughout",
            basis=max(first.basis, contract[name].wire_basis, key=list(Basis).index),
        )
        results = [_silenced(r, name, told) for r in results]
    return results


def _refused(results: Iterable[CaseResult], operation: str) -> Finding | None:
    """Return the first finding that says that a valid call of an operation was refused."""
    every = (f for r in results for f in r.findings)
    return next(
        (f for f in every if f.operation == operation and f.cause.startswith("valid-refused")), None
    )


def _is_of(result: CaseResult, operation: str) -> bool:
    return result.operation == operation and result.verdict in (Verdict.PASS, Verdict.FAIL)


def _silenced(result: CaseResult, operation: str, told: Finding) -> CaseResult:
    if result.case == told.case and result.operation == operation:
        return replace(result, findings=(told,), verdict=Verdict.FAIL)
    kept = tuple(f for f in result.findings if f.operation != operation)
    if (result.operation == operation and _is_of(result, operation)) or (
        result.findings and not kept
    ):
        reason = f"operation {operation} is not served at its path"
        return replace(result, findings=(), verdict=Verdict.INCONCLUSIVE, reason=reason)
    return replace(result, findings=kept)


Follows = Callable[[Finding, Finding], bool]
"""Says whether the second finding follows from the first."""


def _same_answer(one: Finding, two: Finding) -> bool:
    return bool(set(one.witness) & set(two.witness))


def _same_operation(one: Finding, two: Finding) -> bool:
    return one.operation == two.operation


def _starts(*causes: str) -> Callable[[Finding], bool]:
    return lambda finding: finding.cause.startswith(causes)


RULES: tuple[tuple[Callable[[Finding], bool], Callable[[Finding], bool], Follows], ...] = (
    (_starts("media-type "), _starts("envelope-", "request-id-missing", "not-json"), _same_answer),
    (_starts("envelope-", "request-id-missing"), _starts("schema "), _same_answer),
    (_starts("status "), _starts("undeclared-status"), _same_answer),
    (_starts("status unknown", "unknown-"), _starts("undeclared-status"), _same_operation),
    (_starts("accepted bound"), _starts("accepted page-bounds", "accepted over-max"),
     _same_operation),
    (_starts("valid-refused"), _starts("generated-refused", "walk-refused", "dead-link"),
     _same_operation),
    (_starts(*WALKS), _starts(*FOLLOW_A_WALK), _same_operation),
)  # fmt: skip
"""(what explains, what it explains, where): the first that holds hides the second."""


def _explained(results: list[CaseResult]) -> list[CaseResult]:
    """Return the results without what follows from another finding, which names it instead."""
    every = [f for r in results for f in r.findings]
    why: dict[int, Finding] = {}
    for explains, follows, alike in RULES:
        causes = [f for f in every if explains(f) and id(f) not in why]
        for finding in every:
            if id(finding) in why or not follows(finding):
                continue
            cause = next((c for c in causes if c is not finding and alike(c, finding)), None)
            if cause is not None and (
                not explains(finding) or every.index(cause) < every.index(finding)
            ):
                why[id(finding)] = cause
    told: dict[int, list[str]] = {}
    for finding in every:
        if (cause := why.get(id(finding))) is not None:
            told.setdefault(id(cause), []).append(f"{finding.requirement}: {finding.message}")
    return [_without(r, why, told) for r in results]


def _without(result: CaseResult, why: dict[int, Finding], told: dict[int, list[str]]) -> CaseResult:
    kept = tuple(
        f.at(explains=tuple(dict.fromkeys(told.get(id(f), ()))))
        for f in result.findings if id(f) not in why
    )  # fmt: skip
    if kept or not result.findings:
        return replace(result, findings=kept)
    cause = why[id(result.findings[0])]
    reason = f"what it found follows from {cause.requirement}: {cause.message}"
    return replace(result, findings=(), verdict=Verdict.INCONCLUSIVE, reason=reason)
