"""`member`: what can be done to a member of the cluster."""

from __future__ import annotations

import click

from gossipnode.cli.command_classes import CommandGroup
from gossipnode.cli.confirm import confirm, yes_option
from gossipnode.cli.options import NodeTarget, checked, output_option, run_async, target_options
from gossipnode.cli.output import print_json, print_table, say_spread
from gossipnode.config.values import member_name


@click.group("member", cls=CommandGroup)
def command() -> None:
    """Forget a member. `members` lists them; a node becomes one by `run --join`."""


@command.command("forget")
@click.argument("name", callback=checked(member_name))
@yes_option
@output_option
@target_options
def forget(name: str, yes: bool, output: str, target: NodeTarget) -> None:
    """Remove the member NAME for good: what it held moves to the others.

    A member that is only down stays one, and needs no command. On a terminal you are asked before. Exit code
    3 if no member has this name.
    """
    confirm(f"forget the member {name} for good (asked at {target.address})", yes=yes)
    run_async(_forget, target, name, output)


async def _forget(target: NodeTarget, name: str, output: str) -> None:
    async with target.connect() as node:
        reply = await node.forget_member(name)
    if output == "json":
        print_json({"name": name, "acknowledged": reply.acknowledged, "members": reply.members})
    else:
        print_table(("forgotten", "members that know"), [(name, f"{reply.acknowledged} of {reply.members}")])
    say_spread(reply.acknowledged, reply.members)
