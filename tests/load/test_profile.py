"""Load profiles: shipped ones are valid, broken ones are refused in words."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from load.profile import Part, Profile, ProfileError, length, load_profile, names, parse, within

OPEN = {"name": "own", "stages": [{"seconds": 1, "rate": 1}]}


@pytest.mark.parametrize("name", names())
def test_shipped_profiles_are_valid_and_named_as_their_file(name: str) -> None:
    """Each TOML file that ships parses, and says its own name and what it is for."""
    profile = load_profile(name)
    assert profile.name == name
    assert profile.summary


def test_an_own_profile_is_loaded_by_path(tmp_path: Path) -> None:
    """A path that ends in .toml is read as a profile."""
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n[[stages]]\nseconds = 2\nrate = 5\nto = 15\n')
    assert load_profile(file).planned == 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": []}, "at least one"),
        ({"stages": [{"seconds": -1, "rate": 1}]}, "seconds"),
        ({"users": 0}, "users"),
        ({"gates": {"latency": {"p97": 1}}}, "p97"),
        ({"gates": {"errors": 2}}, "errors"),
        ({"surprise": 1}, "surprise"),
        ({"stages": [{"seconds": 1, "rate": 1}] * 2}, "same name"),
    ],
)
def test_a_broken_profile_is_refused_with_what_and_where(
    change: dict[str, object], words: str
) -> None:
    """A profile error names the place and what may stand there."""
    with pytest.raises(ProfileError, match=words):
        parse({**OPEN, **change}, "mine.toml")


def _numbers(model: type[Part], way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the way to every number of a profile, through its parts."""
    for name, field in model.model_fields.items():
        here = (*way, (field.alias or name))
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, Part)), None)
        if inner is not None:
            yield from _numbers(inner, here)
        elif {int, float} & set(kinds):
            yield here


@pytest.mark.parametrize("way", list(_numbers(Profile)), ids=".".join)
@pytest.mark.parametrize("value", ["inf", "nan", "-inf", "-1", "1e30", "1e400"])
def test_every_number_of_a_profile_has_a_range(way: tuple[str, ...], value: str) -> None:
    """`drain = inf`, `prepare = 1e8`: what no run can wait for or make is refused in words."""
    *parts, name = way
    given: Any = {name: float(value)}
    for part in reversed(parts):
        given = {part: [given] if part == "stages" else given}
    raw = {**OPEN, **given}
    if parts[:1] == ["stages"]:
        raw["stages"] = [{"seconds": 1, "rate": 1, name: float(value)}]
    if parts[:1] == ["gates"] and value == "1e30":
        return  # a bound that nothing reaches only judges nothing
    with pytest.raises(ProfileError, match=name):
        parse(raw, "mine.toml")


@pytest.mark.parametrize("weight", [-1, 10**6, float("inf"), "x"])
def test_weights_are_shares(weight: object) -> None:
    """A negative weight, or one that outweighs memory, is refused."""
    with pytest.raises(ProfileError, match="weights"):
        parse({**OPEN, "weights": {"memory.get": weight}}, "mine.toml")


def test_an_unknown_profile_lists_the_known_ones() -> None:
    """A name that is no profile's is answered with those that are."""
    with pytest.raises(ProfileError, match="smoke"):
        load_profile("smokey")


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    """Broken TOML is a profile error that names the file."""
    file = tmp_path / "broken.toml"
    file.write_text("name = ")
    with pytest.raises(ProfileError, match=r"broken\.toml"):
        load_profile(file)


@pytest.mark.parametrize("name", [n for n in names() if n != "rate-limit"])
def test_a_shortened_profile_keeps_its_rates_and_takes_about_that_long(name: str) -> None:
    """`--seconds` shortens every duration alike; rates stay, and some evidence is still wanted."""
    whole = load_profile(name)
    short = within(whole, 12)
    assert [s.rate for s in short.stages] == [s.rate for s in whole.stages]
    assert length(short) <= max(12 + whole.timeout, 16 * (1 + whole.drain))
    assert bool(short.gates.evidence) == bool(whole.gates.evidence)


def test_a_profile_is_never_made_longer() -> None:
    """More seconds than a profile has change nothing; none at all are refused."""
    assert within(load_profile("smoke"), 60) == load_profile("smoke")
    with pytest.raises(ProfileError, match="leave nothing"):
        within(load_profile("smoke"), 0)


def test_a_quota_in_a_profile_is_checked(tmp_path: Path) -> None:
    """What is no REQUESTS/SECONDS is refused with how to write it."""
    file = tmp_path / "p.toml"
    file.write_text('name = "p"\nkind = "rate-limit"\n[rate-limit]\nquota = "many"\n')
    with pytest.raises(ProfileError, match="REQUESTS/SECONDS"):
        load_profile(file)
