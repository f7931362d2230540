"""`query`: find records by name, id and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.options import NodeTarget, ack_option, checked, output_option, run_async, target_options
from gossipnode.cli.output import TableWriter, print_properties_json, say, say_json, shown_tags
from gossipnode.cli.standard_streams import flush_results
from gossipnode.client.errors import InvalidInputError
from gossipnode.client.values.tag_arguments import parse_key, where_argument
from gossipnode.config.values import any_group_names, named, text, texts
from gossipnode.core.model.property import Entity
from gossipnode.core.query.expression import GRAMMAR

if TYPE_CHECKING:
    from gossipnode.client.calls.node_client import QueryOptions
    from gossipnode.wire.generated.bp.banyandb.common import v1 as common

LIMIT_MAX = (1 << 32) - 1


@click.command("query", epilog=f"EXPR: {GRAMMAR}", cls=Command)
@click.argument("groups", nargs=-1, required=True, metavar="GROUP...", callback=checked(any_group_names))
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
    help="Only records whose tags match, as in 'status = \"ok\"'. Where a tag is absent or null, "
    "only negated conditions hold.",
)
@click.option("--select", callback=checked(named), metavar="TAG,...", help="Show these tags only.")
@click.option(
    "--order-by",
    callback=checked(text),
    metavar="TAG",
    help="Order by this tag instead of by key: numbers before text, records without it or with null last.",
)
@click.option("--desc", is_flag=True, help="The largest first.")
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=100,
    show_default=True,
    metavar="N",
    help="Show at most N records.",
)
@click.option("--after", metavar="KEY", help="Go on after this record, in the order of the query.")
@click.option("--trace", is_flag=True, help="Then tell on stderr how the answer was found, and how fast.")
@ack_option
@output_option
@target_options
def command(
    groups: tuple[str, ...],
    name: str | None,
    ids: tuple[str, ...],
    where: str | None,
    select: list[str] | None,
    order_by: str | None,
    desc: bool,
    limit: int,
    after: str | None,
    trace: bool,
    ack: str,
    output: str,
    target: NodeTarget,
) -> None:
    """Find records of one or more groups, whichever members hold them.

    What a quorum has acknowledged, a query at quorum sees. With --ack local, only what the node asked holds.
    """
    if desc and not order_by:
        raise click.UsageError("--desc needs --order-by TAG")
    criteria = None if where is None else where_argument(where)
    place = None if after is None else _place(after)
    if place is not None and place.group not in groups:
        raise click.BadParameter(
            f"{after!r} is of group {place.group!r}, and the query asks {' '.join(groups)}",
            param_hint="--after",
        )
    from gossipnode.client.calls.node_client import QueryOptions

    options = QueryOptions(
        groups=groups,
        name=name or "",
        ids=ids,
        where=criteria,
        select=select or (),
        order_by=order_by or "",
        descending=desc,
        # One more tells whether the limit cuts something off.
        limit=min(limit + 1, LIMIT_MAX),
        after=place,
        ack=ack,
    )
    run_async(_query, target, options, limit, output, trace)


def _place(after: str) -> Entity:
    try:
        return parse_key(after)
    except InvalidInputError as error:
        raise InvalidInputError(f"--after: {error}") from None


async def _query(target: NodeTarget, options: QueryOptions, limit: int, output: str, trace: bool) -> None:
    table = TableWriter("key", "tags", "revision")
    done = 0
    traces: list[common.Trace] = []
    async with target.connect() as node:
        async with node.query(options, on_trace=traces.append if trace else None) as batches:
            async for batch in batches:
                wanted = batch[: limit - done]
                done += len(batch)
                if output == "json":
                    print_properties_json(wanted)
                    continue
                for record in wanted:
                    table.add((record.entity.text, shown_tags(record.tags), record.mod_revision))
    if output == "table":
        table.end()
    if done > limit:
        flush_results()
        say(f"the first {limit:,} of more: --limit N")
    if trace:
        flush_results()
        _say_trace(traces, output)


def _say_trace(traces: list[common.Trace], output: str) -> None:
    from gossipnode.cli.shapes import trace_shape

    if not traces:
        say("the node sent no trace")
    elif output == "json":
        say_json({"trace": trace_shape(traces[0])})
    else:
        say(f"trace {traces[0].trace_id}")
        for span in traces[0].spans:
            _say_span(span, 1)


def _say_span(span: common.Span, depth: int) -> None:
    told = [span.message, *(f"{tag.key}={tag.value}" for tag in span.tags), f"{span.duration / 1e6:.3f} ms"]
    if span.error:
        told.append("failed")
    say("  " * depth + "  ".join(told))
    for child in span.children:
        _say_span(child, depth + 1)
