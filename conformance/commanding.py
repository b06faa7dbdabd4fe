"""From rows of the option table to Typer commands: `command` is the only place that knows Typer.

A command is a function of one mapping, option key -> checked value. Its Typer signature is made
from the table, so that a command declares no option itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from conformance.option_kinds import Choice
from conformance.options import Given, Option, OptionError, at

Command = Callable[[Given], None]


def command(
    app: typer.Typer, name: str, place: str = "", short_help: str | None = None
) -> Callable[[Command], Command]:
    """Register the decorated function as a command; `place` is its name in the table."""
    place = place or name

    def register(function: Command) -> Command:
        app.command(name, short_help=short_help)(_typed(function, place))
        return function

    return register


def _typed(function: Command, place: str) -> Callable[..., None]:
    rows = at(place)

    def run(**given: Any) -> None:
        function({row.key: _value(row, given[row.identifier], place) for row in rows})

    parameters = [_parameter(row, place) for row in rows]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = inspect.getdoc(function)
    return run


def _value(row: Option, value: Any, place: str) -> Any:
    if row.repeatable:
        return list(value or [])
    return row.default_at(place) if value is None else value


def _parameter(row: Option, place: str) -> inspect.Parameter:
    """Return what Typer reads of an option: its annotation and its default."""
    kind: Any = bool if row.flag else str
    told = row.help_at(place, required=False)
    settings: dict[str, Any] = {"help": told, "metavar": row.metavar or None}
    settings["show_default"] = False
    if not row.flag:
        settings["parser"] = _parser(row, place)
    if isinstance(row.kind, Choice):
        settings["autocompletion"] = _completed(row.kind.words)
    elif row.key == "api":
        settings["autocompletion"] = _apis
    if place in row.env:
        settings["envvar"] = row.env[place]
        settings["show_envvar"] = True
    default: Any = row.default_at(place)
    if place in row.required:
        kind, default = list[str] if row.repeatable else kind, inspect.Parameter.empty
    elif row.repeatable or default is None:
        kind, default = (list[str] if row.repeatable else str) | None, None
    elif not row.flag:
        default = str(default)
    made = typer.Argument(**settings) if row.positional else typer.Option(row.name, **settings)
    return inspect.Parameter(
        row.identifier, inspect.Parameter.KEYWORD_ONLY, default=default,
        annotation=Annotated[kind, made],
    )  # fmt: skip


def _completed(words: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what a shell asks for the words that begin as the word that is typed."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def _apis(incomplete: str) -> list[str]:
    import specs

    return _completed(specs.names())(incomplete)


def _parser(row: Option, place: str) -> Callable[[Any], Any]:
    def parse(text: Any) -> Any:
        try:
            return row.read(text, place)
        except OptionError as why:
            name = row.name_at(place)
            raise typer.BadParameter(str(why).removeprefix(f"{name} ")) from None

    return parse


def root(app: typer.Typer, version: Callable[[], str]) -> None:
    """Give the command line its own option, `--version`."""
    row = at("")[0]

    def show(wanted: bool) -> None:
        if wanted:
            typer.echo(f"memconform {version()}")
            raise typer.Exit

    asked = typer.Option(row.name, help=row.help, callback=show, is_eager=True)

    def begin(**_: bool) -> None:
        """Take what stands before the command."""

    wanted = inspect.Parameter(
        row.identifier, inspect.Parameter.KEYWORD_ONLY, default=False,
        annotation=Annotated[bool, asked],
    )  # fmt: skip
    begin.__signature__ = inspect.Signature([wanted])  # type: ignore[attr-defined]
    begin.__annotations__ = {wanted.name: wanted.annotation}
    begin.__doc__ = None
    app.callback()(begin)
