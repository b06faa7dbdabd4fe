"""One description, all guesses: in which order they are made, and what is taken back again.

A guess that `spec check` finds wrong is dropped with a question, so a draft always passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from specs import bare, reading, rules
from specs.contract import Contract, Operation, from_document, load
from specs.draft import arazzo, effects, pages, scopes, shapes
from specs.draft.guesses import Draft, Guess
from specs.draft.rendering import applied
from specs.reading import SpecError

STATUSES = (
    ("unauthenticated", ("401",)), ("unknown-id", ("404", "410")), ("invalid", ("422", "400")),
    ("duplicate", ("409",)), ("rate-limited", ("429",)), ("forbidden", ("403",)),
)  # fmt: skip
USUAL = {"unknown-id": 404}
"""What is answered where a description, as generated ones do, declares no such answer."""


def draft(source: str, workflows: Sequence[str] = ()) -> Draft:
    """Return what can be guessed of a description, and of Arazzo files that use it.

    Raises SpecError where one of them cannot be read.
    """
    contract = load(source)
    made = Draft(contract, bare.file_name(source.split("|")[0]))
    found = effects.collections(made)
    effects.guess(made, found)
    for each in workflows:
        arazzo.read(made, reading.document(each), bare.file_name(each))
    scopes.guess(made, found)
    pages.guess(made)
    made.guesses = [g for g in made.guesses if g.operation is None or _open(made, g.operation)]
    errors = _errors(made)
    made.guesses = [*errors, *made.guesses]
    asked = pages.rate_limit(made)
    made.questions += [asked] if asked else []
    _without_effect(made)
    sound(made)
    made.questions = list(dict.fromkeys(made.questions))
    return made


def _open(made: Draft, operation: Operation) -> bool:
    """Return True if nobody says what an operation does, and an overlay can."""
    item = made.contract.document["paths"].get(operation.path)
    return operation.bare and isinstance(item, dict) and operation.verb.lower() in item


def _errors(made: Draft) -> list[Guess]:
    """Guess the error envelope that all errors share, and the statuses of usual mistakes."""
    declared = Counter(
        s for o in made.contract for s in o.responses if s.isdigit() and s.startswith("4")
    )
    if not made.guesses:
        return []
    answers: dict[str, Any] = {}
    told = []
    for mistake, statuses in STATUSES:
        status = max(statuses, key=lambda s: (declared[s], -statuses.index(s)))
        if declared[status]:
            answers[mistake] = {"status": int(status)}
            told.append(f"{status} is declared {declared[status]} times")
        elif mistake in USUAL:
            answers[mistake] = {"status": USUAL[mistake]}
        elif mistake == "unauthenticated" and made.contract.auth:
            answers[mistake] = {"status": 401}
    value: dict[str, Any] = {"base": "Error", "answers": answers}
    envelope = _envelope(made.contract)
    if envelope:
        value["envelope"] = envelope
        told.append("every declared error has these members")
    else:
        made.questions.append("where does an error body say what is wrong? (errors: envelope)")
    return [Guess(None, "errors", value, "; ".join(told) or "the usual statuses")]


def _envelope(contract: Contract) -> dict[str, str]:
    """Return the members that every declared error body has as text."""
    schemas = [
        r.schema for o in contract for s, r in o.responses.items()
        if s[0] in "45d" and s != "default" and r.content
    ]  # fmt: skip
    if not schemas or not all(schemas):
        return {}
    found: dict[str, str] = {}
    for word, names in (
        ("message", ("message", "detail", "error_description", "title", "error")),
        ("code", ("code", "error_code", "error", "type")),
        ("requestId", ("request_id", "trace_id")),
    ):
        for place in ("", "error"):
            for name in names:
                pointer = f"/{place}/{name}" if place else f"/{name}"
                if pointer not in found.values() and all(_text_at(s, place, name) for s in schemas):
                    found.setdefault(word, pointer)
    return found if "message" in found else {}


def _text_at(schema: Any, place: str, name: str) -> bool:
    known = shapes.properties(schema)
    if place:
        known = shapes.properties(known.get(place, {}))
    return name in known and shapes.is_text(known[name])


def _without_effect(made: Draft) -> None:
    plain = [
        o.id for o in made.contract
        if o.bare and not o.safe and not made.effect(o)
    ]  # fmt: skip
    for name in plain:
        made.questions.append(f"what does {name} do? It is judged by its shapes alone (effect)")


def sound(made: Draft) -> None:
    """Drop every guess that the checker finds wrong, and ask instead."""
    for _ in range(len(made.guesses) + 1):
        fault = _first_fault(made)
        if fault is None:
            return
        guess, what = fault
        made.drop(guess)
        named = guess.operation.id if guess.operation else "the root"
        made.questions.append(f"{named}: {guess.block} was guessed and does not fit ({what})")


def _first_fault(made: Draft) -> tuple[Guess, str] | None:
    if not made.guesses:
        return None
    try:
        contract = from_document(applied(made), made.contract.path)
    except SpecError as error:
        return made.guesses[-1], str(error)
    for fault in rules.faults(contract, own=False):
        guess = _blamed(made, fault.path) or made.guesses[-1]
        return guess, fault.what
    return None


def _blamed(made: Draft, path: tuple[str, ...]) -> Guess | None:
    """Return the guess that stands where a fault is told."""
    for guess in made.guesses:
        operation = guess.operation
        if operation is None:
            if path[:2] == ("x-conformance", guess.block) or "responses" in path:
                return guess
        elif path[:3] == ("paths", operation.path, operation.verb.lower()) and (
            len(path) < 5 or path[4] == guess.block
        ):
            return guess
    return None
