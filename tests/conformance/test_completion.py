"""Shell completion: what a shell asks of the command line, and what it is told."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

import specs
from conformance.cli import app


def completed(typed: str) -> set[str]:
    """Return what bash is offered for the last word of a command line."""
    words = typed.split(" ")
    env = {
        "_MEMCONFORM_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = CliRunner().invoke(app, [], prog_name="memconform", env=env)
    return set(done.output.split())


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("memconform base", {"baseline"}),
        ("memconform baseline pr", {"prune"}),
        ("memconform ci git", {"github", "gitlab"}),
        ("memconform backend --fail", {"--fail-on", "--failed"}),
        ("memconform backend --fail-on ", {"must", "should", "may", "new"}),
        ("memconform spec show ", set(specs.names())),
    ],
)
def test_a_shell_completes_what_is_typed(typed: str, offered: set[str]) -> None:
    """Commands, options, choices and names of APIs complete."""
    assert offered == completed(typed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_can_be_shown(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--show-completion` prints the script of the shell that asks."""
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: shell)
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    done = CliRunner().invoke(app, ["--show-completion"], prog_name="memconform")
    assert 0 == done.exit_code, done.output
    assert "_MEMCONFORM_COMPLETE" in done.output
