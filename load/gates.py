"""Gates: what a run's figures must keep, each judged as a case with a sentence in words.

A gate is a pure function of the figures; it yields findings, or raises Inconclusive where the
figures say nothing. Gates run on the master only, after every worker's last report, through the
same `conformance.cases.execute` as every other case. Nothing here measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from conformance.cases import CaseResult, Registry, execute
from conformance.verdict import Finding, Inconclusive, NotApplicable
from load import against
from load.plan import Plan
from load.profile import Gates, Latency, Profile
from load.record import Histogram, OperationTally, Point, Tally
from load.schedule import Schedule
from specs import Basis, Contract

CASES = Registry("load")
PLANNED = ("open", "breakpoint", "pagination")
"""Kinds of profile that plan a rate."""
OPEN = "the run goes on"
"""Why nothing is said yet of what only the end of a run can tell."""
SETTLED = 10
"""Answers of an operation from which on its median is compared with others'."""
STRETCHES = against.ENOUGH
"""Stretches of time that the beginning and the end of a run must each have, to tell a drift."""


@dataclass
class Figures:
    """All that gates may look at."""

    contract: Contract
    profile: Profile
    plan: Plan
    schedule: Schedule
    tally: Tally
    workers_planned: int = 1
    workers_done: int = 1
    seconds: float = 0.0
    """Length of the time line as it was run."""
    interrupted: str = ""
    """Why the run ended early; '' where it did not."""
    problems: list[str] = field(default_factory=list)
    """Errors of our own."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """The run's figures as they stand in the result."""
    running: bool = False
    """True while the run goes on: what only its end can tell is left open."""
    foreign: Mapping[str, Any] = field(default_factory=dict)
    """What became of the records that were there before the run."""
    against: Mapping[str, Any] | None = None
    """Decoded `results.json` of an earlier run to compare with."""
    virtual_seconds: float = 0.0

    @property
    def exchanged(self) -> int:
        """Requests sent, as `conformance.cases` counts them."""
        return 0

    @property
    def gates(self) -> Gates:
        """The profile's gates."""
        return self.profile.gates

    def total(self) -> OperationTally:
        """Counts of all operations together."""
        return self.tally.total()


def _finding(
    requirement: str, cause: str, message: str, expected: object = None, actual: object = None,
    operation: str | None = None,
) -> Finding:  # fmt: skip
    return Finding(
        requirement, message, operation=operation, expected=expected, actual=actual,
        basis=Basis.DOCUMENTED, cause=cause,
    )  # fmt: skip


def _over(figures: Figures) -> None:
    if figures.running:
        raise Inconclusive(OPEN)


def _need(figures: Figures) -> OperationTally:
    total = figures.total()
    if not total.sent:
        _over(figures)
        if not figures.workers_done:
            raise Inconclusive("no worker sent its last report, so nothing is known of the run")
        raise Inconclusive("no request of the schedule was sent, so there is nothing to judge")
    return total


@CASES.case("load.latency", "LD1")
def latency(figures: Figures) -> Iterator[Finding]:
    """Response times, counted from the intended starts, stay within the profile's limits."""
    total = _need(figures)
    gates = figures.gates
    _trust(figures)
    if figures.profile.kind == "retry-storm":
        raise NotApplicable("calls of SDKs wait on purpose while the backend fails")
    if not gates.latency.limits() and not gates.operation and gates.slowest_over_median is None:
        raise NotApplicable("the profile sets no latency gate")
    if not total.response.total:
        raise Inconclusive("no request was answered, so there are no times to judge")
    thin: list[str] = []
    found = [*_slower(figures, "", total.response, gates.latency, thin)]
    for name, limits in gates.operation.items():
        if name in figures.tally.operations:
            times = figures.tally.operations[name].response
            found += _slower(figures, name, times, limits, thin)
    if gates.slowest_over_median is not None:
        found += _one_slow(figures, gates.slowest_over_median)
    yield from found
    if thin and not found:
        raise Inconclusive("; ".join(thin))


def _trust(figures: Figures) -> None:
    """Times that the generator itself made longer say nothing of the server."""
    limit = figures.gates.lag
    if limit is not None and figures.tally.lag.percentile(99) > limit:
        raise Inconclusive("the generator was the bottleneck, so its times say nothing")


