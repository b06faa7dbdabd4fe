"""The table of options: each stands once, is checked once, and is the same at every place."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import conformance
from conformance import cli, options
from conformance.commanding import command
from conformance.option_kinds import Credentials
from conformance.options import OptionError, at, checked, find, places

NONSENSE = (
    "", " ", "abc", "-1", "0", "nan", "inf", "1e999", "1e-300", "999999", "9" * 5000, "\0",
    "\udcff", "\x1b[2J", "[/bold]", "../" * 2000 + "x", "x" * 300, "http://[", "http://h:0/",
    "=", "a=b", "a=\r\n", "1/0", "0/1", "nan/nan", "--", "💥", "a" * 100_001, "{", "]",
)  # fmt: skip
"""What a person, a script or a broken variable may put where a value belongs."""


def run(*words: str) -> tuple[int, str, BaseException | None]:
    """Type a command line in this process; return exit code, output and what it raised."""
    done = CliRunner().invoke(cli.app, list(words))
    return done.exit_code, done.output, done.exception


VALUED = [(place, row) for place in places() for row in at(place) if not row.flag]
"""Every option and argument of every command, of pytest and of Locust, that takes a value."""
ELSEWHERE = ("pytest", "locust", "")
"""Places that have a parser of their own; the table reads their values all the same."""


def refusal(row: options.Option, value: str, place: str) -> str | None:
    """Return why an option does not take a value; None where it does."""
    try:
        row.read(value, place)
    except OptionError as why:
        return str(why)
    return None


@pytest.mark.parametrize(("place", "row"), VALUED, ids=lambda v: getattr(v, "name", v))
def test_nonsense_is_refused_or_taken_and_never_a_crash(place: str, row: options.Option) -> None:
    """Whatever stands in an option, the table takes it or says why not: exit 2, no traceback."""
    taken: list[object] = []
    app = typer.Typer()
    app.callback()(lambda: None)
    command(app, "go", place)(lambda given: taken.append(given[row.key]))
    needed = [w for r in at(place) if place in r.required and r is not row
              for w in ([] if r.positional else [r.name])
              + ["http://127.0.0.1:1" if r.key == "base-url" else "x"]]  # fmt: skip
    for nonsense in NONSENSE:  # all of it at the table, the oddest through the command line
        why = refusal(row, nonsense, place)
        assert why is None or (row.name_at(place) in why and len(why) < 400)
    if place in ELSEWHERE:
        return
    for nonsense in ("", "nan", "\0", "\udcff", "a=\r\n"):
        before = len(taken)
        typed = ["--", nonsense] if row.positional else [f"{row.name}={nonsense}"]
        done = CliRunner().invoke(app, ["go", *needed, *typed])
        assert done.exit_code in (0, 2), (nonsense[:40], done.output, done.exception)
        assert (done.exit_code == 0) == (len(taken) == before + 1)
        if done.exit_code == 2:
            assert row.name in done.output, done.output
            assert len(done.output) < 2000, "a message must not repeat a value without end"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("backend", "--rate", "0"), "a number from"),
        (("backend", "--rate", "nan"), "a number from"),
        (("backend", "--rate", "-1"), "a number from"),
        (("backend", "--rate", "1e-300"), "a number from"),
        (("run", "--jobs", "-1"), "a whole number from 1"),
        (("teeth", "--jobs", "-1"), "a whole number from 1"),
        (("serve", "--port", "abc"), "from 0 to 65535"),
        (("serve", "--port", "999999"), "from 0 to 65535"),
        (("serve", "--port", "99999"), "from 0 to 65535"),
        (("serve", "--api-key", ""), "it is empty"),
        (("backend", "--api-key", ""), "it is empty"),
        (("load", "--seconds", "nan"), "a number above 0"),
        (("backend", "--header", "no-value"), "NAME=VALUE"),
        (("backend", "--header", "content-length=3"), "frames the request"),
        (("backend", "--base-url", "http://h:abc/"), "http://HOST:PORT/PATH"),
        (("backend", "--base-url", "http://h:999999/"), "http://HOST:PORT/PATH"),
        (("backend", "--ca", "no-such.pem"), "no such file"),
        (("teeth", "--suite", "gums"), "backend, sdk or load"),
        (("backend", "--quota", "100"), "REQUESTS/SECONDS"),
    ],
)
def test_wrong_value_is_told_with_the_reason_and_what_to_type(
    words: tuple[str, ...], why: str
) -> None:
    """A value that cannot be meant ends the command with exit 2 and says what to type."""
    code, output, _ = run(*words)
    assert (2, True) == (code, why in output), output
    assert words[1] in output


@pytest.mark.parametrize(
    "words",
    [
        ("serve", "--defect", "no-such-defect"),
        ("serve", "--db", "."),
        ("backend", "--base-url", "http://127.0.0.1:1", "--api", "octamem", "--case", "nosuch"),
        ("teeth", "--defect", "no-such-defect"),
        ("sdk", "--driver", "'", "--api", "octamem"),
        ("load", "--base-url", "http://127.0.0.1:1", "--api", "octamem", "--load-profile", "no"),
    ],
)
def test_unknown_id_is_a_usage_error(words: tuple[str, ...]) -> None:
    """What is named and does not exist ends a command with exit 2 before anything runs."""
    code, output, raised = run(*words)
    assert code == 2, (output, raised)


def test_each_option_stands_once() -> None:
    """No place has two rows of one name, and rows of one name share no place."""
    seen = Counter((row.key, place) for row in options.TABLE for place in row.where)
    assert [] == [pair for pair, count in seen.items() if count > 1]


def test_nobody_else_declares_an_option() -> None:
    """Typer, pytest and Locust are told of options from the table alone."""
    root = Path(conformance.__file__).parent
    files = [*root.rglob("*.py"), *(root.parent / "load").glob("*.py")]
    declares = re.compile(r"typer\.(Option|Argument)\(|\.addoption\(|parser\.add_argument\(")
    found = {
        str(path.relative_to(root.parent))
        for path in files
        if declares.search(path.read_text("utf-8"))
    }
    apart = {
        # processes of ours, started by ours: a person types none of their options
        "conformance/drivers/host.py", "conformance/reference/sdk/__main__.py", "load/storm.py",
        "conformance/drivers/__main__.py",
    }  # fmt: skip
    ours = {"conformance/commanding.py", "conformance/plugin.py", "load/users.py"}
    assert ours == found - apart


@pytest.mark.parametrize("name", ["ca", "insecure", "header", "timeout", "api", "api-key", "quota"])
def test_reaching_a_backend_is_told_alike_everywhere(name: str) -> None:
    """What says how a backend is reached exists in both commands, under pytest and in Locust."""
    rows = [find(place, name) for place in ("backend", "load", "pytest", "locust")]
    assert 1 == len(set(map(id, rows)))


def test_documentation_is_the_table() -> None:
    """`OPTIONS.md` is what the table says; `python -m conformance.options` writes it anew."""
    written = (Path(conformance.__file__).parent / "OPTIONS.md").read_text("utf-8")
    assert options.document() == written


def test_version_is_told() -> None:
    """`memconform --version` prints the version and exits 0."""
    code, output, _ = run("--version")
    assert (0, True) == (code, output.startswith("memconform "))


def test_checked_says_which_option_of_a_place_is_wrong() -> None:
    """A place without a parser of its own is told the option by the name that it has there."""
    typed = {"timeout": "soon"}
    with pytest.raises(OptionError, match="--request-timeout 'soon'"):
        checked("pytest", lambda row: typed.get(row.key))


def test_secret_value_is_not_repeated() -> None:
    """A refused key is not shown in the message that refuses it."""
    row = find("backend", "api-key")
    with pytest.raises(OptionError) as why:
        row.read("sk-secret\0value")
    assert "sk-secret" not in str(why.value)


def test_base_url_is_taken_apart() -> None:
    """User information and query of a base URL are secrets; what remains may be shown."""
    made = Credentials.of("https://me:p%40ss@host:8443/base/?api_key=K123456")
    assert ("https://host:8443/base", "me", "p@ss") == (made.url, made.user, made.password)
    assert {"p@ss", "K123456"} == set(made.secrets)
    given = {"base-url": "http://u:hunter22@h/x", "api-key": ["member=abc"], "header": ["X-A=tok"]}
    assert {"hunter22", "member=abc", "tok"} <= set(options.secrets(given))


def test_pytest_knows_the_table() -> None:
    """pytest's parser has every row for pytest, under its name there."""
    from conformance import plugin

    parser = pytest.Parser(_ispytest=True)
    plugin.pytest_addoption(parser)
    names = {name for option in parser._anonymous.options for name in option.names()}
    for group in parser._groups:
        names |= {name for option in group.options for name in option.names()}
    assert {row.name_at("pytest") for row in at("pytest")} <= names
