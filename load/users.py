"""The bridge to Locust: users that play the engine, events that begin, merge and end a run.

One of three files that import Locust. Locust spawns the users, distributes them, draws the web
page and carries the workers' reports; what is sent and judged is the engine's. The run ends when
the schedule is over, on every worker, and exit codes are set here, on the master only: an
exception in a Locust listener would only be logged.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from gevent.event import AsyncResult
from locust import LoadTestShape, User, events, log, task
from locust.runners import STATE_INIT, MasterRunner, WorkerRunner

from conformance.clock import epoch_seconds, monotonic
from conformance.contained import forks_end_with_us
from conformance.foreign import lines
from conformance.options import Option, at, checked
from conformance.report import write
from load import cluster
from load.census import told
from load.engine import Fresh
from load.plan import settling
from load.profile import ProfileError, length
from load.record import OperationTally, Tally, pack, unpack
from load.reports import NoReport
from load.result import exit_code, sentences
from load.session import Options, Session, read, told_by_master
from specs import SpecError

USAGE = 2
OWN_ERROR = 3
TELL = 10.0
"""Seconds between two words about the ledger."""
GRACE = 60.0
"""Seconds beyond the plan that a master waits for its workers' last reports."""
STARTING = 300.0
"""Seconds that workers may take from the start until all of their users are there."""


class MemoryUser(User):
    """One connection: takes tickets until the schedule is over, then waits to be stopped."""

    @task
    def play(self) -> None:
        """Play the engine; Locust would run the task again, so it never returns."""
        session: Session | None = getattr(self.environment, "memconform", None)
        if session is not None and session.engine is not None:
            session.engine.play()
        while True:
            gevent.sleep(3600)


class ProfileShape(LoadTestShape):
    """As many users as the profile says, until the run is over."""

    def tick(self) -> tuple[int, float] | None:
        """Return (users, spawn rate), or None when the run is over."""
        session: Session | None = getattr(self._environment(), "memconform", None)
        if session is None or session.entry is not None:
            return None
        return session.profile.users, float(session.profile.users)

    def reset_time(self) -> None:
        """Locust starts the shape: on the web page, perhaps after an earlier run."""
        super().reset_time()  # type: ignore[no-untyped-call]
        environment = self._environment()
        session: Session | None = getattr(environment, "memconform", None)
        if session is not None and session.entry is not None:
            environment.memconform = Session(_options(environment))

    def _environment(self) -> Any:
        return self.runner.environment if self.runner is not None else None


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: Any) -> None:
    """Add memconform's options to Locust's, whose page and master stay on this machine."""
    parser.set_defaults(web_host=LOOPBACK, master_bind_host=LOOPBACK)
    _share_secret()
    for row in at("locust"):
        settings: dict[str, Any] = {"help": row.help_at("locust").replace("%", "%%")}
        if row.flag:
            settings["action"] = "store_true"
        else:
            settings |= {"metavar": row.metavar, "default": "" if not row.repeatable else None}
        if row.repeatable:
            settings["action"] = "append"
        elif "locust" in row.env:
            settings["env_var"] = row.env["locust"]
        parser.add_argument(
            row.name, dest=DEST + row.identifier, is_secret=row.secret, include_in_web_ui=False,
            **settings,
        )  # fmt: skip


def _share_secret() -> None:
    """Have a secret before processes fork and workers connect; exit 2 where one is needed.

    A master and workers of one command make one up; joined commands must be given one.
    """
    joined = {"--master", "--worker"} & set(sys.argv) or any(
        os.environ.get(f"LOCUST_MODE_{part}") for part in ("MASTER", "WORKER")
    )
    if not (joined or _forked()):
        return
    if _forked():
        forks_end_with_us()
    try:
        cluster.secret(shared=bool(joined))
    except cluster.NoSecret as why:
        print(f"memconform: {why}", file=sys.stderr, flush=True)  # noqa: T201 - a usage error
        sys.exit(USAGE)


def _forked() -> bool:
    """True where this command makes workers of its own."""
    words = any(word.startswith("--processes") for word in sys.argv)
    return words or bool(os.environ.get("LOCUST_PROCESSES"))


