"""Running a load run as a child process: Locust patches its process, so it gets its own.

`run` starts Locust in its own session, tells progress, reads the child's `results.json`, and
leaves no process behind, however it ends. API keys go through the environment, never the command
line. Nothing of Locust is imported here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import specs
from conformance.clock import monotonic
from conformance.contained import Contained
from conformance.contained import folder as temporary_folder
from conformance.option_kinds import Credentials
from conformance.report.results import Results, SubjectEntry
from load.profile import ProfileError, length, load_profile, within

__all__ = ["LoadError", "ProfileError", "command", "run"]
Progress = Callable[[int, int, str], None]
GRACE = 120.0
"""Seconds beyond a profile's plan after which a child is ended that says nothing more."""
FAREWELL = 5.0
"""Seconds that Locust has to end when we die."""
TAIL = 1500
"""Characters of a failed child's output that are shown."""


class LoadError(RuntimeError):
    """The load run ended without a result. The message says how, `code` is the child's."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Reach:
    """How an API is reached and which part of it, as the options say it."""

    ca: Path | None = None
    insecure: bool = False
    headers: tuple[str, ...] = ()
    """`NAME=VALUE` words."""
    timeout: float | None = None
    only: tuple[str, ...] = ()
    """Operations to send; empty for all."""
    exclude: tuple[str, ...] = ()
    """Operations never to send."""

    @property
    def words(self) -> list[str]:
        """The child's command-line words; what is secret is not among them."""
        made = ["--ca", str(self.ca.resolve())] if self.ca else []
        made += ["--insecure"] if self.insecure else []
        for option, names in (("--only", self.only), ("--exclude", self.exclude)):
            made += [f"{option}={name}" for name in names]
        return made + (["--timeout", str(self.timeout)] if self.timeout else [])

    def environment(self, base_url: str, keys: Sequence[str]) -> dict[str, str]:
        """Return the variables that carry what no command line may show."""
        return {
            "MEMCONFORM_API_KEYS": ",".join(keys),
            "MEMCONFORM_HEADERS": "\n".join(self.headers),
            "LOCUST_HOST": base_url,
        }


def command(
    base_url: str, api: str, profile: str | Path, out: Path, seed: int, processes: int | None
) -> list[str]:
    """Return the command line of the child."""
    made = [
        sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py")),
        "--headless", "--skip-log-setup", "--only-summary", "--api", api,
        "--load-profile", str(profile), "--out", str(out), "--seed", str(seed),
    ]  # fmt: skip
    if base_url == Credentials.of(base_url).url:  # else it stands in the environment
        made += ["--host", base_url]
    if processes is not None and processes > 1:
        made += ["--processes", str(processes), "--master-bind-host", "127.0.0.1",
                 "--master-host", "127.0.0.1", "--master-bind-port", str(_port())]  # fmt: skip
        made += ["--master-port", made[-1]]
    return made


def run(
    base_url: str,
    api: str,
    keys: Sequence[str],
    profile: str | Path = "smoke",
    out: str | Path | None = None,
    seed: int = 0,
    processes: int | None = None,
    progress: Progress | None = None,
    against: str | Path | None = None,
    quota: str | None = None,
    seconds: float | None = None,
    reach: Reach = Reach(),
) -> SubjectEntry:
    """Run a profile on an API and return its judged entry.

    `against` is an earlier `results.json` to compare with. `keys` are API keys; several spread
    the load over tenants, `limited=KEY` is driven into its limit. `quota` (REQUESTS/SECONDS) is
    the limit of an API whose answers do not say it, `seconds` what the profile is shortened to,
    `reach` how the API is reached.
    With `out`, the child's `results.json` and its log are left there. Raises ProfileError,
    SpecError for what cannot be used, and LoadError where the child left no result.
    """
    plan = load_profile(profile)
    if seconds is not None:
        plan = within(plan, seconds)
    delays = [o.effect.delay for o in specs.load(api) if o.effect is not None]
    with temporary_folder("load") as temporary:
        folder = Path(out) if out is not None else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if against is not None and Path(against).exists():
            # It may be the very file that this run writes, and must go before the run.
            against = shutil.copy(against, Path(temporary) / "earlier.json")
        (folder / "results.json").unlink(missing_ok=True)
        log = folder / "locust.log"
        line = command(base_url, api, profile, folder, seed, processes)
        compared = Path(against).resolve() if against is not None else None
        for option, value in (("against", compared), ("quota", quota), ("seconds", seconds)):
            line += [f"--{option}", str(value)] if value is not None else []
        line += reach.words
        environment = {**os.environ, **reach.environment(base_url, keys)}
        environment.setdefault("LOCUST_SKIP_UPDATE_CHECK", "1")
        limit = length(plan) + plan.drain + (plan.settle or max(delays, default=0)) + GRACE
        with log.open("wb") as sink:
            child = Contained(
                line, grace=FAREWELL,
                stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment,
            )  # fmt: skip
            try:
                code = _wait(child, limit, int(length(plan)), progress, log)
            finally:
                _end(child)
        made = folder / "results.json"
        if not made.exists():
            tail = log.read_text("utf-8", "replace")[-TAIL:]
            raise LoadError(f"the load run ended with code {code} and no result: {tail}", code)
        results = Results.model_validate_json(made.read_bytes())
        return results.subjects[0]


def _wait(
    child: Contained, limit: float, planned: int, progress: Progress | None,
    log: Path,
) -> int:  # fmt: skip
    """Return the child's exit code; -1 where it is late and its log has not grown for a while."""
    began = said = monotonic()
    size = 0
    while True:
        try:
            return child.wait(timeout=0.25)
        except subprocess.TimeoutExpired:
            passed = monotonic() - began
            if progress is not None:
                progress(min(int(passed), planned), planned, "seconds of load")
            if log.stat().st_size != size:
                size, said = log.stat().st_size, monotonic()
            if passed > limit and monotonic() > said + GRACE:
                return -1


def _end(child: Contained) -> None:
    """End the child and everything in its session, for certain."""
    for sign, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 10.0)):
        if child.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=patience)
    child.finish()


def _port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
