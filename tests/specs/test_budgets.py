"""A spec stands for no more than memory holds."""

from __future__ import annotations

import pytest

from specs.reading import SpecError, parsed


def test_aliases_stand_for_a_bounded_number_of_values() -> None:
    """A few hundred bytes whose aliases multiply are refused before anything follows them."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    for n in range(1, 12):
        lines.append(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]")
    with pytest.raises(SpecError, match="more than 5,000,000 values"):
        parsed("\n".join(lines), "laugh.yaml")


def test_an_alias_of_itself_is_refused() -> None:
    """A document that holds itself has no end."""
    with pytest.raises(SpecError, match="stands for what it stands in"):
        parsed("a: &a [1, *a]", "loop.yaml")


def test_aliases_that_mean_something_are_followed() -> None:
    """Two places may share one value."""
    assert parsed("a: &a {x: 1}\nb: *a", "fine.yaml") == {"a": {"x": 1}, "b": {"x": 1}}
