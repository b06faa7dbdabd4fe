"""Locust's web page with our gates and findings on it."""

from typing import Any


def extend(environment: Any) -> None:
    """Placeholder replaced below."""
