"""Load profiles: what a TOML file may say, its units, and what is wrong with it in words.

Only the model belongs here. How rates become intended starts is in `schedule.py`; how gates
judge is in `gates.py`. Durations are seconds, rates are requests per second over all workers,
ratios lie between 0 and 1.
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from conformance.backend import words

HERE = Path(__file__).parent / "profiles"
SHORTEST_STEP = 1.0
"""Seconds below which a step of a search says nothing."""
FEWEST_STEPS = 6
"""Steps below which a search finds nothing."""

Ratio = Annotated[float, Field(ge=0, le=1)]
DAY = 86_400
"""Seconds that one wait, stage or timeout may take at most, but for a stage of a soak."""
FASTEST = 10_000_000
"""Requests a second that a profile may ask for at most."""
Weight = Annotated[int, Field(ge=0, le=10_000)]
Kind = Literal["open", "closed", "breakpoint", "rate-limit", "retry-storm", "pagination"]


class ProfileError(ValueError):
    """A profile cannot be used. The message says where, what, why, and what to do."""


class Part(BaseModel):
    """Base of the models here: frozen, unknown keys refused, dashes instead of underscores."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=lambda name: name.replace("_", "-"),
        populate_by_name=True,
        allow_inf_nan=False,
    )


class Stage(Part):
    """One stretch of time with a rate that is constant or moves from `rate` to `to`."""

    name: str = "steady"
    seconds: float = Field(gt=0, le=7 * 86_400)
    rate: float = Field(gt=0, le=FASTEST, description="requests per second at its start")
    to: float | None = Field(
        default=None, gt=0, le=FASTEST, description="rate at its end; absent: it stays"
    )

    @property
    def end(self) -> float:
        """Requests per second at the end of the stage."""
        return self.rate if self.to is None else self.to

    @property
    def planned(self) -> float:
        """Requests that the stage plans: the area under its rate."""
        return (self.rate + self.end) / 2 * self.seconds


class Search(Part):
    """How a breakpoint is searched: doubled until a gate breaks, then bisected."""

    start: float = Field(default=20, gt=0, le=FASTEST)
    limit: float = Field(
        default=20_000, gt=0, le=FASTEST, description="rate that is never exceeded"
    )
    seconds: float = Field(default=5, gt=0, le=DAY, description="length of one step")
    precision: Ratio = Field(default=0.1, description="width of the last bracket over its rate")
    steps: int = Field(default=20, ge=2, le=200)


class RateLimitPlan(Part):
    """How a rate limit is approached: bursts of this many times the quota."""

    operation: str | None = Field(default=None, description="absent: the cheapest safe one")
    quota: str | None = Field(
        default=None, description="REQUESTS/SECONDS, for APIs whose answers do not say it"
    )
    below: Ratio = Field(default=0.8, description="share of the quota used in the first burst")
    above: float = Field(
        default=2.0, ge=1, le=1000, description="times the quota in the last burst"
    )
    concurrency: int = Field(default=32, ge=1, le=4096)
    max_requests: int = Field(default=5000, ge=1, le=10**9)
    max_wait: float = Field(default=90, gt=0, le=DAY, description="longest wait for a fresh window")

    @field_validator("quota")
    @classmethod
    def _is_a_quota(cls, text: str | None) -> str | None:
        words.quota(text)
        return text


class StormPlan(Part):
    """A backend that fails for a while, and clients that go on asking."""

    outage_after: float = Field(default=3, ge=0, le=DAY)
    outage: float = Field(default=30, gt=0, le=DAY)
    recovery: float = Field(default=10, gt=0, le=DAY)
    clients: int = Field(default=8, ge=1, le=256)
    pace: float = Field(
        default=0.5, gt=1e-6, le=10_000, description="calls per second of one client"
    )
    drivers: tuple[str, ...] = Field(
        default=(), description="command lines of drivers whose SDKs are clients too"
    )


