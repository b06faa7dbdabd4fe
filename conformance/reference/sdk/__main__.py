"""Start the reference SDK as a driver: `python -m conformance.reference.sdk --api NAME`.

Its standard output speaks the driver protocol. The defects that were reached are written, one id
a line, to the file that `--exercised` names, when it ends.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from conformance.drivers import host
from conformance.drivers.hosting import calls, capture, clock, serve
from conformance.reference.defects import Defects


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Drive the reference SDK over JSON lines.")
    parser.add_argument("--api", required=True, help="name or path of the contract")
    parser.add_argument("--defect", action="append", default=[], metavar="ID")
    parser.add_argument("--clock", choices=("virtual", "real"), default="virtual")
    parser.add_argument("--exercised", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> None:
    """Make time virtual, build the SDK from its contract, and answer until told to stop."""
    arguments = _arguments()
    requests, replies = os.fdopen(os.dup(0), "rb"), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    host._watch_parent()
    host._share_tls()
    host._draw_alike()
    clock.install("memconform_reference")
    captured = capture.Capture("memconform_reference")
    import specs
    from conformance.reference.sdk import module as made

    defects = Defects.of(arguments.defect)
    module, table = made.install(specs.load(arguments.api), defects)
    runner = calls.Runner(table, module, arguments.clock == "virtual", clock.real_loop())
    try:
        serve.loop(serve.Server(runner, captured, made.VERSION), requests, replies)
    finally:
        if arguments.exercised is not None:
            arguments.exercised.write_text("".join(f"{d}\n" for d in sorted(defects.exercised)))


if __name__ == "__main__":
    main()
