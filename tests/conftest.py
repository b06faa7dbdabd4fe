"""What all tests of ours share: a bound on time, and a place for caches."""

from __future__ import annotations

import pytest

SECONDS = 300
"""A test that takes longer hangs; the slowest one is an order of magnitude faster."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bound every test that sets no bound of its own."""
    if config.pluginmanager.hasplugin("timeout"):
        for item in items:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(SECONDS))
