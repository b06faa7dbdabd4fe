"""One run in one process: options in, engine made, tallies merged, entry out.

What master, worker and single process share. It knows nothing of Locust; `users.py` wires it to
Locust's events.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import specs
from conformance.backend import words
from conformance.backend.requests import NOTHING
from conformance.backend.trust import SYSTEM, Trust
from conformance.clock import epoch_seconds, perf_counter, utc_now
from conformance.contained import ran
from conformance.history import Headers
from conformance.option_kinds import Credentials
from conformance.options import Given, secrets
from conformance.report import run as report_run
from conformance.report.results import Results, SubjectEntry
from load import breakpoint as breakpoint_
from load import ledger, pages, quota, request_ids
from load.call import Origin, origin
from load.census import Census
from load.engine import Engine, OnFlush, Wire
from load.gates import Figures
from load.lane import Lane
from load.plan import Plan, make_plan
from load.profile import Profile, length, load_profile, within
from load.record import Tally, unpack
from load.result import entry
from load.schedule import Schedule, from_profile
from load.transport_fast import Connection
from specs import Contract
from specs.exclusions import chosen
from specs.proxies import proxy_for
from specs.reading import joined


@dataclass(frozen=True)
class Options:
    """What a run is told, checked."""

    api: str
    base_url: str
    keys: tuple[str, ...]
    """Keys of tenants, which share the load."""
    profile: str
    seed: int = 0
    out: Path | None = None
    trust: Trust = SYSTEM
    headers: Headers = ()
    """What goes out with every request."""
    timeout: float | None = None
    """Seconds that an answer may take; None: as the profile says."""
    against: Path | None = None
    """An earlier `results.json` to compare with."""
    limited: str | None = None
    """A key that may be used up to find the rate limit."""
    secrets: tuple[str, ...] = ()
    """Every word that no output may show: all keys, also those that a load run has no use for."""
    quota: str | None = None
    """REQUESTS/SECONDS, where answers do not say it."""
    seconds: float | None = None
    """What a longer profile is shortened to."""
    only: tuple[str, ...] = ()
    """Operations to send, and no other; empty for all."""
    exclude: tuple[str, ...] = ()
    """Operations never to send."""


def read(given: Given, base_url: str) -> Options:
    """Return a run's options from the checked ones of a command line."""
    return Options(
        api=joined(given["api"], given["overlay"]) if given["api"] else given["api"],
        base_url=base_url,
        profile=given["load-profile"],
        seed=given["seed"],
        out=given["out"],
        trust=Trust(given["ca"], given["insecure"]),
        headers=tuple(words.header(each) for each in given["header"]),
        timeout=given["timeout"],
        against=given["against"],
        quota=given["quota"],
        seconds=given["seconds"],
        only=tuple(given["only"]),
        exclude=tuple(given["exclude"]),
        secrets=(*secrets(given), *Credentials.of(base_url).secrets),
        **keys_of(given["api-key"]),
    )


SHARED = ("api", "profile", "seed", "quota", "seconds", "timeout", "only", "exclude")
"""Options in which workers follow their master."""


def told_by_master(options: Options, plan: Mapping[str, Any]) -> Options:
    """Return a worker's options with those that the master settles."""
    return replace(options, **{name: plan[name] for name in SHARED})


def keys_of(given: Sequence[str]) -> dict[str, Any]:
    """Return what `--api-key` words mean to a load run, as `Options` take it.

    Tenants share the load and `limited=KEY` is driven into its limit; keys without rights and
    keys that are past (`member=KEY`, `expired=KEY`) would only be refused, and stay out of it.
    """
    told = [words.role(word) for word in given if word]
    tenants = tuple(key for name, key in told if name not in words.ROLES)
    limited = next((key for name, key in told if name == "limited"), None)
    return {
        "keys": tenants or ("",),
        "limited": limited,
    }


