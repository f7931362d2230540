"""`members`: the members of the cluster as one node sees them."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.options import NodeTarget, output_option, run_async, target_options
from gossipnode.cli.output import json_line, print_json_lines, print_lines, table_lines
from gossipnode.cli.watching import watch_node, watch_option

if TYPE_CHECKING:
    from gossipnode.client.calls.node_client import NodeClient
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages


@click.command("members", cls=Command)
@watch_option
@output_option
@target_options
def command(watch: bool, output: str, target: NodeTarget) -> None:
    """Show the members of the cluster, as the node asked sees them."""
    run_async(_members, target, watch, output == "json")


async def _members(target: NodeTarget, watch: bool, as_json: bool) -> None:
    from gossipnode.cli.shapes import member_shape

    async def ask(node: NodeClient) -> messages.StatusResponse:
        # No shard is shown here.
        return await node.status(shards_max=1)

    def show(status: messages.StatusResponse) -> list[str]:
        members = [member_shape(member) for member in status.members]
        if as_json:
            return [json_line(member) for member in members]
        headers = ("name", "address", "state", "role", "birth", "boot", "version", "moves", "leaf_json")
        rows = [tuple(value or "" for value in member.values()) for member in members]
        # What holds for no member takes no place.
        told = [any(column) for column in zip(*rows, strict=True)]
        lines = table_lines(tuple(compress(headers, told)), [tuple(compress(row, told)) for row in rows])
        return [*lines, f"epoch {status.epoch}" if status.epoch else "no cluster is formed yet: see `status`"]

    if watch:
        await watch_node(target, ask, show, as_json=as_json)
        return
    async with target.connect() as node:
        lines = show(await ask(node))
    (print_json_lines if as_json else print_lines)(lines)