LOOPBACK = "127.0.0.1"
"""Where Locust listens unless `--web-host` or `--master-bind-host` name another address."""
DEST = "memconform_"
"""Begins the names of our options among Locust's."""


def _typed(given: Any, row: Option) -> Any:
    """Return what was typed for an option, or stands in its variable."""
    value = getattr(given, DEST + row.identifier)
    if row.repeatable and not value and "locust" in row.env:
        separator = "," if row.key == "api-key" else "\n"
        told = os.environ.get(row.env["locust"], "").split(separator)
        return [word for word in told if word]
    return value or None


@events.init.add_listener  # type: ignore[untyped-decorator]
def prepare(environment: Any, **_: Any) -> None:
    """Read spec and profile once; say in words what cannot be used, and exit 2."""
    runner = environment.runner
    _alone(environment)
    if isinstance(runner, MasterRunner):
        runner.register_message("memconform.done", _worker_done)
        runner.register_message("memconform.step", _worker_step)
    if isinstance(runner, WorkerRunner):
        runner.register_message("memconform.next", _next_step)
    try:
        environment.memconform = Session(_options(environment))
        if environment.memconform.options.out is not None and not isinstance(runner, WorkerRunner):
            write.probe(environment.memconform.options.out)
        # Locust's pages and reports show the host: without credentials.
        environment.host = environment.parsed_options.host = environment.memconform.base_url
    except (SpecError, ProfileError, KeyError, ValueError, OSError) as error:
        words = error.args[0] if isinstance(error, KeyError) else error
        print(f"memconform: {words}", file=sys.stderr, flush=True)  # noqa: T201 - a usage error
        sys.exit(USAGE)
    # Locust installs its own handler only after a shape's run is over.
    for sign in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sign) is not signal.SIG_IGN:  # as nohup has it
            gevent.signal_handler(sign, _terminate, environment, sign.name)
    if isinstance(runner, WorkerRunner) and _forked():
        gevent.spawn(_end_with_parent, os.getppid())
    if environment.web_ui is not None:
        from load.web import extend

        extend(environment)


def _alone(environment: Any) -> None:
    """Take from Locust's options what no message may carry; have a secret where one is needed.

    Locust sends all of its options to every worker that connects.
    """
    parsed = environment.parsed_options
    try:
        _options(environment)
        if isinstance(environment.runner, MasterRunner | WorkerRunner):
            environment.memconform_secret = cluster.secret(shared=True)
    except (KeyError, ValueError):
        return  # told when the session is made
    for row in at("locust"):
        setattr(parsed, DEST + row.identifier, None)


def _end_with_parent(parent: int) -> None:
    """End a worker whose parent is gone, where the system does not do it."""
    while os.getppid() == parent:
        gevent.sleep(1)
    os._exit(OWN_ERROR)


def _terminate(environment: Any, sign: str) -> None:
    """End the run as it stands: the result is partial and says so."""
    environment.memconform.interrupted = f"ended by {sign}"
    waiting = environment.runner.state == STATE_INIT
    environment.runner.quit()
    if waiting:  # for workers that have not come: Locust would go on waiting
        sys.exit(OWN_ERROR)


def _options(environment: Any) -> Options:
    """Return what the command line says, read once: nobody who connects can change it.

    Raises ValueError where a value cannot be used.
    """
    known: Options | None = getattr(environment, "memconform_options", None)
    if known is not None:
        return known
    parsed = environment.parsed_options
    assert parsed is not None
    given = checked("locust", lambda row: _typed(parsed, row))
    if not given["api"]:
        raise ValueError("give --api NAME (an id in specs/ or a path to an OpenAPI file)")
    host = environment.host or parsed.host
    if not host:
        raise ValueError("give --host URL (the API's base URL)")
    environment.memconform_options = made = read(given, host)
    return made


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def on_start(environment: Any, **_: Any) -> None:
    """Start afresh; the master deals out worker numbers, a worker takes its own."""
    runner, given = environment.runner, environment.parsed_options
    assert given is not None
    session: Session = environment.memconform
    if isinstance(runner, MasterRunner):
        environment.memconform = session = Session(_options(environment))
        clients = sorted(c.id for c in runner.clients.ready)
        session.workers = max(len(clients), given.expect_workers or 1)
        plan = {"run": session.run_id, "clients": clients, **session.shared}
        secret = environment.memconform_secret
        given.memconform_plan = cluster.sealed(secret, "plan", "master", "", plan)
        environment.memconform_clients = clients
        session.steps = {}
        session.stand()
        gevent.spawn(_await_workers, environment, session)
        return
    if isinstance(runner, WorkerRunner):
        secret = environment.memconform_secret
        plan = cluster.opened(secret, "plan", "master", "", given.memconform_plan)
        environment.memconform = session = Session(told_by_master(_options(environment), plan))
        session.run_id = plan["run"]
        feed = Feed(environment)
        index = plan["clients"].index(runner.client_id)
        session.make_engine(plan["run"], index, len(plan["clients"]), feed)
        session.decide = _ask_master(environment)
    else:
        environment.memconform = session = Session(_options(environment))
        feed = Feed(environment)
        session.make_engine(session.run_id, on_flush=feed)


