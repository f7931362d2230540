"""`wait`: wait until every replica has a record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import UNREACHABLE, Failure
from gossipnode.cli.options import NodeTarget, output_option, run_async, target_options
from gossipnode.cli.output import counted, print_json, print_line
from gossipnode.client.values.tag_arguments import parse_key
from gossipnode.core.model.property import Entity

if TYPE_CHECKING:
    from gossipnode.client.values.watched import Waited


@click.command("wait", cls=Command)
@click.argument("key")
@click.option(
    "--revision",
    type=click.IntRange(1, 1 << 62),
    metavar="N",
    help="Until every replica has this revision or a later one; without it, what a quorum has now.",
)
@output_option
@target_options
def command(key: str, revision: int | None, output: str, target: NodeTarget) -> None:
    """Wait until every replica has the record GROUP/NAME/ID, for --timeout at most.

    Exit code 4 names the replicas that lag, and by how much; 3 if there is no such record.
    """
    run_async(_wait, target, parse_key(key), revision or 0, output)


async def _wait(target: NodeTarget, entity: Entity, revision: int, output: str) -> None:
    async with target.connect() as node:
        waited = await node.wait_applied(entity, revision)
    if output == "json":
        print_json(_shape(entity, waited))
    elif not waited.lagging:
        print_line(f"{counted(len(waited.applied), 'replica')} of {entity.text} at {waited.revision}")
    if waited.lagging:
        lagging = "; ".join(f"{node}: {why}" for node, why in waited.lagging)
        raise Failure(
            f"{entity.text}: not at all replicas within {target.timeout_seconds:g} s: {lagging}", UNREACHABLE
        )


def _shape(entity: Entity, waited: Waited) -> dict[str, Any]:
    return {
        "key": entity.text,
        "revision": waited.revision,
        "replicas": len(waited.applied) + len(waited.lagging),
        "applied": list(waited.applied),
        "lagging": [{"node": node, "why": why} for node, why in waited.lagging],
    }
