"""An SDK that does in good faith what harnesses trip over: see each module's docstring."""

from __future__ import annotations

from typing import Any

__all__ = ["AsyncAwkward", "Awkward", "AwkwardError", "Boxes"]


def __getattr__(name: str) -> Any:
    """Import the clients when they are asked for, as large packages do."""
    if name not in __all__:
        raise AttributeError(name)
    from awkward import _client

    return getattr(_client, name)