def _slower(
    figures: Figures, operation: str, times: Histogram, limits: Latency, thin: list[str]
) -> Iterator[Finding]:
    """Yield the percentiles that lie too high; append in words which the figures do not show.

    That is where too few answers lie beyond one, or the generator itself was late there.
    """
    where = f"{operation}: " if operation else ""
    for name, percentile, limit in limits.limits():
        reached, lag = times.percentile(percentile), figures.tally.lag.percentile(percentile)
        beyond = (100 - percentile) / 100 * times.total
        if reached > limit and percentile < 100 and beyond < 1 - 1e-9:
            thin.append(
                f"{where}the slowest answer took {_time(times.percentile(100))}, but "
                f"{times.total} answers have no {name} to hold to {_time(limit)}: at least "
                f"{100 / (100 - percentile):.0f} are wanted"
            )
        elif reached > limit >= reached - lag:
            thin.append(
                f"{where}the response time's {name} is {_time(reached)}, but the generator itself "
                f"was {_time(lag)} late at its {name}; use more --processes, or a quieter machine"
            )
        elif reached > limit:
            yield _finding(
                "LD1", f"latency {operation} {name}".strip(),
                f"{where}the response time's {name} is {_time(reached)}; "
                f"the gate allows {_time(limit)}",
                f"at most {_time(limit)}", _time(reached), operation or None,
            )  # fmt: skip


def _one_slow(figures: Figures, factor: float) -> Iterator[Finding]:
    medians = {
        name: tally.service.percentile(50)
        for name, tally in figures.tally.operations.items()
        if tally.service.total >= SETTLED
    }
    if len(medians) < 3:
        return
    usual = median(medians.values())
    for name, reached in medians.items():
        if reached > 0.05 and reached > factor * usual:
            yield _finding(
                "LD1", f"slow-operation {name}",
                f"{name} takes {_time(reached)} at its median where the operations' usual is "
                f"{_time(usual)}",
                f"at most {factor:g} times the usual", _time(reached), name,
            )  # fmt: skip


@CASES.case("load.against", "LD1")
def not_worse(figures: Figures) -> Iterator[Finding]:
    """The run is not worse than the earlier one that it is compared with, beyond noise."""
    if figures.against is None:
        raise NotApplicable("no earlier result was given to compare with")
    _over(figures)
    try:
        api, profile = figures.contract.api, figures.profile.name
        before = against.previous(figures.against, api, profile)
        found = against.compare(before, figures.details)
    except against.Incomparable as why:
        raise Inconclusive(str(why)) from why
    for worse in found:
        told = f"{worse.before:.2%}", f"{worse.now:.2%}"
        if worse.what != "errors":
            told = _time(worse.before), _time(worse.now)
        yield _finding(
            "LD1", f"worse {worse.what}",
            f"{worse.what} went from {told[0]} to {told[1]} since the earlier run; noise alone "
            f"shows so much {_odds(worse.chance)}",
            f"as before: {told[0]}", told[1],
        )  # fmt: skip


