"""The SDK suite: cases for a client library, driven through the driver protocol.

from conformance.sdk import run_release
[entry] = run_release("claiv-memory==0.2.1")
"""

from conformance.sdk.suite import (
    cases,
    open_release,
    reference,
    run,
    run_release,
)

__all__ = ["cases", "open_release", "reference", "run", "run_release"]
