"""`status`: one node's view of itself, its shards and the last rounds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.options import NodeTarget, checked, output_option, run_async, target_options
from gossipnode.cli.output import (
    counted,
    folded_lines,
    json_line,
    print_json_lines,
    print_lines,
    shown_bytes,
    table_lines,
)
from gossipnode.cli.watching import watch_node, watch_option
from gossipnode.config.values import any_group_name
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from gossipnode.client.calls.node_client import NodeClient
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

SHOWN_ROUNDS = 10


SHARDS_SHOWN = 64
"""With more shards than these, a table shows their sums by group."""


@click.command("status", cls=Command)
@click.option(
    "--group",
    callback=checked(any_group_name),
    metavar="NAME",
    help=f"Only the shards of this group. Without it, a table sums up more than {SHARDS_SHOWN} shards.",
)
@watch_option
@output_option
@target_options
def command(group: str | None, watch: bool, output: str, target: NodeTarget) -> None:
    """Show the node's view of itself, the members, its shards and the last rounds."""
    run_async(_status, target, group or "", watch, output == "json")


async def _status(target: NodeTarget, group: str, watch: bool, as_json: bool) -> None:
    async def ask(node: NodeClient) -> messages.StatusResponse:
        return await node.status(group, shards_max=0 if group or as_json else SHARDS_SHOWN)

    def show(status: messages.StatusResponse) -> list[str]:
        return [json_line(status_shape(status))] if as_json else _lines(status)

    from gossipnode.cli.shapes import status_shape

    if watch:
        await watch_node(target, ask, show, as_json=as_json)
        return
    async with target.connect() as node:
        lines = show(await ask(node))
    (print_json_lines if as_json else print_lines)(lines)


def _lines(status: messages.StatusResponse) -> list[str]:
    """The view of a node, for people."""
    parts = [
        _head(status),
        table_lines(
            ("member", "address", "state"),
            [(member.name, member.address, member.state) for member in status.members],
        ),
        _group_lines(status.groups) if status.groups else _shard_lines(status.shards),
    ]
    moves = _move_lines(status.shards)
    parts += [moves] if moves else []
    parts += [_round_lines(status.rounds[:SHOWN_ROUNDS])] if status.rounds else []
    return [line for part in parts for line in ("", *part)][1:]


def _head(status: messages.StatusResponse) -> list[str]:
    said = [
        f"node {status.node} at {status.address}: {status.state} (gossipnode {status.version})",
        _counters(status),
        _memory(status.memory),
    ]
    # A node of an earlier version says nothing of its disk.
    if status.disk.state:
        refused = ": writes are refused until there is more" if status.disk.state == "full" else ""
        said.append(f"disk {status.disk.state}, {shown_bytes(status.disk.free)} free{refused}")
    if status.set_aside.count:
        said.append(_set_aside(status.set_aside))
    if status.refused_calls:
        said.append(f"{counted(status.refused_calls, 'call')} refused: the log says whose")
    said += [f"warning: {warning}" for warning in status.warnings]
    return [line for text in said for line in folded_lines(text)]


def _round_lines(rounds: Sequence[messages.Round]) -> list[str]:
    return table_lines(
        ("round", "shard", "origin", "outcome", "sent", "received", "skipped", "seconds"),
        [
            (
                past.round[:8],
                f"{past.group}/{past.shard}",
                past.origin,
                past.outcome or "running",
                sum(hop.sent for hop in past.hops),
                sum(hop.received for hop in past.hops),
                sum(hop.skipped for hop in past.hops),
                f"{past.seconds:.3f}",
            )
            for past in rounds
        ],
    )


def _counters(status: messages.StatusResponse) -> str:
    counters = status.replicas
    left = f" ({counters.read_repairs_dropped:,} left to a round)" if counters.read_repairs_dropped else ""
    repairs = f"{counted(counters.read_repairs, 'stale copy', 'stale copies')} mended by reads{left}"
    overlaps = f", {counted(counters.overlaps, 'overlapping write')}" if counters.overlaps else ""
    return f"{_epoch(status)}, {repairs}{overlaps}"


