"""A load run's entry in `results.json`, its details for charts, and its exit code.

Pure: figures in, values out. What a chart needs is here as plain series (seconds, counts), so
that a report can draw it without knowing histograms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from conformance.cases import CaseResult
from conformance.report.exit import decide
from conformance.report.results import Results, Run, SubjectEntry, summarise
from conformance.verdict import Verdict
from load.gates import Figures, judge
from load.record import Histogram, OperationTally
from specs.catalogue import Requirement, requirements

PERCENTS = {"p50": 50.0, "p75": 75.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
DECISIVE = (
    "load.generator", "load.evidence", "load.complete", "load.admission", "load.breakpoint",
    "load.storm", "load.pages", "load.against",
)  # fmt: skip
"""Cases without which a green run says nothing: one of them inconclusive is exit 5."""


def entry(
    figures: Figures,
    *,
    base_url: str,
    wall_seconds: float,
    catalogue: Mapping[str, Requirement] | None = None,
) -> SubjectEntry:
    """Return the judged entry of a run."""
    told = details(figures)
    results = judge(figures, told)
    told["undecided"] = _undecided(results)
    told["line"] = line(told)
    sent = figures.total().sent
    made = summarise(
        "load",
        figures.contract.api,
        f"{figures.contract.api} under {figures.profile.name}",
        results,
        catalogue or requirements(),
        version=figures.contract.version,
        base_url=base_url,
        wall_seconds=wall_seconds,
        details=told,
    )
    return made.model_copy(update={"counts": {**made.counts, "exchanges": sent}})


def exit_code(made: SubjectEntry) -> int:
    """Return the exit code of a run that was played to its end: the one that all suites share."""
    run = Run(tool="", started="", seconds=0, seed=0, command=())
    return int(decide(Results(run=run, subjects=(made,))).code)


def _undecided(results: Sequence[CaseResult]) -> str:
    """Return why a run says too little, however many of its gates hold; '' where it does not."""
    return next(
        (f"{r.case}: {r.reason}" for r in results
         if r.verdict is Verdict.INCONCLUSIVE and r.case in DECISIVE), "",
    )  # fmt: skip


def sentences(made: SubjectEntry) -> list[str]:
    """Return what a person is told at the end: every gate that broke or could not be judged."""
    lines = [f"{f.requirement} {f.message}" for f in made.findings]
    lines += [
        f"{c.case}: {c.verdict}: {c.reason}"
        for c in made.cases
        if c.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR) and c.reason
    ]
    return lines


def line(told: Mapping[str, Any]) -> str:
    """Return in a sentence what a run's details come to: what its kind of profile is run for."""
    search, limit = told.get("breakpoint"), told.get("rate-limit")
    if search and search["steps"]:
        return (
            f"{search['held']:g}/s is the highest rate that kept every gate; {search['why']}"
            if search["held"] else f"no rate kept every gate; {search['why']}"
        )  # fmt: skip
    if limit is not None and limit.get("admitted") is not None:
        return (
            f"{limit['admitted']} of {limit['sent']} requests to {limit['operation']} were let in, "
            f"where the quota is {limit['quota']}"
        )
    if "storm" in told:
        return "; ".join(map(_client, told["storm"]["groups"]))
    times = told["response"]
    if not times:
        return "no request was answered"
    failed = sum(told["errors"].values())
    return (
        f"{told['sent']:,} requests in {told['seconds']:g} s: p50 {times['p50'] * 1000:.1f} ms, "
        f"p99 {times['p99'] * 1000:.1f} ms from the intended starts; {failed:,} failed; "
        f"{told['ledger']['read-back']:,} of {told['ledger']['written']:,} acknowledged writes "
        "read back"
    )


def _client(group: Mapping[str, Any]) -> str:
    """Return what one kind of client did in an outage."""
    if group["problem"] or group["amplification"] is None:
        return f"{group['name']}: {group['problem'] or 'no call in the outage'}"
    recovery = group["recovery"]
    well = "never well again" if recovery is None else f"well again after {recovery:.1f} s"
    return f"{group['name']}: {group['amplification']:.1f} sends a call in the outage, {well}"


