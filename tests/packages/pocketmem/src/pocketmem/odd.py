"""A client without a server whose every method does something that a driver must survive."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any


class OddError(Exception):
    """Cannot be pickled: it wants two arguments."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
        self.tokens = {"a": float("nan")}

    @property
    def hint(self) -> str:
        """A property of the error."""
        return f"see {self.code}"


class LateOddError(OddError):
    """A subclass."""


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


@dataclasses.dataclass
class Thing:
    """A record."""

    id: str
    data: Any = None
    _secret: str = "no"

    @property
    def upper(self) -> str:
        """A property of the record."""
        return self.id.upper()

    @property
    def broken(self) -> str:
        """A property that raises."""
        raise RuntimeError("no")


class Odd:
    """The blocking client."""

    def __init__(self, key: str, url: str = "", slow: bool = False) -> None:
        if key == "refused":
            raise OddError("no such key", 401)
        if slow:
            warnings.warn("slow is deprecated", DeprecationWarning, stacklevel=2)
        self.group = self

    def __enter__(self) -> Odd:
        return self

    def __exit__(self, *_: object) -> None:
        print("left")

    def close(self) -> None:
        """Close."""
        raise OddError("cannot close", 3)

    def echo(self, value: Any = None) -> Any:
        """Return what was given."""
        return value

    def values(self) -> Any:
        """Return everything that is hard to write as JSON."""
        loop: list[Any] = [1]
        loop.append(loop)
        deep: Any = 0
        for _ in range(500):
            deep = [deep]
        return {
            "nan": float("nan"), "big": 10**5000, "bytes": b"hi", "set": {3}, 7: "key",
            "loop": loop, "deep": deep, "text": "x" * 300_000, "half": "\ud800", "red": Colour.RED,
            "when": datetime(2020, 1, 1, tzinfo=UTC), "thing": Thing("t", [1]),
            "stranger": threading.Lock(), "many": range(3),
        }  # fmt: skip

    def huge(self) -> Any:
        """Return more than a line may hold."""
        return ["y" * 200_000 for _ in range(400)]

    def stream(self, breaks: bool = False) -> Iterator[Any]:
        """Yield events, and maybe break."""
        yield {"type": "delta", "data": "a"}
        time.sleep(1)
        yield Thing("b")
        if breaks:
            raise OddError("broke off", 5)

    def endless(self) -> Iterator[int]:
        """Yield for ever."""
        while True:
            yield 1

    def fail(self) -> None:
        """Raise an error with a cause."""
        try:
            {}["x"]
        except KeyError as error:
            raise LateOddError("it failed with sk_live_abcdefghijk", 7) from error

    def leave(self) -> None:
        """Raise what is no Exception."""
        raise SystemExit(3)

    def waits(self, seconds: list[float]) -> list[float]:
        """Wait and tell how much time passed on three clocks."""
        begun = time.monotonic(), time.time(), datetime.now(UTC).timestamp()
        for each in seconds:
            time.sleep(each)
        now = time.monotonic(), time.time(), datetime.now(UTC).timestamp()
        return [after - before for after, before in zip(now, begun, strict=False)]

    def wait_on_event(self, seconds: float) -> bool:
        """Wait by an event that nobody sets."""
        return threading.Event().wait(seconds)

    def wait_in_thread(self, seconds: float) -> str:
        """Wait in a thread of our own."""
        worker = threading.Thread(target=time.sleep, args=(seconds,))
        worker.start()
        worker.join()
        return "done"

    def chatter(self) -> str:
        """Print on every channel there is."""
        print('{"id": 1, "reply": "stop"}')
        sys.stderr.write("on stderr\n")
        os.write(1, b"\x00raw\n")
        os.system("echo from a child")
        logging.getLogger("pocketmem.odd").debug("authorization: sk_test_123")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return "quiet"

    def read_input(self) -> str:
        """Read what is not ours."""
        return sys.stdin.read()

    def hang(self) -> None:
        """Never return."""
        threading.Event().wait()

    def die(self, code: int = 9) -> None:
        """End the process."""
        os.write(2, b"nobody hears this\n")
        if code < 0:
            os.abort()
        os._exit(code)

    def litter(self) -> str:
        """Leave a thread behind that never ends."""
        threading.Thread(target=threading.Event().wait).start()
        return "left"

    def needs(self, id: str) -> str:
        """Want an argument."""
        return id


class AsyncOdd:
    """The client for event loops."""

    def __init__(self, key: str, url: str = "") -> None:
        self.running = asyncio.get_running_loop() is not None

    async def __aenter__(self) -> AsyncOdd:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)

    async def echo(self, value: Any = None) -> Any:
        """Return what was given."""
        await asyncio.sleep(0)
        return value

    async def waits(self, seconds: list[float]) -> list[float]:
        """Wait and tell how much time passed on two clocks."""
        begun = time.monotonic(), asyncio.get_running_loop().time()
        for each in seconds:
            await asyncio.sleep(each)
        return [time.monotonic() - begun[0], asyncio.get_running_loop().time() - begun[1]]

    async def wait_for_ever(self) -> None:
        """Begin a wait that has no end."""
        await asyncio.sleep(float("inf"))

    async def stubborn(self, seconds: float) -> str:
        """Refuse to be cancelled."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            return "still here"
        return "not cancelled"

    async def stream(self, breaks: bool = False) -> AsyncIterator[Any]:
        """Yield events, and maybe break."""
        yield 1
        await asyncio.sleep(2)
        if breaks:
            raise OddError("broke off", 5)
        yield 2