def _epoch(status: messages.StatusResponse) -> str:
    if status.epoch:
        return f"members and groups of epoch {status.epoch}{_starting(status)}"
    problems = list(status.forming.problems)
    return f"forming: waiting for {', '.join(problems) or 'the first of us'}"


def _starting(status: messages.StatusResponse) -> str:
    """Why the store does not count yet."""
    if status.not_replaced:
        return f", the data directory went back in time and is not replaced yet: {status.not_replaced}"
    return f", starting: waiting to hear from {', '.join(status.unheard)}" if status.unheard else ""


def _set_aside(aside: messages.SetAsideStatus) -> str:
    more = ", ..." if aside.count > len(aside.keys) else ""
    return f"{counted(aside.count, 'damaged record')} set aside: {', '.join(aside.keys)}{more}"


def _memory(memory: messages.Memory) -> str:
    by = ", ".join(f"{held.name} {_megabytes(held.size)}" for held in memory.by) or "nothing held"
    most = f"; most by {memory.callers[0].name}" if memory.callers else ""
    return f"memory {_megabytes(memory.used)} of {_megabytes(memory.budget)} MB: {by}{most}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"


def _shard_lines(shards: Sequence[messages.ShardStatus]) -> list[str]:
    lines = table_lines(
        ("shard", "replicas", "records", "tombstones", "tree", "root", "converged"),
        [
            (
                f"{shard.group}/{shard.shard}",
                ",".join(shard.replicas),
                f"{shard.records:,}",
                f"{shard.tombstones:,}",
                shard.tree,
                # A tree that is being built has no root yet, however many records there are.
                shard.root[:12] or ("(empty)" if shard.tree == "ready" else ""),
                _age(shard.last_converged),
            )
            for shard in shards
        ],
    )
    for shard in shards:
        for lacking in shard.behind:
            writes = counted(lacking.writes, "write")
            name = f"{shard.group}/{shard.shard}"
            lines += folded_lines(f"{name}: {lacking.replica} is known to lack {writes}")
    for shard in shards:
        name, retention = f"{shard.group}/{shard.shard}", shard.retention
        if retention.stale:
            lines += folded_lines(f"{name} is stale here: it serves nothing before it is copied from another")
        if retention.held_back_by:
            lines += folded_lines(f"{name}: tombstones stay ({retention.held_back_by})")
    return lines


def _move_lines(shards: Sequence[messages.ShardStatus]) -> list[str]:
    lines: list[str] = []
    for shard in shards:
        if shard.moving.to:
            done, to = f"{shard.moving.done:,}/{shard.moving.total:,} records", ",".join(shard.moving.to)
            lines += folded_lines(f"{shard.group}/{shard.shard} moving to {to}: {done}")
    return lines


def _group_lines(groups: Sequence[messages.GroupStatus]) -> list[str]:
    """The sums of many shards."""
    shards = sum(group.shards for group in groups)
    said = f"{shards:,} shards are held here, and summed up by group; --group NAME shows those of one"
    return folded_lines(said) + table_lines(
        ("group", "shards", "records", "tombstones", "building", "moving", "behind", "converged"),
        [
            (
                group.group,
                f"{group.shards:,}",
                f"{group.records:,}",
                f"{group.tombstones:,}",
                f"{group.building:,}",
                f"{group.moving:,}",
                f"{group.behind:,}",
                _age(group.last_converged),
            )
            for group in groups
        ],
    )


def _age(stamp: int) -> str:
    """How long ago a moment was. It is given in nanoseconds since 1970; 0 means never."""
    if not stamp:
        return "never"
    seconds = max(0, time.time_ns() - stamp) // NANOSECONDS_PER_SECOND
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
