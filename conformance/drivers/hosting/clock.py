"""A virtual clock for an SDK: waits return at once, are recorded, and move its time on.

Inside a call, `time.sleep`, `asyncio.sleep` and the SDK's own `Event.wait(timeout)` do not wait;
`time.time`, `time.monotonic`, `time.perf_counter` and `datetime.now` are moved on by as much as
was slept. Sockets and event loops keep real time, so a server that stalls is still timed out
after real seconds. Outside a call nothing is changed.

The monotonic clock never goes back: a call begins where the furthest one ended. Wall time begins
anew at real time in each call, so that a server's HTTP dates mean what they say. Calls that run
at the same time have each their own time.

A deadline that an SDK sets around its own waits (`asyncio.timeout`) is the loop's, and so real.

`install()` must come before the SDK is imported: it may bind `sleep` by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime
import math
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LONGEST = 1e9
"""Seconds; a longer wait is recorded as asked for, and moves time by this much."""
MOST_SLEEPS = 20_000
"""Waits of one call that are virtual; further ones are real, so that no loop runs wild."""

_real_sleep = time.sleep
_real_async_sleep = asyncio.sleep
_real_monotonic = time.monotonic
_real_event_wait = threading.Event.wait
_RealDatetime = datetime.datetime
_UTC = datetime.timezone.utc  # noqa: UP017 - Python 3.9


@dataclass(eq=False)
class Recorder:
    """The time of one call."""

    started_at: float
    """Offset of virtual time at its beginning."""
    virtual: bool = True
    offset: float = 0.0
    sleeps: list[tuple[float, float, bool]] = field(default_factory=list)
    """(real monotonic time, seconds asked for, whether an event loop was held up) of each wait."""
    connects: list[tuple[float, int]] = field(default_factory=list)
    """(real monotonic time, port) of each connection asked for."""
    cancel_at: int = 0
    """Cancel `task` when this many waits have begun; 0: never."""
    task: asyncio.Task[Any] | None = None
    cancelled: bool = False
    endless: bool = False
    """True where a wait began that never ends; the call was cancelled in it."""

    @property
    def slept(self) -> float:
        """Virtual seconds slept in this call."""
        return self.offset - self.started_at

    def note(self, seconds: float, blocking: bool = False) -> bool:
        """Record a wait; True where it is not to be waited for."""
        self.sleeps.append((_real_monotonic(), seconds, blocking))
        if not self.virtual or len(self.sleeps) > MOST_SLEEPS:
            return False
        self.offset += min(max(seconds, 0.0), LONGEST)
        _state.furthest = max(_state.furthest, self.offset)
        return True


class _State:
    furthest = 0.0
    active: list[Recorder] = []  # noqa: RUF012 - one process, one state
    package = ""
    lock = threading.Lock()


_state = _State()
_current: contextvars.ContextVar[Recorder | None] = contextvars.ContextVar("call", default=None)


def _recorder() -> Recorder | None:
    """The call that the running code belongs to; the only one, where a thread does not say."""
    found = _current.get()
    if found is None and len(_state.active) == 1:
        return _state.active[0]
    return found


@contextlib.contextmanager
def recording(virtual: bool, cancel_at: int = 0) -> Iterator[Recorder]:
    """Record the waits of the code inside, which belongs to one call."""
    made = Recorder(_state.furthest, virtual, _state.furthest, cancel_at=cancel_at)
    token = _current.set(made)
    with _state.lock:
        _state.active.append(made)
    try:
        yield made
    finally:
        with _state.lock:
            _state.active.remove(made)
        _current.reset(token)


def install(package: str) -> None:
    """Replace the functions that wait and tell time; `package` is the SDK's import name."""
    _state.package = package
    sys.addaudithook(_audit)
    setattr(time, "sleep", _sleep)  # noqa: B010 - what is replaced has other types
    setattr(asyncio, "sleep", _async_sleep)  # noqa: B010
    setattr(threading.Event, "wait", _event_wait)  # noqa: B010
    for name in ("monotonic", "perf_counter"):
        _move(name, lambda recorder: recorder.offset)
    _move("time", lambda recorder: recorder.slept)
    datetime.datetime = _Datetime  # type: ignore[misc]


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Take note of connections that a call asks for: nobody else sees one that is refused."""
    if event != "socket.connect":
        return
    recorder, address = _recorder(), arguments[1]
    if recorder is not None and isinstance(address, tuple) and len(address) > 1:
        recorder.connects.append((_real_monotonic(), int(address[1])))


def real_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop that keeps real time."""
    loop = asyncio.new_event_loop()
    loop.time = _real_monotonic  # type: ignore[method-assign]
    return loop


