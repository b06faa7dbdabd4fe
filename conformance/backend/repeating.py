"""How a backend finding is shown again: which requests a program sends, and what it then looks at.

A finding is what answers say, so a program that gets the same answers shows the same fault. It
sends what made the records that the finding is about, what its case changed, and its witnesses.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from conformance.backend.ownership import SAFE
from conformance.evidence import BODY_MAX, NOT_SENT
from conformance.history import Exchange
from conformance.oracles.found import ok
from conformance.programs import Looks, Moment, Path, Step, curl, program
from conformance.verdict import Finding

if TYPE_CHECKING:
    from conformance.backend.subject import BackendSubject

STEPS_MAX = 150
SENT_MAX = 20_000
"""Bytes that one request of a program may send."""
SOURCE_MAX = 19_000
"""Characters that a program may have."""
LOOKED_BACK = 400
"""Exchanges before one among which the makers of what it is about are sought."""
SHORTEST = 4
"""Characters that an id has at least; shorter texts are found everywhere."""
PAUSE = 0.03
"""Seconds between two requests from which on a program waits as long as the case did."""
SPENDING = "limits."
"""Cases about what was spent before, whatever the answer is to."""
SPENT_MAX = 130
"""Requests of such a case that a program repeats with those that only read."""
LOOKS_MAX = 8
"""Requests after the last witness that show what it did."""
WHOLE_MAX = 40
"""Requests of a case that a program repeats with those that only read."""
BY_ITSELF = ("CT", "ER", "AU", "RB", "HD", "RL", "RA", "PD")
"""Groups of requirements that one answer can break whatever was said before."""
EXPECTED_MAX = 1500
"""Characters of answers that a program spells out; longer ones it knows by their hash."""
AGAIN, PAUSE_SPENT = 3, 1.5
"""How often, and how many seconds apart, a program tries to use a quota up within its window."""
TURNS = 40
"""How often a program tries what only chance shows."""


@dataclass
class Memory:
    """What is kept of a run's exchanges, by number, besides the exchanges themselves."""

    spelt: dict[int, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """Headers that show a key, each with its expression; '' where nobody can say it."""
    handed: dict[int, tuple[int, str, Path]] = field(default_factory=dict)
    """Whose key an earlier answer handed out -> its number, what stands for it, and where it is."""
    given: dict[int, dict[str, Path]] = field(default_factory=dict)
    """What answers gave that later requests may repeat, of those that were asked for it."""


def again(subject: BackendSubject, finding: Finding, words: str) -> tuple[str, str]:
    """Return a `curl` line and a program that show a finding again; '' for what cannot."""
    numbers = [n for n in dict.fromkeys(finding.witness) if n < subject.exchanged]
    if not numbers:
        return "", ""
    for most in (WHOLE_MAX, 0, -1):  # the whole case, what it changed, what its witnesses need
        chosen = _Chosen(subject, finding, sorted(numbers), most)
        steps = chosen.steps()
        if steps is None:
            continue
        spends = subject.cases[max(numbers)].startswith(SPENDING)
        turns = TURNS if chosen.at_once and not spends else AGAIN if spends else 1
        made = program(
            subject.base_url,
            subject.run_id,
            chosen.moments(steps),
            chosen.shows(),
            words,
            turns,
            PAUSE_SPENT if spends else 0,
        )
        line = curl(subject.base_url, steps[0]) if len(steps) == 1 else ""
        line = "" if subject.mark in (steps[0].target if line else "") else line
        if len(made) <= SOURCE_MAX:
            return line, made
    return "", ""


class _Chosen:
    """The exchanges that a program repeats, in order."""

    def __init__(
        self, subject: BackendSubject, finding: Finding, witness: Sequence[int], most: int
    ) -> None:
        self._subject, self._finding, self._witness = subject, finding, witness
        self._every, self._most = subject.exchanges, most
        self._takes: dict[int, dict[str, Path]] = {}
        case = subject.cases[witness[-1]]
        alone = (
            len(witness) == 1 and finding.shows and finding.requirement[:2] in BY_ITSELF
            and not case.startswith(SPENDING)
        )  # fmt: skip
        if not finding.shows:
            self._witness = sorted({*witness, *self._looks_after(witness[-1], case)})
        numbers = (
            set(witness) if alone else set(self._witness) | set(self._said_before(witness, most))
        )
        self._close(numbers)
        self._all = [self._every[n] for n in sorted(numbers)]

    def _said_before(self, witness: Sequence[int], most: int) -> Iterator[int]:
        """Yield what the finding's case sent up to its last witness.

        Of more than `most` requests only what may change something; of a negative number nothing.
        """
        if most < 0:
            return
        last = witness[-1]
        case = self._subject.cases[last]
        mine = [
            n for n in range(max(0, last - LOOKED_BACK), last) if self._subject.cases[n] == case
        ]
        most = SPENT_MAX if case.startswith(SPENDING) else most
        for number in mine:
            request = self._every[number].request
            if len(mine) <= most or request.method not in SAFE:
                yield number

    def _looks_after(self, last: int, case: str) -> Iterator[int]:
        """Yield what the case read after its last witness, before it changed something again."""
        for number in range(last + 1, min(len(self._every), last + LOOKS_MAX)):
            operation = self._subject.contract.operations.get(self._every[number].operation or "")
            if self._subject.cases[number] != case or operation is None or not operation.safe:
                return
            yield number

    def _close(self, numbers: set[int]) -> None:
        """Add whatever gave what requests repeat: ids, cursors, secrets, and named parents."""
        todo = sorted(numbers)
        while todo and len(numbers) <= STEPS_MAX:
            asked = self._every[todo.pop()]
            for maker in self._makers(asked):
                if maker not in numbers:
                    numbers.add(maker)
                    todo.append(maker)

    def _makers(self, asked: Exchange) -> Iterator[int]:
        wanted = {v for v in _values(asked) if self._subject.mark not in v}
        secret = self._subject.memory.handed.get(asked.number)
        if secret is not None:
            self._takes.setdefault(secret[0], {})[secret[1]] = secret[2]
            yield secret[0]
        start = max(0, asked.number - LOOKED_BACK)
        givers: dict[str, tuple[int, Path]] = {}
        for earlier in self._every[start : asked.number]:
            if not wanted & _given(self._subject, earlier).keys():
                continue
            own = set(_values(earlier))
            for value in wanted & _given(self._subject, earlier).keys() - own:
                place = (earlier.number, _given(self._subject, earlier)[value])
                known = givers.get(value)
                if known is None or (_creates(self._subject, earlier) and not _creates(
                        self._subject, self._every[known[0]])):  # fmt: skip
                    givers[value] = place
        for value, (number, path) in givers.items():
            self._takes.setdefault(number, {})[value] = path
            yield number
        named = _named(self._subject, asked)
        words = self._words(asked) if self._most < 0 else set()
        for earlier in self._every[start : asked.number] if named or words else ():
            if _creates(self._subject, earlier) and (
                named & set(_values(earlier)) or words & self._words(earlier)
            ):
                yield earlier.number

    def _words(self, exchange: Exchange) -> set[str]:
        """Return the names of this run that stand anywhere in a request."""
        text = unquote(exchange.request.target) + exchange.request.body.decode("utf-8", "replace")
        return set(re.findall(re.escape(self._subject.mark) + r"[\w-]*", text))

    @property
    def at_once(self) -> bool:
        """True where requests went out before others were answered."""
        return any(len(group) > 1 for group in self._groups())

    def _groups(self) -> list[list[int]]:
        groups: list[list[int]] = []
        for place, each in enumerate(self._all):
            before = self._all[place - 1] if place else None
            if before is not None and each.sent < (before.received or before.sent):
                groups[-1].append(place)
            else:
                groups.append([place])
        return groups

    def steps(self) -> list[Step] | None:
        """Return the steps, None where one of them cannot be written down."""
        made = [self._step(each) for each in self._all] if len(self._all) <= STEPS_MAX else [None]
        return None if None in made else [step for step in made if step is not None]

    def moments(self, steps: Sequence[Step]) -> list[Moment]:
        """Return the steps by the moment at which they are sent."""
        made, ended = [], 0.0
        for group in self._groups():
            first = self._all[group[0]].sent
            wait = round(first - ended + PAUSE, 2) if ended and first - ended > PAUSE else 0.0
            made.append(Moment(steps=tuple(steps[n] for n in group), wait=wait))
            ended = max(self._all[n].received or 0.0 for n in group)
        return made

    def shows(self) -> str:
        """Return the expression that is true where the fault shows."""
        if self._finding.shows:
            where = {str(each.number): str(place) for place, each in enumerate(self._all)}
            return re.sub(r"#(\d+)", lambda m: where[m[1]], self._finding.shows)
        taken = [v for takes in self._takes.values() for v in takes]
        look = Looks((self._subject.run_id, *taken))
        for each in self._all:
            look.asked(_asked(self._subject, each))
        places = [
            place
            for place, each in enumerate(self._all)
            if each.number in self._witness and each.operation is not None
        ]
        listed = ", ".join(map(str, places))
        expected = [look(self._all[n].status, _said(self._all[n])) for n in places]
        if len(repr(expected)) <= EXPECTED_MAX:
            return f"looks({listed}) == {expected!r}"
        digest = hashlib.sha256(repr(expected).encode()).hexdigest()[:16]
        return f"hashlib.sha256(repr(looks({listed})).encode()).hexdigest()[:16] == {digest!r}"

    def _step(self, exchange: Exchange) -> Step | None:
        """Return an exchange's request as a step, None where it cannot be written down."""
        subject, request = self._subject, exchange.request
        if not request.headers or len(request.body) > SENT_MAX or len(request.target) > SENT_MAX:
            return None
        body = request.body.decode("utf-8", "surrogateescape")
        if subject.redacted(request.target) != request.target or subject.redacted(body) != body:
            return None
        keys = subject.memory.spelt.get(exchange.number, ())
        if any(not source for _, source in keys):
            return None
        ways = {a.header.lower() for a in subject.contract.auth}
        left_out = NOT_SENT | ways | {"authorization", "cookie", "x-api-key"}
        return Step(
            method=request.method,
            target=request.target.removeprefix(subject.origin.path),
            headers=tuple((n, v) for n, v in request.headers if n.lower() not in left_out),
            keys=keys,
            body=body,
            takes=tuple(self._takes.get(exchange.number, {}).items()),
        )


def _asked(subject: BackendSubject, exchange: Exchange) -> str:
    request = exchange.request
    body = request.body.decode("utf-8", "surrogateescape")
    return f"{request.method} {request.target.removeprefix(subject.origin.path)} {body}"


def _said(exchange: Exchange) -> str:
    return exchange.response.body.decode("utf-8", "replace") if exchange.response else ""


def _values(exchange: Exchange) -> Iterator[str]:
    """Yield the values of a request that may be ids: of its path, its query and its body."""
    request = exchange.request
    yield from (unquote(part) for part in request.path.split("/") if len(part) >= SHORTEST)
    yield from (value for _, value in request.query if len(value) >= SHORTEST)
    yield from (value for _, value in texts(request.json_or_none()))


def _given(subject: BackendSubject, exchange: Exchange) -> dict[str, Path]:
    """Return the texts of an answer that may be ids, and where they stand."""
    if exchange.number not in subject.memory.given:
        body = exchange.response.json_or_none() if exchange.response else None
        subject.memory.given[exchange.number] = {
            value: path for path, value in reversed(list(texts(body)))
            if re.search(r"\d", value) and subject.mark not in value
        }  # fmt: skip
    return subject.memory.given[exchange.number]


def _named(subject: BackendSubject, asked: Exchange) -> set[str]:
    """Return the ids of this run's own making that a request refers to: path, parents, target."""
    operation = subject.contract.operations.get(asked.operation or "")
    effect = operation.effect if operation else None
    names = {n for n, kind in (effect.scope.items() if effect else ()) if kind != "free"}
    body = asked.request.json_or_none()
    values = [*asked.request.path.split("/"), *(v for _, v in asked.request.query)]
    values += [v for n, v in body.items() if n in names] if isinstance(body, dict) else []
    return {v for v in values if isinstance(v, str) and subject.mark in v}


def _creates(subject: BackendSubject, exchange: Exchange) -> bool:
    operation = subject.contract.operations.get(exchange.operation or "")
    effect = operation.effect if operation else None
    return effect is not None and effect.kind == "create" and ok(exchange)


def texts(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield (place, text) of the texts in a body that are long enough to be ids."""
    if isinstance(value, str):
        if SHORTEST <= len(value) <= BODY_MAX:
            yield path, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:60]):
            yield from texts(inner, (*path, number))