@events.spawning_complete.add_listener  # type: ignore[untyped-decorator]
def on_spawned(user_count: int, **_: Any) -> None:
    """All users are there: let the time line begin. Locust passes no environment here."""
    environment = _ENVIRONMENT[0]
    session: Session = environment.memconform
    environment.memconform_spawned = monotonic()
    if session.engine is not None and not getattr(session, "driving", False):
        session.driving = True  # type: ignore[attr-defined]
        gevent.spawn(_drive, environment, session)


_ENVIRONMENT: list[Any] = []


@events.init.add_listener  # type: ignore[untyped-decorator]
def remember(environment: Any, **_: Any) -> None:
    """Keep the environment for events that come without it."""
    _ENVIRONMENT[:] = [environment]


def _drive(environment: Any, session: Session) -> None:
    runner = environment.runner
    telling = gevent.spawn(_tell, session)
    try:
        tally = session.drive(proves=not isinstance(runner, WorkerRunner))
    finally:
        telling.kill()
    if isinstance(runner, WorkerRunner):
        runner.send_message("memconform.done", _signed(environment, "done", pack(tally)))
        return
    session.reports["here"] = tally
    _conclude(environment, session)


def _tell(session: Session) -> None:
    """Say now and then how far the ledger is, for as long as it gets on."""
    seen = 0
    while True:
        gevent.sleep(TELL)
        engine = session.engine
        if engine is None or not engine.finished.is_set():
            continue
        numbers = engine.tally.numbers
        if numbers.total() != seen:
            seen = numbers.total()
            print(  # noqa: T201 - what a person is told, and whoever waits for this process
                f"memconform: {numbers['read-back']:,} writes read back, "
                f"{numbers['listed']:,} listed, {numbers['cleaned']:,} deleted",
                file=sys.stderr, flush=True,
            )  # fmt: skip


def _worker_done(environment: Any, msg: Any, **_: Any) -> None:
    _believed(environment, "done", msg.node_id, msg.data)


def _worker_step(environment: Any, msg: Any, **_: Any) -> None:
    """One worker's counts of a search step are here; with the last, all are told the next rate."""
    session: Session = environment.memconform
    step = _believed(environment, "step", msg.node_id, msg.data)
    if step is None:
        return
    session.steps[msg.node_id] = step
    clients = environment.memconform_clients
    if any(client not in session.steps for client in clients):
        return
    whole = Tally()
    for tally in session.steps.values():
        whole.merge(tally)
    session.steps.clear()
    rate = session.referee(whole)
    for client in clients:
        message = _signed(environment, "next", {"rate": rate}, client)
        environment.runner.send_message("memconform.next", message, client)


_NEXT: list[AsyncResult] = []


def _next_step(environment: Any, msg: Any, **_: Any) -> None:
    me = environment.runner.client_id
    run = environment.memconform.run_id
    told = cluster.opened(environment.memconform_secret, "next", me, run, msg.data)
    _NEXT.pop().set(told["rate"])


def _signed(environment: Any, kind: str, value: Any, to: str = "") -> dict[str, Any]:
    """Return a message of this process (or to one worker) in the run that goes on."""
    about = to or environment.runner.client_id
    run = environment.memconform.run_id
    return cluster.sealed(environment.memconform_secret, kind, about, run, value)


