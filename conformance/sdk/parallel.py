"""Cases on several copies of one driver at once, where waits take real time.

A case that waits needs no processor, so there are more copies than cores. Each copy has a process
and a testbench of its own: one that dies, hangs or is ended takes nothing with it but its case.

What comes out does not depend on which copy took what, nor on how many there are. All runs of one
case in one mode are one unit, in order, because they tell each other what hung; what a unit
remembers stays in it; what units found is put together in the order of a run one after another.

A run that is ended from outside takes every driver away at once: what was under way is worth
nothing, because its driver was gone, and what was judged until then is kept.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from conformance.cases import Case, CaseResult, Interrupted
from conformance.drivers.process import DriverError
from conformance.progress import Progress
from conformance.sdk.reproduce import Witness
from conformance.sdk.subject import SdkSubject
from specs import Operation

COPIES = 8
"""Copies of a driver in real time, where nobody says how many."""
FAREWELL = 5.0
"""Seconds that an interrupted run waits for its copies to notice."""

Instance = tuple[Case, Operation | None, str]
Execute = Callable[[Case, SdkSubject, Operation | None, str], CaseResult]
Another = Callable[[], AbstractContextManager[SdkSubject]]
Unit = tuple[int, ...]
"""Places of instances in the run, in order."""


@dataclass
class _Record:
    """What one instance left behind."""

    result: CaseResult
    witnesses: dict[tuple[str, str], Witness]
    ran: dict[tuple[str, str, str], str]


@dataclass
class _Work:
    """What is to be done and what was done; every method may be called from any thread."""

    todo: Sequence[Instance]
    execute: Execute
    progress: Progress | None
    units: deque[Unit]
    done: dict[int, _Record] = field(default_factory=dict)
    subjects: list[SdkSubject] = field(default_factory=list)
    failed: BaseException | None = None
    ended: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> Unit | None:
        """Return a unit that nobody has taken, None where there is none left to do."""
        with self.lock:
            return None if self.ended or not self.units else self.units.popleft()

    def enter(self, subject: SdkSubject) -> None:
        """Take note of a copy, so that it can be ended; one that comes too late is ended here."""
        with self.lock:
            self.subjects.append(subject)
            ended = self.ended
        if ended:
            subject.driver.abandon()

    def end(self, why: BaseException | None = None) -> None:
        """Let no copy begin anything more, nor go on with what it is at: take its driver away."""
        with self.lock:
            self.ended, self.failed = True, self.failed or why
            subjects = list(self.subjects)
        for each in subjects:
            each.driver.abandon()

    def keep(self, place: int, record: _Record) -> None:
        """Take what an instance left behind, and say how far the run is; nothing after its end."""
        with self.lock:
            if self.ended:
                return
            self.done[place] = record
            if self.progress is not None:
                case, operation, _ = self.todo[place]
                what = f"{case.id} {operation.id if operation else ''}".strip()
                self.progress(len(self.done), len(self.todo) + 1, what)

    def through(self, subject: SdkSubject) -> None:
        """Do units on one copy until there are none left."""
        subject.seed = self.subjects[0].seed
        while (unit := self.next()) is not None:
            subject.plays, subject.hung = {}, set()
            for place in unit:
                if self.ended:
                    return
                subject.witnesses, subject.ran = {}, {}
                result = self.execute(self.todo[place][0], subject, *self.todo[place][1:])
                self.keep(place, _Record(result, subject.witnesses, subject.ran))


def run(
    subject: SdkSubject,
    todo: Sequence[Instance],
    execute: Execute,
    another: Another,
    copies: int = COPIES,
    progress: Progress | None = None,
) -> list[CaseResult]:
    """Run instances of cases on a subject and on copies of it; return their results in order.

    `another` makes a copy whose driver has not been started. A copy that cannot be started is
    done without. The subject has afterwards what it would have had from running all by itself:
    witnesses, coverage and counts. Raises Interrupted, with the results of what was finished, where
    it is ended from outside.
    """
    work = _Work(todo, execute, progress, deque(_units(todo)), subjects=[subject])
    wanted = min(copies, len(work.units)) - 1
    threads = [
        threading.Thread(target=_copy, args=(work, another), daemon=True, name=f"copy-{n + 2}")
        for n in range(wanted)
    ]
    for thread in threads:
        thread.start()
    try:
        work.through(subject)
        for thread in threads:
            thread.join()
    except BaseException as why:
        work.end(why)
        for thread in threads:
            thread.join(FAREWELL)
    if isinstance(work.failed, KeyboardInterrupt):
        raise Interrupted(_together(subject, work)) from None
    if work.failed is not None:
        raise work.failed
    return _together(subject, work)


def _units(todo: Sequence[Instance]) -> list[Unit]:
    """Return the places of each (case, mode), in the order in which they begin."""
    found: dict[tuple[str, str], list[int]] = {}
    for place, (case, _, mode) in enumerate(todo):
        found.setdefault((case.id, mode), []).append(place)
    return [tuple(places) for places in found.values()]


def _copy(work: _Work, another: Another) -> None:
    """Be one more copy, from its start to its end."""
    try:
        with another() as subject:
            work.enter(subject)
            try:
                _ = subject.hello
            except DriverError:
                return
            work.through(subject)
    except BaseException as why:  # handed to whoever waits for this thread
        work.end(why)


def _together(subject: SdkSubject, work: _Work) -> list[CaseResult]:
    """Give the subject all that was found, as if by itself; return the results in order."""
    subject.plays, subject.hung, subject.witnesses, subject.ran = {}, set(), {}, {}
    records = [work.done[place] for place in sorted(work.done)]
    for record in records:
        for key, witness in record.witnesses.items():
            subject.witnesses.setdefault(key, witness)
        for cell, note in record.ran.items():
            if subject.ran.get(cell) != "run":
                subject.ran[cell] = note
    for other in work.subjects[1:]:
        subject.exchanged += other.exchanged
        subject.virtual_seconds += other.virtual_seconds
        for case, seconds in dict(other.busy).items():
            subject.busy[case] = subject.busy.get(case, 0.0) + seconds
    return [record.result for record in records]
