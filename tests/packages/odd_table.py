"""The driver table of `pocketmem.odd`, and of `pocketmem` itself under a second API name."""

from __future__ import annotations

from conformance.drivers.hosting.table import Operation, Option, Table, way

_PLAIN = (
    "echo", "values", "huge", "stream", "endless", "fail", "leave", "waits", "wait_on_event",
    "wait_in_thread", "wait_for_ever", "chatter", "read_input", "hang", "die", "stubborn",
    "litter",
)  # fmt: skip

TABLES = (
    Table(
        api="odd",
        package="pocketmem",
        module="pocketmem.odd",
        clients={"sync": "Odd", "async": "AsyncOdd"},
        operations={
            **{name: Operation(way(name)) for name in _PLAIN},
            "renamed": Operation(way("sub.echo"), also=(way("group.echo", "value"),)),
            "absent": Operation(way("sub.nothing")),
            "undocumented": Operation(None, also=(way("echo"),)),
            "needs": Operation(way("needs", "id")),
        },
        options={
            "api-key": Option("key"),
            "base-url": Option("url"),
            "debug": Option("verbose", also=("slow",)),
            "timeout": Option("timeout"),
        },
        exceptions=("OddError", "LateOddError", "MissingError"),
    ),
)
