"""Runs one command and leaves nothing of it behind: `python -I -S supervise.py FD GRACE HOW -- …`.

It stands between us and every program of others, and between the parts of a run. `FD` is the
reading end of a pipe whose other end its parent holds: when that closes, because the parent ends
the command or died of anything, all that the command started ends too: it is asked first (TERM),
and killed after `GRACE` seconds. Where the system has it (Linux, prctl(2)), what was started and
then left by its parent comes back here, so that a double fork and a session of its own end as
well. The command's own end is told as if there were nobody between. Standard library only.

There are two of it, one below the other, so that what the command started ends even when one of
the two is killed. With `HOW` as `lasting`, what the command leaves behind stays if it ends by
itself: it is a server that the command restarted.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable

SUBREAPER, DEATH_SIGNAL = 36, 1
"""PR_SET_CHILD_SUBREAPER and PR_SET_PDEATHSIG of prctl(2)."""


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process where the system knows it."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants() -> list[int]:
    """Return the ids of all processes below this one, where the system tells them."""
    below: dict[int, list[int]] = {}
    try:
        entries = os.listdir("/proc")
    except OSError:
        return []
    for name in entries:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            below.setdefault(parent, []).append(int(name))
    found, todo = [], [os.getpid()]
    while todo:
        todo += (children := below.get(todo.pop(), []))
        found += children
    return found


def reap() -> dict[int, int]:
    """Return id -> status of every child that has ended."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if not pid:
            return ended
        ended[pid] = status


def end_all(grace: float) -> dict[int, int]:
    """End everything below; return the statuses of our own children."""
    ended = {}
    deadline = time.monotonic() + grace
    sign = signal.SIGTERM if grace else signal.SIGKILL
    told: set[int] = set()
    while True:
        ended.update(reap())
        left = descendants()
        if not left:
            return ended
        if sign is signal.SIGTERM and time.monotonic() > deadline:
            sign, told = signal.SIGKILL, set()
        for pid in left:
            if pid not in told or sign is signal.SIGKILL:
                told.add(pid)
                try:
                    os.kill(pid, sign)
                except (ProcessLookupError, PermissionError):
                    continue
        select.select([], [], [], 0.01)
        if time.monotonic() > deadline + 10:
            return ended


def start(command: list[str], reading: int) -> int:
    """Start the command and return its id; where that fails, say why as a shell does."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    os.close(reading)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    prctl(DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606 - a command is what it is given
    except OSError as why:
        os.write(2, f"cannot start {command[0]!r}: {why.strerror}\n".encode())
        os._exit(127 if isinstance(why, FileNotFoundError) else 126)


def watch(begin: Callable[[], int], reading: int, end: Callable[[int], int]) -> int:
    """Return the status with which what `begin` started ended, by itself or because of `end`.

    `end` is called with its id as soon as nobody wants it any more.
    """
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pid = begin()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # else nobody would see the command close them
        os.dup2(nothing, stream)
    os.close(nothing)
    while True:
        status = reap().get(pid)
        if status is not None:
            return status
        ready, _, _ = select.select([reading, woken], [], [])
        if reading in ready and not os.read(reading, 64):
            return end(pid)
        if woken in ready:
            os.read(woken, 512)


def leave(status: int) -> int:
    """End as the command ended: with its signal, or with the exit code that is returned."""
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        if ended_by != signal.SIGKILL:
            signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    return os.waitstatus_to_exitcode(status)


def supervise(begin: Callable[[], int], reading: int, end: Callable[[int], int], how: str) -> int:
    """Run what `begin` starts to its end, end what it leaves below this process, and end so too."""
    prctl(SUBREAPER, 1)
    status = watch(begin, reading, end)
    if how != "lasting" or os.WIFSIGNALED(status):
        end_all(0)
    return leave(status)


def inner(command: list[str], reading: int, grace: float, how: str) -> int:
    """Run the command; this is the lower one of two supervisors."""
    return supervise(
        lambda: start(command, reading), reading,
        lambda pid: end_all(grace).get(pid, int(signal.SIGKILL)), how,
    )  # fmt: skip


def outer(command: list[str], reading: int, grace: float, how: str) -> int:
    """Run a supervisor below this one, and end what that one leaves if it is killed."""
    theirs, ours = os.pipe()

    def begin() -> int:
        pid = os.fork()
        if pid:
            os.close(theirs)
            return pid
        os.close(ours)
        os.close(reading)
        os._exit(inner(command, theirs, grace, how))

    def end(pid: int) -> int:
        os.close(ours)
        deadline = time.monotonic() + grace + 10
        while time.monotonic() < deadline:
            status = reap().get(pid)
            if status is not None:
                return status
            select.select([], [], [], 0.01)
        return int(signal.SIGKILL)

    return supervise(begin, reading, end, how)


def main(words: list[str]) -> int:
    """Run the command to its end, or until nobody wants it any more."""
    reading, grace, how, command = int(words[0]), float(words[1]), words[2], words[4:]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the command's group has them too
    return outer(command, reading, grace, how)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
