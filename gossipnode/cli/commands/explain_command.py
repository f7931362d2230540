"""`explain`: what each replica holds of a record, how it came, and which version wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gossipnode.cli.command_classes import Command
from gossipnode.cli.failure import NOT_FOUND, Failure
from gossipnode.cli.options import NodeTarget, output_option, run_async, target_options
from gossipnode.cli.output import print_folded, print_json, print_table
from gossipnode.client.values.tag_arguments import parse_key
from gossipnode.core.model.property import Entity

if TYPE_CHECKING:
    from gossipnode.client.values.watched import ExplainedReplica, Explanation


@click.command("explain", cls=Command)
@click.argument("key")
@output_option
@target_options
def command(key: str, output: str, target: NodeTarget) -> None:
    """Show why the record GROUP/NAME/ID is what it is.

    For each replica: the version that it holds, when and through what it came and from whom, and what it took
    the place of; then which version wins, and why. Exit code 3 if no replica holds one.
    """
    run_async(_explain, target, parse_key(key), output)


async def _explain(target: NodeTarget, entity: Entity, output: str) -> None:
    async with target.connect() as node:
        explanation = await node.explain(entity)
    if output == "json":
        print_json(_shape(entity, explanation))
    else:
        print_table(
            ("replica", "version", "came", "in the place of"),
            [_row(replica, explanation) for replica in explanation.replicas],
        )
        if explanation.winners:
            print_folded(f"* wins: {explanation.why}")
    if not explanation.winners:
        raise Failure(f"{entity.text}: {explanation.why}", NOT_FOUND)


def _row(replica: ExplainedReplica, explanation: Explanation) -> tuple[str, str, str, str]:
    wins = " *" if replica.node in explanation.winners else ""
    name = f"{replica.node}{wins}"
    if replica.problem:
        return name, f"not known: {replica.problem}", "", ""
    if replica.mod_revision is None:
        return name, "none", "", ""
    version = f"{replica.mod_revision}, deleted" if replica.delete_time else str(replica.mod_revision)
    came = "not known"
    if replica.through:
        by = f" from {replica.source}" if replica.source else ""
        came = f"{replica.through}{by}, {_time(replica)}"
    replaced = "" if replica.replaced is None else str(replica.replaced)
    return name, version, came, f"{replaced}, unseen by its writer" if replica.overlap else replaced


def _time(replica: ExplainedReplica) -> str:
    from gossipnode.core.model.timestamp_text import format_timestamp

    return "" if replica.received is None else format_timestamp(replica.received)


def _shape(entity: Entity, explanation: Explanation) -> dict[str, Any]:
    return {
        "key": entity.text,
        "replicas": [_replica_shape(replica) for replica in explanation.replicas],
        "winner": explanation.winners[0] if explanation.winners else None,
        "winners": list(explanation.winners),
        "why": explanation.why,
    }


def _replica_shape(replica: ExplainedReplica) -> dict[str, Any]:
    return {
        "node": replica.node,
        "mod_revision": replica.mod_revision,
        "delete_time": replica.delete_time,
        "digest": replica.digest or None,
        "received": _time(replica) or None,
        "through": replica.through or None,
        "from": replica.source or None,
        "replaced": replica.replaced,
        "overlap": replica.overlap,
        "problem": replica.problem or None,
    }
