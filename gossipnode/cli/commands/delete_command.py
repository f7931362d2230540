"""`delete`: delete one record."""

from __future__ import annotations

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import NOT_FOUND, Failure
from gossipnode.cli.options import NodeTarget, ack_option, output_option, run_async, target_options
from gossipnode.cli.output import print_json, print_table
from gossipnode.client.values.tag_arguments import parse_key
from gossipnode.core.model.property import Entity


@click.command("delete", cls=Command)
@click.argument("key")
@ack_option
@output_option
@target_options
def command(key: str, ack: str, output: str, target: NodeTarget) -> None:
    """Delete the record GROUP/NAME/ID. Exit code 3 when nothing live was there.

    A delete is a write: it is done when as many replicas as --ack says have it on disk.
    """
    run_async(_delete, target, parse_key(key), ack, output)


async def _delete(target: NodeTarget, entity: Entity, ack: str, output: str) -> None:
    async with target.connect() as node:
        reply = await node.delete(entity, ack=ack)
    if output == "json":
        print_json(
            {
                "group": entity.group,
                "name": entity.name,
                "id": entity.id,
                "deleted": reply.deleted,
                "mod_revision": reply.mod_revision,
                "acknowledged": reply.acknowledged,
                "replicas": reply.replicas,
            }
        )
    elif reply.deleted:
        print_table(("deleted", "revision"), [(entity.text, reply.mod_revision)])
    if not reply.deleted:
        raise Failure(f"{entity.text}: no such record, says {target.address}: nothing was deleted", NOT_FOUND)
