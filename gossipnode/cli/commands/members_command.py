"""`members`: the members of the cluster as one node sees them."""

from __future__ import annotations

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.options import NodeTarget, output_option, run_async, target_options
from gossipnode.cli.output import print_json, print_line, print_table


@click.command("members", cls=Command)
@output_option
@target_options
def command(output: str, target: NodeTarget) -> None:
    """Show the members of the cluster, as the node asked sees them."""
    run_async(_members, target, output)


async def _members(target: NodeTarget, output: str) -> None:
    from gossipnode.cli.shapes import member_shape

    async with target.connect() as node:
        status = await node.status()
    members = [member_shape(member) for member in status.members]
    if output == "json":
        for member in members:
            print_json(member)
    else:
        headers = ("name", "address", "state", "role", "birth", "boot", "version", "moves", "leaf_json")
        print_table(headers, [tuple(value or "" for value in member.values()) for member in members])
        print_line(f"epoch {status.epoch}" if status.epoch else "no cluster is formed yet: see `status`")