def shaped(options: Options) -> Profile:
    """Return the profile that is played: the named one, with what the options say otherwise.

    Raises ProfileError.
    """
    profile = load_profile(options.profile)
    if options.seconds is not None:
        profile = within(profile, options.seconds)
    if options.timeout is not None:
        profile = profile.model_copy(update={"timeout": options.timeout})
    if options.quota is not None:
        words.quota(options.quota)
        plan = profile.rate_limit.model_copy(update={"quota": options.quota})
        profile = profile.model_copy(update={"rate_limit": plan})
    return profile


@dataclass
class Session:
    """A run in this process. Raises SpecError, ProfileError, KeyError, ValueError when made."""

    options: Options
    contract: Contract = field(init=False)
    profile: Profile = field(init=False)
    plan: Plan = field(init=False)
    schedule: Schedule = field(init=False)

    def __post_init__(self) -> None:
        self.contract = specs.load(self.options.api)
        self.profile = shaped(self.options)
        self.left_out = self._left_out()
        self.plan = make_plan(self.contract, self.profile, self.left_out)
        if not self.plan.tasks:
            raise ValueError(f"nothing to send: no operation of {self.contract.api} is left in")
        self.schedule = from_profile(self.profile, self.options.seed)
        self.where = origin(self.options.base_url, self.options.headers)
        proxied = proxy_for(self.where.scheme, self.where.host) is not None
        self.base_url = Credentials.of(self.options.base_url).url
        if self.profile.kind == "retry-storm" and self.where.always != NOTHING:
            raise ValueError(
                "a retry storm's clients are SDKs, which send no header or query of yours: leave "
                "out --header and the credentials in the base URL"
            )
        if self.profile.kind == "retry-storm" and proxied:
            raise ValueError(
                "a retry storm's clients pass no proxy: name the API's host in NO_PROXY"
            )
        self.engine: Engine | None = None
        self.earlier: Any = None
        if self.options.against is not None:
            try:
                self.earlier = json.loads(self.options.against.read_bytes())
            except RecursionError:
                raise ValueError(f"{self.options.against} is not a results.json") from None
        self.reset()

    def reset(self) -> None:
        """Forget an earlier run: a new one starts."""
        self.run_id = _run_id(self.options.seed)
        self.reports: dict[str, Tally] = {}
        self.live: dict[str, Tally] = {}
        self.workers = 1
        self.interrupted = ""
        self.foreign: dict[str, Any] = {}
        """What became of the records that were there before, once that is known."""
        self.census = self._census()
        self.problems: list[str] = []
        self.began = perf_counter()
        self.started = utc_now()
        self.entry: SubjectEntry | None = None
        self.engine = None
        self.steps: dict[str, Tally] = {}
        """On the master: what each worker counted in the current step of a search."""
        self.decide: breakpoint_.Decide | None = None
        """On a worker: asks the master for the next step of a search."""
        self.referee = breakpoint_.Referee(
            self.contract, self.profile, self.plan, self.options.seed
        )

    def make_engine(
        self,
        run_id: str,
        index: int = 0,
        workers: int = 1,
        on_flush: OnFlush | None = None,
    ) -> Engine:
        """Return this process's engine: its lanes, its share of the tickets, its connections."""
        options = self.options
        keys = options.keys
        if self.profile.kind == "rate-limit" and options.limited is not None:
            keys = (options.limited,)
        lanes = make_lanes(self.plan, self.where, keys, run_id, options.seed, index)
        self.engine = Engine(
            self.profile, self.schedule, lanes, connector(self.where, options.trust),
            index, workers, on_flush=on_flush,
        )  # fmt: skip
        return self.engine

    def _left_out(self) -> dict[str, str]:
        """Return which operations are not sent, and why. Raises ValueError."""
        options = self.options
        out = chosen(self.contract, options.only, options.exclude)
        named = set() if options.only else set(self.profile.only) - set(options.exclude)
        return {id: why for id, why in out.items() if id not in named}

    def _census(self) -> Census | None:
        """Return what looks at the records of others; None where nothing could harm them.

        What it sends would count against a rate limit that is measured.
        """
        options = self.options
        if all(task.operation.safe for task in self.plan.tasks):
            return None
        if self.profile.kind == "rate-limit" and options.limited is None:
            return None
        return Census(
            self.contract, options.base_url, options.keys, left_out=self.left_out,
            trust=options.trust, headers=options.headers, timeout=self.profile.timeout,
        )  # fmt: skip

    def stand(self) -> None:
        """Look at what is there, before anything is created: it must be there at the end too."""
        if self.census is None:
            return
        self.census.look()
        for lane, foreign in zip(self.engine.lanes if self.engine else (), self.census.foreign(),
                                 strict=False):  # fmt: skip
            lane.not_ours = foreign

    def prove(self) -> None:
        """Look again at what was there before, once the run has tidied up."""
        if self.census is not None:
            lanes = self.engine.lanes if self.engine else ()
            reused = {f"{kind} {id}" for lane in lanes for kind, id in lane.reused}
            self.foreign = self.census.proof(reused)

    def drive(self, proves: bool = True) -> Tally:
        """Run this process's part to its end, ledger and tidying included. Blocks.

        `proves` is False where the master looks at what was there before.
        """
        engine = self.engine
        assert engine is not None
        try:
            self.stand()
            self._play(engine)
            wire = connector(self.where, self.options.trust)
            if self.profile.ledger:
                ledger.check(engine, wire)
            if self.profile.cleanup:
                ledger.tidy(engine, wire)
            if proves:
                self.prove()
        except Exception as error:  # told as an error of ours, never the subject's failure
            self.problems.append(f"{type(error).__name__}: {error}")
            engine.tally.notes.append(f"error: {type(error).__name__}: {error}")
            engine.tally.numbers["problems"] += 1
        engine.tally.facts["request-ids"] = engine.ids.pack()
        return engine.tally

    def _play(self, engine: Engine) -> None:
        """Let the engine do what the profile's kind means."""
        kind, seed = self.profile.kind, self.options.seed
        if kind == "breakpoint":
            decide = self.decide or self.referee
            breakpoint_.drive(engine, decide, self.profile.search.start, seed)
        elif kind == "rate-limit":
            if not engine.index:  # one key's limit is one worker's to find
                quota.drive(engine)
        elif kind == "pagination":
            pages.drive(engine)
        elif kind == "retry-storm":
            self._storm(engine)
        else:
            engine.begin()

    def _storm(self, engine: Engine) -> None:
        """Let SDKs be the clients, in a process of its own that Locust has not patched."""
        if engine.index:
            return
        line = [sys.executable, "-m", "load.storm", "--base-url", self.base_url, "--api",
                self.options.api, "--load-profile", self.options.profile]  # fmt: skip
        if self.options.seconds is not None:
            line += ["--seconds", str(self.options.seconds)]
        line += [f"--leave={name}" for name in self.left_out]
        keys = {"MEMCONFORM_API_KEYS": ",".join(self.options.keys)}
        ended = ran(line, env={**os.environ, **keys}, timeout=length(self.profile) + 240)
        if ended.returncode:
            raise RuntimeError(ended.stderr[-600:])
        engine.tally.merge(unpack(json.loads(ended.stdout.splitlines()[-1])))

    @property
    def shared(self) -> dict[str, Any]:
        """What the master tells every worker, beside who takes part: no key, no place."""
        options = self.options
        return {name: getattr(options, name) for name in SHARED}

    def figures(self, running: bool = False) -> Figures:
        """Return all workers' counts, merged, with what they are judged against.

        While the run goes on (`running`), what workers have said so far stands for their last
        report; at its end a worker without one is missing, whatever it said before.
        """
        parts = {**self.live, **self.reports} if running else self.reports
        if not parts and self.engine is not None:
            parts = {"here": self.engine.tally}
        tally = Tally()
        if self.profile.kind == "breakpoint" and self.reports:
            self._add_search(tally)
        else:
            for part in parts.values():
                tally.merge(deepcopy(part))
        request_ids.compare(self.contract, tally, parts.values())
        tally.numbers["planned"] = self._planned(tally)
        if self.profile.kind == "breakpoint":
            tally.facts |= breakpoint_.facts(self.referee)
        problems = list(self.problems)
        if tally.numbers["problems"] and not problems:
            problems = [n for n in tally.notes if n.startswith("error: ")] or ["a worker failed"]
        schedule = self.schedule
        if self.profile.kind == "breakpoint" and self.referee.search.held:
            schedule = self.referee.schedule
        return Figures(
            self.contract, self.profile, self.plan, schedule, tally,
            workers_planned=self.workers,
            workers_done=len(self.reports) if self.reports or self.workers > 1 else 1,
            seconds=schedule.seconds or tally.series.seconds,
            foreign=self.foreign,
            against=self.earlier,
            interrupted=self.interrupted,
            problems=problems,
            running=running,
        )  # fmt: skip

    def _add_search(self, tally: Tally) -> None:
        """Add the counts of the best step of a search, and what all its steps cost."""
        tally.merge(deepcopy(self.referee.best))
        for part in self.reports.values():
            tally.numbers["cpu-micros"] += part.numbers["cpu-micros"]
            tally.numbers["problems"] += part.numbers["problems"]
            tally.notes += part.notes

    def _planned(self, tally: Tally) -> int:
        """Poisson schedules plan what they drew, sent or not; a constant one what its area says."""
        if self.profile.kind in ("breakpoint", "rate-limit", "retry-storm"):
            return tally.numbers["planned"]
        if self.schedule.arrival == "poisson":
            return tally.drawn
        return self.schedule.total

    def look(self) -> SubjectEntry:
        """Return the judged entry of the run as it stands; the run goes on."""
        return self._entry(running=True)

    def _entry(self, running: bool = False) -> SubjectEntry:
        made = entry(
            self.figures(running),
            base_url=self.base_url,
            wall_seconds=perf_counter() - self.began,
        )
        return report_run.without(made, self.options.secrets)

    def judge(self) -> SubjectEntry:
        """Return the judged entry of the run, which is over with this."""
        self.entry = self._entry()
        return self.entry

    def results(self, made: SubjectEntry, command: Sequence[str]) -> Results:
        """Return the whole `results.json` of this run, without any key."""
        return report_run.make(
            (made,),
            started=self.started.isoformat(timespec="seconds").replace("+00:00", "Z"),
            seconds=perf_counter() - self.began,
            seed=self.options.seed,
            command=command,
            secrets=self.options.secrets,
            complete=not self.interrupted,
            reason=self.interrupted,
            parts={f"load {made.api}": made.wall_seconds},
        )


def make_lanes(
    plan: Plan, where: Origin, keys: Sequence[str], run_id: str, seed: int, index: int = 0
) -> list[Lane]:
    """Return one lane per API key; each knows the others' marks as foreign."""
    names = [f"mc{run_id}w{index:x}l{number:x}" for number in range(len(keys))]
    return [
        Lane(
            plan, where, key, name, seed * 1000 + index * 100 + number,
            foreign=tuple(f"{n}n".encode() for n in names if n != name),
        )
        for number, (key, name) in enumerate(zip(keys, names, strict=True))
    ]  # fmt: skip


def connector(where: Origin, trust: Trust = SYSTEM) -> Callable[[], Wire]:
    """Return what opens a connection: the fast one for plain HTTP, Locust's client for TLS."""
    if where.scheme == "http" and proxy_for(where.scheme, where.host) is None:
        return lambda: Connection((where.host, where.port))
    from load.transport_agent import AgentConnection

    return lambda: AgentConnection(where, trust=trust)


def _run_id(seed: int) -> str:
    return hashlib.sha256(f"{seed}/{int(epoch_seconds() * 1e9)}".encode()).hexdigest()[:8]
