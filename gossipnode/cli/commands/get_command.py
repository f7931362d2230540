"""`get`: show one record."""

from __future__ import annotations

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import NOT_FOUND, Failure
from gossipnode.cli.options import NodeTarget, ack_option, output_option, run_async, target_options
from gossipnode.cli.output import print_json, print_property
from gossipnode.client.values.property_json import property_to_json
from gossipnode.client.values.tag_arguments import parse_key
from gossipnode.core.model.property import Entity


@click.command("get", cls=Command)
@click.argument("key")
@ack_option
@output_option
@target_options
def command(key: str, ack: str, output: str, target: NodeTarget) -> None:
    """Show the record GROUP/NAME/ID. Exit code 3 if it does not exist.

    The newest of what as many replicas hold as --ack says: at quorum, whatever a quorum has acknowledged.
    """
    run_async(_get, target, parse_key(key), ack, output)


async def _get(target: NodeTarget, entity: Entity, ack: str, output: str) -> None:
    async with target.connect() as node:
        record = await node.get(entity, ack=ack)
    if record is None:
        raise Failure(f"{entity.text}: no such record, says {target.address}", NOT_FOUND)
    if output == "json":
        print_json(property_to_json(record))
    else:
        print_property(record)
