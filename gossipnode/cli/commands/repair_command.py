"""`repair`: start a round, and with --wait tell what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import FAILED, INTERRUPTED, Failure
from gossipnode.cli.options import NodeTarget, group_argument, output_option, run_async, target_options
from gossipnode.cli.output import print_folded, print_json, print_table, shown_bytes, steps
from gossipnode.cli.standard_streams import until_reader_leaves
from gossipnode.client.errors import sole_error
from gossipnode.core.model.property import SHARD_MAX

if TYPE_CHECKING:
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

GOOD_OUTCOMES = ("converged", "repaired", "not needed")


@click.command("repair", cls=Command)
@group_argument
@click.option("--shard", type=click.IntRange(0, SHARD_MAX), metavar="S", help="One shard instead of all.")
@click.option("--wait", is_flag=True, help="Wait for the outcome; exit code 1 unless converged or repaired.")
@output_option
@target_options
def command(group: str, shard: int | None, wait: bool, output: str, target: NodeTarget) -> None:
    """Start a round of repair of GROUP, shard by shard."""
    run_async(_repair, target, group, shard, wait, output)


async def _repair(target: NodeTarget, group: str, shard: int | None, wait: bool, output: str) -> None:
    finished: list[messages.Round] = []
    started: list[messages.RoundEvent] = []
    try:
        await _follow(target, group, shard, wait, started, finished)
    except (KeyboardInterrupt, BaseExceptionGroup) as caught:
        sole = sole_error(caught)
        if isinstance(sole, KeyboardInterrupt) and started:
            raise Failure("interrupted: the rounds go on, and `status` shows them", INTERRUPTED) from None
        raise sole from None
    finally:
        # The progress bar is gone by now. What is known is printed even if the node went away between rounds.
        with until_reader_leaves():
            for past in finished:
                _print(past, output)
            for event in () if wait else started:
                _print_started(event, output)
    bad = [past for past in finished if past.outcome not in GOOD_OUTCOMES]
    if bad:
        shards = ", ".join(f"{past.group}/{past.shard} {past.outcome}" for past in bad)
        raise Failure(f"{shards}: {_reasons(bad)}", FAILED)
    if wait and len(finished) < max(1, len(started)):
        raise Failure(f"{group}: the node ended the call before every round had an outcome", FAILED)


async def _follow(
    target: NodeTarget,
    group: str,
    shard: int | None,
    wait: bool,
    started: list[messages.RoundEvent],
    finished: list[messages.Round],
) -> None:
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages
    from gossipnode.wire.round_codec import event_content

    async with target.connect() as node:
        # The node tells of one shard after the other, though their rounds run side by side.
        with steps(f"repairing {group}, shards") as tell:
            async with node.repair(group, shard, wait=wait) as events:
                async for event in events:
                    match event_content(event):
                        case messages.Round() as past:
                            finished.append(past)
                            last = f"{event.group}/{event.shard}: {past.outcome}"
                        case messages.Hop() as hop:
                            last = f"{event.group}/{event.shard}: {hop_line(hop)}"
                        case None:
                            started.append(event)
                            last = ""
                    tell(len(finished), len(started), last)


def _reasons(rounds: list[messages.Round]) -> str:
    reasons = [
        f"{hop.from_} to {hop.to} {hop.outcome}: {hop.reason}"
        for past in rounds
        for hop in past.hops
        if hop.reason
    ]
    return "; ".join(reasons) or "a replica or a record was left out"


def _print_started(event: messages.RoundEvent, output: str) -> None:
    if output == "json":
        print_json({"round": event.round, "group": event.group, "shard": event.shard})
    else:
        print_folded(f"{event.group}/{event.shard}: round {event.round} started")


def _print(past: messages.Round, output: str) -> None:
    from gossipnode.cli.shapes import round_shape

    if output == "json":
        print_json(round_shape(past))
        return
    print_folded(f"{past.group}/{past.shard}: {past.outcome} in {past.seconds:.3f} s (round {past.round})")
    print_hops(past)


def print_hops(past: messages.Round) -> None:
    """A table of a round's hops on stdout."""
    print_table(
        ("hop", "outcome", "sent", "received", "skipped", "seconds"),
        [
            (
                f"{hop.from_} to {hop.to}",
                hop.outcome,
                f"{hop.sent:,} ({shown_bytes(hop.bytes_sent)})",
                f"{hop.received:,} ({shown_bytes(hop.bytes_received)})",
                f"{hop.skipped:,}",
                f"{hop.seconds:.3f}",
            )
            for hop in past.hops
        ],
    )
    for hop in past.hops:
        if hop.reason:
            print_folded(f"{hop.from_} to {hop.to}: {hop.reason}")


def hop_line(hop: messages.Hop) -> str:
    """A hop in a few words."""
    if hop.outcome in ("skipped", "failed"):
        return f"{hop.from_} to {hop.to} {hop.outcome}: {hop.reason}"
    return (
        f"{hop.from_} to {hop.to} {hop.outcome}: {hop.sent:,} sent ({shown_bytes(hop.bytes_sent)}), "
        f"{hop.received:,} received ({shown_bytes(hop.bytes_received)}) in {hop.seconds:.2f} s"
    )
