"""A body is written in the media type that is declared for it."""

from __future__ import annotations

from email import message_from_bytes
from urllib.parse import parse_qsl

from conformance.backend.bodies import form

CONTENT = {"name": "naïve & co", "rank": 3, "tags": ["a", "b"], "on": True}
FLAT = [("name", "naïve & co"), ("rank", "3"), ("tags", "a"), ("tags", "b"), ("on", "true")]


def test_a_form_is_one() -> None:
    """A form carries each member as text, an array as several."""
    made = form("application/x-www-form-urlencoded", CONTENT)
    assert made is not None
    body, media_type = made
    assert media_type == "application/x-www-form-urlencoded"
    assert parse_qsl(body.decode()) == FLAT


def test_a_form_of_several_parts_names_its_boundary() -> None:
    """Each member is a part, and the media type says what stands between them."""
    made = form("multipart/form-data", CONTENT)
    assert made is not None
    body, media_type = made
    message = message_from_bytes(f"content-type: {media_type}\r\n\r\n".encode() + body)
    parts = message.get_payload()
    assert isinstance(parts, list)
    read = [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))
        for part in parts
    ]
    assert read == [(name, text.encode()) for name, text in FLAT]


def test_what_is_no_form_is_left_to_others() -> None:
    """JSON is written elsewhere, and a list is no form."""
    assert form("application/json", CONTENT) is None
    assert form("multipart/form-data", [1]) is None
