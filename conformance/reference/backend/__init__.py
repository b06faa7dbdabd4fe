"""The embedded backend: every API of the specs with real behaviour, on SQLite.

Start with `create_app` (ASGI) or `Embedded` (a running server). `DEFECTS` are its seeded
defects. Only `adapters/` knows systems by name.
"""

from conformance.reference.backend.app import create_app
from conformance.reference.backend.keys import KeySpec

__all__ = ["KeySpec", "create_app"]