def details(figures: Figures) -> dict[str, Any]:
    """Return everything that only a load run has: figures, series, stages, the ledger."""
    tally, profile, total = figures.tally, figures.profile, figures.total()
    seconds = max(figures.seconds, 1e-9)
    return {
        "profile": profile.name,
        "kind": profile.kind,
        "summary": profile.summary,
        "arrival": profile.arrival,
        "users": profile.users,
        "workers": figures.workers_planned,
        "seconds": round(figures.seconds, 3),
        "planned": tally.numbers["planned"],
        "sent": total.sent,
        "answered": total.good + total.wrong,
        "limited": total.limited,
        "rate": round(total.sent / seconds, 2),
        "bytes": total.received,
        "errors": dict(total.errors.most_common()),
        "generator": _generator(figures, total),
        "connections": {
            "opened": tally.numbers["opened"],
            "closed-without-notice": tally.numbers["unannounced"],
        },
        "response": percentiles(total.response),
        "service": percentiles(total.service),
        "lag": percentiles(tally.lag),
        "curve": [[p, round(s, 6)] for p, s in total.response.curve()],
        "service-curve": [[p, round(s, 6)] for p, s in total.service.curve()],
        "series": series(figures),
        "stages": [
            {
                "name": s.stage.name,
                "start": s.start,
                "end": s.end,
                "rate": s.stage.rate,
                "to": s.stage.end,
                "planned": round(s.stage.planned),
                "taken": tally.stages[s.stage.name],
            }
            for s in figures.schedule.spans
        ],
        "operations": {n: _operation(t) for n, t in sorted(tally.operations.items())},
        "excluded": {e.operation: e.reason for e in figures.plan.excluded},
        "ledger": {
            k: tally.numbers[k]
            for k in ("written", "read-back", "unread", "lost", "unfound", "duplicated", "altered",
                      "resurrected", "deleted", "unsure", "cleaned")
        },
        "notes": tally.notes,
        "leftovers": _leftovers(figures),
        **({"foreign": dict(figures.foreign)} if figures.foreign else {}),
        "histogram": _encoded(total.response),
        **tally.facts,
    }  # fmt: skip


def _leftovers(figures: Figures) -> list[str]:
    """Return in words what the run made and did not delete."""
    if figures.interrupted and figures.total().sent:
        return ["what the run wrote: it was ended before it could delete that"]
    return [
        f"{count:,} of kind {name.removeprefix('left ')} that the run made"
        for name, count in sorted(figures.tally.numbers.items())
        if name.startswith("left ") and count
    ]


def _generator(figures: Figures, total: OperationTally) -> dict[str, float]:
    """Return what the run cost the generator: processor seconds of all workers."""
    seconds = figures.tally.numbers["cpu-micros"] / 1e6
    return {
        "cpu-seconds": round(seconds, 3),
        "requests-per-cpu-second": round(total.sent / seconds, 1) if seconds else 0.0,
    }


def percentiles(times: Histogram) -> dict[str, float]:
    """Return mean, the usual percentiles and the maximum, in seconds."""
    if not times.total:
        return {}
    values = times.percentiles([*PERCENTS.values(), 100.0])
    found = dict(zip([*PERCENTS, "max"], (round(v, 6) for v in values), strict=True))
    return {"mean": round(times.mean(), 6), **found}


def series(figures: Figures) -> list[dict[str, float]]:
    """Return the run over time: planned, sent, answered, failed per second, and percentiles.

    A stretch in which nothing was answered has no percentiles.
    """
    made = []
    width = figures.tally.series.width
    for index, point in sorted(figures.tally.series.points.items()):
        start = index * width
        times = Histogram(point.times)
        planned = figures.schedule.planned(start + width) - figures.schedule.planned(start)
        if not (point.sent or planned):
            continue
        each = {
            "t": start,
            "planned": round(planned / width, 3),
            "sent": round(point.sent / width, 3),
            "answered": round(point.answered / width, 3),
            "failed": round(point.failed / width, 3),
            "limited": round(point.limited / width, 3),
        }
        if times.total:
            p50, p99 = times.percentiles([50, 99])
            each |= {"p50": round(p50, 6), "p99": round(p99, 6)}
        made.append(each)
    return made


def _operation(tally: OperationTally) -> dict[str, Any]:
    return {
        "sent": tally.sent,
        "judged": tally.judged,
        "wrong": tally.wrong,
        "limited": tally.limited,
        "refused": tally.refused,
        "errors": dict(tally.errors),
        "bytes": tally.received,
        "response": percentiles(tally.response),
        "service": percentiles(tally.service),
    }


def _encoded(times: Histogram) -> str:
    """Return the response times in HdrHistogram's compressed log format, base64."""
    if not times.total:
        return ""
    encoded = times.hdr().encode()
    return encoded.decode() if isinstance(encoded, bytes) else str(encoded)
