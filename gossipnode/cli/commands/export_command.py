"""`export`: all records of a group as lines of JSON, which `import` takes."""

from __future__ import annotations

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.options import NodeTarget, ack_option, group_argument, run_async, target_options
from gossipnode.cli.output import counted, print_properties_json, progress, say
from gossipnode.cli.standard_streams import flush_results


@click.command("export", cls=Command)
@group_argument
@click.option("--tombstones", is_flag=True, help="Deleted records too; `import --keep-versions` takes them.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="json",
    help="Lines of JSON in both cases.",
)
@ack_option
@target_options
def command(group: str, tombstones: bool, output: str, ack: str, target: NodeTarget) -> None:
    """Print all records of GROUP in key order, one line of JSON each.

    With --ack local, those that the node asked holds.
    """
    del output  # lines of JSON in both cases
    run_async(_export, target, group, tombstones, ack)


async def _export(target: NodeTarget, group: str, tombstones: bool, ack: str) -> None:
    done = 0
    with progress(f"exporting {group}", beside_results=True) as advance:
        async with target.connect() as node:
            async with node.export(group, tombstones=tombstones, ack=ack) as batches:
                async for batch in batches:
                    print_properties_json(batch)
                    done += len(batch)
                    advance(len(batch))
    # What could not be printed was not exported.
    flush_results()
    say(f"exported {counted(done, 'record')} of {group}")
