"""`apply`: write tags of one record."""

from __future__ import annotations

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import WRONG_USE, Failure
from gossipnode.cli.options import NodeTarget, ack_option, output_option, run_async, target_options
from gossipnode.cli.output import print_json, print_table, shown_tags
from gossipnode.client.values.property_json import tags_to_json
from gossipnode.client.values.stored_property import StoredProperty
from gossipnode.client.values.tag_arguments import parse_key, parse_tags


@click.command("apply", cls=Command)
@click.argument("key")
@click.argument("tags", nargs=-1, metavar="TAG...")
@click.option("--replace", is_flag=True, help="Take away the tags that are not given; otherwise they stay.")
@ack_option
@output_option
@target_options
def command(
    key: str, tags: tuple[str, ...], replace: bool, ack: str, output: str, target: NodeTarget
) -> None:
    """Write tags of the record GROUP/NAME/ID, which is made if it is not there.

    All replicas are asked at once; it is done when as many of them as --ack says have it on disk. Where two
    writes of one record overlap, the later one wins as a whole: the last writer wins by record, not by tag.

    A TAG is key=text, or typed: key:int=5, key:str[]=a,b, key:int[]=1,2, key:binary=BASE64,
    key:timestamp=2026-01-02T03:04:05.123456789Z, key:null=
    """
    record = StoredProperty(parse_key(key), parse_tags(tags))
    if not record.tags:
        raise Failure("no tag given: a record has at least one, as in key=text", WRONG_USE)
    run_async(_apply, target, record, replace, ack, output)


async def _apply(target: NodeTarget, record: StoredProperty, replace: bool, ack: str, output: str) -> None:
    async with target.connect() as node:
        stored, reply = await node.apply(record, replace=replace, ack=ack)
    if output == "table":
        print_table(
            ("created", "tags", "revision"),
            [("yes" if reply.created else "no", shown_tags(stored.tags), stored.mod_revision)],
        )
        return
    print_json(
        {
            "group": stored.entity.group,
            "name": stored.entity.name,
            "id": stored.entity.id,
            "created": reply.created,
            "tags": tags_to_json(stored.tags),
            "mod_revision": stored.mod_revision,
            "acknowledged": reply.acknowledged,
            "replicas": reply.replicas,
        }
    )
