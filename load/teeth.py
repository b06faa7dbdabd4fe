"""Proof that the gates can fail: each load defect dies by its gate, the references pass.

`kill` puts the defective relay in front of the embedded backend and runs a short profile on it as
any other run: in a child process, by `load.runner.run`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]

import specs
from conformance.clock import monotonic
from conformance.contained import folder as temporary_folder
from conformance.reference.backend.server import Embedded
from conformance.reference.defects import Defect, Defects
from conformance.report.results import SubjectEntry
from conformance.teeth import Kill
from conformance.verdict import Verdict
from load.defects import DEFECTS, Wrong
from load.profile import HERE
from load.result import exit_code, sentences
from load.runner import LoadError, run

SHORT = HERE / "teeth" / "short.toml"
MANY = HERE / "teeth" / "many.toml"
TWO_KEYS = frozenset({"load.foreign-answer"})
LIMIT = HERE / "teeth" / "limit.toml"
LIMITED = {
    "load.over-admits": "40/2",
    "load.turns-away-early": "40/2",
    "load.early-retry-after": "40/5",
    "load.no-retry-after": "40/2",
    "load.bare-refusals": "40/2",
}
"""Defects of admission, with the limit that the backend has under them."""
WALKS = HERE / "teeth" / "walks.toml"
STORM = HERE / "teeth" / "storm.toml"
AGAIN = HERE / "teeth" / "again.toml"
PROFILES = {
    "load.leak-that-slows": HERE / "teeth" / "drift.toml",
    "load.wrong-body-in-1000": MANY,
    "load.drops-page-ends": WALKS,
    "load.repeats-items": WALKS,
    "load.breaks-early": HERE / "teeth" / "search.toml",
    "load.slows-with-data": HERE / "teeth" / "fades.toml",
    "load.recovers-late": STORM,
    "load.bytes-after-body-to-sdks": STORM,
    **dict.fromkeys(LIMITED, LIMIT),
}
WORKER_DIES = "load.worker-dies"
CLIENT_STORMS = "load.client-storms"
STARVES = "load.generator-starves"
SLOWER = "load.slower-than-before"

__all__ = ["DEFECTS", "kill", "references"]


def kill(defect: Defect) -> Kill:
    """Run a short profile on a target with one defect and return which cases failed."""
    contract = specs.load(defect.api)
    active = Defects.of([defect.id])
    with (
        Embedded(process=True, rate_limit=LIMITED.get(defect.id)) as backend,
        Wrong(backend.url_for(defect.api), contract, defect.id, active) as wrong,
    ):
        keys = backend.keys if defect.id in TWO_KEYS else backend.keys[:1]
        profile = PROFILES.get(defect.id, SHORT)
        try:
            if defect.id == WORKER_DIES:
                made = _under_way(_kill_a_worker, wrong, active, keys, profile, processes=2)
            elif defect.id == CLIENT_STORMS:
                made = _with_storming_client(wrong, active, keys)
            elif defect.id == STARVES:
                made = _under_way(_starve, wrong, active, keys, profile)
            elif defect.id == SLOWER:
                made = _after_a_better_run(backend, wrong, keys)
            else:
                made = run(wrong.url, defect.api, keys, profile)
        except LoadError as error:
            return Kill(defect, (), defect.id in active.exercised, f"no result: {error}")
    return Kill(defect, _failed(made, defect), defect.id in active.exercised,
                "; ".join(sentences(made))[:400])  # fmt: skip


def references(seed: int) -> Iterator[tuple[str, bool, str]]:
    """Run smoke on each API of the perfect backend; yield (api, clean, what was found)."""
    with Embedded(process=True) as backend:
        for api in specs.names():
            made = run(backend.url_for(api), api, backend.keys[:1], "smoke", seed=seed)
            told = "; ".join(sentences(made))
            yield api, exit_code(made) == 0 and made.verdict is Verdict.PASS, told


def _failed(made: SubjectEntry, defect: Defect) -> tuple[str, ...]:
    """Return the cases that failed; a run that a dead worker leaves inconclusive counts as seen."""
    wanted = {Verdict.FAIL}
    if defect.requirement in ("LD4", "LD10", "LD13"):
        wanted.add(Verdict.INCONCLUSIVE)
    return tuple(c.case for c in made.cases if c.verdict in wanted)


def _with_storming_client(wrong: Wrong, active: Defects, keys: list[str]) -> SubjectEntry:
    """Let a reference SDK with two defects of its own take part in a storm."""
    driver = shlex.join([
        sys.executable, "-m", "conformance.reference.sdk", "--clock", "real",
        "--api", str(wrong.contract.path), "--defect", "retry.once-more",
        "--defect", "backoff.none",
    ])  # fmt: skip
    with temporary_folder("teeth") as folder:
        profile = Path(folder) / "storm.toml"
        told = f"[storm]\ndrivers = [{json.dumps(driver)}]\n"
        profile.write_text(STORM.read_text("utf-8").replace("[storm]\n", told), "utf-8")
        made = run(wrong.url, wrong.contract.api, keys, profile)
    groups = made.details["storm"]["groups"]
    _ = any(g["name"] == driver and g["sends_during"] for g in groups) and CLIENT_STORMS in active
    return made


def _after_a_better_run(backend: Embedded, wrong: Wrong, keys: list[str]) -> SubjectEntry:
    """Run on the right backend, then on the wrong one, and compare."""
    api = wrong.contract.api
    with temporary_folder("teeth") as folder:
        run(backend.url_for(api), api, keys, AGAIN, folder)
        return run(wrong.url, api, keys, AGAIN, against=Path(folder) / "results.json")


Harm = Callable[[Wrong, Defects, str, threading.Event], None]
"""What is done to a generator under way: (relay, defects, mark on its command line, over)."""


def _under_way(
    harm: Harm, wrong: Wrong, active: Defects, keys: list[str], profile: Path,
    processes: int | None = None,
) -> SubjectEntry:  # fmt: skip
    """Run, and do harm to the generator meanwhile."""
    with temporary_folder("teeth") as folder:
        mark = f"memconform-{os.getpid()}-{int(monotonic() * 1e9)}"
        over = threading.Event()
        harming = threading.Thread(target=harm, args=(wrong, active, mark, over))
        harming.start()
        try:
            out = Path(folder) / mark
            return run(wrong.url, wrong.contract.api, keys, profile, out, processes=processes)
        finally:
            over.set()
            harming.join()


def _generators(wrong: Wrong, mark: str, over: threading.Event) -> Iterator[psutil.Process]:
    """Wait until requests flow; yield the process whose command line carries the mark."""
    while wrong.memory.count < 20:
        if over.wait(0.02):
            return
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = child.cmdline()
            # what contains the generator has its command line too
            watches = any(word.endswith("supervise.py") for word in line)
            if not watches and any(mark in word for word in line):
                yield child


def _kill_a_worker(wrong: Wrong, active: Defects, mark: str, over: threading.Event) -> None:
    """Kill (SIGKILL) a process whose parent is the run's master, as soon as requests flow."""
    for master in _generators(wrong, mark, over):
        with contextlib.suppress(psutil.Error):
            workers = master.children()
            if workers:
                workers[-1].kill()
                _ = WORKER_DIES in active
                return


def _starve(wrong: Wrong, active: Defects, mark: str, over: threading.Event) -> None:
    """Stop the generator (SIGSTOP) for most of each second until the run is over."""
    for child in _generators(wrong, mark, over):
        while not over.wait(0.3):
            with contextlib.suppress(psutil.Error):
                child.suspend()
                _ = STARVES in active
                over.wait(0.7)
                child.resume()
