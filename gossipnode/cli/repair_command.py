"""`repair`: start a round, and with --wait tell what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gossipnode.cli.failure import FAILED, Failure
from gossipnode.cli.options import Target, output_option, run_async, target_options
from gossipnode.cli.output import print_json, print_line, print_table, progress, say, shown_bytes

if TYPE_CHECKING:
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

SHARD_MAX = (1 << 32) - 1
GOOD_OUTCOMES = ("converged", "repaired")


@click.command("repair")
@click.argument("group")
@click.option("--shard", type=click.IntRange(0, SHARD_MAX), metavar="S", help="One shard instead of all.")
@click.option("--wait", is_flag=True, help="Wait for the outcome; exit code 1 unless converged or repaired.")
@output_option
@target_options
def command(group: str, shard: int | None, wait: bool, output: str, target: Target) -> None:
    """Start a round of repair of GROUP, shard by shard."""
    run_async(_repair, target, group, shard, wait, output)


async def _repair(target: Target, group: str, shard: int | None, wait: bool, output: str) -> None:
    from gossipnode.wire.tables import chosen

    finished: list[messages.Round] = []
    async with target.connect() as node:
        with progress(f"repairing {group}") as advance:
            async with node.repair(group, shard, wait=wait) as events:
                async for event in events:
                    match chosen(event, "event"):
                        case ("finished", past):
                            finished.append(past)
                            _print(past, output)
                        case ("hop", hop):
                            advance(1)
                            say(f"{event.group}/{event.shard}: {hop_line(hop)}")
                        case _ if not wait:
                            _print_started(event, output)
                        case _:
                            pass
    bad = [past for past in finished if past.outcome not in GOOD_OUTCOMES]
    if bad:
        shards = ", ".join(f"{past.group}/{past.shard} {past.outcome}" for past in bad)
        raise Failure(f"{shards}: {_reasons(bad)}", FAILED)
    if wait and not finished:
        raise Failure(f"{group}: the node ended the call without an outcome", FAILED)


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
        print_line(f"{event.group}/{event.shard}: round {event.round} started")


def _print(past: messages.Round, output: str) -> None:
    from gossipnode.cli.shapes import round_shape

    if output == "json":
        print_json(round_shape(past))
        return
    print_line(f"{past.group}/{past.shard}: {past.outcome} in {past.seconds:.3f} s (round {past.round})")
    print_hops(past)


def print_hops(past: messages.Round) -> None:
    """A table of a round's hops on stdout."""
    print_table(
        (
            "from",
            "to",
            "outcome",
            "sent",
            "received",
            "skipped",
            "bytes out",
            "bytes in",
            "seconds",
            "reason",
        ),
        [
            (
                hop.from_,
                hop.to,
                hop.outcome,
                f"{hop.sent:,}",
                f"{hop.received:,}",
                f"{hop.skipped:,}",
                shown_bytes(hop.bytes_sent),
                shown_bytes(hop.bytes_received),
                f"{hop.seconds:.3f}",
                hop.reason,
            )
            for hop in past.hops
        ],
    )


def hop_line(hop: messages.Hop) -> str:
    """A hop in a few words."""
    if hop.outcome in ("skipped", "failed"):
        return f"{hop.from_} to {hop.to} {hop.outcome}: {hop.reason}"
    return (
        f"{hop.from_} to {hop.to} {hop.outcome}: {hop.sent:,} sent ({shown_bytes(hop.bytes_sent)}), "
        f"{hop.received:,} received ({shown_bytes(hop.bytes_received)}) in {hop.seconds:.2f} s"
    )
