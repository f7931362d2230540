"""`group`: the definitions of groups, which all members share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import CommandGroup, ManyValues
from gossipnode.cli.confirm import confirm, yes_option
from gossipnode.cli.failure import NOT_FOUND, Failure
from gossipnode.cli.options import NodeTarget, checked, output_option, run_async, target_options
from gossipnode.cli.output import print_json, print_table, say_spread
from gossipnode.config.values import any_group_name, duration, new_group_name, tag_keys
from gossipnode.core.model.limits import REPLICAS_MAX, SHARDS_MAX

if TYPE_CHECKING:
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

GROUP_ACK_LEVELS = ("one", "quorum", "all")

_NAME = click.argument("name", callback=checked(any_group_name))
_NEW_NAME = click.argument("name", callback=checked(new_group_name))
_ACK = click.option(
    "--ack",
    type=click.Choice(GROUP_ACK_LEVELS),
    help="Which replicas must have taken part in what does not say otherwise.",
)
_RETENTION = click.option(
    "--retention",
    callback=checked(duration),
    metavar="TIME",
    help="How long deleted records are remembered at the least, as in 7d, 36h, 90m. They are purged by the "
    "next round after that in which every member takes part.",
)
_FORCE = click.option(
    "--force",
    is_flag=True,
    help="Even if there are fewer members than replicas: a quorum is counted by the replicas wanted, so that "
    "none is reached until more than half as many members are there.",
)
_INDEX = click.option(
    "--index",
    "indexes",
    multiple=True,
    callback=checked(tag_keys),
    metavar="TAG...",
    help="A tag with an index from the start; several, or repeated. Others get one when a query wants it.",
)


@click.group("group", cls=CommandGroup)
def command() -> None:
    """Create, alter, list, show and delete groups.

    Definitions are kept by every member: any node can be asked, and one that is away hears of it later.
    """


@command.command("create", cls=ManyValues)
@_NEW_NAME
@click.option(
    "--shards",
    type=click.IntRange(1, SHARDS_MAX),
    required=True,
    metavar="S",
    help="Parts that the records are cut into. Never changes.",
)
@click.option(
    "--replicas",
    type=click.IntRange(1, REPLICAS_MAX),
    required=True,
    metavar="R",
    help="Members that hold each shard; a quorum is more than half of it.",
)
@_ACK
@_RETENTION
@_INDEX
@_FORCE
@output_option
@target_options
def create(
    name: str,
    shards: int,
    replicas: int,
    ack: str | None,
    retention: float | None,
    indexes: tuple[str, ...],
    force: bool,
    output: str,
    target: NodeTarget,
) -> None:
    """Create the group NAME. Exit code 1 when there is one of this name, or too few members.

    Without --ack a quorum answers; without --retention the retention is 7d.
    """
    from gossipnode.wire.group_codec import NewGroup, encode_new_group

    group = NewGroup(
        name=name,
        shards=shards,
        replicas=replicas,
        ack=ack or "",
        tombstone_retention_seconds=int(retention or 0),
        indexes=indexes,
        force=force,
    )
    run_async(_create, target, encode_new_group(group), output)


async def _create(target: NodeTarget, request: messages.CreateGroupRequest, output: str) -> None:
    async with target.connect() as node:
        reply = await node.create_group(request)
    _print_changed(reply, output)


@command.command(
    "alter", cls=ManyValues, short_help="Change replicas, acknowledgement, retention or indexes."
)
@_NAME
@click.option(
    "--replicas",
    type=click.IntRange(1, REPLICAS_MAX),
    metavar="R",
    help="Members that hold each shard; the records move, and reads and writes go on meanwhile.",
)
@_ACK
@_RETENTION
@click.option(
    "--index",
    "indexes",
    multiple=True,
    callback=checked(tag_keys),
    metavar="TAG...",
    help="The tags with an index, in place of those before; several, or repeated.",
)
@click.option("--no-index", is_flag=True, help="No tag has an index any more.")
@_FORCE
@output_option
@target_options
def alter(
    name: str,
    replicas: int | None,
    ack: str | None,
    retention: float | None,
    indexes: tuple[str, ...],
    no_index: bool,
    force: bool,
    output: str,
    target: NodeTarget,
) -> None:
    """Change what may change of the group NAME; what is not given stays as it is."""
    if indexes and no_index:
        raise click.UsageError("--index and --no-index exclude each other")
    if replicas is None and ack is None and retention is None and not indexes and not no_index:
        raise click.UsageError(
            "nothing to change: give --replicas, --ack, --retention, --index or --no-index"
        )
    from gossipnode.wire.group_codec import GroupAlteration, encode_alteration

    alteration = GroupAlteration(
        name=name,
        ack=ack,
        tombstone_retention_seconds=None if retention is None else int(retention),
        indexes=indexes if indexes or no_index else None,
        replicas=replicas,
        force=force,
    )
    run_async(_alter, target, encode_alteration(alteration), output)


async def _alter(target: NodeTarget, request: messages.AlterGroupRequest, output: str) -> None:
    async with target.connect() as node:
        reply = await node.alter_group(request)
    _print_changed(reply, output)


@command.command("list")
@output_option
@target_options
def list_(output: str, target: NodeTarget) -> None:
    """List all groups, by name."""
    run_async(_list, target, output)


async def _list(target: NodeTarget, output: str) -> None:
    async with target.connect() as node:
        groups = await node.list_groups()
    _print(groups, output)


@command.command("show")
@_NAME
@output_option
@target_options
def show(name: str, output: str, target: NodeTarget) -> None:
    """Show the group NAME. Exit code 3 if it does not exist."""
    run_async(_show, target, name, output)


async def _show(target: NodeTarget, name: str, output: str) -> None:
    async with target.connect() as node:
        groups = await node.list_groups(name)
    if not groups:
        raise Failure(f"no group {name!r} at {target.address}", NOT_FOUND)
    _print(groups, output)


@command.command("delete", short_help="Delete a group and its records, on every member.")
@_NAME
@yes_option
@output_option
@target_options
def delete(name: str, yes: bool, output: str, target: NodeTarget) -> None:
    """Delete the group NAME and all of its records, on every member, at once and for good.

    On a terminal you are asked before. A member that is away deletes them when it is back. A group that is
    later created with the same name is another one, and starts empty. Exit code 3 if it does not exist.
    """
    confirm(
        f"delete the group {name} and all of its records, on every member (asked at {target.address})",
        yes=yes,
    )
    run_async(_delete, target, name, output)


async def _delete(target: NodeTarget, name: str, output: str) -> None:
    async with target.connect() as node:
        reply = await node.delete_group(name)
    if output == "json":
        from gossipnode.cli.shapes import group_shape

        print_json(group_shape(reply.group) | {"deleted": True})
    else:
        print_table(("deleted", "incarnation"), [(reply.group.name, reply.group.incarnation)])
    say_spread(reply.acknowledged, reply.members)


def _print_changed(reply: messages.GroupResponse, output: str) -> None:
    _print([reply.group], output)
    say_spread(reply.acknowledged, reply.members)


def _print(groups: list[messages.Group], output: str) -> None:
    from gossipnode.cli.shapes import group_shape

    shapes = [group_shape(group) for group in groups]
    if output == "json":
        for shape in shapes:
            print_json(shape)
        return
    headers = ("name", "shards", "replicas", "ack", "retention", "indexes", "incarnation")
    rows = [{**shape, "indexes": " ".join(shape["indexes"]) or "none"} for shape in shapes]
    print_table(headers, [tuple(row.values()) for row in rows])
