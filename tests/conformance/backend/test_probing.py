"""A probe holds a draft against a server: what it sees is observed, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import specs
from conformance.backend.ownership import Withheld
from conformance.backend.probing import confirm, described
from conformance.backend.subject import BackendSubject
from conformance.cli import app
from specs import Basis, check
from specs.draft import Draft, Guess, draft, render
from specs.reading import joined
from tests.foreign.shelf import KEY, Shelf, serving


def probed(folder: Path, *ways: str) -> tuple[Draft, Shelf, list[str], Path]:
    """The draft for a server after a probe, the server, what was left behind, and the file."""
    with serving(*ways) as (shelf, url):
        path = folder / "api.json"
        path.write_text(json.dumps(shelf.document()), encoding="utf-8")
        made = draft(str(path))
        left = confirm(made, BackendSubject(described(made), url, [KEY], hostile=False))
    return made, shelf, left, path


def guessed(made: Draft, id: str | None, block: str) -> Guess:
    """What a draft says of an operation, or of the root."""
    [guess] = [
        g for g in made.guesses
        if g.block == block and (g.operation.id if g.operation else None) == id
    ]  # fmt: skip
    return guess


SEEN: list[tuple[str, str | None, str, dict[str, Any]]] = [
    ("", "add", "effect", {"kind": "create", "id": "/id"}),
    ("", "all", "effect", {"kind": "list", "items": "/items", "itemId": "/id"}),
    ("", "all", "pagination", {"limit": "limit", "maxLimit": 50, "overMax": "error"}),
    ("", None, "errors", {"envelope": {"message": "/detail"}}),
    ("clamps", "all", "pagination", {"overMax": "clamp"}),
    ("by-name", "add", "effect", {"id": "/name"}),
    ("by-name", "read", "effect", {"id": "/name"}),
    ("by-name", "all", "effect", {"itemId": "/name"}),
    ("moved", "all", "effect", {"items": "/hits", "itemId": "/note/id"}),
    ("unique", "add", "effect", {"scope": {"name": "free"}}),
    ("shouts", "read", "effect", {"volatile": ["text"]}),
    ("nested", None, "errors", {"envelope": {"message": "/error/message", "code": "/error/code"}}),
    ("gone", None, "errors", {"answers": {"unknown-id": {"status": 410}, "invalid": {"status": 400},
                                          "unauthenticated": {"status": 401}}}),
    ("tenant", None, "fixed", {"home": "default-home"}),
    ("tenant", "add", "effect", {"kind": "create", "id": "/id"}),
    ("quota", None, "rateLimit", {"headers": "x-ratelimit", "resetUnit": "epoch-seconds"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("way", "id", "block", "wanted"), SEEN, ids=[f"{w or 'plain'}-{i}-{b}" for w, i, b, _ in SEEN]
)
def test_what_a_server_shows_mends_the_guess(
    tmp_path: Path, way: str, id: str | None, block: str, wanted: dict[str, Any]
) -> None:
    """Each guess that calls can confirm is mended by what was seen and rests on observation."""
    made, shelf, left, path = probed(tmp_path, way)
    guess = guessed(made, id, block)
    assert {name: guess.value.get(name) for name in wanted} == wanted
    assert guess.basis is Basis.OBSERVED
    assert guess.seen
    assert (left, shelf.left, shelf.untouched()) == ([], [], True)
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(render(made, extends=path.name), encoding="utf-8")
    assert check.check(joined(path, [overlay])) == []
    assert specs.load(overlay)["add"].effect is not None


ASKED = [
    ("no-delete", "nothing that was recognised deletes a note"),
    ("picky", "add was answered 422"),
    ("open", "was answered 200 without a key"),
    ("keeps", "still shows a note that remove deleted"),
    ("shouts", "shows text otherwise than add wrote"),
]


@pytest.mark.parametrize(("way", "words"), ASKED, ids=[way for way, _ in ASKED])
def test_what_a_probe_cannot_tell_is_asked(tmp_path: Path, way: str, words: str) -> None:
    """A refusal, a missing deletion and a value shown otherwise become questions."""
    made, shelf, _, _ = probed(tmp_path, way)
    assert any(words in question for question in made.questions), made.questions
    assert shelf.untouched()


def test_a_record_that_nothing_deletes_is_not_created(tmp_path: Path) -> None:
    """A probe leaves nothing behind: what it could not delete it does not make."""
    _, shelf, left, _ = probed(tmp_path, "no-delete")
    assert not [call for call in shelf.calls if call.startswith(("POST", "PATCH"))]
    assert (left, shelf.left) == ([], [])


def test_no_record_takes_the_place_of_the_default(tmp_path: Path) -> None:
    """A flag that only one record has is never set, by a probe or by a generated call."""
    made, shelf, _, path = probed(tmp_path, "default")
    assert guessed(made, "add", "effect").basis is Basis.OBSERVED
    assert shelf.untouched()
    with serving("default") as (shelf, url):
        subject = BackendSubject(specs.load(path), url, [KEY])
        with pytest.raises(Withheld, match="set_default"):
            subject.send("add", {"name": "x", "set_default": True})
    assert shelf.left == []


def test_the_proof_reads_lists_as_the_probe_found_them(tmp_path: Path) -> None:
    """Records whose ids turn out to be elsewhere are compared by the ids that they have."""
    with serving("moved", "by-name") as (shelf, url):
        path = tmp_path / "api.json"
        path.write_text(json.dumps(shelf.document()), encoding="utf-8")
        made = draft(str(path))
        subject = BackendSubject(described(made), url, [KEY], hostile=False)
        confirm(made, subject)
    assert subject.proof is not None
    assert (subject.proof.before, subject.proof.same, subject.proof.gone) == (3, 3, [])


def test_what_stays_behind_is_told(tmp_path: Path) -> None:
    """A record that the server kept although it said that it deleted it is named."""
    _, shelf, left, _ = probed(tmp_path, "keeps")
    assert shelf.left
    assert any(shelf.left[0] in each for each in left)


def test_the_command_says_what_it_saw_and_what_to_type_next(tmp_path: Path) -> None:
    """`spec draft --probe` counts calls and observed guesses, and shows no key."""
    with serving() as (shelf, url):
        path, to = tmp_path / "api.json", tmp_path / "overlay.yaml"
        path.write_text(json.dumps(shelf.document()), encoding="utf-8")
        words = ["spec", "draft", str(path), "--probe", url, "--api-key", KEY, "--to", str(to)]
        ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    assert "probe: 3 records were there before; 3 are the same, 0 changed, 0 gone" in ran.output
    assert f"--base-url {url} --api {path} --overlay {to}" in ran.output
    assert "basis: observed" in to.read_text("utf-8")
    assert KEY not in ran.output + to.read_text("utf-8")


def test_credentials_in_the_url_are_not_shown(tmp_path: Path) -> None:
    """What to type next names the server without the password that was in its URL."""
    with serving("open") as (shelf, url):
        path, to = tmp_path / "api.json", tmp_path / "overlay.yaml"
        path.write_text(json.dumps(shelf.document()), encoding="utf-8")
        told = url.replace("http://", f"http://owner:{KEY}@")
        ran = CliRunner().invoke(
            app, ["spec", "draft", str(path), "--probe", told, "--to", str(to)]
        )
    assert ran.exit_code == 0, ran.output
    assert f"--base-url {url} " in ran.output
    assert KEY not in ran.output + to.read_text("utf-8")


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A probe of nothing is a mistake in what was asked for, and writes no draft."""
    path, to = tmp_path / "api.json", tmp_path / "overlay.yaml"
    path.write_text(json.dumps(Shelf(frozenset()).document()), encoding="utf-8")
    words = ["spec", "draft", str(path), "--probe", "http://127.0.0.1:9", "--to", str(to)]
    ran = CliRunner().invoke(app, words)
    assert (ran.exit_code, to.exists()) == (2, False)
    assert "nothing answers there" in ran.output
