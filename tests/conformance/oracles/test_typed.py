"""Values in an SDK's own types and names are the ones that were sent; others are not."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.history import Raised
from conformance.oracles.exceptions import _attribute, excused
from conformance.oracles.typed import alike
from specs import Basis
from specs.vocabulary import Errors

WHEN = {"$type": "datetime", "$str": "2026-01-01 00:00:00+00:00"}


@pytest.mark.parametrize(
    ("got", "wanted", "same"),
    [
        # dates and other types that a driver tells by their text
        (WHEN, "2026-01-01T00:00:00Z", True),
        (WHEN, "2026-01-01T01:00:00+01:00", True),
        (WHEN, "2026-01-01T00:00:01Z", False),
        ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00Z", True),
        ({"$type": "UUID", "$str": "0c-1"}, "0c-1", True),
        ({"$type": "Decimal", "$str": "12.50"}, 12.5, True),
        ({"$type": "Decimal", "$str": "12.51"}, 12.5, False),
        ("20260101", "2026-01-01", True),
        ("20260102", "2026-01-01", False),
        # names in the language's own case, or beside a reserved word
        ({"$type": "R", "search_time": 3}, {"searchTime": 3}, True),
        ({"searchTime": 3}, {"search_time": 3}, True),
        ({"$type": "U", "uuid_": "u"}, {"uuid": "u"}, True),
        ({"$type": "U", "var_async": False}, {"async": False}, True),
        ({"$type": "U", "var_async": True}, {"async": False}, False),
        ({"$type": "U", "other": "u"}, {"uuid": "u"}, False),
        ({"$type": "U", "$str": "u"}, {"str": "u"}, False),
        # lists, bare or in a page object
        ({"$type": "Page", "data": [{"id": "a"}], "next": None}, [{"id": "a"}], True),
        ({"$type": "Page", "$stream": [{"id": "a"}]}, [{"id": "a"}], True),
        ({"$type": "Page", "data": [{"id": "b"}]}, [{"id": "a"}], False),
        ([{"id": "a"}, {"id": "b"}], [{"id": "a"}], False),
        ({"$type": "R", "at": [WHEN]}, {"at": ["2026-01-01T00:00:00Z"]}, True),
        # what is plain stays plain
        (30.0, 30, True),
        (True, 1, False),
        (None, "2026-01-01T00:00:00Z", False),
        ("soon", "later", False),
    ],
)
def test_values_are_alike_in_any_type_and_name(got: Any, wanted: Any, same: bool) -> None:
    """Another type or spelling loses nothing; another value, name or number of entries does."""
    assert alike(got, wanted) is same


@pytest.mark.parametrize(
    ("path", "there", "value"),
    [("debug.kind", True, "a"), ("debug", True, {"kind": "a"}), ("flat.name", True, 1),
     ("debug.other", False, None), ("none.kind", False, None)],
)  # fmt: skip
def test_attributes_are_read_by_name_or_path(path: str, there: bool, value: Any) -> None:
    """A dotted attribute is one inside another, unless an attribute has that very name."""
    attributes = {"debug": {"kind": "a"}, "flat.name": 1, "none": None}
    assert _attribute(attributes, path) == (there, value)


@pytest.mark.parametrize(
    ("covers", "name", "module", "excused_"),
    [
        (("status",), "ConnectError", "httpx", True),
        (("status",), "ConnectionResetError", "builtins", True),
        (("status",), "JSONDecodeError", "json.decoder", False),
        (("status", "network"), "ConnectError", "httpx", False),
    ],
)
def test_a_base_of_answered_errors_only_excuses_the_network(
    covers: tuple[Any, ...], name: str, module: str, excused_: bool
) -> None:
    """If the base covers statuses only, the HTTP library's errors are no leak; a bug still is."""
    errors = Errors(basis=Basis.DOCUMENTED, base="ApiError", covers=covers)
    bases = ("ConnectionError", "OSError") if name.startswith("ConnectionR") else ("Exception",)
    raised = Raised(name=name, module=module, bases=bases, message="")
    assert excused(raised, errors) is excused_
