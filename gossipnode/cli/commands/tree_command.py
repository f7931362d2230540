"""`tree`: a node's own tree of one shard."""

from __future__ import annotations

from typing import Any

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import NOT_FOUND, Failure
from gossipnode.cli.options import NodeTarget, group_argument, output_option, run_async, target_options
from gossipnode.cli.output import print_folded, print_json, print_line, print_table
from gossipnode.core.model.property import SHARD_MAX

MISSING = "missing"
"""The state of a tree whose shard the node does not hold."""


@click.command("tree", cls=Command)
@group_argument
@click.option("--shard", type=click.IntRange(0, SHARD_MAX), required=True, metavar="S", help="Which shard.")
@click.option("--leaves", is_flag=True, help="Every record's digest too.")
@output_option
@target_options
def command(group: str, shard: int, leaves: bool, output: str, target: NodeTarget) -> None:
    """Show the root and the slots of the tree that the node asked keeps of a shard."""
    run_async(_tree, target, group, shard, leaves, output)


async def _tree(target: NodeTarget, group: str, shard: int, leaves: bool, output: str) -> None:
    from gossipnode.cli.shapes import leaf_shape

    shown: dict[str, Any] = {"group": group, "shard": shard, "state": "", "root": ""}
    slots: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    async with target.connect() as node:
        async with node.tree(group, shard, leaves=leaves) as answers:
            async for answer in answers:
                if answer.state:
                    shown |= {"state": answer.state, "root": answer.root}
                slots += [{"slot": slot.slot, "sha": slot.sha} for slot in answer.slots]
                found += [leaf_shape(leaf) for leaf in answer.leaves]
    shown["slots"] = slots
    if leaves:
        shown["leaves"] = found
    missing = shown["state"] == MISSING
    if output == "json":
        print_json(shown)
    elif not missing:
        _print(shown, target)
    if missing:
        raise Failure(
            f"{group}/{shard}: {target.address} holds no copy of it; `status` names the replicas", NOT_FOUND
        )


def _print(shown: dict[str, Any], target: NodeTarget) -> None:
    where = f"{shown['group']}/{shown['shard']} at {target.address}"
    print_folded(f"{where}: {shown['state']}, root {shown['root'] or '(empty)'}")
    print_line("")
    print_table(("slot", "sha"), [(slot["slot"], slot["sha"]) for slot in shown["slots"]])
    if "leaves" in shown:
        print_line("")
        print_table(
            ("slot", "key", "sha", "revision", "deleted"),
            [
                (
                    leaf["slot"],
                    f"{leaf['group']}/{leaf['name']}/{leaf['id']}",
                    leaf["sha"][:16],
                    leaf["mod_revision"],
                    "yes" if leaf["delete_time"] else "",
                )
                for leaf in shown["leaves"]
            ],
        )
