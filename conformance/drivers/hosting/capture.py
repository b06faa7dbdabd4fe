"""What an SDK prints, logs and warns of, kept away from the protocol and kept short.

File descriptors 1 and 2 are turned to a nameless file, so that even a C library or a child
process cannot write between the protocol's lines.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from typing import Any

MAX_KEPT = 16 * 1024
MAX_WARNINGS = 20
MAX_FILE = 64 * 1024 * 1024


class Capture:
    """Holds what was said since it was last taken."""

    def __init__(self, package: str) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as we do
        self._flags()
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(self._file.fileno(), 1)
        os.dup2(self._file.fileno(), 2)
        self._warnings: list[str] = []
        self._logged: list[str] = []
        warnings.simplefilter("default")
        warnings.showwarning = self._warn
        logger = logging.getLogger(package)
        logger.addHandler(_Handler(self._logged))
        logger.setLevel(logging.DEBUG)

    def _flags(self) -> None:
        """Append only, and no more than MAX_FILE: a runaway print gets an OSError."""
        try:
            import fcntl
            import resource
        except ImportError:
            return
        fd = self._file.fileno()
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        limit = MAX_FILE if hard == resource.RLIM_INFINITY else min(MAX_FILE, hard)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))

    def _warn(
        self, message: Any, category: Any, filename: str, lineno: int, file: Any = None,
        line: str | None = None,
    ) -> None:  # fmt: skip
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings.append(f"{category.__name__}: {message}"[:500])

    def take(self) -> str:
        """Return the end of what was printed and logged, and forget it."""
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        size = os.fstat(self._file.fileno()).st_size
        printed = ""
        if size:
            raw = os.pread(self._file.fileno(), MAX_KEPT, max(0, size - MAX_KEPT))
            os.ftruncate(self._file.fileno(), 0)
            printed = raw.decode("utf-8", "replace")
        logged = "\n".join(self._logged)
        del self._logged[:]
        return (printed + logged)[-MAX_KEPT:]

    def take_warnings(self) -> list[str]:
        """Return the warnings since the last time."""
        found = list(self._warnings)
        del self._warnings[:]
        return found


class _Handler(logging.Handler):
    """Keeps the last records of the SDK's own loggers."""

    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._into = into

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record; one that cannot be formatted is kept as such."""
        try:
            text = record.getMessage()
        except Exception as error:
            text = f"<a record that cannot be formatted: {type(error).__name__}>"
        self._into.append(f"{record.levelname} {record.name}: {text}"[:2000])
        del self._into[:-100]
