"""A run written down, and played again without a server: `--record` and `memconform judge`.

A recording is JSON lines: a head that says what was run, then one line for each exchange with
the case that it belongs to. Playing it gives every case its own answers in the order in which
it got them, on a clock that shows the recorded times; so drive and judgement are the very same
code, and only the wire is another.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import specs
from conformance.backend import recorded
from conformance.backend.recorded import FORMAT
from conformance.backend.subject import BackendSubject
from conformance.backend.transport import Answer
from conformance.history import Exchange, Request, Response
from conformance.oracles.limits import Quota
from conformance.verdict import Inconclusive
from specs import Contract

SHORT = "the recording ends before this case does"


class RecordingError(ValueError):
    """A file is not a recording that can be played; the message says which line and why."""


@dataclass(frozen=True)
class Head:
    """What was run."""

    api: str
    base_url: str
    seed: int
    run_id: str
    principals: tuple[str, ...]
    deep: bool = False
    fast: bool = False
    read_only: bool = False
    quota: tuple[int, float] | None = None
    restart: bool = False
    also: tuple[str, ...] = ()
    hostile: bool | None = None
    excluded: Mapping[str, str] | None = None
    """Operation -> why it was never sent; None in recordings that do not say."""


@dataclass(frozen=True)
class Kept:
    """One recorded exchange: the case it belongs to, its answer, its time since the epoch."""

    case: str
    answer: Answer
    at: float
    exchange: Exchange | None = None
    """The exchange as it was, without keys."""
    salt: str = ""
    """What made the names of its case differ from those of an earlier attempt."""


class Recorder:
    """Writes a run down while it lasts: a run that is interrupted leaves a valid recording."""

    def __init__(self, path: Path, subject: BackendSubject, kept: Sequence[str] = ()) -> None:
        """Begin a recording at `path`; `kept` are lines of an earlier one that it goes on with."""
        head = json.dumps({"format": FORMAT, **asdict(head_of(subject))}, ensure_ascii=False)
        begun = path.with_name(f"{path.name}.part")
        begun.write_text("\n".join((head, *kept, "")), encoding="utf-8")
        self._count, self._digest = len(kept), sha256()
        for line in (head, *kept):
            self._digest.update(f"{line}\n".encode())
        self.trouble = ""
        """Why it could not be written to its end; '' as long as it can."""
        self._path = path
        begun.replace(path)  # what was there is lost only when what stays of it is safe
        self._file: IO[str] = path.open("a", encoding="utf-8")
        self._subject = subject
        subject.recorder = self
        for sibling in subject.siblings:
            sibling.recorder = partial(self._elsewhere, sibling.api_name)

    def __call__(self, exchange: Exchange, case: str, at: float) -> None:
        """Write one exchange, unless it comes from a recording itself."""
        if isinstance(self._subject.wire, ReplayTransport):
            return
        response = exchange.response
        self._write(
            {
                "case": case,
                **({"salt": self._subject.salt} if self._subject.salt else {}),
                "principal": exchange.principal,
                "operation": exchange.operation,
                "method": exchange.request.method,
                "target": self._subject.redacted(exchange.request.target),
                "request": {
                    "headers": self._headers(exchange.request.headers),
                    **self._body(exchange.request.body),
                },
                "sent": exchange.sent,
                "received": exchange.received,
                "at": at,
                "connection": exchange.connection,
                "failure": exchange.failure,
                "response": None
                if response is None
                else {
                    "status": response.status,
                    "headers": self._headers(response.headers),
                    "complete": response.complete,
                    **self._body(response.body),
                },
            }
        )

    def close(self, whole: bool = False) -> None:
        """Close the file; the subject is no longer recorded. `whole`: the run came to its end."""
        if whole:
            end = {"exchanges": self._count, "digest": self._digest.hexdigest()}
            self._write({"end": end})
        self._subject.recorder = None
        for sibling in self._subject.siblings:
            sibling.recorder = None
        with contextlib.suppress(OSError):  # what could not be written was told when it was
            self._file.close()

    def _elsewhere(self, api: str, exchange: Exchange, case: str, at: float) -> None:
        """Write an exchange with another API of the same product."""
        self(exchange, f"{case}@{api}", at)

    def _headers(self, fields: Iterable[tuple[str, str]]) -> list[list[str]]:
        return [[self._subject.redacted(n), self._subject.redacted(v)] for n, v in fields]

    def _body(self, body: bytes) -> dict[str, str]:
        try:
            return {"text": self._subject.redacted(body.decode("utf-8"))}
        except UnicodeDecodeError:
            plain = self._subject.redacted(body.decode("latin-1")).encode("latin-1")
            return {"base64": base64.b64encode(plain).decode("ascii")}

    def _write(self, line: Mapping[str, Any]) -> None:
        """Write one line; where that fails, the run goes on and says that it was not recorded."""
        if self.trouble:
            return
        text = json.dumps(line, ensure_ascii=False) + "\n"
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror or error}"
            return
        self._count += 1
        self._digest.update(text.encode())


def head_of(subject: BackendSubject) -> Head:
    """Return what a recording says of a subject's run."""
    return Head(
        subject.api_name,
        subject.base_url,
        subject.seed,
        subject.run_id,
        tuple(subject.keys),
        subject.deep,
        subject.fast,
        subject.limits.read_only,
        (subject.quota.q, subject.quota.w) if subject.quota else None,
        subject.restart is not None,
        tuple(sibling.api_name for sibling in subject.siblings),
        subject.limits.hostile,
        dict(subject.excluded),
    )