def _believed(environment: Any, kind: str, worker: str, message: Any) -> Tally | None:
    """Take a worker's report where it is signed and can be true; else say so and leave it.

    A worker has one last report: a second one changes nothing.
    """
    session: Session = environment.memconform
    key = environment.memconform_secret
    try:
        if worker not in getattr(environment, "memconform_clients", ()):  # none before a start
            raise cluster.Unbelievable(f"a {kind} of {worker!r}, which has no part in this run")
        tally = unpack(cluster.opened(key, kind, worker, session.run_id, message))
    except (cluster.Unbelievable, NoReport) as why:
        words = f"a message was not believed: {lines(str(why))}"
        print(f"memconform: {words}", file=sys.stderr, flush=True)  # noqa: T201 - a person is told
        return None
    if kind == "done":
        session.reports.setdefault(worker, tally)
    elif kind == "live":
        session.live[worker] = tally
    return tally


def _ask_master(environment: Any) -> Callable[[Tally], float | None]:
    """Return how a worker asks what comes after a step."""

    def decide(tally: Tally) -> float | None:
        _NEXT[:] = [AsyncResult()]
        answer = _NEXT[0]
        message = _signed(environment, "step", pack(tally))
        environment.runner.send_message("memconform.step", message)
        rate: float | None = answer.get()
        return rate

    return decide


def _await_workers(environment: Any, session: Session) -> None:
    """Wait until every worker has sent its last report, or is gone."""
    runner = environment.runner
    profile = session.profile
    longest = length(profile) + profile.drain + settling(session.plan) + GRACE
    began = monotonic()
    environment.memconform_spawned = began + STARTING  # until it is known
    seen, changed = 0, began
    while (now := monotonic()) < environment.memconform_spawned + longest or (
        now < changed + GRACE  # long ledgers are read back for as long as they need
    ):
        gevent.sleep(0.2)
        counted = sum(tally.numbers.total() for tally in session.live.values())
        if counted != seen:
            seen, changed = counted, monotonic()
        wanted = environment.memconform_clients
        open_ = [c for c in wanted if c not in session.reports]
        if not open_:
            break
        alive = {c.id for c in runner.clients.all if c.state != "missing"}
        if not any(c in alive for c in open_):
            break
    session.prove()
    _conclude(environment, session)


def _conclude(environment: Any, session: Session) -> None:
    """Judge, write, and end the run; quits the process where it has no web page."""
    if session.entry is not None:
        return
    _judge(environment, session)
    runner = environment.runner
    if environment.web_ui is None:
        gevent.spawn(runner.quit)
    else:
        gevent.spawn(runner.stop)


