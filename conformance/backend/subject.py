"""A backend under test: one base URL, its keys, and everything that was said to it.

The subject sends and remembers; it judges nothing and chooses nothing to send. What may go out
is decided here and nowhere else: the budget, the pace, the read-only promise, the waiting that a
429 asks for. Keys stay here: whatever leaves (histories, timelines, recordings) has none.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import specs
from conformance.backend import lacking, spelling
from conformance.backend.effects import found_ids
from conformance.backend.outgoing import Limits as Limits
from conformance.backend.outgoing import Prepared as Prepared
from conformance.backend.outgoing import asked_wait
from conformance.backend.ownership import SAFE, Belongings, Withheld, withheld
from conformance.backend.plain import hostile as odd_part
from conformance.backend.repeating import Memory
from conformance.backend.requests import UNSET, Always, build, credentials, encode, redact
from conformance.backend.standing import Proof, Standing
from conformance.backend.transport import Answer, Origin, SocketTransport, Transport
from conformance.backend.trust import SYSTEM, TIMEOUT, Trust
from conformance.backend.words import PRINCIPALS, principals
from conformance.backend.world import World
from conformance.clock import Clock, SystemClock
from conformance.history import Exchange, Headers, History, Request
from conformance.option_kinds import Credentials
from conformance.oracles.found import ok
from conformance.oracles.limits import Quota
from conformance.redaction import hide
from conformance.verdict import Inconclusive, NotApplicable
from specs import Contract, Operation
from specs.exclusions import excluded
from specs.http_words import standing_headers

MARK = "memconform"
FAST_LEAVES = ("auth.expiry", "contract.generated", "limits.burst", "limits.exhaustion",
               "limits.no-effect", "limits.partitions", "limits.recovery")  # fmt: skip
"""Beginnings of the ids of cases that a fast run leaves out: those that generate requests, and
those that wait, for a quota to come back or a key to expire."""
WAIT_MAX = 10.0
"""Longest single wait, in seconds, that a 429 may ask of a case that is not about limits."""
KEPT_MAX = 256 * 1024 * 1024
"""Bytes of bodies that a run keeps for the look back at its end; older ones are let go."""
SILENT = 3
"""Requests without an answer after which nobody waits as long again."""
SHORT = 2.0
"""Seconds that an answer may then take at least."""


class SubjectError(ValueError):
    """The backend cannot be tested at all: not there, or it refuses the key. Says what to do."""


class BackendSubject:
    """One backend, driven over sockets (or from a recording, see `recording.py`).

    `keys` are principals' keys in order, the first is `a`; `NAME=KEY` names a principal with a
    part (`member`, `limited`, `expired`). `restart` ends the server's process and starts it anew;
    where it then listens elsewhere it returns the new base URL.
    `quota` is the limit that the backend is known to have, where its headers do not tell.
    `hostile` values go out where the run may write, unless it is said; `exclude` maps operations
    that are never sent to the reason, and is what the contract leaves out where it is not said.
    `also` says where other APIs of the same product are (API -> base URL): some show what only
    another one can make.
    `deep` asks for minutes instead of seconds: more seeds, longer walks, fuzzing. `fast` leaves
    out what `FAST_LEAVES` names; each case left out is inconclusive and says so.
    """

    _silent = 0
    """Requests that were left without an answer."""
    _slowest = 0.0
    """Seconds that the slowest answer took."""
    case = ""
    """The case instance that runs."""
    salt = ""
    """What makes names differ from those of an earlier attempt at the same case."""
    fresh_salt = ""
    """The salt of every case that `salts` does not have: a run that goes on has one."""
    salts: Mapping[str, str] = MappingProxyType({})
    """Case instance -> its salt, of those that are played from a recording."""
    alone = False
    """True where nobody else changes the data: what was found once needs no second look."""
    recorder: Callable[[Exchange, str, float], None] | None = None
    """Told of every exchange with its case and its time since the epoch."""
    entered: Callable[[str], None] | None = None
    """Told of every case instance that begins, before anything is sent for it."""

    def __init__(
        self,
        contract: Contract,
        base_url: str,
        keys: Sequence[str] = (),
        *,
        seed: int = 0,
        read_only: bool = False,
        hostile: bool | None = None,
        exclude: Mapping[str, str] | None = None,
        max_requests: int | None = None,
        max_seconds: float | None = None,
        rate: float | None = None,
        timeout: float = TIMEOUT,
        trust: Trust = SYSTEM,
        extra: Headers = (),
        deep: bool = False,
        fast: bool = False,
        clock: Clock | None = None,
        transport: Transport | None = None,
        run_id: str | None = None,
        restart: Callable[[], str | None] | None = None,
        quota: Quota | None = None,
        also: Mapping[str, str] | None = None,
    ) -> None:
        there = Credentials.of(base_url)
        self.contract, self.base_url, self.seed = contract, there.url, seed
        self.deep, self.fast = deep, fast
        self.trust, self.always = trust, Always.of(extra, there)
        self.keys: Mapping[str, str] = principals(keys)
        hostile = not read_only if hostile is None else hostile
        self.limits = Limits(max_requests, max_seconds, rate, read_only, hostile, timeout)
        self.excluded = excluded(contract) if exclude is None else exclude
        self.clock: Clock = clock or SystemClock()
        self.run_id = run_id or secrets.token_hex(4)
        self.restart, self.quota, self.origin = restart, quota, Origin.of(self.base_url)
        self.wire: Transport = transport or SocketTransport(self.origin, trust, self.clock)
        self._blank()
        options: dict[str, Any] = {
            "seed": seed, "read_only": read_only, "hostile": hostile, "rate": rate,
            "trust": trust, "extra": extra, "timeout": timeout, "clock": clock,
            "run_id": self.run_id,
        }  # fmt: skip
        others = (also or {}).items()
        self.siblings = [BackendSubject(specs.load(a), url, keys, **options) for a, url in others]
        for sibling in self.siblings:
            sibling.mine.names = self.mine.names

    def _blank(self) -> None:
        """Begin with nothing said, and nothing owned."""
        self.mine = Belongings()
        """What this run may change."""
        self.cases: list[str] = []
        """The case instance that each exchange belongs to, by exchange number."""
        self.at: list[float] = []
        """Seconds since the epoch when each exchange ended, by exchange number."""
        self.restarts: list[int] = []
        """Number of the first exchange after each restart."""
        self.late: set[str] = set()
        """Operations that once did not show in time what they should; nobody waits long again."""
        self.unmet: dict[str, str] = {}
        """Principals whose quota no header tells and no number of requests met -> in words."""
        self.world = World(self)
        self.standing: Standing | None = None
        self.proof: Proof | None = None
        """What became of the records that were there before, once the subject is closed."""
        self.memory = Memory()
        """What programs that send requests again need to know of each."""
        self._exchanges: list[Exchange] = []
        self._kept, self.let_go = 0, 0
        self._lock = threading.Lock()
        self._started = self.clock.monotonic()
        self._next_slot, self._names = 0.0, 0

    # -- what cases.Subject asks for -------------------------------------------------------

    @property
    def api_name(self) -> str:
        """What `--api` was or could have been: the API's id, or a path to somebody's own spec."""
        shipped = self.contract.path.parent == Path(specs.__file__).parent
        return self.contract.api if shipped else self.contract.source

    @property
    def exchanged(self) -> int:
        """How many exchanges took place so far."""
        return len(self._exchanges)

    @property
    def virtual_seconds(self) -> float:
        """Always 0: a backend lives in real time."""
        return 0.0

    @property
    def history(self) -> History:
        """Everything so far, keys redacted."""
        return History(tuple(self._exchanges))

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every exchange so far, in the order in which they ended."""
        return tuple(self._exchanges)

    @property
    def mark(self) -> str:
        """What stands in everything that this run creates."""
        return f"{MARK}-{self.run_id}"

    def enter(self, case: str) -> None:
        """Begin a case instance: what is sent from now on belongs to it.

        Raises Inconclusive where a fast run leaves the case out.
        """
        if self.fast and case.startswith(FAST_LEAVES):
            raise Inconclusive("left out of a fast run; it runs without --fast", lacking.WHOLE_RUN)
        self.case, self.salt = case, self.salts.get(case, self.fresh_salt)
        self._names = 0
        if self.entered is not None:
            self.entered(case)
        begin = getattr(self.wire, "enter", None)
        if begin is not None:
            begin(case)

    def random(self, label: str = "") -> Random:
        """Return random numbers that depend on seed and case only, not on what ran before."""
        return Random(f"{self.seed}/{self.case}/{label}")

    def name(self, kind: str = "n") -> str:
        """Return a name that nothing else in this run has."""
        with self._lock:
            self._names += 1
            number = self._names
        made = f"{self.mark}-{kind}-{Random(self.case + self.salt).getrandbits(40):x}-{number}"
        return str(self.mine.name(made))

    def principals(self, count: int = 2) -> tuple[str, ...]:
        """Return the first `count` tenants. Raises Inconclusive where fewer keys were given."""
        known = tuple(p for p in PRINCIPALS if p in self.keys)
        if len(known) < count:
            raise Inconclusive(
                f"needs {count} API keys of different tenants, {len(known)} given; "
                "repeat --api-key to give more",
                lacking.tenants(count),
            )  # fmt: skip
        return known[:count]

    # -- sending -----------------------------------------------------------------------------

    def request(
        self,
        operation: Operation | str,
        arguments: Mapping[str, Any] | None = None,
        *,
        key: str | None = "a",
        auth: Headers | None = None,
        headers: Headers = (),
        body: bytes | None = None,
        json_body: Any = UNSET,
        media_type: str | None = None,
        method: str | None = None,
        keyed: bool = True,
    ) -> Prepared:
        """Build a request without sending it.

        `key` names the principal whose key is shown (None: none); `auth` replaces the
        credential headers altogether. Where a header must carry an idempotency key, a fresh one
        is sent with what brings none, unless `keyed` is false.
        """
        if isinstance(operation, str):
            operation = self.contract[operation]
        arguments = self.world.whole(operation, arguments or {}, key)
        promise = operation.idempotency
        if keyed and promise and promise.required and promise.location == "header":
            name = promise.name.lower()
            if name not in {n.lower() for n in (*dict(headers), *arguments)}:
                headers = (*headers, (name, self.name("idem")))
        headers = (*headers, *(standing_headers(operation, headers) if keyed else ()))
        made = build(
            operation, arguments, base_path=self.origin.path, headers=headers, body=body,
            json_body=json_body, media_type=media_type, method=method,
        )  # fmt: skip
        if auth is None and key in self.keys and self.contract.auth:
            auth = credentials(self.contract, self.keys[key or ""])
        made = replace(made, headers=(*(auth or ()), ("accept", "*/*"), *made.headers))
        return Prepared(operation, made, key or "", arguments or {})

    def send(
        self,
        operation: Operation | str,
        arguments: Mapping[str, Any] | None = None,
        *,
        patient: bool = True,
        fresh: bool = False,
        **shape: Any,
    ) -> Exchange:
        """Send one request and return the exchange; `shape` is that of `request`.

        A 429 is waited out where it says how long, unless `patient` is false. Raises Inconclusive
        where the budget or a limit forbids going on, NotApplicable where read-only does.
        """
        return self.play(self.request(operation, arguments, **shape), patient=patient, fresh=fresh)

    def attempt(
        self,
        operation: Operation | str,
        arguments: Mapping[str, Any] | None = None,
        **shape: Any,
    ) -> Exchange | None:
        """Send one request out of many; return None where it could harm what is not the run's."""
        try:
            return self.send(operation, arguments, **shape)
        except Withheld:
            return None

    def withheld(self, prepared: Prepared) -> str:
        """Return why a request must not be sent, for the harm that it could do; '' where it may."""
        return withheld(
            self.contract, self.mine, prepared.operation, prepared.request, prepared.arguments,
            prepared.principal,
        )  # fmt: skip

    def play(self, prepared: Prepared, *, patient: bool = True, fresh: bool = False) -> Exchange:
        """Send a prepared request; see `send`."""
        self._admit(prepared, 1)
        data = self._bytes(prepared.request)
        for _ in range(3):
            answer = self.wire.exchange(data, self.patience, fresh=fresh)
            exchange = self._record(prepared, answer)
            if not patient or not self._limited(prepared, exchange):
                return exchange
            self._wait_out(prepared, exchange)
            self._admit(prepared, 1)
        raise Inconclusive("still answered 429 after waiting as told, three times")

    def raw(self, data: bytes, *, like: Prepared) -> Exchange:
        """Send bytes that no library would send, on a connection of their own.

        `like` is the request that they are made of: what it may change they may. The exchange
        belongs to no operation; what it created all the same is remembered.
        """
        if not self.limits.hostile:
            raise Withheld("read-only sends what every client could send: --allow-hostile")
        self._admit(like, 1)
        line = data.split(b" ", 2)
        target = (line[1:2] or [b"/"])[0].decode("latin-1")
        request = Request(like.request.method, target, (), b"")
        answer = self.wire.exchange(data, self.patience, fresh=True)
        exchange = self._record(Prepared(None, request, ""), answer)
        self._remember(like, exchange)
        return exchange

    def lost(self, prepared: Prepared) -> Exchange:
        """Send a request whose answer gets lost on its way: the server has acted, nobody hears.

        A proxy between passes the request on, waits for the answer, and resets the connection.
        The exchange belongs to no operation: that it has no answer is ours, not the server's.
        """
        from conformance.faults.proxy import DroppingProxy  # brings a client and a server along

        self._admit(prepared, 1)
        prepared = replace(prepared, operation=None)
        data = self._bytes(prepared.request)
        if not isinstance(self.wire, SocketTransport):
            return self._record(prepared, self.wire.exchange(data, self.patience))
        root = f"{'https' if self.origin.tls else 'http'}://{self.origin.authority}"
        verify = self.trust.context() if self.origin.tls else True
        with DroppingProxy(root, lambda request: True, verify=verify) as proxy:
            there = Origin.of(proxy.base_url)
            moved = replace(prepared.request, target=there.path + prepared.request.target)
            wire = SocketTransport(there, clock=self.clock)
            data = self._bytes(moved)
            answer = wire.exchange(data, self.patience, fresh=True)
            if proxy.problems:
                raise Inconclusive(f"the request was not passed on: {proxy.problems[0]}")
        return self._record(prepared, answer)

    def _bytes(self, request: Request) -> bytes:
        """Return what goes out for a request; histories lack what goes out with every one."""
        return encode(self.always.added(request), self.origin.authority)

    def then(self, head: Prepared, after: Prepared) -> tuple[Exchange, Exchange | None]:
        """Send a HEAD, and another request on the same connection; None where that was closed.

        Raises NotApplicable if the transport has no connections.
        """
        send: Callable[[bytes, bytes, float], tuple[Answer, Answer | None]] | None
        send = getattr(self.wire, "then", None)
        if send is None:
            raise NotApplicable("this transport has no connections")
        for each in (head, after):
            self._admit(each, 2)
        first, second = send(self._bytes(head.request), self._bytes(after.request), self.patience)
        done = self._record(head, first)
        # what its connection spoils is not this operation's: the case says whose it is
        return done, self._record(replace(after, operation=None), second) if second else None

    def together(self, prepared: Sequence[Prepared]) -> list[Exchange]:
        """Release several requests at the same moment and return their exchanges in order."""
        for each in prepared:
            self._admit(each, len(prepared))
        data = [self._bytes(each.request) for each in prepared]
        answers = self.wire.together(data, self.patience)
        return [self._record(p, a) for p, a in zip(prepared, answers, strict=True)]

    def wait(self, seconds: float, why: str) -> None:
        """Let time pass. Raises Inconclusive where the run has less left than that."""
        left = self.seconds_left
        if left is not None and seconds > left:
            raise Inconclusive(
                f"{why} takes {seconds:.0f} s, {left:.0f} s are left; raise --max-seconds",
                lacking.seconds(self._spent + seconds + 1),
            )
        self.clock.sleep(seconds)

    def restarted(self) -> None:
        """Restart the server and follow it to where it then listens."""
        assert self.restart is not None
        moved = self.restart()
        self.restarts.append(self.exchanged)
        self.wire.close()
        if moved is not None:
            self.base_url, self.origin = moved, Origin.of(moved)
            self.wire = SocketTransport(self.origin, self.trust, self.clock)

    def close(self) -> list[str]:
        """Remove what the run created, close every connection, return what could not be removed."""
        try:
            left = self.world.clean()
            if self.standing is not None and self.world.tidies:
                self.proof = self.standing.proof()
                known = {line.partition(":")[0] for line in left}
                left += [each for each in self.proof.left if each.partition(":")[0] not in known]
            return left + [line for sibling in self.siblings for line in sibling.close()]
        finally:
            self.standing = None
            self.wire.close()

    def stand(self) -> None:
        """Look at what is there before anything is created: it must be there at the end too."""
        self.enter("standing")
        self.standing = Standing(self)
        self.standing.look()

    @property
    def patience(self) -> float:
        """Seconds to wait for the next answer.

        Who has left several requests without any will leave more: from then on an answer may
        take ten times as long as the slowest one that came, and at least `SHORT` seconds.
        """
        if self._silent < SILENT:
            return self.limits.timeout
        return min(self.limits.timeout, max(SHORT, 10 * self._slowest))

    # -- budgets and what may be sent ----------------------------------------------------------

    @property
    def requests_left(self) -> int | None:
        """Requests that may still be sent; None where there is no budget."""
        most = self.limits.max_requests
        return None if most is None else max(0, most - self.exchanged)

    @property
    def _spent(self) -> float:
        """Seconds that the run has taken so far."""
        return self.clock.monotonic() - self._started

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the run may still take; None where there is no budget."""
        most = self.limits.max_seconds
        if most is None:
            return None
        return max(0.0, most - self._spent)

    def in_time(self) -> None:
        """Raise Inconclusive if the run may take no more time."""
        if self.seconds_left == 0:
            raise Inconclusive(
                f"the budget of {self.limits.max_seconds:g} s is spent; raise --max-seconds",
                lacking.seconds(2 * self._spent),
            )

    def _admit(self, prepared: Prepared, count: int) -> None:
        """Let a request out, or say why not. The only gate there is."""
        operation, method = prepared.operation, prepared.request.method
        # an operation's effect speaks for its own method only, not for another one tried on it
        own = operation is not None and method == operation.verb
        if operation is not None and own and operation.id in self.excluded:
            raise Withheld(f"{operation.id} is left out: {self.excluded[operation.id]}")
        safe = method in SAFE and (operation is None or not own or operation.safe)
        if self.limits.read_only and not safe:
            raise NotApplicable(f"read-only: this would send {method}")
        if not self.limits.hostile and (odd := odd_part(prepared.request)):
            raise Withheld(f"read-only sends plain values, and this has {odd}: --allow-hostile")
        if why := self.withheld(prepared):
            raise Withheld(why)
        left = self.requests_left
        if left is not None and left < count:
            raise Inconclusive(
                f"the budget of {self.limits.max_requests} requests is spent; raise --max-requests",
                lacking.requests(self.limits.max_requests or 0),
            )  # fmt: skip
        self.in_time()
        self._pace()

    def _pace(self) -> None:
        if self.limits.rate is None:
            return
        with self._lock:
            now = self.clock.monotonic()
            slot = max(now, self._next_slot)
            self._next_slot = slot + 1 / self.limits.rate
        if slot > now:
            self.clock.sleep(slot - now)

    def _limited(self, prepared: Prepared, exchange: Exchange) -> bool:
        limit = prepared.operation.rate_limit if prepared.operation else None
        return exchange.status == (limit.exceeded_status if limit else 429)

    def _wait_out(self, prepared: Prepared, exchange: Exchange) -> None:
        """Wait as told: by Retry-After, else by the quota's own fields, else for its window."""
        seconds = asked_wait(prepared, exchange, self.clock.time())
        if seconds is None and self.quota is not None:
            seconds = self.quota.w
        if seconds is None:
            raise Inconclusive(
                "answered 429 without a readable Retry-After; nothing could be tested"
            )
        if seconds > WAIT_MAX:
            raise Inconclusive(
                f"answered 429 with Retry-After {seconds:g} s, more than the {WAIT_MAX:g} s that a "
                "case waits; raise the backend's limit, or lower --rate",
                lacking.SHORTER_WAITS,
            )
        self.wait(max(seconds, 0.05), "waiting out a 429")

    def _record(self, prepared: Prepared, answer: Answer) -> Exchange:
        request = prepared.request
        request = replace(request, headers=redact(request.headers, self.contract))
        with self._lock:
            exchange = Exchange(
                number=len(self._exchanges),
                request=request,
                response=answer.response,
                sent=answer.sent,
                received=answer.received,
                operation=prepared.operation.id if prepared.operation else None,
                failure=answer.failure,
                principal=prepared.principal,
                connection=answer.connection,
            )
            if answer.failure == "timeout":
                self._silent += 1
            elif answer.response is not None:
                self._slowest = max(self._slowest, answer.received - answer.sent)
            self._exchanges.append(exchange)
            spelling.note(self, exchange.number, prepared.request.headers)
            self._let_go(exchange.size)
            self.cases.append(self.case)
            self.at.append(self.clock.time())
            if self.recorder is not None:
                self.recorder(exchange, self.case, self.at[-1])
        self._remember(prepared, exchange)
        return exchange

    def _let_go(self, more: int) -> None:
        """Keep within `KEPT_MAX`: of the oldest exchanges only their ends stay.

        What a case has in its hands stays; the look back over all answers passes them over.
        """
        self._kept += more
        while self._kept > KEPT_MAX and self.let_go < len(self._exchanges) - 1:
            old = self._exchanges[self.let_go]
            response = replace(old.response, headers=(), body=b"") if old.response else None
            self._kept -= old.size
            self._exchanges[self.let_go] = replace(
                old, request=replace(old.request, body=b""), response=response, operation=None
            )
            self.let_go += 1

    def _remember(self, prepared: Prepared, exchange: Exchange) -> None:
        """Take note of what came of a request: what it created, deleted or showed."""
        operation = prepared.operation
        if operation is None or prepared.request.method != operation.verb or not ok(exchange):
            return
        effect = operation.effect
        if effect is None:
            return
        if effect.kind in ("list", "search"):
            ids = found_ids(operation, exchange) or ()
            self.mine.shown(prepared.principal, effect.resource, ids, exchange.received or 0.0)
        elif effect.kind in ("create", "batch"):
            body = prepared.request.json_or_none()
            whole = {**prepared.arguments, **(body if isinstance(body, dict) else {})}
            self.world.note(operation, whole, exchange, prepared.principal or "a")
        elif effect.kind == "delete":
            gone = str(prepared.arguments.get(effect.target or ""))
            self.mine.gone(effect.resource or "", gone)

    def redacted(self, text: str) -> str:
        """Return `text` with every key replaced."""
        shown = {key: f"<key {name}>" for name, key in self.keys.items()}
        return hide(text, {**dict.fromkeys(self.always.secrets, "<secret>"), **shown})
