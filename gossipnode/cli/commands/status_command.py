"""`status`: one node's view of itself, its shards and the last rounds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.options import NodeTarget, output_option, run_async, target_options
from gossipnode.cli.output import (
    counted,
    print_folded,
    print_json,
    print_line,
    print_table,
    shown_bytes,
)
from gossipnode.core.model.tag_value import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

SHOWN_ROUNDS = 10


@click.command("status", cls=Command)
@output_option
@target_options
def command(output: str, target: NodeTarget) -> None:
    """Show the node's view of itself, the members, its shards and the last rounds."""
    run_async(_status, target, output)


async def _status(target: NodeTarget, output: str) -> None:
    from gossipnode.cli.shapes import status_shape

    async with target.connect() as node:
        status = await node.status()
    if output == "json":
        print_json(status_shape(status))
    else:
        _print(status)


def _print(status: messages.StatusResponse) -> None:
    print_folded(f"node {status.node} at {status.address}: {status.state} (gossipnode {status.version})")
    print_folded(_counters(status))
    print_folded(_memory(status.memory))
    # A node of an earlier version says nothing of its disk.
    if status.disk.state:
        refused = ": writes are refused until there is more" if status.disk.state == "full" else ""
        print_folded(f"disk {status.disk.state}, {shown_bytes(status.disk.free)} free{refused}")
    if status.set_aside.count:
        print_folded(_set_aside(status.set_aside))
    if status.refused_calls:
        print_folded(f"{counted(status.refused_calls, 'call')} refused: the log says whose")
    for warning in status.warnings:
        print_folded(f"warning: {warning}")
    print_line("")
    print_table(
        ("member", "address", "state"),
        [(member.name, member.address, member.state) for member in status.members],
    )
    print_line("")
    _print_shards(status.shards)
    if not status.rounds:
        return
    print_line("")
    print_table(
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
            for past in status.rounds[:SHOWN_ROUNDS]
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


def _print_shards(shards: Sequence[messages.ShardStatus]) -> None:
    print_table(
        ("shard", "replicas", "records", "tombstones", "tree", "root", "converged"),
        [
            (
                f"{shard.group}/{shard.shard}",
                ",".join(shard.replicas),
                f"{shard.records:,}",
                f"{shard.tombstones:,}",
                shard.tree,
                shard.root[:12] or "(empty)",
                _age(shard.last_converged),
            )
            for shard in shards
        ],
    )
    moving = [shard for shard in shards if shard.moving.to]
    if moving:
        print_line("")
    for shard in moving:
        move = shard.moving
        to = ",".join(move.to)
        print_folded(f"{shard.group}/{shard.shard} moving to {to}: {move.done:,}/{move.total:,} records")
    for shard in shards:
        for lacking in shard.behind:
            writes = counted(lacking.writes, "write")
            print_folded(f"{shard.group}/{shard.shard}: {lacking.replica} is known to lack {writes}")


def _age(stamp: int) -> str:
    """How long ago a moment was. It is given in nanoseconds since 1970; 0 means never."""
    if not stamp:
        return "never"
    seconds = max(0, time.time_ns() - stamp) // NANOSECONDS_PER_SECOND
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
