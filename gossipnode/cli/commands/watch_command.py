"""`watch`: show the records of a group, then every change, as the node learns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.options import (
    NodeTarget,
    checked,
    group_argument,
    output_option,
    run_async,
    target_options,
)
from gossipnode.cli.output import print_json, print_line, say, shown_tags
from gossipnode.cli.standard_streams import flush_results
from gossipnode.client.values.tag_arguments import where_argument
from gossipnode.config.values import text, texts
from gossipnode.core.query.expression import GRAMMAR

if TYPE_CHECKING:
    from gossipnode.client.calls.requests import WatchOptions
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

EVENT_CELLS = len("conflict")


@click.command("watch", epilog=f"EXPR: {GRAMMAR}", cls=Command)
@group_argument
@click.option("--name", callback=checked(text), metavar="N", help="Only records of this name.")
@click.option(
    "--id",
    "ids",
    multiple=True,
    callback=checked(texts),
    metavar="I",
    help="Only records with this id; may be repeated.",
)
@click.option(
    "--where",
    metavar="EXPR",
    help="Only records whose tags match. One that does not match any longer is told as a delete.",
)
@click.option("--since", metavar="TOKEN", help="Only what came after this token of an earlier event.")
@click.option(
    "--ack",
    type=click.Choice(["one", "quorum"]),
    default="one",
    show_default=True,
    help="Show what one replica has learnt, or only what a quorum has.",
)
@output_option
@target_options
def command(
    group: str,
    name: str | None,
    ids: tuple[str, ...],
    where: str | None,
    since: str | None,
    ack: str,
    output: str,
    target: NodeTarget,
) -> None:
    """Show the records of a group as they are, then `ready`, then each change. Runs until interrupted.

    With --since only what came after a token is shown. Events: put, delete, purge (nothing of it is left any
    longer), conflict (the version took the place of one that its writer had not seen), gap (forget what was
    shown: the records come again). In the end it says with which token to go on, at any node.
    """
    criteria = None if where is None else where_argument(where)
    from gossipnode.client.calls.requests import WatchOptions
    from gossipnode.client.values.watched import given_token

    token = given_token(since) if since else b""
    options = WatchOptions(group, name or "", ids, criteria, token, ack)
    run_async(_watch, target, options, output)


async def _watch(target: NodeTarget, options: WatchOptions, output: str) -> None:
    from gossipnode.client.values.watched import shown_token

    token = options.since
    try:
        async with target.connect() as node, node.watch(options) as answers:
            async for answer in answers:
                before, token = token, answer.token or token
                for at, event in enumerate(answer.events, 1):
                    known = shown_token(token if at == len(answer.events) else before)
                    if output == "json":
                        print_json(_shape(event, options.group, known))
                    else:
                        print_line(_line(event))
                if answer.events:
                    flush_results()
    finally:
        if token:
            flush_results()
            say(f"to go on from here: --since {shown_token(token)}")


def _shape(event: messages.WatchEvent, group: str, token: str) -> dict[str, Any]:
    from gossipnode.client.values.property_codec import decode_property
    from gossipnode.client.values.property_json import tags_to_json
    from gossipnode.wire.generated.bp.gossipnode import v1 as messages

    shape: dict[str, Any] = {"event": event.event, "group": group}
    if event.record.property:
        record = decode_property(event.record)
        shape |= {"name": record.entity.name, "id": record.entity.id}
        if event.event != "purge":
            shape["tags"] = tags_to_json(record.tags)
            shape["old"] = None
            if event.old:
                shape["old"] = tags_to_json(decode_property(messages.Record(property=event.old)).tags)
            shape |= {"mod_revision": record.mod_revision, "delete_time": record.delete_time}
            shape |= {"through": event.through or None, "from": event.from_ or None}
    if event.reason:
        shape["reason"] = event.reason
    return shape | {"token": token or None}


def _line(event: messages.WatchEvent) -> str:
    from gossipnode.client.values.property_codec import decode_property

    told = f"{event.event:<{EVENT_CELLS}}"
    if not event.record.property:
        return f"{told}  {event.reason}".rstrip()
    record = decode_property(event.record)
    parts = [told, record.entity.text]
    if event.event != "purge" and record.tags:
        parts.append(shown_tags(record.tags))
    if event.through:
        parts.append(f"({event.through}, {event.from_})" if event.from_ else f"({event.through})")
    return "  ".join(parts)