@CASES.case("load.drift", "LD1")
def drift(figures: Figures) -> Iterator[Finding]:
    """The median at the end is not much above the median at the beginning."""
    limit = figures.gates.drift
    if limit is None:
        raise NotApplicable("the profile sets no drift gate")
    points = [p for _, p in sorted(figures.tally.series.points.items()) if p.times]
    if len(points) < 2 * STRETCHES:
        _over(figures)
        raise Inconclusive(
            f"answers came in {len(points)} stretches of {figures.tally.series.width} s; at least "
            f"{2 * STRETCHES} are wanted to tell a drift from a hiccup"
        )
    size = max(len(points) // 4, STRETCHES)
    first, last = points[:size], points[-size:]
    before, after = _median(*first), _median(*last)
    if after <= limit * max(before, 0.002):
        return
    chance = against.rank_test([_median(p) for p in first], [_median(p) for p in last])
    grown = f"the median response time grew from {_time(before)} to {_time(after)} over the run"
    if chance >= against.CERTAIN:
        raise Inconclusive(f"{grown}, but not steadily: noise shows so much {_odds(chance)}")
    yield _finding(
        "LD1", "drift", grown, f"at most {limit:g} times the beginning's", _time(after)
    )  # fmt: skip


def _median(*points: Point) -> float:
    times = Histogram()
    for point in points:
        times.merge_counts(point.times)
    return times.percentile(50)


def _odds(chance: float) -> str:
    """Return in words how often noise alone shows as much."""
    return (
        f"once in {1 / chance:,.0f} runs" if chance > 1e-6 else "less than once in a million runs"
    )


@CASES.case("load.errors", "LD2")
def errors(figures: Figures) -> Iterator[Finding]:
    """No more requests fail than the error budget allows."""
    total = _need(figures)
    budget = figures.gates.errors
    if budget is None:
        raise NotApplicable("the profile sets no error budget")
    failed = total.failed
    if failed > budget * total.sent:
        kinds = _kinds(figures)
        yield _finding(
            "LD2", "errors",
            f"{failed} of {total.sent} requests failed ({kinds}); the budget is {budget:.3%}",
            f"at most {budget:.3%}", f"{failed / total.sent:.3%}",
        )  # fmt: skip
    for kind, share in figures.gates.errors_by_kind.items():
        count = total.errors.get(kind, 0)
        if count > share * total.sent:
            yield _finding(
                "LD2", f"errors {kind}",
                f"{count} of {total.sent} requests failed as {kind}; the budget is {share:.3%}",
                f"at most {share:.3%}", f"{count / total.sent:.3%}",
            )  # fmt: skip
    yield from _seen(figures, "LD2")
    yield from _closed(figures, total)


def _kinds(figures: Figures) -> str:
    """Return the most frequent kinds of failure with their operations, in words."""
    counted = sorted(
        (
            (count, kind, name)
            for name, tally in figures.tally.operations.items()
            for kind, count in tally.errors.items()
        ),
        reverse=True,
    )
    told = ", ".join(f"{count} {kind} on {name}" for count, kind, name in counted[:4])
    return f"{told} and {len(counted) - 4} more" if len(counted) > 4 else told


def _closed(figures: Figures, total: OperationTally) -> Iterator[Finding]:
    allowed = figures.gates.closed_connections
    closed = figures.tally.numbers["unannounced"]
    if allowed is not None and closed > max(2, allowed * total.sent):
        yield _finding(
            "LD2", "unannounced-closes",
            f"the server closed {closed} kept connections right after an answer without saying "
            "`Connection: close`",
            f"at most {allowed:.1%} of requests", f"{closed / total.sent:.1%}",
        )  # fmt: skip


@CASES.case("load.throughput", "LD3")
def throughput(figures: Figures) -> Iterator[Finding]:
    """As many requests are answered as the schedule planned."""
    total = _need(figures)
    wanted = figures.gates.throughput
    planned = figures.tally.numbers["planned"]
    _over(figures)
    if wanted is None or figures.profile.kind not in PLANNED or not planned:
        raise NotApplicable("the profile plans no rate")
    if figures.workers_done < figures.workers_planned:
        raise Inconclusive("a worker's counts are missing, so throughput cannot be told")
    answered = total.sent - sum(
        n for kind, n in total.errors.items() if not kind.startswith("http-")
    )
    if answered < wanted * planned:
        yield _finding(
            "LD3", "throughput",
            f"{answered} of {planned} planned requests were answered",
            f"at least {wanted:.0%}", f"{answered / planned:.1%}",
        )  # fmt: skip


@CASES.case("load.generator", "LD4")
def generator(figures: Figures) -> Iterator[Finding]:
    """The generator kept its schedule, so the times are the server's."""
    _need(figures)
    limit = figures.gates.lag
    if limit is None:
        raise NotApplicable("the profile sets no bound on the generator's lag")
    lag = figures.tally.lag.percentile(99)
    if lag > limit:
        raise Inconclusive(
            f"the generator was the bottleneck: it sent {_time(lag)} late at p99, where "
            f"{_time(limit)} is allowed; use more --processes or machines, or a lower rate"
        )
    yield from ()


@CASES.case("load.answers", "LD5")
def answers(figures: Figures) -> Iterator[Finding]:
    """Every answer under load keeps what the contract promises of it."""
    _need(figures)
    allowed = figures.gates.findings
    if allowed is None:
        raise NotApplicable("the profile does not gate findings")
    seen = [
        s for (requirement, cause), s in figures.tally.findings.items()
        if requirement in ("LD5", "LD12") and not cause.startswith("walk-")
    ]  # fmt: skip
    if len(seen) <= allowed:
        return
    for each in seen:
        times = f" ({each.count} times)" if each.count > 1 else ""
        yield each.finding.at(message=each.finding.message + times)


@CASES.case("load.lost", "LD6")
def lost(figures: Figures) -> Iterator[Finding]:
    """No write that was acknowledged is missing afterwards."""
    found = [*_seen(figures, "LD6")]
    yield from found
    yield from _unless(found, _ledger(figures, "lost", "LD6", figures.gates.lost))
    unfound = figures.tally.numbers["unfound"]
    if unfound > (figures.gates.lost or 0):
        yield _finding(
            "LD6", "unfound",
            f"{unfound} of {figures.tally.numbers['checked-lost']} acknowledged writes are not "
            "found by a search for their own text",
            figures.gates.lost, unfound,
        ).at(basis=Basis.ASSUMED)  # fmt: skip


@CASES.case("load.duplicated", "LD7")
def duplicated(figures: Figures) -> Iterator[Finding]:
    """No write that was acknowledged once is there twice."""
    found = [*_seen(figures, "LD7")]
    yield from found
    yield from _unless(found, _ledger(figures, "duplicated", "LD7", figures.gates.duplicated))


@CASES.case("load.altered", "LD12")
def altered(figures: Figures) -> Iterator[Finding]:
    """No acknowledged write is changed afterwards, and nothing deleted comes back."""
    found = [*_ledger(figures, "altered", "LD12", figures.gates.altered)]
    yield from found
    deleted = figures.tally.numbers["checked-resurrected"]
    if deleted:
        yield from _unless(
            found, _ledger(figures, "resurrected", "LD12", figures.gates.resurrected)
        )


def _unless(found: list[Finding], rest: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the rest; that it cannot be judged does not take back what was found."""
    try:
        yield from rest
    except (Inconclusive, NotApplicable):
        if not found:
            raise


def _seen(figures: Figures, requirement: str) -> Iterator[Finding]:
    """Yield what was seen of a requirement while the load lasted."""
    for (broken, _), seen in figures.tally.findings.items():
        if broken == requirement:
            times = f" ({seen.count} times)" if seen.count > 1 else ""
            yield seen.finding.at(message=seen.finding.message + times)


_WORDS = {
    "lost": "acknowledged writes are missing",
    "duplicated": "acknowledged writes are there more than once",
    "altered": "acknowledged writes read differently",
    "resurrected": "deleted resources are there again",
}


def _ledger(
    figures: Figures, what: str, requirement: str, allowed: int | None
) -> Iterator[Finding]:
    numbers = figures.tally.numbers
    if allowed is None or not figures.profile.ledger:
        raise NotApplicable("the profile does not read writes back")
    _over(figures)
    if not numbers["written"]:
        raise NotApplicable("the run wrote nothing that can be read back")
    if numbers["unread"] and not numbers[what]:
        raise Inconclusive(
            f"{numbers['unread']} of {numbers['written']} acknowledged writes "
            "could not be read back"
        )
    if what == "duplicated" and numbers["unwalked"] and not numbers[what]:
        told = [n for n in figures.tally.notes if "could not be walked" in n]
        raise Inconclusive(told[0] if told else "a list could not be walked to its end")
    if not numbers[f"checked-{what}"]:
        raise NotApplicable("the contract gives no way to read this back")
    if numbers[what] > allowed:
        yield _finding(
            requirement, what,
            f"{numbers[what]} of {numbers[f'checked-{what}']} checked: {_WORDS[what]}",
            allowed, numbers[what],
        )  # fmt: skip


@CASES.case("load.breakpoint", "LD3")
def breakpoint_(figures: Figures) -> Iterator[Finding]:
    """The highest rate that keeps every gate was found, and is at least what is wanted."""
    if figures.profile.kind != "breakpoint":
        raise NotApplicable("the profile searches no breakpoint")
    found = figures.tally.facts.get("breakpoint", {})
    wanted, held = figures.gates.breakpoint, found.get("held", 0.0)
    steps = found.get("steps", ())
    if steps and steps[-1]["held"] is None:
        raise Inconclusive(f"{found['why']}; at least {held:g}/s was held")
    if not held:
        raise Inconclusive(f"no rate held every gate: {found.get('why', 'nothing was tried')}")
    if wanted is not None and held < wanted:
        yield _finding(
            "LD3", "breakpoint",
            f"{held:g}/s is the highest rate that keeps every gate ({found['why']})",
            f"at least {wanted:g}/s", f"{held:g}/s",
        )  # fmt: skip


@CASES.case("load.admission", "LD9")
def admission(figures: Figures) -> Iterator[Finding]:
    """At the rate limit exactly the quota is let in, and who waited as told is let in again."""
    if figures.profile.kind != "rate-limit" or figures.gates.over_admitted is None:
        raise NotApplicable("the profile does not drive the rate limit")
    found = [*_seen(figures, "LD9")]
    allowed = figures.gates.over_admitted
    yield from (
        f for f in found
        if f.cause != "over-admitted" or figures.tally.numbers["over-admitted"] > allowed
    )  # fmt: skip
    unreached = figures.tally.facts.get("rate-limit", {}).get("unreached")
    if unreached and not found:
        raise Inconclusive(unreached)


@CASES.case("load.pages", "LD5")
def pages(figures: Figures) -> Iterator[Finding]:
    """Walks from the first page to the last see what stays, once each."""
    if figures.profile.kind != "pagination":
        raise NotApplicable("the profile walks no lists")
    lists = figures.tally.facts.get("pages", {}).get("lists", {})
    if not lists:
        raise NotApplicable("the contract has no paged list of what the run can make")
    for (requirement, cause), seen in figures.tally.findings.items():
        if requirement == "LD5" and cause.startswith("walk-"):
            yield seen.finding
    empty = [name for name, each in lists.items() if not each["stays"]]
    unwalked = [n for n, each in lists.items() if each["unwalked"] == each["walks"]]
    if empty or unwalked:
        raise Inconclusive(f"nothing could be walked of {', '.join(empty or unwalked)}")


@CASES.case("load.storm", "LD11")
def storm(figures: Figures) -> Iterator[Finding]:
    """Clients of a failing backend send no more than their contract allows, and recover."""
    if figures.profile.kind != "retry-storm":
        raise NotApplicable("the profile makes no outage")
    groups = figures.tally.facts.get("storm", {}).get("groups", [])
    found = [*_seen(figures, "LD11")]
    yield from found
    judged = [g for g in groups if g["amplification"] is not None and not g["problem"]]
    untold = [f"{g['name']}: {g['problem'] or 'it made no call'}" for g in groups
              if g not in judged]  # fmt: skip
    if found:
        return
    if len(judged) < 2:
        raise Inconclusive(f"too few clients took part: {'; '.join(untold) or 'none'}")
    if untold:
        raise Inconclusive(f"nothing can be said of {'; '.join(untold)}")
    if not any(g["amplification"] > 5 for g in groups if g["name"].startswith("naive")):
        raise Inconclusive("even a client that never stops was not slowed: no storm was made")


@CASES.case("load.in-flight", "LD8")
def in_flight(figures: Figures) -> Iterator[Finding]:
    """No request is without an answer when the run ends."""
    _need(figures)
    allowed = figures.gates.in_flight
    if allowed is None:
        raise NotApplicable("the profile does not gate requests in flight")
    hanging = figures.tally.numbers["in-flight"]
    if hanging > allowed:
        yield _finding(
            "LD8", "in-flight",
            f"{hanging} requests had no answer {figures.profile.drain:g} s after the schedule",
            f"at most {allowed}", hanging,
        )  # fmt: skip


@CASES.case("load.evidence", "LD10")
def evidence(figures: Figures) -> Iterator[Finding]:
    """Every operation of the plan has enough judged answers to speak of."""
    _over(figures)
    total = figures.total()
    wanted = figures.gates.evidence
    allowed = figures.gates.limited if figures.profile.kind != "rate-limit" else None
    if total.sent and allowed is not None and total.limited > allowed * total.sent:
        raise Inconclusive(
            f"{total.limited} of {total.sent} requests were turned away by the rate limit; "
            "give more --api-key, raise the limit, or lower the profile's rate"
        )
    thin = {
        task.name: figures.tally.of(task.name).judged
        for task in figures.plan.tasks
        if figures.tally.of(task.name).judged < wanted
    }
    if thin:
        shown = ", ".join(f"{name} {count}" for name, count in sorted(thin.items())[:6])
        more = f" and {len(thin) - 6} more" if len(thin) > 6 else ""
        raise Inconclusive(
            f"too little evidence: at least {wanted} judged answers are wanted of every "
            f"operation, these have fewer: {shown}{more}"
        )
    yield from ()


@CASES.case("load.complete", "LD13")
def complete(figures: Figures) -> Iterator[Finding]:
    """All planned stages ran, on all workers, to their end."""
    _over(figures)
    if figures.problems:
        raise RuntimeError("; ".join(figures.problems[:3]))
    if figures.interrupted:
        raise Inconclusive(f"the run was ended early: {figures.interrupted}")
    if figures.workers_done < figures.workers_planned:
        raise Inconclusive(
            f"{figures.workers_planned - figures.workers_done} of {figures.workers_planned} "
            "workers never sent their last report: what they measured is missing"
        )
    for stage in figures.profile.stages:
        ran = figures.tally.stages[stage.name] or stage.planned < 1
        if figures.profile.kind == "open" and not ran:
            raise Inconclusive(f"the stage {stage.name!r} never ran")
    yield from ()


def judge(figures: Figures, details: Mapping[str, Any] | None = None) -> list[CaseResult]:
    """Return what each gate says; `details` are the run's own, to compare with earlier ones."""
    figures.details = details or {}
    return [execute(case, figures) for case in CASES]


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