@contextlib.contextmanager
def real_datetime() -> Iterator[None]:
    """Put the real `datetime` back for a moment: pickle looks classes up by name."""
    kept = datetime.datetime
    datetime.datetime = _RealDatetime  # type: ignore[misc]
    try:
        yield
    finally:
        datetime.datetime = kept  # type: ignore[misc]


def monotonic() -> float:
    """Real seconds on the machine's monotonic clock."""
    return _real_monotonic()


def _move(name: str, by: Any) -> None:
    """Replace `time.<name>` and `time.<name>_ns` by ones that a call's offset moves on."""
    real, real_ns = getattr(time, name), getattr(time, name + "_ns")

    def moved() -> float:
        recorder = _recorder()
        return float(real() + (by(recorder) if recorder else 0.0))

    def moved_ns() -> int:
        recorder = _recorder()
        return int(real_ns() + (int(by(recorder) * 1_000_000_000) if recorder else 0))

    setattr(time, name, moved)
    setattr(time, name + "_ns", moved_ns)


def _sleep(seconds: float) -> None:
    """Stand for `time.sleep`: the same errors for the same arguments."""
    recorder = _recorder()
    if recorder is None:
        return _real_sleep(seconds)
    if not isinstance(seconds, (int, float)) and not hasattr(seconds, "__index__"):
        return _real_sleep(seconds)  # says what is wrong with it
    if math.isnan(seconds) or seconds < 0 or seconds > threading.TIMEOUT_MAX:
        return _real_sleep(seconds)
    return _real_sleep(0 if recorder.note(float(seconds), _in_loop()) else seconds)


def _in_loop() -> bool:
    """True where the running thread runs an event loop: who waits here holds up all its tasks."""
    return asyncio._get_running_loop() is not None


async def _async_sleep(delay: float, result: Any = None, **more: Any) -> Any:
    """Stand for `asyncio.sleep`: other tasks still get their turn."""
    recorder = _recorder()
    if recorder is None or not isinstance(delay, (int, float)):
        return await _real_async_sleep(delay, result, **more)
    if delay == math.inf and recorder.virtual and recorder.task:
        recorder.endless = True
        recorder.task.cancel()
        return await _real_async_sleep(1, result, **more)
    if delay <= 0 or not math.isfinite(delay):
        return await _real_async_sleep(delay, result, **more)
    virtual = recorder.note(float(delay))
    if recorder.cancel_at and len(recorder.sleeps) == recorder.cancel_at and recorder.task:
        recorder.cancelled = True
        recorder.task.cancel()
        return await _real_async_sleep(min(delay, 1.0), result, **more)
    return await _real_async_sleep(0 if virtual else delay, result, **more)


def _event_wait(self: threading.Event, timeout: float | None = None) -> bool:
    """Stand for `Event.wait`: virtual only where the SDK itself waits by it."""
    recorder = _recorder()
    if recorder is None or timeout is None or timeout <= 0 or self.is_set():
        return _real_event_wait(self, timeout)
    caller = sys._getframe(1).f_globals.get("__name__", "")
    if caller.split(".")[0] != _state.package:
        return _real_event_wait(self, timeout)
    if recorder.note(float(timeout), _in_loop()):
        return _real_event_wait(self, 0.001)
    return _real_event_wait(self, timeout)


class _DatetimeMeta(type):
    """Real datetimes count as instances, and ours make real ones."""

    def __instancecheck__(cls, instance: object) -> bool:
        if cls is _Datetime:
            return isinstance(instance, _RealDatetime)
        return type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        if cls is _Datetime:
            return issubclass(subclass, _RealDatetime)
        return type.__subclasscheck__(cls, subclass)


class _Datetime(_RealDatetime, metaclass=_DatetimeMeta):
    """`datetime.datetime` whose present is the call's."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        made = _RealDatetime if cls is _Datetime else cls
        return _RealDatetime.__new__(made, *args, **kwargs)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        """Return the present of the running call."""
        return _RealDatetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        """Return the present of the running call in UTC, naive."""
        return _RealDatetime.fromtimestamp(time.time(), _UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        """Return the present of the running call in local time."""
        return cls.now()
