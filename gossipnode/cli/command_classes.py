"""The classes of all commands: what every one of them does before its work, and how it shows its help."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn, cast

import click

from gossipnode.cli.failure import WRONG_USE, Failure
from gossipnode.cli.output import print_text
from gossipnode.cli.standard_streams import flush_results, until_reader_leaves
from gossipnode.config.environment import setting_variables
from gossipnode.config.keys import SettingsError

_UNDECODED = re.compile("[\ud800-\udfff]")
"""What Python has in the place of bytes that are not UTF-8."""


def show_help(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    """Print the help as results are printed. Click would print it past the gate."""
    if wanted and not ctx.resilient_parsing:
        end_with(ctx, ctx.get_help())


def end_with(ctx: click.Context, text: str) -> NoReturn:
    """Print a text and end the command. Click itself would take a reader that has left for a failure."""
    with until_reader_leaves():
        print_text(text)
        flush_results()
    ctx.exit()


class Command(click.Command):
    """A command. It refuses texts that are not UTF-8, and variables with our prefix that nothing reads."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The option --help, with our way to print."""
        return _with_our_help(super().get_help_option(ctx))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments. A shell hands over any bytes, which only a path may consist of."""
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            if isinstance(parameter.type, click.types.StringParamType):
                _refuse_undecoded(ctx, parameter, ctx.params.get(parameter.name or ""))
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Check the environment, and do the work."""
        try:
            setting_variables(os.environ)
        except SettingsError as error:
            raise Failure(str(error), WRONG_USE) from None
        return super().invoke(ctx)


class CommandGroup(click.Group):
    """A command that has commands of its own."""

    command_class = Command

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The option --help, with our way to print."""
        return _with_our_help(super().get_help_option(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named first. An unknown one is refused, with the name that it may be."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(f"No such command {name!r}.{_meant(name, self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)


_OTHER_WORDS = {
    "put": "apply",
    "set": "apply",
    "write": "apply",
    "read": "get",
    "remove": "delete",
    "rm": "delete",
    "find": "query",
    "search": "query",
    "load": "import",
    "dump": "export",
    "start": "run",
    "serve": "run",
    "join": "run --join",
    "forget": "member forget",
    "nodes": "members",
    "groups": "group list",
}
"""What other programs call the commands of ours."""


def _meant(name: str, known: Sequence[str]) -> str:
    ours = _OTHER_WORDS.get(name, "")
    if not ours or ours.split()[0] not in known:
        ours = "".join(get_close_matches(name, known, n=1))
    return f" Did you mean {ours!r}?" if ours else ""


class PathType(click.Path):
    """A path. An empty text is refused: click would take it for the working directory."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Make the path, or keep one."""
        if value == "":
            self.fail("expected a path, got nothing", param, ctx)
        return super().convert(value, param, ctx)


def _refuse_undecoded(ctx: click.Context, parameter: click.Parameter, given: object) -> None:
    for text in cast("Sequence[object]", given) if isinstance(given, list | tuple) else (given,):
        if isinstance(text, str) and not text.isascii() and _UNDECODED.search(text):
            raise click.BadParameter(f"{text[:80]!r} is no UTF-8 text", ctx, parameter)


def _with_our_help(option: click.Option | None) -> click.Option | None:
    if option is not None:
        option.callback = show_help
    return option


class ManyValues(Command):
    """A command whose options take several values, up to the next option, if their metavar ends in "..."."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each of its values, which is the form that click knows."""
        many = {
            name
            for option in self.params
            if isinstance(option, click.Option) and (option.metavar or "").endswith("...")
            for name in option.opts
        }
        return super().parse_args(ctx, spread_values(args, many))


def spread_values(arguments: Sequence[str], many: Collection[str]) -> list[str]:
    """`--index a b` as `--index a --index b`, for the options in `many`."""
    spread: list[str] = []
    option, valued = "", False
    for place, argument in enumerate(arguments):
        if argument == "--":
            return spread + list(arguments[place:])
        if argument.startswith("-"):
            name, equals, _ = argument.partition("=")
            option, valued = (name if name in many else ""), bool(equals)
        elif option:
            if valued:
                spread.append(option)
            valued = True
        spread.append(argument)
    return spread
