"""Load that is exact and judged: Locust drives, the contract decides what is sent and judged.

    >>> from load.profile import load_profile
    >>> load_profile("smoke").stages[0].name
    'steady'

Importing this package never imports Locust, which patches the process; only `locustfile.py`,
`users.py` and `web.py` do, and those run inside a Locust process.
"""

from __future__ import annotations

from typing import Any

__all__ = ["run"]


def run(*args: Any, **kwargs: Any) -> Any:
    """Run a profile on one API and return its entry; see `load.runner.run`."""
    from load.runner import run as start

    return start(*args, **kwargs)
