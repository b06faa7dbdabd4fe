"""Load defects as a table: no gate without one, and every short profile they need is valid."""

import pytest

from load.defects import BEHAVIOURS, DEFECTS
from load.gates import CASES
from load.profile import HERE, load_profile
from load.teeth import LIMITED, PROFILES, TWO_KEYS


def test_every_gate_is_proven_by_a_defect() -> None:
    """A gate that no defect names could be one that cannot fail."""
    assert {d.case for d in DEFECTS} == set(CASES.cases)


def test_every_defect_names_a_requirement_of_its_gate() -> None:
    """The requirement that a defect breaks is one that its gate, or the judge of answers, tells."""
    own = {d.id for d in DEFECTS if d.requirement not in CASES.cases[d.case].requirements}
    assert own == {"load.stale-read"}  # an altered write, seen by the judge of answers


def test_special_arrangements_are_for_defects_that_there_are() -> None:
    """Profiles, limits and second keys are kept for known defects only."""
    known = {d.id for d in DEFECTS}
    assert known == set(BEHAVIOURS)
    assert {*PROFILES, *LIMITED, *TWO_KEYS} <= known


@pytest.mark.parametrize("path", sorted((HERE / "teeth").glob("*.toml")), ids=lambda p: p.stem)
def test_the_profiles_of_teeth_are_valid(path: object) -> None:
    """Each parses and says what it is for."""
    assert load_profile(str(path)).summary
