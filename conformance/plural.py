"""A count with its noun, in the right number; sentences of every layer are made with it."""

from __future__ import annotations


def many(count: int, noun: str, one: str = "", more: str = "") -> str:
    """Return a count with its noun and, where given, the verb that follows."""
    verb = one if count == 1 else more
    return f"{count} {noun}{'' if count == 1 else 's'}{' ' * bool(verb)}{verb}"