class Walk(Part):
    """Lists walked from end to end while others write."""

    lists: int = Field(default=20, ge=1, le=100_000, description="complete walks wanted")
    page: int = Field(default=10, ge=1, le=10_000)
    prepared: int = Field(
        default=60, ge=1, le=100_000, description="items that stay there throughout"
    )
    writers: int = Field(default=4, ge=1, le=100_000)


class Latency(Part):
    """Longest response time allowed at a percentile, counted from the intended start."""

    p50: float | None = Field(default=None, gt=0)
    p90: float | None = Field(default=None, gt=0)
    p95: float | None = Field(default=None, gt=0)
    p99: float | None = Field(default=None, gt=0)
    p999: float | None = Field(default=None, gt=0)
    max: float | None = Field(default=None, gt=0)

    def limits(self) -> tuple[tuple[str, float, float], ...]:
        """Return (name, percentile, seconds) of each one that is set."""
        table = (
            ("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0), ("p999", 99.9),
            ("max", 100.0),
        )  # fmt: skip
        return tuple(
            (name, percentile, limit)
            for name, percentile in table
            if (limit := getattr(self, name)) is not None
        )


class Gates(Part):
    """What must hold. A gate that is absent is not judged; zero means none at all."""

    latency: Latency = Latency()
    operation: dict[str, Latency] = Field(
        default_factory=dict, description="operation id -> its own latency gate"
    )
    slowest_over_median: float | None = Field(
        default=None,
        gt=1,
        description="an operation's p50 over the median operation's p50, where above 50 ms",
    )
    drift: float | None = Field(
        default=None, gt=1, description="median of the last quarter over that of the first"
    )
    errors: Ratio | None = Field(default=0.0, description="share of requests that may fail")
    errors_by_kind: dict[str, Ratio] = Field(default_factory=dict)
    limited: Ratio | None = Field(
        default=0.05, description="share answered 429 before the run says too little"
    )
    throughput: Ratio | None = Field(default=0.9, description="answered over planned")
    findings: int | None = Field(default=0, ge=0, description="distinct conformance findings")
    closed_connections: Ratio | None = Field(
        default=0.05, description="connections closed without notice, over requests"
    )
    lost: int | None = Field(default=0, ge=0)
    duplicated: int | None = Field(default=0, ge=0)
    altered: int | None = Field(default=0, ge=0)
    resurrected: int | None = Field(default=0, ge=0)
    in_flight: int | None = Field(default=0, ge=0)
    over_admitted: int | None = Field(default=0, ge=0)
    amplification: float | None = Field(default=None, ge=1, description="sends over calls")
    recovery: float | None = Field(default=None, gt=0, description="seconds until well again")
    lag: float | None = Field(
        default=0.5, gt=0, description="generator's own p99 delay before the run says nothing"
    )
    evidence: int = Field(default=1, ge=0, description="judged answers wanted per operation")
    breakpoint: float | None = Field(default=None, gt=0, description="rate that must be held")


class Profile(Part):
    """A whole load profile."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    summary: str = ""
    kind: Kind = "open"
    arrival: Literal["constant", "poisson"] = "constant"
    users: int = Field(default=32, ge=1, le=100_000, description="connections over all workers")
    timeout: float = Field(
        default=10, gt=0, le=DAY, description="seconds until an answer is given up"
    )
    drain: float = Field(
        default=5, ge=0, le=DAY, description="seconds that stragglers have at the end"
    )
    prepare: int = Field(
        default=4, ge=0, le=100_000, description="resources of each kind made beforehand"
    )
    ledger: bool = Field(default=True, description="read acknowledged writes back at the end")
    settle: float | None = Field(
        default=None,
        ge=0,
        le=DAY,
        description="seconds waited before writes are read back; absent: each is looked for until "
        "it shows, as long as the contract says that this may take",
    )
    cleanup: bool = Field(default=True, description="delete what the run created")
    judged: bool = Field(
        default=True, description="false only to measure the generator: nothing is looked at"
    )
    only: tuple[str, ...] = Field(default=(), description="operations to use; none: all")
    safe: bool = Field(default=False, description="only operations that change nothing")
    weights: dict[str, Weight] = Field(default_factory=dict, description="operation -> its weight")
    stages: tuple[Stage, ...] = ()
    search: Search = Search()
    rate_limit: RateLimitPlan = RateLimitPlan()
    storm: StormPlan = StormPlan()
    walk: Walk = Walk()
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _has_stages(self) -> Self:
        if self.kind in ("open", "closed", "pagination") and not self.stages:
            raise ValueError(f"a profile of kind {self.kind!r} needs at least one [[stages]]")
        if len({s.name for s in self.stages}) < len(self.stages):
            raise ValueError("two stages have the same name; results are told apart by it")
        return self

    @property
    def seconds(self) -> float:
        """Length of all stages together."""
        return sum(s.seconds for s in self.stages)

    @property
    def planned(self) -> float:
        """Requests that all stages plan together."""
        return sum(s.planned for s in self.stages)


def names() -> tuple[str, ...]:
    """Return the names of the profiles that ship with the package."""
    return tuple(sorted(p.stem for p in HERE.glob("*.toml")))


def load_profile(source: str | Path | Profile) -> Profile:
    """Return a shipped profile (by name) or a file's (by path ending in .toml).

    Raises ProfileError with every problem in one message.
    """
    if isinstance(source, Profile):
        return source
    path = Path(source)
    if path.suffix != ".toml":
        path = HERE / f"{source}.toml"
        if not path.exists():
            raise ProfileError(
                f"unknown load profile {str(source)!r}: it is neither one of "
                f"{', '.join(names())} nor a path ending in .toml"
            )
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ProfileError(f"no such load profile: {path}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ProfileError(f"{path}: not readable as TOML: {error}") from error
    return parse(raw, str(path))


def length(profile: Profile) -> float:
    """Return the longest time in seconds that a profile's load can take."""
    if profile.kind == "breakpoint":
        return profile.search.steps * (profile.search.seconds + profile.drain)
    if profile.kind == "rate-limit":
        return 2 * profile.rate_limit.max_wait + 60
    if profile.kind == "retry-storm":
        storm = profile.storm
        return storm.outage_after + storm.outage + storm.recovery + profile.timeout
    return profile.seconds


def within(profile: Profile, seconds: float) -> Profile:
    """Return a profile whose durations are shortened, all alike, so that it takes `seconds`.

    Rates and gates stay, but for the answers wanted of each operation, which are fewer where
    fewer are planned. A profile that is no longer than that, and one that follows the backend's
    own windows (kind rate-limit), stay as they are. Raises ProfileError where nothing is left.
    """
    if seconds <= 0:
        raise ProfileError(f"{seconds:g} seconds leave nothing of a load profile")
    storm, whole = profile.storm, length(profile)
    if profile.kind == "retry-storm":
        whole -= profile.timeout
    if seconds >= whole or profile.kind == "rate-limit":
        return profile
    part = seconds / whole
    lasts = {n: getattr(storm, n) * part for n in ("outage_after", "outage", "recovery")}
    gates = profile.gates
    return profile.model_copy(
        update={
            "summary": f"{profile.summary}; shortened to {seconds:g} s",
            "stages": tuple(
                s.model_copy(update={"seconds": s.seconds * part}) for s in profile.stages
            ),
            "search": _shorter(profile.search, seconds, part),
            "storm": storm.model_copy(update=lasts),
            "gates": gates.model_copy(update={"evidence": math.ceil(gates.evidence * part)}),
        }
    )


def _shorter(search: Search, seconds: float, part: float) -> Search:
    """Return a search with shorter steps, and with fewer where they cannot be short enough."""
    step = max(search.seconds * part, SHORTEST_STEP)
    steps = max(int(seconds / step), FEWEST_STEPS)
    return search.model_copy(update={"seconds": step, "steps": min(steps, search.steps)})


def parse(raw: object, where: str = "profile") -> Profile:
    """Return the profile that decoded TOML describes. Raises ProfileError."""
    try:
        return Profile.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'profile'}: {e['msg']} (got {e.get('input')!r:.60})"
            for e in error.errors()
        )
        raise ProfileError(
            f"{where}: {problems}. See load/PROFILES.md for what may stand there."
        ) from error
