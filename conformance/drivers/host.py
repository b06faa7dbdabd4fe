"""Run one published Python SDK as a driver: `python -I host.py --table FILE [--api NAME]`.

This file is started inside the SDK's own environment, where this project is not installed. It
therefore needs nothing but the standard library, and makes the few modules of `hosting` and the
table importable by their usual names without running the packages around them.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import importlib.util
import os
import random
import sys
import threading
import types
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent


def _borrow() -> None:
    """Make `conformance.drivers.…` importable; the packages' own `__init__` stay unread."""
    for name, folder in (("conformance", _HERE.parent), ("conformance.drivers", _HERE)):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Drive one Python SDK over JSON lines.")
    parser.add_argument("--table", required=True, help="file that holds the driver tables")
    parser.add_argument("--api", default="", help="which of the file's tables; default: its first")
    parser.add_argument("--clock", choices=("virtual", "real"), default="virtual")
    return parser.parse_args()


def _watch_parent() -> None:
    """End with the process that started us, even while the SDK hangs."""
    import time

    parent, sleep = os.getppid(), time.sleep

    def watch() -> None:
        while os.getppid() == parent:
            sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="memconform-watch").start()


def _load_tables(path: str) -> tuple[Any, ...]:
    spec = importlib.util.spec_from_file_location("memconform_table", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return tuple(module.TABLES)


def _share_tls() -> None:
    """Read the certificates once, not for each client: they are not what is tested."""
    import ssl

    made = {}
    real = ssl.create_default_context

    def shared(*args: object, **kwargs: object) -> ssl.SSLContext:
        key = repr((args, sorted(kwargs.items())))
        if key not in made:
            made[key] = real(*args, **kwargs)  # type: ignore[arg-type]
        return made[key]

    ssl.create_default_context = shared


class _Missing:
    """The last place where a module is looked for: what is not there need not be sought again.

    SDKs' clients ask for optional modules at every request, and each time all folders are read.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Take note that nobody knows a module, which from now on is an ImportError at once."""
        if path is None:
            sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def _draw_alike() -> None:
    """Draw jitter alike in each run, so that two runs tell the same."""
    random.seed(0)


def main() -> None:
    """Take the protocol's descriptors away from the SDK, load it, and serve."""
    arguments = _parse()
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    errors = os.dup(2)
    faulthandler.enable(errors)
    _watch_parent()
    _borrow()
    _share_tls()
    _draw_alike()
    from conformance.drivers.hosting import calls, capture, clock, serve

    tables = _load_tables(arguments.table)
    table = next((t for t in tables if arguments.api in ("", t.api)), None)
    if table is None:
        raise SystemExit(f"{arguments.table} has no table for {arguments.api!r}")
    os.environ.update(table.env)
    sys.meta_path.append(_Missing)
    clock.install(table.root)
    captured = capture.Capture(table.root)
    try:
        module = importlib.import_module(table.module)
        version = _version(table.package)
    except BaseException as error:
        os.write(errors, f"cannot import {table.module}: {error!r}\n".encode())
        raise SystemExit(3) from error
    runner = calls.Runner(table, module, arguments.clock == "virtual", clock.real_loop())
    serve.loop(serve.Server(runner, captured, version), requests, replies)
    os._exit(0)  # not waiting for threads that the SDK may have left behind


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


if __name__ == "__main__":
    main()
