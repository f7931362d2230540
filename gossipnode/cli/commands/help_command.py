"""`help`: what `--help` shows, for those who look for it here."""

from __future__ import annotations

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.output import print_text


@click.command("help", cls=Command)
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of COMMAND, as in `help group create`; without one, which commands there are."""
    within = ctx.find_root()
    for name in names:
        inside = within.command
        if not isinstance(inside, click.Group):
            raise click.UsageError(f"{within.command_path} has no commands of its own", ctx)
        _, found, _ = inside.resolve_command(within, [name])
        assert found is not None, "an unknown command ends here"
        within = click.Context(found, info_name=name, parent=within)
    print_text(within.get_help())