def lines_of(path: Path) -> list[str]:
    """Return the lines of a recording; what else Unicode calls a line's end stands inside texts.

    Raises RecordingError.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path}: not UTF-8, so no recording: {error}") from error
    return text.removesuffix("\n").split("\n") if text else []


def read(path: Path) -> tuple[Head, list[Kept]]:
    """Return what a recording holds. Raises RecordingError; a cut last line is left out."""
    lines = lines_of(path)
    if not lines:
        raise RecordingError(f"{path}: empty")
    try:
        made = recorded.head(lines[0])
    except ValueError as error:
        raise RecordingError(f"{path}:1: {error}") from error
    kept = []
    for number, text in enumerate(lines[1:], 2):
        try:
            line = recorded.line(text)
        except ValueError as error:
            if number == len(lines):
                break  # the run was ended in the middle of this line
            raise RecordingError(f"{path}:{number}: {error}") from error
        if line is not None:
            kept.append(_kept(line))
    return Head(**made.model_dump(exclude={"format"})), kept


def lacking(path: Path) -> str:
    """Return why a recording does not hold a whole run as it was written; '' where it does."""
    *lines, last = lines_of(path) or [""]
    try:
        end = json.loads(last)["end"]
        count, digest = end["exchanges"], end["digest"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "it breaks off before the end of its run"
    held = len(lines) - 1
    if held != count:
        return f"it holds {held} of the {count} exchanges of its run"
    made = sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    return "" if made == digest else "it was edited after its run"


def _kept(line: recorded.ExchangeLine) -> Kept:
    raw = line.response
    response = Response(raw.status, raw.headers, raw.body, raw.complete) if raw else None
    answer = Answer(response, line.failure, line.sent, line.received, line.connection)
    exchange = Exchange(
        -1, _asked(line), response, line.sent, line.received, line.operation, line.failure,
        line.principal,
    )  # fmt: skip
    return Kept(line.case, answer, line.at, exchange, line.salt)


def _asked(line: recorded.ExchangeLine) -> Request:
    """Return the request of a line; recordings of before have neither its headers nor its body."""
    raw = line.request
    return Request(line.method, line.target, raw.headers if raw else (), raw.body if raw else b"")


@dataclass
class RecordedClock:
    """Shows the time of the last answer that was played; waiting moves it on at once."""

    now: float = 0.0
    epoch: float = 0.0

    def monotonic(self) -> float:
        """Seconds on the clock of the recording machine."""
        return self.now

    def time(self) -> float:
        """Seconds since the epoch, as recorded."""
        return self.epoch

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.now += seconds
        self.epoch += seconds


@dataclass
class ReplayTransport:
    """Gives each case the answers that it got when it was recorded."""

    answers: Mapping[str, Sequence[Kept]]
    clock: RecordedClock
    suffix: str = ""
    """Marks the answers of another API of the same product: `@NAME`."""
    case: str = ""
    place: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    short: set[str] = field(default_factory=set)
    """Cases that asked for more answers than the recording holds."""

    def enter(self, case: str) -> None:
        """Begin a case: its answers come from its own list."""
        self.case = case + self.suffix

    def exchange(self, data: bytes, timeout: float, *, fresh: bool = False) -> Answer:
        """Return the next recorded answer of the case."""
        return self._next()

    def together(self, data: Sequence[bytes], timeout: float) -> list[Answer]:
        """Return as many recorded answers as there are requests."""
        return [self._next() for _ in data]

    def then(self, head: bytes, after: bytes, timeout: float) -> tuple[Answer, Answer | None]:
        """Return the answer to a HEAD, and the one behind it if the connection lived on."""
        first = self._next()
        mine, number = self.answers.get(self.case, ()), self.place[self.case]
        following = mine[number].exchange if number < len(mine) else None
        method = after.partition(b" ")[0].decode("latin-1")
        lives = following is not None and following.request.method == method
        return first, self._next() if lives else None

    def close(self) -> None:
        """Nothing to close."""

    def _next(self) -> Answer:
        number = self.place[self.case]
        mine = self.answers.get(self.case, ())
        if number >= len(mine):
            self.short.add(self.case)
            raise Inconclusive(SHORT)
        self.place[self.case] = number + 1
        kept = mine[number]
        self.clock.now = kept.answer.received
        self.clock.epoch = kept.at
        return kept.answer


def by_case(kept: Sequence[Kept]) -> dict[str, list[Kept]]:
    """Return the answers of each case instance, in order."""
    cases: dict[str, list[Kept]] = defaultdict(list)
    for each in kept:
        cases[each.case].append(each)
    return cases


def replayed(
    contract: Contract, head: Head, answers: Mapping[str, Sequence[Kept]]
) -> BackendSubject:
    """Return a subject whose backend is a recording; it cleans nothing up and sends nothing."""
    first = next((kept for each in answers.values() for kept in each), None)
    clock = RecordedClock(first.answer.sent, first.at) if first else RecordedClock()
    subject = BackendSubject(
        contract,
        head.base_url,
        [_named(p) for p in head.principals],
        seed=head.seed,
        read_only=head.read_only,
        hostile=head.hostile,
        exclude=head.excluded,
        deep=head.deep,
        fast=head.fast,
        clock=clock,
        transport=ReplayTransport(answers, clock),
        run_id=head.run_id,
        quota=Quota(*head.quota) if head.quota else None,
        restart=(lambda: None) if head.restart else None,
        also=dict.fromkeys(head.also, head.base_url),
    )
    subject.world.tidies = False
    subject.salts = salts(kept for each in answers.values() for kept in each)
    for sibling, api in zip(subject.siblings, head.also, strict=True):
        sibling.wire, sibling.clock = ReplayTransport(answers, clock, suffix=f"@{api}"), clock
        sibling.world.tidies, sibling.salts = False, subject.salts
    return subject


def salts(kept: Iterable[Kept]) -> dict[str, str]:
    """Return what made names differ, for each case that was not the first attempt."""
    return {k.case.partition("@")[0]: k.salt for k in kept if k.salt}


def _named(principal: str) -> str:
    """Return a stand-in for a key, as long as keys are: recordings hold none."""
    return f"{principal}=recorded-key-of-{principal}"


def judge(path: Path) -> BackendSubject:
    """Return a subject that plays a recording. Raises RecordingError or SpecError."""
    head, kept = read(path)
    contract = specs.load(head.api)
    try:
        return replayed(contract, head, by_case(kept))
    except ValueError as error:
        raise RecordingError(f"{path}:1: {error}") from error


def cases_in(path: Path) -> Iterator[str]:
    """Yield the case instances that a recording holds, in the order in which they began."""
    _, kept = read(path)
    yield from dict.fromkeys(
        k.case
        for k in kept
        if k.case not in ("probe", "standing", "clean-up") and "@" not in k.case
    )
