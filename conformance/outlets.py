"""Standard output and standard error that cost no run its result, whatever becomes of them.

A reader that goes away, a disk that is full and a descriptor that is closed are no verdict on
anybody: what cannot be written is dropped, a person is told once on the other stream, and the
exit code stays what the run came to. What others said cannot steer a terminal from here, whoever
wrote it: only the few signs that draw our own progress pass.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable
from typing import Any, TextIO, cast

from conformance.foreign import lines

OURS = re.compile(r"\x1b\[(?:[0-9;]*m|[0-9]*A|2K|\?25[lh])|\r(?=\x1b\[|$|\n)")
"""What `rich` writes to colour and to draw a line again; on a terminal only."""
NAMES = {1: "standard output", 2: "standard error"}


class Outlet:
    """A stream that drops what cannot be written; in all else it is the stream inside it."""

    def __init__(self, inside: TextIO, number: int) -> None:
        self._inside, self._number = inside, number
        self.trouble = ""
        """Why nothing is written any more; '' as long as it is."""

    def write(self, text: str) -> int:
        """Write what can be written."""
        try:
            self._inside.write(harmless(text, self._inside.isatty()))
        except OSError as error:
            self._give_up(error)
        return len(text)

    def writelines(self, each: Iterable[str]) -> None:
        """Write what can be written."""
        for text in each:
            self.write(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        try:
            self._inside.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Let everything that still comes, the interpreter's last flush too, go nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._inside.fileno())
        os.close(nowhere)
        if self.trouble:
            return
        self.trouble = error.strerror or str(error)
        other = sys.stderr if self._number == 1 else sys.stdout
        if error.errno != errno.EPIPE and getattr(other, "trouble", "x") == "":
            other.write(
                f"memconform: cannot write {NAMES[self._number]}: {self.trouble}; the run goes on\n"
            )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)


def harmless(text: str, terminal: bool) -> str:
    """Return a text without control, OSC and bidirectional signs, but for ours on a terminal."""
    if not terminal:
        return lines(text)
    made, at = [], 0
    for found in OURS.finditer(text):
        made += [lines(text[at : found.start()]), found[0]]
        at = found.end()
    return "".join([*made, lines(text[at:])])


def install() -> None:
    """Put outlets in the place of both streams; a closed descriptor is opened to nowhere."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            stream = os.fdopen(number, "w", encoding="utf-8", closefd=False)
        if not isinstance(stream, Outlet):
            setattr(sys, name, cast(TextIO, Outlet(stream, number)))