def _judge(environment: Any, session: Session) -> None:
    if log.unhandled_greenlet_exception:
        session.problems.append("a listener or a greenlet raised; Locust's log says what")
    try:
        made = session.judge()
        environment.process_exit_code = OWN_ERROR if session.interrupted else exit_code(made)
        if session.options.out is not None:
            write.results(session.options.out, session.results(made, sys.argv))
        for line in (*sentences(made), *told(session.foreign)):
            print(f"memconform: {lines(line)}", file=sys.stderr)  # noqa: T201 - what a person is told
        print(f"memconform: {made.api} {made.verdict}", file=sys.stderr, flush=True)  # noqa: T201
    except Exception as error:
        environment.process_exit_code = OWN_ERROR
        print(f"memconform: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def on_quitting(environment: Any, **_: Any) -> None:
    """A run that ends early is judged as it stands, and says so."""
    session: Session | None = getattr(environment, "memconform", None)
    if session is None or isinstance(environment.runner, WorkerRunner):
        return
    if session.entry is None:
        session.interrupted = session.interrupted or "stopped before the schedule was over"
        if session.engine is not None:
            session.engine.interrupt()
        if session.census is not None:
            session.foreign = session.census.ended()
        _judge(environment, session)


@events.report_to_master.add_listener  # type: ignore[untyped-decorator]
def on_report(client_id: str, data: dict[str, Any]) -> None:
    """Send what the web page shows while the run goes on: totals and findings only."""
    session: Session | None = getattr(_ENVIRONMENT[0], "memconform", None) if _ENVIRONMENT else None
    if session is None or session.engine is None:
        return
    if not (session.engine.started.is_set() or session.engine.finished.is_set()):
        return
    whole = session.engine.tally
    light = Tally(operations={"all": whole.total()}, findings=whole.findings, numbers=whole.numbers)
    data["memconform"] = _signed(_ENVIRONMENT[0], "live", pack(light))


@events.worker_report.add_listener  # type: ignore[untyped-decorator]
def on_worker_report(client_id: str, data: dict[str, Any]) -> None:
    """Keep the last live report of each worker."""
    raw = data.get("memconform")
    if raw is not None and _ENVIRONMENT:
        _believed(_ENVIRONMENT[0], "live", client_id, raw)


WRONG = "answer against the contract"
"""What Locust's table calls an answer with a finding."""


class Feed:
    """Feeds Locust's own table in batches, so that its page, CSV and summary stay right.

    Every request is counted there. One that failed, or whose answer breaks the contract, is a
    failure. One that was turned away for the quota is none.
    """

    def __init__(self, environment: Any) -> None:
        self._stats = environment.stats
        self._session: Session = environment.memconform
        self._tally: Any = None
        self._told: Counter[str] = Counter()
        """Operation -> requests that the table has."""
        self._failed: Counter[tuple[str, str]] = Counter()

    def __call__(self, fed: Mapping[str, Fresh]) -> None:
        """Add what each operation did since the last time."""
        engine = self._session.engine
        if engine is not None and engine.tally is not self._tally:
            self._tally = engine.tally  # a search counts each of its rates anew
            self._told.clear()
            self._failed.clear()
        verbs = {t.name: t.operation.verb for t in self._session.plan.tasks}
        for name, fresh in fed.items():
            self._told[name] += fresh.count
            for each in (self._stats.get(name, verbs[name]), self._stats.total):
                _add(each, fresh)
        if engine is None:
            return
        for name, tally in engine.tally.operations.items():
            self._rest(verbs[name], name, tally)

    def _rest(self, verb: str, name: str, tally: OperationTally) -> None:
        """Add the requests that were no plain success; the table has no times of them."""
        answered = tally.good + tally.wrong + tally.limited + tally.refused + tally.failed
        fresh, self._told[name] = answered - self._told[name], answered
        rows = (self._stats.get(name, verb), self._stats.total)
        second = int(epoch_seconds())
        for row in rows if fresh > 0 else ():
            row.num_requests += fresh
            row.num_none_requests += fresh
            row.num_reqs_per_sec[second] = row.num_reqs_per_sec.get(second, 0) + fresh
        for kind, count in {**tally.errors, WRONG: tally.wrong}.items():
            failed, self._failed[name, kind] = count - self._failed[name, kind], count
            for _ in range(failed):
                self._stats.log_error(verb, name, kind)


def _bucket(micros: int) -> int:
    """Return Locust's bucket: milliseconds, two digits from 100 on."""
    millis = micros / 1000
    if millis < 100:
        return round(millis)
    return int(round(millis, -1)) if millis < 1000 else int(round(millis, -2))


def _add(each: Any, fresh: Fresh) -> None:
    """Add counted times to one row (a StatsEntry) of Locust's table."""
    low, high = min(fresh.response) / 1000, max(fresh.response) / 1000
    each.num_requests += fresh.count
    each.total_content_length += fresh.received
    each.total_response_time += sum(v * n for v, n in fresh.response.items()) / 1000
    before = each.min_response_time
    each.min_response_time = low if before is None else min(before, low)
    each.max_response_time = max(each.max_response_time, high)
    for micros, seen in fresh.response.items():
        bucket = _bucket(micros)
        each.response_times[bucket] = each.response_times.get(bucket, 0) + seen
    second = int(epoch_seconds())
    each.num_reqs_per_sec[second] = each.num_reqs_per_sec.get(second, 0) + fresh.count
    each.last_request_timestamp = epoch_seconds()
    if each.use_response_times_cache:
        each._cache_response_times(second)
