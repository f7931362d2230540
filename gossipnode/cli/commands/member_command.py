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
@click.option("--accept-loss", is_flag=True, help="Even if acknowledged writes are lost by it.")
@click.option("--force", is_flag=True, help="Even if too few members are left for a group's quorum.")
@yes_option
@output_option
@target_options
def forget(name: str, accept_loss: bool, force: bool, yes: bool, output: str, target: NodeTarget) -> None:
    """Remove the member NAME for good: what it held moves to the others.

    A member that answers leaves: it stays a source until everything is handed over, and then stops by itself.
    One that does not answer is dropped at once, if enough other copies are left. A member that is only down
    stays one, and needs no command. On a terminal you are asked before. Exit code 3 if no member has this
    name.
    """
    confirm(f"forget the member {name} for good (asked at {target.address})", yes=yes)
    run_async(_forget, target, name, accept_loss, force, output)


async def _forget(target: NodeTarget, name: str, accept_loss: bool, force: bool, output: str) -> None:
    async with target.connect() as node:
        reply = await node.forget_member(name, accept_loss=accept_loss, force=force)
    told = {
        "name": name,
        "epoch": reply.epoch,
        "leaving": reply.leaving,
        "acknowledged": reply.acknowledged,
        "members": reply.members,
    }
    if output == "json":
        print_json(told)
    else:
        headers = ("member", "what", "epoch", "members that know")
        what = "leaves, once it has handed over" if reply.leaving else "forgotten"
        print_table(headers, [(name, what, reply.epoch, f"{reply.acknowledged} of {reply.members}")])
    say_spread(reply.acknowledged, reply.members)
